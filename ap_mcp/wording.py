"""Writes texts: foreign ones made harmless, on one line and cut; counts, lists and durations in words."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, wraps
from typing import Any, TypeVar

from ap_mcp.late_patterns import later

T = TypeVar("T")

MESSAGE_LIMIT = 600
NAME_LIMIT = 120
LONGEST_WORD = 1000
LONGEST_KEPT = 200
"""Characters of a name up to which it is remembered what was found out about it."""
NAMED = 12
"""Things of a kind that are named before the rest is counted."""
_SHORT, _ENOUGH = 80, 10
"""Below so many characters a cut is marked by one sign; of a text that is so many times too long the middle is not
looked at."""
_WORD = 48
"""Most characters of a word, such as an id, that is left out rather than cut into two."""
_CLOCKS_DIFFER = timedelta(minutes=10)
ANSI = later(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_]")
_CUT = later(r" … \d+ characters … ")
_PLAIN = later(r"[A-Za-z0-9._:/@+=-]{1,200}")
_SEEN = later(r"[ !#-\[\]-~]*")
"""A text of which every character is seen for what it is, and none is written otherwise."""
_STEP = later(
    r"(?P<box>\[)?(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>[^']*)'|(?P<bare>[^.\[\]\"']+))(?(box)\])(?=[.\[]|\Z)"
)
_OURS = later(r"\W*(?:warnings?|next|consent|request_id|whole|full)\b\W*(?::.*)?", re.IGNORECASE)


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return one line of foreign text without control, bidirectional or invisible characters, cut as `ends` does."""
    room = _ENOUGH * limit + 1000
    if len(text) <= 2 * room:
        return ends(_line(text), limit)
    head, tail = _line(text[:room]), _line(text[-room:])
    return _joined(head, tail, len(text) - 2 * room + len(head) + len(tail), limit)


def ends(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters: of a longer one head and tail, for causes stand at either end."""
    return text if len(text) <= limit else _joined(text, text, len(text), limit)


def is_cut(text: str) -> bool:
    """Say whether a text shows that a part of it is left out."""
    return _CUT.search(text) is not None


def _joined(head: str, tail: str, length: int, limit: int) -> str:
    """Return the start of one text and the end of another, and how much is left out between them."""
    mark = f" … {length} characters … "
    if limit < _SHORT:
        mark = "…"
    room = max(limit - len(mark), 0)
    first, last = head[: room - room // 2].rstrip(), tail[len(tail) - room // 2 :].lstrip()
    if limit >= _SHORT:
        first, last = _whole_words(head, tail, room - room // 2, room // 2)
    return first + mark.replace(str(length), str(length - len(first) - len(last))) + last


def _whole_words(head: str, tail: str, first: int, last: int) -> tuple[str, str]:
    """Return the start of one text and the end of another without a word, such as an id, that is cut into two."""
    begins, ends = _word_at(head, first), _word_at(tail, len(tail) - last)
    return head[: begins[0]].rstrip(), tail[ends[1] :].lstrip()


def _word_at(text: str, at: int) -> tuple[int, int]:
    """Return where the word begins and ends that a cut would go through; the place of the cut if it is too long."""
    before = len(text[max(at - _WORD, 0) : at].rpartition(" ")[2])
    after = len(text[at : at + _WORD].partition(" ")[0])
    return (at - before, at + after) if before + after <= _WORD and before and after else (at, at)


def _line(text: str) -> str:
    # Most texts hold no such character, and then there is no need to check each; the only blank is then the usual one.
    if text.isprintable():
        return text if " " not in text else " ".join(text.split())
    return " ".join("".join(map(_visible, text)).split())


def _visible(char: str) -> str:
    """Return a character, a space for any kind of one, and nothing for an invisible one."""
    return " " if char.isspace() else "" if unicodedata.category(char).startswith("C") else char


def in_quotes(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return foreign text cleaned and in quotation marks, so that it reads as data."""
    return '"' + clean(text, limit).replace('"', "'") + '"'


def is_plain(text: str) -> bool:
    """Say whether foreign text is a name, id, version or address, which can be taken for nothing else."""
    return _PLAIN.fullmatch(text) is not None and not (":" in text and begins_as_ours(text))


def step(key: Any) -> str:
    """Return a key as a part of the path to a setting: in quotation marks if it holds a dot, or is not a plain name."""
    name = str(key)
    return name if is_plain(name) and "." not in name and not begins_as_ours(name) else exactly(name)


def path(keys: Iterable[Any]) -> str:
    """Return the path to a setting, in which each key stands for itself: `image.tag`, but `"image.tag"` for one key."""
    return ".".join(map(step, keys))


def steps(path: str) -> list[str]:
    """Return the keys of a path; one in quotation marks, in brackets too, is one key whatever it holds."""
    found, at = [], 0
    while (read := _STEP.match(path, at)) is not None:
        double, single, bare = read.group("double", "single", "bare")
        found.append(_unescaped(double) if double is not None else bare if single is None else single)
        at = read.end()
        if at == len(path):
            return found
        at += path[at] == "."
    return path.split(".")


def _unescaped(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        return quoted


def begins_as_ours(text: str) -> bool:
    """Say whether a line that begins with foreign text, and a colon behind it, would look like one that we write."""
    return _OURS.fullmatch(text) is not None


def span(duration: timedelta | float) -> str:
    """Return a duration in its two largest units: `45 s`, `1 min 50 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    rest = max(0, int(seconds))
    if rest < 60:
        return f"{rest} s"
    if rest < 600:
        return " ".join(part for part in (f"{rest // 60} min", f"{rest % 60} s") if not part.startswith("0 "))
    minutes, hours, days = rest // 60 % 60, rest // 3600 % 24, rest // 86400
    parts = [f"{days} d", f"{hours} h"] if days else [f"{hours} h", f"{minutes} min"]
    return " ".join(part for part in parts if not part.startswith("0 "))


def age(since: datetime | None, now: datetime) -> str | None:
    """Return how long ago a moment was; None when it is unknown, or lies so far ahead that no clock explains it."""
    return None if since is None or since - now > _CLOCKS_DIFFER else span(now - since)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: `1 cluster`, `3 clusters`, `2 releases`, `2 policies` when given."""
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"


def few(values: Sequence[str], limit: int = NAMED) -> str:
    """Return texts as an enumeration; what is beyond the limit is counted."""
    left = len(values) - limit
    return ", ".join(values[:limit]) + (f" and {left} more" if left > 0 else "")


def remembered(most: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Have what a function returns remembered for so many names; not for long texts, which would fill the memory."""

    def wrap(function: Callable[[str], T]) -> Callable[[str], T]:
        kept = lru_cache(maxsize=most)(function)
        return wraps(function)(lambda name: kept(name) if len(name) <= LONGEST_KEPT else function(name))

    return wrap


def visible(value: str) -> str:
    """Return a text of any length without what a terminal would obey, reorder or hide; its lines stay lines."""
    if value.isprintable():
        return value
    return ANSI.sub("", value.replace("\r\n", "\n")).translate(_VISIBLE)


class _Visible(dict[int, int | str | None]):
    """What becomes of each character, by its number."""

    def __missing__(self, number: int) -> int | str | None:
        kept: int | str | None = number
        category = unicodedata.category(chr(number))
        if category in ("Zl", "Zp"):
            kept = " "
        elif category == "Cs":
            kept = "?"
        elif category[0] == "C" and chr(number) not in "\n\t":
            kept = None
        self[number] = kept
        return kept


_VISIBLE = _Visible()


def width(text: str) -> int:
    """Return how many columns a line takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def rows_of_line(line: str, columns: int) -> int:
    """Return how many rows of some columns a line takes that is broken at blanks, and a longer word anywhere."""
    rows, used = 1, 0
    for word in line.split(" "):
        needs = width(word)
        if used and used + 1 + needs > columns:
            rows, used = rows + 1, 0
        elif used:
            used += 1
        for char in word if used + needs > columns else ():
            if used + _columns(char) > columns:
                rows, used = rows + 1, 0
            used += _columns(char)
            needs = 0
        used += needs
    return rows


def cut_at(text: str, limit: int, after: str = "") -> str:
    """Return a line cut to some columns, the mark of the cut and what stands `after` it among them."""
    left, kept = limit - width(after) - 2, []
    for char in text:
        left -= _columns(char)
        if left < 0:
            break
        kept.append(char)
    # What is in quotation marks must end with one, or what follows would seem to be in them.
    return "".join(kept).rstrip() + ('…"' if kept.count('"') % 2 else "…") + after


def cut_within(text: str, limit: int) -> str:
    """Return a line cut to some columns in the middle of its longest word; empty if that word is too short for it."""
    longest = max(text.split(" "), key=width)
    room = limit - width(text) + width(longest) - 1
    if room < _SHORTEST or '"' in text:
        return ""
    head, tail = _start(longest, room - room // 2), _start(longest[::-1], room // 2)[::-1]
    return text.replace(longest, f"{head}…{tail}", 1)


def _start(text: str, limit: int) -> str:
    """Return as much of the start of a text as takes some columns."""
    left = limit
    for at, char in enumerate(text):
        left -= _columns(char)
        if left < 0:
            return text[:at]
    return text


_SHORTEST = 9
"""Columns of a name of which both ends still tell it from others."""


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1


def in_order(text: str) -> str:
    """Return a line whose characters are seen in the order in which they stand.

    Letters and digits of a script that runs from right to left are written by their number: shown as they are, they
    turn the digits, signs and quotation marks around them round as well.
    """
    return text if text.isascii() else "".join(_by_number(char) if _turns(char) else char for char in text)


def _turns(char: str) -> bool:
    return unicodedata.bidirectional(char) in ("R", "AL", "AN")


def exactly(text: str) -> str:
    """Return a text of any length in quotation marks, all of it, and every character of it to be seen.

    A quotation mark in it, what is invisible, what could pass for another character, and what would be seen in
    another order is written by its number.
    """
    if _SEEN.fullmatch(text):
        return f'"{text}"'
    mixes = any("a" <= char.lower() <= "z" for char in text)
    return '"' + "".join(_exact(char, mixes=mixes) for char in text) + '"'


def _exact(char: str, *, mixes: bool) -> str:
    """Return a character as it is if it can be seen for what it is, else by its number.

    Args:
        char: the character.
        mixes: it stands among Latin letters, so that one of another alphabet could pass for one of them.
    """
    if " " <= char <= "~" and char not in _ESCAPES:
        return char
    if char in _ESCAPES:
        return _ESCAPES[char]
    if (
        char.isprintable()
        and not _turns(char)
        and not unicodedata.category(char).startswith("M")
        and char not in _FILLERS
    ):
        is_own = unicodedata.east_asian_width(char) == "W" or "\xa1" <= char <= "\xff"
        if (is_own or not mixes) and not unicodedata.normalize("NFKC", char).isascii():
            return char
    return _by_number(char)


def _by_number(char: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in _utf16(char))


def _utf16(char: str) -> list[int]:
    """Return a character as JSON numbers it: one beyond the first 65,536 is two."""
    number = ord(char) - 0x10000
    return [ord(char)] if number < 0 else [0xD800 + (number >> 10), 0xDC00 + (number & 0x3FF)]


_ESCAPES = {'"': "\\u0022", "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Printable by their category, and empty to the eye."""


def closest(word: str, known: Iterable[str], *, most: int = 3, likeness: float = 0.6) -> list[str]:
    """Return the known words that a mistyped one may stand for, the likeliest first; none for a text too long for one.

    Args:
        word: as it was typed.
        known: what it may be.
        most: how many are returned.
        likeness: how alike they must be, from 0 to 1.
    """
    if len(word) > LONGEST_WORD:  # comparing it would take long
        return []
    from difflib import get_close_matches  # noqa: PLC0415 - most words are typed right

    return get_close_matches(word, known, most, likeness)
