"""How a write is to be carried out: dry run, field validation, field manager, preconditions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.statuses import StatusError, conflict, required, unsupported

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
PROPAGATION = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What the query of a write says; `warnings` collects what the answer carries in Warning headers."""

    dry_run: bool = False
    manager: str = "unknown"
    validation: str = WARN
    force: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a deletion says, in its query or its body."""

    dry_run: bool = False
    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    resource_version: str = ""

    def check(self, kind: Kind, item: Mapping[str, Any]) -> None:
        """Compare the preconditions with an object.

        Raises:
            StatusError: 409 if they are not met.
        """
        metadata = item["metadata"]
        for name, wanted, found in (
            ("UID", self.uid, metadata["uid"]),
            ("ResourceVersion", self.resource_version, metadata["resourceVersion"]),
        ):
            if wanted and wanted != found:
                why = f"{name} in precondition: {wanted}, {name} in object meta: {found}"
                raise conflict(kind, metadata["name"], f"Precondition failed: {why}")


def write_options(query: Mapping[str, str], agent: str, *, apply: bool = False) -> WriteOptions:
    """Read the options of a write.

    Args:
        query: of the request.
        agent: the sender's User-Agent, which names the manager where the query does not.
        apply: whether it is a server-side apply, which must name one.

    Raises:
        StatusError: 422 for a value that is none of those that there are.
    """
    kind = "PatchOptions.meta.k8s.io" if apply else "CreateOptions.meta.k8s.io"
    manager = query.get("fieldManager", "")
    if apply and not manager:
        raise _invalid(kind, required("fieldManager", "is required for apply patch").said, "fieldManager")
    validation = query.get("fieldValidation") or WARN
    if validation not in (STRICT, WARN, IGNORE):
        cause = unsupported("fieldValidation", validation, ("", IGNORE, STRICT, WARN))
        raise _invalid(kind, cause.said, "fieldValidation")
    return WriteOptions(
        dry_run=_dry(query.get("dryRun", ""), kind),
        manager=(manager or agent.partition("/")[0] or "unknown")[:128],
        validation=validation,
        force=query.get("force") in ("true", "1"),
    )


def delete_options(query: Mapping[str, str], body: Any) -> DeleteOptions:
    """Read the options of a deletion from its body, or else its query.

    Raises:
        StatusError: 422 for a value that is none of those that there are.
    """
    kind = "DeleteOptions.meta.k8s.io"
    given: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    preconditions = given.get("preconditions") or {}
    dry = given.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
    if propagation and propagation not in PROPAGATION:
        cause = unsupported("propagationPolicy", propagation, (*PROPAGATION, ""))
        raise _invalid(kind, cause.said, "propagationPolicy")
    if given.get("orphanDependents") is True:
        propagation = "Orphan"
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    return DeleteOptions(
        dry_run=any(_dry(each, kind) for each in dry),
        propagation=propagation,
        grace=None if grace is None else int(grace),
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
    )


def _dry(value: str, kind: str) -> bool:
    if value not in ("", "All"):
        raise _invalid(kind, unsupported("dryRun", value, ("All",)).said, "dryRun")
    return value == "All"


def _invalid(kind: str, said: str, field_: str) -> StatusError:
    causes = [{"reason": "FieldValueNotSupported", "message": said, "field": field_}]
    group = kind.partition(".")[2]
    details = {"group": group, "kind": kind.partition(".")[0], "causes": causes}
    return StatusError(422, "Invalid", f'{kind} "" is invalid: {field_}: {said}', details)
