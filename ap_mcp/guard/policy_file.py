"""Reads the operator's policy file, all of whose mistakes are reported at once; nothing in it is guessed."""

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, cast, get_args

from ap_mcp.errors import SettingsError
from ap_mcp.guard.policy import ApproverRule, Choice, Policy, Rule
from ap_mcp.guard.subject import ToolScope, scope_of
from ap_mcp.late_patterns import later
from ap_mcp.private_files import read_own_text
from ap_mcp.specs import EFFECTS, GUARDED, load_catalog
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes

RULES, TOOLS = "rules", "tools"
REASON_LIMIT = 300
KUBE_SYSTEM = "kube-system"
_GLOB = later(r"[*?\[]")
_UUID = later(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SETTINGS = frozenset({"read_only", "toolsets", "confirm", "max_kubeconfig_days"})


Known: TypeAlias = Mapping[str, ToolScope]
"""Tools by name, with what their calls can be."""


class Limits(Protocol):
    """The settings that are part of a policy."""

    @property
    def read_only(self) -> bool:
        """Nothing but reading."""

    @property
    def max_kubeconfig_days(self) -> int:
        """The longest life of a kubeconfig."""


def load_policy(path: Path | None, settings: Limits, known: Known | None = None) -> Policy:
    """Return the policy of a file, or of the settings alone if there is none.

    Args:
        path: of the file.
        settings: what else is part of a policy.
        known: the tools that rules may name; the operations if not given.

    Raises:
        SettingsError: the file cannot be read, or names every mistake in it.
    """
    policy = Policy(
        read_only=settings.read_only,
        max_kubeconfig_days=settings.max_kubeconfig_days,
        rules=() if path is None else _rules_in(path, known),
    )
    return policy.for_calls_to("")


def parse_rules(text: str, name: str, known: Known | None = None) -> tuple[Rule, ...]:
    """Return the rules of a policy file's text; `name` is what they say they come from.

    Args:
        text: TOML.
        name: of the file.
        known: the tools that rules may name; the operations if not given.

    Raises:
        SettingsError: names every mistake.
    """
    import tomllib  # noqa: PLC0415 - no start waits for it without such a file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(name, [f"it is no valid TOML: {error}"]) from None
    problems = [_stray(key) for key in document if key != RULES]
    tables = document.get(RULES)
    rules = []
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        problems.append("it holds no rules: start each with a line [[rules]]")
        tables = []
    for number, table in enumerate(tables, 1):
        rule, wrong = _rule(table, f"{name} rule {number}", known or operations())
        problems += [f"rule {number}: {each}" for each in wrong]
        rules += [rule] if rule else []
    if problems:
        raise _wrong(name, problems)
    return tuple(rules)


def operations() -> Known:
    """Return the operations, as rules may name them."""
    return {operation.id: scope_of(operation) for operation in load_catalog().values()}


def doubts(
    policy: Policy,
    known: Known | None = None,
    other_names: Mapping[str, str] = MappingProxyType({}),
    profiles: Collection[str] = (),
) -> tuple[str, ...]:
    """Return what is suspicious about the rules: those that never matter, or that release more than they seem to.

    Args:
        policy: the rules.
        known: the tools that rules may name; the operations if not given.
        other_names: names that commands take for a kind and rules do not, in lower case, with the kind.
        profiles: those that are served.
    """
    found = []
    for rule in policy.every_rule:
        said = [*_doubts(rule, known or operations()), *_unknown_kinds(rule, other_names)]
        if not any(rule.concerns(profile) for profile in profiles or ("",)):
            said.append(f"never matches: no profile that is served fits its profiles ({', '.join(rule.profiles)})")
        found += [f"{rule.source} {doubt}" for doubt in said]
    return tuple(found)


def _rules_in(path: Path, known: Known | None) -> tuple[Rule, ...]:
    try:
        text = read_own_text(path)
    except OSError as error:
        raise SettingsError(f"The policy {path} cannot be used: {error.strerror}") from None
    except UnicodeError:
        raise SettingsError(f"The policy {path} cannot be used: it is no UTF-8 text") from None
    return parse_rules(text, path.name, known)


def _wrong(name: str, problems: list[str]) -> SettingsError:
    lines = [f"Wrong policy in {name}:", *(f"- {each}" for each in problems)]
    return SettingsError("\n".join([*lines, "`ap-mcp policy template` prints one that is right."]))


def _stray(key: str) -> str:
    if key in _SETTINGS:
        return f"{key} is a setting, not part of a policy: AP_MCP_{key.upper()}, or ap-mcp.toml"
    return f"{in_quotes(key, NAME_LIMIT)} is unknown here; a policy holds {RULES} only, each after a line [[rules]]"


def _rule(table: Mapping[str, Any], source: str, known: Known) -> tuple[Rule | None, list[str]]:
    """Return the rule of a table, or None and what is wrong with it."""
    given: dict[str, Any] = {}
    problems = []
    for key, value in table.items():
        if key not in _READERS:
            problems.append(f"{in_quotes(key, NAME_LIMIT)} is unknown; {_meant(key, _READERS)}")
            continue
        try:
            given[key] = _tools(value, known) if key == TOOLS else _READERS[key](value)
        except ValueError as error:
            problems.append(f"{key} {error}")
    if "decision" not in table:
        problems.append(f"decision is missing: one of {', '.join(get_args(Choice))}")
    if problems:
        return None, problems
    rule = Rule(**given, source=source)
    problems = list(_contradictions(rule, table))
    return (None, problems) if problems else (rule, [])


def _contradictions(rule: Rule, table: Mapping[str, Any]) -> Iterator[str]:
    if "approver" in table and rule.decision != "ask":
        yield 'approver goes with decision = "ask" only'
    if "tools" in table and not rule.names_tools and not rule.effects:
        yield (
            'tools = ["*"] leaves open whether reading is meant: leave tools out for every effect but read, '
            f"or add effects = [{', '.join(in_quotes(effect) for effect in EFFECTS)}] for all"
        )


def _decision(value: Any) -> Choice:
    return cast("Choice", _one_of(value, get_args(Choice)))


def _approver(value: Any) -> ApproverRule:
    return cast("ApproverRule", _one_of(value, get_args(ApproverRule)))


def _effects(value: Any) -> tuple[str, ...]:
    return tuple(_one_of(each, EFFECTS) for each in _texts(value, '["destroy"]'))


def _tools(value: Any, known: Known = MappingProxyType({})) -> tuple[str, ...]:
    globs = _texts(value, '["delete_*"]')
    unknown = [
        f"names {in_quotes(glob, NAME_LIMIT)}, which is no tool; {_meant(glob, known)}"
        for glob in globs
        if not _GLOB.search(glob) and glob.casefold() not in known
    ]
    if unknown:
        raise ValueError("; ".join(unknown))
    return tuple(glob.casefold() for glob in globs)


def _clusters(value: Any) -> tuple[str, ...]:
    globs = _texts(value, '["prod-*"]')
    if any(_UUID.fullmatch(glob) for glob in globs):
        raise ValueError("holds an id; rules go by name or alias")
    return globs


def _tags(value: Any) -> dict[str, str]:
    example = '{ env = "prod*" }'
    if not isinstance(value, dict) or not value:
        raise ValueError(f"must be a table of keys and values that is not empty, like {example}")
    if len({key.casefold() for key in value}) < len(value):
        raise ValueError("has keys that differ in upper and lower case only")
    for key, glob in value.items():
        if not isinstance(glob, str):
            shown = in_quotes(key, NAME_LIMIT)
            raise ValueError(f"must have texts as values, like {example}; the one of {shown} is none")  # noqa: TRY004
        _check_glob(key)
        if glob:
            _check_glob(glob)
    return dict(value)


def _reason(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > REASON_LIMIT:
        raise ValueError(f"must be a text of 1 to {REASON_LIMIT} characters")
    return value.strip()


def _texts(value: Any, example: str) -> tuple[str, ...]:
    """Return a list of globs; an empty one matches nothing, which is never written on purpose."""
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f"must be a list of texts that is not empty, like {example}")
    for each in value:
        _check_glob(each)
    return tuple(value)


def _check_glob(text: str) -> None:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError(
            f"holds {in_quotes(text, NAME_LIMIT)}: empty, or with blanks around it or characters not to be seen"
        )
    if "[" in text and "]" not in text.partition("[")[2][1:]:
        raise ValueError(
            f"holds {in_quotes(text, NAME_LIMIT)}, which has a [ without its ]; [[] stands for the character"
        )


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(allowed)}")
    return str(value)


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = closest(name, known, most=1)
    return (
        f"did you mean {near[0]}?"
        if near
        else f"known: {', '.join(known)}"
        if len(known) <= len(_READERS)
        else "see ap-mcp tools"
    )


def _doubts(rule: Rule, known: Known) -> Iterator[str]:
    tools = [scope for name, scope in known.items() if _names(rule, name)]
    bound = [tool for tool in tools if tool.on_cluster]
    inner = [tool for tool in tools if tool.on_objects]
    about = inner if rule.about_objects else bound if rule.about_clusters else tools
    if not tools:
        yield "never matches: its tools fit no tool"
    elif rule.decision == "allow" and not rule.covered:
        guarded = ", ".join(effect for effect in EFFECTS if effect in GUARDED)
        yield f"changes nothing: an allow releases only what its effects name, of {guarded}"
    elif rule.about_clusters and not bound:
        yield "never matches: it is about clusters, and none of its tools acts on one"
    elif rule.about_objects and not inner:
        yield "never matches: it is about objects inside clusters, and none of its tools acts on any"
    elif not any(_reaches(rule, tool) for tool in about):
        yield "never matches: none of its tools has such an effect"
    elif rule.decision == "allow" and any(_reaches(rule, tool) for tool in bound) and _anywhere(rule):
        released = " and ".join(effect for effect in EFFECTS if effect in rule.covered)
        yield f"releases {released} on every cluster, production too: clusters or tags would narrow it"
    elif rule.decision == "allow" and any(_reaches(rule, tool) for tool in inner) and _own_namespaces_too(rule):
        released = " and ".join(effect for effect in EFFECTS if effect in rule.covered)
        yield f"releases {released} in kube-system too: namespaces that do not fit it would narrow it"


def _own_namespaces_too(rule: Rule) -> bool:
    """Say whether a rule that goes by objects holds in Kubernetes' own namespaces as well."""
    return rule.about_objects and (
        not rule.namespaces or any(fnmatchcase(KUBE_SYSTEM, glob) and glob != KUBE_SYSTEM for glob in rule.namespaces)
    )


def _unknown_kinds(rule: Rule, other_names: Mapping[str, str]) -> Iterator[str]:
    for glob in rule.kinds:
        name, dot, group = glob.partition(".")
        # As it is called in paths, which no object is.
        if (kind := other_names.get(name.casefold())) and kind.casefold() != name.casefold():
            meant = in_quotes(kind + dot + group)
            yield f"reaches no {kind}: kinds go by their own names, {meant} and not {in_quotes(glob)}"


def _names(rule: Rule, tool: str) -> bool:
    return any(fnmatchcase(tool, glob.casefold()) for glob in rule.tools)


def _reaches(rule: Rule, tool: ToolScope) -> bool:
    return bool(rule.covered & tool.effects)


def _anywhere(rule: Rule) -> bool:
    """Say whether a rule holds for every cluster there may be."""
    every = not rule.clusters or any(set(glob) <= {"*"} for glob in rule.clusters)
    return every and not rule.tags


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "decision": _decision,
    TOOLS: _tools,
    "clusters": _clusters,
    "tags": _tags,
    "effects": _effects,
    "namespaces": partial(_texts, example='["kube-*"]'),
    "kinds": partial(_texts, example='["Secret", "*.rbac.authorization.k8s.io"]'),
    "names": partial(_texts, example='["*-prod"]'),
    "profiles": partial(_texts, example='["production"]'),
    "approver": _approver,
    "reason": _reason,
}
