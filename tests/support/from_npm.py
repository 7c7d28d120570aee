"""Programs that come from npm, in the exact versions of a `package.json`, and the Node that runs them."""

import hashlib
import shutil
import subprocess
from pathlib import Path

TESTS = Path(__file__).parents[1]
FOREIGN = TESTS / "foreign"
"""The folder of clients and suites that nobody here wrote."""
SECONDS = 600


def installed(folder: Path) -> Path:
    """Install what the `package.json` of a folder names, unless it is there already; none of it runs a script.

    Returns:
        The folder of the packages.
    """
    wanted = hashlib.sha256((folder / "package.json").read_bytes()).hexdigest()
    modules = folder / "node_modules"
    stamp = modules / ".installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        npm = shutil.which("npm")
        assert npm, "these tests need npm: install Node.js 20 or later"
        install = [npm, "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        stamp.write_text(wanted)
    return modules


def node() -> str:
    """The Node that comes from npm with foreign programs, or else that of this machine."""
    packaged = next(installed(FOREIGN).glob("node-*/bin/node"), None)
    found = str(packaged) if packaged else shutil.which("node")
    assert found, "no Node.js 22 comes from npm for this machine: install one"
    return found
