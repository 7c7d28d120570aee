"""Shapes answers for agents: the name of a summary in the specs leads to a pure function here."""

import logging
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

from ap_mcp.rules.wait_hints import WAIT_FOR, wait_hint
from ap_mcp.summaries.base import NextCall, Observation, Result, Summariser
from ap_mcp.wording import plural

__all__ = [
    "KINDS",
    "NextCall",
    "Observation",
    "Result",
    "registry",
    "result_type",
    "summarise",
    "summariser_of",
    "summarisers",
]

KINDS: Mapping[str, tuple[str, ...]] = {
    "addon_templates": ("addon_templates",),
    "addons": ("addons", "addon", "addon_change", "addon_deletion"),
    "charts": (
        *("chart_list", "chart", "chart_change", "chart_values", "chart_archive", "chart_deletion", "chart_quota"),
    ),
    "checks": ("precheck", "prechecks", "postcheck"),
    "cluster_access": ("cluster_certificate", "cluster_endpoints", "cluster_public_access"),
    "clusters": ("cluster_list", "cluster", "cluster_update", "cluster_creation", "cluster_deletion"),
    "configuration": ("log_config", "feature_gates"),
    "job_records": ("job_records", "job_record"),
    "jobs": ("job",),
    "maintenance": ("maintenance_window", "maintenance_window_deletion", "upgrade_plans", "upgrade_plan"),
    "plain": ("plain",),
    "quotas": ("quotas",),
    "releases": ("release_list", "release", "release_change", "release_deletion", "release_history"),
    "tags": ("tags",),
    "upgrade_workflows": ("upgrade_workflow", "upgrade_workflows"),
    "upgrades": (
        *("upgrade_started", "upgrade_task", "upgrade_tasks", "upgrade_retried", "backup_started", "backups"),
        *("upgrade_info", "upgrade_paths", "upgrade_feature_gates"),
    ),
}
"""What each module of this package shapes; it is imported for the first answer of these kinds."""

logger = logging.getLogger(__name__)


def registry(*modules: Any) -> Mapping[str, Summariser[Result]]:
    """Return the summarisers of some modules by their kind.

    Raises:
        TypeError: two are for one kind.
    """
    found: dict[str, Summariser[Result]] = {}
    for module in modules:
        for each in vars(module).values():
            if isinstance(each, Summariser) and found.setdefault(each.kind, each) is not each:
                raise TypeError(f"Two summarisers are for {each.kind!r}; give one of them another kind.")
    return MappingProxyType(found)


@cache
def summarisers() -> Mapping[str, Summariser[Result]]:
    """Return every summariser by its kind."""
    return registry(*(_module(name) for name in KINDS))


@cache
def summariser_of(kind: str) -> Summariser[Result] | None:
    """Return the summariser of a kind, and import no other; None if there is none."""
    name = next((module for module, kinds in KINDS.items() if kind in kinds), None)
    return None if name is None else registry(_module(name))[kind]


def result_type(kind: str) -> type[Result]:
    """Return the type of the results of a kind.

    Raises:
        KeyError: no summariser is of this kind.
    """
    summariser = summariser_of(kind)
    if summariser is None:
        raise KeyError(kind)
    return summariser.result


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")


def summarise(answer: Observation) -> Result:
    """Shape an answer, and propose the wait for the end of what it is about, if that is still to come.

    A call is not proposed if an id that it needs was not reported.
    """
    result = _shaped(answer)
    sendable = [each for each in result.next if "" not in each.arguments.values()]
    result = result if sendable == result.next else result.model_copy(update={"next": sendable})
    hint = wait_hint(answer.operation, answer.arguments, answer.body)
    if hint is None:
        return result
    call = NextCall(tool=WAIT_FOR, arguments=dict(hint.arguments), why=hint.why)
    return result.model_copy(update={"next": [call, *result.next]})


def _shaped(answer: Observation) -> Result:
    """Shape an answer; one that its summariser cannot read is shown as it came, never lost."""
    from ap_mcp.rules.answers import no_objects  # noqa: PLC0415 - not needed before the first answer
    from ap_mcp.summaries.pages import whole  # noqa: PLC0415 - likewise

    summariser = summariser_of(answer.operation.summary)
    if summariser is None:
        return _unread(answer, "nothing here knows how to shape it")
    if answer.file is None and (why := _unreadable(answer, summariser)):
        return _unread(answer, why)
    try:
        result = whole(answer, summariser(answer))
    except Exception as error:  # noqa: BLE001 - whatever fails on an unexpected answer, the answer itself must arrive
        logger.warning("Summary %s failed on %s: %s", summariser.kind, answer.operation.id, _where(error))
        return _unread(answer, "in a form this tool does not know")
    lost = no_objects(_listed(answer, summariser)) if answer.file is None else 0
    if not lost:
        return result
    said = f"{plural(lost, 'entry', 'entries')} of the list could not be read: neither shown nor counted here."
    return result.model_copy(update={"warnings": [*result.warnings, said]})


def _unreadable(answer: Observation, summariser: Summariser[Result]) -> str:
    """Say why an answer cannot be read; empty if it can."""
    from ap_mcp.rules.answers import is_foreign, no_objects  # noqa: PLC0415 - not needed before the first answer

    section, body = summariser.section, answer.body
    listed = _listed(answer, summariser)
    if not isinstance(body, summariser.accepts):
        return f"with {_form(body)} where something else was expected"
    if is_foreign(answer.operation, body):
        return "with nothing in it that such an answer holds"
    if isinstance(body, dict) and section and section not in body:
        return f"without {section}, so that nothing is known of them"
    operation = answer.operation
    fields = operation.follow(operation.response).get("properties", {}) if operation.response else {}
    of_objects = fields.get(section, {}).get("type") == "array"
    if of_objects and isinstance(listed, (str, int, float)):
        return f"with {_form(listed)} for {section}"
    no_things = of_objects and isinstance(listed, list) and listed and no_objects(listed) == len(listed)
    return "with a list of what are no objects" if no_things else ""


def _listed(answer: Observation, summariser: Summariser[Result]) -> Any:
    """Return what an answer is about: the field of it that the summariser names, or all of it."""
    return answer.body.get(summariser.section) if summariser.section and isinstance(answer.body, dict) else answer.body


def _unread(answer: Observation, why: str) -> Result:
    from ap_mcp.summaries import plain  # noqa: PLC0415 - hardly any answer is shown as it came

    return plain.unread(answer, why)


def _form(body: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(body), "a bare value")


def _where(error: Exception) -> str:
    """Name an error and its line; its text may hold values of the answer and stays out of the log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return type(error).__name__ + place
