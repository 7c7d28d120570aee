"""Containers that cannot be made, or end when they should run: configuration, crashes, memory, a liveness probe."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.containers import events_about, log_call, log_of
from ap_mcp.kubernetes.diagnose.evidence import LASTS, Evidence
from ap_mcp.kubernetes.diagnose.logs import (
    NO_INTERPRETER,
    NO_LIBRARY,
    UNRESOLVED,
    meaning_of,
    said_in_log,
    telling_line,
)
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, named_in, thing_of
from ap_mcp.kubernetes.diagnose.rules_probes import repairs, wrong_port
from ap_mcp.kubernetes.events import event_text
from ap_mcp.kubernetes.owners import controller_of
from ap_mcp.kubernetes.pods import COMPLETED, CRASH_LOOP, NOT_REPORTED, Container, End, containers_of, is_terminating
from ap_mcp.summaries.base import NextCall
from ap_mcp.vendor import get, moment, number, quoted, text, word
from ap_mcp.wording import few, plural, span

DNS = Thing("Deployment", "kube-system", "coredns")
CONFIG = ("CreateContainerConfigError",)
NOT_MADE = ("CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun", "PostStartHookError")
HOOKS = ("FailedPostStartHook",)
OOM, CANNOT_RUN = "OOMKilled", ("ContainerCannotRun", "StartError")
_MISSING = re.compile(r'(?P<kind>secret|configmap) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<where>\S+)")
_ROOT = re.compile(r"runAsNonRoot")
_BY_PROBE = re.compile(r"failed (?P<probe>liveness|startup) probe")
_NO_COMMAND = re.compile(
    r"executable file not found|no such file or directory|no command specified|not found in \$PATH", re.IGNORECASE
)
_NO_RIGHT = re.compile(r"permission denied", re.IGNORECASE)
_FORMAT = re.compile(r"exec format error", re.IGNORECASE)
_EXEC = re.compile(r'exec:? "?(?P<command>[^":]+)"?:')
_CODES = {
    126: "the command cannot be executed",
    127: "there is no such command",
    134: "it aborts itself",
    137: "it is killed from outside (SIGKILL)",
    139: "it crashes in native code (SIGSEGV)",
    143: "it is asked from outside to end (SIGTERM)",
}
"""What exit codes mean by convention."""
QUICK = timedelta(minutes=10)
AT_ONCE = 2.0
_GRACE = 30
"""Seconds that a container which is killed has to end."""
OFTEN = 3
"""Restarts from which on a container that runs again is worth a word."""
SIZES = "Autopilot rounds a pod up to a size that it bills: 0.25 vCPU goes with 0.5, 1 or 2 GiB"


def containers_that_end(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find containers of a pod that cannot be made, or that end again and again."""
    phase, ended_from_outside = text(get(pod, "/status/phase")), get(pod, "/status/reason")
    if is_terminating(pod) or phase == "Succeeded" or (phase == "Failed" and ended_from_outside):
        return
    for container in containers_of(pod):
        if container.reason in CONFIG:
            yield _misconfigured(evidence, container)
        elif container.reason in NOT_MADE or container.reason.startswith("PostStartHookError"):
            yield _not_made(evidence, container, container.message or container.reason)
        elif _ends(evidence, container):
            yield _ended(evidence, container)


def _ends(evidence: Evidence, container: Container) -> bool:
    """Say whether a container ends although it should run: it waits for another start, has failed, or did lately."""
    ended = container.ended
    if container.reason == CRASH_LOOP:
        return True
    if ended is None or (
        get(controller_of(container.pod), "/kind") == "Job"
        and not container.is_init
        and not container.reason
        and not container.is_running
    ):
        return False
    code = ended.code
    if container.end is not None:
        if ended.reason == COMPLETED or code == 0:
            return False
        return not (container.is_init and container.ready)
    lately = ended.at is not None and evidence.at - ended.at <= LASTS
    if container.is_running and container.ready:
        killed = ended.reason == OOM or _killing(evidence, container) is not None
        return lately and container.restarts > 0 and (killed or (container.restarts >= OFTEN and code != 0))
    return lately and container.restarts > 0 and (code != 0 or _killing(evidence, container) is not None)


def _misconfigured(evidence: Evidence, container: Container) -> Finding:
    message = container.message or next(map(event_text, events_about(evidence, container, "Failed")), "")
    namespace, calls = thing_of(container.pod).namespace, list[NextCall]()
    fault = "config_missing"
    if match := _MISSING.search(message):
        kind = "Secret" if match["kind"].lower() == "secret" else "ConfigMap"
        what = f"waits for {kind} {word(match['name'])}, which does not exist in {word(namespace)}"
        calls.append(
            evidence.call(
                "k8s_list",
                "shows which there are; create it, or refer to it as optional",
                kind=kind.lower(),
                namespace=namespace,
            )
        )
    elif match := _NO_KEY.search(message):
        name = match["where"].rpartition("/")[2]
        what = f"waits for the key {word(match['key'])}, which {match['kind']} {word(name)} does not have"
        calls.append(evidence.show(Thing(match["kind"], namespace, name), "shows the keys that it has"))
    elif _ROOT.search(message):
        fault, why = "runs_as_root", "its image runs as root, or as a user without a number"
        what = f"is not started: the pod asks for runAsNonRoot, and {why}: {quoted(message)}"
    else:
        fault, what = "config", f"cannot be made: {quoted(message) if message else 'its configuration is not accepted'}"
    return _finding(evidence, container, fault, what, (_waiting(container, message),), *calls)


def _not_made(evidence: Evidence, container: Container, message: str) -> Finding:
    ended_with = (container.ended or NOT_REPORTED).message
    events = events_about(evidence, container, *HOOKS) if "Hook" in container.reason else []
    message_given = next(map(event_text, events), "") or message
    said = ended_with if len(message_given) < len("failed to start") and ended_with else message_given
    fault, what = _not_started(said, container.reason)
    facts = (_waiting(container, message), *(evidence.event(each) for each in events[:1]))
    return _finding(evidence, container, fault, what, facts)


def _not_started(said: str, reason: str) -> tuple[str, str]:
    """Return the fault and the sentence for a container that the runtime cannot start."""
    if "PostStartHook" in reason:
        return "hook", f"is ended again: its postStart hook fails: {quoted(said)}"
    command = _EXEC.search(said)
    which = f" {quoted(command['command'], 100)}" if command else ""
    if "error mounting" in said:
        return "not_started", f"cannot be started: a volume does not fit where it is mounted: {quoted(_end(said))}"
    if _FORMAT.search(said):
        return "image_platform", f"cannot be started: the image is built for another processor: {quoted(_end(said))}"
    if _NO_COMMAND.search(said):
        return "command_missing", f"cannot be started: its image has no such command{which}: {quoted(_end(said))}"
    if _NO_RIGHT.search(said):
        return "command_refused", f"cannot be started: its command{which} cannot be executed: {quoted(_end(said))}"
    return "not_started", f"cannot be started: {quoted(_end(said)) if said else word(reason)}"


def _ended(evidence: Evidence, container: Container) -> Finding:
    ended = container.ended or NOT_REPORTED
    reason, code = ended.reason, ended.code
    killing = _killing(evidence, container)
    last = f"exitCode={'not reported' if code is None else code}, reason={word(reason or 'not reported')}"
    facts = [f"pod {named_in(container.pod)}: {container.said} restartCount={container.restarts}, last end: {last}"]
    times = f"{plural(container.restarts, 'restart')}"
    if reason == OOM:
        limit = text(get(container.spec, "/resources/limits/memory"))
        allowed = (
            f"its limit is {word(limit)}" if limit else "it has no limit of its own, so that of the pod or node counts"
        )
        count = (
            f"{container.restarts} times"
            if container.restarts > 1
            else "once"
            if container.restarts
            else "and not started again"
        )
        what = f"was killed for memory {count}; {allowed}"
        calls = [
            evidence.show(
                evidence.workload_of(container.pod), f"shows requests and limits to raise with k8s_patch ({SIZES})"
            )
        ]
        return _finding(evidence, container, "memory", what, facts, *calls)
    if killing is not None:
        kind = "startup" if "tartup" in event_text(killing) else "liveness"
        probes = [each for each in events_about(evidence, container, "Unhealthy") if kind in event_text(each).lower()]
        why = f": {quoted(event_text(probes[0]))}" if probes else ""
        facts += [evidence.event(killing), *(evidence.event(each) for each in probes[:1])][
            : 2 if killing not in probes else 1
        ]
        probe = get(container.spec, f"/{kind}Probe")
        asks = wrong_port(container, probe, event_text(probes[0]) if probes else "")
        slow = "" if asks else _begins_slowly(ended, probe, why)
        what = f"is killed by its own {kind} probe, {times}{f': it asks {asks}' if asks else why}{slow}"
        about = evidence.workload_of(container.pod)
        calls = [
            *(repairs(evidence, about, container, kind) if asks else ()),
            evidence.show(about, f"shows the {kind} probe: its port, path, delays and timeout"),
        ]
        return _finding(evidence, container, f"{kind}_probe", what, facts, *calls, log=True)
    for event in events_about(evidence, container, *HOOKS)[:1]:
        facts.append(evidence.event(event))
        what = f"is ended again, {times}: its postStart hook fails: {quoted(event_text(event))}"
        return _finding(evidence, container, "hook", what, facts)
    message = ended.message
    if reason in CANNOT_RUN:
        facts += [f"lastState.terminated.message: {quoted(message)}"] if message else []
        fault, what = _not_started(message, reason)
        return _finding(evidence, container, fault, f"{what}, {times}", facts)
    return _crashed(evidence, container, facts, times, message)


def _begins_slowly(ended: End, probe: Any, said: str) -> str:
    """Return that a probe kills a container before it has begun to listen; empty if it ran for longer."""
    delay, period, times = (
        number(get(probe, f"/{key}", usual)) or usual
        for key, usual in (("initialDelaySeconds", 0), ("periodSeconds", 10), ("failureThreshold", 3))
    )
    allowed = delay + period * times
    if "connection refused" not in said or ended.lasted is None or ended.lasted > allowed + period + _GRACE:
        return ""
    return f"; it is killed before it listens, and has {span(allowed)} for that: a startupProbe gives it more"


def _crashed(evidence: Evidence, container: Container, facts: list[str], times: str, message: str) -> Finding:
    ended = container.ended or NOT_REPORTED
    code, lasted = ended.code, ended.lasted
    log = evidence.logs.get(log_of(container))
    line = telling_line(log or "")
    after = "" if lasted is None else " at once" if lasted < AT_ONCE else f", {span(lasted)} after its start"
    if code is None:
        how = "ends again and again"
    elif code == 0:
        keeps = f"without an error (code 0), though a {evidence.workload_of(container.pod).kind} must keep running"
        how = f"ends{after} and is started again" if container.is_init else f"ends by itself{after} {keeps}"
    else:
        # A shell, or a loader, ends with the same codes for other reasons, and says so.
        said_otherwise = code in (126, 127) and meaning_of(line)
        meaning = f" ({_CODES[code]})" if code in _CODES and not said_otherwise else ""
        how = f"ends with code {code}{meaning}{after}"
    said = said_in_log(log) or (f": {quoted(message)}" if message else "")
    if line:
        run = ", previous run" if log_of(container).previous else ""
        facts.append(f"log of pod {word(log_of(container).pod)}, container {word(container.name)}{run}")
    fault = _fault_of(code, line or message)
    unresolved = frozenset({DNS}) if meaning_of(line) == UNRESOLVED else frozenset[Thing]()
    about = evidence.workload_of(container.pod)
    calls = [log_call(evidence, log_of(container), "shows what it wrote"), *evidence.undo(about)]
    return _finding(evidence, container, fault, f"{how}, {times}{said}", facts, *calls, log=True, after=unresolved)


def _fault_of(code: int | None, line: str) -> str:
    """Return the fault that a crash is, by what its log says, or else by the code that it ends with."""
    if _FORMAT.search(line):
        return "image_platform"
    by_log = {NO_LIBRARY: "crash", NO_INTERPRETER: "command_missing"}.get(meaning_of(line))
    return by_log or {126: "command_refused", 127: "command_missing"}.get(code or 0, "crash")


def _killing(evidence: Evidence, container: Container) -> Any:
    """Return the event that a container was killed by a probe of its own; None if there is none."""
    if container.restarts == 0:
        return None
    for each in events_about(evidence, container, "Killing", "Unhealthy"):
        said = event_text(each)
        if text(get(each, "/reason")) == "Killing":
            if _BY_PROBE.search(said) and (f" {container.name} " in f"{said} "):
                return each
        elif said.startswith(("Liveness", "Startup")) and (container.ended or NOT_REPORTED).code in (137, 143):
            return each
    return None


def _finding(
    evidence: Evidence,
    container: Container,
    fault: str,
    what: str,
    facts: Sequence[str],
    *calls: NextCall,
    log: bool = False,
    after: frozenset[Thing] = frozenset(),
) -> Finding:
    pod = container.pod
    about = evidence.workload_of(pod)
    began = moment(get(pod, "/status/startTime")) or moment(get(pod, "/metadata/creationTimestamp"))
    return Finding(
        fault,
        about,
        f"{container.said} {what}",
        tuple(facts),
        evidence.gravity_of(about),
        began,
        (thing_of(pod).name,),
        calls or (evidence.show(about, "shows the pod template"),),
        after=after,
        log=log_of(container) if log else None,
        part=container.name,
    )


def _waiting(container: Container, message: str) -> str:
    said = f": {quoted(message)}" if message else ""
    return f"pod {named_in(container.pod)}: {container.said} state.waiting.reason={word(container.reason)}{said}"


def _end(said: str) -> str:
    """Return the end of a chain of errors, where the cause stands."""
    return ": ".join(re.split(r": ", said)[-3:])


def failed_pods(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find pods that were ended from outside: evicted, lost with their node, not admitted by it, or out of time."""
    phase, reason = text(get(pod, "/status/phase")), text(get(pod, "/status/reason"), 60)
    if phase == "Unknown" or reason == "NodeLost":
        about = evidence.workload_of(pod)
        node = text(get(pod, "/spec/nodeName"))
        what = f"is not known to live: its node {word(node)} does not report"
        yield Finding(
            "node_lost",
            about,
            what,
            (f"pod {named_in(pod)}: status.phase={word(phase)}",),
            evidence.gravity_of(about),
            None,
            (thing_of(pod).name,),
            (evidence.show(Thing("Node", "", node), "shows how it is"),),
            after=frozenset({Thing("Node", "", node)}),
        )
        return
    if phase != "Failed" or not reason or is_terminating(pod):
        return
    about, message = evidence.workload_of(pod), text(get(pod, "/status/message"), 2000)
    if about.kind == "Job":
        return
    times = [
        moment(get(each, "/lastTransitionTime"))
        for each in get(pod, "/status/conditions") or []
        if get(each, "/type") in ("DisruptionTarget", "Ready")
    ]
    began = max(filter(None, times), default=None) or moment(get(pod, "/status/startTime"))
    ready = evidence.ready(about)
    if ready is not None and ready[0] >= ready[1] and (began is None or evidence.at - began > LASTS):
        return
    known = {"Evicted": "evicted", "DeadlineExceeded": "out_of_time"}
    what = {"Evicted": "was evicted", "DeadlineExceeded": "ran longer than activeDeadlineSeconds allows"}.get(
        reason, f"was ended by its node ({word(reason)})"
    )
    because = f": {quoted(message)}" if message else ""
    gravity = evidence.gravity_of(about) if ready is not None else "warning"
    fact = f"pod {named_in(pod)}: status.phase=Failed, reason={word(reason)}"
    yield Finding(
        known.get(reason, "ended_by_node"),
        about,
        f"{what}{because}",
        (fact,),
        gravity,
        began,
        (thing_of(pod).name,),
        (evidence.show(about, "shows requests and limits"),),
    )


def stuck_pods(evidence: Evidence, pod: Any) -> Iterator[Finding]:
    """Find pods that are being deleted and stay."""
    due = moment(get(pod, "/metadata/deletionTimestamp"))
    if due is None or evidence.at - due < timedelta(minutes=1):
        return
    about, held = evidence.workload_of(pod), get(pod, "/metadata/finalizers")
    names = [word(each) for each in held] if isinstance(held, list) else []
    hooks = evidence.events_of(pod, "Pod", "FailedPreStopHook", "FailedKillPod")
    node = Thing("Node", "", text(get(pod, "/spec/nodeName")))
    if names:
        why = f"its finalizers hold it ({few(names)}), which whoever set them must take away"
    elif hooks:
        why = quoted(event_text(hooks[0]))
    else:
        why = f"its node {word(node.name)} does not report that it has ended"
    facts = (
        f"pod {named_in(pod)}: metadata.deletionTimestamp passed {span(evidence.at - due)} ago",
        *(evidence.event(each) for each in hooks[:1]),
    )
    calls = (evidence.show(thing_of(pod, "Pod"), "shows its finalizers and who set them"),)
    yield Finding(
        "pod_terminating",
        about,
        f"has a pod that is being deleted and stays: {why}",
        facts,
        "warning",
        due,
        (thing_of(pod).name,),
        calls,
        after=frozenset({node}),
    )
