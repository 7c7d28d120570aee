"""Impacts on traffic: which pods a Service reaches, and which address and Ingresses lose it."""

from typing import Any

from ap_mcp.kubernetes.impacts.notes import Notes, labels_of, name_of, walk
from ap_mcp.kubernetes.pods import is_ready
from ap_mcp.kubernetes.selectors import selects
from ap_mcp.kubernetes.spec import effect_table
from ap_mcp.vendor import get, items, mapping, word
from ap_mcp.wording import few, plural

BALANCED = "LoadBalancer"
NAMED = 5


def about_others(notes: Notes) -> None:
    """Note which selectors match differently, and from whom traffic is taken; what was not read is unknown."""
    around = notes.change.around
    if around is None:
        return
    notes.goes += [*around.adopted, *around.taken]
    whose = "it" if notes.change.resource.kind in effect_table().selected_by else "its pods"
    if around.loses:
        notes.goes.append(f"selection of {whose} by {few(around.loses, NAMED)}")
    if around.gains:
        notes.warnings.append(f"By the new labels {whose} will be selected by {few(around.gains, NAMED)}.")
    if around.doubtful:
        notes.warnings.append(
            f"Whether these select {whose} by the new labels is not known: {few(around.doubtful, NAMED)}."
        )
    for each in around.opened:
        notes.warnings.append(f"Its pods open what is there already, and can change it: {each}.")
    if around.awaited:
        notes.warnings.append(f"It is read by pods that did without it so far: {few(around.awaited, NAMED)}.")
    for each in around.rights:
        notes.warnings.append(f"The token that its pods get has rights: {each}.")
    for what, error in around.unread.items():
        notes.unread(what, error)


async def about_policy(notes: Notes) -> None:
    """Note which pods a NetworkPolicy isolates."""
    await _about_selected(notes, "/spec/podSelector", "isolation")


async def about_budget(notes: Notes) -> None:
    """Note which pods a disruption budget protects."""
    await _about_selected(notes, "/spec/selector", "protection")


async def _about_selected(notes: Notes, place: str, what: str) -> None:
    """Note the pods that an object selects, those that it does not any more, and those that it does only now."""
    pods = await notes.listed("Pod", f"which pods its {what} is for")
    if pods is None:
        return
    selectors = [get(body, place) for body in (notes.change.before, notes.change.after)]
    now, then = ({word(name_of(pod)) for pod in pods if _selects(each, labels_of(pod))} for each in selectors)
    notes.stable["selected"] = [sorted(now), sorted(then)]
    notes.fact(f"{what} of", _counted(then) if notes.change.verb != "delete" else None)
    if now - then:
        notes.goes.append(f"the {what} of {_counted(now - then)}")
    if then - now:
        notes.warnings.append(f"New is the {what} of {_counted(then - now)}.")


def _selects(selector: Any, labels: dict[str, str]) -> bool:
    """Say whether a selector matches labels; an empty one matches all here, and a missing one none."""
    return selects(selector, labels) or (isinstance(selector, dict) and not any(selector.values()))


def _counted(names: set[str]) -> str:
    return f"{plural(len(names), 'pod')}: {few(sorted(names), NAMED)}" if names else "no pod"


async def about_service(notes: Notes) -> None:
    """Note which pods a Service reaches, whether its address is lost, and which Ingresses lead to it."""
    before, after = notes.live, notes.change.after
    deletes = notes.change.verb == "delete"
    if get(before, "/spec/type") == BALANCED and (deletes or _is_no_balancer(after)):
        entries = items(before, "/status/loadBalancer/ingress")
        shown = few([word(get(one, "/ip") or get(one, "/hostname")) for one in entries]) or "no address yet"
        notes.goes.append(f"its load balancer ({shown}); the address is lost")
    if deletes:
        await _about_ingresses(notes)
    elif after is not None and get(after, "/spec/type") != "ExternalName":
        await _about_endpoints(notes, mapping(after, "/spec/selector"))


def _is_no_balancer(after: Any) -> bool:
    return after is not None and get(after, "/spec/type") != BALANCED


async def _about_endpoints(notes: Notes, selector: dict[str, str]) -> None:
    """Note whether a Service reaches any pod, if that is new."""
    if not selector or selector == mapping(notes.live, "/spec/selector"):
        return
    pods = await notes.listed("Pod", "which pods it reaches")
    if pods is None:
        return
    found = [each for each in pods if selects(selector, labels_of(each))]
    notes.fact("reaches", f"{plural(len(found), 'pod')} ({sum(map(is_ready, found))} ready)")
    if not found:
        notes.warnings.append("Its selector matches no pod: nothing answers at it.")
    notes.stable["reaches"] = sorted(map(name_of, found))


async def _about_ingresses(notes: Notes) -> None:
    ingresses = await notes.listed("Ingress", "which Ingresses lead to it")
    leading = sorted(
        name_of(each)
        for each in ingresses or []
        if any(get(one, "/service/name") == notes.change.name for one in walk(get(each, "/spec")))
    )
    if leading:
        count, then = ("Ingress", "leads") if len(leading) == 1 else ("Ingresses", "lead")
        notes.stays.append(f"{count} {few([word(each) for each in leading], 5)}, which then {then} nowhere")
    notes.stable["ingresses"] = leading
