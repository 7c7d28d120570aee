"""Who may import whom: this map is the architecture, and the test keeps it true."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ap_mcp"

MAY_IMPORT: dict[str, set[str]] = {
    # What everything stands on: texts, errors, secrets hidden, the cloud's JSON, the specs.
    "wording": set(),
    "errors": {"wording"},
    "masking": set(),
    "vendor": {"masking", "wording"},
    "specs": {"errors"},
    "schemas": {"specs"},
    "arguments": {"errors", "schemas", "specs"},
    "lint": {"errors", "schemas", "specs"},
    "settings": {"errors", "specs", "wording"},
    "credentials": {"errors", "settings"},
    "files": {"errors", "wording"},
    "binding": {"errors", "specs"},
    "cloud": {"__init__", "binding", "credentials", "errors", "settings", "specs", "wording"},
    "parallel_reads": {"errors"},
    # What the cloud's answers mean, and how they are told.
    "rules": {"masking", "specs", "vendor", "wording"},
    "summaries": {"files", "masking", "rules", "specs", "vendor", "wording"},
    "output_schemas": {"summaries"},
    "rendering": {"summaries", "vendor", "wording"},
    "response_store": {"summaries"},
    "wait": {"errors", "masking", "rules", "specs", "summaries", "vendor", "wording"},
    "assessment": {
        *("errors", "masking", "parallel_reads", "rules", "schemas", "specs", "summaries", "vendor", "wording"),
    },
    # What may go out, and the tools.
    "guard": {
        *("arguments", "binding", "errors", "masking", "parallel_reads", "rules", "specs", "vendor", "wording"),
    },
    "gateway": {"binding", "cloud", "errors", "masking", "specs", "summaries", "vendor", "wording"},
    "finishing": {"cloud", "files", "guard", "response_store", "settings", "specs", "summaries", "wait"},
    "read_tools": {"arguments", "assessment", "cloud", "errors", "gateway", "guard", "specs", "summaries", "wait"},
    "toolbox": {"output_schemas", "read_tools", "schemas", "specs", "summaries"},
    "server": {
        *("arguments", "binding", "cloud", "errors", "files", "finishing", "gateway", "guard", "masking"),
        *("read_tools", "schemas", "settings", "specs", "summaries", "toolbox", "wait"),
    },
    # Who serves it: the protocol, the simulator, the command line.
    "prompts": {"errors", "wording"},
    "protocol": {
        *("__init__", "assessment", "errors", "guard", "prompts", "rendering", "server", "summaries", "toolbox"),
        "wait",
    },
    "simulator": {"cloud", "errors", "schemas", "specs"},
    "cli": {
        *("__init__", "arguments", "cloud", "credentials", "errors", "guard", "lint", "masking", "protocol"),
        *("read_tools", "rendering", "rules", "schemas", "server", "settings", "simulator", "specs", "summaries"),
        *("toolbox", "wait", "wording"),
    },
    "__main__": {"cli"},
    "__init__": set(),
}


def imported(path: Path) -> set[str]:
    """Names of the package's own modules that `path` imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {parts[1] for name in names if (parts := name.split("."))[0] == "ap_mcp" and len(parts) > 1}


def modules_that_import(prefix: str) -> set[str]:
    """Paths of our modules that import a module whose name starts with `prefix`."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name == prefix or name.startswith(f"{prefix}.") for name in names):
                found.add(str(path.relative_to(PACKAGE)))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_the_map_allows(path: Path) -> None:
    unit = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    stray = {"__init__" if name == "__version__" else name for name in imported(path)} - MAY_IMPORT[unit] - {unit}
    assert not stray, f"{unit} must not import {sorted(stray)}; change the map only on purpose"


def test_one_module_imports_httpx_so_that_a_swap_is_one_line() -> None:
    assert modules_that_import("httpx") == {"cloud/http.py"}
    assert modules_that_import("httpx2") == set()


def test_the_simulator_shares_nothing_with_the_client_but_the_signature() -> None:
    shared = {path for path in modules_that_import("ap_mcp.cloud") if path.startswith("simulator/")}
    signing = {path for path in modules_that_import("ap_mcp.cloud.signing") if path.startswith("simulator/")}
    assert shared == signing == {"simulator/access.py"}


def test_every_module_says_in_a_docstring_what_it_is_for() -> None:
    silent = [
        str(p.relative_to(PACKAGE)) for p in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert silent == []
