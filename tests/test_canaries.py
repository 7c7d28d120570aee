"""No secret leaves: planted in every answer, error and call, it is found only in the files that are made for it."""

import json
import logging
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import pytest
import stamina
from agent import ENDPOINT, Agent, autopilot_on, connected
from approving import MINUTE, question
from canaries import (
    AT_ONCE,
    CHART,
    IN_OBJECT,
    IN_TEXT,
    MARK,
    Leaks,
    Meddling,
    Planter,
    Refusing,
    harmless_calls,
    leaving,
    refusals,
)
from click.testing import CliRunner
from connecting import GET, KEY, settings
from consenting import ERAS, KINDS, TOOLS, Prepared, prepare, scene_of
from forking import python
from guarded import Person, unchecked
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from ap_mcp.cli import main
from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import Credentials
from ap_mcp.errors import ApMcpError
from ap_mcp.guard import keys
from ap_mcp.server import Autopilot
from ap_mcp.simulator.access import SimulatedCredentials
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import (
    ACCESS_KEY,
    DOMAIN_NAME,
    ML_BATCH,
    SEARCH_DEV,
    SHOP_PROD,
    TEAM_SANDBOX,
    USER_ID,
    USER_NAME,
)
from ap_mcp.simulator.serving import running
from ap_mcp.simulator.world import World
from ap_mcp.specs import Catalog
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.wait import WAIT_FOR

pytestmark = pytest.mark.anyio

OURS = SimulatedCredentials(ACCESS_KEY, f"{MARK}-the-secret-key", f"{MARK}-the-security-token")
"""Keys in use; none of them may be seen either."""
RELEASE = {"cluster_id": TEAM_SANDBOX, "namespace": "default", "name": "cache", "chart_id": REDIS, "version": "18.6.1"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def leaks(caplog: pytest.LogCaptureFixture) -> Iterator[Leaks]:
    """Searches for secrets where a test points it, and in what any logger says while it runs."""
    caplog.set_level(logging.DEBUG)
    found = Leaks()
    with stamina.set_testing(True, attempts=1):
        yield found
    for record in caplog.records:
        found.check(f"log of {record.name}", f"{record.getMessage()}\n{record.args}\n{record.exc_text}")
    listed = [f"{where}: {secrets[0]}" for where, secrets in found.found.items()]
    assert listed[:5] == []


@asynccontextmanager
async def watched(
    folder: Path, leaks: Leaks, prepared: Prepared, transport: Meddling | Refusing, **more: Any
) -> AsyncIterator[Agent]:
    """Connect an agent to a changed simulator; what is left on the disk is checked too."""
    charts = (folder, prepared.folder)
    async with connected(folder, app=transport.app, transport=transport, chart_roots=charts, **more) as agent:
        yield agent
    leaks.check_below(folder, except_for=("files", CHART))


def everything(prepared: Prepared, folder: Path) -> dict[str, dict[str, Any]]:
    """A good call of every tool; those that are guarded, with secrets in their arguments."""
    planter = Planter(supplied=True)
    calls = {tool: dict(arguments) for tool, arguments in prepared.calls.items()}
    for tool in ("update_addon", "create_release", "update_release"):
        calls[tool]["values"] = planter({**calls[tool].get("values", {}), "notes": "some words about it"})
    calls["update_cluster"] |= {"description": IN_TEXT[4](planter.secret())}
    return harmless_calls(prepared.state, folder) | calls


def keyed(state: Mapping[str, Any]) -> Simulator:
    """A simulated account that takes our keys only."""
    return unchecked(state, credentials=OURS)


async def test_every_tool_is_watched(tmp_path: Path, prepared: Prepared) -> None:
    async with connected(tmp_path) as agent:
        offered = {tool.name for tool in (await agent.client.list_tools()).tools}
        assert set(everything(prepared, tmp_path)) == offered


# Answers


@pytest.mark.parametrize(("reckless", "turn"), [(False, 0), (True, 7)])
async def test_no_secret_in_an_answer_is_shown(
    tmp_path: Path, prepared: Prepared, leaks: Leaks, reckless: bool, turn: int
) -> None:
    calls = harmless_calls(prepared.state, tmp_path)
    planter = Planter(turn, reckless=reckless)
    transport = Meddling(unchecked(prepared.state), planter)
    async with watched(tmp_path, leaks, prepared, transport) as agent:
        for tool, arguments in calls.items():
            result = await agent.run(tool, arguments)
            leaks.check(f"{tool}, turn {turn}", await leaving(agent, result))
    assert planter.planted >= set(IN_TEXT) | set(IN_OBJECT)


@pytest.mark.parametrize(("confirm", "turn"), [("human", 0), ("approval", 5), ("token", 10)])
async def test_no_secret_is_shown_to_a_person_who_should_agree_elsewhere(
    tmp_path: Path, prepared: Prepared, leaks: Leaks, confirm: str, turn: int
) -> None:
    calls = everything(prepared, tmp_path)
    transport = Meddling(unchecked(prepared.state), Planter(turn))
    async with watched(tmp_path, leaks, prepared, transport, confirm=confirm, unasked=False) as agent:
        for tool in TOOLS[turn % 3 :: 3]:
            await agent.call(tool, **calls[tool], dry_run=True)
            leaks.check(f"{tool}, dry", agent.said)
            assert "approval_required" in await agent.fail(tool, **calls[tool])
            leaks.check(f"{tool}, asked", agent.said)
    assert (tmp_path / "state" / "approvals.db").exists()


async def test_no_secret_is_shown_in_a_form_or_recorded_once_a_person_agreed(
    tmp_path: Path, prepared: Prepared, leaks: Leaks
) -> None:
    calls = everything(prepared, tmp_path)
    for turn, (tool, era) in enumerate(zip(TOOLS, cycle(ERAS), strict=False)):
        scene, person = scene_of(prepared, tool, era, tmp_path / tool), Person()
        transport = Meddling(scene.app, Planter(turn))
        async with scene.connect(person, transport=transport, chart_roots=(tmp_path, prepared.folder)) as agent:
            result = await agent.run(tool, calls[tool])
            leaks.check(tool, await leaving(agent, result), *person.read)
        assert person.read
        assert (tmp_path / tool / "state" / "audit.jsonl").exists()
        leaks.check_below(tmp_path / tool, except_for=("files",))


async def test_no_secret_is_shown_while_something_is_waited_for(
    tmp_path: Path, prepared: Prepared, leaks: Leaks
) -> None:
    messages = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        messages.append(f"{progress} of {total}: {message}")

    for turn in range(0, len(IN_TEXT), AT_ONCE):
        app = unchecked(prepared.state)
        row = app.state.world.table("clusters")[ML_BATCH]
        row["metadata"]["name"], row["status"]["phase"] = f"ml {IN_TEXT[turn](MARK)} batch", "Creating"

        async def sleep(seconds: float, world: World = app.state.world) -> None:
            world.advance(seconds)
            await anyio.lowlevel.checkpoint()

        transport = Meddling(app, Planter(turn))
        clock = {"sleep": sleep, "now": lambda world=app.state.world: world.now().timestamp()}
        async with watched(tmp_path, leaks, prepared, transport, clock=clock) as agent:
            arguments = {"kind": "cluster", "id": ML_BATCH, "wait_s": 20}
            result = await agent.client.call_tool(WAIT_FOR, arguments, progress_callback=report)
            leaks.check(f"turn {turn}", await leaving(agent, result), *messages)
    assert len(messages) > len(IN_TEXT)


# Errors


async def test_no_secret_in_an_error_is_shown(tmp_path: Path, prepared: Prepared, leaks: Leaks) -> None:
    calls = everything(prepared, tmp_path)
    transport = Refusing(keyed(prepared.state))
    async with watched(tmp_path, leaks, prepared, transport, environment=OURS.exports(ENDPOINT)) as agent:
        for turn, (tool, arguments) in enumerate(calls.items()):
            transport.only = {WAIT_FOR: "get_job"}.get(tool, tool)
            for number in range(turn % 6, len(refusals()), 6):
                transport.number = number
                result = await agent.run(tool, arguments)
                leaks.check(f"{tool}, refusal {number}", await leaving(agent, result))
    assert (tmp_path / "state" / "audit.jsonl").exists()


@pytest.mark.parametrize("kind", ["password", "given"])
async def test_no_token_or_password_in_use_is_shown(
    tmp_path: Path, prepared: Prepared, leaks: Leaks, kind: str
) -> None:
    app = unchecked(prepared.state)
    world = app.state.world
    world.table("users")[USER_ID]["_password"] = f"{MARK}-the-password"
    environment = {"HW_USER_NAME": USER_NAME, "HW_PASSWORD": f"{MARK}-the-password", "HW_DOMAIN_NAME": DOMAIN_NAME}
    if kind == "given":
        forever = {"project_id": OURS.project_id, "expires_at": "2999-01-01 00:00:00.000000 +0000 UTC"}
        world.table("tokens")[f"{MARK}-the-token"] = forever
        environment = {"AP_MCP_AUTH_TOKEN": f"{MARK}-the-token", "HUAWEICLOUD_SDK_PROJECT_ID": OURS.project_id}
    transport = Refusing(app)
    async with watched(tmp_path, leaks, prepared, transport, environment=environment) as agent:
        await agent.call("list_charts")
        leaks.also |= {token.encode() for token in world.table("tokens")}
        assert leaks.also
        leaks.check("success", agent.said)
        calls = {"list_charts": {}, "create_release": RELEASE, "delete_cluster": {"cluster_id": TEAM_SANDBOX}}
        for tool, arguments in calls.items():
            transport.only = tool
            for number in range(len(refusals())):
                transport.number = number
                result = await agent.run(tool, arguments)
                leaks.check(f"{tool}, refusal {number}", await leaving(agent, result))
    transport.only, transport.number = "iam_create_token", 2
    async with watched(tmp_path, leaks, prepared, transport, environment=environment) as agent:
        leaks.check("sign-in", await agent.fail("list_charts") if kind == "password" else "")


async def test_no_wrong_argument_is_repeated(
    tmp_path: Path, prepared: Prepared, leaks: Leaks, catalog: Catalog
) -> None:
    planted = Planter()({"password": "", "text": "a few words about nothing"})
    values = [planted, json.dumps(planted), [planted], 7]
    async with watched(tmp_path, leaks, prepared, Meddling(unchecked(prepared.state), dict)) as agent:
        schemas = {tool.name: tool.input_schema["properties"] for tool in (await agent.client.list_tools()).tools}
        tried = set()
        for tool, arguments in everything(prepared, tmp_path).items():
            for name in {*arguments, "password"} - {"chart_path"}:
                # What many tools take in the same form goes the same way in those that are guarded, and in the others.
                form = json.dumps(
                    [name, tool in TOOLS, tool in catalog, {**schemas[tool].get(name, {}), "description": ""}]
                )
                for value in values if form not in tried else ():
                    result = await agent.run(tool, {**arguments, name: value})
                    leaks.check(f"{tool} {name}", await leaving(agent, result))
                tried.add(form)
    assert len(tried) > len(TOOLS)


async def test_no_secret_is_shown_when_our_own_code_fails(
    tmp_path: Path,
    prepared: Prepared,
    leaks: Leaks,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*found: Any, **more: Any) -> None:
        raise ValueError(f"cannot make sense of {found} and {more}")

    calls = everything(prepared, tmp_path)
    some = [tool for turn, tool in enumerate(calls) if tool in KINDS or not turn % 4]
    for place, tools in (
        ("gateway.bind", some),
        ("shaping.summarise", some),
        ("guard.build_impact", KINDS),
        ("guard.digest_of", KINDS),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"ap_mcp.{place}", fail)
            async with watched(tmp_path, leaks, prepared, Meddling(unchecked(prepared.state), Planter())) as agent:
                for tool in tools:
                    leaks.check(f"{place} {tool}", await leaving(agent, await agent.run(tool, calls[tool])))
        assert any("failed: ValueError" in message for message in caplog.messages), place
        caplog.clear()


async def test_no_secret_stands_in_an_exception(tmp_path: Path, prepared: Prepared, leaks: Leaks) -> None:
    transport = Refusing(keyed(prepared.state))
    count = 0
    async with autopilot_on(
        transport.app, OURS.exports(ENDPOINT), transport, **folders(tmp_path, prepared)
    ) as autopilot:
        for turn, (tool, arguments) in enumerate(everything(prepared, tmp_path).items()):
            transport.only = tool
            for number in range(turn % 6, len(refusals()), 6):
                transport.number = number
                for error in await raised(autopilot, tool, arguments):
                    leaks.check(f"{tool}, refusal {number}", *shown(error))
                    count += 1
    assert count > len(TOOLS) * 2


def folders(tmp_path: Path, prepared: Prepared) -> dict[str, Any]:
    """Settings that keep all files below one folder."""
    names = {"audit_log": "audit.jsonl", "approvals_db": "approvals.db", "approver_dir": "config", "files_dir": "files"}
    return {"chart_roots": (tmp_path, prepared.folder), **{name: tmp_path / path for name, path in names.items()}}


async def raised(autopilot: Autopilot, tool: str, arguments: Mapping[str, Any]) -> list[ApMcpError]:
    try:
        await autopilot.call(tool, arguments)
    except ApMcpError as error:
        return [error]
    return []


def shown(error: BaseException) -> list[str]:
    """All ways to show an error."""
    return ["".join(traceback.format_exception(error)), str(error), repr(error)]


# The command line


def test_no_secret_is_printed_by_a_call(
    tmp_path: Path, prepared: Prepared, leaks: Leaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, settings = everything(prepared, tmp_path), folders(tmp_path, prepared)
    served: list[Meddling] = []

    def autopilot(*_: Any, **__: Any) -> Autopilot:
        return autopilot_on(served[-1].app, None, served[-1], **settings)

    monkeypatch.setattr(import_module("ap_mcp.cli.call"), "chosen_autopilot", autopilot)
    for turn, (tool, arguments) in enumerate(calls.items()):
        output = ("text", "json", "raw")[turn % 3]
        served.append(Meddling(unchecked(prepared.state), Planter(turn)))
        done = CliRunner().invoke(main, ["call", tool, "--json", "-", "--output", output], json.dumps(arguments))
        assert done.stdout or done.exit_code, done.stderr
        leaks.check(f"call {tool} {output}", done.stdout, done.stderr)
    leaks.check_below(tmp_path, except_for=("files", CHART))


def test_no_secret_is_repeated_by_a_command_that_is_misspelt(leaks: Leaks) -> None:
    whole = json.dumps({"auth": {"password": MARK}})
    for pair in (f"values={whole[:-1]}", f"values={whole}", f"password={MARK}", f"DB_PASSWORD={MARK}", whole):
        done = CliRunner().invoke(main, ["call", "--simulate", "create_release", pair])
        assert done.exit_code == 2
        leaks.check(pair[:12], done.output)


def test_a_passphrase_is_seen_nowhere(tmp_path: Path, leaks: Leaks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(keys, "SCRYPT_COST", 2**10)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    first, second = f"{MARK} passphrase", f"{MARK} other passphrase"
    now = datetime.now(UTC)
    asked = question(created=now, expires=now + 10 * MINUTE)
    ConsentFile(tmp_path / ".local" / "state" / "ap-mcp" / "approvals.db").ask(asked)
    runs = [
        (["approvals", "init", "--name", "alice"], [first, first]),
        (["approvals", "init", "--name", "alice"], ["not that one", second, second]),
        (["approvals", "init", "--name", "alice"], [first, second, second]),
        (["approvals", "approve", asked.code], [asked.name, first]),
        (["approvals", "approve", asked.code], [asked.name, second]),
        (["approvals", "show", asked.code], []),
        (["approvals", "list"], []),
        (["audit", "show"], []),
    ]
    codes = []
    for command, typed in runs:
        done = CliRunner().invoke(main, command, "".join(f"{line}\n" for line in typed))
        codes.append(done.exit_code)
        leaks.check(" ".join(command), done.output, repr(done.exception))
    assert codes == [0, 4, 0, 4, 0, 0, 0, 0]
    leaks.check_below(tmp_path)


# A process of its own


async def test_no_secret_leaves_a_server_process_that_logs_all_it_can(
    tmp_path: Path, prepared: Prepared, leaks: Leaks
) -> None:
    app = keyed(prepared.state)
    for cluster in app.state.world.table("clusters").values():
        cluster["spec"]["description"] = f"to be reached with password={MARK}"
    with running(app) as base_url, (tmp_path / "stderr.txt").open("w") as log, anyio.fail_after(30):
        ours = {"AP_MCP_LOG_LEVEL": "debug", "AP_MCP_STATE_KEY": f"{MARK}-the-key-that-seals-what-travels"}
        environment = {
            **OURS.exports(base_url),
            **ours,
            "HOME": str(tmp_path),
            "AP_MCP_PROXY": f"http://u:{MARK}@127.0.0.1:1",
        }
        server = StdioServerParameters(command=python(), args=["-m", "ap_mcp", "serve"], env=environment)
        async with Client(stdio_client(server, log)) as client:
            for tool, arguments in (
                ("get_cluster", {"cluster_id": SHOP_PROD}),
                ("get_cluster", {"cluster_id": f"token={MARK}"}),
                ("delete_cluster", {"cluster_id": SEARCH_DEV}),
                ("create_release", {**RELEASE, "values": {"auth": {"password": MARK}}}),
                ("get_chart", {"chart_id": f"?password={MARK}"}),
            ):
                result = await client.call_tool(tool, arguments)
                leaks.check(tool, result.model_dump_json())
    said = (tmp_path / "stderr.txt").read_text()
    assert "serves on stdio" in said
    assert "'get_cluster' called by" in said
    assert "get_cluster: GET: HTTP 200 in" in said
    leaks.check_below(tmp_path)


async def test_a_proxy_that_does_not_answer_is_reported_without_its_password(leaks: Leaks) -> None:
    chosen = settings(proxy=f"http://user:{MARK}@127.0.0.1:1")
    leaks.check("settings", repr(chosen), str(chosen))
    async with CloudClient(chosen, Credentials(KEY, "a test", project_id="p1")) as client:
        with pytest.raises(ApMcpError) as caught:
            await client.send(GET)
    leaks.check("error", *shown(caught.value), caught.value.render())
