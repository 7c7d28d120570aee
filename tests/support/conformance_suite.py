"""The conformance suite of the protocol, which comes from npm: run against a server, and what it found."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import from_npm

SUITE = Path("@modelcontextprotocol") / "conformance" / "dist" / "index.js"
VERSIONS = ("2025-11-25", "2026-07-28")
SECONDS = 120
RESULTS = re.compile(r"server-(?P<name>.+)-\d{4}-\d{2}-\d{2}T[\dZ-]+")
"""How the folder of a scenario's results is called."""


@dataclass(frozen=True)
class Check:
    """What the suite found in one place of a scenario."""

    id: str
    status: str
    why: str = ""


@dataclass(frozen=True)
class Scenario:
    """What the suite found in one scenario."""

    checks: tuple[Check, ...]

    @property
    def succeeded(self) -> set[str]:
        """The checks that were made and held."""
        return {check.id for check in self.checks if check.status == "SUCCESS"} - self.complaints.keys()

    @property
    def complaints(self) -> dict[str, str]:
        """The checks that did not hold, with why: what must be and what should be."""
        return {check.id: check.why for check in self.checks if check.status in {"FAILURE", "WARNING"}}


def run_suite(url: str, version: str, folder: Path) -> Mapping[str, Scenario]:
    """Run every scenario of a version of the protocol against a server.

    Args:
        url: where the server speaks the protocol.
        version: of the protocol.
        folder: where the results go.
    """
    suite = str(from_npm.installed(from_npm.FOREIGN) / SUITE)
    command = [from_npm.node(), suite, "server", "--url", url, "--suite", "all", "--spec-version", version]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, "-o", str(folder)], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    # It ends with 1 where anything failed.
    assert done.returncode in {0, 1}, done.stderr
    found = {}
    for each in sorted(folder.glob("*/checks.json")):
        named = RESULTS.fullmatch(each.parent.name)
        assert named, each
        checks = (
            Check(one["id"], one["status"], one.get("errorMessage") or "") for one in json.loads(each.read_text())
        )
        found[named["name"]] = Scenario(tuple(checks))
    assert found, done.stdout + done.stderr
    return found
