"""Whatever failed or was warned about in an answer is in its summary, in both forms, or named as being in `raw`."""

import copy
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ap_mcp.rendering import one_line, render
from ap_mcp.response_store import kept_text
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.vendor import said, text

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
CLUSTER = {"cluster_id": "5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01"}

examples = settings(
    max_examples=settings().max_examples // 3, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=30)
reasons = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | reasons,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz /~", max_size=6), inner, max_size=3),
    max_leaves=8,
).map(lambda document: json.dumps(document, ensure_ascii=False))
"""Reasons that are JSON of no error's form."""
lines = st.text("abcdefghij klmnopqrstuvwxyzäöü中文.,:;()'\"=\\", max_size=120).filter(
    lambda line: not line or line.strip(" .;") != ""
)
"""Reasons, or none; what is only full stops and the like says nothing, and is not shown."""
moments = st.integers(0, 10**6).map(lambda ago: f"{NOW - timedelta(seconds=ago):%Y-%m-%d %H:%M:%S.000000 +0000 UTC}")


class Summary:
    """An answer as an agent has it: both forms of its summary, and the whole that `raw` leads to."""

    def __init__(self, tool: str, body: Any, **arguments: Any) -> None:
        answer = Observation(load_catalog()[tool], {**CLUSTER, **arguments}, body, now=NOW)
        self.body = answer.body
        self.raw = json.loads(kept_text(answer) or "")
        self.result: Any = summarise(answer)
        assert isinstance(self.result, Result)
        assert "answer" not in type(self.result).model_fields, self.result
        self.structured = self.result.structured()
        self.said = render(self.result)
        self.texts = list(_texts(self.structured))

    def says(self, fact: str) -> bool:
        """Say whether both forms of the summary hold a fact."""
        shown = one_line(fact)
        written = json.dumps(shown, ensure_ascii=False)[1:-1]
        return any(fact in each for each in self.texts) and (shown in self.said or written in self.said)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(each)


# --- jobs ---------------------------------------------------------------------------------------------------------


def job(phase: str, type_: str, reason: str, children: list[Any]) -> dict[str, Any]:
    spec = {"type": type_, **({"subJobs": children} if children else {})}
    return {"metadata": {"uid": "job"}, "spec": spec, "status": {"phase": phase, "reason": reason}}


phases = st.sampled_from(["Failed", "Failed", "Success", "Running", "Initializing", "Aborted"])
types = st.sampled_from(["InstallAddon", "InstallMaster", "PrepareNetwork", "CheckMaster"])
leaves = st.builds(job, phases, types, reasons, st.just([]))
jobs = st.recursive(
    leaves,
    lambda inner: st.builds(job, phases, types, reasons, st.lists(inner, min_size=1, max_size=5)),
    max_leaves=60,
)


def steps(body: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    path = (*above, body["spec"]["type"])
    yield " > ".join(path), dict(body)
    for child in body["spec"].get("subJobs", []):
        yield from steps(child, path)


def unexplained(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the way to and the reason of each failed step below which nothing failed."""
    return [
        (path, said(step["status"], 900))
        for path, step in steps(body)
        if step["status"]["phase"] == "Failed"
        and not any(below["status"]["phase"] == "Failed" for _, below in list(steps(step))[1:])
    ]


@examples
@given(jobs)
def test_no_failed_step_of_a_job_is_lost_and_no_reason_that_differs(body: dict[str, Any]) -> None:
    summary = Summary("get_job", body, job_id="job")
    failed = unexplained(summary.body)
    shown = [(step["path"], step["reason"]) for step in summary.structured["failed"]]
    assert not Counter(path for path, _ in shown) - Counter(path for path, _ in failed)
    assert all(any(path == way and why[:20] in reason for way, why in failed) for path, reason in shown)
    assert len(shown) == min(len(failed), 20)
    assert all(summary.says(path) and summary.says(reason) for path, reason in shown)
    reasons = " ".join(each["reason"] for each in (*summary.structured["failed"], *summary.structured["above"])).lower()
    reasons_of_failures = [
        said(step["status"], 900) for path, step in steps(summary.body) if step["status"]["phase"] == "Failed"
    ]
    if len(failed) <= 6:
        assert [each for each in reasons_of_failures if each[:20].lower() not in reasons] == []
    if len(failed) > len(shown):
        assert any(f"{len(failed)} steps failed" in warning for warning in summary.result.warnings)
    assert summary.raw == summary.body


@examples
@given(jobs)
def test_a_phase_of_a_job_that_is_not_known_is_reported(body: dict[str, Any]) -> None:
    summary = Summary("get_job", body, job_id="job")
    unknown = any(step["status"]["phase"] == "Aborted" for _, step in steps(summary.body))
    assert unknown == any('"Aborted"' in warning for warning in summary.result.warnings)


@pytest.mark.parametrize("depth", [3, 30, 60])
def test_the_failed_step_of_a_job_of_any_depth_is_reported_or_said_to_be_unread(depth: int) -> None:
    body = job("Failed", "Innermost", "the very cause", [])
    for _ in range(depth):
        body = job("Failed", "Layer", "something below failed", [body])
    summary = Summary("get_job", body, job_id="job")
    assert summary.says("the very cause") or summary.says("could not be read")
    assert summary.says("the very cause") or depth > 30


# --- pre-upgrade checks -------------------------------------------------------------------------------------------

FINDINGS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["Disk", "Memory", "Clock", "Api", "Driver", "Kernel"]) | names,
        "kind": st.sampled_from(["Exception", "Risk", "Novelty"]),
        "group": st.sampled_from(["LimitCheck", "NodeCheck", "AddonCheck"]),
        "level": st.sampled_from(["Info", "Warning", "Fatal"]),
        "phase": st.sampled_from(["Success", "Failed", "Failed", "Running", "Timeout"]),
        "message": lines,
        "riskSource": st.just({}),
    },
    optional={"errorCodes": st.lists(st.integers(1, 9).map(lambda number: f"PRE.{number}"), max_size=2)},
)


@st.composite
def checks(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a check; messages of findings on nodes may name the node."""
    nodes = []
    for number in range(draw(st.integers(0, 12))):
        info = {"uid": f"uid-{number:02d}", "name": f"node-{number:02d}"}
        found = [dict(each) for each in draw(st.lists(FINDINGS, max_size=5))]
        for each in found:
            each["message"] += draw(st.sampled_from(["", f" on {info['name']}", f" on {info['uid']}"]))
        nodes.append({"nodeInfo": info, "itemsStatus": found})
    return {
        "metadata": {"uid": "check"},
        "spec": {"clusterVersion": "v1.28.6-r0", "targetVersion": "v1.31.6-r0"},
        "status": {
            "phase": draw(st.sampled_from(["Failed", "Success", "Running", "Error"])),
            "clusterCheckStatus": {"itemsStatus": draw(st.lists(FINDINGS, max_size=5))},
            "addonCheckStatus": {"itemsStatus": draw(st.lists(FINDINGS, max_size=5))},
            "nodeCheckStatus": {"nodeStageStatus": nodes},
        },
    }


def found_in(body: Mapping[str, Any], phase: str) -> list[tuple[dict[str, Any], str]]:
    """List the items in a phase, each with its node."""
    status = body["status"]
    every = [
        (each, "") for group in ("clusterCheckStatus", "addonCheckStatus") for each in status[group]["itemsStatus"]
    ]
    for stage in status["nodeCheckStatus"]["nodeStageStatus"]:
        every += [(each, stage["nodeInfo"]["name"]) for each in stage["itemsStatus"]]
    return [(each, node) for each, node in every if each["phase"] == phase]


@examples
@given(checks())
def test_every_failed_item_of_a_check_is_named_counted_and_on_its_side(body: dict[str, Any]) -> None:
    summary = Summary("get_precheck", body, task_id="check")
    failed = found_in(summary.body, "Failed")
    assert sum(summary.structured["failed"].values()) == len(
        {(each["name"], each["kind"] == "Risk") for each, _ in failed}
    )
    assert [each["name"] for each, _ in failed if not summary.says(each["name"])] == []
    also = {line.partition(" on ")[0] for line in summary.structured["also_failed"]}
    for side, risky in (("blocking", False), ("risks", True)):
        named = {each["name"] for each, _ in failed if (each["kind"] == "Risk") == risky}
        shown = {finding["name"] for finding in summary.structured[side]}
        assert shown <= named <= shown | also
    assert summary.raw == summary.body


@examples
@given(checks())
def test_a_check_with_few_findings_shows_every_reason_code_and_node(body: dict[str, Any]) -> None:
    summary = Summary("get_precheck", body, task_id="check")
    failed = found_in(summary.body, "Failed")
    if summary.structured["also_failed"] or len(failed) > 16:
        return
    every = [*summary.structured["blocking"], *summary.structured["risks"]]
    assert sum(finding["count"] for finding in every) == len(failed)
    for each, node in failed:
        about = [finding for finding in every if finding["name"] == each["name"]]
        assert summary.says(text(each["message"].partition(" on ")[0], 160))
        assert all(any(code in finding["why"] for finding in about) for code in each.get("errorCodes", []))
        places = [finding.get("where", "") for finding in about]
        assert not node or any(node in where or "more" in where or where.startswith("all ") for where in places)


@examples
@given(checks())
def test_an_item_in_a_phase_that_is_not_known_is_named(body: dict[str, Any]) -> None:
    summary = Summary("get_precheck", body, task_id="check")
    assert all(summary.says(f'{each["name"]} "Timeout"') for each, _ in found_in(summary.body, "Timeout"))


# --- lists --------------------------------------------------------------------------------------------------------


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    rows = []
    for number in range(draw(st.integers(0, 45))):
        born = draw(moments)
        phase = draw(st.sampled_from(["Failed", "Success", "Running", "Pause", "Pending", "Cancel", "Vanished"]))
        rows.append(
            {
                "metadata": {"uid": f"task-{number:02d}", "creationTimestamp": born},
                "spec": {"version": "v1.28.6-r0", "targetVersion": "v1.31.6-r0", "items": {"message": draw(lines)}},
                "status": {"phase": phase, "progress": "20.00", "completionTime": born},
            }
        )
    return {"items": rows}


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ("list_upgrade_tasks", "tasks"),
        ("list_backups", "tasks"),
        ("list_prechecks", "checks"),
        ("list_upgrade_workflows", "workflows"),
    ],
)
@examples
@given(body=tasks())
def test_a_list_of_tasks_shows_the_newest_and_counts_the_others(tool: str, field: str, body: dict[str, Any]) -> None:
    summary = Summary(tool, body)
    rows = sorted(summary.body["items"], key=lambda row: str(row["metadata"]["creationTimestamp"]), reverse=True)
    shown = summary.structured[field]
    assert (summary.structured["shown"], summary.structured["total"]) == (len(shown), len(rows))
    assert len(shown) == min(len(rows), 20)
    ids = {next(iter(line.values())) for line in shown}
    oldest = min((row["metadata"]["creationTimestamp"] for row in rows[: len(shown)]), default="")
    assert all(row["metadata"]["uid"] in ids for row in rows if row["metadata"]["creationTimestamp"] > oldest)
    assert all(summary.says(each) for each in ids)
    assert summary.raw == summary.body


@pytest.mark.parametrize(("tool", "field"), [("list_backups", "tasks"), ("list_upgrade_workflows", "workflows")])
@examples
@given(body=tasks())
def test_the_pages_of_a_list_hold_every_entry_once(tool: str, field: str, body: dict[str, Any]) -> None:
    seen: list[str] = []
    own: dict[str, Any] | None = {}
    while own is not None:
        page = summarise(Observation(load_catalog()[tool], CLUSTER, body, now=NOW, own=own)).structured()
        seen += [next(iter(line.values())) for line in page[field]]
        onward = [call["arguments"] for call in page.get("next", []) if call["tool"] == tool]
        own = {"cursor": onward[0]["cursor"]} if onward else None
    assert sorted(seen) == sorted(row["metadata"]["uid"] for row in body["items"])


TROUBLE = st.sampled_from(["Error", "Unavailable", "Available", "Creating", "Novelty"])


@examples
@given(st.lists(st.tuples(TROUBLE, reasons | documents, moments), max_size=150))
def test_every_cluster_is_named_with_its_phase_and_those_in_trouble_say_why(drawn: list[Any]) -> None:
    rows = [
        {
            "metadata": {"uid": f"uid-{number}", "name": f"cluster-{number:03d}", "creationTimestamp": born},
            "spec": {"version": "v1.30"},
            "status": {"phase": phase, "message": why},
        }
        for number, (phase, why, born) in enumerate(drawn)
    ]
    summary = Summary("list_clusters", {"items": rows})
    assert summary.structured["total"] == len(rows)
    listed = {line["name"]: line for line in summary.structured["clusters"]}
    named = dict(line.split(" ")[:2] for line in summary.structured["more"])
    for row in summary.body["items"]:
        name, phase = row["metadata"]["name"], row["status"]["phase"]
        assert summary.says(name)
        assert (listed[name]["phase"] if name in listed else named[name]) == phase
        if phase in ("Error", "Unavailable") and name in listed:
            assert listed[name].get("problem", "") == text(row["status"]["message"])
    assert summary.raw == summary.body


@examples
@given(st.lists(st.tuples(st.sampled_from(["FAILED", "UNKNOWN", "DEPLOYED", "Odd"]), lines), max_size=60))
def test_every_release_in_trouble_is_reported_with_its_reason(drawn: list[Any]) -> None:
    rows = [
        {"name": f"release-{number:02d}", "namespace": "default", "status": status, "status_description": why}
        for number, (status, why) in enumerate(drawn)
    ]
    if not rows:
        return
    summary = Summary("list_releases", rows)
    found = {line["name"]: line for line in summary.structured["releases"]}
    for row in summary.body:
        assert found[row["name"]]["status"] == row["status"]
        if row["status"] != "DEPLOYED":
            assert found[row["name"]].get("problem", "") == text(row["status_description"])
            assert summary.says(row["name"])
    assert summary.raw == summary.body


def _edited(values: dict[str, Any], way: tuple[str, ...], leaf: Any) -> dict[str, Any]:
    """Return values with another leaf; None takes it away."""
    changed = copy.deepcopy(values)
    node = changed
    for key in way[:-1]:
        node = node.setdefault(key, {})
    node[way[-1]] = leaf
    if leaf is None:
        del node[way[-1]]
    return changed


edits = st.tuples(
    st.sampled_from([("replicas",), ("image", "tag"), ("image", "pull", "policy"), ("limits", "cpu"), ("owner",)]),
    st.none() | st.booleans() | st.integers(0, 3) | names,
)


@examples
@given(st.lists(st.lists(edits, max_size=4), min_size=1, max_size=8))
def test_every_setting_that_changed_between_revisions_is_named(drawn: list[list[Any]]) -> None:
    values: dict[str, Any] = {}
    rows = []
    for version, each in enumerate(drawn, 1):
        for way, leaf in each:
            values = _edited(values, way, leaf)
        chart = {"chart_name": "shop", "chart_version": f"1.{version // 3}.0"}
        rows.append({"version": version, "status": "DEPLOYED", **chart, "values": json.dumps(values)})
    summary = Summary("get_release_history", rows, namespace="default", name="shop")
    found = {line["revision"]: " ".join(line["changes"]) for line in summary.structured["revisions"]}
    for before, after in pairwise(summary.body):
        said = found[after["version"]]
        old, new = (dict(_leaves(json.loads(each["values"]))) for each in (before, after))
        assert [way for way in old.keys() | new.keys() if old.get(way) != new.get(way) and way not in said] == []
        assert (before["chart_version"] != after["chart_version"]) == ("chart_version: " in said)
        assert ("same chart and values as revision" in said) >= (before | {"version": 0} == after | {"version": 0})
    assert summary.raw == summary.body


def _leaves(values: Mapping[str, Any], above: str = "values") -> Iterator[tuple[str, str]]:
    for key, each in values.items():
        if isinstance(each, dict) and each:
            yield from _leaves(each, f"{above}.{key}")
        else:
            yield f"{above}.{key}", json.dumps(each)


@examples
@given(st.lists(st.tuples(st.sampled_from(["abnormal", "installFailed", "running", "novel"]), lines), max_size=40))
def test_every_addon_in_trouble_is_reported_with_its_reason(drawn: list[Any]) -> None:
    rows = [
        {
            "metadata": {"uid": f"uid-{number:02d}"},
            "spec": {"addonTemplateName": f"addon-{number:02d}", "version": "1.0.0"},
            "status": {"status": status, "message": why},
        }
        for number, (status, why) in enumerate(drawn)
    ]
    summary = Summary("list_addons", {"items": rows})
    found = {line["name"]: line for line in summary.structured["addons"]}
    for row in summary.body["items"]:
        line = found[row["spec"]["addonTemplateName"]]
        assert line["status"] == row["status"]["status"]
        assert line["status"] == "running" or line.get("problem", "") == text(row["status"]["message"])
    assert summary.raw == summary.body
