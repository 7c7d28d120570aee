"""Drives the upgrades of one simulated cluster in tests, as a client would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from simulation import Caller

from ap_mcp.simulator.world import World

CHECK_SECONDS, BACKUP_SECONDS, UPGRADE_SECONDS = 40, 30, 120


@dataclass(frozen=True)
class Upgrader:
    """One cluster of a simulator, and everything that can be done about its upgrade."""

    caller: Caller
    cluster_id: str

    @property
    def world(self) -> World:
        world: World = self.caller.app.state.world
        return world

    @property
    def row(self) -> dict[str, Any]:
        return self.world.table("clusters")[self.cluster_id]

    async def send(self, method: str, path: str, body: Any = None, *, version: str = "v3") -> httpx.Response:
        base = f"{self.caller.project}/clusters/{self.cluster_id}".replace("/v3/", f"/{version}/")
        return await self.caller.send(method, f"{base}/{path}", body)

    async def read(self, path: str, *, version: str = "v3") -> Any:
        answer = await self.send("GET", path, version=version)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def start_check(
        self, target: str = "v1.31", *, skip: Sequence[Any] | None = None, **spec: Any
    ) -> httpx.Response:
        wanted = {"clusterID": self.cluster_id, "clusterVersion": self.row["_version"], "targetVersion": target}
        skipped = {} if skip is None else {"skippedCheckItemList": list(skip)}
        body = {"kind": "PreCheckTask", "apiVersion": "v3", "spec": {**wanted, **skipped, **spec}}
        return await self.send("POST", "operation/precheck", body)

    async def check(self, target: str = "v1.31", *, skip: Sequence[Any] | None = None) -> Any:
        answer = await self.start_check(target, skip=skip)
        assert answer.status_code == 200, answer.text
        self.world.advance(CHECK_SECONDS)
        return await self.read(f"operation/precheck/tasks/{answer.json()['metadata']['uid']}")

    async def start_upgrade(self, target: str = "v1.31", **action: Any) -> httpx.Response:
        strategy = {"type": "inPlaceRollingUpdate", "inPlaceRollingUpdate": {"userDefinedStep": 20}}
        body = {
            "metadata": {"apiVersion": "v3", "kind": "UpgradeTask"},
            "spec": {"clusterUpgradeAction": {"strategy": strategy, "targetVersion": target, **action}},
        }
        return await self.send("POST", "operation/upgrade", body)

    async def task(self, started: httpx.Response) -> Any:
        return await self.read(f"operation/upgrade/tasks/{started.json()['metadata']['uid']}")

    async def retry(self) -> httpx.Response:
        return await self.send("POST", "operation/upgrade/retry")

    async def backup(self) -> httpx.Response:
        return await self.send("POST", "operation/snapshot", version="v3.1")

    async def backups(self) -> Any:
        return await self.read("operation/snapshot/tasks", version="v3.1")

    async def post_check(self, **spec: Any) -> Any:
        body = {"kind": "PostCheckTask", "apiVersion": "v3", "spec": {"clusterID": self.cluster_id, **spec}}
        answer = await self.send("POST", "operation/postcheck", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def open_workflow(self, target: str = "v1.31", **spec: Any) -> httpx.Response:
        wanted = {"clusterID": self.cluster_id, "targetVersion": target, **spec}
        body = {"kind": "WorkFlowTask", "apiVersion": "v3", "spec": wanted}
        return await self.send("POST", "operation/upgradeworkflows", body)

    async def workflow(self, opened: httpx.Response) -> Any:
        return await self.read(f"operation/upgradeworkflows/{opened.json()['metadata']['uid']}")

    async def cancel(self, opened: httpx.Response) -> httpx.Response:
        path = f"operation/upgradeworkflows/{opened.json()['metadata']['uid']}"
        return await self.send("PATCH", path, {"status": {"phase": "Cancel"}})


def failed_items(check: Any) -> list[tuple[str, str]]:
    """List the failed items of a check with the node they failed on."""
    status = check["status"]
    found = [
        (item["name"], "")
        for group in ("clusterCheckStatus", "addonCheckStatus")
        for item in status[group].get("itemsStatus", [])
        if item["phase"] == "Failed"
    ]
    stages = status["nodeCheckStatus"].get("nodeStageStatus", [])
    return found + [
        (item["name"], stage["nodeInfo"]["name"])
        for stage in stages
        for item in stage["itemsStatus"]
        if item["phase"] == "Failed"
    ]


def stages(workflow: Any) -> dict[str, str | None]:
    """Return the status of each stage of a workflow."""
    return {point["taskType"]: point.get("status") for point in workflow["status"]["pointStatuses"]}


def refused(answer: httpx.Response, status: int, code: str, *said: str) -> None:
    """Check that the service said no, and why."""
    assert answer.status_code == status, answer.text
    assert answer.json()["errorCode"] == code
    assert all(part in answer.json()["message"] for part in said), answer.text
