"""Whatever is done to a log by somebody without its key is found: any byte, any line, any cut."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.guard.audit_chain import Chain, Position, is_cut_short
from ap_mcp.guard.audit_check import DECIDED, FINISHED, REPLAYED, RESUMED, check, spends

CHAIN, OTHER_KEY = Chain(b"k" * 32), Chain(b"o" * 32)
JUNK = b'{"seq":2,"time":"2026-03-01T12:00:00.000Z","event":"finished","of":1}\n'
NEXT_HALF = b'{"seq":9,"time":"2026-03-01T12:0'


def written(chain: Chain, steps: str, principal: str = "alice") -> tuple[list[bytes], bytes]:
    """Return the lines and the head of a log.

    Args:
        chain: has the key.
        steps: d decides a call, f finishes it, r goes on after somebody changed the files.
        principal: makes this log another than others.
    """
    top, lines = Position(), []
    for step in steps:
        fields: dict[str, Any] = {
            "tool": "delete_cluster",
            "target": "shop-prod",
            "principal": principal,
            "of": top.seq,
        }
        event = {"d": DECIDED, "f": FINISHED, "r": RESUMED}[step]
        raw, top = chain.line(top, "2026-03-01T12:00:00.000Z", event, fields)
        lines.append(raw)
    return lines, chain.head(top, sum(map(len, lines)))


LINES, HEAD = written(CHAIN, "df" * 4)
DATA = b"".join(LINES)
SAME_KEY, SAME_KEY_HEAD = written(CHAIN, "df" * 5, "mallory")
FOREIGN, FOREIGN_HEAD = written(OTHER_KEY, "df" * 5)
STRAY = [*SAME_KEY, *FOREIGN, JUNK]

BROKEN = "here a line was changed, added, moved or removed, or written with another key"
ADDED = "what stands from here on was added: it bears no seal of the log's key"
UNSEALED = [
    *(
        b'{"seq":9,"time":"2026-03-01T12:00:00.000Z","event":"decided","tool":"delete_cluster"}' + end
        for end in (b"", b"\n")
    ),
    *(
        b'{"seq":9,"event":"decided"',
        b'{"seq":9,"time":"yesterday","event',
        b'{"seq":9,"time":"2026-03-01T12:00:00.000Z","tool"',
    ),
    *(b"{}", b'{"seq":9}'),
]
"""What no crash leaves at the end: a line ends with its seal, and begins with number, time and event."""
PLACES = st.integers(0, len(DATA) - 1)
INDEXES = st.integers(0, len(LINES) - 1)


def alarm(lines: Sequence[bytes] | bytes, head: bytes | None = HEAD) -> str:
    """The alarm, if there is one."""
    data = lines if isinstance(lines, bytes) else b"".join(lines)
    return "".join(str(finding) for finding in check(data, head, CHAIN) if finding.is_alarm)


def test_a_log_that_is_untouched_has_no_findings() -> None:
    assert check(DATA, HEAD, CHAIN) == []
    assert check(b"", None, CHAIN) == []
    assert check(b"", CHAIN.head(Position(), 0), CHAIN) == []


@pytest.mark.parametrize(
    ("steps", "left"),
    [("dfdfdfdf", NEXT_HALF), ("dfdfdfdf", NEXT_HALF[:3]), ("dfdfdfdf", bytes(64)), ("dfdfdfdfd", b"")],
)
def test_what_a_crash_leaves_is_no_alarm(steps: str, left: bytes) -> None:
    lines = b"".join(written(CHAIN, steps)[0])
    assert alarm(lines + left) == ""
    assert alarm((lines + left).removesuffix(b"\n")) == ""


@given(PLACES, st.integers(1, 255))
def test_any_changed_byte_is_found(place: int, change: int) -> None:
    assert alarm(DATA[:place] + bytes([DATA[place] ^ change]) + DATA[place + 1 :])


@given(PLACES, st.integers(1, 400))
def test_any_bytes_removed_are_found(place: int, length: int) -> None:
    left = DATA[:place] + DATA[place + length :]
    assert alarm(left) or left == DATA[:-1]  # the very last line end: a crash may have left it so, and nothing is lost


@given(PLACES, st.binary(min_size=1, max_size=40))
def test_any_bytes_added_are_found(place: int, added: bytes) -> None:
    assert alarm(DATA[:place] + added + DATA[place:])


@given(st.binary(min_size=1, max_size=200))
def test_anything_added_at_the_end_is_found_unless_a_crash_may_have_left_it(added: bytes) -> None:
    assert bool(alarm(DATA + added)) != is_cut_short(added, len(LINES) + 1)


@given(st.sets(INDEXES, min_size=1))
def test_any_lines_removed_are_found(gone: set[int]) -> None:
    assert alarm([line for index, line in enumerate(LINES) if index not in gone])


@given(st.permutations(range(len(LINES))))
def test_any_lines_reordered_are_found(order: list[int]) -> None:
    assert bool(alarm([LINES[index] for index in order])) == (order != list(range(len(order))))


@given(INDEXES, st.integers(0, len(LINES)))
def test_any_line_duplicated_is_found(index: int, place: int) -> None:
    assert alarm([*LINES[:place], LINES[index], *LINES[place:]])


@given(st.sampled_from([*STRAY, b"\n", b"{}\n", HEAD]), st.integers(0, len(LINES)))
def test_any_line_inserted_is_found(line: bytes, place: int) -> None:
    assert alarm([*LINES[:place], line, *LINES[place:]])


@given(st.sampled_from(STRAY), INDEXES)
def test_any_line_replaced_is_found(line: bytes, place: int) -> None:
    assert alarm([*LINES[:place], line, *LINES[place + 1 :]])


@given(st.lists(st.sampled_from([*LINES, *STRAY, NEXT_HALF + b"\n"]), max_size=12))
def test_no_other_row_of_lines_passes_for_the_log(lines: list[bytes]) -> None:
    assert bool(alarm(lines)) == (lines != LINES)


@given(st.integers(0, len(HEAD) - 1), st.integers(1, 255))
def test_any_change_of_the_head_is_found(place: int, change: int) -> None:
    spoilt = HEAD[:place] + bytes([HEAD[place] ^ change]) + HEAD[place + 1 :]
    assert alarm(DATA, spoilt).startswith("log: not intact: its head is missing, changed or old")


@pytest.mark.parametrize(
    "head", [None, b"", HEAD[:-1], SAME_KEY_HEAD, written(CHAIN, "dfdfdfd", "mallory")[1], FOREIGN_HEAD, LINES[-1]]
)
def test_a_head_that_is_not_its_own_is_found(head: bytes | None) -> None:
    assert alarm(DATA, head)


@pytest.mark.parametrize("steps", ["dfdf", "dfdfdfdf", "dfdfdfdfdf"])
def test_another_log_in_its_place_is_found(steps: str) -> None:
    assert alarm(written(CHAIN, steps, "mallory")[0])
    assert alarm(written(OTHER_KEY, steps)[0])


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        ([*LINES[:2], *LINES[3:]], 3, BROKEN),
        (LINES[:-1], 8, "lines are missing at the end"),
        ([], 1, "lines are missing at the end"),
        ([*LINES[:-1], LINES[-1][:40]], 8, BROKEN),
        ([LINES[1], LINES[0], *LINES[2:]], 1, BROKEN),
        ([*LINES[:3], JUNK, *LINES[3:]], 4, BROKEN),
        ([*LINES, LINES[0][:40]], 9, ADDED),
        ([*LINES, SAME_KEY[8][:-1]], 9, ADDED),
        ([*LINES, NEXT_HALF + b"\n"], 9, ADDED),
        *(([*LINES, added], 9, ADDED) for added in UNSEALED),
        ([*LINES[:3], LINES[2], *LINES[3:]], 4, BROKEN),
        (written(CHAIN, "dfrdfdfd")[0], 3, "when it was written, the log was not as ap-mcp left it"),
    ],
)
def test_a_finding_says_from_where_on_the_log_is_not_intact(lines: list[bytes], line: int, why: str) -> None:
    assert alarm(lines) == f"line {line}: not intact: {why}"


def test_the_key_is_never_shown() -> None:
    assert repr(CHAIN) == "Chain(key hidden)"
    with pytest.raises(ValueError, match="32 bytes"):
        Chain(b"short")


@given(st.integers(0, 400))
def test_wherever_a_line_is_cut_short_that_is_no_alarm(length: int) -> None:
    line = written(CHAIN, "df" * 4 + "d")[0][-1]
    assert alarm(DATA + line[: min(length, len(line) - 2)]) == ""


def test_a_consent_that_is_offered_again_is_an_alarm() -> None:
    lines, head = [], b""
    top = Position()
    for event in (DECIDED, FINISHED, REPLAYED):
        raw, top = CHAIN.line(
            top, "2026-03-01T12:00:00.000Z", event, {"consent": "c0ffee", "of": 1, "tool": "t", "target": ""}
        )
        lines.append(raw)
    head = CHAIN.head(top, sum(map(len, lines)))
    [finding] = check(b"".join(lines), head, CHAIN)
    assert (finding.kind, finding.line, finding.is_alarm) == ("replayed", 3, True)
    assert spends(lines, "c0ffee")
    assert not spends(lines, "c0ffe")
