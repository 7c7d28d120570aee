"""The simulated world itself: time, events, ids, jobs, handlers, and how it is kept in a file."""

import json
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ap_mcp import simulator
from ap_mcp.errors import SettingsError
from ap_mcp.simulator import events, registry
from ap_mcp.simulator.app import build_app
from ap_mcp.simulator.clock import FIRST_MOMENT, ManualClock, ScaledClock, parse_timestamp
from ap_mcp.simulator.events import reacts_to
from ap_mcp.simulator.lifecycle import Step, fail_running_step, find_job, move, start_job, stop_moving, unfinished_jobs
from ap_mcp.simulator.registry import SimulatedError, fetch, handles, missing_handlers, public
from ap_mcp.simulator.seed import kept_world, seeded_world
from ap_mcp.simulator.world import Row, World
from ap_mcp.specs import Catalog

CLUSTER = {"metadata": {"uid": "4d1ecb2c-229a-11e8-9c75-0255ac100ceb", "name": "shop"}}
STEPS = (
    Step("CreateNetwork", 10),
    Step("CreateControlPlane", steps=(Step("InstallMaster", 30), Step("IssueCertificates", 5))),
    Step("InstallAddons", 20),
)


@pytest.fixture
def world() -> World:
    return World(seed=7)


@pytest.fixture
def fired(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Row]]:
    """What each event named `fired` carried, with the seconds since the start."""
    monkeypatch.setattr(events, "_REACTIONS", {name: [*known] for name, known in events._REACTIONS.items()})
    payloads: list[tuple[float, Row]] = []

    @reacts_to("fired")
    def _record(world: World, **payload: Any) -> None:
        payloads.append(((world.now() - FIRST_MOMENT).total_seconds(), payload))

    return payloads


def phases(job: Row) -> dict[str, str]:
    """The phase of every job and sub-job by type."""
    found = {job["spec"]["type"]: job["status"]["phase"]}
    for child in job["spec"].get("subJobs", []):
        found |= phases(child)
    return found


def test_ids_are_version_1_uuids_and_the_same_in_every_run_with_the_same_seed() -> None:
    first, second, other = ([World(seed=seed).new_id() for _ in range(1)] for seed in (1, 1, 2))
    assert first == second != other
    assert uuid.UUID(first[0]).version == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("clock", "alike"), [(ManualClock, True), (ScaledClock, False)])
async def test_request_ids_begin_anew_only_where_time_is_moved_by_hand(clock: Callable[[], Any], alike: bool) -> None:
    seen = []
    for _ in range(2):
        app = build_app(World(clock()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://simulator.test") as client:
            seen.append((await client.get("/")).headers["X-Request-Id"])
    assert (seen[0] == seen[1]) == alike


def test_ids_made_in_one_moment_differ(world: World) -> None:
    assert len({world.new_id() for _ in range(1000)}) == 1000


def test_timestamps_can_be_read_back_in_both_forms(world: World) -> None:
    assert world.timestamp() == "2025-06-02 08:00:00.000000 +0000 UTC"
    assert world.iso_timestamp() == "2025-06-02T08:00:00Z"
    assert parse_timestamp(world.timestamp()) == parse_timestamp(world.iso_timestamp()) == world.now()


def test_due_events_run_in_order_each_at_its_own_moment(world: World, fired: list[Any]) -> None:
    world.schedule(30, "fired", what="late")
    world.schedule(10, "fired", what="early")
    world.schedule(10, "fired", what="same time, scheduled later")
    world.advance(20)
    assert fired == [(10, {"what": "early"}), (10, {"what": "same time, scheduled later"})]
    world.advance_until_idle()
    assert fired[-1] == (30, {"what": "late"})


def test_an_event_scheduled_by_an_event_runs_in_the_same_advance_if_it_is_due(world: World, fired: list[Any]) -> None:
    @reacts_to("chain")
    def _chain(world: World, left: int) -> None:
        if left:
            world.schedule(5, "chain", left=left - 1)
        else:
            world.fire("fired")

    world.schedule(5, "chain", left=3)
    world.advance(20)
    assert fired == [(20, {})]


def test_an_event_without_a_reaction_is_refused_when_it_is_scheduled(world: World) -> None:
    with pytest.raises(LookupError, match="nothing reacts to the event 'mistyped'"):
        world.schedule(1, "mistyped")


def test_an_event_in_the_past_is_refused(world: World, fired: list[Any]) -> None:
    with pytest.raises(ValueError, match="cannot be scheduled 1 s ago"):
        world.schedule(-1, "fired")


def test_time_never_goes_back() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        ManualClock().advance(-1)
    with pytest.raises(ValueError, match="above zero"):
        ScaledClock(0)


def test_a_scaled_clock_runs_faster_than_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 102.5])
    monkeypatch.setattr("ap_mcp.simulator.clock.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    clock = ScaledClock(60, FIRST_MOMENT)
    assert clock.now() - FIRST_MOMENT == timedelta(minutes=2.5)


def test_a_world_on_real_time_is_not_advanced_by_hand() -> None:
    with pytest.raises(TypeError, match="ManualClock"):
        World(ScaledClock(1)).advance(1)


def test_a_saved_world_goes_on_as_the_original_would(world: World, fired: list[Any]) -> None:
    world.table("things")["a"] = {"n": 1}
    world.schedule(10, "fired", n=1)
    copy = World.from_json(json.loads(json.dumps(world.to_json())))
    copy.advance(10)
    assert fired == [(10, {"n": 1})]
    assert copy.table("things") == {"a": {"n": 1}}
    assert copy.table("things")["a"] is not world.table("things")["a"]
    again = World.from_json(world.to_json())
    assert again.random.random() == world.random.random()


@pytest.mark.parametrize("change", [{"format": 0}, {"random": [3]}, {"events": [["never"]]}, {"now": None}])
def test_a_damaged_state_is_refused(world: World, change: Row) -> None:
    with pytest.raises(ValueError, match="saved simulator state"):
        World.from_json(world.to_json() | change)


def test_a_job_runs_its_steps_one_after_the_other_and_then_succeeds(world: World, fired: list[Any]) -> None:
    job_id = start_job(world, "CreateCluster", CLUSTER, STEPS, on_success="fired", payload={"cluster_id": "c"})
    assert set(phases(find_job(world, job_id)).values()) == {"Initializing"}
    world.advance(2 + 10)
    assert phases(find_job(world, job_id)) == {
        "CreateCluster": "Running",
        "CreateNetwork": "Success",
        "CreateControlPlane": "Running",
        "InstallMaster": "Running",
        "IssueCertificates": "Initializing",
        "InstallAddons": "Initializing",
    }
    world.advance(30 + 5)
    assert phases(find_job(world, job_id))["CreateControlPlane"] == "Success"
    assert unfinished_jobs(world, CLUSTER["metadata"]["uid"])
    world.advance(20)
    assert set(phases(find_job(world, job_id)).values()) == {"Success"}
    assert fired == [(67, {"job_id": job_id, "cluster_id": "c"})]
    assert not unfinished_jobs(world, CLUSTER["metadata"]["uid"])


def test_a_failing_step_fails_its_parents_with_its_reason_and_leaves_the_rest_undone(
    world: World, fired: list[Any]
) -> None:
    job_id = start_job(
        world,
        "CreateCluster",
        CLUSTER,
        STEPS,
        on_failure="fired",
        fails_at="InstallMaster",
        reason="no addresses left",
    )
    world.advance_until_idle()
    job = find_job(world, job_id)
    assert phases(job) == {
        "CreateCluster": "Failed",
        "CreateNetwork": "Success",
        "CreateControlPlane": "Failed",
        "InstallMaster": "Failed",
        "IssueCertificates": "Initializing",
        "InstallAddons": "Initializing",
    }
    assert job["status"]["reason"] == "no addresses left"
    assert fired == [(42, {"job_id": job_id})]


def test_a_job_can_be_failed_at_what_it_is_doing(world: World, fired: list[Any]) -> None:
    job_id = start_job(world, "CreateCluster", CLUSTER, STEPS, on_failure="fired")
    world.advance(5)
    fail_running_step(world, job_id, "interrupted")
    world.advance_until_idle()
    assert phases(find_job(world, job_id))["CreateNetwork"] == "Failed"
    assert fired == [(5, {"job_id": job_id})]


def test_a_job_shows_when_it_last_changed(world: World) -> None:
    job_id = start_job(world, "CreateCluster", CLUSTER, STEPS)
    world.advance(2 + 10 + 30 + 5)
    job = find_job(world, job_id)
    assert job["metadata"]["creationTimestamp"] == world.timestamp(FIRST_MOMENT)
    assert job["metadata"]["updateTimestamp"] == world.timestamp()
    assert job["spec"]["subJobs"][0]["metadata"]["updateTimestamp"] == world.timestamp(
        FIRST_MOMENT + timedelta(seconds=12)
    )


def test_a_sub_job_is_found_by_its_own_id_and_an_unknown_one_is_a_404(world: World) -> None:
    job = find_job(world, start_job(world, "CreateCluster", CLUSTER, STEPS))
    inner = job["spec"]["subJobs"][1]["spec"]["subJobs"][0]
    assert find_job(world, inner["metadata"]["uid"]) is inner
    with pytest.raises(SimulatedError) as refused:
        find_job(world, "none")
    assert (refused.value.status, refused.value.code) == (404, "CCE.01404001")


def test_a_job_with_no_steps_or_an_unknown_failing_step_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        start_job(world, "CreateCluster", CLUSTER, [])
    with pytest.raises(ValueError, match="no leaf step Reboot"):
        start_job(world, "CreateCluster", CLUSTER, STEPS, fails_at="Reboot")
    assert not world.table("jobs")


def test_a_field_moves_through_its_values_and_then_fires_an_event(world: World, fired: list[Any]) -> None:
    row = world.table("things").setdefault("a", {"metadata": {"updateTimestamp": "2025-06-02T07:00:00Z"}})
    move(
        world,
        "things",
        "a",
        "/status/phase",
        [(0, "Creating"), (10, "Available")],
        then="fired",
        payload={"id": "a"},
    )
    world.advance(5)
    assert row["status"]["phase"] == "Creating"
    world.advance(5)
    assert row["status"]["phase"] == "Available"
    assert row["metadata"]["updateTimestamp"] == "2025-06-02T08:00:10Z"
    assert fired == [(10, {"id": "a"})]


def test_a_later_move_replaces_an_earlier_one_of_the_same_field(world: World, fired: list[Any]) -> None:
    row = world.table("things").setdefault("a", {})
    move(world, "things", "a", "/phase", [(10, "Available")], then="fired")
    move(world, "things", "a", "/phase", [(5, "Deleting")])
    world.advance_until_idle()
    assert (row["phase"], fired) == ("Deleting", [])


def test_a_move_ends_with_its_row_or_when_stopped(world: World, fired: list[Any]) -> None:
    things = world.table("things")
    things.update({"gone": {}, "stopped": {}})
    for key in ("gone", "stopped"):
        move(world, "things", key, "/phase", [(10, "Available")], then="fired")
    del things["gone"]
    stop_moving(world, "things", "stopped", "/phase")
    world.advance_until_idle()
    assert (things["stopped"].get("phase"), fired) == (None, [])


def test_a_second_handler_or_reaction_of_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_HANDLERS", {})
    monkeypatch.setattr(events, "_REACTIONS", {})
    decorators: list[Callable[[Any], Any]] = [handles("list_charts"), reacts_to("fired")]
    for decorate in decorators:
        decorate(phases)
        with pytest.raises(ValueError, match=r"already has a handler|registered twice"):
            decorate(phases)


def test_every_operation_of_the_catalog_has_a_handler(catalog: Catalog) -> None:
    assert missing_handlers(catalog) == []


def test_hidden_facts_are_dropped_at_every_depth() -> None:
    shown = public({"a": [{"_secret": 1, "b": {"_c": 2, "d": None}}], "_e": {"f": 3}})
    assert shown == {"a": [{"b": {"d": None}}]}


def test_fetching_what_is_not_there_is_the_services_404(world: World) -> None:
    world.table("addons")["a"] = {"n": 1}
    assert fetch(world, "addons", "a", "add-on") == {"n": 1}
    with pytest.raises(SimulatedError) as refused:
        fetch(world, "addons", "b", "add-on", service="03")
    assert (refused.value.status, refused.value.code) == (404, "CCE.03404001")
    assert "'b'" in refused.value.reason


def test_the_seeded_account_is_the_same_in_every_run() -> None:
    assert seeded_world(seed=3).to_json() == seeded_world(seed=3).to_json()


def test_a_stored_world_keeps_its_state_and_goes_on_between_runs(tmp_path: Path, fired: list[Any]) -> None:
    path = tmp_path / "new folder" / "world.json"
    with kept_world(path) as world:
        world.table("things")["a"] = {"n": 1}
        world.schedule(3600, "fired")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    state = json.loads(path.read_text())
    state["saved_at"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    path.write_text(json.dumps(state))
    with kept_world(path) as world:
        assert world.table("things") == {"a": {"n": 1}}
        assert len(fired) == 1
    assert sorted(file.name for file in path.parent.iterdir()) == ["world.json", "world.json.lock"]


def test_a_stored_world_is_saved_also_when_its_user_fails(tmp_path: Path) -> None:
    path = tmp_path / "world.json"

    def run_and_fail() -> None:
        with kept_world(path) as world:
            world.table("things")["a"] = {}
            raise SystemExit(5)

    with pytest.raises(SystemExit):
        run_and_fail()
    with kept_world(path) as world:
        assert world.table("things") == {"a": {}}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"saved_at": "x"}', "null"])
def test_a_damaged_file_is_refused_with_what_to_do_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "world.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="choose another file, or remove it"), kept_world(path):
        pytest.fail("a damaged file was opened")
    assert path.read_text() == content


def test_a_place_that_cannot_hold_the_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "world.json"
    with pytest.raises(SettingsError, match=r"cannot keep the simulated account in .*world\.json"), kept_world(path):
        pytest.fail("a world was opened inside a file")


def test_a_failed_save_leaves_the_old_state_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    with kept_world(path):
        pass
    before = path.read_bytes()
    with pytest.raises(TypeError), kept_world(path) as world:
        world.table("things")["a"] = {"not JSON": object()}
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["world.json", "world.json.lock"]


def test_whoever_opens_a_kept_world_can_catch_up_with_everything_that_may_be_due_in_it() -> None:
    package = Path(simulator.__file__).parent
    reacting = {
        ".".join(("ap_mcp", "simulator", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if "@reacts_to(" in path.read_text(encoding="utf-8")
    }
    script = "import sys, ap_mcp.simulator.seed; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(reacting) > 10
    assert reacting - set(loaded) == set()
