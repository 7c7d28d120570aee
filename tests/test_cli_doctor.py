"""`ap-mcp doctor`: each part that may be wrong is found, said with what to do, and never shown with a secret."""

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from approving import PASSPHRASE
from certificates import Authority
from forking import python
from pydantic import SecretStr
from soft_authenticator import SoftPasskey
from test_cli import KEYED, NOWHERE, SECONDS, alone, refused, run, simulator

from ap_mcp.cli import checkup_http
from ap_mcp.cli.checkup import clock, cloud, credentials, network, program
from ap_mcp.credentials import find_credentials
from ap_mcp.errors import CredentialsMissing
from ap_mcp.guard.approvers import KnownApprover, save_approvers
from ap_mcp.guard.keys import init_key
from ap_mcp.settings import Settings

__all__ = ["alone"]

SECRETS = {
    "HUAWEICLOUD_SDK_AK": "AKAKAKAKAKAKAKAKAKAK",
    "HUAWEICLOUD_SDK_SK": "sk-that-nobody-may-see-sk-that-nobody-ma",
    "AP_MCP_PROXY": "http://user:hidden-word@127.0.0.1:9",
    **KEYED,
}


def examined(*arguments: str, healthy: bool, **environment: str) -> list[dict[str, str]]:
    """What doctor finds, as programs read it; text for people must say the same."""
    result = run("doctor", "--output", "json", *arguments, environment=environment)
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if healthy else 1), result.output
    assert found["healthy"] == healthy
    assert sum(found["counts"].values()) == len(found["checks"])
    assert not any(value in result.output for name, value in SECRETS.items() if name != "AP_MCP_PROXY")
    assert "hidden-word" not in result.output
    checks: list[dict[str, str]] = found["checks"]
    return checks


def of(checks: list[dict[str, str]], check: str, state: str = "") -> str:
    """All that was found in one part, with what to do about it."""
    chosen = [each for each in checks if each["check"] == check and state in ("", each["state"])]
    return "\n".join(f"{each['found']} -> {each.get('advice', '')}" for each in chosen)


def test_a_simulated_account_is_healthy_and_nothing_is_made(tmp_path: Path) -> None:
    checks = examined("--simulate", "--state", "account.json", healthy=True)
    assert {each["check"] for each in checks} >= {"program", "settings", "approvers", "folders", "policy", "cloud"}
    assert "SIMULATED" in of(checks, "settings")
    assert "list_clusters (cce:cluster:list)" in of(checks, "permissions", "ok")
    assert "list_releases (cce:release:list)" in of(checks, "permissions", "ok")
    assert "ap-mcp approvals init" in of(checks, "approvers", "warning")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["account.json", "account.json.lock"]


def test_on_a_terminal_lines_fit_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    doctor = import_module("ap_mcp.cli.doctor")
    path = f"/{'a-long-name/' * 12}file"
    text = f"{'none was found, and each place is named. ' * 5}{path}"
    assert doctor._fitting(text) == [text]
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    for columns in (80, 200, 20):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = doctor._fitting(text)
        assert " ".join(lines) == text
        assert lines[-1].endswith(path)
        assert all(len(line) + doctor.INDENT <= max(columns, 62) for line in lines if path not in line)


def test_people_read_lines_with_the_state_first() -> None:
    result = run("doctor", "--simulate", "--confirm", "deny")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(line.startswith(("ok", "warning", "problem", " ")) for line in lines[:-1])
    assert lines[-1].startswith("0 problems")
    assert any("AP_MCP_CONFIRM=deny refuses every guarded call" in line for line in lines)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AP_MCP_REGION": "ap-southeast-9"}, "did you mean ap-southeast"),
        ({"AP_MCP_REGOIN": "x"}, "AP_MCP_REGOIN is no setting; did you mean AP_MCP_REGION?"),
        ({"AP_MCP_CONFIRM": "off", "AP_MCP_TIMEOUT": "soon"}, "AP_MCP_TIMEOUT: "),
        ({"AP_MCP_CONFIG": "absent.toml"}, "there is no file absent.toml"),
        ({"AP_MCP_PROXY": "http://user:hidden-word/@127.0.0.1"}, "AP_MCP_PROXY: "),
    ],
)
def test_it_works_with_broken_settings(environment: dict[str, str], said: str) -> None:
    for more in ([], ["--simulate"]):
        checks = examined(*more, healthy=False, **environment)
        assert said in of(checks, "settings", "problem")
        assert "were not checked" in of(checks, "settings", "warning")
    assert "none was found" in of(examined(healthy=False, **environment), "credentials")


def test_each_setting_is_shown_with_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "ap-mcp.toml"
    file.write_text("timeout = 2\nread_only = true\n")
    more = {"AP_MCP_CONFIG": str(file), "HW_REGION_NAME": "ap-southeast-1", **SECRETS}
    shown = of(examined("--toolsets", "tags,quotas", healthy=False, **more), "settings")
    assert "region: ap-southeast-1 (from HW_REGION_NAME)" in shown
    assert f"timeout: 2.0 (from timeout in {file})" in shown
    assert "toolsets: tags,quotas (from --toolsets)" in shown
    assert "state_key: set, not shown (from AP_MCP_STATE_KEY)" in shown


@pytest.mark.parametrize(
    ("environment", "state", "said"),
    [
        (NOWHERE, "ok", "access key, from HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"),
        ({**NOWHERE, "HUAWEICLOUD_SDK_SECURITY_TOKEN": "t"}, "ok", "temporary access key"),
        ({**NOWHERE, "HUAWEICLOUD_SDK_AK": "x" * 40}, "warning", "Are they swapped?"),
        ({**NOWHERE, "HUAWEICLOUD_SDK_SK": ""}, "problem", "HUAWEICLOUD_SDK_SK not"),
        ({"AP_MCP_AUTH_TOKEN": "t"}, "ok", "IAM token, which ends within 24 hours"),
        (
            {"HW_USER_NAME": "u", "HW_PASSWORD": "p", "HW_DOMAIN_NAME": "d"},
            "ok",
            "user and password, from HW_USER_NAME",
        ),
        ({}, "warning", "none was found. Searched: AP_MCP_AUTH_TOKEN"),
    ],
)
def test_credentials_are_named_by_kind_and_place(environment: dict[str, str], state: str, said: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        (found,) = credentials()
    assert found.state == state
    assert said in f"{found.found} {found.advice}"


def test_a_cloud_out_of_reach_is_a_problem_with_the_advice_of_every_call() -> None:
    checks = examined(healthy=False, **NOWHERE, HTTPS_PROXY="http://127.0.0.1:9")
    assert "no answer from http://127.0.0.1:1" in of(checks, "cloud", "problem")
    assert "AP_MCP_PROXY" in of(checks, "network", "warning")
    nothing = examined(healthy=False)
    assert "AP_MCP_REGION" in of(nothing, "settings", "problem")
    assert of(nothing, "cloud", "problem").startswith("not tried")
    assert str(nothing).count("HW_ACCESS_KEY and HW_SECRET_KEY") == 1


@pytest.mark.anyio
async def test_where_credentials_were_searched_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = (*find_credentials().identity.searched, "agency of the cloud server: no answer")  # type: ignore[union-attr]

    class Gateway:
        async def project_id(self) -> str:
            raise CredentialsMissing(searched)

    there: Any = SimpleNamespace(gateway=Gateway(), settings=Settings(), profile="")
    (found,) = [each async for each in cloud(SimpleNamespace(), there, [*credentials()])]  # type: ignore[arg-type]
    assert found.found == "not tried: there are no credentials. Searched, too: agency of the cloud server: no answer"
    (found,) = [each async for each in cloud(SimpleNamespace(), there, [])]  # type: ignore[arg-type]
    assert "HW_ACCESS_KEY" in found.found


EU = '[profiles.eu]\nregion = "ap-southeast-1"\nenv_prefix = "EU_"\n'


@pytest.mark.parametrize(
    ("settings", "environment", "once"),
    [
        ("", {"HUAWEICLOUD_SDK_AK": "half"}, "HUAWEICLOUD_SDK_SK"),
        ("", {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "no.ini"}, "no.ini"),
        (EU, {}, "EU_HUAWEICLOUD_SDK_SK"),
        (EU, {"EU_HUAWEICLOUD_SDK_AK": "half"}, "EU_HUAWEICLOUD_SDK_SK"),
        (EU.replace("env_prefix", "credentials_file"), {}, "EU_: no such file"),
    ],
)
def test_what_is_wrong_with_credentials_is_said_once(
    tmp_path: Path, settings: str, environment: dict[str, str], once: str
) -> None:
    (tmp_path / "ap-mcp.toml").write_text(settings or 'region = "ap-southeast-1"\n')
    (tmp_path / "no.ini").write_text("ak = AK\n")
    checks = examined(healthy=False, AP_MCP_CONFIG=str(tmp_path / "ap-mcp.toml"), **environment)
    assert "not tried" in of(checks, "cloud", "problem")
    assert str(checks).count(once) == 1


def test_the_network_is_told_without_what_is_secret_in_it(tmp_path: Path) -> None:
    file = Authority(tmp_path).file
    proxy, trusted = network(Settings(proxy=SecretStr(SECRETS["AP_MCP_PROXY"]), ca_file=file))
    assert proxy.found == "through the proxy 127.0.0.1:9, as AP_MCP_PROXY says"
    assert str(file) in trusted.found


def test_a_missing_permission_is_named_by_its_iam_action() -> None:
    faults = "status:get_quotas:1:403,status:list_charts:9:404"
    checks = examined("--simulate", healthy=False, AP_MCP_SIMULATOR_FAULTS=faults)
    assert "get_quotas needs the IAM action cce:quota:get" in of(checks, "permissions", "problem")
    assert "list_charts: HTTP 404" in of(checks, "permissions", "warning")
    assert "list_addons" in of(checks, "permissions", "ok")


def test_a_cloud_that_stops_answering_ends_the_reads() -> None:
    checks = examined("--simulate", healthy=False, AP_MCP_SIMULATOR_FAULTS="status:*:99:401")
    assert "HTTP 401" in of(checks, "cloud", "problem")
    assert of(checks, "permissions") == ""


def test_rules_that_no_setting_names_are_reported(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("rules = []")
    found = of(examined("--simulate", healthy=True, AP_MCP_APPROVER_DIR=str(tmp_path)), "policy", "warning")
    assert "its rules do not count" in found


def test_a_rule_that_denies_a_read_is_kept_and_said(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{ decision = "deny", tools = ["list_charts"], effects = ["read"] }]')
    given = {"AP_MCP_POLICY_FILE": str(rules)}
    checks = examined("--simulate", "--read-only", healthy=True, **given)
    assert "list_charts was not tried: a rule of the policy stands before it" in of(checks, "permissions")
    assert f"1 rule in {rules}" in of(checks, "policy")
    assert "read only" in of(checks, "policy")
    rules.write_text("rules = 1")
    assert "policy.toml" in of(examined("--simulate", healthy=False, **given), "start", "problem")


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (0, "ok", "to the second"),
        (-59, "ok", "59 s behind the service"),
        (60, "warning", "60 s ahead of the service"),
        (-3600, "problem", "3600 s behind the service"),
    ],
)
def test_a_clock_that_is_off_is_noticed_before_signatures_are_refused(ahead: int, state: str, said: str) -> None:
    found = clock(ahead)
    assert (found.state, bool(found.advice)) == (state, state != "ok")
    assert said in found.found
    there = clock(ahead, here=True)  # the service is a simulator, whose time may run fast
    assert (there.state, there.advice, "may be simulated" in there.found) == ("ok", "", state != "ok")


def test_the_clock_of_a_service_is_compared_and_simulated_time_is_not() -> None:
    with simulator() as printed:
        result = run("doctor", "--output", "json", environment=printed)
    checks = json.loads(result.stdout)["checks"]
    assert "the service" in of(checks, "clock")
    assert of(checks, "cloud", "ok").startswith("project ")
    assert of(examined("--simulate", healthy=True), "clock") == ""


def test_approvers_are_named_and_a_broken_list_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.guard.keys.SCRYPT_COST", 2**10)
    init_key(tmp_path / ".config" / "ap-mcp", "alice", PASSPHRASE)
    assert "alice" in of(examined("--simulate", healthy=True), "approvers", "ok")
    (tmp_path / ".config" / "ap-mcp" / "approvers.json").write_text("[]")
    checks = examined("--simulate", healthy=False)
    assert "approvers.json" in of(checks, "approvers", "problem")
    assert "first correct what is wrong above" in of(checks, "start", "problem")
    assert str(checks).count("approvers.json") == 1


@pytest.mark.parametrize(
    ("address", "state", "found"),
    [
        ("https://approve.example.com/cce", "ok", "on the page at https://approve.example.com: alice"),
        ("https://new.example.com", "warning", "nobody has a passkey for the page at https://new.example.com"),
        ("https://10.0.0.1", "warning", "browsers have no passkeys at https://10.0.0.1"),
    ],
)
def test_who_can_approve_on_the_page_is_reported(
    address: str, state: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".config" / "ap-mcp"
    folder.mkdir(parents=True, mode=0o700)
    save_approvers(folder / "approvers.json", {"alice": KnownApprover(passkeys=(SoftPasskey().pinned,))})
    monkeypatch.setenv("AP_MCP_PUBLIC_URL", address)
    assert found in of(examined("--simulate", healthy=True), "approvers", state)


def test_nobody_to_approve_is_a_problem_where_nothing_else_counts() -> None:
    assert "approvals init" in of(
        examined("--simulate", "--confirm", "approval", healthy=False), "approvers", "problem"
    )


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows closes folders by their access lists")
def test_a_folder_that_others_may_write_to_is_a_problem(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    files.chmod(0o777)
    assert "chmod go-w" in of(examined("--simulate", "--files-dir", str(files), healthy=False), "folders", "problem")
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "x")
    assert "cannot be written to" in of(examined("--simulate", "--files-dir", below, healthy=False), "folders")
    assert stat.S_IMODE(files.stat().st_mode) == 0o777


@pytest.mark.parametrize(("writable", "said"), [(True, "The first start"), (False, "Each start")])
def test_a_program_that_is_not_compiled_is_said_to_start_slowly(
    monkeypatch: pytest.MonkeyPatch, writable: bool, said: str
) -> None:
    monkeypatch.setattr("importlib.util.cache_from_source", lambda path: f"{path}c-absent")
    monkeypatch.setattr("sys.dont_write_bytecode", not writable)
    (found,) = program()
    assert (found.state, found.advice.startswith(said)) == ("warning", True)
    monkeypatch.setattr("importlib.util.cache_from_source", lambda path: path)
    (found,) = program()
    assert found.state == "ok"


def test_wrong_usage_ends_in_2() -> None:
    refused(run("doctor", "--state", "x"), 2, "--state goes with --simulate only")


def test_a_server_over_http_is_named_with_how_it_is_called() -> None:
    checks = examined("--simulate", "--http", "127.0.0.1:0", healthy=True, AP_MCP_HTTP_HOSTS="mcp.example.com")
    assert "127.0.0.1:0 is free for a server to listen at" in of(checks, "http", "ok")
    assert "requests are taken for 127.0.0.1, [::1], localhost, mcp.example.com" in of(checks, "http", "ok")
    assert "people and clients use http://localhost:0" in of(checks, "http", "ok")
    checks = examined("--simulate", "--http", "0.0.0.0:0", healthy=False)
    assert "AP_MCP_PUBLIC_URL" in of(checks, "http", "warning")


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A program that gives these answers, one a connection; yields where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:

        def serve() -> None:
            for answer in answers:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + answer)

        served = threads.submit(serve)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        served.result(SECONDS)


@pytest.mark.parametrize("answer", [b"ok\n", b"", b"null", b"[]", b'{"ready": true}', b'{"ready": true, "checks": 1}'])
def test_another_program_that_answers_is_not_taken_for_a_server_of_ours(answer: bytes) -> None:
    with answering(answer) as place:
        checks = examined("--simulate", "--http", place, healthy=False)
    assert "another program listens there already" in of(checks, "http", "problem")


@pytest.mark.parametrize(
    ("flags", "environment", "state", "said"),
    [
        (("--simulate",), {}, "ok", "already, and is ready"),
        ((), {"HUAWEICLOUD_SDK_AK": "half of a pair"}, "warning", "already, and is not ready (credentials: it failed"),
    ],
)
def test_a_running_server_is_known_as_ours_and_says_how_it_is(
    flags: tuple[str, ...], environment: dict[str, str], state: str, said: str
) -> None:
    command = [python(), "-m", "ap_mcp", "serve", "--http", "127.0.0.1:0", *flags]
    variables = {**os.environ, "AP_MCP_REGION": "ap-southeast-1", **environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables
    ) as server:
        assert server.stdout
        place = server.stdout.readline().strip().removeprefix("http://").removesuffix("/mcp")
        checks = examined("--simulate", "--http", place, healthy=True)
        server.terminate()
    assert f"ap-mcp serves at {place} {said}" in of(checks, "http", state)
    assert "another" not in of(checks, "http")
    assert "is free" not in of(checks, "http")


def test_what_keeps_a_server_from_being_reached_over_http_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(checkup_http, "ANSWER_SECONDS", 0.1)
        checks = examined("--simulate", "--http", place, healthy=False)
        assert "another program listens there already: choose another port" in of(checks, "http", "problem")
        assert "is free" not in of(checks, "http")
    checks = examined("--simulate", "--http", "192.0.2.1:0", healthy=False)
    assert "no address of this machine" in of(checks, "http", "problem")
    checks = examined("--simulate", "--http", "127.0.0.1:0", "--confirm", "human", healthy=False)
    assert "must be approval or deny" in of(checks, "http", "problem")
    checks = examined("--simulate", healthy=True, AP_MCP_PUBLIC_URL="https://mcp.example.com")
    assert "AP_MCP_PUBLIC_URL set, and the server is not reached over HTTP" in of(checks, "http", "warning")


def test_where_metrics_are_read_is_looked_at() -> None:
    over_http = ("--simulate", "--http", "127.0.0.1:0")
    assert "127.0.0.1:0 is free" in of(examined(*over_http, healthy=True, AP_MCP_METRICS="0"), "metrics", "ok")
    with answering(b"up 1\n", b"ap_mcp_state_up 1.0\n") as place:
        found = of(examined(*over_http, healthy=False, AP_MCP_METRICS=place), "metrics", "problem")
        assert f"AP_MCP_METRICS: {place}: another program listens there already" in found
        found = of(examined(*over_http, healthy=True, AP_MCP_METRICS=place), "metrics", "ok")
        assert f"ap-mcp gives metrics at {place}/metrics already" in found
    found = of(examined(*over_http, healthy=False, AP_MCP_METRICS="192.0.2.1:0"), "metrics", "problem")
    assert "no address of this machine" in found
    assert "AP_MCP_METRICS set" in of(examined("--simulate", healthy=True, AP_MCP_METRICS="0"), "http", "warning")


def test_metrics_without_their_library_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    chosen = Settings(http="127.0.0.1:0", metrics="127.0.0.1:0")
    [found] = [each for each in checkup_http.http(chosen, {}) if each.check == "metrics"]
    assert found.state == "problem"
    assert "pip install 'ap-mcp[prometheus]'" in found.advice
