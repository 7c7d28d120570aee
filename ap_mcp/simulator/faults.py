"""Fault injection: which requests are throttled, delayed, broken, cut off or lose their answer."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, Self, get_args

from ap_mcp.errors import SettingsError

VARIABLE = "AP_MCP_SIMULATOR_FAULTS"
Kind = Literal["throttle", "status", "html", "delay", "cut", "lost", "cut_json", "done_html", "done_empty"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_DEFAULT_VALUES: dict[Kind, float] = {"throttle": 1, "status": 503, "html": 502, "delay": 0.05, "done_html": 504}


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: what goes wrong, for which operations, how many times.

    | kind | what happens | value |
    |--|--|--|
    | throttle | 429 before anything is done | seconds in Retry-After; none if negative |
    | status | that status before anything is done | the status, 503 if not given |
    | html | a gateway's HTML page before anything is done | its status, 502 if not given |
    | delay | the request waits, then is handled | seconds |
    | cut | the request is handled; the connection ends in the middle of the answer | |
    | lost | the request is handled; the connection ends before any answer | |
    | cut_json | the request is handled; the answer is complete HTTP around half a JSON text | |
    | done_html | the request is handled; a gateway that gave up first answers a page | its status, 504 if not given |
    | done_empty | the request is handled; the answer has its status and no body | |
    """

    kind: Kind
    operation: str = "*"
    times: int | None = 1
    value: float | None = None

    @property
    def amount(self) -> float:
        """The value, or the usual one of its kind."""
        return _DEFAULT_VALUES.get(self.kind, 0) if self.value is None else self.value


class Faults:
    """The rules still in force, first match first; a rule that was used up is dropped."""

    def __init__(self, rules: Iterable[Fault] = ()) -> None:
        self._rules = list(rules)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Faults {self._rules}>"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read rules written as `kind[:operation glob[:times[:value]]]`, separated by commas; `*` times is always.

        `throttle:create_*:2:5,lost:install_addon,delay:*:*:0.2`

        Raises:
            ValueError: naming the rule that cannot be read.
        """
        return cls(_parse_rule(rule.strip()) for rule in text.split(",") if rule.strip())

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the rules from `AP_MCP_SIMULATOR_FAULTS`; there are none if it is not set.

        Raises:
            SettingsError: if it cannot be read.
        """
        try:
            return cls.parse(environment.get(VARIABLE, ""))
        except ValueError as error:
            raise SettingsError(f"{VARIABLE}: {error}") from error

    def inject(self, kind: Kind, operation: str = "*", *, times: int | None = 1, value: float | None = None) -> None:
        """Add a rule after the others."""
        with self._lock:
            self._rules.append(Fault(kind, operation, times, value))

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def take(self, operation: str) -> tuple[Fault, ...]:
        """Return what happens to a request now: every delay that matches, then at most one other fault."""
        with self._lock:
            matching = [rule for rule in self._rules if fnmatchcase(operation, rule.operation)]
            others = [rule for rule in matching if rule.kind != "delay"][:1]
            hits = [*(rule for rule in matching if rule.kind == "delay"), *others]
            self._rules = [left for rule in self._rules if (left := _used(rule, hits)) is not None]
        return tuple(hits)


def _used(rule: Fault, hits: list[Fault]) -> Fault | None:
    if not any(rule is hit for hit in hits) or rule.times is None:
        return rule
    return replace(rule, times=rule.times - 1) if rule.times > 1 else None


def _parse_rule(text: str) -> Fault:
    kind, operation, times, value = (text.split(":") + [""] * 3)[:4]
    known = next((name for name in KINDS if name == kind), None)
    form = "kind[:operation[:times[:value]]]"
    if known is None or text.count(":") > 3:
        raise ValueError(f"cannot read the fault {text!r}: it must be {form}, the kind one of {', '.join(KINDS)}")
    try:
        count = None if times == "*" else int(times or 1)
        amount = float(value) if value else None
    except ValueError:
        raise ValueError(f"cannot read the fault {text!r}: times and value of {form} must be numbers") from None
    if count is not None and count < 1:
        raise ValueError(f"cannot read the fault {text!r}: times must be 1 or more, or *")
    return Fault(known, operation or "*", count, amount)
