"""Tools that are no operation of their own: made of several reads, each of which the policy must let pass."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ap_mcp import assess, wait
from ap_mcp.arguments import check_against, check_arguments
from ap_mcp.assess import ASSESS_UPGRADE
from ap_mcp.guard.callers import Caller
from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries import Answer, Result, summarise
from ap_mcp.wait import WAIT_FOR

if TYPE_CHECKING:
    from ap_mcp.account import Account
    from ap_mcp.cloud.client import Reply


class Core(Protocol):
    """What such a tool needs of the server: an `Autopilot`."""

    catalog: Catalog
    account: "Account"
    sleep: wait.Sleep
    clock: wait.Now

    @property
    def waitables(self) -> Mapping[str, wait.Waitable]:
        """What can be waited for, by its kind."""

    async def permit(self, read: Operation, arguments: Mapping[str, Any]) -> None:
        """Raise if the policy does not let a read be made."""

    async def shaped(
        self, operation: Operation, arguments: Mapping[str, Any], reply: "Reply", caller: Caller
    ) -> Result:
        """Shape an answer for an agent."""

    def advised(self, result: Result) -> Result:
        """Return a result whose next calls can be made, and say whether a person is asked."""


Run: TypeAlias = Callable[[Core, Mapping[str, Any], Caller, wait.Report], Awaitable[Result]]


@dataclass(frozen=True)
class Composed:
    """One such tool; all it does is read."""

    name: str
    title: str
    description: str
    toolset: str
    input_schema: dict[str, Any]
    result: type[Result]
    run: Run


def offered(operations: Mapping[str, Operation]) -> dict[str, Composed]:
    """Return, by name, the tools that can be made of some operations."""
    kinds = [kind for operation in operations.values() if (kind := operation.awaited_as)]
    found = []
    if kinds:
        toolset = "every one with something to wait for"
        schema = wait.wait_schema(kinds)
        found.append(Composed(WAIT_FOR, wait.TITLE, wait.DESCRIPTION, toolset, schema, wait.Waited, _wait_for))
    if operations.keys() >= assess.NEEDS:
        schema = assess.input_schema(operations)
        found.append(
            Composed(
                ASSESS_UPGRADE, assess.TITLE, assess.DESCRIPTION, "upgrades", schema, assess.Assessment, _assess_upgrade
            )
        )
    return {each.name: each for each in found}


async def _wait_for(core: Core, arguments: Mapping[str, Any], caller: Caller, report: wait.Report) -> Result:
    """Look at something until it has ended or the time is up; each look is a reading tool's."""
    problems = wait.misfits(core.waitables, arguments)
    check_against(WAIT_FOR, wait.wait_schema(core.waitables), arguments, in_path=wait.PLACES, more=problems)
    order = wait.Order(core.waitables[arguments["kind"]], arguments)
    check_arguments(order.read, order.arguments)
    wanted = await core.account.resolved(order.arguments)
    await core.permit(order.read, wanted)

    async def look() -> "Reply":
        reply = await core.account.ask(order.read, wanted)
        return replace(reply, body=order.narrowed(reply.body))

    def tell(reply: "Reply") -> str:
        return summarise(Answer(order.read, wanted, reply.body, now=core.account.now())).summary

    ending = await wait.Watch(order, look, tell, core.sleep, core.clock, report).run()
    result = None if ending.seen is None else await core.shaped(order.read, wanted, ending.seen, caller)
    return wait.waited(order, ending, result)


async def _assess_upgrade(core: Core, arguments: Mapping[str, Any], _caller: Caller, _report: wait.Report) -> Result:
    """Look at all that a person would look at before an upgrade."""
    check_against(ASSESS_UPGRADE, assess.input_schema(core.catalog), arguments, in_path=(assess.CLUSTER,))
    wanted = await core.account.resolved(arguments)

    async def read(tool: str, **given: Any) -> Any:
        operation = core.catalog[tool]
        await core.permit(operation, given)
        return (await core.account.ask(operation, given)).body

    return core.advised(await assess.assess(wanted, read, core.account.now))
