"""Writes HTML: every text is escaped where it is put into an element, so that no page can forget it."""

from collections.abc import Iterator
from html import escape
from typing import TypeAlias


class Markup(str):
    """HTML made here; anything else is text, and is escaped."""

    __slots__ = ()


Child: TypeAlias = "str | Markup | None"

_VOID = frozenset({"input", "link", "meta"})


def element(tag: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """Return an element.

    Args:
        tag: of the element.
        children: markup as it is, texts escaped; None is left out.
        attributes: by name, with `_` for `-` and a `_` at the end of a word of Python's; None and False are left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{together(*children)}</{tag}>")


def together(*children: Child) -> Markup:
    """Return markup and texts one after another, the texts escaped."""
    return Markup("".join(_escaped(children)))


def _escaped(children: tuple[Child, ...]) -> Iterator[str]:
    for child in children:
        if child is not None:
            yield child if isinstance(child, Markup) else escape(child)


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = name.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{escape(value)}"'
