"""Each operation's answer as the cloud sends it against what an agent gets, on accounts made by the simulator."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from agent import autopilot_on
from large import CHARTS, CLUSTERS, FINDINGS, NODES, RELEASE, RELEASES, TARGET, TASKS, deep_job, large_world
from measures import Section, Size, dense, share
from simulation import simulate

from ap_mcp.rendering import render
from ap_mcp.server import Autopilot
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    EIP_ID,
    HOST_SUBNET_ID,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.world import World
from ap_mcp.summaries import Result

WHILE = 300
"""Seconds in which everything the simulator has begun is done."""
SMALL = 1000
"""Bytes up to which an answer is not worth cutting: there, a sentence of ours may be longer than the answer."""
PROMISED = {
    "get_precheck": f"{NODES} nodes, more than {FINDINGS} items",
    "list_clusters": f"{CLUSTERS} clusters",
    "list_addon_templates": "the whole catalogue",
    "get_job": "three levels",
    "list_releases": f"{RELEASES} releases with big values",
}
"""The large inputs whose summaries may take a tenth of the raw bytes."""
LARGE = {
    **PROMISED,
    "list_prechecks": f"more than {TASKS} checks",
    "list_backups": f"more than {TASKS} backups",
    "list_upgrade_workflows": f"{TASKS} workflows",
    "list_charts": f"{CHARTS} charts",
    "assess_upgrade": f"after more than {TASKS} checks",
}
TENTH = 0.10
CHECK_BYTES = 3000
LINK = "autopilot://responses/q3Xn0b7TzF2mK9sVhLw4Yd1c"
FOLDER = "/home/operator/ap-mcp"
FILES = {"download_chart", "get_cluster_certificate"}
INSIDE = "k8s_"
"""How the tools for what is inside a cluster are called, each of which makes several reads."""
COMPOSED = {"assess_upgrade"}
"""Tools made of several reads, whose answers are counted together, and not once more in the sum."""


class Recorder(httpx.AsyncBaseTransport):
    """Leads into a simulator and keeps what it answered to the last call."""

    def __init__(self, app: Simulator) -> None:
        self.world = app.state.world
        self.sent: list[bytes] = []
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        self.sent.append(await response.aread())
        return httpx.Response(response.status_code, headers=response.headers, content=self.sent[-1])

    def of(self, tool: str) -> bytes:
        """Return what a tool was answered: the last answer, or all if it is made of several."""
        is_several = tool in COMPOSED or tool.startswith(INSIDE)
        return b"[" + b",".join(self.sent) + b"]" if is_several else self.sent[-1]


@dataclass(frozen=True)
class Measured:
    """What the cloud sent to one call, and both forms of the result."""

    sent: bytes
    text: str
    structured: str


class Session:
    """Calls tools and keeps the largest answer of each, before and after."""

    def __init__(self, autopilot: Autopilot, recorder: Recorder, folder: Path) -> None:
        self.world = recorder.world
        self.measured: dict[str, Measured] = {}
        self._autopilot = autopilot
        self._recorder = recorder
        self._folder = folder

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        self._recorder.sent.clear()
        result = await self._autopilot.call(tool, arguments)
        if not isinstance(result, Result):
            raise TypeError(f"{tool} asks a person, and a benchmark has none")
        sent = self._recorder.of(tool)
        if tool not in self.measured or len(sent) >= len(self.measured[tool].sent):
            self.measured[tool] = self._measured(result, sent)
        return result.structured()

    def _measured(self, result: Result, sent: bytes) -> Measured:
        """Note both forms of an answer, with a link and a folder that are the same in every run."""
        result = result.model_copy(update={"raw": LINK}) if result.raw else result
        forms = (form.replace(str(self._folder), FOLDER) for form in (render(result), dense(result.structured())))
        return Measured(sent, *forms)


@asynccontextmanager
async def session(world: World, folder: Path) -> AsyncIterator[Session]:
    app = simulate(world)
    recorder = Recorder(app)
    kept = {"audit_log": folder / "audit.jsonl", "approvals_db": folder / "approvals.db", "approver_dir": folder}
    places = {"files_dir": folder / "files", "chart_roots": (folder,), **kept}
    async with autopilot_on(app, transport=recorder, **places) as autopilot:
        yield Session(autopilot, recorder, folder)


async def every_answer(folder: Path) -> dict[str, Measured]:
    """Call each operation, on accounts where there is much to report."""
    async with session(large_world(), folder) as call:
        await _read(call)
    async with session(seeded_world(), folder) as change:
        await _change_clusters(change)
        await _upgrade(change)
        await _change_addons(change)
        await _change_charts(change, folder)
    return {**change.measured, **call.measured}


async def _read(call: Session) -> None:
    """Read what is large of the large account."""
    shop = {"cluster_id": SHOP_PROD}
    await call("list_clusters", with_addons=True)
    await call("get_cluster", **shop, with_addons=True)
    await call("get_cluster_endpoints", **shop)
    await call("get_job", job_id=deep_job(call.world))
    await call("get_quotas")
    await call("list_addon_templates")
    addons = await call("list_addons", **shop)
    await call("get_addon", **shop, addon_id=addons["addons"][0]["id"])
    await call("list_upgrade_paths")
    await call("get_upgrade_feature_gates")
    await call("get_upgrade_info", **shop)
    started = await call("run_precheck", **shop, target_version=TARGET)
    call.world.advance(WHILE)
    await call("get_precheck", **shop, task_id=started["task_id"])
    await call("list_prechecks", **shop)
    await call("assess_upgrade", **shop, target_version=TARGET)
    await call("list_backups", **shop)
    await call("list_upgrade_workflows", cluster_id=CHECKOUT_STAGING)
    charts = await call("list_charts")
    await call("get_chart_quota")
    await call("get_chart", chart_id=charts["charts"][-1]["id"])
    await call("get_chart_values", chart_id=charts["charts"][-1]["id"])
    await call("download_chart", chart_id=charts["charts"][-1]["id"])
    await call("list_releases", cluster_id=SEARCH_DEV)
    await call("get_release", **RELEASE)
    await call("get_release_history", **RELEASE)


async def _change_clusters(call: Session) -> None:
    network = {"vpc_id": VPC_ID, "subnet_id": HOST_SUBNET_ID, "eni_subnet_ids": list(SUBNET_IDS)}
    tags = {"env": "test", "team": "platform", "cost-centre": "cc-1000"}
    made = await call("create_cluster", name="fresh-one", version="v1.30", tags=tags, **network)
    call.world.advance(WHILE)
    this = {"cluster_id": made["cluster_id"]}
    await call("update_cluster", **this, alias="fresh", description="For trying out")
    await call("add_cluster_tags", **this, tags={"owner": "somebody", "until": "2025-12"})
    await call("delete_cluster_tags", **this, keys=["owner"])
    await call("get_cluster_certificate", **this, duration_days=1)
    await call("set_cluster_public_access", **this, action="bind", eip_id=EIP_ID)
    await call("set_cluster_public_access", **this, action="unbind")
    await call("delete_cluster", **this)


async def _upgrade(call: Session) -> None:
    """Take a cluster through an upgrade that fails, is retried and succeeds."""
    this = {"cluster_id": PAYMENTS_PROD}
    workflow = await call("create_upgrade_workflow", **this, target_version="v1.31")
    await call("cancel_upgrade_workflow", **this, upgrade_workflow_id=workflow["upgrade_workflow_id"])
    workflow = await call("create_upgrade_workflow", **this, target_version="v1.31")
    await call("run_precheck", **this, target_version="v1.31")
    await call("backup_cluster", **this)
    call.world.advance(WHILE)
    started = await call("upgrade_cluster", **this, target_version="v1.31")
    call.world.advance(WHILE)
    await call("get_upgrade_task", **this, task_id=started["task_id"])
    await call("retry_upgrade", **this)
    call.world.advance(WHILE)
    await call("list_upgrade_tasks", **this)
    await call("run_postcheck", **this)
    await call("get_upgrade_workflow", **this, upgrade_workflow_id=workflow["upgrade_workflow_id"])


async def _change_addons(call: Session) -> None:
    await call("install_addon", cluster_id=TEAM_SANDBOX, template_name="log-agent")
    row = next(each for each in addons_of(call.world, SEARCH_DEV) if each["metadata"]["name"] == "log-agent")
    which = {"cluster_id": SEARCH_DEV, "addon_id": row["metadata"]["uid"]}
    await call("update_addon", **which, target_version="1.7.1")
    call.world.advance(WHILE)
    await call("rollback_addon", **which)
    call.world.advance(WHILE)
    await call("delete_addon", **which)


async def _change_charts(call: Session, folder: Path) -> None:
    for version in ("1.0.0", "1.1.0"):
        files = {
            "Chart.yaml": f"apiVersion: v2\nname: guestbook\nversion: {version}\ndescription: A page to sign\n",
            "values.yaml": "".join(f"setting{each}: {{enabled: true, limit: {each}}}\n" for each in range(40)),
            "templates/service.yaml": "kind: Service\n",
        }
        (folder / f"guestbook-{version}.tgz").write_bytes(build_chart("guestbook", files))
    stored = await call("upload_chart", chart_path=str(folder / "guestbook-1.0.0.tgz"))
    await call("update_chart", chart_id=stored["id"], chart_path=str(folder / "guestbook-1.1.0.tgz"))
    await call("delete_chart", chart_id=stored["id"])
    which = {"cluster_id": SEARCH_DEV, "namespace": "cache", "name": "sessions"}
    await call("create_release", **which, chart_id=REDIS, version="18.6.1", values={"replicas": 2})
    call.world.advance(WHILE)
    await call("update_release", **which, action="upgrade", chart_id=REDIS, values={"replicas": 3})
    call.world.advance(WHILE)
    await call("delete_release", **which)


def section(measured: dict[str, Measured]) -> Section:
    """Compare what the cloud sent with both forms of what an agent gets."""
    rows, broken = [], []
    whole = [Size(0, 0)] * 3
    for tool, each in sorted(measured.items(), key=lambda pair: -len(pair[1].sent)):
        raw, text, structured = _size_of(each.sent), Size.of(each.text), Size.of(each.structured)
        largest = max(text.bytes, structured.bytes)
        name = f"{tool} ({LARGE[tool]})" if tool in LARGE else tool
        part = share(largest, raw.bytes) if raw.bytes > SMALL else "small"
        rows.append([name, *raw.cells, *text.cells, *structured.cells, part])
        if tool not in FILES | COMPOSED:
            whole = [before + size for before, size in zip(whole, (raw, text, structured), strict=True)]
        if tool in PROMISED and largest > TENTH * raw.bytes:
            broken.append(f"{tool}: the summary takes {part} of the raw answer")
        if tool == "get_precheck" and largest > CHECK_BYTES:
            broken.append(f"{tool}: the summary takes {largest:,} bytes")
    raw, *forms = whole
    part = share(max(form.bytes for form in forms), raw.bytes)
    rows.append(["all operations but two files", *(cell for size in whole for cell in size.cells), part])
    about = (
        "Raw is what the cloud sent, without white space; an agent gets the text or the structured form, and the share "
        f"is that of the larger one. Answers of up to {SMALL:,} bytes are not worth cutting. "
        "A chart and a kubeconfig go to files."
    )
    header = ["operation", "raw bytes", "tokens", "text bytes", "tokens", "structured bytes", "tokens", "share"]
    return Section("Answers: raw against summary", about, header, rows, broken)


def _size_of(sent: bytes) -> Size:
    """Measure what the cloud sent; a file that is no text has no tokens."""
    try:
        text = sent.decode()
    except UnicodeDecodeError:
        return Size(len(sent), 0)
    try:
        return Size.of(dense(json.loads(text)))
    except ValueError:
        return Size.of(text)
