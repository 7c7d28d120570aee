"""Shows what a request does to settings that stand already: each that changes, before and after, as long as it is."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.guard.impacts.base import ImpactDraft
from ap_mcp.masking.supplied import as_supplied
from ap_mcp.rules.settings_diff import ABSENT, SettingChange, at, changes, digest, every_line, shown
from ap_mcp.specs import Operation, Target
from ap_mcp.vendor import get
from ap_mcp.wording import is_plain

NO_CHANGE = "Every setting that the request names has that value already."


def about_settings(draft: ImpactDraft, target: Target, thing: Any, sent: Any) -> None:
    """Note each setting that changes, before and after, and those that the request leaves open.

    Args:
        draft: to be added to.
        target: says where the settings stand in the thing.
        thing: what was read.
        sent: the JSON of the request.
    """
    found = get(thing, target.settings or "")
    standing = found if isinstance(found, Mapping) else {}
    every = changes(standing, sent, sent)
    named: list[SettingChange] = []
    open_: list[SettingChange] = []
    for each in every:
        if at(sent, each.keys) is not ABSENT:
            named.append(each)
        elif _is_settable(draft.case.operation, each.keys):
            open_.append(each)
    draft.stable["settings"] = digest([[each.keys, at(standing, each.keys)] for each in named + open_ if each.before])
    draft.changes += every_line(named)
    if not named:
        draft.warnings.append(NO_CHANGE)
    if draft.case.operation.method == "PUT":
        whether = "keeps its value, for the request does not name it"
        draft.unknown += [f"whether {each.path} {whether}: {each.before}" for each in open_]


def about_argument(draft: ImpactDraft, name: str) -> None:
    """Note what an argument is, as it was supplied."""
    value = as_supplied({name: draft.case.arguments[name]})[name]
    draft.fact(f"argument {name}", value if isinstance(value, str) and is_plain(value) else shown(value))


def _is_settable(operation: Operation, way: tuple[str, ...]) -> bool:
    """Say whether the request body has a place for a setting, whatever fills it."""
    pointer = "".join(f"/{key.replace('~', '~0').replace('/', '~1')}" for key in way)
    places = [place for argument in operation.arguments.values() for place in argument.places if place.startswith("/")]
    places += [*(fill.pointer for fill in operation.fill), *operation.unsupported]
    return any(f"{pointer}/".startswith(f"{place.partition('/*')[0]}/") for place in places)
