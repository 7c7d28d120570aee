"""A guarded call whose end cannot be recorded: what happened is reported, and that it was not recorded."""

from pathlib import Path

import pytest
from agent import connected

from ap_mcp.errors import AuditFailed
from ap_mcp.guard.audit import AuditLog, Outcome
from ap_mcp.simulator.constants import TEAM_SANDBOX

pytestmark = pytest.mark.anyio


def fail(_log: AuditLog, _seq: int, _outcome: Outcome) -> None:
    raise AuditFailed("the disk is full")


async def test_an_end_that_cannot_be_recorded_does_not_hide_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AuditLog, "finished", fail)
    async with connected(tmp_path) as agent:
        result = await agent.call("delete_cluster", cluster_id=TEAM_SANDBOX)
    assert result["job_id"]
    assert any("the disk is full" in warning for warning in result["warnings"])


async def test_nor_does_it_hide_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuditLog, "finished", fail)
    async with connected(tmp_path) as agent:
        agent.app.state.faults.inject("status", "delete_cluster", value=409)
        said = await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX)
    assert "HTTP 409" in said


async def test_without_the_first_line_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "audit.jsonl").mkdir()
    async with connected(tmp_path) as agent:
        await agent.fail("delete_cluster", cluster_id=TEAM_SANDBOX)
        assert {request.method for request in agent.app.state.log} == {"GET"}
