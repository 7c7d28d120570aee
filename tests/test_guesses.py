"""What is masked cannot be found out by guessing: an answer is the same whether the guess is right or wrong."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.masking import mask
from ap_mcp.rules.merging import merged, true_values
from ap_mcp.rules.settings_diff import changes, every_line
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import SEARCH_DEV, TEAM_SANDBOX

SECRET_NAMES = ["password", "apiToken", "pin", "DB_PASSWORD", "密码", "clientSecret"]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with connected(tmp_path) as agent:
        yield agent


HOLDERS = st.sampled_from(
    [
        lambda name, value: {name: value},
        lambda name, value: {"auth": {name: value, "user": "shop"}},
        lambda name, value: {"secrets": {"db": value}},
        lambda name, value: {"env": [{"name": "LOG", "value": "x"}, {"name": name, "value": value}]},
        lambda name, value: {"args": ["--password", value]},
        lambda name, value: {"kind": "Secret", "stringData": {"any": value}},
    ]
)


@given(
    holder=HOLDERS,
    name=st.sampled_from(SECRET_NAMES),
    value=st.from_regex("[0-9]{6,9}", fullmatch=True),
    beside=st.booleans(),
)
def test_settings_that_are_set_to_what_they_are_are_shown_as_set(
    holder: Any, name: str, value: str, *, beside: bool
) -> None:
    current = holder(name, value) | {"other": {"token": "S3cret-one"}, "replicas": 1}
    shown = []
    for guess in (value, value[::-1] if value != value[::-1] else f"1{value[1:-1]}2"):
        asked = holder(name, guess) | ({"other": mask(current)["other"]} if beside else {})
        true = true_values(current, mask(current), asked)
        sent, _ = merged(current, true.values)
        shown.append(every_line(changes(current, sent, true.values, asked)))
    assert shown[0] == shown[1]
    assert any("characters" in line for line in shown[0])
    assert not any("S3cret-one" in line or "other" in line for line in shown[0])


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["password", "api_token", "pin"])
async def test_no_tag_is_found_out_by_guessing_its_value(agent: Agent, name: str) -> None:
    right, wrong = "481516", "234248"
    agent.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"] = [{"key": name, "value": right}]
    assert right not in str(await agent.call("get_cluster", cluster_id=SEARCH_DEV))
    for guess in (right, wrong):
        said = await agent.fail("list_clusters", tag=f"{name}={guess}")
        assert f"names a value that answers mask; give the key alone: {name}" in said
    assert (await agent.call("list_clusters", tag=name))["total"] == 1
    shown = []
    for guess in (right, wrong):
        given = {"cluster_id": SEARCH_DEV, "tags": {name: guess}}
        shown.append(await agent.call("add_cluster_tags", **given, dry_run=True))
    assert _impact(shown[0]) == _impact(shown[1])


@pytest.mark.anyio
async def test_a_suggested_name_that_holds_a_secret_is_masked(agent: Agent) -> None:
    agent.world.table("clusters")[SEARCH_DEV]["metadata"]["alias"] = "token=Zq7-Vn3xKp9w"
    for wanted in ("toke", "no-such-cluster"):
        said = await agent.fail("get_cluster", cluster_id=wanted)
        assert "Zq7-Vn3xKp9w" not in said
        assert "token=" in said


@pytest.mark.anyio
async def test_a_person_is_asked_about_a_masked_tag_whether_or_not_it_was_guessed(tmp_path: Path) -> None:
    async with connected(tmp_path, confirm="approval", unasked=False) as agent:
        agent.world.table("clusters")[SEARCH_DEV]["spec"]["clusterTags"] = [{"key": "pin", "value": "481516"}]
        for guess in ("481516", "234248"):
            said = await agent.fail("add_cluster_tags", cluster_id=SEARCH_DEV, tags={"pin": guess})
            assert said.startswith("approval_required")
        assert agent.changed == []


@pytest.mark.anyio
async def test_no_setting_is_found_out_by_guessing_it_without_sending_anything(agent: Agent) -> None:
    release = {"cluster_id": TEAM_SANDBOX, "namespace": "cache", "name": "sessions"}
    await agent.call("create_release", **release, chart_id=REDIS, values={"auth": {"password": "481516"}})
    agent.world.advance(60)
    shown = []
    for guess in ("481516", "234248"):
        values = {"auth": {"password": guess}}
        shown.append(await agent.call("update_release", **release, action="upgrade", values=values, dry_run=True))
    assert _impact(shown[0]) == _impact(shown[1])
    assert "auth.password: changed, 6 characters" in str(shown[0])


def _impact(dry_run: dict[str, Any]) -> Any:
    return {key: each for key, each in dry_run.items() if key != "request_id"}
