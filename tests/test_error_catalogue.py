"""Every status and code that the cloud is known to answer with says to an agent what it means and what to do now."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import stamina
from agent import Agent, connected
from canaries import harmless_calls
from consenting import Prepared, prepare
from guarded import account
from simulation import simulate

from ap_mcp import reads
from ap_mcp.cloud.responses import load_error_catalogue, service_error
from ap_mcp.errors import READ_FIRST
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.cluster_rows import QUOTA
from ap_mcp.simulator.constants import CHECKOUT_STAGING, HOST_SUBNET_ID, PAYMENTS_PROD, SHOP_PROD, SUBNET_IDS, VPC_ID
from ap_mcp.specs import Catalog
from ap_mcp.wait import WAIT_FOR

pytestmark = pytest.mark.anyio

CODES = load_error_catalogue().codes
CLUSTER = {"name": "one-too-many", "vpc_id": VPC_ID, "subnet_id": HOST_SUBNET_ID, "eni_subnet_ids": [SUBNET_IDS[0]]}
BY_SERVICE: dict[str, tuple[str, dict[str, Any]]] = {
    "CCE.01": ("create_cluster", CLUSTER),
    "CCE.02": ("list_charts", {}),
    "CCE.03": ("list_addons", {"cluster_id": SHOP_PROD}),
    "APIGW.": ("list_clusters", {}),
}
"""A call that can be answered with the codes that begin like this."""
AGAIN = "The same call again would get the same answer"
GIVEN_UP = (408, 500, 502, 503, 504)
"""What may be answered to a request that is carried out all the same."""
FIGURES = f"get_quotas now: 7 of {QUOTA} clusters used, {QUOTA - 7} left."


@dataclass
class Answering(httpx.AsyncBaseTransport):
    """Leads into a simulator, but answers one operation with an error instead of carrying it out."""

    app: Simulator
    only: str = ""
    status: int = 400
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.app.state.faults.clear()
        if self.only:
            self.app.state.faults.inject("status", self.only, times=None, value=500)
        response = await httpx.ASGITransport(self.app).handle_async_request(request)
        if self.app.state.log[-1].operation != self.only:
            return response
        return httpx.Response(self.status, json=dict(self.body), headers=dict(self.headers))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def one_attempt() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


def named_tools(said: str, catalog: Catalog) -> set[str]:
    return set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", said)) & set(catalog)


def check(said: str, status: int, permission: str | None, catalog: Catalog) -> None:
    """What an agent must read about a status, whatever it called."""
    if status == 403 and not permission:
        assert "Needed is" not in said, "no page of the vendor names the IAM action, or none is needed"
    elif status == 403:
        assert f"Needed is the IAM action {permission}: an administrator can grant it." in said
    elif status == 404:
        listing = {tool for tool in named_tools(said, catalog) if tool.startswith("list_")}
        assert listing or "get_cluster shows where the cluster stands now" in said
    elif status == 409:
        assert f"{AGAIN} until that has changed." in said
    elif status == 429:
        assert "Worth another try in a minute." in said
    elif status == 400:
        assert AGAIN in said or "another try" in said


async def test_every_code_is_explained(tmp_path: Path, catalog: Catalog, prepared: Prepared) -> None:
    answering = Answering(account(prepared.state))
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        for code, entry in CODES.items():
            tool, arguments = BY_SERVICE[code[:6]]
            answering.only, answering.status = tool, code_status(code)
            answering.body = (
                {"errorCode": code, "errorMessage": "No."} if code.startswith("CCE") else {"error_code": code}
            )
            said = await agent.fail(tool, **arguments)
            unclear = answering.status in GIVEN_UP and catalog[tool].effect != "read"
            ended = "may have been carried out" if unclear else "failed"
            assert said.startswith(f"{tool} {ended}: HTTP {answering.status}, {code}\n")
            assert f"{entry.meaning} {entry.hint}" in said
            check(said, answering.status, catalog[tool].iam_action, catalog)
            assert (FIGURES in said) == (entry.kind == "quota")


def code_status(code: str) -> int:
    documents = json.loads((Path(__file__).parents[1] / "tool_specs" / "errors.json").read_text(encoding="utf-8"))
    return int(documents["codes"][code]["status"])


@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500])
async def test_every_operation_explains_itself_when_it_fails(
    tmp_path: Path, catalog: Catalog, prepared: Prepared, status: int
) -> None:
    calls = harmless_calls(prepared.state, tmp_path) | dict(prepared.calls)
    answering = Answering(account(prepared.state), status=status)
    charts = (tmp_path, prepared.folder)
    async with connected(tmp_path, app=answering.app, transport=answering, chart_roots=charts) as agent:
        for tool, arguments in calls.items():
            if tool in catalog:
                answering.only = tool
                said = await agent.fail(tool, **arguments)
                changes = catalog[tool].effect != "read"
                ended = "may have been carried out" if status == 500 and changes else "failed"
                assert said.startswith(f"{tool} {ended}: HTTP {status}")
                check(said, status, catalog[tool].iam_action, catalog)
                if status == 500:
                    assert ("Worth another try later." in said) != changes
                    assert (READ_FIRST in said) == changes


async def test_a_read_that_a_guarded_call_needs_names_its_own_action(tmp_path: Path, prepared: Prepared) -> None:
    answering = Answering(account(prepared.state), "get_cluster", 403)
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        said = await agent.fail("delete_cluster", **prepared.calls["delete_cluster"])
        assert "get_cluster failed: HTTP 403" in said
        assert "cce:cluster:get" in said
        assert agent.changed == []


def test_every_status_says_what_to_do() -> None:
    for status, entry in load_error_catalogue().statuses.items():
        error = service_error(status, {}, b"", "get_cluster", permission="cce:cluster:get")
        assert f"{entry.meaning} {entry.hint}" in error.render()


async def test_the_seconds_that_the_service_names_are_shown(tmp_path: Path, prepared: Prepared) -> None:
    answering = Answering(account(prepared.state), "list_charts", 429, headers={"Retry-After": "40"})
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        assert "Worth another try in 40 s." in await agent.fail("list_charts")


# Quotas


async def test_a_used_up_quota_is_shown_with_its_figures(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        row = agent.world.table("clusters")[SHOP_PROD]
        agent.world.table("clusters").update({f"{number}": {**row} for number in range(QUOTA - 7)})
        said = await agent.fail("create_cluster", **CLUSTER)
        assert "CCE.01400007" in said
        assert f"get_quotas now: {QUOTA} of {QUOTA} clusters used, 0 left." in said
        assert agent.sent == ["create_cluster", "get_quotas"]


@pytest.mark.parametrize("trouble", ["status", "cut", "throttle", "html", "cut_json"])
async def test_quotas_that_cannot_be_read_are_left_out(tmp_path: Path, trouble: Any) -> None:
    async with connected(tmp_path) as agent:
        await used_up(agent)
        agent.app.state.faults.inject(trouble, "get_quotas", times=None)
        said = await agent.fail("create_cluster", **CLUSTER)
        assert "CCE.01400007" in said
        assert "get_quotas now" not in said


async def test_quotas_that_take_long_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "QUOTA_SECONDS", 0.05)
    async with connected(tmp_path) as agent:
        await used_up(agent)
        agent.app.state.faults.inject("delay", "get_quotas", value=15)
        with anyio.fail_after(5):
            assert "get_quotas now" not in await agent.fail("create_cluster", **CLUSTER)


async def test_an_error_about_a_quota_when_the_quotas_are_read_reads_nothing_more(tmp_path: Path) -> None:
    answering = Answering(simulate(), "get_quotas", 400, {"errorCode": "CCE.01400007", "errorMessage": "No."})
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        assert "CCE.01400007" in await agent.fail("get_quotas")
        assert agent.sent == ["get_quotas"]


async def used_up(agent: Agent) -> None:
    row = agent.world.table("clusters")[SHOP_PROD]
    agent.world.table("clusters").update({f"{number}": {**row} for number in range(QUOTA)})


# Reasons


async def test_a_reason_in_words_counts_for_more_than_the_code(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        agent.world.table("clusters")[CHECKOUT_STAGING]["status"]["phase"] = "ScalingUp"
        arguments = {"cluster_id": CHECKOUT_STAGING, "template_name": "log-agent"}
        said = await agent.fail("install_addon", **arguments)
        assert (
            'The service says: "the cluster is ScalingUp, add-ons need one that is Available"; "Invalid request."'
            in said
        )
        assert "Go by that reason" in said
        assert "body" not in said.replace("Invalid request", "")


@pytest.mark.parametrize("reason", ["", "BadRequest"])
def test_without_a_reason_in_words_the_code_is_explained(reason: str) -> None:
    body = json.dumps({"errorCode": "CCE.01400001", "errorMessage": "No.", "reason": reason}).encode()
    assert "compare it with the tool's schema" in service_error(400, {}, body, "create_cluster").render()


def test_a_long_reason_is_shown_nearly_whole() -> None:
    body = json.dumps({"errorCode": "CCE.01400001", "reason": "so " * 180 + "that is why"}).encode()
    assert "that is why" in service_error(400, {}, body, "create_cluster").render()


# Unexpected answers


async def test_a_cluster_of_which_nothing_is_reported_is_not_called_of_unknown_phase(tmp_path: Path) -> None:
    answering = Answering(simulate(), "get_cluster", 200, {"metadata": {"name": "shop-prod"}})
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        found = await agent.call("get_cluster", cluster_id=SHOP_PROD)
        assert found["summary"] == "shop-prod is in a phase that is not reported."
        answering.body = {}
        found = await agent.call("get_cluster", cluster_id=SHOP_PROD)
        assert found["summary"] == "cluster is in a phase that is not reported."


async def test_whole_numbers_are_shown_as_such(tmp_path: Path, prepared: Prepared) -> None:
    tables = prepared.state["tables"]
    task = next(row for row in tables["upgrade_tasks"].values() if row["status"]["phase"] == "Failed")
    body = {**task, "status": {**task["status"], "progress": 8.0}}
    answering = Answering(account(prepared.state), "get_upgrade_task", 200, body)
    async with connected(tmp_path, app=answering.app, transport=answering) as agent:
        this = {"cluster_id": PAYMENTS_PROD}
        found = await agent.call("get_upgrade_task", **this, task_id=task["metadata"]["uid"])
        assert json.dumps(found["progress"]) == "8"
        assert "progress: 8\n" in agent.said
        quota = {"quotaKey": "cluster", "quotaLimit": 50.0, "used": 8.0}
        answering.only, answering.body = "get_quotas", {"quotas": [quota]}
        await agent.call("get_quotas")
        assert "8.0" not in agent.said
        answering.only, answering.body = "get_upgrade_task", body
        waited = await agent.call(WAIT_FOR, kind="upgrade_task", id=task["metadata"]["uid"], **this, wait_s=0)
        assert json.dumps(waited["found"]["progress"]) == "8"
