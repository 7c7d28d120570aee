"""Signatures agree with the vendor's own signer, stage by stage, and are checked as strictly as they are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from ap_mcp.cloud.signing import (
    CONTENT_HEADER,
    UNSIGNED_PAYLOAD,
    authorization,
    canonical_path,
    canonical_request,
    encode_query,
    format_date,
    is_payload_signed,
    parse_authorization,
    payload_hash,
    sign_request,
    signature,
    signed_names,
    string_to_sign,
    verify,
)

ACCESS, SECRET = "AKEXAMPLE0123456789A", "made+up/secret=key"
DATE = "20240604T124928Z"
CLUSTERS = "/autopilot/v3/projects/p1/clusters"


@dataclass(frozen=True)
class Case:
    name: str
    method: str = "GET"
    path: str = CLUSTERS
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    host: str = "cce.ap-southeast-1.myhuaweicloud.com"

    @property
    def sent(self) -> dict[str, str]:
        headers = {"Host": self.host, "X-Sdk-Date": DATE, "Content-Type": "application/json"} | dict(self.headers)
        if not is_payload_signed(headers["Content-Type"]):
            headers[CONTENT_HEADER] = UNSIGNED_PAYLOAD
        return headers


CASES = [
    Case("plain"),
    Case("lower case method", method="get"),
    Case("post with body", "POST", body=b'{"kind": "Cluster"}'),
    Case("post without body", "POST", path=f"{CLUSTERS}/c1/operation/snapshot"),
    Case("put", "PUT", f"{CLUSTERS}/c1", body=b"{}"),
    Case("patch", "PATCH", f"{CLUSTERS}/c1", body=b'{"status": {"phase": "Cancel"}}'),
    Case("delete", "DELETE", f"{CLUSTERS}/c1"),
    Case("unicode body", "POST", body='{"description": "集群 ✓"}'.encode()),
    Case("binary body", "POST", body=bytes(range(256))),
    Case("large body", "POST", body=b"x" * 100_000),
    Case("path ends in a slash", path=f"{CLUSTERS}/"),
    Case("root", path="/"),
    Case("space in path", path="/v2/charts/a%20b"),
    Case("plus in path", path="/v2/charts/a%2Bb"),
    Case("plain plus in path", path="/v2/charts/a+b"),
    Case("slash inside a value", path="/v2/charts/a%2Fb"),
    Case("lower case escape", path="/v2/charts/a%2fb"),
    Case("percent inside a value", path="/v2/charts/100%25"),
    Case("escaped escape", path="/v2/charts/%252F"),
    Case("unicode in path", path="/v2/charts/%E9%9B%86%E7%BE%A4"),
    Case("emoji in path", path="/v2/charts/%F0%9F%9A%80"),
    Case("escape that is no text", path="/v2/charts/%FF"),
    Case("double slash", path="/v2//charts"),
    Case("dots", path="/v2/charts/../charts/./x"),
    Case("escaped dots", path="/v2/charts/%2E%2E"),
    Case("tilde in path", path="/v2/charts/~x"),
    Case("escaped tilde in path", path="/v2/charts/%7Ex"),
    Case("signs in path", path="/v2/charts/!$&'()*,;=:@-._"),
    Case("one query value", query=(("detail", "true"),)),
    Case("query is sorted", query=(("b", "2"), ("a", "1"), ("C", "3"))),
    Case("repeated name", query=(("tag", "z"), ("tag", "a"), ("tag", "m"))),
    Case("repeated pair", query=(("tag", "a"), ("tag", "a"))),
    Case("empty value", query=(("b", ""),)),
    Case("empty and full value", query=(("b", "x"), ("b", ""))),
    Case("empty name", query=(("", "x"),)),
    Case("space in value", query=(("name", "my cluster"),)),
    Case("plus in value", query=(("name", "a+b"),)),
    Case("signs in value", query=(("q", "a=b&c/d?e#f:g@h!i$j'k(l)m*n,o;p"),)),
    Case("signs in name", query=(("a b+c", "1"),)),
    Case("tilde in value", query=(("name", "~a"),)),
    Case("percent in value", query=(("name", "100%"), ("name", "%20"))),
    Case("unicode in value", query=(("name", "集群"), ("état", "é"))),
    Case("sorted before encoding", query=(("a-", "1"), ("a ", "2"), ("a", "3"), ("aé", "4"))),
    Case("line break in value", query=(("name", "a\nb\tc"),)),
    Case("very long value", query=(("name", "x" * 3000),)),
    Case("port", host="127.0.0.1:8443"),
    Case("address of version 6", host="[::1]:8080"),
    Case("security token", headers={"X-Security-Token": "gQpjbi1ub3J0aC00+/=="}),
    Case("project", headers={"X-Project-Id": "0123456789abcdef"}),
    Case("spaces around a value", headers={"X-Project-Id": "  abc \t"}),
    Case("spaces within a value", headers={"X-Note": "a   b"}),
    Case("empty header", headers={"X-Note": ""}),
    Case("unicode header", headers={"X-Note": "日本"}),
    Case("underscore header is not signed", headers={"x_note": "a", "X-Note": "b"}),
    Case("header names of any case", headers={"x-NOTE": "a", "ACCEPT": "*/*"}),
    Case("json with charset", "POST", headers={"Content-Type": "application/json;charset=UTF-8"}, body=b"{}"),
    Case("multipart", "POST", "/v2/charts", headers={"Content-Type": "multipart/form-data; boundary=x"}, body=b"--x--"),
    Case("multipart without body", "POST", headers={"Content-Type": "multipart/form-data; boundary=x"}),
    Case("plain text", "POST", headers={"Content-Type": "text/plain"}, body=b"hello"),
    Case(
        "all at once", "PUT", "/a%20b//c%2Fd/~", (("z", ""), ("a", "ü"), ("a", "+ ")), {"X-B": " 1 ", "X-A": "2"}, b"{}"
    ),
]

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))


def oracle_request(case: Case) -> Any:
    return SdkRequest(
        method=case.method,
        schema="https",
        host=case.host,
        resource_path=case.path,
        query_params=list(case.query),
        header_params=dict(case.sent),
        body=case.body,
    )


def ours(case: Case, secret: str = SECRET) -> str:
    return sign_request(case.method, case.path, case.query, case.sent, case.body, access_key=ACCESS, secret_key=secret)


def check(case: Case, **changes: Any) -> str | None:
    """Verify the signed request of `case` after `changes` made on its way."""
    received = {
        "method": case.method,
        "raw_path": case.path,
        "query_pairs": case.query,
        "headers": case.sent | {"Authorization": ours(case)},
        "body": case.body,
        "secret_key": SECRET,
    }
    return verify(**(received | changes))


def test_there_are_forty_cases_of_different_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40


@cases
def test_the_canonical_request_is_that_of_the_official_signer(case: Case) -> None:
    request, signer = oracle_request(case), Signer(SimpleNamespace(ak=ACCESS, sk=SECRET))
    expected = signer._process_canonical_request(request, signer._process_signed_headers(request))
    assert canonical_request(case.method, case.path, case.query, case.sent, case.body) == expected


@cases
def test_the_string_to_sign_is_that_of_the_official_signer(case: Case) -> None:
    signer = Signer(SimpleNamespace(ak=ACCESS, sk=SECRET))
    canonical = canonical_request(case.method, case.path, case.query, case.sent, case.body)
    moment = datetime(2024, 6, 4, 12, 49, 28, tzinfo=UTC)
    assert string_to_sign(canonical, DATE) == signer._process_string_to_sign(canonical, moment)


@cases
def test_the_authorization_is_that_of_the_official_signer(case: Case) -> None:
    signed = Signer(SimpleNamespace(ak=ACCESS, sk=SECRET)).sign(oracle_request(case))
    assert ours(case) == signed.header_params["Authorization"]


@cases
def test_the_query_sent_is_that_of_the_official_signer(case: Case) -> None:
    signed = Signer(SimpleNamespace(ak=ACCESS, sk=SECRET)).sign(oracle_request(case))
    assert "?".join(filter(None, (case.path, encode_query(case.query)))) == signed.uri


@cases
def test_what_we_sign_is_accepted(case: Case) -> None:
    assert check(case) is None


@cases
def test_what_the_official_signer_signs_is_accepted(case: Case) -> None:
    signed = Signer(SimpleNamespace(ak=ACCESS, sk=SECRET)).sign(oracle_request(case))
    assert check(case, headers=signed.header_params) is None


def test_a_list_of_query_values_signs_like_repeated_names() -> None:
    request = oracle_request(Case("list"))
    request.query_params = [("b", "1"), ("a", ["z", "", "m"])]
    signed = Signer(SimpleNamespace(ak=ACCESS, sk=SECRET)).sign(request)
    assert encode_query((("a", "z"), ("a", ""), ("a", "m"), ("b", "1"))) == signed.uri.partition("?")[2]


def test_the_stages_make_up_the_whole() -> None:
    case = Case("post", "POST", body=b"{}")
    canonical = canonical_request(case.method, case.path, case.query, case.sent, case.body)
    signed = signature(string_to_sign(canonical, DATE), SECRET)
    assert authorization(ACCESS, signed_names(case.sent), signed) == ours(case)


def test_the_canonical_path_ends_in_a_slash_and_keeps_double_ones_and_dots() -> None:
    assert canonical_path("/a//b/../c%2fd") == "/a//b/../c/d/"


def test_an_unsigned_payload_is_named_in_place_of_its_hash() -> None:
    assert payload_hash({"x-sdk-content-sha256": UNSIGNED_PAYLOAD}, b"data") == UNSIGNED_PAYLOAD


def test_dates_are_written_in_utc() -> None:
    moment = datetime(2024, 6, 4, 20, 49, 28, tzinfo=timezone(timedelta(hours=8)))
    assert format_date(moment) == DATE


def test_an_authorization_is_taken_apart() -> None:
    found = parse_authorization(ours(Case("plain")))
    assert found is not None
    assert (found.access_key, found.signed_headers) == (ACCESS, ("content-type", "host", "x-sdk-date"))


@pytest.mark.parametrize("value", ["", "Bearer abc", "SDK-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=xyz"])
def test_another_kind_of_authorization_is_refused(value: str) -> None:
    case = Case("plain")
    assert parse_authorization(value) is None
    assert "missing or not of the form" in str(check(case, headers=case.sent | {"Authorization": value}))


BODY = Case("body", "POST", query=(("a", "1"),), headers={"X-Project-Id": "p1"}, body=b'{"a": 1}')
CHANGED = BODY.sent | {"Authorization": ours(BODY)}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"raw_path": f"{CLUSTERS}/c2"},
        {"query_pairs": (("a", "2"),)},
        {"query_pairs": (("a", "1"), ("b", ""))},
        {"query_pairs": ()},
        {"body": b'{"a": 2}'},
        {"body": b""},
        {"secret_key": "another"},
        {"headers": CHANGED | {"Host": "elsewhere.example"}},
        {"headers": CHANGED | {"X-Project-Id": "p2"}},
        {"headers": CHANGED | {"X-Sdk-Date": "20240604T124929Z"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_on_the_way_is_noticed(change: dict[str, Any]) -> None:
    assert check(BODY, **change) == "the signature does not fit the request"


def test_a_project_that_was_added_after_signing_is_refused() -> None:
    case = Case("plain")
    headers = case.sent | {"Authorization": ours(case), "X-Project-Id": "p2"}
    assert "not signed: ['x-project-id']" in str(check(case, headers=headers))


def test_a_signed_header_that_was_dropped_is_refused() -> None:
    headers = {name: value for name, value in CHANGED.items() if name != "X-Project-Id"}
    assert "not sent: ['x-project-id']" in str(check(BODY, headers=headers))


def test_a_claimed_hash_must_be_that_of_the_body() -> None:
    case = Case("claim", "POST", headers={CONTENT_HEADER: "0" * 64}, body=b"{}")
    assert "does not fit the body" in str(check(case))


def test_a_json_body_cannot_be_left_unsigned() -> None:
    case = Case("claim", "POST", headers={CONTENT_HEADER: UNSIGNED_PAYLOAD}, body=b"{}")
    assert "does not fit the body" in str(check(case))


def test_a_date_that_is_none_is_refused() -> None:
    case = Case("date", headers={"X-Sdk-Date": "yesterday"})
    assert "must have the form" in str(check(case))


def test_headers_read_as_latin_1_verify_as_the_text_that_was_signed() -> None:
    case = Case("unicode", headers={"X-Note": "日本"})
    received = {name: value.encode().decode("latin-1") for name, value in case.sent.items()}
    assert check(case, headers=received | {"Authorization": ours(case)}) is None
