"""A token counts if its issuer signed it for this server and now; anything else gets nobody in."""

import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from issuing import AUDIENCE, ISSUER, JWKS, SERVER, Issuer, forged, private_key, public_jwk

from ap_mcp.errors import SettingsError, UnknownPrincipal
from ap_mcp.web.grants import Grant
from ap_mcp.web.oauth import PeopleRule, read_rules
from ap_mcp.web.signed_in import NotSignedIn

pytestmark = pytest.mark.anyio

EVERY_KEY = ("ed", "rsa", "p256", "p384")


async def refusal(issuer: Issuer, token: str, **how: Any) -> NotSignedIn:
    with pytest.raises(NotSignedIn) as raised:
        await issuer.oauth(**how).signed_in(token)
    return raised.value


async def why(issuer: Issuer, token: str) -> str:
    refused = await refusal(issuer, token)
    assert (refused.status, refused.error) == (401, "invalid_token")
    return str(refused)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *(("ed", "EdDSA"), ("rsa", "RS256"), ("rsa", "RS512"), ("rsa", "PS256"), ("rsa", "PS384")),
        *(("p256", "ES256"), ("p384", "ES384")),
    ],
)
async def test_a_token_that_the_issuer_signed_says_who_calls(key: str, algorithm: str) -> None:
    issuer = Issuer(*EVERY_KEY)
    token = issuer.token(key, algorithm, scope="read  write")
    caller = await issuer.oauth().signed_in(token)
    assert caller.principal == f"{ISSUER}|alice"
    assert (caller.client_id, caller.scopes, caller.resource) == ("bot", ["read", "write"], AUDIENCE)
    assert caller.rights_now() == SERVER
    assert token not in repr(caller)
    assert token not in caller.model_dump_json(exclude={"rights_now"})


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"aud": "https://other.example/mcp"}, "for another server"),
        ({"aud": ["https://other.example/mcp", AUDIENCE + "/"]}, "for another server"),
        ({"aud": {AUDIENCE: 1}}, "for another server"),
        ({"aud": None}, "for another server"),
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": ISSUER.upper()}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"exp": None}, "no end"),
        ({"exp": 1}, "has expired"),
        ({"exp": "9999999999"}, "no number"),
        ({"exp": True}, "no number"),
        ({"exp": 10**400}, "no number"),
        ({"nbf": 9_999_999_999}, "does not count yet"),
        ({"iat": 9_999_999_999}, "does not count yet"),
        ({"nbf": []}, "no number"),
        ({"sub": None}, "whom it is about"),
        ({"sub": ""}, "whom it is about"),
        ({"sub": 7}, "whom it is about"),
        ({"sub": "a\nb"}, "whom it is about"),
        ({"sub": "a" * 256}, "whom it is about"),
        ({"token_use": "id"}, "something else"),
        ({"typ": "ID"}, "something else"),
        ({"typ": "Refresh"}, "something else"),
        ({"at_hash": "x"}, "something else"),
        ({"cnf": {"jkt": "x"}}, "bound to a key"),
    ],
)
async def test_what_a_token_says_must_fit_this_server_now(claims: dict[str, Any], said: str) -> None:
    issuer = Issuer()
    # The library that signs checks one of them itself.
    payload = issuer.claims(**claims)
    token = forged({"alg": "EdDSA", "kid": "ed"}, payload).rsplit(".", 1)[0]
    signature = private_key("ed").sign(token.encode())
    assert said in await why(issuer, forged({"alg": "EdDSA", "kid": "ed"}, payload, signature))


async def test_an_audience_may_stand_in_a_list() -> None:
    issuer = Issuer()
    token = issuer.token(aud=["https://other.example", AUDIENCE])
    assert (await issuer.oauth().signed_in(token)).principal == f"{ISSUER}|alice"


@pytest.mark.parametrize(
    ("claims", "off", "counts"),
    [
        ({}, 329, True),
        ({}, 330, False),
        ({"nbf": 1}, 0, True),
        ({}, -29, True),
        ({}, -31, False),
    ],
)
async def test_clocks_may_be_half_a_minute_apart(claims: dict[str, Any], off: float, counts: bool) -> None:
    issuer = Issuer()
    token = issuer.token(**claims)
    issuer.time.pass_by(off)
    if counts:
        assert (await issuer.oauth().signed_in(token)).principal == f"{ISSUER}|alice"
    else:
        assert "expired" in (said := await why(issuer, token)) or "yet" in said


async def test_a_call_that_was_held_has_no_rights_once_its_token_has_expired() -> None:
    issuer = Issuer()
    caller = await issuer.oauth().signed_in(issuer.token())
    issuer.time.pass_by(329)
    assert caller.rights_now() == SERVER
    issuer.time.pass_by(2)
    with pytest.raises(UnknownPrincipal):
        caller.rights_now()


async def test_a_token_that_nobody_or_anybody_can_sign_is_refused() -> None:
    issuer = Issuer("rsa", "p256")
    claims = issuer.claims()
    public = private_key("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("none", "None", "", "HS256", "RS1", None, ["RS256"]):
        head = {"alg": algorithm, "kid": "rsa"}
        unsigned = forged(head, claims).rsplit(".", 1)[0]
        signature = hmac.digest(public, unsigned.encode(), "sha256")
        for each in (b"", signature):
            said = await why(issuer, forged(head, claims, each))
            assert "not signed in a way that counts" in said or "no token that is known" in said
    assert issuer.fetched == []
    # A key of one kind does not verify signatures of another.
    assert "not signed with a key" in await why(issuer, issuer.token("p256", "ES256", {"kid": "rsa"}))


async def test_a_signature_that_was_changed_or_is_of_another_key_is_refused() -> None:
    issuer = Issuer("ed", "ed-2")
    good = issuer.token()
    head, payload, signature = good.split(".")
    other = issuer.token(sub="mallory").split(".")[1]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for token in (f"{head}.{other}.{signature}", f"{head}.{payload}.{flipped}", f"{head}.{payload}."):
        assert "signature" in await why(issuer, token)
    assert "signature" in await why(issuer, issuer.token("ed-2", head={"kid": "ed"}))
    assert "not signed with a key" in await why(issuer, issuer.token("ed-3"))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "é.é.é", "e30.e30.e30", "\x00", "W10.e30.", "bnVsbA.e30."])
async def test_what_is_no_token_is_refused_without_a_word_to_the_issuer(token: str) -> None:
    issuer = Issuer()
    await why(issuer, token)
    assert issuer.fetched == []


@pytest.mark.parametrize(
    ("head", "counts"),
    [
        ({"typ": "at+jwt"}, True),
        ({"typ": "application/at+jwt"}, True),
        ({"typ": "JWT"}, True),
        ({"typ": None}, True),
        ({"typ": "logout+jwt"}, False),
        ({"typ": "dpop+jwt"}, False),
        ({"typ": 7}, False),
        ({"crit": ["exp"], "exp": 1}, False),
        ({"crit": ["b64"], "b64": True}, False),
        ({"jwk": {"kty": "oct", "k": "AA"}, "jku": "https://evil.example"}, True),
    ],
)
async def test_only_access_tokens_count_and_what_their_heads_bring_along_does_not(
    head: dict[str, Any], counts: bool
) -> None:
    issuer = Issuer()
    payload = issuer.claims()
    full = {"alg": "EdDSA", "kid": "ed", **head}
    full = {name: value for name, value in full.items() if value is not None}
    signature = private_key("ed").sign(forged(full, payload).rsplit(".", 1)[0].encode())
    token = forged(full, payload, signature)
    if counts:
        assert (await issuer.oauth().signed_in(token)).principal == f"{ISSUER}|alice"
    else:
        await why(issuer, token)
    assert set(issuer.fetched) <= {JWKS, "https://login.example/.well-known/oauth-authorization-server/realm"}


@pytest.mark.parametrize("payload", [[], "text", 7, None])
async def test_a_signed_payload_that_is_no_object_is_refused(payload: Any) -> None:
    issuer = Issuer()
    head = {"alg": "EdDSA", "kid": "ed"}
    signature = private_key("ed").sign(forged(head, payload).rsplit(".", 1)[0].encode())
    await why(issuer, forged(head, payload, signature))


async def test_without_a_name_of_a_key_the_only_one_that_fits_is_taken() -> None:
    issuer = Issuer("ed", "rsa")
    assert (await issuer.oauth().signed_in(issuer.token(head={"kid": None}))).principal == f"{ISSUER}|alice"
    issuer.publish(public_jwk("ed"), public_jwk("ed-2"))
    assert "not signed with a key" in await why(issuer, issuer.token(head={"kid": None}))


async def test_scopes_that_a_token_lacks_are_named() -> None:
    issuer = Issuer()
    for good in ({"scope": "mcp autopilot"}, {"scp": ["autopilot", 7]}, {"scp": "autopilot"}):
        await issuer.oauth(scopes=("autopilot",)).signed_in(issuer.token(**good))
    for bad in ({"scope": "autopilots"}, {"scope": 7}, {"scp": {"autopilot": 1}}, {}):
        refused = await refusal(issuer, issuer.token(**bad), scopes=("autopilot",))
        assert (refused.status, refused.error, str(refused)) == (
            403,
            "insufficient_scope",
            "The token lacks the scope autopilot.",
        )


async def test_the_first_rule_that_fits_says_what_somebody_may_use_and_without_one_nobody_gets_in() -> None:
    issuer = Issuer()
    texts = ("a", "b", "c", "d")
    rights = {name: SERVER.__class__(SERVER.policy, (name,), "approval") for name in texts}
    people = (
        (PeopleRule(subjects=("root",)), rights["a"]),
        (PeopleRule(groups=("platform", "sre"), scopes=("write",)), rights["b"]),
        (PeopleRule(claims={"roles": "operator", "tenant": "t"}), rights["c"]),
        (PeopleRule(clients=("bot-2",)), rights["d"]),
    )
    oauth = issuer.oauth(*people)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sub": "root", "groups": ["sre"], "scope": "write"}, "a"),
        ({"groups": ["x", "sre"], "scope": "read write"}, "b"),
        ({"groups": "platform", "scope": "write"}, "b"),
        ({"roles": ["operator"], "tenant": "t"}, "c"),
        ({"client_id": None, "azp": "bot-2"}, "d"),
    ]
    for claims, given in cases:
        assert (await oauth.signed_in(issuer.token(**claims))).rights_now() == rights[given]
    for claims in ({}, {"groups": ["sre"]}, {"roles": ["operator"]}, {"groups": [["sre"]], "scope": "write"}):
        with pytest.raises(NotSignedIn, match="No rule of the operator") as raised:
            await oauth.signed_in(issuer.token(**claims))
        assert (raised.value.status, raised.value.error) == (403, "")


def test_rules_about_people_are_read_with_every_mistake_named() -> None:
    rules = read_rules(
        [{"groups": ["sre"], "read_only": False, "toolsets": ["upgrades"]}, {"claims": {"roles": "x"}}], "ap-mcp.toml"
    )
    assert rules == (
        PeopleRule(Grant(read_only=False, toolsets=("upgrades",)), groups=("sre",)),
        PeopleRule(claims={"roles": "x"}),
    )
    with pytest.raises(SettingsError) as raised:
        read_rules([{"group": ["sre"]}, {"claims": {}, "read_only": 1}, 7, {"subjects": []}], "ap-mcp.toml")
    for part in (
        "Wrong rules in ap-mcp.toml:",
        'rule 1: "group" is unknown; did you mean groups?',
        "rule 2: claims must be a table of claims that is not empty",
        "rule 2: read_only must be true or false",
        "rule 3: must be a table",
        "rule 4: subjects must be a list of texts that is not empty",
    ):
        assert part in raised.value.render()


async def test_nobody_gets_in_while_the_keys_are_not_known_and_it_is_not_the_token_that_is_blamed() -> None:
    issuer = Issuer()
    issuer.down = True
    refused = await refusal(issuer, issuer.token())
    assert (refused.status, refused.error) == (503, "")
    assert json.dumps(str(refused)).isascii()
