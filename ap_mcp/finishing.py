"""Turns what the cloud answered into what an agent gets: files saved, the whole kept, next calls that can be made."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from anyio import to_thread

from ap_mcp.aside import in_a_thread, size_of
from ap_mcp.errors import CallRefused, FileRefused
from ap_mcp.gateway import Gateway
from ap_mcp.guard.facts import Facts
from ap_mcp.guard.guarding import DENY
from ap_mcp.guard.policy import Policy, Refuse, decide, effect_of
from ap_mcp.guard.stores import ResponseStore
from ap_mcp.guard.subject import Subject, subject_of, with_facts
from ap_mcp.masking import mask
from ap_mcp.settings import Settings
from ap_mcp.specs import CLUSTER, FILE, GUARDED, Operation
from ap_mcp.summaries import NextCall, Result
from ap_mcp.wait import WAIT_FOR
from ap_mcp.wait.recent_changes import Recent

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse
    from ap_mcp.files import KeptFile, SavedFile

ASKS = "a person is asked first"
SWITCHED_OFF = "the operator has switched it off"
SIMULATED = "simulated"
"""Stands beside an answer that went to a file, where the other end is the simulator of this process."""
NOTHING: Mapping[str, Any] = {}


class Deciding(Protocol):
    """A tool, as far as it matters whether a rule forbids it."""

    def subject(self, arguments: Mapping[str, Any], /) -> Subject:
        """Return a call as rules see it."""


def nothing_known(_cluster: str) -> None:
    """Return what is known of a cluster as long as nothing was read."""


@dataclass(frozen=True)
class Finishing:
    """What becomes of answers, for one principal.

    Attributes:
        settings: where files go.
        policy: what the operator allows.
        mode: how consent is obtained.
        operations: those that are offered, by name.
        tools: all that are offered, by name.
        kinds: what can be waited for.
        gateway: gives the service's time.
        kept: the latest whole answers; shared.
        recent: what was changed a moment ago; shared.
        simulated: the other end is the simulator of this process.
        remote: who calls is on another machine: files go to what is kept for them.
        profile: where the calls went, as the operator calls it; empty if there is one place only.
        known: gives what rules go by of a cluster, by its id, if the reads of a call have shown it.
    """

    settings: Settings
    policy: Policy
    mode: str
    operations: Mapping[str, Operation]
    tools: Mapping[str, Deciding]
    kinds: Collection[str]
    gateway: Gateway
    kept: ResponseStore
    recent: Recent
    simulated: bool = False
    remote: bool = False
    profile: str = ""
    known: Callable[[str], Facts | None] = nothing_known

    def knowing(self, known: Callable[[str], Facts | None]) -> "Finishing":
        """Return it for one call, with what its reads show of clusters, if any rule goes by that."""
        by_cluster = any(rule.about_clusters for rule in self.policy.rules)
        return replace(self, known=known) if by_cluster else self

    async def shaped(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        response: "CloudResponse",
        principal: str,
        *,
        own: Mapping[str, Any] = NOTHING,
        beside: Mapping[str, Any] = NOTHING,
    ) -> Result:
        """Shape an answer; binary and secret ones go to a file, others are kept, masked, for a later read.

        Args:
            operation: what was called.
            arguments: its flat arguments.
            response: what was answered.
            principal: who may read the whole answer.
            own: the arguments of ours that were given with them.
            beside: what was read for the summary to go by, by the argument that named it.
        """
        from ap_mcp.files import KeptFile, save_result  # noqa: PLC0415 - no start waits for what only answers need
        from ap_mcp.shaping import Answered, shaped_aside  # noqa: PLC0415 - likewise

        file: SavedFile | KeptFile | None = None
        owner = owner_of(principal, self.profile)
        body = None if operation.response_type == FILE else response.body
        source = b"" if body is None else response.parsed_from
        answered = Answered(operation, arguments, body, self.gateway.now(), own, beside, content=source)
        size = len(response.content) + size_of(arguments)
        if operation.effect != "read":
            self.recent.note(await in_a_thread(answered.observed, size))
        if operation.answers_with_file:
            name = _file_name(operation, mask(dict(arguments)), response)
            name = f"{self.profile}-{name}" if self.profile else name
            if self.remote:
                file = await self._kept_file(name, response.content, owner)
            else:
                file = await to_thread.run_sync(partial(save_result, self.settings.files_dir, name, response.content))
            answered = replace(answered, file=file, beside={**beside, **({SIMULATED: True} if self.simulated else {})})
        shaped = await shaped_aside(answered, size)
        raw = None if shaped.whole is None else await self.kept.keep(owner, shaped.whole)
        if isinstance(file, KeptFile):
            raw = file.uri
        extra = {"request_id": response.request_id or None, "raw": raw}
        # After a change what rules go by may be another thing.
        advising = replace(self, known=nothing_known) if operation.changes else self
        result = advising.advised(shaped.result)
        return result.model_copy(update={key: value for key, value in extra.items() if value is not None})

    async def _kept_file(self, name: str, content: bytes, owner: str) -> "KeptFile":
        """Keep a file for who called, on another machine, as they keep answers: no path here is of use to them."""
        from ap_mcp.files import KeptFile  # noqa: PLC0415 - no start waits for what only answers need
        from ap_mcp.response_store import as_data  # noqa: PLC0415 - likewise

        uri = await self.kept.keep(owner, await to_thread.run_sync(as_data, content))
        if uri is None:
            said = f"{name} ({len(content)} bytes) is too large to be kept for a read over HTTP."
            raise FileRefused(f"{said} Somebody can fetch it with ap-mcp on the machine where it is needed.")
        return KeptFile(uri, len(content), sha256(content).hexdigest())

    def advised(self, result: Result) -> Result:
        """Return a result whose next calls are offered and no rule forbids, and say so if a person is asked first.

        What a rule says that goes by a cluster of which nothing was read is learnt when the call is made.
        """
        offered = [
            self._asking(each)
            for each in result.next
            if self._offers(each.tool, each.arguments.get("kind")) and not self._is_closed(each)
        ]
        return result if offered == result.next else result.model_copy(update={"next": offered})

    def _offers(self, tool: str, kind: Any) -> bool:
        return kind in self.kinds if tool == WAIT_FOR else tool in self.tools

    def _asking(self, call: NextCall) -> NextCall:
        if not self._is_guarded(call):
            return call
        said = SWITCHED_OFF if self.mode == DENY else ASKS
        return call.model_copy(update={"why": f"{call.why} ({said})"})

    def _is_closed(self, call: NextCall) -> bool:
        """Say whether the policy refuses a call, as far as that is known of its cluster, so that it leads nowhere."""
        if not self.policy.rules:
            return False
        try:
            subject = self.tools[call.tool].subject(call.arguments)
            cluster = call.arguments.get(CLUSTER)
            facts = self.known(cluster) if subject.on_cluster and isinstance(cluster, str) else None
            subject = subject if facts is None else with_facts(subject, cluster, facts)
            decision = decide(subject, self.policy)
        except CallRefused:
            return False
        if not isinstance(decision, Refuse) or decision.rule is None:
            return False
        return not decision.rule.about_clusters or subject.cluster is not None

    def _is_guarded(self, call: NextCall) -> bool:
        operation = self.operations.get(call.tool)
        if operation is None:
            return False
        try:
            return effect_of(subject_of(operation, call.arguments), self.policy) in GUARDED
        except CallRefused:
            return True


def owner_of(principal: str, profile: str) -> str:
    """Return whose a kept answer is: of a principal, as long as they have the profile that it came from."""
    return json.dumps([principal, profile]) if profile else principal


def _file_name(operation: Operation, given: Mapping[str, Any], response: "CloudResponse") -> str:
    disposition = response.headers.get("content-disposition", "")
    if match := re.search(r'filename="?([^";]+)"?', disposition):
        return match[1]
    of = next((str(given[name]) for name in operation.arguments if name in given), "answer")
    return f"{of}-{operation.file_name}"
