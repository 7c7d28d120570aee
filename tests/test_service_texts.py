"""Every distinct text of the service about a failure is shown, once, the most specific first, with head and tail."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.cloud.responses import service_error
from ap_mcp.errors import SAID_LIMIT, ServiceError
from ap_mcp.service_texts import codes_of, others_of, texts_of
from ap_mcp.vendor import said

NAMES = ["errorMessage", "error_msg", "errorMsg", "message", "Message", "reason", "Reason", "error_message"]
NAMES += ["error_description", "detail", "details", "msg", "title", "errorReason", "errors", "cause"]
WORDS = ["quota", "subnet", "VPC.0104", "is", "full", "for", "cluster", "shop-prod", "in", "use", "not", "found"]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9, unique=True).map(" ".join)
LONG = st.tuples(SENTENCES, SENTENCES).map(lambda both: f"{both[0]} {'at com.huawei.cce.Step ' * 300}{both[1]}")
VALUES = SENTENCES | LONG


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    texts = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=3)
    holder = st.sampled_from(["error", "status", "details", "causes", "response", "errors", "body"])
    below = st.dictionaries(holder, inner | st.lists(inner, min_size=1, max_size=2) | inner.map(json.dumps), max_size=2)
    return st.tuples(texts, below).map(lambda both: {**both[0], **both[1]})


BODIES = st.recursive(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=3), nested, max_leaves=4)


def texts_in(body: Any) -> set[str]:
    """All texts under known names, read in the plainest way."""
    if isinstance(body, str):
        try:
            return texts_in(json.loads(body))
        except ValueError:
            return {body}
    return set().union(*map(texts_in, body.values() if isinstance(body, dict) else body))


def is_shown(text: str, rendered: str, share: int) -> bool:
    """Whether a text, or so much of its head and tail as it has a share, can be read."""
    whole = " ".join(text.split())
    end = min(share // 2 - 30, len(whole))
    return whole.lower() in rendered.lower() or (whole[:end] in rendered and whole[-end:] in rendered)


@given(BODIES)
def test_every_text_of_an_error_is_rendered_whatever_its_shape_and_none_twice(body: dict[str, Any]) -> None:
    texts = texts_in(body)
    rendered = service_error(400, {}, json.dumps(body).encode(), "create_cluster").render()
    lost = [each for each in texts if not is_shown(each, rendered, min(SAID_LIMIT, 2 * SAID_LIMIT // len(texts)))]
    assert lost == []
    for each in texts:
        assert rendered.count(f'"{each}"') <= 1


@given(BODIES)
def test_every_text_of_a_status_is_said(status: dict[str, Any]) -> None:
    texts = texts_in(status)
    shown = said(status, 4000)
    assert [each for each in texts if not is_shown(each, shown, 4000 // len(texts))] == []


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"errorMessage": "Invalid request.", "message": "no custom values"}, ["no custom values", "Invalid request."]),
        ({"reason": "ELB.8902 quota exceeded", "message": "at CreateELB"}, ["at CreateELB", "ELB.8902 quota exceeded"]),
        ({"Reason": "pull failed", "reason": "PULL FAILED.", "message": "x: pull failed"}, ["x: pull failed"]),
        ({"message": '{"error": {"message": "in JSON", "title": "Oh"}}'}, ["in JSON", "Oh"]),
        ({"error": {"errors": [{"message": "first"}, {"message": "second one"}]}}, ["second one", "first"]),
        ({"errors": ["one thing", "another thing"]}, ["one thing", "another thing"]),
        ({"details": {"causes": [{"field": "spec.replicas", "message": "must be positive"}]}},
         ["spec.replicas: must be positive"]),
        ({"message": "No", "detail": {"limit": 5}}, ["No", '{"limit":5}']),
        ({"error": {"code": "X.1"}, "message": "so it is"}, ["so it is"]),
        ({"message": "so it is", "secret": {"message": "hunter2"}}, ["so it is"]),
        ({"message": None, "reason": True, "detail": ""}, []),
        ({"message": 7}, ["7"]),
        ("bare text", ["bare text"]),
    ],
)  # fmt: skip
def test_texts_are_gathered_from_all_places_and_put_in_order(body: Any, texts: list[str]) -> None:
    assert [each.text for each in texts_of(body, 600)] == texts


def test_a_text_that_a_cut_one_contains_is_not_dropped() -> None:
    long = "x" * 900 + " the cause " + "y" * 900
    assert [each.text for each in texts_of({"message": long, "reason": "the cause"}, 600)] == [long, "the cause"]


def test_more_texts_than_anybody_reads_are_counted() -> None:
    words = ["".join(letters) for letters in product("abcde", repeat=3)]
    found = texts_of({"errors": [f"thing {word} is wrong" for word in words[:100]]}, 600)
    assert (len(found), found[-1].text) == (41, "and 60 more texts")


@pytest.mark.parametrize("count", [30, 41, 5000])
def test_texts_of_many_that_differ_in_numbers_and_ids_alone_are_one_that_names_these(count: int) -> None:
    errors = [f"port p-{number} of subnet a041c2d8 is in use" for number in range(count)]
    found = [each.text for each in texts_of({"errors": [*errors, "the 3rd quota is used up"]}, 600)]
    assert "the 3rd quota is used up" in found
    assert all(any(f"p-{number}" in text for text in found) for number in range(min(count, 60)))
    one = next(text for text in found if text.startswith("port"))
    if count > 40:
        assert one.startswith(f"port … of subnet a041c2d8 is in use ({count} texts; … stands for p-0, p-1, ")
    assert len(found) == (31 if count == 30 else 2)


NEWS = st.sampled_from(["resource_ids", "conflictingResources", "used", "quota-limit", "ports", "vpcIdList"])
NO_NEWS = {
    "request_id": "r1", "traceId": "r2", "timestamp": "2025-06-02T07:00:00Z", "createTime": 1748847600, "code": 409,
    "adminPassword": "r3", "success": False, "seen": "2025-06-02 07:00:00", "none": None, "in_use": True,
}  # fmt: skip


@given(NEWS, st.lists(st.sampled_from(["p1", "10.0.0.7", 12, "sg 1"]), min_size=1, unique=True), st.booleans())
def test_what_an_error_holds_under_other_names_is_told_and_no_noise(name: str, values: list[Any], nested: bool) -> None:
    held = {name: values if len(values) > 1 else values[0]}
    body = {"errorMessage": "in use", **({"data": [held]} if nested else held), **NO_NEWS}
    assert others_of(body, ["in use"]) == f"{name}: {', '.join(map(str, values))}"


def test_what_an_error_holds_under_other_names_is_bounded_masked_and_told_once() -> None:
    assert others_of({"message": "p1 is in use", "port": "p1"}, ["p1 is in use"]) == ""
    assert others_of({"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}, []) == "name: DB_PASSWORD"
    assert others_of({"ids": list(range(100, 200))}, []).endswith(", 111 and 88 more")
    assert len(others_of({f"field{letter}": "x y " * 50 for letter in "abcdefghijklmnop"}, [])) <= 602


def test_every_code_is_kept_the_documented_one_first() -> None:
    body = {"code": 400, "error_code": "CCE_CM.0004", "errorCode": "CCE.01400001", "error": {"code": "SVC.4000002"}}
    assert codes_of(body) == ["CCE.01400001", "CCE_CM.0004", "SVC.4000002"]
    assert codes_of({"message": '{"error_code": "VPC.0104"}', "errorCodes": ["A", "B"]}) == ["VPC.0104", "A", "B"]


def test_what_is_said_names_the_codes_that_no_text_holds() -> None:
    status = {"message": "quota exceeded: VPC.0104", "errorCode": "CCE.1", "error_code": "VPC.0104"}
    assert said(status) == "quota exceeded: VPC.0104 (code CCE.1)"


@pytest.mark.parametrize("words", ["[0]", "[]", '["a", 1]', "[[2]]", "12 [34] 5"])
def test_brackets_that_hold_no_named_value_are_a_part_of_a_text(words: str) -> None:
    assert said({"message": words}) == words


def test_nesting_beyond_reason_is_no_trouble() -> None:
    body: Any = {"message": "deep down"}
    for _ in range(5000):
        body = {"error": body}
    assert [each.text for each in texts_of(body, 600)] == ["deep down"]


@given(
    st.sampled_from(
        ["{}_msg", "{}Msg", "{}-message", "{} Reason", "{}_reason_en", "{}MessageZh", "{}Detail", "{}_desc"]
    ),
    st.sampled_from(["error", "result", "ret", "fail", "failure", "last"]),
    SENTENCES,
)
def test_a_text_under_a_name_put_together_of_known_words_is_kept(name: str, about: str, words: str) -> None:
    body = {
        "errorMessage": "Invalid request.",
        name.format(about): words,
        f"{about}Id": "not this",
        "is_new": "nor this",
    }
    assert {each.text for each in texts_of(body, 600)} == {words, "Invalid request."}


SUBJECTS = ["node-1", "spec.name", "b4b9e60f-8aa2-11ee-af09-0255ac10004f", "a"]


@given(
    st.sampled_from(["name", "parameter", "resource_id", "field", "propertyPath", "node"]),
    st.lists(st.sampled_from(SUBJECTS), min_size=1, unique=True),
    st.sampled_from(["in use by a port", "timeout", "Not Found"]),
)
def test_what_equal_texts_of_a_list_are_about_is_named_once_for_all(name: str, about: list[str], words: str) -> None:
    body = {"error_msg": "It failed here", "details": [{name: each, "cause": {"message": words}} for each in about]}
    said = [each.text for each in texts_of(body, 600)]
    assert sorted(said) == sorted(["It failed here", f"{', '.join(about)}: {words}"])


@pytest.mark.parametrize(
    ("short", "longer", "stands"),
    [("rule sg-1", "no rule sg-12", False), ("rule sg-1", "no rule sg-1: gone", True), ("v1.2", "is v1.2.3", False),
     ("v1.2", "is v1.2.", True), ("1 pods", "11 pods", False), ("没有可用", "子网没有可用的地址", True)],
)  # fmt: skip
def test_a_text_repeats_another_only_in_whole_words(short: str, longer: str, *, stands: bool) -> None:
    assert len(texts_of({"errors": [short, longer]}, 600)) == (1 if stands else 2)


@pytest.mark.parametrize("coloured", ["a \x1b[31mred\x1b[0m end", "a \x1b]0;title\x07red\x1b[K end"])
def test_colours_of_a_terminal_leave_nothing_behind_in_an_error(coloured: str) -> None:
    content = json.dumps({"error_msg": coloured}).encode()
    assert service_error(400, {}, content, "get_cluster").texts == ("a red end",)


def test_a_brief_error_has_its_most_specific_text() -> None:
    error = ServiceError(status=400, operation="x", code="A.1", texts=["the cause", "Invalid request."])
    assert error.brief() == 'HTTP 400 A.1 "the cause"'


def test_what_stands_beside_the_texts_of_a_very_large_error_is_not_gone_through() -> None:
    body = {"error_msg": "no", "ports": ["p1"], "echo": "x" * 30_000}
    assert service_error(400, {}, json.dumps(body).encode(), "get_cluster").others == ""
    del body["echo"]
    assert service_error(400, {}, json.dumps(body).encode(), "get_cluster").others == "ports: p1"
