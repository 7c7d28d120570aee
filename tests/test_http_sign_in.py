"""Over HTTP only those get in who sign in, each as who they are; no token leaves the server, in whatever direction."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from issuing import AUDIENCE, ISSUER
from over_http import request
from signing_in import Door, Guarded, bearing, guarded
from simulation import simulate

from ap_mcp.guard.limits import MOST_BESIDE
from ap_mcp.protocol import SPARE
from ap_mcp.web.grants import Grant
from ap_mcp.web.oauth import PeopleRule
from ap_mcp.web.signed_in import LARGEST_TOKEN

pytestmark = pytest.mark.anyio

METADATA_URL = "https://ap.example/.well-known/oauth-protected-resource/mcp"
LIST = request("tools/list")
CLUSTERS = request("tools/call", {"name": "list_clusters", "arguments": {}})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path) as found:
        yield found


def files_below(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


async def asked(site: Guarded, headers: Any = None, path: str = "/mcp") -> httpx.Response:
    """Ask for the tools, with headers beside the usual ones."""
    given = [*LIST["headers"].items(), *(headers.items() if isinstance(headers, dict) else headers or [])]
    async with site.served.by_hand() as http:
        return await http.post(path, json=LIST["json"], headers=given)


async def test_without_a_token_nobody_gets_in_and_everybody_learns_where_to_sign_in(site: Guarded) -> None:
    answer = await asked(site)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{METADATA_URL}"'
    assert answer.headers["cache-control"] == "no-store"
    assert "list_clusters" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"authorization": "apm_x"},
        {"authorization": ""},
    ],
)
async def test_what_is_no_bearer_token_is_none(site: Guarded, headers: Any) -> None:
    answer = await asked(site, headers)
    assert answer.status_code == 401
    assert "error=" not in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/mcp%0A", "/mcp%0D%0A", "/mcp%00", "/%6dcp", "/mcp?", "/mcp/", "//mcp", "/x/../mcp"])
async def test_no_spelling_of_the_address_leads_round_the_sign_in(site: Guarded, path: str) -> None:
    answer = await asked(site, path=path)
    assert answer.status_code in {401, 404}
    assert "jsonrpc" not in answer.text


async def test_of_two_tokens_neither_counts(site: Guarded) -> None:
    twice = [("authorization", f"Bearer {each}") for each in (site.door.bot, site.door.bot)]
    answer = await asked(site, twice)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_token_in_the_address_or_the_body_is_not_taken(site: Guarded) -> None:
    assert (await asked(site, path=f"/mcp?access_token={site.door.bot}")).status_code == 401
    async with site.served.by_hand() as http:
        form = await http.post("/mcp", data={"access_token": site.door.bot})
        assert form.status_code == 401
        cookie = await http.post(
            "/mcp", json=LIST["json"], headers={**LIST["headers"], "cookie": f"token={site.door.bot}"}
        )
        assert cookie.status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_a_token_of_either_kind_the_tools_are_listed(site: Guarded, scheme: str) -> None:
    for token in (site.door.bot, site.door.issuer.token()):
        answer = await asked(site, {"authorization": f"{scheme} {token}"})
        assert answer.status_code == 200
        assert "list_clusters" in answer.text


async def test_a_token_that_does_not_count_is_refused_with_why(site: Guarded) -> None:
    door = site.door
    old = door.issuer.token(exp=1)
    for token, why in ((old, "The token has expired."), ("apm_x", "not known here"), ("x", "no token that is known")):
        answer = await asked(site, bearing(token))
        assert answer.status_code == 401
        said = answer.headers["www-authenticate"]
        assert said.startswith('Bearer error="invalid_token", error_description="')
        assert why in said
        assert f'resource_metadata="{METADATA_URL}"' in said
        assert token not in said.replace('"', " ").split()


async def test_a_huge_token_is_refused_before_anybody_judges_it(site: Guarded) -> None:
    for token in ("apm_" + "x" * LARGEST_TOKEN, "e." * LARGEST_TOKEN):
        answer = await asked(site, bearing(token))
        assert answer.status_code == 401
        assert "too long" in answer.text
    assert site.door.issuer.fetched == []


async def test_the_body_of_somebody_who_has_not_signed_in_is_not_read(site: Guarded) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"{}"

    messages: list[Any] = []

    async def receive() -> Any:
        read.append(1)
        return {"type": "http.request", "body": b"{}", "more_body": True}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(b"host", b"ap.example")],
    }
    await site.served.asgi(scope, receive, send)
    assert messages[0]["status"] == 401
    assert read == []


async def test_requests_of_one_caller_beyond_their_share_are_refused_and_keep_nobody_else_out(
    site: Guarded,
) -> None:
    door, go_on, refused = site.door, anyio.Event(), list[int]()
    other = door.give("other")

    async def body() -> AsyncIterator[bytes]:
        await go_on.wait()
        yield b"{}"

    async def begun() -> None:
        async with site.served.by_hand(bearing(door.bot)) as http:
            refused.append((await http.post("/mcp", content=body())).status_code)

    async with anyio.create_task_group() as group:
        for _ in range(100):  # of which as many are taken as calls of theirs may be there, and some
            group.start_soon(begun)
        while len(refused) < 100 - site.served.autopilot.settings.calls_at_once - MOST_BESIDE - SPARE:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert set(refused) == {429}
        assert (await asked(site, bearing(door.bot))).status_code == 429
        assert (await asked(site, bearing(other))).status_code == 200
        go_on.set()
    assert (await asked(site, bearing(door.bot))).status_code == 200


async def test_what_is_no_part_of_the_protocol_needs_no_token(site: Guarded) -> None:
    async with site.served.by_hand() as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/nothing")).status_code == 404
        assert (await http.get("/mcp")).status_code == 401
        assert (await http.get("/mcp", headers=bearing(site.door.bot))).status_code == 405
        assert (await http.post("/nothing", content=b"x" * 65_537)).status_code == 413


async def test_a_foreign_page_is_refused_before_its_token_is_judged(site: Guarded) -> None:
    answer = await asked(site, {**bearing(site.door.bot), "origin": "https://evil.example"})
    assert answer.status_code == 403
    assert (await asked(site, {**bearing(site.door.bot), "host": "evil.example"})).status_code == 421


async def test_the_server_describes_itself_to_those_who_want_to_sign_in(site: Guarded, tmp_path: Path) -> None:
    async with site.served.by_hand() as http:
        found = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert found == {
            "resource": AUDIENCE,
            "resource_name": "CCE Autopilot",
            "bearer_methods_supported": ["header"],
            "authorization_servers": [ISSUER],
        }
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server"):
            assert (await http.get(path)).status_code == 404


async def test_what_its_tokens_are_for_is_another_matter_than_its_address(tmp_path: Path) -> None:
    """Clients refuse a description of another address than the one that they call."""
    async with guarded(tmp_path, Door(tmp_path, audience="api://autopilot")) as site:
        async with site.served.by_hand() as http:
            found = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert found["resource"] == AUDIENCE
        assert (await asked(site, bearing(site.door.issuer.token()))).status_code == 401
        assert (await asked(site, bearing(site.door.issuer.token(aud="api://autopilot")))).status_code == 200


async def test_behind_a_base_path_it_describes_itself_in_both_places_where_clients_seek_it(tmp_path: Path) -> None:
    door = Door(tmp_path, public_url="https://ap.example/team/cce", scopes=("autopilot",))
    async with guarded(tmp_path, door) as site, site.served.by_hand({"host": "ap.example"}) as http:
        refused = await http.post("/team/cce/mcp", **LIST)
        said = refused.headers["www-authenticate"]
        place = "https://ap.example/team/cce/.well-known/oauth-protected-resource/mcp"
        assert said == f'Bearer scope="autopilot", resource_metadata="{place}"'
        for path in (place.removeprefix("https://ap.example"), "/.well-known/oauth-protected-resource/team/cce/mcp"):
            found = (await http.get(path)).json()
            assert found["resource"] == "https://ap.example/team/cce/mcp"
            assert found["scopes_supported"] == ["autopilot"]


async def test_without_an_issuer_no_place_to_sign_in_is_named(tmp_path: Path) -> None:
    async with guarded(tmp_path, Door(tmp_path, kinds=("tokens",))) as site:
        async with site.served.by_hand() as http:
            found = (await http.get("/.well-known/oauth-protected-resource/mcp")).json()
        assert "authorization_servers" not in found
        assert (await asked(site, bearing(site.door.bot))).status_code == 200
        refused = await asked(site, bearing(site.door.issuer.token()))
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
        assert site.door.issuer.fetched == []


async def test_where_no_public_address_is_known_none_is_named(tmp_path: Path) -> None:
    async with guarded(tmp_path, Door(tmp_path, kinds=("tokens",), public_url="")) as site:
        refused = await asked(site)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        async with site.served.by_hand() as http:
            assert (await http.get("/.well-known/oauth-protected-resource/mcp")).status_code == 404


async def test_a_token_of_ours_is_never_shown_to_the_issuer_and_without_a_file_never_taken(tmp_path: Path) -> None:
    async with guarded(tmp_path, Door(tmp_path, kinds=("oauth",))) as site:
        refused = await asked(site, bearing(site.door.bot))
        assert refused.status_code == 401
        assert "not taken here" in refused.text
        assert site.door.issuer.fetched == []


async def test_a_token_without_the_scope_is_told_which_it_lacks(tmp_path: Path) -> None:
    async with guarded(tmp_path, Door(tmp_path, scopes=("autopilot",))) as site:
        refused = await asked(site, bearing(site.door.issuer.token(scope="mail")))
        assert refused.status_code == 403
        said = refused.headers["www-authenticate"]
        assert 'error="insufficient_scope"' in said
        assert 'scope="autopilot"' in said
        assert (await asked(site, bearing(site.door.issuer.token(scope="mail autopilot")))).status_code == 200
        # Scopes are of the issuer; a token of ours says by itself what it is for.
        assert (await asked(site, bearing(site.door.bot))).status_code == 200


async def test_somebody_whom_no_rule_is_about_is_not_sent_to_sign_in_again(tmp_path: Path) -> None:
    people = (PeopleRule(Grant(toolsets=("tags",)), groups=("sre",)),)
    async with guarded(tmp_path, Door(tmp_path, people=people)) as site:
        refused = await asked(site, bearing(site.door.issuer.token()))
        assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
        assert "www-authenticate" not in refused.headers
        let_in = await asked(site, bearing(site.door.issuer.token(groups=["sre"])))
        assert "list_cluster_tags" not in let_in.text or "list_clusters" not in let_in.text


async def test_while_it_cannot_be_known_who_calls_they_are_asked_to_come_again(site: Guarded) -> None:
    site.door.issuer.down = True
    door = site.door
    async with site.served.by_hand() as http:
        away = await asked(site, bearing(door.issuer.token()))
        assert (away.status_code, away.headers["retry-after"]) == (503, "10")
        assert away.json()["error"] == "temporarily_unavailable"
        assert "www-authenticate" not in away.headers
        ready = (await http.get("/readyz")).json()["checks"]
        assert ready["tokens"] == "ok"
        assert "could not be fetched" in ready["issuer"]


async def test_a_broken_file_makes_the_server_not_ready_and_lets_others_in_by_the_issuer(tmp_path: Path) -> None:
    async with guarded(tmp_path) as site, site.served.by_hand() as http:
        site.door.path.write_text("broken")
        site.door.time.pass_by(1)
        assert (await asked(site, bearing(site.door.bot))).status_code == 503
        assert (await asked(site, bearing(site.door.issuer.token()))).status_code == 200
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["tokens"] == "the file of tokens cannot be used; the log of the server says why"
        assert answer.json()["checks"]["issuer"] == "ok"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_signs_in_in_both_eras(site: Guarded, mode: str) -> None:
    for token in (site.door.bot, site.door.issuer.token()):
        async with site.agent(token, mode) as agent:
            found = await agent.call("list_clusters")
            assert found["clusters"]
            names = {tool.name for tool in (await agent.client.list_tools()).tools}
            assert "delete_cluster" not in names
            assert "only reads" in str(agent.client.instructions)


async def test_a_withdrawn_token_ends_with_the_call_that_runs(tmp_path: Path) -> None:
    app = simulate()
    begun, go_on = anyio.Event(), anyio.Event()

    class Slow(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            begun.set()
            await go_on.wait()
            return await super().handle_async_request(request)

    async with guarded(tmp_path, app=app, transport=Slow(app)) as site, site.served.by_hand() as http:
        answers = []

        async def call() -> None:
            answers.append(
                await http.post(
                    "/mcp", json=CLUSTERS["json"], headers={**CLUSTERS["headers"], **bearing(site.door.bot)}
                )
            )

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await begun.wait()
                site.door.withdraw("bot")
                assert (await asked(site, bearing(site.door.bot))).status_code == 401
                go_on.set()
        assert answers[0].status_code == 200
        assert "shop-prod" in answers[0].text


async def test_no_token_reaches_the_cloud(tmp_path: Path) -> None:
    app = simulate()
    sent: list[bytes] = []

    class Recorded(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(
                str(request.url).encode()
                + b"".join(b"".join(pair) for pair in request.headers.raw)
                + await request.aread()
            )
            return await super().handle_async_request(request)

    async with guarded(tmp_path, app=app, transport=Recorded(app)) as site:
        tokens = [site.door.give("writer", read_only=False), site.door.issuer.token()]
        for token in tokens:
            async with site.agent(token) as agent:
                await agent.call("list_clusters")
                await agent.call("list_problems")
                await agent.run("add_cluster_tags", {"cluster_id": "search-dev", "tags": {"by": "test"}})
    assert len(sent) > 10
    everything = b"\n".join(sent)
    for token in tokens:
        assert token.encode() not in everything
        assert all(part.encode() not in everything for part in token.split(".") if len(part) > 20)
    kept = [each.read_bytes() for each in files_below(tmp_path)]
    assert kept
    assert all(token.encode() not in each for token in tokens for each in kept)
