"""Reads the arguments of a call as they are meant, checks them, and says everything that is wrong at once."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any

from ap_mcp.errors import InvalidArguments, Problem
from ap_mcp.late_patterns import later
from ap_mcp.schemas import IN_WORDS, checked_schema
from ap_mcp.specs import Operation, Schema
from ap_mcp.wording import NAME_LIMIT, clean, closest, ends, exactly, path

MOST_PROBLEMS = 20
DEEPEST = 90
LARGEST_BITS = 64
DOCUMENTS = frozenset({"application/json", "application/yaml"})
"""Types of texts for which what they hold may be given."""
COUNTS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
}
RIGHT_WHEN_EMPTY = frozenset({"type", "properties", "additionalProperties"})
"""What an object without properties meets, whatever it says."""
RULES = {
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "uniqueItems": "must not hold the same value twice",
}
SURROGATE = later("[\ud800-\udfff]")


def check_arguments(
    operation: Operation, arguments: Mapping[str, Any], *, own: Mapping[str, Schema] | None = None
) -> dict[str, Any]:
    """Check the arguments of a call against everything the spec says.

    Args:
        operation: what is called.
        arguments: what was given.
        own: arguments of the tool that are none of the operation, each with its schema.

    Returns:
        The arguments as they are `meant`.

    Raises:
        InvalidArguments: with every problem found, so that one more call is enough to fix it.
    """
    in_path = [name for name, argument in operation.arguments.items() if argument.path_parameter]
    schema, checker = _of_operation(operation, json.dumps(own) if own else "{}")
    wanted = _checked(operation.id, schema, checker, arguments, in_path)
    if operation.constraints:
        _refuse(_broken_constraints(operation, wanted))
    return wanted


def check_against(
    name: str,
    schema: Schema,
    arguments: Mapping[str, Any],
    *,
    in_path: Sequence[str] = (),
    misfits: Callable[[Mapping[str, Any]], Iterable[Problem]] = lambda _: (),
) -> dict[str, Any]:
    """Check the arguments of a call of any tool against a schema, which may say more than the one that is shown.

    Args:
        name: the tool.
        schema: an object whose properties are the arguments; objects inside a list refuse unknown fields too.
        arguments: what was given.
        in_path: arguments that become a part of a path.
        misfits: finds problems that no schema can express.

    Returns:
        The arguments as they are `meant`.

    Raises:
        InvalidArguments: with every problem found.
    """
    return _checked(name, schema, partial(_checker, schema), arguments, in_path, misfits)


@lru_cache(maxsize=512)
def _of_operation(operation: Operation, own: str) -> tuple[dict[str, Any], Callable[[], Any]]:
    """Return what the arguments of an operation are checked against, with others of ours, as JSON: made once."""
    schema = checked_schema(operation)
    schema["properties"] |= json.loads(own)
    return schema, cache(partial(_checker, schema))


def _checker(schema: Schema) -> Any:
    # Unknown arguments are reported with suggestions, not by the schema.
    return _validator(json.dumps({**schema, "additionalProperties": True}))


def _checked(  # noqa: PLR0917 - as those of `check_against`
    name: str,
    schema: Schema,
    checker: Callable[[], Any],
    arguments: Mapping[str, Any],
    in_path: Sequence[str],
    misfits: Callable[[Mapping[str, Any]], Iterable[Problem]] = lambda _: (),
) -> dict[str, Any]:
    arguments = meant(schema, {name: _cut(value) for name, value in arguments.items()})
    unknown = (
        Problem(_named(each), f"is no argument of {name}; {_known(each, schema, arguments)}")
        for each in arguments
        if each not in schema["properties"]
    )
    # Where nothing is given, and nothing has to be, nothing is wrong: a first call need not wait for what checks.
    errors = checker().iter_errors(arguments) if arguments or not schema.keys() <= RIGHT_WHEN_EMPTY else ()
    wrong = (problem for error in errors for problem in _problems(error))
    no_step = (
        Problem(each, "must not be empty, '.' or '..'")
        for each in in_path
        if str(arguments.get(each, "-")) in {"", ".", ".."}
    )
    _refuse(chain(unknown, wrong, _unsendable(arguments, ""), no_step, misfits(arguments)))
    return arguments


def _refuse(problems: Iterable[Problem]) -> None:
    """Refuse a call if there are problems; of thousands no more are sought than are shown."""
    found: dict[Problem, None] = {}
    for each in problems:
        found[each] = None
        if len(found) == MOST_PROBLEMS:
            break
    if found:
        raise InvalidArguments(list(found))


def meant(schema: Schema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as their sender means them, so that checks, rules, people and the cloud see the same.

    Many clients send null for what they leave out, and some send JSON as text. Null for an argument that is not
    required is left out, which holds for the named fields of an object as well, and not for the entries of a map, where
    null is a value. A text is read where the schema wants no string and it is JSON of exactly the type that is wanted;
    an object or a list is written as JSON where the schema wants the text of a document.
    7.0 is 7 where an integer is wanted, as in JSON Schema.

    Args:
        schema: an object whose properties are the arguments.
        arguments: what was given, right or wrong.
    """
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    required, rest = schema.get("required", ()), others if isinstance(others, Mapping) else {}
    return {
        name: _meant(properties.get(name, rest), value)
        for name, value in arguments.items()
        if value is not None or name not in properties or name in required
    }


def all_at_once(arguments: Any) -> Any:
    """Return the arguments of a call; if they came as one JSON text of an object, what it holds, else as they came."""
    return _read(arguments, "object") if isinstance(arguments, str) else arguments


def _cut(value: Any) -> Any:
    """Return an argument without the blanks around it: they come with copied names, and no value of ours has any.

    What lies deeper, such as settings and tags, is data of the caller's and stays as it is.
    """
    return value.strip() if isinstance(value, str) else value


def _meant(schema: Schema, value: Any) -> Any:
    wanted = schema.get("type")
    if wanted == "string" and schema.get("contentMediaType") in DOCUMENTS and isinstance(value, Mapping | list):
        return _written(value)
    if isinstance(value, str) and wanted not in {None, "string"}:
        value = _read(value, wanted)
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if wanted == "array" and isinstance(value, list):
        return [_meant(schema.get("items", {}), each) for each in value]
    if wanted == "object" and isinstance(value, Mapping):
        return meant(schema, value)
    return value


def _read(text: str, wanted: Any) -> Any:
    """Return what a JSON text holds if that is of a type; else the text itself, which the check then refuses."""
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    kind = _json_type(found)
    whole = kind == "number" and wanted == "integer" and found.is_integer()
    return found if whole or wanted in {kind, "number" if kind == "integer" else kind} else text


def _written(value: Any) -> Any:
    """Return the JSON text of a document; the document itself if it has none, which the check then refuses."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def meets(condition: Schema, arguments: Mapping[str, Any]) -> bool:
    """Say whether flat arguments meet a condition of the spec (`effectWhen`, the `if` of `constraints`)."""
    return bool(_validator(json.dumps(condition)).is_valid(dict(arguments)))


@cache
def _validator(schema: str) -> Any:
    # jsonschema takes a quarter of a second to import: only once somebody calls a tool.
    from jsonschema import Draft202012Validator, ValidationError, validators  # noqa: PLC0415

    def pattern(_: Any, wanted: str, instance: Any, __: Any) -> Iterator[ValidationError]:
        # JSON Schema's `$` is the very end; Python's also stands before a last line break.
        regex = wanted[:-1] + r"\Z" if wanted.endswith("$") and not wanted.endswith(r"\$") else wanted
        if isinstance(instance, str) and not re.search(regex, instance):
            yield ValidationError("does not match")

    extend: Any = validators.extend
    return extend(Draft202012Validator, {"pattern": pattern})(json.loads(schema))


def _named(argument: str) -> str:
    """Return a name that a caller made up, as it was given where that does no harm: a blank at its end is the fault."""
    if not argument.strip():
        return json.dumps(argument[:NAME_LIMIT])
    return argument if argument.isprintable() and len(argument) <= NAME_LIMIT else clean(argument, NAME_LIMIT)


def _known(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """Say which argument may be meant by a name that is none of them, or which there are."""
    known = list(schema["properties"])
    free = [each for each in known if each not in arguments]
    found = _by_words(name, free) or _by_words(name, known) or _by_letters(name, known)
    if found := found or _by_words(name, known, with_fewer=True) or _by_value(name, arguments, schema):
        return f"did you mean {found}?"
    return f"it takes {', '.join(known)}" if known else "it takes none"


def _by_words(name: str, known: Sequence[str], *, with_fewer: bool = False) -> str:
    """Return the one name that has all words of another: `cluster_version` for `version`; or has only words of it."""
    words = set(_words(name))
    found = [
        each for each in known if words and (words >= set(_words(each)) if with_fewer else words <= set(_words(each)))
    ]
    return found[0] if len(found) == 1 else ""


def _words(name: str) -> list[str]:
    """Return the words of a name, however it is written: `chartID`, `chart-id` and `chart_id` have the same."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[: NAME_LIMIT + 1]).casefold()
    return [each for each in re.split(r"[^a-z0-9]+", apart) if each]


def _by_letters(name: str, known: Sequence[str]) -> str:
    return next(iter(closest("_".join(_words(name)), known, most=1)), "")


def _by_value(name: str, arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the one required argument that is missing, if the value of another fits it: a list, a map, no text."""
    value, missing = arguments[name], [each for each in schema.get("required", ()) if each not in arguments]
    if len(missing) != 1:
        return ""
    wanted = schema["properties"][missing[0]].get("type")
    fits = wanted not in {None, "string"} and _json_type(_meant({"type": wanted}, value)) == wanted
    return missing[0] if fits else ""


def _problems(error: Any) -> Iterator[Problem]:
    name = path(ends(str(part), NAME_LIMIT) for part in error.absolute_path)
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield from (Problem(f"{name}.{key}".lstrip("."), "is required") for key in missing)
    elif error.validator == "additionalProperties":
        unknown = (key for key in error.instance if key not in error.schema.get("properties", {}))
        known = ", ".join(error.schema.get("properties", {}))
        yield from (Problem(f"{name}.{key}".lstrip("."), f"is unknown here; allowed: {known}") for key in unknown)
    elif "propertyNames" in error.absolute_schema_path:
        yield Problem(name, f"the key {exactly(ends(error.instance, NAME_LIMIT))} {_said(error)}")
    else:
        yield Problem(name or "arguments", _said(error))


def _unsendable(value: Any, name: str, depth: int = 0) -> Iterator[Problem]:
    """Find what some parsers let in although no JSON can carry it."""
    if depth > DEEPEST:
        yield Problem(name.partition(".")[0], f"is nested deeper than {DEEPEST} levels")
    elif isinstance(value, Mapping):
        if any(SURROGATE.search(key) for key in value):
            yield Problem(name or "arguments", "has a key that is no valid Unicode text")
        for key, item in value.items():
            yield from _unsendable(item, f"{name}.{key}".lstrip("."), depth + 1)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _unsendable(item, f"{name}.{at}", depth + 1)
    elif isinstance(value, str) and SURROGATE.search(value):
        yield Problem(name, "is no valid Unicode text")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(name, "must be a finite number")
    elif isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        yield Problem(name, f"must fit into {LARGEST_BITS} bits")


def _said(error: Any) -> str:
    """Say in our words what a value must be; the value itself is not repeated, it may be a secret."""
    rule, wanted = error.validator, error.validator_value
    if rule == "not":
        return str(wanted.get("description", "is not allowed"))
    if rule == "pattern":
        return str(error.schema.get(IN_WORDS, f"must match {wanted}"))
    if rule == "type":
        return f"must be {_article(wanted)}, not {_article(_json_type(error.instance))}"
    if rule == "enum":
        return f"must be one of: {', '.join(str(value) for value in wanted)}"
    if rule in COUNTS:
        return f"must have {COUNTS[rule].format(wanted)}, not {len(error.instance)}"
    return str(RULES.get(rule, f"does not meet {rule}: {{}}")).format(wanted)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _json_type(value: Any) -> str:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def _broken_constraints(operation: Operation, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    constraints = operation.constraints or {}
    for rule in constraints.get("allOf", [constraints]):
        because = _condition(rule.get("if", {}))
        for error in _validator(json.dumps(rule)).iter_errors(dict(arguments)):
            for problem in _constraint_problems(error):
                yield Problem(problem.argument, f"{problem.message}{because}")


def _constraint_problems(error: Any) -> Iterator[Problem]:
    match error.validator:
        case "not":
            names = ", ".join(error.validator_value.get("required", ())) or "this combination"
            yield Problem(names, "must not be given")
        case "anyOf" | "oneOf":
            wanted = [name for choice in error.validator_value for name in choice.get("required", ())]
            count = "exactly one" if error.validator == "oneOf" else "at least one"
            yield Problem(" / ".join(wanted) or "arguments", f"{count} of them is required")
        case "dependentRequired":
            for name, needed in error.validator_value.items():
                if name in error.instance:
                    missing = [key for key in needed if key not in error.instance]
                    yield from (Problem(key, f"is required with {name}") for key in missing)
        case "minProperties":
            yield Problem("arguments", "nothing to change was given")
        case _:
            yield from _problems(error)


def _condition(condition: Schema) -> str:
    said = []
    for name, wanted in condition.get("properties", {}).items():
        if "const" in wanted:
            said.append(f"{name} is {json.dumps(wanted['const'])}")
        elif "enum" in wanted:
            said.append(f"{name} is one of {', '.join(str(value) for value in wanted['enum'])}")
    return f" when {' and '.join(said)}" if said else ""
