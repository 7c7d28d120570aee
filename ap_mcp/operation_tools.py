"""Operations of the specs as tools: each call is one request.

A host waits for the list of tools: here stands how they are shown, and `operation_calls` comes with the first call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ap_mcp.arguments import check_arguments
from ap_mcp.guard.subject import Subject, ToolScope, scope_of, subject_of
from ap_mcp.plans import Plan, ToolContext, refuse_guesses, refuse_placeholders
from ap_mcp.schemas import argument_schema, input_schema
from ap_mcp.specs import Context, Effect, Operation, load_catalog
from ap_mcp.summaries.base import CURSOR, DETAIL, FULL, SECTION, TAG

DRY_RUN = "dry_run"
TOKEN = "confirmation_token"  # noqa: S105 - the name of an argument
OPTIONS: dict[str, dict[str, Any]] = {
    CURSOR: {"type": "string", "description": "Next page"},
    DETAIL: {"type": "string", "enum": ["summary", FULL], "description": "How much"},
    SECTION: {"type": "string", "description": "Only these values, e.g. server.ingress"},
    TAG: {"type": "string", "description": "key or key=value"},
}


@dataclass(frozen=True)
class OperationTool:
    """One operation as a tool.

    Attributes:
        operation: what it calls.
        confirm: how consent is obtained; only with `token` the model may carry one.
    """

    operation: Operation
    confirm: str = "human"

    @property
    def name(self) -> str:
        """The name that clients call it by."""
        return self.operation.id

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        return self.operation.title

    @property
    def description(self) -> str:
        """What it does, for an agent."""
        return self.operation.description

    @property
    def toolsets(self) -> frozenset[str]:
        """The subject that it belongs to."""
        return frozenset({self.operation.subject})

    @property
    def effect(self) -> Effect:
        """Its gravest effect."""
        return self.operation.worst_effect

    @property
    def scope(self) -> ToolScope:
        """What its calls can be."""
        return scope_of(self.operation)

    @property
    def least_effect(self) -> Effect:
        """What a call does at least."""
        return self.operation.effect

    @property
    def idempotent(self) -> bool:
        """Whether calling it twice does no more than calling it once."""
        return self.operation.idempotent

    @property
    def result(self) -> str:
        """The kind of its results."""
        return self.operation.summary

    @property
    def input_schema(self) -> dict[str, Any]:
        """The schema of the operation's arguments and of ours; made once per process, so it is not to be changed."""
        return _input_schema(self.operation, self.confirm)

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call as they are meant.

        Raises:
            InvalidArguments: with every problem found.
        """
        wanted = check_arguments(self.operation, arguments, own=_own_schemas(self.operation, self.confirm))
        merged = {fill.pointer for fill in self.operation.fill if fill.merge}
        places = {name: argument.places for name, argument in self.operation.arguments.items()}
        # In settings that are merged, a placeholder in its own place keeps what is there: that needs a read.
        refuse_placeholders({name: each for name, each in wanted.items() if not merged & {*places.get(name, ())}})
        refuse_guesses(wanted.get(TAG) if TAG in self.operation.options else None)
        return wanted

    def subject(self, arguments: Mapping[str, Any]) -> Subject:
        """Return a call as rules see it before anything is read."""
        sent = {name: value for name, value in arguments.items() if name in self.operation.arguments}
        return subject_of(self.operation, sent)

    def is_dry_run(self, arguments: Mapping[str, Any]) -> bool:
        """Say whether a call only asks what would happen."""
        return bool(arguments.get(DRY_RUN))

    async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
        """Return what a call will do.

        Raises:
            CallRefused: a name fits nothing, or a file cannot be read.
        """
        from ap_mcp.operation_calls import planned  # noqa: PLC0415 - no start waits for what only calls need

        dry_run, token = self.is_dry_run(arguments), arguments.get(TOKEN)
        return await planned(self.operation, arguments, context, dry_run=dry_run, token=token)


@cache
def _input_schema(operation: Operation, confirm: str) -> dict[str, Any]:
    schema = input_schema(operation)
    return {**schema, "properties": {**schema["properties"], **_own_schemas(operation, confirm)}}


@cache
def _own_schemas(operation: Operation, confirm: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of ours that a tool takes beside those of its operation, each with its schema."""
    found = {each.argument: _context_schema(each) for each in operation.context}
    found |= {name: dict(OPTIONS[name]) for name in operation.options}
    if operation.guarded:
        found[DRY_RUN] = {"type": "boolean", "description": "Only show"}
    if operation.guarded and confirm == "token":
        found[TOKEN] = {"type": "string", "description": "From approval_required"}
    return found


def _context_schema(context: Context) -> dict[str, Any]:
    read = load_catalog()[context.operation]
    schema = argument_schema(read, read.arguments[context.argument])
    return {**schema, "description": context.description} if context.description else schema
