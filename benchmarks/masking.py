"""How many secrets of real charts are masked, how much else is, and what a megabyte costs."""

import json
import time
from typing import Any

from masking_table import TABLE, measured
from measures import Section, multiple, share
from secret_cases import CASES

from ap_mcp.masking import mask

MEGABYTE = 1_000_000
TIMES = 3


def section() -> Section:
    """Mask the parameters of the table, and texts and values of a megabyte."""
    found = measured(TABLE)
    secrets = found.hidden + len(found.leaks)
    rows = [
        ["parameters that are secrets", str(secrets), share(found.recall, 1), ""],
        ["parameters that are none", str(len(TABLE) - secrets), share(found.precision, 1), ""],
    ]
    rows += [[name, "1 MB", "", multiple(_cost(value))] for name, value in _values().items()]
    about = (
        "Parameters of well-known charts (tests/data/chart_parameters.tsv): the share of secrets that is hidden, and "
        "the share of secrets in what is hidden. The time of a megabyte is a multiple of that of reading and writing "
        "the same as JSON."
    )
    broken = [f"masking: recall {found.recall:.3f}"] if found.recall < 0.99 else []
    broken += [f"masking: precision {found.precision:.3f}"] if found.precision < 0.95 else []
    return Section("Masking", about, ["what", "number", "as it should be", "time"], rows, broken)


def _values() -> dict[str, Any]:
    rows = [row.tree for row in TABLE]
    lines = "".join(
        f"- name: setting-{number}\n  image: registry.example.com/team/app:v{number}\n  replicas: 2\n  "
        f"resources:\n    limits:\n      cpu: 500m\n"
        for number in range(400)
    )
    manifest = f"apiVersion: apps/v1\nkind: Deployment\nitems:\n{lines}  password: hunter2\n"
    size = len(json.dumps(rows))
    return {
        "values of charts, a secret in every second line": [rows] * (MEGABYTE // size),
        "the hard cases of the tests": [[case.value for case in CASES]]
        * (MEGABYTE // len(json.dumps([c.value for c in CASES]))),
        "one text of YAML": (manifest * (MEGABYTE // len(manifest) + 1))[:MEGABYTE],
        "one text of a log": ("2026-11-29T08:07:00Z INFO reconciled shop/frontend in 12ms ready=3/3\n" * 14_000)[
            :MEGABYTE
        ],
    }


def _cost(value: Any) -> float:
    return min(_spent(mask, value) for _ in range(TIMES)) / min(_spent(_as_json, value) for _ in range(TIMES))


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _spent(work: Any, value: Any) -> float:
    started = time.process_time()
    work(value)
    return time.process_time() - started
