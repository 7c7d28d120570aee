"""`k8s_delete`: one object by its name, or those that selectors match, each by a request bound to its uid; or all.

All of a kind go by one request, which the server carries out on the very list that was read.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anyio import create_task_group

from ap_mcp.aside import on_the_loop
from ap_mcp.errors import CallRefused, Problem
from ap_mcp.kubernetes.api import ClusterApi
from ap_mcp.kubernetes.effects import Change
from ap_mcp.kubernetes.patch import needed, place_of
from ap_mcp.kubernetes.spec import Resource
from ap_mcp.kubernetes.steps import Checks, Step, change_request, with_version
from ap_mcp.vendor import get, items, text
from ap_mcp.wording import plural

SELECTORS = ("label_selector", "field_selector")
MOST = 200
POLICIES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


def misfits(arguments: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with which objects are named."""
    chosen = [each for each in (*SELECTORS, "all") if arguments.get(each)]
    if "name" in arguments and chosen:
        return [Problem("name", f"names one object, and {' and '.join(chosen)} several: leave one of them out")]
    if "name" not in arguments and not chosen:
        return [Problem("name", "is missing: name one object, or select several with label_selector, field_selector or "
                        "all: true")]  # fmt: skip
    return []


def is_collection(arguments: Mapping[str, Any]) -> bool:
    """Say whether a call may delete several objects."""
    return "name" not in arguments


async def steps(arguments: Mapping[str, Any], api: ClusterApi, checks: Checks) -> list[Step]:
    """Return what is deleted.

    Raises:
        CallRefused: there is nothing of that name, too much is matched, or the policy or the cluster says no.
    """
    resource = await api.resource(arguments["kind"])
    if resource.namespaced and "namespace" not in arguments:
        raise CallRefused(
            f"Refused: which {resource.plural} are meant depends on the namespace, and none is named. Nothing was "
            "sent. Call again with namespace."
        )
    if not is_collection(arguments):
        live = await needed(checks, resource, place_of(arguments, resource), arguments["name"])
        return [await _step(arguments, resource, live, checks)]
    listed, found = await _matched(arguments, resource, checks)
    if not any(arguments.get(each) for each in SELECTORS):
        return await _all(arguments, resource, listed, found, checks)
    return await _each(arguments, resource, found, checks)


@on_the_loop
async def _each(arguments: Mapping[str, Any], resource: Resource, found: list[Any], checks: Checks) -> list[Step]:
    """Return a step for each of some objects, looked at together."""
    made: dict[int, Step] = {}

    async def one(number: int, live: Any) -> None:
        made[number] = await _step(arguments, resource, live, checks)

    try:
        async with create_task_group() as group:
            for number, live in enumerate(found):
                group.start_soon(one, number, live)
    except BaseExceptionGroup as several:  # what the first of them says is enough
        raise _first_of(several) from None
    return [made[number] for number in range(len(found))]


def _first_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    first = several.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


async def _all(
    arguments: Mapping[str, Any], resource: Resource, listed: Any, found: list[Any], checks: Checks
) -> list[Step]:
    """Return steps with one request for all objects of a kind: those of the list that was read, and no others."""
    namespace = place_of(arguments, resource)
    changes = [Change("delete", resource, namespace, text(get(each, "/metadata/name")), each) for each in found]
    if not changes:
        return []
    await checks.decided(*changes)
    compared = change_request(checks.api, "DELETE", resource.parts(namespace), _options_body(arguments))
    checked = await checks.dry_run(compared, *changes)
    exactly = (("resourceVersion", text(get(listed, "/metadata/resourceVersion"))), ("resourceVersionMatch", "Exact"))
    call = replace(compared, query=(*compared.query, *exactly))

    async def again(_: ClusterApi) -> Step:
        raise CallRefused("Refused: the list has changed. Nothing was sent. Call again.")

    return [
        Step(
            change=each,
            call=call,
            compared=compared,
            again=again,
            warnings=checked.warnings,
            unchecked=checked.unchecked,
            options=_options(arguments),
            shared=True,
        )
        for each in changes
    ]


async def _matched(arguments: Mapping[str, Any], resource: Resource, checks: Checks) -> tuple[Any, list[Any]]:
    """Return the list of what is matched, and its objects."""
    namespace = place_of(arguments, resource)
    await checks.decided(Change("delete", resource, namespace, "", _OWNED))
    names = {"label_selector": "labelSelector", "field_selector": "fieldSelector"}
    query = {names[each]: arguments[each] for each in SELECTORS if arguments.get(each)} | {"limit": str(MOST + 1)}
    listed = await checks.api.list(resource, namespace, query=query)
    # The entries of a list do not say what they are.
    found = [{"apiVersion": resource.api_version, "kind": resource.kind, **each} for each in items(listed, "/items")]
    if len(found) > MOST or get(listed, "/metadata/continue"):
        raise CallRefused(
            f"Refused: more than {plural(MOST, 'object')} match. Nothing was sent. Narrow the selectors down, or "
            "delete the namespace."
        )
    return listed, found


_OWNED = {"metadata": {"ownerReferences": [{"controller": True}]}}
"""What a collection may hold at the least grave: pods that come back."""


async def _step(arguments: Mapping[str, Any], resource: Resource, live: Any, checks: Checks) -> Step:
    namespace, name = place_of(arguments, resource), text(get(live, "/metadata/name"))
    change = Change("delete", resource, namespace, name, live)
    await checks.decided(change)
    grace, body = arguments.get("grace_s"), _options_body(arguments)
    # The thing itself, not whatever bears its name by then.
    body["preconditions"] = {"uid": text(get(live, "/metadata/uid"))}
    compared = change_request(checks.api, "DELETE", resource.parts(namespace, name), body)
    goes = get(live, "/metadata/deletionTimestamp") is not None and grace != 0
    checked = None if goes else await checks.dry_run(compared, change)

    async def again(api: ClusterApi) -> Step:
        anew = Checks(api, checks.rehearse)
        return await _step(arguments, resource, await needed(anew, resource, namespace, name), anew)

    call = compared if is_collection(arguments) else with_version(compared, live)
    step = Step(
        change=change,
        call=call,
        compared=compared,
        again=again,
        warnings=checked.warnings if checked else (),
        unchecked=checked.unchecked if checked else "",
        options=_options(arguments),
    )
    return replace(step, call=None, compared=None) if goes else step


def _options_body(arguments: Mapping[str, Any]) -> dict[str, Any]:
    policy, grace = POLICIES[arguments["cascade"]], arguments.get("grace_s")
    given = {} if grace is None else {"gracePeriodSeconds": grace}
    return {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy, **given}


def _options(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    cascade, grace = arguments["cascade"], arguments.get("grace_s")
    said = {
        "background": "what it owns is deleted after it",
        "foreground": "what it owns is deleted before it",
        "orphan": "what it owns stays, without an owner",
    }[cascade]
    return (said, *(["killed at once, without time to end"] if grace == 0 else [f"{grace} s to end"] if grace else []))
