"""Hosts that load tools on demand search them by words: the right tool is found in the words an operator uses."""

from collections.abc import Mapping

import pytest
from bm25 import Bm25, searched, words

from ap_mcp.kubernetes.spec import tool_specs
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import toolbox

FIRST, FIRST_FIVE = 0.75, 0.95
"""The shares of questions for which the right tool is the first found, and one of the first five."""

QUESTIONS: Mapping[str, str] = {
    "list my Kubernetes clusters": "list_clusters",
    "show CCE Autopilot clusters and which version they run": "list_clusters",
    "details of one cluster: network, VPC, subnets, tags": "get_cluster",
    "create a new Kubernetes cluster in my VPC": "create_cluster",
    "delete a Kubernetes cluster": "delete_cluster",
    "rename a cluster or change its description": "update_cluster",
    "get a kubeconfig for kubectl": "get_cluster_certificate",
    "credentials to log in to the cluster": "get_cluster_certificate",
    "address of the API server": "get_cluster_endpoints",
    "expose the API server to the internet with a public IP": "set_cluster_public_access",
    "how many clusters may I still create, quota limit": "get_quotas",
    "why did creating the cluster fail": "get_job",
    "list recent jobs of the project": "list_jobs",
    "tag a cluster with env=prod": "add_cluster_tags",
    "remove a tag from a cluster": "delete_cluster_tags",
    "can I upgrade this cluster to Kubernetes 1.31 now": "assess_upgrade",
    "what blocks the upgrade": "assess_upgrade",
    "which Kubernetes versions can a cluster be upgraded to": "get_upgrade_info",
    "run the pre-upgrade check": "run_precheck",
    "findings of the pre-upgrade check": "get_precheck",
    "upgrade the cluster to a newer Kubernetes version": "upgrade_cluster",
    "progress of the running upgrade": "get_upgrade_task",
    "the upgrade failed, try again": "retry_upgrade",
    "is the cluster healthy after the upgrade": "run_postcheck",
    "take a backup of the cluster before upgrading": "backup_cluster",
    "list backups": "list_backups",
    "when may the service upgrade by itself, maintenance window": "get_maintenance_window",
    "postpone a planned automatic upgrade": "update_upgrade_plan",
    "which add-ons are installed in the cluster": "list_addons",
    "why is an add-on abnormal": "get_addon",
    "install the metrics-server add-on": "install_addon",
    "update an add-on to a newer version": "update_addon",
    "undo an add-on upgrade": "rollback_addon",
    "uninstall an add-on": "delete_addon",
    "which add-ons are available to install": "list_addon_templates",
    "helm install a chart": "create_release",
    "helm upgrade: change the image tag of a release": "update_release",
    "helm rollback to the previous revision": "update_release",
    "helm uninstall a release": "delete_release",
    "helm list: releases in a namespace": "list_releases",
    "helm history of a release": "get_release_history",
    "helm get values of a release": "get_release",
    "helm show values: default values of a chart": "get_chart_values",
    "upload a Helm chart archive": "upload_chart",
    "wait until the cluster is available": "wait_for",
    "wait until the rollout is done and all pods are ready": "wait_for",
    "why does my deployment not work": "k8s_diagnose",
    "diagnose why pods in a namespace do not start": "k8s_diagnose",
    "what is the likeliest cause that the workload fails": "k8s_diagnose",
    "are control plane audit logs collected": "get_log_config",
    "status of my cluster": "get_cluster",
    "spin up an autopilot cluster": "create_cluster",
    "kubectl access": "get_cluster_certificate",
    "close public access to the API server": "set_cluster_public_access",
    "change the weekly hours of the maintenance window": "update_maintenance_window",
    "stop the service from upgrading my cluster by itself": "delete_maintenance_window",
    "past upgrades of a cluster": "list_upgrade_tasks",
    "is there a recent etcd snapshot": "list_backups",
    "install the ingress controller plugin": "install_addon",
    "which versions of an add-on fit Kubernetes 1.30": "list_addon_templates",
    "deploy my application with a chart": "create_release",
    "is the release deployed": "get_release",
    "delete an old chart": "delete_chart",
    "how many charts may be stored": "get_chart_quota",
    "list the pods of a namespace": "k8s_list",
    "kubectl get deployments in all namespaces": "k8s_list",
    "which nodes, services and ingresses are there": "k8s_list",
    "show one pod with its conditions and events": "k8s_get",
    "kubectl describe a deployment": "k8s_get",
    "read a ConfigMap": "k8s_get",
    "kubectl logs of a crashed container": "k8s_logs",
    "search the log lines of a pod for an error": "k8s_logs",
    "which custom resources and API versions does the cluster serve": "k8s_discover",
    "kubectl explain the fields of a kind": "k8s_discover",
    "kubectl apply a YAML manifest": "k8s_apply",
    "create a namespace from a manifest": "k8s_apply",
    "change the image of a deployment": "k8s_patch",
    "kubectl patch a label or annotation of an object": "k8s_patch",
    "scale a deployment to five replicas": "k8s_scale",
    "kubectl scale a StatefulSet down": "k8s_scale",
    "restart the pods of a deployment": "k8s_rollout",
    "kubectl rollout undo to the revision before": "k8s_rollout",
    "delete a pod": "k8s_delete",
    "kubectl delete a namespace with everything in it": "k8s_delete",
    "remove all objects that match a label selector": "k8s_delete",
}


@pytest.fixture(scope="module")
def ranks() -> dict[str, int]:
    """At which place each question finds its tool, counted from 1."""
    index = Bm25({tool.name: words(searched(tool)) for tool in toolbox(load_catalog()).shown})
    return {question: index.ranked(words(question)).index(name) + 1 for question, name in QUESTIONS.items()}


def test_the_right_tool_is_found_first_for_most_questions(ranks: Mapping[str, int]) -> None:
    """And where it is not, a reader of the failure sees for which."""
    missed = {question: rank for question, rank in ranks.items() if rank > 1}
    assert 1 - len(missed) / len(ranks) >= FIRST, missed


def test_the_right_tool_is_one_of_the_first_five(ranks: Mapping[str, int]) -> None:
    """Hosts load the first few tools that a search finds."""
    missed = {question: rank for question, rank in ranks.items() if rank > 5}
    assert 1 - len(missed) / len(ranks) >= FIRST_FIVE, missed


def test_every_tool_that_works_inside_a_cluster_is_asked_for() -> None:
    assert {name for name in tool_specs() if name.startswith("k8s_")} <= set(QUESTIONS.values())


def test_there_are_questions_enough_to_count() -> None:
    """Forty questions, about at least thirty different tools, each of which is offered."""
    offered = {tool.name for tool in toolbox(load_catalog()).shown}
    assert len(QUESTIONS) >= 40
    assert len(set(QUESTIONS.values())) >= 30
    assert set(QUESTIONS.values()) <= offered
