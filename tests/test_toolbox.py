"""The tool list: what it promises about names, hints, toolsets, and its size."""

import json
import re
from typing import Any

import pytest

from ap_mcp.assessment.reads import ASSESS_UPGRADE
from ap_mcp.specs import SUBJECTS, load_catalog
from ap_mcp.toolbox import ESSENTIAL, as_json, as_mcp, as_openai, select, toolbox
from ap_mcp.wait import WAIT_FOR

NAMES = sorted(load_catalog())
LISTED = [as_json(tool) for tool in toolbox(load_catalog()).shown]
OPERATIONS = [tool for tool in LISTED if tool["name"] in NAMES]
BUDGET_WITHOUT_OUTPUT = 30_000
BUDGET = 42_000
BUDGET_OF_ONE_COMPOSED = 1_200


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def test_the_list_without_output_schemas_stays_in_its_budget() -> None:
    assert size([{key: value for key, value in tool.items() if key != "outputSchema"} for tool in OPERATIONS]) <= (
        BUDGET_WITHOUT_OUTPUT
    )


def test_the_whole_list_stays_in_its_budget() -> None:
    assert size(OPERATIONS) <= BUDGET


def test_a_tool_made_of_several_operations_is_no_longer_than_one_of_them() -> None:
    composed = [tool for tool in LISTED if tool["name"] not in NAMES]
    assert [tool["name"] for tool in composed if size(tool) > BUDGET_OF_ONE_COMPOSED] == []


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
    assert names == sorted(names) == sorted([*NAMES, ASSESS_UPGRADE, WAIT_FOR])


def test_read_only_leaves_nothing_but_reading() -> None:
    offered = select(load_catalog(), read_only=True)
    assert {operation.worst_effect for operation in offered} == {"read"}
    assert "get_cluster_certificate" not in {operation.id for operation in offered}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_is_a_toolset(subject: str) -> None:
    assert {operation.subject for operation in select(load_catalog(), [subject])} == {subject}


def test_toolsets_add_up_and_all_is_the_default() -> None:
    catalog = load_catalog()
    assert len(select(catalog)) == 50
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
