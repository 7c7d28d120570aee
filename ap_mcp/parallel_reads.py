"""Makes several reads at once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import anyio

from ap_mcp.aside import on_the_loop
from ap_mcp.errors import ApMcpError, CallRefused, ServiceError

Reader: TypeAlias = Callable[..., Awaitable[Any]]
"""`await read("get_cluster", cluster_id=…)`: the vendor's JSON as it came; raises what the cloud client raises."""


@on_the_loop
async def read_together(
    read: Reader, reads: Mapping[str, tuple[str, Mapping[str, Any]]]
) -> tuple[dict[str, Any], dict[str, ApMcpError]]:
    """Make all reads at once; one that fails leaves the others alone.

    Args:
        read: makes one of them.
        reads: operation and arguments of each, by a name for it.

    Returns:
        The answers, and the errors of those that failed, by those names.
    """
    answers: dict[str, Any] = {}
    errors: dict[str, ApMcpError] = {}

    async def make(name: str, operation: str, arguments: Mapping[str, Any]) -> None:
        try:
            answers[name] = await read(operation, **arguments)
        except ApMcpError as error:
            errors[name] = error

    async with anyio.create_task_group() as group:
        for name, (operation, arguments) in reads.items():
            group.start_soon(make, name, operation, arguments)
    return answers, errors


def why_unread(error: ApMcpError) -> str:
    """Say in a few words why one of several reads failed."""
    if isinstance(error, ServiceError):
        return error.brief()
    return error.ruled_out or ("a rule forbids it" if isinstance(error, CallRefused) else "no answer came")
