"""The impacts of guarded operations: an operation's name leads to the builder that knows what matters about it."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.guard.impacts import addons, charts, clusters, releases, upgrades
from ap_mcp.guard.impacts.base import Case, Impact, ImpactOf
from ap_mcp.guard.impacts.generic import following, generic
from ap_mcp.guard.impacts.reading import reading
from ap_mcp.specs import load_catalog
from ap_mcp.vendor import get, text

__all__ = ["MODULES", "build_impact", "builders"]

MODULES = (clusters, addons, upgrades, charts, releases)


@cache
def builders() -> Mapping[str, ImpactOf]:
    """Return every builder by its operation."""
    return registry(*MODULES)


def registry(*modules: Any) -> Mapping[str, ImpactOf]:
    """Return the builders of some modules by their operation.

    Raises:
        TypeError: two are for one operation.
    """
    found: dict[str, ImpactOf] = {}
    for module in modules:
        for each in vars(module).values():
            if isinstance(each, ImpactOf) and found.setdefault(each.operation, each) is not each:
                raise TypeError(f"Two builders are for {each.operation}; keep one of them.")
    return MappingProxyType(found)


async def build_impact(case: Case) -> Impact:
    """Read what a call would touch, and say what it would do.

    Raises:
        CallRefused: no person needs to be asked: it would fail, or breaks a rule.
        ServiceError: the target itself could not be read; likewise `CloudUnreachable`.
    """
    if case.effect == "read":
        return await reading(case)
    builder = builders().get(case.operation.id)
    impact = await (generic(case) if builder is None else builder(case))
    return await _of_this_one(case, impact if builder is None else _with_consequences(case, impact))


def _with_consequences(case: Case, impact: Impact) -> Impact:
    """Add what the spec says to follow from the call, of which its builder knows nothing."""
    found = following(case)
    return replace(
        impact,
        goes=(*impact.goes, *(line for each in found for line in each.goes)),
        stays=(*impact.stays, *(line for each in found for line in each.stays)),
        unknown=(*impact.unknown, *(line for each in found for line in each.unknown)),
    )


async def _of_this_one(case: Case, impact: Impact) -> Impact:
    """Bind an impact to the very thing that has the name now: another one of that name was created at another time."""
    target = case.operation.target
    if target is None or target.created_at is None:
        return impact
    taken = load_catalog()[target.read].arguments
    try:
        thing = await case.read(target.read, **{name: value for name, value in case.arguments.items() if name in taken})
    except ApMcpError:
        return impact
    return replace(impact, stable={**impact.stable, "created": text(get(thing, target.created_at))})
