"""Fills in what the caller of an operation need not know: read from the cloud, as the spec says, before it is sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.arguments import meets
from ap_mcp.errors import CallRefused, InvalidArguments, Problem
from ap_mcp.filling.defaults import Defaults, defaults_for
from ap_mcp.masking import mask
from ap_mcp.parallel_reads import Reader
from ap_mcp.rules.merging import Renewal, Way, merged, true_values, ways
from ap_mcp.rules.settings import settings
from ap_mcp.rules.settings_diff import ABSENT, at, starred
from ap_mcp.specs import Entry, Fill, Operation
from ap_mcp.vendor import get, items, word
from ap_mcp.wording import few

_MISPLACED = (
    "is a masked placeholder, or the start of a long text, and no value that it could stand for is in this place. "
    "Give the real value"
)
_OR_LEAVE_OUT = ", or leave it out: what is not named stays as it is"


@dataclass(frozen=True, slots=True)
class Merge:
    """How settings that are sent came about.

    Attributes:
        current: what the thing has; None if the service does not report it.
        given: what the call gives, with the true values where it gave masked ones of the thing.
        sent: what is sent: all of it, for the service keeps nothing that is left out.
        resets: the call replaces everything.
        renewal: which settings follow the defaults of another version; None if the version stays, or they are unknown.
        defaults: those of the version there is and of the one there will be, as far as they are known.
        without_effect: where the call gives a null although the thing has no such setting.
        asked: what the call gives, as it was written.
    """

    current: Mapping[str, Any] | None = field(repr=False)
    given: Mapping[str, Any] = field(repr=False)
    sent: Mapping[str, Any] = field(repr=False)
    resets: bool = False
    renewal: Renewal | None = field(default=None, repr=False)
    defaults: Defaults | None = field(default=None, repr=False)
    without_effect: tuple[Way, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Filled:
    """What is filled into a request.

    Attributes:
        values: by the pointer where each goes; they stand for what the call gives there.
        merges: how settings among them came about, by the same pointer.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    merges: Mapping[str, Merge] = field(default_factory=dict, repr=False)


async def fill_in(operation: Operation, arguments: Mapping[str, Any], read: Reader) -> Filled:
    """Read what the spec says is filled in for the caller, and lay the call's settings over those of the thing.

    Args:
        operation: what is called.
        arguments: its flat arguments.
        read: reads from the cloud.

    Raises:
        CallRefused: the cloud does not report a value that must be sent, or hides one that would be overwritten.
        InvalidArguments: a masked placeholder stands where there is nothing that it could stand for.
        ApMcpError: what the read raised.
    """
    given = {place: arguments[name] for name in arguments for place in operation.arguments[name].places}
    values: dict[str, Any] = {}
    merges: dict[str, Merge] = {}
    for fill in applying(operation, arguments):
        if fill.pointer in given and not fill.merge:
            continue
        if not fill.merge:
            values[fill.pointer] = await _value(operation, fill, arguments, read)
            continue
        merge = await _merge(operation, fill, arguments, given | values, read)
        merges[fill.pointer] = merge
        values[fill.pointer] = merge.sent
        if fill.reset_at and (merge.resets or _leaves_out(merge)):
            values[fill.reset_at] = True
    return Filled(values, merges)


def applying(operation: Operation, arguments: Mapping[str, Any]) -> list[Fill]:
    """Return what is filled into a call: for each place the first whose condition the arguments meet."""
    found: dict[str, Fill] = {}
    for fill in operation.fill:
        if fill.pointer not in found and (fill.condition is None or meets(fill.condition, arguments)):
            found[fill.pointer] = fill
    return list(found.values())


async def _value(operation: Operation, fill: Fill, arguments: Mapping[str, Any], read: Reader) -> Any:
    """Return one value that is filled in."""
    body = await read(fill.operation, **_wanted(fill.arguments, arguments))
    what = " and ".join(fill.sources)
    if fill.entry is not None:
        other = await read(fill.entry.operation, **_wanted(fill.entry.arguments, arguments))
        body = _entry(fill.entry, items(body), other)
        what = f"{what} of what {fill.entry.operation} reports ({_matched(fill.entry, other)})"
    value = _taken(fill, body)
    if value is not None:
        return value
    if fill.otherwise is not None:
        return fill.otherwise
    name = next((each for each, one in operation.arguments.items() if fill.pointer in one.places), "")
    why = f"{fill.operation} does not report {what}, which {operation.id} must send"
    way_on = f" Give {name}." if name else ""
    raise CallRefused(f"Refused: {why}; guessing it could reset what is there. Nothing was sent.{way_on}")


def _no_merge(operation: Operation, fill: Fill, name: str, thing: Any) -> CallRefused:
    """Return the refusal of a merge into nothing: it would reset everything that the caller does not name."""
    said = "reports no" if _reported(fill, thing) in (None, "") else "reports, in a form that cannot be read, the"
    why = f"{fill.operation} {said} {name} of now, so nothing can be merged into them"
    way_on = f" {fill.reset}: true sends the given {name} alone, a person is asked." if fill.reset else ""
    return CallRefused(f"Refused: {why}, and {operation.id} resets what it does not send. Nothing was sent.{way_on}")


def _taken(fill: Fill, body: Any) -> Any:
    value = _reported(fill, body)
    return settings(value) if fill.merge else value


def _wanted(places: Mapping[str, str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arguments[place.removeprefix("$arguments.")] for name, place in places.items()}


def _entry(entry: Entry, rows: Sequence[Any], other: Any) -> Any:
    """Return the entry of a list that agrees with an answer; None if none does, or several do."""

    def agree(row: Any, pairs: Mapping[str, str]) -> bool:
        return all((said := get(row, here)) is not None and said == get(other, there) for here, there in pairs.items())

    found = [row for row in rows if agree(row, entry.match)]
    preferred = [row for row in found if agree(row, entry.prefer)] if entry.prefer else []
    return next(iter(preferred or found), None)


def _matched(entry: Entry, other: Any) -> str:
    return ", ".join(f"{there.removeprefix('/')} {word(get(other, there))}" for there in entry.match.values())


async def _merge(
    operation: Operation, fill: Fill, arguments: Mapping[str, Any], placed: Mapping[str, Any], read: Reader
) -> Merge:
    """Lay the settings of a call over those of the thing."""
    name = next(name for name, each in operation.arguments.items() if fill.pointer in each.places)
    given = settings(arguments.get(name, {}))
    if given is None:
        raise CallRefused(f"Refused: {name} are nested too deep to be shown. Nothing was sent.")
    resets = bool(fill.reset and arguments.get(fill.reset))
    thing = await read(fill.operation, **_wanted(fill.arguments, arguments))
    current = _taken(fill, thing)
    if current is None and not resets:
        raise _no_merge(operation, fill, name, thing)
    shown = settings(mask(_reported(fill, thing))) or {}
    true = true_values(current or {}, shown, given)
    if true.misplaced:
        why = _MISPLACED if resets else _MISPLACED + _OR_LEAVE_OUT
        raise InvalidArguments([Problem(f"{name}.{each}", why) for each in true.misplaced])
    if resets:
        merge = Merge(current, true.values, true.values, resets=True, asked=given)
    else:
        found = await defaults_for(fill.defaults, thing, placed, read) if fill.defaults else None
        renewal = found.renewal(current or {}) if found else None
        sent, without_effect = merged(renewal.values if renewal else current or {}, true.values)
        merge = Merge(current, true.values, sent, False, renewal, found, tuple(without_effect), given)
    try:
        json.dumps(merge.sent, allow_nan=False)
    except ValueError as error:
        why = f"the {name} that {fill.operation} reports hold a number that JSON does not know, and must be sent back"
        raise CallRefused(f"Refused: {why}. Nothing was sent. Give it anew.") from error
    if hidden := starred(merge.sent):
        why = f"the change would set these {name} to asterisks: {few(hidden)}"
        raise CallRefused(f"Refused: {why}. Nothing was sent. The service hides them: give the real ones.")
    return merge


def _reported(fill: Fill, body: Any) -> Any:
    """Return settings in the form in which the cloud has them."""
    try:
        return fill.take(body)
    except LookupError:
        return None


def _leaves_out(merge: Merge) -> bool:
    """Say whether a setting that the thing has is not sent any more."""
    return any(at(merge.sent, way) is ABSENT for way in ways(merge.current or {}))
