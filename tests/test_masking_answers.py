"""The hard cases of masking through the whole server: in no answer, no question and no store does a secret show."""

import json
from pathlib import Path
from typing import Any

import pytest
from agent import connected
from canaries import leaving
from secret_cases import CASES

from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import PAYMENTS_PROD, TEAM_SANDBOX

pytestmark = pytest.mark.anyio

STANDING = {"cluster_id": PAYMENTS_PROD, "namespace": "payments", "name": "payments-api"}
NEW = {"cluster_id": TEAM_SANDBOX, "namespace": "default", "name": "cache", "chart_id": REDIS, "version": "18.6.1"}
VALUES = {case.label.replace(".", " "): case.value for case in CASES}
SECRETS = {secret for case in CASES for secret in case.hidden}
AGREED_LATER = "approval_required"


def leaks(where: str, *texts: str | bytes) -> list[str]:
    """Say which secrets stand in some texts, also with line breaks and quotation marks written out."""
    joined = "\n".join(each if isinstance(each, str) else each.decode("utf-8", "replace") for each in texts)
    seen = f"{joined}\n{joined}".replace("\\n", "\n").replace('\\"', '"').replace("\\u0022", '"')
    return [f"{where}: {secret}" for secret in sorted(SECRETS) if secret in seen]


async def test_no_secret_of_a_release_shows(tmp_path: Path) -> None:
    async with connected(tmp_path, confirm="approval", unasked=False) as agent:
        row: dict[str, Any] = agent.world.table("releases")["/".join(STANDING.values())]
        row["_values"] = {**row["_values"], **VALUES}
        row["_overrides"] = dict(VALUES)
        row["values"] = json.dumps(row["_values"])
        found = leaks("get_release", await leaving(agent, await agent.run("get_release", STANDING)))
        found += leaks("list", await leaving(agent, await agent.run("list_releases", {"cluster_id": PAYMENTS_PROD})))
        update = {**STANDING, "chart_id": row["_chart_id"], "action": "upgrade", "values": {"replicas": 3}}
        found += leaks("dry run", await leaving(agent, await agent.run("update_release", {**update, "dry_run": True})))
        asked = await leaving(agent, await agent.run("update_release", update))
        found += leaks("asked", asked)
        assert AGREED_LATER in asked
    for path in (tmp_path / "state").iterdir():
        found += leaks(path.name, path.read_bytes())
    assert found == []


async def test_no_secret_that_a_caller_sends_is_shown_in_the_request_of_a_dry_run(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        dry = await agent.call("create_release", **NEW, values={"extra": VALUES}, dry_run=True)
        assert leaks("request", json.dumps(dry["request"], ensure_ascii=False)) == []
