"""Impacts on Secrets and ConfigMaps: which keys change, never their values, and who mounts them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ap_mcp.kubernetes.impacts.notes import Notes, name_of, walk
from ap_mcp.kubernetes.secrets_read import containers
from ap_mcp.rules.settings_diff import same
from ap_mcp.vendor import get, items, text, word
from ap_mcp.wording import few, plural


async def about_secret(notes: Notes) -> None:
    """Note which keys of a Secret change, and who reads it."""
    about_keys(notes)
    await about_users(notes)


def about_keys(notes: Notes) -> None:
    """Note the keys of a Secret that are added, changed and removed, in place of what they hold."""
    change = notes.change
    old, new = (_data(each) for each in (change.before, change.after))
    groups = {
        "added": sorted(new.keys() - old.keys()),
        "changed": sorted(key for key in new.keys() & old.keys() if not same(new[key], old[key])),
        "removed": sorted(old.keys() - new.keys()),
    }
    notes.changes = [each for each in notes.changes if not each.startswith(("data.", "stringData."))]
    for what, keys in groups.items():
        if keys and change.verb != "delete":
            notes.changes.append(f"{plural(len(keys), 'key')} {what}: {few([word(each) for each in keys], 20)}")
    if change.verb == "delete":
        notes.goes.append(f"{plural(len(old), 'key')}: {few([word(each) for each in sorted(old)], 20)}")


async def about_users(notes: Notes) -> None:
    """Note which pods read a Secret or ConfigMap, and whether they see a change by themselves."""
    if notes.live is None:
        return
    pods = await notes.listed("Pod", "which pods read it")
    if pods is None:
        return
    kind, name = notes.change.resource.kind, notes.change.name
    by_env = [each for each in pods if name in set(_in_environments(each, kind))]
    mounted = [each for each in pods if name in set(_in_volumes(each, kind))]
    if not by_env and not mounted:
        notes.fact("read by", "no pod that runs now")
    if by_env:
        after = "fail when they start again" if notes.change.verb == "delete" else "see it only after a restart"
        notes.warnings.append(f"{_pods(by_env)} in the environment, and {after}.")
    if mounted:
        after = "fail when they start again" if notes.change.verb == "delete" else "see it within minutes"
        notes.warnings.append(f"{_pods(mounted)} in a volume, and {after}.")
    notes.stable["users"] = sorted({name_of(each) for each in (*by_env, *mounted)})


def _pods(found: list[dict[str, Any]]) -> str:
    names = few([word(name_of(each)) for each in found], 5)
    return f"{plural(len(found), 'pod')} ({names}) {'has' if len(found) == 1 else 'have'} it"


def _data(body: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in ("data", "binaryData", "stringData"):
        inner = get(body, f"/{place}")
        found |= inner if isinstance(inner, Mapping) else {}
    return found


def _in_environments(pod: Any, kind: str) -> Iterator[str]:
    one, all_ = ("secretKeyRef", "secretRef") if kind == "Secret" else ("configMapKeyRef", "configMapRef")
    for container in containers(get(pod, "/spec")):
        for each in items(container, "/env"):
            yield text(get(each, f"/valueFrom/{one}/name"))
        for each in items(container, "/envFrom"):
            yield text(get(each, f"/{all_}/name"))


def _in_volumes(pod: Any, kind: str) -> Iterator[str]:
    key = "secret" if kind == "Secret" else "configMap"
    for volume in items(pod, "/spec/volumes"):
        for each in walk(volume):
            if isinstance(inner := each.get(key), Mapping):
                yield text(inner.get("secretName") or inner.get("name"))
