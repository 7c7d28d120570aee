"""Shapes the catalogue of add-ons: what can be installed, in which versions, with which values."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from ap_mcp.rules.addons import runs_on, size_line
from ap_mcp.rules.versions import order
from ap_mcp.summaries.base import NextCall, Observation, Part, Result, summarises
from ap_mcp.vendor import as_object, flag, get, items, quoted, reported, strings, text, word
from ap_mcp.wording import plural

CLUSTER = "cluster_id"
_MINORS = re.compile(r"v1\\?\.\((?P<minors>\d+(?:\|\d+)*)\)(?:\.\*)?")


class TemplateLine(Part):
    """One add-on that can be installed."""

    name: str
    alias: str | None = None
    newest: str
    mandatory: bool | None = None
    clusters: str
    about: str


class TemplateVersion(Part):
    """One version of a template."""

    version: str
    clusters: str
    stable: bool | None = None
    news: str | None = None


class TemplateList(Result):
    """What can be installed; for a single template also its versions and the values it takes."""

    templates: list[TemplateLine] = Field(default_factory=list)
    versions: list[TemplateVersion] | None = None
    sizes: list[str] | None = None
    default_values: dict[str, Any] | None = None


@summarises("addon_templates", section="items")
def addon_templates(answer: Observation) -> TemplateList:
    """List what can be installed, in a given cluster if one is named; a single template comes with its versions."""
    fits = text(get(answer.context.get(CLUSTER), "/spec/version"))
    found = [(each, _versions(each, fits)) for each in items(answer.body, "/items")]
    lines = [_template(each, versions) for each, versions in found if versions or not fits]
    left = [text(get(each, "/metadata/name")) for each, versions in found if fits and not versions]
    doubts = [f"Nothing of these runs on {word(fits)}: {', '.join(map(word, left))}."] if left else []
    if CLUSTER in answer.context and not fits:
        doubts.append("The cluster does not report its version, so nothing was left out.")
    if len(found) != 1 or not lines:
        said = _templates_said(answer, lines, fits)
        missed = not found and bool(answer.arguments.get("template_name"))
        all_ = NextCall(tool=answer.operation.id, why="shows what there is")
        return TemplateList(summary=said, templates=lines, warnings=doubts, next=[all_] if missed else [])
    versions = found[0][1]
    form = as_object(get(_stable(versions), "/input/parameters"))
    count = plural(len(versions), "version") + (f" that run on {word(fits)}" if fits else "")
    if get(found[0][0], "/spec/versions") is None:
        count = "its versions are not reported"
    stable = "the newest is" if get(_stable(versions), "/stable") is False else "the newest stable one is"
    return TemplateList(
        summary=f"{word(lines[0].name)}: {count}{f'; {stable} {word(newest)}' if (newest := lines[0].newest) else ''}.",
        templates=lines,
        versions=reported([_version(each) for each in versions], found[0][0], "/spec/versions"),
        sizes=[size_line(size) for key, size in form.items() if key != "custom" and isinstance(size, Mapping)] or None,
        default_values={"custom": custom} if (custom := as_object(form.get("custom"))) else None,
        warnings=doubts,
    )


def _versions(template: Any, fits: str) -> list[dict[str, Any]]:
    """Return the versions of a template, the newest stable one first; those that do not run on a cluster left out."""
    every = [each for each in items(template, "/spec/versions") if not fits or runs_on(each, fits) is not False]
    newest_first = sorted(every, key=lambda each: order(text(get(each, "/version"))), reverse=True)
    return sorted(newest_first, key=lambda each: get(each, "/stable") is False)


def _template(body: Any, versions: Sequence[Any]) -> TemplateLine:
    name, alias = text(get(body, "/metadata/name")), text(get(body, "/metadata/alias"))
    return TemplateLine(
        name=name,
        alias=alias if alias != name and alias else None,
        newest=text(get(_stable(versions), "/version")),
        mandatory=flag(get(body, "/spec/require")) or None,
        clusters=_clusters(versions),
        about=text(get(body, "/spec/description"), 160),
    )


def _stable(versions: Sequence[Any]) -> Any:
    """Return the newest stable version of a list that starts with the stable ones, else the newest."""
    return versions[0] if versions else {}


def _version(body: Any) -> TemplateVersion:
    return TemplateVersion(
        version=text(get(body, "/version")),
        clusters=_clusters([body]),
        stable=flag(get(body, "/stable")),
        news=text(get(body, "/translate/en_US/addon/changeLog"), 120) or None,
    )


def _clusters(versions: Sequence[Any]) -> str:
    """Return the cluster versions that versions of an add-on fit, as readable as their patterns allow."""
    supports = [support for version in versions for support in items(version, "/supportVersions")]
    patterns = {pattern for support in supports for pattern in strings(support, "/clusterVersion")}
    minors: set[int] = set()
    others = set()
    for pattern in patterns:
        if match := _MINORS.fullmatch(pattern):
            minors |= {int(minor) for minor in match["minors"].split("|")}
        else:
            others.add(pattern)
    return ", ".join([*(f"v1.{minor}" for minor in sorted(minors)), *sorted(others)]) or "not reported"


def _templates_said(answer: Observation, lines: Sequence[TemplateLine], fits: str) -> str:
    wanted = text(answer.arguments.get("template_name"))
    where = f" in a cluster of {word(fits)}" if fits else ""
    if wanted and not items(answer.body, "/items"):
        return f"No template is called {quoted(wanted)}."
    if not lines:
        return f"{f'No version of {quoted(wanted)}' if wanted else 'Nothing'} can be installed{where}."
    many = plural(len(lines), "add-on")
    return f"{many} can be installed{where}. Name one as template_name for its versions and values."
