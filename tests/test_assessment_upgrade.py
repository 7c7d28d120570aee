"""What an assessment of an upgrade says of a cluster: what blocks it, what is risky, what comes next."""

from pathlib import Path
from typing import Any

import pytest
from agent import connected
from assessing import NEXT_MINOR, NOW, TARGET, Scene, step, tools
from simulation import simulate

from ap_mcp.simulator.constants import LEGACY_IMPORT, ML_BATCH, TEAM_SANDBOX

pytestmark = pytest.mark.anyio

RISKY = {"name": "KubeletRisk", "kind": "Risk", "group": "NodeCheck", "level": "Warning", "phase": "Failed"}
BLOCKING = {"name": "EtcdHealth", "kind": "Exception", "group": "MasterCheck", "level": "Fatal", "phase": "Failed"}
BLOCKING |= {"message": "etcd is not healthy"}


def failed_check(scene: Scene, *items: dict[str, Any], **more: Any) -> Any:
    """Put a check that found something into the past."""
    return scene.check(phase="Failed", clusterCheckStatus={"phase": "Failed", "itemsStatus": list(items)}, **more)


async def test_a_cluster_with_a_passed_check_and_a_fresh_backup_can_go() -> None:
    scene = Scene()
    scene.check()
    scene.back_up()
    found = await scene.assess("v1.31")
    assert (found.verdict, found.from_version, found.to_version, found.upgrade_path) == ("go", NOW, TARGET, [])
    assert found.summary == f"Go: nothing blocks upgrading checkout-staging from {NOW} to {TARGET}."
    assert "The pre-upgrade check has passed; it counts for another 50 min." in found.passed
    assert (found.risks, found.unknown) == ([], [])
    assert tools(found) == ["upgrade_cluster", "run_postcheck"]
    assert step(found, "upgrade_cluster") == {"target_version": TARGET}
    assert step(found, "run_postcheck") == {"from_version": NOW}
    assert found.gates["EvsSnapshot"] == "Disable"


async def test_without_a_target_the_newest_that_is_offered_is_assessed() -> None:
    scene = Scene()
    scene.bend("get_upgrade_info", "/spec/versionInfo/targetVersions", ["v1.30.9-r0", "v1.30.10-r0", "v1.29.13-r0"])
    assert (await scene.assess()).to_version == "v1.30.10-r0"


@pytest.mark.parametrize("target", [None, "v1.31", "v1.31.6", "v1.31.6-r0"])
async def test_the_newest_cluster_is_up_to_date(target: str | None) -> None:
    found = await Scene(cluster_id=TEAM_SANDBOX).assess(target)
    assert (found.verdict, found.to_version, found.next) == ("up_to_date", None, [])
    assert found.summary == "Up to date: team-sandbox runs v1.31.6-r0. Nothing is newer."


async def test_a_version_that_runs_already_is_up_to_date_and_what_else_is_offered_is_reported() -> None:
    found = await Scene().assess(NOW)
    assert found.verdict == "up_to_date"
    assert found.summary.endswith(f"It can go to v1.29.13-r0, v1.30.10-r0, {TARGET}.")


async def test_a_cluster_cannot_go_back_to_an_older_version() -> None:
    found = await Scene().assess("v1.28")
    assert found.blockers == [f"It runs {NOW}; it cannot go back to v1.28."]
    assert (found.verdict, found.next) == ("not_yet", [])


async def test_a_version_that_cannot_be_reached_is_reported_with_those_that_can() -> None:
    found = await Scene().assess("v1.99")
    assert found.summary.startswith("Not yet: checkout-staging cannot be upgraded. v1.99 is not offered")
    assert found.blockers[0].endswith(f"Offered: v1.29.13-r0, v1.30.10-r0, {TARGET}.")
    assert tools(found) == ["assess_upgrade"]


@pytest.mark.parametrize("target", ["1.31", "V1.31", "v1.31.6", "1.31.6", "V1.31.6-R0"])
async def test_a_version_that_is_written_otherwise_means_the_one_that_it_fits(target: str) -> None:
    assert (await Scene().assess(target)).to_version == TARGET


async def test_a_version_that_could_be_several_is_none_of_them() -> None:
    scene = Scene()
    scene.bend("get_upgrade_info", "/spec/versionInfo/targetVersions", ["v1.31.6-r0", "v1.31.6-r2"])
    found = await scene.assess("1.31.6")
    assert (found.verdict, found.blockers) == ("not_yet", ["1.31.6 could be any of v1.31.6-r0, v1.31.6-r2."])
    assert step(found, "assess_upgrade") == {"target_version": "v1.31.6-r2"}


@pytest.mark.parametrize("target", ["", " "])
async def test_an_empty_version_is_none(target: str) -> None:
    found = await Scene().assess(target)
    assert (found.verdict, found.to_version) == ("not_yet", TARGET)
    assert (await Scene().assess(" v1.31 ")).to_version == TARGET


async def test_a_version_beyond_what_is_offered_is_reached_by_steps() -> None:
    scene = Scene(bent={"list_upgrade_paths": lambda _: {"upgradePaths": PATHS}})
    scene.bend("get_upgrade_info", "/spec/versionInfo/targetVersions", ["v1.30.10-r0"])
    found = await scene.assess("v1.34")
    assert found.upgrade_path == ["v1.30.10-r0", "v1.32.4-r0", "v1.34.1-r0"]
    assert found.to_version == "v1.30.10-r0"
    assert found.summary.endswith(" v1.34.1-r0 is 3 upgrades away.")
    assert step(found, "upgrade_cluster") == {"target_version": "v1.30.10-r0"}
    assert (tools(found)[-1], step(found, "assess_upgrade")) == ("assess_upgrade", {"target_version": "v1.34.1-r0"})


PATHS = [
    {"version": "v1.29", "targetVersions": ["v1.31.6-r0", "v1.34.1-r0"]},  # not what is offered to this cluster
    {"version": "v1.30", "targetVersions": ["v1.29.13-r0", "v1.31.6-r0", "v1.32.4-r0"]},
    {"version": "v1.31", "targetVersions": ["v1.30.10-r0", "v1.31.6-r0"]},
    {"version": "v1.32", "targetVersions": ["v1.33.1-r0", "v1.34.1-r0", "v1.30.10-r0"]},
]


async def test_a_running_upgrade_is_waited_for_and_then_read_again() -> None:
    scene = Scene()
    task = scene.upgrade("Running")
    scene.row["status"]["phase"] = "Upgrading"
    found = await scene.assess("v1.31")
    assert "An upgrade is running." in found.blockers
    assert tools(found) == ["wait_for", "assess_upgrade"]
    assert step(found, "wait_for") == {"kind": "upgrade_task", "id": task}
    assert step(found, "assess_upgrade") == {"target_version": "v1.31"}
    assert not [each for each in found.passed if "no upgrade is running" in each]


@pytest.mark.parametrize(("phase", "said"), [("Pause", "is paused"), ("Dreaming", "is Dreaming"), ("", "is unknown")])
async def test_an_upgrade_that_does_not_move_is_read(phase: str, said: str) -> None:
    scene = Scene()
    task = scene.upgrade(phase)
    found = await scene.assess()
    assert f"An upgrade {said}." in found.blockers
    assert step(found, "get_upgrade_task") == {"task_id": task}


async def test_an_upgrade_that_only_the_info_knows_of_is_searched_in_the_list() -> None:
    scene = Scene()
    scene.bend("get_upgrade_info", "/status/phase", "Running")
    found = await scene.assess()
    assert tools(found) == ["list_upgrade_tasks"]


async def test_a_failed_upgrade_is_read_before_it_is_tried_again_with_a_person_asked(tmp_path: Path) -> None:
    scene = Scene(world=(app := simulate()).state.world)
    scene.check()
    task = scene.upgrade("Failed")
    scene.row["status"] = {"phase": "Upgrading", "reason": "UpgradeFailed", "message": "etcd is not healthy"}
    async with connected(tmp_path, app=app) as agent:
        found = await agent.call("assess_upgrade", cluster_id="checkout-staging")
    blocker = 'The last upgrade failed, and the cluster is Upgrading: "etcd is not healthy; UpgradeFailed".'
    assert blocker in found["blockers"]
    assert [each["tool"] for each in found["next"]] == ["get_upgrade_task", "retry_upgrade", "assess_upgrade"]
    assert found["next"][0]["arguments"]["task_id"] == task
    assert found["next"][1]["why"] == "Once the cause is fixed (a person is asked first)"


async def test_an_upgrade_that_failed_and_was_given_up_blocks_nothing() -> None:
    scene = Scene()
    scene.upgrade("Failed")
    scene.check()
    assert (await scene.assess()).verdict == "go"


async def test_a_cluster_that_is_being_made_is_waited_for_and_a_broken_one_says_why() -> None:
    scene = Scene(cluster_id=ML_BATCH)
    scene.bend("get_upgrade_info", "/spec/versionInfo/targetVersions", ["v1.32.1-r0"])
    found = await scene.assess()
    assert "The cluster is Creating." in found.blockers
    job = {"kind": "job", "id": scene.row["status"]["jobID"], "cluster_id": ML_BATCH}
    assert found.next[0].arguments == job
    scene.row["status"]["phase"] = "Deleting"
    leaving = await scene.assess()
    assert [(each.tool, each.arguments) for each in leaving.next] == [("wait_for", {**job, "until": "deleted"})]
    broken = await Scene(cluster_id=LEGACY_IMPORT).assess()
    assert tools(broken) == ["get_job"]
    assert "has no free IP address" in broken.blockers[0]


async def test_a_cluster_in_a_phase_that_is_not_known_is_read() -> None:
    scene = Scene()
    scene.row["status"] = {"phase": None}
    found = await scene.assess()
    assert "The cluster is in a phase that is not reported." in found.blockers
    assert tools(found) == ["get_cluster"]


async def test_without_a_check_it_is_run_first() -> None:
    found = await Scene().assess("v1.31")
    assert found.blockers == [f"There is no pre-upgrade check from {NOW} to {TARGET}."]
    assert found.risks == ["There is no backup."]
    assert tools(found) == ["run_precheck", "backup_cluster", "upgrade_cluster", "run_postcheck"]
    assert step(found, "run_precheck") == {"target_version": TARGET}
    assert found.next[2].why == "Once the check has passed and the backup has ended"


async def test_a_running_check_is_waited_for() -> None:
    scene = Scene()
    check = scene.check(phase="Running")
    found = await scene.assess()
    assert found.blockers == [f"The pre-upgrade check from {NOW} to {TARGET} is still running."]
    assert tools(found) == ["wait_for", "assess_upgrade"]
    assert step(found, "wait_for") == {"kind": "precheck", "id": check["metadata"]["uid"]}


async def test_what_a_check_found_blocks_or_is_a_risk() -> None:
    scene = Scene()
    failed_check(scene, BLOCKING, RISKY)
    found = await scene.assess()
    assert found.blockers == [
        'The check found EtcdHealth: "etcd is not healthy".',
        f"The pre-upgrade check from {NOW} to {TARGET} did not pass, 10 min ago: run it again once that is fixed.",
    ]
    assert "The check found KubeletRisk: no reason given." in found.risks
    assert tools(found)[:2] == ["run_precheck", "backup_cluster"]
    assert step(found, "run_precheck")["skip_items"] == [{"name": "KubeletRisk"}]


async def test_mere_risks_may_be_skipped_if_a_person_accepts_them() -> None:
    scene = Scene()
    check = failed_check(scene, RISKY)
    check["spec"]["skippedCheckItemList"] = [{"name": "Earlier"}]
    found = await scene.assess()
    assert step(found, "run_precheck")["skip_items"] == [{"name": "Earlier"}, {"name": "KubeletRisk"}]
    assert "only if a person accepts" in next(each.why for each in found.next if each.tool == "run_precheck")
    assert found.blockers[0].endswith("did not pass, 10 min ago: run it again.")


async def test_a_list_to_skip_that_is_too_long_is_left_to_the_tool_that_shows_the_check() -> None:
    scene = Scene()
    failed_check(scene, *({**RISKY, "name": f"Risk{number}"} for number in range(30)))
    found = await scene.assess()
    assert "skip_items" not in step(found, "run_precheck")
    assert "found also: " in "".join(found.risks)
    assert "get_precheck shows all" in "".join(found.risks)
    assert step(found, "get_precheck") == {"task_id": found.precheck_id, "detail": "full"}
    assert tools(found).index("get_precheck") < tools(found).index("run_precheck")


@pytest.mark.parametrize(
    ("ago", "status", "said"),
    [
        (90, {}, "has passed, but expired 30 min ago."),
        (10, {"expireTimeStamp": None}, "has passed, but does not say until when it counts."),
        (10, {"expireTimeStamp": "soon"}, "has passed, but does not say until when it counts."),
        (10, {"expireTimeStamp": "2020-01-01T00:00:00Z"}, "has passed, but expired "),
        (10, {"expireTimeStamp": "2020-01-01 08:00:00.123456789 +0800 CST"}, "has passed, but expired "),
        (10, {"phase": "Error", "message": "the node went away"}, 'broke off: "the node went away".'),
        (10, {"phase": "Odd"}, "is Odd, 10 min ago: run it again."),
        (10, {"phase": None}, "is unknown, 10 min ago: run it again."),
    ],
)
async def test_a_check_that_does_not_count_is_run_again(ago: float, status: dict[str, Any], said: str) -> None:
    scene = Scene()
    scene.check(ago=ago, **status)
    found = await scene.assess()
    assert len(found.blockers) == 1
    assert f"from {NOW} to {TARGET} {said}" in found.blockers[0]
    assert tools(found)[0] == "run_precheck"


async def test_risks_that_were_accepted_once_are_proposed_to_be_skipped_again() -> None:
    scene = Scene()
    scene.check(ago=90)["spec"]["skippedCheckItemList"] = [{"name": "KubeletRisk"}]
    found = await scene.assess()
    assert step(found, "run_precheck")["skip_items"] == [{"name": "KubeletRisk"}]


async def test_a_check_for_another_version_does_not_count() -> None:
    scene = Scene()
    scene.check(NEXT_MINOR)
    assert "There is no pre-upgrade check" in (await scene.assess("v1.31")).blockers[0]
    assert (await scene.assess("v1.30")).verdict == "go"


async def test_what_a_passed_check_leaves_is_a_risk() -> None:
    scene = Scene()
    check = scene.check(ago=55, clusterCheckStatus={"itemsStatus": [RISKY]})
    check["spec"]["skippedCheckItemList"] = [{"name": "NodeDiskUsageLimit"}, {"name": "NodeDiskUsageLimit"}]
    found = await scene.assess()
    assert found.verdict == "go"
    assert found.risks[:3] == [
        "The pre-upgrade check has passed, but counts for only 5 min more.",
        "The check skipped these risks, which remain: NodeDiskUsageLimit.",
        "Although the check passed, it found KubeletRisk: no reason given.",
    ]
    assert " 4 risks to weigh, 1 of them found by the check." in found.summary
