"""What the service says about a failure: every distinct text of an answer, the most specific first, and every code.

Several services answer as one: the documented words of a code stand beside those that name the cause, under names that
differ, in objects and lists of errors, and as JSON within a text. Whatever is read here is shown, so nothing is lost.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

from ap_mcp.late_patterns import later
from ap_mcp.masking import mask
from ap_mcp.masking.names import names_a_secret
from ap_mcp.masking.placeholders import is_placeholder

MOST_TEXTS = 40
"""Texts of one answer that are kept; of more, those that differ in numbers and ids alone become one."""
_MOST_VALUES, _COMPARED = 20_000, 200
_DEEPEST_JSON = 4
_SUBJECTS, _LONGEST_SUBJECT, _LONGEST_NAME = 12, 200, 60
"""Things that one text is about that are reported, characters of what it is about, and of the name of a field."""
_STOOD_FOR = 60
"""Numbers or ids that are reported of texts that differ in nothing else."""
_NUMBERED = later(r"[\w.:/-]*\d[\w.:/-]*")
_OTHERS, _LONGEST_OTHERS = 12, 600
"""Fields of other names that an error tells, and characters of them in all."""
_NO_NEWS = frozenset(
    (
        *("status", "statuscode", "httpstatus", "httpstatuscode", "httpcode", "success", "kind", "apiversion", "type"),
        *("metadata", "group", "method", "retryafterseconds", "projectid", "domainid", "server", "host"),
        *("requestid", "traceid", "spanid", "correlationid", "eventid", "logid", "xrequestid", "tid", "instance"),
    )
)
"""Names of fields that say nothing about a failure that its status, its codes and its request id do not say."""
_OF_TIME = frozenset(("time", "timestamp", "date", "datetime", "ts"))
_A_TIME = later(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*")
_CAUSE, _REASON, _MESSAGE, _DOCUMENTED, _GENERIC, _WORD = range(6)
"""How specific a text is, by the name it stands under: what names the cause first, then the words of a code, then a
remedy; a single word comes after all of them."""
_RANKS = {
    **dict.fromkeys(
        ("message", "messages", "msg", "errorMsg", "detail", "details", "cause", "causes", "error", "errors"), _CAUSE
    ),
    **dict.fromkeys(("exception", "rootCause"), _CAUSE),
    **dict.fromkeys(
        ("description", "error_description", "status_description", "statusDescription", "explanation"), _CAUSE
    ),
    **dict.fromkeys(("reason", "reasons", "failReason", "fail_reason", "failureReason", "error_reason"), _REASON),
    **dict.fromkeys(("errorReason", "failure_reason", "statusReason", "status_reason"), _REASON),
    **dict.fromkeys(("error_msg", "err_msg", "errMsg", "faultstring", "failureMessage", "failure_message"), _MESSAGE),
    **dict.fromkeys(("errorMessage", "error_message", "statusMessage", "status_message"), _DOCUMENTED),
    **dict.fromkeys(("title", "solution", "suggestion", "advice", "remedy", "hint"), _GENERIC),
}
_BY_NAME = {name.lower(): rank for name, rank in _RANKS.items()}
_CORES = {
    **dict.fromkeys(("cause", "detail", "details", "error", "errors", "exception"), _CAUSE),
    **dict.fromkeys(("desc", "description", "explanation", "info"), _CAUSE),
    **dict.fromkeys(("reason", "reasons"), _REASON),
    **dict.fromkeys(("message", "messages", "msg", "text"), _MESSAGE),
    **dict.fromkeys(("title", "solution", "suggestion"), _GENERIC),
}
"""What a name of several words is called by in the end, the others of which only say that it is about a failure."""
_ABOUT_FAILURES = frozenset(
    ("error", "err", "fail", "failed", "failure", "fault", "exception", "result", "ret", "return", "last", "root")
)
_LANGUAGES = frozenset(("en", "us", "zh", "cn", "tw", "hk", "fr", "de", "es", "pt", "br", "ru", "ja", "ar", "th", "tr"))
_WORDS = later(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SUBJECT_NAMES = {
    name: place
    for place, name in enumerate(
        (
            *("field", "parameter", "param", "property", "propertyPath", "path", "loc", "name", "resourceName"),
            *("resource_name", "node", "nodeName", "pod", "resource", "id", "uid", "resourceId", "resource_id"),
        )
    )
}
"""Fields by which an entry of a list of errors says what it is about, with their order: the first that is filled."""
_CODES = {"errorcode": 0, "error_code": 1, "errcode": 2, "err_code": 2, "errorcodes": 2, "error_codes": 2, "code": 3}
"""Names of the vendor's codes, the documented one first."""
_NO_CODE = frozenset({"", "0", "200", "success", "ok"})
_HTTP_STATUS = later(r"[1-5]\d\d")
_GENERIC_WORDS = frozenset(
    {
        *(each.phrase.lower() for each in HTTPStatus),
        *("invalid request", "request is invalid", "request body invalid", "resource not found", "internal error"),
        *("unknown error", "operation failed", "request failed", "system error", "no permission", "access denied"),
        *("the resource already exists", "resource already exists"),
    }
)

_Found: TypeAlias = tuple[Any, int | None, int, str, bool]
"""A value, how specific it is as a text (None if its name says that it is none), its depth, what it is about, and
whether it is an entry of a list."""
_Read: TypeAlias = tuple[int, int, str, str]
"""How specific a text is, how far up it stands, what it is about, and the text."""


class Said(NamedTuple):
    """A text of the service; `names_the_cause` unless it only says in other words what a code or a status says."""

    text: str
    names_the_cause: bool


def texts_of(thing: Any, whole: int, leave_out: Collection[str] = ()) -> list[Said]:
    """Return every distinct text of an answer, or of a part of one, the most specific first.

    Args:
        thing: JSON; a text counts as one that names the cause.
        whole: characters of a text that are shown whole; what is contained in a longer one is not dropped.
        leave_out: names of fields that are read elsewhere, at any depth.
    """
    return texts_and_codes_of(thing, whole, leave_out)[0]


def codes_of(thing: Any, leave_out: Collection[str] = ()) -> list[str]:
    """Return every code of the vendor in an answer, the documented one first; a bare HTTP status is none."""
    return texts_and_codes_of(thing, 0, leave_out)[1]


def texts_and_codes_of(thing: Any, whole: int, leave_out: Collection[str] = ()) -> tuple[list[Said], list[str]]:
    """Return what `texts_of` and `codes_of` do, read together."""
    reader = _Reader(frozenset(leave_out))
    found = _said_once(sorted(reader.read(thing), key=lambda each: each[:2]))
    codes = list(dict.fromkeys(code for _, code in sorted(reader.codes, key=lambda each: each[0])))
    if not found:  # as of most things, which say nothing
        return [], codes
    kept: dict[str, tuple[str, int]] = {}
    for rank, _, text in found:
        kept.setdefault(_bare(text), (text, rank))
    kept.pop("", None)
    by_length = sorted(list(kept)[:_COMPARED], key=len)
    repeated = {
        each
        for place, each in enumerate(by_length)
        for longer in by_length[place + 1 :]
        if len(kept[longer][0]) <= whole and is_within(each, longer)
    }
    said = [Said(text, rank < _MESSAGE) for bare, (text, rank) in kept.items() if bare not in repeated]
    said = _alike_as_one(said) if len(said) > MOST_TEXTS else said
    left = len(said) - MOST_TEXTS
    more = [Said(f"and {left} more texts", names_the_cause=False)] if left > 0 else []
    return [*said[:MOST_TEXTS], *more], codes


def others_of(thing: Any, texts: Iterable[str], leave_out: Collection[str] = ()) -> str:
    """Return what an error holds beside its texts and codes, as one line, masked: names of fields with their values.

    An error has no whole answer to go to: what it is about may stand under a name that nobody here knows.

    Args:
        thing: JSON.
        texts: what is said of it already.
        leave_out: names of fields that are read elsewhere.
    """
    known, found = list(texts), dict[str, dict[str, None]]()
    for each in inside(mask(thing)):
        for name, value in each.items() if isinstance(each, Mapping) else ():
            if name not in leave_out and _is_news(str(name)[:_LONGEST_NAME]):
                for one in value if isinstance(value, list) else [value]:
                    if (shown := _scalar(one)) and not any(is_within(shown, text) for text in known):
                        found.setdefault(str(name)[:_LONGEST_NAME], {})[shown] = None
    parts = [f"{name}: {_enumerated(list(values))}" for name, values in list(found.items())[:_OTHERS]]
    left = len(found) - len(parts)
    line = "; ".join([*parts, *([f"and {left} more fields"] if left else [])])
    return line if len(line) <= _LONGEST_OTHERS else f"{line[:_LONGEST_OTHERS].rpartition(' ')[0]} …"


def _enumerated(values: list[str], most: int = _SUBJECTS) -> str:
    left = len(values) - most
    return ", ".join(values[:most]) + (f" and {left} more" if left > 0 else "")


def _is_news(name: str) -> bool:
    """Say whether a field may say what an error is about, although its name is that of no text and no code."""
    words = [each.lower() for each in _WORDS.findall(name)]
    plain = "".join(words)
    if not words or plain in _NO_NEWS or not _OF_TIME.isdisjoint(words) or names_a_secret(name):
        return False
    return _meaning(name) == _NEITHER


def _scalar(value: Any) -> str:
    """Return a value as it stands in a line; empty if it is none, a flag or a time."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    shown = " ".join(str(value).split())
    return "" if is_placeholder(shown) or _A_TIME.fullmatch(shown) or _is_like_json(shown) else shown[:_LONGEST_SUBJECT]


def _alike_as_one(said: list[Said]) -> list[Said]:
    """Return texts of which those that differ in numbers and ids alone are one, with what these are."""
    groups: dict[str, list[Said]] = {}
    for each in said:
        groups.setdefault(_NUMBERED.sub("…", each.text), []).append(each)
    return [group[0] if len(group) == 1 else _as_one(group) for group in groups.values()]


def _as_one(alike: list[Said]) -> Said:
    parts = [_NUMBERED.findall(each.text) for each in alike]
    differ = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    places = iter(differ)
    shown = _NUMBERED.sub(lambda part: "…" if next(places) else part[0], alike[0].text)
    stands = [" ".join(part for part, other in zip(each, differ, strict=True) if other) for each in parts]
    named = _enumerated(stands, _STOOD_FOR)
    return Said(f"{shown} ({len(alike)} texts; … stands for {named})", alike[0].names_the_cause)


def is_within(text: str, longer: str) -> bool:
    """Say whether a text stands in another one in whole words: `sg-1` does not stand in `sg-12`."""
    at = longer.find(text)
    while at >= 0:
        before, after = longer[:at][-2:], longer[at + len(text) :][:2]
        if not (_goes_on(text[:1], before[::-1]) or _goes_on(text[-1:], after)):
            return True
        at = longer.find(text, at + 1)
    return False


def _goes_on(edge: str, beyond: str) -> bool:
    """Say whether a word goes on beyond the edge of a text: with a letter or digit, or a sign that joins one to it."""
    if not (edge.isascii() and edge.isalnum()):
        return False
    joined = beyond[1:] if beyond[:1] in ("-", "_", ".", "/", ":") else beyond[:1]
    return joined.isascii() and joined[:1].isalnum()


def own_codes(document: Mapping[str, Any]) -> list[str]:
    """Return the codes that stand in an object itself."""
    own = ((name, value) for name, value in document.items() if str(name).lower() in _CODES)
    return [code for name, value in own if (code := _code(name, value))]


def inside(value: Any) -> Iterator[Any]:
    """Yield JSON and what stands in it, without recursion and up to a bound."""
    waiting = [value]
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        each = waiting.pop()
        yield each
        waiting += each.values() if isinstance(each, Mapping) else each if isinstance(each, list) else ()


class _Reader:
    """Goes through JSON without recursion, for the service decides the depth; collects codes on the way."""

    def __init__(self, leave_out: frozenset[str], inside: int = 0) -> None:
        self.codes: list[tuple[int, str]] = []
        self._leave_out = leave_out
        self._inside = inside

    def read(self, thing: Any, about: str = "") -> Iterator[_Read]:
        """Yield every text with how specific it is and how far up it stands."""
        waiting: list[_Found] = [(thing, _CAUSE, 0, about, False)]
        for _ in range(_MOST_VALUES):
            if not waiting:
                return
            value, rank, depth, about, listed = waiting.pop()
            if isinstance(value, list):
                inner = [(each, rank, depth + 1, about, True) for each in value]
            elif not isinstance(value, str) and isinstance(value, (dict, Mapping)):
                inner = self._fields(value, depth, _subject(value, listed=listed) or about)
            else:
                if rank is not None or _is_like_json(value):
                    yield from self._scalar(value, rank, depth, about)
                continue
            left_out = isinstance(value, Mapping) and not self._leave_out.isdisjoint(value)
            if rank is not None and depth and not left_out and not _says(value):
                yield from self._ranked(_dense(value), rank, depth, about)
            waiting += reversed(inner)

    def _fields(self, value: Mapping[Any, Any], depth: int, about: str) -> list[_Found]:
        """Return what stands in an object; what is no text by its name may still hold some."""
        fields: list[_Found] = []
        for name, each in value.items():
            key = str(name)
            if key in self._leave_out or names_a_secret(key):
                continue
            meant = _meaning(key[:_LONGEST_NAME])
            if meant.code is not None:
                for code in each if isinstance(each, list) else [each]:
                    if shown := _code(key, code):
                        self.codes.append((meant.code, shown))
            fields.append((each, meant.text, depth + 1, about, False))
        return fields

    def _scalar(self, value: Any, rank: int | None, depth: int, about: str) -> Iterator[_Read]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            return
        if _is_like_json(value) and self._inside < _DEEPEST_JSON:
            try:
                document = json.loads(value)
            except (ValueError, RecursionError):
                document = None
            if _of_an_error(document):
                inner = _Reader(self._leave_out, self._inside + 1)
                found = list(inner.read(document, about))
                self.codes += inner.codes
                if found:
                    yield from ((each, up - depth, of, text) for each, up, of, text in found)
                    return
        if rank is not None:
            yield from self._ranked(value, rank, depth, about)

    @staticmethod
    def _ranked(text: str, rank: int, depth: int, about: str) -> Iterator[_Read]:
        bare = _bare(text)
        of = "" if rank == _REASON and " " not in bare else about
        if bare in _GENERIC_WORDS:
            rank = max(rank, _GENERIC)
        elif " " not in bare:
            rank += _WORD
        yield rank, -depth, of, text


def _said_once(found: list[_Read]) -> list[tuple[int, int, str]]:
    """Return each text once, and say what it is about: several things that it is said of stand together."""
    of: dict[str, dict[str, None]] = {}
    for _, _, about, text in found:
        of.setdefault(text, {})[about] = None
    said = []
    for rank, up, _, text in found:
        subjects = [each for each in of.pop(text, {}) if each]
        if len(subjects) == 1 and len(subjects[0]) > 2 and is_within(subjects[0], text):
            subjects = []
        names = _enumerated(subjects)
        said.append((rank, up, f"{names}: {text}" if names else text))
    return said


def _subject(entry: Mapping[Any, Any], *, listed: bool) -> str:
    """Return what an object says something about; one that is no entry of a list only if it names a field."""
    present = _SUBJECT_NAMES.keys() & entry.keys() if listed else ("field",) if "field" in entry else ()
    for name in sorted(present, key=_SUBJECT_NAMES.__getitem__) if len(present) > 1 else present:
        found = entry[name]
        if isinstance(found, list) and found and all(isinstance(each, (str, int)) for each in found):
            found = ".".join(map(str, found))
        if isinstance(found, str) and 0 < len(found.strip()) <= _LONGEST_SUBJECT:
            return found.strip()
    return ""


class _Meaning(NamedTuple):
    """What the name of a field says: how specific it is as a text, and which of the codes; None if it is none."""

    text: int | None
    code: int | None


_NEITHER = _Meaning(None, None)


@lru_cache(maxsize=4096)
def _meaning(name: str) -> _Meaning:
    """Read the name of a field, also one that is put together of known words: `resultMsg`, `error-detail`, `msg_en`."""
    lowered = name.lower()
    text, code = _RANKS.get(name, _BY_NAME.get(lowered)), _CODES.get(lowered)
    if text is not None or code is not None:
        return _Meaning(text, code)
    words = [each.lower() for each in _WORDS.findall(name)]
    if len(words) < 2:
        return _NEITHER
    while len(words) > 1 and words[-1] in _LANGUAGES:
        words.pop()
    *others, core = words
    if not others:
        return _Meaning(_BY_NAME.get(core), None)
    if not _ABOUT_FAILURES.issuperset(others):
        return _Meaning(_BY_NAME.get("".join(words)), None)
    return _Meaning(_CORES.get(core), 2 if core in ("code", "codes") else None)


def _is_like_json(value: Any) -> bool:
    """Say whether a value is a text that may be JSON: then it may hold texts whatever its own name is."""
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _says(value: Any) -> bool:
    """Say whether an object or a list, which stands where a text is expected, holds texts, codes or nothing."""
    if _of_an_error(value) or not value:
        return True
    return isinstance(value, list) and any(isinstance(each, str) and each.strip() for each in inside(value))


def _of_an_error(value: Any) -> bool:
    """Say whether JSON has the form of an error: an object in it names a text or a code. Any other is a text itself."""
    return any(
        isinstance(each, Mapping) and any(_meaning(str(name)[:_LONGEST_NAME]) != _NEITHER for name in each)
        for each in inside(value)
    )


def _code(name: str, value: Any) -> str:
    key = str(name).lower()
    if _meaning(str(name)[:_LONGEST_NAME]).code is None or isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    code = str(value).strip()
    if code.lower() in _NO_CODE or names_a_secret(str(name)):
        return ""
    return "" if key == "code" and _HTTP_STATUS.fullmatch(code) else code


def _bare(text: str) -> str:
    """Return a text by which it is compared: without case, and what stands around the words."""
    return " ".join(text.lower().split()).strip(" .!;")


def _dense(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
