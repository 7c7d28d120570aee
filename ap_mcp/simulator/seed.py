"""Makes the realistic account that the simulator starts with, and keeps a world in a file between runs."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ap_mcp.errors import SettingsError
from ap_mcp.private_files import make_folders
from ap_mcp.simulator.clock import Clock, ScaledClock
from ap_mcp.simulator.handlers import SEEDS
from ap_mcp.simulator.world import World


def seeded_world(clock: Clock | None = None, seed: int = 0) -> World:
    """Make a world with the simulated account in it, on a manual clock unless another is given."""
    world = World(clock, seed=seed)
    for sow in SEEDS:
        sow(world)
    return world


@contextlib.contextmanager
def kept_world(path: Path, speed: float = 1.0, seed: int = 0) -> Iterator[World]:
    """Open the world kept in a file (a seeded one if there is none) and save it when the block ends, however it ends.

    Simulated time went on between the runs, `speed` times as fast as real time. Only one process at a time
    gets in; the others wait.

    Raises:
        SettingsError: if the file holds no state of this version, or cannot be kept there.
    """
    with contextlib.ExitStack() as stack:
        try:
            make_folders(path.parent)
            stack.enter_context(_locked(path.with_name(path.name + ".lock")))
            world = _load(path, speed) if path.exists() else seeded_world(ScaledClock(speed), seed)
        except OSError as error:
            raise SettingsError(f"cannot keep the simulated account in {path}: {error.strerror}") from error
        world.catch_up()
        try:
            yield world
        finally:
            save(world, path)


def save(world: World, path: Path) -> None:
    """Write a world's state, whole or not at all, readable by its owner only."""
    state = {"saved_at": datetime.now(UTC).isoformat(), "world": world.to_json()}
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(state, ensure_ascii=False))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _load(path: Path, speed: float) -> World:
    try:
        state: Any = json.loads(path.read_bytes())
        away = max(datetime.now(UTC) - datetime.fromisoformat(state["saved_at"]), timedelta())
        saved = datetime.fromisoformat(state["world"]["now"])
        return World.from_json(state["world"], ScaledClock(speed, saved + away * speed))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        advice = "choose another file, or remove it if it is one of the simulator's"
        raise SettingsError(f"{path} holds no simulator state that this version reads: {advice}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file beside the state; where the system has none, go on without."""
    try:
        import fcntl  # noqa: PLC0415 - only POSIX systems have it
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
