"""Assesses upgrades in tests on the simulator's own answers, without a request; the guard judges by the same."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from large import ask
from simulation import fresh_world

from ap_mcp.assessment.model import Assessment
from ap_mcp.assessment.reads import assess
from ap_mcp.errors import ApMcpError, CloudUnreachable, PermissionDenied, ServiceError
from ap_mcp.guard.impacts import build_impact
from ap_mcp.guard.impacts.base import Case, Impact
from ap_mcp.rendering import render
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.backups import past_backup
from ap_mcp.simulator.constants import CHECKOUT_STAGING
from ap_mcp.simulator.prechecks import past_check
from ap_mcp.simulator.upgrade_state import UPGRADES, new_task
from ap_mcp.simulator.world import Row, World
from ap_mcp.specs import load_catalog

NOW, TARGET, NEXT_MINOR = "v1.29.8-r0", "v1.31.6-r0", "v1.30.10-r0"
Bend = Callable[[Any], Any]


@dataclass
class Scene:
    """A cluster of a simulated account before an upgrade.

    Attributes:
        bent: by operation, what makes of its answer the one that arrives.
        failing: by operation, why it fails.
        asked: operations that were read, in order.
        rules: by tool, the rule that forbids it.
    """

    world: World = field(default_factory=fresh_world)
    cluster_id: str = CHECKOUT_STAGING
    bent: dict[str, Bend] = field(default_factory=dict)
    failing: dict[str, ApMcpError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)

    @property
    def row(self) -> Row:
        return self.world.table("clusters")[self.cluster_id]

    async def read(self, tool: str, **given: Any) -> Any:
        """Answer as the simulator would, through JSON as it would come."""
        self.asked.append(tool)
        if tool in self.failing:
            raise self.failing[tool]
        query = {**given, "addon_template_name": given.get("template_name", "")}
        body = json.loads(json.dumps(ask(self.world, tool, given, query=query)))
        return self.bent.get(tool, lambda same: same)(body)

    async def assess(self, target: str | None = None, absent: frozenset[str] = frozenset()) -> Assessment:
        """Assess the upgrade; both forms of the answer can be made."""
        wanted = {"cluster_id": self.cluster_id, **({"target_version": target} if target is not None else {})}

        async def forbidden(tool: str, _given: Mapping[str, Any]) -> str:
            return self.rules.get(tool, "")

        found = await assess(wanted, self.read, self.world.now, forbidden=forbidden, absent=absent)
        assert render(found).startswith(found.summary)
        assert found.verdict in ("go", "not_yet", "up_to_date")
        assert (found.verdict == "not_yet") == bool(found.blockers)
        return found

    async def refusal(self, target: str, **more: Any) -> str:
        """Why the guard refuses the upgrade without asking a person; empty if it would ask."""
        try:
            await self.impact(target, **more)
        except ApMcpError as error:
            return error.render() or "refused"
        return ""

    async def impact(self, target: str, **more: Any) -> Impact:
        """What the guard would ask a person about the upgrade."""
        arguments = {"cluster_id": self.cluster_id, "target_version": target, **more}
        return await build_impact(
            Case(load_catalog()["upgrade_cluster"], arguments, "destroy", self.read, self.world.now)
        )

    def check(self, target: str = TARGET, ago: float = 10, **status: Any) -> Row:
        """Put a pre-upgrade check into the past that ended some minutes ago; its row."""
        check = past_check(self.world, self.row, target, self.world.now() - timedelta(minutes=ago))
        check["status"] |= status
        return check

    def back_up(self, hours: float = 1, **status: Any) -> None:
        """Put a backup into the past."""
        past_backup(self.world, self.cluster_id, self.world.timestamp(self.world.now() - timedelta(hours=hours)))
        row = list(self.world.table("backups").values())[-1]
        row["status"] |= status

    def upgrade(self, phase: str, target: str = NEXT_MINOR) -> str:
        """Put an upgrade into the list of tasks; its id."""
        spec = {"version": NOW, "targetVersion": target}
        status = {"phase": phase, "progress": "45.00"}
        task = new_task(self.world, UPGRADES, "UpgradeTask", self.cluster_id, spec=spec, status=status)
        return str(task["metadata"]["uid"])

    def addon(self, name: str = "coredns") -> Row:
        """An add-on of the cluster."""
        rows = addons_of(self.world, self.cluster_id)
        return next(row for row in rows if row["spec"]["addonTemplateName"] == name)

    def bend(self, operation: str, pointer: str, value: Any) -> None:
        """Let something else stand in an answer; a value that is a function is given what was there."""
        *way, last = pointer.split("/")[1:]

        def change(body: Any) -> Any:
            node = body
            for step in way:
                node = node[int(step)] if isinstance(node, list) else node[step]
            key: Any = int(last) if isinstance(node, list) else last
            node[key] = value(node.get(key)) if callable(value) else value
            return body

        before = self.bent.get(operation, lambda same: same)
        self.bent[operation] = lambda body: change(before(body))


def failure(status: int, code: str = "CCE.01403001") -> ApMcpError:
    """Make the error of a read; a status of 0 is no answer at all."""
    if not status:
        return CloudUnreachable("http://127.0.0.1:1", "timed out", may_have_arrived=False)
    kind = PermissionDenied if status == 403 else ServiceError
    return kind(status=status, operation="a read", code=code, texts=["no"])


def tools(found: Assessment) -> list[str]:
    """The tools of the next calls, in order."""
    return [each.tool for each in found.next]


def step(found: Assessment, tool: str) -> dict[str, Any]:
    """The arguments of the only call of a tool among the next ones, without the cluster."""
    [call] = [each for each in found.next if each.tool == tool]
    return {name: value for name, value in call.arguments.items() if name != "cluster_id"}
