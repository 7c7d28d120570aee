"""Drives the real kubectl and helm, of two releases, and the Kubernetes client for Python against simulated clusters.

The programs come from PyPI: wheels that somebody else made for another purpose, and that hold both of them.
"""

import base64
import importlib
import os
import shlex
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubectl_programs import programs

from ap_mcp.simulator.app import build_app
from ap_mcp.simulator.clock import ScaledClock
from ap_mcp.simulator.constants import SHOP_PROD, TEAM_SANDBOX
from ap_mcp.simulator.registry import SimulatedRequest, handler_of
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.serving import listening

pytestmark = pytest.mark.kubectl

DATA = Path(__file__).parent / "data"
RELEASES = ("28", "32")
SPEED = 20.0
SECONDS = 90


class Clusters:
    """Simulated clusters that listen, and kubeconfigs for them."""

    def __init__(self, folder: Path) -> None:
        self.world = seeded_world(ScaledClock(SPEED))
        self.app = build_app(self.world, strict_answers=False)
        self.folder = folder

    def kubeconfig(self, cluster_id: str = TEAM_SANDBOX) -> dict[str, Any]:
        """Ask for the certificate of a cluster, as the service issues it."""
        handler = handler_of("get_cluster_certificate")
        assert handler is not None
        request = SimulatedRequest("get_cluster_certificate", {"cluster_id": cluster_id}, body={"duration": 1})
        with self.world.lock:
            made: dict[str, Any] = handler(self.world, request).body
        for context in made["contexts"]:
            context["context"]["namespace"] = "shop"
        return made

    def file(self, config: dict[str, Any]) -> Path:
        """Write a kubeconfig."""
        path = self.folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    made = Clusters(tmp_path)
    with listening(made.app):
        yield made


def commands() -> list[tuple[str, int, str]]:
    lines = (DATA / "kubectl.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(command, int(code), says) for command, code, says in rows]


@pytest.mark.parametrize("release", RELEASES)
def test_kubectl_and_helm_do_what_they_do_with_a_real_cluster(clusters: Clusters, kubectl: Path, release: str) -> None:
    home = clusters.folder / "home"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": f"{programs(release, kubectl)}:{os.environ['PATH']}",
        "KUBECONFIG": str(clusters.file(clusters.kubeconfig())),
    }
    wrong = []
    for command, code, says in commands():
        ran = subprocess.run(
            shlex.split(command), cwd=DATA / "kubectl", env=environment, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        if ran.returncode != code or says not in ran.stdout + ran.stderr:
            wrong.append(f"{command}: {ran.returncode}\n{ran.stdout[-600:]}{ran.stderr[-600:]}")
    assert not wrong, "\n".join(wrong)


def context_of(config: dict[str, Any], folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return the address of a cluster, and TLS as its kubeconfig says."""
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    if user:
        pair = folder / "pair.pem"
        pair.touch(mode=0o600)
        parts = [base64.b64decode(user[f"client-{name}-data"]) for name in ("certificate", "key")]
        pair.write_bytes(b"\n".join(parts))
        context.load_cert_chain(pair)
    return cluster["server"], context


def test_only_a_certificate_of_the_cluster_itself_lets_in(clusters: Clusters) -> None:
    own, other = clusters.kubeconfig(), clusters.kubeconfig(SHOP_PROD)
    callers = {"own": own["users"], "another cluster's": other["users"], "none": [{"user": {}}]}
    seen = {}
    for name, users in callers.items():
        url, context = context_of(own | {"users": users}, clusters.folder)
        with httpx.Client(verify=context, trust_env=False) as client:
            answer = client.get(f"{url}/api/v1/namespaces")
            seen[name] = (answer.status_code, answer.json()["kind"])
    assert seen == {"own": (200, "NamespaceList"), "another cluster's": (401, "Status"), "none": (401, "Status")}
    assert own["clusters"][0]["cluster"]["server"] != other["clusters"][0]["cluster"]["server"]


def test_the_client_for_python_lists_watches_and_changes(clusters: Clusters) -> None:
    kubernetes: Any = importlib.import_module("kubernetes")
    with kubernetes.config.new_client_from_config_dict(clusters.kubeconfig()) as api:
        core, apps = kubernetes.client.CoreV1Api(api), kubernetes.client.AppsV1Api(api)
        core.create_namespace({"metadata": {"name": "shop"}})
        manifest = yaml.safe_load((DATA / "kubectl" / "web.yaml").read_text())
        apps.create_namespaced_deployment("shop", manifest)
        watch = kubernetes.watch.Watch()
        for event in watch.stream(apps.list_namespaced_deployment, "shop", timeout_seconds=30):
            if event["object"].status.available_replicas == 2:
                watch.stop()
        assert len(core.list_namespaced_pod("shop", label_selector="app=web").items) == 2
        apps.patch_namespaced_deployment("web", "shop", {"spec": {"replicas": 1}})
        assert apps.read_namespaced_deployment_scale("web", "shop").spec.replicas == 1
        with pytest.raises(kubernetes.client.ApiException, match="NotFound"):
            core.read_namespaced_pod("nope", "shop")
        core.delete_namespace("shop")
