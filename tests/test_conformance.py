"""The conformance suite of the protocol, over HTTP and in both eras, against the program as users start it.

Most scenarios of the suite call tools, prompts and resources that only a server made for it has.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from subprocess import DEVNULL, PIPE

import pytest
from conformance_suite import VERSIONS, Scenario, run_suite

pytestmark = pytest.mark.conformance

OLD, NEW = VERSIONS
SECONDS = 30
HONEST = {
    OLD: {
        "server-initialize",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    },
    NEW: {
        "server-stateless",
        "tools-list",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "caching",
        "http-header-validation",
        "server-sse-multiple-streams",
        "input-required-result-unsupported-methods",
        "dns-rebinding-protection",
    },
}
"""Scenarios that need nothing that the server does not have."""
MADE_FOR_IT = {
    "server-stateless": {"sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"}
}
"""Checks in them that do: they call the tool test_missing_capability."""
NO_SESSIONS = {
    "server-session-lifecycle": {},
    "server-sse-multiple-streams": {"server-sse-multiple-streams-session": ""},
}
"""Scenarios of 2025 that look at sessions, so that nothing is checked in them, with what they complain of."""

Found = Mapping[str, Mapping[str, Scenario]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program over HTTP, with the simulated cloud; gives its address."""
    environment = {"HOME": str(tmp_path_factory.mktemp("home")), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "ap_mcp", "serve", "--simulate", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(SECONDS) == 0


@pytest.fixture(scope="module")
def found(program: str, tmp_path_factory: pytest.TempPathFactory) -> Found:
    return {version: run_suite(program, version, tmp_path_factory.mktemp("found")) for version in VERSIONS}


@pytest.mark.parametrize(
    ("version", "name"), [(version, name) for version in VERSIONS for name in sorted(HONEST[version])]
)
def test_the_program_passes_what_needs_nothing_made_for_it(found: Found, version: str, name: str) -> None:
    scenario = found[version][name]
    assert scenario.complaints.keys() == MADE_FOR_IT.get(name, set()), scenario.complaints
    assert scenario.succeeded


@pytest.mark.parametrize("name", sorted(NO_SESSIONS))
def test_scenarios_about_sessions_find_none(found: Found, name: str) -> None:
    scenario = found[OLD][name]
    assert scenario.complaints == NO_SESSIONS[name]
    assert not scenario.succeeded


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_of_the_program_is_as_the_schema_of_the_version_wants_it(found: Found, version: str) -> None:
    checks = [(name, check) for name, each in found[version].items() for check in each.checks]
    messages = [(name, check) for name, check in checks if check.id == "wire-schema-valid"]
    assert len(messages) > len(HONEST[version])
    assert [(name, check.why) for name, check in messages if check.status != "SUCCESS"] == []
