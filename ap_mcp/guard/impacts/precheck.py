"""Which pre-upgrade check allows an upgrade, or why none does."""

from collections.abc import Sequence
from typing import Any

from ap_mcp.guard.impacts.base import Case, refused
from ap_mcp.rules.phases import PRECHECK
from ap_mcp.rules.upgrades import FAILED, RUNNING, Way, judge_checks, verdict_of
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.vendor import get, moment, text, word
from ap_mcp.wording import age


def passed_check(case: Case, every: Sequence[Any], now: str, target: str, offered: list[str]) -> Any:
    """Return the pre-upgrade check that allows an upgrade; the newest one for it decides.

    Args:
        case: the call.
        every: the checks of the cluster.
        now: the version the cluster runs.
        target: the version it is to have.
        offered: all versions it could have.

    Raises:
        CallRefused: none passed, or it has expired, or it is for something else; it says what to run.
    """
    run = f'First: run_precheck(cluster_id="{word(case.cluster_id)}", target_version="{word(target)}").'
    judged = judge_checks(every, Way(case.cluster_id, now, target, offered), case.now)
    if judged.state == "none":
        known = f"; passed ones are for other versions: {', '.join(map(word, judged.others))}" if judged.others else ""
        raise refused(f"there is no pre-upgrade check from {word(now)} to {word(target)}{known}", run)
    named = {"cluster_id": case.cluster_id, "task_id": text(get(judged.check, "/metadata/uid"))}
    task = "get_precheck({})".format(", ".join(f'{name}="{word(value)}"' for name, value in named.items()))
    way = f"the newest pre-upgrade check from {word(now)} to {word(target)}"
    if judged.state == RUNNING:
        raise refused(f"{way} is still running", how_to_wait("get_precheck", judged.check, **named))
    if judged.state == "not passed":
        state = verdict_of(text(get(judged.check, "/status/phase")), PRECHECK)
        said = "did not pass" if state == FAILED else f"is {word(state)}"
        raise refused(f"{way} {said}", f"{task} says why. {run}")
    if judged.state == "undated":
        raise refused(f"{way} does not say until when it counts", run)
    if judged.state == "expired":
        raise refused(f"{way} expired {age(moment(get(judged.check, '/status/expireTimeStamp')), case.now)} ago", run)
    return judged.check
