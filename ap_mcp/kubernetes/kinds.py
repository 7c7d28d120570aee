"""Finds the kind of object that a caller means, as kubectl does: by kind, plural, singular or short name, `.group`."""

from collections.abc import Iterable, Sequence

from ap_mcp.errors import CallRefused
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.vendor import quoted
from ap_mcp.wording import closest, few

CORE = ("", "core", "v1")


def fitting(said: str, kinds: Iterable[Resource]) -> list[Resource]:
    """Return the kinds that a text can mean; those of Kubernetes itself come before custom ones, the core first.

    Args:
        said: `deploy`, `Deployment`, `deployments.apps`, `deployments.v1.apps`; upper or lower case.
        kinds: to choose from.
    """
    name, _, group = said.strip().lower().partition(".")
    kinds = tuple(kinds)
    found = [each for each in kinds if name in _names(each) and (not group or _is_of(group, each))]
    return sorted(found, key=_rank)


def chosen(said: str, kinds: Sequence[Resource]) -> Resource:
    """Return the one kind that a text means.

    Raises:
        CallRefused: it means none; close ones are named.
    """
    if found := fitting(said, kinds):
        return found[0]
    names = {name: each for each in kinds for name in _names(each)}
    near = dict.fromkeys(names[name].plural for name in closest(said.strip().lower(), names, most=5))
    maybe = f" Did you mean {few(list(near), 3)}?" if near else ""
    raise CallRefused(
        f"The cluster serves no kind {quoted(said)}.{maybe} Nothing was sent; k8s_discover lists what it serves."
    )


def other_names(kinds: Iterable[Resource]) -> dict[str, str]:
    """Return the names in lower case that a caller may use for kinds and rules may not, each with its kind."""
    return {name: each.kind for each in kinds for name in (each.plural, *each.short) if name != each.kind.lower()}


def _names(resource: Resource) -> frozenset[str]:
    return frozenset({resource.kind.lower(), resource.plural, resource.singular, *resource.short} - {""})


def _is_of(group: str, resource: Resource) -> bool:
    """Say whether what stands behind the first dot names a group: `apps`, `v1.apps`, or `v1` for the core."""
    version, _, rest = group.partition(".")
    if group == resource.group or (not resource.group and group in CORE):
        return True
    return rest == resource.group and version in {resource.version, *resource.versions}


def _rank(resource: Resource) -> tuple[int, str]:
    own = "." not in resource.group or resource.group.endswith(".k8s.io")
    return (0 if not resource.group else 1 if own else 2, resource.group)
