"""Calls that do harm in ways that are easy to miss: each is as grave as it is, and a person is shown what it does."""

from pathlib import Path

import pytest
from grave_calls import grave_calls, with_more
from kubernetes_writing import Scene, shop
from test_kubernetes_impacts import lines

pytestmark = pytest.mark.anyio

FEWEST = 70


async def test_harm_that_is_easy_to_miss_is_asked_about_and_named(tmp_path: Path) -> None:
    async with shop(tmp_path) as scene:
        calls = list(grave_calls(await with_more(scene.cluster)))
        wrong = [
            f"{each.why}: {said}"
            for each in calls
            if (said := await _misfit(scene, each.tool, each.arguments, each.effect, each.shown))
        ]
        assert scene.way.changes == []
    assert len(calls) >= FEWEST
    assert wrong == [], "\n".join(wrong)


async def _misfit(scene: Scene, tool: str, arguments: dict[str, str], effect: str, shown: tuple[str, ...]) -> str:
    found = lines(await scene.call(tool, **arguments, dry_run=True))
    if (is_so := found.pop("effect")) != effect:
        return f"is {is_so}, not {effect}"
    everything = "\n".join(found.values())
    missing = [each for each in shown if each not in everything]
    return f"{missing} not in\n{everything}" if missing else ""
