"""Clocks the simulated world runs on, and the vendor's two ways to write a time."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

FIRST_MOMENT = datetime(2025, 6, 2, 8, 0, tzinfo=UTC)
"""Where a manual clock starts: a Monday morning, so that tests can state times."""


class Clock(Protocol):
    """Anything that gives the simulated time."""

    def now(self) -> datetime:
        """Return the time, always with its zone and never earlier than before."""
        ...


class ManualClock:
    """A clock that moves only on request."""

    def __init__(self, start: datetime = FIRST_MOMENT) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time it was last set to."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back by {-seconds} s")
        self._now += timedelta(seconds=seconds)


class ScaledClock:
    """A clock that runs `speed` times as fast as real time."""

    def __init__(self, speed: float = 1.0, start: datetime | None = None) -> None:
        if speed <= 0:
            raise ValueError(f"the speed must be above zero, not {speed}")
        self.speed = speed
        self._start = start or datetime.now(UTC)
        self._origin = time.monotonic()

    def now(self) -> datetime:
        """Return the scaled time."""
        return self._start + timedelta(seconds=(time.monotonic() - self._origin) * self.speed)


@lru_cache
def long_timestamp(moment: datetime) -> str:
    """Write a time as clusters, jobs and tasks do: `2024-06-04 12:49:28.773718 +0000 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")


@lru_cache
def short_timestamp(moment: datetime) -> str:
    """Write a time as add-ons and charts do: `2024-01-26T09:06:25Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(1024)
def parse_timestamp(text: str) -> datetime:
    """Read either form back."""
    form = "%Y-%m-%dT%H:%M:%SZ" if text.endswith("Z") else "%Y-%m-%d %H:%M:%S.%f +0000 UTC"
    return datetime.strptime(text, form).replace(tzinfo=UTC)
