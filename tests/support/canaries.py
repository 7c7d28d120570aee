"""Plants secrets wherever the cloud or a caller can have one, and searches for them in whatever leaves."""

import base64
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from agent import Agent, text_of
from guarded import POD
from mcp_types import CallToolResult, ResourceLink, TextResourceContents

from ap_mcp.schemas import is_required
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import PAYMENTS_API
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    HOST_SUBNET_ID,
    LEGACY_IMPORT,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.specs import Operation, load_catalog

MARK = "c4naryC4nary"
"""In every planted secret, and in nothing else."""
AT_ONCE = 3
"""Forms of secrets that are planted in one place."""
CHART = "canary-1.0.0.tgz"
NOTHING = httpx.Request("GET", "http://cce.example/")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-, ")
_LONGEST_WORDS = 60


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_KUBECONFIG = yaml.safe_dump({"users": [{"name": "user", "user": {"client-key-data": "<it>", "token": "<it>"}}]})

IN_TEXT: tuple[Callable[[str], str], ...] = (
    lambda it: f"password={it}",
    lambda it: f"X-Auth-Token: {it}",
    lambda it: f"Authorization: SDK-HMAC-SHA256 Access={it}, SignedHeaders=host;x-sdk-date, Signature={it}",
    lambda it: f"sent with Bearer {it}",
    lambda it: f"postgres://app:{it}@db.internal:5432/shop",
    lambda it: json.dumps({"db": {"user": "app", "password": it}}),
    lambda it: f"db:\n  host: db.internal\n  password: {it}\n",
    lambda it: f'the request {{"auth": {{"secretKey": "{it}"}}}} was refused',
    lambda it: f"started with --db-password {it} --verbose",
    lambda it: f"-----BEGIN RSA PRIVATE KEY-----\n{it}\n-----END RSA PRIVATE KEY-----",
    lambda it: _base64(json.dumps({"auths": {"swr.example": {"username": "u", "password": it}}})),
    lambda it: f"https://obs.example/backup?AccessKeyId={it}&x-obs-security-token={it}",
    lambda it: _KUBECONFIG.replace("<it>", it),
    lambda it: f"canonicalRequest: GET|/v3|host:cce.example|x-security-token:{it}|",
)
"""How a secret stands inside a text."""
SHOWN = (IN_TEXT[2], IN_TEXT[10], IN_TEXT[13])
"""Those that a person is shown of a caller's text: no name hides them, or they hold what a shell would obey."""
IN_OBJECT: tuple[Callable[[str], dict[str, Any]], ...] = (
    lambda it: {"password": it, "accessKey": it, "secret_key": it, "apiToken": it},
    lambda it: {"env": [{"name": "DB_PASSWORD", "value": it}, {"name": "MODE", "value": "fast"}]},
    lambda it: {"args": ["serve", "--api-token", it]},
    lambda it: {"manifest": {"kind": "Secret", "data": {"whatever": it}, "stringData": {"more": it}}},
    lambda it: {"settings.json": json.dumps({"auth": [{"clientSecret": it}]})},
    lambda it: {"config.yaml": f"smtp:\n  user: mail\n  password: {it}\n"},
    lambda it: {"annotations": {"last-applied": json.dumps({"spec": {"token": it}})}},
    lambda it: {"users": [{"name": "user", "user": {"client-key-data": it, "token": it}}]},
    lambda it: {
        "credentials": {"user": "app", "pass": it},
        "headers": {"Authorization": f"Basic {_base64('u:' + it)}"},
    },
    lambda it: {"dsn": f"redis://:{it}@cache:6379/0", f"https://u:{it}@repo.example": "index"},
    lambda it: {"dockerconfigjson": _base64(json.dumps({"auths": {"swr": {"auth": _base64("u:" + it)}}}))},
)
"""How a secret stands in an object."""


def secrets_found(data: str | bytes, *more: bytes) -> list[str]:
    """Return the surroundings of planted secrets in data, as they are or in base64, and of some others."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    found = []
    for form in (*_FORMS, *more):
        at = raw.find(form)
        if at >= 0:
            found.append(raw[max(0, at - 120) : at + 60].decode("utf-8", "replace"))
    return found


def _in_base64(text: bytes) -> Iterator[bytes]:
    """Yield what of a text stays the same in base64 wherever it begins."""
    for ahead in range(3):
        whole = base64.b64encode(b"x" * ahead + text)
        yield whole[-(-ahead * 8 // 6) : (ahead + len(text)) * 8 // 6]


_FORMS = (MARK.encode(), *_in_base64(MARK.encode()))


class Planter:
    """Adds secrets to every object of an answer, and to every text in it that may be prose.

    Args:
        turn: which form comes first; with another one every place gets another form.
        reckless: add to names, ids and phases too.
        supplied: plant what a caller would supply, of which a person sees no secret.
    """

    def __init__(self, turn: int = 0, *, reckless: bool = False, supplied: bool = False) -> None:
        self.turn, self.reckless = turn, reckless
        self.in_text = [each for each in IN_TEXT if not (supplied and each in SHOWN)]
        self.count = 0
        self.planted: set[Callable[[str], Any]] = set()
        """The forms that were planted somewhere."""

    def secret(self) -> str:
        """Return a secret that stands nowhere else."""
        self.count += 1
        return f"{MARK}{self.count:05}z"

    def __call__(self, value: Any) -> Any:
        """Return a copy of JSON with secrets in it, always the same."""
        self.count = 0
        return self._planted(value)

    def _planted(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: self._planted(each) for key, each in value.items()}, "planted": self._some(IN_OBJECT)}
        if isinstance(value, list):
            return [self._planted(each) for each in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, value: str) -> str:
        """Return a text with a secret behind it; JSON stays JSON."""
        with suppress(ValueError):
            if value[:1] in ("{", "["):
                return json.dumps(self._planted(json.loads(value)))
        if not self.reckless and len(value) <= _LONGEST_WORDS and set(value) <= _PLAIN and value.count(" ") < 3:
            return value
        return "\n".join([value, *self._some(self.in_text)])

    def _some(self, forms: Sequence[Callable[[str], Any]]) -> list[Any]:
        first = self.count + self.turn
        chosen = [forms[(first + more) % len(forms)] for more in range(AT_ONCE)]
        self.planted.update(chosen)
        return [form(self.secret()) for form in chosen]


@dataclass
class Meddling(httpx.AsyncBaseTransport):
    """Leads into a simulator, and changes its good answers.

    Attributes:
        change: makes another answer of one, always the same of the same.
    """

    app: Simulator
    change: Callable[[Any], Any]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await httpx.ASGITransport(self.app).handle_async_request(request)
        content = await response.aread()
        operation = self.app.state.log[-1].operation
        as_it_is = operation.startswith("iam_") or operation == "download_chart"
        if response.is_success and content and not as_it_is:
            content = self._changed(content, response.headers.get("content-type", ""))
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"]
        return httpx.Response(response.status_code, headers=headers, content=content)

    def _changed(self, content: bytes, media_type: str) -> bytes:
        if media_type != "application/json":
            return str(self.change(content.decode())).encode("utf-8", "surrogatepass")
        return json.dumps(self.change(json.loads(content))).encode()


def harmless_calls(state: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Return good calls of the tools that are never guarded, on the account of `guarded_account`.

    An operation that takes only what `usual_arguments` knows needs no line of its own.

    Args:
        state: of the account.
        folder: charts to upload go there.
    """
    tables = state["tables"]
    (folder / CHART).write_bytes(
        build_chart("canary", {"Chart.yaml": "apiVersion: v2\nname: canary\nversion: 1.0.0\n"})
    )
    usual = usual_arguments(tables)
    of_search, at_payments = {"cluster_id": SEARCH_DEV}, {"cluster_id": PAYMENTS_PROD}
    release = {**at_payments, "namespace": "payments", "name": "payments-api"}
    workflow = next(iter(tables["upgrade_workflows"].values()))["spec"]["clusterID"]
    subnets: dict[str, Any] = {"vpc_id": VPC_ID, "subnet_id": HOST_SUBNET_ID, "eni_subnet_ids": list(SUBNET_IDS[:1])}
    special: dict[str, dict[str, Any]] = {
        "list_clusters": {"with_addons": True},
        "get_cluster": {"cluster_id": SHOP_PROD, "with_addons": True},
        "get_cluster_endpoints": of_search,
        "list_addons": of_search,
        "get_addon": {**of_search, "addon_id": usual["addon_id"]},
        "list_addon_templates": {"template_name": "log-agent"},
        "get_upgrade_task": {**at_payments, "task_id": _failed_upgrade(tables)},
        "list_upgrade_tasks": at_payments,
        "get_upgrade_workflow": {"cluster_id": workflow, "upgrade_workflow_id": usual["upgrade_workflow_id"]},
        "list_upgrade_workflows": {"cluster_id": workflow},
        "list_releases": {name: release[name] for name in ("cluster_id", "namespace")},
        "get_release": release,
        "get_release_history": release,
        "create_cluster": {"name": "canary-one", **subnets},
        "install_addon": {"cluster_id": TEAM_SANDBOX, "template_name": "log-agent"},
        "run_precheck": {"cluster_id": SHOP_PROD, "target_version": "v1.29.13-r0"},
        "backup_cluster": of_search,
        "run_postcheck": {"cluster_id": CHECKOUT_STAGING},
        "create_upgrade_workflow": {"cluster_id": CHECKOUT_STAGING, "target_version": "v1.31"},
        "delete_maintenance_window": at_payments,
    }
    composed: dict[str, dict[str, Any]] = {
        "assess_upgrade": {"cluster_id": SHOP_PROD},
        "list_problems": {},
        "k8s_diagnose": {"cluster_id": SHOP_PROD},
        "k8s_list": {"cluster_id": SHOP_PROD, "kind": "pods"},
        "k8s_get": {"cluster_id": SHOP_PROD, "kind": "pod", "name": POD, "namespace": "default"},
        "k8s_logs": {"cluster_id": SHOP_PROD, "name": POD},
        "k8s_discover": {"cluster_id": SHOP_PROD, "kind": "deployments"},
        "wait_for": {"kind": "job", "id": usual["job_id"], "wait_s": 0},
    }
    harmless = [each for each in load_catalog().values() if not each.guarded]
    return composed | {each.id: special.get(each.id) or _usual_call(each, usual) for each in harmless}


def usual_arguments(tables: Mapping[str, Any]) -> dict[str, str]:
    """Return, by the name of an argument, what an operation can be called with that needs nothing particular."""
    addon = next(uid for uid, row in tables["addons"].items() if row["spec"]["clusterID"] == SEARCH_DEV)
    check = next(uid for uid, row in tables["prechecks"].items() if row["spec"]["clusterID"] == SHOP_PROD)
    return {
        "cluster_id": SHOP_PROD,
        "chart_id": PAYMENTS_API,
        "job_id": tables["clusters"][LEGACY_IMPORT]["status"]["jobID"],
        "addon_id": addon,
        "task_id": check,
        "upgrade_workflow_id": next(iter(tables["upgrade_workflows"])),
    }


def _usual_call(operation: Operation, usual: Mapping[str, str]) -> dict[str, Any]:
    needed = [name for name, argument in operation.arguments.items() if is_required(operation, argument)]
    assert set(needed) <= usual.keys(), f"give harmless_calls a good call of {operation.id}"
    return {name: usual[name] for name in needed}


def _failed_upgrade(tables: Mapping[str, Any]) -> str:
    return next(str(uid) for uid, row in tables["upgrade_tasks"].items() if row["status"]["phase"] == "Failed")


async def leaving(agent: Agent, result: CallToolResult) -> str:
    """Return all that a client gets for a call: both halves of the answer, and the whole one that it names."""
    parts = [text_of(result), result.model_dump_json()]
    for link in [block for block in result.content if isinstance(block, ResourceLink)]:
        for contents in (await agent.client.read_resource(link.uri)).contents:
            assert isinstance(contents, TextResourceContents)
            parts.append(contents.text)
    return "\n".join(parts)


class Leaks:
    """Remembers where a secret was found.

    Attributes:
        also: further secrets, such as tokens that were issued.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.also: set[bytes] = set()

    def check(self, where: str, *everything: str | bytes) -> None:
        """Search for secrets."""
        for data in everything:
            if secrets := secrets_found(data, *self.also):
                self.found.setdefault(where, []).extend(secrets)

    def check_below(self, folder: Path, except_for: Collection[str] = ()) -> None:
        """Search all files below a folder, but not those that are made for secrets."""
        for path in folder.rglob("*"):
            if path.is_file() and not {path.name, path.parent.name} & set(except_for):
                self.check(str(path.relative_to(folder)), path.read_bytes())


@dataclass
class Refusing(httpx.AsyncBaseTransport):
    """Leads into a simulator that carries nothing out, and repeats what it was sent.

    Attributes:
        only: the operation that is refused.
        number: which of the `refusals` it gets.
    """

    app: Simulator
    only: str = ""
    number: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        faults = self.app.state.faults
        faults.clear()
        if self.only:
            faults.inject("status", self.only, times=None, value=500)
        response = await httpx.ASGITransport(self.app).handle_async_request(request)
        if self.app.state.log[-1].operation != self.only:
            return response
        status, body = refusals(request)[self.number]
        raw = body if isinstance(body, str) else json.dumps(body)
        media_type = "application/json" if raw[:1] == "{" else "text/html"
        headers = {"Content-Type": media_type, "X-Request-Id": f"r1 password={MARK}", "Retry-After": "0"}
        return httpx.Response(status, headers=headers, content=raw.encode())


def refusals(request: httpx.Request = NOTHING) -> list[tuple[int, Any]]:
    """Return status and body of all errors that repeat a request, and hold further secrets."""
    planter = Planter()
    sent = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    echoed = (
        f"cannot accept {request.method} {request.url} with\n{sent}\n\n{request.content.decode('utf-8', 'replace')}"
    )
    prose = "\n".join(form(planter.secret()) for form in IN_TEXT)
    line = " ".join(form(planter.secret()) for form in IN_TEXT)
    objects = [form(planter.secret()) for form in IN_OBJECT]
    cut = json.dumps({"items": [*objects, *objects]})
    return [
        (400, {"errorCode": "CCE.01400001", "errorMessage": echoed, "reason": prose, "error_code": line}),
        (403, {"error_code": "APIGW.0302", "error_msg": prose, "request_id": line}),
        (401, {"error": {"code": 401, "message": echoed, "title": line}}),
        (
            500,
            {
                "kind": "Status",
                "status": "Failure",
                "code": 500,
                "message": f"{echoed} {json.dumps(objects)}",
                "reason": echoed,
            },
        ),
        (404, {"message": {"headers": dict(request.headers), "objects": objects}}),
        (409, {"unknown": objects}),
        (502, f"<html><title>Bad Gateway {line}</title><body>{echoed} {prose}</body></html>"),
        (429, echoed + prose),
        (200, {"errorCode": "CCE.01400001", "errorMessage": echoed, "reason": line}),
        (200, cut[: -len(MARK)]),
        (200, cut[: len(cut) // 2]),
        (302, f"{echoed} {cut}"),
    ]
