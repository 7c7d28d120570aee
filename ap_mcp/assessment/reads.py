"""Reads all that a person would read before an upgrade; `assessment.verdict` weighs it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from ap_mcp.assessment import TARGET
from ap_mcp.assessment.addons import LIST as ADDONS
from ap_mcp.assessment.addons import TEMPLATES, needs_template
from ap_mcp.assessment.model import Assessment, UpgradeReads
from ap_mcp.assessment.verdict import CHANGES, assessment, unlisted
from ap_mcp.errors import ApMcpError
from ap_mcp.masking import mask
from ap_mcp.parallel_reads import Reader, read_together, why_unread
from ap_mcp.rules.addons import template_name_of
from ap_mcp.rules.answers import NOT_UNDERSTOOD, is_foreign
from ap_mcp.rules.versions import offered_to, order, resolve_target, runs_now, upgrade_path
from ap_mcp.specs import CLUSTER, load_catalog
from ap_mcp.vendor import items, word

FIRST = "get_cluster"
"""Read before the others: without the cluster nothing can be said, and rules may depend on its name and tags."""
READS = (
    *("get_upgrade_info", "list_upgrade_paths", "get_upgrade_feature_gates", "list_prechecks"),
    *("list_backups", "list_addons", "list_upgrade_tasks", "list_upgrade_workflows"),
)
OF_NO_CLUSTER = frozenset({"list_upgrade_paths", "get_upgrade_feature_gates"})

Forbidden: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""`await forbidden("run_precheck", {…})`: which rule refuses a call even if a person agrees; empty if none."""


async def assess(
    arguments: Mapping[str, Any],
    read: Reader,
    now: Callable[[], datetime],
    *,
    forbidden: Forbidden,
    absent: frozenset[str] = frozenset(),
    needs: str = "",
) -> Assessment:
    """Read, and say whether the upgrade can go ahead.

    Args:
        arguments: `cluster_id`, and `target_version` if one is asked for.
        read: reads from the cloud, if the policy allows that.
        now: the service's time, asked after the reads.
        forbidden: says whether a rule of the operator forbids a call.
        absent: tools that are not offered.
        needs: what the account must have for an upgrade and nobody can read.

    Raises:
        ApMcpError: the cluster itself cannot be read.
    """
    cluster_id, wanted = arguments[CLUSTER], arguments.get(TARGET, "").strip() or None
    cluster = mask(await read(FIRST, cluster_id=cluster_id))
    requests = {each: (each, {} if each in OF_NO_CLUSTER else {CLUSTER: cluster_id}) for each in READS}
    found, failed = await read_together(read, requests)
    answers = {FIRST: cluster, **{name: mask(each) for name, each in found.items()}}
    troubles = {name: why_unread(failed[name]) for name in READS if name in failed}
    troubles |= dict.fromkeys(unlisted(answers), "the answer is no list")
    for name in [each for each in READS if is_foreign(load_catalog()[each], answers.get(each))]:
        troubles[name] = NOT_UNDERSTOOD
        del answers[name]
    info = answers.get("get_upgrade_info")
    running, offered = runs_now(info), offered_to(info)
    path = _path(answers, running, offered, wanted)
    templates, unread = await _templates(read, answers, path)
    troubles |= {f"{TEMPLATES} of {word(name)}": why_unread(error) for name, error in sorted(unread.items())}
    closed = {tool: await forbidden(tool, {CLUSTER: cluster_id}) for tool in CHANGES if tool not in absent}
    return assessment(
        UpgradeReads(
            cluster_id=cluster_id,
            wanted=wanted,
            now=running,
            offered=offered,
            upgrade_path=path,
            answers=answers,
            errors=troubles,
            templates=templates,
            at=now(),
            absent=absent,
            closed={tool: why for tool, why in closed.items() if why},
            needs=needs,
        )
    )


def _path(answers: Mapping[str, Any], running: str, offered: list[str], wanted: str | None) -> list[str]:
    """Return the versions to go through, the first of which is offered; empty if there is nothing to go to."""
    if not running or not offered:
        return []
    if wanted is None:
        return [max(offered, key=order)]
    if target := resolve_target(wanted, offered):
        return [target]
    return [] if _is_behind(wanted, running) else upgrade_path(answers.get("list_upgrade_paths"), offered, wanted)


def _is_behind(wanted: str, running: str) -> bool:
    """Say whether a version is no newer than the one that runs, to whatever part of it is given."""
    parts = order(wanted)
    return parts <= order(running)[: len(parts)]


async def _templates(
    read: Reader, answers: Mapping[str, Any], path: list[str]
) -> tuple[dict[str, Any], dict[str, ApMcpError]]:
    """Read the templates of the add-ons that may not run on the version to go to."""
    rows = items(answers.get(ADDONS), "/items") if path else []
    names = sorted({template_name_of(each) for each in rows if needs_template(each, path[0])} - {""})
    found, unread = await read_together(read, {name: (TEMPLATES, {"template_name": name}) for name in names})
    return {name: mask(each) for name, each in found.items()}, unread
