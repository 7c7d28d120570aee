"""Settings of add-ons and releases are merged on the server: nothing is lost, and no placeholder is sent."""

import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from agent import Agent, connected
from hypothesis import given, settings
from hypothesis import strategies as st

from ap_mcp.masking import PLACEHOLDER, contains_placeholder
from ap_mcp.simulator.chart_seed import PAYMENTS_API_OLD, REDIS
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV, TEAM_SANDBOX

pytestmark = pytest.mark.anyio


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with connected(tmp_path) as agent:
        yield agent


SESSIONS = {"cluster_id": TEAM_SANDBOX, "namespace": "cache", "name": "sessions"}
PAYMENTS = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
SECRET = "pa55-w0rd-of-the-cache"
OWN: dict[str, Any] = {
    "auth": {"password": SECRET},
    "env": [{"name": "API_TOKEN", "value": "S3cr-QZ7kx9Q"}, {"name": "LEVEL", "value": "info"}],
    "livenessProbe": None,
    "persistence": {"size": None},
    "empty": {"object": {}, "list": [], "text": ""},
}


def row(agent: Agent, which: dict[str, str]) -> dict[str, Any]:
    key = "/".join(which[name] for name in ("cluster_id", "namespace", "name"))
    found: dict[str, Any] = agent.world.table("releases")[key]
    return found


async def installed(agent: Agent, values: dict[str, Any]) -> dict[str, Any]:
    """Install a release with settings of its own; it is ready."""
    await agent.call("create_release", **SESSIONS, chart_id=REDIS, values=values)
    agent.world.advance(60)
    return copy.deepcopy(row(agent, SESSIONS)["_overrides"])


async def upgraded(agent: Agent, **arguments: Any) -> dict[str, Any]:
    """Upgrade it; what the service was sent."""
    await agent.call("update_release", **SESSIONS, **arguments)
    agent.world.advance(60)
    found: dict[str, Any] = row(agent, SESSIONS)["_overrides"]
    return found


async def test_one_setting_changes_and_every_other_one_stays_secrets_and_nulls_among_them(agent: Agent) -> None:
    await installed(agent, OWN)
    sent = await upgraded(agent, values={"replicas": 5})
    assert {name: sent[name] for name in ("env", "livenessProbe", "empty")} == {
        name: OWN[name] for name in ("env", "livenessProbe", "empty")
    }
    assert (sent["replicas"], sent["auth"]["password"], sent["persistence"]["size"]) == (5, SECRET, None)
    assert row(agent, SESSIONS)["chart_version"] == "18.6.1"


async def test_settings_come_back_as_they_were_shown_with_one_edited(agent: Agent) -> None:
    await installed(agent, OWN)
    shown = (await agent.call("get_release", **SESSIONS))["values"]
    assert SECRET not in agent.said
    assert shown["auth"]["password"] == PLACEHOLDER
    assert shown["livenessProbe"] is None
    assert shown["empty"] == OWN["empty"]
    assert 'object={} list=[] text=""' in agent.said
    assert "livenessProbe: null" in agent.said
    shown["env"][1]["value"] = "debug"
    sent = await upgraded(agent, values=shown)
    assert sent["auth"]["password"] == SECRET
    assert sent["env"] == [OWN["env"][0], {"name": "LEVEL", "value": "debug"}]
    assert sent["livenessProbe"] is None
    assert sent["empty"] == OWN["empty"]


@pytest.mark.parametrize("text", ["\u2028", "é", "\x00"])
async def test_a_text_that_the_cloud_wrote_goes_back_as_it_is(agent: Agent, text: str) -> None:
    await installed(agent, {})
    row(agent, SESSIONS)["values"] = json.dumps({"text": text})
    assert (await upgraded(agent, values={"replicas": 5})) == {"text": text, "replicas": 5}


async def test_a_number_that_json_does_not_know_is_not_sent_back(agent: Agent) -> None:
    await installed(agent, {})
    row(agent, SESSIONS)["values"] = '{"ratio": NaN}'
    said = await agent.fail("update_release", **SESSIONS, action="upgrade", values={"replicas": 5})
    assert "hold a number that JSON does not know" in said
    assert (await upgraded(agent, values={"ratio": 1})) == {"ratio": 1}


async def test_a_null_resets_also_the_last_setting(agent: Agent) -> None:
    await installed(agent, {})
    row(agent, SESSIONS)["values"] = json.dumps({"replicas": 9})
    shown = await agent.call("update_release", **SESSIONS, values={"replicas": None}, dry_run=True)
    assert shown["request"]["body"]["values"] == {}
    assert shown["request"]["body"]["parameters"] == {"reset_values": True}, "else the service would keep them"
    assert (await upgraded(agent, values={"replicas": None})) == {}


async def test_a_full_replacement_sends_what_is_given_and_keeps_what_a_placeholder_stands_for(agent: Agent) -> None:
    await installed(agent, OWN)
    values = {"auth": {"password": PLACEHOLDER}, "replicas": None}
    sent = await upgraded(agent, values=values, reset_values=True)
    assert sent == {"auth": {"password": SECRET}, "replicas": None}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"auth": {"other": PLACEHOLDER}}, "values.auth.other"),
        ({"new": {"list": [{"password": PLACEHOLDER}]}}, "values.new.list[0].password"),
        ({"auth": {"password": f"{PLACEHOLDER}x"}}, "values.auth.password"),
        ({PLACEHOLDER: 1}, f'values."{PLACEHOLDER}"'),
    ],
)
async def test_a_placeholder_in_any_other_place_is_refused(
    agent: Agent, values: dict[str, Any], where: str, *, reset: bool
) -> None:
    await installed(agent, OWN)
    said = await agent.fail("update_release", **SESSIONS, action="upgrade", values=values, reset_values=reset)
    assert f"{where}: is a masked placeholder" in said
    assert ("what is not named stays as it is" in said) is not reset
    assert "update_release" not in agent.sent


async def test_where_nothing_is_merged_a_placeholder_is_no_value(agent: Agent) -> None:
    values = {"auth": {"password": PLACEHOLDER}}
    said = await agent.fail("create_release", **SESSIONS, chart_id=REDIS, values=values)
    assert "values.auth.password: is a masked placeholder" in said
    assert "Give the real value" in said


async def test_another_version_of_the_chart_brings_its_defaults_and_takes_nothing_that_was_changed(
    agent: Agent,
) -> None:
    await agent.call("update_release", **PAYMENTS, action="upgrade", chart_id=PAYMENTS_API_OLD)
    found = row(agent, PAYMENTS)
    assert found["chart_version"] == "1.8.2"
    assert found["_values"]["image"]["tag"] == "1.8.2"
    assert (found["_values"]["replicas"], found["_values"]["database"]["password"]) == (6, "S1mulated-db-passw0rd")


async def test_an_add_on_whose_settings_are_not_reported_can_be_replaced_as_a_whole(agent: Agent) -> None:
    addon = next(
        each
        for each in agent.world.table("addons").values()
        if (each["spec"]["clusterID"], each["spec"]["addonTemplateName"]) == (SEARCH_DEV, "log-agent")
    )
    which = {"cluster_id": SEARCH_DEV, "addon_id": addon["metadata"]["uid"]}
    addon["spec"]["values"] = None
    said = await agent.fail("update_addon", **which, target_version="1.7.1")
    assert "get_addon reports no values of now, so nothing can be merged into them" in said
    assert "reset_values: true sends the given values alone, a person is asked." in said
    assert "update_addon" not in agent.sent
    values = {"custom": {"kept": "yes"}}
    changed = await agent.call("update_addon", **which, target_version="1.7.1", values=values, reset_values=True)
    assert changed["version"] == "1.7.1"
    assert addon["spec"]["values"]["custom"]["kept"] == "yes"


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.sampled_from(["", "text"]), st.just([]), st.just({}))
SECRETS = st.dictionaries(st.sampled_from(["password", "apiToken"]), st.sampled_from(["S3cr-aa11bb", "S3cr-cc22dd"]))
SETTINGS = st.dictionaries(
    st.sampled_from(["one", "two", "three", "auth"]),
    st.one_of(LEAVES, SECRETS, st.lists(SECRETS, max_size=2), st.dictionaries(st.sampled_from("abc"), LEAVES)),
    max_size=4,
)


@settings(max_examples=6, deadline=None)
@given(SETTINGS, SETTINGS)
def test_whatever_settings_there_are_an_echo_with_one_change_loses_nothing(
    own: dict[str, Any], other: dict[str, Any]
) -> None:
    async def live() -> None:
        with TemporaryDirectory() as folder:
            async with connected(Path(folder)) as agent:
                await installed(agent, own)
                before = copy.deepcopy(row(agent, SESSIONS)["_values"])
                sent = await upgraded(agent, values={"changed": 1})
                assert row(agent, SESSIONS)["_values"] == {**before, "changed": 1}
                shown = (await agent.call("get_release", **SESSIONS))["values"]
                again = await upgraded(agent, values={**shown, "changed": 2})
                assert again == {**sent, "changed": 2}
                assert contains_placeholder(again) is None
                reset = await upgraded(agent, values=other, reset_values=True)
                assert reset == other

    anyio.run(live)
