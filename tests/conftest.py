"""Fixtures that many tests share."""

import pytest

from ap_mcp.specs import Catalog, load_catalog

pytest.register_assert_rewrite("agent", "consenting", "guarded", "sdk_life", "sdk_live", "upgrading")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of raw bytes by its argument: what an archive holds differs from process to process."""
    return argname if isinstance(val, bytes) else None
