"""Lets callers in by access tokens of an OAuth 2.1 issuer: whoever it vouches for, as the operator's rules say."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite, nan
from typing import Any

from jwt import PyJWS, get_unverified_header
from jwt.exceptions import PyJWTError

from ap_mcp.errors import SettingsError, UnknownPrincipal
from ap_mcp.principals import Rights
from ap_mcp.web.grants import Grant, read_grant, texts
from ap_mcp.web.issuer_keys import ALGORITHMS, IssuerFailed, IssuerKeys
from ap_mcp.web.signed_in import NotSignedIn, SignedIn, access_of

LEEWAY = 30.0
"""Seconds that the clocks of issuer and server may be apart."""
LONGEST_SUBJECT = 255
_TYPES = frozenset({"at+jwt", "jwt"})
_OTHER_USES = frozenset({"id", "refresh", "offline", "logout"})
UNREACHABLE = "Nobody can sign in by the issuer now: its keys are not known. The log of the server says why."
_SIGNATURES = PyJWS()


@dataclass(frozen=True, slots=True)
class PeopleRule:
    """What the operator grants to some of those whom the issuer vouches for; it fits who fits all that it names.

    Attributes:
        grant: what they may use.
        subjects: one of them is the `sub` of the token.
        groups: one of them is among the `groups` of the token.
        clients: one of them is the program that the token was issued to.
        scopes: all of them are among its scopes.
        claims: each is a claim of the token, which has the value or is a list that holds it.
    """

    grant: Grant = field(default_factory=Grant)
    subjects: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict)

    def fits(self, claims: Mapping[str, Any]) -> bool:
        """Say whether a token is one of those that the rule is about."""
        scopes = scopes_in(claims)
        return (
            (not self.subjects or claims.get("sub") in self.subjects)
            and (not self.groups or any(_holds(claims.get("groups"), each) for each in self.groups))
            and (not self.clients or client_in(claims) in self.clients)
            and all(each in scopes for each in self.scopes)
            and all(_holds(claims.get(name), value) for name, value in self.claims.items())
        )


EVERYBODY_READS = (PeopleRule(),)
"""What holds where the operator gives no rules."""


def read_rules(tables: Sequence[Any], place: str) -> tuple[PeopleRule, ...]:
    """Return the operator's rules about people.

    Args:
        tables: as they were written.
        place: where, for what is wrong.

    Raises:
        SettingsError: names every mistake.
    """
    rules, problems = [], []
    readers = {"subjects": texts, "groups": texts, "clients": texts, "scopes": texts, "claims": _claims}
    for number, table in enumerate(tables, 1):
        if not isinstance(table, Mapping):
            problems.append(f"rule {number}: must be a table")
            continue
        grant, given, wrong = read_grant(table, readers)
        problems += [f"rule {number}: {each}" for each in wrong]
        rules += [] if wrong else [PeopleRule(grant, **given)]
    if problems:
        raise SettingsError("\n".join([f"Wrong rules in {place}:", *(f"- {each}" for each in problems)]))
    return tuple(rules)


class OAuth:
    """An issuer, and what whoever it vouches for may use.

    Attributes:
        people: rules, the first that fits decides, each with the rights that it gives.

    Args:
        issuer: its address, to the letter.
        audience: what its tokens for this server are for.
        keys: what it signs with.
        people: rules, the first that fits decides, each with the rights that it gives.
        scopes: what every token must have.
        now: by which tokens expire.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: IssuerKeys,
        people: Sequence[tuple[PeopleRule, Rights]],
        *,
        scopes: Iterable[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.keys = keys
        self.scopes = tuple(scopes)
        self.people = tuple(people)
        self._now = now

    async def signed_in(self, token: str) -> SignedIn:
        """Return for whom a token vouches.

        Raises:
            NotSignedIn: for nobody, not for this server, not now, or for somebody who has no rights here.
        """
        claims = await self._signed(token)
        end = self._checked(claims)
        missing = [scope for scope in self.scopes if scope not in scopes_in(claims)]
        if missing:
            raise NotSignedIn(f"The token lacks the scope {missing[0]}.", 403, "insufficient_scope")
        rights = next((rights for rule, rights in self.people if rule.fits(claims)), None)
        if rights is None:
            raise NotSignedIn("No rule of the operator of this server is about you.", 403, "")
        principal = f"{self.issuer}|{claims['sub']}"

        def rights_now() -> Rights:
            if self._seconds >= end + LEEWAY:
                raise UnknownPrincipal(principal)
            return rights

        return access_of(
            principal,
            rights_now,
            client_id=client_in(claims),
            scopes=scopes_in(claims),
            subject=claims["sub"],
            resource=self.audience,
            claims={"iss": self.issuer},
        )

    @property
    def _seconds(self) -> float:
        return self._now().timestamp()

    async def _signed(self, token: str) -> Mapping[str, Any]:
        """Return what a token says, once its signature is verified."""
        try:
            head = get_unverified_header(token)
        except PyJWTError:
            raise NotSignedIn("This is no token that is known here.") from None
        algorithm, kid = head.get("alg"), head.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise NotSignedIn(
                "The token is not signed in a way that counts: RS256, PS256, ES256 or EdDSA, or their kin."
            )
        if str(head.get("typ", "jwt")).lower().removeprefix("application/") not in _TYPES or "crit" in head:
            raise NotSignedIn("This is a token for something else, not an access token.")
        try:
            key = await self.keys.find(kid, algorithm)
        except IssuerFailed:
            raise NotSignedIn(UNREACHABLE, 503, "") from None
        if key is None:
            raise NotSignedIn("The token is not signed with a key that its issuer publishes.")
        try:
            claims = json.loads(_SIGNATURES.decode(token, key.key, algorithms=[algorithm]))
        except (PyJWTError, ValueError, TypeError, RecursionError):
            raise NotSignedIn("The signature of the token is wrong.") from None
        if not isinstance(claims, dict):
            raise NotSignedIn("The token says nothing.")
        return claims

    def _checked(self, claims: Mapping[str, Any]) -> float:
        """Check what a token says about itself; return when it ends."""
        if claims.get("iss") != self.issuer:
            raise NotSignedIn("The token is from another issuer.")
        if not _holds(claims.get("aud"), self.audience):
            raise NotSignedIn(f"The token is for another server; for this one its audience is {self.audience}.")
        now, end = self._seconds, _moment(claims, "exp")
        if end is None:
            raise NotSignedIn("The token has no end.")
        if now >= end + LEEWAY:
            raise NotSignedIn("The token has expired.")
        for name in ("nbf", "iat"):
            start = _moment(claims, name)
            if start is not None and now < start - LEEWAY:
                raise NotSignedIn("The token does not count yet: is a clock wrong?")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            raise NotSignedIn("The token does not say whom it is about.")
        uses = {str(claims.get(name, "")).lower() for name in ("typ", "token_use")}
        if uses & _OTHER_USES or "at_hash" in claims or "c_hash" in claims:
            raise NotSignedIn("This is a token for something else, not an access token.")
        if "cnf" in claims:
            raise NotSignedIn("The token is bound to a key of its holder, which is not supported here.")
        return end


def scopes_in(claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes of a token, in either form that issuers write them."""
    found = claims.get("scope", claims.get("scp"))
    listed = found.split() if isinstance(found, str) else found
    return [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []


def client_in(claims: Mapping[str, Any]) -> str:
    """Return the program that a token was issued to; empty if that is not said."""
    return next((found for name in ("client_id", "azp", "appid") if isinstance(found := claims.get(name), str)), "")


def _holds(found: Any, value: str) -> bool:
    return found == value or (isinstance(found, list) and value in found)


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time of a token; None if it has none.

    Raises:
        NotSignedIn: it is no time.
    """
    found = claims.get(name)
    if found is None:
        return None
    try:
        moment = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else nan
    except OverflowError:
        moment = nan
    if not isfinite(moment):
        raise NotSignedIn("A time in the token is no number.")
    return moment


def _claims(value: Any) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not value or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('must be a table of claims that is not empty, like { roles = "operator" }')
    return dict(value)
