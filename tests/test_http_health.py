"""What is checked before a server over HTTP counts as ready, and what is only reported."""

import errno
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from over_http import served
from simulation import simulate

from ap_mcp.errors import AuditFailed
from ap_mcp.web import health
from ap_mcp.web.health import IN_THE_LOG, Check

pytestmark = pytest.mark.anyio


async def cloud_of(tmp_path: Path, endpoint: str) -> tuple[int, str]:
    """Ask a server whose cloud is somewhere whether it is ready; the status, and what it says of the cloud."""
    async with served(simulate(), tmp_path, endpoint=endpoint) as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
        return answer.status_code, answer.json()["checks"]["cloud"]


async def test_a_cloud_that_takes_connections_is_reported_as_such(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = await cloud_of(tmp_path, f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert found == (200, "ok")


async def test_a_cloud_that_takes_none_is_reported_and_decides_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    status, said = await cloud_of(tmp_path, f"http://127.0.0.1:{port}")
    assert status == 200
    assert "takes no connection" in said


async def test_a_cloud_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(health, "connect_tcp", hangs)
    monkeypatch.setattr(health, "CLOUD_SECONDS", 0.05)
    with anyio.fail_after(5):
        status, said = await cloud_of(tmp_path, "https://cce.example")
    assert status == 200
    assert "no connection within 0.05 s" in said


async def test_checks_are_made_at_once_and_each_only_so_long() -> None:
    async def hangs() -> str:
        await anyio.sleep_forever()
        raise AssertionError("it never ends")

    check = Check("slow", hangs, patience=0.02)
    with anyio.fail_after(5):
        assert await check.run(0.0) == "no answer within 0.02 s"


async def test_an_answer_stands_for_a_moment_and_no_longer() -> None:
    asked: list[int] = []

    async def counted() -> str:
        asked.append(1)
        return str(len(asked))

    check = Check("counted", counted, kept=2.0)
    assert [await check.run(at) for at in (0.0, 1.9, 2.0, 3.0, 4.1)] == ["1", "1", "2", "2", "3"]


async def test_what_a_check_raises_goes_to_the_log_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    reasons = iter(["a secret place", "a secret place", "another"])

    async def fails() -> str:
        raise AuditFailed(next(reasons))

    check = Check("audit", fails, kept=0)
    for at in range(3):
        assert await check.run(float(at)) == "it failed; the log of the server says why"
    assert [each.message for each in caplog.records] == [
        "Not ready (audit): a secret place",
        "Not ready (audit): another",
    ]


async def test_a_server_that_may_not_look_for_its_audit_log_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, closed = os.stat, tmp_path / "closed"

    def stat(path: Any, *args: Any, **more: Any) -> os.stat_result:
        if str(path).startswith(f"{closed}{os.sep}"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *args, **more)

    closed.mkdir()
    async with served(simulate(), tmp_path, audit_log=closed / "state" / "audit.jsonl") as frame:
        monkeypatch.setattr(os, "stat", stat)
        monkeypatch.setattr(os, "access", lambda path, needed: str(path) != str(closed) or not needed & os.X_OK)
        async with frame.by_hand() as http:
            answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert "the audit log cannot be written" in answer.json()["checks"]["audit"]


async def test_a_server_whose_audit_log_is_no_file_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    async with served(simulate(), tmp_path, audit_log=tmp_path / "audit.jsonl") as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["audit"] == IN_THE_LOG


async def test_a_server_whose_audit_log_has_no_room_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0))
    async with served(simulate(), tmp_path) as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert "no room for the audit log" in answer.json()["checks"]["audit"]
