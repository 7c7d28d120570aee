"""Knows which names decide what runs, where, and as what: a person must see their values, whatever they stand below.

The values of what is called `secrets` are secrets, but for what is named like a setting: `secrets.image`. The list
holds words, as those of `names.py` do.
"""

from ap_mcp.masking.names import GENERIC, words_of


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


_DECIDING = _words(
    "action actions address addresses affinity algorithm allow annotations archive arg args argument arguments arn "
    "async autoscaling bin binary bind bootstrap branch bucket build capabilities channel chart charts class classes "
    "cleanup cluster clusters cmd code command commands commit component concurrency condition container containers "
    "controller copy count cpu crd crds create creation cron daemon debug delay delete deny deploy deployment "
    "deployments destination detail digest dir directory disable disabled dns domain domains driver dry duration "
    "editor egress enable enabled endpoint endpoints engine entrypoint ephemeral eval event events exec executable "
    "execute expiration expiry expose factor fallback feature features flags folder force format from fs function "
    "gateway gid grace grant grants group groups handler health hook hooks host hostname hosts hpa http https id "
    "image images import ingress init install interval ip ips issuer items job jobs jvm kind kubelet label labels "
    "language level lifecycle limit limits link liveness load location log logging login manifest manifests max mem "
    "memory message method metrics min mirror mode module modules monitor mount mounts name names namespace "
    "namespaces net network networks nfs node nodes on operator option options order origin os output package "
    "packages parallel parallelism patch path paths period permission permissions phase pipeline plan platform plugin "
    "plugins pod policies policy pool port ports post pre preset priority privileged probe process profile profiles "
    "program protocol provider providers proxy prune public pull purge push query queue quota rate rbac readiness "
    "realm ref reference region registries registry release replica replicas replicaset repo repos repository request "
    "requests resource resources restart retention retries retry revision role rolebinding roles root rotate rotation "
    "route routes rule rules run runner runtime scale schedule schema scope scopes script scripts security selector "
    "sender server servers service serviceaccount services set setup shell sidecar sidecars site size sleep sort "
    "source sources spec start startup state stateful step steps strategy subject suspend sync syntax tag tags target "
    "targets task tasks template templates termination test tier time timeout timestamp timezone to toleration "
    "tolerations topic transport trigger ttl type types uid unit update upgrade uri uris url urls username uses "
    "validate verb verbs verify version versions vhost via volume volumes wait watch webhook webhooks when workdir "
    "workflow workload workloads write zone zones"
)
_SCRIPTS = (".sh", ".bash", ".py", ".ps1", ".js", ".sql", ".rb", ".pl", ".lua", ".cmd", ".bat")


def decides(name: str) -> bool:
    """Say whether a name is that of a setting which decides something; an entry may be called anything."""
    return name not in GENERIC and (name.endswith(_SCRIPTS) or not _DECIDING.isdisjoint(words_of(name)))
