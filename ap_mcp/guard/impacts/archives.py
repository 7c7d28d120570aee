"""Reads which chart a local archive holds: in memory, bounded, and strict, because a service may read it otherwise."""

import gzip
import io
import re
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 64 * 1024 * 1024
MOST_MEMBERS = 5_000
CHUNK = 64 * 1024
LONGEST_CHART_YAML = 64 * 1024
CHART_YAML = "chart.yaml"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,62}[a-z0-9])?")
_VERSION = re.compile(r"v?\d{1,9}(\.\d{1,9}){0,2}(-[0-9A-Za-z.-]{1,40})?(\+[0-9A-Za-z.-]{1,40})?")
_BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError)


class NoChart(Exception):
    """A file that is no chart archive, or one that could be read in two ways; the text says why, in our words."""


@dataclass(frozen=True, slots=True)
class ChartName:
    """Which chart an archive says it holds."""

    name: str
    version: str


def chart_in(content: bytes) -> ChartName:
    """Return the name and version in the one `Chart.yaml` of an archive.

    Raises:
        NoChart: there is none, several, or it leaves doubt about what it says.
    """
    try:
        found = _chart_files(content)
    except _BROKEN as error:
        raise NoChart("it is broken, cut off or no .tgz archive") from error
    if len(found) != 1:
        raise NoChart("it holds no Chart.yaml in its folder" if not found else "it holds more than one Chart.yaml")
    return _named(found[0])


class _Bounded(gzip.GzipFile):
    """A stream that stops a few bytes from becoming gigabytes."""

    left = MOST_BYTES

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise NoChart("it unpacks to more than a chart may hold")
        return chunk


def _chart_files(content: bytes) -> list[bytes]:
    """Return the content of every `Chart.yaml` in an archive's top folder, however its path is written."""
    found: list[bytes] = []
    with _Bounded(fileobj=io.BytesIO(content)) as unzipped:
        with tarfile.open(fileobj=unzipped, mode="r|") as archive:
            for count, member in enumerate(archive):
                steps = [step for step in re.split(r"[/\\]", member.name) if step not in ("", ".")]
                if count >= MOST_MEMBERS or ".." in steps:
                    raise NoChart("it holds more files than a chart may, or a path that leads out of it")
                if len(steps) <= 2 and steps and steps[-1].casefold() == CHART_YAML and not member.isdir():
                    found.append(_content(archive, member))
        # The archive may end before its gzip does, whose checksum is compared only there.
        while unzipped.read(CHUNK):
            pass
    return found


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member) if member.isreg() and member.size <= LONGEST_CHART_YAML else None
    if opened is None:
        raise NoChart("its Chart.yaml is a link or too large")
    return opened.read()


def _named(chart_yaml: bytes) -> ChartName:
    import yaml  # noqa: PLC0415 - only guarded uploads need it

    try:
        node = yaml.compose(chart_yaml, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NoChart("its Chart.yaml cannot be read") from error
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    name, version = (_only(pairs, key, form) for key, form in (("name", _NAME), ("version", _VERSION)))
    return ChartName(name, version)


def _only(pairs: list[tuple[Any, Any]], key: str, form: re.Pattern[str]) -> str:
    """Return the one text under a key; some readers take `Name` for `name`, so that must not stand beside it."""
    values = [value for each, value in pairs if isinstance(each.value, str) and each.value.casefold() == key]
    found = values[0] if len(values) == 1 else None
    if found is None or found.tag != "tag:yaml.org,2002:str" or not form.fullmatch(found.value):
        raise NoChart(f"its Chart.yaml does not say plainly which {key} it has")
    return str(found.value)
