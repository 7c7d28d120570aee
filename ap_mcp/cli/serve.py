"""`ap-mcp serve`: the MCP server."""

import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ap_mcp import __version__
from ap_mcp.cli.options import SPEED, exits, log_to_stderr, only_simulated, settings_options, speed_option

if TYPE_CHECKING:
    from socket import socket

    from ap_mcp.server import Autopilot
    from ap_mcp.settings import Settings
    from ap_mcp.web.metrics import Metrics

WAITING = (
    "ap-mcp waits for an MCP client on standard input: a client starts it by itself, see README. "
    "To call a tool from here: ap-mcp call. Stop with Ctrl-C."
)
CLOSED = "Standard input or output is closed, and a client speaks over both. With --http it needs neither."
SEARCHED = 5_000, 10, 100
"""How many objects, and searches among the youngest, come before the next search for garbage (`gc.set_threshold`).

A large call makes a million objects that all stay to its end. By default all of them are gone through every few
thousand, and each time everybody waits for a third of a second.
"""

AGENCY = ", unless this is a cloud server with an agency"

logger = logging.getLogger(__name__)


@click.command()
@click.option("--simulate", is_flag=True, help="Serve against a built-in simulator instead of the cloud.")
@speed_option()
@settings_options("http", "profile", "toolsets", "read_only", "confirm", "files_dir")
@exits
def serve(*, simulate: bool, speed: float | None, **flags: Any) -> None:
    """Serve MCP on standard input and output, or over HTTP."""
    only_simulated(simulate=simulate, speed=speed)
    front = _Front(flags)
    with ExitStack() as stack:
        stack.callback(front.close)
        with nothing_collected():
            import anyio

            from ap_mcp.cli.connecting import autopilot_for, simulated_autopilot
            from ap_mcp.cli.logs import say
            from ap_mcp.protocol import serve_stdio
            from ap_mcp.settings import load_settings

            _log_from_the_start()
            if simulate:
                from ap_mcp.simulator.clock import ScaledClock
                from ap_mcp.simulator.seed import seeded_world

                fast = speed or SPEED
                made = simulated_autopilot(
                    lambda _: seeded_world(ScaledClock(fast)), fast, prepare=front.prepare, **flags
                )
                autopilot = stack.enter_context(made)
            else:
                settings = front.prepare(load_settings(**flags))
                autopilot = autopilot_for(settings, remote=settings.http is not None)
        log_to_stderr(autopilot.settings.log_level, autopilot.settings.log_format)
        if not simulate and (missing := _missing(autopilot.settings)):
            logger.warning("%s `ap-mcp doctor` says what to do.", missing)
        if front.sockets:
            front.serve(autopilot)
            return
        if sys.stdin is None or sys.stdout is None:
            raise click.UsageError(CLOSED)
        if sys.stdin.isatty():
            say(WAITING, autopilot.settings.log_format)
        logger.info("%s serves on stdio; its cloud: %s", __version__, autopilot.settings.endpoint)
        # A thread that waits for standard input cannot be stopped: without this, Ctrl-C would wait with it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        anyio.run(partial(serve_stdio, autopilot))


def _log_from_the_start() -> None:
    """Write the log before its settings are known: reading them may give warnings."""
    from ap_mcp.cli.logs import log_what_is_uncaught
    from ap_mcp.settings import log_form

    form = log_form()
    log_to_stderr("warning", form)
    if form == "json":
        log_what_is_uncaught()


def _missing(settings: "Settings") -> str:
    """Say which of region and credentials are missing, as far as can be seen without a call; empty if none is."""
    if settings.profiles:
        from ap_mcp.profiles import profiles_of

        without = [each.name for each in profiles_of(settings) if not each.finds_credentials]
        return f"No credentials found for profile {', '.join(without)}: calls there fail{AGENCY}." if without else ""
    if settings.endpoint is None:
        no_keys = "" if has_credentials() else " and no credentials"
        return f"No region{no_keys} set: calls to the cloud fail."
    return "" if has_credentials() else f"No credentials set: calls to the cloud fail{AGENCY}."


def has_credentials() -> bool:
    """Say whether a call would find credentials, or say what is wrong with them; those of an agency show only then."""
    from ap_mcp.settings import CREDENTIALS_FILE, credentials_path, variable, variables_hold_credentials

    if variables_hold_credentials() or not credentials_path(variable(CREDENTIALS_FILE)).is_file():
        return variables_hold_credentials()
    # A file that is there may hold keys of other programs only.
    from ap_mcp.credentials import Agency, find_credentials
    from ap_mcp.errors import SettingsError

    try:
        return not isinstance(find_credentials().identity, Agency)
    except SettingsError:
        return True


@dataclass
class _Front:
    """Where callers on other machines reach this server, if the settings say so; what that needs is imported then.

    Attributes:
        flags: of the command line, by setting.
        sockets: that listen; none on stdio.
        watched: those at which metrics are read; none unless the settings say so.
    """

    flags: Mapping[str, Any]
    sockets: "list[socket]" = field(default_factory=list)
    watched: "list[socket]" = field(default_factory=list)

    def prepare(self, settings: "Settings") -> "Settings":
        """Listen, if it is to be served over HTTP, and return the settings as they hold then."""
        if settings.http is None:
            return settings
        from ap_mcp.errors import SettingsError
        from ap_mcp.settings import where_from
        from ap_mcp.web.callers import has_sign_in
        from ap_mcp.web.options import over_http, refuse_strangers
        from ap_mcp.web.serving import listen

        if not has_sign_in(settings):
            refuse_strangers(settings)
        # Before anything else: links name the port, which may be any free one.
        self.sockets = listen(settings.http, where_from("http", self.flags))
        if settings.metrics is not None:
            try:
                self.watched = listen(settings.metrics, where_from("metrics", self.flags))
            except SettingsError:
                self.close()
                raise
        return over_http(settings, self._port, self.flags)

    def serve(self, autopilot: "Autopilot") -> None:
        """Serve until asked to end, and running calls have ended."""
        import anyio

        from ap_mcp.server import LOCAL
        from ap_mcp.web.app import http_app
        from ap_mcp.web.approvals_page import pages_of
        from ap_mcp.web.callers import sign_in_from
        from ap_mcp.web.options import PATH, options_from
        from ap_mcp.web.serving import room_for_connections, serve_http, url_of

        pages = pages_of(autopilot)
        routes = pages.routes() if pages else []
        sign_in = sign_in_from(autopilot.settings, autopilot.rights_of(LOCAL.principal))
        place = f"{url_of(self.sockets[0])}{PATH}"
        try:
            metrics = self._metrics(autopilot)
            options = options_from(autopilot.settings, self._port, room_for_connections())
            app = http_app(autopilot, options, sign_in, routes=routes, counting=metrics)
            logger.info("%s serves at %s; its cloud: %s", __version__, place, autopilot.settings.endpoint)
            serve = partial(serve_http, autopilot, app, self.sockets, lambda: click.echo(place), options.connections)
            anyio.run(partial(self._serve, serve, autopilot, metrics))
        finally:
            self.close()

    async def _serve(
        self, serve: Callable[[], Awaitable[None]], autopilot: "Autopilot", metrics: "Metrics | None"
    ) -> None:
        from contextlib import AsyncExitStack

        from ap_mcp.watching import watched_by
        from ap_mcp.web.serving import beside, url_of

        async with AsyncExitStack() as stack:
            if metrics is not None:
                from ap_mcp.web.metrics import metrics_app

                names = [autopilot.settings.metrics or "", *autopilot.settings.http_hosts]
                stack.enter_context(watched_by(metrics.note))
                await stack.enter_async_context(beside(metrics_app(metrics.text, names), self.watched))
                logger.info("metrics are read at %s/metrics", url_of(self.watched[0]))
            await serve()

    def _metrics(self, autopilot: "Autopilot") -> "Metrics | None":
        if not self.watched:
            return None
        from ap_mcp.web.metrics import Metrics

        return Metrics(autopilot)

    def close(self) -> None:
        """Listen no more."""
        for each in (*self.sockets, *self.watched):
            each.close()

    @property
    def _port(self) -> int:
        port: int = self.sockets[0].getsockname()[1]
        return port


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Keep the garbage collector away from a start: it makes objects by the 100,000, and garbage hardly ever.

    Checking them again and again takes a seventh of the start, and once more in every later collection.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.set_threshold(*SEARCHED)
        gc.enable()
