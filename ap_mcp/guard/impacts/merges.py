"""Says what becomes of settings that a call does not name: kept, reset, or following another version's defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

from ap_mcp.filling import Merge
from ap_mcp.guard.impacts.base import ImpactDraft
from ap_mcp.masking import mask
from ap_mcp.rules import settings_diff
from ap_mcp.rules.merging import ways
from ap_mcp.rules.settings_diff import ABSENT, SettingChange, at, digest, path_of, same
from ap_mcp.wording import few, plural

UNKNOWN = "which settings change: the service does not report those of now"


def sorted_out(
    found: Sequence[SettingChange], merge: Merge
) -> tuple[list[SettingChange], list[SettingChange], list[SettingChange]]:
    """Sort changes: those that the call names, those that follow another version, and those that it leaves out."""
    named: list[SettingChange] = []
    rest: list[SettingChange] = []
    for each in found:
        (named if settings_diff.names(merge.given, each.keys) else rest).append(each)
    return (named, [], rest) if merge.resets else (named, rest, [])


def about_merge(draft: ImpactDraft, merge: Merge, others: str, *, wanted: Mapping[str, Any]) -> None:
    """Note what becomes of the settings that the call does not name.

    Args:
        draft: to be added to.
        merge: how what is sent came about.
        others: what a setting falls back to, as in `the defaults of 1.2.0`.
        wanted: these defaults, as far as they are known.
    """
    draft.stable["settings"] = [digest(merge.current), digest(merge.sent)]
    if merge.resets:
        draft.warnings.append(f"Every setting that the call does not give goes back to {others} (reset_values).")
    else:
        draft.stays.append("all its other settings")
    if merge.current is None:
        draft.unknown.append(UNKNOWN)
        draft.warnings.append(f"{UNKNOWN[0].upper()}{UNKNOWN[1:]}.")
    if merge.without_effect:
        paths = few([path_of(way) for way in merge.without_effect])
        draft.warnings.append(f"Null has no effect, for there is no such setting now: {paths}.")
    if merge.renewal is not None and merge.renewal.kept:
        own = few([path_of(each) for each in merge.renewal.kept])
        draft.stays.append(f"settings that were changed from their defaults: {own}")
    if merge.defaults is not None and merge.defaults.problem:
        draft.unread("defaults", *_split(merge.defaults.problem))
        _warn_of_stale(draft, merge, others, wanted)


def _warn_of_stale(draft: ImpactDraft, merge: Merge, others: str, wanted: Mapping[str, Any]) -> None:
    """Warn of each setting that is sent as it is although it may not have been chosen, for defaults are not known."""
    kept = [way for way in ways(merge.current or {}) if same(at(merge.sent, way), at(merge.current or {}, way))]
    stale = [way for way in kept if not settings_diff.names(merge.given, way)]
    if wanted:
        stale = [
            way for way in stale if at(wanted, way) is not ABSENT and not same(at(wanted, way), at(merge.sent, way))
        ]
    sent, brought = (mask(each) if stale else {} for each in (merge.sent, wanted))
    for way in stale[: settings_diff.LINES]:
        brings = f", {others} have {settings_diff.shown_at(brought, way)}" if wanted else ""
        stays = settings_diff.shown_at(sent, way)
        draft.warnings.append(f"{path_of(way)} stays {stays}{brings}; null in values takes the default.")
    if more := stale[settings_diff.LINES :]:
        draft.warnings.append(
            f"{plural(len(more), 'more setting')} stay as they are: {few([path_of(each) for each in more])}."
        )


def _split(problem: str) -> tuple[str, str]:
    what, _, why = problem.partition(": ")
    if why.startswith(("could not be read", "not read")):
        return what, why
    return what, f"could not be read ({why})" if why else "could not be read"
