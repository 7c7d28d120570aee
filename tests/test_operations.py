"""Each operation end to end: an MCP client, our server, signed requests, and what became of the account."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from agent import Agent, connected

from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import PAYMENTS_API, PAYMENTS_API_OLD, REDIS
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    EIP_ID,
    HOST_SUBNET_ID,
    LEGACY_IMPORT,
    ML_BATCH,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio

Test = TypeVar("Test", bound=Callable[..., Any])
CLAIMED: dict[str, tuple[str, ...]] = {}


def exercises(*tools: str) -> Callable[[Test], Test]:
    """Claim that a test exercises these operations; the fixture `agent` holds the test to it."""

    def claim(test: Test) -> Test:
        assert "agent" in signature(test).parameters
        CLAIMED[test.__name__] = tools
        return test

    return claim


@pytest.fixture
async def agent(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Agent]:
    async with connected(tmp_path) as agent:
        yield agent
    assert set(CLAIMED[request.function.__name__]) <= agent.done


def cluster(agent: Agent, cluster_id: str) -> dict[str, Any]:
    return agent.world.table("clusters")[cluster_id]


def release(agent: Agent, cluster_id: str, namespace: str, name: str) -> dict[str, Any]:
    return agent.world.table("releases")[f"{cluster_id}/{namespace}/{name}"]


def addon(agent: Agent, cluster_id: str, name: str) -> dict[str, Any]:
    return next(row for row in addons_of(agent.world, cluster_id) if row["metadata"]["name"] == name)


def private(folder: Path, path: str) -> bytes:
    """Read a file that a tool has saved; only its owner may."""
    saved = Path(path)
    assert saved.parent == folder
    assert saved.stat().st_mode & 0o777 == 0o600
    return saved.read_bytes()


def chart_file(folder: Path, version: str, replicas: int = 2) -> Path:
    files = {
        "Chart.yaml": f'apiVersion: v2\nname: guestbook\nversion: "{version}"\ndescription: A page to sign\n',
        "values.yaml": f"replicas: {replicas}\n",
        "templates/service.yaml": "kind: Service\n",
    }
    path = folder / f"guestbook-{version}.tgz"
    path.write_bytes(build_chart("guestbook", files))
    return path


@exercises("list_clusters")
async def test_clusters_are_listed_and_filtered(agent: Agent) -> None:
    listed = await agent.call("list_clusters")
    assert {each["id"] for each in listed["clusters"]} == set(agent.world.table("clusters"))
    failed = agent.world.table("clusters")[LEGACY_IMPORT]["status"]["jobID"]
    assert (listed["next"][0]["tool"], listed["next"][0]["arguments"]) == ("get_job", {"job_id": failed})
    assert "name=ml-batch phase=Creating" in agent.said
    listed = await agent.call("list_clusters", status="Available", version="v1.30")
    assert {each["name"] for each in listed["clusters"]} == {"payments-prod", "search-dev"}


@exercises("get_cluster")
async def test_a_cluster_is_shown_with_its_addons(agent: Agent) -> None:
    shown = await agent.call("get_cluster", cluster_id=PAYMENTS_PROD, with_addons=True)
    assert (shown["name"], shown["phase"], shown["version"]) == ("payments-prod", "Available", "v1.30")
    assert shown["tags"] == {"env": "prod", "team": "payments"}
    assert any("nginx-ingress" in str(each) for each in shown["addons"])
    assert "nginx-ingress" in agent.said
    assert "addons" not in await agent.call("get_cluster", cluster_id=PAYMENTS_PROD)
    assert "addons" not in agent.said


@exercises("create_cluster", "get_job")
async def test_a_cluster_is_created_with_everything_that_was_asked_for(agent: Agent) -> None:
    made = await agent.call(
        "create_cluster",
        name="fresh-one",
        alias="fresh",
        description="For trying out",
        vpc_id=VPC_ID,
        subnet_id=HOST_SUBNET_ID,
        eni_subnet_ids=list(SUBNET_IDS[:2]),
        version="v1.30",
        service_cidr="10.96.0.0/16",
        tags={"env": "test"},
        enable_snat=True,
        enable_swr_access=True,
        addons=[{"name": "log-agent", "version": "1.6.0"}],
    )
    row = cluster(agent, made["cluster_id"])
    assert row["status"] == {"phase": "Creating", "jobID": made["job_id"]}
    assert row["metadata"]["alias"] == "fresh"
    spec = row["spec"]
    assert (spec["version"], spec["description"]) == ("v1.30", "For trying out")
    assert spec["eniNetwork"]["subnets"] == [{"subnetID": subnet} for subnet in SUBNET_IDS[:2]]
    assert spec["serviceNetwork"] == {"IPv4CIDR": "10.96.0.0/16"}
    assert spec["clusterTags"] == [{"key": "env", "value": "test"}]
    assert "fresh-one (v1.30) is being created" in agent.said
    (call,) = made["next"]
    job = {"kind": "job", "id": made["job_id"], "cluster_id": made["cluster_id"]}
    assert (call["tool"], call["arguments"]) == ("wait_for", job)

    agent.world.advance(40)
    job = await agent.call("get_job", job_id=made["job_id"])
    assert (job["verdict"], job["cluster_id"]) == ("running", made["cluster_id"])
    assert 0 < job["percent"] < 100
    agent.world.advance_until_idle()
    job = await agent.call("get_job", job_id=made["job_id"])
    assert (job["verdict"], job["percent"]) == ("succeeded", 100)
    assert row["status"]["phase"] == "Available"
    assert addon(agent, made["cluster_id"], "log-agent")["spec"]["version"] == "1.6.0"


@exercises("get_job")
async def test_a_failed_job_names_the_step_and_its_reason(agent: Agent) -> None:
    job = await agent.call("get_job", job_id=cluster(agent, LEGACY_IMPORT)["status"]["jobID"])
    assert job["verdict"] == "failed"
    assert "has no free IP address" in json.dumps(job["failed"])
    assert "AllocateEniSubnets" in agent.said


@exercises("update_cluster")
async def test_a_cluster_is_renamed_described_and_given_other_subnets(agent: Agent) -> None:
    changed = await agent.call(
        "update_cluster",
        cluster_id="team-sandbox",
        alias="sandpit",
        description="Open to everybody",
        eni_subnet_ids=list(SUBNET_IDS),
    )
    row = cluster(agent, TEAM_SANDBOX)
    assert (row["metadata"]["alias"], row["spec"]["description"]) == ("sandpit", "Open to everybody")
    assert row["spec"]["eniNetwork"]["subnets"] == [{"subnetID": subnet} for subnet in SUBNET_IDS]
    assert (changed["cluster_id"], changed["alias"]) == (TEAM_SANDBOX, "sandpit")
    assert changed["eni_subnet_ids"] == list(SUBNET_IDS)
    assert "alias" in agent.said


@exercises("delete_cluster")
async def test_a_cluster_is_deleted_with_its_addons(agent: Agent) -> None:
    gone = await agent.call("delete_cluster", cluster_id="search-dev", delete_obs="try", lts_reclaim_policy="Retain")
    assert gone["cluster_id"] == SEARCH_DEV
    assert "OBS volumes (goes on if that fails)" in gone["removes"]
    assert "search-dev is being deleted" in agent.said
    assert cluster(agent, SEARCH_DEV)["status"]["phase"] == "Deleting"
    agent.world.advance_until_idle()
    assert SEARCH_DEV not in agent.world.table("clusters")
    assert addons_of(agent.world, SEARCH_DEV) == []
    assert (await agent.call("get_job", job_id=gone["job_id"]))["verdict"] == "succeeded"


@exercises("get_cluster_certificate")
async def test_a_kubeconfig_goes_to_a_file_of_its_owner_and_nowhere_else(agent: Agent, tmp_path: Path) -> None:
    made = await agent.call("get_cluster_certificate", cluster_id="search-dev", duration_days=1)
    content = private(tmp_path / "files", made["file"])
    assert (made["bytes"], made["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    user = yaml.safe_load(content)["users"][0]["user"]
    assert "raw" not in made
    for secret in (user["client-key-data"], user["client-certificate-data"]):
        assert secret not in agent.said + json.dumps(made)
    assert made["expires"].startswith("2025-06-03")
    assert Path(made["file"]).name == f"{SEARCH_DEV}-kubeconfig.yaml"
    assert "nothing listens there" in made["summary"]
    assert "command" not in made
    assert made["file"] in agent.said


@exercises("set_cluster_public_access", "get_cluster_endpoints")
async def test_public_access_is_opened_and_closed(agent: Agent) -> None:
    opened = await agent.call("set_cluster_public_access", cluster_id=SEARCH_DEV, action="bind", eip_id=EIP_ID)
    row = cluster(agent, SEARCH_DEV)
    assert row["_eip"]["id"] == EIP_ID
    shown = await agent.call("get_cluster_endpoints", cluster_id=SEARCH_DEV)
    assert shown["public_url"] == opened["public_url"] == f"https://{row['_eip']['address']}:5443"
    assert "exposed to the internet" in agent.said
    closed = await agent.call("set_cluster_public_access", cluster_id=SEARCH_DEV, action="unbind")
    assert row["_eip"] is None
    assert "public_url" not in closed
    shown = await agent.call("get_cluster_endpoints", cluster_id=SEARCH_DEV)
    assert shown["private_url"] == f"https://{row['_host']}:5443"
    assert not shown.get("public_url")


@exercises("list_addon_templates")
async def test_addon_templates_are_listed_and_one_is_shown_in_full(agent: Agent) -> None:
    every = await agent.call("list_addon_templates")
    assert {"coredns", "log-agent"} <= {each["name"] for each in every["templates"]}
    one = await agent.call("list_addon_templates", template_name="log-agent")
    assert [each["version"] for each in one["versions"]][:1] == ["1.7.1"]
    assert one["default_values"]
    assert "1.6.0" in agent.said


@exercises("list_addons", "get_addon", "install_addon")
async def test_an_addon_is_installed_and_shown(agent: Agent) -> None:
    values = {"flavor": {"replicas": 3}}
    started = await agent.call("install_addon", cluster_id="team-sandbox", template_name="log-agent", values=values)
    assert started["status"] == "installing"
    assert addon(agent, TEAM_SANDBOX, "log-agent")["spec"]["values"]["flavor"]["replicas"] == 3
    agent.world.advance(60)
    listed = await agent.call("list_addons", cluster_id="team-sandbox")
    assert {each["name"]: each["status"] for each in listed["addons"]}["log-agent"] == "running"
    assert f"{started['id']}  name=log-agent" in agent.said
    shown = await agent.call("get_addon", cluster_id="team-sandbox", addon_id=started["id"])
    assert (shown["name"], shown["cluster_id"], shown["status"]) == ("log-agent", TEAM_SANDBOX, "running")
    assert shown["changed_values"]["flavor"]["replicas"] == 3
    assert "log-agent" in agent.said


@exercises("update_addon", "rollback_addon", "delete_addon")
async def test_an_addon_is_upgraded_with_its_values_kept_then_rolled_back_then_deleted(agent: Agent) -> None:
    row = addon(agent, SEARCH_DEV, "log-agent")
    row["spec"]["values"]["custom"] = {"kept": "yes", "dropped": "yes"}
    which = {"cluster_id": SEARCH_DEV, "addon_id": row["metadata"]["uid"]}
    values = {"custom": {"dropped": None, "new": 1}}
    changed = await agent.call("update_addon", **which, target_version="1.7.1", values=values)
    assert (changed["previous_version"], changed["version"]) == ("1.6.0", "1.7.1")
    assert row["spec"]["version"] == "1.7.1"
    assert {"kept": "yes", "new": 1}.items() <= row["spec"]["values"]["custom"].items()
    assert "dropped" not in row["spec"]["values"]["custom"]
    assert agent.sent.count("get_addon") == 1
    assert agent.sent[-1] == "update_addon"
    agent.world.advance(60)
    back = await agent.call("rollback_addon", **which)
    assert (row["spec"]["version"], back["status"]) == ("1.6.0", "rollbacking")
    agent.world.advance(60)
    assert row["status"]["status"] == "running"
    gone = await agent.call("delete_addon", **which)
    assert gone["id"] == which["addon_id"]
    assert which["addon_id"] in agent.said
    agent.world.advance(60)
    assert which["addon_id"] not in agent.world.table("addons")


@exercises("get_upgrade_info", "list_upgrade_paths", "get_upgrade_feature_gates")
async def test_the_upgrade_targets_of_a_cluster_are_reported(agent: Agent) -> None:
    info = await agent.call("get_upgrade_info", cluster_id="checkout-staging")
    assert info["version"] == "v1.29.8-r0"
    assert info["targets"][-1].startswith("v1.31")
    assert info["next"][0]["tool"] == "assess_upgrade"
    paths = await agent.call("list_upgrade_paths")
    assert {"v1.29": ", ".join(info["targets"])}.items() <= {e["version"]: e["targets"] for e in paths["paths"]}.items()
    gates = await agent.call("get_upgrade_feature_gates")
    assert gates["gates"]["UpgradeStrategy"] == "Default"
    assert "UpgradeStrategy=Default" in agent.said


@exercises("run_precheck", "get_precheck", "list_prechecks")
async def test_a_precheck_finds_what_blocks_an_upgrade_and_can_skip_risks(agent: Agent) -> None:
    started = await agent.call("run_precheck", cluster_id="shop-prod", target_version="v1.29.13-r0")
    assert started["cluster_version"] == cluster(agent, SHOP_PROD)["_version"]
    wait = {"kind": "precheck", "id": started["task_id"], "cluster_id": SHOP_PROD}
    assert started["next"][0]["arguments"] == wait
    agent.world.advance(60)
    found = await agent.call("get_precheck", cluster_id=SHOP_PROD, task_id=started["task_id"])
    assert found["verdict"] == "blocked"
    assert "nginx-ingress" in json.dumps(found["blocking"])
    assert "flowschemas" in agent.said
    skips = found["skip_items"]
    assert len(skips[0]["node_ids"]) == 3
    again = await agent.call("run_precheck", cluster_id=SHOP_PROD, target_version="v1.29.13-r0", skip_items=skips)
    sent = agent.world.table("prechecks")[again["task_id"]]["spec"]["skippedCheckItemList"]
    assert [each["name"] for each in sent] == [each["name"] for each in skips]
    agent.world.advance(60)
    found = await agent.call("get_precheck", cluster_id=SHOP_PROD, task_id=again["task_id"])
    assert found["risks"] == []
    listed = await agent.call("list_prechecks", cluster_id=SHOP_PROD)
    assert {started["task_id"], again["task_id"]} <= {each["task_id"] for each in listed["checks"]}
    assert f"{again['task_id']}  verdict=blocked" in agent.said


@exercises(
    "create_upgrade_workflow", "get_upgrade_workflow", "list_upgrade_workflows", "backup_cluster", "list_backups",
    "upgrade_cluster", "get_upgrade_task", "list_upgrade_tasks", "run_postcheck",
)  # fmt: skip
async def test_a_cluster_is_upgraded_through_a_whole_workflow(agent: Agent) -> None:
    this = {"cluster_id": CHECKOUT_STAGING}
    workflow = await agent.call("create_upgrade_workflow", **this, target_version="v1.30")
    assert (workflow["from_version"], workflow["verdict"]) == ("v1.29.8-r0", "idle")
    target = workflow["to_version"]
    await agent.call("run_precheck", **this, target_version=target)
    backup = await agent.call("backup_cluster", **this)
    agent.world.advance(60)
    listed = await agent.call("list_backups", **this)
    assert [(each["task_id"], each["verdict"]) for each in listed["tasks"]] == [(backup["task_id"], "succeeded")]
    assert agent.world.table("backups")[backup["task_id"]]["status"]["phase"] == "Success"

    started = await agent.call("upgrade_cluster", **this, target_version=target, batch_size=10)
    assert (started["from_version"], started["to_version"]) == ("v1.29.8-r0", target)
    assert cluster(agent, CHECKOUT_STAGING)["status"]["phase"] == "Upgrading"
    agent.world.advance(30)
    task = await agent.call("get_upgrade_task", **this, task_id=started["task_id"])
    assert (task["verdict"], task["progress"]) == ("running", 20)
    assert "running at 20" in agent.said
    agent.world.advance_until_idle()
    listed = await agent.call("list_upgrade_tasks", **this)
    assert [(each["task_id"], each["verdict"]) for each in listed["tasks"]] == [(started["task_id"], "succeeded")]
    assert cluster(agent, CHECKOUT_STAGING)["_version"] == target
    after = await agent.call("run_postcheck", **this, from_version="v1.29.8-r0")
    assert (after["verdict"], after["to_version"]) == ("passed", target)

    workflow = await agent.call("get_upgrade_workflow", **this, upgrade_workflow_id=workflow["upgrade_workflow_id"])
    assert workflow["verdict"] == "succeeded"
    assert {each["status"] for each in workflow["stages"]} == {"succeeded"}
    listed = await agent.call("list_upgrade_workflows", **this)
    assert [each["upgrade_workflow_id"] for each in listed["workflows"]] == [workflow["upgrade_workflow_id"]]
    assert f"{workflow['upgrade_workflow_id']}  verdict=succeeded" in agent.said


@exercises("retry_upgrade", "cancel_upgrade_workflow")
async def test_a_failed_upgrade_is_retried_and_an_open_workflow_cancelled(agent: Agent) -> None:
    this = {"cluster_id": PAYMENTS_PROD}
    workflow = await agent.call("create_upgrade_workflow", **this, target_version="v1.31")
    cancelled = await agent.call("cancel_upgrade_workflow", **this, upgrade_workflow_id=workflow["upgrade_workflow_id"])
    assert cancelled["verdict"] == "cancelled"
    assert agent.world.table("upgrade_workflows")[workflow["upgrade_workflow_id"]]["status"]["phase"] == "Cancel"

    await agent.call("run_precheck", **this, target_version="v1.31")
    agent.world.advance(60)
    started = await agent.call("upgrade_cluster", **this, target_version="v1.31")
    agent.world.advance_until_idle()
    task = await agent.call("get_upgrade_task", **this, task_id=started["task_id"])
    assert task["verdict"] == "failed"
    assert "etcd did not become healthy" in agent.said
    await agent.call("retry_upgrade", **this)
    assert "runs again" in agent.said
    agent.world.advance_until_idle()
    assert cluster(agent, PAYMENTS_PROD)["spec"]["version"] == "v1.31"


@exercises(
    "create_maintenance_window", "get_maintenance_window", "update_maintenance_window", "delete_maintenance_window",
)  # fmt: skip
async def test_a_maintenance_window_is_opened_moved_and_closed(agent: Agent) -> None:
    this = {"cluster_id": SEARCH_DEV}
    assert "does not exist" in await agent.fail("get_maintenance_window", **this)
    assert "does not exist" in await agent.fail("update_maintenance_window", **this, start_time="04:00")
    hours = {"weekdays": ["Friday", "Saturday"], "start_time": "02:00", "duration_hours": 4}
    made = await agent.call("create_maintenance_window", **this, **hours)
    assert (made["weekdays"], made["start_time"], made["duration_hours"]) == (["Friday", "Saturday"], "02:00", 4)
    assert "by itself on Friday and Saturday from 02:00 UTC for 4 h" in agent.said
    assert "already exists" in await agent.fail("create_maintenance_window", **this, **hours)
    await agent.call("update_maintenance_window", cluster_id="search-dev", start_time="05:00")
    assert agent.sent[-2:] == ["get_maintenance_window", "update_maintenance_window"]
    row = agent.world.table("maintenance_windows")[SEARCH_DEV]
    assert row == {"weekly_period": "Friday,Saturday", "start_time": "05:00", "duration_hours": 4}
    assert (await agent.call("get_maintenance_window", **this))["start_time"] == "05:00"
    said = await agent.fail("update_maintenance_window", **this)
    assert "weekdays" in said
    for days, why in (
        (["friday"], "must be one of: Monday, Tuesday"),
        (["Someday"], "must be one of: Monday, Tuesday"),
        (["Friday", "Friday"], "must not hold the same value twice"),
        ([], "at least 1 entries"),
        ("Friday,Saturday", "must be an array"),
    ):
        assert why in await agent.fail("update_maintenance_window", **this, weekdays=days)
    assert "must be at least 1" in await agent.fail("update_maintenance_window", **this, duration_hours=0)
    await agent.call("delete_maintenance_window", **this)
    assert "no longer upgrades the cluster by itself" in agent.said
    assert SEARCH_DEV not in agent.world.table("maintenance_windows")


@exercises("list_upgrade_plans", "update_upgrade_plan")
async def test_an_upgrade_that_the_service_has_planned_is_moved(agent: Agent) -> None:
    this = {"cluster_id": PAYMENTS_PROD}
    (plan,) = (await agent.call("list_upgrade_plans", **this))["plans"]
    assert (plan["from_version"], plan["to_version"]) == ("v1.30.4-r2", "v1.30.10-r0")
    assert plan["not_before"] in agent.said
    which = {**this, "upgrade_plan_id": plan["upgrade_plan_id"]}
    assert "must be before the deadline for the start" in await agent.fail(
        "update_upgrade_plan", **which, not_before=plan["deadline"]
    )
    assert "update_upgrade_plan" not in agent.sent
    later = plan["deadline"].replace("T02", "T01")
    moved = await agent.call("update_upgrade_plan", **which, not_before=later)
    assert moved["plan"]["not_before"] == later
    assert (await agent.call("list_upgrade_plans", **this))["plans"][0]["not_before"] == later
    assert "list_upgrade_plans shows no upgrade_plan_id nothing" in await agent.fail(
        "update_upgrade_plan", **this, upgrade_plan_id="nothing", not_before=later
    )


@exercises("list_jobs", "get_job_record", "delete_job_record")
async def test_jobs_are_listed_and_the_record_of_one_is_read_and_removed(agent: Agent) -> None:
    failed, running = (cluster(agent, each)["status"]["jobID"] for each in (LEGACY_IMPORT, ML_BATCH))
    jobs = (await agent.call("list_jobs"))["jobs"]
    assert [(each["job_id"], each["verdict"]) for each in jobs] == [(failed, "failed"), (running, "running")]
    assert "has no free IP address" in agent.said
    record, job = await agent.call("get_job_record", job_id=failed), await agent.call("get_job", job_id=failed)
    assert {**record, "request_id": "", "raw": ""} == {**job, "request_id": "", "raw": ""}
    assert "acts only on one that has ended" in await agent.fail("delete_job_record", job_id=running)
    await agent.call("delete_job_record", job_id=failed)
    assert [each["job_id"] for each in (await agent.call("list_jobs"))["jobs"]] == [running]


@exercises("get_log_config", "get_feature_gates")
async def test_log_configuration_and_feature_gates_are_reported(agent: Agent) -> None:
    logs = await agent.call("get_log_config", cluster_id="shop-prod")
    assert (logs["kept_days"], logs["not_collected"]) == (30, ["audit"])
    assert agent.sent == ["list_clusters", "get_log_config"]
    assert (await agent.call("get_log_config", cluster_id=PAYMENTS_PROD, log_type="audit"))["collected"] == ["audit"]
    assert "must be one of: control, audit" in await agent.fail("get_log_config", cluster_id=SHOP_PROD, log_type="all")
    gates = (await agent.call("get_feature_gates"))["gates"]
    assert gates["AutopilotMaintenanceWindow"] == "true"
    assert "MaxReleaseHistory=10" in agent.said


@exercises("get_quotas", "get_chart_quota")
async def test_quotas_are_reported(agent: Agent) -> None:
    quota = (await agent.call("get_quotas"))["quotas"][0]
    assert (quota["used"], quota["limit"], quota["left"]) == (7, 20, 13)
    assert "7 of 20 clusters used" in agent.said
    charts = await agent.call("get_chart_quota")
    assert (charts["used"], charts["limit"]) == (4, 200)
    assert "4 of 200 charts" in agent.said


@exercises("add_cluster_tags", "delete_cluster_tags")
async def test_tags_are_set_and_removed(agent: Agent) -> None:
    added = await agent.call("add_cluster_tags", cluster_id="ml-batch", tags={"team": "research", "owner": ""})
    assert added["set"] == {"team": "research", "owner": ""}
    assert added["tags"] == {"env": "dev", "team": "research", "owner": ""}
    tags = {each["key"]: each["value"] for each in cluster(agent, ML_BATCH)["spec"]["clusterTags"]}
    assert tags == {"env": "dev", "team": "research", "owner": ""}
    removed = await agent.call("delete_cluster_tags", cluster_id=ML_BATCH, keys=["env", "owner"])
    assert (removed["removed"], removed["tags"]) == (["env", "owner"], {"team": "research"})
    assert cluster(agent, ML_BATCH)["spec"]["clusterTags"] == [{"key": "team", "value": "research"}]
    assert "env, owner" in agent.said
    replaced = await agent.call("add_cluster_tags", cluster_id=ML_BATCH, tags={"team": "sales", "a": "b"})
    assert (replaced["replaced"], replaced["tags"]) == ({"team": "research"}, {"team": "sales", "a": "b"})
    assert replaced["summary"] == "2 tags set: team, a. team was research. 2 tags now."


@exercises("upload_chart", "list_charts", "get_chart", "get_chart_values", "update_chart", "download_chart")
async def test_a_chart_is_uploaded_shown_replaced_and_downloaded(agent: Agent, tmp_path: Path) -> None:
    first, second = chart_file(tmp_path, "1.0.0"), chart_file(tmp_path, "1.1.0", replicas=4)
    stored = await agent.call("upload_chart", chart_path=str(first), visible=True)
    assert (stored["name"], stored["version"]) == ("guestbook", "1.0.0")
    listed = await agent.call("list_charts")
    assert stored["id"] in {each["id"] for each in listed["charts"]}
    shown = await agent.call("get_chart", chart_id=stored["id"])
    assert (shown["description"], shown["public"], shown["settings"]) == ("A page to sign", True, ["replicas"])
    assert (await agent.call("get_chart_values", chart_id=stored["id"]))["values"] == {"replicas": 2}

    changed = await agent.call("update_chart", chart_id=stored["id"], chart_path=second.name)
    assert (changed["id"], changed["version"]) == (stored["id"], "1.1.0")
    assert (await agent.call("get_chart_values", chart_id=stored["id"]))["values"] == {"replicas": 4}
    assert "replicas=4" in agent.said
    saved = await agent.call("download_chart", chart_id=stored["id"])
    assert private(tmp_path / "files", saved["path"]) == second.read_bytes()
    assert saved["sha256"] == hashlib.sha256(second.read_bytes()).hexdigest()
    assert saved["path"] in agent.said


@exercises("delete_chart")
async def test_a_deleted_chart_is_gone_and_its_releases_are_not(agent: Agent) -> None:
    gone = await agent.call("delete_chart", chart_id=REDIS)
    assert gone["id"] == REDIS
    assert REDIS in agent.said
    assert REDIS not in agent.world.table("charts")
    assert release(agent, SEARCH_DEV, "default", "query-cache")["status"] == "DEPLOYED"


@exercises("create_release", "list_releases", "get_release", "delete_release")
async def test_a_chart_is_released_into_a_cluster_and_removed_from_it(agent: Agent) -> None:
    which = {"cluster_id": TEAM_SANDBOX, "namespace": "cache", "name": "sessions"}
    values = {"replicas": 2, "auth": {"password": "pa55-w0rd-of-the-cache"}}
    made = await agent.call("create_release", **which, chart_id=REDIS, version="18.6.1", values=values)
    assert (made["chart"], made["revision"]) == ("redis 18.6.1", 1)
    assert release(agent, **which)["_overrides"] == values
    agent.world.advance(60)
    shown = await agent.call("get_release", **which)
    assert (shown["status"], shown["values"]["replicas"]) == ("DEPLOYED", 2)
    assert shown["objects"] == ["Service sessions", "StatefulSet sessions"]
    assert 'objects: "Service sessions", "StatefulSet sessions"' in agent.said
    part = await agent.call("get_release", **which, section="auth")
    assert part["values"]["enabled"] is True
    assert "pa55" not in json.dumps(shown) + agent.said
    listed = await agent.call("list_releases", cluster_id="team-sandbox", namespace="cache", chart_id=REDIS)
    assert [each["name"] for each in listed["releases"]] == ["sessions"]
    gone = await agent.call("delete_release", **which)
    assert (gone["namespace"], gone["name"]) == ("cache", "sessions")
    assert "sessions" in agent.said
    agent.world.advance(60)
    assert agent.world.table("releases").keys().isdisjoint({f"{TEAM_SANDBOX}/cache/sessions"})


@exercises("update_release", "get_release_history")
async def test_a_release_is_upgraded_and_rolled_back_and_its_history_kept(agent: Agent) -> None:
    which = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
    changed = await agent.call(
        "update_release", **which, action="upgrade", chart_id=PAYMENTS_API, values={"replicas": 9}
    )
    assert (changed["revision"], changed["chart"]) == (6, "payments-api 1.9.0")
    assert release(agent, **which)["_values"]["replicas"] == 9
    agent.world.advance(60)
    values = {"replicas": 9, "image": {"tag": "1.8.3"}, "audit": {"level": "full"}}
    await agent.call("update_release", **which, action="upgrade", chart_id=PAYMENTS_API_OLD, values=values)
    agent.world.advance(60)
    await agent.call("update_release", **which, action="rollback", revision=6)
    agent.world.advance(60)
    assert release(agent, **which)["chart_version"] == "1.9.0"
    history = await agent.call("get_release_history", **which)
    changes = {each["revision"]: each["changes"] for each in history["revisions"]}
    assert list(changes) == [8, 7, 6, 5, 4, 3, 2, 1]
    assert changes[6] == ["values.replicas: 6 becomes 9"]
    assert changes[7] == [
        'chart_version: "1.9.0" becomes "1.8.2"',
        'values.audit.level: new, "full"',
        'values.image.tag: "1.9.0" becomes "1.8.3"',
    ]
    assert changes[8][:2] == [
        "same chart and values as revision 6, but masked values are not compared",
        'chart_version: "1.8.2" becomes "1.9.0"',
    ]
    assert 'values.audit.level: "full" is no longer set' in changes[8]
    assert all(line in agent.said for lines in changes.values() for line in lines)
    assert "Rollback to 6" in agent.said


def test_every_operation_of_the_catalog_is_exercised_above(catalog: Catalog) -> None:
    assert {tool for tools in CLAIMED.values() for tool in tools} == set(catalog)
