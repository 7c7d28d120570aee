"""The tool list: what it promises about names, hints, toolsets, and its size."""

import json
import re
from typing import Any

import pytest

from ap_mcp.assessment import ASSESS_UPGRADE
from ap_mcp.kubernetes.tools import READS, WRITES
from ap_mcp.problems import LIST_PROBLEMS
from ap_mcp.specs import SUBJECTS, load_catalog
from ap_mcp.toolbox import ESSENTIAL, as_json, as_mcp, as_openai, select, toolbox
from ap_mcp.wait import WAIT_FOR

NAMES = sorted(load_catalog())
LISTED = [as_json(tool) for tool in toolbox(load_catalog()).shown]
OPERATIONS = [tool for tool in LISTED if tool["name"] in NAMES]
DOCUMENTED = [tool for tool in OPERATIONS if not load_catalog()[tool["name"]].reference.startswith("SDK ")]
BYTES_OF_A_TOKEN = 4.2
"""Fewer than these descriptions and schemas have; `make bench` counts the tokens themselves."""
AVERAGE_WITHOUT_OUTPUT = 150 * BYTES_OF_A_TOKEN
AVERAGE = 215 * BYTES_OF_A_TOKEN
BUDGET_OF_THE_DOCUMENTED = 31_500
BUDGET_OF_A_READ_TOOL = 1_300


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def without_output(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in tool.items() if key != "outputSchema"} for tool in tools]


def test_a_tool_takes_on_average_what_is_promised_with_and_without_its_output_schema() -> None:
    assert size(without_output(LISTED)) <= AVERAGE_WITHOUT_OUTPUT * len(LISTED)
    assert size(LISTED) <= AVERAGE * len(LISTED)


def test_the_operations_of_the_api_reference_stay_in_their_budget() -> None:
    assert len(DOCUMENTED) == 50
    assert size(without_output(DOCUMENTED)) <= BUDGET_OF_THE_DOCUMENTED


def test_a_tool_made_of_several_reads_stays_in_its_budget() -> None:
    made = [tool for tool in LISTED if tool["name"] not in NAMES]
    assert [tool["name"] for tool in made if size(tool) > BUDGET_OF_A_READ_TOOL] == []


@pytest.mark.parametrize("tool", LISTED, ids=lambda tool: str(tool["name"]))
def test_a_tool_states_everything_a_host_reads(tool: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,39}", tool["name"])
    assert tool["title"]
    assert tool["description"]
    hints = tool["annotations"]
    assert set(hints) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}
    assert all(isinstance(hint, bool) for hint in hints.values())
    assert tool["outputSchema"]["required"] == ["summary"]


@pytest.mark.parametrize(
    ("name", "read_only", "destructive", "idempotent"),
    [
        ("get_cluster", True, False, True),
        ("create_cluster", False, False, False),
        ("create_release", False, True, False),  # replace: true would remove what is there
        ("delete_cluster", False, True, True),
        ("get_cluster_certificate", False, False, False),  # hands out a key, so it is no mere read
        ("update_addon", False, True, False),
    ],
)
def test_hints_state_the_worst_case(name: str, *, read_only: bool, destructive: bool, idempotent: bool) -> None:
    hints = as_mcp(toolbox(load_catalog()).tools[name]).annotations
    assert hints is not None
    assert (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint) == (read_only, destructive, idempotent)


def test_the_list_has_one_order() -> None:
    names = [tool["name"] for tool in LISTED]
    assert names == sorted(names) == sorted([*NAMES, ASSESS_UPGRADE, LIST_PROBLEMS, WAIT_FOR, *READS, *WRITES])


def test_read_only_leaves_nothing_but_reading() -> None:
    offered = select(load_catalog(), read_only=True)
    assert {operation.worst_effect for operation in offered} == {"read"}
    assert "get_cluster_certificate" not in {operation.id for operation in offered}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_is_a_toolset(subject: str) -> None:
    assert {operation.subject for operation in select(load_catalog(), [subject])} == {subject}


def test_toolsets_add_up_and_all_is_the_default() -> None:
    catalog = load_catalog()
    assert [operation.id for operation in select(catalog)] == list(catalog)
    both = {operation.id for operation in select(catalog, ["tags", "quotas"])}
    assert both == {"add_cluster_tags", "delete_cluster_tags", "get_quotas"}


def test_the_essential_preset_fits_hosts_with_a_tool_limit() -> None:
    chosen = {operation.id for operation in select(load_catalog(), ["essential"])}
    assert chosen == ESSENTIAL
    assert len(chosen) <= 35


def test_a_tool_can_be_exported_for_other_agent_loops() -> None:
    tool = as_openai(as_mcp(toolbox(load_catalog()).tools["get_job"]))
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "get_job"
    assert tool["function"]["parameters"]["required"] == ["job_id"]
