"""Makes the data of the simulated Kubernetes API: schemas and protobuf messages of the kinds that it serves.

    python tools/kubernetes_data.py --schemas kubernetes_validate-*.whl --api ../api --apimachinery ../apimachinery

The schemas are those of PyPI's `kubernetes-validate` (Apache-2.0), the messages those of the Go modules
`k8s.io/api` and `k8s.io/apimachinery` (Apache-2.0), all of the version below; give their unpacked folders.
"""

import argparse
import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "v1.32.0"
DATA = Path(__file__).parents[1] / "ap_mcp" / "simulator" / "kubernetes" / "data"
DEFINITIONS = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local/_definitions.json"
ALWAYS = ("Scale autoscaling v1", "Eviction policy v1", "TokenRequest authentication.k8s.io v1", "DeleteOptions  v1")
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_GO_FIELD = re.compile(r"^\t(?:\w+ )?(\*?)[\w.\[\]*]+ `json:\"([^\"]*)\" protobuf:\"(?:bytes|varint|fixed64),(\d+)")
_MESSAGE = re.compile(r"^message (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (optional|repeated|map<string, ([\w.]+)>) ?([\w.]*) (\w+) = (\d+);", re.MULTILINE)


def served() -> list[tuple[str, str, str]]:
    """List kind, group and version of every row of `kinds.tsv`, and of what subresources take."""
    rows = [line.split("\t") for line in (DATA / "kinds.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    return [(row[3], row[0], row[1]) for row in rows] + [tuple(each.split(" ")) for each in ALWAYS]  # type: ignore[misc]


def schemas(wheel: Path) -> dict[str, Any]:
    """Return the definitions that the served kinds need, as OpenAPI v3 has them."""
    with zipfile.ZipFile(wheel) as archive:
        definitions = json.loads(archive.read(DEFINITIONS))["$defs"]
    names = {
        (each["kind"], each["group"], each["version"]): name
        for name, definition in definitions.items()
        for each in definition.get("x-kubernetes-group-version-kind", ())
        if len(definition["x-kubernetes-group-version-kind"]) == 1 or name.startswith(META)
    }
    wanted = [names[key] for key in served() if key in names]
    found: dict[str, Any] = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = openapi(name, definitions[name])
            wanted += list(references(definitions[name]))
    return dict(sorted(found.items()))


def references(node: Any) -> Iterator[str]:
    """Yield the names of the definitions that a schema refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def openapi(name: str, node: Any) -> Any:
    """Turn one definition into OpenAPI v3: no null types, references in their usual place."""
    if name == INT_OR_STRING:
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    if not isinstance(node, dict):
        return [openapi("", each) for each in node] if isinstance(node, list) else node
    made = {key: openapi("", value) for key, value in node.items() if key != "additionalProperties" or value}
    if isinstance(made.get("type"), list):
        made["type"] = next(each for each in made["type"] if each != "null")
    if isinstance(made.get("$ref"), str):
        made["$ref"] = made["$ref"].replace("#/$defs/", "#/components/schemas/")
        if len(made) > 1:
            made["allOf"] = [{"$ref": made.pop("$ref")}]
    properties = made.get("properties", {})
    if "x-kubernetes-group-version-kind" in made and "kind" in properties:
        for each in ("apiVersion", "kind"):
            properties[each].pop("enum", None)
    return made


def messages(api: Path, machinery: Path) -> dict[str, list[list[Any]]]:
    """Return the fields of each message as `[number, name, type, flags]`.

    Flags: r repeated, m map, i inlined in JSON, p absent and zero are not the same.
    """
    groups = {(group, version) for _, group, version in served() if group != "metrics.k8s.io"}
    folders = [api / (group.partition(".")[0] or "core") / version for group, version in sorted(groups)]
    folders[:] = [
        api / "admissionregistration" / "v1" if "admission" in folder.parent.name else folder for folder in folders
    ]
    folders += [machinery / "pkg" / part for part in ("api/resource", "apis/meta/v1", "runtime", "util/intstr")]
    found: dict[str, list[list[Any]]] = {}
    for folder in folders:
        source = folder / "generated.proto"
        if source.exists():  # what extends the API itself is kept in modules of its own
            found |= _messages(source)
    return found


def _messages(source: Path) -> dict[str, list[list[Any]]]:
    text = source.read_text(encoding="utf-8")
    package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)[1]  # type: ignore[index]
    flags = _go_flags(source.parent)
    return {
        f"{package}.{name}": [
            [int(number), field, _type(package, of_map or type_), ("m" if of_map else label[0] * (label[0] == "r"))
             + flags.get((name, number), "")]
            for label, of_map, type_, field, number in _FIELD.findall(body)
        ]
        for name, body in _MESSAGE.findall(text)
    }  # fmt: skip


def _type(package: str, name: str) -> str:
    if name in ("string", "bytes", "bool", "double", "int32", "int64", "uint32", "uint64"):
        return name.rstrip("0123456789").replace("uint", "int")
    return name[1:] if name.startswith(".") else f"{package}.{name}"


def _go_flags(folder: Path) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for source in folder.glob("*.go"):
        for name, body in _STRUCT.findall(source.read_text(encoding="utf-8")):
            for pointer, tag, number in (
                match.groups() for line in body.splitlines() if (match := _GO_FIELD.match(line))
            ):
                found[name, number] = "p" * bool(pointer) + "i" * (tag == ",inline")
    return found


def write(name: str, data: Any) -> None:
    """Write a data file, the same bytes for the same data."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    (DATA / name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def main() -> None:
    """Write both data files."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--schemas", "--api", "--apimachinery"):
        parser.add_argument(option, type=Path, required=True)
    given = parser.parse_args()
    write("schemas.json.gz", schemas(given.schemas))
    write("messages.json.gz", messages(given.api, given.apimachinery))


if __name__ == "__main__":
    main()
