"""What an upgrade of a cluster means for its add-ons: which change with it, which are too old for it."""

from typing import Any

from ap_mcp.guard.impacts.base import Answers, ImpactDraft, gather, read, refused
from ap_mcp.rules import settings_diff
from ap_mcp.rules.addons import runs_in_full, runs_on, state_of, template_name_of, version_entry
from ap_mcp.rules.settings import settings
from ap_mcp.vendor import get, text, word
from ap_mcp.wording import few


async def about_addons(draft: ImpactDraft, answers: Answers, target: str) -> None:
    """Say which add-ons change, and which do not fit the target or are unhealthy.

    Raises:
        CallRefused: one that is to change is not there, or its new version is not made for the target.
    """
    wanted = _wanted(draft)
    found = draft.listed(answers, "addons", "/items", "which add-ons it has")
    rows = {template_name_of(each): each for each in found or []}
    if found is not None:
        _must_be_installed(wanted, rows)
        draft.stable["addons"] = {name: [_version(row), state_of(row)] for name, row in rows.items()}
    _about_settings(draft)
    names = sorted({*rows, *wanted})
    reads = {name: read("list_addon_templates", template_name=name) for name in names}
    templates = await gather(draft.case, **reads)
    unsure = []
    for name in names:
        row, version = rows.get(name, {}), wanted.get(name) or _version(rows.get(name, {}))
        fits = None if templates.error(name) else runs_on(version_entry(templates.needed(name), name, version), target)
        _about_addon(draft, name, row, version, fits=fits, target=target)
        unsure += [word(name)] if fits is None else []
    errors = [error for name in names if (error := templates.error(name))]
    what = f"whether these add-ons run on {word(target)}: {', '.join(unsure)}"
    if errors:
        draft.unread("templates", what, errors[0])
    elif unsure:
        draft.unknown.append(what)


def _wanted(draft: ImpactDraft) -> dict[str, str]:
    """Return the add-ons that are to be upgraded too, with their new versions.

    Raises:
        CallRefused: one is named twice.
    """
    given = draft.case.arguments.get("addons", [])
    wanted = {str(each["name"]): str(each["version"]) for each in given}
    if len(wanted) < len(given):
        raise refused("an add-on is named twice in addons", "Name each one once.")
    if bare := sorted(word(each["name"]) for each in given if "values" not in each):
        draft.unknown.append(f"whether these add-ons keep their settings, as no values are given: {', '.join(bare)}")
    draft.stable["addon_changes"] = wanted
    return wanted


def _must_be_installed(wanted: dict[str, str], rows: dict[str, dict[str, Any]]) -> None:
    if strangers := sorted(word(name) for name in set(wanted) - set(rows)):
        has = few(sorted(word(name) for name in rows)) or "none"
        raise refused(f"not installed as an add-on: {few(strangers)}", f"Installed: {has}.")


def _about_settings(draft: ImpactDraft) -> None:
    """Say which settings of add-ons the call gives; what they are now is not listed with the add-ons.

    Raises:
        CallRefused: they cannot be shown.
    """
    for each in draft.case.arguments.get("addons", []):
        if "values" not in each:
            continue
        name, given = word(each["name"]), settings(each["values"])
        if given is None:
            raise refused(f"values of add-on {name} are nested too deep to be shown")
        draft.changes += [f"add-on {name}: {line}" for line in settings_diff.assignments(given)]
        draft.unknown.append(f"whether add-on {name} keeps settings that the call leaves out")


def _about_addon(draft: ImpactDraft, name: str, row: Any, version: str, *, fits: bool | None, target: str) -> None:
    before, status = _version(row), state_of(row)
    changes = name in draft.stable["addon_changes"]
    if changes and fits is False:
        why = f"add-on {word(name)} {word(version)} is not made for {word(target)}"
        raise refused(why, f'list_addon_templates(template_name="{word(name)}") shows versions.')
    if changes:
        draft.changes.append(
            f"add-on {word(name)} {word(before) if before else '(version unknown)'} becomes {word(version)}"
        )
    elif fits is False:
        draft.warnings.append(f"Add-on {word(name)} {word(version)} is too old or too new for {word(target)}.")
    if row and not runs_in_full(status):
        draft.warnings.append(f"Add-on {word(name)} is unhealthy: {word(status) if status else 'no state reported'}.")


def _version(row: Any) -> str:
    return text(get(row, "/spec/version"))
