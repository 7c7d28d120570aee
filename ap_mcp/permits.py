"""Permits: what a request needs to leave this process, unless it only reads.

A permit is for exactly one request, known by its digest, and for one use. The guard makes those of tool calls, once a
call was decided, agreed to and recorded; the sign-in of the cloud client makes its own, for its few fixed requests.
`tests/test_wall.py` shows that nothing else makes one.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Literal, TypeAlias

from ap_mcp.binding import HttpCall
from ap_mcp.errors import ApMcpError, NotPermitted

Kind: TypeAlias = Literal["call", "sign_in", "dry_run"]
"""call: of a tool, decided by the guard. sign_in: tokens and temporary keys. dry_run: the server changes nothing."""


MayRepeat: TypeAlias = Callable[[ApMcpError], Awaitable[bool]]
"""Is asked, after a request that may have taken effect, whether it may be sent again now, given how it ended."""

DRY_RUN = ("dryRun", "All")
"""The query parameter by which a Kubernetes API server changes nothing."""


async def always(_: ApMcpError) -> bool:
    """Let a read be made again."""
    return True


async def never(_: ApMcpError) -> bool:
    """Let nothing be sent again that may have taken effect."""
    return False


def digest_of(call: HttpCall) -> str:
    """Return the digest of a request, in hex: all of it but its endpoint, its signature and its project.

    Whether it may be sent again belongs to it: a permit is for one effect, not for one attempt.
    """
    parts = [
        *(call.operation_id, call.method, call.path, call.query, sorted(call.headers.items()), call.content_type),
        *(call.idempotent, call.accepts, call.cluster),
        None if call.body is None else sha256(call.body).hexdigest(),
    ]
    return sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def is_dry_run(call: HttpCall) -> bool:
    """Say whether a Kubernetes API server changes nothing by a request.

    A deletion with a body has its options there, and a server then reads none in the query.
    """
    if DRY_RUN not in call.query or [value for name, value in call.query if name == DRY_RUN[0]] != [DRY_RUN[1]]:
        return False
    if call.method != "DELETE" or call.body is None:
        return True
    try:
        options = json.loads(call.body)
    except ValueError:
        return False
    return isinstance(options, dict) and options.get(DRY_RUN[0]) == [DRY_RUN[1]]


@dataclass(eq=False, slots=True)
class Permit:
    """Lets one request out, once.

    Attributes:
        kind: what it is for.
        digest: of the request.
    """

    kind: Kind
    digest: str
    _used: bool = field(default=False, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def spend(self, call: HttpCall, *kinds: Kind) -> None:
        """Use the permit for a request.

        Args:
            call: the request that is about to be sent.
            kinds: what the permit may be for.

        Raises:
            NotPermitted: it is for another request, of another kind, or used already.
        """
        if self.kind not in kinds:
            raise NotPermitted(call.operation_id, f"the permit is for {self.kind}")
        if self.kind == "dry_run" and not (call.cluster and is_dry_run(call)):
            raise NotPermitted(call.operation_id, "the permit is for a dry run, and the request is none")
        if self.digest != digest_of(call):
            raise NotPermitted(call.operation_id, "the permit is for another request")
        with self._lock:
            if self._used:
                raise NotPermitted(call.operation_id, "the permit was used before")
            self._used = True
