"""Who may import whom: this map is the architecture, and the test keeps it true."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ap_mcp"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "phases": set(),
    "specs": {"errors", "phases"},
    "schemas": {"specs"},
    "arguments": {"errors", "specs", "schemas"},
    "lint": {"errors", "phases", "specs", "schemas"},
    "settings": {"errors", "specs"},
    "credentials": {"errors", "settings"},
    "files": {"errors"},
    "binding": {"errors", "specs"},
    "cloud": {"errors", "settings", "credentials", "specs", "binding", "__init__"},
    "summaries": {"errors", "phases", "specs", "files"},
    "reading": {"errors"},
    "responses": {"summaries"},
    "results": {"settings", "specs", "files", "guard", "cloud", "summaries", "responses", "wait"},
    "wait": {"errors", "phases", "specs", "summaries"},
    "assess": {"errors", "specs", "schemas", "summaries", "reading"},
    "composed": {"errors", "specs", "arguments", "guard", "cloud", "account", "summaries", "wait", "assess"},
    "tools": {"specs", "schemas", "summaries", "composed"},
    "guard": {"reading", "errors", "specs", "arguments", "binding", "summaries"},
    "account": {"errors", "specs", "binding", "cloud", "summaries"},
    "server": {
        *("errors", "settings", "specs", "schemas", "arguments", "tools", "files", "binding", "cloud", "guard"),
        *("summaries", "results", "wait", "composed", "account"),
    },
    "prompts": {"errors"},
    "protocol": {"errors", "tools", "guard", "summaries", "wait", "assess", "server", "prompts", "__init__"},
    "simulator": {"errors", "specs", "schemas", "cloud"},
    "cli": {
        *("errors", "settings", "credentials", "specs", "schemas", "lint", "tools", "cloud", "guard", "server"),
        *("summaries", "wait", "composed", "arguments", "simulator", "protocol", "__init__"),
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


def test_no_module_outgrows_one_sitting() -> None:
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in PACKAGE.rglob("*.py")
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"over 400 lines: {long}"


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
