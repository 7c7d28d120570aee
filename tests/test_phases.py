"""What a phase means stands in the specs' `wait`, and nothing in the package says it a second time."""

import ast
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sources import modules

from ap_mcp.rules.phases import ADDON, CLUSTER, JOB, RELEASE, UPGRADE, broken, described, phases_of, under_way, verdict
from ap_mcp.rules.wait_hints import wait_hint
from ap_mcp.schemas import walk
from ap_mcp.specs import Catalog, read_catalog, specs_folder
from ap_mcp.specs.waits import DELETING, FAILURE, IDLE, PHASE_VERDICTS, SUCCESS, TRANSITIONAL
from ap_mcp.wait.targets import Order, waitables

ELSEWHERE = ("simulator", "kubernetes")
"""Parts of the package that make or read other phases than those of the Autopilot API."""
OURS = {
    ("guard/guarding.py", "unknown"): "how a call ended, as the audit has it",
    ("guard/impacts/base.py", "unknown"): "a part of an impact",
    ("webhooks/notice.py", "unknown"): "how a call ended, as the audit has it",
    ("specs/__init__.py", "unknown"): "a part of an impact",
    ("lint.py", "unknown"): "a part of an impact",
    ("rules/upgrades.py", "unknown"): "our verdict on a state that is not reported",
    ("rules/upgrades.py", "running"): "our verdict",
    ("summaries/jobs.py", "running"): "our verdict",
    ("wait/targets.py", "running"): "our verdict",
    ("cli/terminal.py", "running"): "our verdict",
    ("specs/waits.py", "deleting"): "the name of a list of phases",
    ("wait/__init__.py", "DELETED"): "the name of a constant",
}
"""Words of ours that are phases by chance: each is named once, where it is ours."""
READERS = frozenset({"get", "count", "index", "startswith", "endswith"})


def phases_read_by_hand(nodes: Iterable[ast.AST], phases: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that compare with a phase, use it as a key, match it, or name it for such a use later."""
    for node in nodes:
        operands: list[Any] = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            operands = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            operands = node.elts
        elif isinstance(node, ast.MatchValue | ast.Assign | ast.AnnAssign | ast.NamedExpr):
            operands = [node.value]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
            operands = list(node.args)
        elif isinstance(node, ast.Subscript) and not _is_literal(node.value):
            operands = [node.slice]
        yield from ((each.lineno, each.value) for each in operands if _is_phase(each, phases))
    return


def _is_phase(node: Any, phases: frozenset[str]) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in phases


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "Literal"


def without_types(nodes: Sequence[ast.AST]) -> list[ast.AST]:
    """Return nodes without those of `Literal[…]`, which says what a name may hold and reads nothing."""
    types = [each for each in nodes if isinstance(each, ast.Subscript) and _is_literal(each.value)]
    left_out = {id(below) for each in types for below in ast.walk(each)}
    return [each for each in nodes if id(each) not in left_out]


def parsed(source: str) -> list[ast.AST]:
    return without_types([*ast.walk(ast.parse(source))])


@pytest.fixture(scope="module")
def every_phase(catalog: Catalog) -> frozenset[str]:
    waits = [each.wait for each in catalog.values() if each.wait]
    return frozenset(phase for wait in waits for name in PHASE_VERDICTS for phase in getattr(wait, name)) | frozenset(
        alias for wait in waits for alias in wait.aliases
    )


def test_no_module_compares_with_a_phase_by_hand(every_phase: frozenset[str]) -> None:
    assert len(every_phase) > 40
    found = set()
    for place, nodes in modules().items():
        if place.partition("/")[0] not in ELSEWHERE:
            found |= {(place, phase) for _, phase in phases_read_by_hand(without_types(nodes), every_phase)}
    assert found - OURS.keys() == set(), "ask ap_mcp.rules.phases; a further fact is a group of the specs' wait"
    assert OURS.keys() - found == set(), "nothing to exempt there any more"


@pytest.mark.parametrize(
    "source",
    [
        'if phase == "Available": pass',
        'if "Failed" != phase: pass',
        'if phase in ("Creating", "Odd"): pass',
        'BUSY = frozenset({"installing"})',
        'WORDS = {"DEPLOYED": "is deployed"}',
        'LEAVING = "Deleting"',
        'done = phases.count("Success")',
        'word = words["Pending"]',
        'word = words.get("Pending")',
        'match phase:\n    case "Queueing":\n        pass',
    ],
)
def test_each_way_to_read_a_phase_by_hand_is_noticed(source: str, every_phase: frozenset[str]) -> None:
    assert len(list(phases_read_by_hand(parsed(source), every_phase))) == 1


@pytest.mark.parametrize("source", ['say("Available")', 'V = Literal["running", "idle"]', '"""Available"""', "x = 7"])
def test_words_that_read_no_phase_are_allowed(source: str, every_phase: frozenset[str]) -> None:
    assert list(phases_read_by_hand(parsed(source), every_phase)) == []


def test_every_phase_that_the_specs_know_has_one_verdict(catalog: Catalog) -> None:
    for kind, wait in catalog.waits.items():
        node = walk(catalog[wait.operation], catalog[wait.operation].response or {}, wait.phase_at)[-1]
        for phase in node.get("enum") or node["examples"]:
            listed = [name for name in PHASE_VERDICTS if phase in getattr(wait, name)]
            assert listed == [wait.verdict(phase)], (kind, phase)
            assert wait.ends(phase) != wait.under_way(phase)


@pytest.mark.parametrize("phase", ["Dreaming", "avail", "", None, 7, ["Available"], {"x": 1}])
def test_what_the_specs_do_not_know_has_no_verdict_and_is_no_end(phase: Any) -> None:
    wait = phases_of(CLUSTER)
    assert wait.verdict(phase) is None
    assert [wait.ends(phase), wait.under_way(phase), wait.holds("upgrading", phase)] == [False] * 3


@pytest.mark.parametrize(
    ("kind", "phase", "meaning"),
    [
        (CLUSTER, "Awaking", TRANSITIONAL),
        (CLUSTER, "Freezing", TRANSITIONAL),
        (CLUSTER, "Frozen", IDLE),
        (CLUSTER, "Hibernation", IDLE),
        (CLUSTER, "ResizeFailed", FAILURE),
        (ADDON, "available", SUCCESS),
        (RELEASE, "deployed", SUCCESS),
        (RELEASE, "Pending-Install", TRANSITIONAL),
        (RELEASE, "uninstalling", DELETING),
        (ADDON, "deleting", DELETING),
        (UPGRADE, "Queueing", TRANSITIONAL),
        (UPGRADE, "Queuing", TRANSITIONAL),
        (JOB, "Initializing", TRANSITIONAL),
        (RELEASE, "PENDING_ROLLBACK", TRANSITIONAL),
    ],
)
def test_phases_mean_what_the_reference_says(kind: str, phase: str, meaning: str) -> None:
    assert verdict(kind, phase) == meaning


def test_what_was_deleted_is_not_broken() -> None:
    assert (verdict(ADDON, "deleteSuccess"), broken(ADDON, "deleteSuccess")) == (FAILURE, False)
    assert (verdict(RELEASE, "DELETED"), broken(RELEASE, "DELETED")) == (FAILURE, False)
    assert all(broken(ADDON, phase) for phase in ("unknown", "abnormal", "deleteFailed"))
    assert under_way(RELEASE, "DELETING")
    assert not described(RELEASE, "Dreaming")


def test_a_deletion_sees_everything_it_does_not_list_as_still_there(catalog: Catalog) -> None:
    wait = catalog["delete_addon"].wait
    assert wait is not None
    assert (wait.verdict("deleteSuccess"), wait.verdict("deleteFailed")) == (SUCCESS, FAILURE)
    assert {wait.verdict(phase) for phase in ("running", "abnormal", "installing")} == {TRANSITIONAL}
    assert wait.verdict("deleting") == DELETING


def reordered(folder: Path) -> Catalog:
    """Read a copy of the specs in which the arguments of every operation, and of every wait, stand the other way."""
    copy = folder / "tool_specs"
    shutil.copytree(specs_folder(), copy)
    for path in copy.glob("*.json"):
        document = json.loads(path.read_bytes())
        for item in document.get("paths", {}).values():
            for operation in item.values():
                ours = operation["x-ap-mcp"]
                ours["arguments"] = dict(reversed(ours["arguments"].items()))
                if "wait" in ours:
                    ours["wait"]["argument"] = dict(reversed(ours["wait"]["argument"].items()))
        path.write_text(json.dumps(document))
    return read_catalog(copy)


def test_the_order_of_arguments_in_the_specs_changes_nothing(catalog: Catalog, tmp_path: Path) -> None:
    other = reordered(tmp_path)
    assert list(other["get_release"].arguments) == list(catalog["get_release"].arguments)[::-1]
    given = {"cluster_id": "c", "namespace": "n", "name": "web", "addon_id": "a", "task_id": "t"}
    body = {"status": {"phase": "Running", "status": "installing", "jobID": "j"}, "metadata": {"uid": "u"}, "uid": "b"}
    for name, operation in catalog.items():
        shown = body if name != "get_release" else {"status": "PENDING_INSTALL"}
        assert wait_hint(operation, given, shown) == wait_hint(other[name], given, shown), name
    before, after = waitables(catalog.values(), catalog), waitables(other.values(), other)
    assert list(before) == list(after)
    for kind, waitable in before.items():
        call = {"kind": kind, "id": "x", "cluster_id": "c", "namespace": "n"}
        assert sorted(waitable.parents) == sorted(after[kind].parents)
        assert Order(waitable, call).arguments == Order(after[kind], call).arguments


def test_a_wait_names_the_thing_by_the_argument_that_the_specs_say(catalog: Catalog) -> None:
    named = {kind: wait.id for kind, wait in catalog.waits.items()}
    assert named == {
        "cluster": "cluster_id",
        "job": "job_id",
        "addon": "addon_id",
        "upgrade_task": "task_id",
        "precheck": "task_id",
        "backup": "id",
        "upgrade_workflow": "upgrade_workflow_id",
        "release": "name",
    }
