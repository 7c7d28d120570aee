"""Loads `tool_specs/*.json` into an immutable catalog of operations.

The documents are plain OpenAPI 3.1; what is ours stands in each operation's `x-ap-mcp` object,
whose form is `tool_specs/x-ap-mcp.schema.json`.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from ap_mcp.errors import SpecError
from ap_mcp.specs.waits import NOTHING, Wait, own_waits, read_wait

Schema: TypeAlias = Mapping[str, Any]
Effect: TypeAlias = Literal["read", "write", "disrupt", "destroy", "secret"]

EFFECTS: tuple[Effect, ...] = ("read", "write", "disrupt", "destroy", "secret")
GUARDED: frozenset[Effect] = frozenset({"disrupt", "destroy", "secret"})
SUBJECTS = ("clusters", "addons", "upgrades", "quotas", "tags", "charts")
METHODS = ("get", "put", "post", "delete", "patch")

_EXPRESSION = re.compile(r"\{?\$response\.body#((?:/[^{}]*)?)\}?")

CLUSTER = "cluster_id"
"""The argument that names a cluster, whatever the operation."""
FILE = "application/octet-stream"
JSON = "application/json"
MULTIPART = "multipart/form-data"
SENDS_FILE, LEAVES_CREDENTIALS = "sends a file of", "leaves credentials on"


class Names(NamedTuple):
    """How a thing is found by its name, wherever its id stands: the operation that has this lists such things.

    Attributes:
        argument: takes the id, whatever the operation.
        thing: what it is, in a word.
        list: where the list stands in the answer.
        id: where an entry has its id.
        by: where it has its names.
        within: arguments of the call that say where it is; the list is read with them.
        version: where an entry has its version, if several may have one name: `name:version` is one of them.
        shown: where it says what tells it from others of its name; empty if nothing does.
        searched_by: the argument that has the name, if it is the place of the thing that is found, and left out.
        as_is: the service takes the name itself; others like it are read only if it fits nothing.
    """

    argument: str
    thing: str
    list: str
    id: str
    by: Sequence[str]
    within: Sequence[str] = ()
    version: str = ""
    shown: str = ""
    searched_by: str = ""
    as_is: bool = False


class Offered(NamedTuple):
    """Which versions there are, so that a short one (`1.31`, `v1.31.4`) can stand for a whole one.

    Attributes:
        operation: lists them.
        versions: where they stand in its answer, `*` for each entry of a list.
        whole: the pattern of a version that is sent as it is; nothing is read for it.
        arguments: of that read.
        complete: there are no others, so that what fits none of them is refused.
        field: where the argument is a list of objects, their field that is the version; those of the read may then be
            fields too, as `$item.` and the name of one.
    """

    operation: str
    versions: Sequence[str]
    whole: str
    arguments: Mapping[str, str] = NOTHING
    complete: bool = False
    field: str = ""

    def given(self, arguments: Mapping[str, Any], item: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
        """Return the arguments of the read, by those of the call and by the object that the version stands in."""
        known = {f"$arguments.{name}": each for name, each in arguments.items()}
        known |= {f"$item.{name}": each for name, each in item.items()}
        return {name: known.get(place) for name, place in self.arguments.items()}


class Argument(NamedTuple):
    """One flat tool argument and the place or places its value goes to."""

    name: str
    places: tuple[str, ...]
    entries: Mapping[str, str] | None = None
    items: Mapping[str, str] | None = None
    description: str | None = None
    schema: Schema = NOTHING
    required: bool | None = None
    joined: str | None = None
    offered: Offered | None = None

    @property
    def path_parameter(self) -> str | None:
        """The path parameter it fills, if it fills one."""
        prefix = "$request.path."
        return next((place.removeprefix(prefix) for place in self.places if place.startswith(prefix)), None)


class Entry(NamedTuple):
    """Which entry of a list is meant: the one that agrees with another answer.

    Attributes:
        operation: answers what it must agree with.
        arguments: of that read.
        match: pointers into an entry, each with the pointer into that answer where the same value stands.
        prefer: likewise, but decides only between several entries.
    """

    operation: str
    arguments: Mapping[str, str]
    match: Mapping[str, str]
    prefer: Mapping[str, str] = NOTHING


class Fill(NamedTuple):
    """A body value that is read from the cloud before the request is sent.

    Attributes:
        pointer: where it goes.
        operation: reads it.
        arguments: of that read.
        value: what is taken from the answer.
        merge: what the call gives is laid over it; else what the call gives is sent alone.
        condition: over the flat arguments; None if it holds for every call.
        entry: the answer is a list, and the value is taken from this entry of it.
        otherwise: what is sent if the value is not found; None: then the call is refused.
        reset: the argument with which the call replaces all of it instead; empty if none does.
        reset_at: where the request says that what it leaves out is dropped.
        defaults: who knows the defaults of versions, so that untouched ones follow the new version; empty if nobody.
    """

    pointer: str
    operation: str
    arguments: Mapping[str, str]
    value: str
    merge: bool = False
    condition: Schema | None = None
    entry: Entry | None = None
    otherwise: Any = None
    reset: str = ""
    reset_at: str = ""
    defaults: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Pointers into the answer that the value is made of."""
        return tuple(_EXPRESSION.findall(self.value))

    def take(self, body: Any) -> Any:
        """Return the value out of an answer: what its expression points to, or its text with the expressions put in.

        Raises:
            LookupError: the answer lacks a part of it.
        """
        if not self.value.startswith("$"):
            return _EXPRESSION.sub(lambda found: str(_value_at(body, found[1])), self.value)
        return _value_at(body, self.sources[0])


class ListItem(NamedTuple):
    """The entry of a list that an argument names: where the list stands, and where an entry has its id."""

    list: str
    id: str


class MustHaveEnded(NamedTuple):
    """Where the phase of a thing stands that a call may act on only once it has ended, and what kind of phase it is."""

    kind: str
    phase_at: str


class Target(NamedTuple):
    """The argument that names the thing acted on, and the operation that reads it.

    Attributes:
        argument: names the thing.
        read: the operation that reads it.
        cluster: where its answer has the id of the cluster that the thing is about, if no argument names one.
        item: which entry is the thing, if the read answers a list.
        settings: where the settings that the request body replaces stand in the thing; None if it replaces none.
        created_at: where a thing that goes by a name says when it was created, which another one of that name does not.
        facts: what a person must see of the thing, as labels with pointers into it.
        before: arguments that are times, each with the label of the fact before which it must be.
        ended: the phase that says whether the thing is under way, if it must not be.
    """

    argument: str
    read: str
    cluster: str | None = None
    item: ListItem | None = None
    settings: str | None = None
    created_at: str | None = None
    facts: Mapping[str, str] = NOTHING
    before: Mapping[str, str] = NOTHING
    ended: MustHaveEnded | None = None


class Consequence(NamedTuple):
    """What follows from a call, in sentences for the person who is asked.

    Attributes:
        condition: over the flat arguments; None if it always follows.
        happens: what the call brings about, as one sentence; empty if that is said elsewhere.
        goes: what goes away or changes with it.
        stays: what stays and may keep costing.
        unknown: what the API does not say.
    """

    condition: Schema | None = None
    happens: str = ""
    goes: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Reading(NamedTuple):
    """A read that is made for a call: the operation, and where each of its arguments comes from.

    Attributes:
        operation: reads.
        arguments: its arguments, as `$arguments.` and the name of one of the call.
    """

    operation: str
    arguments: Mapping[str, str]

    def given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the read, by those of the call."""
        return {name: arguments[place.removeprefix("$arguments.")] for name, place in self.arguments.items()}


class Fact(NamedTuple):
    """What the effect of a call depends on: the entries of a list that the call gives another value.

    Attributes:
        name: what conditions call it, without the `$`.
        reading: answers with the list.
        list: where the list stands.
        key: where an entry has its key.
        value: where it has its value.
        replaced_by: the argument that maps keys to new values.
    """

    name: str
    reading: Reading
    list: str
    key: str
    value: str
    replaced_by: str

    def take(self, body: Any, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Return the entries that would get another value, each with the value it has.

        Raises:
            LookupError: what was read holds no such list.
        """
        wanted, found = arguments.get(self.replaced_by, {}), {}
        rows = _value_or_none(body, self.list)
        is_list = isinstance(rows, list) and all(isinstance(row, Mapping) for row in rows)
        if not (isinstance(body, Mapping) and (rows is None or is_list)):
            raise LookupError(self.list)
        for row in rows or ():
            key, value = str(_value_or_none(row, self.key)), _value_or_none(row, self.value)
            if key in wanted and (value or "") != wanted[key]:
                found[key] = str(value or "")
        return found


class Objects(NamedTuple):
    """Where an answer says which objects of the cluster a thing consists of, and in which namespace."""

    list: str
    namespace: str


class Context(NamedTuple):
    """An argument that is not sent: what it names is read with another operation, for the summary to use."""

    argument: str
    operation: str
    description: str | None = None


class Reconcile(NamedTuple):
    """How to see whether a call whose answer was lost has created something.

    Attributes:
        operation: lists such things.
        list: where the list stands in its answer.
        id: where an entry has its id.
        created_at: where it says when it was created.
        match: arguments of the call, and where an entry has the same value; empty: what is created has no name, so
            what was created since the call was sent may be it.
        fits: arguments that are versions, and where such an entry has a version that must fit.
    """

    operation: str
    list: str
    id: str
    created_at: str
    match: Mapping[str, str] = NOTHING
    fits: Mapping[str, str] = NOTHING


class Precondition(NamedTuple):
    """What must be so in the account before an operation can succeed, and no call of ours can bring about.

    Attributes:
        needs: says it, in one or two sentences.
        named_by: a word by which a refusal that comes from it is recognised; empty if there is none.
    """

    needs: str
    named_by: str = ""


class Fate(NamedTuple):
    """What one value of an option of a deletion does.

    Attributes:
        takes: what goes; empty if nothing does.
        leaves: what stays, and may keep costing; empty if nothing does.
        data: data is lost with what goes.
        on_failure: what becomes of the deletion if this part of it fails.
    """

    takes: str = ""
    leaves: str = ""
    data: bool = False
    on_failure: Literal["", "stop", "continue"] = ""


class EffectRule(NamedTuple):
    """A condition over the flat arguments, and the facts by `$` and their name, that raises the effect."""

    condition: Schema
    effect: Effect


def graver(least: Effect, effects: Collection[Effect]) -> str:
    """Return those of some effects that are graver than one, in words: `destroy or secret`; empty if none is."""
    return " or ".join(each for each in EFFECTS[EFFECTS.index(least) + 1 :] if each in effects)


@dataclass(frozen=True, eq=False)
class Operation:
    """One documented operation, which is one tool; equal to itself only, so that what is made of it can be kept.

    Attributes:
        facts: what is read before its effect is known.
        afterwards: what is read once it has succeeded, for the summary.
        objects: which objects of the cluster the thing that it reads consists of; None if it has none.
        changes: what rules use and a call changes (`cluster_tags`, `cluster_alias`), and the argument that says it.
        limits: arguments that a call must give, and the setting with the largest value; None: nothing is said.
        names_secrets: the argument with settings that may name existing Secrets, which pods could read then; or empty.
        done: a JSON Schema of what `target` reads, which it meets once the call was carried out.
        permission: IAM action a caller needs; empty if the vendor says none, None if no page of the vendor says.
        permission_alias: another name of that action; empty if it has none.
        file_name: what the file is called, behind what it is about, if the answer goes to one and never into the
            conversation; empty if it does not.
        names: how the things that it lists are found by their names; None if they have ids only.
    """

    id: str
    method: str
    path: str
    subject: str
    title: str
    description: str
    effect: Effect
    facts: tuple[Fact, ...]
    effect_when: tuple[EffectRule, ...]
    changes: Mapping[str, str]
    limits: Mapping[str, str] | None
    arguments: Mapping[str, Argument]
    unsupported: tuple[str, ...]
    constraints: Schema | None
    fill: tuple[Fill, ...]
    context: tuple[Context, ...]
    afterwards: Reading | None
    objects: Objects | None
    options: tuple[str, ...]
    idempotent: bool
    summary: str
    file_name: str
    target: Target | None
    consequences: tuple[Consequence, ...]
    reconcile: Reconcile | None
    done: Schema | None
    deletion_options: Mapping[str, Mapping[str, Fate]]
    wait: Wait | None
    permission: str | None
    permission_alias: str
    precondition: Precondition | None
    reference: str
    parameters: tuple[Schema, ...]
    body: Schema | None
    body_required: bool
    content_type: str
    status: int
    response: Schema | None
    response_type: str | None
    documents: Mapping[str, Schema] = field(repr=False, compare=False)
    names: Names | None = None
    names_secrets: str = ""

    @property
    def iam_action(self) -> str:
        """The IAM action a caller needs, with its other name; empty if none is needed or documented."""
        alias = f" (or its alias {self.permission_alias})" if self.permission_alias else ""
        return f"{self.permission}{alias}" if self.permission else ""

    @cached_property
    def worst_effect(self) -> Effect:
        """The gravest effect that any arguments can bring about."""
        return max(self.effects, key=EFFECTS.index)

    @cached_property
    def effects(self) -> frozenset[Effect]:
        """Every effect that some arguments can bring about."""
        by_name: set[Effect] = {"secret"} if self.names_secrets else set()
        return frozenset({self.effect, *(rule.effect for rule in self.effect_when), *by_name})

    @property
    def guarded(self) -> bool:
        """Whether some call of it needs a person's consent."""
        return self.worst_effect in GUARDED

    @property
    def awaited_as(self) -> str | None:
        """The kind of thing one can wait for by reading with this operation; None if its answers show no end."""
        return self.wait.kind if self.wait is not None and self.wait.operation == self.id else None

    @property
    def answers_with_file(self) -> bool:
        """Whether its answer goes to a file."""
        return bool(self.file_name)

    @property
    def local_use(self) -> str:
        """What it does to the machine it runs on, so that it is for callers there only, as a predicate; else empty."""
        if self.content_type == MULTIPART:
            return SENDS_FILE
        return LEAVES_CREDENTIALS if self.answers_with_file and self.worst_effect == "secret" else ""

    @property
    def on_cluster(self) -> bool:
        """Whether it acts on a cluster: one that an argument names, or that the thing it acts on is about."""
        return CLUSTER in self.arguments or (self.target is not None and self.target.cluster is not None)

    @property
    def deletes(self) -> bool:
        """Whether it removes what it acts on."""
        return self.method == "DELETE"

    @property
    def may_answer_nothing(self) -> bool:
        """Whether a success may come without a body: the spec allows null where it else has an object."""
        return self.response is not None and "null" in self.follow(self.response).get("type", ())

    def follow(self, node: Schema) -> Schema:
        """Return `node` with its `$ref`, if it has one, replaced by what it points to."""
        while "$ref" in node:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            node = {**pointed(self.documents, node["$ref"]), **rest}
        return node

    def parameter(self, place: str, name: str) -> Schema | None:
        """Return the declared parameter `name` in `place` (path, query, header), or None."""
        return next((p for p in self.parameters if p["in"] == place and p["name"] == name), None)


class Catalog(Mapping[str, Operation]):
    """All operations by tool name, in the order of the documents; and the documents themselves."""

    def __init__(self, operations: Sequence[Operation], documents: Mapping[str, Schema]) -> None:
        self._operations = {operation.id: operation for operation in operations}
        if len(self._operations) != len(operations):
            names = [operation.id for operation in operations]
            raise SpecError(f"operationId used twice: {sorted({n for n in names if names.count(n) > 1})}")
        self.documents = documents

    def __getitem__(self, name: str) -> Operation:
        return self._operations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._operations)

    def __len__(self) -> int:
        return len(self._operations)

    @cached_property
    def waits(self) -> Mapping[str, Wait]:
        """How things end, by their kind: the one place that says what their phases mean."""
        return MappingProxyType({each.awaited_as: each.wait for each in self.values() if each.awaited_as and each.wait})

    @cached_property
    def named(self) -> Mapping[str, tuple[Operation, Names]]:
        """What can be found by a name: by the argument that takes its id, what lists it and how it is found there."""
        found = {each.names.argument: (each, each.names) for each in self.values() if each.names}
        return MappingProxyType({name: found[name] for name in found if not found[name][1].as_is})

    @cached_property
    def taken_as_is(self) -> "Sequence[tuple[Operation, Names]]":
        """What the service takes by its name, with the operation that lists such things."""
        return [(each, each.names) for each in self.values() if each.names and each.names.as_is]

    def deletions_of(self, read: str) -> list[Operation]:
        """Return the operations that delete what an operation reads."""
        return [each for each in self._deletions if each.target and each.target.read == read]

    @cached_property
    def _deletions(self) -> tuple[Operation, ...]:
        return tuple(each for each in self.values() if each.deletes)

    def __repr__(self) -> str:
        return f"<Catalog of {len(self)} operations>"


def specs_folder() -> Path:
    """Return the folder of the documents: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "tool_specs", package.parent / "tool_specs"):
        if (folder / "common.json").is_file():
            return folder
    raise SpecError(f"tool_specs not found in {package} or beside it: reinstall ap-mcp")


@cache
def load_catalog() -> Catalog:
    """Return the catalog of the shipped documents; parsed once per process."""
    return read_catalog(specs_folder())


def read_catalog(folder: Path) -> Catalog:
    """Parse the documents in `folder` into a catalog.

    Raises:
        SpecError: a document is missing, no JSON, or an operation lacks what is mandatory.
    """
    documents: dict[str, Schema] = {}
    for name in ("common", *SUBJECTS):
        path = folder / f"{name}.json"
        try:
            documents[path.name] = json.loads(path.read_bytes(), object_hook=partial(_absolute, path.name))
        except (OSError, ValueError) as error:
            raise SpecError(f"{path}: {error}") from error
    frozen = MappingProxyType(documents)
    found = [
        (subject, path, method, item[method])
        for subject in SUBJECTS
        for path, item in documents[f"{subject}.json"].get("paths", {}).items()
        for method in METHODS
        if method in item
    ]
    waits = own_waits(raw for *_, raw in found)
    return Catalog([_operation(*each, waits=waits, documents=frozen) for each in found], frozen)


def pointed(documents: Mapping[str, Schema], reference: str) -> Schema:
    """Return the node that an absolute reference (`clusters.json#/components/…`) points to."""
    document, _, pointer = reference.partition("#")
    node: Any = documents.get(document)
    for token in tokens(pointer):
        node = node.get(token) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        raise SpecError(f"{reference} points to nothing")
    return node


def tokens(pointer: str) -> list[str]:
    """Split an RFC 6901 pointer into its unescaped tokens; the empty pointer has none."""
    split = pointer.split("/")[1:]
    return [token.replace("~1", "/").replace("~0", "~") for token in split] if "~" in pointer else split


def _value_at(body: Any, pointer: str) -> Any:
    for token in tokens(pointer):
        if isinstance(body, list) and token.isdigit() and int(token) < len(body):
            body = body[int(token)]
        elif isinstance(body, Mapping) and token in body:
            body = body[token]
        else:
            raise LookupError(pointer)
    return body


def _value_or_none(body: Any, pointer: str) -> Any:
    try:
        return _value_at(body, pointer)
    except LookupError:
        return None


def _absolute(document: str, node: dict[str, Any]) -> dict[str, Any]:
    """Make a relative `$ref` absolute, so that the node can be read out of its document."""
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        node["$ref"] = document + reference
    return node


def _operation(
    subject: str, path: str, method: str, raw: Schema, *, waits: Mapping[str, Schema], documents: Mapping[str, Schema]
) -> Operation:
    try:
        ours = raw["x-ap-mcp"]
        status, response_type, response = _success(raw["responses"])
        content = raw.get("requestBody", {}).get("content", {})
        content_type = next(iter(content), JSON)
        return Operation(
            id=raw["operationId"],
            method=method.upper(),
            path=path,
            subject=subject,
            title=raw["summary"],
            description=raw["description"],
            effect=ours["effect"],
            facts=tuple(_fact(name, value) for name, value in ours.get("facts", {}).items()),
            effect_when=tuple(EffectRule(rule["if"], rule["effect"]) for rule in ours.get("effectWhen", ())),
            changes=ours.get("changes", {}),
            limits=ours.get("limits"),
            arguments={name: _argument(name, value) for name, value in ours["arguments"].items()},
            unsupported=tuple(ours.get("unsupported", ())),
            constraints=ours.get("constraints"),
            fill=tuple(each for pointer, value in ours.get("fill", {}).items() for each in _fills(pointer, value)),
            context=tuple(Context(name, **value) for name, value in ours.get("context", {}).items()),
            afterwards=Reading(**ours["afterwards"]) if "afterwards" in ours else None,
            objects=Objects(**ours["objects"]) if "objects" in ours else None,
            options=tuple(ours.get("options", ())),
            idempotent=ours["idempotent"],
            summary=ours["summary"],
            file_name=ours.get("result", ""),
            target=_target(ours["target"]) if "target" in ours else None,
            consequences=tuple(_consequence(each) for each in ours.get("consequences", ())),
            reconcile=Reconcile(**ours["reconcile"]) if "reconcile" in ours else None,
            done=ours.get("done"),
            deletion_options=_deletion_options(ours.get("deletion_options", {})),
            wait=read_wait(ours["wait"], waits) if "wait" in ours else None,
            permission=(ours["permission"] or "") if "permission" in ours else None,
            permission_alias=ours.get("permission_alias", ""),
            precondition=Precondition(**ours["precondition"]) if "precondition" in ours else None,
            reference=ours["reference"],
            parameters=tuple(_parameter(parameter, documents) for parameter in raw.get("parameters", ())),
            body=content[content_type]["schema"] if content else None,
            body_required=raw.get("requestBody", {}).get("required", False),
            content_type=content_type,
            status=status,
            response=response,
            response_type=response_type,
            documents=documents,
            names=Names(**ours["names"]) if "names" in ours else None,
            names_secrets=ours.get("names_secrets", ""),
        )
    except (KeyError, TypeError) as error:
        raise SpecError(f"{subject}.json, {method.upper()} {path}: missing or malformed {error}") from error


def _success(responses: Mapping[str, Any]) -> tuple[int, str | None, Schema | None]:
    status = next(code for code in responses if code.startswith("2"))
    content = responses[status].get("content", {})
    media_type = next(iter(content), None)
    return int(status), media_type, content[media_type]["schema"] if media_type else None


def _parameter(raw: Schema, documents: Mapping[str, Schema]) -> Schema:
    return pointed(documents, raw["$ref"]) if "$ref" in raw else raw


def _argument(name: str, value: str | Mapping[str, Any]) -> Argument:
    if isinstance(value, str):
        return Argument(name, (value,))
    to = value["to"]
    return Argument(
        name,
        (to,) if isinstance(to, str) else tuple(to),
        entries=value.get("entries"),
        items=value.get("items"),
        description=value.get("description"),
        schema=value.get("schema", {}),
        required=value.get("required"),
        joined=value.get("joined"),
        offered=Offered(**value["offered"]) if "offered" in value else None,
    )


def _fact(name: str, value: Mapping[str, Any]) -> Fact:
    rest = {key: each for key, each in value.items() if key not in ("operation", "arguments")}
    return Fact(name, Reading(value["operation"], value["arguments"]), **rest)


def _deletion_options(value: Mapping[str, Any]) -> dict[str, dict[str, Fate]]:
    return {name: {each: Fate(**fate) for each, fate in values.items()} for name, values in value.items()}


def _fills(pointer: str, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterator[Fill]:
    for each in [value] if isinstance(value, Mapping) else value:
        given = {name: part for name, part in each.items() if name not in ("if", "entry")}
        entry = Entry(**each["entry"]) if "entry" in each else None
        yield Fill(pointer, condition=each.get("if"), entry=entry, **given)


def _target(value: Mapping[str, Any]) -> Target:
    item = {"item": ListItem(**value["item"])} if "item" in value else {}
    ended = {"ended": MustHaveEnded(**value["ended"])} if "ended" in value else {}
    return Target(**{**value, **item, **ended})


def _consequence(value: Mapping[str, Any]) -> Consequence:
    lines = {name: tuple(value.get(name, ())) for name in ("goes", "stays", "unknown")}
    return Consequence(value.get("if"), value.get("happens", ""), **lines)
