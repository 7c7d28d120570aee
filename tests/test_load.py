"""A large answer or call keeps nobody else waiting, and an answer beyond all bounds is refused with how to narrow it.

What measures time runs alone (`make test` starts it after the other tests).
"""

import gc
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from agent import connected, text_of
from anyio import BrokenWorkerProcess
from guarded import account, guarded_account
from heavy import MIB, Elsewhere, Heavy, heavy_answers, heavy_calls, longest_ping, releases
from mcp_types import CallToolResult, TextResourceContents
from simulation import simulate

from ap_mcp import aside
from ap_mcp.cli.serve import nothing_collected
from ap_mcp.cloud import client as client_module
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.policy import Allow, Ask
from ap_mcp.masking import PLACEHOLDER
from ap_mcp.simulator.constants import SEARCH_DEV

pytestmark = pytest.mark.anyio

ARGUMENT_BYTES = 200_000
PING_SECONDS = 0.15
"""The longest pause that another request may have to bear."""
LISTED: dict[str, Any] = {"cluster_id": SEARCH_DEV}


@pytest.mark.serial
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("what", list(heavy_answers(0)))
async def test_a_ping_is_answered_while_an_answer_of_eight_megabytes_is_worked_on(tmp_path: Path, what: str) -> None:
    tool, arguments, content = heavy_answers(8 * MIB)[what]
    assert len(content) >= 8 * MIB
    app = simulate()
    async with connected(tmp_path, app=app, transport=Heavy(app, content), mode="legacy") as agent:
        results: list[CallToolResult] = []

        async def call() -> None:
            results.append(await agent.client.call_tool(tool, arguments))

        pause = await longest_ping(agent.client, call)
        assert not results[0].is_error, results
        assert pause <= PING_SECONDS
        assert "s3cr3t" not in results[0].model_dump_json()


GUARDED_TOOLS = defaultdict[str, dict[str, Any]](lambda: {"cluster_id": "", "namespace": ""})


@pytest.mark.serial
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
@pytest.mark.parametrize("what", list(heavy_calls(0, GUARDED_TOOLS)))
async def test_a_ping_is_answered_while_large_arguments_are_worked_on(tmp_path: Path, what: str) -> None:
    state, good = await guarded_account(tmp_path)
    tool, arguments, end = heavy_calls(ARGUMENT_BYTES, good)[what]
    app = account(state)
    way: dict[str, Any] = {"transport": Elsewhere(app), "unasked": False, "confirm": "approval"}
    async with connected(tmp_path, app=app, mode="legacy", **way) as agent:
        results: list[CallToolResult] = []

        async def call() -> None:
            results.append(await agent.client.call_tool(tool, arguments))

        pause = await longest_ping(agent.client, call)
        assert end in text_of(results[0])
        assert pause <= PING_SECONDS


async def test_what_nobody_elsewhere_would_read_is_refused_before_its_impact_is_read(tmp_path: Path) -> None:
    state, good = await guarded_account(tmp_path)
    tool, arguments, end = heavy_calls(2 * ARGUMENT_BYTES, good)["many settings"]
    read: dict[str, list[str]] = {}
    for size, given in (("small", good[tool]), ("large", arguments)):
        async with connected(tmp_path, app=account(state), unasked=False, confirm="approval") as agent:
            said = await agent.fail(tool, **given)
            read[size] = agent.sent
        assert (end in said) == (size == "large")
    assert set(read["large"]) < set(read["small"])


@pytest.mark.parametrize(
    ("mode", "decision", "caller", "elsewhere"),
    [
        ("approval", Ask("disrupt"), Caller("me", can_return=True), True),
        ("human", Ask("disrupt"), Caller("me"), True),
        ("human", Ask("disrupt", other_approver=True), Caller("me", can_return=True), True),
        ("human", Ask("disrupt"), Caller("me", can_return=True), False),
        ("approval", Ask("disrupt"), Caller("me", may_ask=False), False),
        ("approval", Allow(), Caller("me"), False),
    ],
)
async def test_a_large_call_is_refused_early_only_where_no_form_can_be_shown_for_it(
    tmp_path: Path, mode: str, decision: Allow | Ask, caller: Caller, elsewhere: bool
) -> None:
    async with connected(tmp_path, unasked=False, confirm=mode) as agent:
        guard = agent.autopilot.view().guard
        assert guard.asks_elsewhere(decision, caller, None) == elsewhere
        assert not guard.asks_elsewhere(decision, caller, "a token")


def test_the_objects_of_a_large_call_are_not_all_gone_through_for_garbage_while_it_runs() -> None:
    usual, searched = gc.get_threshold(), list[int]()

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "stop":
            searched.append(about["generation"])

    try:
        with nothing_collected():
            pass
        gc.callbacks.append(note)
        kept = [[number] for number in range(1_000_000)]
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*usual)
    assert len(kept) == 1_000_000
    assert set(searched) == {0, 1}


async def structured(tmp_path: Path, content: bytes) -> tuple[dict[str, Any], str]:
    """List releases; return the structured half of the answer, and the whole of it that is kept."""
    app = simulate()
    async with connected(tmp_path, app=app, transport=Heavy(app, content)) as agent:
        result = await agent.call("list_releases", **LISTED)
        kept = (await agent.client.read_resource(result["raw"])).contents[0]
        assert isinstance(kept, TextResourceContents)
        return {name: value for name, value in result.items() if name not in ("raw", "request_id")}, kept.text


async def test_an_answer_is_the_same_wherever_it_is_shaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(releases(64 * 1024, 3)).encode()
    found = []
    for in_a_thread, in_a_process in ((MIB, MIB), (1, MIB), (1, 1)):
        monkeypatch.setattr(aside, "IN_A_THREAD", in_a_thread)
        monkeypatch.setattr(aside, "IN_A_PROCESS", in_a_process)
        found.append(await structured(tmp_path, content))
    assert found[0] == found[1] == found[2]
    shown, kept = found[0]
    assert [each["name"] for each in shown["releases"]] == ["web-0", "web-1", "web-2"]
    assert PLACEHOLDER in kept
    assert "s3cr3t" not in kept


async def test_where_no_process_can_be_started_a_thread_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise BrokenWorkerProcess

    monkeypatch.setattr(aside, "IN_A_PROCESS", 1)
    monkeypatch.setattr("anyio.to_process.run_sync", broken)
    shown, _ = await structured(tmp_path, json.dumps(releases(64 * 1024, 3)).encode())
    assert shown["total"] == 3


async def test_an_answer_beyond_all_bounds_is_refused_with_how_to_narrow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LARGEST_ANSWER", MIB)
    app, content = simulate(), json.dumps(releases(2 * MIB, 3)).encode()
    async with connected(tmp_path, app=app, transport=Heavy(app, content)) as agent:
        said = await agent.fail("list_releases", **LISTED)
        assert "larger than 1 MiB" in said
        assert "namespace or chart_id narrows it down" in said or "chart_id or namespace narrows it down" in said
        narrowed = await agent.fail("list_releases", **LISTED, namespace="default")
        assert "chart_id narrows it down" in narrowed
        assert "namespace or" not in narrowed
        single = await agent.fail("get_release", **LISTED, namespace="default", name="web-0")
        assert "larger than 1 MiB" in single
        assert "narrows" not in single
