"""Reads whatever may need attention, some at once, and hands it to the searches; `problems.report` puts it together."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import anyio

from ap_mcp.errors import ApMcpError
from ap_mcp.masking import mask
from ap_mcp.parallel_reads import Reader, why_unread
from ap_mcp.problems.account import about_jobs, about_quotas
from ap_mcp.problems.inside import LOOKS
from ap_mcp.problems.model import CLUSTER as A_CLUSTER
from ap_mcp.problems.model import Found, Look, Place, ProblemList, Tally, Trouble
from ap_mcp.problems.report import folded, report
from ap_mcp.rules.answers import NOT_UNDERSTOOD, is_foreign
from ap_mcp.rules.clusters import phase_of
from ap_mcp.rules.phases import CLUSTER as PHASES
from ap_mcp.rules.phases import succeeded, verdict
from ap_mcp.specs import load_catalog
from ap_mcp.specs.waits import DELETING
from ap_mcp.vendor import get, items, text

JOBS, QUOTAS = "list_jobs", ("get_quotas", "get_chart_quota")
AT_ONCE = 8
"""Reads under way at a time."""
MOST = 40
"""Clusters that are checked in one call."""

Report = Callable[[float, float, str], Awaitable[None]]
"""Is given how many clusters were checked, of how many, and which was the last."""


async def list_problems(
    cluster_id: str | None,
    read: Reader,
    now: Callable[[], datetime],
    progress: Report,
    looks: Sequence[Look] = LOOKS,
) -> ProblemList:
    """Search for problems in one cluster, or in the whole account.

    Args:
        cluster_id: the cluster; None for all of them.
        read: reads from the cloud, if the policy allows that.
        now: the service's time.
        progress: takes how far it is.
        looks: the searches in each cluster.

    Raises:
        ApMcpError: the cluster, or the list of clusters, cannot be read.
    """
    search = _Search(read, now, progress, looks)
    if cluster_id is not None:
        bodies, of_account = [mask(await read("get_cluster", cluster_id=cluster_id))], [JOBS]
    else:
        bodies = sorted(items(mask(await read("list_clusters")), "/items"), key=_need)
        of_account = [JOBS, *QUOTAS]
        search.namesakes.update(name for name, count in Counter(map(_called, bodies)).items() if count > 1)
    found = await search.into(bodies[:MOST], of_account)
    where = search.place(bodies[0]).name if cluster_id is not None else ""
    return report(found, search.tally, where, [search.place(each).name for each in bodies[MOST:]])


class _Search:
    """One search for problems."""

    def __init__(self, read: Reader, now: Callable[[], datetime], progress: Report, looks: Sequence[Look]) -> None:
        self.tally = Tally()
        self.namesakes: set[str] = set()
        self._read, self._now, self._progress, self._looks = read, now, progress, looks
        self._room = anyio.CapacityLimiter(AT_ONCE)
        self._done = 0

    def place(self, body: Any) -> Place:
        """Return a cluster to check."""
        uid = text(get(body, "/metadata/uid"))

        async def inside(operation: str) -> Any:
            return await self._answer(operation, place.name, cluster_id=uid)

        place = Place(body, self._now(), inside, _called(body) in self.namesakes)
        return place

    async def into(self, bodies: Sequence[Any], of_account: Sequence[str]) -> list[tuple[str, Trouble]]:
        """Check clusters and the account; return what was found, each with the name of its cluster."""
        places = [self.place(body) for body in bodies]
        inside: list[list[Trouble]] = [[] for _ in places]
        answers: dict[str, Any] = {}
        self.tally.seen[A_CLUSTER] = len(places)

        async def look_into(number: int) -> None:
            inside[number] = folded(await self._look_into(places[number]))
            self._done += 1
            await self._progress(self._done, len(places), places[number].name)

        async def read_account(operation: str) -> None:
            with suppress(ApMcpError):
                answers[operation] = mask(await self._answer(operation, ""))

        async with anyio.create_task_group() as group:
            for operation in of_account:
                group.start_soon(read_account, operation)
            for number in range(len(places)):
                group.start_soon(look_into, number)
        named = {text(get(place.body, "/status/jobID")) for place in places if not succeeded(PHASES, place.phase)}
        names = {place.id: place.name for place in places}
        return [
            *((place.name, each) for place, troubles in zip(places, inside, strict=True) for each in troubles),
            *(("", each) for each in self._about_account(answers, names, named)),
        ]

    async def _look_into(self, place: Place) -> list[Trouble]:
        """Check a cluster; one that is being deleted needs no more than its own state."""
        looks = self._looks if verdict(PHASES, place.phase) != DELETING else self._looks[:1]
        found: list[Found] = [Found()] * len(looks)

        async def look(number: int) -> None:
            with suppress(ApMcpError):
                found[number] = await looks[number](place)

        async with anyio.create_task_group() as group:
            for number in range(len(looks)):
                group.start_soon(look, number)
        for each in found:
            self.tally.seen.update(each.seen)
            self.tally.unread.update({(place.name, what): why for what, why in each.unread.items()})
        return [trouble for each in found for trouble in each.troubles]

    def _about_account(self, answers: Mapping[str, Any], clusters: Mapping[str, str], named: set[str]) -> list[Trouble]:
        found = []
        if quotas := {name: answers[name] for name in QUOTAS if name in answers}:
            found.append(about_quotas(*(quotas.get(name) for name in QUOTAS)))
        if JOBS in answers:
            try:
                found.append(about_jobs(answers[JOBS], clusters, self._now(), named))
            except LookupError as error:
                self.tally.unread["", JOBS] = str(error)
        for each in found:
            self.tally.seen.update(each.seen)
        return [trouble for each in found for trouble in each.troubles]

    async def _answer(self, operation: str, cluster: str, **arguments: Any) -> Any:
        """Read; if that fails, note why.

        Raises:
            ApMcpError: it cannot be read.
        """
        try:
            async with self._room:
                answer = await self._read(operation, **arguments)
        except ApMcpError as error:
            self.tally.unread[cluster, operation] = why_unread(error)
            raise
        if operation != JOBS and is_foreign(load_catalog()[operation], answer):  # jobs say it in their own words
            self.tally.unread[cluster, operation] = NOT_UNDERSTOOD
            raise ApMcpError(NOT_UNDERSTOOD)
        return answer


def _called(body: Any) -> str:
    return text(get(body, "/metadata/name"))


def _need(body: Any) -> tuple[bool, str]:
    """Order clusters so that those which do not work are checked first."""
    return succeeded(PHASES, phase_of(body)), _called(body)
