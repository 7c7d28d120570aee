"""The whole simulated account as plain JSON, with a clock and the events that are still to come."""

import copy
import heapq
import itertools
import json
import pickle
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from ap_mcp.simulator.clock import Clock, ManualClock, long_timestamp, short_timestamp
from ap_mcp.simulator.events import reactions_to

Row = dict[str, Any]
Json = TypeVar("Json", bound=dict[str, Any])
FORMAT = 1
_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=UTC)


class World:
    """Tables of vendor-shaped objects, a seeded source of ids, and a queue of events on a clock.

    Keys that start with `_` hold what the vendor would not show; they are dropped from answers.
    Time stands still between `catch_up` calls, so one request sees one moment.
    """

    def __init__(self, clock: Clock | None = None, *, seed: int = 0) -> None:
        self.clock: Clock = clock or ManualClock()
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        """Held while a request or an event runs, so that a test may advance a world that is being served."""
        self.listening: Callable[[str], str] = lambda _cluster_id: ""
        """Where the API server of a cluster listens on this machine, empty if it does not; never kept."""
        self._now = self.clock.now()
        self._tables: dict[str, dict[str, Row]] = {}
        self._events: list[tuple[datetime, int, str, Row]] = []
        self._sequence = itertools.count(1)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(rows)}" for name, rows in self._tables.items())
        return f"<World {self._now:%Y-%m-%d %H:%M:%S} {sizes or 'empty'}>"

    def table(self, name: str) -> dict[str, Row]:
        """Return the rows of a table by id, to be read and changed in place."""
        return self._tables.setdefault(name, {})

    def now(self) -> datetime:
        """Return the simulated time of the request or event that is being handled."""
        return self._now

    def timestamp(self, moment: datetime | None = None) -> str:
        """Write a moment (now, if none is given) as `2024-06-04 12:49:28.773718 +0000 UTC`."""
        return long_timestamp(moment or self._now)

    def iso_timestamp(self, moment: datetime | None = None) -> str:
        """Write a moment (now, if none is given) as `2024-01-26T09:06:25Z`."""
        return short_timestamp(moment or self._now)

    def new_id(self) -> str:
        """Make an id in the vendor's form: a version 1 UUID, the same in every run with the same seed."""
        ticks = (self._now - _UUID_EPOCH) // timedelta(microseconds=1) * 10 + next(self._sequence)
        node = 0x0255AC100000 | self.random.getrandbits(16)
        fields = (
            ticks & 0xFFFFFFFF,
            ticks >> 32 & 0xFFFF,
            ticks >> 48 & 0x0FFF,
            self.random.getrandbits(6),
            self.random.getrandbits(8),
            node,
        )
        return str(uuid.UUID(fields=fields, version=1))

    def schedule(self, after_seconds: float, event: str, /, **payload: Any) -> None:
        """Let an event happen later; its payload must be plain JSON.

        Raises:
            LookupError: if nothing reacts to the event.
        """
        reactions_to(event)
        if after_seconds < 0:
            raise ValueError(f"the event {event!r} cannot be scheduled {-after_seconds} s ago")
        at = self._now + timedelta(seconds=after_seconds)
        heapq.heappush(self._events, (at, next(self._sequence), event, copy.deepcopy(payload)))

    def take_over(self, other: "World") -> None:
        """Let happen here what is still to come in another world at the same moment."""
        for at, _, event, payload in sorted(other._events):  # noqa: SLF001 - of a world, too
            heapq.heappush(self._events, (at, next(self._sequence), event, payload))

    def fire(self, event: str, /, **payload: Any) -> None:
        """Run everything that reacts to an event, now."""
        for reaction in reactions_to(event):
            reaction(self, **copy.deepcopy(payload))

    def catch_up(self) -> None:
        """Run every event that is due, in order, each at its own moment, and then stand at the clock's time."""
        with self.lock:
            until = max(self.clock.now(), self._now)
            while self._events and self._events[0][0] <= until:
                at, _, event, payload = heapq.heappop(self._events)
                self._now = max(at, self._now)
                self.fire(event, **payload)
            self._now = until

    def advance(self, seconds: float) -> None:
        """Move a manual clock forward and run what becomes due."""
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a world on a ManualClock can be advanced by hand")
        with self.lock:
            self.clock.advance(seconds)
            self.catch_up()

    def advance_until_idle(self, limit_seconds: float = 30 * 86400) -> None:
        """Move a manual clock from event to event until nothing is left to happen or the limit is reached."""
        end = self._now + timedelta(seconds=limit_seconds)
        while self._events and self._events[0][0] <= end:
            self.advance((self._events[0][0] - self._now).total_seconds())

    def to_json(self) -> Row:
        """Return the whole state as plain JSON, independent of this world."""
        with self.lock:
            state = {
                "format": FORMAT,
                "now": self._now.isoformat(),
                "sequence": next(self._sequence),
                "random": self.random.getstate(),
                "events": [[at.isoformat(), order, event, payload] for at, order, event, payload in self._events],
            }
            return {**json.loads(json.dumps(state)), "tables": copied(self._tables)}

    @classmethod
    def from_json(cls, state: Mapping[str, Any], clock: Clock | None = None) -> Self:
        """Rebuild a world from its saved state, on a manual clock at the saved moment unless another is given.

        The tables of the state become those of the world: what it changes, it changes in them.

        Raises:
            ValueError: if the state was written by another version of the simulator or is damaged.
        """
        if state.get("format") != FORMAT:
            raise ValueError(f"saved simulator state has format {state.get('format')!r}, this version reads {FORMAT}")
        try:
            saved = datetime.fromisoformat(state["now"])
            world = cls(clock or ManualClock(saved))
            world._now = saved
            world._sequence = itertools.count(state["sequence"])
            version, internal, gauss = state["random"]
            world.random.setstate((version, tuple(internal), gauss))
            world._events = [
                (datetime.fromisoformat(at), order, event, payload) for at, order, event, payload in state["events"]
            ]
            heapq.heapify(world._events)
            world._tables = dict(state["tables"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"saved simulator state is damaged: {error!r}") from error
        return world


def copied(data: Json) -> Json:
    """Copy plain JSON, in a third of the time that `deepcopy` takes."""
    made: Json = pickle.loads(pickle.dumps(data, pickle.HIGHEST_PROTOCOL))  # noqa: S301 - dumped here
    return made
