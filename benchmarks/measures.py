"""What the benchmarks share: sizes in bytes and tokens, and tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from splintr import Tokenizer

VOCABULARY = "o200k_base"
KNOWN = ("hello world", [24912, 2375])
"""A text and its tokens, as the vocabulary's maker publishes them."""


@cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer; its vocabulary is part of the package, nothing is fetched."""
    found = Tokenizer.from_pretrained(VOCABULARY)
    if found.encode(KNOWN[0]) != KNOWN[1]:
        raise RuntimeError(f"the tokenizer does not know {VOCABULARY}")
    return found


def tokens(text: str) -> int:
    return len(tokenizer().encode(text))


def dense(value: Any) -> str:
    """Write JSON without white space, as services and clients send it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Size:
    """How large a text is."""

    bytes: int
    tokens: int

    @classmethod
    def of(cls, text: str) -> "Size":
        return cls(len(text.encode()), tokens(text))

    def __add__(self, other: "Size") -> "Size":
        return Size(self.bytes + other.bytes, self.tokens + other.tokens)

    @property
    def cells(self) -> tuple[str, str]:
        return f"{self.bytes:,}", f"{self.tokens:,}"


@dataclass(frozen=True)
class Section:
    """One table of the report, with what it shows and against what."""

    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    broken: Sequence[str] = field(default_factory=list)
    """Promises that did not hold."""

    def lines(self) -> list[str]:
        """Write the table in Markdown, the columns aligned so that a terminal shows it clearly, too."""
        every = [list(self.header), *(list(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*every, strict=True)]
        head, *rows = [_line(row, widths) for row in every]
        rule = "|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|"
        return [f"## {self.title}", "", self.about, "", head, rule, *rows, ""]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Write one row: what it is about to the left, figures to the right."""
    figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return f"| {' | '.join([row[0].ljust(widths[0]), *figures])} |"


def share(part: float, whole: float) -> str:
    """Write a part as a share of the whole."""
    return f"{100 * part / whole:.1f} %"


def times(ours: float, theirs: float) -> str:
    """Write ours as a multiple of theirs."""
    return multiple(ours / theirs)


def multiple(ratio: float) -> str:
    return f"{ratio:.2f} x"
