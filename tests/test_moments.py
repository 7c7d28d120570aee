"""Every moment in any answer has one form: RFC 3339 in UTC with seconds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from agent import connected
from canaries import harmless_calls
from guarded import account, guarded_account

pytestmark = pytest.mark.anyio

MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d[^\s\\\"',;)\]}]*)?(?: ?[+-]\d{4}| UTC)*")
"""Anything that begins as a date does."""
ONE_FORM = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\.?")
EPOCH = re.compile(r"(?<![\w.-])1[67]\d{8}(?:\d{3})?(?![\w.-])")
"""Seconds or milliseconds since 1970, of these years."""
SECONDS_ALONE = re.compile(r"(?<![\w.])(?:[6-9]\d|\d{3,}) s(?:econds)?\b")
"""A minute or more is not given in seconds."""


async def test_every_moment_in_every_answer_has_one_form(tmp_path: Path) -> None:
    state, calls = await guarded_account(tmp_path)
    other: dict[str, dict[str, Any]] = {}
    async with connected(tmp_path, app=account(state), chart_roots=(tmp_path,)) as agent:
        seen = 0
        for tool, arguments in {**calls, **harmless_calls(state, tmp_path)}.items():
            given = {**arguments, "dry_run": True} if tool in calls else arguments
            result = await agent.call(tool, **given)
            said = f"{agent.said}\n{json.dumps(result)}"
            every = MOMENT.findall(said)
            seen += len(every)
            wrong = [each for each in every if not ONE_FORM.fullmatch(each)]
            wrong += EPOCH.findall(said) + SECONDS_ALONE.findall(said)
            if wrong:
                other[tool] = {"wrong": wrong}
    assert not other
    assert seen > 40
