"""A request whose answer is lost: never done twice for one consent, never called failed when it happened."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from agent import Agent, connected
from canaries import harmless_calls
from guarded import account, guarded_account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import simulate

from ap_mcp.errors import CloudUnreachable, may_have_happened
from ap_mcp.guard.audit import Call, log_at
from ap_mcp.simulator import app as application
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import SEARCH_DEV
from ap_mcp.simulator.handlers import handler_of
from ap_mcp.specs import load_catalog

WRITES = sorted(each.id for each in load_catalog().values() if each.worst_effect != "read")
HIDDEN = ("lost", "cut", "done_html", "done_empty", "cut_json")
"""Faults of the simulator that hide the answer of what was carried out."""
pytestmark = pytest.mark.usefixtures("no_waiting")

REFUSALS = (400, 403, 404, 409)
TROUBLES = (
    *("never arrives", "arrives late", "refused under 200"),
    *HIDDEN,
    *(f"{fault}, read stale" for fault in HIDDEN),
    *(f"never arrives, then {status}" for status in REFUSALS),
    *(f"lost, read stale, then {status}" for status in REFUSALS),
)
enough = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@dataclass
class Line(httpx.AsyncBaseTransport):
    """A line into a simulator that has a trouble with one operation.

    Attributes:
        app: the simulator.
        tool: the operation.
        trouble: one of `TROUBLES`.
        between: is done after the first request, before anything else comes.
        tries: how many requests of the operation came.
        read: what reads answered before the first of them.
    """

    app: Simulator
    tool: str
    trouble: str
    between: Callable[[], None] = lambda: None
    tries: int = 0
    read: dict[str, httpx.Response] = field(default_factory=dict)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        inner = httpx.ASGITransport(self.app)
        self.app.state.faults.clear()
        if not self._is_it(request):
            key = f"{request.method} {request.url}"
            if "stale" in self.trouble and self.tries and key in self.read:
                return self._again(self.read[key])
            response = await inner.handle_async_request(request)
            await response.aread()
            self.read[key] = response
            return self._again(response)
        self.tries += 1
        try:
            return await self._disturbed(inner, request)
        finally:
            if self.tries == 1:
                self.between()

    async def _disturbed(self, inner: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
        first, refusal = self.tries == 1, self.trouble.rpartition("then ")[2]
        if first and self.trouble.startswith("never arrives"):
            raise httpx.ReadError("lost on its way")
        if first and self.trouble == "refused under 200":
            body = {"errorCode": "CCE.01400001", "errorMessage": "Invalid request.", "reason": "not like this"}
            return httpx.Response(200, json=body)
        if not first and refusal.isdigit():
            self.app.state.faults.inject("status", self.tool, value=int(refusal))
        elif first and (fault := self.trouble.partition(",")[0]) in HIDDEN:
            self.app.state.faults.inject(fault, self.tool)  # type: ignore[arg-type]
        if first and self.trouble == "arrives late":
            await inner.handle_async_request(request)
            raise httpx.ReadTimeout("too late")
        return await inner.handle_async_request(request)

    def _is_it(self, request: httpx.Request) -> bool:
        match = self.app._routes.match(request.method, request.url.raw_path.partition(b"?")[0])
        return match is not None and match.route.name == self.tool

    @staticmethod
    def _again(response: httpx.Response) -> httpx.Response:
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"]
        return httpx.Response(response.status_code, headers=headers, content=response.content)


@dataclass
class Played:
    """What came of a call."""

    agent: Agent
    line: Line
    done: int
    failed: bool
    said: str
    recorded: Call

    @property
    def outcome(self) -> str:
        assert self.recorded.finished is not None
        return str(self.recorded.finished["result"])


async def play(folder: Path, tool: str, trouble: str, between: Callable[[Simulator], None] = lambda _: None) -> Played:
    state, calls = await guarded_account(folder)
    calls = harmless_calls(state, folder) | calls
    app = account(state)
    line = Line(app, tool, trouble, lambda: between(app))
    done: Counter[str] = Counter()

    def counting(name: str) -> Any:
        handler = handler_of(name)
        assert handler is not None

        def run(*given: Any) -> Any:
            result = handler(*given)
            done[name] += 1
            return result

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "handler_of", counting)
        async with connected(folder, app=app, transport=line, chart_roots=(folder,)) as agent:
            result = await agent.run(tool, calls[tool])
            recorded = log_at(folder / "state" / "audit.jsonl").calls()[-1]
            return Played(agent, line, done[tool], bool(result.is_error), agent.said, recorded)


def check(played: Played, tool: str, trouble: str) -> None:
    operation, note = load_catalog()[tool], f"{tool}, {trouble}: {played.said}"
    assert played.recorded.decided["tool"] == tool
    assert played.failed == (played.outcome != "succeeded"), note
    assert played.outcome != "failed", note
    if played.outcome == "succeeded":
        assert played.done, note
    if not operation.idempotent:
        assert played.line.tries == 1, note
    if operation.deletes and "stale" not in trouble:
        assert played.done <= 1, note
    if played.failed and played.done:
        assert "most likely not" not in played.said, note


@enough
@given(st.sampled_from(WRITES), st.sampled_from(TROUBLES))
def test_what_became_of_a_request_is_never_said_wrongly(
    tmp_path_factory: pytest.TempPathFactory, tool: str, trouble: str
) -> None:
    check(anyio.run(play, tmp_path_factory.mktemp("lost"), tool, trouble), tool, trouble)


def another_release(app: Simulator) -> None:
    """Let somebody install a release of the same name: the one that was there is gone."""
    world = app.state.world
    world.advance(60)
    key = f"{SEARCH_DEV}/default/query-cache"
    row = world.table("releases").get(key) or GONE[0]
    world.table("releases")[key] = {**row, "create_at": "2025-06-02T09:00:00Z", "status": "DEPLOYED", "version": 1}


GONE: list[dict[str, Any]] = []


def other_tags(app: Simulator) -> None:
    """Let somebody give the tags other values."""
    for row in app.state.world.table("clusters").values():
        row["spec"]["clusterTags"] = [{"key": key, "value": "theirs"} for key in ("env", "team")]


@pytest.mark.anyio
@pytest.mark.parametrize("trouble", ["never arrives", "lost", "arrives late", "done_html"])
async def test_what_has_the_name_of_the_thing_by_then_is_not_deleted_with_the_same_consent(
    tmp_path: Path, trouble: str
) -> None:
    state, _ = await guarded_account(tmp_path)
    GONE[:] = [state["tables"]["releases"][f"{SEARCH_DEV}/default/query-cache"]]
    played = await play(tmp_path, "delete_release", trouble, another_release)
    assert played.line.tries == 1
    assert (played.failed, played.outcome) == (True, "unknown")
    assert "no longer as it was when the call was sent, so it was not sent again" in played.said
    assert played.agent.world.table("releases")[f"{SEARCH_DEV}/default/query-cache"]["status"] == "DEPLOYED"


@pytest.mark.anyio
@pytest.mark.parametrize("tool", ["delete_cluster_tags", "add_cluster_tags"])
@pytest.mark.parametrize("trouble", ["lost", "never arrives"])
async def test_tags_that_somebody_else_set_meanwhile_stay(tmp_path: Path, tool: str, trouble: str) -> None:
    played = await play(tmp_path, tool, trouble, other_tags)
    assert played.line.tries == 1
    assert (played.failed, played.outcome) == (True, "unknown")
    assert {"key": "env", "value": "theirs"} in played.agent.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "shown"),
    [
        ("run_precheck", "list_prechecks shows now, newer than the call with target_version v1.29.13-r0: "),
        ("backup_cluster", "list_backups shows now, newer than the call: "),
        (
            "create_upgrade_workflow",
            "list_upgrade_workflows shows now, newer than the call with target_version v1.31.6-r0: ",
        ),
        ("upload_chart", "list_charts shows now, newer than the call: "),
    ],
)
async def test_what_has_no_name_is_looked_for_by_what_is_newest_and_fits(tmp_path: Path, tool: str, shown: str) -> None:
    played = await play(tmp_path, tool, "lost")
    assert shown in played.said
    assert "created 0 s ago. If that is it, as is likely, do not send it again." in played.said
    (tmp_path / "again").mkdir()
    missing = await play(tmp_path / "again", tool, "never arrives")
    assert shown.replace(" shows now, ", " shows nothing ").removesuffix(": ") + " yet:" in missing.said


@pytest.mark.anyio
async def test_a_refusal_under_the_status_of_a_success_is_not_said_to_be_made(tmp_path: Path) -> None:
    played = await play(tmp_path, "create_cluster", "refused under 200")
    assert "most likely not made" in played.said
    assert "list_clusters shows nothing with name canary-one yet" in played.said


@pytest.mark.anyio
async def test_the_error_of_a_read_on_the_way_names_the_call(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("status", "get_cluster", times=None, value=403)
        said = await agent.fail("delete_cluster", cluster_id=SEARCH_DEV)
        assert said.startswith(
            "delete_cluster: nothing was sent, for a read on the way to it failed. get_cluster failed"
        )
        agent.app.state.faults.inject("status", "list_clusters", times=None, value=403)
        said = await agent.fail("list_addons", cluster_id="search-dev")
        assert said.startswith("list_addons: a read on the way to it failed. list_clusters failed")
        assert (await agent.fail("assess_upgrade", cluster_id=SEARCH_DEV)).startswith("get_cluster failed")
        assert (await agent.fail("get_cluster", cluster_id=SEARCH_DEV)).startswith("get_cluster failed")


@pytest.mark.anyio
async def test_an_approvals_store_that_cannot_be_used_says_that_nothing_was_sent(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "approvals.db").mkdir()
    async with connected(tmp_path, unasked=False) as agent:
        said = await agent.fail("delete_cluster", cluster_id=SEARCH_DEV)
        assert said.startswith("delete_cluster: nothing was sent. The approvals store ")
        assert agent.changed == []


@pytest.mark.anyio
async def test_a_new_tag_that_somebody_else_sets_meanwhile_is_not_overwritten_unasked(tmp_path: Path) -> None:
    app = simulate()
    line = Line(app, "add_cluster_tags", "never arrives", lambda: other_tags(app))
    async with connected(tmp_path, app=app, transport=line) as agent:
        app.state.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"] = []
        said = await agent.fail("add_cluster_tags", cluster_id=SEARCH_DEV, tags={"team": "ours"})
        assert "so it was not sent again" in said
        assert line.tries == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("has", "asked"), [({"env": "prod"}, True), ({"env": "dev"}, False), ({"team": "a"}, False)])
async def test_a_tag_gets_another_value_only_if_a_person_agrees(
    tmp_path: Path, has: dict[str, str], asked: bool
) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        rows = [{"key": key, "value": value} for key, value in has.items()]
        agent.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"] = rows
        call = {"cluster_id": SEARCH_DEV, "tags": {"env": "dev"}}
        if asked:
            said = await agent.fail("add_cluster_tags", **call)
            assert "approval_required" in said
            assert "no longer looks like production" in said
            assert agent.changed == []
        else:
            done = await agent.call("add_cluster_tags", **call)
            assert done["tags"] == {**has, "env": "dev"}


@pytest.mark.anyio
async def test_tags_that_cannot_be_read_are_not_set_unasked(tmp_path: Path) -> None:
    async with connected(tmp_path, app=simulate(strict_answers=False)) as agent:
        agent.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"] = ["env=prod"]
        said = await agent.fail("add_cluster_tags", cluster_id=SEARCH_DEV, tags={"env": "dev"})
        assert "does not show what add_cluster_tags would replace. Nothing was sent" in said
        assert agent.changed == []


@pytest.mark.anyio
async def test_clusters_are_listed_by_tag_with_their_description(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        by_key, by_value = [await agent.call("list_clusters", tag=tag) for tag in ("env", "env=prod")]
        assert by_value["summary"].startswith("2 of 7 clusters with tag env=prod: 2 Available.")
        assert by_key["total"] > by_value["total"] == 2
        assert by_value["clusters"][0]["description"] == "Card payments"
        assert (await agent.call("list_clusters", tag="no-such"))["clusters"] == []


def test_what_ends_a_repeat_does_not_hide_that_the_first_request_may_have_been_carried_out() -> None:
    error = CloudUnreachable("http://cloud", "refused", may_have_arrived=False, operation="delete_chart")
    assert "Nothing was changed" in error.render()
    error.after_lost = True
    assert may_have_happened(error)
    assert "may have reached the service" in error.render()
