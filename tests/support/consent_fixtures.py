"""Fixtures for tests of consent: an account where every guarded call would go through, and scenes on copies of it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consenting import Prepared, Scene, Scenes, prepare, scene_of

from ap_mcp.state import database


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store not wait for the disk: that it survives a crash is tested elsewhere, and here it is used a lot."""
    careful = database._prepare

    def prepare_hastily(db: sqlite3.Connection) -> None:
        careful(db)
        db.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(database, "_prepare", prepare_hastily)


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path, prepared: Prepared, hasty: None) -> Iterator[Scene]:
    """A scene of a tool and an era; when the test ends, nothing went out but what it said."""
    del hasty
    tool, era = request.param
    scene = scene_of(prepared, tool, era, tmp_path)
    yield scene
    scene.check()


@pytest.fixture
def scene_for(tmp_path: Path, prepared: Prepared, hasty: None) -> Iterator[Scenes]:
    """Makes scenes, as many as are needed; when the test ends, nothing went out but what it said."""
    del hasty
    made: list[Scene] = []

    def make(tool: str, mode: str = "auto", **arguments: Any) -> Scene:
        scene = scene_of(prepared, tool, mode, tmp_path / f"scene-{len(made)}")
        scene.arguments |= arguments
        made.append(scene)
        return scene

    yield make
    for scene in made:
        scene.check()
