"""Waits for what happens inside a cluster: a rollout, a Job, pods that get ready; what ends badly is diagnosed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ap_mcp.errors import ApMcpError, CallRefused, NotFound, Problem
from ap_mcp.kubernetes.api import ClusterApi, cluster_api
from ap_mcp.kubernetes.diagnose.answer import diagnosed, sentence
from ap_mcp.kubernetes.diagnose.model import Thing, is_set
from ap_mcp.kubernetes.diagnose.reading import named_object, resource_of
from ap_mcp.kubernetes.kinds import chosen
from ap_mcp.kubernetes.pods import serves
from ap_mcp.kubernetes.results import WAITED
from ap_mcp.kubernetes.rollouts import KINDS, rollout_of
from ap_mcp.kubernetes.spec import Resource, known_kinds
from ap_mcp.specs import CLUSTER
from ap_mcp.summaries.base import Ours, Result
from ap_mcp.vendor import flag, get, items, number, quoted, text, word
from ap_mcp.wait import USUAL, WAIT_FOR
from ap_mcp.wait.clocks import Clocks
from ap_mcp.wait.poller import Shown, Watch
from ap_mcp.wait.result import waited
from ap_mcp.wait.targets import RUNNING, WaitVerdict
from ap_mcp.wording import plural

if TYPE_CHECKING:
    from ap_mcp.kubernetes.discovery import KnownKinds
    from ap_mcp.plans import ToolContext

ROLLOUT, JOB, PODS = "rollout", "k8s_job", "pods_ready"
INTERVAL = 8.0
LATE = 20.0
"""Seconds after which what still goes on is diagnosed too: perhaps it never ends."""
WHOLE = 100.0


class Progress(Result):
    """How far something inside a cluster is; where it does not get on, what the diagnosis says first."""

    ready: int | None = None
    wanted: int | None = None
    updated: int | None = None
    cause: Ours | None = None
    evidence: list[Ours] | None = None


def meant(kind: Any) -> Iterator[Problem]:
    """Say what to wait for instead of an object of a kind, as of a Deployment; nothing of any other word."""
    with suppress(CallRefused):
        resource = chosen(str(kind), known_kinds())
        if awaited := WAITED.get(resource.full):
            yield Problem("kind", f"for a {resource.kind} it is {awaited}, with id {resource.kind.lower()}/NAME")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one read showed: an object, or the pods that a selector selects."""

    body: Any


@dataclass(frozen=True, slots=True)
class Step:
    """How far a thing is.

    Attributes:
        sentence: with its subject, without its stop.
        verdict: whether that is the end.
        ready: pods, or finished tries of a Job.
        wanted: of how many.
        updated: pods of the newest version, where that is known.
    """

    sentence: str
    verdict: WaitVerdict
    ready: int = 0
    wanted: int = 0
    updated: int | None = None

    @property
    def percent(self) -> float | None:
        """The share of what is wanted."""
        done = self.ready if self.updated is None else self.ready + self.updated
        return WHOLE * done / (self.wanted * (1 if self.updated is None else 2)) if self.wanted else None


@dataclass(frozen=True, slots=True)
class Inside:
    """What a call waits for inside a cluster.

    Attributes:
        given: the arguments of the call.
        thing: the object; of pods, the namespace they are in.
        selector: of the pods; empty if one object is waited for.
    """

    given: Mapping[str, Any]
    thing: Thing
    selector: str = ""

    @property
    def kind(self) -> str:
        """The kind of thing, as `wait_for` has it."""
        return str(self.given["kind"])

    @property
    def name(self) -> str:
        """The thing in a sentence."""
        return f"pods {quoted(self.selector)} in {word(self.thing.namespace)}" if self.selector else str(self.thing)

    @property
    def operation(self) -> str:
        """The name of the read, by which an error says what was missing."""
        return WAIT_FOR

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the read."""
        return self.given

    @property
    def interval(self) -> float:
        """The longest pause between two reads, in seconds."""
        return INTERVAL

    @property
    def seconds(self) -> float:
        """How long to wait at most."""
        return float(self.given.get("wait_s", USUAL))

    @property
    def until_deleted(self) -> bool:
        """Whether the end is that it no longer exists: never, here."""
        return False

    def verdict(self, body: Any, *, was_deleting: bool = False) -> WaitVerdict:
        """Judge an answer."""
        del was_deleting
        return self.step(body).verdict

    def is_being_deleted(self, body: Any) -> bool:
        """Say whether an answer shows the thing while it is being deleted."""
        return get(body, "/metadata/deletionTimestamp") is not None

    def is_running(self, body: Any) -> bool:
        """Say whether something is under way: always, for what objects report is read as it is."""
        del body
        return True

    @property
    def can_be_deleted(self) -> bool:
        """Whether a call can wait until it is deleted: not here."""
        return False

    def instead(self, body: Any = None) -> "Inside | None":
        """Return what to wait for if it is forgotten: nothing is."""
        del body
        return None

    def explained(self, error: NotFound) -> NotFound:
        """Add to an error, that there is no such thing, what can be done about it: the cluster has said so."""
        return error

    def step(self, body: Any) -> Step:
        """Say how far the thing is."""
        if self.kind == JOB:
            return _of_job(self.name, body)
        if self.selector:
            return _of_pods(self.name, items(body, "/items"))
        if self.thing.kind == "Pod":
            return _of_pods(self.name, [body])
        return _of_workload(self.name, self.thing.kind, body, ready_only=self.kind == PODS)


def _of_workload(name: str, kind: str, body: Any, *, ready_only: bool) -> Step:
    """Say how far a workload is: by its rollout, or by its ready pods alone."""
    rollout = rollout_of(kind, body)
    if rollout is None:
        wanted, have = (int(number(get(body, each)) or 0) for each in ("/spec/replicas", "/status/readyReplicas"))
        return Step(
            f"{name}: {have} of {plural(wanted, 'pod')} ready", "succeeded" if have >= wanted else RUNNING, have, wanted
        )
    ready, wanted, why = rollout.ready, rollout.wanted, f", {rollout.why}" if rollout.why else ""
    said = f"{name}: {ready} of {plural(wanted, 'pod')} ready"
    if ready_only:
        done = ready >= wanted and rollout.why != "the last change is not yet acted on"
        return Step(said, "succeeded" if done else RUNNING, ready, wanted)
    verdict: WaitVerdict = RUNNING
    if rollout.is_complete:
        return Step(
            f"{said}, rollout {rollout.phase}" if wanted else f"{name} is scaled to 0",
            "succeeded",
            ready,
            wanted,
            rollout.updated,
        )
    if rollout.phase in ("stuck", "paused"):
        verdict = "failed" if rollout.phase == "stuck" else "idle"
    return Step(f"{said}, rollout {rollout.phase}{why}", verdict, ready, wanted, rollout.updated)


def _of_job(name: str, body: Any) -> Step:
    done, failed = (int(number(get(body, f"/status/{each}")) or 0) for each in ("succeeded", "failed"))
    wanted = int(number(get(body, "/spec/completions", 1)) or 1)
    if is_set(body, "Complete"):
        return Step(f"{name} is complete: {done} of {wanted} done", "succeeded", done, wanted)
    if is_set(body, "Failed"):
        return Step(f"{name} has failed after {plural(failed, 'failed pod')}", "failed", done, wanted)
    if flag(get(body, "/spec/suspend")):
        return Step(f"{name} is suspended: {done} of {wanted} done", "idle", done, wanted)
    tries = f", {plural(failed, 'pod')} failed so far" if failed else ""
    return Step(f"{name}: {done} of {wanted} done{tries}", RUNNING, done, wanted)


def _of_pods(name: str, pods: Sequence[Any]) -> Step:
    alive = [each for each in pods if text(get(each, "/status/phase")) not in ("Succeeded", "Failed")]
    ready = sum(serves(each) for each in alive)
    verdict: WaitVerdict = "succeeded" if alive and ready == len(alive) else RUNNING
    if not alive:
        return Step(f"{name}: there is none that has not ended", RUNNING)
    return Step(f"{name}: {ready} of {plural(len(alive), 'pod')} ready", verdict, ready, len(alive))


async def wait_inside(
    arguments: Mapping[str, Any], context: "ToolContext", kinds: "KnownKinds", clocks: Clocks
) -> Result:
    """Wait for something inside a cluster, and say how it ended; what does not get on is diagnosed.

    Raises:
        CallRefused: there is no such thing, or it cannot be waited for.
        ApMcpError: a rule forbids to read it, or the cluster said no.
    """
    api = await cluster_api(WAIT_FOR, arguments[CLUSTER], context.reads, kinds)
    target = await _target(api, arguments)
    resource = resource_of("Pod") if target.selector else await api.resource(target.thing.kind)

    async def poll(_: Inside) -> Seen:
        # What is read within one call is read once: each poll is a set of reads of its own.
        return Seen(await _looked(replace(api, reads=api.reads.anew()), target, resource))

    async def describe(_: Inside, seen: Seen) -> Shown:
        step = target.step(seen.body)
        return Shown(f"{step.sentence}.", step.percent)

    async def sleep(seconds: float) -> None:
        async with context.rest():
            await clocks.sleep(seconds)

    ending = await Watch(target, poll, describe, sleep, clocks.now, context.report).run()
    step = target.step(ending.seen.body if ending.seen else None)
    progress = Progress(summary=f"{step.sentence}.", ready=step.ready, wanted=step.wanted, updated=step.updated)
    if ending.verdict == "failed" or (ending.verdict == RUNNING and ending.seconds >= LATE):
        progress = await _with_cause(replace(api, reads=api.reads.anew()), target, progress)
    return context.finishing.advised(waited(target, ending, progress))


async def _looked(api: ClusterApi, target: Inside, resource: Resource) -> Any:
    if target.selector:
        return await api.list(
            resource, target.thing.namespace, query={"labelSelector": target.selector, "limit": "500"}
        )
    return await api.get(resource, target.thing.name, target.thing.namespace)


async def _target(api: ClusterApi, arguments: Mapping[str, Any]) -> Inside:
    """Find what a caller means: `cart`, `sts/db`, or pods by `app=cart`."""
    said, namespace = str(arguments["id"]), arguments.get("namespace", "")
    wanted = arguments["kind"]
    if wanted == PODS and "=" in said:
        return Inside(arguments, Thing("Namespace", namespace or "default", ""), said)
    kind, _, name = said.rpartition("/")
    among = {ROLLOUT: KINDS, JOB: ("Job",), PODS: (*KINDS, "ReplicaSet", "Pod")}[wanted]
    if kind and (resource := await api.resource(kind)).kind not in among:
        what = f"{word(resource.kind)} {word(name)}"
        raise CallRefused(f"wait_for {wanted} is for a {' or '.join(among)}; {what} is none. Nothing was sent.")
    thing, _ = await named_object(api, kind, name, namespace, among)
    return Inside({**arguments, "namespace": thing.namespace, "id": f"{thing.kind.lower()}/{thing.name}"}, thing)


async def _with_cause(api: ClusterApi, target: Inside, progress: Progress) -> Progress:
    """Add to how far a thing is what the diagnosis says first; what cannot be read adds nothing."""
    with suppress(ApMcpError):
        if target.selector:
            found = await diagnosed(api, namespace=target.thing.namespace)
        else:
            found = await diagnosed(api, target.thing.kind, target.thing.name, target.thing.namespace)
        for cause in found.causes[:1]:
            said = sentence(found.evidence, cause.finding)
            update = {
                "summary": f"{progress.summary} {said}",
                "cause": said,
                "evidence": list(cause.finding.evidence),
                "next": list(cause.finding.next),
            }
            return progress.model_copy(update=update)
    return progress
