"""Reads the defaults of two versions, so that what was not changed follows from the one to the other."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from ap_mcp.errors import ApMcpError
from ap_mcp.parallel_reads import Reader
from ap_mcp.rules.addons import addon_name_of, defaults_of, version_entry
from ap_mcp.rules.merging import Renewal, renewed
from ap_mcp.rules.settings import settings
from ap_mcp.vendor import get, items, text, word


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of the version that is installed and of the one that is wanted.

    Attributes:
        installed: None if they are not known.
        wanted: None if they are not known.
        problem: what is not known, as in `…: could not be read`; empty if both are known.
    """

    installed: Mapping[str, Any] | None = field(default=None, repr=False)
    wanted: Mapping[str, Any] | None = field(default=None, repr=False)
    problem: str = ""

    def renewal(self, current: Mapping[str, Any]) -> Renewal | None:
        """Return the settings with the wanted defaults where they are untouched; None if not both are known."""
        if self.installed is None or self.wanted is None:
            return None
        return renewed(current, self.installed, self.wanted)


DefaultsReader: TypeAlias = Callable[[Any, Mapping[str, Any], Reader], Awaitable[Defaults | None]]


async def defaults_for(kind: str, thing: Any, request: Mapping[str, Any], read: Reader) -> Defaults | None:
    """Return the defaults of the version a thing has and of the one it gets; None if its version stays.

    Args:
        kind: who knows them, as `defaults` in the specs.
        thing: as it is now.
        request: what will be sent, by the pointers of its places.
        read: reads from the cloud.
    """
    try:
        return await READERS[kind](thing, request, read)
    except ApMcpError as error:
        first = error.render().partition("\n")[0]
        why = f"not read: {error.ruled_out}" if error.ruled_out else f"could not be read ({first})"
        return Defaults(problem=f"the defaults of the two versions: {why}")


async def _of_addon(addon: Any, request: Mapping[str, Any], read: Reader) -> Defaults | None:
    """Read the defaults of an add-on from its template."""
    name, version, target = addon_name_of(addon), text(get(addon, "/spec/version")), text(request["/spec/version"])
    if version == target:
        return None
    body = await read("list_addon_templates", template_name=name)
    size = text(get(addon, "/spec/values/flavor/name"))
    installed = defaults_of(version_entry(body, name, version) or get(addon, "/status/currentVersion"), size)
    wanted = defaults_of(version_entry(body, name, target), size)
    unknown = [word(each) for each, found in ((version, installed), (target, wanted)) if found is None]
    said = f"the defaults of {word(name)} {' and '.join(unknown)}: no template lists them" if unknown else ""
    return Defaults(installed, wanted, said)


async def _of_release(release: Any, request: Mapping[str, Any], read: Reader) -> Defaults | None:
    """Read the defaults of a release's chart, and of the one it gets."""
    chart_id = request["/chart_id"]
    chart = await read("get_chart", chart_id=chart_id)
    before = (text(get(release, "/chart_name")), text(get(release, "/chart_version")))
    if before == (text(get(chart, "/name")), text(get(chart, "/version"))):
        return None
    wanted = settings(get(await read("get_chart_values", chart_id=chart_id), "/values"))
    rows = items(await read("list_charts"))
    stored = [each for each in rows if (text(get(each, "/name")), text(get(each, "/version"))) == before]
    old = get(stored[0], "/id") if stored else None
    installed = settings(get(await read("get_chart_values", chart_id=old), "/values")) if old else None
    said = "" if installed is not None else f"the defaults of {' '.join(map(word, before))}: it is stored no more"
    return Defaults(installed, wanted, said or ("" if wanted is not None else "the defaults of the chart"))


READERS: Mapping[str, DefaultsReader] = MappingProxyType({"addon_template": _of_addon, "chart": _of_release})
"""By the `defaults` of a `fill`."""
