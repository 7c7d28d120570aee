"""Hides secrets in YAML and other lines of `name: value`, without parsing it: such text is often cut or broken."""

import re
from collections.abc import Iterator

from ap_mcp.masking.names import describes_a_secret, names_a_secret

PLACEHOLDER = "«masked»"

_REFERENCE = re.compile(r"\$\{[\w.]+\}|\$\([\w.]+\)|\{\{-?\s*[.$][\w.]*\s*-?\}\}")
_LINE = re.compile(
    r"(?P<lead>[ \t]*(?:-[ \t]+)*)(?P<key>\"[^\"]{1,128}\"|'[^']{1,128}'|[^\s:#\"'{}\[\],&*!|>%@`-][^\s:]{0,127})"
    r"(?P<colon>[ \t]*:)(?:[ \t]+(?P<value>.*))?"
)
_SECRET_KIND = re.compile(
    r"^[ \t]*(?:-[ \t]+)*[\"']?kind[\"']?[ \t]*:[ \t]+[\"']?Secret(?:List)?[\"']?[ \t\r]*$", re.MULTILINE
)


def is_open(value: str) -> bool:
    """Say whether a value under a secret's name reveals nothing: empty, a switch, or a reference elsewhere."""
    bare = value.strip()
    return bare.lower() in ("", "true", "false", "null", "none", "~") or _REFERENCE.fullmatch(bare) is not None


def hide_in_lines(text: str) -> str:
    """Return `text` with the values of secrets hidden line by line, whatever form they have below their names."""
    if ":" not in text:
        return text
    return "\n".join(_Lines(holds_secret_kind=_SECRET_KIND.search(text) is not None).hide(text.split("\n")))


class _Lines:
    """One pass over lines: remembers below which column a secret's value goes on."""

    def __init__(self, *, holds_secret_kind: bool) -> None:
        self.holds_secret_kind = holds_secret_kind
        self.below: int | None = None
        self.drops = False
        self.hides_all = False
        self.named: int | None = None

    def hide(self, lines: list[str]) -> Iterator[str]:
        """Yield the lines to show."""
        for line in lines:
            if not line.strip():
                yield line
            elif self._goes_on(line):
                if not self.drops:
                    yield self._hide_below(line)
            else:
                yield self._hide_fresh(line)

    def _goes_on(self, line: str) -> bool:
        """Say whether the line still belongs to the value of the secret above it."""
        if self.below is None:
            return False
        bare = line.lstrip(" \t")
        indent = len(line) - len(bare)
        if indent > self.below or (indent == self.below and bare.startswith("-") and not self.drops):
            return True
        self.below = None
        return False

    def _hide_fresh(self, line: str) -> str:
        match = _LINE.fullmatch(line)
        if match is None:
            return line
        key, value, column = match["key"].strip("\"'"), (match["value"] or "").strip(), len(match["lead"])
        sealed = self.holds_secret_kind and key in ("data", "stringData")
        secret = sealed or names_a_secret(key) or (key == "value" and self.named == column)
        self._remember_name(match, key, value, column)
        if not secret:
            return line
        if _goes_on_below(value):
            self.below, self.drops, self.hides_all = column, False, sealed
            return line
        if _bare(value) != PLACEHOLDER and _reveals_nothing(value):
            return line
        self.below, self.drops = column, True
        return _with_placeholder(match, value)

    def _remember_name(self, match: re.Match[str], key: str, value: str, column: int) -> None:
        """Keep the column of `name: DB_PASSWORD`, whose `value` stands at the same column."""
        if key in ("name", "key") and names_a_secret(value.strip("\"'")):
            self.named = column
        elif self.named is not None and (column < self.named or (column == self.named and "-" in match["lead"])):
            self.named = None

    def _hide_below(self, line: str) -> str:
        match = _LINE.fullmatch(line)
        if match is None:
            bare = line.lstrip(" \t-")
            return line[: len(line) - len(bare)] + PLACEHOLDER if bare.strip("{}[], ") else line
        value = (match["value"] or "").strip()
        is_fact = not self.hides_all and describes_a_secret(match["key"].strip("\"'"))
        return line if is_fact or _goes_on_below(value) or _reveals_nothing(value) else _with_placeholder(match, value)


def _bare(value: str) -> str:
    return value.rstrip(", ").strip("\"'")


def _goes_on_below(value: str) -> bool:
    return value in ("", "{", "[") or value.startswith("#")


def _reveals_nothing(value: str) -> bool:
    return is_open(value) or is_open(_bare(value)) or value.rstrip(", ") in ("{}", "[]")


def _with_placeholder(match: re.Match[str], value: str) -> str:
    shown = value if _bare(value) == PLACEHOLDER else PLACEHOLDER
    return f"{match['lead']}{match['key']}{match['colon']} {shown}"
