"""One guarded call on an account of its own, and every way somebody could try to get it through."""

import copy
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import pytest
from agent import READS, Agent, Clock, connected, is_trial, text_of
from approving import ALICE
from guarded import IN_CLUSTERS, OTHERWISE, guarded_account
from mcp.client.session import ElicitationFnT
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from simulation import simulate, touched, world_in

from ap_mcp.guard.approval_requests import Question
from ap_mcp.guard.form_answers import FIELD
from ap_mcp.guard.keys import APPROVERS_FILE, Approver, sign
from ap_mcp.protocol import QUESTION
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD, SEARCH_DEV
from ap_mcp.simulator.upgrade_state import UPGRADES, WORKFLOWS
from ap_mcp.simulator.world import World, copied
from ap_mcp.specs import load_catalog
from ap_mcp.state.consent_file import ConsentFile
from ap_mcp.vendor import get

OPERATIONS = sorted(each.id for each in load_catalog().values() if each.guarded)
TOOLS = sorted([*OPERATIONS, *IN_CLUSTERS])
KINDS = (
    "cancel_upgrade_workflow",  # on a part of a cluster, by an impact of its own
    "create_maintenance_window",  # by an impact from the spec
    "create_release",  # graver by its arguments
    "delete_cluster",  # for good
    "delete_job_record",  # on no cluster
    "get_cluster_certificate",  # secret, the answer goes to a file
    "update_addon",  # filled in from what is there
    "upload_chart",  # with a local file
    "k8s_delete",  # inside a cluster, checked by it first
)
"""One guarded tool of each kind: where only the channel is tested, the others would go the same way."""
ERAS = ("auto", "legacy")
DENYING = '[[rules]]\ndecision = "deny"\ntools = ["{tool}"]\n'
OTHER = '[[rules]]\ndecision = "ask"\napprover = "other"\ntools = ["{tool}"]\n'
ANOTHER = dict(zip(TOOLS, [*TOOLS[1:], TOOLS[0]], strict=True))
"""For each tool another one."""
STATE_KEY = "a key that all servers of a test share"
ANY_ID = "3d7c0a52-5c1e-11ef-9a41-0255ac100d01"
SOON = timedelta(seconds=1)


@dataclass(frozen=True)
class Prepared:
    """An account in which every guarded call would go through, and those calls."""

    state: Mapping[str, Any]
    calls: Mapping[str, dict[str, Any]]
    folder: Path


def prepare(folder: Path) -> Prepared:
    """Prepare an account; charts to upload lie in `folder`."""
    return Prepared(*anyio.run(guarded_account, folder), folder)


@dataclass
class Scene:
    """A guarded call that waits for its consent; `sent` is what may have gone out when the test ends."""

    tool: str
    mode: str
    arguments: dict[str, Any]
    app: Simulator = field(repr=False)
    folder: Path
    charts: Path
    clock: Clock = field(default_factory=Clock)
    sent: list[str] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def world(self) -> World:
        return self.app.state.world

    @property
    def store(self) -> ConsentFile:
        """The store that the server and the approvers share, as Alice's terminal sees it."""
        return ConsentFile(self.folder / "state" / "approvals.db")

    @property
    def changes(self) -> list[str]:
        """What the simulator got beside reads."""
        changing = [each for each in self.app.state.log if each.method != "GET" and not is_trial(each.operation)]
        return [self.tool if each.operation.startswith("kubernetes_") else each.operation for each in changing]

    def begin(self) -> None:
        """Remember how everything is; what a test changes by itself comes before."""
        self.before = {**self.before, **copied(touched(self.world))}

    def check(self) -> None:
        """Nothing went out but what the test said; without it, nothing in the account is different."""
        assert self.changes == self.sent
        assert self.sent or is_as_before(self.world, self.before)

    @asynccontextmanager
    async def connect(
        self, person: ElicitationFnT | None = None, *, patience: float | None = None, **settings: Any
    ) -> AsyncIterator[Agent]:
        """Connect a client; with a person it can show forms."""
        given = {"chart_roots": (self.charts,), "state_key": STATE_KEY, "unasked": False, **settings}
        server = partial(connected, self.folder, app=self.app, mode=self.mode)
        async with server(person=person, consent_clock=self.clock, **given) as agent:
            if patience is not None:
                agent.autopilot.confirmer = replace(agent.autopilot.confirmer, patience=patience)
            yield agent

    async def refused(self, agent: Agent, arguments: Mapping[str, Any] | None = None, **more: Any) -> str:
        """Make the call, or another one; it must be refused with words that say that nothing went out."""
        said = await agent.fail(self.tool, **(self.arguments if arguments is None else arguments), **more)
        return checked_refusal(said)

    async def waits(self, agent: Agent, arguments: Mapping[str, Any] | None = None) -> Question:
        """Make the call; it must end up as a question that a person answers elsewhere."""
        said = await self.refused(agent, arguments)
        assert said.startswith("approval_required: code "), said
        code = said.partition("Code: ")[2].partition(". ")[0]
        assert f"ap-mcp approvals approve {code}" in said
        asked = self.store.find(code)
        assert asked
        return asked.question

    async def token(self, agent: Agent, arguments: Mapping[str, Any] | None = None) -> str:
        """Make the call; return the token that a server in mode `token` answers with."""
        await self.waits(agent, arguments)
        return token_in(agent.said)

    async def done(self, agent: Agent, **more: Any) -> dict[str, Any]:
        """Make the call, which must now go through."""
        self.sent.append(self.tool)
        return await agent.call(self.tool, **self.arguments, **more)

    def decide(self, question: Question, approver: Approver = ALICE, *, approved: bool = True) -> None:
        """Answer a question, signed, a moment after it was asked."""
        self.clock.pass_by(SOON)
        self.store.decide(question.code, sign(approver, question, approved, self.clock()))
        self.clock.pass_by(SOON)


def is_as_before(world: World, before: Mapping[str, Any]) -> bool:
    """Say whether an account has the tables that it had; those that nobody asked for since are as they were."""
    now = touched(world)
    return as_kept(now) == as_kept({name: rows for name, rows in before.items() if name in now})


def as_kept(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of an account without what a cluster notes for itself when it is only asked for something.

    Those are the place for a kind, and when its controllers try again what failed.
    """
    clusters = {
        uid: {**rows, "objects": {kind: found for kind, found in rows["objects"].items() if found}}
        for uid, rows in tables.get("kubernetes", {}).items()
    }
    return {**tables, "kubernetes": clusters, "kubernetes_retries": {}}


def token_in(said: str) -> str:
    """The token in an answer that waits for a person."""
    return said.partition("confirmation_token=")[2].partition("\n")[0]


def is_part_of_cluster(tool: str) -> bool:
    """Say whether a tool acts on something that is in a cluster already: an add-on, a workflow, a release."""
    if tool in IN_CLUSTERS:
        return False
    operation = load_catalog()[tool]
    apart = operation.target is not None and operation.target.argument != "cluster_id"
    return apart and "cluster_id" in operation.arguments and tool != "create_release"


Scenes: TypeAlias = Callable[..., Scene]
"""Makes a scene of a tool, an era, and arguments beside those of its call."""


def scenes(*cases: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test in the scenes of these tools and eras."""
    return pytest.mark.parametrize("scene", cases, ids=[" ".join(case) for case in cases], indirect=True)


in_one_era = scenes(*zip(TOOLS, itertools.cycle(ERAS), strict=False))
"""For what is no matter of the protocol: half of the tools in the one era, half in the other."""
with_every_tool = scenes(*sorted({*zip(TOOLS, itertools.cycle(ERAS), strict=False), *itertools.product(KINDS, ERAS)}))
"""Every tool, one of each kind in both eras."""
of_each_kind_in_both_eras = scenes(*itertools.product(KINDS, ERAS))
of_each_kind_in_2026 = scenes(*itertools.product(KINDS, ["auto"]))
of_each_kind_in_2025 = scenes(*itertools.product(KINDS, ["legacy"]))
of_each_kind = scenes(*zip(KINDS, itertools.cycle(ERAS), strict=False))
of_an_operation_and_in_a_cluster = scenes(("delete_cluster", "auto"), ("k8s_delete", "legacy"))
"""For what is about the store, its approvers and the policy: they are asked about a digest, and know no tool."""
on_parts_of_clusters = scenes(*itertools.product(filter(is_part_of_cluster, TOOLS), ERAS))


def checked_refusal(said: str) -> str:
    """Check that a refusal says that nothing was sent, and what to do now."""
    assert "othing was sent" in said, said
    if "with the arguments." in said:
        return said  # what is wrong with each stands there
    ways = ("all again", "call ", "ap-mcp approvals", "it takes", "did you mean", "Do not ask", "perator", "list_")
    assert any(way in said for way in (*ways, "Name ")), said
    return said


async def leg(agent: Agent, scene: Scene, **more: Any) -> InputRequiredResult | CallToolResult:
    """Make one leg of a call by hand, as a client of 2026 could."""
    arguments = more.pop("arguments", scene.arguments)
    with anyio.fail_after(20):
        result: InputRequiredResult | CallToolResult = await agent.client.session.call_tool(
            more.pop("tool", scene.tool), arguments, allow_input_required=True, **more
        )
    return result


async def question_of(agent: Agent, scene: Scene, **more: Any) -> InputRequiredResult:
    """Make a call whose answer must be a question, and read it."""
    result = await leg(agent, scene, **more)
    assert isinstance(result, InputRequiredResult), text_of(result)
    scene.clock.pass_by(READS)
    return result


async def forged(agent: Agent, scene: Scene, **more: Any) -> None:
    """Make a leg of a call whose state the server did not make: refused as a wrong request, and nobody is asked."""
    with pytest.raises(MCPError, match=r"Nothing was sent\.") as caught:
        await leg(agent, scene, **more)
    assert caught.value.error.code == INVALID_PARAMS


def answer_to(asked: InputRequiredResult, **changes: Any) -> dict[str, Any]:
    """What a client sends back once a person has typed the right name."""
    assert asked.input_requests
    form = asked.input_requests[QUESTION].params
    assert isinstance(form, ElicitRequestFormParams)
    typed = ElicitResult(action="accept", content={FIELD: name_in(form.message)})
    return {"input_responses": {QUESTION: typed}, "request_state": asked.request_state, **changes}


def name_in(message: str) -> str:
    """The name that a form wants typed."""
    return message.rpartition('exactly: "')[2].removesuffix('"')


def scene_of(prepared: Prepared, tool: str, mode: str, folder: Path) -> Scene:
    """Return a scene on an account of its own; Alice is its only approver."""
    config = folder / "config"
    config.mkdir(mode=0o700, parents=True)
    (config / APPROVERS_FILE).write_text(json.dumps({ALICE.name: ALICE.public_text}))
    # Whether its answers fit the specs is tested elsewhere, at length.
    app = simulate(world_in(prepared.state), strict_answers=False)
    arguments = copy.deepcopy(prepared.calls[tool])
    return Scene(tool, mode, arguments, app, folder, prepared.folder, before=prepared.state["tables"])


def another_call(scene: Scene) -> dict[str, Any]:
    """Return the arguments of another call of the same tool that a person could be asked about too."""
    world, given = scene.world, scene.arguments
    made = {
        "delete_addon": _another_addon,
        "rollback_addon": _another_rollback,
        "retry_upgrade": _another_failure,
        "cancel_upgrade_workflow": _another_workflow,
        "delete_job_record": _another_job,
    }
    more = made[scene.tool](world) if scene.tool in made else OTHERWISE[scene.tool]
    scene.begin()
    return {**given, **more}


def touch(scene: Scene, number: int = 0) -> None:
    """Change what the call would touch, in a way that a person who agrees to it needs to know."""
    if "cluster_id" in scene.arguments:
        tags = scene.world.table("clusters")[scene.arguments["cluster_id"]]["spec"].setdefault("clusterTags", [])
        tags.append({"key": f"changed-{number}", "value": ""})
    else:
        for chart in scene.world.table("charts").values():
            chart["update_at"] = f"2025-06-01T00:00:{number:02}Z"
        for job in scene.world.table("jobs").values():
            job["status"]["reason"] = f"changed {number}"
    scene.begin()


def addon_in(world: World, cluster_id: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(each for each in addons_of(world, cluster_id) if each["metadata"]["name"] == name)
    return row


def _another_addon(world: World) -> dict[str, Any]:
    return {"addon_id": addon_in(world, SEARCH_DEV, "dew-provider")["metadata"]["uid"]}


def _another_rollback(world: World) -> dict[str, Any]:
    addon = addon_in(world, PAYMENTS_PROD, "log-agent")
    addon["status"] |= {"isRollbackable": True, "previousVersion": "1.5.0"}
    return {"cluster_id": PAYMENTS_PROD, "addon_id": addon["metadata"]["uid"]}


def _another_failure(world: World) -> dict[str, Any]:
    failed = next(each for each in world.table(UPGRADES).values() if each["status"]["phase"] == "Failed")
    _copy(world, UPGRADES, failed, _clusterID=CHECKOUT_STAGING)
    return {"cluster_id": CHECKOUT_STAGING}


def _another_workflow(world: World) -> dict[str, Any]:
    opened = next(each for each in world.table(WORKFLOWS).values() if get(each, "/status/phase") == "Init")
    return {"upgrade_workflow_id": _copy(world, WORKFLOWS, opened)}


def _another_job(world: World) -> dict[str, Any]:
    failed = next(each for each in world.table("jobs").values() if get(each, "/status/phase") == "Failed")
    return {"job_id": _copy(world, "jobs", failed)}


def _copy(world: World, table: str, row: Mapping[str, Any], **changes: Any) -> str:
    """Put a copy of a row under an id of its own."""
    made = {**copy.deepcopy(dict(row)), **changes}
    uid = made["metadata"]["uid"] = world.new_id()
    world.table(table)[uid] = made
    return uid


def as_somebody_else(monkeypatch: pytest.MonkeyPatch, name: str = "somebody-else") -> None:
    """Let servers that start now run for another user."""
    monkeypatch.setattr("ap_mcp.protocol.local_user", lambda: name)


def tampered(sealed: str) -> list[str]:
    """Spellings of a sealed text that differ in a single place."""
    places = (0, len(sealed) // 2, len(sealed) - 1)
    flipped = [f"{sealed[:at]}{'A' if sealed[at] != 'A' else 'B'}{sealed[at + 1 :]}" for at in places]
    return [*flipped, f"{sealed}="]


def message_of(asked: InputRequiredResult) -> str:
    assert asked.input_requests
    form = asked.input_requests["consent"].params
    assert isinstance(form, ElicitRequestFormParams)
    return form.message


def text_in(result: CallToolResult | InputRequiredResult) -> str:
    assert isinstance(result, CallToolResult)
    return text_of(result)


def policy(scene: Scene, text: str) -> Path:
    path = scene.folder / "policy.toml"
    path.write_text(text.format(tool=scene.tool))
    return path
