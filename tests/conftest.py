"""Fixtures that many tests share, and what makes all of them quicker."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import stamina
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from ap_mcp.cloud.retry import ATTEMPTS
from ap_mcp.specs import Catalog, load_catalog

pytest.register_assert_rewrite(
    "agent", "balancing", "confirming", "consenting", "guarded", "replicas", "sdk_life", "sdk_live", "upgrading"
)

# How long an example takes says something of the machine: what is drawn is the same each time, and few.
settings.register_profile(
    "steady", derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", max_examples=600, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

ALONE = ("serial", "foreign", "kubectl", "redis", "browser", "conformance", "balancer")
"""Markers of tests that nothing may run beside."""
MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it, for its user only
ENOUGH = 256 * 2**20
"""Bytes that must be free there; the tests need a tenth of it."""


def pytest_configure() -> None:
    """Keep the tests' files in memory, where waiting for the disk takes no time; and spare a search per request.

    httpx asks for `sniffio` whenever a request goes to an application; where it is not installed, that is sought in
    every folder of the path, each time.
    """
    if _can_be_used(MEMORY):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for no garbage meanwhile: what is made there stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what measures time where others run beside it, and foreign programs; `make test` runs these alone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        alone = [item for item in items if any(map(item.get_closest_marker, ALONE))]
        config.hook.pytest_deselected(items=alone)
        items[:] = [item for item in items if item not in alone]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Have a process of xdist send one report of a test that passed, not three: most tests take less than these."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_sessionfinish() -> None:
    """End the process that others were forked from, if there was one."""
    if forking := sys.modules.get("forking"):
        forking.end()


def pytest_collection_finish() -> None:
    """Search for garbage less often, and not in what importing and collecting made: all of it stays to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _can_be_used(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ENOUGH and not found.f_flag & os.ST_NOEXEC


@pytest.fixture(scope="session")
def kubectl(pytestconfig: pytest.Config) -> Path:
    """The folder that keeps kubectl and helm between runs, see `kubectl_programs`."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("kubectl")


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user with a home of their own and no settings: those of the one who runs the tests are hidden."""
    for name in os.environ:
        if name.startswith(("AP_MCP_", "HW_", "HUAWEICLOUD_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Requests that fail are repeated as often as ever, without a pause between."""
    with stamina.set_testing(True, attempts=ATTEMPTS):
        yield


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of raw bytes by its argument: what an archive holds differs from process to process."""
    return argname if isinstance(val, bytes) else None
