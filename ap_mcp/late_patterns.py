"""Patterns that are compiled at their first use: there are many, and a server that starts needs none of them."""

import re
from typing import Any, cast


class _Later:
    """Stands for a pattern until something is asked of it."""

    def __init__(self, source: str, flags: int) -> None:
        self._source, self._flags = source, flags

    def __getattr__(self, name: str) -> Any:
        """Compile the pattern, and answer directly from now on."""
        found = getattr(re.compile(self._source, self._flags), name)
        setattr(self, name, found)
        return found


def later(source: str, flags: int = 0) -> re.Pattern[str]:
    """Return a pattern that is compiled when it is first used.

    Args:
        source: the regular expression.
        flags: as `re.compile` takes them.
    """
    return cast("re.Pattern[str]", _Later(source, flags))
