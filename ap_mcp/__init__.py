"""MCP server for Huawei Cloud CCE Autopilot."""

from importlib.metadata import version as _version

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name == "__version__":
        return _version("ap-mcp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
