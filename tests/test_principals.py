"""What all callers share is made once; what belongs to a principal is light, and no other principal's."""

from dataclasses import replace
from pathlib import Path

import pytest
from agent import autopilot_on
from simulation import simulate

from ap_mcp.errors import (
    ApprovalRequired,
    ConfirmationRequired,
    DeniedByPolicy,
    ReadOnly,
    UnknownPrincipal,
    UnknownTool,
)
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.policy import Rule
from ap_mcp.principals import Rights
from ap_mcp.server import MOST_VIEWS, Autopilot
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import SEARCH_DEV
from ap_mcp.summaries import Result

pytestmark = pytest.mark.anyio

TAGS = {"cluster_id": SEARCH_DEV, "tags": {"a": "b"}}
READER, TAGGER, OWNER, TWIN = (Caller(name) for name in ("reader", "tagger", "owner", "twin"))


class Four:
    """The rights of four: one only reads, one only has the toolset of tags, two may do everything but add tags."""

    def __init__(self, rights: Rights) -> None:
        self.rights = rights

    def rights_of(self, principal: str) -> Rights:
        rights = self.rights
        if principal not in {"reader", "tagger", "owner", "twin"}:
            raise UnknownPrincipal(principal)
        if principal == "reader":
            return rights._replace(policy=replace(rights.policy, read_only=True))
        if principal == "tagger":
            return rights._replace(toolsets=("tags",))
        rules = (Rule("deny", tools=("add_cluster_tags",), source="the rule of owners"),)
        return rights._replace(policy=replace(rights.policy, rules=rules))


def shared(app: Simulator, folder: Path) -> Autopilot:
    server = autopilot_on(app, audit_log=folder / "audit.jsonl")
    server.principals = Four(server.rights_of("anybody"))
    return server


async def test_each_principal_has_the_tools_and_rules_of_its_own_rights(tmp_path: Path) -> None:
    app = simulate()
    async with shared(app, tmp_path) as server:
        with pytest.raises(ReadOnly):
            await server.call("add_cluster_tags", TAGS, caller=READER)
        with pytest.raises(DeniedByPolicy, match="the rule of owners"):
            await server.call("add_cluster_tags", TAGS, caller=OWNER)
        with pytest.raises(UnknownTool):
            await server.call("list_clusters", {}, caller=TAGGER)
        assert app.state.log == []
        await server.call("add_cluster_tags", TAGS, caller=TAGGER)
        await server.call("list_clusters", {}, caller=READER)
        sent = [each.operation for each in app.state.log]
        assert sent == ["get_cluster", "add_cluster_tags", "get_cluster", "list_clusters"]
        reads = {tool.name for tool in server.view("reader").toolbox.shown}
        assert {"list_clusters", "wait_for"} <= reads
        assert not {name for name in reads if name.startswith(("delete_", "create_", "add_"))}


async def test_whoever_has_equal_rights_shares_a_view_and_all_share_the_rest(tmp_path: Path) -> None:
    app = simulate()
    async with shared(app, tmp_path) as server:
        views = [server.view(name) for name in ("reader", "tagger", "owner", "twin")]
        assert views[2] is views[3]
        assert len({id(view) for view in views}) == 3
        assert len({id(view.finishing.kept) for view in views}) == 1
        assert len({id(view.finishing.gateway) for view in views}) == 1
        assert views[0].guard.audit() is views[1].guard.audit()
        assert views[0].guard.confirmer() is views[1].guard.confirmer()


async def test_rights_that_nobody_has_any_more_are_forgotten(tmp_path: Path) -> None:
    class Changing(Four):
        def rights_of(self, principal: str) -> Rights:
            return self.rights._replace(toolsets=(f"toolset {principal}",))

    async with shared(simulate(), tmp_path) as server:
        server.principals = Changing(server.rights_of("owner"))
        first, again = server.view("0"), server.view("0")
        assert first is again
        for number in range(MOST_VIEWS):
            server.view(str(number))
        assert server.view("0") is first
        server.view(str(MOST_VIEWS))
        assert server.view("0") is not first
        assert len(server._views) == MOST_VIEWS


async def test_a_kept_answer_is_for_the_principal_who_made_the_call(tmp_path: Path) -> None:
    async with shared(simulate(), tmp_path) as server:
        result = await server.call("list_clusters", {}, caller=OWNER)
        assert isinstance(result, Result)
        assert result.raw
        assert await server.kept.read("owner", result.raw)
        assert await server.kept.read("twin", result.raw) is None


async def test_next_calls_are_of_tools_that_the_principal_has(tmp_path: Path) -> None:
    async with shared(simulate(), tmp_path) as server:
        proposed = {}
        for caller in (OWNER, READER):
            result = await server.call("get_upgrade_info", {"cluster_id": "search-dev"}, caller=caller)
            assert isinstance(result, Result)
            proposed[caller.principal] = {call.tool for call in result.next}
        tools = server.view("reader").toolbox.tools
        assert proposed["reader"] == {name for name in proposed["owner"] if name in tools}


async def test_consent_is_obtained_in_the_way_of_the_principal(tmp_path: Path) -> None:
    class Off(Four):
        def rights_of(self, principal: str) -> Rights:
            return self.rights._replace(confirm="deny" if principal == "reader" else "token")

    app = simulate()
    async with autopilot_on(
        app, unasked=False, approvals_db=tmp_path / "approvals.db", approver_dir=tmp_path
    ) as server:
        server.principals = Off(server.rights_of("anybody"))
        with pytest.raises(ConfirmationRequired, match="switched guarded tools off"):
            await server.call("delete_cluster", {"cluster_id": SEARCH_DEV}, caller=READER)
        assert app.state.log == []
        with pytest.raises(ApprovalRequired) as asked:
            await server.call("delete_cluster", {"cluster_id": SEARCH_DEV}, caller=OWNER)
        assert asked.value.token
        taken = {
            name: "confirmation_token" in server.view(name).toolbox.tools["delete_cluster"].input_schema["properties"]
            for name in ("owner", "reader")
        }
        assert taken == {"owner": True, "reader": False}
