import copy
import json
from typing import Any

import pytest
from impacts import Judge, judge

from ap_mcp.errors import CallRefused, NotFound, PermissionDenied
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.where import Where
from ap_mcp.simulator.chart_seed import PAYMENTS_API, PAYMENTS_API_OLD, REDIS, SEARCH_API
from ap_mcp.simulator.constants import PAYMENTS_PROD, SEARCH_DEV

pytestmark = pytest.mark.anyio

HOSTILE = "fine\nWarning: none\r\n- nothing goes\x1b[2K\u202e\u200b"
PAYMENTS = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
UPGRADE = {"action": "upgrade", "chart_id": PAYMENTS_API, "values": {"replicas": 8}}
ROLLBACK = {"action": "rollback", "chart_id": PAYMENTS_API, "revision": 1}
REPLACE = {"chart_id": PAYMENTS_API, "version": "1.9.0", "values": {"replicas": 8}, "replace": True}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "upgrade": ("update_release", UPGRADE),
    "rollback": ("update_release", ROLLBACK),
    "delete": ("delete_release", {}),
    "replace": ("create_release", REPLACE),
}
everything = pytest.mark.parametrize(("tool", "arguments"), CALLS.values(), ids=CALLS)
NAMING_A_CHART = {name: call for name, call in CALLS.items() if "chart_id" in call[1]}
with_chart = pytest.mark.parametrize(("tool", "arguments"), NAMING_A_CHART.values(), ids=NAMING_A_CHART)


def facts(impact: Impact) -> dict[str, str]:
    return dict(impact.facts)


def row(cloud: Judge, place: str = "payments/payments-api", cluster_id: str = PAYMENTS_PROD) -> dict[str, Any]:
    found: dict[str, Any] = cloud.world.table("releases")[f"{cluster_id}/{place}"]
    return found


async def ask(cloud: Judge, tool: str, **arguments: Any) -> Impact:
    return await cloud.impact(tool, **PAYMENTS | arguments)


async def refusal(cloud: Judge, tool: str, **arguments: Any) -> str:
    return await cloud.refusal(tool, **PAYMENTS | arguments)


def changed(**parts: Any) -> Any:
    """Bend an answer: replace parts of the release in it."""
    return lambda body: {**body, **parts}


@everything
async def test_the_name_to_type_is_the_releases_own(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await ask(cloud, tool, **arguments)
    assert impact.name == "payments-api"
    assert "release payments/payments-api in cluster payments-prod" in impact.sentence
    assert facts(impact)["release"] == "payments/payments-api, revision 5, payments-api 1.9.0"
    assert facts(impact)["status"] == "DEPLOYED"
    assert facts(impact)["last changed"] == "12 d ago"
    assert PAYMENTS_PROD in facts(impact)["cluster"]
    assert "The cluster looks like production: tag env=prod." in impact.warnings


@everything
async def test_a_release_of_another_cluster_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.bent["get_release"] = changed(cluster_id=SEARCH_DEV)
        other = await refusal(cloud, tool, **arguments)
        cloud.bent["get_release"] = lambda body: {key: body[key] for key in body if key != "cluster_id"}
        unsaid = await refusal(cloud, tool, **arguments)
    assert f"the release belongs to cluster {SEARCH_DEV}, not to {PAYMENTS_PROD}" in other
    assert "does not say which cluster" in unsaid


@everything
@pytest.mark.parametrize("part", [{"name": "another"}, {"namespace": "default"}, {"name": None}])
async def test_another_release_than_asked_for_is_refused(
    tool: str, arguments: dict[str, Any], part: dict[str, Any]
) -> None:
    async with judge() as cloud:
        cloud.bent["get_release"] = changed(**part)
        assert "asked for release payments/payments-api, the service answered" in await refusal(
            cloud, tool, **arguments
        )


@with_chart
async def test_another_chart_than_asked_for_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        for found in (REDIS, None):
            cloud.bent["get_chart"] = changed(id=found)
            assert f"asked for chart {PAYMENTS_API}, the service answered with" in await refusal(
                cloud, tool, **arguments
            )


@everything
async def test_the_cluster_must_be_readable(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.fail("get_cluster")
        assert isinstance(await cloud.failure(tool, **PAYMENTS | arguments), PermissionDenied)


@pytest.mark.parametrize("call", ["upgrade", "rollback", "delete"])
@pytest.mark.parametrize(("name", "kind"), [("payments-api", PermissionDenied), ("none-such", NotFound)])
async def test_a_release_that_cannot_be_read_is_not_touched(call: str, name: str, kind: type[Exception]) -> None:
    tool, arguments = CALLS[call]
    async with judge() as cloud:
        if kind is PermissionDenied:
            cloud.fail("get_release")
        error = await cloud.failure(tool, **PAYMENTS | arguments | {"name": name})
    assert isinstance(error, kind)


@everything
async def test_what_is_being_deleted_is_left_alone(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        await cloud.send("delete_release", **PAYMENTS)
        said = await refusal(cloud, tool, **arguments)
    assert "release payments/payments-api is being deleted already" in said
    assert 'wait_for(kind="release", id="payments-api", cluster_id=' in said


@everything
@pytest.mark.parametrize("status", ["PENDING_INSTALL", "PENDING_UPGRADE", "PENDING_ROLLBACK"])
async def test_a_change_under_way_is_warned_of(tool: str, arguments: dict[str, Any], status: str) -> None:
    async with judge() as cloud:
        row(cloud)["status"] = status
        impact = await ask(cloud, tool, **arguments)
    assert any(f"It is {status}: another change of it is under way" in each for each in impact.warnings)


@everything
async def test_the_fingerprint_outlives_time_but_not_a_change(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        first = await ask(cloud, tool, **arguments)
        cloud.world.advance(90_000)
        later = await ask(cloud, tool, **arguments)
        row(cloud)["status"] = "FAILED"
        failed = await ask(cloud, tool, **arguments)
        row(cloud)["values"] = row(cloud)["values"].replace("payments-db", "other-db")
        resettled = await ask(cloud, tool, **arguments)
        row(cloud)["version"] = 4
        newer = await ask(cloud, tool, **arguments)
    assert first.text() != later.text(), "the age is shown"
    assert first.fingerprint() == later.fingerprint()
    assert len({each.fingerprint() for each in (later, failed, resettled, newer)}) == 4


@everything
async def test_no_secret_of_a_release_is_shown(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await ask(cloud, tool, **arguments)
        row(cloud)["values"] = "no JSON: password: S1mulated-db-passw0rd"
        if arguments.get("action") == "upgrade":
            unexpected = await refusal(cloud, tool, **arguments)
        else:
            unexpected = str((await ask(cloud, tool, **arguments)).structured())
    assert "S1mulated" not in impact.text() + str(impact.structured()) + unexpected


@everything
async def test_a_cluster_that_is_not_available_is_warned_of(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        cloud.row(PAYMENTS_PROD)["status"]["phase"] = "Upgrading"
        assert "The cluster is Upgrading, not Available." in (await ask(cloud, tool, **arguments)).warnings


async def test_an_upgrade_changes_what_it_names_and_keeps_the_rest() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_release", **UPGRADE)
    assert "the chart stays payments-api 1.9.0" in impact.sentence
    assert impact.changes == ("replicas: 6 becomes 8",)
    assert impact.goes == ("its pods may restart",)
    assert "all its other settings" in impact.stays
    assert not any("go back" in each for each in impact.warnings)
    assert facts(impact)["rollback"] == "update_release with action rollback to revision 5"
    assert facts(impact)["new chart"] == f"payments-api 1.9.0, id {PAYMENTS_API}"


async def test_an_upgrade_to_another_version_follows_its_defaults_where_nothing_was_changed() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_release", **UPGRADE | {"chart_id": PAYMENTS_API_OLD})
    assert impact.sentence.endswith("from payments-api 1.9.0 to payments-api 1.8.2.")
    assert 'image.tag: "1.9.0" becomes "1.8.2" (untouched, so it follows the chart)' in impact.changes
    assert "settings that were changed from their defaults: replicas, database.password" in impact.stays


async def test_without_the_old_charts_defaults_each_setting_that_may_be_stale_is_warned_of() -> None:
    async with judge() as cloud:
        cloud.bent["list_charts"] = lambda body: [each for each in body if each["version"] != "1.9.0"]
        impact = await ask(cloud, "update_release", **UPGRADE | {"chart_id": PAYMENTS_API_OLD})
    assert any("the defaults of payments-api 1.9.0: could not be read" in each for each in impact.unknown)
    stays = """image.tag stays "1.9.0", the chart's defaults have "1.8.2"; null in values takes the default."""
    assert stays in impact.warnings
    assert not any("image.tag" in each for each in impact.goes)


async def test_an_upgrade_without_settings_keeps_them_and_one_that_resets_says_what_goes() -> None:
    async with judge() as cloud:
        kept = await ask(cloud, "update_release", action="upgrade", chart_id=PAYMENTS_API)
        reset = await ask(cloud, "update_release", **UPGRADE | {"values": {}, "reset_values": True})
    assert not any("go back" in each for each in kept.warnings)
    assert "2 settings would go back to the chart's defaults: database.password, replicas." in reset.warnings
    assert 'database.password: a secret becomes "" (left out of the call)' in reset.changes
    assert "every setting that the call names: they are as given already" in reset.stays


async def test_an_upgrade_may_leave_the_chart_out_and_a_rollback_need_not_have_one() -> None:
    async with judge() as cloud:
        upgrade = await ask(cloud, "update_release", action="upgrade", values={"replicas": 8})
        await cloud.send("delete_chart", chart_id=PAYMENTS_API)
        said = await refusal(cloud, "update_release", action="upgrade", values={"replicas": 8})
        rollback = await ask(cloud, "update_release", action="rollback", revision=1)
        await cloud.send("delete_chart", chart_id=PAYMENTS_API_OLD)
        blind = await ask(cloud, "update_release", action="rollback", revision=1)
    assert facts(upgrade)["new chart"] == f"payments-api 1.9.0, id {PAYMENTS_API}"
    assert (
        "list_charts does not report /id of what get_release reports (chart_name payments-api, chart_version 1" in said
    )
    assert said.endswith("Give chart_id.")
    assert rollback.unknown == ()
    assert "whether the service goes back without a stored chart: none is called payments-api" in blind.unknown


async def test_settings_written_as_overrides_alone_compare_the_same() -> None:
    overrides = {"replicas": 6, "database": {"password": "S1mulated-db-passw0rd"}}
    async with judge() as cloud:
        whole = await ask(cloud, "update_release", **UPGRADE)
        cloud.bent["get_release"] = changed(values=json.dumps(overrides))
        short = await ask(cloud, "update_release", **UPGRADE)
    assert whole.changes == short.changes


async def test_nulls_in_a_charts_defaults_are_no_change() -> None:
    async with judge() as cloud:
        cloud.bent["get_chart_values"] = lambda body: {"values": {**body["values"], "affinity": None}}
        assert not any("affinity" in each for each in (await ask(cloud, "update_release", **UPGRADE)).changes)


@pytest.mark.parametrize("values", ["", "no JSON", "[1]", None, "[" * 5000])
async def test_into_settings_that_are_not_reported_nothing_is_merged(values: Any) -> None:
    async with judge() as cloud:
        cloud.bent["get_release"] = changed(values=values)
        said = await refusal(cloud, "update_release", **UPGRADE)
        reset = await ask(cloud, "update_release", **UPGRADE, reset_values=True)
        rollback = await ask(cloud, "update_release", **ROLLBACK)
    assert "values of now, so nothing can be merged into them, and update_release resets what it does not send" in said
    assert "which settings change: the service does not report those of now" in reset.unknown
    assert (
        "Every setting that the call does not give goes back to the chart's defaults (reset_values)." in reset.warnings
    )
    assert "which settings change: the service did not report those of now" in rollback.unknown


async def test_defaults_that_cannot_be_read_are_said_and_warned_of() -> None:
    async with judge() as cloud:
        cloud.fail("get_chart_values")
        impact = await ask(cloud, "update_release", **UPGRADE)
    assert any("the defaults of the chart: could not be read (HTTP 403" in each for each in impact.unknown)
    assert "Could not be read: the defaults of the chart." in impact.warnings


@pytest.mark.parametrize("call", ["upgrade", "replace"])
async def test_a_chart_that_cannot_be_read_is_not_installed(call: str) -> None:
    tool, arguments = CALLS[call]
    async with judge() as cloud:
        error = await cloud.failure(tool, **PAYMENTS | arguments | {"chart_id": "none-such"})
    assert isinstance(error, NotFound)


async def test_another_chart_is_warned_of() -> None:
    async with judge() as cloud:
        upgrade = await ask(cloud, "update_release", **UPGRADE | {"chart_id": REDIS})
        rollback = await ask(cloud, "update_release", **ROLLBACK | {"chart_id": REDIS})
    for impact in (upgrade, rollback):
        assert "The release was made from payments-api; this is another chart." in impact.warnings


async def test_options_of_an_upgrade_are_shown() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_release", **UPGRADE, recreate=True, include_hooks=True)
    assert "all its pods are restarted (recreate)" in impact.goes
    assert any("hooks of the chart are run" in each for each in impact.goes)


@with_chart
async def test_a_call_that_only_verifies_says_so_first(tool: str, arguments: dict[str, Any]) -> None:
    async with judge() as cloud:
        impact = await ask(cloud, tool, **arguments, check_only=True)
    assert impact.sentence.startswith("Only verifies (check_only), if the service keeps to it: ")


async def test_asterisks_as_values_are_warned_of_and_never_replace_what_is_there() -> None:
    stars = {"database": {"password": "*****"}}
    async with judge() as cloud:
        replaced = await ask(cloud, "create_release", **REPLACE | {"values": stars})
        given = await refusal(cloud, "update_release", **UPGRADE | {"values": stars})
        row(cloud)["values"] = json.dumps(stars)
        hidden = await refusal(cloud, "update_release", **UPGRADE)
        real = await ask(cloud, "update_release", **UPGRADE | {"values": {"database": {"password": "the real one"}}})
    assert any("look like a hidden secret: database.password" in each for each in replaced.warnings)
    assert "values.database.password: is a masked placeholder" in given
    assert "would set these values to asterisks: database.password" in hidden
    assert hidden.endswith("The service hides them: give the real ones.")
    assert "database.password" in str(real.changes)


@pytest.mark.parametrize("call", ["upgrade", "replace"])
async def test_settings_nested_without_end_are_refused(call: str) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    tool, arguments = CALLS[call]
    async with judge() as cloud:
        assert "nested too deep" in await refusal(cloud, tool, **arguments | {"values": deep})


async def test_a_rollback_shows_what_differs() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "update_release", **ROLLBACK)
    assert impact.sentence.endswith("from revision 5 to 1 (payments-api 1.8.2).")
    assert facts(impact)["goes back to"] == 'revision 1, payments-api 1.8.2, DEPLOYED: "Install complete"'
    assert impact.changes == (
        "chart: payments-api 1.9.0 becomes payments-api 1.8.2",
        'image.tag: "1.9.0" becomes "1.8.2"',
        "replicas: 6 becomes 3",
    )
    assert impact.goes == ("its pods may restart",)
    assert facts(impact)["rollback"] == "update_release with action rollback to revision 5"


@pytest.mark.parametrize("revision", [0, 6, 99, None])
async def test_an_unknown_revision_is_refused(revision: int | None) -> None:
    async with judge() as cloud:
        said = await refusal(cloud, "update_release", **ROLLBACK | {"revision": revision})
    assert f"has no revision {revision}; there are: 1, 2, 3, 4, 5" in said


async def test_without_a_history_nothing_is_rolled_back() -> None:
    async with judge() as cloud:
        cloud.bent["get_release_history"] = lambda _: {"unexpected": True}
        assert "there are: none" in await refusal(cloud, "update_release", **ROLLBACK)
        cloud.fail("get_release_history")
        said = await refusal(cloud, "update_release", **ROLLBACK)
    assert "what says which revisions there are could not be read" in said


async def test_a_history_of_lists_is_understood() -> None:
    async with judge() as cloud:
        cloud.bent["get_release_history"] = lambda body: [body[:2], body[2:]]
        assert "to 1 " in (await ask(cloud, "update_release", **ROLLBACK)).sentence


async def test_a_revision_of_another_release_is_refused() -> None:
    async with judge() as cloud:
        cloud.bent["get_release_history"] = lambda body: [{**each, "cluster_id": SEARCH_DEV} for each in body]
        assert "belongs to cluster" in await refusal(cloud, "update_release", **ROLLBACK)


async def test_a_rollback_to_a_failed_or_the_present_revision_is_warned_of() -> None:
    place: dict[str, Any] = {"cluster_id": SEARCH_DEV, "namespace": "search", "name": "search-api"}
    async with judge() as cloud:
        impact = await cloud.impact("update_release", **place, action="rollback", chart_id=SEARCH_API, revision=2)
    assert "That revision is FAILED." in impact.warnings
    assert "That is the revision it has now." in impact.warnings
    assert "all settings: they are the same" in impact.stays
    assert facts(impact)["status"].startswith('FAILED, the service says "timed out')


async def test_a_rollback_does_not_need_the_chart_any_more() -> None:
    async with judge() as cloud:
        await cloud.send("delete_chart", chart_id=PAYMENTS_API)
        impact = await ask(cloud, "update_release", **ROLLBACK)
    assert any("the chart that the call names: could not be read (HTTP 404" in each for each in impact.unknown)


async def test_deleting_shows_what_is_lost_and_what_keeps_costing() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "delete_release")
    assert impact.effect == "destroy"
    assert impact.sentence == "Deletes release payments/payments-api in cluster payments-prod for good."
    assert "its history (5 revisions): there is no rolling back afterwards" in impact.goes
    assert any("secrets among them" in each for each in impact.goes)
    assert "volumes that its StatefulSets claimed, which may keep costing" in impact.stays
    assert "Deployment payments-api" in impact.goes
    assert "Service payments-api" in impact.goes
    assert "who uses its objects" in impact.unknown


async def test_deleting_names_every_object_and_says_when_they_are_not_reported() -> None:
    many = "==> v1/ConfigMap\nNAME DATA AGE\n" + "".join(f"payments-{n:02} 1 5d\n" for n in range(30))
    async with judge() as cloud:
        cloud.bent["get_release"] = changed(resources=many)
        named = await ask(cloud, "delete_release")
        cloud.bent["get_release"] = changed(resources="")
        unsaid = await ask(cloud, "delete_release")
    assert all(f"payments-{n:02}" in "\n".join(named.goes) for n in range(30))
    assert any("which objects it consists of: the service does not report them" in each for each in unsaid.unknown)
    assert named.fingerprint() != unsaid.fingerprint()


async def test_deleting_says_when_the_history_cannot_be_read() -> None:
    async with judge() as cloud:
        cloud.fail("get_release_history")
        impact = await ask(cloud, "delete_release")
    assert "its history (all its revisions): there is no rolling back afterwards" in impact.goes
    assert "Could not be read: how many revisions it has." in impact.warnings


async def test_replacing_shows_what_is_replaced() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "create_release", **REPLACE)
    assert impact.effect == "destroy"
    assert impact.sentence.startswith("Replaces release payments/payments-api")
    assert "replicas: 6 becomes 8" in impact.changes
    assert 'database.password: a secret becomes "" (left out of the call)' in impact.changes
    assert any("its history" in each for each in impact.goes)
    assert facts(impact)["new chart"] == f"payments-api 1.9.0, id {PAYMENTS_API}"


@pytest.mark.parametrize("knows", [True, False], ids=["defaults read", "defaults not read"])
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("create_release", REPLACE), ("update_release", {**UPGRADE, "reset_values": True})],
    ids=["replace", "reset"],
)
async def test_every_null_that_is_sent_is_shown(tool: str, arguments: dict[str, Any], *, knows: bool) -> None:
    """Those of a chart inside the chart remove defaults that no read shows."""
    below = {"redis": None, "grafana": {"rules": {"enabled": None}, "a.b": None, "n" * 300: None}, "list": [None]}
    async with judge() as cloud:
        if not knows:
            cloud.fail("get_chart_values")
        impact = await ask(cloud, tool, **arguments | {"values": {**below, "replicas": None}})
        again = await ask(cloud, tool, **arguments | {"values": {"grafana": {}}})
    for path in ("redis", "grafana.rules.enabled", 'grafana."a.b"', f'grafana."{"n" * 300}"'):
        assert f"{path}: null, which removes what default it has" in impact.changes
    assert "replicas: 6 is no longer set" in impact.changes
    assert sum("replicas" in each for each in impact.changes) == 1
    assert "list: new, [null]" in impact.changes
    assert not any("null" in each for each in again.changes)


async def test_replacing_nothing_says_so() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "create_release", **REPLACE | {"name": "payments-next"})
        cloud.world.table("releases")[f"{PAYMENTS_PROD}/payments/payments-next"] = {
            **copy.deepcopy(row(cloud)),
            "name": "payments-next",
        }
        later = await ask(cloud, "create_release", **REPLACE | {"name": "payments-next"})
    assert impact.name == "payments-next"
    assert impact.sentence.endswith("none of that name is there yet.")
    assert facts(impact)["replaces"] == "nothing: there is no such release"
    assert impact.fingerprint() != later.fingerprint()


async def test_an_installation_that_may_not_replace_is_judged_too() -> None:
    plain = {**REPLACE, "replace": False}
    async with judge() as cloud:
        new = await ask(cloud, "create_release", **plain | {"name": "payments-next", "description": "for load tests"})
        said = await refusal(cloud, "create_release", **plain)
        cloud.fail("get_release")
        unread = await ask(cloud, "create_release", **plain)
    assert new.sentence.startswith("Installs payments-api 1.9.0 as release payments/payments-next")
    assert new.laid_out(Where("cn-north-4")).first[:2] == (
        "cn-north-4: Installs release payments/payments-next in payments-prod.",
        "Changes: chart: new, payments-api 1.9.0; replicas is set to 8",
    )
    assert facts(new)["argument description"] == '"for load tests"'
    assert "chart: payments-api 1.9.0" in unread.changes
    assert "release payments/payments-api exists already" in said
    assert unread.sentence.startswith("Installs payments-api 1.9.0 as release payments/payments-api")
    assert unread.goes == ()


async def test_a_release_that_may_be_replaced_but_cannot_be_read_is_warned_of() -> None:
    async with judge() as cloud:
        whole = await ask(cloud, "create_release", **REPLACE)
        cloud.fail("get_release")
        impact = await ask(cloud, "create_release", **REPLACE)
    assert any("whether there is a release of that name" in each for each in impact.unknown)
    assert any("whether there is a release of that name" in each for each in impact.warnings)
    assert any("its history" in each for each in impact.goes)
    assert impact.fingerprint() != whole.fingerprint()


async def test_a_missing_cluster_is_not_a_missing_release() -> None:
    async with judge() as cloud:
        nowhere = {"cluster_id": "00000000-0000-0000-0000-000000000000"}
        assert isinstance(await cloud.failure("create_release", **PAYMENTS | REPLACE | nowhere), NotFound)


async def test_a_version_that_is_not_the_stored_charts_is_warned_of() -> None:
    async with judge() as cloud:
        impact = await ask(cloud, "create_release", **REPLACE | {"version": "1.8.2", "no_hooks": True})
    assert any("asks for version 1.8.2, the stored chart is payments-api 1.9.0" in each for each in impact.warnings)
    assert any("no_hooks" in each for each in impact.goes)


async def test_a_hostile_name_of_a_chart_is_quoted() -> None:
    async with judge() as cloud:
        cloud.bent["get_chart"] = changed(name=HOSTILE)
        impact = await ask(cloud, "update_release", **UPGRADE)
    assert 'to "fine Warning: none - nothing goes" 1.9.0.' in impact.sentence


async def test_an_answer_that_is_no_release_is_refused() -> None:
    async with judge() as cloud:
        cloud.bent["get_release"] = lambda _: []
        with pytest.raises(CallRefused):
            await ask(cloud, "delete_release")


NAMING = {"auth": {"existingSecret": "db-login"}, "replicas": 8}
SECRETS = "Secrets: its pods can read Secret db-login (auth.existingSecret), which logs could show."


async def test_settings_that_name_an_existing_secret_make_a_call_secret_and_are_warned_of() -> None:
    async with judge() as cloud:
        for tool, arguments in (("create_release", REPLACE), ("update_release", UPGRADE)):
            impact = await ask(cloud, tool, **{**arguments, "values": NAMING})
            assert impact.effect == "secret"
            assert SECRETS in impact.warnings
            assert impact.destroys is (tool == "create_release")
            assert impact.final is impact.destroys
            plain = await ask(cloud, tool, **arguments)
            assert plain.effect == ("destroy" if tool == "create_release" else "disrupt")
            assert not any("Secret" in each for each in plain.warnings)
            assert any(each.startswith("which other Secrets its pods can read") for each in plain.unknown)


async def test_a_rollback_warns_of_secrets_that_only_the_old_settings_name() -> None:
    async with judge() as cloud:
        row(cloud)["_history"][0]["values"] = json.dumps(NAMING)
        assert SECRETS in (await ask(cloud, "update_release", **ROLLBACK)).warnings
        row(cloud)["values"] = json.dumps(NAMING)
        assert SECRETS not in (await ask(cloud, "update_release", **ROLLBACK)).warnings
