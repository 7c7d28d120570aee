"""A caller over HTTP waits for a person, who approves on the page of the same server; it takes effect once."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from approval_desk import signed_by
from over_http import Served, served
from simulation import simulate
from soft_authenticator import SoftPasskey

from ap_mcp.guard.approvers import passkey_entry
from ap_mcp.private_files import APPROVERS_FILE
from ap_mcp.web.options import HttpOptions

pytestmark = pytest.mark.anyio

PAGE = "http://localhost:8000"
ALICES = SoftPasskey(id=b"alice's phone", origin=PAGE)
CALL = {"cluster_id": "search-dev"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Served]:
    options = HttpOptions(origins=frozenset({PAGE, "http://127.0.0.1:8000"}))
    async with served(simulate(), tmp_path, options, public_url=PAGE) as found:
        yield found


@asynccontextmanager
async def browser(site: Served) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(site.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=PAGE, headers={"Origin": PAGE}) as client:
        yield client


def list_alice(folder: Path) -> None:
    path = folder / "config" / APPROVERS_FILE
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(json.dumps({"alice": {"passkeys": [passkey_entry(ALICES.pinned)], "principals": []}}))
    path.chmod(0o600)


async def decided(page: httpx.AsyncClient, link: str, answer: str, name: str) -> httpx.Response:
    """Decide on the page as its own script does."""
    said = {"answer": answer, "name": name}
    challenge = (await page.post(f"{link}/challenge", json=said)).json()
    return await page.post(link, json=signed_by(ALICES, {**said, **challenge}))


def link_in(text: str) -> str:
    found = re.search(rf"{PAGE}/approvals/[A-Z0-9-]+/[a-z2-7]{{26}}", text)
    assert found, text
    return found[0]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_waits_for_the_page_and_goes_out_once(site: Served, mode: str, tmp_path: Path) -> None:
    async with site.client(mode) as agent, browser(site) as page:
        asked = await agent.fail("delete_cluster", **CALL)
        link = link_in(asked)
        assert "Nobody can approve yet: the operator has somebody make a passkey" in asked
        shown = (await page.get(link)).text
        assert "delete_cluster" in shown
        assert "Nobody has a passkey for this page yet" in shown
        list_alice(tmp_path)  # while the server runs
        assert "Approve with a passkey" in (await page.get(link)).text
        assert (await decided(page, link, "approve", "search-dev")).json() == {"done": "approve", "by": "alice"}
        result = await agent.call("delete_cluster", **CALL)
        assert '"alice" approved' in result["consent"]
        assert "This question is spent" in (await page.get(link)).text
        again = await page.post(f"{link}/challenge", json={"answer": "decline"})
        assert (again.status_code, "it is spent already" in again.json()["error"]) == (409, True)
        assert agent.changed == ["delete_cluster"]


async def test_a_no_on_the_page_reaches_the_caller(site: Served, tmp_path: Path) -> None:
    list_alice(tmp_path)
    async with site.client() as agent, browser(site) as page:
        link = link_in(await agent.fail("delete_cluster", **CALL))
        assert (await decided(page, link, "decline", "")).status_code == 200
        assert "alice declined it" in await agent.fail("delete_cluster", **CALL)


async def test_an_approval_by_somebody_who_is_taken_from_the_list_does_not_count_and_the_caller_learns_why(
    site: Served, tmp_path: Path
) -> None:
    list_alice(tmp_path)
    async with site.client() as agent, browser(site) as page:
        link = link_in(await agent.fail("delete_cluster", **CALL))
        assert (await decided(page, link, "approve", "search-dev")).status_code == 200
        (tmp_path / "config" / APPROVERS_FILE).unlink()
        said = await agent.fail("delete_cluster", **CALL)
        assert 'was approved as "alice" by a key that is not in the operator\'s list' in said
        assert agent.changed == []


async def test_what_an_approver_withdraws_is_asked_anew(site: Served, tmp_path: Path) -> None:
    list_alice(tmp_path)
    async with site.client() as agent, browser(site) as page:
        link = link_in(await agent.fail("delete_cluster", **CALL))
        assert (await decided(page, link, "approve", "search-dev")).status_code == 200
        assert (await decided(page, link, "withdraw", "")).status_code == 200
        assert link_in(await agent.fail("delete_cluster", **CALL)) != link


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 403),
    ],
)
async def test_the_page_is_behind_the_gate_and_takes_answers_from_its_own_origin_alone(
    headers: dict[str, str], status: int, site: Served, tmp_path: Path
) -> None:
    list_alice(tmp_path)
    async with site.client() as agent, browser(site) as page:
        link = link_in(await agent.fail("delete_cluster", **CALL))
        body: dict[str, Any] = {"answer": "approve", "name": "search-dev"}
        for path in (link, f"{link}/challenge", f"{PAGE}/approvals/sign-in/challenge"):
            assert (await page.post(path, json=body, headers=headers)).status_code == status
        if status == 421:
            assert (await page.get(link, headers=headers)).status_code == 421


async def test_where_nobody_is_asked_or_no_address_is_known_no_page_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(simulate(), tmp_path, public_url=PAGE, confirm="deny") as site, site.by_hand() as page:
        assert (await page.get("/approvals")).status_code == 404
    assert caplog.messages == []
    async with served(simulate(), tmp_path, public_url=None) as site, site.by_hand() as page:
        assert (await page.get("/approvals")).status_code == 404
    assert "No approval page is served, for its address is not known: set AP_MCP_PUBLIC_URL" in caplog.messages


@pytest.mark.parametrize("takes_the_path_off", [True, False])
async def test_behind_a_proxy_the_pages_stand_under_the_path_of_the_public_address(
    takes_the_path_off: bool, tmp_path: Path
) -> None:
    list_alice(tmp_path)
    options = HttpOptions(origins=frozenset({PAGE}), base_path="/team/cce")
    async with (
        served(simulate(), tmp_path, options, public_url=f"{PAGE}/team/cce") as site,
        site.client() as agent,
        browser(site) as page,
    ):
        asked = await agent.fail("delete_cluster", **CALL)
        found = re.search(rf"{PAGE}/team/cce(/approvals/\S+/[a-z2-7]{{26}})", asked)
        assert found, asked
        link = found[1] if takes_the_path_off else found[0]
        shown = (await page.get(link)).text
        assert f'action="/team/cce{found[1]}"' in shown
        style = "/approvals/static/approvals.css"
        assert f'href="/team/cce{style}"' in shown
        assert (await page.get(style if takes_the_path_off else f"/team/cce{style}")).status_code == 200
        assert (await decided(page, link, "approve", "search-dev")).status_code == 200
        assert '"alice" approved' in (await agent.call("delete_cluster", **CALL))["consent"]
