"""Shapes answers about add-ons: what runs in a cluster, what can be installed, and what a change has started."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from ap_mcp.rules.addons import (
    addon_name_of,
    needs_reinstall,
    runs_in_full,
    runs_in_part,
    size_line,
    state_of,
    why_no_rollback,
    workload_of,
)
from ap_mcp.rules.deletion import unsuccessful
from ap_mcp.rules.phases import ADDON, broken, described, under_way
from ap_mcp.rules.sayings import addon_says
from ap_mcp.rules.versions import order
from ap_mcp.summaries.addon_templates import addon_templates
from ap_mcp.summaries.base import TELLING, NextCall, Observation, Part, Result, summarises
from ap_mcp.vendor import SAID_LIMIT, as_object, because, flag, get, items, quoted, reported, strings, text, word
from ap_mcp.wording import plural

__all__ = ["addon", "addon_change", "addon_deletion", "addon_templates", "addons"]

INJECTED = "systemAutoInject"
NOT_REPORTED = "not reported"
_CUSTOM, _TARGETS = "/spec/values/custom", "/status/targetVersions"


class AddonLine(Part):
    """One add-on in a list."""

    id: str
    name: str
    version: str
    status: str
    upgrade_to: str | None = None
    problem: str | None = None


class AddonList(Result):
    """The add-ons of a cluster, those in trouble first."""

    addons: list[AddonLine] = Field(default_factory=list)


class AddonState(Result):
    """One add-on: how it is, what it runs with, and where it can go from here."""

    id: str = ""
    name: str = ""
    cluster_id: str = ""
    version: str = ""
    status: str = ""
    problem: str | None = None
    size: str | None = None
    changed_values: Annotated[dict[str, Any] | None, TELLING] = None
    settings: list[str] | None = None
    upgrade_versions: Annotated[list[str] | None, TELLING] = None
    rollbackable: bool | None = None
    previous_version: str | None = None


class AddonChange(Result):
    """What an installation, an upgrade or a rollback has started."""

    id: str = ""
    name: str = ""
    version: str = ""
    previous_version: str | None = None
    status: str = ""


class AddonDeletion(Result):
    """What a deletion has started."""

    id: str = ""


@summarises("addons", section="items")
def addons(answer: Observation) -> AddonList:
    """List a cluster's add-ons."""
    lines = sorted((_addon_line(each) for each in items(answer.body, "/items")), key=_urgency)
    counted = Counter(line.status for line in lines)
    states = ", ".join(f"{count} {_stated(status)}" for status, count in counted.most_common())
    cluster = {"cluster_id": answer.arguments.get("cluster_id", "")}
    return AddonList(
        summary=f"{plural(len(lines), 'add-on')}{': ' + states if states else ''}.",
        addons=lines,
        next=[
            NextCall(
                tool="get_addon",
                arguments={**cluster, "addon_id": line.id},
                why=f"{word(line.name)} {_doing(line.status)}",
            )
            for line in _broken(lines)[:1]
        ],
    )


@summarises("addon")
def addon(answer: Observation) -> AddonState:
    """Show one add-on."""
    body = answer.body
    line = _addon_line(body)
    targets = _targets(body)
    rollbackable = flag(get(body, "/status/isRollbackable"))
    previous = text(get(body, "/status/previousVersion"))
    going = f" It can go to {word(_newest(targets))}." if targets else ""
    return AddonState(
        summary=f"{_what(line)} {_doing(line.status)}.{because(line.problem or addon_says(body))}{going}",
        id=line.id,
        name=line.name,
        cluster_id=text(get(body, "/spec/clusterID")),
        version=line.version,
        status=line.status,
        problem=quoted(line.problem, 2 * SAID_LIMIT) if line.problem else None,
        size=size_line(get(body, "/spec/values/flavor")) or None,
        changed_values=_changed(body),
        settings=reported(sorted(f"custom.{text(key)}" for key in as_object(get(body, _CUSTOM))), body, _CUSTOM),
        upgrade_versions=reported(targets, body, _TARGETS),
        rollbackable=rollbackable,
        previous_version=previous or None,
        warnings=list(_doubts(body)),
        next=_after(answer, line),
    )


@summarises("addon_change")
def addon_change(answer: Observation) -> AddonChange:
    """Say what an installation, an upgrade or a rollback has started."""
    line = _addon_line(answer.body)
    previous = text(get(answer.body, "/status/previousVersion"))
    before = f" It was {word(previous)} before." if previous and previous != line.version else ""
    return AddonChange(
        summary=f"{_what(line)} {_doing(line.status)}.{before}{because(line.problem)}",
        id=line.id,
        name=line.name,
        version=line.version,
        previous_version=previous or None,
        status=line.status,
        warnings=list(_stale_image(answer.body)),
        next=list(_rollout(answer)),
    )


def _rollout(answer: Observation) -> Iterator[NextCall]:
    """Yield the wait for the pods of an add-on, where its workload is known."""
    if workload := workload_of(answer.body):
        where = {"cluster_id": answer.arguments.get("cluster_id"), "namespace": "kube-system"}
        why = "once that has ended, says whether its new pods are ready"
        yield NextCall(tool="wait_for", arguments={"kind": "rollout", "id": workload, **where}, why=why)


@summarises("addon_deletion", accepts=str | dict | None)
def addon_deletion(answer: Observation) -> AddonDeletion:
    """Say that a deletion has started; the service says no more than a word."""
    addon_id = text(answer.arguments.get("addon_id"))
    return AddonDeletion(
        summary=f"The add-on {word(addon_id)} is being deleted.",
        id=addon_id,
        warnings=unsuccessful(answer.body),
    )


def _addon_line(body: Any) -> AddonLine:
    status = state_of(body) or NOT_REPORTED
    fine = runs_in_full(status) or under_way(ADDON, status)
    return AddonLine(
        id=text(get(body, "/metadata/uid")),
        name=addon_name_of(body) or "add-on",
        version=text(get(body, "/spec/version")),
        status=status,
        upgrade_to=_newest(_targets(body)),
        problem=None if fine else addon_says(body) or None,
    )


def _broken(lines: Sequence[AddonLine]) -> list[AddonLine]:
    return [line for line in lines if broken(ADDON, line.status)]


def _urgency(line: AddonLine) -> tuple[int, str]:
    if broken(ADDON, line.status):
        return 0, line.name
    return 1 if runs_in_part(line.status) else 2 if under_way(ADDON, line.status) else 3, line.name


def _doing(status: str) -> str:
    unknown = "in a status that is not reported" if status == NOT_REPORTED else word(status)
    return described(ADDON, status) or f"is {unknown}"


def _stated(status: str) -> str:
    return status if status == NOT_REPORTED else word(status)


def _what(line: AddonLine) -> str:
    return " ".join(word(each) for each in (line.name, line.version) if each)


def _targets(body: Any) -> list[str]:
    return sorted(strings(body, _TARGETS), key=order)


def _newest(versions: Sequence[str]) -> str | None:
    return versions[-1] if versions else None


def _doubts(body: Any) -> Iterator[str]:
    if not isinstance(get(body, "/spec/values"), Mapping):
        yield "The service did not report the current values: an update would reset the others to their defaults."
    yield from _stale_image(body)


def _stale_image(body: Any) -> Iterator[str]:
    """Warn when the values still name another version's image than the template of this version does."""
    runs = text(get(body, "/spec/values/basic/image_version"))
    wanted = text(get(body, "/status/currentVersion/input/basic/image_version"))
    if runs and wanted and runs != wanted:
        yield (
            f"values.basic.image_version is {quoted(runs)}, this version's own is {quoted(wanted)}: "
            'update_addon with values {"basic": {"image_version": null}} corrects it.'
        )


def _after(answer: Observation, line: AddonLine) -> list[NextCall]:
    """Say what to do about an add-on that is in trouble."""
    previous = text(get(answer.body, "/status/previousVersion"))
    own = {"cluster_id": answer.arguments.get("cluster_id", ""), "addon_id": line.id}
    if not broken(ADDON, line.status):
        return []
    if not why_no_rollback(answer.body):
        return [
            NextCall(
                tool="rollback_addon",
                arguments=own,
                why=f"back to {word(previous) if previous else 'the version before'}",
            )
        ]
    if needs_reinstall(line.status):
        return [NextCall(tool="delete_addon", arguments=own, why="then install it again, with values that fit")]
    versions = {"cluster_id": own["cluster_id"], "template_name": line.name}
    return [
        NextCall(tool="list_addon_templates", arguments=versions, why="versions and values that update_addon takes")
    ]


def _changed(body: Any) -> dict[str, Any] | None:
    """Return the current values that differ from the defaults of the version; None if either is not reported."""
    if get(body, "/spec/values") is None or get(body, "/status/currentVersion/input") is None:
        return None
    values = as_object(get(body, "/spec/values"))
    form = get(body, "/status/currentVersion/input", {})
    sizes = [size for key, size in as_object(get(form, "/parameters")).items() if key != "custom"]
    flavor = as_object(values.get("flavor"))
    defaults = {
        "basic": get(form, "/basic", {}),
        "custom": get(form, "/parameters/custom", {}),
        "flavor": next((size for size in sizes if get(size, "/name") == flavor.get("name")), {}),
    }
    if isinstance(flavor.get("resources"), list):
        plain = [
            {key: value for key, value in each.items() if key != "id"} for each in items(values, "/flavor/resources")
        ]
        values = {**values, "flavor": {**flavor, "resources": plain}}
    return _difference({key: value for key, value in values.items() if key != INJECTED}, defaults)


def _difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            if inner := _difference(value, default):
                found[key] = inner
        elif value != default:
            found[key] = value
    return found
