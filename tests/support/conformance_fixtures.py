"""A server of what the conformance suite calls, in the frame that serves ours; run as a program, it prints its address.

The suite names the tools, prompts and resources, and says what each of them does.
"""

import base64
import io
import json
import re
import wave
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from os import urandom
from typing import Any, TypeAlias

import anyio
import mcp_types as types
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ServerEvent, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from ap_mcp.guard.lifetimes import wall_clock
from ap_mcp.guard.seal import KEY_LENGTH, Forged, Sealer
from ap_mcp.protocol import CACHE_HINTS, RESOURCE_NOT_FOUND
from ap_mcp.web.app import framed
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.serving import KEEP_ALIVE_SECONDS, listen, of_one_server, url_of

Context: TypeAlias = ServerRequestContext[Any]
Call: TypeAlias = types.CallToolRequestParams
Does: TypeAlias = Callable[[Context, Call], Awaitable[types.CallToolResult | types.InputRequiredResult]]
Asks: TypeAlias = Mapping[str, types.InputRequest]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""One red pixel."""
PAUSE = 0.05
LIFETIME = timedelta(minutes=5)
STATE = "answers"
NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}


def silence() -> str:
    """A sound file without a sound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
    return base64.b64encode(file.getvalue()).decode()


def said(text: str) -> types.TextContent:
    return types.TextContent(text=text)


def held(uri: str, mime_type: str, text: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text))


IMAGE = types.ImageContent(data=PNG, mime_type="image/png")
ALWAYS: Mapping[str, Sequence[types.ContentBlock]] = {
    "test_simple_text": [said("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [types.AudioContent(data=silence(), mime_type="audio/wav")],
    "test_embedded_resource": [held("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        said("Multiple content types test:"),
        IMAGE,
        held("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "json_schema_2020_12_tool": [said("The schema is what matters.")],
    "test_custom_headers": [said("The header agrees with the argument.")],
}
"""Tools that answer the same whatever they are called with."""


def form(message: str, **properties: Mapping[str, Any]) -> types.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int) -> types.CreateMessageRequest:
    messages = [types.SamplingMessage(role="user", content=said(prompt))]
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=messages, max_tokens=tokens))


WORDS = {"type": "string"}
NAME = form("What is your name?", name=WORDS)
CONFIRM = form("Please confirm", ok={"type": "boolean"})
ASKING = "test_input_required_result_"
ROUNDS: Mapping[str, Sequence[Asks]] = {
    f"{ASKING}elicitation": [{"user_name": NAME}],
    f"{ASKING}sampling": [{"capital_question": sample("What is the capital of France?", 100)}],
    f"{ASKING}list_roots": [{"client_roots": types.ListRootsRequest()}],
    f"{ASKING}request_state": [{"confirm": CONFIRM}],
    f"{ASKING}tampered_state": [{"confirm": CONFIRM}],
    f"{ASKING}multiple_inputs": [
        {"user_name": NAME, "greeting": sample("Generate a greeting", 50), "client_roots": types.ListRootsRequest()}
    ],
    f"{ASKING}multi_round": [
        {"step1": form("Step 1: What is your name?", name=WORDS)},
        {"step2": form("Step 2: What is your favorite color?", color=WORDS)},
    ],
    f"{ASKING}prompt": [{"user_context": form("What context should the prompt use?", context=WORDS)}],
    "test_streaming_elicitation": [{"user_name": NAME}],
    f"{ASKING}capabilities": [{"form": NAME, "text": sample("Generate a greeting", 50)}],
}
"""What tools and a prompt ask back, round by round."""
WITH_STATE = {f"{ASKING}{each}" for each in ("request_state", "tampered_state", "multiple_inputs", "multi_round")}
"""Which of these know where they are by what comes back sealed."""

FORMS: Mapping[str, Mapping[str, Any]] = {
    "test_elicitation": {"username": WORDS, "email": WORDS},
    "test_elicitation_sep1034_defaults": {"name": {"type": "string", "default": "John Doe"}},
    "test_elicitation_sep1330_enums": {"size": {"type": "string", "enum": ["small", "large"]}},
}
"""Tools that show a form while they run, with its fields; no form ever gets that far here."""

ADDRESS = {"$anchor": "addressDef", "type": "object", "properties": {"street": WORDS, "city": WORDS}}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "test_sampling": {"type": "object", "properties": {"prompt": WORDS}, "required": ["prompt"]},
    "test_elicitation": {"type": "object", "properties": {"message": WORDS}, "required": ["message"]},
    "test_custom_headers": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": ADDRESS},
        "properties": {
            "name": WORDS,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": WORDS,
            "email": WORDS,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}
"""The arguments of the tools that have any."""

PROMPTS: Mapping[str, Sequence[str]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    f"{ASKING}prompt": (),
}
TEXT, BINARY, TEMPLATE = "test://static-text", "test://static-binary", "test://template/{id}/data"
RESOURCES = {TEXT: "text/plain", BINARY: "image/png"}


class Fixtures(Server[Any]):
    """What the suite calls."""

    def __init__(self) -> None:
        self._sealer = Sealer(urandom(KEY_LENGTH))
        self._changes = InMemorySubscriptionBus()
        self._tools: Mapping[str, Does] = {
            **dict.fromkeys(ALWAYS, self._always),
            **dict.fromkeys(ROUNDS.keys() - PROMPTS.keys(), self._asks),
            **dict.fromkeys(FORMS, self._shows_form),
            "test_sampling": self._samples,
            "test_error_handling": self._fails,
            "test_missing_capability": self._needs_sampling,
            "test_tool_with_progress": self._reports,
            "test_tool_with_logging": self._logs,
            "test_logging_tool": self._logs,
            "test_trigger_tool_change": partial(self._announces, ToolsListChanged()),
            "test_trigger_prompt_change": partial(self._announces, PromptsListChanged()),
        }
        super().__init__(
            "conformance-fixtures",
            version="1",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
            on_subscriptions_listen=ListenHandler(self._changes),
            cache_hints=CACHE_HINTS,
            get_tool_input_schema=lambda name: SCHEMAS.get(name, NOTHING),
        )
        self.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)

    async def _set_level(self, _: Context, __: types.SetLevelRequestParams) -> types.EmptyResult:
        """Accept a level; without sessions there is no later request that it could hold for."""
        return types.EmptyResult()

    async def _list_tools(self, _: Context, __: Any) -> types.ListToolsResult:
        tools = [
            types.Tool(name=name, description=f"Fixture {name}", input_schema=dict(SCHEMAS.get(name, NOTHING)))
            for name in self._tools
        ]
        return types.ListToolsResult(tools=tools)

    async def _call_tool(self, ctx: Context, call: Call) -> types.CallToolResult | types.InputRequiredResult:
        does = self._tools.get(call.name)
        if does is None:
            raise MCPError(code=types.INVALID_PARAMS, message=f"There is no tool {call.name}")
        return await does(ctx, call)

    async def _always(self, _: Context, call: Call) -> types.CallToolResult:
        return types.CallToolResult(content=list(ALWAYS[call.name]))

    async def _fails(self, _: Context, __: Call) -> types.CallToolResult:
        return types.CallToolResult(
            content=[said("This tool intentionally returns an error for testing")], is_error=True
        )

    async def _needs_sampling(self, ctx: Context, _: Call) -> types.CallToolResult:
        if not declared(ctx, sample("", 1)):
            needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(code=types.MISSING_REQUIRED_CLIENT_CAPABILITY, message="It needs sampling", data=needed)
        return types.CallToolResult(content=[said("It can be sampled.")])

    async def _reports(self, ctx: Context, _: Call) -> types.CallToolResult:
        for done in (0, 50, 100):
            await ctx.session.report_progress(done, 100)
            await anyio.sleep(PAUSE)
        return types.CallToolResult(content=[said("Done.")])

    async def _logs(self, ctx: Context, _: Call) -> types.CallToolResult:
        for what in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.session.send_log_message("info", what, related_request_id=ctx.request_id)
            await anyio.sleep(PAUSE)
        return types.CallToolResult(content=[said("Done.")])

    async def _announces(self, event: ServerEvent, _: Context, __: Call) -> types.CallToolResult:
        await self._changes.publish(event)
        return types.CallToolResult(content=[said("Announced.")])

    async def _samples(self, ctx: Context, call: Call) -> types.CallToolResult:
        asked = sample(str((call.arguments or {})["prompt"]), 100).params
        found = await ctx.session.create_message(asked.messages, max_tokens=100, related_request_id=ctx.request_id)
        return types.CallToolResult(content=[said(f"LLM response: {found.content}")])

    async def _shows_form(self, ctx: Context, call: Call) -> types.CallToolResult:
        shown = form(str((call.arguments or {}).get("message", "Please say")), **FORMS[call.name]).params
        assert isinstance(shown, types.ElicitRequestFormParams)
        found = await ctx.session.elicit_form(shown.message, shown.requested_schema, ctx.request_id)
        return types.CallToolResult(content=[said(f"User response: action={found.action}, content={found.content}")])

    async def _asks(self, ctx: Context, call: Call) -> types.CallToolResult | types.InputRequiredResult:
        found = self._asked(ctx, call)
        if isinstance(found, types.InputRequiredResult):
            return found
        return types.CallToolResult(content=[said(f"state-ok: {found}")])

    def _asked(
        self, ctx: Context, call: Call | types.GetPromptRequestParams
    ) -> types.InputRequiredResult | Mapping[str, Any]:
        """Return what was answered in all rounds, or ask in the one that is due."""
        rounds, keeps, given = ROUNDS[call.name], call.name in WITH_STATE, call.input_responses or {}
        at, known = self._opened(call) if keeps else (0, {})
        asked = rounds[at]
        if asked.keys() <= given.keys() and (call.request_state or not keeps):
            known |= {key: given[key].model_dump(mode="json") for key in asked}
            at += 1
        if at == len(rounds):
            return known
        # Only what the client says that it can answer.
        can = {key: each for key, each in rounds[at].items() if declared(ctx, each)}
        state = {"at": at, "known": known}
        sealed = self._sealer.seal(call.name, state, wall_clock() + LIFETIME) if keeps else None
        return types.InputRequiredResult(input_requests=can, request_state=sealed)

    def _opened(self, call: Call | types.GetPromptRequestParams) -> tuple[int, dict[str, Any]]:
        if not call.request_state:
            return 0, {}
        try:
            state = self._sealer.open(call.name, call.request_state, wall_clock())
        except Forged:
            raise MCPError(code=types.INVALID_PARAMS, message="The state was changed on its way") from None
        return (state["at"], state["known"]) if state else (0, {})

    async def _list_resources(self, _: Context, __: Any) -> types.ListResourcesResult:
        resources = [
            types.Resource(uri=uri, name=uri.rpartition("/")[2], description="A fixture", mime_type=mime_type)
            for uri, mime_type in RESOURCES.items()
        ]
        return types.ListResourcesResult(resources=resources)

    async def _list_templates(self, _: Context, __: Any) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            uri_template=TEMPLATE, name="template", description="A fixture", mime_type="application/json"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def _read(self, ctx: Context, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(asked.uri)
        found: types.TextResourceContents | types.BlobResourceContents
        if uri == TEXT:
            text = "This is the content of the static text resource."
            found = types.TextResourceContents(uri=uri, mime_type=RESOURCES[uri], text=text)
        elif uri == BINARY:
            found = types.BlobResourceContents(uri=uri, mime_type=RESOURCES[uri], blob=PNG)
        elif named := re.fullmatch("test://template/([^/]+)/data", uri):
            data = {"id": named[1], "templateTest": True, "data": f"Data for ID: {named[1]}"}
            found = types.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))
        else:
            code = types.INVALID_PARAMS if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else RESOURCE_NOT_FOUND
            raise MCPError(code=code, message="Resource not found", data={"uri": uri})
        return types.ReadResourceResult(contents=[found])

    async def _list_prompts(self, _: Context, __: Any) -> types.ListPromptsResult:
        prompts = [
            types.Prompt(
                name=name,
                description="A fixture",
                arguments=[types.PromptArgument(name=each, description="A word", required=True) for each in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
        return types.ListPromptsResult(prompts=prompts)

    async def _get_prompt(
        self, ctx: Context, asked: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        given = asked.arguments or {}
        if asked.name not in PROMPTS or not set(PROMPTS[asked.name]) <= given.keys():
            raise MCPError(code=types.INVALID_PARAMS, message="There is no such prompt, or it needs more arguments")
        contents: list[types.ContentBlock]
        if asked.name in ROUNDS:
            found = self._asked(ctx, asked)
            if isinstance(found, types.InputRequiredResult):
                return found
            contents = [said(f"The context is {found}.")]
        elif asked.name == "test_prompt_with_arguments":
            contents = [said(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        elif asked.name == "test_prompt_with_embedded_resource":
            text = "Embedded resource content for testing."
            embedded = held(given["resourceUri"], "text/plain", text)
            contents = [embedded, said("Please process the embedded resource above.")]
        elif asked.name == "test_prompt_with_image":
            contents = [IMAGE, said("Please analyze the image above.")]
        else:
            contents = [said("This is a simple prompt for testing.")]
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in contents])

    async def _complete(self, _: Context, asked: types.CompleteRequestParams) -> types.CompleteResult:
        values = [each for each in ("tested", "testing") if each.startswith(asked.argument.value)]
        return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


def declared(ctx: Context, asks: types.InputRequest) -> bool:
    """Say whether the client declares that it can answer."""
    can = ctx.session.client_capabilities
    if can is None:
        return False
    if isinstance(asks, types.ElicitRequest):
        return can.elicitation is not None
    return (can.sampling if isinstance(asks, types.CreateMessageRequest) else can.roots) is not None


if __name__ == "__main__":
    sockets = listen("127.0.0.1:0")
    origin = url_of(sockets[0])
    print(origin + PATH, flush=True)  # noqa: T201 - whoever started it reads where it is
    options = HttpOptions(origins=frozenset({origin}))
    app, connections = framed(Fixtures(), options), of_one_server(options.connections)
    # On a busy machine a shorter time would close a connection in which the suite's next request is on its way.
    kept = KEEP_ALIVE_SECONDS
    uvicorn.Server(
        uvicorn.Config(app, http=connections, lifespan="on", log_level="error", timeout_keep_alive=kept)
    ).run(sockets)
