"""Turns what the cloud replied into what an agent gets: files saved, the whole kept, advice that can be taken."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from ap_mcp.files import save_result
from ap_mcp.guard.policy import Policy, effect_of
from ap_mcp.guard.stores import ResponseStore
from ap_mcp.response_store import LocalResponseStore, kept_text
from ap_mcp.settings import Settings
from ap_mcp.specs import FILE, GUARDED, Operation
from ap_mcp.summaries import NextCall, Observation, Result, summarise
from ap_mcp.wait import WAIT_FOR

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse

ASKS = "a person is asked first"
SWITCHED_OFF = "the operator has switched it off"


@dataclass(frozen=True)
class Results:
    """What becomes of replies.

    Attributes:
        settings: where files go, and how consent is had.
        policy: what the operator allows.
        operations: those that are offered, by name.
        composed: names of the other tools that are.
        kinds: what can be waited for.
        kept: the latest whole answers.
    """

    settings: Settings
    policy: Policy
    operations: Mapping[str, Operation]
    composed: Collection[str]
    kinds: Collection[str]
    kept: ResponseStore = field(default_factory=LocalResponseStore)

    async def shaped(self, answer: Observation, reply: "CloudResponse", principal: str) -> Result:
        """Shape the answer to a call; binary and secret ones go to a file, others are kept, masked, for whoever asks.

        Args:
            answer: the call and what was answered; without a body if that is binary.
            reply: the same as it came.
            principal: who may read the whole answer.
        """
        if answer.operation.answers_with_file:
            name = _file_name(answer, reply)
            file = await to_thread.run_sync(partial(save_result, self.settings.files_dir, name, reply.content))
            answer = replace(answer, file=file)
        whole = kept_text(answer)
        raw = None if whole is None else await self.kept.keep(principal, whole)
        extra = {"request_id": reply.request_id or None, "raw": raw}
        result = self.advised(summarise(answer))
        return result.model_copy(update={key: value for key, value in extra.items() if value is not None})

    def advised(self, result: Result) -> Result:
        """Return a result whose next calls are of tools that are offered, and say so if a person is asked first."""
        offered = [each for each in result.next if self._offers(each.tool, each.arguments.get("kind"))]
        return result.model_copy(update={"next": [self._asking(each) for each in offered]})

    def _offers(self, tool: str, kind: Any) -> bool:
        return kind in self.kinds if tool == WAIT_FOR else tool in self.operations or tool in self.composed

    def _asking(self, call: NextCall) -> NextCall:
        operation = self.operations.get(call.tool)
        if operation is None or effect_of(operation, call.arguments, self.policy) not in GUARDED:
            return call
        said = SWITCHED_OFF if self.settings.confirm == "deny" else ASKS
        return call.model_copy(update={"why": f"{call.why} ({said})"})


def _file_name(answer: Observation, reply: "CloudResponse") -> str:
    disposition = reply.headers.get("content-disposition", "")
    if match := re.search(r'filename="?([^";]+)"?', disposition):
        return match[1]
    operation, given = answer.operation, answer.arguments
    of = next((str(given[name]) for name in operation.arguments if name in given), "answer")
    return f"{operation.summary}-{of}{'.bin' if operation.response_type == FILE else '.json'}"
