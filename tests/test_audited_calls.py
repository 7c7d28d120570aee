"""A guarded call whose end cannot be recorded: what happened is reported, and that it was not recorded."""

from pathlib import Path

import pytest
from agent import connected
from guarded import Person

from ap_mcp.errors import AuditFailed
from ap_mcp.guard.audit import AuditLog, Outcome
from ap_mcp.simulator.constants import SEARCH_DEV, TEAM_SANDBOX

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


@pytest.mark.parametrize("spoilt", ["folder", "link", "open to others", "key lost"])
async def test_nobody_is_asked_for_what_could_not_be_recorded_then(tmp_path: Path, spoilt: str) -> None:
    person, log = Person("accept"), tmp_path / "state" / "audit.jsonl"
    async with connected(tmp_path, person=person, unasked=False) as agent:
        if spoilt == "folder":
            log.mkdir(parents=True)
        elif spoilt == "link":
            log.parent.mkdir(mode=0o700)
            log.symlink_to(tmp_path / "elsewhere")
        else:
            await agent.call("delete_cluster", cluster_id=TEAM_SANDBOX)
            log.chmod(0o666 if spoilt == "open to others" else 0o600)
            if spoilt == "key lost":
                log.with_name("audit.key").unlink()
        asked, sent = len(person.read), len(agent.changed)
        said = await agent.fail("delete_cluster", cluster_id=SEARCH_DEV)
        assert (len(person.read), len(agent.changed)) == (asked, sent)
    wanted = {"open to others": "close it with: chmod go-rwx", "key lost": "is lost or damaged. Put it back"}
    assert wanted.get(spoilt, "is no plain file") in said
    assert "Nothing was sent. Fix that, or choose another file with AP_MCP_AUDIT_LOG." in said
