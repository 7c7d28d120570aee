"""Asks the cloud server we run on for the temporary keys of its agency."""

from typing import Any

import anyio
from pydantic import SecretStr

from ap_mcp.cloud import http
from ap_mcp.cloud.auth import parse_moment
from ap_mcp.credentials import METADATA_ENDPOINT, AccessKey, Agency
from ap_mcp.errors import CredentialsMissing

TIMEOUT_SECONDS = 3.0
SESSION_SECONDS = 21_600
SESSION_PATH = "/meta-data/latest/api/token"
KEYS_PATH = "/openstack/latest/securitykey"


async def fetch_agency_key(client: http.AsyncClient, agency: Agency) -> AccessKey:
    """Return the temporary keys of the server's agency.

    Raises:
        CredentialsMissing: this is no cloud server, or it has no agency; names every place searched.
    """
    try:
        with anyio.fail_after(TIMEOUT_SECONDS):
            key = await _ask(client)
    except TimeoutError:
        key = f"did not answer within {TIMEOUT_SECONDS:.0f} s"
    except (http.RequestError, OSError) as error:
        key = f"not reachable ({type(error).__name__})"
    if isinstance(key, AccessKey):
        return key
    raise CredentialsMissing([*agency.searched, f"agency of the cloud server at {METADATA_ENDPOINT}: {key}"])


async def _ask(client: http.AsyncClient) -> AccessKey | str:
    """Return the keys, or what is wrong."""
    session = await _get(client, "PUT", SESSION_PATH, {"X-Metadata-Token-Ttl-Seconds": str(SESSION_SECONDS)})
    # Servers of the first generation know no sessions.
    headers = {"X-Metadata-Token": session.text.strip()} if session.status_code == 200 else {}
    response = await _get(client, "GET", KEYS_PATH, headers)
    if response.status_code != 200:
        return f"answers {response.status_code}; is an agency assigned to this server?"
    return _read_key(response)


async def _get(client: http.AsyncClient, method: str, path: str, headers: dict[str, str]) -> http.Response:
    return await client.request(method, METADATA_ENDPOINT + path, headers=headers, auth=None, timeout=TIMEOUT_SECONDS)


def _read_key(response: http.Response) -> AccessKey | str:
    try:
        document: Any = response.json()
    except ValueError:
        document = None
    found = document.get("credential") if isinstance(document, dict) else None
    if not isinstance(found, dict):
        return "the answer holds no credential"
    access, secret, token = (found.get(name) for name in ("access", "secret", "securitytoken"))
    expires_at = parse_moment(found.get("expires_at"))
    if not (isinstance(access, str) and isinstance(secret, str) and isinstance(token, str) and expires_at):
        return "the credential in the answer is incomplete"
    return AccessKey(access, SecretStr(secret), SecretStr(token), expires_at)
