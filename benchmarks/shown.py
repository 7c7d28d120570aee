"""What a list of tools costs a model before it has done anything."""

from measures import Section, Size, dense, share

from ap_mcp.specs import Catalog, load_catalog
from ap_mcp.toolbox import as_json, toolbox

DOCUMENTED = Size(31_500, 7_300)
"""What the operations of the API reference may take without output schemas."""
TOKENS_WITHOUT_OUTPUT, TOKENS = 150, 215
"""What a tool may take on average."""


def section() -> Section:
    """Measure `tools/list` as it is sent, with and without output schemas."""
    catalog = load_catalog()
    sent = [as_json(tool) for tool in toolbox(catalog).shown]
    few = [as_json(tool) for tool in toolbox(catalog, ["essential"]).shown]
    documented = [_bare(tool) for tool in sent if _is_documented(catalog, str(tool["name"]))]
    rows, broken = [], []
    for name, tools, most in (
        (f"the {len(documented)} operations of the API reference, without output schemas", documented, DOCUMENTED),
        (f"all {len(sent)} tools without output schemas", [_bare(tool) for tool in sent], TOKENS_WITHOUT_OUTPUT),
        (f"as served: all {len(sent)} tools", sent, TOKENS),
        (f"as served with --toolsets essential: {len(few)} tools", few, None),
    ):
        size = Size.of(dense(tools))
        allowed = Size(size.bytes, most * len(tools)) if isinstance(most, int) else most or size
        part = share(size.tokens, allowed.tokens) if most else ""
        rows.append([name, *size.cells, f"{size.tokens / len(tools):.0f}", part])
        if size.bytes > allowed.bytes or size.tokens > allowed.tokens:
            broken.append(f"tools/list, {name}: {size.bytes:,} bytes and {size.tokens:,} tokens")
    about = "Names, titles, descriptions, annotations and schemas, as sent; the shares are of their budgets."
    return Section("tools/list", about, ["what", "bytes", "tokens", "a tool", "of the tokens"], rows, broken)


def _is_documented(catalog: Catalog, name: str) -> bool:
    """Say whether a tool is an operation that the API reference has."""
    return name in catalog and not catalog[name].reference.startswith("SDK ")


def _bare(tool: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in tool.items() if key != "outputSchema"}
