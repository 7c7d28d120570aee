"""Which facts of the five large inputs an agent has: in both forms of the summary, or in the answer `raw` leads to."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from large import NODES, large_answers
from measures import Section, dense, share

from ap_mcp.rendering import one_line, render
from ap_mcp.response_store import kept_text
from ap_mcp.summaries import Observation, summarise
from ap_mcp.vendor import text

NODE = "…"
"""Stands in a reason for the node it is about, so that equal reasons are shown once."""
NODE_NAME = re.compile(r"autopilot-node-\d+")
REASON = 100
"""Characters by which a reason is recognised; a summary may cut what follows."""

Facts = Iterator[tuple[str, str]]


def _check(body: Any) -> Facts:
    status = body["status"]
    places = [({}, status[group]["itemsStatus"]) for group in ("clusterCheckStatus", "addonCheckStatus")]
    places += [(stage["nodeInfo"], stage["itemsStatus"]) for stage in status["nodeCheckStatus"]["nodeStageStatus"]]
    for node, items in places:
        for item in items:
            if item["phase"] != "Failed":
                continue
            yield "failed items", item["name"]
            yield "their reasons", item["message"].replace(node.get("name", NODE), NODE)
            if node:
                yield f"their nodes, or that it is all {NODES}", node["name"]


def _clusters(body: Any) -> Facts:
    for row in body["items"]:
        yield "clusters", row["metadata"]["name"]
        if row["status"]["phase"] == "Error":
            yield "reasons of those in trouble", row["status"]["message"]


def _templates(body: Any) -> Facts:
    for row in body["items"]:
        yield "add-ons", row["metadata"]["name"]
        stable = (each["version"] for each in row["spec"]["versions"] if each["stable"])
        yield "their newest stable versions", next(stable)


def _job(body: Any) -> Facts:
    below = body["spec"].get("subJobs", [])
    if body["status"]["phase"] == "Failed" and not any(each["status"]["phase"] == "Failed" for each in below):
        yield "failed steps", body["spec"]["type"]
        yield "their reasons", body["status"]["reason"]
    for each in below:
        yield from _job(each)


def _releases(body: Any) -> Facts:
    for row in body:
        yield "releases", row["name"]
        if row["status"] == "FAILED":
            yield "reasons of the failed ones", row["status_description"]


FACTS: dict[str, Callable[[Any], Facts]] = {
    "get_precheck": _check,
    "list_clusters": _clusters,
    "list_addon_templates": _templates,
    "get_job": _job,
    "list_releases": _releases,
}


def section() -> Section:
    """Search for every fact in what an agent gets."""
    rows, broken = [], []
    for name, answer in large_answers():
        result = summarise(answer)
        said, structured, raw = render(result), dense(result.structured()), _raw(answer)
        found: dict[str, dict[str, None]] = {}
        for kind, fact in FACTS[answer.operation.id](answer.body):
            found.setdefault(kind, {})[fact] = None
        for kind, facts in found.items():
            shown = [fact for fact in facts if _holds(said, fact) and _holds(structured, fact)]
            kept = [fact for fact in facts if all(part in raw for part in _written(fact).split(NODE))]
            reached = {*shown, *kept}
            rows.append([name, kind, str(len(facts)), share(len(shown), len(facts)), share(len(reached), len(facts))])
            if len(reached) < len(facts):
                broken.append(f"recall, {name}: {kind} are lost")
    about = (
        "Distinct facts of each large input: the share in the summary itself, in its text and in its structured form, "
        "and the share within reach, in the answer that `raw` leads to. That nothing failed is ever lost is shown for "
        "random inputs by tests/test_recall.py."
    )
    header = ["input", "facts", "number", "in the summary", "within reach"]
    return Section("Recall of facts", about, header, rows, broken)


def _holds(half: str, fact: str) -> bool:
    if NODE_NAME.fullmatch(fact) and f"all {NODES} nodes" in half:
        return True
    line = one_line(text(fact, REASON)).removesuffix("…")
    return line in half or _written(line) in half


def _written(fact: str) -> str:
    return dense(fact)[1:-1]


def _raw(answer: Observation) -> str:
    return kept_text(answer) or ""
