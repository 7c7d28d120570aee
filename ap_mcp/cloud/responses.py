"""Turns what came back into a value or into an error that says what to do."""

from codecs import BOM_UTF8
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from ap_mcp.binding import HttpCall
from ap_mcp.cloud.bodies import (
    MOST_VALUES,
    TOO_DEEP,
    ErrorBody,
    hide,
    holds_error,
    holds_too_many,
    is_html,
    parse_json,
    read_error_body,
)
from ap_mcp.cloud.refusals import CCE_SETTING, Recipient, about_clock, about_sign_in, http_date, is_expired_signature
from ap_mcp.cluster_requests import TEXT
from ap_mcp.errors import (
    AuthenticationFailed,
    BadAnswer,
    Conflict,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    ServiceError,
    SignatureExpired,
    SpecError,
    Throttled,
    TooLarge,
    Unavailable,
)
from ap_mcp.specs import FILE, JSON, Precondition, specs_folder
from ap_mcp.wording import NAME_LIMIT, clean, in_quotes, span

_REFUSED = "An error came under the status of a success."
NO_SUCH_API = "APIGW.0101"
QUOTA = "quota"
_BY_STATUS: Mapping[int, type[ServiceError]] = {
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    429: Throttled,
}
_LATER = {429: "in a minute"}
_LONG = 3600.0
"""Seconds from which on a time to wait is said in hours."""
_AGAIN = {409: "The same call again would get the same answer until that has changed."}
# Another try changes nothing about these; about 401, 408, 409 and 429 it may, once something else has changed.
_FINAL = frozenset(range(400, 500)) - {401, 408, 409, 429}
_NOT_THE_API = (
    "This is no answer of the API: something between this machine and it answered instead (a proxy, a web filter or "
    "firewall, a portal), and the service has probably not seen the request. Check the network, AP_MCP_PROXY and "
    "AP_MCP_ENDPOINT."
)
_PERHAPS_NOT_THE_API = (
    "It has no form of the API's own: a gateway or proxy on the way may have answered, not the service."
)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """What a status or a code means to an agent.

    Attributes:
        by_anyone: whatever handles HTTP on the way may mean the same by it.
        reasoned: what it means with a reason in words.
    """

    meaning: str
    hint: str
    retry: bool
    kind: str = ""
    by_anyone: bool = False
    reasoned: "CatalogueEntry | None" = None

    def given(self, *, names_the_cause: bool) -> "CatalogueEntry":
        """Return what it means if the service names the cause in words: then that says more than the code."""
        return self.reasoned if self.reasoned and names_the_cause else self


@dataclass(frozen=True, slots=True)
class ErrorCatalogue:
    """tool_specs/errors.json: statuses, vendor codes, and what lists the things that were not found."""

    statuses: Mapping[int, CatalogueEntry]
    codes: Mapping[str, CatalogueEntry]
    lookups: tuple[tuple[str, str], ...]

    def entry(self, status: int, *codes: str) -> CatalogueEntry:
        """Return the entry of the first known code, else that of the status, else that of its class."""
        for code in codes:
            known = self.codes.get(code) or self.codes.get(code.replace("APIG.", "APIGW.", 1))
            if known is not None:
                return known
        return self.statuses.get(status) or self.statuses[500 if status >= 500 else 302 if 300 <= status < 400 else 400]

    def lookup(self, operation_id: str) -> str:
        """Return the sentence that names the list tools for what an operation did not find."""
        return next((hint for glob, hint in self.lookups if fnmatchcase(operation_id, glob)), "")


@cache
def load_error_catalogue() -> ErrorCatalogue:
    """Return the shipped catalogue; parsed once per process."""
    path = specs_folder() / "errors.json"
    try:
        raw = parse_json(path.read_bytes())
        return ErrorCatalogue(
            statuses={int(status): _entry(entry) for status, entry in raw["statuses"].items()},
            codes={code: _entry(entry) for code, entry in raw["codes"].items()},
            lookups=tuple((lookup["operations"], lookup["hint"]) for lookup in raw["lookups"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"{path}: missing or malformed ({error!r})") from error


def service_error(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    operation_id: str,
    *,
    permission: str | None = None,
    precondition: Precondition | None = None,
    recipient: Recipient | None = None,
    signed_anew: bool = False,
    catalogue: ErrorCatalogue | None = None,
    may_repeat: bool = True,
    secrets: Collection[str] = (),
    now: datetime | None = None,
) -> ServiceError:
    """Understand an answer that is an error; never fails, whatever came.

    Args:
        status: of HTTP.
        headers: of the answer.
        content: body of the answer, of any kind.
        operation_id: what was asked for.
        permission: IAM action it needs.
        precondition: what must be so in the account before it can succeed.
        recipient: whom was asked, and as whom; CCE if None.
        signed_anew: the request had been refused for its old signature, and this is the answer to a new one.
        catalogue: meanings and hints; the shipped one if None.
        may_repeat: whether the same request may be sent twice without doing something twice.
        secrets: values that must not show up in the message.
        now: our time, to compare with the service's.
    """
    catalogue = catalogue or load_error_catalogue()
    headers = {name.lower(): value for name, value in headers.items()}
    body = read_error_body(content)
    entry = catalogue.entry(status, body.code, *body.other_codes).given(names_the_cause=body.names_the_cause)
    recipient, now = recipient or Recipient(), now or datetime.now(UTC)
    said = f"{body.message} {body.reason}"
    alien = status >= 400 and _is_foreign(content, _media_type(headers))
    foreign = alien and status < 500
    old = not foreign and is_expired_signature(status, said)
    kind = SignatureExpired if old else _kind(status, entry, foreign=foreign)
    date = headers.get("date", "")
    retry_after = _retry_after(headers.get("retry-after", ""), http_date(date) or now)
    if foreign:
        hints = [_NOT_THE_API, f"{entry.meaning} {entry.hint}" if entry.by_anyone else ""]
    elif kind is SignatureExpired:
        hints = [entry.meaning, about_sign_in(said, date, recipient, now, again=signed_anew)]
    else:
        hints = [
            entry.meaning,
            _PERHAPS_NOT_THE_API if alien else "",
            entry.hint,
            _redirect(headers.get("location", "")) if 300 <= status < 400 else "",
            about_sign_in(said, date, recipient, now) if status == 401 else "",
            about_clock(said, date, now) if status == 403 else "",
            _denial(body, permission) if status == 403 else "",
            precondition.needs if precondition and _may_lack(precondition, status, body) else "",
            catalogue.lookup(operation_id) if kind is NotFound and recipient.setting == CCE_SETTING else "",
        ]
    again = _repeat(status, entry, retry_after, may_repeat=may_repeat) if entry.retry or not foreign else ""
    hints.append(again)
    error = kind(
        status=status,
        operation=operation_id,
        code=body.code,
        other_codes=body.other_codes,
        texts=body.texts,
        reason=body.reason,
        encoded=body.encoded,
        others=body.others,
        request_id=request_id_of(headers) or body.request_id,
        hint=" ".join(hint for hint in hints if hint).replace(CCE_SETTING, recipient.setting),
        again=again,
        retry_after=retry_after,
        may_pass=entry.retry,
    )
    error.rewrite(partial(hide, secrets=secrets))
    return error


def read_answer(
    call: HttpCall,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    secrets: Collection[str] = (),
    setting: str = CCE_SETTING,
) -> Any:
    """Return the value of a successful answer: parsed JSON, text, bytes, or None where no body is due.

    Raises:
        BadAnswer: it is not what the operation answers with.
    """
    media_type = _media_type({name.lower(): value for name, value in headers.items()})
    bad = partial(_bad, call, status, headers, content, secrets, setting)
    if not content and call.may_answer_nothing:
        return None
    if call.accepts == TEXT and media_type == TEXT:
        # A log may hold anything, also what looks like a page or an error.
        return content.decode("utf-8", errors="replace")
    if is_html(content, media_type):
        raise bad("A web page came instead of an answer of the API.")
    may_be_json = media_type.endswith("json") or content[:1] == b"{"
    document = _document(call, status, headers, content) if may_be_json or call.accepts == JSON else None
    if holds_error(document):
        raise bad(_REFUSED)
    if call.accepts == JSON:
        if not isinstance(document, dict | list):
            raise bad(_why_no_json(content))
        return document
    if call.accepts == FILE:
        if not content:
            raise bad("The file is empty.")
        return content
    if call.accepts is None:
        return document
    return content.decode("utf-8", errors="replace")


def _document(call: HttpCall, status: int, headers: Mapping[str, str], content: bytes) -> Any:
    """Return parsed JSON, None if it is none.

    Raises:
        TooLarge: it holds more values than are worked on.
    """
    if holds_too_many(content):
        hint = f"The answer holds more than {MOST_VALUES:,} values and was not worked on."
        request_id = request_id_of(headers)
        raise TooLarge(status=status, operation=call.operation_id, request_id=request_id, hint=hint)
    return _parsed(content)


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the id under which the service's support finds the request."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return clean(lowered.get("x-request-id") or lowered.get("x-iam-trace-id") or "", NAME_LIMIT)


def _entry(raw: Mapping[str, Any]) -> CatalogueEntry:
    retry, reasoned = raw["retry"], raw.get("reasoned")
    with_reason = CatalogueEntry(reasoned["meaning"], reasoned["hint"], retry) if reasoned else None
    return CatalogueEntry(
        raw["meaning"], raw["hint"], retry, raw.get("kind", ""), raw.get("by_anyone", False), with_reason
    )


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError:
        return None


def _why_no_json(content: bytes) -> str:
    """Say why an answer is no list and no object of JSON."""
    try:
        parse_json(content)
    except ValueError as error:
        if str(error) == TOO_DEEP:
            return "The answer is nested too deeply to be read."
    return "The answer is no JSON, or cut off." if content else "The answer is empty."


def _kind(status: int, entry: CatalogueEntry, *, foreign: bool) -> type[ServiceError]:
    if entry.kind == QUOTA:
        return QuotaExceeded
    if status < 400 or (foreign and status in _FINAL | {401, 409}):
        return BadAnswer
    return _BY_STATUS.get(status, Unavailable if status >= 500 else ServiceError)


def _bad(  # noqa: PLR0917 - all but the last are bound once
    call: HttpCall,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    secrets: Collection[str],
    setting: str,
    what: str,
) -> BadAnswer:
    """Build the error for a 2xx that is no answer; a change may have been made nevertheless."""
    body = read_error_body(content)
    likely = "most likely not" if what == _REFUSED else "probably"
    after = f"The change was {likely} made: read what exists now before you send it again."
    if call.method == "GET":
        after = f"Something between this machine and the API may have answered: check {setting} and the network."
    error = BadAnswer(
        status=status,
        operation=call.operation_id,
        code=body.code,
        other_codes=body.other_codes,
        texts=body.texts,
        reason=body.reason,
        encoded=body.encoded,
        others=body.others,
        request_id=request_id_of(headers) or body.request_id,
        hint=f"{what} {after}",
    )
    error.rewrite(partial(hide, secrets=secrets))
    return error


def _is_foreign(content: bytes, media_type: str) -> bool:
    """Say whether an error is none of the API, which answers with an object of JSON; an empty one says nothing."""
    content = content.removeprefix(BOM_UTF8).strip()
    return is_html(content, media_type) or bool(content and content[:1] != b"{")


def _redirect(location: str) -> str:
    """Say where a redirect leads: to which host, for the rest may hold anything."""
    try:
        host = urlsplit(location).hostname or ""
    except ValueError:
        host = ""
    if host:
        return f"It leads to the host {in_quotes(host, NAME_LIMIT)}."
    return "It leads to another path of the same host." if location.strip() else ""


def _may_lack(precondition: Precondition, status: int, body: ErrorBody) -> bool:
    """Say whether a refusal may come from a precondition of the operation that is not met."""
    named = precondition.named_by.lower()
    is_named = bool(named) and named in f"{body.message} {body.reason}".lower()
    return status == 403 or NO_SUCH_API in (body.code, *body.other_codes) or (400 <= status < 500 and is_named)


def _denial(body: ErrorBody, permission: str | None) -> str:
    action = body.denied_action or permission
    return f"Needed is the IAM action {action}: an administrator can grant it." if action else ""


def _repeat(status: int, entry: CatalogueEntry, retry_after: float | None, *, may_repeat: bool) -> str:
    if entry.retry and status >= 500 and not may_repeat:
        return "It may have been carried out: read what exists now before you send it again."
    if entry.retry:
        return f"Worth another try {_LATER.get(status, 'later') if retry_after is None else _in(retry_after)}."
    return _AGAIN.get(status, "The same call again would get the same answer.") if status in _FINAL | {409} else ""


def _in(seconds: float) -> str:
    if seconds < 1:
        return "at once"
    return f"in {seconds:.0f} s" if seconds < _LONG else f"in {span(seconds)}"


def _retry_after(value: str, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or a date, which goes by the clock of the other side."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    moment = http_date(value)
    return None if moment is None else max(0.0, (moment - now).total_seconds())
