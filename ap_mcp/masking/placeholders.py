"""What stands in place of a secret, and every form in which it may come back."""

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ap_mcp.masking.patterns import later

PLACEHOLDER = "«masked»"

_ESCAPE = later(r"\\+(?:u00|U000000|x)([0-9A-Fa-f]{2})")
_ENTITIES = {"laquo": "«", "raquo": "»", "lt": "<", "gt": ">", "amp": "&", "lsaquo": "‹", "rsaquo": "›", "ast": "*"}
_ENTITY = later(rf"&(?:(?P<name>{'|'.join(_ENTITIES)})|#(?P<number>[xX][0-9A-Fa-f]{{1,6}}|\d{{1,7}}));?")
_LAST = 0xD800
_OURS = later(r"(?:[«‹《〈]|<<?)(?:masked|\d+ ?characters)(?:[»›》〉]|>>?)")
# Other programs, and people, hide a value as a whole: stars, dots, a word in brackets.
_WHOLE = later(
    r"[*•●∗.]{3,}"
    r"|[\[(<{]+(?:masked|redacted|hidden|secret|removed|filtered|censored|omitted|sensitive)(?: value)?[\])>}]+"
)
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
    return _OURS.search(seen) is not None or _WHOLE.fullmatch(seen) is not None


def contains_placeholder(value: Any, path: str = "") -> str | None:
    """Return where a masked value came back (`values.db.password`, `tags[0]`), or None when there is none."""
    if isinstance(value, str):
        return path if is_placeholder(value) else None
    steps: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        if marked := next((key for key in value if contains_placeholder(key) is not None), None):
            return f"{path}.{marked}" if path else str(marked)
        steps = [(f"{path}.{key}" if path else str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        steps = [(f"{path}[{index}]", each) for index, each in enumerate(value)]
    return next((found for step, each in steps if (found := contains_placeholder(each, step)) is not None), None)


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
