"""Questions that are answered and not kept: who am I, what may I do, a token for a service account."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind
from ap_mcp.simulator.kubernetes.statuses import invalid, required, wrong
from ap_mcp.simulator.kubernetes.store import Store
from ap_mcp.simulator.world import Row

SHORTEST_TOKEN, USUAL_TOKEN = 600, 3600


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as the cluster knows them."""

    name: str
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")

    @property
    def info(self) -> Row:
        """What a review says about them."""
        return {"username": self.name, "groups": list(self.groups)}


def answer(kind: Kind, item: Row, user: User) -> Row:
    """Answer a review: who may do everything is allowed everything."""
    if kind.kind == "SelfSubjectReview":
        status: Row = {"userInfo": user.info}
    elif kind.kind == "SelfSubjectRulesReview":
        rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        everywhere = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        status = {"resourceRules": [rule], "nonResourceRules": [everywhere], "incomplete": False}
    elif kind.kind == "TokenReview":
        status = _token_review(item)
    else:
        status = _access_review(kind, item, user)
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"creationTimestamp": None},
        "spec": item.get("spec") or {}, "status": status}  # fmt: skip


def token(store: Store, account: Mapping[str, Any], item: Row, *, dry_run: bool) -> Row:
    """Answer the request for a token of a service account.

    Raises:
        StatusError: 422 if it shall live for less than ten minutes.
    """
    spec = {key: value for key, value in (item.get("spec") or {}).items() if value is not None}
    seconds = spec.setdefault("expirationSeconds", USUAL_TOKEN)
    kind = Kind("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
    if seconds < SHORTEST_TOKEN:
        cause = wrong("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        raise invalid(kind, "", [cause])
    spec.setdefault("audiences", ["https://kubernetes.default.svc.cluster.local"])
    now = store.world.now()
    metadata = account["metadata"]
    claims = {
        "aud": spec["audiences"],
        "exp": int(now.timestamp()) + seconds,
        "iat": int(now.timestamp()),
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
    }
    text = "" if dry_run else ".".join(map(_part, ({"alg": "none", "typ": "JWT"}, claims))) + ".simulated"
    status = {"token": text, "expirationTimestamp": store.world.iso_timestamp(now + timedelta(seconds=seconds))}
    about = {"name": metadata["name"], "namespace": metadata["namespace"]}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": about, "spec": spec, "status": status}


def _access_review(kind: Kind, item: Row, user: User) -> Row:
    spec = item.get("spec") or {}
    if not spec.get("resourceAttributes") and not spec.get("nonResourceAttributes"):
        raise invalid(kind, "", [required("spec.resourceAttributes", "exactly one of nonResourceAttributes or "
                                          "resourceAttributes must be specified")])  # fmt: skip
    about = kind.kind in ("SubjectAccessReview", "LocalSubjectAccessReview")
    allowed = "system:masters" in ((spec.get("groups") or ()) if about else user.groups)
    return {"allowed": allowed} if allowed else {"allowed": False, "reason": "no RBAC policy matched"}


def _token_review(item: Row) -> Row:
    """Say whose a token is; those of a simulator are not signed."""
    try:
        claims = json.loads(base64.urlsafe_b64decode((item.get("spec") or {}).get("token", "").split(".")[1] + "=="))
    except (IndexError, ValueError):
        return {"authenticated": False, "error": "invalid bearer token"}
    return {"authenticated": True, "user": {"username": claims.get("sub", "")}, "audiences": claims.get("aud", [])}


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
