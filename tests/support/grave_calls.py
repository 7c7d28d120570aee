"""Calls inside a cluster that do harm in ways that a person may not see: what each is, and what must be shown of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes_calls import CORE, MERGE, Cluster
from kubernetes_writing import LONG_ENOUGH, made

SHOP = {"namespace": "shop"}
RBAC = "rbac.authorization.k8s.io"
NETWORK, POLICY = "networking.k8s.io/v1", "policy/v1"
NGINX = "nginx.ingress.kubernetes.io"
CONTAINERS: dict[str, Any] = {"containers": [{"name": "a", "image": "busybox:1.36"}]}
TO_CART = {
    "http": {
        "paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "cart", "port": {"number": 80}}}}]
    }
}
VIEW = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
CUSTOM = (("cilium.io", "CiliumNetworkPolicy"), ("example.com", "Widget"))
SCALED: dict[str, Any] = {
    "minReplicas": 1,
    "maxReplicas": 1,
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment"},
}


@dataclass(frozen=True)
class GraveCall:
    """A call.

    Attributes:
        why: what it does.
        tool: that is called.
        arguments: beside the cluster.
        effect: that it must have.
        shown: what a person must be shown in so many words; none if nobody is asked.
    """

    why: str
    tool: str
    arguments: dict[str, Any]
    effect: str
    shown: tuple[str, ...]


def document(api: str, kind: str, name: str, metadata: Any = None, namespace: str = "shop", **body: Any) -> str:
    """Write a manifest; the namespace is left out if it is empty."""
    place = {"namespace": namespace} if namespace else {}
    return json.dumps(
        {"apiVersion": api, "kind": kind, "metadata": {"name": name, **place, **(metadata or {})}, **body}
    )


def pod(metadata: Any = None, **spec: Any) -> str:
    return document("v1", "Pod", "p", metadata, spec={**CONTAINERS, **spec})


def noted(name: str, value: str, host: str = "n.example.com") -> str:
    return document(
        NETWORK, "Ingress", "new", {"annotations": {name: value}}, spec={"rules": [{"host": host, **TO_CART}]}
    )


def applied(why: str, manifest: str, effect: str, *shown: str, **more: Any) -> GraveCall:
    return GraveCall(why, "k8s_apply", {"manifest": manifest, **more}, effect, shown)


def patched(why: str, kind: str, name: str, patch: Any, effect: str, *shown: str, **more: Any) -> GraveCall:
    given = {"kind": kind, "name": name, "patch": json.dumps(patch), "type": "merge", **SHOP, **more}
    return GraveCall(why, "k8s_patch", {key: value for key, value in given.items() if value != ""}, effect, shown)


def deleted(why: str, kind: str, effect: str, *shown: str, **more: Any) -> GraveCall:
    given = {"kind": kind, **SHOP, **more}
    return GraveCall(why, "k8s_delete", {key: value for key, value in given.items() if value != ""}, effect, shown)


async def with_more(cluster: Cluster) -> str:
    """Add to the shop what the calls are about; return the name of a pod of its cart."""
    for text in _made():
        await made(cluster, text)
    cluster.world.advance(LONG_ENOUGH)
    await _hold(cluster)
    for group, kind in CUSTOM:
        body = json.loads(document(f"{group}/v2", kind, "one", spec={"endpointSelector": {}}))
        await cluster.ok("POST", f"/apis/{group}/v2/namespaces/shop/{_plural(kind)}", body)
    return next(each for each in await cluster.names(f"{CORE}/namespaces/shop/pods") if each.startswith("cart"))


def _made() -> Iterator[str]:
    yield document("v1", "ServiceAccount", "admin")
    yield document("v1", "Secret", "login", stringData={"password": "hunter22"})
    yield document("v1", "ConfigMap", "conf", {"finalizers": ["a.b/c"]}, data={"a": "b"})
    yield document(NETWORK, "NetworkPolicy", "wall", spec={"podSelector": {}, "policyTypes": ["Ingress"]})
    of_cart = {"matchLabels": {"app": "cart"}}
    yield document(POLICY, "PodDisruptionBudget", "keeps", spec={"minAvailable": 1, "selector": of_cart})
    yield document("v1", "ResourceQuota", "quota", spec={"hard": {"pods": "20"}})
    for name, value, policy in (("high", 9, "PreemptLowerPriority"), ("meek", 9, "Never"), ("low", -1, None)):
        more = {"preemptionPolicy": policy} if policy else {}
        yield document("scheduling.k8s.io/v1", "PriorityClass", name, namespace="", value=value, **more)
    yield document(NETWORK, "Ingress", "old", spec={"rules": [{"host": "shop.example.com", **TO_CART}]})
    rule = {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}
    yield document(f"{RBAC}/v1", "ClusterRole", "gathers", namespace="", aggregationRule=rule, rules=[])
    yield document(f"{RBAC}/v1", "RoleBinding", "reads", roleRef=VIEW, subjects=[_user("ann")])
    for group, kind in CUSTOM:
        yield definition(group, kind)
    yield document("v1", "Namespace", "spare", namespace="")
    yield document(f"{RBAC}/v1", "RoleBinding", "all", namespace="spare", roleRef={**VIEW, "name": "admin"},
                   subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": "spare"}])  # fmt: skip
    of_helm = {"labels": {"owner": "helm", "name": "web"}}
    yield document("v1", "Secret", "v1", of_helm, "spare", type="helm.sh/release.v1", stringData={"release": "x"})
    yield document("v1", "Secret", "other", namespace="spare", stringData={"a": "x"})
    waits = {"name": "m", "image": "nginx:1", "envFrom": [{"configMapRef": {"name": "late", "optional": True}}]}
    late = {"name": "v", "projected": {"sources": [{"secret": {"name": "late", "optional": True}}]}}
    yield _served("live", 1, containers=[waits], volumes=[late])
    yield _served("next", 0, containers=[waits])
    yield _served("held", 1, containers=[waits])
    yield _served("stands", 1, containers=[waits])
    yield document(
        "v1", "Service", "live", namespace="spare", spec={"selector": {"on": "yes"}, "ports": [{"port": 80}]}
    )


def _served(name: str, replicas: int, **spec: Any) -> str:
    template = {"metadata": {"labels": {"app": name, "on": "yes"}}, "spec": spec}
    own = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return document("apps/v1", "Deployment", name, namespace="spare", spec=own)


async def _hold(cluster: Cluster) -> None:
    """Pause two rollouts, of which one has pods of an older template then."""
    for name in ("held", "stands"):
        path = f"/apis/apps/v1/namespaces/spare/deployments/{name}"
        await cluster.ok("PATCH", path, {"spec": {"paused": True}}, type=MERGE)
    image = {"spec": {"template": {"spec": {"containers": [{"name": "m", "image": "nginx:2"}]}}}}
    await cluster.ok("PATCH", "/apis/apps/v1/namespaces/spare/deployments/held", image, type=MERGE)


def definition(group: str, kind: str) -> str:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plural, versions = _plural(kind), [{"name": "v2", "served": True, "storage": True, "schema": schema}]
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
    return document("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{group}", namespace="", spec=spec)


def _plural(kind: str) -> str:
    return f"{kind.lower().removesuffix('y')}ies" if kind.endswith("y") else f"{kind.lower()}s"


def _user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name, "apiGroup": RBAC}


def _role(name: str, rules: Any, metadata: Any = None, kind: str = "ClusterRole") -> str:
    return document(f"{RBAC}/v1", kind, name, metadata, "shop" if kind == "Role" else "", rules=rules)


def _hook(kind: str, resource: str) -> str:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": [resource]}
    hook: dict[str, Any] = {"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule]}
    hook["clientConfig"] = {"url": "https://elsewhere.example.com"}
    return document("admissionregistration.k8s.io/v1", kind, "hook", namespace="", webhooks=[hook])


def _owner(name: str, uid: str) -> dict[str, Any]:
    return {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid}]}}


def grave_calls(cart: str) -> Iterator[GraveCall]:
    """Yield the calls, for a cluster that has what `with_more` adds.

    Args:
        cart: the name of a pod of the cart.
    """
    yield from _workloads()
    yield from _secrets()
    yield from _traffic()
    yield from _limits(cart)
    yield from _owners_and_ends(cart)
    yield from _rights()
    yield from _whole_cluster()
    yield from _custom(cart)
    yield from _later()


def _later() -> Iterator[GraveCall]:
    """Yield what does its harm by what is there already, and waits for it."""
    spare = {"namespace": "spare"}
    read = "It is read by pods that did without it so far: "
    late = document("v1", "ConfigMap", "late", **spare, data={"LD_PRELOAD": "/x"})
    yield applied("a ConfigMap that pods do without", late, "disrupt", read, "data.LD_PRELOAD to")
    hidden = document("v1", "Secret", "late", **spare, stringData={"a": "b"})
    yield applied("a Secret that pods do without", hidden, "disrupt", read, "1 key added: a")
    yield applied("one that no pod reads", document("v1", "ConfigMap", "lone", **spare, data={"a": "b"}), "write")
    outside = "names outside the cluster that end in .com"
    ports = {"ports": [{"port": 443}]}
    yield applied("a name outside", document("v1", "Service", "com", spec=ports), "disrupt", outside)
    in_com = f"{document('v1', 'Namespace', 'com', namespace='')}\n---\n" + document(
        "v1", "Service", "github", namespace="com", spec=ports
    )
    yield applied("a name outside", in_com, "disrupt", outside)
    rights = "The token that its pods get has rights: ClusterRole admin, by RoleBinding all"
    own = document("v1", "Pod", "p", **spare, spec=CONTAINERS)
    yield applied("an account with rights", own, "secret", rights)
    none = document("v1", "Pod", "p", **spare, spec={**CONTAINERS, "automountServiceAccountToken": False})
    yield applied("no token of it", none, "write")
    goes_on = "The rollout that was held back goes on"
    yield GraveCall(
        "a rollout goes on", "k8s_rollout", {"name": "held", "action": "resume", **spare}, "disrupt", (goes_on,)
    )
    yield patched("a rollout goes on", "deploy", "held", {"spec": {"paused": None}}, "disrupt", goes_on, **spare)
    yield patched("nothing held back", "deploy", "stands", {"spec": {"paused": False}}, "write", **spare)
    share = "a share of the traffic of Service live"
    yield patched("others join", "deploy", "next", {"spec": {"replicas": 1}}, "disrupt", share, **spare)
    yield patched("more of the same", "deploy", "live", {"spec": {"replicas": 2}}, "write", **spare)
    lost = {"metadata": {"labels": {"owner": None}}}
    yield patched("a release that Helm does not find", "secret", "v1", lost, "disrupt", 'owner: "helm"', **spare)
    forged = document("v1", "ConfigMap", "v2", {"labels": {"owner": "helm"}}, "spare", data={"release": "x"})
    yield applied("a forged release", forged, "disrupt", "A program goes by what is in it")
    team = {"metadata": {"labels": {"team": "a"}}}
    yield patched("a label for people", "secret", "other", team, "write", **spare)
    marked = {"labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}}
    key = document("v1", "Secret", "k", marked, "kube-system", type="a/b", stringData={"tls.key": "b"})
    yield applied("a key that a program takes", key, "disrupt", "sealed-secrets-key", "tls.key", 'type to "a/b"')


def _workloads() -> Iterator[GraveCall]:
    room = "room of pods of lower priority, which may be ended for it: PriorityClass high is 9"
    yield applied("a pod that preempts", pod(priorityClassName="high"), "disrupt", room)
    yield applied("a pod that may not preempt", pod(priorityClassName="meek"), "write")
    yield applied("a pod of low priority", pod(priorityClassName="low"), "write")
    yield applied(
        "a store in a pod", pod(volumes=[{"name": "h", "csi": {"driver": "x"}}]), "disrupt", "store of volume h"
    )
    nfs = [{"name": "h", "nfs": {"server": "10.0.0.9", "path": "/"}}]
    yield applied("a share in a pod", pod(volumes=nfs), "disrupt", "store of volume h")
    claim = [{"name": "h", "persistentVolumeClaim": {"claimName": "old"}}]
    yield applied("a claim in a pod", pod(volumes=claim), "disrupt", "volume claim old, with what is on it")
    served = {"labels": {"app": "cart"}}
    yield applied("a pod that joins a Service", pod(served), "disrupt", "a share of the traffic of Service cart")
    yield patched("no pods", "deploy", "cart", {"spec": {"replicas": 0}}, "disrupt", "every endpoint of Service cart")
    below = {"subresource": "scale"}
    yield patched("no pods", "deploy", "cart", {"spec": {"replicas": 0}}, "disrupt", "2 pods of 2", **below)
    yield patched("more pods", "deploy", "cart", {"spec": {"replicas": 3}}, "write")
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "other:1"}]}}}}
    yield patched("an image", "deploy", "cart", image, "disrupt", "nginx:1.25 becomes other:1", type="strategic")


def _secrets() -> Iterator[GraveCall]:
    reads, token = "its pods can read Secret login", "the token of ServiceAccount admin"
    env = {"containers": [{**CONTAINERS["containers"][0], "envFrom": [{"secretRef": {"name": "login"}}]}]}
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", **env}}}}
    schedule = {"schedule": "* * * * *", "jobTemplate": template}
    yield applied("a cron job that reads", document("batch/v1", "CronJob", "c", spec=schedule), "secret", reads)
    unnamed = json.loads(pod(serviceAccountName="admin"))
    unnamed["metadata"] = {"generateName": "x-", **SHOP}
    yield applied("a pod without a name", json.dumps(unnamed), "secret", token, mode="create")
    mounts = pod(volumes=[{"name": "s", "secret": {"secretName": "copy"}}])
    copied = {"annotations": {"reflector.v1.k8s.emberstack.com/reflects": "kube-system/root"}}
    both = f"{document('v1', 'Secret', 'copy', copied)}\n---\n{mounts}"
    yield applied("a Secret that a program fills", both, "secret", "its pods can read Secret copy")
    both = f"{document('v1', 'Secret', 'copy', stringData={'a': 'b'})}\n---\n{mounts}"
    yield applied("a Secret that the caller knows", both, "write")
    filled = {"annotations": {"kubernetes.io/service-account.name": "admin"}}
    kind = {"type": "kubernetes.io/service-account-token"}
    yield applied("a token", document("v1", "Secret", "t", filled, **kind), "secret", "token of ServiceAccount admin")
    release = document("v1", "Secret", "sh.helm.release.v1.web.v9", type="helm.sh/release.v1", stringData={"a": "b"})
    yield applied("a forged release", release, "disrupt", "A program goes by what is in it")
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {"name": "admin", **SHOP}}
    yield applied("a token", json.dumps({**asked, "spec": {}}), "secret", "a token to a file", mode="create")
    patch = {"stringData": {"password": "another1"}}
    yield patched("a password", "secret", "login", patch, "disrupt", "1 key changed: password")
    yield deleted("a Secret", "secret", "destroy", "1 key: password", name="login")


def _traffic() -> Iterator[GraveCall]:
    for name in ("configuration-snippet", "auth-url", "auth-tls-match-cn", "mirror-target"):
        said = f"it configures the ingress controller, which can read Secrets, by {NGINX}/{name}"
        yield applied(name, noted(f"{NGINX}/{name}", "x"), "secret", said)
    yield applied("a snippet", noted("nginx.org/server-snippets", "x"), "secret", "nginx.org/server-snippets")
    yield applied("a rewrite", noted(f"{NGINX}/rewrite-target", "/"), "write")
    yield applied("a balancer of its own", noted("kubernetes.io/elb.class", "union"), "write")
    patch: dict[str, Any] = {"metadata": {"annotations": {f"{NGINX}/server-snippet": "x"}}}
    yield patched("a snippet", "ingress", "old", patch, "secret", f"by {NGINX}/server-snippet")
    taken = "the traffic of host shop.example.com, which Ingress old serves now"
    yield applied("an alias", noted(f"{NGINX}/server-alias", "a.b, shop.example.com"), "disrupt", taken)
    yield applied("a canary", noted(f"{NGINX}/canary", "true", "shop.example.com"), "disrupt", taken)
    spec: dict[str, Any] = {"externalIPs": ["192.0.2.1"], "ports": [{"port": 80}]}
    yield applied(
        "an address", document("v1", "Service", "s", spec=spec), "disrupt", "It takes the traffic to addresses"
    )
    patch = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    yield patched("an address", "svc", "cart", patch, "disrupt", "192.0.2.1", subresource="status")
    patch = {"spec": {"selector": {"app": "none"}}}
    yield patched("other pods", "svc", "cart", patch, "disrupt", "Its selector matches no pod")
    yield deleted("a Service", "svc", "destroy", "Ingress old, which then leads nowhere", name="cart")
    ends = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}]
    yield applied("endpoints", document("v1", "Endpoints", "e", subsets=ends), "disrupt", "192.0.2.1")


def _limits(cart: str) -> Iterator[GraveCall]:
    of_cart = {"podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Ingress", "Egress"]}
    wall = document(NETWORK, "NetworkPolicy", "n", spec=of_cart)
    yield applied("a wall", wall, "disrupt", "It isolates the pods that it selects", "isolation of: 2 pods", cart)
    patch = {"spec": {"podSelector": {"matchLabels": {"app": "none"}}}}
    yield patched("a wall elsewhere", "netpol", "wall", patch, "disrupt", "the isolation of 2 pods", cart)
    yield deleted("no wall", "netpol", "destroy", "the isolation of 2 pods", cart, name="wall")
    yield deleted("no budget", "pdb", "disrupt", "the protection of 2 pods", cart, name="keeps")
    yield patched("a budget of none", "pdb", "keeps", {"spec": {"minAvailable": 0}}, "disrupt", "1 becomes 0")
    scaler = {**SCALED, "scaleTargetRef": {**SCALED["scaleTargetRef"], "name": "cart"}}
    made = document("autoscaling/v2", "HorizontalPodAutoscaler", "h", spec=scaler)
    yield applied("an autoscaler", made, "disrupt", "spec.maxReplicas to 1")
    none = {"hard": {"pods": "0"}}
    yield applied("a quota", document("v1", "ResourceQuota", "q", spec=none), "disrupt", 'spec.hard.pods to "0"')
    yield patched("a quota", "quota", "quota", {"spec": none}, "disrupt", '"20" becomes "0"')
    most = {"limits": [{"type": "Container", "max": {"cpu": "1m"}}]}
    yield applied("a limit", document("v1", "LimitRange", "l", spec=most), "disrupt", '"1m"')


def _owners_and_ends(cart: str) -> Iterator[GraveCall]:
    owned = "It is deleted with an owner that it does not have now"
    yield patched("an owner that is gone", "cm", "conf", _owner("gone", "0"), "destroy", owned)
    yield patched("another owner", "deploy", "cart", _owner("conf", "1"), "destroy", owned)
    no_end = {"metadata": {"finalizers": None}}
    yield patched("no finalizer", "cm", "conf", no_end, "destroy", "cleaning up by a.b/c", "Cleaning up is skipped")
    space = document("v1", "Namespace", "shop", namespace="", spec={"finalizers": []})
    more = {"mode": "replace", "subresource": "finalize"}
    yield applied("a namespace that is not cleaned", space, "destroy", "Cleaning up is skipped", **more)
    yield deleted("a namespace", "ns", "destroy", "1 Deployment", namespace="", name="shop")
    yield deleted(
        "a workload that leaves its pods", "deploy", "destroy", "2 pods (2 ready)", name="cart", cascade="orphan"
    )
    ended = {"label_selector": "app=cart", "grace_s": 0}
    yield deleted("pods at once", "pods", "disrupt", "killed at once", "2 ready", **ended)
    yield deleted("a pod", "pod", "disrupt", "allows 1 more", name=cart)
    leaves = json.dumps({"apiVersion": POLICY, "kind": "Eviction", "metadata": {"name": cart, **SHOP}})
    yield applied("an eviction", leaves, "disrupt", "keeps allows 1 more", mode="create")
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    yield patched("no pod security", "ns", "shop", label, "disrupt", "enforce", namespace="")
    note = {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/node-selector": "a=b"}}}
    yield patched("a place for pods", "ns", "shop", note, "disrupt", "node-selector", namespace="")


def _rights() -> Iterator[GraveCall]:
    everything = [{"apiGroups": ["*"], "resources": ["secrets"], "verbs": ["*"]}]
    into = {"labels": {f"{RBAC}/aggregate-to-view": "true"}}
    said = "its rules are part of ClusterRole view"
    yield applied("a role that others have", _role("more", everything, into), "disrupt", said, "secrets opens")
    patch = {"metadata": {"labels": {f"{RBAC}/aggregate-to-edit": "true"}}}
    said = "its rules are part of ClusterRole edit"
    yield patched("a role that others have", "clusterrole", "gathers", patch, "disrupt", said, namespace="")
    gathers = document(f"{RBAC}/v1", "ClusterRole", "all", namespace="", rules=[],
                       aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})  # fmt: skip
    yield applied("a role of other roles", gathers, "disrupt", "its aggregationRule selects")
    grows = [{"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate", "bind"]}]
    role = _role("grows", grows, kind="Role")
    yield applied(
        "more than its own", role, "disrupt", "the verb escalate gives rights beyond its own", "the verb bind"
    )
    admin = {**VIEW, "name": "cluster-admin"}
    everybody = {"kind": "Group", "name": "system:serviceaccounts", "apiGroup": RBAC}
    bound = document(f"{RBAC}/v1", "ClusterRoleBinding", "b", namespace="", roleRef=admin, subjects=[everybody])
    yield applied(
        "everything for everybody", bound, "disrupt", "It is for everybody", "cluster-admin may do everything"
    )
    several = json.dumps({"apiVersion": "v1", "kind": "List", "items": [json.loads(bound)]})
    yield applied("the same in a list", several, "disrupt", "cluster-admin may do everything")
    yield patched("another user", "rolebinding", "reads", {"subjects": [_user("ben")]}, "disrupt", "User ben")
    yield deleted("no rights", "rolebinding", "disrupt", "User ann", name="reads")
    yield applied("an account", document("v1", "ServiceAccount", "new"), "disrupt")


def _whole_cluster() -> Iterator[GraveCall]:
    sees = "A webhook sees every request it is for"
    yield applied("a webhook", _hook("ValidatingWebhookConfiguration", "*"), "disrupt", sees, "CREATE of *")
    yield applied("a webhook", _hook("MutatingWebhookConfiguration", "secrets"), "disrupt", sees, "CREATE of secrets")
    spec = {"group": "apps", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "service": {"name": "cart", "namespace": "shop"}}  # fmt: skip
    api = document("apiregistration.k8s.io/v1", "APIService", "v1.apps", namespace="", spec=spec)
    yield applied("another server", api, "disrupt", "apps/v1, which Service shop/cart answers")
    usual = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    stores = document("storage.k8s.io/v1", "StorageClass", "s", usual, "", provisioner="x")
    yield applied("the usual class of storage", stores, "disrupt", "provisioner")
    first = document("scheduling.k8s.io/v1", "PriorityClass", "first", namespace="", value=9, globalDefault=True)
    yield applied("a priority for all", first, "disrupt", "globalDefault to true")
    yield patched("no new pods", "node", "autopilot-node-1", {"spec": {"unschedulable": True}}, "disrupt", "pods on it",
                  namespace="")  # fmt: skip
    own = document("v1", "ConfigMap", "coredns-custom", namespace="kube-system", data={"x": "y"})
    yield applied("names for all", own, "disrupt", "data.x to")
    leads = document("coordination.k8s.io/v1", "Lease", "lead", namespace="kube-system", spec={"holderIdentity": "me"})
    yield applied("who leads", leads, "disrupt", "holderIdentity")
    signed = {"request": "x", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
    csr = document("certificates.k8s.io/v1", "CertificateSigningRequest", "me", namespace="", spec=signed)
    yield applied("a certificate", csr, "disrupt", "what a CertificateSigningRequest.certificates.k8s.io does")


def _custom(cart: str) -> Iterator[GraveCall]:
    unknown = "what a CiliumNetworkPolicy.cilium.io does: this kind is not known here"
    policy: dict[str, Any] = {"spec": {"endpointSelector": {"matchLabels": {"a": "b"}}}}
    kind = "ciliumnetworkpolicies.cilium.io"
    yield applied("a wall", document("cilium.io/v2", "CiliumNetworkPolicy", "two", **policy), "disrupt", unknown)
    yield patched("a wall elsewhere", kind, "one", policy, "disrupt", unknown)
    yield deleted("no wall", kind, "destroy", unknown, name="one")
    label = {"metadata": {"labels": {"team": "a"}}}
    said = "Whether these select it by the new labels is not known: CiliumNetworkPolicy one."
    yield patched("a label that a custom wall may go by", "pod", cart, label, "disrupt", said)
    yield patched("a label of a custom object", "widgets.example.com", "one", label, "disrupt", "is not known here")
    yield deleted("a kind", "crd", "destroy", "all 1 Widget objects", namespace="", name="widgets.example.com")
    yield deleted("all of a kind", "widgets.example.com", "destroy", "one", all=True)
