"""What guarded calls on stored charts would do: replacing, overwriting and deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from ap_mcp.aside import in_a_thread
from ap_mcp.guard.impacts.archives import ChartName, NoChart, chart_in
from ap_mcp.guard.impacts.base import Case, Impact, ImpactDraft, entries, gather, impact_of, not_read, read, refused
from ap_mcp.vendor import flag, get, moment, number, quoted, text, word
from ap_mcp.wording import age, few, plural

MOST_CLUSTERS = 20
FILE = "chart_path"
USES = "which releases use it"
KEEP_A_COPY = "download_chart keeps a copy of it"


@dataclass(frozen=True, slots=True)
class Use:
    """A release made from a chart: where it is and which version of the chart it runs."""

    place: str
    version: str
    status: str
    revision: str

    def line(self) -> str:
        """Return it as one line."""
        return f"{self.place}: chart {word(self.version)}, revision {self.revision}, {word(self.status)}"


@impact_of("delete_chart")
async def delete_chart(case: Case) -> Impact:
    """Say which chart would be gone, and which releases were made from it."""
    answers = await gather(case, chart=_chart_read(case), clusters=read("list_clusters"))
    chart = the_chart(answers.needed("chart"), case.arguments.get("chart_id"))
    draft = _draft(case, chart, f"Deletes the stored chart {title(chart)} for good.")
    draft.deed = f"Deletes the stored chart {title(chart)}."
    draft.goes.append(f"its archive: no release can be installed from it or upgraded to it any more; {KEEP_A_COPY}")
    used, others = await _uses(draft, draft.listed(answers, "clusters", "/items", USES), chart)
    draft.stays += _lines(used, "it keeps running")
    if used:
        draft.warnings.append(f"{plural(len(used), 'release uses', 'releases use')} it.")
        draft.unknown.append("whether these releases can still be rolled back without it")
    draft.fact("releases of other versions", str(len(others)) if others else "")
    return draft.impact()


@impact_of("update_chart")
async def update_chart(case: Case) -> Impact:
    """Say which stored archive would be replaced, by what, and which releases were made from it."""
    answers = await gather(case, chart=_chart_read(case), clusters=read("list_clusters"))
    chart = the_chart(answers.needed("chart"), case.arguments.get("chart_id"))
    draft = _draft(case, chart, f"Replaces the archive of the stored chart {title(chart)}.")
    draft.deed = f"Replaces stored chart {title(chart)}."
    new = await _new_chart(draft)
    _about_file(draft, new)
    if new is not None:
        _compare(draft, chart, new)
    draft.goes.append(f"the stored archive of {title(chart)}; {KEEP_A_COPY}")
    await _about_uses(draft, draft.listed(answers, "clusters", "/items", USES), chart)
    return draft.impact()


@impact_of("upload_chart")
async def upload_chart(case: Case) -> Impact:
    """Say which stored chart an upload would overwrite, if it may and there is one."""
    answers = await gather(case, charts=read("list_charts"), clusters=read("list_clusters"))
    name = text(PurePath(text(case.arguments.get(FILE))).name)
    overwrites = bool(case.arguments.get("override"))
    also = " and overwrites what is stored of it" if overwrites else ""
    draft = ImpactDraft(case, name, f"Uploads the chart file {quoted(name)}{also}.")
    new = await _new_chart(draft)
    _about_file(draft, new)
    if new is None:
        return draft.impact()
    draft.name = new.name
    stored = draft.listed(answers, "charts", "", "whether this chart is stored already")
    if stored is None:
        return draft.impact()
    same = [each for each in stored if _is(each, new)]
    if not same:
        draft.sentence = f"Stores the chart {word(new.name)} {word(new.version)}; none of that version is there yet."
        draft.goes.append("nothing: there is no stored chart to overwrite")
    elif not overwrites:
        raise refused(f"the chart {title(same[0])} is stored already", "override would overwrite it.")
    for each in same:
        draft.sentence = f"Overwrites the stored chart {title(each)}."
        _about_chart(draft, each)
        draft.goes.append(f"the stored archive of {title(each)}; {KEEP_A_COPY}")
    if same:
        await _about_uses(draft, draft.listed(answers, "clusters", "/items", USES), same[0])
    draft.stays += _other_versions(stored, new)
    draft.stable["overwrites"] = sorted(text(get(each, "/id")) for each in same)
    return draft.impact()


def the_chart(body: Any, chart_id: Any) -> Any:
    """Return a chart that was read by its id.

    Raises:
        CallRefused: the service answered with another one.
    """
    found = text(get(body, "/id"))
    if found.lower() != text(chart_id).lower():
        raise refused(f"asked for chart {word(chart_id)}, the service answered with {word(found) if found else 'none'}")
    return body


def title(chart: Any) -> str:
    """Return a chart's name and version, fit to stand in a sentence of ours."""
    return f"{word(get(chart, '/name'))} {word(get(chart, '/version'))}"


def releases_in(body: Any) -> list[dict[str, Any]] | None:
    """Return the releases of a list, also of one that holds lists, as the reference draws it; None if it is none."""
    if not isinstance(body, list):
        return None
    flat = [inner for each in body for inner in (each if isinstance(each, list) else [each])]
    return entries(flat)


def revision_of(release: Any) -> str:
    """Return the revision of a release as a text."""
    found = number(get(release, "/version"))
    return "not reported" if found is None else str(int(found))


def _chart_read(case: Case) -> Any:
    return read("get_chart", chart_id=case.arguments.get("chart_id"))


def _is(chart: Any, new: ChartName) -> bool:
    return (text(get(chart, "/name")), text(get(chart, "/version"))) == (new.name, new.version)


def _draft(case: Case, chart: Any, sentence: str) -> ImpactDraft:
    draft = ImpactDraft(case, text(get(chart, "/name")), sentence)
    _about_chart(draft, chart)
    return draft


def _about_chart(draft: ImpactDraft, chart: Any) -> None:
    """Note what is stored now."""
    uid, changed = text(get(chart, "/id")), moment(get(chart, "/update_at") or get(chart, "/create_at"))
    draft.fact("chart", f"{title(chart)}, id {word(uid)}")
    draft.fact("last changed", f"{since} ago" if (since := age(changed, draft.case.now)) else "not reported")
    if flag(get(chart, "/public")):
        draft.warnings.append("It is visible to others, who may use it too.")
    seen = {key: text(get(chart, f"/{key}")) for key in ("id", "name", "version", "public", "update_at")}
    draft.stable["charts"] = [*draft.stable.get("charts", []), seen]


async def _new_chart(draft: ImpactDraft) -> ChartName | None:
    """Return which chart the local file says it holds; None if that cannot be known, which is said.

    Raises:
        CallRefused: the file is no chart, so that it cannot be known what an upload overwrites.
    """
    content = draft.case.files.get(FILE)
    if content is None:
        draft.unknown.append("which chart the file holds: it was not read")
        draft.warnings.append("Could not be read: which chart the file holds.")
        if "chart_id" not in draft.case.arguments and draft.case.arguments.get("override"):
            draft.unknown.append("which stored chart it overwrites")
        return None
    draft.stable["file"] = sha256(content).hexdigest()
    try:
        return await in_a_thread(partial(chart_in, content))
    except NoChart as error:
        path = quoted(draft.case.arguments.get(FILE))
        raise refused(f"which chart the file {path} holds cannot be known: {error}") from error


def _about_file(draft: ImpactDraft, new: ChartName | None) -> None:
    """Note the local file and the options of the upload."""
    arguments, content = draft.case.arguments, draft.case.files.get(FILE)
    size = f", {len(content)} bytes" if content is not None else ""
    draft.fact("file", f"{quoted(arguments.get(FILE))}{size}")
    if new is not None:
        draft.fact("the file says it is", f"{word(new.name)} {word(new.version)}")
    if arguments.get("skip_lint"):
        draft.warnings.append("The archive is not verified (skip_lint).")
    if "visible" in arguments:
        draft.changes.append(f"visibility: {'visible to others' if arguments['visible'] else 'hidden from others'}")


def _compare(draft: ImpactDraft, chart: Any, new: ChartName) -> None:
    """Say what a stored chart becomes, and warn when the file is for another one."""
    if new.name != text(get(chart, "/name")):
        draft.warnings.append(f"The file holds another chart: {word(new.name)}, not {word(get(chart, '/name'))}.")
    elif new.version == text(get(chart, "/version")):
        draft.goes.append(f"the content of {title(chart)}: what is stored under this version is no longer the same")
        if not draft.case.arguments.get("override"):
            draft.warnings.append("The file has the version that is stored; without override it may be refused.")
    else:
        draft.changes.append(f"version: {word(get(chart, '/version'))} becomes {word(new.version)}")


def _other_versions(stored: Sequence[Any], new: ChartName) -> list[str]:
    others = [text(get(each, "/version")) for each in stored if text(get(each, "/name")) == new.name]
    others = sorted(each for each in others if each != new.version)
    return [f"other stored versions of {word(new.name)}: {few([word(each) for each in others])}"] if others else []


async def _about_uses(draft: ImpactDraft, clusters: Sequence[Any] | None, chart: Any) -> None:
    """Say which releases were made from a chart that is replaced."""
    used, others = await _uses(draft, clusters, chart)
    draft.stays += _lines(used, "as it is until its next upgrade")
    if used:
        said = plural(len(used), "release uses", "releases use")
        draft.warnings.append(f"{said} it: the next upgrade takes what is stored then.")
    draft.fact("releases of other versions", str(len(others)) if others else "")


async def _uses(draft: ImpactDraft, clusters: Sequence[Any] | None, chart: Any) -> tuple[list[Use], list[Use]]:
    """Return the releases of this version of a chart, and those of others; what was not read is said."""
    if clusters is None:
        return [], []
    named = {text(get(each, "/metadata/uid")): text(get(each, "/metadata/name")) for each in clusters}
    chosen = sorted(uid for uid in named if uid)[:MOST_CLUSTERS]
    answers = await gather(draft.case, **{uid: read("list_releases", cluster_id=uid) for uid in chosen})
    found: list[Use] = []
    unread: dict[str, str] = {}
    for uid in chosen:
        error = answers.error(uid)
        rows = None if error else releases_in(answers.needed(uid))
        if rows is None:
            unread[uid] = not_read(error) if error and error.ruled_out else "could not be read"
        else:
            found += [_use(each, named[uid] or uid) for each in rows if get(each, "/chart_name") == get(chart, "/name")]
    for why in dict.fromkeys(unread.values()):
        _about_unread(draft, [word(named[uid] or uid) for uid in unread if unread[uid] == why], why)
    _about_left_out(draft, len(named) - len(chosen))
    found.sort(key=lambda each: each.place)
    draft.stable["uses"] = [[each.place, each.version, each.status, each.revision] for each in found]
    draft.stable["unread clusters"] = list(unread)
    version = text(get(chart, "/version"))
    return [each for each in found if each.version == version], [each for each in found if each.version != version]


def _lines(used: Sequence[Use], fate: str) -> list[str]:
    """Return what becomes of releases, a line each."""
    return [f"{each.line()}; {fate}" for each in used]


def _use(release: Any, cluster: str) -> Use:
    namespace, name = text(get(release, "/namespace")), text(get(release, "/name"))
    return Use(
        place=f"release {word(f'{namespace}/{name}')} in {word(cluster)}",
        version=text(get(release, "/chart_version")),
        status=text(get(release, "/status")) or "not reported",
        revision=revision_of(release),
    )


def _about_unread(draft: ImpactDraft, unread: Sequence[str], why: str) -> None:
    draft.unknown.append(f"{USES} in {few(unread)}: {why}")
    said = "Could not be read" if why.startswith("could") else "Not read"
    draft.warnings.append(f"{said}: the releases of {plural(len(unread), 'cluster')}.")


def _about_left_out(draft: ImpactDraft, left_out: int) -> None:
    if left_out:
        draft.unknown.append(f"{USES} in {plural(left_out, 'more cluster')}: only {MOST_CLUSTERS} are read")
        draft.warnings.append(f"Not read: the releases of {plural(left_out, 'more cluster')}.")
