"""Becomes `ap-mcp` at a terminal, in a process of its own, as often as asked; only the imports are shared.

It reads one line of JSON for each: `terminal` by name, `folder`, `environment`, `arguments`, and `results`, a file in
place of standard output, or null. It says the id of the process, and its exit code once that has ended.
"""

import fcntl
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import termios
from collections.abc import Mapping
from typing import Any

import ap_mcp
from ap_mcp.cli import main

LONGEST = 120
"""Seconds until a process that has not ended is ended."""


def become(request: Mapping[str, Any], terminal: int) -> None:
    """Be `ap-mcp` as if it were started just now."""
    signal.alarm(LONGEST)
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    results = os.open(request["results"], os.O_WRONLY | os.O_CREAT, 0o600) if request["results"] else terminal
    for stream, opened in enumerate((terminal, results, terminal)):
        os.dup2(opened, stream)
    os.close(terminal)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(stream, mode, closefd=False) for stream, mode in enumerate("rww"))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    main(request["arguments"], prog_name="ap-mcp")


def serve() -> None:
    """Import all there is, and then follow what is read."""
    for module in pkgutil.walk_packages(ap_mcp.__path__, "ap_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        terminal = os.open(request["terminal"], os.O_RDWR | os.O_NOCTTY)
        process = os.fork()
        if not process:
            become(request, terminal)
        os.close(terminal)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
