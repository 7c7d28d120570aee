"""Lints `tool_specs/`: what OpenAPI and JSON Schema validators cannot know about our extension."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from hashlib import blake2b
from itertools import combinations
from pathlib import Path
from typing import Any

from ap_mcp.errors import SpecError
from ap_mcp.patterns import untakable
from ap_mcp.schemas import IN_WORDS, argument_schema, is_required, nodes_at, strict, walk, whole_argument
from ap_mcp.specs import (
    CLUSTER,
    FILE,
    JSON,
    SUBJECTS,
    Argument,
    Catalog,
    Fill,
    Operation,
    Schema,
    Target,
    read_catalog,
    specs_folder,
)
from ap_mcp.specs.waits import ENTRY, PHASE_VERDICTS, Wait

EXTENSION_ORDER = (
    *(
        "effect",
        "facts",
        "effectWhen",
        "changes",
        "limits",
        "names_secrets",
        "arguments",
        "unsupported",
        "fill",
        "context",
        "afterwards",
    ),
    *("constraints",),
    *("idempotent", "summary", "result", "options", "target", "consequences", "reconcile", "done"),
    *("deletion_options",),
    *("wait", "permission", "permission_alias", "precondition", "reference", "note"),
)
KEY_ORDER = (
    *("$schema", "openapi", "info", "title", "servers", "paths", "components"),
    *("operationId", "summary", "$ref", "name", "in", "to", "operation", "type", "description"),
    *("parameters", "requestBody", "responses", "x-ap-mcp", "schema", "content"),
    *(
        "contentMediaType",
        "contentSchema",
        "readOnly",
        "const",
        "enum",
        "default",
        "examples",
        "format",
        "pattern",
        IN_WORDS,
    ),
    *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties", "items", "properties", "required", "additionalProperties"),
    *("if", "then", "else", "happens", "goes", "stays", "unknown", "needs", "named_by", "$comment", "$defs"),
)
FREE_ORDER = {
    *(
        "properties",
        "paths",
        "schemas",
        "parameters",
        "responses",
        "arguments",
        "fill",
        "context",
        "argument",
        "match",
        "prefer",
        "items",
    ),
    *(
        "content",
        "headers",
        "examples",
        "$defs",
        "variables",
        "if",
        "then",
        "else",
        "default",
        "codes",
        "statuses",
        "entries",
    ),
}
UNSHOWABLE = {"oneOf", "anyOf", "allOf", "if", "$ref", "not"}
COMBINING = {"allOf", "anyOf", "oneOf", "not", "if", "then", "else"}
WORDS = re.compile(r"[a-z0-9]+")
SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
RUN = 6
MOST_EXTENSIONS = 256
MOST_DOCUMENTS = 32
ITEM = "$item."
"""Begins what stands for a field of the object that a version stands in."""


def lint(folder: Path | None = None) -> list[str]:
    """Return everything wrong with the documents in `folder`, one line each; none if all is right."""
    folder = folder or specs_folder()
    try:
        catalog = read_catalog(folder)
        if problems := list(_unresolved(catalog)):
            return problems
        problems = [problem for operation in catalog.values() for problem in _operation_problems(catalog, operation)]
    except SpecError as error:
        return [str(error)]
    problems += [f"{path.name}: not canonical; run: ap-mcp specs check --write" for path in untidy(folder)]
    return problems


def untidy(folder: Path) -> list[Path]:
    """Return the documents that are not in canonical form."""
    return [path for path in _documents(folder) if path.read_text(encoding="utf-8") != canonical(path)]


def rewrite(folder: Path) -> list[Path]:
    """Write every document in canonical form; return those that changed."""
    changed = untidy(folder)
    for path in changed:
        path.write_text(canonical(path), encoding="utf-8")
    return changed


def canonical(path: Path) -> str:
    """Return a document's canonical text: two spaces, fixed key order, characters as they are."""
    return _canonical(path.read_bytes())


@lru_cache(MOST_DOCUMENTS)
def _canonical(content: bytes) -> str:
    return json.dumps(_sorted(json.loads(content)), indent=2, ensure_ascii=False) + "\n"


def runs(text: str) -> dict[int, str]:
    """Return every run of six words in a text by its fingerprint (four bytes), to find copied wording."""
    words = WORDS.findall(text.lower())
    found = (" ".join(words[at : at + RUN]) for at in range(len(words) - RUN + 1))
    return {int.from_bytes(blake2b(run.encode(), digest_size=4).digest()): run for run in found}


def copied(text: str, reference: frozenset[int]) -> list[str]:
    """Return the runs of six words that `text` shares with a reference, of which only fingerprints are known."""
    return [run for fingerprint, run in runs(text).items() if fingerprint in reference]


def _documents(folder: Path) -> list[Path]:
    return [folder / f"{name}.json" for name in ("common", *SUBJECTS, "kubernetes", "errors", "x-ap-mcp.schema")]


def _sorted(node: Any, parent: str = "") -> Any:
    if isinstance(node, list):
        return [_sorted(item, "") for item in node]
    if not isinstance(node, dict):
        return node
    free = parent in FREE_ORDER and not ({"type", "$ref"} & node.keys() and parent == "items")
    order = EXTENSION_ORDER if parent == "x-ap-mcp" else KEY_ORDER
    keys = node if free else sorted(node, key=lambda key: order.index(key) if key in order else len(order))
    return {key: _sorted(node[key], "" if free else key) for key in keys}


def _operation_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    checks = (
        _extension_problems(json.dumps(_raw(operation))),
        _text_problems(operation),
        _argument_problems(operation),
        _leaf_problems(operation),
        _rule_problems(operation),
        _names_problems(catalog, operation),
        _found_problems(catalog, operation),
        _link_problems(catalog, operation),
        _target_problems(catalog, operation),
        _consequence_problems(operation),
        _source_problems(operation),
        _reconcile_problems(catalog, operation),
        _done_problems(operation),
        _reading_problems(catalog, operation),
        _deletion_problems(operation),
        _wait_problems(catalog, operation),
    )
    for found in checks:
        yield from (f"{operation.id}: {problem}" for problem in found)


def _raw(operation: Operation) -> Schema:
    """Return an operation's `x-ap-mcp` as it stands in its document."""
    document = operation.documents[f"{operation.subject}.json"]
    ours: Schema = document["paths"][operation.path][operation.method.lower()]["x-ap-mcp"]
    return ours


@cache
def _extension_validator() -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import, and start-up may import us

    return Draft202012Validator(json.loads((specs_folder() / "x-ap-mcp.schema.json").read_bytes()))


@lru_cache(MOST_EXTENSIONS)
def _extension_problems(extension: str) -> tuple[str, ...]:
    """Say where an extension, as JSON, is not of the form that ours have; most stay the same from lint to lint."""
    found = _extension_validator().iter_errors(json.loads(extension))
    return tuple(f"x-ap-mcp{error.json_path.removeprefix('$')}: {error.message}" for error in found)


def _text_problems(operation: Operation) -> Iterator[str]:
    if len(SENTENCE_END.findall(operation.description)) > 3:
        yield "description has more than three sentences"
    if not operation.description.endswith("."):
        yield "description does not end with a full stop"
    if len(operation.title) > 40:
        yield "title is longer than 40 characters"
    for name in operation.arguments:
        try:
            if not argument_schema(operation, operation.arguments[name]).get("description"):
                yield f"argument {name} has no description"
        except KeyError as error:
            yield f"argument {name}: {error} is not in the schema"


def _argument_problems(operation: Operation) -> Iterator[str]:
    path_names = {part[1:-1] for part in operation.path.split("/") if part.startswith("{")} - {"project_id"}
    reached = {argument.path_parameter for argument in operation.arguments.values()}
    yield from (f"path parameter {name} is no argument" for name in sorted(path_names - reached))
    queries = {place for argument in operation.arguments.values() for place in argument.places}
    for parameter in operation.parameters:
        place = f"$request.{parameter['in']}.{parameter['name']}"
        fixed = parameter["name"] == "project_id" or "const" in parameter["schema"]
        if place not in queries and not fixed and place not in operation.unsupported:
            yield f"parameter {parameter['name']} ({parameter['in']}) is no argument"
    for name, argument in operation.arguments.items():
        yield from (f"argument {name}: {problem}" for problem in _place_problems(operation, argument))


def _place_problems(operation: Operation, argument: Argument) -> Iterator[str]:
    for place in argument.places:
        try:
            leaf = nodes_at(operation, place)[-1]
            for pointer in (*(argument.entries or {}).values(), *(argument.items or {}).values()):
                walk(operation, leaf, pointer)
        except KeyError as error:
            yield f"{error} is not in the schema"
            return
    shown = argument_schema(operation, argument)
    is_required(operation, argument)
    if bad := UNSHOWABLE & _keywords(shown):
        yield f"shows {sorted(bad)}, which several hosts reject"
    if not isinstance(shown.get("type"), str):
        yield "has no single type"
    yield from (f"{problem}, which hosts on llama.cpp refuse" for problem in untakable(shown))
    wordless = _wordless(whole_argument(operation, argument))
    yield from (f"pattern {each} has no {IN_WORDS}: who breaks it is to read words" for each in wordless)


def _wordless(schema: Any) -> Iterator[str]:
    """Find the patterns of a schema without a sentence; that of a `not` is its description."""
    if isinstance(schema, Mapping):
        if isinstance(pattern := schema.get("pattern"), str) and IN_WORDS not in schema:
            yield pattern
        yield from (found for key, child in schema.items() if key != "not" for found in _wordless(child))
    elif isinstance(schema, list):
        yield from (found for child in schema for found in _wordless(child))


def _keywords(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(_keywords(item) for item in node))
    if isinstance(node, Mapping):
        return set(node).union(*(_keywords(value) for value in node.values()))
    return set()


def _leaf_problems(operation: Operation) -> Iterator[str]:
    """Find leaves of the request body that nothing fills: no argument, constant, fill or `unsupported`."""
    for pointer in (*operation.unsupported, *(fill.pointer for fill in operation.fill)):
        try:
            nodes_at(operation, pointer)
        except KeyError:
            yield f"{pointer} is not in the schema"
    if operation.body is None:
        return
    reached = {*operation.unsupported, *(fill.pointer for fill in operation.fill)}
    for argument in operation.arguments.values():
        inner = (*(argument.entries or {}).values(), *(argument.items or {}).values())
        reached |= {place + pointer for place in argument.places for pointer in inner or ("",)}
    for leaf in _leaves(operation, operation.body, ""):
        if not any(leaf == known or leaf.startswith(f"{known}/") for known in reached):
            yield f"{leaf or '/'} of the body is no argument, constant, fill or unsupported"


def _leaves(operation: Operation, node: Schema, pointer: str) -> Iterator[str]:
    node = operation.follow(node)
    if node.get("readOnly") or "const" in node:
        return
    if "contentSchema" in node:
        yield from _leaves(operation, node["contentSchema"], pointer)
    elif node.get("properties"):
        for name, child in node["properties"].items():
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield from _leaves(operation, child, f"{pointer}/{escaped}")
    elif "items" in node:
        yield from _leaves(operation, node["items"], f"{pointer}/*")
    else:
        yield pointer


def _rule_problems(operation: Operation) -> Iterator[str]:
    """Check the facts that the operator's rules go by, and that what is secret or binary goes to a file."""
    for what, name in operation.changes.items():
        if name not in operation.arguments or CLUSTER not in operation.arguments:
            yield f"changes {what}: {operation.id} takes no {name} or no {CLUSTER}"
    for name in operation.limits or ():
        if name not in operation.arguments or _type_of(operation, name) != "integer":
            yield f"limits: {name} is no argument that is an integer"
    if operation.names_secrets and operation.names_secrets not in operation.arguments:
        yield f"names_secrets: {operation.id} takes no {operation.names_secrets}"
    secret = "secret" in {operation.effect, *(rule.effect for rule in operation.effect_when)}
    if secret and operation.limits is None:
        yield "limits: missing; it returns credentials, so say how long they may live, or {} if nothing can be limited"
    if operation.answers_with_file != (secret or operation.response_type == FILE):
        yield "result: a file is for answers that are secret or binary, and for all of them"


def _type_of(operation: Operation, name: str) -> Any:
    return argument_schema(operation, operation.arguments[name]).get("type")


def _names_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check how what an operation lists is found by name."""
    names = operation.names
    if names is None:
        return
    for pointer in filter(None, (names.id, *names.by, names.version, names.shown)):
        yield from _outside(operation, f"{names.list}/0{pointer}", "names")
    yield from _missing_arguments(catalog, operation.id, set(names.within), "names")
    users = [each for each in catalog.values() if names.argument in each.arguments]
    if not users:
        yield f"names: no operation takes {names.argument}"
    for each in users if not names.searched_by else ():
        if lacking := sorted(set(names.within) - each.arguments.keys()):
            yield f"names: {each.id} takes {names.argument}, but not {lacking}"


def _found_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check how short versions are found, and that nothing may be left out of a path but what a name finds."""
    for name, argument in operation.arguments.items():
        if argument.path_parameter and argument.required is False:
            found = catalog.named.get(name)
            by = found[1].searched_by if found else ""
            if not by or by not in operation.arguments:
                yield f"argument {name}: it may be left out of the path, and nothing says how it is found"
        if offered := argument.offered:
            where = f"argument {name}, offered"
            yield from _missing_arguments(catalog, offered.operation, set(offered.arguments), where)
            yield from _stray_arguments(operation, offered.arguments, where)
            fields = {offered.field} if offered.field else set()
            fields |= {each.removeprefix(ITEM) for each in offered.arguments.values() if each.startswith(ITEM)}
            if strangers := sorted(fields - {*(argument.items or ())}):
                yield f"{where}: {strangers} are no fields of its objects"
            if read := catalog.get(offered.operation):
                for pointer in offered.versions:
                    yield from _outside(read, pointer, where)


def _link_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check what points to another operation: fill and context."""
    for fill in operation.fill:
        yield from _fill_problems(catalog, operation, fill)
    for context in operation.context:
        yield from _missing_arguments(catalog, context.operation, {context.argument}, f"context {context.argument}")
        if context.argument in operation.arguments:
            yield f"context {context.argument}: it is an argument of {operation.id} already"
        read = catalog.get(context.operation)
        if read and context.argument not in read.arguments:
            yield f"context {context.argument}: {read.id} takes no such argument"
    if operation.effect != "read":
        ours = [*(each.argument for each in operation.context), *operation.options]
        yield from (f"argument {each}: {operation.id} does more than read" for each in ours)


def _fill_problems(catalog: Catalog, operation: Operation, fill: Fill) -> Iterator[str]:
    """Check that what is filled in can be read, and that an argument says what replaces it."""
    where = f"fill {fill.pointer}"
    reads = [(fill.operation, fill.arguments, [f"{'/0' if fill.entry else ''}{each}" for each in fill.sources])]
    if entry := fill.entry:
        reads[0][2].extend(f"/0{each}" for each in (*entry.match, *entry.prefer))
        reads.append((entry.operation, entry.arguments, [*entry.match.values(), *entry.prefer.values()]))
    for name, arguments, sources in reads:
        yield from _missing_arguments(catalog, name, set(arguments), where)
        yield from _stray_arguments(operation, arguments, where)
        if read := catalog.get(name):
            for source in sources:
                yield from _outside(read, source, where)
    if fill.reset and (fill.reset not in operation.arguments or _type_of(operation, fill.reset) != "boolean"):
        yield f"{where}: reset {fill.reset} is no argument that is a boolean"
    if fill.merge and not any(fill.pointer in each.places for each in operation.arguments.values()):
        yield f"{where}: no argument gives what is merged"


def _target_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check how the thing acted on is read, and what is shown of it."""
    if not (target := operation.target):
        return
    if target.argument not in operation.arguments:
        yield f"target: {target.argument} is no argument"
    yield from _missing_arguments(catalog, target.read, set(operation.arguments), "target")
    if read := catalog.get(target.read):
        thing = ""
        if target.item:
            thing = f"{target.item.list}/0"
            yield from _outside(read, thing + target.item.id, "target")
        more = [each for each in (target.cluster, target.ended and target.ended.phase_at) if each]
        for pointer in (*target.facts.values(), *more, *_settings(operation, target)):
            yield from _outside(read, thing + pointer, "target")
    yield from _condition_problems(catalog, operation, target)


def _condition_problems(catalog: Catalog, operation: Operation, target: Target) -> Iterator[str]:
    """Check what the thing must be like, or the call is refused."""
    for name, label in target.before.items():
        if name not in operation.arguments or _type_of(operation, name) != "string":
            yield f"target: before: {name} is no argument that is a text"
        if label not in target.facts:
            yield f"target: before: {label!r} is none of the facts"
    if target.cluster and CLUSTER in operation.arguments:
        yield f"target: cluster: {CLUSTER} names it already"
    if target.ended and target.ended.kind not in catalog.waits:
        yield f"target: ended: nothing is waited for as {target.ended.kind}"


def _settings(operation: Operation, target: Target) -> Iterator[str]:
    """Yield where in the thing each setting of the request body must stand, so that both can be compared."""
    if target.settings is None:
        return
    if operation.body is None or operation.content_type != JSON:
        raise SpecError(f"{operation.id}: target: it sends no JSON that could replace settings")
    leaves = (leaf for leaf in _leaves(operation, operation.body, "") if leaf not in operation.unsupported)
    yield from (target.settings + leaf for leaf in leaves)


def _consequence_problems(operation: Operation) -> Iterator[str]:
    """Check the sentences that a person reads before they agree, and the arguments they depend on."""
    for each in operation.consequences:
        if each.happens and not (each.happens.endswith(".") and len(SENTENCE_END.findall(each.happens)) == 1):
            yield f"consequences: {each.happens!r} is not one sentence with a full stop"
        for line in (*each.goes, *each.stays, *each.unknown):
            if line.endswith("."):
                yield f"consequences: {line!r} is a line of a list and ends without a full stop"
        named = _named_in(each.condition or {})
        if strange := sorted(named - operation.arguments.keys()):
            yield f"consequences: {', '.join(strange)} is no argument of {operation.id}"
    if operation.consequences and not operation.target and "name" not in operation.arguments:
        yield "consequences: without a target or a name the question cannot say what the call acts on"


def _source_problems(operation: Operation) -> Iterator[str]:
    """Find an operation of the API reference without the IAM action that the reference names for it."""
    if operation.permission is None and not operation.reference.startswith("SDK "):
        yield f"permission is missing: the API reference names one for section {operation.reference}"


def _named_in(condition: Any) -> set[str]:
    """Return the arguments that a condition over the flat arguments goes by."""
    if isinstance(condition, list):
        return set().union(*map(_named_in, condition))
    if not isinstance(condition, Mapping):
        return set()
    inner = [value for key, value in condition.items() if key in COMBINING]
    return {*condition.get("properties", {}), *condition.get("required", ())}.union(*map(_named_in, inner))


def _reconcile_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check how something created would be found in a list, when the answer of the call was lost."""
    if not (made := operation.reconcile):
        return
    yield from _missing_arguments(catalog, made.operation, set(operation.arguments), "reconcile")
    named = (*made.match, *made.fits)
    yield from _stray_arguments(operation, {name: f"$arguments.{name}" for name in named}, "reconcile")
    if operation.idempotent:
        yield f"reconcile: {operation.id} may be sent again anyway"
    if made.match and made.fits:
        yield "reconcile: fits is for what has no name to match"
    if read := catalog.get(made.operation):
        for pointer in (*made.match.values(), *made.fits.values(), made.id, made.created_at):
            yield from _outside(read, f"{made.list}/0{pointer}", "reconcile")


def _reading_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check what is read before the effect of a call is known, and once it has succeeded."""
    readings = [("facts", fact.reading) for fact in operation.facts]
    readings += [("afterwards", operation.afterwards)] if operation.afterwards else []
    for what, reading in readings:
        yield from _missing_arguments(catalog, reading.operation, set(reading.arguments), what)
        yield from _stray_arguments(operation, reading.arguments, what)
    for fact in operation.facts:
        if fact.replaced_by not in operation.arguments:
            yield f"facts: {fact.replaced_by} is no argument of {operation.id}"
        if read := catalog.get(fact.reading.operation):
            for pointer in (fact.key, fact.value):
                yield from _outside(read, f"{fact.list}/0{pointer}", "facts")


def _done_problems(operation: Operation) -> Iterator[str]:
    """Check that there is something to read that shows whether a call was carried out."""
    if operation.done is not None and operation.target is None:
        yield "done: there is no target that could show it"


def _deletion_problems(operation: Operation) -> Iterator[str]:
    """Check that what goes and what stays is said for every value of an option that may be given."""
    for name, fates in operation.deletion_options.items():
        if name not in operation.arguments:
            yield f"deletion_options: {name} is no argument"
            continue
        schema = argument_schema(operation, operation.arguments[name])
        values = {*schema.get("enum", ())}
        if values != set(fates) or schema.get("default") not in values:
            yield f"deletion_options: {name} takes {sorted(values)} and a default, what is said is of {sorted(fates)}"


def _wait_problems(catalog: Catalog, operation: Operation) -> Iterator[str]:
    """Check how the end is said, and that it is said the same way wherever the same thing is read."""
    if not (wait := operation.wait):
        return
    yield from _missing_arguments(catalog, wait.operation, set(wait.argument), "wait")
    yield from _stray_arguments(operation, wait.argument, "wait")
    if wait.skip_if and wait.skip_if not in operation.arguments:
        yield f"wait: {wait.skip_if} is no argument of {operation.id}"
    if about := wait.resource:
        yield from _missing_arguments(catalog, about.operation, set(about.argument), "wait resource")
    for place in wait.argument.values():
        if place.startswith("/"):
            yield from _outside(operation, place, "wait")
    yield from _owner_problems(operation, wait)
    if read := catalog.get(wait.operation):
        yield from _phase_problems(read, wait)
        yield from _naming_problems(read, wait)
        if (read.wait and read.awaited_as) and (read.wait.phase_at, read.wait.interval_s) != (
            wait.phase_at,
            wait.interval_s,
        ):
            yield f"wait: differs from what {read.id} says about itself; leave out phase_at and interval_s"
    kind = operation.awaited_as
    if others := [each.id for each in catalog.values() if kind and each.awaited_as == kind and each is not operation]:
        yield f"wait: {kind} is waited for with {', '.join(others)} too"


def _owner_problems(operation: Operation, wait: Wait) -> Iterator[str]:
    """Check what only an operation says that can be waited on, and must say."""
    raw = _raw(operation)["wait"]
    if wait.operation == operation.id:
        yield from (f"wait: {each} is missing" for each in ("kind", "id") if each not in raw)
        named = {*operation.arguments} & {*wait.argument} | ({ENTRY} if wait.item else set())
        if wait.id not in named:
            yield f"wait: id {wait.id} is not among the arguments that name the thing: {', '.join(sorted(named))}"
        return
    own = ("kind", "id", "groups", "wording", "aliases", "item", "resource")
    yield from (f"wait: {each} is for {wait.operation} to say" for each in own if each in raw)


def _phase_problems(read: Operation, wait: Wait) -> Iterator[str]:
    """Check the phases of a wait, and where they stand, against the answer of the operation it reads with."""
    if wait.item:
        yield from _outside(read, f"{wait.item.list}/0{wait.item.id}", "wait")
    problems = list(_outside(read, wait.phase_at, "wait"))
    yield from problems
    meanings = {each: getattr(wait, each) for each in PHASE_VERDICTS}
    for (one, its), (other, theirs) in combinations(meanings.items(), 2):
        if both := sorted(set(its) & set(theirs)):
            yield f"wait: {both} are {one} and {other}"
    listed = set().union(*meanings.values())
    if not problems:
        node = walk(read, read.response or {}, wait.phase_at)[-1]
        known = set(node.get("enum", node.get("examples", listed)))
        if stray := sorted(listed - known):
            yield f"wait: {stray} are not among the phases that {read.id} knows at {wait.phase_at}"
        if untold := sorted(known - listed):
            yield f"wait: what {untold} mean is not said; {read.id} knows them at {wait.phase_at}"
    named = {**wait.groups, "wording": tuple(wait.wording), "aliases": tuple(wait.aliases.values())}
    for name, phases in named.items():
        if stray := sorted(set(phases) - listed):
            yield f"wait: {name} names {stray}, which are no phases of it"
    if both := sorted(set(wait.aliases) & listed):
        yield f"wait: {both} are aliases and phases"


def _naming_problems(read: Operation, wait: Wait) -> Iterator[str]:
    """Check what names the thing, and what it is about, against the operations that take these names."""
    known = {*read.arguments, *([ENTRY] if wait.item else [])}
    if about := wait.resource:
        known |= set(about.argument)
        for place in (about.type_at, *about.argument.values()):
            yield from _outside(read, place, "wait resource")
    if stray := sorted(set(wait.argument) - known):
        yield f"wait: {read.id} takes no {stray}"


def _missing_arguments(catalog: Catalog, name: str, given: set[str], where: str) -> Iterator[str]:
    read = catalog.get(name)
    if read is None:
        yield f"{where}: there is no operation {name}"
        return
    if read.effect != "read":
        yield f"{where}: {name} does more than read"
    needed = {argument for argument, value in read.arguments.items() if is_required(read, value)}
    if missing := sorted(needed - given):
        yield f"{where}: {name} needs {missing}"


def _stray_arguments(operation: Operation, places: Mapping[str, str], where: str) -> Iterator[str]:
    for place in places.values():
        name = place.removeprefix("$arguments.")
        if name != place and name not in operation.arguments:
            yield f"{where}: {name} is no argument of {operation.id}"


def _outside(operation: Operation, pointer: str, where: str) -> Iterator[str]:
    try:
        walk(operation, operation.response or {}, pointer)
    except KeyError:
        yield f"{where}: {pointer} is not in the answer of {operation.id}"


def _unresolved(catalog: Catalog) -> Iterator[str]:
    """Find references that point to nothing, by making every schema self-contained once."""
    for operation in catalog.values():
        for schema in filter(None, (operation.body, operation.response)):
            try:
                strict(operation, schema)
            except SpecError as error:
                yield f"{operation.id}: {error}"
