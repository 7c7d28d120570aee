"""What `ap-mcp serve` writes to standard error: every line is JSON if that is chosen; at the start, what is missing."""

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from forking import python
from test_cli import alone

from ap_mcp.cli.serve import WAITING, has_credentials
from ap_mcp.credentials import Agency, find_credentials
from ap_mcp.errors import SettingsError
from ap_mcp.settings import CREDENTIALS_FILE, KEY_PAIRS, TOKEN, USER

__all__ = ["alone"]

SECONDS = 60
AS_JSON = {"AP_MCP_LOG_FORMAT": "json"}
SOMEWHERE = {"AP_MCP_REGION": "ap-southeast-1"}
KEYS = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "a-secret-key"}
BROKEN = """
import sys, threading, warnings
from ap_mcp.cli import connecting, main

def fail():
    raise ValueError("in a thread")

class Left:
    def __del__(self):
        raise ValueError("left")

def broken(*_, **__):
    warnings.warn("a library will change", FutureWarning)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Left()
    raise RuntimeError("password=hunter22")

connecting.autopilot_for = broken
main(["serve"])
"""


def served(*flags: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start a server whose client has left; it ends by itself."""
    command = [python(), "-m", "ap_mcp", "serve", *flags]
    variables = {**os.environ, **environment}
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=variables, timeout=SECONDS, check=False
    )


def entries(lines: str) -> list[dict[str, Any]]:
    """Read standard error, each line of which must be an entry."""
    found = [json.loads(line) for line in lines.splitlines()]
    assert all({"time", "level", "logger", "message"} <= each.keys() for each in found)
    return found


@pytest.mark.parametrize(
    ("flags", "environment", "level", "said", "code"),
    [
        (("--simulate",), {}, "info", "SIMULATED: no cloud is touched", 0),
        ((), {}, "warning", "No region and no credentials set", 0),
        ((), {"AP_MCP_REGION": "${user_config.region}"}, "warning", "a placeholder ${...} that the client", 0),
        (("--simulat",), {}, "error", "No such option", 2),
        (("--speed", "2"), {}, "error", "--speed goes with --simulate only", 2),
        (("--simulate", "--speed", "fast"), {}, "error", "Invalid value for '--speed'", 2),
        ((), {"AP_MCP_REGOIN": "x"}, "error", "did you mean AP_MCP_REGION?", 2),
        ((), {"AP_MCP_TIMEOUT": "long"}, "error", "AP_MCP_TIMEOUT: must be a number", 2),
        (("--http", "0.0.0.0:0"), {}, "error", "nobody has to sign in", 2),
        ((), {"AP_MCP_CONFIG": "nowhere.toml"}, "error", "there is no file nowhere.toml", 2),
    ],
)
def test_every_line_is_an_entry_where_the_log_is_json(
    flags: Sequence[str], environment: dict[str, str], level: str, said: str, code: int
) -> None:
    done = served(*flags, **environment, **AS_JSON)
    assert (done.returncode, done.stdout) == (code, "")
    assert [each["level"] for each in entries(done.stderr) if said in each["message"]] == [level]


def test_the_form_that_the_settings_file_chooses_holds_from_the_first_line_on(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "ap-mcp" / "ap-mcp.toml"
    file.parent.mkdir(parents=True)
    file.write_text('log_format = "JSON"\nrate = "often"\n')
    done = served(AP_MCP_REGION="${region}")
    assert [each["level"] for each in entries(done.stderr)] == ["warning", "error"]
    assert "${" not in served(AP_MCP_LOG_FORMAT="text").stderr
    with pytest.raises(json.JSONDecodeError):
        entries(served(AP_MCP_LOG_FORMAT="text").stderr)


def test_a_port_that_is_taken_is_an_entry_and_names_what_chose_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = served("--http", place, **AS_JSON)
        by_variable = served(AP_MCP_HTTP=place, **AS_JSON)
    assert f"--http: {place}: another program listens there already" in entries(done.stderr)[-1]["message"]
    assert f"AP_MCP_HTTP: {place}: another" in entries(by_variable.stderr)[-1]["message"]


def test_what_nothing_caught_is_an_entry_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN], capture_output=True, text=True, env={**os.environ, **AS_JSON}, check=False
    )
    found = entries(done.stderr)
    assert done.returncode == 1
    assert ["a library will change" in found[0]["message"], *(each["level"] for each in found[1:])] == [
        *(True, "critical", "critical", "critical")
    ]
    assert [text in each["message"] for text, each in zip(("in a thread", "left", "main"), found[1:], strict=True)]
    assert "Traceback" in found[-1]["message"]
    assert "hunter22" not in done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_person_at_a_terminal_reads_what_the_server_waits_for(form: str) -> None:
    here, there = pty.openpty()
    command = [python(), "-m", "ap_mcp", "serve"]
    environment = {**os.environ, **SOMEWHERE, **KEYS, "AP_MCP_LOG_FORMAT": form}
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=subprocess.PIPE, text=True, env=environment) as it:
        os.close(there)
        assert it.stderr
        line = it.stderr.readline().strip()
        os.close(here)
        it.terminate()
        it.communicate(timeout=SECONDS)
    assert (line if form == "text" else json.loads(line)["message"]) == WAITING


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "No region and no credentials set: calls to the cloud fail."),
        (KEYS, "No region set: calls to the cloud fail."),
        (SOMEWHERE, "No credentials set: calls to the cloud fail, unless this is a cloud server with an agency."),
        ({**SOMEWHERE, **KEYS}, ""),
        ({**SOMEWHERE, "HUAWEICLOUD_SDK_AK": "${ak}"}, "No credentials set"),
        ({"AP_MCP_LOG_LEVEL": "error"}, ""),
    ],
)
def test_a_server_says_at_the_start_in_one_line_what_is_missing(environment: dict[str, str], said: str) -> None:
    done = served(**environment)
    lines = [line for line in done.stderr.splitlines() if "placeholder" not in line]
    assert done.returncode == 0
    assert len(lines) == bool(said)
    assert all(said in line and line.endswith("`ap-mcp doctor` says what to do.") for line in lines)


def test_a_simulator_lacks_nothing() -> None:
    assert served("--simulate").stderr.count("\n") == 1


def test_profiles_without_credentials_are_named(tmp_path: Path) -> None:
    file = tmp_path / "ap-mcp.toml"
    tables = {"eu": 'env_prefix = "EU_"', "us": 'env_prefix = "US_"', "ecs": "agency = true", "usual": ""}
    file.write_text("".join(f'[profiles.{name}]\nregion = "ap-southeast-1"\n{own}\n' for name, own in tables.items()))
    found = {"US_HUAWEICLOUD_SDK_AK": "AK", "US_HUAWEICLOUD_SDK_SK": "SK", "AP_MCP_CONFIG": str(file)}
    assert "No credentials found for profile eu, usual: calls there fail" in served(**found).stderr
    assert served(**found, AP_MCP_PROFILE="us,ecs").stderr == ""


PLACES = [(TOKEN,), *KEY_PAIRS, USER, *((name,) for pair in KEY_PAIRS for name in pair), *((name,) for name in USER)]


@pytest.mark.parametrize("names", [(), *PLACES], ids=" ".join)
def test_what_a_server_sees_at_the_start_is_what_a_call_finds(
    names: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names:
        monkeypatch.setenv(name, "word")
    try:
        found = not isinstance(find_credentials().identity, Agency)
    except SettingsError:
        found = True  # half of a pair: a call says so
    assert has_credentials() == found


OTHER_FILES = ["", "[default]\nak = AK\nsk = SK\n", "[basic]\nregion = x\n", "[Basic]\nak = AK\nsk = SK\n"]


@pytest.mark.parametrize("text", OTHER_FILES)
def test_a_file_without_keys_where_they_belong_counts_as_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    file.write_text(text)
    monkeypatch.setenv(CREDENTIALS_FILE, str(file))
    assert not has_credentials()


def test_a_file_with_credentials_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    monkeypatch.setenv(CREDENTIALS_FILE, str(file))
    assert not has_credentials()
    file.write_text("[basic]\nak = AK\nsk = SK\n")
    assert has_credentials()
    assert find_credentials().source == str(file)
