"""What hosts on llama.cpp cannot turn into a grammar is found, and no tool shows it."""

import re

import pytest
from drawn import arguments_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ap_mcp.patterns import pattern_problems, untakable
from ap_mcp.specs import Operation, load_catalog
from ap_mcp.toolbox import toolbox

CATALOG = load_catalog()

TAKEN = (
    *("^$", "^.+$", "^[a-z]([-a-z0-9]*[a-z0-9])?$", r"^v[0-9]+\.[0-9]+$", "^(a|b){2,3}$", r"^[^\x00-\x1f\[\]\\]*$"),
    *(r"^\u00e4\"$", "^a{3}$", "^a{1,}$", "^[()$|?*+{.^]$", r"^\$\^\{\}$"),
)

REFUSED = {
    "a": "must begin with ^ and end with $",
    "^a": "must begin with ^ and end with $",
    "a$": "must begin with ^ and end with $",
    r"^a\$": "must begin with ^ and end with $",
    r"^\d+$": r"has the escape \d",
    r"^[\d]$": r"has the escape \d in a class",
    r"^\w\s$": r"has the escape \w",
    r"^\bx$": r"has the escape \b",
    r"^\/$": r"has the escape \/",
    r"^[\^]$": r"has the escape \^ in a class",
    r"^[a\-z]$": r"has the escape \- in a class",
    r"^[\.]$": r"has the escape \. in a class",
    "^(?!a).*$": "has a group that begins with (?",
    "^(?:a|b)$": "has a group that begins with (?",
    "^(?i)a$": "is no regular expression",
    "^a|b$": "has alternatives that the anchors do not hold together",
    "^a$|^b$": "has $ between its ends",
    "^(a": "must begin with ^",
    "^(a$": "is no regular expression",
    "^a*?$": "has a repetition that is lazy or possessive",
    "^a{1,2}?$": "has a repetition that is lazy or possessive",
    "^a{3000}$": "repeats more than 2000 times",
    "^a{,3}$": "has { without bounds",
    r"^\x0$": "is no regular expression",
    "^[]a]$": "begins a class with ]",
}


@pytest.mark.parametrize("pattern", TAKEN)
def test_what_every_host_takes_passes(pattern: str) -> None:
    assert list(pattern_problems(pattern)) == []


@pytest.mark.parametrize(("pattern", "why"), REFUSED.items())
def test_what_some_hosts_refuse_is_named(pattern: str, why: str) -> None:
    assert any(problem.startswith(why) for problem in pattern_problems(pattern)), list(pattern_problems(pattern))


def test_patterns_and_lengths_are_found_at_any_depth_of_a_schema() -> None:
    deep = {"type": "array", "items": {"additionalProperties": {"pattern": "a", "maxLength": 5000}}}
    assert list(untakable({"properties": {"pattern": deep, "b": {"anyOf": [{"pattern": r"^\d$"}]}}})) == [
        "pattern a must begin with ^ and end with $",
        "maxLength 5000 is over 2000",
        r"pattern ^\d$ has the escape \d",
    ]


def test_no_tool_shows_a_pattern_that_a_host_refuses() -> None:
    shown = toolbox(CATALOG, confirm="token").shown
    assert {tool.name: found for tool in shown if (found := list(untakable(tool.input_schema)))} == {}


@settings(deadline=None)
@given(st.text(alphabet="^$ab0[]()|{}*+?.-,\\dx", max_size=12))
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    assert isinstance(list(pattern_problems(f"^{text}$")), list)


@pytest.mark.parametrize("operation", [CATALOG["add_cluster_tags"], CATALOG["delete_cluster_tags"]])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_a_pattern_can_no_longer_say_is_still_checked(operation: Operation, data: st.DataObject) -> None:
    drawn = data.draw(arguments_of(operation))
    names = [*drawn.get("tags", ()), *drawn.get("keys", ())]
    assert not any(re.match("_sys_", name) for name in names)
