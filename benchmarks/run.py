"""Measures what is promised about size, recall, start-up, memory and time; `make bench` runs it.

Prints one table per subject and writes them to RESULTS.md. Sizes hardly differ from run to run. Times and memory are
shown as ratios to a yardstick that is measured in the same run, in turn, because machines are noisy; run it again if
other programs were busy. A promise that does not hold is reported at the end, and the exit code is 1.

One file per subject: `answers` (raw against summary), `inside` (what is in a cluster), `shown` (tools/list), `recall`,
`masking`, `load` (who waits), `starting` (start-up, memory), `calls` (time per call), `throughput` (calls of many over
HTTP). The accounts come from the simulator: `tests/support/large.py`.
"""

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import anyio
from answers import every_answer
from answers import section as answers
from calls import section as calls
from inside import section as inside
from load import section as load
from masking import section as masking
from measures import VOCABULARY, Section
from recall import section as recall
from shown import section as shown
from starting import section as starting
from throughput import section as throughput

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = f"""\
# Benchmarks

Made by `make bench` (`PYTHONPATH=tests/support .venv/bin/python benchmarks/run.py`); do not edit.
Tokens are those of {VOCABULARY}, counted by splintr-rs {version("splintr-rs")}. Times and memory are ratios between
two programs on one machine in one run: Python {platform.python_version()}, {platform.system()}, mcp {version("mcp")}.
"""


async def sections() -> list[Section]:
    with tempfile.TemporaryDirectory() as folder:
        measured, in_clusters = await every_answer(Path(folder)), await inside(Path(folder))
    whole = [starting(), await calls(), await throughput(), shown(), recall(), masking(), await load()]
    return [*whole, answers(measured), in_clusters]


def main() -> int:
    found = anyio.run(sections)
    lines = [line for each in found for line in each.lines()]
    broken = [promise for each in found for promise in each.broken]
    outcome = [f"- {promise}" for promise in broken] or ["All of them."]
    report = "\n".join([HEAD, *lines, "## Promises kept" if not broken else "## Promises broken", "", *outcome, ""])
    RESULTS.write_text(report, encoding="utf-8")
    print(report)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
