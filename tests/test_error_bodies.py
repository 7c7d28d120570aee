"""Whatever the cloud or a gateway sends instead of an answer becomes an error that says what to do."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.binding import HttpCall
from ap_mcp.cloud import responses
from ap_mcp.cloud.bodies import holds_error, read_error_body
from ap_mcp.cloud.refusals import Recipient
from ap_mcp.cloud.responses import CatalogueEntry, load_error_catalogue, read_answer, service_error
from ap_mcp.credentials import find_credentials
from ap_mcp.errors import (
    AuthenticationFailed,
    BadAnswer,
    Conflict,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    ServiceError,
    SignatureExpired,
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
        (404, b"[1, 2]", BadAnswer, "[1, 2]"),
        (400, b'"text"', BadAnswer, '"text"'),
        (404, b'{"errorCode": "CCE.0140', NotFound, '{"errorCode": "CCE.0140'),
        (500, b'{"errorCode": "CCE.0150', Unavailable, '{"errorCode": "CCE.0150'),
        (302, b"", BadAnswer, ""),
        (400, b"{}", ServiceError, "{}"),
        (400, b"\xff\xfe\x00junk", BadAnswer, "��junk"),
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


@pytest.mark.parametrize("hours", ["10", "12", "14"])
def test_a_date_to_retry_after_goes_by_the_clock_of_who_set_it(hours: str) -> None:
    dates = {"Date": f"Tue, 04 Jun 2024 {hours}:30:00 GMT", "Retry-After": f"Tue, 04 Jun 2024 {hours}:30:40 GMT"}
    assert understood(429, {}, headers=dates).retry_after == 40.0


@pytest.mark.parametrize(
    ("value", "said"), [("0", "at once"), ("40", "in 40 s"), ("7200", "in 2 h"), ("9" * 12, "in 11574 d 1 h")]
)
def test_a_time_to_wait_is_said_so_that_a_person_reads_it(value: str, said: str) -> None:
    assert f"Worth another try {said}." in understood(429, {}, headers={"Retry-After": value}).hint


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


# Why a sign-in is refused: the text of the service decides, then the clocks, then the credentials in use

OLD = "calc aksk signature fail:signature expired, signature time:20240604T121400Z,server time:20240604T122958Z"
DATE = {"Date": "Tue, 04 Jun 2024 12:29:58 GMT"}
KEYS = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "a-secret"}
WAYS_IN = [
    (KEYS, "HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"),
    ({"HW_ACCESS_KEY": "AK", "HW_SECRET_KEY": "a-secret"}, "HW_ACCESS_KEY and HW_SECRET_KEY"),
    (KEYS | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "t"}, "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    ({"HW_ACCESS_KEY": "AK", "HW_SECRET_KEY": "a-secret", "HW_SECURITY_TOKEN": "t"}, "HW_SECURITY_TOKEN"),
    ({"HW_USER_NAME": "u", "HW_PASSWORD": "p", "HW_DOMAIN_NAME": "d"}, "HW_USER_NAME, HW_PASSWORD, HW_DOMAIN_NAME"),
    ({"AP_MCP_AUTH_TOKEN": "t"}, "AP_MCP_AUTH_TOKEN"),
    ({}, "agency"),
]
VARIABLES = ("HUAWEICLOUD_SDK_AK", "HW_ACCESS_KEY", "SECURITY_TOKEN", "HW_PASSWORD", "AP_MCP_AUTH_TOKEN", "agency")


@pytest.mark.parametrize(("environ", "named"), WAYS_IN)
@pytest.mark.parametrize("said", ["securityToken is expired", "the X-Auth-Token has expired", "verify aksk fail", ""])
def test_a_refused_sign_in_leads_to_the_credentials_in_use_and_to_no_others(
    environ: dict[str, str], named: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    recipient = Recipient(credentials=find_credentials(environ))
    for code in ("APIGW.0301", "APIGW.0307", "CCE.01401001", "X.1"):
        error = understood(401, {"error_code": code, "error_msg": said}, headers=DATE, recipient=recipient)
        assert named in error.hint
        others = [each for each in VARIABLES if each not in named and each not in environ and each != named]
        assert [each for each in others if each in error.hint and not any(each in name for name in environ)] == []
        assert "clock" not in error.hint


def test_temporary_keys_of_a_file_lead_to_that_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[basic]\nak = AK\nsk = a-secret\nsecurity_token = t\n")
    found = find_credentials({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)})
    assert f"{path}, with its security_token" in found.advice


@pytest.mark.parametrize(
    ("access", "secret", "words"),
    [("S" * 40, "A" * 20, "Are they swapped?"), ("SAME", "SAME", "the same value"), ("A" * 20, "S" * 40, "")],
)
def test_swapped_keys_are_asked_about(access: str, secret: str, words: str) -> None:
    found = find_credentials({"HUAWEICLOUD_SDK_AK": access, "HUAWEICLOUD_SDK_SK": secret})
    error = understood(401, {"error_msg": "ak not exist"}, recipient=Recipient(credentials=found))
    assert words in error.hint
    assert ("swapped" in error.hint) == ("swapped" in words)
    assert not [part for part in (access, secret) if part in error.render()]


def test_a_clock_that_is_off_is_named_with_its_skew() -> None:
    body = {"error_code": "APIGW.0301", "error_msg": "signature expired, signature time:20240604T123000Z"}
    error = understood(401, body, headers={"Date": "Tue, 04 Jun 2024 12:08:00 GMT"})
    assert "clock is 22 minutes ahead of" in error.hint
    late = understood(401, body, headers={"Date": "Tue, 04 Jun 2024 13:30:00 GMT"})
    assert "clock is 60 minutes behind" in late.hint


@pytest.mark.parametrize("headers", [DATE, {}], ids=["dated", "undated"])
def test_a_signature_that_grew_old_on_its_way_is_told_with_both_times(headers: dict[str, str]) -> None:
    error = understood(401, {"error_code": "APIGW.0301", "error_msg": OLD}, headers=headers)
    assert type(error) is SignatureExpired
    assert "15 min old" in error.hint
    assert "2024-06-04T12:14:00Z" in error.hint
    assert "2024-06-04T12:29:58Z" in error.hint
    assert "held up on its way" in error.hint
    assert not [wrong for wrong in ("agree", "not the reason", "keys", "password", "project") if wrong in error.hint]
    again = understood(401, {"error_msg": OLD}, headers=headers, signed_anew=True)
    assert "A new signature was refused as well." in again.hint


@pytest.mark.parametrize("named", ["time:", "time is ", "timestamp ", "timestamp: "])
def test_a_signature_of_the_future_is_the_clocks_fault(named: str) -> None:
    said = f"signature expired, signature {named}20240604T130000Z,server {named}20240604T123000Z"
    assert "clock is 30 minutes ahead of" in understood(401, {"error_msg": said}).hint


def test_a_signature_that_expired_without_times_may_have_been_held_up() -> None:
    error = understood(401, {"message": "signature expired"}, headers=DATE)
    assert "agree within 2 s now" in error.hint
    assert "held up on its way" in error.hint


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, OLD), (400, OLD), (401, "token expired"), (401, "verify aksk signature fail"), (401, "signature mismatch")],
)
def test_no_other_refusal_counts_as_an_expired_signature(status: int, said: str) -> None:
    assert type(understood(status, {"error_msg": said})) is not SignatureExpired


# What is no answer of the API


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308, 310, 399])
def test_every_redirect_is_reported_as_one_with_the_host_it_leads_to(status: int) -> None:
    location = "https://user:hunter2@portal.corp.example:8443/login?token=hunter2"
    error = understood(status, b"", headers={"Location": location})
    assert type(error) is BadAnswer
    assert "redirect" in error.hint
    assert 'leads to the host "portal.corp.example".' in error.hint
    assert "hunter2" not in error.render()
    assert "value in the request" not in error.hint
    assert "another path of the same host" in understood(status, b"", headers={"Location": "/login"}).hint
    assert "leads to" not in understood(status, b"").hint
    assert understood(status, b"", headers={"Location": "https://[::1"}).hint


@given(st.text())
def test_any_place_of_a_redirect_is_data(location: str) -> None:
    assert understood(302, b"", headers={"Location": location}).hint


PAGES = [HTML, b"<html>Blocked", b"Forbidden by policy 17", b"<?xml version='1.0'?><Error/>", b'"no"', b"[]"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 409, 410, 413, 418, 451, 499])
@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_json_under_4xx_comes_from_something_in_between(status: int, page: bytes) -> None:
    error = understood(status, page, permission="cce:cluster:list", headers=DATE)
    assert type(error) is BadAnswer
    assert "something between this machine and it answered instead" in error.hint
    assert not [wrong for wrong in ("IAM", "administrator", "value in the request", "list_") if wrong in error.hint]
    assert ("too large" in error.hint) == (status == 413)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
@pytest.mark.parametrize("page", PAGES)
def test_what_is_no_json_under_5xx_may_come_from_something_in_between(status: int, page: bytes) -> None:
    assert "a gateway or proxy on the way may have answered" in understood(status, page).hint
    assert "on the way" not in understood(status, {"error_code": "x", "error_msg": "y"}).hint
    assert "on the way" not in understood(status, b"").hint


def test_a_network_that_wants_a_sign_in_is_not_tried_again() -> None:
    error = understood(511, HTML)
    assert not error.may_pass
    assert "wants a sign-in" in error.hint
    assert "inside the service" not in error.hint


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n "])
@pytest.mark.parametrize("media_type", ["text/html", "text/plain", "application/json"])
def test_an_error_of_the_api_is_one_whatever_type_it_is_given(before: bytes, media_type: str) -> None:
    body = before + b'{"errorCode": "CCE.01404001", "errorMessage": "Resource not found."}'
    assert type(understood(404, body, headers={"content-type": media_type})) is NotFound


def test_what_anybody_may_say_under_4xx_is_still_explained() -> None:
    assert "Worth another try" in understood(429, HTML).hint
    assert type(understood(408, HTML)) is Unavailable


# Whom was asked


@pytest.mark.parametrize("status", [300, 307, 400, 401, 403, 404, 405, 415])
@pytest.mark.parametrize("body", [b"", HTML, b'{"error": {"code": 404, "message": "no"}}'])
def test_errors_of_iam_name_its_own_endpoint(status: int, body: bytes) -> None:
    recipient = Recipient("AP_MCP_IAM_ENDPOINT")
    hint = understood(status, body, operation="find_project", recipient=recipient).hint
    assert "AP_MCP_ENDPOINT" not in hint
    assert "list_clusters" not in hint


# What the account must have


def test_what_an_account_must_ask_for_first_is_part_of_a_denial(catalog: Catalog) -> None:
    for name in ("upgrade_cluster", "get_upgrade_task", "retry_upgrade"):
        asked = catalog[name].precondition
        assert asked
        for status, body in ((403, {"error_msg": "no"}), (404, {"error_code": "APIGW.0101", "error_msg": "no"})):
            assert "on request only" in understood(status, body, name, precondition=asked).hint
        assert "on request only" not in understood(400, {"error_msg": "no"}, name, precondition=asked).hint


def test_a_missing_agency_is_told_where_it_may_be_the_reason(catalog: Catalog) -> None:
    agency = catalog["create_cluster"].precondition
    assert agency
    said = {"errorCode": "CCE.01400001", "errorMessage": "Agency verification failed."}
    assert "CCE console" in understood(400, said, "create_cluster", precondition=agency).hint
    assert "CCE console" in understood(403, {"errorMessage": "no"}, "create_cluster", precondition=agency).hint
    assert "CCE console" not in understood(400, {"errorMessage": "no"}, "create_cluster", precondition=agency).hint
    assert "CCE console" not in understood(500, said, "create_cluster", precondition=agency).hint


def test_what_is_too_short_for_a_secret_is_not_cut_out_of_words() -> None:
    assert understood(401, {"message": "does not exist"}, secrets=("x", "t")).message == "does not exist"


def test_without_a_date_the_clock_is_only_suspected() -> None:
    assert "check this machine's clock" in understood(401, {"message": "timestamp too old"}).hint


def test_the_clock_is_not_mentioned_without_need() -> None:
    error = understood(401, {"message": "ak not exist"}, headers=DATE)
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


def test_hints_name_only_tools_and_arguments_that_exist(catalog: Catalog) -> None:
    catalogue = load_error_catalogue()
    entries = [each for entry in (*catalogue.statuses.values(), *catalogue.codes.values()) for each in both(entry)]
    texts = [entry.hint for entry in entries] + [hint for _, hint in catalogue.lookups]
    arguments = {argument for operation in catalog.values() for argument in operation.arguments}
    named = {word for text in texts for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)}
    assert named & set(catalog)
    assert named & arguments
    assert named <= set(catalog) | arguments | {"wait_for"}


def both(entry: CatalogueEntry) -> list[CatalogueEntry]:
    return [entry, entry.reasoned] if entry.reasoned else [entry]


def test_hints_ask_for_nothing_that_no_tool_takes() -> None:
    catalogue = load_error_catalogue()
    hints = [each.hint for entry in (*catalogue.statuses.values(), *catalogue.codes.values()) for each in both(entry)]
    asking = re.compile(
        r"\b(take|choose|pass|try|leave)\b[^.;]*\b(flavor|operating system|disk type|container range|availability zone|"
        r"machine type|IPv6 out|node)",
        re.IGNORECASE,
    )
    assert [hint for hint in hints if asking.search(hint)] == []


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


def test_a_page_is_quoted_with_what_it_says_beside_its_title() -> None:
    page = b"<html><head><title>418</title></head><body>Your request was &lt;blocked&gt;.<p>Event id: 77</body></html>"
    assert set(understood(418, page).texts) == {"418", "Your request was <blocked>. Event id: 77"}


@pytest.mark.parametrize("place", ["{}", '{{"error": {{"details": [{}]}}}}', '{{"error_msg": "no", "data": {}}}'])
def test_an_encoded_reason_is_kept_wherever_it_stands(place: str) -> None:
    body = place.format('{"encoded_authorization_message": "AAAA1111"}').encode()
    error = understood(403, body)
    assert (error.encoded, str(error).count("AAAA1111")) == ("AAAA1111", 1)


def test_a_page_without_a_title_is_reduced_to_its_text() -> None:
    page = b"<html><style>b{}</style><body><p>Blocked by WAF</p><script>x()</script></body></html>"
    assert read_error_body(page).message == "Blocked by WAF"


def test_equal_codes_are_shown_once() -> None:
    body = read_error_body(b'{"errorCode": "A.1", "error_code": "A.1", "errorMessage": "x"}')
    assert (body.code, body.other_codes) == ("A.1", ())
