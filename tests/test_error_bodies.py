"""Whatever the cloud or a gateway sends instead of an answer becomes an error that says what to do."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import responses
from ap_mcp.cloud.bodies import holds_error, read_error_body
from ap_mcp.cloud.responses import load_error_catalogue, read_answer, service_error
from ap_mcp.errors import (
    AuthenticationFailed,
    BadAnswer,
    Conflict,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    ServiceError,
    SpecError,
    Throttled,
    Unavailable,
)
from ap_mcp.specs import Catalog

NOW = datetime(2024, 6, 4, 12, 30, tzinfo=UTC)
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"


def understood(status: int, body: Any, operation: str = "get_cluster", **settings: Any) -> ServiceError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = settings.pop("headers", {})
    return service_error(status, headers, content, operation, now=NOW, **settings)


# The eight shapes


def test_shape_1_of_cce_is_understood() -> None:
    error = understood(404, {"errorCode": "CCE.01404001", "errorMessage": "Resource not found."})
    assert (type(error), error.code, error.message) == (NotFound, "CCE.01404001", "Resource not found.")


def test_shape_2_of_the_gateway_is_understood() -> None:
    error = understood(401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM information", "request_id": "r1"})
    assert (type(error), error.code, error.message) == (AuthenticationFailed, "APIGW.0301", "Incorrect IAM information")
    assert error.request_id == "r1"


def test_shape_3_keeps_every_code_and_every_text_the_most_specific_first() -> None:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "errorCode": "CCE.01409001",
        "errorMessage": "The resource already exists.",
        "error_code": "CCE_CM.0004",
        "error_msg": "cluster exists",
        "message": "the VPC holds a cluster of this name",
        "reason": "AlreadyExists",
        "code": 409,
        "error": {"message": "the VPC holds a cluster of this name", "code": "SVC.4000002"},
    }
    error = understood(409, body)
    assert (type(error), error.code) == (Conflict, "CCE.01409001")
    assert error.other_codes == ("CCE_CM.0004", "SVC.4000002")
    assert error.texts == ("the VPC holds a cluster of this name", "cluster exists", "The resource already exists.")
    assert error.reason == "AlreadyExists"
    assert error.render().splitlines()[:2] == [
        "get_cluster failed: HTTP 409, CCE.01409001 (CCE_CM.0004, SVC.4000002), reason AlreadyExists",
        'The service says: "the VPC holds a cluster of this name"; "cluster exists"; "The resource already exists."',
    ]


@pytest.mark.parametrize(
    "body", [{"errorCode": "SVC.1", "errorMsg": "no"}, {"code": "SVC.1", "message": "no"}], ids=["errorMsg", "message"]
)
def test_shape_4_of_other_services_is_understood(body: dict[str, str]) -> None:
    error = understood(400, body)
    assert (type(error), error.code, error.message) == (ServiceError, "SVC.1", "no")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": 401, "message": "no", "title": "No."}}, ""),
        ({"error": {"error_code": "IAM.0001", "error_msg": "no"}}, "IAM.0001"),
        ({"error": {"code": 401, "title": "no"}}, ""),
        ({"error": "no"}, ""),
    ],
)
def test_shape_5_of_iam_is_understood(body: dict[str, Any], code: str) -> None:
    error = understood(401, body, headers={"X-IAM-Trace-Id": "t1"})
    assert (error.code, error.message, error.request_id) == (code, "no", "t1")


def test_shape_6_of_a_denial_names_the_action_and_the_encoded_reason() -> None:
    body = {
        "error_code": "PAP5.0030",
        "error_msg": "Policy doesn't allow cce:cluster:delete to be performed.",
        "encoded_authorization_message": "x" * 3000,
    }
    error = understood(403, body, "delete_cluster", permission="cce:other:action")
    assert isinstance(error, PermissionDenied)
    assert "cce:cluster:delete" in error.hint
    assert "cce:other:action" not in error.hint
    assert f'Encoded reason, which an administrator can decode in IAM: "{"x" * 3000}"' in error.render()
    body["encoded_authorization_message"] = "x" * 5000
    assert len(understood(403, body).render()) < 5000


def test_shape_7_of_kubernetes_keeps_the_reason_and_takes_no_status_for_a_code() -> None:
    body = {"kind": "Status", "status": "Failure", "message": 'pods "x" not found', "reason": "NotFound", "code": 404}
    error = understood(404, body)
    assert (error.code, error.reason, error.message) == ("", "NotFound", "pods 'x' not found".replace("'", '"'))


@pytest.mark.parametrize(
    ("status", "content", "kind", "message"),
    [
        (502, HTML, Unavailable, "502 Bad Gateway"),
        (403, HTML, BadAnswer, "502 Bad Gateway"),
        (429, HTML, Throttled, "502 Bad Gateway"),
        (503, b"upstream connect error", Unavailable, "upstream connect error"),
        (500, b"", Unavailable, ""),
        (404, b"[1, 2]", NotFound, "[1, 2]"),
        (400, b'"text"', ServiceError, '"text"'),
        (500, b'{"errorCode": "CCE.0150', Unavailable, '{"errorCode": "CCE.0150'),
        (302, b"", BadAnswer, ""),
        (400, b"{}", ServiceError, "{}"),
        (400, b"\xff\xfe\x00junk", ServiceError, "��junk"),
    ],
)
def test_shape_8_of_gateways_never_fails(status: int, content: bytes, kind: type[ServiceError], message: str) -> None:
    error = understood(status, content)
    assert (type(error), error.message) == (kind, message)
    assert error.hint


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_bytes_make_it_fail(content: bytes, status: int) -> None:
    assert understood(status, content).status == status


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errorCode", "error_code", "code", "message", "error_msg", "reason", "request_id"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_json_makes_it_fail(document: Any) -> None:
    error = understood(400, document)
    assert len(error.render()) < 3000


def test_nesting_beyond_reason_does_not_make_it_fail() -> None:
    assert understood(500, b"[" * 200_000).status == 500


# Headers


def test_the_request_id_of_the_header_wins_whatever_its_case() -> None:
    error = understood(
        500, {"error_code": "x", "error_msg": "y", "request_id": "body"}, headers={"x-ReQuest-ID": "head"}
    )
    assert error.request_id == "head"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 04 Jun 2024 12:30:40 GMT", 40.0),
        ("Tue, 04 Jun 2024 12:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float | None) -> None:
    assert understood(429, {}, headers={"Retry-After": value}).retry_after == seconds


# Hints


def test_a_denial_without_an_action_in_its_message_names_that_of_the_operation() -> None:
    error = understood(403, {"errorCode": "CCE.01403001", "errorMessage": "Forbidden."}, permission="cce:cluster:list")
    assert "cce:cluster:list" in error.hint


@pytest.mark.parametrize(
    ("operation", "tool"),
    [
        ("get_cluster", "list_clusters"),
        ("update_addon", "list_addons"),
        ("delete_release", "list_releases"),
        ("get_chart", "list_charts"),
        ("get_precheck", "list_prechecks"),
        ("get_upgrade_task", "list_upgrade_tasks"),
        ("get_upgrade_workflow", "list_upgrade_workflows"),
        ("get_job", "get_cluster"),
    ],
)
def test_what_is_not_found_comes_with_the_tool_that_lists_it(operation: str, tool: str) -> None:
    assert tool in understood(404, {}, operation).hint


def test_a_used_up_quota_is_not_confused_with_a_wrong_request() -> None:
    error = understood(400, {"errorCode": "CCE.01400007", "errorMessage": "Insufficient cluster quota."})
    assert isinstance(error, QuotaExceeded)
    assert "get_quotas" in error.hint


def test_a_clock_that_is_off_is_named_with_its_skew() -> None:
    body = {"error_code": "APIGW.0301", "error_msg": "signature expired, signature time:20240604T123000Z"}
    error = understood(401, body, headers={"Date": "Tue, 04 Jun 2024 12:08:00 GMT"})
    assert "clock is 22 minutes ahead of" in error.hint
    late = understood(401, body, headers={"Date": "Tue, 04 Jun 2024 13:30:00 GMT"})
    assert "clock is 60 minutes behind" in late.hint


def test_clocks_that_agree_are_cleared_of_suspicion() -> None:
    error = understood(401, {"message": "signature expired"}, headers={"Date": "Tue, 04 Jun 2024 12:29:58 GMT"})
    assert "agree within 2 s" in error.hint


def test_an_expired_token_is_not_blamed_on_the_clock() -> None:
    error = understood(
        401, {"message": "the X-Auth-Token has expired"}, headers={"Date": "Tue, 04 Jun 2024 12:29:58 GMT"}
    )
    assert "AP_MCP_AUTH_TOKEN" in error.hint
    assert "clocks agree" not in error.hint


def test_what_is_too_short_for_a_secret_is_not_cut_out_of_words() -> None:
    assert understood(401, {"message": "does not exist"}, secrets=("x", "t")).message == "does not exist"


def test_without_a_date_the_clock_is_only_suspected() -> None:
    assert "check this machine's clock" in understood(401, {"message": "timestamp too old"}).hint


def test_the_clock_is_not_mentioned_without_need() -> None:
    error = understood(401, {"message": "ak not exist"}, headers={"Date": "Tue, 04 Jun 2024 12:29:58 GMT"})
    assert "clock" not in error.hint


@pytest.mark.parametrize(
    ("status", "may_repeat", "words"),
    [
        (429, False, "Worth another try in a minute"),
        (503, True, "Worth another try later"),
        (503, False, "It may have been carried out"),
        (400, True, "would get the same answer"),
        (501, True, "does not offer"),
    ],
)
def test_the_hint_says_whether_another_try_helps(status: int, may_repeat: bool, words: str) -> None:
    assert words in understood(status, {}, may_repeat=may_repeat).hint


def test_the_hint_names_the_seconds_the_service_asks_for() -> None:
    assert "in 12 s" in understood(429, {}, headers={"Retry-After": "12"}).hint


def test_secrets_that_a_gateway_repeats_are_hidden() -> None:
    body = {"error_code": "APIGW.0301", "error_msg": "verify fail, canonicalRequest: x-security-token:TOPSECRET|host"}
    error = understood(401, body, secrets=("TOPSECRET", ""))
    assert "TOPSECRET" not in error.render()
    assert "***" in error.message


# The catalogue


def test_a_catalogue_that_cannot_be_read_is_a_spec_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "specs_folder", lambda: tmp_path)
    with pytest.raises(SpecError, match=r"errors\.json: missing or malformed"):
        load_error_catalogue.__wrapped__()


def test_every_code_has_a_status_and_every_entry_a_meaning_and_a_hint() -> None:
    catalogue = load_error_catalogue()
    assert len([code for code in catalogue.codes if code.startswith("CCE.")]) == 43
    for entry in (*catalogue.statuses.values(), *catalogue.codes.values()):
        assert entry.meaning.endswith(".")
        assert entry.hint.endswith(".")


def test_the_two_spellings_of_the_gateways_codes_mean_the_same() -> None:
    catalogue = load_error_catalogue()
    assert catalogue.entry(429, "APIG.0308") == catalogue.codes["APIGW.0308"]


def test_an_unknown_status_means_what_its_class_means() -> None:
    catalogue = load_error_catalogue()
    assert catalogue.entry(599) == catalogue.statuses[500]
    assert catalogue.entry(418) == catalogue.statuses[400]


def test_hints_name_only_tools_that_exist(catalog: Catalog) -> None:
    catalogue = load_error_catalogue()
    entries = (*catalogue.statuses.values(), *catalogue.codes.values())
    texts = [entry.hint for entry in entries] + [hint for _, hint in catalogue.lookups]
    words = {word.strip(".,;:()") for text in texts for word in text.split()}
    verbs = ("get_", "list_", "create_", "update_", "delete_", "run_")
    named = {word for word in words if word.startswith(verbs)}
    assert named
    assert named <= set(catalog)


# Answers that came with a success


def call(accepts: str | None = "application/json", method: str = "GET") -> HttpCall:
    return HttpCall("get_cluster", method, "/x", accepts=accepts)


def test_a_json_answer_is_parsed() -> None:
    assert read_answer(call(), 200, {"Content-Type": "application/json"}, b'{"a": 1}') == {"a": 1}


def test_a_text_answer_is_kept_as_text() -> None:
    assert read_answer(call("text/plain"), 200, {"Content-Type": "text/plain"}, b"success") == "success"


def test_a_file_is_kept_as_bytes() -> None:
    content = b"\x1f\x8b\x08"
    assert read_answer(call("application/octet-stream"), 200, {}, content) == content


def test_an_empty_answer_is_fine_where_none_is_due() -> None:
    assert read_answer(call(None), 204, {}, b"") is None


@pytest.mark.parametrize(
    ("accepts", "content", "words"),
    [
        ("application/json", b"", "is empty"),
        ("application/json", b'{"items": [{"a"', "cut off"),
        ("application/json", b"success", "no JSON"),
        ("application/json", b"null", "no JSON"),
        ("application/json", HTML, "web page"),
        ("text/plain", HTML, "web page"),
        (None, HTML, "web page"),
        ("application/octet-stream", HTML, "web page"),
        ("application/octet-stream", b"", "file is empty"),
        ("application/json", b'{"errorCode": "CCE.01400001", "errorMessage": "no"}', "status of a success"),
        ("text/plain", b'{"error_code": "X.1", "error_msg": "no"}', "status of a success"),
        ("application/octet-stream", b'{"error": {"code": 500, "message": "no"}}', "status of a success"),
        (None, b'{"kind": "Status", "status": "Failure", "message": "no"}', "status of a success"),
    ],
)
def test_a_success_that_is_no_answer_is_a_bad_answer(accepts: str | None, content: bytes, words: str) -> None:
    with pytest.raises(BadAnswer, match=words) as raised:
        read_answer(call(accepts), 200, {"X-Request-Id": "r1"}, content)
    assert raised.value.request_id == "r1"
    assert "AP_MCP_ENDPOINT" in raised.value.hint


def test_a_bad_answer_to_a_change_says_to_read_before_repeating() -> None:
    with pytest.raises(BadAnswer, match="read what exists now"):
        read_answer(call(method="POST"), 201, {}, b"")


def test_an_error_within_a_success_keeps_code_and_message_and_hides_secrets() -> None:
    with pytest.raises(BadAnswer) as raised:
        read_answer(call(), 200, {}, b'{"error_code": "X.1", "error_msg": "token TOPSECRET"}', secrets=("TOPSECRET",))
    assert (raised.value.code, raised.value.message) == ("X.1", "token ***")


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "Job", "status": {"phase": "Failed", "reason": "x"}},
        {"error_code": "0", "error_msg": "", "items": []},
        {"code": 200, "message": "ok"},
        {"error": None, "items": []},
        {"kind": "Status", "status": "Success"},
        ["errorCode"],
        None,
    ],
)
def test_an_ordinary_answer_is_not_taken_for_an_error(document: Any) -> None:
    assert not holds_error(document)


def test_a_page_without_a_title_is_reduced_to_its_text() -> None:
    page = b"<html><style>b{}</style><body><p>Blocked by WAF</p><script>x()</script></body></html>"
    assert read_error_body(page).message == "Blocked by WAF"


def test_equal_codes_are_shown_once() -> None:
    body = read_error_body(b'{"errorCode": "A.1", "error_code": "A.1", "errorMessage": "x"}')
    assert (body.code, body.other_codes) == ("A.1", ())
