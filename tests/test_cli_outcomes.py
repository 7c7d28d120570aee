"""`--output json`: whatever becomes of a call, stdout holds one JSON object, and people read stderr."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from forking import python
from test_cli import DELETE, NOWHERE, alone, call, run

from ap_mcp.cli import main
from ap_mcp.cli.outcomes import CLOSED, described, unfinished, wants_json, write_anything
from ap_mcp.errors import CloudUnreachable, CredentialsMissing, PartlyDone, ServiceError, TooManyCalls
from ap_mcp.simulator.constants import LEGACY_IMPORT, SEARCH_DEV
from ap_mcp.wait.result import Waited

__all__ = ["alone"]

AS_JSON = ("--output", "json")
LONG = 120
"""Seconds; a machine with much else to do takes its time."""


def outcome(result: Any, exit_code: int) -> dict[str, Any]:
    """The one object on standard output."""
    assert result.exit_code == exit_code, result.output
    assert "Traceback" not in result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    if exit_code:
        error: dict[str, Any] = found["error"]
        assert error["exit_code"] == exit_code
        assert {"kind", "code", "message"} <= error.keys()
        assert error["message"].partition("\n")[0][:40] in result.stderr + json.dumps(found, ensure_ascii=False)
        return error
    assert "error" not in found
    return found


def test_what_a_call_would_do_is_said_once_to_a_script() -> None:
    result = run("call", *DELETE, "--simulate", *AS_JSON)
    error = outcome(result, 3)
    assert "Goes:" in error["impact"]
    assert "Goes:" not in result.stderr
    assert "needs confirmation" in result.stderr
    assert "Goes:" in call(*DELETE, "--simulate").stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "exit_code"),
    [
        ((), "usage", 2),
        (("get_cluster", "--nope"), "usage", 2),
        (("get_cluster", "--confirm", "off"), "usage", 2),
        (("get_cluster", "--json", "{"), "usage", 2),
        (("get_cluster", "--json", "[1]"), "usage", 2),
        (("get_cluster", "--json", "@absent.json"), "usage", 2),
        (("get_cluster", "--state", "x"), "usage", 2),
        (("get_clutser", "--simulate"), "unknown_tool", 2),
        (("get_cluster", "nothing", "--simulate"), "invalid_arguments", 2),
        (("get_cluster", "cluster_id=absent", "--simulate"), "name_not_found", 2),
        (("list_clusters",), "settings_error", 2),
        (("list_clusters", "--files-dir", "/dev/null/x", "--toolsets", "x"), "usage", 2),
        ((*DELETE, "--simulate"), "approval_required", 3),
        ((*DELETE, "--simulate", "--yes"), "confirmation_required", 3),
        ((*DELETE, "--simulate", "--confirm", "deny"), "consent_off", 4),
        ((*DELETE, "--simulate", "--read-only"), "read_only", 4),
        (("get_job", f"job_id={SEARCH_DEV}", "--simulate"), "not_found", 5),
    ],
)
def test_each_way_to_fail_is_one_object(arguments: tuple[str, ...], kind: str, exit_code: int) -> None:
    assert outcome(run("call", *AS_JSON, *arguments), exit_code)["kind"] == kind


@pytest.mark.parametrize(
    "arguments", [("cal", "x"), ("--nope", "call"), ("tools", "nope"), ("tools", "--toolsets", "x")]
)
def test_so_is_what_fails_before_a_command_is_known_and_in_other_commands(arguments: tuple[str, ...]) -> None:
    outcome(run(*arguments, "--output=json"), 2)


@pytest.mark.parametrize(
    ("environment", "kind", "exit_code"),
    [
        (NOWHERE, "cloud_unreachable", 6),
        ({**NOWHERE, "HUAWEICLOUD_SDK_SK": ""}, "settings_error", 2),
        ({**NOWHERE, "AP_MCP_REGOIN": "x"}, "settings_error", 2),
        ({**NOWHERE, "AP_MCP_CONFIRM": "x"}, "settings_error", 2),
        ({**NOWHERE, "AP_MCP_POLICY_FILE": "absent"}, "settings_error", 2),
    ],
)
def test_so_are_broken_settings_and_a_cloud_out_of_reach(
    environment: dict[str, str], kind: str, exit_code: int
) -> None:
    error = outcome(run("call", "list_clusters", *AS_JSON, environment=environment), exit_code)
    assert error["kind"] == kind


def test_a_rule_that_denies_is_told_from_other_refusals(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{ decision = "deny", clusters = ["team-*"], reason = "Not this one." }]')
    result = call(*DELETE, *AS_JSON, environment={"AP_MCP_POLICY_FILE": str(rules)})
    error = outcome(result, 4)
    assert error["kind"] == "denied_by_policy"
    assert "Not this one." in error["message"]


def test_what_waits_for_a_person_comes_with_its_code_and_impact() -> None:
    error = outcome(call(*DELETE, *AS_JSON), 3)
    assert error["tool"] == "delete_cluster"
    assert error["effect"] == "destroy"
    assert "Deletes cluster team-sandbox" in error["impact"]
    assert "impact" not in error["message"]
    assert error["code"] in run("approvals", "list").stdout
    assert "15 min" in error["lives"] or "14 min" in error["lives"]  # where the machine is busy
    unasked = outcome(call(*DELETE, *AS_JSON, "--yes"), 3)
    assert (unasked["code"], unasked["impact"]) == (None, error["impact"])
    assert "Deletes cluster" not in unasked["message"]


def test_every_problem_with_the_arguments_is_listed_for_itself() -> None:
    error = outcome(call("get_cluster", "x", "cluster=y", "with_addons=z", "with_addons=true", *AS_JSON), 2)
    assert sorted(each["argument"] for each in error["problems"]) == ["", "cluster", "cluster_id"] + 2 * ["with_addons"]
    assert all(each["message"] in error["message"] for each in error["problems"])


@pytest.mark.parametrize(
    ("fault", "kind"), [("status:get_quotas:1:403", "permission_denied"), ("html:get_quotas:9:404", "bad_answer")]
)
def test_what_the_cloud_says_is_told_apart(fault: str, kind: str) -> None:
    error = outcome(call("get_quotas", *AS_JSON, environment={"AP_MCP_SIMULATOR_FAULTS": fault}), 5)
    assert error["kind"] == kind
    assert error["status"] in (403, 404)
    assert isinstance(error["may_pass"], bool)


def test_a_wait_says_how_it_ended_beside_what_it_found() -> None:
    made = json.loads(call("get_cluster", "cluster_id=ml-batch", *AS_JSON).stdout)
    late = json.loads(call("wait_for", "kind=job", f"id={made['job_id']}", "wait_s=0", *AS_JSON).stdout)
    assert late["error"]["kind"] == "waited_too_long"
    assert late["error"]["exit_code"] == 7
    assert late["found"]
    failed = json.loads(call("get_cluster", f"cluster_id={LEGACY_IMPORT}", *AS_JSON).stdout)
    ended = call("wait_for", "kind=job", f"id={failed['job_id']}", "wait_s=0", *AS_JSON)
    assert ended.exit_code == 5
    assert json.loads(ended.stdout)["error"]["kind"] == "wait_failed"


@pytest.mark.parametrize(
    ("found", "kind"), [("ready_with_risks", "risks_only"), ("blocked", "blocked"), ("error", "wait_failed")]
)
def test_a_check_that_found_risks_only_differs_from_one_that_blocks(found: str, kind: str) -> None:
    error = unfinished(Waited(summary="x", ended=True, verdict=found))
    assert error
    assert (error["kind"], error["exit_code"]) == (kind, 5)
    assert unfinished(Waited(summary="x", ended=True, verdict="succeeded")) is None
    assert unfinished(Waited(summary="x", ended=True, verdict="ready")) is None


def test_what_else_may_go_wrong_keeps_its_facts() -> None:
    lost = CloudUnreachable("https://x", "cut", may_have_arrived=True, operation="create_cluster")
    said = ServiceError(status=500, operation="b", code="CCE.1", other_codes=["X"], texts=["no"], retry_after=3)
    part = described(PartlyDone("t", ["a", "b"], 1, said), 5)
    assert described(lost, 6)["may_have_happened"] is True
    assert part["done"] == 1
    assert part["cause"]["code"] == "CCE.1"
    assert part["cause"]["service_says"] == ("no",)
    assert described(TooManyCalls(2, 4.0), 2)["retry_after"] == 4.0
    assert described(CredentialsMissing(["here: not set"]), 2)["searched"] == ("here: not set",)


def test_a_defect_of_ours_is_one_object_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ap_mcp.settings.load_settings", broken)
    result = run("call", "list_clusters", *AS_JSON)
    assert json.loads(result.stdout)["error"]["kind"] == "defect"
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--output", "json"], True),
        (["--output=json"], True),
        (["--output", "json", "--output", "text"], False),
        (["--", "--output", "json"], False),
        (["--output"], False),
        ([], False),
    ],
)
def test_a_command_line_that_cannot_be_read_still_says_what_it_wants(words: list[str], wanted: bool) -> None:
    assert wants_json(words) == wanted


def ours(*arguments: str, by: str | None = None, **more: str) -> "subprocess.Popen[bytes]":
    """Start `ap-mcp` as a program of its own, with this test's home."""
    command = [by or python(), "-m", "ap_mcp", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ) | more)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have programs take Ctrl-C, which those that a shell runs in its background inherit as one to ignore."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_in_130_and_one_object() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with ours("call", "list_clusters", *AS_JSON, **{**NOWHERE, "AP_MCP_ENDPOINT": endpoint}) as process:
            deaf.settimeout(LONG)
            connection, _ = deaf.accept()
            with connection:
                assert connection.recv(1)  # what is being connected may be at its end as the signal comes
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["error"]["kind"] == "interrupted"
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("output", ["json", "text"])
def test_a_stream_that_is_not_utf_8_takes_every_answer(output: str) -> None:
    name = "Bücher → 出版"
    words = ("call", "--simulate", "update_cluster", "cluster_id=search-dev", f"description={name}", "dry_run=true")
    with ours(*words, "--output", output, by=sys.executable, PYTHONIOENCODING="cp1252") as process:
        stdout, stderr = process.communicate(timeout=LONG)
    assert process.returncode == 0, stderr
    assert b"Traceback" not in stderr
    shown = stdout.decode("cp1252")
    if output == "json":
        assert name in json.dumps(json.loads(shown), ensure_ascii=False)
    else:
        assert "Bücher \\u2192 \\u51fa\\u7248" in shown


def test_so_does_every_stream_that_python_leaves_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = io.BytesIO()
    narrow = io.TextIOWrapper(kept, encoding="cp1252", errors="surrogateescape", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    write_anything()
    click.echo("→ \ud800")
    assert kept.getvalue() == b"\\u2192 \\ud800\n"


def test_raw_answers_stay_json_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.cli.call.writes_utf8", lambda: False)
    assert call("list_charts", "--output", "raw").stdout.isascii()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that takes nothing")
@pytest.mark.parametrize("form", [(), AS_JSON])
def test_a_full_disk_is_said_in_words_with_how_to_learn_what_was_done(form: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [python(), "-m", "ap_mcp", "tools", *form],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONG,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("The output could not be written to its end: No space left on device.")
    assert "`ap-mcp audit show`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["call", "list_clusters", "--simulate"], ["tools", *AS_JSON], ["--help"]])
def test_nothing_is_done_for_a_result_that_nobody_could_get(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 1
    assert capsys.readouterr().err == f"Error: {CLOSED}\n"


def test_an_output_that_only_reads_is_said_in_words() -> None:
    with Path(os.devnull).open() as reads:
        command = [python(), "-m", "ap_mcp", "tools"]
        done = subprocess.run(command, stdout=reads, stderr=subprocess.PIPE, text=True, timeout=LONG, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("The output could not be written to its end: Bad file descriptor.")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("call", "get_cluster", "--json", "-", "--simulate"), "--json: standard input is closed."),
        (("call", "get_cluster", "--json", "@", "--simulate"), "--json: @ is followed by the name of a file"),
        (("call", "list_clusters", "=x", "--simulate"), '- "": is no argument of list_clusters'),
        (("call", "list_clusters", "--profile", "eu", "--simulate"), "--profile: there are no profiles"),
        (("serve",), "Standard input or output is closed"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(CliRunner):
        @contextmanager
        def isolation(self, *given: Any, **more: Any) -> Iterator[Any]:
            with super().isolation(*given, **more) as streams, monkeypatch.context() as patch:
                patch.setattr(sys, "stdin", None)
                yield streams

    result = Closed().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
