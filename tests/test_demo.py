"""The demo runs its story to the end, asks its person, leaves nothing behind, and fails when a step does."""

import io
import os
import re
import subprocess
from importlib import import_module
from pathlib import Path

import anyio
import click
import pytest
from agent import connected
from forking import python
from rich.console import Console
from simulation import simulate

from ap_mcp.cli import main

SECONDS = 240
"""How long to wait at most; a machine with much else to do takes its time."""
DEMO = import_module("ap_mcp.cli.demo")


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python for a user who has nothing, in an environment without settings of ours."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AP_MCP_", "XDG_"))}
    return subprocess.run(
        [python(), *arguments],
        cwd=home,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def demo(home: Path) -> subprocess.CompletedProcess[str]:
    return run(home, "-m", "ap_mcp", "demo")


def test_the_story_runs_to_its_end_and_a_person_is_asked_on_the_way(
    demo: subprocess.CompletedProcess[str], home: Path
) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    steps = [int(number) for number in re.findall(r"(?m)^(\d+)\. ", demo.stdout)]
    assert steps == list(range(1, 17))
    typed = re.findall(r"    the person (?:types: (\S+)|declines)\n", demo.stdout)
    assert typed == ["aurora", "nginx-ingress", "shop-prod", "catalog-search", "", "aurora"]
    assert demo.stdout.count("┌ the person is asked\n") == len(typed)
    after = demo.stdout.partition("the person declines\n")[2]
    assert after.lstrip().startswith("delete_cluster was not run: The person who was asked said no.")
    assert "shop-prod is Available" in after
    assert demo.stdout.rstrip().endswith("no cloud was touched.")
    assert list(home.rglob("*")) == []


def test_a_blocked_upgrade_is_assessed_fixed_checked_again_agreed_to_and_waited_for(
    demo: subprocess.CompletedProcess[str],
) -> None:
    rest = demo.stdout
    story = [
        "> assess_upgrade(",
        "Not yet: ",
        "nginx-ingress 2.1.5 does not run on v1.29.13-r0",
        "> update_addon(",
        "the person types: nginx-ingress",
        "> run_precheck(",
        "Ready: nothing blocks",
        "> backup_cluster(",
        "> assess_upgrade(",
        "Go: nothing blocks upgrading shop-prod",
        "> upgrade_cluster(",
        "the person types: shop-prod",
        "> wait_for(",
        "… The upgrade from v1.28.6-r0 to v1.29.13-r0 is running",
        "The upgrade from v1.28.6-r0 to v1.29.13-r0 succeeded",
        "> run_postcheck(",
        "The cluster passed the post-upgrade check.",
    ]
    for each in story:
        before, found, rest = rest.partition(each)
        assert found, f"{each!r} is missing; before it: {before[-500:]}"


def test_the_client_of_a_removed_api_is_found_and_a_crashing_release_diagnosed_and_rolled_back(
    demo: subprocess.CompletedProcess[str],
) -> None:
    rest = demo.stdout
    story = [
        "> assess_upgrade(",
        "used by argocd-application-controller/v2.4.11",
        "> k8s_list(",
        "> k8s_get(",
        "argocd:v2.4.11",
        "> update_addon(",
        "> get_release(",
        "status: DEPLOYED",
        "> k8s_diagnose(",
        "Likeliest: Deployment shop/catalog-search",
        "> k8s_logs(",
        "panic: index products has mapping version 7",
        "> get_release_history(",
        "> update_release(",
        "the person types: catalog-search",
        '> wait_for(kind="rollout"',
        "> k8s_diagnose(",
        "> delete_cluster(",
    ]
    for each in story:
        before, found, rest = rest.partition(each)
        assert found, f"{each!r} is missing; before it: {before[-500:]}"


def test_a_step_that_goes_wrong_ends_it_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("AP_MCP_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(DEMO, "VERSION", "v9.99")
    with pytest.raises(SystemExit) as ended:
        main(["demo"])
    assert ended.value.code == 1
    shown, why = capfd.readouterr()
    assert "Done" not in shown
    assert "create_cluster failed" in why
    assert "Traceback" not in why


@pytest.mark.anyio
async def test_a_person_who_declines_where_they_should_agree_is_such_a_step(tmp_path: Path) -> None:
    app = simulate()

    async def sleep(seconds: float) -> None:
        app.state.world.advance(seconds * DEMO.SPEED)
        await anyio.lowlevel.checkpoint()

    clock = {"sleep": sleep, "now": lambda: app.state.world.now().timestamp() / DEMO.SPEED}
    console = Console(file=io.StringIO())
    person = DEMO.Person(console, agrees=False)
    async with connected(tmp_path, app=app, person=person, clock=clock, unasked=False) as agent:
        with pytest.raises(click.ClickException, match=r"get_cluster_certificate failed:\n.*who was asked said no\."):
            await DEMO.Story(agent.client, console, tmp_path, person).run()
    assert person.asked == 1
