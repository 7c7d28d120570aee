"""Everything this package raises on purpose, each able to explain itself to a model.

ApMcpError
├── SpecError                       start-up: a developer must fix tool_specs
├── SettingsError                   start-up: the operator must fix the settings
│   └── CredentialsMissing          no place held usable keys
├── ApprovalsUnusable               the store or the keys of approvals: the operator must fix them
├── AuditFailed                     what must be recorded cannot be: nothing is sent, or an outcome is not recorded
├── NotPermitted                    a defect of ours: something would have been sent that no decision covers
├── WebhookFailed                   a test message was not taken: the operator must fix a webhook
├── PartlyDone                      some requests of a call succeeded, the next one did not
├── CallRefused                     nothing was sent and the model can fix it
│   ├── InvalidArguments            every problem of a call at once
│   ├── TooManyCalls                more at once than one principal may make; says when to make it again
│   │   └── TooOften                more in the course of time
│   ├── UnknownTool                 no such tool; close names are suggested
│   ├── UnknownPrincipal            who calls may not use this server, or not any more
│   ├── RightsChanged               who calls may use other things than when the call began
│   ├── OnlyLocal                   works with files of this machine, and who calls is elsewhere
│   ├── ReadOnly                    this server only reads
│   ├── DeniedByPolicy              a rule of the operator forbids it, or could not be checked
│   ├── ConfirmationRequired        a person must agree first
│   │   ├── ConsentOff              the operator accepts no consent
│   │   └── ApprovalRequired        a person cannot be asked here; says how one approves elsewhere
│   ├── ForgedState                 the state of a question that was not made here: an answer that no person gave
│   ├── ConsentDeclined             a person was asked and did not agree, or a consent does not count
│   ├── ApprovalRefused             a person's decision that is not taken: passphrase, name, or too late
│   ├── AmbiguousName               a name that fits several things
│   ├── NameNotFound                a name that fits none
│   └── FileRefused                 a path outside the allowed folders, too large, or broken
├── WebhookFailed                   some webhooks of the operator did not take a message
├── TooMuchWork                     an answer came, and working on it took longer than any may
├── CloudUnreachable                no answer came: connection, time-out, cut line
└── ServiceError                    the cloud said no: status, codes, message, request id, hint
    ├── AuthenticationFailed        401: keys, token or clock
    │   └── SignatureExpired        turned away at the door, as it was signed too long ago: a new signature may do
    ├── PermissionDenied            403: names the missing IAM action
    ├── NotFound                    404 and 410
    ├── Conflict                    409
    ├── Throttled                   429
    ├── QuotaExceeded               a quota of the account is used up
    ├── Unavailable                 5xx and 408
    └── BadAnswer                   no answer of the API: HTML, cut off, a redirect, an error sent as a success
        └── TooLarge                larger than any answer that is worked on
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ap_mcp.wording import ANSI, MESSAGE_LIMIT, NAME_LIMIT, clean, in_quotes, is_plain

KEPT_LIMIT = 20_000
SAID_LIMIT, ENCODED_LIMIT, _BRIEF = 2000, 4000, 300
"""Characters that are shown of a text of the service, of an encoded one, and of one that stands among other things."""

READ_FIRST = "Read what exists now before you send it again."
SEALED_ELSEWHERE = (
    "was sealed by another server, or before a restart: servers that share calls, or go on with them after a restart, "
    "need the same AP_MCP_STATE_KEY."
)
_EFFECTS = {
    "write": "changes things or starts to cost money",
    "disrupt": "may interrupt what runs or cannot simply be put back",
    "destroy": "removes data or resources for good, or cannot be undone",
    "secret": "hands out credentials",
}


def _word(text: str, limit: int = NAME_LIMIT) -> str:
    """Return a code or id as it is; in quotation marks if it could be read as a sentence."""
    return text if is_plain(text) or not text else in_quotes(text, limit)


class ApMcpError(Exception):
    """Anything this package raises on purpose.

    Attributes:
        before: what was wanted, if this is the error of something on the way to it.
        found: what was found since, where the request may have taken effect.
        after_lost: an earlier attempt at the request may have taken effect, for its answer was lost.
        unclear: a request that is more than a read may have taken effect.
        settled: what became of the request was looked for: it is not sent again.
        consent: who agreed to the call that ended so, when and by which channel; empty if nothing guarded was sent.
        profile: where the call went, and where else it could go, in a line; empty if there is one place only.
        ruled_out: which kind of rule held a read on the way back, in a few words; empty if none did.
    """

    ruled_out = ""
    before = ""
    found = ""
    after_lost = False
    unclear = False
    settled = False
    consent = ""
    profile = ""

    def render(self) -> str:
        """Return the text a model or a person reads."""
        return f"{self.before} {self}\n{self.found}".strip()

    def report(self) -> str:
        """Return that text, who agreed to the call, and where it went."""
        agreed = f"Consent: {self.consent}" if self.consent else ""
        return "\n".join(line for line in (self.render(), agreed, self.profile) if line)


class SpecError(ApMcpError):
    """A document of tool_specs is wrong or missing."""


class SettingsError(ApMcpError):
    """A setting is missing or wrong; the message names each variable and what it may hold."""


class CredentialsMissing(SettingsError):
    """No place that may hold credentials held usable ones."""

    def __init__(self, searched: Sequence[str]) -> None:
        self.searched = tuple(searched)
        places = "\n".join(f"- {place}" for place in self.searched)
        super().__init__(f"No Huawei Cloud credentials found. Searched:\n{places}\nSet one of them and start again.")


class ApprovalsUnusable(ApMcpError):
    """The store of approvals, or a key of theirs, cannot be read or written; nothing counts as agreed."""


class AuditFailed(ApMcpError):
    """The audit log cannot be written or read; the text says whether anything was sent."""


class NotPermitted(ApMcpError):
    """The gateway holds a request back: it is no read, and no unused permit of the guard is for exactly it."""

    def __init__(self, operation: str, why: str) -> None:
        self.operation = operation
        super().__init__(f"{operation}: {why}. Nothing was sent. This is a defect of ap-mcp; please report it.")


class TooMuchWork(ApMcpError):
    """An answer that came was not worked on to its end, for that took too long.

    Args:
        seconds: for how long it was worked on.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"An answer of the cloud came, and was not worked on any more after {seconds:.0f} s, so it is not shown. "
            "Ask for less of it: one thing by its name, one namespace, a selector or a smaller limit. If the call "
            "changes something, it was sent: read what exists now before you send it again."
        )


class CallRefused(ApMcpError):
    """A call that was not sent, for a reason the caller can fix.

    Attributes:
        verdict: what the audit calls it; empty if it is no matter for the audit, such as a wrong argument.
        target: the name of what it would have been done to, if that is known.
    """

    verdict = ""
    target = ""


class TooManyCalls(CallRefused):
    """A call beyond those that one principal may have at once.

    Args:
        calls: how many there are.
        retry_after: seconds after which one may be over.
    """

    def __init__(self, calls: int, retry_after: float) -> None:
        said = "1 call is" if calls == 1 else f"{calls} calls are"
        super().__init__(
            f"Refused: {said} under way for you, and no more are taken at once. Nothing was sent. "
            f"Make this call again when some of them have ended, in about {retry_after:g} s."
        )
        self.retry_after = retry_after


class TooOften(TooManyCalls):
    """A call beyond those that one principal may make in the course of time.

    Args:
        a_second: how many they may make.
        burst: how many in a row.
        retry_after: seconds after which it may be made.
    """

    def __init__(self, a_second: float, burst: int, retry_after: float) -> None:
        self.retry_after = math.ceil(retry_after * 10) / 10
        CallRefused.__init__(
            self,
            f"Refused: your calls come faster than {a_second:g} a second, {burst} of them in a row. Nothing was sent. "
            f"Make this call again in {self.retry_after:g} s.",
        )


class Problem(NamedTuple):
    """One thing wrong with one argument."""

    argument: str
    message: str

    def __str__(self) -> str:
        return f"{self.argument}: {self.message}" if self.argument else self.message


class InvalidArguments(CallRefused):
    """The arguments of a call do not fit; all problems are reported at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        lines = [f"Nothing was sent: {head} with the arguments.", *(f"- {problem}" for problem in self.problems)]
        super().__init__("\n".join(lines))


class UnknownTool(CallRefused):
    """No tool has this name, or the chosen toolsets leave it out."""

    def __init__(self, name: str, suggestions: Sequence[str] = (), *, left_out: bool = False) -> None:
        self.name = name
        self.suggestions = tuple(suggestions)
        if left_out:
            super().__init__(f"{name} is not offered here: the chosen toolsets leave it out. Nothing was sent.")
            return
        nearest = (
            f"Did you mean {' or '.join(self.suggestions)}?"
            if self.suggestions
            else "tools/list (in a terminal: `ap-mcp tools`) shows all."
        )
        super().__init__(f"There is no tool {in_quotes(name, NAME_LIMIT)} here. {nearest}")


class UnknownPrincipal(CallRefused):
    """Who calls may not use this server: they never could, or it was taken from them meanwhile."""

    def __init__(self, principal: str) -> None:
        super().__init__(
            f"Refused: {_word(clean(principal))} may not use this server, or not any more. Nothing was sent. "
            "The operator of the server decides that."
        )


class RightsChanged(CallRefused):
    """A call that waited for a person, while the operator changed what its caller may use."""

    def __init__(self) -> None:
        super().__init__(
            "Refused: what you may use here has changed while this call waited for a person. Nothing was sent. "
            "Make the call again: it is judged by what you may use now."
        )


class OnlyLocal(CallRefused):
    """A call that works with files of the machine of the server, made over HTTP.

    Args:
        tool: that was called.
        use: what the call does to the machine, as a predicate: `leaves credentials on`.
    """

    verdict = "only local"

    def __init__(self, tool: str, use: str) -> None:
        super().__init__(
            f"Refused: {tool} {use} the machine that it runs on, which is not done over HTTP. Nothing was sent. "
            f"Somebody who may do it can run `ap-mcp call {tool}` on the machine where that is wanted."
        )


# What may be set to read only, as a sentence names it, and how the operator lifts that.
READ_ONLY = {
    "server": ("this server", "without --read-only, and with AP_MCP_READ_ONLY=false"),
    "profile": ("this profile", "without read_only in its table of ap-mcp.toml"),
    "caller": (
        "the access of this caller",
        "with a token made with --read-write, or read_only = false in the caller's token or rule of [[oauth_rules]]",
    ),
}


class ReadOnly(CallRefused):
    """Nothing but reading is let through, for everybody, to a profile, or for this caller.

    Args:
        operation: that would change something.
        closed: which of these is set to read only: server, profile or caller.
    """

    verdict = "read-only"

    def __init__(self, operation: str, closed: str = "server") -> None:
        self.operation = operation
        what, remedy = READ_ONLY[closed]
        super().__init__(
            f"Refused: {operation} would change something and {what} is read-only. Nothing was sent. "
            f"The operator can lift this: {remedy}."
        )


class DeniedByPolicy(CallRefused):
    """A rule of the operator forbids the call, or could not be checked."""

    verdict = "denied by policy"
    ruled_out = "a rule forbids it"

    def __init__(self, operation: str, why: str, remedy: str) -> None:
        self.operation = operation
        super().__init__(f"Refused by policy: {operation} {why}. Nothing was sent. {remedy}")


class ConfirmationRequired(CallRefused):
    """A guarded call that still needs a person's consent; `impact` is what it would do, if that was read."""

    verdict = "not confirmed"
    ruled_out = "a rule wants a person asked before it"

    def __init__(self, operation: str, effect: str, reason: str, impact: str = "") -> None:
        self.operation = operation
        self.effect = effect
        self.reason = reason
        self.impact = impact
        does = _EFFECTS.get(effect, "needs care")
        super().__init__(
            f"Refused: needs confirmation. {operation} {does} (effect: {effect}). {reason} Nothing was sent."
        )

    def render(self) -> str:
        """Return why nothing was sent, and what the call would do if that is known."""
        return f"{super().render()}\n{self.impact}".strip()


class ConsentOff(ConfirmationRequired):
    """A guarded call on a server whose operator accepts no consent."""


class ApprovalRequired(ConfirmationRequired):
    """A guarded call whose caller cannot be asked: a person approves it elsewhere, then it is made again.

    Args:
        operation: what was called.
        effect: how grave it is.
        impact: what it would do.
        code: names the question that waits.
        token: the consent that the model itself may carry.
        why: why nobody was asked here, as a sentence.
        lives: until when the code counts, in words.
        hints: what stands in the way of an approval, as sentences.
        not_shown: a form was sent, and no person saw it.
        link: where it can be read and decided; empty if no page is served.
    """

    def __init__(
        self,
        operation: str,
        effect: str,
        impact: str,
        code: str,
        token: str | None = None,
        *,
        why: str = "",
        lives: str = "",
        hints: Sequence[str] = (),
        not_shown: bool = False,
        link: str = "",
    ) -> None:
        super().__init__(operation, effect, why, impact)
        self.link = link
        self.code = code
        self.token = token
        self.lives = lives
        self.hints = tuple(hints)
        self.verdict = "not shown" if not_shown else ""

    def render(self) -> str:
        """Return why nobody was asked, what would happen, how a person approves it and how the outcome is learnt."""
        # Some clients show a person about forty characters of what failed, or its last three lines.
        waits = f"{self.operation} waits for a person (effect: {self.effect})"
        where = f"{self.link} (code {self.code})" if self.link else f"code {self.code}"
        passed_on = f"Link: {self.link}\n" if self.link else ""
        it, they = ("them", "They are") if self.link else ("it", "The code itself is")
        lines = [
            f"approval_required: {where}. Nothing was sent: {waits}.",
            *([self.reason] if self.reason else []),
            self.impact,
            f"{passed_on}Code: {self.code}. Repeat {it} to the user, who may not see this text. {they} no consent.",
            *([f"The code counts {self.lives}."] if self.lives else []),
        ]
        if self.token is not None:
            lines += [
                "Or, once the user has agreed in this conversation, call again within 5 minutes with",
                f"confirmation_token={self.token}",
            ]
        lines += [
            f"Once approved, call {self.operation} again with the same arguments: only that says what was decided.",
            *self.hints,
            f"Approve in a terminal: ap-mcp approvals approve {self.code}",
            *([f"Approve in a browser: {self.link}"] if self.link else []),
        ]
        return "\n".join(lines)


class ForgedState(CallRefused):
    """The state of a question that this server did not make, or that was changed: it is refused, and not asked again.

    Args:
        operation: what was called.
        elsewhere: it names a key that this server does not have.
    """

    verdict = "forged state"

    def __init__(self, operation: str, *, elsewhere: bool = False) -> None:
        self.operation = operation
        how = f"that {SEALED_ELSEWHERE}" if elsewhere else "that this server did not make, or that was changed."
        super().__init__(
            f"Refused: {operation} came back with the state of a question {how} "
            "Nothing was sent. Call the tool anew, from the start, to have a person asked."
        )


class ConsentDeclined(CallRefused):
    """A person did not agree, or what was offered as consent does not count; `verdict` says which, for the audit."""

    def __init__(self, operation: str, reason: str = "", verdict: str = "declined") -> None:
        self.operation = operation
        self.verdict = verdict
        self.reason = reason or "The person who was asked did not answer."
        super().__init__(f"{operation} was not run: {self.reason} Nothing was sent.")


class ApprovalRefused(CallRefused):
    """A decision that is not taken: the wrong passphrase, name or person, too late, or made already.

    Args:
        message: why, and what became of the question.
        verdict: what the audit calls it, where a person has tried to decide.
    """

    verdict = "not asked"

    def __init__(self, message: str, verdict: str = "") -> None:
        super().__init__(message)
        self.verdict = verdict or self.verdict


class AmbiguousName(CallRefused):
    """A name or alias that fits several things."""


class NameNotFound(CallRefused):
    """A name or alias that fits nothing; `alike`: others are so like it that it may be misspelt."""

    alike = False


class FileRefused(CallRefused):
    """A local file that may not be read or written, or is not what it should be."""


class CloudUnreachable(ApMcpError):
    """No usable answer came back; `may_have_arrived` says whether the request may have taken effect."""

    def __init__(
        self,
        endpoint: str,
        reason: str,
        *,
        may_have_arrived: bool,
        operation: str = "",
        advice: str = "Check the network, the region and AP_MCP_ENDPOINT, then try again.",
        may_pass: bool = True,
    ) -> None:
        self.endpoint = endpoint
        self.advice = advice
        self.may_pass = may_pass
        self.reason = reason
        self.may_have_arrived = may_have_arrived
        self.operation = operation
        super().__init__()

    def __str__(self) -> str:
        what = f"{self.operation}: no answer" if self.operation else "No answer"
        after = (
            "The request may have reached the service and taken effect. Read what exists now before you send it again."
            if self.may_have_arrived or self.after_lost
            else f"Nothing was changed. {self.advice}"
        )
        return f"{what} from {self.endpoint} ({clean(self.reason)}). {after}"


class WebhookFailed(ApMcpError):
    """Some webhooks of the operator did not take a message.

    Args:
        failed: how many.
        of: how many there are.
    """

    def __init__(self, failed: int, of: int) -> None:
        super().__init__(
            f"{failed} of {of} did not take the message. Questions wait all the same, and are listed by: "
            "ap-mcp approvals list"
        )


class PartlyDone(ApMcpError):
    """A call of several requests that stopped at the first failure; says what was done, and what may have been.

    Args:
        tool: what was called.
        steps: what each request does.
        done: how many succeeded.
        error: how the next one ended.
        warnings: what else must be known of those that succeeded.
    """

    def __init__(
        self, tool: str, steps: Sequence[str], done: int, error: ApMcpError, warnings: Sequence[str] = ()
    ) -> None:
        self.done = done
        self.error = error
        self.warnings = tuple(warnings)
        unclear = "may be done, read it before you repeat it" if may_have_happened(error) else "not done"
        states = ["done"] * done + [unclear] + ["not done"] * len(steps)
        lines = "".join(f"\n- {state}: {step}" for state, step in zip(states, steps, strict=False))
        super().__init__(f"{tool} stopped after {done} of its requests; what was done stays.{lines}")

    def render(self) -> str:
        """Return what was done, and why it went no further."""
        warnings = "".join(f"\nWarning: {each}" for each in self.warnings)
        return f"{self}{warnings}\nThe request that ended it: {self.error.render()}"


class ServiceError(ApMcpError):
    """The cloud answered with an error.

    `may_pass` says whether the same request may succeed later; `again` is the part of the hint that says so.
    """

    def __init__(
        self,
        *,
        status: int,
        operation: str,
        code: str = "",
        other_codes: Sequence[str] = (),
        texts: Sequence[str] = (),
        reason: str = "",
        encoded: str = "",
        others: str = "",
        request_id: str = "",
        hint: str = "",
        again: str = "",
        retry_after: float | None = None,
        may_pass: bool = False,
    ) -> None:
        self.status = status
        self.operation = operation
        self.hint = hint
        self.again = again
        self.retry_after = retry_after
        self.may_pass = may_pass
        self._said: tuple[str, ...] = (code, reason, request_id, encoded, others)
        self._texts, self._other_codes = tuple(texts), tuple(other_codes)
        self.rewrite(lambda same: same)
        super().__init__()

    def rewrite(self, change: Callable[[str], str], *, in_words: bool = False) -> None:
        """Change every text of the service, as masking does; before it is cleaned or cut, which can hide a secret.

        Args:
            change: what becomes of a text.
            in_words: drop values that stand under names of their own.
        """
        if in_words:
            self._said = (*self._said[:-1], "")
        self._said = tuple(change(_kept(text)) for text in self._said)
        self._texts = tuple(change(_kept(text)) for text in self._texts)
        self._other_codes = tuple(change(_kept(text)) for text in self._other_codes)
        said = (clean(text, KEPT_LIMIT) for text in self._said)
        self.code, self.reason, self.request_id, self.encoded, self.others = said
        # Colours and the like, of which a line would keep all but the first character.
        texts = (clean(ANSI.sub("", text), KEPT_LIMIT) for text in self._texts)
        self.texts = tuple(filter(None, texts))
        self.other_codes = tuple(shown for text in self._other_codes if (shown := clean(text, KEPT_LIMIT)))

    @property
    def message(self) -> str:
        """The most specific text of the service; empty if it says nothing."""
        return self.texts[0] if self.texts else ""

    def brief(self) -> str:
        """Return in one line what the service answered: status, code, and its most specific text."""
        code = f" {_word(self.code)}" if self.code else ""
        return f"HTTP {self.status}{code}{' ' + in_quotes(self.message, _BRIEF) if self.message else ''}"

    def __str__(self) -> str:
        others = f" ({', '.join(_word(each) for each in self.other_codes)})" if self.other_codes else ""
        reason = f"reason {_word(self.reason, MESSAGE_LIMIT)}" if self.reason else ""
        # Of a 500 too: the service failed, at the beginning or at the end, and what it did by then may stand.
        ended = "may have been carried out" if self.unclear else "failed"
        first = "its first answer was lost, the repeat got " if self.after_lost and self.unclear else ""
        head = [f"{self.operation} {ended}: {first}HTTP {self.status}", f"{_word(self.code)}{others}", reason]
        share = min(SAID_LIMIT, max(2 * SAID_LIMIT // max(len(self.texts), 1), NAME_LIMIT))
        texts = "; ".join(dict.fromkeys(in_quotes(each, share) for each in self.texts))
        lines = [
            ", ".join(part for part in head if part),
            f"The service says: {texts}" if texts else "",
            f"It also names: {in_quotes(self.others, SAID_LIMIT)}" if self.others else "",
            "" if first else self._advice(),
            f"Encoded reason, which an administrator can decode in IAM: {in_quotes(self.encoded, ENCODED_LIMIT)}"
            if self.encoded
            else "",
            f"Request id: {_word(self.request_id)}" if self.request_id else "",
        ]
        return "\n".join(line for line in lines if line)

    def _advice(self) -> str:
        """Return the hint; who does not know what became of a change is not sent to make it once more."""
        return self.hint.replace(self.again, READ_FIRST) if self.unclear and self.again else self.hint


def _kept(text: str) -> str:
    """Return a text of bounded length: of a longer one head and tail, without half a word, perhaps of a secret."""
    if len(text) <= 2 * KEPT_LIMIT:
        return text
    return f"{text[:KEPT_LIMIT]} … {text[-KEPT_LIMIT:].partition(' ')[2]}"


class AuthenticationFailed(ServiceError):
    """The service does not accept the keys, the token or the time of the request."""


class SignatureExpired(AuthenticationFailed):
    """The request was turned away at the door for the age of its signature; nothing of it was carried out."""


class PermissionDenied(ServiceError):
    """The keys are good but may not do this."""


class NotFound(ServiceError):
    """What the request names does not exist in this region and project."""


class Conflict(ServiceError):
    """The thing exists already, or something else is changing it."""


class Throttled(ServiceError):
    """Too many requests, or another request holds the resource."""


class QuotaExceeded(ServiceError):
    """A quota of the account is used up."""


class Unavailable(ServiceError):
    """The service could not do its work right now."""


class BadAnswer(ServiceError):
    """What came back is no answer of the API."""


class TooLarge(BadAnswer):
    """An answer that is larger than any is worked on; what came of it is dropped."""


def may_have_happened(error: ApMcpError) -> bool:
    """Say whether a request that ended in an error may have had its effect all the same."""
    if error.after_lost:
        return True
    if isinstance(error, CloudUnreachable):
        return error.may_have_arrived
    # A gateway in between may give up on a request that the service goes on with.
    return isinstance(error, ServiceError) and (error.status < 400 or error.status == 408 or error.status >= 500)


@contextmanager
def on_the_way_to(tool: str, *, sends: bool, composed: bool) -> Iterator[None]:
    """Say of an error for which call it is, if it is that of something on the way to it, such as a read.

    Args:
        tool: what is called.
        sends: the call is more than a read, and nothing of it is sent in here.
        composed: it has no request of its own: what it reads is what was asked for.
    """
    try:
        yield
    except (CloudUnreachable, ServiceError) as error:
        if error.operation != tool and (sends or not composed):
            error.before = f"{tool}: {'nothing was sent, for ' if sends else ''}a read on the way to it failed."
        raise
    except ApprovalsUnusable as error:
        error.before = f"{tool}: nothing was sent."
        raise
