"""Decides whether a request is admitted: AK/SK signature, clock, security token, IAM token, project."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ap_mcp.cloud.signing import ALGORITHM, parse_authorization, parse_date, verify
from ap_mcp.simulator import constants
from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.error_bodies import forbidden, unauthenticated
from ap_mcp.simulator.world import World

LARGEST_SKEW = timedelta(minutes=15)
WallClock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class SimulatedCredentials:
    """Keys that the simulator accepts, and what they belong to. They are made up and work nowhere else."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str = field(default="", repr=False)
    project_id: str = constants.PROJECT_ID
    region: str = constants.REGION

    def exports(self, base_url: str) -> dict[str, str]:
        """Return the environment that points a client of the real service at a simulator."""
        environment = {
            "AP_MCP_ENDPOINT": base_url,
            "AP_MCP_IAM_ENDPOINT": base_url,
            "AP_MCP_REGION": self.region,
            "HUAWEICLOUD_SDK_IAM_ENDPOINT": base_url,
            f"HUAWEICLOUD_SDK_REGION_CCE_{self.region.replace('-', '_').upper()}": base_url,
            "HUAWEICLOUD_SDK_AK": self.access_key,
            "HUAWEICLOUD_SDK_SK": self.secret_key,
            "HUAWEICLOUD_SDK_PROJECT_ID": self.project_id,
        }
        return environment | ({"HUAWEICLOUD_SDK_SECURITY_TOKEN": self.security_token} if self.security_token else {})


SIMULATED_CREDENTIALS = SimulatedCredentials(constants.ACCESS_KEY, constants.SECRET_KEY)
TEMPORARY_CREDENTIALS = SimulatedCredentials(
    constants.TEMPORARY_ACCESS_KEY, constants.TEMPORARY_SECRET_KEY, constants.SECURITY_TOKEN
)


@dataclass(frozen=True, slots=True)
class Received:
    """An HTTP request as it came over the wire, header names in lower case."""

    method: str
    raw_path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def wall_clock() -> datetime:
    """Return the real time, which dates signatures and tokens even when the world runs faster."""
    return datetime.now(UTC)


class Gate:
    """Admits callers who prove their identity, and says which project they act for."""

    def __init__(self, world: World, accepted: Sequence[SimulatedCredentials], wall: WallClock) -> None:
        self._world = world
        self._accepted = {credentials.access_key: credentials for credentials in accepted}
        self._wall = wall

    def enter(self, received: Received) -> str:
        """Return the id of the project the sender is authenticated for.

        Raises:
            GatewayRefusal: 401 if the proof is missing or wrong.
        """
        if "authorization" in received.headers:
            return self._by_signature(received)
        if "x-auth-token" in received.headers:
            return self._by_token(received.headers["x-auth-token"])
        raise unauthenticated("neither a signature nor X-Auth-Token was sent")

    def check_project(self, project_id: str, claimed: str | None) -> None:
        """Compare a project id from the path or X-Project-Id with the sender's.

        Raises:
            GatewayRefusal: 403 if they differ.
        """
        if claimed is not None and claimed != project_id:
            raise forbidden("the project id of the request is not that of the credentials")

    def _by_signature(self, received: Received) -> str:
        authorization = parse_authorization(received.headers["authorization"])
        if authorization is None:
            raise unauthenticated(f"the Authorization header is not of the form of {ALGORITHM}")
        credentials = self._accepted.get(authorization.access_key)
        if credentials is None:
            raise unauthenticated("the AK does not exist")
        token = received.headers.get("x-security-token", "")
        if not hmac.compare_digest(token.encode(), credentials.security_token.encode()):
            raise unauthenticated("X-Security-Token does not belong to this AK")
        self._check_date(received.headers.get("x-sdk-date", ""))
        problem = verify(
            received.method, received.raw_path, received.query, received.headers, received.body, credentials.secret_key
        )
        if problem:
            raise unauthenticated(f"the AK/SK signature does not match: {problem}")
        return credentials.project_id

    def _check_date(self, text: str) -> None:
        try:
            date = parse_date(text)
        except ValueError:
            raise unauthenticated("X-Sdk-Date is missing or not of the form YYYYMMDDTHHMMSSZ") from None
        if abs(self._wall() - date) > LARGEST_SKEW:
            raise unauthenticated("the signature has expired: X-Sdk-Date is more than 15 minutes off the server's time")

    def _by_token(self, token: str) -> str:
        row = self._world.table("tokens").get(token)
        if row is None or parse_timestamp(row["expires_at"]) <= self._wall():
            raise unauthenticated("the X-Auth-Token is unknown or has expired")
        return str(row["project_id"])
