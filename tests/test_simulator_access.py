"""Which requests the simulator accepts: signatures, their age, temporary keys, tokens, projects."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from simulation import Caller, signed_headers, simulate

from ap_mcp.simulator import constants
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, TEMPORARY_CREDENTIALS, SimulatedCredentials
from ap_mcp.simulator.app import LoggedRequest
from ap_mcp.simulator.seed import seeded_world

pytestmark = pytest.mark.anyio

CHARTS = "/autopilot/v2/charts"


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with Caller(simulate()) as sender:
        yield sender


def token_request(**changes: str) -> dict[str, Any]:
    given = {
        "name": constants.USER_NAME,
        "password": constants.PASSWORD,
        "domain": constants.DOMAIN_NAME,
        "project": constants.REGION,
    }
    given |= changes
    user = {"name": given["name"], "password": given["password"], "domain": {"name": given["domain"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": {"name": given["project"]}}}}


async def test_a_signed_request_is_accepted_and_logged(caller: Caller) -> None:
    answer = await caller.send("GET", CHARTS)
    assert answer.status_code == 200
    assert len(answer.headers["X-Request-Id"]) == 32
    assert caller.app.state.log == [LoggedRequest("GET", CHARTS, "list_charts", 200)]


async def test_an_unsigned_request_is_refused(caller: Caller) -> None:
    answer = await caller.send_as_is("GET", CHARTS, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert answer.json().keys() == {"error_code", "error_msg", "request_id"}
    assert answer.json()["error_code"] == "APIGW.0301"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (SimulatedCredentials(constants.ACCESS_KEY, "another-secret"), "signature"),
        (SimulatedCredentials("NOSUCHKEY", constants.SECRET_KEY), "AK does not exist"),
        (SimulatedCredentials(constants.ACCESS_KEY, constants.SECRET_KEY, "not-needed"), "X-Security-Token"),
        (SimulatedCredentials(constants.TEMPORARY_ACCESS_KEY, constants.TEMPORARY_SECRET_KEY), "X-Security-Token"),
        (
            SimulatedCredentials(constants.TEMPORARY_ACCESS_KEY, constants.TEMPORARY_SECRET_KEY, "wrong"),
            "X-Security-Token",
        ),
    ],
    ids=["wrong secret", "unknown key", "token with a permanent key", "temporary key, no token", "wrong token"],
)
async def test_wrong_keys_are_refused(caller: Caller, credentials: SimulatedCredentials, said: str) -> None:
    answer = await caller.send("GET", CHARTS, credentials=credentials)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    assert said in answer.json()["error_msg"]
    assert constants.SECRET_KEY not in answer.text


async def test_temporary_keys_are_accepted_with_their_token(caller: Caller) -> None:
    assert (await caller.send("GET", CHARTS, credentials=TEMPORARY_CREDENTIALS)).status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(-16, 401), (-14, 200), (14, 200), (16, 401)])
async def test_a_signature_is_valid_for_fifteen_minutes_either_way(caller: Caller, minutes: int, status: int) -> None:
    answer = await caller.send("GET", CHARTS, date=datetime.now(UTC) + timedelta(minutes=minutes))
    assert answer.status_code == status


async def test_the_age_of_a_signature_does_not_depend_on_simulated_time(caller: Caller) -> None:
    caller.app.state.world.advance(10 * 86400)
    assert (await caller.send("GET", CHARTS)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer abc"},
        {"Authorization": "SDK-HMAC-SHA256 Access=x"},
        {"Authorization": ""},
        {"X-Sdk-Date": "yesterday"},
        {"X-Project-Id": "added-later"},
    ],
)
async def test_a_header_that_was_tampered_with_is_refused(caller: Caller, headers: dict[str, str]) -> None:
    answer = await caller.send_as_is("GET", CHARTS, headers=signed_headers("GET", CHARTS) | headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("DELETE", f"{CHARTS}/a", (), b""),
        ("GET", f"{CHARTS}/b", (), b""),
        ("GET", f"{CHARTS}/a", (("x", "1"),), b""),
        ("GET", f"{CHARTS}/a", (), b"{}"),
    ],
    ids=["method", "path", "query", "body"],
)
async def test_a_signature_is_valid_for_one_request_only(
    caller: Caller, method: str, path: str, query: tuple[tuple[str, str], ...], body: bytes
) -> None:
    headers = signed_headers("GET", f"{CHARTS}/a")
    assert (await caller.send_as_is("GET", f"{CHARTS}/a", headers=headers)).status_code == 404
    answer = await caller.send_as_is(method, path, body, query=query, headers=headers)
    assert answer.status_code == 401


async def test_another_project_is_forbidden_in_path_and_header(caller: Caller) -> None:
    in_path = await caller.send("GET", "/autopilot/v3/projects/someone-elses/clusters")
    in_header = await caller.send("GET", CHARTS, headers={"X-Project-Id": "someone-elses"})
    for answer in (in_path, in_header):
        assert (answer.status_code, answer.json()["error_code"]) == (403, "APIGW.0302")


async def test_a_token_by_password_opens_the_service_for_a_day() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    async with Caller(simulate(wall=lambda: now)) as caller:
        json_type = {"Content-Type": "application/json"}
        request = json.dumps(token_request()).encode()
        issued = await caller.send_as_is("POST", "/v3/auth/tokens", request, headers=json_type)
        assert issued.status_code == 201
        assert issued.json()["token"]["expires_at"] == "2026-01-02T00:00:00.000000Z"
        headers = json_type | {"X-Auth-Token": issued.headers["X-Subject-Token"]}
        now += timedelta(hours=23, minutes=59)
        assert (await caller.send_as_is("GET", CHARTS, headers=headers)).status_code == 200
        now += timedelta(minutes=1)
        assert (await caller.send_as_is("GET", CHARTS, headers=headers)).status_code == 401
        again = await caller.send_as_is("POST", "/v3/auth/tokens", request, headers=json_type)
        assert list(caller.app.state.world.table("tokens")) == [again.headers["X-Subject-Token"]]


async def test_a_made_up_token_is_refused(caller: Caller) -> None:
    answer = await caller.send_as_is("GET", CHARTS, headers={"X-Auth-Token": "x", "Content-Type": "application/json"})
    assert answer.status_code == 401


@pytest.mark.parametrize("field", ["name", "password", "domain", "project"])
async def test_iam_refuses_a_wrong_login_in_its_own_shape(caller: Caller, field: str) -> None:
    body = json.dumps(token_request(**{field: "wrong"})).encode()
    answer = await caller.send_as_is("POST", "/v3/auth/tokens", body, headers={})
    assert answer.status_code == 401
    assert answer.json()["error"].keys() == {"code", "message", "title"}
    assert not caller.app.state.world.table("tokens")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"auth": {"identity": {"methods": ["token"]}}}'])
async def test_iam_refuses_a_malformed_login(caller: Caller, body: bytes) -> None:
    answer = await caller.send_as_is("POST", "/v3/auth/tokens", body, headers={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


@pytest.mark.parametrize(("name", "count"), [(constants.REGION, 1), ("elsewhere", 0)])
async def test_projects_are_found_by_the_regions_name(caller: Caller, name: str, count: int) -> None:
    answer = await caller.send("GET", "/v3/projects", query=(("name", name),))
    assert [project["id"] for project in answer.json()["projects"]] == [constants.PROJECT_ID] * count


async def test_projects_are_not_listed_for_strangers(caller: Caller) -> None:
    assert (await caller.send_as_is("GET", "/v3/projects", headers={})).status_code == 401


async def test_only_the_given_credentials_are_accepted() -> None:
    mine = SimulatedCredentials("MYKEY", "my-secret")
    async with Caller(simulate(seeded_world(), credentials=mine), credentials=mine) as caller:
        assert (await caller.send("GET", CHARTS)).status_code == 200
        assert (await caller.send("GET", CHARTS, credentials=SIMULATED_CREDENTIALS)).status_code == 401
