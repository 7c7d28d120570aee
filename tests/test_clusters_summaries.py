"""What an agent reads about clusters, jobs, quotas and tags."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ap_mcp.files import SavedFile
from ap_mcp.specs import Catalog, Operation
from ap_mcp.summaries import summarise, summarisers
from ap_mcp.summaries.base import Observation, Result

NOW = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
BORN = "2025-05-28 08:00:00.0 +0000 UTC"
UID = "5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01"
KUBECONFIG = SavedFile(Path("/files/shop-prod.kubeconfig"), 5120, "ab" * 32)

UNEXPECTED: list[Any] = [
    {},
    {"metadata": None, "spec": [], "status": "odd"},
    {"metadata": {"name": 7, "creationTimestamp": "yesterday"}, "spec": {"subJobs": {"spec": 1}, "clusterTags": "x"}},
    {"items": [1, None, {"metadata": []}], "quotas": [{}, {"used": "many"}, None]},
    {"status": {"phase": ["Odd"], "endpoints": [None, {"url": 1}]}, "surprise": {"deep": [[[]]]}},
]


def shape(catalog: Catalog, tool: str, body: Any, file: SavedFile | None = None, **arguments: Any) -> Any:
    return summarise(Observation(catalog[tool], arguments, body, file=file, now=NOW))


def cluster(name: str = "shop-prod", phase: str = "Available", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": UID, "alias": name, "creationTimestamp": BORN},
        "spec": {
            "version": "v1.28",
            "platformVersion": "cce.4.0",
            "hostNetwork": {"vpc": "vpc-1", "subnet": "net-1"},
            "eniNetwork": {"subnets": [{"subnetID": "sub-1"}, {"subnetID": "sub-2"}]},
            "serviceNetwork": {"IPv4CIDR": "10.247.0.0/16"},
            "clusterTags": [{"key": "env", "value": "prod"}],
            "extendParam": {"enterpriseProjectId": "0", "upgradefrom": ""},
        },
        "status": {"phase": phase, **status},
    }


def leaf(type_: str, phase: str, reason: str = "", moved: str = "2025-06-02 07:59:00.0 +0000 UTC") -> dict[str, Any]:
    return {
        "metadata": {"uid": type_, "creationTimestamp": BORN, "updateTimestamp": moved},
        "spec": {"type": type_},
        "status": {"phase": phase, "reason": reason},
    }


def tree(phase: str, *children: Mapping[str, Any], type_: str = "CreateCluster", reason: str = "") -> dict[str, Any]:
    return {
        "metadata": {"uid": "job-1", "creationTimestamp": "2025-06-02 07:50:00.0 +0000 UTC"},
        "spec": {"type": type_, "clusterUID": UID, "subJobs": list(children)},
        "status": {"phase": phase, "reason": reason},
    }


def test_a_list_says_what_there_is_and_puts_trouble_first(catalog: Catalog) -> None:
    broken = cluster("zoo", "Error", message="no free address")
    result = shape(catalog, "list_clusters", {"items": [cluster("beta"), cluster("alpha", "Creating"), broken]})
    assert result.summary == "3 clusters: 1 Error, 1 Creating, 1 Available."
    assert [line.name for line in result.clusters] == ["zoo", "alpha", "beta"]
    assert result.clusters[2].model_dump(exclude_none=True) == {
        "id": UID,
        "name": "beta",
        "phase": "Available",
        "version": "v1.28",
        "age": "5 d",
        "tags": "env=prod",
    }
    assert "no free address" in str(result.clusters[0].problem)
    assert result.warnings == ["zoo is Error."]
    assert (result.next[0].tool, result.next[0].arguments) == ("get_cluster", {"cluster_id": UID})


def test_a_cluster_whose_upgrade_failed_counts_as_in_trouble(catalog: Catalog) -> None:
    busy = {"metadata": {"uid": UID, "name": "stuck"}, "status": {"phase": "Upgrading", "message": "etcd is down"}}
    result = shape(catalog, "list_clusters", {"items": [{"metadata": {"name": "a"}}, busy]})
    assert (result.clusters[0].name, result.warnings) == ("stuck", ["stuck is Upgrading."])
    assert (result.next[0].tool, result.next[0].arguments) == ("list_upgrade_tasks", {"cluster_id": UID})


def test_clusters_in_trouble_lead_on_to_what_explains_it_and_healthy_ones_to_nothing(catalog: Catalog) -> None:
    def row(name: str, phase: str, **more: Any) -> dict[str, Any]:
        return {"metadata": {"uid": f"id-{name}", "name": name, **more}, "status": {"phase": phase, "jobID": "job"}}

    note = json.dumps([{"addonTemplateName": "coredns", "version": "1", "status": "installFailed"}])
    ill = row("ill", "Available", annotations={"installedAddonInstances": note})
    result = shape(catalog, "list_clusters", {"items": [row("healthy", "Available"), row("bad", "Error"), ill]})
    assert [(each.tool, each.arguments) for each in result.next] == [
        ("get_job", {"job_id": "job"}),
        ("list_addons", {"cluster_id": "id-ill"}),
    ]
    assert all(each.why.startswith(name) for each, name in zip(result.next, ("bad: ", "ill: "), strict=True))
    assert any(each.startswith("ill: add-on coredns ") for each in result.warnings)
    one = shape(catalog, "get_cluster", ill)
    assert [each.tool for each in one.next] == ["list_addons"]
    assert any(each.startswith("add-on coredns ") for each in one.warnings)
    assert shape(catalog, "list_clusters", {"items": [row("healthy", "Available")]}).next == []


def test_an_empty_project_is_reported_as_such(catalog: Catalog) -> None:
    result = shape(catalog, "list_clusters", {"items": []})
    assert (result.summary, result.clusters) == ("0 clusters.", [])


def test_a_cluster_is_reported_with_its_network_tags_and_age(catalog: Catalog) -> None:
    ends = [{"url": "https://inside:5443", "type": "Internal"}, {"url": "https://203.0.113.8:5443", "type": "External"}]
    result = shape(catalog, "get_cluster", cluster(endpoints=ends))
    assert result.summary == "shop-prod is Available: v1.28, 5 d old."
    assert result.tags == {"env": "prod"}
    assert result.eni_subnet_ids == ["sub-1", "sub-2"]
    assert result.details == {
        "alias": "shop-prod",
        "platform": "cce.4.0",
        "created": "2025-05-28T08:00:00Z",
        "vpc_id": "vpc-1",
        "subnet_id": "net-1",
        "service_cidr": "10.247.0.0/16",
        "enterprise_project_id": "0",
    }
    assert result.endpoints == ["Internal https://inside:5443", "External https://203.0.113.8:5443"]
    assert result.warnings == ["Its API server is exposed to the internet."]
    assert result.next == []


def test_installed_add_ons_are_read_from_the_annotation(catalog: Catalog) -> None:
    body = cluster()
    noted = '[{"addonTemplateName":"coredns","version":"1.30.6","status":"running"},{"addonTemplateName":"nginx"}]'
    body["metadata"]["annotations"] = {"installedAddonInstances": noted}
    assert shape(catalog, "get_cluster", body).addons == ["coredns 1.30.6 running", "nginx"]
    (line,) = shape(catalog, "list_clusters", {"items": [body]}).clusters
    assert line.addons == "coredns 1.30.6 running, nginx"


def test_a_broken_cluster_says_why_and_leads_to_its_job(catalog: Catalog) -> None:
    body = cluster(phase="Error", reason="CreateFailed", message="no free address", jobID="job-1")
    result = shape(catalog, "get_cluster", body)
    assert "Error" in result.summary
    assert "no free address" in result.summary
    assert (result.next[0].tool, result.next[0].arguments) == ("get_job", {"job_id": "job-1"})


@pytest.mark.parametrize(
    ("status", "waiting", "then"),
    [
        ({"phase": "Upgrading"}, {}, "list_upgrade_tasks"),
        ({"phase": "Creating", "jobID": "job-1"}, {}, "get_job"),
        ({"phase": "Deleting", "jobID": "job-1"}, {"until": "deleted"}, "get_job"),
    ],
)
def test_a_cluster_in_which_something_is_under_way_leads_to_its_end(
    catalog: Catalog, status: dict[str, str], waiting: dict[str, Any], then: str
) -> None:
    wait, read = shape(catalog, "get_cluster", cluster(**status), cluster_id=UID).next
    assert (wait.tool, wait.arguments) == ("wait_for", {"kind": "cluster", "id": UID, **waiting})
    assert read.tool == then


def test_locked_and_frozen_clusters_are_pointed_out(catalog: Catalog) -> None:
    warnings = shape(catalog, "get_cluster", cluster(phase="Frozen", isLocked=True, lockScene="ARREAR")).warnings
    assert any("ARREAR" in each for each in warnings)
    assert "The cluster is frozen (phase Frozen): nothing runs in it." in warnings


@pytest.mark.parametrize("phase", ["Hibernating", "Hibernation", "Awaking", "Freezing", "Frozen", "UnFreezing"])
def test_a_cluster_that_rests_is_said_in_words_beside_its_phase(catalog: Catalog, phase: str) -> None:
    result = shape(catalog, "get_cluster", cluster(phase=phase))
    assert f"(phase {phase})" in result.summary
    assert f"is {phase}" not in result.summary
    assert result.phase == phase


def test_an_update_names_what_it_changed(catalog: Catalog) -> None:
    result = shape(catalog, "update_cluster", cluster(), cluster_id=UID, alias="shop", eni_subnet_ids=["sub-1"])
    assert result.summary == "Changed alias and pod subnets of shop-prod."
    assert (result.alias, result.eni_subnet_ids) == ("shop-prod", ["sub-1", "sub-2"])


def test_a_creation_names_the_job_to_follow(catalog: Catalog) -> None:
    result = shape(catalog, "create_cluster", cluster(phase="Creating", jobID="job-1"), name="shop-prod")
    assert (result.cluster_id, result.job_id) == (UID, "job-1")
    (call,) = result.next
    assert (call.tool, call.arguments) == ("wait_for", {"kind": "job", "id": "job-1", "cluster_id": UID})
    assert UID in result.summary


def test_a_creation_without_a_job_is_reported(catalog: Catalog) -> None:
    result = shape(catalog, "create_cluster", cluster(phase="Creating"), name="shop-prod")
    assert result.next == []
    assert "no job" in result.warnings[0]


def test_a_deletion_says_what_goes_and_what_stays(catalog: Catalog) -> None:
    options = {"delete_eni": "delete-block", "delete_net": "delete-try"}
    result = shape(catalog, "delete_cluster", cluster(jobID="job-1", deleteOption=options), cluster_id=UID)
    assert result.summary == "shop-prod is being deleted."
    assert result.removes == ["ENI ports", "Load balancers (goes on if that fails)"]
    assert result.keeps == ["SFS Turbo volumes", "OBS volumes", "SFS 3.0 volumes"]
    assert result.next[0].arguments == {"kind": "job", "id": "job-1", "cluster_id": UID, "until": "deleted"}


def test_a_kubeconfig_is_shown_by_its_place_and_never_by_its_content(catalog: Catalog) -> None:
    body = {
        "clusters": [
            {"name": "internalCluster", "cluster": {"server": "https://192.168.1.7:5443"}},
            {
                "name": "externalCluster",
                "cluster": {"server": "https://203.0.113.8:5443", "insecure-skip-tls-verify": True},
            },
            {"name": "externalTLSVerifyCluster", "cluster": {"server": "https://203.0.113.8:5443"}},
        ],
        "users": [{"name": "user", "user": {"client-key-data": "VERY-PRIVATE"}}],
        "contexts": [
            {"name": "internal", "context": {"cluster": "internalCluster", "user": "user"}},
            {"name": "external", "context": {"cluster": "externalCluster", "user": "user"}},
            {"name": "externalTLSVerify", "context": {"cluster": "externalTLSVerifyCluster", "user": "user"}},
        ],
        "current-context": "external",
    }
    result = shape(catalog, "get_cluster_certificate", body, KUBECONFIG, cluster_id=UID, duration_days=7)
    assert result.file == "/files/shop-prod.kubeconfig"
    assert result.server == "https://203.0.113.8:5443"
    assert result.expires == "2025-06-09T08:00:00Z"
    assert (result.bytes, result.sha256) == (KUBECONFIG.bytes, KUBECONFIG.sha256)
    assert "VERY-PRIVATE" not in result.model_dump_json()
    assert result.command == (
        "kubectl --kubeconfig /files/shop-prod.kubeconfig --context externalTLSVerify get pods -A"
    )
    assert result.command in result.summary
    assert "is reached from the internet" in result.summary
    assert "TLS is not verified with context external: use another one." in result.warnings

    inside = shape(
        catalog,
        "get_cluster_certificate",
        body | {"current-context": "internal"},
        KUBECONFIG._replace(path=Path("/my files/k.yaml")),
        cluster_id=UID,
        duration_days=7,
    )
    assert inside.command == "kubectl --kubeconfig '/my files/k.yaml' get pods -A"
    assert "https://192.168.1.7:5443 is reached only inside its VPC" in inside.summary


@pytest.mark.parametrize("port", [5443, 40123])
def test_an_address_of_a_simulated_cluster_is_never_said_to_be_reached_from_elsewhere(
    catalog: Catalog, port: int
) -> None:
    server = f"https://127.0.0.1:{port}"
    body = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "internal", "context": {"cluster": "c", "user": "user"}}],
        "current-context": "internal",
    }
    served = shape(catalog, "get_cluster_certificate", body, KUBECONFIG, cluster_id=UID, duration_days=7)
    assert f"{server} is reached on this machine only, as simulated ones are." in served.summary
    assert served.command is not None

    operation = catalog["get_cluster_certificate"]
    answer = Observation(operation, {"cluster_id": UID}, body, KUBECONFIG, NOW, context={"simulated": True})
    alone = summarise(answer)
    assert f"{server} is simulated, and nothing listens there: only ap-mcp simulate serves kubectl." in alone.summary
    assert "kubectl --kubeconfig" not in alone.model_dump_json()


def test_addresses_say_whether_the_internet_reaches_the_cluster(catalog: Catalog) -> None:
    inside = {"status": {"privateEndpoint": "https://192.168.3.238:5443", "publicEndpoint": ""}}
    result = shape(catalog, "get_cluster_endpoints", inside, cluster_id=UID)
    assert "not exposed" in result.summary
    assert result.public_url is None
    opened = {
        "status": {"publicEndpoint": "https://203.0.113.8:5443"},
        "spec": {"spec": {"eip": {"bandwidth": {"size": 5}}}},
    }
    result = shape(catalog, "set_cluster_public_access", opened, cluster_id=UID, action="bind", eip_id="eip-1")
    assert "now reachable from the internet at https://203.0.113.8:5443" in result.summary
    assert result.bandwidth_mbit == 5
    assert result.next[0].arguments == {"cluster_id": UID, "action": "unbind"}


def test_closing_the_public_address_is_reported_though_the_answer_is_empty(catalog: Catalog) -> None:
    result = shape(catalog, "set_cluster_public_access", None, cluster_id=UID, action="unbind")
    assert "no longer reachable" in result.summary


def test_a_running_job_shows_percent_of_its_leaves_and_what_runs(catalog: Catalog) -> None:
    network = tree(
        "Success", leaf("CreateSecurityGroup", "Success"), leaf("Allocate", "Success"), type_="PrepareNetwork"
    )
    masters = tree("Running", leaf("InstallMaster", "Running"), leaf("CheckMaster", "Initializing"), type_="Install")
    result = shape(catalog, "get_job", tree("Running", network, masters), job_id="job-1")
    assert (result.verdict, result.percent, result.running) == ("running", 50, ["InstallMaster"])
    assert result.summary == "CreateCluster is running: 50% (2 of 4 done, now InstallMaster) after 10 min."
    assert result.next[0].tool == "wait_for"
    assert result.next[0].arguments == {"kind": "job", "id": "job-1", "cluster_id": UID}
    assert result.stalled_since is None


def test_a_failed_job_puts_the_failing_step_and_its_reason_first(catalog: Catalog) -> None:
    failing = leaf("Allocate", "Failed", "no free address", moved="2025-06-02 07:51:30.0 +0000 UTC")
    group = leaf("CreateSecurityGroup", "Success", moved="2025-06-02 07:51:00.0 +0000 UTC")
    network = tree("Failed", group, failing, type_="PrepareNetwork", reason="no free address")
    result = shape(
        catalog, "get_job", tree("Failed", network, leaf("Later", "Initializing", moved=BORN)), job_id="job-1"
    )
    assert result.verdict == "failed"
    assert [step.model_dump() for step in result.failed] == [
        {"path": "CreateCluster > PrepareNetwork > Allocate", "reason": "no free address"}
    ]
    assert result.summary.startswith('CreateCluster failed after 1 min 30 s at Allocate: "no free address". ')
    assert "must be deleted" in result.summary
    assert result.next[0].tool == "delete_cluster"


def test_a_failed_parent_that_hides_its_step_is_reported_itself(catalog: Catalog) -> None:
    parent = tree("Failed", leaf("Inner", "Running"), type_="Install", reason="timed out")
    result = shape(catalog, "get_job", tree("Failed", parent), job_id="job-1")
    assert [(step.path, step.reason) for step in result.failed] == [("CreateCluster > Install", "timed out")]


def test_a_failed_step_without_a_reason_has_that_of_the_nearest_job_above_it(catalog: Catalog) -> None:
    parent = tree("Failed", leaf("Inner", "Failed", ""), type_="Install", reason="VPC.0104 quota exceeded")
    body = tree("Failed", parent, reason="step Install failed")
    body["status"]["message"] = "creation was rolled back"
    result = shape(catalog, "get_job", body, job_id="job-1")
    assert [(step.path, step.reason) for step in result.failed] == [
        ("CreateCluster > Install > Inner", "VPC.0104 quota exceeded (the reason of Install)")
    ]
    assert [(step.path, step.reason) for step in result.above] == [
        ("CreateCluster", "creation was rolled back; step Install failed")
    ]
    del parent["status"]["reason"], body["status"]["reason"], body["status"]["message"]
    assert shape(catalog, "get_job", body, job_id="job-1").failed[0].reason == "no reason given"


def test_a_long_reason_keeps_its_cause_at_the_end_and_leads_to_the_whole_answer(catalog: Catalog) -> None:
    reason = "step failed " + "error calling include " * 200 + "the host is required"
    result = shape(catalog, "get_job", tree("Failed", leaf("Render", "Failed", reason)), job_id="job-1")
    assert result.failed[0].reason.endswith("the host is required")
    assert len(result.failed[0].reason) <= 1300
    assert "the host is required" in result.summary
    assert result.next[0].model_dump() == {
        "tool": "get_job",
        "arguments": {"job_id": "job-1", "detail": "full"},
        "why": "shows what is cut here",
    }


def test_a_cluster_says_all_that_the_service_says(catalog: Catalog) -> None:
    body = {"metadata": {"uid": UID, "name": "web"}, "status": {"phase": "Error", "errorCode": "CCE.1"}}
    body["status"] |= {"reason": "ELB.8902 quota exceeded", "message": "failed at CreateELB"}
    result = shape(catalog, "get_cluster", body)
    assert result.problem == "failed at CreateELB; ELB.8902 quota exceeded (code CCE.1)"
    assert 'The service says "failed at CreateELB; ELB.8902 quota exceeded (code CCE.1)".' in result.summary
    listed = shape(catalog, "list_clusters", {"items": [body]})
    assert listed.clusters[0].problem == result.problem


def test_a_finished_job_says_so_and_mentions_what_failed_on_the_way(catalog: Catalog) -> None:
    body = tree(
        "Success", leaf("DeleteEniPorts", "Failed", "busy"), leaf("Uninstall", "Success"), type_="DeleteCluster"
    )
    result = shape(catalog, "get_job", body, job_id="job-1")
    assert (result.verdict, result.percent) == ("succeeded", 100)
    assert "The cluster no longer exists." in result.summary
    assert "did not stop the job" in result.warnings[0]
    assert result.next == []
    assert result.structured()["removed"] == ["Uninstall"]
    for other in (tree("Running", leaf("Uninstall", "Success"), type_="DeleteCluster"), tree("Success")):
        assert "removed" not in shape(catalog, "get_job", other, job_id="job-1").structured()


def test_a_job_that_stands_still_is_noticed(catalog: Catalog) -> None:
    body = tree("Running", leaf("InstallMaster", "Running", moved="2025-06-02 07:00:00.0 +0000 UTC"))
    result = shape(catalog, "get_job", body, job_id="job-1")
    assert result.stalled_since == "2025-06-02T07:00:00Z"
    assert result.warnings == ["Nothing has moved for 1 h."]


def test_a_job_of_any_depth_is_read(catalog: Catalog) -> None:
    body = leaf("Deepest", "Running")
    for _ in range(25):
        body = tree("Running", body, type_="Layer")
    result = shape(catalog, "get_job", body, job_id="job-1")
    assert result.running == ["Deepest"]


def test_only_the_first_failures_are_listed_and_the_rest_counted(catalog: Catalog) -> None:
    body = tree("Failed", *(leaf(f"Step{number}", "Failed", "no") for number in range(25)))
    result = shape(catalog, "get_job", body, job_id="job-1")
    assert len(result.failed) == 20
    assert "25 steps failed" in result.warnings[0]


def test_a_quota_says_what_is_left(catalog: Catalog) -> None:
    body = {"quotas": [{"quotaKey": "autopilot_cluster", "quotaLimit": 20, "used": 13, "unit": "count"}]}
    result = shape(catalog, "get_quotas", body)
    assert result.summary == "13 of 20 clusters used, 7 left."
    assert result.warnings == []


def test_a_full_quota_and_an_unreadable_one_are_warned_about(catalog: Catalog) -> None:
    body = {"quotas": [{"quotaKey": "cluster", "quotaLimit": 20, "used": 20}, {"quotaKey": "odd"}]}
    warnings = shape(catalog, "get_quotas", body).warnings
    assert "No more clusters" in warnings[0]
    assert "1 more could not be read" in warnings[1]


def test_changed_tags_are_reported_from_the_arguments(catalog: Catalog) -> None:
    added = shape(catalog, "add_cluster_tags", None, cluster_id=UID, tags={"env": "test", "team": "shop"})
    assert added.summary == "2 tags set: env, team. Other tags are as they were."
    removed = shape(catalog, "delete_cluster_tags", None, cluster_id=UID, keys=["env"])
    assert (removed.summary, removed.removed) == ("1 tag removed: env. Other tags are as they were.", ["env"])


@pytest.mark.parametrize("body", UNEXPECTED, ids=range(len(UNEXPECTED)))
@pytest.mark.parametrize(
    "tool",
    [
        *("list_clusters", "get_cluster", "update_cluster", "create_cluster", "delete_cluster", "get_job"),
        *("get_cluster_certificate", "get_cluster_endpoints", "set_cluster_public_access", "get_quotas"),
        *("add_cluster_tags", "delete_cluster_tags"),
    ],
)
def test_unexpected_answers_are_still_reported_in_a_sentence(catalog: Catalog, tool: str, body: Any) -> None:
    result = shape(catalog, tool, body)
    assert isinstance(result, Result)
    assert (type(result).__name__ == "Unread") == is_foreign(catalog[tool], body)
    assert result.summary.endswith(".")


def is_foreign(operation: Operation, body: Any) -> bool:
    """Whether the answer to a read holds nothing that the specs know of it, or not what it is about."""
    known = operation.follow(operation.response or {}).get("properties", {})
    section = summarisers()[operation.summary].section
    lacks = bool(section) and section not in body
    return lacks or (operation.effect == "read" and bool(known and body) and not known.keys() & body.keys())


def test_the_answer_of_another_service_is_not_taken_for_an_empty_list(catalog: Catalog) -> None:
    result = shape(catalog, "list_clusters", {"message": "Welcome", "version": "1.0"})
    assert result.summary.endswith("the service answered, but with nothing in it that such an answer holds.")
    assert shape(catalog, "list_clusters", {"kind": "Cluster", "items": None}).summary == "0 clusters."


@pytest.mark.parametrize("rows", [["a"], ["a", 7, None], "a", 3])
def test_a_list_of_what_are_no_clusters_is_shown_as_it_came(catalog: Catalog, rows: Any) -> None:
    assert type(shape(catalog, "list_clusters", {"kind": "Cluster", "items": rows})).__name__ == "Unread"


def test_entries_that_are_no_clusters_are_counted_beside_the_clusters(catalog: Catalog) -> None:
    found = shape(catalog, "list_clusters", {"items": ["a", {"metadata": {"uid": UID, "name": "x"}}, None]})
    assert found.summary == "1 cluster: 1 unknown."
    assert [each.startswith("2 entries of the list could not be read") for each in found.warnings] == [True]


@pytest.mark.parametrize("row", [{"used": 2}, {"quotaLimit": "unlimited", "used": 2}, {"quotaLimit": 5, "used": -1}])
def test_a_quota_that_cannot_be_read_is_shown_as_it_came(catalog: Catalog, row: Any) -> None:
    (warning,) = shape(catalog, "get_quotas", {"quotas": [{"quotaKey": "elb", **row}]}).warnings
    assert "elb" in warning
    assert all(str(each) in warning for each in row.values())


def test_a_cluster_in_a_phase_that_is_not_known_is_not_said_to_be_under_way(catalog: Catalog) -> None:
    body = {"metadata": {"uid": UID, "name": "x"}, "spec": {}, "status": {"phase": "Dreaming"}}
    (found,) = shape(catalog, "get_cluster", body, cluster_id=UID).next
    assert (found.tool, "not known" in found.why, "not done" in found.why) == ("wait_for", True, False)
