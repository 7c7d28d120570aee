"""What a guarded call would do, read from the live cloud and shown to the person who must agree.

A builder is a function from a `Case` to an `Impact`, found by the operation it is for:

    @impact_of("delete_addon")
    async def delete_addon(case: Case) -> Impact:
        answers = await gather(case, cluster=read("get_cluster", cluster_id=…), addon=read("get_addon", …))
        addon = answers.needed("addon")
        must_belong(case, addon, "/spec/clusterID", "add-on")
        draft = ImpactDraft(case, name=…, sentence="Removes the add-on …")
        about_cluster(draft, answers.needed("cluster"))
        return draft.impact()

`ap_mcp.guard.impacts` collects the builders and has `build_impact`.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ap_mcp.errors import ApMcpError, CallRefused, CloudUnreachable, ServiceError
from ap_mcp.guard.impacts.layout import Layout, laid_out
from ap_mcp.guard.where import ANYWHERE, Where
from ap_mcp.masking import mask, mask_text
from ap_mcp.parallel_reads import Reader, read_together
from ap_mcp.rules.clusters import tags_of
from ap_mcp.specs import Effect, Operation
from ap_mcp.vendor import get, moment, quoted, text, word
from ap_mcp.wording import age, clean, few, in_order

CLUSTER = "cluster_id"

_PRODUCTION = frozenset({"prod", "production", "prd"})
_BEFORE = frozenset({"non", "not", "no", "pre"})
_YES = frozenset({"true", "yes", "1", ""})


@dataclass(frozen=True, slots=True)
class Case:
    """A call somebody must agree to.

    Attributes:
        operation: what is called.
        arguments: its flat arguments, the cluster as an id.
        effect: the gravest effect of this very call.
        read: reads from the cloud.
        clock: gives the service's time; asked after the reads, whose answers carry it.
        files: content of the local files that arguments name, by argument.
        only_asks: nothing will be sent, so what is still missing is shown beside the impact instead of a refusal.
    """

    operation: Operation
    arguments: Mapping[str, Any] = field(repr=False)
    effect: Effect
    read: Reader
    clock: Callable[[], datetime]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    only_asks: bool = False

    @property
    def now(self) -> datetime:
        """The time to measure ages against."""
        return self.clock()

    @property
    def cluster_id(self) -> str:
        """The cluster the call names; empty if it names none."""
        return str(self.arguments.get(CLUSTER, ""))


@dataclass(frozen=True, slots=True)
class Impact:
    """What a call would do: every text is one harmless line, whatever the cloud put into it.

    Attributes:
        operation: what is called.
        effect: how grave it is.
        name: what a person must type to agree: the target's own name.
        sentence: what happens, in one sentence.
        facts: label and value of what the target is now.
        changes: settings that change, each before and after, as long as it is.
        risks: what a check found and is to skip, which nobody has agreed to yet.
        goes: what goes away or is interrupted with it.
        stays: what stays and may keep costing.
        warnings: what should make one hesitate.
        unknown: what the API cannot say or could not be read.
        stable: what the fingerprint covers: ids, versions, phases, counts and options; no ages, no times.
        settled: arguments as they are sent, where what was given leaves the service a choice.
        deed: what is done to which thing, in a few words; the sentence if none is given.
        final: there is no way back.
        destroys: something goes for good, whatever else is graver.
        place: the end of the deed that is never cut: where it is done.
    """

    operation: str
    effect: Effect
    name: str
    sentence: str
    facts: tuple[tuple[str, str], ...] = ()
    changes: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    stable: Mapping[str, Any] = field(default_factory=dict)
    settled: Mapping[str, Any] = field(default_factory=dict)
    deed: str = ""
    final: bool = False
    destroys: bool = False
    place: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "destroys", self.destroys or self.effect == "destroy")
        object.__setattr__(self, "name", _line(self.name))  # as it is: somebody must type it
        for attribute in ("sentence", "deed", "place"):
            object.__setattr__(self, attribute, _shown(getattr(self, attribute)))
        object.__setattr__(self, "deed", self.deed or self.sentence)
        for attribute in ("changes", "risks", "goes", "stays", "warnings", "unknown"):
            object.__setattr__(self, attribute, tuple(map(_shown, getattr(self, attribute))))
        facts = tuple((_shown(label), _shown(value)) for label, value in self.facts)
        object.__setattr__(self, "facts", facts)
        object.__setattr__(self, "stable", MappingProxyType(json.loads(_canonical(dict(self.stable)))))
        object.__setattr__(self, "settled", MappingProxyType(dict(self.settled)))
        if not self.name:
            raise CallRefused(
                f"Refused: {self.operation} acts on something whose name is not reported. Nothing was sent."
            )

    def laid_out(self, where: Where) -> Layout:
        """Return it as the question that a person reads: what decides in the first three lines, then all of it."""
        return laid_out(self, where)

    def text(self, where: Where = ANYWHERE) -> str:
        """Return that question as text."""
        return self.laid_out(where).text()

    def fingerprint(self) -> str:
        """Return a digest that changes when something relevant changes, and not with time alone."""
        covered = [self.operation, self.effect, self.name, dict(self.stable), dict(self.settled)]
        return hashlib.sha256(_canonical(covered).encode()).hexdigest()

    def structured(self) -> dict[str, Any]:
        """Return it as JSON; what is empty is left out."""
        every: dict[str, Any] = {
            "operation": self.operation,
            "effect": self.effect,
            "name": self.name,
            "sentence": self.sentence,
            "warnings": list(self.warnings),
            "changes": list(self.changes),
            "facts": _by_label(self.facts),
            "risks": list(self.risks),
            "goes": list(self.goes),
            "stays": list(self.stays),
            "unknown": list(self.unknown),
        }
        return {key: value for key, value in every.items() if value} | {"fingerprint": self.fingerprint()}


def _by_label(facts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return facts by their label; what bears the same one stands together."""
    found: dict[str, str] = {}
    for label, value in facts:
        found[label] = f"{found[label]}; {value}" if label in found else value
    return found


@dataclass
class ImpactDraft:
    """An impact being written."""

    case: Case
    name: str
    sentence: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)
    goes: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stable: dict[str, Any] = field(default_factory=dict)
    settled: dict[str, Any] = field(default_factory=dict)
    deed: str = ""
    final: bool | None = None
    """Whether there is no way back; None: if the call destroys something."""
    destroys: bool = False
    """Something goes for good, although another effect of the call is graver."""

    def fact(self, label: str, value: str | None) -> None:
        """Note what the target is; nothing is noted for an empty value."""
        if value:
            self.facts.append((label, value))

    def answer(self, answers: "Answers", name: str, what: str) -> Any:
        """Return an answer, or None if it could not be read; then that is said, and counts as a warning."""
        error = answers.error(name)
        if error is None:
            return answers.needed(name)
        self.unread(name, what, error)
        return None

    def listed(self, answers: "Answers", name: str, pointer: str, what: str) -> list[dict[str, Any]] | None:
        """Return the entries of an answer that lists things, or None as `answer` does."""
        body = self.answer(answers, name, what)
        found = None if body is None else entries(body, pointer)
        if body is not None and found is None:
            self.unread(name, what, "could not be read (the answer is no list)")
        return found

    def unread(self, name: str, what: str, why: ApMcpError | str) -> None:
        """Say that something could not be read, or may not: it is unknown, and a warning."""
        shown = why if isinstance(why, str) else not_read(why)
        self.unknown.append(f"{what}: {shown}")
        self.warnings.append(f"{'Could not be read' if shown.startswith('could') else 'Not read'}: {what}.")
        self.stable["unread"] = sorted([*self.stable.get("unread", []), name])

    def impact(self) -> Impact:
        """Return the finished impact."""
        return Impact(
            operation=self.case.operation.id,
            effect=self.case.effect,
            name=self.name,
            sentence=self.sentence,
            facts=tuple(self.facts),
            changes=tuple(self.changes),
            risks=tuple(self.risks),
            goes=tuple(self.goes),
            stays=tuple(self.stays),
            warnings=tuple(self.warnings),
            unknown=tuple(self.unknown),
            stable=self.stable,
            settled=self.settled,
            deed=self.deed,
            final=self.destroys or self.case.effect == "destroy" if self.final is None else self.final,
            destroys=self.destroys,
        )


@dataclass(frozen=True, slots=True)
class ImpactOf:
    """A builder and the operation it is for."""

    operation: str
    function: Callable[[Case], Awaitable[Impact]]

    async def __call__(self, case: Case) -> Impact:
        """Build the impact of a call."""
        return await self.function(case)


def impact_of(operation: str) -> Callable[[Callable[[Case], Awaitable[Impact]]], ImpactOf]:
    """Make a function the builder of an operation's impacts."""

    def wrap(function: Callable[[Case], Awaitable[Impact]]) -> ImpactOf:
        return ImpactOf(operation, function)

    return wrap


@dataclass(frozen=True, slots=True)
class Read:
    """One read to be made."""

    operation: str
    arguments: Mapping[str, Any]


def read(operation: str, **arguments: Any) -> Read:
    """Describe a read for `gather`."""
    return Read(operation, arguments)


class Answers:
    """What several reads answered, by the names they were given."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)

    def error(self, name: str) -> ApMcpError | None:
        """Return why a read failed; None if it did not."""
        found = self._found[name]
        return found if isinstance(found, ApMcpError) else None

    def needed(self, name: str, why: str = "") -> Any:
        """Return an answer without which the call cannot be judged.

        Args:
            name: of the read.
            why: what it is needed for, as in `says whether …`; with it a failed read becomes a refusal that says so.

        Raises:
            ApMcpError: what the read raised, or the refusal.
        """
        error = self.error(name)
        if error is None:
            return self._found[name]
        if not why:
            raise error
        raise CallRefused(f"Refused: what {why} could not be read. Nothing was sent.\n{error.render()}") from error


async def gather(case: Case, /, **reads: Read) -> Answers:
    """Make all reads at once; one that fails leaves the others alone."""
    found, errors = await read_together(
        case.read, {name: (each.operation, each.arguments) for name, each in reads.items()}
    )
    return Answers(found | errors)


def refused(why: str, after: str = "") -> CallRefused:
    """Return the refusal of a call that no person needs to be asked about."""
    return CallRefused(f"Refused: {why}. Nothing was sent." + (f" {after}" if after else ""))


NOT_YET = "Not possible yet"
"""How a warning begins that says what a call still needs."""


def unless_only_asked(case: Case, error: CallRefused) -> str:
    """Return a refusal as a warning, if the call only asks what would happen.

    What cannot be judged at all is refused in any case, so `Answers.needed` comes before this.

    Raises:
        CallRefused: it does not.
    """
    if not case.only_asks:
        raise error
    return str(error).replace("Refused", NOT_YET, 1).replace(" Nothing was sent.", "", 1)


def must_belong(case: Case, body: Any, pointer: str, what: str) -> None:
    """Check that a thing read by its id is part of the cluster the call names.

    Raises:
        CallRefused: it is of another cluster, or does not say of which.
    """
    owner = text(get(body, pointer))
    if owner.lower() != case.cluster_id.lower():
        whose = f"belongs to cluster {word(owner)}" if owner else "does not say which cluster it belongs to"
        raise refused(f"the {what} {whose}, not to {word(case.cluster_id)}", "Name the cluster it belongs to.")


def entries(body: Any, pointer: str = "") -> list[dict[str, Any]] | None:
    """Return the objects of the list at `pointer`; a list that was left out or null is empty, anything else is None."""
    found = get(body, pointer, [] if pointer and isinstance(body, Mapping) else None)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else None


def pair(key: str, value: str) -> str:
    """Return a tag, fit to be shown."""
    return f"{word(key)}={tag_value(key, value)}"


def tag_value(key: str, value: str) -> str:
    """Return the value of a tag, fit to be shown; a secret by its key is masked."""
    return word(mask({"key": key, "value": value})["value"])


def name_of(cluster: Any) -> str:
    """Return a cluster's name, for a person to read; its id if it has none."""
    return word(get(cluster, "/metadata/name") or get(cluster, "/metadata/uid"))


def about_cluster(draft: ImpactDraft, cluster: Any, *, whole: bool = True) -> None:
    """Note which cluster it is and how it stands.

    Args:
        draft: to be added to.
        cluster: what get_cluster answered.
        whole: its version, age and tags too; for a part of a cluster its name and phase are enough.

    Raises:
        CallRefused: it is not the cluster the call names.
    """
    uid, phase, version = (text(get(cluster, place)) for place in ("/metadata/uid", "/status/phase", "/spec/version"))
    if uid.lower() != draft.case.cluster_id.lower():
        raise refused(f"cluster {word(draft.case.cluster_id)} was asked for, and {word(uid) or 'none'} was answered")
    name, alias, tags = text(get(cluster, "/metadata/name")), text(get(cluster, "/metadata/alias")), tags_of(cluster)
    also = f" (alias {shown_alias(alias)})" if alias not in ("", name) else ""
    stands = word(phase) if phase else "of unknown phase"
    draft.fact("cluster", f"{name_of(cluster)}{also}, {stands}, id {word(uid)}")
    if whole:
        draft.fact("version", word(version) if version else "not reported")
        draft.fact("age", age(moment(get(cluster, "/metadata/creationTimestamp")), draft.case.now) or "not reported")
        draft.fact("tags", few([pair(key, value) for key, value in sorted(tags.items())]) or "none")
    if sign := production_sign(cluster):
        draft.warnings.append(f"The cluster looks like production: {sign}.")
    seen = {"id": uid, "name": name, "alias": alias, "version": version, "phase": phase, "tags": tags}
    draft.stable["cluster"] = seen


def shown_alias(alias: str) -> str:
    """Return an alias, fit to be shown: anybody may choose it, so it may hold a secret."""
    return word(mask_text(alias))


def production_sign(cluster: Any) -> str:
    """Return what makes a cluster look like production: a tag, or its name; empty if nothing does."""
    return sign_of_production(text(get(cluster, "/metadata/name")), tags_of(cluster))


def sign_of_production(name: str, tags: Mapping[str, str]) -> str:
    """Return what of a cluster's name and tags looks like production; empty if nothing does."""
    for key, value in sorted(tags.items()):
        if looks_like_production(key, value):
            return f"tag {pair(key, value)}"
    return f"it is called {word(name)}" if _speaks_of_production(name) else ""


def looks_like_production(key: str, value: str) -> bool:
    """Say whether a tag marks production: `env=prod`, `stage=production`, `tier=live`, `production=true`."""
    if _speaks_of_production(value) or value.lower() == "live":
        return True
    return _speaks_of_production(key) and value.lower() in _YES


def _speaks_of_production(said: str) -> bool:
    words = set(re.split(r"[^a-z]+", said.lower()))
    return bool(words & _PRODUCTION) and not words & _BEFORE


def not_read(error: ApMcpError) -> str:
    """Return that something was not read, and in a few words why; what a rule forbids is not said to have failed."""
    return f"not read: {error.ruled_out}" if error.ruled_out else f"could not be read ({_briefly(error)})"


def _briefly(error: ApMcpError) -> str:
    if isinstance(error, ServiceError):
        return f"HTTP {error.status}{' ' + word(error.code) if error.code else ''}"
    return "no answer came" if isinstance(error, CloudUnreachable) else quoted(error.render(), 120)


def _line(text: str) -> str:
    """Return a text of any length as one harmless line; one that is such a line already as it is, all blanks kept."""
    return text if text.isprintable() and text.strip() == text else clean(text, len(text) + 1)


def _shown(text: str) -> str:
    """Return a text as `_line` does, for a person to see its characters in the order in which they stand."""
    return in_order(_line(text))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
