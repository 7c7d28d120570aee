"""Reads manifests: YAML or JSON text → documents, or every problem of every document at once, each with its line.

Nothing in a text is executed or blindly expanded: tags are refused, aliases are followed up to a bound, and a key that
stands twice, a tab, or a template of Helm is reported where it stands.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

from ap_mcp.errors import InvalidArguments, Problem
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.masking import contains_placeholder
from ap_mcp.vendor import quoted
from ap_mcp.wording import closest

MOST_DOCUMENTS = 50
MOST_STARTS = 1000
"""Documents that are begun, the empty ones among them, which templates leave behind."""
MOST_NODES = 50_000
"""Values of a text, those that aliases repeat counted each time."""
DEEPEST = 64
MOST_PROBLEMS = 20

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_HELM = re.compile(r"\{\{-?\s*(?:[.$(]|/\*|(?:include|if|else|range|end|with|define|template|toYaml|quote|default)\b)")
_UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.:-]*[a-z0-9])?", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_PLAIN_NUMBER = re.compile(r"[-+]?[0-9_]+(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
"""What YAML 1.1 takes for a number to the base of sixty, and Kubernetes does not."""


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest.

    Attributes:
        number: its place among the documents, from 1.
        line: where it begins, from 1; 0 if it is not known.
        body: as it was written, as JSON.
    """

    number: int
    line: int
    body: dict[str, Any] = field(repr=False)

    @property
    def api_version(self) -> str:
        """Group and version, as it was written."""
        return str(self.body["apiVersion"])

    @property
    def group(self) -> str:
        """The group of the API; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def kind(self) -> str:
        """The kind, as it was written."""
        return str(self.body["kind"])

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata; empty if there is none."""
        found = self.body.get("metadata")
        return found if isinstance(found, Mapping) else {}

    @property
    def name(self) -> str:
        """Its name; empty if the server is to make one."""
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        """The namespace that it names; empty if none."""
        return str(self.metadata.get("namespace") or "")

    def where(self) -> str:
        """Return which document it is, for a message about it."""
        return _where(self.number, self.line)


class _Broken(Exception):
    """A text that is no YAML, or more than is read."""


def read_manifest(text: str, *, generated: bool = False) -> tuple[Document, ...]:
    """Return the objects of a manifest; the entries of a List count as documents of their own.

    Args:
        text: YAML of one or several documents, or JSON.
        generated: `generateName` may stand for a name, as it may where an object is created.

    Raises:
        InvalidArguments: with every problem of every document.
    """
    problems: list[str] = []
    found: list[Document] = []
    for number, line, value in _values(text, problems):
        for entry in _entries(value):
            wrong = list(_wrong(entry, generated=generated))
            problems += [f"{_where(number, line)}: {each}" for each in wrong]
            if not wrong:
                found.append(Document(number, line, entry))
    if not problems and not found:
        problems.append("holds no document")
    if len(found) > MOST_DOCUMENTS:
        problems.append(f"holds {len(found)} objects, and at most {MOST_DOCUMENTS} are taken at once: send it in parts")
    problems += _twice(found)
    _refuse("manifest", problems)
    return tuple(found)


def read_patch(text: str, argument: str = "patch") -> Any:
    """Return the one value that a patch holds.

    Raises:
        InvalidArguments: it is no YAML or JSON, or more than one document.
    """
    problems: list[str] = []
    found = [value for _, _, value in _values(text, problems)]
    if not problems and len(found) != 1:
        problems.append(f"must be one document, and holds {len(found)}")
    if not problems and (path := contains_placeholder(found[0])):
        problems.append(_masked(path))
    _refuse(argument, problems)
    return found[0]


def _refuse(argument: str, problems: Sequence[str]) -> None:
    if not problems:
        return
    shown = [*problems[:MOST_PROBLEMS]]
    if more := len(problems) - len(shown):
        shown.append(f"and {more} more problems like these")
    raise InvalidArguments([Problem(argument, each) for each in shown])


def _where(number: int, line: int) -> str:
    return f"document {number} (line {line})" if line else f"document {number}"


def _entries(value: Any) -> Iterator[Any]:
    """Yield the objects of a List, or the value itself."""
    listed = isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and value.get("items")
    if isinstance(listed, list):
        for each in listed:
            yield from _entries(each)
    else:
        yield value


def _wrong(value: Any, *, generated: bool) -> Iterator[str]:
    """Yield what is wrong with a document, whatever the cluster serves."""
    if not isinstance(value, dict):
        yield f"must be an object with apiVersion, kind and metadata, and is {_what(value)}"
        return
    for name in ("apiVersion", "kind"):
        given = value.get(name)
        if not isinstance(given, str) or not given:
            yield f"{name} is missing" if given is None else f"{name} must be a text"
    if isinstance(value.get("kind"), str) and (meant := _meant(value["kind"], value.get("apiVersion"))):
        yield f"kind {quoted(value['kind'])}: the kind is written {meant}"
    yield from _wrong_metadata(value.get("metadata"), generated=generated)
    if path := contains_placeholder(value):
        yield _masked(path)


def _wrong_metadata(metadata: Any, *, generated: bool) -> Iterator[str]:
    if not isinstance(metadata, dict):
        yield "metadata is missing" if metadata is None else "metadata must be an object"
        return
    name, made = metadata.get("name"), metadata.get("generateName")
    if name is None and not (generated and made):
        yield "metadata.name is missing" + (": generateName makes a new name with mode create only" if made else "")
    for what, given, pattern in (("name", name, _NAME), ("namespace", metadata.get("namespace"), _LABEL)):
        if given is None:
            continue
        if not isinstance(given, str):
            yield f"metadata.{what} must be a text: put it in quotation marks"
        elif _HELM.search(given):
            yield f"metadata.{what} {_helm(given)}"
        elif not pattern.fullmatch(given):
            yield f"metadata.{what} {quoted(given)} is no name that Kubernetes takes"


def _meant(kind: str, api_version: Any) -> str:
    """Return the well-known kind that one in the wrong case or slightly misspelt means; empty if it may be right."""
    of_group = [each.kind for each in known_kinds() if each.group == str(api_version).rpartition("/")[0]]
    if kind in of_group:
        return ""
    lower = {each.lower(): each for each in of_group}
    return lower.get(kind.lower(), "")


def nearest(kind: str, names: Sequence[str]) -> str:
    """Return the kinds that a misspelt one may mean, as a question; empty if none is near."""
    lower = {each.lower(): each for each in names}
    near = [lower[each] for each in closest(kind.lower(), lower, most=2)]
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _masked(path: str) -> str:
    return f"{path} is a masked placeholder, and would overwrite the real value: give that, or leave it out"


def _helm(text: str) -> str:
    found = text[max(0, text.find("{{")) :][:60]
    return (
        f"holds {quoted(found)}: this is a template of Helm and no manifest. "
        "Install the chart with create_release, or render it first"
    )


def _twice(found: Sequence[Document]) -> Iterator[str]:
    first: dict[tuple[str, str, str, str], Document] = {}
    for each in found:
        key = (each.group, each.kind, each.namespace, each.name)
        before = first.setdefault(key, each)
        if before is not each and each.name:
            yield f"{each.where()}: {each.kind} {each.name} stands in {before.where()} already"


def _what(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "empty")


def _values(text: str, problems: list[str]) -> Iterator[tuple[int, int, Any]]:
    """Yield the values of a text with number and line; what is wrong goes to `problems`."""
    if text.lstrip().startswith(("{", "[")):
        duplicate: list[str] = []
        try:
            kept = partial(_object, duplicate)
            value = json.loads(text, object_pairs_hook=kept, parse_constant=_constant)
        except (ValueError, RecursionError):
            pass  # flow style of YAML begins so too
        else:
            problems += [f"the key {quoted(key)} stands twice in one object" for key in duplicate]
            if _depth(value) > DEEPEST:
                problems.append(f"is nested deeper than {DEEPEST} levels")
                return
            yield 1, 1, value
            return
    yield from _yaml(text, problems)


def _object(duplicate: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        duplicate += [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    return made


def _constant(name: str) -> Any:
    raise ValueError(name)


def _depth(value: Any) -> int:
    deepest, open_ = 0, [(value, 1)]
    while open_:
        node, depth = open_.pop()
        deepest = max(deepest, depth)
        if depth > DEEPEST:
            break
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        open_ += [(each, depth + 1) for each in inner]
    return deepest


def _yaml(text: str, problems: list[str]) -> Iterator[tuple[int, int, Any]]:
    if unreadable := _UNREADABLE.search(text):
        problems.append(f"holds the character {unreadable[0]!r}, which YAML does not take")
        return
    try:
        _bounded(text)
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except _Broken as error:
        problems.append(str(error))
        return
    except (yaml.YAMLError, RecursionError) as error:
        problems.append(_no_yaml(text, error))
        return
    left = [MOST_NODES]
    for number, node in enumerate((each for each in nodes if each is not None), 1):
        reader = _Reader(text, left)
        try:
            value = reader.value(node)
        except _Broken as error:
            problems.append(str(error))
            return
        problems += [f"document {number}, {each}" for each in reader.problems]
        if value is not None and not reader.problems:
            yield number, node.start_mark.line + 1, value


def _bounded(text: str) -> None:
    """Make sure that a text is neither nested too deep nor endless before it is read as a tree, by recursion.

    Raises:
        _Broken: it is.
    """
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > MOST_STARTS:
            raise _Broken(f"holds more than {MOST_STARTS} documents, empty ones too: send it in parts")
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            depth += 1
            if depth > DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark is not None else 1
                raise _Broken(f"line {line} is nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            depth -= 1


def _no_yaml(text: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    lines = text.split("\n")
    at = mark.line if mark is not None else 0
    line = lines[at] if at < len(lines) else ""
    near = (each for each in (at, at - 1, *range(len(lines))) if 0 <= each < len(lines))
    if (helm := next((each for each in near if _HELM.search(lines[each])), None)) is not None:
        return f"line {helm + 1} {_helm(lines[helm].strip())}"
    indented = next((n for n, each in enumerate(lines) if re.match(r" *\t", each)), None)
    if indented is not None and indented <= at:
        return f"line {indented + 1} is indented with a tab; YAML takes blanks only"
    why = getattr(error, "problem", "") or "it is nested too deep"
    return f"is no YAML: line {at + 1} ({quoted(line.strip(), 80)}): {why}"


@dataclass
class _Reader:
    """Makes plain values of the nodes of one document, and notes what is wrong with them.

    Attributes:
        text: the whole text.
        left: how many values may still be made, of all documents together.
    """

    text: str
    left: list[int]
    problems: list[str] = field(default_factory=list)
    _inside: list[int] = field(default_factory=list)

    def value(self, node: Any) -> Any:
        """Return what a node holds.

        Raises:
            _Broken: it refers to itself, or is more than is read.
        """
        self.left[0] -= 1
        if self.left[0] < 0:
            raise _Broken(f"holds more than {MOST_NODES} values once its aliases are written out")
        if id(node) in self._inside:
            raise _Broken(f"line {node.start_mark.line + 1}: an alias refers to what it stands in")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._inside.append(id(node))
        try:
            if not self._own_tag(node):
                return None
            if isinstance(node, yaml.SequenceNode):
                return [self.value(each) for each in node.value]
            return self._mapping(node)
        finally:
            self._inside.pop()

    def _mapping(self, node: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                found = self.value(value_node)
                merged += found if isinstance(found, list) else [found]
                continue
            key = self._key(key_node)
            if key is None:
                continue
            if key in made:
                self._note(key_node, f"the key {quoted(key)} stands twice")
            made[key] = self.value(value_node)
        for each in merged:
            if isinstance(each, dict):
                made = {**each, **made}
            else:
                self._note(node, "only an object can be merged with <<")
        return made

    def _key(self, node: Any) -> str | None:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        line = self.text.split("\n")[node.start_mark.line]
        self._note(node, _helm(line.strip()) if "{{" in line else "a key must be a text")
        return None

    def _scalar(self, node: Any) -> Any:
        tag, written = node.tag.removeprefix(_TAG), node.value
        if not self._own_tag(node):
            return None
        if tag == "null":
            return None
        if tag == "bool":
            return written.lower() in ("true", "yes", "on")
        if tag in ("int", "float") and not _PLAIN_NUMBER.fullmatch(written):
            return self._number(node, tag)
        return written

    def _number(self, node: Any, tag: str) -> Any:
        made = yaml.SafeLoader("")
        try:
            number = made.construct_yaml_int(node) if tag == "int" else made.construct_yaml_float(node)
            finite = math.isfinite(number)
        except OverflowError:
            finite = False
        except ValueError:
            return node.value
        if not finite:
            self._note(node, f"{quoted(node.value)} is no number that JSON has")
            return None
        return number

    def _own_tag(self, node: Any) -> bool:
        """Say whether a node has the tag that YAML gives it by itself; note it if not."""
        plain = {"null", "bool", "int", "float", "str", "timestamp", "merge", "value", "map", "seq"}
        name = node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else ""
        if name in plain and not _is_tagged(self.text, node):
            return True
        self._note(node, f"the tag {quoted(node.tag.replace(_TAG, '!!'))} is not taken: write the value without it")
        return False

    def _note(self, node: Any, what: str) -> None:
        self.problems.append(f"line {node.start_mark.line + 1}: {what}")


def _is_tagged(text: str, node: Any) -> bool:
    """Say whether a tag stands before a node in the text."""
    start = node.start_mark
    index = start.index
    return text[index : index + 1] == "!" and not (isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'))
