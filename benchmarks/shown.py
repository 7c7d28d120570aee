"""What a list of tools costs a model before it has done anything."""

from measures import Section, Size, dense, share

from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import as_json, toolbox

WITHOUT_OUTPUT, WITH_OUTPUT = Size(30_000, 7_000), Size(42_000, 10_000)


def section() -> Section:
    """Measure `tools/list` as it is sent, with and without output schemas."""
    catalog = load_catalog()
    sent = [as_json(tool) for tool in toolbox(catalog).shown]
    few = [as_json(tool) for tool in toolbox(catalog, ["essential"]).shown]
    fifty = [tool for tool in sent if tool["name"] in catalog]
    rows, broken = [], []
    for name, tools, most in (
        ("50 tools without output schemas", [_bare(tool) for tool in fifty], WITHOUT_OUTPUT),
        ("50 tools", fifty, WITH_OUTPUT),
        (f"as served: {len(sent)} tools", sent, None),
        (f"as served with --toolsets essential: {len(few)} tools", few, None),
    ):
        size = Size.of(dense(tools))
        parts = ["", ""] if most is None else [share(size.bytes, most.bytes), share(size.tokens, most.tokens)]
        rows.append([name, *size.cells, *parts])
        if most and (size.bytes > most.bytes or size.tokens > most.tokens):
            broken.append(f"tools/list, {name}: {size.bytes:,} bytes and {size.tokens:,} tokens")
    about = "Names, titles, descriptions, annotations and schemas, as sent; the shares are of their budgets."
    return Section("tools/list", about, ["what", "bytes", "tokens", "of the bytes", "of the tokens"], rows, broken)


def _bare(tool: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in tool.items() if key != "outputSchema"}
