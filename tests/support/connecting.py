"""Calls and settings with which tests reach a cloud of their own."""

from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import http
from ap_mcp.credentials import AccessKey
from ap_mcp.settings import Settings

CCE, IAM = "https://cce.example", "https://iam.example"
KEY = AccessKey("AK", SecretStr("the-secret"))
CLUSTERS = "/autopilot/v3/projects/p1/clusters"
GET = HttpCall("get_cluster", "GET", f"{CLUSTERS}/c1", idempotent=True, permission="cce:cluster:get")
CREATE = HttpCall("create_cluster", "POST", CLUSTERS, body=b"{}", idempotent=False)
DELETE = replace(GET, operation_id="delete_cluster", method="DELETE")


def settings(**values: Any) -> Settings:
    """Return settings that point nowhere but where a test wants."""
    return Settings(**{"endpoint": CCE, "iam_endpoint": IAM, "region": "ap-southeast-1"} | values)


def copied(request: http.Request) -> http.Request:
    """Return the request as it is now: one that is sent again is changed in place."""
    return http.Request(request.method, request.url, headers=request.headers, content=request.content)
