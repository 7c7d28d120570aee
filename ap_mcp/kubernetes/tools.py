"""The tools of the Kubernetes API, made of what `tool_specs/kubernetes.json` says; what they do is imported late."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from ap_mcp.kubernetes.spec import TOOLSET, ToolSpec, tool_specs
from ap_mcp.kubernetes.write_tool import RESULT as WRITTEN
from ap_mcp.kubernetes.write_tool import WriteTool
from ap_mcp.plans import ReadTool, Tool, ToolContext
from ap_mcp.specs import CLUSTER
from ap_mcp.summaries.base import Result

if TYPE_CHECKING:
    from ap_mcp.kubernetes.discovery import KnownKinds

KindsKept: TypeAlias = "Callable[[], KnownKinds]"
"""Gives what is known of the kinds that clusters serve."""

READS: Mapping[str, str] = {
    "k8s_list": "lists",
    "k8s_get": "show",
    "k8s_logs": "logs",
    "k8s_diagnose": "diagnose.answer",
    "k8s_discover": "served",
}
"""The module of this package that answers each tool that only reads: its `run`, and its result as `RESULT`."""
WRITES: Mapping[str, str] = {
    "k8s_apply": "apply",
    "k8s_patch": "patch",
    "k8s_scale": "scale",
    "k8s_rollout": "rollout",
    "k8s_delete": "delete",
}
"""The module of this package that says what a call of each tool that changes something comes to: its `steps`."""
IN_PATH = (CLUSTER, "name", "namespace")


def nothing_kept() -> "KnownKinds":
    """Be what tools are given that are shown and never called."""
    raise RuntimeError("a tool that is only shown was called")


def kubernetes_tools(kinds: KindsKept, *, read_only: bool = False, confirm: str = "human") -> Iterator[Tool]:
    """Yield the tools.

    Args:
        kinds: gives what clusters serve, shared by all callers.
        read_only: leave out whatever does more than read.
        confirm: how consent is obtained: with `token`, tools that change something take one.
    """
    specs = tool_specs()
    if not read_only:
        for name, module in WRITES.items():
            yield WriteTool(specs[name], module, kinds, confirm)
    for name, module in READS.items():
        yield _read_tool(specs[name], module, kinds)


def result_types() -> dict[str, type[Result]]:
    """Return the types of the results of the tools, by their names."""
    from ap_mcp.kubernetes.results import RESULT as CHANGE  # noqa: PLC0415 - the types cost a start more than all else

    return {name: _module(module).RESULT for name, module in READS.items()} | {WRITTEN: CHANGE}


def _read_tool(spec: ToolSpec, module: str, kinds: KindsKept) -> ReadTool:
    return ReadTool(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        toolsets=frozenset({TOOLSET, "essential"}),
        input_schema=spec.shown_schema,
        checks=spec.input_schema,
        run=partial(_run, module, kinds),
        in_path=IN_PATH,
        idempotent=spec.idempotent,
        on_objects=True,
    )


async def _run(module: str, kinds: KindsKept, arguments: Mapping[str, Any], context: ToolContext) -> Result:
    result: Result = await _module(module).run(arguments, context, kinds())
    return context.finishing.advised(result)


def _module(name: str) -> Any:
    return import_module(f"ap_mcp.kubernetes.{name}")
