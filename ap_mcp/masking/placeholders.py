"""What stands in place of a secret, and every form in which it may come back."""

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ap_mcp.late_patterns import later
from ap_mcp.masking.names import names_a_secret
from ap_mcp.wording import step

PLACEHOLDER = "«masked»"

_ESCAPE = later(r"\\+(?:u00|U000000|x)([0-9A-Fa-f]{2})")
_ENTITIES = {"laquo": "«", "raquo": "»", "lt": "<", "gt": ">", "amp": "&", "lsaquo": "‹", "rsaquo": "›", "ast": "*"}
_ENTITY = later(rf"&(?:(?P<name>{'|'.join(_ENTITIES)})|#(?P<number>[xX][0-9A-Fa-f]{{1,6}}|\d{{1,7}}));?")
_LAST = 0xD800
_OURS = later(r"(?:[«‹《〈]|<<?)(?:masked(?: \w{1,20})?|\d+ ?characters)(?:[»›》〉]|>>?)")
# Other programs, and people, hide a value as a whole: stars, dots, a word in brackets.
_HIDING = "masked|redacted|hidden|removed|filtered|censored|omitted"
_STARS = rf"[*•●∗]{{2,}}(?:{_HIDING})[*•●∗]{{2,}}|[*•●∗]{{3,}}"
_WHOLE = later(rf"[\"'`]*(?:{_STARS}|[\[(<{{]+(?:{_HIDING}|secret|sensitive)(?: value)?[\])>}}]+)[\"'`]*|[*•●∗.]{{3,}}")
# The same as a value within a text: of a setting, of a flag, between quotation marks, or in an address.
_VALUE = later(
    rf"(?:[:=]|[\"'`]|--[\w-]{{1,64}}(?= )) ?[\"'`]?(?:{_STARS}|[\[<](?:{_HIDING})[\]>])(?=[\"'`\s,;&@)}}\]]|\Z)"
)
# What is no secret below a secret's name, but a word for one that was hidden.
_WORD = later(rf"\W*(?:{_HIDING}|x{{3,}})\W*|[*•●∗](?: ?[*•●∗]){{2,}}")
# None of these stands in a text that could be one, unless it is base64.
_MARK = later(r"[«‹《〈<＜%\\&*＊∗•●…\[({（［｛]|\.\.\.")
_BASE64 = later(r"[A-Za-z0-9+/_\s-]{12,}={0,2}\s*")


def is_placeholder(text: str) -> bool:
    """Say whether a text holds the placeholder in any writing, or is nothing but stars or another mark of a secret.

    Seen through are letters in another case or width, blanks and characters without width inside, escapes of JSON,
    URLs and HTML, other quotation marks of the kind, and base64.
    """
    if _MARK.search(text) is None:
        return _BASE64.fullmatch(text) is not None and PLACEHOLDER in _decoded(text)
    seen = _plain(text)
    return any((_OURS.search(seen), _WHOLE.fullmatch(seen), _VALUE.search(seen)))


def contains_placeholder(value: Any, path: str = "", name: str = "") -> str | None:
    """Return where a masked value came back (`values.db.password`, `tags[0]`), or None when there is none.

    Args:
        value: what came.
        path: of it, as it is to be named.
        name: what it stands under; a word for what was hidden counts as well where a secret belongs.
    """
    if isinstance(value, str):
        return path if is_placeholder(value) or _stands_for_a_secret(name, value) else None
    steps: list[tuple[str, str, Any]] = []
    if isinstance(value, Mapping):
        if marked := next((key for key in value if contains_placeholder(key) is not None), None):
            return _below(path, marked)
        steps = [(_below(path, key), str(key), each) for key, each in value.items()]
    elif isinstance(value, (list, tuple)):
        steps = [(f"{path}[{index}]", name, each) for index, each in enumerate(value)]
    found = (contains_placeholder(each, step, own) for step, own, each in steps)
    return next((each for each in found if each is not None), None)


def _below(path: str, key: Any) -> str:
    return f"{path}.{step(key)}" if path else step(key)


def _stands_for_a_secret(name: str, text: str) -> bool:
    return bool(name) and names_a_secret(name) and _WORD.fullmatch(_plain(text[:100])) is not None


def _plain(text: str) -> str:
    """Return a text as it would be read: escapes undone, case and width folded, nothing invisible in it."""
    for _ in range(3):
        undone = _ENTITY.sub(_character, unquote(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)))
        if undone == text:
            break
        text = undone
    folded = unicodedata.normalize("NFKC", text).casefold()
    shown = "".join(each for each in folded if unicodedata.category(each) not in ("Cf", "Mn", "Cc"))
    return re.sub(r"([«‹《〈<\[(]+)\s+|\s+([»›》〉>\])]+)", r"\1\2", shown).strip()


def _character(entity: re.Match[str]) -> str:
    """Return the character that an entity of HTML stands for, as far as a placeholder could hold it."""
    if entity["number"] is None:
        return _ENTITIES[entity["name"]]
    number = int(entity["number"][1:], 16) if entity["number"][0] in "xX" else int(entity["number"])
    return chr(number) if number < _LAST else ""


def _decoded(text: str) -> str:
    """Return what a text says in base64, as in the data of a Secret; empty if it is none."""
    packed = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
