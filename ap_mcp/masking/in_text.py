"""Hides secrets inside text: key blocks, headers, URLs, assignments, YAML lines, tokens, base64 of any of these.

Every pattern is linear: it starts at a boundary and its repetitions have a bound or end at the first other character.
"""

import base64
import binascii
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable

from ap_mcp.masking.in_yaml import PLACEHOLDER, hide_in_lines, is_open
from ap_mcp.masking.names import names_a_secret

_ROUNDS = 4
_LONG = 40
# Texts without any of these hold no named secret; searching for them is far cheaper than the patterns.
_HINTS = (
    *("pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "bearer", "basic", "sdk-hmac", "curl"),
    *("dockerc", "id_", "psk", "jwt"),
)
_FOREIGN_HINTS = ("密", "令牌", "口令")
_KEY_PAIR = re.compile(r"(?<![a-z])[as]k(?![a-z])")
# One word too short to be base64 of anything, and without the mark of a known kind of token.
_QUIET = re.compile(r"(?:[\w./+-](?!yJ|h[pousr]_|lpat-|ox[abprs]-|KIA|SIA|Iza)){0,39}")

_KEY_BLOCK = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40})PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END (?P=kind)PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_HEADER = re.compile(
    r"(?P<head>(?:authorization|cookie)(?:\\{0,64}+[\"'])?[ \t]{0,3}[:=][ \t]{0,3}(?:\\{0,64}+[\"'])?)"
    r"(?P<value>[^\"'\r\n\\]+)",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?P<head>(?:Bearer|Basic)[ \t]{1,3})(?=\S{0,200}[0-9=_]|\S{16})[\w.~+/=-]{6,}", re.IGNORECASE)
_SIGNED = re.compile(r"(?P<head>SDK-HMAC-SHA256[ \t]{1,3})Access=[^\"'\r\n]{0,4000}")
_URL = r"(?P<head>[A-Za-z][A-Za-z0-9+.-]{0,30}://"
_USERINFO = re.compile(_URL + r"[^\s/?#@:\"'<>]{0,256}:)[^\s/?#\"'<>]{1,512}@")
_UNESCAPED_USERINFO = re.compile(
    _URL + rf"[^\s/?#@:\"'<>]{{0,256}}:)(?!{PLACEHOLDER}@|\d{{1,5}}(?:[/?#]|$))[^\s\"'<>]{{1,128}}@"
)
_TOKEN_USER = re.compile(_URL + r")[^\s/?#@:\"'<>]{16,512}@")
_DSN = re.compile(r"(?<![\w.-])(?P<head>[\w.-]{1,64}:)[^\s@\"']{1,256}(?P<tail>@(?:tcp|udp|unix)\()")
_CURL = re.compile(r"(?P<head>(?<!\S)(?:-u|--user)[ =][\"']?[^\s:\"']{1,128}:)[^\s\"']+")
_KNOWN_TOKEN = re.compile(
    r"(?<![\w+/-])(?:eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|MII[A-Za-z0-9+/_-]{100,}={0,2}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|github_pat_\w{30,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])|AIza[\w-]{35})"
)
_BASE64 = re.compile(
    r"(?:(?<=\\)[nrt]|(?<![\w+/-]))"  # a line break that is written out is no part of it
    rf"(?P<token>[A-Za-z0-9+/_-]{{{_LONG},}}(?:\r?\n[ \t]*[A-Za-z0-9+/_-]{{4,}})*(?:={{1,2}}(?!=)|(?![\w+/=-])))",
    re.ASCII,
)
_NAME = re.compile(
    r"(?<![\w.-])(?P<flag>--?+)?(?P<key>[\w.-]{1,256}+)"
    r"(?:(?:\\{0,64}+[\"'])?\]?[ \t]{0,3}(?P<sign>=>|:=|=|:|\uff1a)[ \t]{0,3}|(?P<gap>[ \t]{1,3}))"
)
_QUOTE = r"(?:\\{0,64}+[\"'])"
# Where a list names what follows, as `{"name": "DB_PASSWORD", "value": …}` and `["--password", …]` do.
_BEFORE_VALUES = (
    re.compile(
        rf"(?<![\w.-])(?:name|key){_QUOTE}?[ \t]{{0,3}}[:=][ \t]{{0,3}}{_QUOTE}?(?P<name>[\w.-]{{1,128}}+){_QUOTE}?"
        rf"[,; \t]{{1,4}}{_QUOTE}?value{_QUOTE}?[ \t]{{0,3}}[:=][ \t]{{0,3}}",
        re.IGNORECASE,
    ),
    re.compile(rf"{_QUOTE}--?(?P<name>[\w.-]{{1,128}}+){_QUOTE}[ \t]{{0,3}},[ \t]{{0,3}}"),
)
_VALUE = re.compile(
    r"(?P<open>\\{1,64}+[\"'])(?:(?!(?<!\\)(?P=open)).)*(?P<close>(?P=open))?"
    r"|\"(?:[^\"\\]|\\.)*(?P<double>\")?|'(?:[^'\\]|\\.)*(?P<single>')?"
    # The next line, where line breaks are written out, may name another secret: its name must stay.
    r"|(?P<bare>(?:[^\s\\]|\\(?![nrt][ \t]*[\w.-]{1,128}[:=]))+)",
    re.DOTALL,
)
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_FOLD = re.compile(r"(?<![ \t])[ \t]{0,80}\r?\n[ \t]*")  # YAML breaks long texts like this, and reads a space
_YAML_ESCAPE = re.compile(r"\\(?:(?P<fold>\r?\n[ \t]*)|x(?P<hex>[0-9A-Fa-f]{2})|(?P<char>.))")
_ESCAPED_LINE = re.compile(r"[^\r\n\"'\\]+")
_QUERY_VALUE = re.compile(r"[^\s&\"']+")
_MODES = frozenset(
    ["abac", "disabled", "enabled", "false", "node", "none", "optional", "rbac", "required", "true", "webhook"]
)


def is_header_mode(value: str) -> bool:
    """Say whether the value of `authorization` names a way to authorise and is no header's value."""
    return value.strip().rstrip(",;)}]").lower() in _MODES


def is_quiet(text: str) -> bool:
    """Say whether a text is one short word that cannot hold a secret."""
    return _QUIET.fullmatch(text) is not None


def hide_in_text(text: str, within: Callable[[str], str]) -> str:
    """Return `text` with every secret in it replaced; what holds none comes back as it is.

    Args:
        text: anything a person, a program or the cloud may have written.
        within: hides secrets in a text that stands encoded inside this one.
    """
    for _ in range(_ROUNDS):
        hidden = _hide_once(text, within)
        if hidden == text:
            break
        text = hidden
    return text


def _hide_once(text: str, within: Callable[[str], str]) -> str:
    text = _KNOWN_TOKEN.sub(PLACEHOLDER, text)
    if "@" in text:
        text = _hide_in_urls(text)
    if hints_at_secrets(text):
        if "\\n" in text:
            text = _QUOTED.sub(lambda match: _hide_quoted(match[0], within), text)
        text = _KEY_BLOCK.sub(PLACEHOLDER, text)
        text = _HEADER.sub(_hide_header, text)
        text = _SIGNED.sub(rf"\g<head>{PLACEHOLDER}", text)
        text = _SCHEME.sub(rf"\g<head>{PLACEHOLDER}", text)
        text = _CURL.sub(rf"\g<head>{PLACEHOLDER}", text)
        text = _hide_named(text)
        for pattern in _BEFORE_VALUES:
            text = _hide_after(pattern, text)
        text = hide_in_lines(text)
    if len(text) >= _LONG:
        text = _BASE64.sub(lambda match: _hide_base64(match, within), text)
    return text


def hints_at_secrets(text: str) -> bool:
    """Say whether a text holds a part of any name that announces a secret."""
    lowered = text.lower()
    for hint in _HINTS:  # every text passes here, and a loop takes half of what any() does
        if hint in lowered:
            return True
    if _KEY_PAIR.search(lowered):
        return True
    return not text.isascii() and any(hint in text for hint in _FOREIGN_HINTS)


def _hide_header(match: re.Match[str]) -> str:
    return match[0] if is_header_mode(match["value"]) else match["head"] + PLACEHOLDER


def _hide_in_urls(text: str) -> str:
    text = _USERINFO.sub(rf"\g<head>{PLACEHOLDER}@", text)
    text = _UNESCAPED_USERINFO.sub(rf"\g<head>{PLACEHOLDER}@", text)
    text = _TOKEN_USER.sub(rf"\g<head>{PLACEHOLDER}@", text)
    return _DSN.sub(rf"\g<head>{PLACEHOLDER}\g<tail>", text)


def _hide_named(text: str) -> str:
    """Hide values that follow the name of a secret: `name=value`, `"name": "value"`, `--name value`."""
    parts: list[str] = []
    done = 0
    for match in _NAME.finditer(text):
        if match.start() < done:
            continue
        escaped = match["key"][0] in "nrt" and text[match.start() - 1 : match.start()] == "\\"
        if not names_a_secret(match["key"][1:] if escaped else match["key"]):
            continue
        value = _value_after(match, text, escaped=escaped)
        if value is not None:
            parts += [text[done : match.end()], _replaced(value)]
            done = value.end()
    return "".join([*parts, text[done:]])


def _hide_after(pattern: re.Pattern[str], text: str) -> str:
    """Hide the value behind each match that names a secret."""
    parts: list[str] = []
    done = 0
    for match in pattern.finditer(text):
        value = _VALUE.match(text, match.end())
        if value is not None and value[0][0] not in "{[" and match.start() >= done and names_a_secret(match["name"]):
            parts += [text[done : match.end()], _replaced(value)]
            done = value.end()
    return "".join([*parts, text[done:]])


def _value_after(name: re.Match[str], text: str, *, escaped: bool) -> re.Match[str] | None:
    """Return the value to hide after a secret's name, if one stands there."""
    if name["gap"] and (not name["flag"] or text[name.end() : name.end() + 1] == "-"):
        return None
    in_query = text[max(0, name.start() - 1) : name.start()] in ("?", "&") and name["sign"] == "="
    escaped_line = _ESCAPED_LINE.match(text, name.end()) if escaped else None
    value = escaped_line or (_QUERY_VALUE if in_query else _VALUE).match(text, name.end())
    if value is None:
        return None
    opens_container = name["sign"] == ":" and value[0][0] in "{[" and not value[0].startswith("{{")
    reveals_nothing = any(is_open(each.strip("\\\"'")) for each in (value[0], value[0].rstrip(",;)}]")))
    return None if opens_container or reveals_nothing else value


def _replaced(value: re.Match[str]) -> str:
    groups = value.groupdict()
    opening = groups.get("open") or (value[0][0] if value[0][0] in "\"'" else "")
    closed = groups.get("close") or groups.get("double") or groups.get("single") or ""
    return opening + PLACEHOLDER + closed


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


def _hide_base64(match: re.Match[str], within: Callable[[str], str]) -> str:
    packed = "".join(match["token"].split()).rstrip("=").replace("-", "+").replace("_", "/")
    whole = packed[:-1] if len(packed) % 4 == 1 else packed  # cut off in the middle
    try:
        decoded = getincrementaldecoder("utf-8")().decode(base64.b64decode(whole + "=" * (-len(whole) % 4)))
    except (binascii.Error, UnicodeDecodeError):
        return match[0]
    return match[0] if within(decoded) == decoded else match[0].removesuffix(match["token"]) + PLACEHOLDER
