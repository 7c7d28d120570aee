"""The impact of a read that a rule wants a person asked about; nothing is read for it, or that would be the answer."""

from ap_mcp.guard.impacts.base import CLUSTER, Case, Impact, ImpactDraft
from ap_mcp.guard.impacts.before_after import about_argument
from ap_mcp.vendor import text


async def reading(case: Case) -> Impact:
    """Say what would be read, by the arguments of the call."""
    given = [case.arguments.get(CLUSTER), *(case.arguments.get(name) for name in case.operation.arguments)]
    name = next((text(each) for each in given if isinstance(each, str) and each), case.operation.id)
    draft = ImpactDraft(case, name, f"{case.operation.title}: only reads; the answer goes to the agent.")
    for argument in case.arguments:
        about_argument(draft, argument)
    return draft.impact()
