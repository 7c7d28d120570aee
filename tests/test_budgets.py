"""What is promised about the size of answers and of a start; sizes only, `make bench` measures times."""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from large import CLUSTERS, NO_ROOM, RELEASES, large_answers
from upgrading import failed_items

from ap_mcp import guard
from ap_mcp.rendering import render
from ap_mcp.simulator.prechecks import large_precheck
from ap_mcp.specs import Catalog
from ap_mcp.summaries import KINDS, Observation, Result, summarise

CHECK_BYTES = 3000
SENT_ALONG = {"request_id": "0" * 32, "raw": "autopilot://responses/" + "0" * 24}
"""What the server adds to a summary."""
SHARE = 0.10
INPUTS = ("precheck", "clusters", "templates", "job", "releases")


@cache
def answers() -> dict[str, Observation]:
    return dict(zip(INPUTS, (answer for _, answer in large_answers()), strict=True))


@cache
def results() -> dict[str, Result]:
    return {name: summarise(answer) for name, answer in answers().items()}


def halves(result: Result) -> tuple[str, str]:
    """Return both forms of an answer; a host may pass on either."""
    return render(result), json.dumps(result.structured(), ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("name", INPUTS)
def test_each_form_of_a_large_answer_takes_a_tenth_of_what_the_cloud_sent(name: str) -> None:
    raw = len(json.dumps(answers()[name].body, ensure_ascii=False, separators=(",", ":")).encode())
    assert raw > 40_000
    for half in halves(results()[name]):
        assert len(half.encode()) <= SHARE * raw


def test_a_check_of_fifty_nodes_with_four_hundred_items_is_shown_in_three_thousand_bytes(catalog: Catalog) -> None:
    account = answers()["precheck"]
    alone = Observation(account.operation, account.arguments, large_precheck(nodes=50, findings=400), now=account.now)
    for answer in (account, alone):
        failed = {name for name, _ in failed_items(answer.body)}
        assert len(failed_items(answer.body)) >= 400
        for half in halves(summarise(answer).model_copy(update=SENT_ALONG)):
            assert len(half.encode()) <= CHECK_BYTES
            assert [name for name in failed if name not in half] == []


def test_every_cluster_of_a_long_list_is_named_and_those_in_trouble_say_why() -> None:
    clusters = answers()["clusters"].body["items"]
    assert len(clusters) == CLUSTERS
    for half in halves(results()["clusters"]):
        assert [row["metadata"]["name"] for row in clusters if row["metadata"]["name"] not in half] == []
        broken = [row for row in clusters if row["status"]["phase"] == "Error"]
        assert half.count(NO_ROOM) >= len(broken) - 1


def test_every_template_of_the_catalogue_is_named() -> None:
    for half in halves(results()["templates"]):
        assert all(row["metadata"]["name"] in half for row in answers()["templates"].body["items"])


def test_the_failed_step_of_a_deep_job_is_reported_with_its_way_and_its_reason() -> None:
    for half in halves(results()["job"]):
        assert "CreateCluster > Stage06 > Step06x5" in half
        assert NO_ROOM in half


def test_every_release_of_a_long_list_is_named_and_the_failed_ones_say_why() -> None:
    releases = answers()["releases"].body
    assert len(releases) == RELEASES
    for half in halves(results()["releases"]):
        assert [row["name"] for row in releases if row["name"] not in half] == []
        failed = [row for row in releases if row["status"] == "FAILED"]
        assert half.count("ImagePullBackOff") == len(failed)


def test_a_history_of_a_hundred_revisions_names_what_each_changed_in_a_tenth_of_the_bytes(catalog: Catalog) -> None:
    release = next(row for row in answers()["releases"].body if row["status"] == "DEPLOYED")
    values = json.loads(release["values"])
    rows = [
        {**release, "version": number, "values": json.dumps({**values, f"setting{number:03}": number})}
        for number in range(1, 101)
    ]
    answer = Observation(catalog["get_release_history"], {"namespace": "default", "name": release["name"]}, rows)
    raw = len(json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode())
    for half in halves(summarise(answer)):
        assert len(half.encode()) <= SHARE * raw
        for number in range(2, 101):
            assert f"values.setting{number:03}: new, {number}" in half
            assert f"values.setting{number - 1:03}: {number - 1} is no longer set" in half


BEFORE_THE_FIRST_ANSWER = """
    arguments aside assessment binding calling cli cli.connecting cli.logs cli.options cli.outcomes clouds
    cluster_requests errors fairness files finishing gateway guard guard.callers guard.facts guard.guarding
    guard.limits guard.policy guard.policy_file guard.stores guard.subject kubernetes kubernetes.spec kubernetes.tools
    kubernetes.write_tool late_patterns lost_answers masking masking.forms masking.hints masking.in_json
    masking.in_lines masking.in_templates masking.in_text masking.named masking.names masking.placeholders
    masking.token_forms masking.values operation_tools output_schemas permits plans principals private_files problems
    protocol read_tools response_store rules rules.clusters rules.phases rules.wait_hints schemas server service_texts
    setting_values settings specs specs.waits stdio summaries summaries.base toolbox vendor wait wait.clocks
    wait.recent_changes watching wording
"""
"""Our modules that are imported before the tools are listed; a host waits for each. The rest comes with the first call.
What is added here makes every start slower, and can mostly be imported where it is used."""
OPENING = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
NOT_FOR_A_READ = {
    *("jsonschema", "referencing", "rpds", "attr", "stamina", "tenacity", "difflib", "sqlite3", "yaml"),
    *("rich", "pygments", "ap_mcp.filling", "ap_mcp.aftermath"),
}
"""What neither a start needs nor a read without arguments that is answered at once; it stays once it is imported."""
ELSEWHERE = {*NOT_FOR_A_READ, "httpx"}
"""Libraries that only calls need."""


def unmeasured(**more: str) -> dict[str, str]:
    """The environment of a process whose coverage is not measured: that imports more than what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")} | more


def test_a_start_imports_what_lists_the_tools_and_nothing_that_only_calls_need(tmp_path: Path) -> None:
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in OPENING.items()}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    command = [sys.executable, "-X", "importtime", "-m", "ap_mcp", "serve"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (tmp_path / "imports").open("w+") as log:
        with subprocess.Popen(command, stderr=log, env=unmeasured(HOME=str(tmp_path)), **pipes) as served:
            assert served.stdin is not None
            assert served.stdout is not None
            served.stdin.write(json.dumps(message) + "\n")
            served.stdin.flush()
            # Its client stays until it has answered: else it may leave without.
            answer = json.loads(served.stdout.readline())
            served.stdin.close()
        assert served.returncode == 0
        log.seek(0)
        imported = {line.rpartition("|")[2].strip() for line in log if line.startswith("import time")}
    assert len(answer["result"]["tools"]) > 50
    ours = {name.removeprefix("ap_mcp.") for name in imported if name.startswith("ap_mcp.")}
    assert ours == {*BEFORE_THE_FIRST_ANSWER.split()}
    assert imported & ELSEWHERE == set()


def test_a_read_imports_nothing_that_only_a_terminal_other_answers_or_changes_need() -> None:
    script = """if True:
        import sys

        import anyio

        from ap_mcp.cloud import http
        from ap_mcp.cloud.client import CloudClient
        from ap_mcp.credentials import find_credentials
        from ap_mcp.rendering import render
        from ap_mcp.server import Autopilot
        from ap_mcp.settings import Settings

        settings = Settings(endpoint="http://127.0.0.1:1", iam_endpoint="http://127.0.0.1:1", region="ap-southeast-1")
        keys = {"HUAWEICLOUD_SDK_AK": "a", "HUAWEICLOUD_SDK_SK": "b", "HUAWEICLOUD_SDK_PROJECT_ID": "0" * 32}
        quota = {"quotaKey": "cluster", "quotaLimit": 20, "used": 7}

        async def connect():
            cloud = http.MockTransport(lambda _: http.Response(200, json={"quotas": [quota]}))
            return CloudClient(settings, find_credentials(keys), cloud)

        async def read():
            async with Autopilot(settings, connect) as autopilot:
                return render(await autopilot.call("get_quotas", {}))

        assert "7" in anyio.run(read)
        print(*sys.modules)
    """
    command = [sys.executable, "-c", script]
    called = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=unmeasured())
    imported = {*called.stdout.split()}
    assert imported >= {"httpx", "ap_mcp.summaries.quotas"}
    others = {f"ap_mcp.summaries.{module}" for module in KINDS} - {"ap_mcp.summaries.quotas"}
    assert imported & (others | NOT_FOR_A_READ | {"click"}) == set()


def test_everything_that_the_guard_offers_late_is_there() -> None:
    typed = {
        (str(node.module), alias.name)
        for node in ast.walk(ast.parse(Path(guard.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ap_mcp.guard.")
        for alias in node.names
    }
    late = {(f"ap_mcp.guard.{module}", name) for module, names in guard._PLACES.items() for name in names}
    assert late == typed
    assert all(getattr(guard, name) is getattr(import_module(module), name) for module, name in late)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        guard.__getattr__("Nothing")
