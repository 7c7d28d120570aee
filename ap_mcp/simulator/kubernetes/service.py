"""The way in: a request for a cluster's API is answered here, under the world's lock."""

from ap_mcp.simulator.kubernetes import (  # noqa: F401 - importing them registers what they react to
    autoscalers,
    cleanup,
    discovery,
    jobs,
    networking,
    openapi,
    openapi_v2,
    pods,
    quotas,
    volumes,
    workloads,
)
from ap_mcp.simulator.kubernetes.answering import TEXT, Answered, Streamed
from ap_mcp.simulator.kubernetes.asking import AGGREGATED, Asked
from ap_mcp.simulator.kubernetes.controllers import controlled_store
from ap_mcp.simulator.kubernetes.kinds import Kind, Served
from ap_mcp.simulator.kubernetes.places import Place
from ap_mcp.simulator.kubernetes.resources import carry_out
from ap_mcp.simulator.kubernetes.retries import bring_up_to_date
from ap_mcp.simulator.kubernetes.schemas import custom_schemas
from ap_mcp.simulator.kubernetes.seed import ensure_seeded
from ap_mcp.simulator.kubernetes.statuses import StatusError, no_such_path
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.kubernetes.watching import Pause
from ap_mcp.simulator.world import World

HEALTH = ("healthz", "livez", "readyz")


def answer(world: World, cluster_id: str, asked: Asked, pause: Pause) -> Answered | Streamed:
    """Answer a request of somebody who may ask; what is refused is a Status object.

    Args:
        world: the account.
        cluster_id: whose API is asked.
        asked: the request.
        pause: how watches wait.
    """
    try:
        ensure_seeded(world, cluster_id)
        with controlled_store(world, cluster_id) as store:
            bring_up_to_date(store)
        with controlled_store(world, cluster_id) as store:
            return _answered(store, asked, pause)
    except StatusError as error:
        return Answered(error.body(), error.code)


def name_of(asked: Asked) -> str:
    """Return what a request is called in the log and among faults, as `kubernetes_list_pods`."""
    parts = [part for part in asked.path if part]
    if parts[:1] not in (["api"], ["apis"]) or len(parts) < (3 if parts[0] == "api" else 4):
        return "kubernetes_discover"
    kind = Kind("", "", "", "")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace, plural, name, subresource = _split(rest)
    verb = Place(kind, namespace, name, subresource).verb(asked)
    trial = "dry_run" if asked.query.get("dryRun") else ""
    return "_".join(part for part in ("kubernetes", verb, plural, subresource, trial) if part)


def _answered(store: Store, asked: Asked, pause: Pause) -> Answered | Streamed:
    parts = [part for part in asked.path if part]
    served = store.served()
    head = parts[0] if parts else ""
    if head == "api" and len(parts) > 2:
        return carry_out(store, _place(served, "", parts[1], parts[2:]), asked, pause)
    if head == "apis" and len(parts) > 3:
        return carry_out(store, _place(served, parts[1], parts[2], parts[3:]), asked, pause)
    if asked.method not in ("GET", "HEAD"):
        raise no_such_path()
    if head in HEALTH:
        return Answered("ok", media_type=TEXT)
    if head == "version":
        return Answered(_version(store))
    if head == "openapi":
        return _openapi(store, served, asked, parts[1:])
    if head in ("api", "apis"):
        return _discovered(store, served, asked, parts)
    raise no_such_path()


def _place(served: Served, group: str, version: str, rest: list[str]) -> Place:
    namespace, plural, name, subresource = _split(rest)
    kind = served.at(group, version, plural)
    if kind is None or (subresource and subresource not in kind.subresources):
        raise no_such_path()
    if namespace and not kind.namespaced:
        raise no_such_path()
    return Place(kind, namespace, name, subresource)


def _split(rest: list[str]) -> tuple[str, str, str, str]:
    """Return namespace, plural, name and subresource of what stands behind the version in a path."""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    else:
        namespace = ""
    plural, name, subresource = [*rest, "", ""][:3]
    return namespace, plural, name, subresource


def _discovered(store: Store, served: Served, asked: Asked, parts: list[str]) -> Answered:
    if len(parts) == 1:
        wanted = asked.accepted()
        if wanted.shape == AGGREGATED:
            body = discovery.aggregated(served, legacy=parts[0] == "api", version=wanted.version or "v2")
            media_type = f"application/json;g={discovery.AGGREGATED};v={wanted.version or 'v2'};as={AGGREGATED}"
            return Answered(body, media_type=media_type, headers={"ETag": discovery.etag(body), "Vary": "Accept"})
        if parts[0] == "apis":
            return Answered(discovery.groups(served))
        return Answered(discovery.legacy_versions(f"{store.cluster['_host']}:5443"))
    if parts[0] == "apis" and len(parts) == 2:
        if parts[1] not in served.groups():
            raise no_such_path()
        return Answered({"kind": "APIGroup", "apiVersion": "v1", **discovery.group(served, parts[1])})
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    listed = discovery.resources(served, group, version)
    if listed is None:
        raise no_such_path()
    return Answered(listed)


def _openapi(store: Store, served: Served, asked: Asked, parts: list[str]) -> Answered:
    if parts != ["v2"] and parts[:1] != ["v3"]:
        raise no_such_path()
    definitions = store.named("CustomResourceDefinition", "apiextensions.k8s.io")
    custom = custom_schemas({each["metadata"]["name"]: each for each in definitions})
    if parts == ["v2"]:
        whole = openapi_v2.document(served, custom, _version(store)["gitVersion"])
        if asked.headers.get("accept", "").startswith(openapi_v2.PROTOBUF):
            return Answered(openapi_v2.encoded(whole), media_type=f"{openapi_v2.PROTOBUF}.v1.0+protobuf")
        asked.accepted()
        return Answered(whole)
    if len(parts) == 1:
        return Answered(openapi.index(served, custom))
    body = openapi.document(served, custom, "/".join(parts[1:]), _version(store)["gitVersion"])
    if body is None:
        raise no_such_path()
    return Answered(body)


def _version(store: Store) -> dict[str, str]:
    release = store.cluster["_version"].partition("-")[0]
    major, minor, *_ = release.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": store.cluster["_version"],
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2025-01-01T00:00:00Z",
        "goVersion": "go1.23.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    }
