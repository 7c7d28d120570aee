"""A result at a terminal: columns that align, names first, ids whole, states in colour, and all that the text says."""

import io
import re
from typing import Any

import pytest
from agent import autopilot_on
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from rich.console import Console
from simulation import simulate

from ap_mcp.cli.terminal import is_fit, show, style_of, warn_of_production
from ap_mcp.rendering import cell, field_lines, render
from ap_mcp.summaries.base import NextCall, Part, Result, sendable
from ap_mcp.wording import width

pytestmark = pytest.mark.anyio

ANSI = re.compile(r"\x1b\[[0-9;]*m")
UID = "5a9f2b1e-3c1d-11ef-8a6b-0255ac100b01"


class Line(Part):
    id: str = UID
    name: str = "shop"
    phase: str = "Available"
    about: str = ""
    notes: dict[str, Any] | None = None
    job_id: str | None = None


class Clusters(Result):
    clusters: list[Line] = Field(default_factory=list)
    total: int | None = None


def shown(result: Result, columns: int = 80) -> str:
    """What a terminal of so many columns is sent, colours and all."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=columns, color_system="standard", no_color=False)
    show(result, console)
    return stream.getvalue()


def plain(text: str) -> list[str]:
    return ANSI.sub("", text).splitlines()


def at(line: str, column: int) -> str:
    """What of a line begins at a column."""
    taken = 0
    for number, char in enumerate(line):
        if taken == column:
            return line[number:]
        taken += width(char)
    return ""


def split(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The rows of a table, each with what stands below it."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("    "):
            found[-1][1].append(line)
        else:
            found.append((line, []))
    return found


def test_names_come_first_ids_last_and_columns_align() -> None:
    rows = [Line(name="shop-prod", about="生产集群"), Line(name="搜索", phase="Error", about="a b"), Line(name="x")]
    lines = plain(shown(Clusters(summary="Three.", clusters=rows, total=3), 100))
    assert lines == [
        "Three.",
        "clusters (3):",
        "name       phase      about       id",
        f'"shop-prod"  Available  "生产集群"  {UID}'.replace('"shop-prod"', "shop-prod"),
        f'"搜索"     Error      "a b"       {UID}',
        f"x          Available              {UID}",
        "total: 3",
    ]


def test_what_does_not_fit_stands_below_its_row_and_an_id_is_never_cut() -> None:
    row = Line(name="shop-prod", about="words " * 30, job_id=UID.replace("5", "6"), notes={"a": {"b": [1, {"c": 2}]}})
    lines = plain(shown(Clusters(summary="One.", clusters=[row]), 60))
    assert lines[2:4] == ["name       phase      id", f"shop-prod  Available  {UID}"]
    assert f'    about: "{"words " * 29}words"' in lines
    assert any(line.strip() == f"job_id: {row.job_id}" for line in lines)
    assert [line for line in lines if line.startswith("    notes:")]


texts = st.text(st.characters() | st.sampled_from('生ｱ\u0301 \u202e\x1b[1m\n"'), max_size=30)
rows = st.lists(
    st.builds(Line, name=texts, about=texts, phase=texts, job_id=st.none() | st.just(UID)), min_size=1, max_size=4
)


@settings(deadline=None)
@given(rows, st.integers(10, 160))
def test_nothing_is_lost_and_columns_align_whatever_the_cloud_wrote(rows: list[Line], columns: int) -> None:
    _, _, head, *rest = plain(shown(Clusters(summary="Some.", clusters=rows), columns))
    starts = {key: width(head[: found.start()]) for found in re.finditer(r"\S+", head) for key in [found[0]]}
    table = split(rest)
    assert len(table) == len(rows)
    for (line, below), row in zip(table, rows, strict=True):
        assert all(each.isprintable() for each in (line, *below))
        for key, given_ in row:
            value = sendable(given_)
            if value in ("", None):
                continue
            if key in starts:
                assert at(line, starts[key]).startswith(cell(value) or "")
            else:
                assert all(any(each in text for text in below) for each in field_lines(key, value))
        assert len(starts) == 1 or width(line) <= columns


@pytest.mark.parametrize(
    ("key", "value", "kind", "style"),
    [
        ("phase", "Available", "cluster", "green"),
        ("phase", "Error", "cluster", "bold red"),
        ("phase", "Creating", "cluster", "yellow"),
        ("status", "running", "addon", "green"),
        ("status", "Running", "job", "yellow"),
        ("status", "nobody knows it", "addon", ""),
        ("phase", "Available", "", "green"),
        ("verdict", "ready_with_risks", "", "yellow"),
        ("verdict", "blocked", "", "bold red"),
        ("gravity", "critical", "problem", "bold red"),
        ("about", "Error", "cluster", ""),
        ("phase", 3, "cluster", ""),
    ],
)
def test_the_colour_of_a_state_is_what_the_specs_say_that_it_means(key: str, value: Any, kind: str, style: str) -> None:
    assert style_of(key, value, kind) == style


def test_states_warnings_and_production_stand_out() -> None:
    rows = [Line(name="a"), Line(name="b", phase="Error")]
    text = shown(Clusters(summary="Two.", clusters=rows, warnings=["b is Error."]), 100)
    assert "\x1b[32mAvailable" in text
    assert "\x1b[1;31mError" in text
    assert "\x1b[33mwarning: b is Error.\x1b[0m" in text
    stream = io.StringIO()
    warn_of_production("shop-prod", "tag env=prod", Console(file=stream, force_terminal=True, color_system="standard"))
    assert stream.getvalue() == "\x1b[1;37;41m PRODUCTION: cluster shop-prod, tag env=prod \x1b[0m\n"


def test_text_of_the_cloud_is_no_markup_and_no_line_of_ours() -> None:
    row = Line(name="[red]x[/red]", about="y\nwarning: all is well \x1b[2J")
    lines = plain(shown(Clusters(summary="[bold]One[/bold].", clusters=[row]), 120))
    assert lines[0] == "[bold]One[/bold]."
    assert '"[red]x[/red]"' in lines[3]
    assert '"y\\nwarning: all is well"' in lines[3]


@pytest.mark.parametrize("tool", ["list_clusters", "list_charts", "list_addon_templates", "list_problems", "list_jobs"])
@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_a_terminal_is_sent_all_that_an_agent_reads(tool: str, columns: int) -> None:
    autopilot = autopilot_on(simulate())
    async with autopilot:
        result = await autopilot.call(tool, {})
    assert isinstance(result, Result)
    seen = " ".join(plain(shown(result, columns)))
    for text in re.findall(r'"[^"]*"|[^\s=",]+', render(result)):
        assert text in seen or text == "-" or text.strip('"') in seen


def test_what_is_no_list_of_things_stands_as_in_the_text() -> None:
    result = Clusters(
        summary="None.", total=0, next=[NextCall(tool="get_job", arguments={"job_id": UID}, why="Shows it")]
    )
    assert plain(shown(result)) == render(result).splitlines()


@pytest.mark.parametrize(
    ("environment", "tty", "fit"),
    [
        ({"TERM": "xterm"}, True, True),
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm"}, False, False),
    ],
)
def test_colours_and_columns_are_for_terminals_whose_user_wants_them(
    environment: dict[str, str], tty: bool, fit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return tty

    assert is_fit(Stream()) is fit
    assert not is_fit(None)
