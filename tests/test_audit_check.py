"""Whatever is done to a log by somebody without its key is found: any byte, any line, any cut."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.guard.audit_chain import Chain, Position
from ap_mcp.guard.audit_check import DECIDED, FINISHED, MENDED, Finding, check

CHAIN, OTHER_KEY = Chain(b"k" * 32), Chain(b"o" * 32)
JUNK = b'{"seq":2,"time":"2026-03-01T12:00:00.000Z","event":"finished","of":1}\n'
HALF = b'{"seq":5,"time":"2026-03-01T12:0\n'
NEXT_HALF = HALF.replace(b"5", b"9", 1)


def written(chain: Chain, steps: str, principal: str = "alice") -> tuple[list[bytes], bytes]:
    """Return the lines and the head of a log.

    Args:
        chain: has the key.
        steps: d decides a call, f finishes it, h is half a line, and m the line that seals it off.
        principal: makes this log another than others.
    """
    top, lines = Position(), []
    for step in steps:
        if step == "h":
            lines.append(HALF)
            continue
        fields: dict[str, Any] = {
            "tool": "delete_cluster",
            "target": "shop-prod",
            "principal": principal,
            "of": top.seq,
        }
        if step == "m":
            seal = {"bytes": len(HALF), "sha256": sha256(HALF).hexdigest()}
            fields = {"found": "half line", "present": top.seq, "expected": top.seq, **seal}
        event = {"d": DECIDED, "f": FINISHED, "m": MENDED}[step]
        raw, top = chain.line(top, "2026-03-01T12:00:00.000Z", event, fields)
        lines.append(raw)
    return lines, chain.head(top, sum(map(len, lines)))


LINES, HEAD = written(CHAIN, "df" * 4)
DATA = b"".join(LINES)
CRASHED, CRASHED_HEAD = written(CHAIN, "dfdfhmdf")
SAME_KEY, SAME_KEY_HEAD = written(CHAIN, "df" * 5, "mallory")
FOREIGN, FOREIGN_HEAD = written(OTHER_KEY, "df" * 5)
STRAY = [*SAME_KEY, *FOREIGN, JUNK]

# A log with its head: one that nothing ever happened to, and one with half a line in it that was sealed off.
LOGS = st.sampled_from([(LINES, HEAD), (CRASHED, CRASHED_HEAD)])
BYTES = st.builds(lambda log: (b"".join(log[0]), log[1]), LOGS)
INDEXES = st.integers(0, len(LINES) - 1)


def alarms(lines: Sequence[bytes] | bytes, head: bytes | None = HEAD) -> set[str]:
    data = lines if isinstance(lines, bytes) else b"".join(lines)
    return {finding.kind for finding in check(data, head, CHAIN) if finding.is_alarm}


def said(findings: Sequence[Finding]) -> list[str]:
    return [str(finding) for finding in findings if finding.kind != "unfinished"]


def test_a_log_that_nobody_touched_has_no_findings() -> None:
    assert check(DATA, HEAD, CHAIN) == []
    assert check(b"", None, CHAIN) == []
    assert check(b"", CHAIN.head(Position(), 0), CHAIN) == []


def test_half_a_line_that_was_sealed_off_is_no_alarm() -> None:
    assert said(check(b"".join(CRASHED), CRASHED_HEAD, CHAIN)) == [
        "line 6: half line: 33 bytes before it were left when ap-mcp ended while writing, and are sealed off"
    ]


@given(BYTES, st.data(), st.integers(1, 255))
def test_any_changed_byte_is_found(log: tuple[bytes, bytes], draw: st.DataObject, change: int) -> None:
    data, head = log
    place = draw.draw(st.integers(0, len(data) - 1))
    assert alarms(data[:place] + bytes([data[place] ^ change]) + data[place + 1 :], head)


@given(BYTES, st.data(), st.integers(1, 400))
def test_any_bytes_removed_are_found(log: tuple[bytes, bytes], draw: st.DataObject, length: int) -> None:
    data, head = log
    place = draw.draw(st.integers(0, len(data) - 1))
    assert alarms(data[:place] + data[place + length :], head)


@given(BYTES, st.data(), st.binary(min_size=1, max_size=40))
def test_any_bytes_added_are_found(log: tuple[bytes, bytes], draw: st.DataObject, added: bytes) -> None:
    data, head = log
    place = draw.draw(st.integers(0, len(data) - 1))
    assert alarms(data[:place] + added + data[place:], head)


@given(st.binary(min_size=1, max_size=200))
def test_anything_added_at_the_end_is_found(added: bytes) -> None:
    assert check(DATA + added, HEAD, CHAIN)


@given(BYTES, st.data())
def test_any_cut_of_the_tail_is_found(log: tuple[bytes, bytes], draw: st.DataObject) -> None:
    data, head = log
    assert "cut" in alarms(data[: draw.draw(st.integers(0, len(data) - 1))], head)


@given(LOGS, st.sets(INDEXES, min_size=1))
def test_any_lines_removed_are_found(log: tuple[list[bytes], bytes], gone: set[int]) -> None:
    lines, head = log
    assert alarms([line for index, line in enumerate(lines) if index not in gone], head) & {"missing", "cut", "changed"}


@given(LOGS, st.permutations(range(len(LINES))))
def test_any_lines_reordered_are_found(log: tuple[list[bytes], bytes], order: list[int]) -> None:
    lines, head = log
    assert bool(alarms([lines[index] for index in order], head)) == (order != list(range(len(order))))


@given(LOGS, INDEXES, st.integers(0, len(LINES)))
def test_any_line_duplicated_is_found(log: tuple[list[bytes], bytes], index: int, place: int) -> None:
    lines, head = log
    assert alarms([*lines[:place], lines[index], *lines[place:]], head)


@given(LOGS, st.sampled_from([*STRAY, b"\n", b"{}\n", HEAD]), st.integers(0, len(LINES)))
def test_any_line_inserted_is_found(log: tuple[list[bytes], bytes], line: bytes, place: int) -> None:
    lines, head = log
    assert alarms([*lines[:place], line, *lines[place:]], head)


@given(LOGS, st.sampled_from(STRAY), INDEXES)
def test_any_line_replaced_is_found(log: tuple[list[bytes], bytes], line: bytes, place: int) -> None:
    lines, head = log
    assert alarms([*lines[:place], line, *lines[place + 1 :]], head)


@given(st.lists(st.sampled_from([*LINES, *STRAY, HALF]), max_size=12))
def test_no_other_row_of_lines_passes_for_the_log(lines: list[bytes]) -> None:
    assert bool(alarms(lines)) == (lines != LINES)


@given(st.integers(0, len(HEAD) - 1), st.integers(1, 255))
def test_any_change_of_the_head_is_found(place: int, change: int) -> None:
    assert alarms(DATA, HEAD[:place] + bytes([HEAD[place] ^ change]) + HEAD[place + 1 :]) == {"head"}


@pytest.mark.parametrize(
    "head", [None, b"", HEAD[:-1], SAME_KEY_HEAD, written(CHAIN, "dfdfdfd", "mallory")[1], FOREIGN_HEAD, LINES[-1]]
)
def test_a_head_that_is_not_its_own_is_found(head: bytes | None) -> None:
    assert alarms(DATA, head)


@pytest.mark.parametrize("steps", ["dfdf", "dfdfdfdf", "dfdfdfdfdf"])
def test_another_log_in_its_place_is_found(steps: str) -> None:
    assert alarms(written(CHAIN, steps, "mallory")[0])
    assert alarms(written(OTHER_KEY, steps)[0]) >= {"foreign key"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([*LINES[:2], *LINES[3:]], "line 3: missing: number 3 should stand before it"),
        ([*LINES[:2], *LINES[5:]], "line 3: missing: numbers 3 to 5 should stand before it"),
        (LINES[:-1], "line 7: cut: number 8 should stand after it"),
        ([], "log: cut: numbers 1 to 8 should stand after it"),
        ([*LINES[:-1], LINES[-1][:40]], "line 8: cut: number 8 is cut off in the middle, or changed"),
        ([LINES[1], LINES[0], *LINES[2:]], "line 2: reordered: it has number 1 and stands below number 2"),
        (
            [LINES[3], *LINES[:3], *LINES[4:]],
            "lines 2-4: reordered: it has number 1 and stands below number 4; the others likewise",
        ),
        ([*LINES[:3], JUNK, *LINES[3:]], "line 4: inserted: ap-mcp did not write it"),
        ([*LINES, LINES[0][:40]], "line 9: inserted: ap-mcp did not write it"),
        ([*LINES, SAME_KEY[8][:-1]], "line 9: inserted: ap-mcp did not write it"),
        ([*LINES, FOREIGN[8]], "line 9: foreign key: it was written with another key"),
        ([*LINES, NEXT_HALF], "line 9: half line: ap-mcp ended while it wrote it; the next call seals it off"),
        ([*LINES, NEXT_HALF, NEXT_HALF], "lines 9-10: inserted: ap-mcp did not write it; the others likewise"),
        (
            [*LINES[:2], SAME_KEY[2], *LINES[2:]],
            "line 3: inserted: it does not follow number 2: it comes from another log",
        ),
        (
            [*LINES[:3], SAME_KEY[3], *LINES[4:]],
            "lines 4-5: inserted: it does not follow number 3: one of them is from another log; the others likewise",
        ),
        ([*LINES[:3], JUNK, *LINES[4:]], "line 4: changed: it is not number 4 as it was written"),
        ([*LINES[:3], FOREIGN[3], *LINES[4:]], "line 4: foreign key: it was written with another key"),
        ([*LINES[:3], LINES[2], *LINES[3:]], "line 4: duplicated: it is a copy of number 3, which stands above"),
    ],
)
def test_a_finding_says_what_happened_and_where(lines: list[bytes], told: str) -> None:
    assert said(check(b"".join(lines), HEAD, CHAIN)) == [told]


def test_the_key_is_never_shown() -> None:
    assert repr(CHAIN) == "Chain(key hidden)"
    with pytest.raises(ValueError, match="32 bytes"):
        Chain(b"short")
