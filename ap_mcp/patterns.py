"""Which regular expressions may stand in a schema that clients are shown.

Hosts on llama.cpp (LM Studio, Ollama, llama-server) turn every schema of a request into a grammar. One pattern that
they cannot turn makes the whole request fail, whichever tool it is about. What they take is a small part of what JSON
Schema allows, and less of it in versions before August 2026, so here is the part that all of them take.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST_REPEATED = 2000
"""A larger bound of a repetition, or a longer text, makes some of them give up."""
META = frozenset("^$.[]()|{}*+?")
LETTERS = {"x": r"[0-9A-Fa-f]{2}", "u": r"[0-9A-Fa-f]{4}", "U": r"[0-9A-Fa-f]{8}"}
PLAIN = frozenset('trn"\\[]')
"""What may follow a backslash in a class of characters, beside the letters of character codes."""

_BOUNDS = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")


def untakable(schema: Any) -> Iterator[str]:
    """Find what is wrong with the patterns and lengths of a schema, at any depth.

    Args:
        schema: as clients are shown it.
    """
    if isinstance(schema, Mapping):
        if isinstance(pattern := schema.get("pattern"), str):
            yield from (f"pattern {pattern} {problem}" for problem in pattern_problems(pattern))
        for bound in ("minLength", "maxLength", "minItems", "maxItems"):
            if isinstance(wanted := schema.get(bound), int) and wanted > MOST_REPEATED:
                yield f"{bound} {wanted} is over {MOST_REPEATED}"
        for child in schema.values():
            yield from untakable(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from untakable(child)


def pattern_problems(pattern: str) -> Iterator[str]:
    """Find what hosts cannot turn into a grammar, or would turn into another meaning."""
    ends = len(pattern) - len(pattern.rstrip("$")) == 1 and not pattern.removesuffix("$").endswith("\\")
    if not (pattern.startswith("^") and ends):
        yield "must begin with ^ and end with $"
        return
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"is no regular expression: {error}"
        return
    yield from dict.fromkeys(_inner_problems(pattern[1:-1]))


def _inner_problems(inner: str) -> Iterator[str]:
    """Find problems between the anchors, reading from left to right."""
    at, depth, in_class = 0, 0, False
    while at < len(inner):
        char, rest = inner[at], inner[at + 1 :]
        if char == "\\":
            yield from _escape_problems(rest, in_class=in_class)
            at += 2
            continue
        if in_class:
            in_class = char != "]"
        else:
            yield from _outer_problems(char, rest, depth)
            in_class = char == "["
            at += 1 if in_class and rest.startswith("^") else 0
            depth += {"(": 1, ")": -1}.get(char, 0)
        at += 1


def _outer_problems(char: str, rest: str, depth: int) -> Iterator[str]:
    """Find what is wrong with a character outside a class, and what follows it."""
    if char == "[" and rest.removeprefix("^").startswith("]"):
        yield "begins a class with ], which must be escaped"
    elif char == "(" and rest.startswith("?"):
        yield "has a group that begins with (?"
    elif char in "^$":
        yield f"has {char} between its ends"
    elif char == "|" and depth == 0:
        yield "has alternatives that the anchors do not hold together: use a group"
    elif char == "{":
        yield from _bound_problems(char + rest)
    elif char in "*+?}" and rest.startswith(("?", "+")):
        yield "has a repetition that is lazy or possessive"


def _escape_problems(rest: str, *, in_class: bool) -> Iterator[str]:
    escaped = rest[:1]
    if escaped in LETTERS:
        if not re.match(LETTERS[escaped], rest[1:]):
            yield f"has an escape \\{escaped} without its digits"
    elif escaped not in PLAIN and (in_class or escaped not in META):
        yield f"has the escape \\{escaped}{' in a class' if in_class else ''}"


def _bound_problems(text: str) -> Iterator[str]:
    found = _BOUNDS.match(text)
    if found is None:
        yield "has { without bounds"
    elif max(int(found[1]), int(found[3] or 0)) > MOST_REPEATED:
        yield f"repeats more than {MOST_REPEATED} times"
