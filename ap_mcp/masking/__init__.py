"""Hides secrets in JSON-like data at any depth, and in any text; masking twice changes nothing more."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ap_mcp.masking.in_json import json_in
from ap_mcp.masking.in_text import hide_in_text, hints_at_secrets, is_header_mode, is_quiet
from ap_mcp.masking.in_yaml import PLACEHOLDER, is_open
from ap_mcp.masking.names import describes_a_secret, names_a_count, names_a_secret

__all__ = ["PLACEHOLDER", "contains_placeholder", "mask", "mask_text"]

DEPTH_LIMIT = 100
SHORT_NAME = 20

_FLAG = re.compile(r"--?([\w.-]{1,128})")
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_LOGIN_LENGTHS = frozenset(map(len, [*_HEADERS, "auth"]))
_ESCAPED = ("\\u00abmasked\\u00bb", "\\xabmasked\\xbb", "%C2%ABmasked%C2%BB")


def mask(value: Any) -> Any:
    """Return a copy of JSON-like data in which every secret is replaced by the placeholder."""
    return _masked(value, 0)


def mask_text(text: str) -> str:
    """Return a text in which every secret is replaced: for logs, errors, and answers that are no JSON."""
    return _masked_text(text, 0)


def contains_placeholder(value: Any, path: str = "") -> str | None:
    """Return where a masked value came back (`values.db.password`, `tags[0]`), or None when there is none."""
    if isinstance(value, str):
        return path if PLACEHOLDER in value or any(each in value for each in _ESCAPED) else None
    steps: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        if marked := next((key for key in value if contains_placeholder(key) is not None), None):
            return f"{path}.{marked}" if path else str(marked)
        steps = [(f"{path}.{key}" if path else str(key), each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        steps = [(f"{path}[{index}]", each) for index, each in enumerate(value)]
    return next((found for step, each in steps if (found := contains_placeholder(each, step)) is not None), None)


def _masked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if is_quiet(value) else _masked_text(value, depth)
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if isinstance(value, Mapping):
        return _masked_object(value, depth + 1)
    if isinstance(value, list | tuple):
        return _masked_list(value, depth + 1)
    return _masked_text(str(value), depth)


def _masked_object(found: Mapping[Any, Any], depth: int, *, is_secret: bool = False) -> dict[str, Any]:
    is_secret = is_secret or found.get("kind") == "Secret"
    lists_secrets = found.get("kind") == "SecretList"
    label = _label(found)
    masked: dict[str, Any] = {}
    for key, each in found.items():
        name = str(key)
        kept_name = _shown_name(name, depth)  # what is left of a name that held a secret may announce one
        if is_secret and name in ("data", "stringData"):
            shown = _sealed(each, depth)
        elif lists_secrets and name == "items" and isinstance(each, list):
            shown = [_masked_object(item, depth + 1, is_secret=True) for item in each if isinstance(item, Mapping)]
        elif (
            names_a_secret(name)
            or (kept_name != name and names_a_secret(kept_name))
            or (label and name in ("value", "Value") and names_a_secret(label))
        ):
            shown = _hidden(each, name, depth)
        elif isinstance(each, str) and len(name) in _LOGIN_LENGTHS and _is_login(name, each):
            shown = PLACEHOLDER
        else:
            shown = _masked(each, depth)
        masked[kept_name] = shown
    return masked


def _label(found: Mapping[Any, Any]) -> str:
    """Return the name in a pair of name and value, as environment variables, headers and tags have it."""
    if "value" not in found and "Value" not in found:
        return ""
    return next((found[key] for key in ("name", "key", "Name", "Key") if isinstance(found.get(key), str)), "")


def _masked_list(found: Sequence[Any], depth: int) -> list[Any]:
    """Mask a list; in a list of arguments, what follows `--password` is a secret."""
    masked: list[Any] = []
    before: Any = None
    for each in found:
        flag = _FLAG.fullmatch(before) if isinstance(before, str) else None
        follows = flag is not None and names_a_secret(flag[1]) and isinstance(each, str) and not each.startswith("-")
        masked.append(_hidden(each, "", depth) if follows else _masked(each, depth))
        before = each
    return masked


def _masked_text(text: str, depth: int) -> str:
    """Mask a text; JSON in it is masked as data, so that what comes out is JSON again."""
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    bare = text.strip()
    if bare[:1] in ("{", "[", '"'):
        repeats: list[str] = []
        try:
            data = json.loads(bare, object_pairs_hook=lambda pairs: _object(pairs, repeats))
        except (ValueError, RecursionError):
            return _masked_prose(text, depth)
        masked = _masked(data, depth + 1)
        return text if masked == data and not repeats else _compact(masked)
    return _masked_prose(text, depth)


def _masked_prose(text: str, depth: int) -> str:
    """Mask a text that is no JSON; what JSON there is in it is masked as data too."""
    hidden = hide_in_text(text, lambda inner: _masked_text(inner, depth + 1))
    if not ("{" in hidden or "[" in hidden) or not hints_at_secrets(hidden):
        return hidden
    parts, done = [], 0
    for found in json_in(hidden):
        masked = _masked(found.data, depth + 1)
        same = hidden[found.start : found.read_to] + ("…" if found.read_to < found.end else "")
        parts += [hidden[done : found.start], same if masked == found.data else _compact(masked)]
        done = found.end
    return "".join([*parts, hidden[done:]])


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _object(pairs: list[tuple[str, Any]], repeats: list[str]) -> dict[str, Any]:
    """Build an object and note keys that came twice: the lost value may be the secret."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeats.append("")
    return found


def _hidden(value: Any, name: str, depth: int) -> Any:
    """Hide what stands under a secret's name, but for the facts about it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if names_a_count(name) else PLACEHOLDER
    if isinstance(value, str):
        counts = names_a_count(name) and value.isdigit() and len(value) <= 6
        return value if counts or is_open(value) else PLACEHOLDER
    if isinstance(value, list | tuple) and depth < DEPTH_LIMIT:
        return [_hidden(each, "", depth + 1) for each in value]
    return _hidden_object(value, depth) if isinstance(value, Mapping) and depth < DEPTH_LIMIT else PLACEHOLDER


def _hidden_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    lists_files = "path" in value or "name" in value
    masked: dict[str, Any] = {}
    for key, each in value.items():
        name = _shown_name(str(key), depth)
        is_fact = describes_a_secret(name) or (name == "key" and lists_files)
        masked[name] = _masked(each, depth + 1) if is_fact else _hidden(each, name, depth + 1)
    return masked


def _shown_name(name: str, depth: int) -> str:
    """Return a key, which may be an address with a password in it."""
    return _masked_text(name, depth) if len(name) > SHORT_NAME else name


def _sealed(value: Any, depth: int) -> Any:
    """Hide every value of a Secret's data and keep its keys."""
    if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
        return {_shown_name(str(key), depth): _sealed(each, depth + 1) for key, each in value.items()}
    return value if value is None or value == "" else PLACEHOLDER


def _is_login(name: str, value: str) -> bool:
    """Say whether a value is a header that signs a caller in, or user and password of a registry."""
    if name.lower() in _HEADERS:
        return not (is_open(value) or is_header_mode(value))
    if name != "auth":
        return False
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
