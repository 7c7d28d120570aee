"""Writes reference_runs.bin: fingerprints of every six words of the API reference, so that copied wording is noticed.

Usage: python tests/data/make_reference_runs.py autopilot-api-reference.txt
"""

import array
import sys
from pathlib import Path

from ap_mcp.lint import runs

if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    found = array.array("I", sorted(runs(text)))
    Path(__file__).with_name("reference_runs.bin").write_bytes(found.tobytes())
