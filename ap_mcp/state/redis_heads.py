"""Notes in Redis how long the audit log of each server is, for a log that is lost cannot say so itself."""

import logging
import re
import socket

from anyio import to_thread

from ap_mcp.errors import ApMcpError
from ap_mcp.guard.audit import AuditLog
from ap_mcp.guard.audit_heads import AuditHead, Extent
from ap_mcp.guard.seal import canonical
from ap_mcp.state.redis_link import PREFIX, RedisLink
from ap_mcp.state.redis_records import WRONG, read_object, read_text

LINES, LOGS = f"{PREFIX}audit:lines", f"{PREFIX}audit:logs"
ID = re.compile(r"[0-9a-f]{16}")

logger = logging.getLogger(__name__)


class AuditHeads:
    """What Redis knows of the audit logs of all servers that share it.

    Args:
        link: leads to it.
        host: the name of this machine.
    """

    def __init__(self, link: RedisLink, host: str = "") -> None:
        self._link = link
        self._host = host or socket.gethostname()
        self._has_failed = False

    async def note(self, log: AuditLog) -> None:
        """Note how long a log is; where that fails, it is said once, and nothing else is held up by it."""
        try:
            extent = await to_thread.run_sync(log.extent)
            if extent is not None:
                about = {"host": self._host, "path": str(log.path), "at": self._link.clock().isoformat()}
                await self._link.run(
                    # Never back: two calls may end in another order than their lines stand in.
                    ("ZADD", LINES, "GT", extent.lines, extent.id),
                    ("HSET", LOGS, extent.id, canonical(about)),
                )
        except ApMcpError as error:
            if not self._has_failed:
                logger.warning("How long the audit log is could not be noted in Redis: %s", error.render())
            self._has_failed = True
        else:
            self._has_failed = False

    async def all(self) -> list[AuditHead]:
        """Return what is noted; what cannot be read is passed over.

        Raises:
            ApprovalsUnusable: Redis cannot be used.
        """
        lines, logs = await self._link.run(("ZRANGE", LINES, 0, -1, "WITHSCORES"), ("HGETALL", LOGS))
        found = []
        for name, count in zip(lines[::2], lines[1::2], strict=True):
            try:
                id_, about = name.decode("ascii"), read_object(logs[name])
                host, path, at = (read_text(about[each]) for each in ("host", "path", "at"))
                extent = Extent(id_, int(float(count)))
            except WRONG:
                continue
            if ID.fullmatch(id_):
                found.append(AuditHead(extent, host, path, at))
        return found

    async def forget(self, log_id: str) -> bool:
        """Forget a log; False if nothing is known of it.

        Raises:
            ApprovalsUnusable: Redis cannot be used.
        """
        known, _ = await self._link.run(("ZREM", LINES, log_id), ("HDEL", LOGS, log_id), atomic=True)
        return bool(known)

    @property
    def host(self) -> str:
        """The name of this machine."""
        return self._host
