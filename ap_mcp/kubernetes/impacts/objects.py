"""What is shown of every object that is changed: which one it is, who manages it, and what changes in it by path."""

import json
from collections.abc import Mapping
from typing import Any

from ap_mcp.errors import ApMcpError
from ap_mcp.kubernetes.changes import changed
from ap_mcp.kubernetes.effects import ANNOTATIONS, LABELS, gravest, raised
from ap_mcp.kubernetes.finalizers import held_by, in_words
from ap_mcp.kubernetes.impacts.notes import Notes, labels_of
from ap_mcp.kubernetes.owners import HELM_NAMESPACE, HELM_RELEASE, controller_of, undone_by
from ap_mcp.kubernetes.spec import UNKNOWN, effect_table
from ap_mcp.masking import mask
from ap_mcp.masking.supplied import as_supplied
from ap_mcp.rules.settings_diff import SettingChange, assignments, every_line, shown
from ap_mcp.specs import GUARDED
from ap_mcp.vendor import get, items, mapping, moment, strings, text, word
from ap_mcp.wording import age, exactly, few, plural

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGERS = 6
HELD = ("data", "stringData", "binaryData")
"""Where a Secret has what it holds."""


def about_object(notes: Notes) -> None:
    """Note which object it is: its namespace, kind, name, uid and age."""
    change, live = notes.change, notes.live
    resource = change.resource
    notes.fact("namespace", word(change.namespace) if change.namespace else "none: it belongs to the whole cluster")
    notes.fact("kind", f"{resource.kind} ({resource.api_version})")
    if live is not None:
        notes.fact("uid", word(get(live, "/metadata/uid")))
        notes.fact("age", age(moment(get(live, "/metadata/creationTimestamp")), notes.now) or "not reported")
    for option in notes.step.options:
        notes.fact("chosen", option)
    notes.stable["object"] = change.facts() if live is not None else None
    notes.stable["effects"] = sorted(notes.step.effects)


def about_managers(notes: Notes) -> None:
    """Note who else manages the object: a release of Helm, a controller, other programs."""
    live, change = notes.live, notes.change
    if live is None:
        return
    annotations = mapping(live, "/metadata/annotations")
    if release := annotations.get(HELM_RELEASE):
        where = annotations.get(HELM_NAMESPACE) or change.namespace
        notes.fact("managed by", f"release {word(release)} in namespace {word(where)}")
    elif manager := labels_of(live).get(MANAGED_BY):
        notes.fact("managed by", word(manager))
    if (controller := controller_of(live)) and not notes.step.posts:
        notes.fact("controller", f"{word(controller.get('kind'))} {word(controller.get('name'))}")
    notes.warnings += undone_by(notes.step)
    managers = dict.fromkeys(text(get(each, "/manager")) for each in items(live, "/metadata/managedFields"))
    notes.fact("changed before by", few([word(each) for each in managers if each], MANAGERS))


def about_checks(notes: Notes) -> None:
    """Note what the cluster's own check said, or that there was none."""
    step = notes.step
    notes.warnings += [f"The cluster warns: {each}" for each in step.warnings]
    if step.unchecked:
        notes.warnings.append(f"Not checked by the cluster beforehand: {step.unchecked}.")
        notes.unknown.append("whether the cluster takes it, and what it makes of it")
    if step.taken:
        notes.warnings.append(f"Takes fields from other managers: {step.taken}")
    for effect, why in raised(step.change) if not step.posts else ():
        notes.warnings.append(f"Secrets: {why}." if effect == "secret" else f"{why[:1].upper()}{why[1:]}.")


def about_changes(notes: Notes) -> list[SettingChange]:
    """Note each setting that changes, before and after; of what is new, only what matters of it elsewhere."""
    change, step = notes.change, notes.step
    if change.verb == "delete":
        return []
    if change.after is None:
        notes.changes += _asked_for(notes)
        return []
    supplied = step.given
    if change.resource.full == "Secret" and isinstance(supplied, Mapping):
        supplied = {key: each for key, each in supplied.items() if key not in HELD}
    found = change.settings(supplied)
    if change.verb == "create":
        notes.fact("new settings", plural(len(found), "value"))
        if supplied is not None and gravest(step.effects) in GUARDED:
            for each in changed(None, supplied, supplied, status=change.status, copy=change.with_copy):
                notes.fact("sets", f"{each.path} to {each.after}")
        return found
    gone = [each for each in found if not each.after]
    # What a workload is or does comes first: any number of labels could stand before it.
    for beside in (False, True):
        notes.changes += every_line([each for each in found if (each.keys[:2] in (LABELS, ANNOTATIONS)) is beside])
    if not found:
        notes.changes.append("the order of a list")
    if gone and step.words == "apply":
        names = few([each.path for each in gone], 8)
        notes.goes.append(f"{plural(len(gone), 'setting')} that was applied before and is left out now: {names}")
    return found


def _asked_for(notes: Notes) -> list[str]:
    """Return what a request changes of which the server does not say what it makes of it."""
    step, is_secret = notes.step, notes.change.resource.full == "Secret"
    body = json.loads(step.compared.body) if step.compared is not None and step.compared.body else None
    if isinstance(body, Mapping):
        given: dict[str, Any] = {key: each for key, each in body.items() if not (is_secret and key in HELD)}
        said = assignments(given if step.given is not None else mask(given))
        held = [(key, mapping(body, f"/{key}")) for key in HELD if is_secret and key in body]
        return said + [f"{key} is changed: {few(sorted(map(word, each))) or 'all of it'}" for key, each in held]
    found = list[str]()
    for each in body if isinstance(body, list) else ():
        value = "" if "value" not in each else ", a value that is not shown"
        if value and step.given is not None and not is_secret:
            value = f", {shown(as_supplied({text(each['path']).rpartition('/')[2]: each['value']}).popitem()[1])}"
        origin = f" from {exactly(text(each['from']))}" if "from" in each else ""
        found.append(f"{each['op']} {exactly(text(each['path']))}{origin}{value}")
    return found


def about_finalizers(notes: Notes) -> None:
    """Note what finalizers do to a deletion, or which cleaning up is skipped without them."""
    change = notes.change
    has = strings(change.before, "/metadata/finalizers")
    if change.subresource == "finalize":
        has = held_by(change.before)
    if change.verb == "delete":
        if has:
            names = few([word(each) for each in has])
            notes.warnings.append(f"It stays, being deleted, until its finalizers are done: {names}.")
        return
    after = change.after
    keeps = has if after is None else held_by(after)
    lost = [each for each in has if each not in keeps]
    if not lost and change.subresource != "finalize":
        return
    if lost:
        notes.goes.append(f"cleaning up by {in_words(lost)}")
    notes.warnings.append("Cleaning up is skipped, which may leave cloud resources that keep costing.")
    if get(change.before, "/metadata/deletionTimestamp"):
        notes.warnings.append("It is being deleted, so it goes at once, for good.")
    notes.final = True


async def about_unknown_kind(notes: Notes) -> None:
    """Note that it is not known here what a kind does; and of a definition, how many objects go with it."""
    change = notes.change
    kind = change.resource.full
    if effect_table().class_of(change.resource) == UNKNOWN:
        notes.unknown.append(f"what a {word(kind)} does: this kind is not known here")
    if kind.startswith(("ValidatingWebhook", "MutatingWebhook")):
        _about_webhooks(notes)
    if kind == "APIService.apiregistration.k8s.io":
        _about_api(notes)
    if kind == "CustomResourceDefinition.apiextensions.k8s.io" and change.verb == "delete":
        await _about_definition(notes)


def _about_webhooks(notes: Notes) -> None:
    body = notes.change.after or notes.live
    notes.fact("is for", _webhook_rules(body))
    if notes.change.verb == "delete":
        notes.goes.append(f"{plural(len(items(body, '/webhooks')), 'webhook')}: no request passes them any more")
    elif blocks := [text(get(each, "/name")) for each in items(body, "/webhooks")
                    if get(each, "/failurePolicy") != "Ignore"]:  # fmt: skip
        names = few([word(each) for each in blocks], 5)
        notes.warnings.append(
            f"A webhook sees every request it is for; while {names} do not answer, none gets through."
        )


def _about_api(notes: Notes) -> None:
    body = notes.change.after or notes.live
    api = f"{word(get(body, '/spec/group'))}/{word(get(body, '/spec/version'))}"
    if not (service := get(body, "/spec/service")):
        notes.fact("serves", f"{api}, which the cluster's own server answers")
        return
    name = f"{word(get(service, '/namespace'))}/{word(get(service, '/name'))}"
    notes.fact("serves", f"{api}, which Service {name} answers")
    if notes.change.verb == "delete":
        notes.goes.append(f"every kind of {api}: none of them can be reached any more")
    else:
        notes.warnings.append(f"While Service {name} does not answer, no kind of {api} can be reached.")


async def _about_definition(notes: Notes) -> None:
    said = f"{text(get(notes.live, '/spec/names/plural'))}.{text(get(notes.live, '/spec/group'))}"
    try:
        resource = await notes.api.resource(said)
        body = await notes.api.list(resource, query={"limit": "1"})
    except ApMcpError as error:
        notes.unread(f"how many {word(said)} there are", error)
        return
    count = count_of(body)
    notes.goes.insert(0, f"all {count} {word(resource.kind)} objects, in every namespace")
    notes.stable["objects"] = count


def count_of(listed: Any) -> int:
    """Return how many objects there are, by a list of the first ones."""
    left = get(listed, "/metadata/remainingItemCount", 0)
    return len(items(listed, "/items")) + (left if isinstance(left, int) else 0)


def _webhook_rules(body: Any) -> str:
    found = [
        f"{few(strings(rule, '/operations'))} of {few(strings(rule, '/resources'))}"
        for hook in items(body, "/webhooks")
        for rule in items(hook, "/rules")
    ]
    return few([word(each) for each in found], 5)
