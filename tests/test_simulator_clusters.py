"""The simulated clusters: their life cycle, their jobs, and access to them."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from simulation import Caller, fresh_world, simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.cluster_rows import QUOTA, set_version
from ap_mcp.simulator.world import World

pytestmark = pytest.mark.anyio

ANOTHER_EIP = "0d1f7c3e-55a8-4e6b-9c02-7ab6f1e0d934"


@pytest.fixture
def world() -> World:
    return fresh_world()


@pytest.fixture
async def cloud(world: World) -> AsyncIterator[Caller]:
    async with Caller(simulate(world)) as caller:
        yield caller


def wanted(name: str = "fresh-one", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Cluster",
        "apiVersion": "v3",
        "metadata": {"name": name},
        "spec": {
            "flavor": "cce.autopilot.cluster",
            "hostNetwork": {"vpc": constants.VPC_ID, "subnet": constants.HOST_SUBNET_ID},
            "containerNetwork": {"mode": "eni"},
            "eniNetwork": {"subnets": [{"subnetID": constants.SUBNET_IDS[0]}]},
            **spec,
        },
    }


async def create(cloud: Caller, body: dict[str, Any]) -> Any:
    return await cloud.send("POST", f"{cloud.project}/clusters", body)


async def read(cloud: Caller, cluster: str, *, detail: bool = False) -> Any:
    query = [("detail", "true")] if detail else []
    return (await cloud.send("GET", f"{cloud.project}/clusters/{cluster}", query=query)).json()


async def job_of(cloud: Caller, job_id: str) -> Any:
    return (await cloud.send("GET", f"{cloud.project}/jobs/{job_id}")).json()


async def bind(cloud: Caller, cluster: str, eip: str = constants.EIP_ID) -> Any:
    body = {"spec": {"action": "bind", "spec": {"id": eip}}}
    return await cloud.send("PUT", f"{cloud.project}/clusters/{cluster}/mastereip", body)


async def unbind(cloud: Caller, cluster: str) -> Any:
    return await cloud.send("PUT", f"{cloud.project}/clusters/{cluster}/mastereip", {"spec": {"action": "unbind"}})


async def certificate(cloud: Caller, cluster: str, days: int) -> Any:
    return await cloud.send("POST", f"{cloud.project}/clusters/{cluster}/clustercert", {"duration": days})


def reason_of(response: Any) -> str:
    return str(response.json()["message"])


def pem(encoded: str) -> bytes:
    return base64.b64decode(encoded)


async def test_a_created_cluster_becomes_available_when_its_job_has_ended(cloud: Caller, world: World) -> None:
    answer = await create(cloud, wanted(enableSnat=True, enableSWRImageAccess=True))
    assert answer.status_code == 201
    created = answer.json()
    uid, job_id = created["metadata"]["uid"], created["status"]["jobID"]
    assert created["status"] == {"phase": "Creating", "jobID": job_id}
    assert created["spec"]["enableSnat"] is True
    assert "alias" not in created["metadata"]
    world.advance(60)
    running = await job_of(cloud, job_id)
    assert running["status"]["phase"] == "Running"
    assert [part["spec"]["type"] for part in running["spec"]["subJobs"]] == [
        *("PrepareNetwork", "InstallControlPlane", "RegisterCluster"),
    ]
    world.advance(600)
    assert (await job_of(cloud, job_id))["status"]["phase"] == "Success"
    cluster = await read(cloud, uid)
    assert cluster["status"]["phase"] == "Available"
    assert [end["type"] for end in cluster["status"]["endpoints"]] == ["Internal"]
    assert cluster["metadata"]["alias"] == "fresh-one"
    assert "enableSnat" not in cluster["spec"]


async def test_the_newest_version_is_built_unless_another_is_asked_for(cloud: Caller) -> None:
    assert (await create(cloud, wanted())).json()["spec"]["version"] == "v1.31"
    assert (await create(cloud, wanted("older-one", version="v1.29"))).json()["spec"]["version"] == "v1.29"
    refused = await create(cloud, wanted("other-one", version="v1.19"))
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "CCE.01400015")
    assert "supported: v1.31, v1.30" in reason_of(refused)


async def test_an_alias_of_its_own_is_kept_and_shown(cloud: Caller) -> None:
    body = wanted()
    body["metadata"]["alias"] = "friendly-name"
    created = (await create(cloud, body)).json()
    assert created["metadata"]["alias"] == "friendly-name"
    assert (await read(cloud, created["metadata"]["uid"]))["metadata"]["alias"] == "friendly-name"


@pytest.mark.parametrize("alias", ["", "shop-prod", "payments"])
async def test_names_and_aliases_are_used_once_only(cloud: Caller, alias: str) -> None:
    body = wanted("fresh-one" if alias else "shop-prod")
    if alias:
        body["metadata"]["alias"] = alias
    refused = await create(cloud, body)
    assert (refused.status_code, refused.json()["errorCode"]) == (409, "CCE.01409001")
    assert repr(alias or "shop-prod") in reason_of(refused)


async def test_no_cluster_is_created_beyond_the_quota(cloud: Caller, world: World) -> None:
    for number in range(QUOTA - len(world.table("clusters"))):
        assert (await create(cloud, wanted(f"filler-{number}"))).status_code == 201
    refused = await create(cloud, wanted("one-too-many"))
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "CCE.01400007")


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"hostNetwork": {"vpc": "vpc-1", "subnet": constants.HOST_SUBNET_ID}}, "CCE.01400001", "'vpc-1'"),
        ({"hostNetwork": {"vpc": constants.VPC_ID, "subnet": "subnet-1"}}, "CCE.01400002", "'subnet-1'"),
        ({"eniNetwork": {"subnets": [{"subnetID": "somewhere"}]}}, "CCE.01400002", "'somewhere'"),
        ({"serviceNetwork": {"IPv4CIDR": "10.247.0.1/16"}}, "CCE.01400001", "10.247.0.1/16"),
        ({"clusterTags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, "CCE.01400001", "twice"),
        ({"flavor": "cce.s2.small"}, "CCE.01400001", "flavor"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    cloud: Caller, spec: dict[str, Any], code: str, said: str
) -> None:
    refused = await create(cloud, wanted(**spec))
    assert (refused.status_code, refused.json()["errorCode"]) == (400, code)
    assert said in reason_of(refused)


async def test_a_subnet_without_free_addresses_fails_the_creation_and_says_so(cloud: Caller, world: World) -> None:
    body = wanted(eniNetwork={"subnets": [{"subnetID": constants.FULL_SUBNET_ID}]})
    uid = (await create(cloud, body)).json()["metadata"]["uid"]
    world.advance(600)
    status = (await read(cloud, uid))["status"]
    assert (status["phase"], status["reason"]) == ("Error", "CreateFailed")
    assert "no free IP address" in status["message"]
    job = await job_of(cloud, status["jobID"])
    network = job["spec"]["subJobs"][0]
    assert network["spec"]["subJobs"][-1]["status"]["phase"] == "Failed"
    assert "no free IP address" in job["status"]["reason"]


async def test_add_ons_asked_for_at_creation_are_steps_of_its_job(cloud: Caller) -> None:
    body = wanted()
    asked = [{"addonTemplateName": "coredns"}, {"addonTemplateName": "metrics-server", "values": {"custom": {}}}]
    body["metadata"]["annotations"] = {"cluster.install.addons/install": json.dumps(asked)}
    job = await job_of(cloud, (await create(cloud, body)).json()["status"]["jobID"])
    parts = {part["spec"]["type"]: part["spec"].get("subJobs", []) for part in job["spec"]["subJobs"]}
    assert [step["spec"]["resourceName"] for step in parts["InstallAddons"]] == ["coredns", "metrics-server"]


async def test_the_account_starts_with_healthy_busy_and_broken_clusters(cloud: Caller) -> None:
    listed = (await cloud.send("GET", f"{cloud.project}/clusters")).json()["items"]
    phases = {each["metadata"]["name"]: each["status"]["phase"] for each in listed}
    assert phases == {
        **dict.fromkeys(constants.CLUSTER_NAMES.values(), "Available"),
        "ml-batch": "Creating",
        "legacy-import": "Error",
    }
    shop = next(each for each in listed if each["metadata"]["name"] == "shop-prod")
    assert {"key": "env", "value": "prod"} in shop["spec"]["clusterTags"]
    assert not [key for each in listed for key in each if key.startswith("_")]


async def test_the_cluster_being_created_gets_ready_with_time(cloud: Caller, world: World) -> None:
    job_id = (await read(cloud, constants.ML_BATCH))["status"]["jobID"]
    assert (await job_of(cloud, job_id))["spec"]["subJobs"][0]["status"]["phase"] == "Success"
    world.advance(900)
    assert (await job_of(cloud, job_id))["status"]["phase"] == "Success"
    assert (await read(cloud, constants.ML_BATCH))["status"]["phase"] == "Available"


async def test_the_failed_creation_explains_itself_and_stays_failed(cloud: Caller, world: World) -> None:
    before = await read(cloud, constants.LEGACY_IMPORT)
    world.advance(3600)
    assert await read(cloud, constants.LEGACY_IMPORT) == before
    job = await job_of(cloud, before["status"]["jobID"])
    assert job["status"]["phase"] == "Failed"
    assert "no free IP address" in job["status"]["reason"]
    assert job["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "Error"}, {"legacy-import"}),
        ({"status": "Upgrading"}, set()),
        ({"version": "v1.28"}, {"shop-prod"}),
        ({"version": "v1.30.4-r2"}, {"payments-prod", "search-dev"}),
        ({"type": "VirtualMachine", "version": "v1.29", "status": "Available"}, {"checkout-staging"}),
    ],
)
async def test_filters_narrow_the_list(cloud: Caller, query: dict[str, str], found: set[str]) -> None:
    answer = await cloud.send("GET", f"{cloud.project}/clusters", query=list(query.items()))
    assert {each["metadata"]["name"] for each in answer.json()["items"]} == found


async def test_detail_adds_the_installed_add_ons_as_an_annotation(cloud: Caller, world: World) -> None:
    addon = {
        "metadata": {"uid": "addon-1"},
        "spec": {"clusterID": constants.TEAM_SANDBOX, "addonTemplateName": "coredns", "version": "1.30.6"},
        "status": {"status": "running"},
    }
    world.table("addons").clear()
    world.table("addons")["addon-1"] = addon
    plain = await read(cloud, constants.TEAM_SANDBOX)
    assert "installedAddonInstances" not in plain["metadata"]["annotations"]
    detailed = await read(cloud, constants.TEAM_SANDBOX, detail=True)
    noted = json.loads(detailed["metadata"]["annotations"]["installedAddonInstances"])
    assert noted == [{"addonTemplateName": "coredns", "version": "1.30.6", "status": "running"}]


async def test_an_update_changes_only_what_it_names(cloud: Caller) -> None:
    before = await read(cloud, constants.SEARCH_DEV)
    path = f"{cloud.project}/clusters/{constants.SEARCH_DEV}"
    body = {"spec": {"description": "New purpose"}, "metadata": {"alias": "search"}}
    updated = await cloud.send("PUT", path, body)
    assert updated.status_code == 200
    after = await read(cloud, constants.SEARCH_DEV)
    assert after == updated.json()
    assert after["spec"] == before["spec"] | {"description": "New purpose"}
    assert after["metadata"]["alias"] == "search"
    subnets = [{"subnetID": subnet} for subnet in constants.SUBNET_IDS[1:]]
    await cloud.send("PUT", path, {"spec": {"eniNetwork": {"subnets": subnets}}})
    last = await read(cloud, constants.SEARCH_DEV)
    assert last["spec"]["eniNetwork"] == {"subnets": subnets}
    assert last["metadata"]["alias"] == "search"


@pytest.mark.parametrize(
    ("cluster", "body", "status"),
    [
        (constants.SEARCH_DEV, {"spec": {}, "metadata": {"alias": "payments"}}, 409),
        (constants.SEARCH_DEV, {"spec": {"description": "no <tags>"}}, 400),
        (constants.SEARCH_DEV, {"spec": {"eniNetwork": {"subnets": [{"subnetID": "x"}]}}}, 400),
        (constants.SEARCH_DEV, {"spec": {"description": "a" * 201}}, 400),
        (constants.LEGACY_IMPORT, {"spec": {"description": "still broken"}}, 400),
        ("7be01c34-41aa-11ef-9c02-000000000000", {"spec": {"description": "missing"}}, 404),
    ],
)
async def test_an_update_that_cannot_be_is_refused(
    cloud: Caller, cluster: str, body: dict[str, Any], status: int
) -> None:
    refused = await cloud.send("PUT", f"{cloud.project}/clusters/{cluster}", body)
    assert refused.status_code == status
    assert refused.json()["errorCode"].startswith(f"CCE.01{status}")


async def test_a_deleted_cluster_goes_with_its_job_and_cannot_be_found_afterwards(cloud: Caller, world: World) -> None:
    path = f"{cloud.project}/clusters/{constants.TEAM_SANDBOX}"
    query = [("delete_obs", "true"), ("delete_net", "try"), ("lts_reclaim_policy", "Delete_Log_Group")]
    answer = await cloud.send("DELETE", path, query=query)
    assert answer.status_code == 200
    status = answer.json()["status"]
    assert status["deleteOption"] == {
        "delete_eni": "delete-block",
        "delete_net": "delete-try",
        "delete_obs": "delete-block",
    }
    assert (await read(cloud, constants.TEAM_SANDBOX))["status"]["phase"] == "Deleting"
    job = await job_of(cloud, status["jobID"])
    assert [part["spec"]["type"] for part in job["spec"]["subJobs"]] == [
        *("DeleteAddons", "ReclaimResources", "DeleteLogGroup", "UninstallMaster", "DeleteSecurityGroup"),
    ]
    world.advance(600)
    assert (await job_of(cloud, status["jobID"]))["status"]["phase"] == "Success"
    gone = await cloud.send("GET", path)
    assert (gone.status_code, gone.json()["errorCode"]) == (404, "CCE.01404001")


async def test_a_second_deletion_names_the_job_that_runs_already(cloud: Caller, world: World) -> None:
    path = f"{cloud.project}/clusters/{constants.TEAM_SANDBOX}"
    first = (await cloud.send("DELETE", path)).json()["status"]["jobID"]
    world.advance(5)
    assert (await cloud.send("DELETE", path)).json()["status"]["jobID"] == first
    assert [job["spec"]["type"] for job in world.table("jobs").values()].count("DeleteCluster") == 1


async def test_a_deletion_stops_at_what_cannot_be_removed_unless_it_may_go_on(cloud: Caller, world: World) -> None:
    path = f"{cloud.project}/clusters/{constants.PAYMENTS_PROD}"
    await cloud.send("DELETE", path)
    world.advance(600)
    status = (await read(cloud, constants.PAYMENTS_PROD))["status"]
    assert (status["phase"], status["reason"]) == ("Error", "DeleteFailed")
    assert "deletion protection" in status["message"]
    await cloud.send("DELETE", path, query=[("delete_net", "try")])
    world.advance(600)
    assert (await cloud.send("GET", path)).status_code == 404


async def test_a_cluster_that_is_being_created_cannot_be_deleted(cloud: Caller) -> None:
    refused = await cloud.send("DELETE", f"{cloud.project}/clusters/{constants.ML_BATCH}")
    assert refused.status_code == 400
    assert "is Creating" in reason_of(refused)


async def test_an_unknown_job_is_not_found(cloud: Caller) -> None:
    refused = await cloud.send("GET", f"{cloud.project}/jobs/{constants.VPC_ID}")
    assert (refused.status_code, refused.json()["errorCode"]) == (404, "CCE.01404001")


async def test_a_kubeconfig_holds_a_working_client_certificate_for_the_days_asked(cloud: Caller, world: World) -> None:
    answer = await certificate(cloud, constants.SEARCH_DEV, 30)
    assert answer.headers["Port-ID"]
    config = answer.json()
    assert [each["name"] for each in config["clusters"]] == ["internalCluster"]
    assert config["current-context"] == "internal"
    user = config["users"][0]["user"]
    client = x509.load_pem_x509_certificate(pem(user["client-certificate-data"]))
    authority_pem = pem(config["clusters"][0]["cluster"]["certificate-authority-data"])
    authority = x509.load_pem_x509_certificate(authority_pem)
    key = serialization.load_pem_private_key(pem(user["client-key-data"]), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == client.public_key()
    client.verify_directly_issued_by(authority)
    assert client.not_valid_after_utc - client.not_valid_before_utc == timedelta(days=30)
    assert client.not_valid_before_utc == world.now()
    assert isinstance(client.signature_hash_algorithm, hashes.SHA256)


async def test_every_certificate_of_a_cluster_comes_from_one_authority(cloud: Caller, world: World) -> None:
    first = (await certificate(cloud, constants.SEARCH_DEV, 1)).json()
    restored = World.from_json(world.to_json())
    async with Caller(simulate(restored)) as again:
        second = (await certificate(again, constants.SEARCH_DEV, 1)).json()
    assert second["clusters"] == first["clusters"]
    assert second["users"] != first["users"]


async def test_minus_one_day_means_five_years(cloud: Caller, world: World) -> None:
    user = (await certificate(cloud, constants.SEARCH_DEV, -1)).json()["users"][0]["user"]
    client = x509.load_pem_x509_certificate(pem(user["client-certificate-data"]))
    assert client.not_valid_after_utc == world.now().replace(year=world.now().year + 5)


async def test_five_years_from_a_leap_day_end_on_the_first_of_march(cloud: Caller, world: World) -> None:
    world.advance((datetime(2028, 2, 29, 12, tzinfo=UTC) - world.now()).total_seconds())
    user = (await certificate(cloud, constants.SEARCH_DEV, -1)).json()["users"][0]["user"]
    client = x509.load_pem_x509_certificate(pem(user["client-certificate-data"]))
    assert f"{client.not_valid_after_utc:%Y-%m-%d}" == "2033-03-01"


@pytest.mark.parametrize("days", [0, 1827, 1828, -2])
async def test_a_certificate_for_an_impossible_time_is_refused(cloud: Caller, days: int) -> None:
    assert (await certificate(cloud, constants.SEARCH_DEV, days)).status_code == 400


async def test_a_cluster_that_does_not_run_issues_no_certificates(cloud: Caller) -> None:
    refused = await certificate(cloud, constants.ML_BATCH, 1)
    assert refused.status_code == 400
    assert "needs an Available cluster" in reason_of(refused)


async def test_binding_an_address_opens_the_cluster_and_unbinding_closes_it(cloud: Caller) -> None:
    bound = (await bind(cloud, constants.SEARCH_DEV)).json()
    public = bound["status"]["publicEndpoint"]
    assert public == f"https://{bound['spec']['elasticIp']}:5443"
    ends = (await read(cloud, constants.SEARCH_DEV))["status"]["endpoints"]
    assert {"url": public, "type": "External"} in ends
    config = (await certificate(cloud, constants.SEARCH_DEV, 1)).json()
    assert config["current-context"] == "external"
    outside = next(each["cluster"] for each in config["clusters"] if each["name"] == "externalCluster")
    assert outside == {"server": public, "insecure-skip-tls-verify": True}
    addresses = await cloud.send("GET", f"{cloud.project}/clusters/{constants.SEARCH_DEV}/openapi")
    assert addresses.json()["status"] == bound["status"]
    closed = await unbind(cloud, constants.SEARCH_DEV)
    assert (closed.status_code, closed.content) == (200, b"")
    after = (await cloud.send("GET", f"{cloud.project}/clusters/{constants.SEARCH_DEV}/openapi")).json()
    assert after["status"]["publicEndpoint"] == ""
    assert after["spec"]["spec"]["eip"]["bandwidth"] == {}


async def test_binding_and_unbinding_twice_does_no_harm(cloud: Caller) -> None:
    first = await bind(cloud, constants.SEARCH_DEV)
    assert (await bind(cloud, constants.SEARCH_DEV)).json() == first.json()
    for _ in range(2):
        assert (await unbind(cloud, constants.SEARCH_DEV)).status_code == 200


@pytest.mark.parametrize(
    ("cluster", "eip"),
    [(constants.SEARCH_DEV, ANOTHER_EIP), (constants.SHOP_PROD, constants.EIP_ID)],
    ids=["second", "taken"],
)
async def test_one_address_per_cluster_and_one_cluster_per_address(cloud: Caller, cluster: str, eip: str) -> None:
    await bind(cloud, constants.SEARCH_DEV)
    refused = await bind(cloud, cluster, eip)
    assert (refused.status_code, refused.json()["errorCode"]) == (409, "CCE.01409001")
    assert "unbind it first" in reason_of(refused)


async def test_binding_needs_the_id_of_an_address(cloud: Caller) -> None:
    path = f"{cloud.project}/clusters/{constants.SEARCH_DEV}/mastereip"
    for spec in ({"action": "bind"}, {"action": "bind", "spec": {"id": "8.8.8.8"}}):
        refused = await cloud.send("PUT", path, {"spec": spec})
        assert refused.status_code == 400
        assert "mandatory" in reason_of(refused)


async def test_a_cluster_being_created_has_no_addresses_yet(cloud: Caller) -> None:
    answer = (await cloud.send("GET", f"{cloud.project}/clusters/{constants.ML_BATCH}/openapi")).json()
    assert answer["status"] == {"privateEndpoint": "", "publicEndpoint": ""}


def test_a_changed_version_leaves_its_trace(world: World) -> None:
    row = world.table("clusters")[constants.CHECKOUT_STAGING]
    set_version(row, "v1.30.10-r0")
    set_version(row, "v1.31.6-r0", "cce.4.0")
    assert row["spec"]["version"] == "v1.31"
    assert row["spec"]["platformVersion"] == "cce.4.0"
    assert row["spec"]["extendParam"]["upgradefrom"] == "v1.29.8-r0,v1.30.10-r0"
