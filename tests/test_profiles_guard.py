"""A profile is a part of where a call goes: no consent, question or rule of one holds in another."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from approving import ALICE, APPROVERS, question
from confirming import ARGUMENTS, DELETE, NAMED, PLACE, Desk
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.guard.approval_requests import Asked, Place
from ap_mcp.guard.approvals import standing
from ap_mcp.guard.audit import AuditLog, Entry
from ap_mcp.guard.callers import AskBack, Caller
from ap_mcp.guard.keys import sign
from ap_mcp.guard.policy import Allow, Ask, Policy, Refuse, Rule, decide, explain
from ap_mcp.guard.policy_file import load_policy, parse_rules
from ap_mcp.guard.requests import Consent, Request
from ap_mcp.guard.subject import Subject
from ap_mcp.guard.where import Where
from ap_mcp.settings import Settings

pytestmark = pytest.mark.anyio

SUBJECT = Subject("delete_addon", frozenset({"destroy"}), "destroy", on_cluster=True)
names = st.sampled_from(["", "eu", "asia", "eu-prod", "EU"])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def in_profile(name: str) -> Request:
    return replace(DELETE, place=replace(PLACE, profile=name))


@given(one=names, other=names)
def test_a_consent_is_bound_to_its_profile_even_where_all_else_is_equal(one: str, other: str) -> None:
    first, second = in_profile(one).binding("ivan"), in_profile(other).binding("ivan")
    assert (first == second) is (one == other)


async def test_an_approval_for_one_profile_does_not_count_in_another(desk: Desk) -> None:
    code = await desk.code(in_profile("eu"))
    await desk.approve(code)
    assert await desk.code(in_profile("asia")) != code
    consent = await desk.ask(in_profile("eu"))
    assert isinstance(consent, Consent)
    assert consent.approver == "alice"


async def test_a_form_that_was_answered_for_one_profile_is_asked_anew_in_another(desk: Desk) -> None:
    asked = await desk.question(in_profile("eu"))
    returned = Caller("ivan", can_return=True, returned=NAMED, state=asked.state)
    again = await desk.ask(in_profile("asia"), returned)
    assert isinstance(again, AskBack)
    assert "profile asia" in again.message
    assert isinstance(await desk.ask(in_profile("eu"), returned), Consent)


async def test_a_token_for_one_profile_is_worth_nothing_in_another(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mode="token")
    token = await desk.token(in_profile("eu"))
    assert "for another call" in await desk.refusal(replace(in_profile("asia"), token=token))
    assert isinstance(await desk.ask(replace(in_profile("eu"), token=token)), Consent)


async def test_the_cluster_of_a_question_is_not_taken_for_one_of_another_profile(desk: Desk) -> None:
    asked = await desk.question(in_profile("eu"))
    caller = Caller("ivan", can_return=True, state=asked.state)
    found = [desk.confirmer.cluster_asked_about(caller, DELETE.tool, each) for each in ("eu", "asia", "")]
    assert found == [ARGUMENTS["cluster_id"], None, None]


async def test_a_question_says_its_profile_to_the_person_who_decides(desk: Desk) -> None:
    text = await desk.waits(in_profile("eu"))
    assert "cn-north-4 (eu): Deletes cluster" in text
    assert "Where: profile eu, region cn-north-4, project project" in text


def test_a_profile_that_is_called_as_its_region_is_named_once_in_the_first_line() -> None:
    assert Where("cn-north-4", profile="cn-north-4").head == "cn-north-4"
    assert Where("cn-north-4", profile="eu", simulated=True).head == "SIMULATED (eu)"
    assert Where("cn-north-4").head == "cn-north-4"


def test_a_place_says_its_profile_where_there_is_one() -> None:
    assert str(Place("r", "p")) == "region r, project p"
    assert str(Place("r", "p", simulated=True, profile="eu")) == "SIMULATED, profile eu, region r, project p"


def test_an_answer_to_a_question_does_not_stand_once_its_profile_is_another() -> None:
    asked = question(profile="eu")
    answer = sign(ALICE, asked, True, asked.created)
    assert standing(Asked(asked, answer), APPROVERS, asked.created).state == "approved"
    moved = replace(asked, profile="asia")
    assert standing(Asked(moved, answer), APPROVERS, asked.created).state != "approved"
    assert moved.consent.id != asked.consent.id


def test_the_audit_names_the_profile_and_has_no_word_of_it_where_there_is_none(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", tmp_path / "audit.key")
    log.decided(Entry("delete_cluster", "destroy", "alice", profile="eu"))
    log.decided(Entry("delete_cluster", "destroy", "alice"))
    first, second = (json.loads(line) for line in log.path.read_text().splitlines())
    assert first["profile"] == "eu"
    assert "profile" not in second


def rules(**more: tuple[str, ...]) -> Policy:
    deny = Rule("deny", profiles=("prod*",), source="the rule", **more)  # type: ignore[arg-type]
    allow = Rule("allow", profiles=("dev",), effects=("destroy",), source="the release")
    return Policy(rules=(deny, allow))


@pytest.mark.parametrize(
    ("profile", "decision"),
    [("prod-eu", Refuse), ("PROD", Refuse), ("dev", Allow), ("DEV", Ask), ("", Ask), ("test", Ask)],
)
def test_a_rule_about_profiles_reaches_calls_to_these_alone(profile: str, decision: type) -> None:
    assert isinstance(decide(SUBJECT, rules().for_calls_to(profile)), decision)


@given(st.lists(names, max_size=4))
def test_the_policy_of_a_profile_is_the_same_whichever_was_asked_for_before(before: list[str]) -> None:
    policy = rules()
    for each in before:
        policy = policy.for_calls_to(each)
    fresh = rules().for_calls_to("prod")
    again = policy.for_calls_to("prod")
    assert set(map(repr, again.rules)) == set(map(repr, fresh.rules))
    assert set(map(repr, again.elsewhere)) == set(map(repr, fresh.elsewhere))


def test_an_explanation_names_the_rules_of_other_profiles() -> None:
    found = explain(SUBJECT, rules().for_calls_to("dev"))
    assert [(each.rule.source, each.matches, each.why) for each in found.verdicts if not each.matches] == [
        ("the rule", False, "is about other profiles")
    ]


def test_a_policy_file_may_name_profiles_and_without_any_such_rules_stand_aside(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "allow"\nprofiles = ["dev"]\neffects = ["destroy"]\n')
    path.chmod(0o600)
    policy = load_policy(path, Settings())
    assert policy.rules == ()
    assert isinstance(decide(SUBJECT, policy), Ask)
    assert isinstance(decide(SUBJECT, policy.for_calls_to("dev")), Allow)
    with pytest.raises(Exception, match='profiles must be a list of texts that is not empty, like \\["production"\\]'):
        parse_rules('[[rules]]\ndecision = "deny"\nprofiles = "dev"\n', "policy.toml")
