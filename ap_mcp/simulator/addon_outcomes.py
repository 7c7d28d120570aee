"""How the installation or upgrade of a simulated add-on ends, by the values it was given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ap_mcp.simulator.addon_templates import IMAGE_REGISTRY, product_named

MOST_REPLICAS = 20
"""More pods than the simulated account may run for one add-on."""

_FAILED = {"install": "installFailed", "upgrade": "upgradeFailed"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status an add-on ends in, and what it says about a failure."""

    status: str
    reason: str = ""
    message: str = ""


def outcome_of(action: Literal["install", "upgrade"], name: str, values: Mapping[str, Any]) -> Outcome:
    """Say in which state an add-on ends with these values."""
    reason = f"addon {action} failed"
    if message := _mistake(name, values):
        return Outcome(_FAILED[action], reason, message)
    replicas = _at(values, "flavor").get("replicas", 1)
    registry = _at(values, "basic").get("swr_addr", IMAGE_REGISTRY)
    if registry != IMAGE_REGISTRY:
        message = f"pods of {name} are in ImagePullBackOff: no image can be pulled from {registry}"
        return Outcome("abnormal", "ImagePullBackOff", message)
    if replicas > MOST_REPLICAS:
        message = f"{MOST_REPLICAS} of {replicas} pods of {name} run, the others wait for resources"
        return Outcome("available", "Pending", message)
    return Outcome("running")


def _mistake(name: str, values: Mapping[str, Any]) -> str:
    """Return what is wrong with the values, or nothing."""
    replicas = _at(values, "flavor").get("replicas", 1)
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 1:
        return f"render chart {name}: values.flavor.replicas must be a whole number above zero"
    custom = _at(values, "custom")
    product = product_named(name)
    for need in product.needs if product else ():
        if custom.get(need.switch) and not custom.get(need.setting):
            return f"render chart {name}: values.custom.{need.setting} must not be empty while {need.switch} is true"
    return ""


def _at(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
