"""An operator's agent without a model: it goes by the first sentences of tools and by the `next` of each answer."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from agent import Agent
from bm25 import Bm25, searched, words
from mcp_types import Tool

from ap_mcp.arguments import check_arguments
from ap_mcp.errors import InvalidArguments
from ap_mcp.specs import load_catalog

TASKS = Path(__file__).parents[1] / "data" / "tasks.toml"
MOST = 40
"""Calls after which an agent has lost its way."""
LONGER = "waits longer"
SEE = re.compile(r"[Ss]ee (list_\w+)")

Call: TypeAlias = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """What an operator wants.

    Attributes:
        say: the goal in their words.
        facts: what they say, by the arguments of tools.
        ends: the tool with which it is done.
        fewest: the tools of the shortest way.
    """

    name: str
    say: str
    ends: str
    fewest: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)


@cache
def tasks() -> tuple[Task, ...]:
    """Read the tasks."""
    return tuple(Task(**each) for each in tomllib.loads(TASKS.read_text())["task"])


@dataclass
class Operator:
    """Carries out one task.

    Attributes:
        calls: what was called; waiting longer for the same thing is not counted again.
        answers: by tool, the last answer.
    """

    agent: Agent
    task: Task
    tools: Mapping[str, Tool]
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned: list[Call] = field(default_factory=list)

    async def work(self) -> list[str]:
        """Carry it out; return the tools that were called."""
        self.planned = self.first()
        while self.planned and not (self.is_done() and not self.waits()):
            assert len(self.calls) < MOST, self.calls
            tool, given = self.planned.pop(0)
            arguments = {name: self.as_id(name, value) for name, value in given.items()}
            if (tool, arguments) in self.calls:
                continue
            self.calls.append((tool, arguments))
            answer = await self.ended(tool, arguments)
            self.answers[tool] = answer
            self.plan(answer)
        assert self.is_done(), f"{self.task.name}: after {self.calls} nothing leads on"
        return [tool for tool, _ in self.calls]

    def first(self) -> list[Call]:
        """Choose the tool that a search finds first among those whose arguments are known from the facts.

        Before it comes the tool to which an argument sends the reader: there is the id of what the facts name.
        """
        index = Bm25({name: words(searched(tool)) for name, tool in self.tools.items()})
        ranked = index.ranked(words(self.task.say))
        tool = next(each for each in ranked if self.can_be_called(each))
        described = self.tools[tool].input_schema["properties"].items()
        seen = {name: match[1] for name, each in described if (match := SEE.search(each.get("description", "")))}
        before: list[Call] = [(lister, {}) for name, lister in seen.items() if name in self.task.facts]
        return [*before, (tool, self.filled(tool, {}))]

    async def ended(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; a wait that says it still runs is repeated as it proposes."""
        answer = await self.agent.call(tool, **arguments)
        while longer := [each for each in answer.get("next", []) if each["why"] == LONGER]:
            answer = await self.agent.call(tool, **longer[0]["arguments"])
        return answer

    def plan(self, answer: Mapping[str, Any]) -> None:
        """Put what an answer proposes before what was planned; of two calls of a tool the newer one counts."""
        proposed = [(each["tool"], self.filled(each["tool"], each["arguments"])) for each in answer.get("next", [])]
        tools = {tool for tool, _ in proposed}
        self.planned = [*proposed, *(each for each in self.planned if each[0] not in tools or each[0] == "wait_for")]

    def as_id(self, name: str, value: Any) -> Any:
        """Return the id in the row of an earlier answer that is called so; the value itself if there is none."""
        lists = [found for each in self.answers.values() for found in each.values() if isinstance(found, list)]
        rows = [row for found in lists for row in found if isinstance(row, dict) and row.get("name") == value]
        ids = [row[key] for row in rows for key in (name, "id") if key in row]
        return ids[0] if ids and name.endswith("_id") else value

    def is_done(self) -> bool:
        """Say whether the call was made with which the task is done."""
        return self.task.ends in self.answers

    def waits(self) -> bool:
        """Say whether something that was started is still to be waited for."""
        return bool(self.planned) and self.planned[0][0] == "wait_for" and self.planned[0] not in self.calls

    def can_be_called(self, tool: str) -> bool:
        """Say whether the facts are enough of its arguments, those of which it wants at least one included."""
        try:
            if operation := load_catalog().get(tool):
                check_arguments(operation, self.filled(tool, {}))
        except InvalidArguments:
            return False
        return set(self.tools[tool].input_schema.get("required", [])) <= self.task.facts.keys()

    def takes(self, tool: str) -> set[str]:
        """Return the arguments of a tool."""
        return set(self.tools[tool].input_schema["properties"])

    def filled(self, tool: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments with what the facts say beside them."""
        takes = self.takes(tool)
        return {**{name: value for name, value in self.task.facts.items() if name in takes}, **given}
