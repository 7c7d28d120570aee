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
    for what, error in around.unread.items():
        notes.unread(what, error)
    notes.stable["around"] = [around.gains, around.loses, around.taken, around.adopted]


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
        count = "Ingress" if len(leading) == 1 else "Ingresses"
        notes.stays.append(f"{count} {few([word(each) for each in leading], 5)}, which then lead nowhere")
    notes.stable["ingresses"] = leading
