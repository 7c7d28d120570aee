"""What a diagnosis is made of: a thing in the cluster, a finding about it, the log that would say more."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from ap_mcp.kubernetes.rollouts import condition
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, text, word

Gravity: TypeAlias = Literal["critical", "warning", "notice"]
GRAVITIES: tuple[Gravity, ...] = ("critical", "warning", "notice")
"""Nothing of it works; a part does not, or will not for long; should be known. The gravest first."""


class Thing(NamedTuple):
    """An object of the cluster, by which findings are linked to one another."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return it as a sentence names it: `Deployment shop/cart`."""
        return f"{word(self.kind)} {word('/'.join(filter(None, (self.namespace, self.name))))}"


class LogKey(NamedTuple):
    """A log: of which container, and whether of its run before the present one."""

    namespace: str
    pod: str
    container: str
    previous: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not work, and why.

    Attributes:
        fault: the kind of fault; `order.py` ranks them.
        about: the thing that does not work: the workload rather than each of its pods.
        what: how it is and why; a sentence without the thing and without its stop, what the cluster wrote in quotes.
        evidence: the fields, events and log lines that it is concluded from.
        since: when it began, as far as that is known.
        pods: names of the pods that it concerns.
        next: the calls that lead on.
        explains: things that cannot work because of it.
        after: things of which one that does not work would explain it.
        log: would say more.
        part: what tells it apart from another finding of its kind about the same thing, such as a container.
        cause: what others of its kind may share with it, such as a Secret that is missing; empty if nothing.
    """

    fault: str
    about: Thing
    what: str
    evidence: tuple[str, ...] = ()
    gravity: Gravity = "critical"
    since: datetime | None = None
    pods: tuple[str, ...] = ()
    next: tuple[NextCall, ...] = ()
    explains: frozenset[Thing] = field(default_factory=frozenset)
    after: frozenset[Thing] = field(default_factory=frozenset)
    log: LogKey | None = None
    part: str = ""
    cause: str = ""


def any_of(*alternatives: str) -> re.Pattern[str]:
    """Return a pattern of several, upper or lower case, for words that programs choose differently."""
    return re.compile("|".join(alternatives), re.IGNORECASE)


def thing_of(item: Any, kind: str = "") -> Thing:
    """Return an object of the API as a thing; `kind` is for what came in a list, where none says it."""
    where = (text(get(item, f"/metadata/{key}")) for key in ("namespace", "name"))
    return Thing(kind or text(get(item, "/kind")), *where)


def labels_of(item: Any, pointer: str = "/metadata/labels") -> dict[str, str]:
    """Return labels, or whatever stands as a map of texts, as they came."""
    found = get(item, pointer)
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def named_in(item: Any, kind: str = "") -> str:
    """Return the name of an object, as a sentence has it."""
    return word(thing_of(item, kind).name)


def is_set(item: Any, kind: str, status: str = "True") -> bool:
    """Say whether a condition has a status."""
    return text(get(condition(item, kind), "/status")) == status
