import copy
from collections.abc import Callable
from typing import Any

import pytest
from impacts import Judge, judge

from ap_mcp.errors import CallRefused, NotFound, PermissionDenied
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.specs import Effect

pytestmark = pytest.mark.anyio

TOOLS: dict[str, dict[str, Any]] = {
    "update_addon": {"target_version": "1.30.29"},
    "rollback_addon": {},
    "delete_addon": {},
}
everything = pytest.mark.parametrize(("tool", "arguments"), TOOLS.items(), ids=TOOLS)


def facts(impact: Impact) -> dict[str, str]:
    return dict(impact.facts)


def row(cloud: Judge, name: str = "coredns", cluster_id: str = PAYMENTS_PROD) -> dict[str, Any]:
    rows = cloud.world.table("addons").values()
    return next(
        each for each in rows if (each["spec"]["clusterID"], each["spec"]["addonTemplateName"]) == (cluster_id, name)
    )


def uid(cloud: Judge, name: str = "coredns", cluster_id: str = PAYMENTS_PROD) -> str:
    return str(row(cloud, name, cluster_id)["metadata"]["uid"])


async def ask(cloud: Judge, tool: str, name: str = "coredns", **arguments: Any) -> Impact:
    return await cloud.impact(tool, cluster_id=PAYMENTS_PROD, addon_id=uid(cloud, name), **arguments)


async def refusal(cloud: Judge, tool: str, name: str = "coredns", **arguments: Any) -> str:
    return await cloud.refusal(tool, cluster_id=PAYMENTS_PROD, addon_id=uid(cloud, name), **arguments)


async def upgraded(cloud: Judge, **arguments: Any) -> None:
    """Bring the add-on to a newer version, so that there is one to go back to."""
    wanted = {"target_version": "1.30.29", **arguments}
    await cloud.send("update_addon", cluster_id=PAYMENTS_PROD, addon_id=uid(cloud), **wanted)
    cloud.world.advance(60)


async def readied(cloud: Judge, tool: str) -> None:
    if tool == "rollback_addon":
        await upgraded(cloud)


def with_(pointer: str, value: Any) -> Callable[[Any], Any]:
    """Bend an answer: put a value at a pointer; an exception class there takes the key away."""

    def bend(body: Any) -> Any:
        bent = copy.deepcopy(body)
        *way, last = pointer.split("/")[1:]
        node = bent
        for step in way:
            node = node[int(step)] if isinstance(node, list) else node[step]
        if value is KeyError:
            del node[last]
        else:
            node[last] = value
        return bent

    return bend


@everything
async def test_the_name_to_type_is_the_add_ons_own(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await readied(cloud, tool)
        impact = await ask(cloud, tool, **arguments if tool != "update_addon" else {"values": {"custom": {"a": 1}}})
        addon = row(cloud)
    assert impact.name == "coredns"
    assert "add-on coredns" in impact.sentence
    assert "cluster payments-prod" in impact.sentence
    assert facts(impact)["add-on"] == f"coredns {addon['spec']['version']}, id {addon['metadata']['uid']}"
    assert facts(impact)["status"] == "running"
    assert PAYMENTS_PROD in facts(impact)["cluster"]
    assert "The cluster looks like production: tag env=prod." in impact.warnings


@everything
async def test_an_add_on_of_another_cluster_is_not_found_there(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        error = await cloud.failure(tool, cluster_id=SEARCH_DEV, addon_id=uid(cloud), **arguments)
    assert isinstance(error, NotFound)


@everything
async def test_an_add_on_that_says_it_is_of_another_cluster_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.bent["get_addon"] = with_("/spec/clusterID", SEARCH_DEV)
        said = await refusal(cloud, tool, **arguments)
        cloud.bent["get_addon"] = with_("/spec/clusterID", KeyError)
        unsaid = await refusal(cloud, tool, **arguments)
    assert f"the add-on belongs to cluster {SEARCH_DEV}, not to {PAYMENTS_PROD}" in said
    assert "does not say which cluster" in unsaid


@everything
async def test_an_add_on_with_another_id_than_asked_for_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.bent["get_addon"] = with_("/metadata/uid", "another")
        assert "the service answered with another" in await refusal(cloud, tool, **arguments)


@everything
@pytest.mark.parametrize("read", ["get_cluster", "get_addon"])
async def test_without_cluster_and_add_on_a_person_is_not_asked(
    tool: str, arguments: dict[str, Any], read: str
) -> None:
    async with judge() as cloud:
        cloud.fail(read)
        error = await cloud.failure(tool, cluster_id=PAYMENTS_PROD, addon_id=uid(cloud), **arguments)
    assert isinstance(error, PermissionDenied)


@everything
async def test_a_catalogue_that_cannot_be_read_is_said_and_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await readied(cloud, tool)
        arguments = {"values": {"custom": {"a": 1}}} if tool == "update_addon" else arguments
        whole = await ask(cloud, tool, **arguments)
        cloud.fail("list_addon_templates")
        impact = await ask(cloud, tool, **arguments)
    assert any("could not be read (HTTP 403" in each for each in impact.unknown)
    assert any(each.startswith("Could not be read:") for each in impact.warnings)
    assert impact.fingerprint() != whole.fingerprint()


@everything
async def test_a_template_that_is_not_listed_any_more_is_said(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await readied(cloud, tool)
        cloud.bent["list_addon_templates"] = with_("/items", [])
        impact = await ask(cloud, tool, **arguments if tool != "update_addon" else {"values": {"custom": {"a": 1}}})
    assert any("its template is not listed any more" in each for each in impact.unknown)


@everything
async def test_the_fingerprint_outlives_time_but_not_a_change(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await readied(cloud, tool)
        arguments = {"values": {"custom": {"a": 1}}} if tool == "update_addon" else arguments
        first = await ask(cloud, tool, **arguments)
        cloud.world.advance(90_000)
        later = await ask(cloud, tool, **arguments)
        row(cloud)["spec"]["values"]["custom"]["tolerations"] = []
        changed = await ask(cloud, tool, **arguments)
        row(cloud)["status"]["status"] = "abnormal"
        broken = await ask(cloud, tool, **arguments)
    assert first.text() != later.text(), "the age is shown"
    assert first.fingerprint() == later.fingerprint()
    assert len({each.fingerprint() for each in (later, changed, broken)}) == 3


@everything
async def test_a_cluster_that_is_not_available_is_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await readied(cloud, tool)
        cloud.row(PAYMENTS_PROD)["status"]["phase"] = "Upgrading"
        arguments = {"values": {"custom": {"a": 1}}} if tool == "update_addon" else arguments
        assert "The cluster is Upgrading, not Available." in (await ask(cloud, tool, **arguments)).warnings


async def test_an_upgrade_shows_from_where_to_where_and_the_rollback() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_addon", target_version="1.30.29")
    assert impact.sentence == "Upgrades add-on coredns from 1.30.6 to 1.30.29 in cluster payments-prod."
    assert facts(impact)["rollback"] == "rollback_addon, to 1.30.6, while the service allows it"
    assert facts(impact)["cluster version"] == "v1.30"
    assert "its pods may restart" in impact.goes
    assert any("all its other settings" in each for each in impact.stays)


async def test_an_upgrade_takes_new_defaults_where_the_old_ones_are_untouched_and_says_what_it_keeps() -> None:
    async with judge() as cloud:
        row(cloud)["spec"]["values"]["custom"]["parameterSyncStrategy"] = "inherit"
        followed = await ask(cloud, "update_addon", target_version="1.30.29")
        corrected = await ask(
            cloud, "update_addon", target_version="1.30.29", values={"basic": {"image_version": None}}
        )
    assert 'basic.image_version: "1.30.6" becomes "1.30.29" (untouched, so it follows 1.30.29)' in followed.changes
    assert followed.sentence == "Upgrades add-on coredns from 1.30.6 to 1.30.29 in cluster payments-prod."
    assert "settings that were changed from their defaults: custom.parameterSyncStrategy" in followed.stays
    assert not any("image_version" in each for each in (*followed.warnings, *corrected.warnings))
    assert 'basic.image_version: "1.30.6" goes back to "1.30.29"' in corrected.changes


def without_version(template: Any, version: str) -> Any:
    spec = template["spec"]
    return {**template, "spec": {**spec, "versions": [each for each in spec["versions"] if each["version"] != version]}}


async def test_where_the_defaults_are_not_known_each_setting_that_may_be_stale_is_warned_of() -> None:
    async with judge() as cloud:
        whole = await ask(cloud, "update_addon", target_version="1.30.29")
        cloud.fail("list_addon_templates")
        unread = await ask(cloud, "update_addon", target_version="1.30.29")
        cloud.app.state.faults.clear()
        cloud.bent["list_addon_templates"] = lambda body: {"items": [without_version(body["items"][0], "1.30.6")]}
        cloud.bent["get_addon"] = with_("/status/currentVersion", None)
        half = await ask(cloud, "update_addon", target_version="1.30.29")
    assert any("the defaults of the two versions: could not be read" in each for each in unread.unknown)
    stale = 'basic.image_version stays "1.30.6"; null in values takes the default.'
    assert stale in unread.warnings
    assert whole.fingerprint() != unread.fingerprint()
    assert any(
        each.startswith('basic.image_version stays "1.30.6", the defaults of 1.30.29 have') for each in half.warnings
    )


async def test_a_full_replacement_shows_everything_that_goes_back() -> None:
    async with judge() as cloud:
        row(cloud)["spec"]["values"]["custom"]["parameterSyncStrategy"] = "inherit"
        impact = await ask(cloud, "update_addon", values={"custom": {"multiAZEnabled": True}}, reset_values=True)
        cloud.bent["get_addon"] = with_("/spec/values", None)
        blind = await ask(cloud, "update_addon", values={"custom": {"multiAZEnabled": True}}, reset_values=True)
    left_out = 'custom.parameterSyncStrategy: "inherit" goes back to "ensureConsistent" (left out of the call)'
    assert left_out in impact.changes
    for each in (impact, blind):
        assert each.effect == "disrupt"
        assert any("that the call does not give goes back to the defaults of 1.30.6" in one for one in each.warnings)
    assert "which settings change: the service does not report those of now" in blind.unknown


async def test_a_second_upgrade_takes_the_way_back_of_the_first_away() -> None:
    async with judge() as cloud:
        addon = row(cloud, "nginx-ingress")
        addon["status"] |= {"isRollbackable": True, "previousVersion": "2.6.0"}
        impact = await ask(cloud, "update_addon", "nginx-ingress", target_version="3.0.8")
    assert "the rollback to 2.6.0, which rollback_addon can do now" in impact.goes


async def test_changed_settings_are_shown_by_their_path() -> None:
    async with judge() as cloud:
        wanted = {"custom": {"parameterSyncStrategy": "inherit", "fresh": 3, "upstream_nameservers": None}}
        impact = await ask(cloud, "update_addon", values=wanted)
    assert impact.sentence == "Changes 3 settings of add-on coredns 1.30.6 in cluster payments-prod."
    assert impact.changes == (
        'custom.parameterSyncStrategy: "ensureConsistent" becomes "inherit"',
        "custom.upstream_nameservers: [] goes back to its default",
        "custom.fresh: new, 3",
    )
    assert impact.goes == ("its pods may restart",)
    assert "rollback_addon undoes an upgrade" in facts(impact)["rollback"]


async def test_settings_that_are_as_wanted_already_are_no_change() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_addon", values={"custom": {"parameterSyncStrategy": "ensureConsistent"}})
    assert impact.sentence == "Changes no setting of add-on coredns 1.30.6 in cluster payments-prod."
    assert "Neither its version nor a setting would change." in impact.warnings


async def test_no_secret_is_shown_of_a_changed_setting() -> None:
    async with judge() as cloud:
        row(cloud, "cie-collector")["spec"]["values"]["custom"]["aom_app_secret"] = "hunter2-old"
        wanted = {"custom": {"aom_app_secret": "hunter2-new", "bearer_token": "hunter2-token"}}
        impact = await ask(cloud, "update_addon", "cie-collector", values=wanted)
    assert "hunter2" not in impact.text()
    assert "hunter2" not in str(impact.structured())
    assert "custom.aom_app_secret: changed, 11 characters" in impact.changes
    assert "custom.bearer_token: changed, 13 characters" in impact.changes


@pytest.mark.parametrize("values", [None, "", "no settings", [], 7])
async def test_an_update_is_refused_when_the_current_settings_are_not_reported(values: Any) -> None:
    async with judge() as cloud:
        cloud.bent["get_addon"] = with_("/spec/values", values)
        for arguments in ({"target_version": "1.30.29"}, {"values": {"custom": {"a": 1}}}):
            said = await refusal(cloud, "update_addon", **arguments)
            assert "values of now, so nothing can be merged into them, and update_addon resets what it does not" in said
            assert said.endswith("reset_values: true sends the given values alone, a person is asked.")


async def test_hidden_settings_are_not_sent_back_as_asterisks() -> None:
    async with judge() as cloud:
        row(cloud, "cie-collector")["spec"]["values"]["custom"]["aom_app_secret"] = "*****"
        said = await refusal(cloud, "update_addon", "cie-collector", values={"custom": {"retention": "2d"}})
        real = {"custom": {"retention": "2d", "aom_app_secret": "the-real-one"}}
        impact = await ask(cloud, "update_addon", "cie-collector", values=real)
    assert "to asterisks: custom.aom_app_secret" in said
    assert "the-real-one" not in impact.text()


@pytest.mark.parametrize("target", ["9.9.9", "1.28.4", "1.30"])
async def test_a_version_that_is_not_offered_is_refused(target: str) -> None:
    async with judge() as cloud:
        said = await refusal(cloud, "update_addon", target_version=target)
    assert f"add-on coredns 1.30.6 cannot go to {target}; offered for this cluster: 1.30.29" in said


async def test_where_nothing_is_offered_the_refusal_says_so() -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        assert "offered for this cluster: none" in await refusal(cloud, "update_addon", target_version="2.0.0")


async def test_an_offered_version_that_does_not_run_on_the_cluster_is_refused() -> None:
    async with judge() as cloud:
        cloud.bent["get_cluster"] = with_("/spec/version", "v1.27")
        said = await refusal(cloud, "update_addon", target_version="1.30.29")
    assert "coredns 1.30.29 does not run on cluster version v1.27" in said


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("v1.(27|28).*", False),
        ("v1.(30).*", True),
        ("v1.30.*", True),
        (r"^v1\.(28|30)\..*$", True),
        ("v1.3.*", True),
        ("(a+)+$", None),
        ("v1.30.1-r0", None),
        ("v1.(30|31)$", False),
        ("v2.*", False),
    ],
)
async def test_a_pattern_decides_for_all_patches_of_the_version_that_the_cluster_reports(
    pattern: str, fits: bool | None
) -> None:
    def bend(body: Any) -> Any:
        bent = copy.deepcopy(body)
        for version in bent["items"][0]["spec"]["versions"]:
            version["supportVersions"] = [{"clusterType": "VirtualMachine", "clusterVersion": [pattern]}]
        return bent

    async with judge() as cloud:
        cloud.bent["list_addon_templates"] = bend
        if fits is False:
            assert "does not run on" in await refusal(cloud, "update_addon", target_version="1.30.29")
            return
        impact = await ask(cloud, "update_addon", target_version="1.30.29")
    assert any("whether 1.30.29 runs on cluster version v1.30" in each for each in impact.unknown) is (fits is None)


async def test_a_version_for_trial_only_is_warned_of() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_addon", "nginx-ingress", target_version="4.0.3")
    assert "4.0.3 is not marked as stable." in impact.warnings


async def test_a_version_that_the_template_does_not_list_is_not_known() -> None:
    async with judge() as cloud:
        cloud.bent["get_addon"] = with_("/status/targetVersions", ["1.31.0"])
        impact = await ask(cloud, "update_addon", target_version="1.31.0")
    assert any("its template does not list this version" in each for each in impact.unknown)


@pytest.mark.parametrize("status", ["installing", "upgrading", "rollbacking", "deleting"])
async def test_a_busy_add_on_is_not_changed_or_rolled_back(status: str) -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        row(cloud)["status"] |= {"status": status, "isRollbackable": True}
        changed = await refusal(cloud, "update_addon", values={"custom": {"a": 1}})
        rolled = await refusal(cloud, "rollback_addon")
    assert f"coredns is {status}" in changed
    assert f"it is {status} and must be one of: running, available" in rolled
    wait = f'wait_for(kind="addon", id="{row(cloud)["metadata"]["uid"]}", cluster_id="{PAYMENTS_PROD}"'
    assert wait in changed
    assert ('until="deleted"' in changed) == (status == "deleting")


async def test_what_only_a_new_installation_fixes_is_not_updated_and_nobody_is_asked() -> None:
    async with judge() as cloud:
        broken = uid(cloud, "dew-provider", SEARCH_DEV)
        cloud.bent["get_addon"] = lambda body: {**body, "status": {**body["status"], "Reason": "no such agency"}}
        named: dict[str, Any] = {"cluster_id": SEARCH_DEV, "addon_id": broken}
        with pytest.raises(CallRefused) as refused:
            await cloud.impact("update_addon", **named, values={"custom": {"rotation_enable": False}})
        impact = await cloud.impact("delete_addon", **named)
    said = refused.value.render()
    assert "dew-provider is installFailed" in said
    assert "delete_addon, then install_addon again" in said
    assert all("no such agency" in each and "rotation_enable" in each for each in (said, facts(impact)["status"]))
    assert any("The add-on is installFailed: deleting and installing it anew" in each for each in impact.warnings)


async def test_settings_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    async with judge() as cloud:
        assert "nested too deep" in await refusal(cloud, "update_addon", values=deep)


async def test_a_rollback_shows_to_which_version_and_what_it_cannot_know() -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        impact = await ask(cloud, "rollback_addon")
    assert impact.sentence == "Rolls back add-on coredns from 1.30.29 to 1.30.6 in cluster payments-prod."
    assert "version: 1.30.29 becomes 1.30.6" in impact.changes
    assert "the settings made since the last upgrade" in impact.goes
    assert "its pods may restart" in impact.goes
    assert facts(impact)["upgrade again"] == "update_addon, if 1.30.29 is offered then"
    assert any("which settings it goes back to" in each for each in impact.unknown)


@pytest.mark.parametrize("reported", [False, "false", None, KeyError, "maybe"])
async def test_only_what_the_service_calls_rollbackable_is_rolled_back(reported: Any) -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        cloud.bent["get_addon"] = with_("/status/isRollbackable", reported)
        assert "cannot be rolled back: the service does not say that there is" in await refusal(cloud, "rollback_addon")


@pytest.mark.parametrize("status", ["running", "available", "abnormal", "upgradeFailed", "rollbackFailed"])
async def test_settled_add_ons_can_be_rolled_back(status: str) -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        row(cloud)["status"]["status"] = status
        assert "to 1.30.6" in (await ask(cloud, "rollback_addon")).sentence


@pytest.mark.parametrize("status", ["installFailed", "deleteFailed", "deleteSuccess", "unknown", "new one", None])
async def test_in_any_other_state_nothing_is_rolled_back(status: str | None) -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        cloud.bent["get_addon"] = with_("/status/status", status)
        assert "must be one of" in await refusal(cloud, "rollback_addon")


async def test_a_rollback_to_a_version_that_is_too_old_for_the_cluster_is_warned_of() -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        cloud.bent["get_addon"] = with_("/status/previousVersion", "1.28.4")
        impact = await ask(cloud, "rollback_addon")
    assert "1.28.4 does not run on this cluster's version." in impact.warnings


async def test_a_rollback_to_an_unknown_version_says_so() -> None:
    async with judge() as cloud:
        await upgraded(cloud)
        cloud.bent["get_addon"] = with_("/status/previousVersion", KeyError)
        impact = await ask(cloud, "rollback_addon")
    assert "to the version before its last upgrade" in impact.sentence
    assert "which version it goes back to" in impact.unknown
    assert any("is not reported" in each for each in impact.warnings)


async def test_deleting_a_mandatory_add_on_says_what_breaks() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "delete_addon")
    assert impact.effect == "destroy"
    assert impact.sentence == "Removes add-on coredns from cluster payments-prod."
    assert "It is mandatory: clusters are not meant to be without it." in impact.warnings
    assert "name resolution: no pod can find a Service or an outside host by its name" in impact.goes
    assert facts(impact)["is for"].startswith('"Resolves the names of Services')
    assert "which workloads rely on it" in impact.unknown


async def test_a_standard_add_on_is_known_even_when_the_catalogue_is_not() -> None:
    async with judge() as cloud:
        cloud.fail("list_addon_templates")
        impact = await ask(cloud, "delete_addon")
    assert "It is a standard add-on: every cluster gets it from the start." in impact.warnings
    assert any("whether it is mandatory: could not be read" in each for each in impact.unknown)


async def test_an_optional_add_on_is_not_called_mandatory() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "delete_addon", "nginx-ingress")
    assert not any("mandatory" in each or "standard" in each for each in impact.warnings)
    assert any("Ingresses" in each for each in impact.goes)


async def test_deleting_names_the_settings_that_are_lost() -> None:
    async with judge() as cloud:
        plain = await ask(cloud, "delete_addon")
        row(cloud)["spec"]["values"]["custom"] |= {"multiAZEnabled": True, "api_token": "hunter2"}
        tuned = await ask(cloud, "delete_addon")
        cloud.bent["get_addon"] = with_("/spec/values", None)
        untold = await ask(cloud, "delete_addon")
    assert "its settings, all of them defaults" in plain.goes
    assert "its settings; these differ from the defaults: custom.api_token, custom.multiAZEnabled" in tuned.goes
    assert "hunter2" not in tuned.text()
    assert "its settings" in untold.goes
    assert any("differ from the defaults: the service did not report" in each for each in untold.unknown)
    assert facts(plain)["size"] == "autopilot-flavor1: 2 x coredns 1000m 2048Mi"


async def test_what_is_being_deleted_is_not_deleted_again() -> None:
    async with judge() as cloud:
        await cloud.send("delete_addon", cluster_id=PAYMENTS_PROD, addon_id=uid(cloud))
        said = await refusal(cloud, "delete_addon")
    assert "is being deleted already" in said
    assert said.endswith('until="deleted") says when it is deleted.')


async def test_deleting_a_busy_add_on_is_warned_of() -> None:
    async with judge() as cloud:
        row(cloud)["status"]["status"] = "upgrading"
        assert "It is upgrading: something is under way." in (await ask(cloud, "delete_addon")).warnings


async def test_a_nameless_add_on_cannot_be_agreed_to() -> None:
    async with judge() as cloud:
        cloud.bent["get_addon"] = lambda body: {**body, "spec": {"clusterID": PAYMENTS_PROD}, "metadata": {}}
        with pytest.raises(CallRefused, match="name is not reported"):
            await ask(cloud, "delete_addon")


@pytest.mark.parametrize("cluster_id", [SHOP_PROD, TEAM_SANDBOX])
async def test_every_seeded_add_on_can_be_judged(cluster_id: str) -> None:
    async with judge() as cloud:
        for each in list(cloud.world.table("addons").values()):
            if each["spec"]["clusterID"] == cluster_id:
                effect: Effect = "destroy"
                named = {"cluster_id": cluster_id, "addon_id": each["metadata"]["uid"]}
                impact = await cloud.impact("delete_addon", effect=effect, **named)
                assert impact.name == each["spec"]["addonTemplateName"]
