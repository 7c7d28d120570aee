"""What an agent reads about add-ons."""

from collections.abc import Mapping
from typing import Any

import pytest

from ap_mcp.rules.wait_hints import WAIT_FOR
from ap_mcp.simulator.addon_templates import default_values, templates, version_of
from ap_mcp.specs import Catalog, load_catalog
from ap_mcp.summaries import Observation, Result, summarise
from ap_mcp.summaries.addon_templates import TemplateList
from ap_mcp.summaries.addons import AddonChange, AddonDeletion, AddonList, AddonState

CLUSTER = "c1042db6-6a2f-11ef-8c35-0255ac100b07"
ADDON = "90b775e0-5774-4e1d-ab3b-516332ba047a"
WAIT = {"kind": "addon", "id": ADDON, "cluster_id": CLUSTER}


@pytest.fixture
def summed(catalog: Catalog) -> Any:
    def call(operation: str, body: Any, **arguments: Any) -> Result:
        return summarise(Observation(catalog[operation], {"cluster_id": CLUSTER, **arguments}, body))

    return call


def instance(status: str = "running", *, values: Any = "default", version: str = "1.28.6", **more: Any) -> Any:
    current = version_of("coredns", version)
    return {
        "kind": "Addon",
        "apiVersion": "v3",
        "metadata": {"uid": ADDON, "name": "coredns", "alias": "coredns"},
        "spec": {
            "clusterID": CLUSTER,
            "version": version,
            "addonTemplateName": "coredns",
            "addonTemplateType": "helm",
            "description": "Names",
            "values": default_values("coredns", version) if values == "default" else values,
        },
        "status": {"status": status, "Reason": "", "message": "", "currentVersion": current, **more},
    }


def test_a_list_has_one_line_per_addon_and_those_in_trouble_come_first(summed: Any) -> None:
    broken = instance("installFailed", message="no\nmore quota")
    broken["spec"]["addonTemplateName"] = "zebra"
    body = {"items": [instance(targetVersions=["1.30.6", "1.29.4"]), instance("upgrading"), broken]}
    result = summed("list_addons", body)
    assert isinstance(result, AddonList)
    assert result.summary == "3 add-ons: 1 installFailed, 1 upgrading, 1 running."
    assert [line.name for line in result.addons] == ["zebra", "coredns", "coredns"]
    assert result.addons[2].upgrade_to == "1.30.6"
    assert result.addons[0].problem == "no more quota"
    assert [(call.tool, call.why) for call in result.next] == [("get_addon", "zebra could not be installed")]


def test_a_cluster_without_addons_is_said_to_have_none(summed: Any) -> None:
    assert summed("list_addons", {"items": None}).summary == "0 add-ons."


def test_an_addon_shows_only_the_values_that_differ_from_the_template(summed: Any) -> None:
    values = default_values("coredns", "1.28.6")
    values["custom"]["multiAZEnabled"] = True
    values["flavor"]["replicas"] = 4
    values["systemAutoInject"] = {"user": {"projectID": "p"}}
    result = summed("get_addon", instance(values=values, targetVersions=["1.30.6"], isRollbackable=False))
    assert isinstance(result, AddonState)
    assert result.summary == "coredns 1.28.6 runs. It can go to 1.30.6."
    assert result.changed_values == {"custom": {"multiAZEnabled": True}, "flavor": {"replicas": 4}}
    assert result.size == "autopilot-flavor1: 4 x coredns 1000m 2048Mi"
    assert "custom.stub_domains" in (result.settings or ())
    assert (result.rollbackable, result.problem, result.next, result.warnings) == (False, None, [], [])


def test_an_addon_whose_values_are_not_reported_comes_with_a_warning(summed: Any) -> None:
    result = summed("get_addon", instance(values=None))
    assert result.changed_values is None
    assert "did not report the current values" in result.warnings[0]


def test_an_image_that_stayed_behind_at_an_upgrade_is_noticed(summed: Any) -> None:
    values = default_values("coredns", "1.28.4")
    for tool in ("get_addon", "update_addon"):
        result = summed(tool, instance(values=values, version="1.28.6"))
        assert '"1.28.4"' in result.warnings[0]
        assert '{"basic": {"image_version": null}}' in result.warnings[0]


@pytest.mark.parametrize(
    ("status", "more", "tool"),
    [
        ("installFailed", {}, "delete_addon"),
        ("upgradeFailed", {"isRollbackable": True, "previousVersion": "1.28.4"}, "rollback_addon"),
        ("deleteFailed", {}, "delete_addon"),
        ("unknown", {}, "delete_addon"),
        ("installFailed", {"isRollbackable": True, "previousVersion": "1.28.4"}, "delete_addon"),
    ],
)
def test_what_to_do_next_follows_from_the_state(summed: Any, status: str, more: Mapping[str, Any], tool: str) -> None:
    result = summed("get_addon", instance(status, **more))
    assert [call.tool for call in result.next] == [tool]
    assert result.next[0].arguments == {"cluster_id": CLUSTER, "addon_id": ADDON}


@pytest.mark.parametrize("status", ["abnormal", "upgradeFailed", "rollbackFailed"])
def test_an_addon_that_is_there_but_unhealthy_is_not_proposed_for_deletion(summed: Any, status: str) -> None:
    (call,) = summed("get_addon", instance(status, isRollbackable=False)).next
    assert (call.tool, call.arguments) == ("list_addon_templates", {"cluster_id": CLUSTER, "template_name": "coredns"})


@pytest.mark.parametrize(("status", "more"), [("installing", {}), ("deleting", {"until": "deleted"})])
def test_what_is_not_done_yet_is_waited_for(summed: Any, status: str, more: dict[str, Any]) -> None:
    (call,) = summed("get_addon", instance(status), addon_id=ADDON).next
    assert (call.tool, call.arguments) == (WAIT_FOR, {**WAIT, **more})


def test_a_failure_is_reported_with_the_words_of_the_service_in_quotation_marks(summed: Any) -> None:
    result = summed("get_addon", instance("abnormal", Reason="ImagePullBackOff", message='pull "x"\x1b[31m denied'))
    assert result.problem == "\"pull 'x' denied; ImagePullBackOff\""
    assert "does not work" in result.summary


@pytest.mark.parametrize(
    ("tool", "status", "more", "summary"),
    [
        ("install_addon", "installing", {}, "coredns 1.28.6 is being installed."),
        (
            "update_addon",
            "upgrading",
            {"previousVersion": "1.28.4", "Reason": "addon upgrading"},
            "coredns 1.28.6 is being changed. It was 1.28.4 before.",
        ),
        (
            "rollback_addon",
            "rollbacking",
            {"previousVersion": "1.29.4"},
            "coredns 1.28.6 is being rolled back. It was 1.29.4 before.",
        ),
    ],
)
def test_a_change_says_what_it_started_and_how_to_wait_for_it(
    summed: Any, tool: str, status: str, more: Mapping[str, Any], summary: str
) -> None:
    result = summed(tool, instance(status, **more), **({} if tool == "install_addon" else {"addon_id": ADDON}))
    assert isinstance(result, AddonChange)
    assert result.summary == summary
    assert result.id == ADDON
    pods = {"kind": "rollout", "id": "deployment/coredns", "namespace": "kube-system"}
    waits = [(WAIT_FOR, WAIT), (WAIT_FOR, {**pods, "cluster_id": WAIT["cluster_id"]})]
    assert [(call.tool, call.arguments) for call in result.next] == waits


@pytest.mark.parametrize(
    ("body", "warnings"), [("success", 0), ('"success"', 0), ("queued", 1), (None, 0), ({"a": 1}, 1)]
)
def test_a_deletion_says_that_it_began_and_quotes_an_unexpected_confirmation(
    summed: Any, body: Any, warnings: int
) -> None:
    result = summed("delete_addon", body, addon_id=ADDON)
    assert isinstance(result, AddonDeletion)
    assert result.summary == f"The add-on {ADDON} is being deleted."
    assert len(result.warnings) == warnings
    assert [(call.tool, call.arguments) for call in result.next] == [(WAIT_FOR, {**WAIT, "until": "deleted"})]


def test_the_catalogue_becomes_one_line_per_template(summed: Any) -> None:
    result = summed("list_addon_templates", {"items": templates()})
    assert isinstance(result, TemplateList)
    assert len(result.templates) == len(templates())
    assert result.versions is None
    assert len(result.model_dump_json()) < 4000
    ingress = next(each for each in result.templates if each.name == "nginx-ingress")
    assert (ingress.newest, ingress.clusters) == ("3.0.8", "v1.25, v1.27, v1.28, v1.29, v1.30, v1.31, v1.32")


def test_one_template_comes_with_its_versions_sizes_and_default_values(summed: Any) -> None:
    result = summed("list_addon_templates", {"items": templates("nginx-ingress")}, template_name="nginx-ingress")
    assert [each.version for each in result.versions] == ["3.0.8", "2.6.32", "2.6.0", "2.1.5", "4.0.3"]
    assert (result.versions[4].stable, result.versions[3].clusters) == (False, "v1.25, v1.27, v1.28")
    assert result.default_values["custom"]["ingressClass"] == "nginx"
    assert result.sizes[0] == "autopilot-flavor1: 2 x controller 2000m 2048Mi, defaultBackend 100m 128Mi"
    assert result.summary == "nginx-ingress: 5 versions; the newest stable one is 3.0.8."


def test_a_template_that_is_not_known_is_said_to_be_missing(summed: Any) -> None:
    result = summed("list_addon_templates", {"items": []}, template_name="istio")
    assert result.summary == 'No template is called "istio".'
    assert [(call.tool, call.arguments) for call in result.next] == [("list_addon_templates", {})]
    assert summed("list_addon_templates", {"items": []}).next == []


def test_patterns_of_an_unknown_form_are_shown_as_they_are(summed: Any) -> None:
    template = templates("grafana")[0]
    template["spec"]["versions"][0]["supportVersions"] = [{"clusterVersion": ["v1\\.3[0-2]-r.*", "v1.(29).*"]}]
    result = summed("list_addon_templates", {"items": [template]})
    assert result.versions[0].clusters == "v1.29, v1\\.3[0-2]-r.*"


@pytest.mark.parametrize("tool", ["list_addons", "get_addon", "install_addon", "list_addon_templates"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": [{}, None, 7], "spec": None, "status": "running"},
        {"metadata": [], "spec": {"values": {"flavor": 3, "custom": []}}, "status": {"targetVersions": "2.0"}},
        {"items": [{"spec": {"versions": [{"input": None, "supportVersions": None, "version": None}]}}]},
    ],
)
def test_unexpected_answers_are_summed_up_without_an_error(summed: Any, tool: str, body: Any) -> None:
    result = summed(tool, body)
    assert result.summary
    assert "in a form this tool does not know" not in result.summary


def test_secrets_among_the_values_stay_hidden(summed: Any) -> None:
    values = default_values("coredns", "1.28.6")
    values["custom"]["admin_password"] = "Very-Secret-1"
    result = summed("get_addon", instance(values=values))
    assert "Very-Secret-1" not in result.model_dump_json()
    assert "admin_password" in result.changed_values["custom"]


def test_a_change_of_an_addon_whose_workload_is_known_leads_to_the_wait_for_its_pods() -> None:
    for name, expected in (("coredns", ["deployment/coredns"]), ("log-agent", [])):
        body = {"metadata": {"uid": "a1"}, "spec": {"addonTemplateName": name}, "status": {"status": "upgrading"}}
        answer = Observation(load_catalog()["update_addon"], {"cluster_id": "c1", "addon_id": "a1"}, body)
        calls = [each.arguments for each in summarise(answer).next if each.tool == "wait_for"]
        assert calls[0]["kind"] == "addon", "first for the add-on itself"
        assert [each["id"] for each in calls if each["kind"] == "rollout"] == expected
