"""The part of IAM that clients of Autopilot need: tokens by password, and projects by name."""

import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.simulator import constants
from ap_mcp.simulator.clock import long_timestamp, parse_timestamp
from ap_mcp.simulator.error_bodies import IdentityRefusal, Sent, json_answer
from ap_mcp.simulator.world import Row, World

TOKEN_LIFETIME = timedelta(hours=24)
CREATE_TOKEN, LIST_PROJECTS = "iam_create_token", "iam_list_projects"
ROUTES = {CREATE_TOKEN: ("POST", "/v3/auth/tokens"), LIST_PROJECTS: ("GET", "/v3/projects")}


def seed_iam(world: World) -> None:
    """Make the simulated account's project and user."""
    world.table("projects")[constants.PROJECT_ID] = {
        "id": constants.PROJECT_ID,
        "name": constants.REGION,
        "domain_id": constants.DOMAIN_ID,
        "parent_id": constants.DOMAIN_ID,
        "enabled": True,
        "is_domain": False,
        "description": "",
    }
    world.table("users")[constants.USER_ID] = {
        "id": constants.USER_ID,
        "name": constants.USER_NAME,
        "domain": {"id": constants.DOMAIN_ID, "name": constants.DOMAIN_NAME},
        "_password": constants.PASSWORD,
    }


def create_token(world: World, body: Any, now: datetime) -> Sent:
    """Exchange a password for a token of one project, valid for 24 hours of real time.

    Raises:
        IdentityRefusal: 400 for a malformed request, 401 for a wrong name, password or project.
    """
    user = _user(world, _at(body, "auth", "identity"))
    project = _project(world, _at(body, "auth", "scope", "project"))
    tokens = world.table("tokens")
    for expired in [token for token, row in tokens.items() if parse_timestamp(row["expires_at"]) <= now]:
        del tokens[expired]
    token = f"MIIsimulated{world.random.getrandbits(512):0128x}"
    tokens[token] = {"project_id": project["id"], "expires_at": long_timestamp(now + TOKEN_LIFETIME)}
    answer = {
        "token": {
            "methods": ["password"],
            "issued_at": _zulu(now),
            "expires_at": _zulu(now + TOKEN_LIFETIME),
            "user": {"id": user["id"], "name": user["name"], "domain": user["domain"], "password_expires_at": ""},
            "project": {"id": project["id"], "name": project["name"], "domain": user["domain"]},
            "roles": [{"id": "0", "name": "te_admin"}],
            "catalog": [],
        }
    }
    return json_answer(201, answer, {"X-Subject-Token": token})


def list_projects(world: World, query: Mapping[str, str]) -> Sent:
    """List the account's projects, those of one name if the query gives it."""
    rows = world.table("projects").values()
    found = [dict(row) for row in rows if query.get("name", row["name"]) == row["name"]]
    return json_answer(200, {"projects": found, "links": {"self": None, "previous": None, "next": None}})


def _user(world: World, identity: Any) -> Row:
    given = _at(identity, "password", "user")
    if _at(identity, "methods") != ["password"] or not isinstance(given, Mapping):
        raise IdentityRefusal(400, "Only the password method is supported and needs a user.")
    name, password = given.get("name"), given.get("password")
    domain = _at(given, "domain", "name")
    for user in world.table("users").values():
        same = (user["name"], user["domain"]["name"]) == (name, domain)
        if same and hmac.compare_digest(str(password).encode(), user["_password"].encode()):
            return user
    raise IdentityRefusal(401, "The username or password is wrong.")


def _project(world: World, scope: Any) -> Row:
    if not isinstance(scope, Mapping) or not scope.keys() & {"id", "name"}:
        raise IdentityRefusal(400, "The scope must name a project by id or name.")
    for project in world.table("projects").values():
        if scope.get("id", project["id"]) == project["id"] and scope.get("name", project["name"]) == project["name"]:
            return project
    raise IdentityRefusal(401, "The project of the scope does not exist.")


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
