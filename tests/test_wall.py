"""Nothing but reads leaves without a permit of the guard, whatever is called, however it ends."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, autopilot_on, connected
from guarded import Action, Person, account, guarded_account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation import simulate
from sources import modules

from ap_mcp.binding import HttpCall, bind
from ap_mcp.cloud.auth import SIGN_IN_REQUESTS, sign_in_permit
from ap_mcp.cluster_requests import cluster_request
from ap_mcp.errors import NotPermitted, ReadOnly
from ap_mcp.gateway import Gateway
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.guarding import Cleared
from ap_mcp.guard.policy import Policy
from ap_mcp.permits import Permit, digest_of
from ap_mcp.server import Autopilot
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import SEARCH_DEV, TEAM_SANDBOX
from ap_mcp.simulator.faults import KINDS, Kind
from ap_mcp.specs import Catalog, load_catalog

PROJECT = SIMULATED_CREDENTIALS.project_id


# What the package's own code can reach


def code() -> Iterator[tuple[str, ast.AST]]:
    """Every node of every module but the simulator's, with the module's path."""
    return ((name, node) for name, nodes in modules().items() if not name.startswith("simulator/") for node in nodes)


@cache
def callers() -> dict[str, set[str]]:
    """By the name of a function or method, the modules that call one of that name."""
    found: dict[str, set[str]] = {}
    for module, node in code():
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            found.setdefault(str(name), set()).add(module)
    return found


def calls_of(*names: str) -> set[str]:
    """The modules that call a function or method of one of these names."""
    return set().union(*(callers().get(name, ()) for name in names))


def test_only_the_guard_and_the_sign_in_make_permits() -> None:
    assert calls_of("Permit") == {"guard/guarding.py", "cloud/auth.py"}
    assert calls_of("sign_in_permit") == {"cloud/client.py"}


def test_only_the_gateway_has_the_cloud_client_and_only_the_client_has_the_library() -> None:
    assert calls_of("CloudClient") == {"cli/connecting.py"}  # makes it, for the gateway to call
    assert calls_of("AsyncClient") == calls_of("AsyncHTTPTransport") == {"cloud/lines.py"}
    assert calls_of("Lines") == {"cloud/client.py", "cloud/lines.py"}  # the latter for webhooks, which reach no cloud
    touched = {module for module, node in code() if isinstance(node, ast.Attribute) and node.attr == "_cloud"}
    assert touched == {"gateway.py"}


def test_requests_leave_the_client_for_the_gateway_and_the_gateway_for_one_module_of_the_server() -> None:
    # Messages on a stream, the body of a request that came in, and its answer: no requests of ours.
    to_our_client = {"stdio.py", "web/approval_forms.py", "web/gate.py"}
    assert (calls_of("send", "stream") - to_our_client) | (calls_of("request") - {"proposals.py", "server.py"}) == {
        "lost_answers.py",  # gateway.send, with a permit
        "reads.py",  # gateway.send, of what reads a cluster's Kubernetes API
        "server.py",  # gateway.send, with the permit of a dry run
        "introductions.py",  # gateway.send, with the guard's permit: the certificate of direct access
        "gateway.py",  # cloud.send, behind the wall
        "cloud/client.py",  # of the library
        "cloud/agency.py",  # of the library: temporary keys, from the cloud server's own metadata
        "webhooks/posting.py",  # to the operator's own webhooks, unsigned: nothing that the cloud would take
        "web/issuer_keys.py",  # of the library: public keys of those who vouch for callers, nothing of the cloud
    }


def test_requests_are_made_from_the_specs_and_for_the_sign_in_only() -> None:
    assert calls_of("HttpCall") == {"binding.py", "cloud/auth.py", "cloud/client.py", "cluster_requests.py"}
    assert {(operation, method) for operation, method, _ in SIGN_IN_REQUESTS} == {
        ("sign_in", "POST"),
        ("find_project", "GET"),
    }


# What the gateway lets out


def requested(name: str, **arguments: Any) -> HttpCall:
    return bind(load_catalog()[name], arguments, project_id=PROJECT)


POD = ("api", "v1", "namespaces", "shop", "pods", "cart-1")
RIGHTS = "/apis/authorization.k8s.io/v1"
A_POD = cluster_request("k8s_get", SEARCH_DEV, "GET", POD)
DELETION = requested("delete_cluster", cluster_id=TEAM_SANDBOX)
FORGERIES = [
    DELETION,
    requested("get_cluster_certificate", cluster_id=TEAM_SANDBOX, duration_days=1),
    requested("add_cluster_tags", cluster_id=TEAM_SANDBOX, tags={"a": "b"}),
    replace(DELETION, operation_id="get_cluster"),
    replace(DELETION, operation_id="get_cluster", method="GET", path=f"{DELETION.path}/clustercert"),
    replace(DELETION, operation_id="get_cluster", path=DELETION.path),
    replace(DELETION, operation_id="sign_in"),
    replace(requested("get_cluster", cluster_id=TEAM_SANDBOX), headers={"X-HTTP-Method-Override": "DELETE"}),
    replace(requested("get_cluster", cluster_id=TEAM_SANDBOX), body=b"{}"),
    replace(DELETION, operation_id="format_cloud", method="GET"),
    replace(A_POD, method="DELETE"),
    replace(A_POD, method="DELETE", query=(("dryRun", "All"),)),
    replace(A_POD, query=(("watch", "true"),)),
    replace(A_POD, headers={"X-HTTP-Method-Override": "DELETE"}),
    replace(A_POD, body=b"{}"),
    replace(A_POD, cluster="127.0.0.1"),
    replace(A_POD, cluster=f"{SEARCH_DEV}.example.com/"),
    replace(A_POD, path=f"{A_POD.path}/exec"),
    replace(A_POD, path=f"{A_POD.path}/proxy/shutdown"),
    replace(A_POD, path=f"{A_POD.path}/../cart-2"),
    replace(A_POD, path="/metrics"),
    replace(A_POD, method="POST", path=f"{RIGHTS}/selfsubjectrulesreviews", body=b'{"kind": "Pod"}'),
    replace(A_POD, method="POST", path=f"{RIGHTS}/subjectaccessreviews", body=b'{"kind": "SelfSubjectAccessReview"}'),
    replace(DELETION, cluster=SEARCH_DEV),
    replace(requested("get_cluster", cluster_id=TEAM_SANDBOX), cluster=SEARCH_DEV),
]


@pytest.mark.anyio
@pytest.mark.parametrize("call", FORGERIES, ids=lambda call: f"{call.method} as {call.operation_id}")
async def test_what_is_no_read_is_held_back_without_a_permit_whatever_it_says_of_itself(call: HttpCall) -> None:
    app = simulate()
    async with autopilot_on(app) as autopilot:
        with pytest.raises(NotPermitted, match="Nothing was sent"):
            await autopilot.gateway.send(call)
    assert app.state.log == []


@pytest.mark.anyio
async def test_a_permit_lets_out_one_request_once() -> None:
    app = simulate()
    async with autopilot_on(app) as autopilot:
        for wrong in (
            Permit("call", digest_of(requested("delete_cluster", cluster_id=SEARCH_DEV))),
            Permit("call", digest_of(replace(DELETION, query=(("delete_obs", "true"),)))),
            Permit("call", digest_of(replace(DELETION, idempotent=not DELETION.idempotent))),
            Permit("sign_in", digest_of(DELETION)),
            Permit("dry_run", digest_of(DELETION)),
        ):
            with pytest.raises(NotPermitted):
                await autopilot.gateway.send(DELETION, wrong)
        permit = Permit("call", digest_of(DELETION))
        await autopilot.gateway.send(DELETION, permit)
        with pytest.raises(NotPermitted, match="used before"):
            await autopilot.gateway.send(DELETION, permit)
    assert [each.operation for each in app.state.log] == ["delete_cluster"]


def test_a_permit_of_a_dry_run_is_for_requests_that_say_so() -> None:
    trial = cluster_request("k8s_delete", SEARCH_DEV, "DELETE", POD, query=[("dryRun", "All")])
    Permit("dry_run", digest_of(trial)).spend(trial, "dry_run")
    for wrong in (DELETION, replace(trial, query=()), replace(DELETION, query=(("dryRun", "All"),))):
        with pytest.raises(NotPermitted, match="dry run"):
            Permit("dry_run", digest_of(wrong)).spend(wrong, "dry_run")


@pytest.mark.parametrize("body", [{}, {"dryRun": []}, {"dryRun": "All"}, {"dryRun": ["All"]}, [], "no JSON"], ids=str)
def test_a_deletion_with_a_body_is_a_dry_run_only_if_the_body_says_so(body: Any) -> None:
    trial = cluster_request("k8s_delete", SEARCH_DEV, "DELETE", POD, query=[("dryRun", "All")], body=body)
    permit = Permit("dry_run", digest_of(trial))
    if body == {"dryRun": ["All"]}:
        permit.spend(trial, "dry_run")
    else:
        with pytest.raises(NotPermitted, match="the request is none"):
            permit.spend(trial, "dry_run")


@pytest.mark.parametrize("query", [[("dryRun", "All"), ("dryRun", "None")], [("dryRun", "all")], [("dryrun", "All")]])
def test_a_query_that_could_be_read_in_two_ways_is_no_dry_run(query: Any) -> None:
    trial = cluster_request("k8s_apply", SEARCH_DEV, "PATCH", POD, query=query, body={})
    with pytest.raises(NotPermitted, match="the request is none"):
        Permit("dry_run", digest_of(trial)).spend(trial, "dry_run")


@pytest.mark.anyio
async def test_the_guard_of_a_principal_that_only_reads_makes_no_permit(tmp_path: Path) -> None:
    async with autopilot_on(simulate(), audit_log=tmp_path / "audit.jsonl") as autopilot:
        reading = replace(autopilot.view().guard, policy=Policy(read_only=True))
        cleared = Cleared("delete_cluster", {}, "destroy", (DELETION,))
        with pytest.raises(ReadOnly):
            async with reading.sending(cleared, DELETION, Caller("reader")):
                raise AssertionError("a permit was made")
    assert not (tmp_path / "audit.jsonl").exists()


@pytest.mark.anyio
async def test_a_gateway_that_only_reads_takes_no_permit() -> None:
    app = simulate()
    async with autopilot_on(app, read_only=True) as autopilot:
        with pytest.raises(ReadOnly):
            await autopilot.gateway.send(DELETION, Permit("call", digest_of(DELETION)))
        await autopilot.gateway.send(requested("get_cluster", cluster_id=TEAM_SANDBOX))
    assert [each.operation for each in app.state.log] == ["get_cluster"]


@pytest.mark.anyio
async def test_every_read_of_the_catalog_and_nothing_else_passes_as_one(catalog: Catalog) -> None:
    sent: list[str] = []

    class Cloud:
        async def send(self, call: HttpCall) -> Any:
            sent.append(call.operation_id)
            raise NotPermitted(call.operation_id, "far enough")

    gateway = Gateway(catalog, None)  # type: ignore[arg-type]
    gateway._cloud = Cloud()  # type: ignore[assignment]
    for operation in catalog.values():
        path = "/".join("x" if part.startswith("{") else part for part in operation.path.split("/"))
        with pytest.raises(NotPermitted):
            await gateway.send(HttpCall(operation.id, operation.method, path))
    assert sent == [operation.id for operation in catalog.values() if operation.worst_effect == "read"]


def test_a_permit_of_the_sign_in_is_for_requests_of_the_sign_in_only() -> None:
    for operation, method, path in SIGN_IN_REQUESTS:
        call = HttpCall(operation, method, path)
        sign_in_permit(call).spend(call, "sign_in")
    for call in (DELETION, HttpCall("sign_in", "DELETE", "/v3/auth/tokens"), HttpCall("sign_in", "POST", "/v3/users")):
        with pytest.raises(NotPermitted):
            sign_in_permit(call)


parts = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["GET", "PUT"]),
    st.sampled_from(["/x", "/y"]),
    st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("12")), max_size=2).map(tuple),
    st.dictionaries(st.sampled_from("hk"), st.sampled_from("12"), max_size=2),
    st.none() | st.sampled_from([b"", b"{}", b'{"a":1}']),
)


@given(parts, parts)
def test_requests_that_differ_anywhere_have_different_digests(one: Any, other: Any) -> None:
    assert (digest_of(HttpCall(*one)) == digest_of(HttpCall(*other))) == (one == other)


# What leaves in whole sequences of calls


@dataclass
class Watched:
    """What went by the wall: permits that were spent, and the lines of the audit."""

    spent: list[tuple[str, str]] = field(default_factory=list)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        def spend(permit: Permit, call: HttpCall, *kinds: Any) -> None:
            original(permit, call, *kinds)
            self.spent.append((call.operation_id, permit.digest))

        original = Permit.spend
        patch.setattr(Permit, "spend", spend)


@dataclass(frozen=True)
class Step:
    """One call of a drawn sequence, what goes wrong on its way, and what the person does who is asked."""

    tool: str
    fault: tuple[Kind, str] | None
    action: Action
    typed: str | None


PLAIN: dict[str, dict[str, Any]] = {
    "get_cluster": {"cluster_id": "search-dev"},
    "list_releases": {"cluster_id": "search-dev"},
    "backup_cluster": {"cluster_id": "team-sandbox"},
    "add_cluster_tags": {"cluster_id": "team-sandbox", "tags": {"a": "b"}},
    "run_precheck": {"cluster_id": "checkout-staging", "target_version": "v1.31"},
    "assess_upgrade": {"cluster_id": "checkout-staging"},
    "wait_for": {"kind": "cluster", "id": "search-dev", "wait_s": 0},
}
GUARDED = sorted(each.id for each in load_catalog().values() if each.guarded)
CASES = getattr(settings.default, "max_examples", 100) // 3
"""Sequences that are drawn: each is a session of its own."""
fewer = settings(deadline=None, max_examples=CASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
steps = st.builds(
    Step,
    st.sampled_from([*PLAIN, *GUARDED]),
    st.none() | st.tuples(st.sampled_from(KINDS), st.sampled_from(["*", "get_*", "list_*", "delete_*", "*_cluster"])),
    st.sampled_from(["accept", "accept", "accept", "decline", "cancel"]),
    st.sampled_from([None, None, None, "another name"]),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("wall")
    return folder, *anyio.run(guarded_account, folder)


@fewer
@given(
    st.lists(steps, min_size=1, max_size=5),
    st.sampled_from(["auto", "legacy"]),
    st.sampled_from(["human", "approval", "deny"]),
)
def test_whatever_leaves_and_is_no_read_has_its_permit_and_its_two_lines(
    prepared: tuple[Path, Any, Any], taken: list[Step], mode: str, confirm: str
) -> None:
    folder, state, calls = prepared
    person = Person()
    watched = Watched()
    app = account(state, strict_answers=False)
    log = folder / "state" / "audit.jsonl"
    for path in log.parent.glob("*"):
        path.unlink()

    async def run() -> None:
        given: dict[str, Any] = {"chart_roots": (folder,), "unasked": False, "confirm": confirm, "timeout": 1}
        async with connected(folder, app=app, mode=mode, person=person, **given) as agent:
            for step in taken:
                await one(agent, step)

    async def one(agent: Agent, step: Step) -> None:
        person.action, person.typed = step.action, step.typed
        app.state.faults.clear()
        if step.fault:
            app.state.faults.inject(*step.fault, value=0 if step.fault[0] == "throttle" else None)
        await agent.run(step.tool, {**PLAIN, **calls}[step.tool])

    with pytest.MonkeyPatch.context() as patch:
        watched.watch(patch)
        anyio.run(run)
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    decided = {line["seq"]: (line["tool"], line["request"]) for line in lines if line["event"] == "decided"}
    finished = [line["of"] for line in lines if line["event"] == "finished"]
    assert [*decided.values()] == watched.spent
    assert finished == [*decided]
    seen = {request.operation for request in app.state.log}  # a cut line may keep a request from arriving
    assert sent_beyond_reads(app) == [tool for tool, _ in watched.spent if tool in seen]


def sent_beyond_reads(app: Simulator) -> list[str]:
    """Operations that the simulator saw and that are no reads; one that was sent again counts once."""
    catalog, found = load_catalog(), []
    before = None
    for request in app.state.log:
        again = before is not None and (request.method, request.path) == (before.method, before.path)
        if catalog[request.operation].worst_effect != "read" and not (again and before and before.status in {429, 503}):
            found.append(request.operation)
        before = request
    return found


@pytest.mark.anyio
async def test_a_read_only_view_and_a_denied_read_hold_for_reads_on_the_way_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["list_releases", "get_quotas"]\n')
    async with connected(tmp_path, unasked=False, policy_file=policy) as agent:
        shown = await agent.call("delete_cluster", cluster_id="team-sandbox", dry_run=True)
        assert "list_releases" not in agent.sent
        assert any("which releases run in it" in each for each in shown["impact"]["unknown"])
        assert "Refused by policy" in await agent.fail("get_quotas")
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["get_addon"]\n')
    async with connected(tmp_path, policy_file=policy) as agent:
        said = await agent.fail("update_addon", cluster_id="search-dev", addon_id=TEAM_SANDBOX, target_version="1.7.1")
        assert "Refused by policy: get_addon is denied" in said
        assert agent.changed == []
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["list_clusters"]\n')
    async with connected(tmp_path, policy_file=policy) as agent:
        assert "list_clusters is denied" in await agent.fail("get_cluster", cluster_id="team-sandbox")
        await agent.call("get_cluster", cluster_id=TEAM_SANDBOX)
        assert agent.sent == ["get_cluster"]


@pytest.mark.anyio
async def test_the_object_that_runs_tools_cannot_be_made_to_send_either(catalog: Catalog) -> None:
    app = simulate()
    async with autopilot_on(app) as autopilot:
        reads = autopilot.reads(autopilot.view())
        for operation in catalog.values():
            if operation.worst_effect != "read":
                arguments = {name: TEAM_SANDBOX for name, each in operation.arguments.items() if each.path_parameter}
                with pytest.raises((NotPermitted, Exception)) as caught:
                    await reads.made(operation, arguments)
                assert isinstance(caught.value, NotPermitted), operation.id
    assert app.state.log == []


def test_an_autopilot_without_consent_is_for_the_simulator_only() -> None:
    with pytest.raises(ValueError, match="only the simulator"):
        Autopilot(autopilot_on(simulate()).settings, None, unasked=True)  # type: ignore[arg-type]
