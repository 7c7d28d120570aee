"""`ap-mcp demo`: an agent builds, upgrades and removes clusters, over real MCP on the simulator.

Whatever is guarded waits for a person, whom the demo plays too; the server does not know that.
"""

import io
import json
import re
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ap_mcp.cli.options import exits
from ap_mcp.cli.outcomes import ENDED_WELL

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import ClientRequestContext
    from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult
    from rich.console import Console

SPEED = 360.0
READS = 3.2
"""Seconds the person takes over a form."""
LONGEST_TEXT = 24
LONGEST_QUESTION = 14
NAME = "aurora"
PRODUCTION = "shop-prod"
CRASHING = {"namespace": "shop", "name": "catalog-search"}
VERSION = "v1.29"
TARGET = "v1.29"
NETWORK = {
    "vpc_id": "2f1d6a0c-9b3e-4f57-8c41-6d0a9e7b5c10",
    "subnet_id": "a041c2d8-75c6-4093-8b8b-46d293e76087",
    "eni_subnet_ids": ["4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21"],
}
FOLDERS = {
    "files_dir": "files",
    "chart_roots": ".",
    "approvals_db": "state/approvals.db",
    "audit_log": "state/audit.jsonl",
    "approver_dir": "config",
}
"""Where the server of the demo keeps what others have in their home folder."""
CHART = {
    "hello/Chart.yaml": "apiVersion: v2\nname: hello\nversion: 0.1.0\ndescription: Says hello\n",
    "hello/values.yaml": "replicas: 1\n",
    "hello/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n",
}


@click.command(short_help="Watch an agent build, repair and upgrade simulated clusters.")
@exits
def demo() -> None:
    """Watch an agent build a cluster and upgrade another, on the simulator: real MCP, real HTTP, signed requests."""
    import anyio
    from rich.console import Console

    with tempfile.TemporaryDirectory(prefix="ap-mcp-demo-") as folder:
        anyio.run(_session, Console(highlight=False, soft_wrap=True), Path(folder))


async def _session(console: "Console", folder: Path) -> None:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client

    arguments = ["-m", "ap_mcp", "serve", "--simulate", "--speed", str(SPEED)]
    own = {f"AP_MCP_{name.upper()}": str(folder / place) for name, place in FOLDERS.items()}
    own["AP_MCP_FORMS"] = "always"  # the person of the demo gets every form whole, and it is no client that is known
    server = StdioServerParameters(command=sys.executable, args=arguments, env=get_default_environment() | own)
    person = Person(console)
    console.print("[bold]ap-mcp demo: a day with Autopilot clusters[/]")
    console.print(
        f"agent <-> stdio <-> ap-mcp serve <-> signed HTTP <-> simulator, {SPEED:g} times as fast as real time"
    )
    failure = None
    async with Client(stdio_client(server, sys.stderr), elicitation_callback=person) as client:
        try:
            await Story(client, console, folder, person).run()
        except click.ClickException as error:
            failure = error
    if failure:  # raised only here: the client's task groups would wrap it
        raise failure
    console.print(
        "\n[bold green]Done: one cluster was built and removed, another fixed and upgraded, a release rolled back; "
        "no cloud was touched.[/]"
    )


@dataclass
class Person:
    """Plays the person at the client: is shown what a call would do, and types the name of what it touches, or not."""

    console: "Console"
    agrees: bool = True
    asked: int = 0
    reads: float = READS

    async def __call__(self, context: "ClientRequestContext", params: "ElicitRequestParams") -> "ElicitResult":  # noqa: ARG002
        """Answer a form that the server has the client show, after a while: a server takes no quick answer for one."""
        import anyio
        from mcp_types import ElicitResult

        self.asked += 1
        *impact, wanted = params.message.splitlines()
        shown = impact if len(impact) <= LONGEST_QUESTION else [*impact[: LONGEST_QUESTION - 1], "…"]
        framed = ["┌ the person is asked", *(f"│ {line}" for line in (*shown, wanted)), "└"]
        self.console.print("\n".join(f"    {line}" for line in framed), style="magenta", markup=False)
        await anyio.sleep(self.reads)
        if not self.agrees:
            self.console.print("    the person declines", style="bold magenta")
            return ElicitResult(action="decline")
        name = json.loads(wanted.partition(": ")[2])
        self.console.print(f"    the person types: {name}", style="bold magenta", markup=False)
        return ElicitResult(action="accept", content={"name": name})


@dataclass
class Story:
    """One agent's session, shown step by step; a step that goes wrong ends it with an error."""

    client: "Client"
    console: "Console"
    folder: Path
    person: Person
    step: int = 0
    assessed: dict[str, Any] = field(default_factory=dict)

    async def run(self) -> None:
        """Run the whole story."""
        await self._first_read()
        await self._build()
        await self._equip()
        await self._blocked()
        await self._fix()
        await self._check()
        await self._upgrade()
        await self._crashing()
        await self._declined()
        await self._remove()

    async def _first_read(self) -> None:
        tools = (await self.client.list_tools()).tools
        listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
        size = len(json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode())
        self._say(f"The agent is offered {len(tools)} tools in {size:,} bytes, and reads what there is")
        await self.call("list_clusters")

    async def _build(self) -> None:
        self._say("It asks for a cluster, and makes mistakes: all are reported at once, nothing is sent")
        await self.fail("create_cluster", name="Aurora!", vpc=NETWORK["vpc_id"], subnet_id=NETWORK["subnet_id"])
        self._say("It corrects the call; the cluster is built by a job")
        made = await self.call("create_cluster", name=NAME, version=VERSION, tags={"env": "demo"}, **NETWORK)
        await self.wait("job", made["job_id"])
        await self.call("get_cluster", cluster_id=NAME)

    async def _equip(self) -> None:
        self._say("An add-on, and a chart of its own as a release; clusters go by name")
        addon = await self.call("install_addon", cluster_id=NAME, template_name="nginx-ingress")
        await self.wait("addon", addon["id"], cluster_id=NAME)
        chart = await self.call("upload_chart", chart_path=str(_chart(self.folder)))
        place = {"cluster_id": NAME, "namespace": "default"}
        values = {"replicas": 2}
        await self.call("create_release", **place, name="hello", chart_id=chart["id"], version="0.1.0", values=values)
        await self.wait("release", "hello", **place)
        self._say("A kubeconfig is handed out once a person agrees, to a file and never into the conversation")
        await self.agreed("get_cluster_certificate", cluster_id=NAME, duration_days=1)

    async def _blocked(self) -> None:
        self._say(
            "Is the production cluster ready for an upgrade? One question reads everything, and names what is not"
        )
        self.assessed = await self._assess("not_yet")
        self._say("A client uses an API that goes away: its workload is found inside the cluster, with its version")
        await self._client_of_what_goes()
        self._say("An upgrade now is refused, without asking a person")
        await self.fail("upgrade_cluster", cluster_id=PRODUCTION, target_version=TARGET)

    async def _client_of_what_goes(self) -> None:
        program = re.search(r"used by ([\w-]+)/", json.dumps(self.assessed))
        if program is None:
            raise click.ClickException("The assessment should have named who uses what goes away.")
        chosen = {"kind": "statefulset", "field_selector": f"metadata.name={program[1]}"}
        found = await self.call("k8s_list", cluster_id=PRODUCTION, **chosen)
        shown = dict(zip(found["columns"], found["rows"][0], strict=True))
        where = {"namespace": shown["Namespace"], "name": shown["Name"]}
        await self.call("k8s_get", cluster_id=PRODUCTION, kind="statefulset", **where)

    async def _crashing(self) -> None:
        self._say("A release counts as DEPLOYED, and a pod of it crashes: why is concluded, and read in its log")
        release = {"cluster_id": PRODUCTION, **CRASHING}
        await self.call("get_release", **release)
        diagnosed = await self.call("k8s_diagnose", cluster_id=PRODUCTION, namespace=CRASHING["namespace"])
        await self.follow("k8s_logs", diagnosed)
        self._say("What changed is in its history; a person agrees to go back, and the rollout is waited for")
        history = await self.follow("get_release_history", diagnosed)
        await self.follow("update_release", history, agreed=True)
        await self.wait("release", CRASHING["name"], cluster_id=PRODUCTION, namespace=CRASHING["namespace"])
        rolled = f"deployment/{CRASHING['name']}"
        await self.wait("rollout", rolled, cluster_id=PRODUCTION, namespace=CRASHING["namespace"])
        healthy = await self.call("k8s_diagnose", cluster_id=PRODUCTION, namespace=CRASHING["namespace"])
        if healthy["findings"]:
            raise click.ClickException(f"{CRASHING['name']} should work now.")

    async def _fix(self) -> None:
        self._say("The add-on that blocks it: the assessment has the call that fixes it, and a person agrees to it")
        await self.follow("update_addon", self.assessed, agreed=True)
        await self.follow("wait_for", self.assessed)

    async def _check(self) -> None:
        self._say("The check again: what blocked is fixed, and the risks are known; they are accepted, ready-made")
        check = await self.follow("run_precheck", self.assessed)
        await self.wait("precheck", check["task_id"], cluster_id=PRODUCTION)
        self._say("A backup, as an upgrade cannot be undone")
        backup = await self.follow("backup_cluster", self.assessed)
        await self.wait("backup", backup["task_id"], cluster_id=PRODUCTION)

    async def _upgrade(self) -> None:
        self._say("Assessed again: nothing blocks it. A person sees what the upgrade means, and agrees")
        ready = await self._assess("go")
        task = await self.follow("upgrade_cluster", ready, agreed=True)
        await self.wait("upgrade_task", task["task_id"], cluster_id=PRODUCTION)
        await self.follow("run_postcheck", ready)
        await self.call("get_upgrade_info", cluster_id=PRODUCTION)

    async def _assess(self, verdict: str) -> dict[str, Any]:
        found = await self.call("assess_upgrade", cluster_id=PRODUCTION, target_version=TARGET)
        if found["verdict"] != verdict:
            raise click.ClickException(f"The assessment should have been {verdict}, and is {found['verdict']}.")
        return found

    async def _declined(self) -> None:
        self._say("An agent with bad ideas would delete it instead; the person says no, and nothing is sent")
        self.person.agrees = False
        await self.fail("delete_cluster", cluster_id=PRODUCTION)
        self.person.agrees = True
        from ap_mcp.rules.phases import CLUSTER, succeeded

        shown = await self.call("get_cluster", cluster_id=PRODUCTION)
        if not succeeded(CLUSTER, shown["phase"]):
            raise click.ClickException(f"{PRODUCTION} should have been left alone.")

    async def _remove(self) -> None:
        self._say(
            "The end of the first cluster: the person is shown what goes with it and what stays behind, and agrees"
        )
        gone = await self.agreed("delete_cluster", cluster_id=NAME, delete_net="block")
        await self.wait("job", gone["job_id"])
        await self.fail("get_cluster", cluster_id=NAME)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must succeed, show what the agent reads, and return the structured half."""
        result = await self._called(tool, arguments)
        if result.is_error:
            raise click.ClickException(f"{tool} failed:\n{_text(result)}")
        self._show(_text(result))
        return dict(result.structured_content or {})

    async def follow(self, tool: str, result: dict[str, Any], *, agreed: bool = False) -> dict[str, Any]:
        """Make the call of a tool that a result proposes next, just as it stands there; `agreed` as a person must."""
        proposed = next((each for each in result.get("next", []) if each["tool"] == tool), None)
        if proposed is None:
            raise click.ClickException(f"{tool} should have been proposed.")
        return await (self.agreed if agreed else self.call)(tool, **proposed["arguments"])

    async def agreed(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool as `call` does; a person must have been asked before."""
        before = self.person.asked
        result = await self.call(tool, **arguments)
        if self.person.asked == before:
            raise click.ClickException(f"No person was asked about {tool}.")
        return result

    async def fail(self, tool: str, **arguments: Any) -> None:
        """Call a tool that must be refused, and show what the agent reads."""
        result = await self._called(tool, arguments)
        if not result.is_error:
            raise click.ClickException(f"{tool} should have been refused:\n{_text(result)}")
        self._show(_text(result), style="yellow")

    async def wait(self, kind: str, id_: str, **where: str) -> dict[str, Any]:
        """Wait for something to end as it should; show how it gets on, and return what the agent reads at the end."""

        async def show(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
            self.console.print(f"    … {message}", style="dim", markup=False)

        arguments = {"kind": kind, "id": id_, **where}
        self._announce("wait_for", arguments)
        result = await self.client.call_tool("wait_for", arguments, progress_callback=show)
        self._show(_text(result))
        ended = dict(result.structured_content or {})
        if ended.get("verdict") not in ENDED_WELL:
            raise click.ClickException(f"The wait for the {kind} should have succeeded.")
        return ended

    async def _called(self, tool: str, arguments: dict[str, Any]) -> "CallToolResult":
        self._announce(tool, arguments)
        return await self.client.call_tool(tool, arguments)

    def _say(self, text: str) -> None:
        self.step += 1
        self.console.print(f"\n[bold cyan]{self.step}. {text}.[/]")

    def _announce(self, tool: str, arguments: dict[str, Any]) -> None:
        given = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
        self.console.print(f"\n  > {tool}({given})", style="bold", markup=False)

    def _show(self, text: str, style: str = "dim") -> None:
        lines = [line for line in text.splitlines() if not line.startswith(("request_id:", "whole answer:"))]
        left = len(lines) - LONGEST_TEXT
        shown = lines if left <= 1 else [*lines[:LONGEST_TEXT], f"… {left} more"]
        self.console.print("\n".join(f"    {line}" for line in shown), style=style, markup=False)


def _text(result: "CallToolResult") -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


def _chart(folder: Path) -> Path:
    """Write a small chart archive and return its path."""
    path = folder / "hello-0.1.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in CHART.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path
