"""Chart archives: unpacks what was uploaded without trusting it, verifies it, and builds new ones."""

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

LARGEST_ARCHIVE = 10 * 1024 * 1024
LARGEST_CONTENT = 64 * 1024 * 1024
LARGEST_YAML = 256 * 1024
MOST_MEMBERS = 2000
MOST_NODES = 50_000
DEEPEST_VALUES = 32
LONGEST_PATH = 255

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,62}[a-z0-9])?")
_VERSION = re.compile(r"(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){1,2}(-[0-9A-Za-z.-]{1,40})?(\+[0-9A-Za-z.-]{1,40})?")
_HOOK = re.compile(r"helm\.sh/hook[\"']?\s*:")
_ACTION = re.compile(rb"\{\{.*?\}\}", re.DOTALL)
_BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BadArchive(Exception):
    """An archive that is broken, dangerous or no chart; the text says which."""


@dataclass(frozen=True, slots=True)
class ChartArchive:
    """What a verified chart archive holds.

    Attributes:
        values: content of `values.yaml` as plain JSON.
        schema: content of `values.schema.json`, None if there is none.
        readme: name of the readme, empty if there is none.
        hooks: how many templates are hooks.
        objects: apiVersion, kind and name of what the other templates make; a name may hold `{{ .Release.Name }}`.
    """

    name: str
    version: str
    description: str
    icon: str
    values: dict[str, Any]
    schema: dict[str, Any] | None
    readme: str
    hooks: int
    objects: tuple[tuple[str, str, str], ...] = ()


def read_chart(content: bytes, *, lint: bool = True) -> ChartArchive:
    """Unpack a chart in memory.

    Args:
        content: the gzipped tar archive.
        lint: also verify its layout and its templates.

    Raises:
        BadArchive: it cannot be accepted.
    """
    folder, files = _sorted_out(_members(content))
    chart = _chart_yaml(files)
    values = load_yaml(files["values.yaml"], "values.yaml") if "values.yaml" in files else {}
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise BadArchive("values.yaml does not hold a map of settings")
    templates = {path: text for path, text in files.items() if path.startswith("templates/")}
    if lint:
        _lint(folder, chart["name"], files, templates)
    return ChartArchive(
        name=chart["name"],
        version=chart["version"],
        description=str(chart.get("description") or ""),
        icon=str(chart.get("icon") or ""),
        values=values,
        schema=_schema(files),
        readme=next((path for path in files if path.lower() == "readme.md"), ""),
        hooks=sum(1 for text in templates.values() if _HOOK.search(text.decode(errors="replace"))),
        objects=tuple(
            each for _, text in sorted(templates.items()) for each in _objects(text.decode(errors="replace"))
        ),
    )


def build_chart(name: str, files: Mapping[str, str]) -> bytes:
    """Pack files (paths inside the chart's folder) into an archive; equal files give equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            content = text.encode()
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def load_yaml(content: bytes, where: str) -> Any:
    """Parse YAML into plain JSON values, bounded in size, depth and in what its aliases unfold to.

    Raises:
        BadArchive: it is too large, no YAML, or holds what JSON cannot.
    """
    if len(content) > LARGEST_YAML:
        raise BadArchive(f"{where} is larger than {LARGEST_YAML} bytes")
    try:
        _refuse_deep(content, where)
        value = yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader, the fast one if there is one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadArchive(f"{where} is no YAML: {str(error)[:200]}") from error
    return _Plain(where).of(value, 0)


def _refuse_deep(content: bytes, where: str) -> None:
    """Check the nesting before anything recurses into it: the fast loader would crash the process."""
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST_VALUES:
            raise BadArchive(f"{where} is nested deeper than {DEEPEST_VALUES} levels")


class _Plain:
    """Copies parsed YAML as plain JSON and counts, so that a few aliases cannot unfold into gigabytes."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.nodes = 0

    def of(self, value: Any, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES or depth > DEEPEST_VALUES:
            raise BadArchive(f"{self.where} unfolds to more than {MOST_NODES} values or {DEEPEST_VALUES} levels")
        if isinstance(value, dict):
            return {self.key(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, depth + 1) for item in value]
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
            raise BadArchive(f"{self.where} holds {value}, which JSON cannot express")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise BadArchive(f"{self.where} holds a {type(value).__name__}, which JSON cannot express")

    def key(self, key: Any) -> str:
        if isinstance(key, bool | int | str):
            return str(key).lower() if isinstance(key, bool) else str(key)
        raise BadArchive(f"{self.where} has a key that is no text")


def _objects(template: str) -> Iterator[tuple[str, str, str]]:
    """Yield the objects of a template, hooks left out: they are no part of a release."""
    for document in re.split(r"(?m)^---", template):
        found = [
            re.search(rf"(?m)^{key} *(.+?) *$", document) for key in ("apiVersion:", "kind:", "metadata:\\n  name:")
        ]
        if not _HOOK.search(document) and all(found):
            api, kind, name = (str(each[1]) for each in found if each)
            yield api, kind, name


def _members(content: bytes) -> dict[str, bytes]:
    """Return every file of the archive by its path; nothing is written to disk."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(content)), mode="r:") as archive:
            return _safe_files(archive)
    except _BROKEN as error:
        raise BadArchive(f"the archive is broken or cut off: {str(error)[:200]}") from error


def _unzipped(content: bytes) -> bytes:
    if len(content) > LARGEST_ARCHIVE:
        raise BadArchive(f"the archive is larger than {LARGEST_ARCHIVE // 1024 // 1024} MiB")
    if not content.startswith(b"\x1f\x8b"):
        raise BadArchive("the file is no gzip archive (.tgz)")
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as zipped:
        unpacked = zipped.read(LARGEST_CONTENT + 1)
    if len(unpacked) > LARGEST_CONTENT:
        raise BadArchive(f"the archive unpacks to more than {LARGEST_CONTENT // 1024 // 1024} MiB")
    return unpacked


def _safe_files(archive: tarfile.TarFile) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for count, member in enumerate(archive, start=1):
        if count > MOST_MEMBERS:
            raise BadArchive(f"the archive has more than {MOST_MEMBERS} files")
        path = _safe_path(member)
        if member.isdir():
            continue
        if path in files:
            raise BadArchive(f"the archive holds {path!r} twice")
        opened = archive.extractfile(member)
        files[path] = opened.read() if opened else b""
    return files


def _safe_path(member: tarfile.TarInfo) -> str:
    path = member.name.removeprefix("./").rstrip("/")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise BadArchive(f"the archive holds {path[:80]!r}, which is neither a file nor a folder")
    parts = path.split("/")
    unprintable = not path.isprintable()
    if path.startswith("/") or "\\" in path or unprintable or any(part in {"", ".."} for part in parts):
        raise BadArchive(f"the archive holds the path {path[:80]!r}, which leads out of the chart or cannot be read")
    if len(path) > LONGEST_PATH:
        raise BadArchive(f"the archive holds a path longer than {LONGEST_PATH} characters")
    return path


def _sorted_out(members: Mapping[str, bytes]) -> tuple[str, dict[str, bytes]]:
    """Return the chart's folder, and its files by their path inside it."""
    folders = {path.partition("/")[0] for path in members}
    if len(folders) != 1 or any("/" not in path for path in members):
        raise BadArchive("the archive must hold exactly one folder with the chart in it")
    folder = folders.pop()
    return folder, {path.removeprefix(f"{folder}/"): content for path, content in members.items()}


def _chart_yaml(files: Mapping[str, bytes]) -> dict[str, Any]:
    if "Chart.yaml" not in files:
        raise BadArchive("the archive holds no Chart.yaml in its folder")
    chart = load_yaml(files["Chart.yaml"], "Chart.yaml")
    if not isinstance(chart, dict):
        raise BadArchive("Chart.yaml does not hold a map")
    if chart.get("apiVersion") not in ("v1", "v2"):
        raise BadArchive("Chart.yaml has no apiVersion v1 or v2")
    name, version = chart.get("name"), chart.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadArchive("Chart.yaml: name must be lower-case letters, digits and hyphens, 64 at most")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadArchive("Chart.yaml: version must be a text like '1.2.3'; in quotes if it could be a number")
    return chart


def _schema(files: Mapping[str, bytes]) -> dict[str, Any] | None:
    content = files.get("values.schema.json")
    if content is None:
        return None
    schema = load_yaml(content, "values.schema.json")  # every JSON text is YAML, and this way it is bounded
    if not isinstance(schema, dict):
        raise BadArchive("values.schema.json does not hold an object")
    return schema


def _lint(folder: str, name: str, files: Mapping[str, bytes], templates: Mapping[str, bytes]) -> None:
    if folder != name:
        raise BadArchive(f"the folder {folder[:80]!r} is not named as the chart, {name!r}")
    if "values.yaml" not in files:
        raise BadArchive("the chart has no values.yaml")
    if not templates:
        raise BadArchive("the chart has no templates")
    for path, content in templates.items():
        if b"{{" in _ACTION.sub(b"", content):
            raise BadArchive(f"{path}: a template action is opened with '{{{{' and never closed")


def as_json(value: Any) -> str:
    """Write a value as the compact JSON that stands in a `values` string."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
