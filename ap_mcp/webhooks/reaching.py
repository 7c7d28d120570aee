"""Whether a webhook can be reached at all, without anything being posted."""

import asyncio
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from anyio import fail_after

from ap_mcp.webhook_addresses import Address
from ap_mcp.wording import clean

SECONDS = 5.0


async def unreached(address: Address, ca_file: Path | None = None) -> str:
    """Return why no connection comes about, in words; empty if one does. It is closed again at once.

    Args:
        address: of the webhook.
        ca_file: certificates to trust in place of the usual ones.
    """
    parts = urlsplit(address.url)
    tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    try:
        with fail_after(SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
            writer.close()
    except TimeoutError:
        return f"no connection within {SECONDS:g} s"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not valid for it: {clean(error.verify_message)}"
    except OSError as error:
        return f"no connection: {clean(error.strerror or str(error))}"
    return ""
