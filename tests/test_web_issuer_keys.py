"""Keys of an issuer are fetched once for all who wait, follow its rotation, and outlive its outages for an hour."""

import base64
import logging
from typing import Any

import anyio
import httpx
import pytest
from issuing import ISSUER, JWKS, METADATA, OPENID, Issuer, private_key, public_jwk

from ap_mcp.cloud.lines import Lines
from ap_mcp.settings import Settings
from ap_mcp.web.issuer_keys import LARGEST_DOCUMENT, IssuerFailed, IssuerKeys, fetching, is_safe_address, metadata_urls

pytestmark = pytest.mark.anyio


async def found(keys: IssuerKeys, kid: str | None = "ed", algorithm: str = "EdDSA") -> bool:
    return await keys.find(kid, algorithm) is not None


async def trouble(issuer: Issuer, jwks_url: str | None = None) -> str:
    keys = issuer.keys(jwks_url)
    with pytest.raises(IssuerFailed) as raised:
        await keys.find("ed", "EdDSA")
    assert keys.trouble == str(raised.value)
    return keys.trouble


async def test_all_who_wait_for_keys_share_one_fetch() -> None:
    issuer = Issuer()
    keys = issuer.keys()
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(found, keys)
    assert issuer.fetched == [METADATA, JWKS]
    assert keys.names == ("ed",)


async def test_a_new_key_is_found_by_one_fetch_and_made_up_ones_cause_none() -> None:
    issuer = Issuer()
    keys = issuer.keys(JWKS)
    assert await found(keys)
    issuer.publish(public_jwk("ed-2"), public_jwk("ed"))
    issuer.time.pass_by(61)
    assert await found(keys, "ed-2")
    assert len(issuer.fetched) == 2
    for number in range(30):
        assert not await found(keys, f"made up {number}")
    assert len(issuer.fetched) == 2
    issuer.time.pass_by(60)
    assert not await found(keys, "made up")
    assert not await found(keys, "made up")
    assert len(issuer.fetched) == 3


async def test_a_key_that_the_issuer_took_back_does_not_count_after_ten_minutes() -> None:
    issuer = Issuer("ed", "ed-2")
    keys = issuer.keys(JWKS)
    assert await found(keys)
    issuer.publish(public_jwk("ed-2"))
    issuer.time.pass_by(599)
    assert await found(keys)
    issuer.time.pass_by(1)
    assert not await found(keys)


async def test_old_keys_count_for_an_hour_while_the_issuer_is_away(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()
    keys = issuer.keys(JWKS)
    assert await found(keys)
    issuer.down = True
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            issuer.time.pass_by(719)
            assert await found(keys)
            assert await found(keys)
    assert len(issuer.fetched) == 6
    assert "was not reached (ConnectError)" in keys.trouble
    assert len(caplog.records) == 1
    issuer.time.pass_by(5)
    with pytest.raises(IssuerFailed):
        await found(keys)
    issuer.down = False
    issuer.time.pass_by(15)
    assert await found(keys)
    assert keys.trouble == ""


async def test_whoever_has_a_known_key_does_not_wait_for_a_fetch_that_hangs() -> None:
    issuer = Issuer()
    hangs, go_on = anyio.Event(), anyio.Event()

    async def fetch(url: str) -> Any:
        if issuer.fetched:
            hangs.set()
            await go_on.wait()
        issuer.fetched.append(url)
        return issuer.documents[url]

    keys = IssuerKeys(ISSUER, JWKS, fetch, issuer.time.seconds)
    assert await found(keys)
    issuer.time.pass_by(700)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(found, keys)
            await hangs.wait()
            assert await found(keys)
            go_on.set()


def test_an_issuer_describes_itself_in_one_of_three_places() -> None:
    assert metadata_urls(ISSUER) == (METADATA, OPENID, "https://login.example/.well-known/openid-configuration/realm")
    assert metadata_urls("https://a.example/") == (
        "https://a.example/.well-known/oauth-authorization-server",
        "https://a.example/.well-known/openid-configuration",
    )


async def test_the_description_of_openid_connect_will_do() -> None:
    issuer = Issuer()
    issuer.documents[OPENID] = issuer.documents.pop(METADATA)
    assert await found(issuer.keys())
    assert issuer.fetched == [METADATA, OPENID, JWKS]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"issuer": "https://evil.example", "jwks_uri": JWKS}, "must be https://login.example/realm to the letter"),
        ({"issuer": ISSUER + "/", "jwks_uri": JWKS}, "to the letter"),
        ({"issuer": ISSUER}, "names no https address of keys"),
        ({"issuer": ISSUER, "jwks_uri": "http://login.example/keys"}, "names no https address of keys"),
        ({"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"}, "names no https address of keys"),
        ({"issuer": ISSUER, "jwks_uri": "https://["}, "names no https address of keys"),
        ({"issuer": ISSUER, "jwks_uri": 7}, "names no https address of keys"),
    ],
)
async def test_a_description_of_somebody_else_or_without_a_safe_address_leads_nowhere(
    document: dict[str, Any], said: str
) -> None:
    issuer = Issuer()
    issuer.documents[METADATA] = document
    assert said in await trouble(issuer)
    assert issuer.fetched == [METADATA]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(302, headers={"location": "https://evil.example/keys"}), "answered 302, which is not followed"),
        (httpx.Response(500), "answered 500"),
        (httpx.Response(200, text="<html>"), "answered no JSON"),
        (httpx.Response(200, content=b"", headers={"content-encoding": "gzip"}), "answered something compressed"),
        (httpx.Response(200, content=b"\xff"), "answered no JSON"),
        (httpx.Response(200, text="[" * 100_000), "answered no JSON"),
        (httpx.Response(200, text="[]"), "answered no JSON object"),
        (httpx.Response(200, content=b" " * (LARGEST_DOCUMENT + 1)), "answered more than"),
        ({"keys": []}, "holds no key that can verify a token"),
        ({"keys": {"ed": 1}}, "holds no key that can verify a token"),
    ],
)
async def test_what_is_no_set_of_keys_is_not_taken_for_one(answer: Any, said: str) -> None:
    issuer = Issuer()
    issuer.documents[JWKS] = answer
    assert said in await trouble(issuer, JWKS)
    assert issuer.fetched == [JWKS]


async def test_a_fetch_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr("ap_mcp.web.issuer_keys.PATIENCE", 0.01)
    fetch = fetching(lambda: Lines(Settings(), httpx.Limits(), httpx.MockTransport(hang)))
    with pytest.raises(IssuerFailed, match="was not reached"):
        await fetch(JWKS)


async def test_keys_that_are_none_or_not_for_signatures_are_passed_over() -> None:
    issuer = Issuer()
    short = public_jwk("short")
    issuer.publish(
        *(None, 7, {}, {"kty": "oct", "k": "AAAA", "kid": "ed"}, {"kty": "RSA", "kid": "ed"}, {"kty": ["EC"]}),
        {"kty": "EC", "crv": "P-256", "x": "!!", "y": "", "kid": "ed"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        short,
        public_jwk("ed", use="enc"),
        public_jwk("ed", key_ops=["sign"]),
        public_jwk("ed", alg="RS256"),
        public_jwk("ed-2", use=None, key_ops=["verify"], kid=None),
    )
    keys = issuer.keys(JWKS)
    assert not await found(keys, "ed")
    assert not await found(keys, "short", "RS256")
    assert await found(keys, None)
    assert keys.names == ("without a name",)


async def test_of_a_private_key_that_was_published_only_the_public_half_is_kept() -> None:
    issuer = Issuer()
    raw = private_key("ed").private_bytes_raw()
    issuer.publish(public_jwk("ed", d=base64.urlsafe_b64encode(raw).rstrip(b"=").decode()))
    key = await issuer.keys(JWKS).find("ed", "EdDSA")
    assert key is not None
    assert not hasattr(key.key, "sign")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://a.example/keys", False),
        ("ftp://a.example", False),
        ("https://", False),
        ("https://[", False),
        ("a.example", False),
    ],
)
def test_addresses_that_somebody_on_the_way_could_answer_for_are_not_used(url: str, safe: bool) -> None:
    assert is_safe_address(url) is safe
