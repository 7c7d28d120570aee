"""Serves the simulator over HTTP on this machine, and the API of its clusters over TLS."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp

from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, SimulatedCredentials
from ap_mcp.simulator.app import Simulator, build_app
from ap_mcp.simulator.cluster_listeners import ClusterListeners
from ap_mcp.simulator.faults import Faults
from ap_mcp.simulator.local_servers import LocalServer
from ap_mcp.simulator.world import World

START_TIMEOUT = 30.0


def serve(
    world: World,
    port: int = 0,
    *,
    faults: Faults | None = None,
    credentials: SimulatedCredentials = SIMULATED_CREDENTIALS,
    announce: Callable[[dict[str, str]], None] = lambda _exports: None,
) -> None:
    """Serve a world over HTTP until interrupted.

    Args:
        world: the account, usually on a `ScaledClock`.
        port: where to listen on the loopback address; 0 takes a free port.
        faults: trouble to make; that of the environment unless given.
        credentials: the keys whose environment is announced.
        announce: called with that environment once requests are answered.

    Raises:
        OSError: if the port is taken.
        SettingsError: if the environment's faults cannot be read.
    """
    trouble = Faults.from_environment(os.environ) if faults is None else faults
    app = build_app(world, faults=trouble, strict_answers=False)
    server = LocalServer(app, port, lambda: announce(exports(server.base_url, credentials)))
    with listening(app), contextlib.suppress(KeyboardInterrupt):  # uvicorn stops gracefully, then passes the signal on
        server.serve_until_stopped()


@contextlib.contextmanager
def listening(app: Simulator) -> Iterator[ClusterListeners]:
    """Let the API servers of the clusters listen for the length of the block; kubeconfigs name their addresses."""
    listeners = ClusterListeners(app, app.state.world)
    try:
        yield listeners
    finally:
        listeners.close()


@contextlib.contextmanager
def running(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve an application in a thread for the length of the block; gives its base URL."""
    started = threading.Event()
    server = LocalServer(app, port, started.set)
    thread = threading.Thread(target=server.serve_until_stopped, name="simulator", daemon=True)
    thread.start()
    try:
        if not started.wait(START_TIMEOUT):
            raise TimeoutError(f"the simulator did not start within {START_TIMEOUT:g} s")
        yield server.base_url
    finally:
        server.should_exit = True
        thread.join(START_TIMEOUT)


def exports(base_url: str, credentials: SimulatedCredentials = SIMULATED_CREDENTIALS) -> dict[str, str]:
    """Return the environment that points this program, or the official SDK, at a served simulator."""
    return credentials.exports(base_url)
