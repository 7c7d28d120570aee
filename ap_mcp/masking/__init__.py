"""Hides secrets in JSON-like data at any depth, and in any text; masking twice changes nothing more."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ap_mcp.late_patterns import later
from ap_mcp.masking.in_json import json_in
from ap_mcp.masking.in_lines import is_fact
from ap_mcp.masking.in_templates import hide_in_template, is_template
from ap_mcp.masking.in_text import SHORT_TEXT, hide_in_text, hide_of_programs, hints_at_secrets, is_dull, is_header_mode
from ap_mcp.masking.names import GENERIC, Sense, describes_a_secret, names_a_count, names_a_secret, refers, sense_of
from ap_mcp.masking.placeholders import PLACEHOLDER, contains_placeholder, is_placeholder
from ap_mcp.masking.values import is_opaque, is_open, looks_secret, names_itself
from ap_mcp.wording import LONGEST_KEPT, remembered

__all__ = ["PLACEHOLDER", "contains_placeholder", "is_placeholder", "mask", "mask_text"]


def _words(line: str) -> frozenset[str]:
    return frozenset(line.split())


DEPTH_LIMIT = 100
SHORT_NAME = 20
# One word too short to be base64 of anything, and too short or too plain for a token.
_QUIET = later(r"[\w./+-]{0,12}|(?!sk-|gl|xo|xai|pk-|hv|dp|pul|pplx|nv|tvly|key|fc-|[A-Z]{4}|AIza|SG)[A-Za-z./-]{0,39}")
# What the names of the halves of a pair are; of those of a value that may be something else, a text alone counts.
_VALUE = _words("name key id k field parameter parameterkey variable env setting option property header")
_PERHAPS_VALUE = _words("name key k variable env parameter")
_HALVES = dict.fromkeys(("value", "val", "v", "parametervalue"), _VALUE) | dict.fromkeys(
    ("content", "default", "data"), _PERHAPS_VALUE
)
_FLAG = later(r"--?([\w.-]{1,128})")
_BLANK = later(r"\s")
_LONGEST_COMMAND = 400
"""Words of a command; what is longer is none."""
_COMMAND_FLAGS = ("-u", "-U", "-p", "-a", "-w", "--user", "--proxy-user")
_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_LOGINS = _HEADERS | {"auth"}
_PRIVATE_JWK = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})
_OWNERS = ("username", "user", "email", "login", "userID")
_SHORT_KEY = 11
"""A private key beside its certificate is longer, and a hash beside its user."""
_KEPT_IN = ("secretName", "secret_name", "existingSecret", "secretRef", "remoteRef", "envName")
"""Names beside a `secretKey` that is the key of an entry in a Secret."""
_CERTIFICATES = ("cert", "crt", "certificate", "tls.crt", "chain", "certChain")


class _Found(dict[str, bool]):
    """What was found out about short texts, as the same ones come again and again; asking it takes no call.

    Args:
        judge: finds it out.
        longest: characters of a text that is remembered.
        most: texts that are remembered.
    """

    def __init__(self, judge: Callable[[str], bool], longest: int, most: int) -> None:
        super().__init__()
        self._judge, self._longest, self._most = judge, longest, most

    def __missing__(self, text: str) -> bool:
        """Find it out."""
        return self.note(text, is_so=self._judge(text))

    def note(self, text: str, *, is_so: bool) -> bool:
        """Remember what was found out, if the text is short, and return it."""
        if len(text) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[text] = is_so
        return is_so


def mask(value: Any) -> Any:
    """Return a copy of JSON-like data in which every secret is replaced by the placeholder."""
    return _masked(value, 0)


def mask_text(text: str) -> str:
    """Return a text in which every secret is replaced: for logs, errors, and answers that are no JSON."""
    return _masked_text(text, 0)


def _masked(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _masked_text(value, depth)
    if value is None or kind is bool or kind is int or kind is float:
        return value
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if isinstance(value, (list, tuple)):
        return _masked_list(value, depth + 1)
    if kind is dict or isinstance(value, Mapping):
        return _masked_object(value, depth + 1)
    return value if isinstance(value, (bool, int, float)) else _masked_text(str(value), depth)


def _masked_object(found: Mapping[Any, Any], depth: int, *, is_secret: bool = False, above: str = "") -> dict[str, Any]:
    is_secret = is_secret or found.get("kind") == "Secret"
    masked: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for key, each in found.items():
        if type(key) is str and _plain[key]:
            kind = type(each)
            if kind is str:
                masked[key] = each if _harmless[each] and depth < DEPTH_LIMIT else _masked_text(each, depth)
            elif kind is dict and depth < DEPTH_LIMIT:
                masked[key] = _masked_object(each, depth + 1, above=key)
            else:
                masked[key] = _masked(each, depth)
            continue
        name = str(key)
        shown_name = _unused(_shown_name(name, depth), name, (found, masked), numbers)
        if is_secret and name in ("data", "stringData"):
            shown = _sealed(each, depth)
        elif name == "items" and found.get("kind") == "SecretList" and isinstance(each, list):
            shown = [_masked_object(item, depth + 1, is_secret=True) for item in each if isinstance(item, Mapping)]
        else:
            shown = _masked_under(name, _sense_here(name, shown_name, above, found), each, depth)
        masked[shown_name] = shown
    if "kty" in found and (private := _PRIVATE_JWK.intersection(found)):
        masked |= dict.fromkeys(private, PLACEHOLDER)
    return masked


def _unused(shown_name: str, name: str, used: Sequence[Mapping[Any, Any]], numbers: dict[str, int]) -> str:
    """Return a name that was masked with a number behind it if another name looks the same then.

    Args:
        shown_name: what it looks like.
        name: as it was.
        used: the names that there are.
        numbers: for each that looks the same, how many did before: there may be thousands.
    """
    if shown_name == name:
        return name
    return numbered(shown_name, lambda each: any(each in names for names in used), numbers)


def numbered(name: str, is_used: Callable[[str], bool], numbers: dict[str, int]) -> str:
    """Return a name with the first number behind it with which it is not used; as it is if it is not used so.

    Args:
        name: the name.
        is_used: says of a name whether there is one like it.
        numbers: the last number for each name; it is kept there, as no number becomes free again.
    """
    made, number = name, numbers.get(name, 1)
    if number > 1:
        made = f"{name} ({number})"
    while is_used(made):
        number += 1
        made = f"{name} ({number})"
    numbers[name] = number
    return made


def _masked_under(name: str, sense: Sense, value: Any, depth: int) -> Any:
    """Mask what stands under a name of which it is known what it announces."""
    if sense is not Sense.PLAIN:
        return _judged(value, name, sense, depth)
    if isinstance(value, str) and name.lower() in _LOGINS and _is_login(name, value):
        return PLACEHOLDER
    if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
        return _referring(value, depth + 1) if refers(name) else _masked_object(value, depth + 1, above=name)
    return _masked(value, depth)


def _referring(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """Mask what stands below `existingSecret`: names of entries of a Secret, whatever they are names of."""
    masked = _masked_object(value, depth)
    for (key, each), name in zip(value.items(), list(masked), strict=True):
        if isinstance(each, Mapping) and depth < DEPTH_LIMIT:
            masked[name] = _referring(each, depth + 1)
        elif isinstance(each, str) and _is_entry(each) and not looks_secret(str(key), Sense.PERHAPS, each):
            masked[name] = _masked_text(each, depth)
    return masked


def _sense_here(name: str, shown_name: str, above: str, found: Mapping[Any, Any]) -> Sense:
    """Say what a name announces where it stands: in which object, and below which other name."""
    sense = sense_of(name)
    if label := label_of(name, found):
        return max(sense, sense_of(label))
    if name in ("secretKey", "secret_key") and any(each in found for each in _KEPT_IN):
        return Sense.PERHAPS
    if name in GENERIC and sense is not Sense.SECRET:
        return _sense_within(name, above, found)
    # What is left of a name that held a secret may announce one.
    return sense if shown_name == name else max(sense, sense_of(shown_name))


def _is_plain(name: str) -> bool:
    """Say whether a name announces nothing, whatever stands beside it."""
    lowered = name.lower()
    special = name in GENERIC or name in ("stringData", "items") or lowered in _HALVES or lowered in _LOGINS
    if special or len(name) > LONGEST_KEPT or refers(name):
        return False
    return sense_of(name) is Sense.PLAIN and _shown_name(name, 0) == name


def _is_harmless(text: str) -> bool:
    """Say whether it is seen at once that a text holds no secret."""
    return _QUIET.fullmatch(text) is not None or is_dull(text)


_plain = _Found(_is_plain, LONGEST_KEPT, 8192)
_harmless = _Found(_is_harmless, SHORT_TEXT, 4096)
"""Those that were read closely and hold none are noted as well."""


def _sense_within(name: str, above: str, found: Mapping[Any, Any]) -> Sense:
    """Judge a name that says nothing by itself: by what stands beside it, or by the one above it."""
    of_user = name == "hash" and any(each in found for each in _OWNERS)
    if of_user or (name == "key" and any(each in found for each in _CERTIFICATES)):
        is_long = isinstance(found[name], str) and len(found[name]) > _SHORT_KEY
        return Sense.SECRET if is_long else Sense.PLAIN
    if name == "key" and ("name" in found or "path" in found):
        return Sense.PERHAPS if names_a_secret(above) else Sense.PLAIN
    return sense_of(f"{above} {name}".strip())


def label_of(name: str, found: Mapping[Any, Any]) -> str:
    """Return the name in a pair of name and value, as environment variables, headers and tags have it.

    Args:
        name: what the value stands under; nothing is returned if that is no half of a pair.
        found: the pair, or any other object.
    """
    kind = _HALVES.get(name.lower())
    if kind is None or (kind is not _VALUE and not isinstance(found[name], str)):
        return ""
    for key, label in found.items():
        if isinstance(label, str) and isinstance(key, str) and key.lower() in kind and " " not in label:
            return label
    return ""


def _judged(value: Any, name: str, sense: Sense, depth: int) -> Any:
    """Mask what stands under a name that announces a secret, or may."""
    mounts = name == "secrets" and isinstance(value, list) and all(map(_is_name, value))  # names of Secrets
    if sense is Sense.SECRET and not mounts:
        return _hidden(value, name, depth)
    if isinstance(value, str) and looks_secret(name, sense, value):
        return _shown_secret(value)
    if sense is Sense.DIGITS and type(value) is int:
        return PLACEHOLDER if value > 999 else value
    if isinstance(value, (list, tuple)) and depth < DEPTH_LIMIT:
        return [_judged(each, name, Sense.PLAIN if mounts else sense, depth + 1) for each in value]
    if isinstance(value, Mapping) and depth < DEPTH_LIMIT:
        return _masked_object(value, depth + 1, above=name)
    return _masked(value, depth)


def _is_entry(value: str) -> bool:
    """Say whether a text can be the key of an entry in a Secret, and is none that only a machine would choose."""
    return re.fullmatch(r"[A-Za-z]+(?:[-_.][A-Za-z]+){0,6}", value) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9.-]{1,253}", value) is not None and not is_opaque(value)


def _shown_secret(value: str) -> str:
    return hide_in_template(value) if is_template(value) else PLACEHOLDER


def _masked_list(found: Sequence[Any], depth: int) -> list[Any]:
    """Mask a list; in a list of arguments, what follows `--password` is a secret."""
    masked: list[Any] = []
    before: Any = None
    for each in _without_logins(found):
        flag = _FLAG.fullmatch(before) if isinstance(before, str) and before[:1] == "-" else None
        follows = flag is not None and names_a_secret(flag[1]) and isinstance(each, str) and not each.startswith("-")
        masked.append(_hidden(each, "", depth) if follows else _masked(each, depth))
        before = each
    return masked


def _without_logins(found: Sequence[Any]) -> Sequence[Any]:
    """Hide what programs take as a password under a letter, if a list is a command: `-u`, `bob:…`."""
    if not any(isinstance(each, str) and each.startswith(_COMMAND_FLAGS) for each in found):
        return found
    if len(found) > _LONGEST_COMMAND or not all(isinstance(each, str) for each in found):
        return found
    words = [_BLANK.sub("\0", each) for each in found]
    hidden = hide_of_programs(" ".join(["", *words]))[1:].split(" ")
    if len(hidden) != len(words):
        return found
    pairs = zip(found, words, hidden, strict=True)
    return [each if word == shown else shown.replace("\0", " ") for each, word, shown in pairs]


def _masked_text(text: str, depth: int) -> str:
    """Mask a text; JSON in it is masked as data, so that what comes out is JSON again."""
    if depth >= DEPTH_LIMIT:
        return PLACEHOLDER
    if _harmless[text]:
        return text
    bare = text.strip()
    if bare[:1] in ("{", "[", '"'):
        repeats: list[str] = []
        try:
            data = json.loads(bare, object_pairs_hook=lambda pairs: _object(pairs, repeats))
        except (ValueError, RecursionError):
            return _masked_prose(text, depth)
        masked = _masked(data, depth + 1)
        return text if masked == data and not repeats else _compact(masked)
    hidden = _masked_prose(text, depth)
    # What is nested is judged by its depth as well.
    if hidden == text and "[" not in text and "{" not in text and depth < DEPTH_LIMIT // 2:
        _harmless.note(text, is_so=True)
    return hidden


def _masked_prose(text: str, depth: int) -> str:
    """Mask a text that is no JSON; what JSON there is in it is masked as data too."""
    hidden = hide_in_text(text, lambda inner: _masked_text(inner, depth + 1), lambda data: _hidden(data, "", depth + 1))
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
    if isinstance(value, (int, float)):
        return value if names_a_count(name) else PLACEHOLDER
    if isinstance(value, str):
        counts = names_a_count(name) and value.isdigit() and len(value) <= 6
        return value if counts or is_open(value) or names_itself(name, value) else _shown_secret(value)
    if isinstance(value, (list, tuple)) and depth < DEPTH_LIMIT:
        return [_hidden(each, "", depth + 1) for each in value]
    return _hidden_object(value, depth) if isinstance(value, Mapping) and depth < DEPTH_LIMIT else PLACEHOLDER


def _hidden_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    holds_certificate = any(each in value for each in _CERTIFICATES)
    lists_files = (
        any(each in value for each in ("path", "name", "secret", "property", "remoteRef")) and not holds_certificate
    )
    names_entry = "secret" in value and "key" in value
    masked: dict[str, Any] = {}
    for key, each in value.items():
        name = _shown_name(str(key), depth)
        if name == "key" or isinstance(each, str):
            shown = not is_opaque(str(each))
            fact = lists_files and shown if name == "key" else is_fact(name, str(each))
            fact = fact or (name == "secret" and names_entry and shown)
            fact = fact or (name == "property" and "key" in value and shown)
        else:
            fact = describes_a_secret(name)
        masked[name] = _masked(each, depth + 1) if fact else _hidden(each, name, depth + 1)
    return masked


def _shown_name(name: str, depth: int) -> str:
    """Return a key, which may be an address with a password in it."""
    if len(name) <= SHORT_NAME:
        return name
    # What is nested is judged by its depth as well.
    return _shown_at_top(name) if depth < DEPTH_LIMIT // 2 else _masked_text(name, depth)


@remembered(1024)
def _shown_at_top(name: str) -> str:
    """Return a key that is not deep inside; each is asked about twice or more."""
    return _masked_text(name, 0)


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
