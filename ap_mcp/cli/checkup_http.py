"""What `ap-mcp doctor` checks where the server is to be reached over HTTP."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ap_mcp.cli.checkup import Finding

if TYPE_CHECKING:
    from ap_mcp.settings import Settings

OURS = ("public_url", "http_hosts", "http_origins", "metrics")
ANSWER_SECONDS = 3.0
"""How long a program that listens there may take to say whether it is ours."""


def http(chosen: "Settings", flags: Mapping[str, Any]) -> Iterator[Finding]:
    """Check where the server listens, and what it is called from outside."""
    from ap_mcp.errors import SettingsError
    from ap_mcp.web.options import host_of, is_here, options_from, over_http

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
    yield _place("http", chosen.http, "AP_MCP_HTTP", _server_at)
    if chosen.metrics is not None:
        yield _metrics(chosen.metrics)
    names = ", ".join(sorted(options_from(settings, port).hosts))
    yield Finding("http", "ok", f"requests are taken for {names}")
    if settings.public_url is not None:
        yield Finding("http", "ok", f"people and clients use {settings.public_url}")
    elif not is_here(host_of(settings)):
        advice = "Set AP_MCP_PUBLIC_URL to the address that people and clients use, such as https://mcp.example.com."
        yield Finding("http", "warning", "it is not known how this server is called from other machines", advice)


def _metrics(place: str) -> Finding:
    """Check where metrics are read."""
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        advice = "pip install 'ap-mcp[prometheus]', or take AP_MCP_METRICS away."
        return Finding("metrics", "problem", "AP_MCP_METRICS is set, and prometheus-client is not installed", advice)
    return _place("metrics", place, "AP_MCP_METRICS", _metrics_at)


def _place(check: str, place: str, setting: str, found_at: Callable[[str], Finding | None]) -> Finding:
    """Check whether a server can listen at a place; if it is taken, whether by a server of ours.

    Args:
        check: its name.
        place: `host:port`.
        setting: the variable that says so.
        found_at: asks whoever answers there; None if that is another program.
    """
    from ap_mcp.errors import SettingsError
    from ap_mcp.web.serving import listen

    try:
        for each in listen(place, setting):
            each.close()
    except SettingsError as error:
        return found_at(place) or Finding(check, "problem", error.render())
    return Finding(check, "ok", f"{place} is free for a server to listen at")


def _server_at(place: str) -> Finding | None:
    """Ask a running server whether it is ready; anybody may."""
    answer = _answer(place, "/readyz")
    try:
        ready, checks = answer["ready"], answer["checks"]
        wrong = "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
    except (TypeError, KeyError, AttributeError):
        return None
    found = f"ap-mcp serves at {place} already, and is{'' if ready else ' not'} ready{f' ({wrong})' if wrong else ''}"
    return Finding("http", "ok" if ready else "warning", found, "" if ready else "Its log says more.")


def _metrics_at(place: str) -> Finding | None:
    """Ask a running server for its metrics."""
    if "ap_mcp_" not in str(_answer(place, "/metrics")):
        return None
    return Finding("metrics", "ok", f"ap-mcp gives metrics at {place}/metrics already")


def _answer(place: str, path: str) -> Any:
    """Return what a program on this machine answers, JSON or text; None if it does not."""
    from ap_mcp.cloud import http as library
    from ap_mcp.web.options import is_wildcard

    host, _, port = place.rpartition(":")
    here = ("[::1]" if ":" in host else "127.0.0.1") if is_wildcard(host) else host
    try:
        answer = library.get(f"http://{here}:{port}{path}", timeout=ANSWER_SECONDS, trust_env=False)
    except (library.HTTPError, library.InvalidURL):
        return None
    try:
        return answer.json()
    except ValueError:
        return answer.text
