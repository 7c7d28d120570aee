"""However much there is of something in the cloud, the answer of a read stays short, and says what is not in it."""

import json
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from agent import connected
from canaries import Meddling
from drawn import whole
from fake_cluster import FakeCluster, ago, ask, made, pod
from simulation import simulate

from ap_mcp import aside
from ap_mcp.binding import HttpCall
from ap_mcp.cloud import bodies
from ap_mcp.cloud.bodies import Came
from ap_mcp.cloud.responses import read_answer
from ap_mcp.errors import TooLarge
from ap_mcp.kubernetes import tables
from ap_mcp.kubernetes.sealed import page_of
from ap_mcp.rendering import render
from ap_mcp.simulator.constants import SHOP_PROD
from ap_mcp.specs import JSON, load_catalog
from ap_mcp.summaries import Observation, Result, settings_shown, summarise
from ap_mcp.summaries.base import FULL_LIMIT
from ap_mcp.summaries.pages import bounded

pytestmark = pytest.mark.anyio

MANY = 300
NOW = datetime(2026, 11, 1, tzinfo=UTC)
READS = [each.id for each in load_catalog().values() if each.response and each.worst_effect == "read"]
TEXT_LIMIT = FULL_LIMIT * 5 // 4
"""Characters of an answer as text, which also holds what is only said there."""


def places(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the way to each list and object in JSON."""
    if isinstance(value, (dict, list)):
        yield way
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*way, str(key)))


def grown(value: Any, way: tuple[str, ...]) -> Any:
    """Return JSON with many more entries in the list or object at the end of a way, each with another long name."""
    if way:
        key: Any = way[0] if isinstance(value, dict) else int(way[0])
        made_ = dict(value) if isinstance(value, dict) else list(value)
        made_[key] = grown(value[key], way[1:])
        return made_
    if isinstance(value, dict):
        first = next(iter(value.values()), "value")
        return {**value, **{f"k{at}-{'x' * 200}": first for at in range(MANY)}}
    return [*value, *(_another(value[0] if value else "x", f"{at}-{'x' * 200}") for at in range(MANY))]


def _another(value: Any, mark: str) -> Any:
    if isinstance(value, str):
        return f"{value}-{mark}"
    named = {"name", "uid", "id", "key", "type", "message", "reason"}
    if isinstance(value, dict):
        return {key: f"{each}-{mark}" if key in named else _another(each, "y") if isinstance(each, dict) else each
                for key, each in value.items()}  # fmt: skip
    return value


def flaws(result: Result) -> list[str]:
    """Say in which half an answer is too long, or whether it hides that something is missing."""
    text, data = render(result), json.dumps(result.structured(), ensure_ascii=False)
    return [f"{name}: {len(half)}" for name, half, most in (("text", text, TEXT_LIMIT), ("data", data, TEXT_LIMIT))
            if len(half) > most]  # fmt: skip


@pytest.mark.parametrize("tool", READS)
def test_the_answer_of_no_operation_grows_without_end(tool: str) -> None:
    operation = load_catalog()[tool]
    body = whole(operation, operation.response or {})
    wrong = []
    for way in {tuple("0" if each.isdigit() else each for each in way) for way in places(body)}:
        result = summarise(Observation(operation, {"cluster_id": "c"}, grown(body, way), now=NOW))
        wrong += [f"{'/'.join(way)}: {each}" for each in flaws(bounded(result))]
    assert wrong == []


CRASHED = {"exitCode": 1, "reason": "Error", "message": "no such host", "finishedAt": ago(minutes=5)}
BAD = {
    "phase": "Pending",
    "conditions": [{"type": "Ready", "status": "False", "reason": "NotReady", "message": "not yet"}],
    "containerStatuses": [{"name": "app", "ready": False, "restartCount": 3, "lastState": {"terminated": CRASHED}}],
}
RULE = {"host": "a.example", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "no-such"}}}]}}
OBJECTS = [
    pod("web", status=BAD),
    made(
        "Node", "n1", status={"conditions": BAD["conditions"]}, spec={"taints": [{"key": "a", "effect": "NoSchedule"}]}
    ),
    made("Ingress", "web", "shop", spec={"rules": [RULE], "tls": [{"hosts": ["a.example"], "secretName": "no-such"}]}),
    made("Service", "web", "shop", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]}),
    made("ConfigMap", "web", "shop", data={"a": "1"}, binaryData={"b": "MQ=="}),
    made("Secret", "web", "shop", data={"a": "MQ=="}),
]


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda each: each["kind"])
@pytest.mark.parametrize("detail", ["summary", "full"])
async def test_the_answer_about_no_object_grows_without_end(thing: dict[str, Any], detail: str) -> None:
    named = {"name": thing["metadata"]["name"], "namespace": thing["metadata"].get("namespace", "")}
    wrong = []
    for way in {*places(thing)} - {(), ("metadata",)}:
        cluster = FakeCluster([made("Namespace", "shop"), grown(thing, way)])
        found = await ask(cluster, "k8s_get", kind=thing["kind"], detail=detail, **named)
        wrong += [f"{'/'.join(way)}: {each}" for each in flaws(bounded(found))]
    assert wrong == []


async def test_what_is_not_in_an_answer_is_counted_and_what_is_short_is_left_alone() -> None:
    many = [{"type": f"T{at}", "status": "False", "message": "m" * 250} for at in range(300)]
    node = made("Node", "n1", status={"conditions": many})
    found = await ask(FakeCluster([node]), "k8s_get", kind="node", name="n1")
    short = bounded(found)
    left = len(found.conditions) - len(short.conditions)
    assert 0 < left < 300
    assert short.conditions == found.conditions[: len(short.conditions)]
    said = f"This answer would be too long; not shown are {left} of conditions: ask about one thing, or for less, "
    assert short.warnings == [*found.warnings, f"{said}to see them."]
    assert bounded(short) is short


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_every_key_of_an_object_is_reached_page_by_page(kind: str) -> None:
    data = {f"key-{at}": "MQ==" for at in range(1000)}
    cluster = FakeCluster(
        [made("Namespace", "shop"), made(kind, "web", "shop", data=data, binaryData={"key-1": "MQ=="})]
    )
    seen = list[str]()
    call: dict[str, Any] = {"kind": kind, "name": "web", "namespace": "shop"}
    for _ in range(20):
        found = await ask(cluster, "k8s_get", **call)
        seen += [each.key for each in found.data]
        onward = [each.arguments for each in found.next if "cursor" in each.arguments]
        if not onward:
            break
        assert found.warnings == [f"Of its 1001 keys {len(found.data)} are shown here."]
        call = {key: each for key, each in onward[0].items() if key != "cluster_id"}
    assert seen == [*data, "key-1"]
    lost = await ask(cluster, "k8s_get", **{**call, "cursor": "nothing of that name"})
    assert lost.data[0].key == "key-0"
    assert "The cursor names nothing in this list" in lost.warnings[0]


def test_an_object_goes_to_another_process_as_it_came() -> None:
    content = b'{"kind": "ConfigMap", "data": {"a": "1"}}'
    here = Came(json.loads(content), content)
    assert len(pickle.dumps(here)) < len(content) + 100
    there = pickle.loads(pickle.dumps(here))  # noqa: S301 - our own
    assert (there, page_of(there, "ConfigMap")) == (here, page_of(here, "ConfigMap"))
    assert pickle.loads(pickle.dumps(Came("a text"))) == Came("a text")  # noqa: S301 - our own


async def test_no_more_rows_are_made_than_are_shown_of_a_list_that_comes_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aged = list[Any]()
    monkeypatch.setattr(tables, "age", lambda *each: aged.append(each))
    cluster = FakeCluster([pod(f"web-{at}") for at in range(400)], knows_tables=False)
    cluster.first = lambda request: (
        httpx.Response(200, json={"kind": "PodList", "items": cluster.objects})
        if request.url.path.endswith("/pods")
        else None
    )
    found = await ask(cluster, "k8s_list", kind="pods", limit=20)
    assert (found.shown, found.remaining, len(aged)) == (20, 380, 20)


@pytest.mark.parametrize("values", [b"{}", b'{"a": "x,y\\",z"}', b"1"])
def test_an_answer_of_very_many_values_is_not_worked_on_and_commas_in_its_texts_are_none(
    values: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MOST_VALUES", 100)
    call = HttpCall("list_releases", "GET", "/x", accepts=JSON)
    assert len(read_answer(call, 200, {}, b"[" + b",".join([values] * 101) + b"]")) == 101
    with pytest.raises(TooLarge, match="more than 1,000,000 values"):
        read_answer(call, 200, {}, b"[" + b",".join([values] * 102) + b"]")


def test_each_setting_is_looked_at_a_few_times_however_many_there_are() -> None:
    class Counted(str):
        """A name that counts how often it is compared."""

        __slots__ = ()
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    count = 2000
    node = {Counted(f"name-{at}"): "value" * 10 for at in range(count)}
    kept, _, left = settings_shown._fitting(settings_shown._Section("", node))
    assert len(kept) + left == count
    assert Counted.compared < 10 * count


async def test_a_read_of_very_much_is_short_for_who_calls_and_says_where_all_of_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "IN_A_PROCESS", sys.maxsize)  # its start takes longer than all else here

    def grow(body: Any) -> Any:
        found = body.get("items") if isinstance(body, dict) else None
        if found and "addonTemplateName" in found[0].get("spec", {}):
            body = grown(grown(body, ("items",)), ("items",))
        return body

    meddling = Meddling(simulate(), grow)
    async with connected(tmp_path, app=meddling.app, transport=meddling) as agent:
        found = await agent.call("list_addons", cluster_id=SHOP_PROD)
        assert len(agent.said) <= TEXT_LIMIT
        assert len(json.dumps(found)) <= TEXT_LIMIT
        assert f"of addons: {found['raw']} has them all" in found["warnings"][-1]
