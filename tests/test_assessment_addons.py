"""What an assessment of an upgrade says of the add-ons of a cluster, and how each is brought to fit."""

from typing import Any

import pytest
from assessing import NEXT_MINOR, Scene, failure, step, tools

from ap_mcp.rendering import render
from ap_mcp.rules.addons import runs_on
from ap_mcp.simulator.constants import SHOP_PROD
from ap_mcp.simulator.upgrade_state import facts_of

pytestmark = pytest.mark.anyio


def template(scene: Scene, name: str, **versions: Any) -> None:
    """Let the template of an add-on list these versions, each for some minor versions of clusters, as in `27|28`."""

    def entry(version: str, minors: str) -> dict[str, Any]:
        pattern = f"v1.({minors.strip('!')}).*"
        supports = [{"clusterVersion": [pattern]}]
        return {
            "version": version.strip("v").replace("_", "."),
            "stable": "!" not in minors,
            "supportVersions": supports,
        }

    rows = [{"metadata": {"name": name}, "spec": {"versions": [entry(*each) for each in versions.items()]}}]
    before = scene.bent.get("list_addon_templates", lambda same: same)
    scene.bent["list_addon_templates"] = lambda body: (
        {"items": rows} if body["items"][0]["metadata"]["name"] == name else before(body)
    )


@pytest.fixture
def shop() -> Scene:
    return Scene(cluster_id=SHOP_PROD)


async def test_an_addon_that_does_not_run_on_the_target_is_updated_first(shop: Scene) -> None:
    found = await shop.assess("v1.30")
    uid = shop.addon("nginx-ingress")["metadata"]["uid"]
    assert found.blockers[0] == (
        f"Add-on nginx-ingress 2.1.5 does not run on {NEXT_MINOR}; "
        "2.6.0 (the lowest) to 3.0.8 run on it and on v1.28.6-r0: update it first."
    )
    assert tools(found)[:3] == ["update_addon", "wait_for", "run_precheck"]
    assert step(found, "update_addon") == {"addon_id": uid, "target_version": "3.0.8"}
    assert step(found, "wait_for") == {"kind": "addon", "id": uid}
    assert f"Add-ons that run on {NEXT_MINOR}: cie-collector, coredns, metrics-server." in found.passed


async def test_an_addon_that_a_check_found_is_reported_once_and_named_by_its_item(shop: Scene) -> None:
    found = await shop.assess("v1.29")
    assert len([each for each in found.blockers if "nginx-ingress" in each]) == 1
    assert "(check item AddonVersionLimit)" in found.blockers[0]
    assert found.blockers[1].endswith("run it again once that is fixed.")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"v2_2_0": "28|29|30", "v2_3_0": "28|30", "v2_4_0": "28|29"}, "2.2.0 (the lowest) to 2.3.0 run on it"),
        ({"v2_2_0": "28|30", "v3_0_0": "28|30!"}, "2.2.0 runs on it and on v1.28.6-r0: update it first."),
        ({"v3_0_0": "28|30!"}, "3.0.0 (not marked as stable) runs on it and on v1.28.6-r0"),
        ({"v2_1_0": "28|30", "v1_9_9": "30"}, "no newer version that does is known"),
        ({}, "no newer version that does is known: ask its owner whether it can be removed."),
    ],
)
async def test_the_newest_stable_version_that_runs_on_both_is_proposed(
    shop: Scene, versions: dict[str, str], said: str
) -> None:
    shop.bend("list_addons", "/items", lambda rows: [_without_targets(each) for each in rows])
    template(shop, "nginx-ingress", v2_1_5="27|28", **versions)
    assert said in (await shop.assess("v1.30")).blockers[0]


def _without_targets(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "status": {**row["status"], "targetVersions": None}}


async def test_only_a_version_is_proposed_that_the_service_offers_for_the_addon(shop: Scene) -> None:
    def narrowed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "status": {**each["status"], "targetVersions": ["2.6.0", "2.6.32"]}} for each in rows]

    shop.bend("list_addons", "/items", narrowed)
    found = await shop.assess("v1.30")
    assert step(found, "update_addon")["target_version"] == "2.6.32"


async def test_an_addon_without_a_version_for_both_is_named_in_the_upgrade_itself(shop: Scene) -> None:
    template(shop, "nginx-ingress", v2_1_5="27|28", v2_9_0="30", v2_8_0="30")
    shop.check(NEXT_MINOR, phase="Success", expireTimeStamp=shop.world.timestamp(shop.world.now().replace(year=2100)))
    found = await shop.assess("v1.30")
    assert found.verdict == "go"
    assert found.risks[0].endswith("2.9.0 does, but not on v1.28.6-r0: name it in addons of upgrade_cluster.")
    upgrade = step(found, "upgrade_cluster")
    assert upgrade["addons"] == [{"name": "nginx-ingress", "version": "2.9.0"}]
    assert "update_addon" not in tools(found)
    assert await shop.refusal(NEXT_MINOR, addons=upgrade["addons"]) == ""


async def test_an_addon_whose_template_cannot_be_read_is_reported_so(shop: Scene) -> None:
    shop.failing["list_addon_templates"] = failure(500, "CCE.01500001")
    found = await shop.assess("v1.30")
    assert found.risks[0].startswith(f"Whether these add-ons run on {NEXT_MINOR} is not known: cie-collector 3.11.0,")
    assert 'list_addon_templates of nginx-ingress could not be read: HTTP 500 CCE.01500001 "no".' in found.unknown
    shop.bend("list_addons", "/items", [addon_row("nginx-ingress")])
    found = await shop.assess("v1.30")
    assert found.blockers[0].endswith("does not run on v1.30.10-r0; which version does could not be read.")


@pytest.mark.parametrize(
    ("status", "said", "tool"),
    [
        ("abnormal", "is abnormal, not running.", "get_addon"),
        ("installFailed", "is installFailed, not running. Delete it and install it anew.", "delete_addon"),
        ("deleteFailed", "is deleteFailed, not running. Delete it and install it anew.", "delete_addon"),
        ("upgrading", "is upgrading, not running.", "wait_for"),
        ("", "is in no state that is reported.", "get_addon"),
    ],
)
async def test_an_unhealthy_addon_blocks_a_check(status: str, said: str, tool: str) -> None:
    scene = Scene()
    scene.addon()["status"]["status"] = status
    found = await scene.assess()
    assert found.blockers[0].startswith("Add-on coredns ")
    assert found.blockers[0].endswith(said)
    assert tools(found)[0] == tool
    scene.check(phase="Success", expireTimeStamp=scene.world.timestamp(scene.world.now().replace(year=2100)))
    passed = await scene.assess()
    assert (passed.verdict, passed.risks[0]) == ("go", found.blockers[0])


async def test_an_unhealthy_addon_is_reported_once_though_the_check_found_it_too() -> None:
    scene = Scene()
    scene.addon()["status"]["status"] = "abnormal"
    risk = {"addonRisks": [{"addonTemplateName": "coredns"}]}
    item = {"name": "AddonLimit", "group": "AddonCheck", "level": "Fatal", "phase": "Failed", "riskSource": risk}
    scene.check(phase="Failed", clusterCheckStatus={"phase": "Failed", "itemsStatus": [item]})
    found = await scene.assess()
    assert [said for said in found.blockers if "AddonLimit" in said] == [found.blockers[0]]
    assert found.blockers[0].endswith("is abnormal, not running (check item AddonLimit).")
    assert len(found.blockers) == 2
    assert found.precheck_id == next(reversed(scene.world.table("prechecks")))


@pytest.mark.parametrize(
    ("status", "calls"),
    [("upgrading", ["wait_for", "update_addon", "wait_for"]), ("abnormal", ["get_addon", "update_addon", "wait_for"])],
)
async def test_an_addon_that_is_neither_healthy_nor_fit_is_read_before_it_is_updated(
    shop: Scene, status: str, calls: list[str]
) -> None:
    shop.addon("nginx-ingress")["status"]["status"] = status
    found = await shop.assess("v1.30")
    assert tools(found)[:3] == calls
    assert found.blockers[0].endswith(f" It is {status}, not running.")


async def test_an_addon_that_could_not_be_installed_is_not_updated(shop: Scene) -> None:
    shop.addon("nginx-ingress")["status"]["status"] = "installFailed"
    assert "update_addon" not in tools(await shop.assess("v1.30"))


async def test_what_was_fixed_since_the_check_is_reported_and_the_check_run_again(shop: Scene) -> None:
    facts_of(shop.world, SHOP_PROD).clear()
    shop.check("v1.29.13-r0", ago=60)
    row = shop.addon("nginx-ingress")
    row["spec"]["version"] = "3.0.8"
    early = await shop.assess("v1.29")
    assert "The check found AddonVersionLimit" in early.blockers[0]
    row["metadata"]["updateTimestamp"] = shop.world.iso_timestamp(shop.world.now())
    found = await shop.assess("v1.29")
    assert "Probably fixed since the check, as the add-on has been changed: AddonVersionLimit." in found.passed
    assert len(found.blockers) == 1
    assert found.blockers[0].endswith(": run it again.")
    row["status"]["status"] = "abnormal"
    assert not [each for each in (await shop.assess("v1.29")).passed if "fixed" in each]


async def test_of_many_addons_that_do_not_fit_or_are_unhealthy_each_is_named() -> None:
    scene = Scene()
    names = [f"addon-{number}" for number in range(9)]
    scene.bend("list_addons", "/items", [addon_row(name) for name in names])
    scene.bent["list_addon_templates"] = lambda body: {**body, "items": []}
    found = await scene.assess()
    assert all(name in " ".join(found.blockers) for name in names)
    assert len(render(found).encode()) <= 2500
    scene.bend("list_addons", "/items", [addon_row(name, status="abnormal", fits="v1.*") for name in names])
    found = await scene.assess()
    assert all(name in " ".join(found.blockers) for name in names)
    assert tools(found).count("get_addon") == 5


def addon_row(name: str, *, status: str = "running", fits: str = "v1.28.*", **more: Any) -> dict[str, Any]:
    """An add-on as list_addons shows it."""
    current = {"version": "1.0.0", "supportVersions": [{"clusterVersion": [fits]}]}
    spec = {"addonTemplateName": name, "version": "1.0.0", **more}
    return {"metadata": {"uid": f"id-of-{name}"}, "spec": spec, "status": {"status": status, "currentVersion": current}}


@pytest.mark.parametrize(
    "pattern",
    [
        *(".*" * 50 + "x", "a?" * 40 + "a" * 40, "(v|v)" * 30 + "x", "(v1|v1.)*x", "(v1.*){9}"),
        *("[[v]]", "v1.{1,9}", "v1.(", "x" * 300, "[9-0]"),
    ],
)
def test_a_pattern_that_could_run_for_ages_or_is_none_says_nothing(pattern: str) -> None:
    assert runs_on({"supportVersions": [{"clusterVersion": [pattern]}]}, "v1.31.6-r0") is None


@pytest.mark.parametrize("pattern", ["v1.(30|31).*", r"^v1\.3[0-9]\.[0-9]+-r[0-9]+$", "v1.31", r"v1\.31(\..*)?"])
def test_a_usual_pattern_is_read(pattern: str) -> None:
    release = {"supportVersions": [{"clusterVersion": ["v1.29.*"]}, {"clusterVersion": [pattern]}]}
    assert runs_on(release, "v1.31.6-r0") is True
    assert runs_on(release, "v1.28.6-r0") is False


async def test_an_addon_without_a_template_or_an_id_gets_no_call_that_cannot_be_made() -> None:
    scene = Scene()
    row = addon_row("nameless", addonTemplateName=None)
    row["metadata"] = {"name": "its-own-name"}
    scene.bend("list_addons", "/items", [row])
    found = await scene.assess()
    assert found.blockers[0].startswith("Add-on its-own-name 1.0.0 does not run on")
    assert tools(found)[0] == "run_precheck"
    assert "list_addon_templates" not in scene.asked
