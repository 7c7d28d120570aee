"""A dry run of any guarded tool sends nothing, and shows what would happen and the very request that would be sent."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from agent import connected
from consenting import is_as_before
from guarded import IN_CLUSTERS, SECRET, Person, account, guarded_account
from kubernetes_writing import shop

from ap_mcp.masking import PLACEHOLDER, mask
from ap_mcp.simulator.app import Simulator
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio


class Wire(httpx.AsyncBaseTransport):
    """Leads into a simulator, and keeps whatever is more than a read."""

    def __init__(self, app: Simulator) -> None:
        self.inner = httpx.ASGITransport(app)
        self.changes: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET" and "dryRun" not in request.url.params:
            self.changes.append(request)
        return await self.inner.handle_async_request(request)


def shown(request: httpx.Request) -> dict[str, Any]:
    """A request as a dry run should show it."""
    path, _, query = request.url.raw_path.decode().partition("?")
    reported: dict[str, Any] = {"method": request.method, "path": path}
    if query:
        reported["query"] = mask(dict(parse_qsl(query, strict_parsing=True)))
    form = request.headers.get("content-type", "")
    if form.endswith(("json", "+yaml")) and request.content:
        reported["body"] = mask(json.loads(request.content))
    elif request.content:
        reported["body"] = f"{len(request.content)} bytes of {form.partition(';')[0]}"
    return reported


async def test_the_request_a_dry_run_shows_is_the_one_that_consent_sends(tmp_path: Path, catalog: Catalog) -> None:
    state, calls = await guarded_account(tmp_path)
    assert set(calls) == {each.id for each in catalog.values() if each.guarded} | {*IN_CLUSTERS}
    with_secrets = set()
    for tool, arguments in calls.items():
        app, person = account(state), Person()
        wire = Wire(app)
        async with connected(tmp_path, app=app, transport=wire, person=person, unasked=False) as agent:
            dry = await agent.call(tool, **arguments, dry_run=True)
            assert wire.changes == [], tool
            assert person.read == []
            assert is_as_before(app.state.world, state["tables"])
            said = agent.said + json.dumps(dry)
            assert dry["summary"].startswith("Dry run: nothing was sent. ")
            assert dry["impact"]["name"] in said
            await agent.call(tool, **arguments)
        (sent,) = wire.changes
        assert shown(sent) == dry["request"], tool
        (read,) = person.read
        assert f"{dry['impact']['sentence']}\n" in read
        assert SECRET not in said + read
        if SECRET.encode() in sent.content:
            with_secrets.add(tool)
            assert PLACEHOLDER in json.dumps(dry["request"], ensure_ascii=False)
    assert with_secrets == {"update_addon", "update_release"}


@pytest.mark.parametrize("confirm", ["human", "approval", "token", "deny"])
async def test_a_dry_run_needs_no_consent_however_consent_is_obtained(tmp_path: Path, confirm: str) -> None:
    state, calls = await guarded_account(tmp_path)
    async with connected(tmp_path, app=account(state), confirm=confirm, unasked=False) as agent:
        for tool, arguments in calls.items():
            await agent.call(tool, **arguments, dry_run=True)
        assert agent.changed == []
    assert not (tmp_path / "state" / "audit.jsonl").exists()


async def test_the_patch_of_an_object_is_shown_by_its_paths_and_values_without_secrets(tmp_path: Path) -> None:
    level = {"name": "LEVEL", "value": "debug"}
    web = {"name": "web", "image": "nginx:1.26", "env": [{"name": "DB_PASSWORD", "value": SECRET}, level]}
    fields = {"spec": {"replicas": 3, "template": {"spec": {"containers": [web]}}}}
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/spec/replicas", "value": 2},
        {"op": "add", "path": "/metadata/annotations", "value": {"api-token": SECRET, "note": "yes"}},
        {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": web["env"]},
        {"op": "replace", "path": "/spec/template/spec/containers/0/env/0/value", "value": SECRET},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx:1.26"},
        {"op": "copy", "from": "/spec/replicas", "path": "/spec/minReadySeconds"},
    ]
    async with shop(tmp_path) as scene:
        cart = {"kind": "deployment", "name": "cart", "namespace": "shop", "dry_run": True}
        for kind in ("strategic", "merge"):
            dry = await scene.call("k8s_patch", **cart, type=kind, patch=json.dumps(fields))
            body = dry["request"]["body"]
            (shown,) = body["spec"]["template"]["spec"]["containers"]
            assert body["spec"]["replicas"] == 3
            assert shown["env"] == [{"name": "DB_PASSWORD", "value": PLACEHOLDER}, level]
            assert SECRET not in scene.agent.said + json.dumps(dry)
        dry = await scene.call("k8s_patch", **cart, type="json", patch=json.dumps(operations))
        assert dry["request"]["body"][:-1] == [
            operations[0],
            {**operations[1], "value": {"api-token": PLACEHOLDER, "note": "yes"}},
            {**operations[2], "value": [{"name": "DB_PASSWORD", "value": PLACEHOLDER}, level]},
            {**operations[3], "value": f"«{len(SECRET)} characters»"},
            *operations[4:],
        ]
        assert dry["request"]["body"][-1]["path"] == "/metadata/resourceVersion"
        assert SECRET not in scene.agent.said + json.dumps(dry)


async def test_the_patch_of_a_secret_shows_its_keys_and_none_of_its_values(tmp_path: Path) -> None:
    login = {"kind": "secret", "name": "login", "namespace": "shop"}
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: login, namespace: shop}}\nstringData: {{a: {SECRET}}}\n"
    patches: list[tuple[str, Any, Any]] = [
        ("merge", {"stringData": {"b": SECRET}}, {"stringData": {"b": PLACEHOLDER}}),
        ("json", [{"op": "add", "path": "/data/b", "value": "aHVudGVy"}], "/data/b"),
        ("json", [{"op": "add", "path": "/data", "value": {"b": "aHVudGVy"}}], "/data"),
    ]
    async with shop(tmp_path) as scene:
        await scene.apply(text)
        for kind, patch, expected in patches:
            dry = await scene.call("k8s_patch", **login, dry_run=True, type=kind, patch=json.dumps(patch))
            body = dry["request"]["body"]
            if kind == "json":
                assert body[0]["path"] == expected
                assert body[0]["value"] in (PLACEHOLDER, {"b": PLACEHOLDER})
            else:
                assert {key: value for key, value in body.items() if key != "metadata"} == expected
            assert not {SECRET, "aHVudGVy"} & {*scene.agent.said.split('"'), *json.dumps(dry).split('"')}


async def test_the_harmless_side_of_a_guarded_tool_can_be_tried_too(tmp_path: Path) -> None:
    state, calls = await guarded_account(tmp_path)
    async with connected(tmp_path, app=account(state), unasked=False) as agent:
        dry = await agent.call("update_cluster", cluster_id="team-sandbox", alias="sandpit", dry_run=True)
        assert dry["impact"]["effect"] == "write"
        assert "sandpit" in json.dumps(dry["request"]["body"])
        new = {**calls["create_release"], "replace": False, "name": "another", "values": {}}
        dry = await agent.call("create_release", **new, dry_run=True)
        assert dry["impact"]["effect"] == "write"
        assert agent.changed == []


async def test_what_policy_or_the_state_of_things_refuses_is_refused_dry_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('rules = [{ decision = "deny", clusters = ["search-dev"] }]')
    async with connected(tmp_path, policy_file=policy, unasked=False) as agent:
        assert "policy.toml rule 1" in await agent.fail("delete_cluster", cluster_id="search-dev", dry_run=True)
        wanted = {"cluster_id": "checkout-staging", "target_version": "v1.99"}
        assert "is not offered" in await agent.fail("upgrade_cluster", **wanted, dry_run=True)
        assert agent.changed == []


async def test_what_an_upgrade_still_needs_is_shown_dry_and_refuses_the_call(tmp_path: Path) -> None:
    wanted = {"cluster_id": "checkout-staging", "target_version": "v1.31"}
    async with connected(tmp_path, unasked=False) as agent:
        shown = await agent.call("upgrade_cluster", **wanted, dry_run=True)
        assert any(each.startswith("Not possible yet: there is no pre-upgrade check") for each in shown["warnings"])
        assert "there is no pre-upgrade check" in await agent.fail("upgrade_cluster", **wanted)
        assert agent.changed == []


async def test_tools_that_are_never_guarded_take_no_dry_run(tmp_path: Path, catalog: Catalog) -> None:
    async with connected(tmp_path) as agent:
        tools = (await agent.client.list_tools()).tools
        taking = {tool.name for tool in tools if "dry_run" in tool.input_schema["properties"]}
        assert taking == {each.id for each in catalog.values() if each.guarded} | {*IN_CLUSTERS}
        assert "dry_run: is no argument" in await agent.fail("list_clusters", dry_run=True)
        assert "dry_run: must be a boolean" in await agent.fail("delete_cluster", cluster_id="x", dry_run="yes")
        assert agent.sent == []
