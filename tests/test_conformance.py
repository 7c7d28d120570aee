"""The conformance suite of the protocol, over HTTP and in both eras.

Against the program as users start it, as far as nothing must be made for the suite; and whole against a server of what
the suite calls, in the frame that serves ours.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import conformance_fixtures
import pytest
from conformance_suite import VERSIONS, WIRE, Scenario, required, run_suite, running

pytestmark = pytest.mark.conformance

OLD, NEW = VERSIONS
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
NO_SESSIONS: Mapping[str, Mapping[str, str]] = {
    "server-session-lifecycle": {},
    "server-sse-multiple-streams": {"server-sse-multiple-streams-session": ""},
}
"""Scenarios of 2025 that look at sessions, so that nothing is checked in them, with what they complain of."""
NO_WAY_BACK = "no back-channel for server-initiated requests"
STATELESS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    OLD: {
        **NO_SESSIONS,
        # The server would ask while the call runs, and the answer could come to another server behind the address.
        "tools-call-sampling": {"tools-call-sampling": NO_WAY_BACK},
        "tools-call-elicitation": {"tools-call-elicitation": NO_WAY_BACK},
        "elicitation-sep1034-defaults": {"elicitation-sep1034-general": NO_WAY_BACK},
        "elicitation-sep1330-enums": {"elicitation-sep1330-general": NO_WAY_BACK},
        # Nothing is remembered between requests, and there is no stream on which news of a resource could come.
        "resources-subscribe": {"resources-subscribe": "Method not found"},
        "resources-unsubscribe": {"resources-unsubscribe": "Method not found"},
        # No stream is kept to be taken up again.
        "server-sse-polling": {
            "server-sse-polling-session": "",
            "server-sse-priming-event": "did not send priming event",
            "server-sse-retry-field": "did not send retry field",
        },
    },
    NEW: {},
}
"""What no server without sessions passes, with what the suite complains of."""

Found = Mapping[str, Mapping[str, Scenario]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home: Path) -> Found:
    """What the suite finds in the program, with the simulated cloud."""

    def doubted(version: str, name: str, scenario: Scenario) -> bool:
        return name in HONEST[version] and scenario.complaints.keys() != MADE_FOR_IT.get(name, set())

    with running(home, "-m", "ap_mcp", "serve", "--simulate", "--http", "127.0.0.1:0") as url:
        return {version: run_suite(url, version, home / version, partial(doubted, version)) for version in VERSIONS}


@pytest.fixture(scope="module")
def framed(home: Path) -> Found:
    """What the suite finds in a server of all that it calls."""

    def doubted(version: str, name: str, scenario: Scenario) -> bool:
        return scenario.complaints.keys() != STATELESS[version].get(name, {}).keys()

    with running(home, conformance_fixtures.__file__) as url:
        return {
            version: run_suite(url, version, home / f"framed-{version}", partial(doubted, version))
            for version in VERSIONS
        }


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
    messages = [(name, check) for name, check in checks if check.id == WIRE]
    assert len(messages) > len(HONEST[version])
    assert [(name, check.why) for name, check in messages if check.status != "SUCCESS"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_serves_us_passes_every_scenario_but_those_about_sessions(framed: Found, version: str) -> None:
    scenarios, cannot = framed[version], STATELESS[version]
    complaints = {name: each.complaints for name, each in scenarios.items() if each.complaints}
    assert complaints.keys() == {name for name, why in cannot.items() if why}, complaints
    for name, whys in complaints.items():
        assert whys.keys() == cannot[name].keys()
        assert [why for check, why in whys.items() if cannot[name][check] not in why] == []
    assert {name for name, each in scenarios.items() if not each.succeeded} == cannot.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_that_a_version_requires_of_servers_is_left_out(framed: Found, version: str) -> None:
    assert required(version) <= framed[version].keys()
    assert {name: each.skipped for name, each in framed[version].items() if each.skipped} == {}
