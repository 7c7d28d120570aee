"""What consent is asked for, and what it is once somebody has given it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from ap_mcp.binding import HttpCall
from ap_mcp.guard.approval_requests import Place
from ap_mcp.guard.callers import Caller, client_of
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.impacts.layout import Layout
from ap_mcp.guard.seal import canonical
from ap_mcp.guard.where import Where
from ap_mcp.specs import JSON


@dataclass(frozen=True)
class Request:
    """What consent is asked for: one call, bound to what a person is shown about it.

    Attributes:
        digest: of the true arguments and of the files they name; `arguments` are as a person sees them.
        calls: what is sent once somebody agrees, in order and to the byte: what is filled in was read before.
        steps: what each of them does, in a few words; only several need them.
        compared: the requests as the consent is bound to them, if that leaves out the version of an object.
        place: where it is sent to; not every path names it.
        shown_at: the service's time that the impact is about.
        other_approver: a rule wants somebody other than the caller to approve.
        takes_token: the tool has an argument for one; `token` is what was given for it.
    """

    tool: str
    arguments: Mapping[str, Any]
    digest: str
    impact: Impact
    calls: tuple[HttpCall, ...] = field(repr=False)
    place: Place
    shown_at: datetime
    steps: tuple[str, ...] = ()
    compared: tuple[HttpCall, ...] = field(default=(), repr=False)
    other_approver: bool = False
    takes_token: bool = True
    token: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A digest of what is shown and of what would be sent; in which order things are named is no matter."""
        where = [self.place.region, self.place.project, self.place.simulated, self.place.profile]
        sent = [where, *(_sent(call) for call in self.compared or self.calls)]
        return sha256(canonical([self.impact.fingerprint(), sent]).encode()).hexdigest()

    @cached_property
    def _layouts(self) -> dict[Where, Layout]:
        return {}

    def laid_out(self, caller: Caller) -> Layout:
        """Return the question about this call, which says where it goes and for whom it is made."""
        place = self.place
        where = Where(
            place.region,
            place.project,
            client_of(caller),
            caller.principal,
            simulated=place.simulated,
            profile=place.profile,
        )
        if where not in self._layouts:
            self._layouts[where] = self.impact.laid_out(where)
        return self._layouts[where]

    def made_ready(self, caller: Caller) -> "Request":
        """Return it once all of it is worked out that takes long where there is much of it."""
        self.laid_out(caller)
        self.binding(caller.principal)
        return self

    def binding(self, principal: str) -> dict[str, str]:
        """Return what a consent must match to count for this call."""
        bound = {"tool": self.tool, "digest": self.digest, "fingerprint": self.fingerprint}
        return {**bound, "principal": principal}


ReadAgain: TypeAlias = Callable[[datetime | None], Awaitable[Request]]
"""Decides and reads everything anew; with a time, as it would have been shown then, its ages and all."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A person agreed, or a rule allows the call; it is used up already.

    Attributes:
        request: what was agreed to, and nothing else is sent.
        channel: how it was obtained.
        approver: who agreed.
        said: who agreed, when and by which channel, in a sentence for whoever reads the result.
        because: what stands in the audit as the decision.
        id: of the record of its question; empty if a rule allows the call.
        code: of the question that was answered elsewhere; empty if none was.
    """

    request: Request
    channel: str
    approver: str
    said: str
    because: str = "a person agreed"
    id: str = ""
    code: str = ""


def digest_of(arguments: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Return the digest of a call's true arguments and of the content of the files they name."""
    contents = {name: sha256(content).hexdigest() for name, content in files.items()}
    canonical = json.dumps([dict(arguments), contents], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _sent(call: HttpCall) -> list[Any]:
    body = call.body or b""
    content = canonical(json.loads(body)) if body and call.content_type == JSON else sha256(body).hexdigest()
    return [call.method, call.path, sorted(call.query), sorted(call.headers.items()), content]
