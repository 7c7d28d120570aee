"""What `ap-mcp doctor` checks where the server is to be reached over HTTP."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ap_mcp.cli.checkup import Finding

if TYPE_CHECKING:
    from ap_mcp.settings import Settings

OURS = ("public_url", "http_hosts", "http_origins", "metrics")


def http(chosen: "Settings", flags: Mapping[str, Any]) -> Iterator[Finding]:
    """Check where the server listens, and what it is called from outside."""
    from ap_mcp.errors import SettingsError
    from ap_mcp.web.options import host_of, is_here, options_from, over_http
    from ap_mcp.web.serving import listen

    if chosen.http is None:
        if unused := [f"AP_MCP_{name.upper()}" for name in OURS if name in chosen.model_fields_set]:
            found = f"{', '.join(unused)} set, and the server is not reached over HTTP"
            yield Finding("http", "warning", found, "Set AP_MCP_HTTP=HOST:PORT, or serve with --http HOST:PORT.")
        return
    port = int(chosen.http.rpartition(":")[2])
    try:
        settings = over_http(chosen, port, flags)
    except SettingsError as error:
        yield Finding("http", "problem", error.render(), "A server over HTTP does not start until this is corrected.")
        return
    try:
        for each in listen(chosen.http):
            each.close()
    except SettingsError as error:
        taken = "listens there already" in str(error)
        advice = "That may be the running server." if taken else "Correct AP_MCP_HTTP."
        yield Finding("http", "warning" if taken else "problem", error.render(), advice)
    yield from _metrics(chosen)
    names = ", ".join(sorted(options_from(settings, port).hosts))
    yield Finding("http", "ok", f"listens at {chosen.http}; takes requests for {names}")
    if settings.public_url is not None:
        yield Finding("http", "ok", f"people and clients use {settings.public_url}")
    elif not is_here(host_of(settings)):
        advice = "Set AP_MCP_PUBLIC_URL to the address that people and clients use, such as https://mcp.example.com."
        yield Finding("http", "warning", "it is not known how this server is called from other machines", advice)


def _metrics(chosen: "Settings") -> Iterator[Finding]:
    """Check where metrics are read."""
    from importlib.util import find_spec

    from ap_mcp.errors import SettingsError
    from ap_mcp.web.serving import listen

    if chosen.metrics is None:
        return
    if find_spec("prometheus_client") is None:
        advice = "pip install 'ap-mcp[prometheus]', or take AP_MCP_METRICS away."
        yield Finding("metrics", "problem", "AP_MCP_METRICS is set, and prometheus-client is not installed", advice)
        return
    try:
        for each in listen(chosen.metrics, "AP_MCP_METRICS"):
            each.close()
    except SettingsError as error:
        taken = "listens there already" in str(error)
        advice = "That may be the running server." if taken else "Correct AP_MCP_METRICS."
        yield Finding("metrics", "warning" if taken else "problem", error.render(), advice)
        return
    yield Finding("metrics", "ok", f"can be read at {chosen.metrics}/metrics")
