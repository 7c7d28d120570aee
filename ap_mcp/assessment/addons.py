"""Which add-ons block an upgrade, and which version of each would not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ap_mcp.assessment.model import DETAILED, AssessmentDraft, UpgradeReads, id_of
from ap_mcp.rules.addons import (
    addon_name_of,
    needs_reinstall,
    runs_in_full,
    runs_in_part,
    runs_on,
    state_of,
    template_name_of,
    template_versions,
    version_entry,
)
from ap_mcp.rules.phases import ADDON, under_way
from ap_mcp.rules.upgrades import Way
from ap_mcp.rules.versions import order
from ap_mcp.vendor import because, get, moment, quoted, said, strings, text, word
from ap_mcp.wording import few

VERSIONS = ("currentVersion", "targetVersions")
"""Fields of a status that describe versions, not how the add-on is."""
WHY = 160
"""Characters of what the service says that stand beside a next call."""
LIST, TEMPLATES = "list_addons", "list_addon_templates"

Cure: TypeAlias = Literal["", "update", "along", "none", "unread"]


@dataclass(frozen=True, slots=True)
class Fitness:
    """How an installed add-on stands to an upgrade of its cluster.

    Attributes:
        fits: whether its version runs on the target; None if that is not known.
        cure: what makes it fit: an update before the upgrade, a change along with it, nothing that is known, or
            not known, as its template could not be read; empty unless it does not fit.
        best: the version that an update or a change leads to: the newest.
        lowest: the lowest that it could lead to as well.
        stable: whether that one is marked as such.
        changed: when it was last changed.
        problem: what the service says of it, if it does not work.
    """

    id: str
    name: str
    version: str
    status: str
    fits: bool | None
    cure: Cure = ""
    best: str = ""
    lowest: str = ""
    stable: bool = True
    changed: datetime | None = None
    problem: str = ""

    @property
    def healthy(self) -> bool:
        """Whether it is as it should be, and can stay as it is."""
        return self.fits is True and runs_in_full(self.status)

    @property
    def works(self) -> bool:
        """Whether it works, if only in part."""
        return runs_in_full(self.status) or runs_in_part(self.status)

    @property
    def stands_out(self) -> bool:
        """Whether it has a line of its own in an assessment: it does not fit, or does not run."""
        return self.fits is False or not self.works

    @property
    def shown(self) -> str:
        """What it is called in a sentence."""
        return f"{word(self.name)} {word(self.version)}".strip()


def needs_template(addon: Any, target: str) -> bool:
    """Say whether the template of an installed add-on must be read to know if, or in which version, it fits."""
    return runs_on(get(addon, "/status/currentVersion", {}), target) is not True


def fitness_of(addons: Sequence[Any], reads: UpgradeReads) -> list[Fitness]:
    """Judge the add-ons of a cluster, in the order of their names."""
    judged = [_judged(each, reads.templates.get(template_name_of(each)), reads.way) for each in addons]
    return sorted(judged, key=lambda each: (each.name, each.id))


def about_addons(
    draft: AssessmentDraft, addons: Sequence[Fitness], found: Mapping[str, Sequence[str]], *, passed: bool
) -> None:
    """Say which add-ons do not fit or are unhealthy, and add the calls that fix them.

    Args:
        draft: to be added to.
        addons: of the cluster.
        found: by add-on, what the pre-upgrade check found about it.
        passed: the check has passed, so none of them blocks the upgrade.
    """
    target = word(draft.reads.way.target)
    place = draft.risks if passed else draft.blockers
    unfit = [each for each in addons if each.fits is False]
    unhealthy = [each for each in addons if each.fits is not False and not each.works]
    for each in unfit[:DETAILED]:
        also = "" if each.works else f" It is {_state(each)}.{_remedy(each)}{because(each.problem)}"
        line = f"Add-on {each.shown} does not run on {target}{_checked(each, found)}; {_cure(draft.reads, each)}{also}"
        (draft.risks if each.cure == "along" else place).append(line)
        _add_fix(draft, each, passed=passed)
    if rest := [each.shown for each in unfit[DETAILED:]]:
        place.append(f"These add-ons do not run on it either (list_addons shows all): {few(rest)}.")
    for each in unhealthy[:DETAILED]:
        about = "" if passed else _checked(each, found)
        place.append(f"Add-on {each.shown} is {_state(each)}{about}.{_remedy(each)}{because(each.problem)}")
        _add_read(draft, each)
    if rest := [each.shown for each in unhealthy[DETAILED:]]:
        place.append(f"These add-ons are unhealthy too (list_addons shows all): {few(rest)}.")
    draft.risks += [f"Add-on {each.shown} runs only in part." for each in addons if runs_in_part(each.status)]
    if unsure := [each.shown for each in addons if each.fits is None]:
        draft.risks.append(f"Whether these add-ons run on {target} is not known: {few(unsure)}.")
    if fit := [word(each.name) for each in addons if each.healthy]:
        draft.passed.append(f"Add-ons that run on {target}: {few(fit)}.")


def _checked(addon: Fitness, found: Mapping[str, Sequence[str]]) -> str:
    """Name in parentheses what the pre-upgrade check found about an add-on; empty if that is nothing."""
    named = list(dict.fromkeys(word(each) for each in found.get(addon.name, ())))
    return f" (check item {few(named)})" if named else ""


def _judged(addon: Any, template: Any, way: Way) -> Fitness:
    name, version = addon_name_of(addon), text(get(addon, "/spec/version"))
    versions = template_versions(template, name)
    fits = runs_on(get(addon, "/status/currentVersion", {}), way.target)
    fits = runs_on(version_entry(template, name, version), way.target) if fits is None else fits
    cure, chosen, stable = _cured(addon, template, versions, way) if fits is False else ("", (), True)
    status = get(addon, "/status")
    return Fitness(
        id=id_of(addon),
        name=name,
        version=version,
        status=state_of(addon),
        fits=fits,
        cure=cure,
        best=text(get(max(chosen, key=_order), "/version")) if chosen else "",
        lowest=text(get(min(chosen, key=_order), "/version")) if chosen else "",
        stable=stable,
        changed=moment(get(addon, "/metadata/updateTimestamp")),
        problem="" if runs_in_full(state_of(addon)) else said(status, leave_out=VERSIONS),
    )


def _cured(addon: Any, template: Any, versions: Sequence[Any], way: Way) -> tuple[Cure, Sequence[Any], bool]:
    """Return what makes an add-on fit: the stable versions that run on both, or those that run on the target."""
    if template is None:
        return "unread", (), True
    own, open_to = text(get(addon, "/spec/version")), strings(addon, "/status/targetVersions")
    newer = [each for each in versions if runs_on(each, way.target) and _order(each) > order(own)]
    stable = [each for each in newer if get(each, "/stable") is not False]
    both = [
        [each for each in chosen if runs_on(each, way.now) and (not open_to or text(get(each, "/version")) in open_to)]
        for chosen in (stable, newer)
    ]
    cures: tuple[tuple[Cure, Sequence[Any], bool], ...] = (
        ("update", both[0], True),
        ("along", stable if template_name_of(addon) else [], True),
        ("update", both[1], False),
        ("along", newer if template_name_of(addon) else [], False),
    )
    for cure, chosen, is_stable in cures:
        if chosen:
            return cure, chosen, is_stable
    return "none", (), True


def _order(release: Any) -> tuple[int, ...]:
    return order(text(get(release, "/version")))


def _cure(reads: UpgradeReads, addon: Fitness) -> str:
    best = word(addon.best) + ("" if addon.stable else " (not marked as stable)")
    if addon.cure == "update":
        lowest = f"{word(addon.lowest)} (the lowest) to " if addon.lowest != addon.best else ""
        runs = "run" if lowest else "runs"
        return f"{lowest}{best} {runs} on it and on {word(reads.now)}: update it first."
    if addon.cure == "along":
        return f"{best} does, but not on {word(reads.now)}: name it in addons of upgrade_cluster."
    if addon.cure == "unread":
        return "which version does could not be read."
    return "no newer version that does is known: ask its owner whether it can be removed."


def _add_fix(draft: AssessmentDraft, addon: Fitness, *, passed: bool) -> None:
    """Add the calls that bring an add-on to a version that fits."""
    if not addon.works:
        _add_read(draft, addon)
    if addon.cure == "along" and addon.name not in [each["name"] for each in draft.along]:
        draft.along.append({"name": addon.name, "version": addon.best})
    if passed or addon.cure != "update" or needs_reinstall(addon.status):
        return
    why = f"{word(addon.best)} runs on both versions"
    if draft.step("update_addon", why, addon_id=addon.id, target_version=addon.best):
        draft.wait("addon", addon.id, "Until it runs again")


def _add_read(draft: AssessmentDraft, addon: Fitness) -> None:
    """Add the call that says more of an unhealthy add-on, or waits for the end of what is being done to it."""
    if under_way(ADDON, addon.status):
        draft.wait("addon", addon.id, f"It is {_state(addon)}")
    elif needs_reinstall(addon.status):
        if draft.step("delete_addon", "Only deleting it and installing it anew helps", addon_id=addon.id):
            version = {"version": addon.best} if addon.best else {}
            why = f"Anew, with values that do not bring this about: {quoted(addon.problem, WHY)}"
            why = why if addon.problem else "Anew, with values that fit"
            draft.step("install_addon", why, template_name=addon.name, **version)
    else:
        draft.step("get_addon", f"Why it is {_state(addon)}", addon_id=addon.id)


def _remedy(addon: Fitness) -> str:
    return " Delete it and install it anew." if needs_reinstall(addon.status) else ""


def _state(addon: Fitness) -> str:
    return f"{word(addon.status)}, not running" if addon.status else "in no state that is reported"
