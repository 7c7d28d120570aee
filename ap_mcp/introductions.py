"""Lets requests go to a cluster's own API server, where the operator chose that: with a certificate for one day.

Choosing it is the operator's consent to fetching the certificate, which is recorded like any other secret that is
handed out. A rule that denies get_cluster_certificate closes this way too, as read-only does.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from anyio import Lock

from ap_mcp.gateway import Gateway
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.guarding import Cleared, Guard
from ap_mcp.guard.subject import subject_of
from ap_mcp.specs import CLUSTER, Catalog

if TYPE_CHECKING:
    from ap_mcp.reads import Reads

CERTIFICATE = "get_cluster_certificate"
DAYS = 1
CHOSEN = "the operator chose direct access to clusters (AP_MCP_KUBERNETES=direct)"


class Introductions:
    """Fetches the certificates; shared by all callers.

    Args:
        gateway: keeps them, and sends requests by them.
        catalog: all operations.
    """

    def __init__(self, gateway: Gateway, catalog: Catalog) -> None:
        self._gateway = gateway
        self._operation = catalog[CERTIFICATE]
        self._fetching: defaultdict[str, Lock] = defaultdict(Lock)

    async def introduce(self, guard: Guard, caller: Caller, reads: "Reads", cluster: str) -> None:
        """Make sure that there is a certificate for a cluster, and that the caller may use it.

        Args:
            guard: of the caller.
            caller: who calls.
            reads: of the call.
            cluster: its id.

        Raises:
            CallRefused: a rule denies it, or this server only reads.
            ServiceError: the cloud said no.
        """
        arguments = {CLUSTER: cluster, "duration_days": DAYS}
        await reads.decided(subject_of(self._operation, arguments), cluster)
        async with self._fetching[cluster]:
            if await self._gateway.knows_way_to(cluster):
                return
            call = await self._gateway.bound(self._operation, arguments)
            cleared = Cleared(CERTIFICATE, arguments, "secret", (call,), target=cluster, because=CHOSEN)
            async with guard.sending(cleared, call, caller) as sending:
                response = await self._gateway.send(call, sending.permit)
                sending.succeeded(response.request_id)
            await self._gateway.introduce(cluster, response.body)
