"""What a caller who signs in may use, as tables of the operator say it: those of tokens, and rules about people."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ap_mcp.settings import TOOLSETS
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token, or a rule about people, gives; never more than the server itself offers.

    Attributes:
        read_only: nothing but reading; the default, so that changing things is always a choice.
        toolsets: what is offered of what the server offers.
        policy_file: rules that hold besides those of the server.
        profiles: names of the profiles that it may use; empty means all of them.
    """

    read_only: bool = True
    toolsets: tuple[str, ...] = ("all",)
    policy_file: Path | None = None
    profiles: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What it gives, for people."""
        said = ["reads only" if self.read_only else "reads and writes", f"toolsets {','.join(self.toolsets)}"]
        said += [f"profiles {','.join(self.profiles)}"] if self.profiles else []
        said += [f"policy {self.policy_file}"] if self.policy_file else []
        return ", ".join(said)


def read_grant(
    table: Mapping[str, Any], beside: Mapping[str, Callable[[Any], Any]]
) -> tuple[Grant, dict[str, Any], list[str]]:
    """Return what a table grants, what else it says, and everything that is wrong with it.

    Args:
        table: of the operator.
        beside: further keys that it may hold, each with what reads its value or raises `ValueError`.
    """
    readers = {**_READERS, **beside}
    given: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        reader = readers.get(key)
        if reader is None:
            near = closest(key, readers, most=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(readers)}"
            problems.append(f"{in_quotes(key, NAME_LIMIT)} is unknown; {hint}")
            continue
        try:
            given[key] = reader(value)
        except ValueError as error:
            problems.append(f"{key} {error}")
    grant = Grant(**{key: given.pop(key) for key in _READERS if key in given})
    return grant, given, problems


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts.

    Raises:
        ValueError: it is no such list, or an empty one.
    """
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each.strip() for each in value):
        raise ValueError('must be a list of texts that is not empty, like ["a", "b"]')
    return tuple(value)


def check_toolsets(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of toolsets.

    Raises:
        ValueError: one is unknown.
    """
    names = tuple(names)
    unknown = ", ".join(in_quotes(name, NAME_LIMIT) for name in names if name not in TOOLSETS)
    if unknown:
        raise ValueError(f"holds {unknown}; each must be one of: {', '.join(TOOLSETS)}")
    return names


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - wrong values of any kind are reported in one way
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be the path of a file")
    return Path(value).expanduser().absolute()


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "read_only": _flag,
    "toolsets": lambda value: check_toolsets(texts(value)),
    "policy_file": _path,
    "profiles": texts,
}
