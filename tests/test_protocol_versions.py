"""Every version of the protocol that the server agrees to gets messages that its own schema allows."""

from pathlib import Path
from typing import Any

import pytest
from agent import autopilot_on
from frames import SCHEMAS, Session, session
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from simulation import simulate

from ap_mcp import __version__
from ap_mcp.guard.form_answers import FIELD
from ap_mcp.server import Autopilot
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import LEGACY_IMPORT, TEAM_SANDBOX

pytestmark = pytest.mark.anyio

WITHOUT_LINKS = ("2024-11-05", "2025-03-26")
MODERN = "2026-07-28"
OLD = tuple(version for version in KNOWN_PROTOCOL_VERSIONS if version != MODERN)
each_version = pytest.mark.parametrize("version", KNOWN_PROTOCOL_VERSIONS)


def served(tmp_path: Path, app: Simulator | None = None, **settings: Any) -> Autopilot:
    folders: dict[str, Any] = {
        name: tmp_path / name for name in ("files_dir", "audit_log", "approvals_db", "approver_dir")
    }
    return autopilot_on(app or simulate(), unasked=False, **folders, **settings)


def test_the_schema_of_every_version_is_at_hand() -> None:
    assert tuple(SCHEMAS) == KNOWN_PROTOCOL_VERSIONS


@each_version
async def test_whatever_is_sent_fits_the_schema_of_the_version(tmp_path: Path, version: str) -> None:
    app = simulate()
    async with session(served(tmp_path, app), version) as client:
        about = await client.open()
        await the_lists(client)
        listed = await client.call("list_clusters", status=None)
        kinds = [block["type"] for block in listed["content"]]
        assert kinds == (["text"] if version in WITHOUT_LINKS else ["text", "resource_link"])
        raw = listed["structuredContent"]["raw"]
        assert raw in listed["content"][0]["text"]
        assert "shop-prod" in (await client.ask("resources/read", {"uri": raw}))["contents"][0]["text"]
        written = await client.call("add_cluster_tags", cluster_id="search-dev", tags={"floor": "a"})
        assert not written.get("isError")
        assert (await client.call("get_job", job_id=7))["isError"]
        assert (await client.call("no_such_tool"))["isError"]
        assert (
            "approval_required" in (await client.call("delete_cluster", cluster_id=TEAM_SANDBOX))["content"][0]["text"]
        )
        job = app.state.world.table("clusters")[LEGACY_IMPORT]["status"]["jobID"]
        assert "ended" in (await client.call("wait_for", kind="job", id=job))["structuredContent"]
        assert (await client.refused("tools/call", {"name": 7}))["code"] == -32602
    info = about["serverInfo"] if version in OLD else about["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert (info["name"], info["version"], info["title"]) == (
        "ap-mcp",
        f"{__version__}+simulated",
        "CCE Autopilot (simulated)",
    )
    assert info["description"] == "Operates Huawei Cloud CCE Autopilot clusters that are simulated"
    assert info["websiteUrl"].startswith("https://")
    assert {"completions", "prompts", "resources", "tools"} <= about["capabilities"].keys()


async def the_lists(client: Session) -> None:
    """Ask for every list, and for a page of it that does not exist."""
    for method, key in (
        ("tools/list", "tools"),
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ):
        assert isinstance((await client.ask(method))[key], list)
        for cursor in ("bogus", ""):
            refused = await client.refused(method, {"cursor": cursor})
            assert (refused["code"], refused["message"]) == (-32602, "There is no such cursor: this list has one page")
    prompt = await client.ask("prompts/get", {"name": "upgrade-cluster", "arguments": {"cluster": "shop-prod"}})
    assert "shop-prod" in prompt["messages"][0]["content"]["text"]
    assert (await client.refused("prompts/get", {"name": "none"}))["code"] == -32602
    argument = {"name": "cluster", "value": "shop"}
    found = await client.ask(
        "completion/complete", {"ref": {"type": "ref/prompt", "name": "clean-up"}, "argument": argument}
    )
    assert found["completion"] == {"values": ["shop-prod"], "total": 1, "hasMore": False}


@each_version
async def test_a_resource_that_is_not_there_has_the_code_of_the_version(tmp_path: Path, version: str) -> None:
    async with session(served(tmp_path), version) as client:
        await client.open()
        for uri in ("autopilot://responses/none", "file:///etc/passwd"):
            refused = await client.refused("resources/read", {"uri": uri})
            assert (refused["code"], refused["data"]) == (-32002 if version in OLD else -32602, {"uri": uri})


@pytest.mark.parametrize("version", WITHOUT_LINKS)
async def test_a_version_without_forms_is_sent_none_whatever_the_client_announces(tmp_path: Path, version: str) -> None:
    async def person(_: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("a form was sent")

    async with session(served(tmp_path), version, person) as client:
        await client.open()
        answer = await client.call("delete_cluster", cluster_id=TEAM_SANDBOX)
        assert "approval_required" in answer["content"][0]["text"]


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25", MODERN])
async def test_a_question_to_a_person_fits_the_schema_of_the_version(tmp_path: Path, version: str) -> None:
    async def person(question: dict[str, Any]) -> dict[str, Any]:
        assert question["requestedSchema"]["required"] == [FIELD]
        return {"action": "decline"}

    async with session(served(tmp_path), version, person) as client:
        await client.open()
        answer = await client.call("delete_cluster", cluster_id=TEAM_SANDBOX)
        assert answer.get("isError") or answer["resultType"] == "input_required"


@pytest.mark.parametrize("version", OLD)
async def test_progress_fits_the_schema_of_the_version_and_is_a_share(tmp_path: Path, version: str) -> None:
    app = simulate()
    async with session(served(tmp_path, app), version) as client:
        await client.open()
        started = await client.call("backup_cluster", cluster_id="search-dev")
        wait = next(each for each in started["structuredContent"]["next"] if each["tool"] == "wait_for")
        await client.call("wait_for", **wait["arguments"] | {"wait_s": 1})
    assert client.notified
    assert {each["total"] for each in client.notified} == {100}


async def test_what_may_be_kept_and_by_whom_is_said_of_every_list_and_answer(tmp_path: Path) -> None:
    async with session(served(tmp_path), MODERN) as client:
        about = await client.open()
        raw = (await client.call("list_clusters"))["structuredContent"]["raw"]
        kept = {
            method: (found["ttlMs"], found["cacheScope"])
            for method, found in {
                "server/discover": about,
                "tools/list": await client.ask("tools/list"),
                "prompts/list": await client.ask("prompts/list"),
                "resources/read": await client.ask("resources/read", {"uri": raw}),
                "resources/list": await client.ask("resources/list"),
                "resources/templates/list": await client.ask("resources/templates/list"),
            }.items()
        }
    hour = 3_600_000
    private = dict.fromkeys(("server/discover", "tools/list", "prompts/list", "resources/read"), (hour, "private"))
    assert kept == private | dict.fromkeys(("resources/list", "resources/templates/list"), (hour, "public"))
