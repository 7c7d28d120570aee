import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field

from ap_mcp.files import SavedFile
from ap_mcp.masking import PLACEHOLDER
from ap_mcp.output_schemas import output_schema, schema_of
from ap_mcp.rendering import render
from ap_mcp.specs import Catalog, Operation, Schema, load_catalog
from ap_mcp.summaries import KINDS, registry, result_type, summarise, summariser_of, summarisers
from ap_mcp.summaries.base import NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.plain import plain
from ap_mcp.vendor import flag, get, items, loaded, mapping, moment, number, quoted, strings, text
from ap_mcp.wording import age, plural, span

NOW = datetime(2024, 6, 4, 13, 0, tzinfo=UTC)
OPERATIONS = sorted(load_catalog())
BYTES_OF_AN_OUTPUT_SCHEMA = 240
"""What one takes on average."""

UNEXPECTED: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "Running",
    "2024-06-04 12:49:28.77 +0800 CST",
    "a\nb\x1b[31m",
    [],
    {},
    [None],
    [1, "a", {}],
]


def answer_to(name: str, body: Any, **arguments: Any) -> Observation:
    return Observation(operation=load_catalog()[name], arguments=arguments, body=body, now=NOW)


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("/status/phase", "Running"),
        ("/list/1/a", 2),
        ("/a~1b/~0", "slash"),
        ("/status", {"phase": "Running", "gone": None}),
        ("/status/gone", "default"),
        ("/status/phase/deeper", "default"),
        ("/list/9", "default"),
        ("/list/-1", "default"),
        ("/list/²", "default"),
        ("/list/x", "default"),
        ("/none/at/all", "default"),
    ],
)
def test_a_pointer_finds_its_value_or_the_default(pointer: str, found: object) -> None:
    body = {"status": {"phase": "Running", "gone": None}, "list": [1, {"a": 2}], "a/b": {"~": "slash"}}
    assert get(body, pointer, "default") == found


@pytest.mark.parametrize("body", [None, "text", 3, [], True])
def test_a_pointer_into_anything_unexpected_is_the_default(body: object) -> None:
    assert get(body, "/a/b") is None
    assert get(body, "") == body
    assert items(body) == []
    assert mapping(body) == {}


def test_lists_are_read_whatever_stands_in_them() -> None:
    body = {"items": [{"a": 1}, None, "x", [2]], "one": {"a": 1}, "names": ["a\n", 1, None, {}], "labels": {"a": 1}}
    assert items(body, "/items") == [{"a": 1}]
    assert items(body, "/one") == [{"a": 1}]
    assert items(body, "/none") == []
    assert strings(body, "/names") == ["a", "1"]
    assert strings(body, "/none") == []
    assert mapping(body, "/labels") == {"a": "1"}
    assert mapping(body, "/names") == {}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("a\n\tb  c", "a b c"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07", "red bell"),
        ("evil\u202etxt\u2066\u200b\ufeff\x00", "eviltxt"),
        ("line\u2028line\u2029line\x85line", "line line line line"),
        ("\ud800lone", "lone"),
        (3, "3"),
        (True, "true"),
        ({"a": [1]}, '{"a":[1]}'),
        ("x" * 200 + "y" * 200, "x" * 140 + " … 120 characters … " + "y" * 140),
    ],
)
def test_text_of_the_cloud_becomes_one_harmless_line(value: object, shown: str) -> None:
    assert text(value) == shown


def test_a_quoted_text_cannot_end_its_quotation() -> None:
    assert quoted('a" and "b') == "\"a' and 'b\""


@given(st.text(), st.integers(1, 50))
def test_any_text_stays_on_one_line_within_its_limit(value: str, limit: int) -> None:
    shown = text(value, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert text(shown, limit) == shown


@pytest.mark.parametrize(
    ("value", "found"),
    [(3, 3), ("3", 3), (" 2.5 ", 2.5), ("x", None), (True, None), (None, None), (float("nan"), None)],
)
def test_numbers_are_read_also_from_text(value: object, found: float | None) -> None:
    assert number(value) == found


@pytest.mark.parametrize(("value", "found"), [(True, True), ("False", False), ("yes", None), (1, None), (None, None)])
def test_booleans_are_read_also_from_text(value: object, found: bool | None) -> None:
    assert flag(value) is found


def test_json_in_a_string_is_read_and_anything_else_stays() -> None:
    assert loaded('{"a": 1}') == {"a": 1}
    assert loaded("{cut") == "{cut"
    assert loaded("[" * 100_000) == "[" * 100_000
    assert loaded({"a": 1}) == {"a": 1}


NOON = datetime(2024, 6, 4, 12, 49, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2024-06-04 12:49:28.773718231 +0000 UTC", NOON.replace(microsecond=773718)),
        ("2024-06-04 20:49:28.77 +0800 CST", NOON.replace(microsecond=770000)),
        ("2024-06-04 12:49:28 +0000 UTC m=+0.01", NOON),
        ("2024-06-04T12:49:28Z", NOON),
        ("2024-06-04T20:49:28+08:00", NOON),
        ("2024-06-04t12:49:28.5z", NOON.replace(microsecond=500000)),
        (" 2024-06-04 12:49:28 ", NOON),
        ("2024-06-04 20:49:28 CST", NOON),
        (1717505368, NOON),
        ("1717505368123", NOON.replace(microsecond=123000)),
        (1717505368123456, NOON.replace(microsecond=123456)),
        (1717505368000000000, NOON),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+08:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("2024-13-04 12:49:28", None),
        ("2024-06-04T12:49:28+99:99", None),
        ("2024-06-04 12:49:28 XYZ", None),
        ("yesterday", None),
        ("2024-06-04", None),
        (0, None),
        (-1e300, None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_every_clock_of_the_api_is_read(value: object, found: datetime | None) -> None:
    assert moment(value) == found


@given(st.text() | st.floats() | st.integers() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.*"))
def test_no_clock_breaks_the_reader(value: object) -> None:
    found = moment(value)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *(
            (-5, "0 s"),
            (45.9, "45 s"),
            (60, "1 min"),
            (110, "1 min 50 s"),
            (599, "9 min 59 s"),
            (600, "10 min"),
            (3600, "1 h"),
            (12_000, "3 h 20 min"),
        ),
        *((86_400, "1 d"), (187_200, "2 d 4 h"), (31_536_000, "365 d")),
    ],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
    assert span(timedelta(seconds=seconds)) == shown


def test_an_age_is_reported_only_of_a_known_moment() -> None:
    assert age(NOW - timedelta(hours=3), NOW) == "3 h"
    assert age(None, NOW) is None


def test_counts_agree_with_their_nouns() -> None:
    assert [plural(1, "cluster"), plural(2, "cluster"), plural(0, "policy", "policies")] == [
        "1 cluster",
        "2 clusters",
        "0 policies",
    ]


def test_an_answer_never_holds_a_secret() -> None:
    answer = answer_to("get_release", {"values": {"password": "hunter2"}}, values='{"token": "t0ken"}')
    assert answer.body == {"values": {"password": PLACEHOLDER}}
    assert "t0ken" not in str(answer)


def test_a_structured_result_leaves_out_what_is_absent_and_what_json_cannot_say() -> None:
    class Sample(Result):
        values: dict[str, Any]

    result = Sample(summary="s", values={"a": None, "b": float("nan"), "c": ["\ud800", None], "d": 0, "e": []})
    assert result.structured() == {"summary": "s", "values": {"a": None, "c": ["?", None], "d": 0, "e": []}}
    full = Sample(summary="s", values={}, warnings=["w"], next=[NextCall(tool="t", why="y")], request_id="r", raw="u")
    assert full.structured() == {
        "summary": "s",
        "values": {},
        "warnings": ["w"],
        "next": [{"tool": "t", "arguments": {}, "why": "y"}],
        "request_id": "r",
        "raw": "u",
    }


def test_a_result_is_patient_with_numbers_and_never_changed() -> None:
    result = Result(summary=3)  # type: ignore[arg-type]
    assert result.summary == "3"
    with pytest.raises(ValueError, match="frozen"):
        result.summary = "changed"


def test_a_summariser_declares_a_result() -> None:
    def nothing(_: Observation) -> int:
        return 1

    with pytest.raises(TypeError, match="'odd' needs a return annotation that is a Result"):
        summarises("odd")(nothing)  # type: ignore[type-var]


def test_the_field_of_answers_that_were_not_understood_is_not_used_by_others() -> None:
    class Taken(Result):
        answer: int

    def taken(_: Observation) -> Taken:
        return Taken(summary="", answer=1)

    taken.__annotations__["return"] = Taken
    with pytest.raises(TypeError, match="'answer' of 'odd' is reserved"):
        summarises("odd")(taken)


def test_two_summarisers_for_one_kind_are_refused() -> None:
    def other(answer: Observation) -> Result:
        return Result(summary=str(answer.body))

    first, second = ModuleType("first"), ModuleType("second")
    first.__dict__["one"] = second.__dict__["same"] = summarises("kind")(other)
    assert list(registry(first, second)) == ["kind"]
    second.__dict__["two"] = summarises("kind")(other)
    with pytest.raises(TypeError, match="Two summarisers are for 'kind'"):
        registry(first, second)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_its_summariser(name: str, catalog: Catalog) -> None:
    assert catalog[name].summary in summarisers()
    assert issubclass(result_type(catalog[name].summary), Result)


def test_each_summariser_is_found_by_its_kind_in_the_one_module_that_is_said_to_hold_it() -> None:
    kinds = [kind for each in KINDS.values() for kind in each]
    assert sorted(kinds) == sorted(summarisers())
    assert all(summariser_of(kind) is summarisers()[kind] for kind in kinds)
    assert summariser_of("unheard of") is None
    with pytest.raises(KeyError, match="unheard of"):
        result_type("unheard of")


def test_a_body_of_another_form_is_shown_as_it_came() -> None:
    result = summarise(answer_to("get_cluster", ["odd", {"password": "hunter2"}]))
    assert "with a list where something else was expected" in result.summary
    shown = result.structured()["answer"]
    assert shown == '["odd",{"password":"«masked»"}]'
    assert result.warnings


@pytest.mark.parametrize(("body", "form"), [("<html>", "a text"), (None, "nothing"), (3, "a bare value")])
def test_no_answer_is_lost(body: object, form: str) -> None:
    result = summarise(answer_to("get_cluster", body))
    assert f"with {form} where" in result.summary
    assert result.structured()["answer"]


def test_a_summariser_that_fails_is_logged_without_values(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(answer: Observation) -> Result:
        raise ValueError(f"cannot read {answer.body}")

    monkeypatch.setattr("ap_mcp.summaries.summariser_of", lambda kind: summarises(kind)(fails))
    with caplog.at_level(logging.WARNING):
        result = summarise(answer_to("get_cluster", {"metadata": {"name": "private"}}))
    assert "in a form this tool does not know" in result.summary
    assert "private" in result.structured()["answer"]
    assert caplog.messages[0].startswith("Summary cluster failed on get_cluster: ValueError in fails, line ")
    assert "private" not in caplog.text


def test_a_kind_without_a_summariser_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.summaries.summariser_of", lambda _: None)
    assert "nothing here knows how to shape it" in summarise(answer_to("get_cluster", {})).summary


def test_a_small_answer_is_shown_plainly() -> None:
    body = {"a": {"b": [1, {"c": "x\ny"}], "n": None}, "t": True, "deep": {"1": {"2": {"3": {"4": {"5": {"6": 7}}}}}}}
    result = plain(answer_to("get_cluster", body))
    assert result.facts == {"a.b.0": 1, "a.b.1.c": "x y", "t": True, "deep.1.2.3.4.5": '{"6":7}'}
    assert result.warnings == []


def test_a_plain_answer_says_what_it_leaves_out() -> None:
    result = plain(answer_to("get_cluster", {f"k{n}": n for n in range(50)}))
    assert len(result.facts) == 40
    assert result.warnings == ["10 more values are only in the whole answer."]


def test_plain_text_and_files_are_shown_in_the_summary(catalog: Catalog) -> None:
    assert plain(answer_to("delete_chart", "success")).summary == "Delete a chart: done."
    assert plain(answer_to("delete_chart", "later\n")).summary == 'Delete a chart: done. The service says "later".'
    file = SavedFile(path=Path("/files/a.tgz"), bytes=1, sha256="00")
    saved = Observation(operation=catalog["download_chart"], arguments={}, body=None, file=file)
    assert plain(saved).summary.endswith("done. Saved to /files/a.tgz.")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_output_schema_is_open_and_small(name: str, catalog: Catalog) -> None:
    schema = output_schema(catalog[name].summary)
    written = json.dumps(schema)
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["required"] == ["summary"]
    assert not any(word in written for word in ('"$ref"', '"$defs"', '"title": "', "additionalProperties", "anyOf"))
    assert not {"warnings", "next", "request_id", "raw"} & schema["properties"].keys()


def test_all_output_schemas_together_keep_their_budget(catalog: Catalog) -> None:
    written = [
        f',"outputSchema":{json.dumps(output_schema(each.summary), separators=(",", ":"))}' for each in catalog.values()
    ]
    assert sum(len(each.encode()) for each in written) <= BYTES_OF_AN_OUTPUT_SCHEMA * len(written)


class Leaf(Part):
    name: str
    inner: "list[Leaf]" = Field(default_factory=list)


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {}),
        (str | None, {}),
        (int | None, {"type": "integer"}),
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (int | str, {}),
        (Any, {}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (list[str], {"type": "array"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, str], {"type": "object"}),
        (Leaf, {"type": "object", "properties": {"name": {}, "inner": {"type": "array"}}}),
        (list[Leaf], {"type": "array", "items": {"properties": {"name": {}, "inner": {"type": "array"}}}}),
        (list[dict[str, Any]], {"type": "array", "items": {"type": "object"}}),
    ],
)
def test_an_annotation_becomes_the_smallest_schema_that_names_its_fields(annotation: object, schema: object) -> None:
    assert schema_of(annotation) == schema


def test_an_object_inside_an_object_shows_no_names() -> None:
    assert schema_of(Leaf, names_inside=False) == {"type": "object"}


def sampled(schema: Schema, operation: Operation, draw: st.DrawFn, depth: int = 0) -> Any:
    """Draw a body that has the names of a response but, here and there, anything unexpected for a value."""
    schema = operation.follow(schema)
    if depth > 7 or draw(st.integers(0, 11)) == 0:
        return draw(st.sampled_from(UNEXPECTED))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        names = [name for name in schema.get("properties", {}) if draw(st.integers(0, 3))]
        found = {name: sampled(schema["properties"][name], operation, draw, depth + 1) for name in names}
        return found | ({"new": draw(st.sampled_from(UNEXPECTED))} if draw(st.booleans()) else {})
    if kind == "array":
        return [sampled(schema.get("items", {}), operation, draw, depth + 1) for _ in range(draw(st.integers(0, 3)))]
    if kind in ("integer", "number"):
        return draw(st.sampled_from([0, 1, -3, 10**18, 2.5, float("inf")]))
    if kind == "boolean":
        return draw(st.booleans())
    examples = [*schema.get("enum", ()), *schema.get("examples", ())]
    return draw(st.sampled_from([*examples, "text", "v1.31", "2024-06-04 12:49:28 +0000 UTC", "{}", '{"a": 1}']))


DRAWN = settings().max_examples // 5
"""Answers that are drawn for each operation."""


@st.composite
def bodies(draw: st.DrawFn, operation: Operation) -> Any:
    return sampled(operation.response or {}, operation, draw)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(deadline=None, max_examples=DRAWN, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_answer_becomes_a_result_that_fits_its_schema_and_reads_line_by_line(
    name: str, data: st.DataObject
) -> None:
    operation = load_catalog()[name]
    body = data.draw(bodies(operation))
    result = summarise(Observation(operation=operation, arguments={"cluster_id": "c"}, body=body, now=NOW))
    structured = result.structured()
    Draft202012Validator(output_schema(operation.summary)).validate(structured)
    json.dumps(structured, allow_nan=False).encode()
    assert all(line.isprintable() for line in render(result).split("\n"))
