"""Hides secrets inside any text: what its form gives away, then what follows the name of a secret.

Names are sought where a part of one stands (hints.py), so that a long text costs little, and each is read on from
there. Every pattern is linear: it starts at a boundary, and its repetitions have a bound or end at the first other
character.
"""

import base64
import binascii
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable

from ap_mcp.late_patterns import later
from ap_mcp.masking.forms import has_runs, hide_forms
from ap_mcp.masking.hints import Hints, occurrences, runs
from ap_mcp.masking.named import Named
from ap_mcp.masking.placeholders import PLACEHOLDER

_ROUNDS = 4
"""Passes over a text until it stays the same: what one hides may uncover what the next one sees."""
_LARGE = 20_000
"""Length from which one pass has to do."""
_LONG = 40
_LONG_RUN = b"a" * _LONG
_BEFORE, _BEHIND = 400, 4400
"""Characters around a sign of a header or a program within which it is read."""
SHORT_TEXT = 400
"""Length up to which it is worth a look at the whole whether a text holds nothing to hide, and to remember that."""
_FORM_MARKS = (
    "://",
    "$",
    "PRIVATE KEY",
    "sig=",
    "pbkdf2",
    "user ",
    "Static key",
    ":AA",
    "Q~",
    ":thin:",
    "IDENTIFIED",
    "identified",
    "stats",
    "SecureString",
    "LoginModule",
    "{S",
    "{C",
    "{P",
    "{A",
    "{M",
    "@tcp(",
    "Private-Lines",
)

_HEADER = later(
    r"(?P<head>(?:authorization|cookie)(?:\\{0,64}+[\"'])?[ \t]{0,3}[:=][ \t]{0,3}(?:\\{0,64}+[\"'])?)"
    r"(?P<value>[^\"'\r\n\\]+)",
    re.IGNORECASE,
)
_SCHEME = later(r"\b(?P<head>(?:Bearer|Basic)[ \t]{1,3})(?=\S{0,200}[0-9=_]|\S{16})[\w.~+/=-]{6,}", re.IGNORECASE)
_SIGNED = later(r"(?P<head>SDK-HMAC-SHA256[ \t]{1,3})Access=[^\"'\r\n]{0,4000}")
_SIGN_IN = ("authorization", "cookie", "bearer", "basic", "sdk-hmac")
_OF_PROGRAMS = (" -u", " --user", " --proxy-user", " -p", " -a ", " -w")
_CURL = later(
    r"(?P<head>(?<!\S)(?:-u|--user|--proxy-user|-U)[ =][\"']?"
    r"(?!\d{1,9}:\d{1,9}(?![^\s\"']))"  # a user and a group by their numbers
    r"[^\s:\"']{1,128}:)(?!\$[A-Z_{])[^\s\"']+"
)
# Programs that take a password under a letter.
_PROGRAM = later(
    r"(?P<head>\b(?:mysql|mariadb|mysqldump|mysqladmin|mariadb-dump|mongo|mongosh|mongodump|sshpass|docker[ \t]+login"
    r"|podman[ \t]+login|helm[ \t]+registry[ \t]+login|influx|clickhouse-client)\b[^\n|;&]{0,300}?[ \t]-p[ \t]?"
    r"|\bredis-cli\b[^\n|;&]{0,300}?[ \t]-a[ \t]"
    r"|\bldap(?:search|modify|add|whoami|delete)\b[^\n|;&]{0,300}?[ \t]-w[ \t]?)"
    r"(?P<value>[^\s\"'-][^\s\"']*|\"[^\"\n]{1,256}\"|'[^'\n]{1,256}')"
)
_BASE64 = later(
    r"(?:(?<=\\)[nrt]|(?<![\w+/-]))"  # a line break that is written out is no part of it
    rf"(?P<token>[A-Za-z0-9+/_-]{{{_LONG},}}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{{4,}})*(?:={{1,2}}(?!=)|(?![\w+/=-])))",
    re.ASCII,
)
_QUOTED = later(r"\"[^\"\\]*+(?:\\.[^\"\\]*+)++\"", re.DOTALL)
_FOLD = later(r"(?<![ \t])[ \t]{0,80}\r?\n[ \t]*")  # YAML breaks long texts like this, and reads a space
_YAML_ESCAPE = later(r"\\(?:(?P<fold>\r?\n[ \t]*)|x(?P<hex>[0-9A-Fa-f]{2})|(?P<char>.))")
_MODES = frozenset(
    ["abac", "disabled", "enabled", "false", "node", "none", "optional", "rbac", "required", "true", "webhook"]
)


def is_header_mode(value: str) -> bool:
    """Say whether the value of `authorization` names a way to authorise and is no header's value."""
    return value.strip().rstrip(",;)}]").lower() in _MODES


def hints_at_secrets(text: str) -> bool:
    """Say whether a text holds a part of any name that announces a secret."""
    return Hints(text).any()


def hide_in_text(text: str, within: Callable[[str], str], hidden: Callable[[object], object]) -> str:
    """Return `text` with every secret in it replaced; what holds none comes back as it is.

    Args:
        text: anything a person, a program or the cloud may have written.
        within: hides secrets in a text that stands encoded inside this one.
        hidden: hides data that stands under a secret's name.
    """
    for _ in range(_ROUNDS if len(text) < _LARGE else 1):
        after = _hide_once(text, within, hidden)
        if after == text:
            break
        text = after
    return text


def is_dull(text: str) -> bool:
    """Say whether a text is short and holds nothing that any rule begins with, written out or not."""
    if len(text) > SHORT_TEXT or "\\" in text:
        return False
    hints = Hints(text)
    return not (
        hints.any()
        or any(mark in text for mark in _FORM_MARKS)
        or any(mark in hints.lowered for mark in _SIGN_IN)
        or any(mark in text for mark in _OF_PROGRAMS)
        or text.count(":") >= 4
        or has_runs(text)
    )


def _hide_once(text: str, within: Callable[[str], str], hidden: Callable[[object], object]) -> str:
    text = hide_forms(text)
    hints = Hints(text)
    if any(mark in hints.lowered for mark in _SIGN_IN):
        text = _near(text, occurrences(hints.lowered, _SIGN_IN), _hide_headers)
    if any(mark in text for mark in _OF_PROGRAMS):
        text = _near(text, occurrences(text, _OF_PROGRAMS), hide_of_programs)
    if "\\n" in text and hints.any():
        text = _QUOTED.sub(lambda match: _hide_quoted(match[0], within), text)
    text = Named(text, hidden).hide()
    return _hide_in_base64(text, within) if len(text) >= _LONG else text


def _near(text: str, places: Iterable[int], change: Callable[[str], str]) -> str:
    """Change what stands around some places, on the same line: patterns are slow where there is nothing for them."""
    parts: list[str] = []
    done = 0
    for place in sorted(places):
        if place < done:
            continue
        start = max(done, text.rfind("\n", max(0, place - _BEFORE), place) + 1, place - _BEFORE)
        end = text.find("\n", place, place + _BEHIND)
        end = min(len(text), place + _BEHIND) if end < 0 else end
        parts += [text[done:start], change(text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def _hide_headers(text: str) -> str:
    text = _HEADER.sub(_hide_header, text)
    text = _SIGNED.sub(rf"\g<head>{PLACEHOLDER}", text)
    return _SCHEME.sub(rf"\g<head>{PLACEHOLDER}", text)


def hide_of_programs(text: str) -> str:
    """Hide what programs take as a password under a letter, in a command."""
    return _PROGRAM.sub(rf"\g<head>{PLACEHOLDER}", _CURL.sub(rf"\g<head>{PLACEHOLDER}", text))


def _hide_header(match: re.Match[str]) -> str:
    return match[0] if is_header_mode(match["value"]) else match["head"] + PLACEHOLDER


def _hide_quoted(quoted: str, within: Callable[[str], str]) -> str:
    """Hide secrets in a quoted text with written-out line breaks, read as the lines it stands for."""
    if "\\n" not in quoted:
        return quoted
    try:
        inner = str(json.loads(_FOLD.sub(" ", _YAML_ESCAPE.sub(_as_json_escape, quoted)), strict=False))
    except ValueError:
        return quoted
    hidden = within(inner)
    return quoted if hidden == inner else json.dumps(hidden, ensure_ascii=False)


def _as_json_escape(match: re.Match[str]) -> str:
    if match["fold"]:
        return ""
    return f"\\u00{match['hex']}" if match["hex"] else " " if match["char"] == " " else match[0]


def _hide_in_base64(text: str, within: Callable[[str], str]) -> str:
    """Hide what is a secret once it is decoded."""
    image = runs(text)
    parts: list[str] = []
    done = 0
    at = image.find(_LONG_RUN)
    while at >= 0:
        match = _BASE64.match(text, at)
        end = match.end() if match is not None else image.find(b" ", at)
        if match is not None:
            parts += [text[done:at], _hide_base64(match, within)]
            done = end
        at = image.find(_LONG_RUN, end) if end >= 0 else -1
    return "".join([*parts, text[done:]])


def _hide_base64(match: re.Match[str], within: Callable[[str], str]) -> str:
    packed = "".join(match["token"].split()).rstrip("=").replace("-", "+").replace("_", "/")
    whole = packed[:-1] if len(packed) % 4 == 1 else packed  # cut off in the middle
    try:
        decoded = getincrementaldecoder("utf-8")().decode(base64.b64decode(whole + "=" * (-len(whole) % 4)))
    except (binascii.Error, UnicodeDecodeError):
        return match[0]
    return match[0] if within(decoded) == decoded else match[0].removesuffix(match["token"]) + PLACEHOLDER
