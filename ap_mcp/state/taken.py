"""Which consents this process has taken: the store is not trusted with that, as a record can be put back into it."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

from ap_mcp.guard.lifetimes import LONGEST_LIFETIME


class Taken:
    """The consents that this process has taken, each for as long as one can live; safe between threads.

    Args:
        steady: seconds that only ever go forward: no clock that is set forgets anything.
    """

    def __init__(self, steady: Callable[[], float] = monotonic) -> None:
        self._steady = steady
        self._moments: dict[str, float] = {}
        self._lock = Lock()

    def __contains__(self, consent_id: str) -> bool:
        return consent_id in self._moments

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, consent_id: str) -> bool:
        """Remember a consent; True the first time."""
        with self._lock:
            now = self._steady()
            self._forget(now - LONGEST_LIFETIME.total_seconds())
            is_first = consent_id not in self._moments
            self._moments.setdefault(consent_id, now)
            return is_first

    def _forget(self, before: float) -> None:
        """Forget the oldest, which stand first."""
        while self._moments:
            oldest = next(iter(self._moments))
            if self._moments[oldest] >= before:
                return
            del self._moments[oldest]
