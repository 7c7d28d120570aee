"""Shapes maintenance windows, and the upgrades that the service plans for them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import NoneType
from typing import Any

from pydantic import Field

from ap_mcp.rules.upgrade_plans import plan_state
from ap_mcp.rules.upgrades import way
from ap_mcp.summaries.base import CURSOR, Observation, Part, Result, summarises
from ap_mcp.summaries.pages import paged
from ap_mcp.summaries.upgrade_common import LISTED, call
from ap_mcp.vendor import because, get, items, moment, number, reported, said, stamp, strings, text, word
from ap_mcp.wording import plural

FAR = datetime.max.replace(tzinfo=UTC)


class MaintenanceWindow(Result):
    """The weekly hours in which the service may upgrade a cluster by itself, in UTC."""

    weekdays: list[str] | None = None
    start_time: str = ""
    duration_hours: int | None = None
    upgrade_scope: str | None = None


class Planned(Part):
    """An upgrade that the service has planned."""

    upgrade_plan_id: str
    from_version: str = ""
    to_version: str = ""
    status: str = ""
    standing: str = ""
    not_before: str | None = None
    not_after: str | None = None
    deadline: str | None = None


class PlanList(Result):
    """The planned upgrades of a cluster, the next one first."""

    plans: list[Planned] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


class Plan(Result):
    """A planned upgrade."""

    plan: Planned | None = None


@summarises("maintenance_window")
def maintenance_window(answer: Observation) -> MaintenanceWindow:
    """Say when the service may upgrade the cluster by itself."""
    window = _window(answer.body)
    return window.model_copy(
        update={
            "summary": f"The service may upgrade the cluster by itself {_hours(window)}.",
            "next": [call(answer, "list_upgrade_plans", "Shows what it has planned")],
        }
    )


@summarises("maintenance_window_deletion", accepts=dict | NoneType)
def maintenance_window_deletion(answer: Observation) -> MaintenanceWindow:
    """Say which window is gone."""
    window = _window(answer.body)
    was = f" It might {_hours(window)}." if window.weekdays else ""
    return window.model_copy(
        update={
            "summary": f"The service no longer upgrades the cluster by itself.{was}",
            "next": [call(answer, "list_upgrade_plans", "Shows whether an upgrade is still planned")],
        }
    )


@summarises("upgrade_plans", section="items")
def upgrade_plans(answer: Observation) -> PlanList:
    """List planned upgrades, the next one first; a lone plan in the place of the list counts as a list of one."""
    every = [_planned(each, answer.now) for each in sorted(items(answer.body, "/items"), key=_start)]
    page = paged(answer, every, LISTED, lambda plan: plan.upgrade_plan_id)
    due, ahead = ([plan for plan in every if plan.standing == standing] for standing in ("due", "ahead"))
    checks = [
        call(answer, "assess_upgrade", "Says whether the planned upgrade can succeed", target_version=plan.to_version)
        for plan in [each for each in (*due, *ahead) if each.to_version][:1]
    ]
    if due:
        checks.append(call(answer, "list_upgrade_tasks", "Shows whether it has started"))
    return PlanList(
        summary=_said(every, due, ahead),
        plans=page.items,
        shown=page.shown,
        total=page.total,
        warnings=[*_sayings(answer), *page.warnings],
        next=[*(checks if CURSOR not in answer.own else []), *page.next],
    )


def _sayings(answer: Observation) -> Iterator[str]:
    """Yield what the service says of the plans that are not over."""
    for each in items(answer.body, "/items"):
        if CURSOR not in answer.own and plan_state(each, answer.now) != "over":
            says = because(said(get(each, "/status")))
            yield from [f"Of the plan {_way(_planned(each, answer.now))}:{says}"] if says else []


@summarises("upgrade_plan")
def upgrade_plan(answer: Observation) -> Plan:
    """Say when a planned upgrade starts now."""
    plan = _planned(answer.body, answer.now)
    return Plan(
        summary=f"The upgrade {_way(plan)} starts {_when(plan)}.",
        plan=plan,
        next=[call(answer, "list_upgrade_plans", "Shows all planned upgrades")],
    )


def _window(body: Any) -> MaintenanceWindow:
    hours = number(get(body, "/duration_hours"))
    days = ",".join(strings(body, "/weekly_period")).split(",")
    return MaintenanceWindow(
        summary="",
        weekdays=reported([day.strip() for day in days if day.strip()], body, "/weekly_period"),
        start_time=text(get(body, "/start_time")),
        duration_hours=int(hours) if hours is not None else None,
        upgrade_scope=text(get(body, "/upgrade_scope")) or None,
    )


def _hours(window: MaintenanceWindow) -> str:
    days = " and ".join(word(day) for day in window.weekdays or ()) or "days that the service does not name"
    start = f" from {word(window.start_time)} UTC" if window.start_time else ""
    return f"on {days}{start}" + (f" for {window.duration_hours} h" if window.duration_hours is not None else "")


def _start(body: Any) -> datetime:
    return moment(get(body, "/spec/notBefore")) or FAR


def _planned(body: Any, at: datetime) -> Planned:
    return Planned(
        upgrade_plan_id=text(get(body, "/metadata/uid")),
        from_version=text(get(body, "/spec/clusterVersion")),
        to_version=text(get(body, "/spec/targetVersion")),
        status=text(get(body, "/status/phase")),
        standing=plan_state(body, at),
        not_before=stamp(get(body, "/spec/notBefore")),
        not_after=stamp(get(body, "/spec/notAfter")),
        deadline=stamp(get(body, "/spec/notBeforeDeadline")),
    )


def _said(every: list[Planned], due: list[Planned], ahead: list[Planned]) -> str:
    if not every:
        return "No upgrade is planned."
    said = [] if due or ahead else ["No upgrade is ahead."]
    if due:
        latest = f", at the latest {word(due[0].not_after)}" if due[0].not_after else ""
        said.append(f"{len(due)} due: {_way(due[0])} may start any minute or has started{latest}.")
    if ahead:
        said.append(f"{len(ahead)} planned: {_way(ahead[0])}, {_when(ahead[0])}.")
    if over := len(every) - len(due) - len(ahead):
        said.append(f"{plural(over, 'plan')} {'is' if over == 1 else 'are'} over.")
    return " ".join(said)


def _way(plan: Planned) -> str:
    return way(plan.from_version, plan.to_version)


def _when(plan: Planned) -> str:
    latest = f", at the latest {word(plan.not_after)}" if plan.not_after else ""
    return f"{word(plan.not_before) if plan.not_before else 'at an unknown time'} or later{latest}"
