"""All rules: from what was read to what does not work."""

from collections.abc import Callable, Iterator
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing
from ap_mcp.kubernetes.diagnose.rules_admission import refused_pods
from ap_mcp.kubernetes.diagnose.rules_cluster import name_resolution, namespaces_going, objects_going, unhealthy_nodes
from ap_mcp.kubernetes.diagnose.rules_containers import containers_that_end, failed_pods, stuck_pods
from ap_mcp.kubernetes.diagnose.rules_images import images_not_obtained
from ap_mcp.kubernetes.diagnose.rules_ingresses import dead_ingresses
from ap_mcp.kubernetes.diagnose.rules_jobs import failed_jobs, idle_cronjobs
from ap_mcp.kubernetes.diagnose.rules_probes import not_ready
from ap_mcp.kubernetes.diagnose.rules_rollouts import is_starting, silent_pods, stuck_rollouts, without_pods
from ap_mcp.kubernetes.diagnose.rules_scaling import blind_autoscalers, blocking_budgets
from ap_mcp.kubernetes.diagnose.rules_scheduling import without_place
from ap_mcp.kubernetes.diagnose.rules_services import services_without_pods
from ap_mcp.kubernetes.diagnose.rules_storage import claims_without_volume, volumes_not_mounted
from ap_mcp.kubernetes.pods import is_terminating, serves
from ap_mcp.vendor import get, text

OF_A_POD: tuple[Callable[[Evidence, Any], Iterator[Finding]], ...] = (
    stuck_pods,
    failed_pods,
    without_place,
    images_not_obtained,
    volumes_not_mounted,
    containers_that_end,
    not_ready,
)
OF_ALL: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    refused_pods,
    claims_without_volume,
    failed_jobs,
    idle_cronjobs,
    services_without_pods,
    dead_ingresses,
    blind_autoscalers,
    blocking_budgets,
    stuck_rollouts,
    name_resolution,
    unhealthy_nodes,
    namespaces_going,
    objects_going,
)


def findings_of(evidence: Evidence) -> list[Finding]:
    """Return all that does not work, in no order."""
    found = [each for rule in OF_ALL for each in rule(evidence)]
    for pod in evidence.of("Pod"):
        of_pod = [each for rule in OF_A_POD for each in rule(evidence, pod)]
        found += of_pod or silent_pods(evidence, pod)
    return [*found, *without_pods(evidence, {each.about for each in found})]


def starting_pods(evidence: Evidence, findings: list[Finding]) -> dict[Thing, int]:
    """Return how many pods of which workload are still starting, and may become ready by themselves."""
    troubled = {(each.about.namespace, name) for each in findings for name in each.pods}
    counts: dict[Thing, int] = {}
    for pod in evidence.of("Pod"):
        where = tuple(text(get(pod, f"/metadata/{key}")) for key in ("namespace", "name"))
        under_way = text(get(pod, "/status/phase")) in ("Pending", "Running", "") and not is_terminating(pod)
        if under_way and not serves(pod) and where not in troubled and is_starting(evidence, pod):
            about = evidence.workload_of(pod)
            counts[about] = counts.get(about, 0) + 1
    return counts
