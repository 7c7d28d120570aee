"""Reads what an item of a pre-upgrade check names as the source of a risk, documented or not, so that none is lost."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ap_mcp.vendor import loaded, quoted, text, word

Kind: TypeAlias = Literal["add-on", "api", "node", "setting", "other"]
ADDON: Final = "add-on"
API: Final = "api"
NODE: Final = "node"
SETTING: Final = "setting"
OTHER: Final = "other"
DATA_LIMIT = 160
"""Characters of what is not documented."""
_LISTS: Mapping[str, Kind] = {
    "addonrisks": ADDON,
    "deprecatedapirisks": API,
    "noderisks": NODE,
    "configurationrisks": SETTING,
}
_NAMES: Mapping[Kind, tuple[str, ...]] = {
    ADDON: ("addontemplatename", "addontemplate", "addonname", "alias"),
    API: ("url",),
    NODE: ("nodeid", "nodename", "nodeuid"),
    SETTING: ("package", "field"),
}
"""Fields by which an entry is called; those of a setting together, of any other the first that is filled."""
_OWNERS: Mapping[Kind, str] = {API: "useragent", SETTING: "nodemsg"}


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that an item blames.

    Attributes:
        kind: what it is.
        name: what it is called; what is not documented stands for itself.
        of: the client that uses an API, or the node that has a setting.
        more: what else is said of it.
    """

    kind: Kind
    name: str
    of: str = ""
    more: str = ""

    @property
    def shown(self) -> str:
        """It in a few words, without whom it is of."""
        what = f"{self.kind} {self.name}" if self.kind in (ADDON, NODE) else self.name
        return f"{what} ({self.more})" if self.more else what


def sources_of(risk_source: Any) -> Iterator[Source]:
    """Yield what the source of a risk names, whether it is an object of lists, a list, or a text."""
    found = loaded(risk_source)
    for each in found if isinstance(found, list) else [found]:
        if not isinstance(each, Mapping):
            yield from _other("", each)
        elif kind := _kind_of(each):
            yield _entry(kind, each)
        else:
            for name, value in each.items():
                yield from _below(str(name), loaded(value))


def _below(name: str, value: Any) -> Iterator[Source]:
    listed = _LISTS.get(_bare(name))
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, Mapping) and (kind := _kind_of(each, listed)):
            yield _entry(kind, each)
        elif listed and isinstance(each, str) and each.strip():
            yield Source(listed, text(each))
        else:
            yield from _other(name, each)


def _other(name: str, value: Any) -> Iterator[Source]:
    """Yield what is not documented as it came."""
    if value in (None, "", [], {}):
        return
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    yield Source(OTHER, f"{word(name)}: {quoted(shown, DATA_LIMIT)}" if name else quoted(shown, DATA_LIMIT))


def _kind_of(entry: Mapping[str, Any], listed: Kind | None = None) -> Kind | None:
    """Return what an entry is by its fields, which are known better than the lists; None if they are not known."""
    names = {_bare(str(name)) for name, value in entry.items() if value not in (None, "")}
    kinds = [listed] if listed else list(_NAMES)
    return next((kind for kind in kinds if names & set(_NAMES[kind])), None)


def _entry(kind: Kind, entry: Mapping[str, Any]) -> Source:
    fields = {_bare(str(name)): value for name, value in entry.items() if value not in (None, "", [], {})}
    called = [text(fields.pop(name)) for name in _NAMES[kind] if name in fields]
    name = " ".join(called) if kind == SETTING else called[0]
    if kind != SETTING and len(called) > 1 and called[1] != name:
        fields["alias"] = called[1]
    of = text(fields.pop(_OWNERS.get(kind, ""), ""))
    return Source(kind, name, of, _setting(fields) if kind == SETTING else _data(fields, entry))


def _setting(fields: dict[str, Any]) -> str:
    """Return where a setting stands and how it was changed."""
    parts = [f"in {text(fields.pop('sourcefile'))}"] if "sourcefile" in fields else []
    if "originalvalue" in fields:
        parts.append(f"was {quoted(fields.pop('originalvalue'), DATA_LIMIT)}")
    if "value" in fields:
        parts.append(f"is {quoted(fields.pop('value'), DATA_LIMIT)}")
    return ", ".join([*parts, *([_data(fields, fields)] if fields else [])])


def _data(fields: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return fields that are not documented as `name=value`, with their own names."""
    own = {_bare(str(name)): str(name) for name in entry}
    return text(", ".join(f"{own.get(name, name)}={text(value)}" for name, value in fields.items()), DATA_LIMIT)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
