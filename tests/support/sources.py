"""What stands in our own modules, for the tests that look at all of them: each is read and parsed once."""

import ast
import gc
from functools import cache
from pathlib import Path

import ap_mcp

PACKAGE = Path(ap_mcp.__file__).parent


@cache
def modules() -> dict[str, tuple[ast.AST, ...]]:
    """Return all nodes of each module, the module itself first, by its path in the package."""
    # Nothing of this is garbage, and there is so much that to search it takes longer than to parse.
    gc.disable()
    try:
        return {
            path.relative_to(PACKAGE).as_posix(): tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            for path in sorted(PACKAGE.rglob("*.py"))
        }
    finally:
        gc.enable()
