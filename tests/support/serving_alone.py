"""A server as a program of its own, on the simulator: for programs of others that reach it over real HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcp.client.stdio import get_default_environment

PROGRAM = [sys.executable, "-m", "ap_mcp"]


@contextmanager
def serving_alone(folder: Path, host: str = "127.0.0.1", **settings: str) -> Iterator[str]:
    """Serve on a free port; gives the address that it says, and sees in the end that it had no accident.

    Args:
        folder: the home of its user.
        host: where it listens.
        settings: of its environment, which has none else.
    """
    environment = get_default_environment() | {"HOME": str(folder)} | settings
    command = [*PROGRAM, "serve", "--simulate", "--http", f"{host}:0"]
    with (
        (folder / "stderr.txt").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
    assert "Traceback" not in (folder / "stderr.txt").read_text()
