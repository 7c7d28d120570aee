"""Secrets in JSON that stands in the middle of a text, or is cut off, and in names that texts give to values."""

import base64
import json
import time

import pytest

from ap_mcp.masking import PLACEHOLDER, mask_text
from ap_mcp.masking.in_json import json_in

SECRET = "hunter2-of-the-test"
WITH_SECRETS = [
    {"kind": "Secret", "data": {"whatever": SECRET}},
    {"env": [{"name": "DB_PASSWORD", "value": SECRET}]},
    {"args": ["serve", "--api-token", SECRET]},
    {"deep": [{"er": {"manifest": {"kind": "Secret", "stringData": {"a": SECRET}}}}]},
]


@pytest.mark.parametrize("data", WITH_SECRETS)
def test_json_within_prose_is_masked_as_data(data: object) -> None:
    shown = mask_text(f"the service cannot accept {json.dumps(data)} as its secret, nor {json.dumps([data])}.")
    assert SECRET not in shown
    assert shown.startswith("the service cannot accept ")
    assert shown.endswith(".")
    assert shown.count(PLACEHOLDER) == 2
    assert mask_text(shown) == shown


@pytest.mark.parametrize("data", WITH_SECRETS)
def test_json_that_is_cut_off_anywhere_reveals_nothing_of_a_secret(data: object) -> None:
    whole = json.dumps({"token name": "a secret", "items": [data, data]})
    for end in range(len(whole)):
        for head in ("", "refused: "):
            shown = mask_text(head + whole[:end])
            assert SECRET[:8] not in shown, shown
            assert mask_text(shown) == shown


def test_what_stands_before_the_cut_stays() -> None:
    shown = mask_text('{"phase": "Failed", "token": "abc", "node": {"name": "n1", "args": ["--password", "hun')
    assert shown == f'{{"phase": "Failed", "token": "{PLACEHOLDER}", "node": {{"name": "n1", "args": ["--password"…'
    shown = mask_text('{"phase": "Failed", "kind": "Secret", "data": {"a": "abc", "b": "hun')
    assert json.loads(shown) == {"phase": "Failed", "kind": "Secret", "data": {"a": PLACEHOLDER}}


@pytest.mark.parametrize(
    "text",
    [
        "a [warning] about {{ .Values.secret }} and {not json}",
        'brackets that close nothing: {"a": 1]} and ["token',
        '{"a" 1, "secret": tru',
        "[" * 5000 + '"token"',
        '{"password"',
        "",
    ],
)
def test_what_only_resembles_json_is_left_alone(text: str) -> None:
    assert [found.data for found in json_in(text) if found.data not in ([], {}, ["token"])] == []
    mask_text(text)


def test_a_text_full_of_brackets_is_masked_quickly() -> None:
    began = time.perf_counter()
    for text in ("{" * 200_000, '{"a":' * 20_000, "[1," * 50_000, '{"secret": "' + "x" * 200_000):
        mask_text(f"secret {text}")
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    "text",
    [
        f"{{'name': 'DB_PASSWORD', 'value': '{SECRET}'}}",
        f'\\"name\\": \\"API_TOKEN\\", \\"value\\": \\"{SECRET}\\"',
        f"name: DB_PASSWORD value: {SECRET}",
        f"['serve', '--db-password', '{SECRET}', '-v']",
        f'started "--token", "{SECRET}"',
        f"x-security-token:aaaaaaaa\\npassword={SECRET}",
        f"x-security-token: aaaaaaaa|\\nX-Auth-Token: {SECRET}",
    ],
)
def test_a_value_is_masked_if_a_text_names_it_as_a_secret_in_any_way(text: str) -> None:
    shown = mask_text(text)
    assert SECRET not in shown
    assert PLACEHOLDER in shown
    assert mask_text(shown) == shown


def test_a_value_that_is_named_otherwise_is_kept() -> None:
    for text in ("{'name': 'MODE', 'value': 'fast', 'secret': 'a'}", "['--color', 'red', '--secret-name', 'x']"):
        assert "fast" in mask_text(text) or "red" in mask_text(text)


def test_base64_of_a_secret_is_found_wherever_it_begins_or_ends() -> None:
    packed = base64.b64encode(json.dumps({"auths": {"r": {"password": SECRET}}}).encode()).decode()
    for text in (packed, f"'v1.29\\n{packed}-r0", f"a {packed[:-3]}", f"a {packed[:-5]}", f"{packed}\n"):
        assert packed[:40] not in mask_text(text)
