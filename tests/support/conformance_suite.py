"""The conformance suite of the protocol, which comes from npm: run against a server, and what it found."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

import from_npm
import yaml

VERSIONS = ("2025-11-25", "2026-07-28")
SECONDS = 120
AGAIN = 2
"""How often a scenario is run again whose outcome is doubted."""
WIRE = "wire-schema-valid"
"""The check that every scenario adds: all messages are as the schema of the version wants them."""
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
        """The checks of its own that were made and held."""
        held = {check.id for check in self.checks if check.status == "SUCCESS"}
        return held - self.complaints.keys() - {WIRE}

    @property
    def skipped(self) -> set[str]:
        """The checks for which something was missing."""
        return {check.id for check in self.checks if check.status == "SKIPPED"}

    @property
    def complaints(self) -> dict[str, str]:
        """The checks that did not hold, with why: what must be and what should be."""
        return {check.id: check.why for check in self.checks if check.status in {"FAILURE", "WARNING"}}


@contextmanager
def running(home: Path, *command: str) -> Iterator[str]:
    """Run a Python program that serves the protocol over HTTP, and give the address that it prints."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, *command], env=environment, stdin=DEVNULL, stdout=PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            assert url.startswith("http://"), url
            yield url
        finally:
            process.terminate()


def required(version: str) -> set[str]:
    """The scenarios that a version requires of servers, as the suite has them."""
    named = yaml.safe_load((package() / "requirements" / f"{version}.yaml").read_text())
    return set(named["server"])


def package() -> Path:
    """The folder of the suite, which is installed by then."""
    return from_npm.installed(from_npm.FOREIGN) / "@modelcontextprotocol" / "conformance"


def run_suite(url: str, version: str, folder: Path, doubted: Callable[[str, Scenario], bool]) -> Mapping[str, Scenario]:
    """Run every scenario of a version of the protocol against a server.

    Args:
        url: where the server speaks the protocol.
        version: of the protocol.
        folder: where the results go.
        doubted: says whether what was found in a scenario is not what should be. Such a scenario is run again, alone:
            the suite gives some answers half a second, which a busy machine may need for other things.
    """
    found = _run(url, version, folder / "all", "--suite", "all")
    for number in range(AGAIN):
        for name in [name for name, scenario in found.items() if doubted(name, scenario)]:
            found |= _run(url, version, folder / f"{name}-{number}", "--scenario", name)
    return found


def _run(url: str, version: str, folder: Path, *what: str) -> dict[str, Scenario]:
    suite = str(package() / "dist" / "index.js")
    command = [from_npm.node(), suite, "server", "--url", url, "--spec-version", version, *what, "-o", str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    # It ends with 1 where anything failed.
    assert done.returncode in {0, 1}, done.stderr
    found = {}
    for each in folder.glob("*/checks.json"):
        named = RESULTS.fullmatch(each.parent.name)
        assert named, each
        checks = json.loads(each.read_text())
        made = (Check(check["id"], check["status"], check.get("errorMessage") or "") for check in checks)
        found[named["name"]] = Scenario(tuple(made))
    assert found, done.stdout + done.stderr
    return found
