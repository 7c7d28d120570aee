# ruff: noqa: RUF001 - letters that resemble others are what is tried
"""What must not show and what must stay, in values as charts and people write them; and how sure that is."""

import json
from functools import partial
from typing import Any

import pytest
import yaml
from masking_table import TABLE, hidden_names, measured, nested
from secret_cases import CASES, FORMS, HEX, NAMES, PLAIN, TEXTS, Case
from spending import seconds_of

from ap_mcp.masking import PLACEHOLDER, contains_placeholder, is_placeholder, mask, mask_text
from ap_mcp.masking.in_templates import hide_in_template
from ap_mcp.rules.merging import true_values
from ap_mcp.wording import step

RECALL, PRECISION = 0.99, 0.95
LONG = 1_000_000


def shown(value: Any) -> str:
    """All texts in a value, as a person reads them."""
    written = json.dumps(value, ensure_ascii=False)
    return f"{written}\n{written}".replace("\\n", "\n").replace('\\"', '"') + written


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_no_secret_shows_and_nothing_else_is_lost(case: Case) -> None:
    masked = mask({"values": case.value})
    text = shown(masked)
    assert [each for each in case.hidden if each in text] == []
    assert [each for each in case.kept if each not in text] == []
    assert mask(masked) == masked


@pytest.mark.parametrize(
    "case", [each for each in (*NAMES, *FORMS) if "JSON" not in each.label], ids=lambda case: case.label
)
def test_no_secret_shows_in_the_same_values_as_text(case: Case) -> None:
    for written in (f"values: {json.dumps(case.value)}", yaml.safe_dump({"values": case.value}, allow_unicode=True)):
        assert [each for each in case.hidden if each in shown(mask_text(written))] == []


def test_all_that_is_yaml_stays_yaml() -> None:
    for case in TEXTS:
        for text in (each for each in case.value.values() if isinstance(each, str)):
            if "{{" not in text and isinstance(_loaded(text), dict | list):
                assert isinstance(_loaded(mask_text(text)), dict | list), text


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (
            f'{{{{ .Values.pw | default "{PLAIN}" | quote }}}}',
            f'{{{{ .Values.pw | default "{PLACEHOLDER}" | quote }}}}',
        ),
        (f'{{{{ include "shop.name" . }}}}-{HEX}', f'{{{{ include "shop.name" . }}}}{PLACEHOLDER}'),
        (f"{{{{ coalesce .a `{PLAIN}` }}}}", f"{{{{ coalesce .a `{PLACEHOLDER}` }}}}"),
        ('{{ required "a password is needed" .Values.pw }}', '{{ required "a password is needed" .Values.pw }}'),
        ('"{{ .Values.user }}:{{ .Values.pw }}"', '"{{ .Values.user }}:{{ .Values.pw }}"'),
        (f"{{{{ if .a }}}}{PLAIN}{{{{ end }}}}", f"{{{{ if .a }}}}{PLACEHOLDER}{{{{ end }}}}"),
    ],
)
def test_what_a_template_writes_out_is_hidden_and_it_stays_a_template(value: str, masked: str) -> None:
    assert hide_in_template(value) == masked
    assert hide_in_template(masked) == masked


def test_recall_and_precision_on_the_parameters_of_real_charts() -> None:
    secrets = [row for row in TABLE if row.is_secret]
    assert len(secrets) >= 300
    assert len(TABLE) - len(secrets) >= 300
    for half in (TABLE, TABLE[::2], TABLE[1::2]):
        found = measured(half)
        assert found.recall >= RECALL, found.leaks
        assert found.precision >= PRECISION, found.hidden_needlessly


def test_a_parameter_is_hidden_in_yaml_as_it_is_in_data() -> None:
    differing = [row.parameter for row in TABLE if row.is_secret and _hides(row.parameter, row.secret) == []]
    assert len(differing) <= 0.02 * len(TABLE), differing


def _hides(parameter: str, secret: Any) -> list[str]:
    masked = mask_text(yaml.safe_dump(nested(parameter, secret), allow_unicode=True))
    return hidden_names(masked)


def test_what_is_written_below_a_name_that_only_may_announce_a_secret_is_judged_by_itself() -> None:
    text = "license:\n  contents: NOTAREALLICENSE0042\n  external: no\n"
    assert mask_text(text) == f"license:\n  contents: {PLACEHOLDER}\n  external: no\n"


# What comes back


@pytest.mark.parametrize(
    "text",
    [
        *("«masked»", "«MASKED»", "« masked »", "«\u200bmas\u00adked»", "«ｍａｓｋｅｄ»", "https://u:«masked»@host"),
        *("%C2%ABmasked%C2%BB", "%25C2%25ABmasked%25C2%25BB", "\\u00abmasked\\u00bb", "\\xabmasked\\xbb"),
        *("&laquo;masked&raquo;", "&#171;masked&#187;", "<<masked>>", "<masked>", "‹masked›", "wqttYXNrZWTCuw=="),
        *(
            "***",
            "********",
            "•••••",
            "＊＊＊",
            "...",
            "[REDACTED]",
            "<redacted>",
            "<hidden>",
            "(masked)",
            "{{masked}}",
        ),
        *(f"password: {PLACEHOLDER}\nuser: x", " *** ", "[ masked ]"),
        *('"***"', "`***`", "***masked***", "«masked value»", "https://u:****@host", "user:***@host/db"),
        *("a: 1\npassword: ****\n", "password=[REDACTED]&x=1", 'x {"password": "***"}', "run --token **** --port 1"),
    ],
)
def test_a_placeholder_is_recognised_however_it_comes_back(text: str) -> None:
    assert is_placeholder(text)
    assert contains_placeholder({"values": {"db": [{"password": text}]}}) == "values.db[0].password"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "masked",
            "a masked ball",
            "*",
            "**",
            "*.example.com",
            "0 * * * *",
            "a***b",
            "{{ .Values.masked }}",
            "100%",
        ),
        *("# *** begin ***", "find --path **/*.yaml --all", "password: {{secret}}", "a: <name>", "***/5 x"),
        *(
            "https://h/a%20b?x=[1]",
            "[hidden, shown]",
            "«ja»",
            "«maskiert»",
            "bWFza2Vk",
            "a <hidden> field",
            "..",
            "./***/x",
        ),
        "c2VjcmV0LXRleHQtb2Ytc29tZWJvZHk=",
    ],
)
def test_what_is_no_placeholder_is_taken(text: str) -> None:
    assert not is_placeholder(text)
    assert contains_placeholder([text, {"a": text}]) is None


@pytest.mark.parametrize("name", ["password", "apiToken", "DB_PASSWORD", "密码"])
@pytest.mark.parametrize("text", ["masked", "MASKED", "Redacted.", "removed!", "hidden", "xxxx", "XXXXXXXX", "* * *"])
def test_a_word_for_what_was_hidden_is_no_secret(name: str, text: str) -> None:
    assert contains_placeholder({"values": {name: text}}) == f"values.{step(name)}"
    assert contains_placeholder({"values": {name: [text]}}) == f"values.{step(name)}[0]"
    assert contains_placeholder({"mode": text, "values": {name: f"{text}7Kd"}}) is None
    assert true_values({name: "S3cret"}, {name: PLACEHOLDER}, {name: text}).misplaced == [step(name)]


# Time


@pytest.mark.parametrize(
    "hostile",
    [
        *("password", "password: ", "password=", "password ", "token\n", "key: |\n", "- --token\n", "name: password\n"),
        *(
            "a://",
            "a://b:c",
            "https://h/hooks/",
            "$2a$",
            "{{ .Values.password ",
            "<password>",
            "<password ",
            "user a >",
        ),
        *("define('password',", "secret: {", "secret: [", '{"token":', "«masked»", "::::", "sk-", "ghp_", "пароль: "),
        *(
            "x",
            "=",
            "A" * 39 + " ",
            '"\\n',
            "value: a, name: ",
            "Authorization: ",
            "password:\n  ",
            "-----BEGIN PRIVATE KEY-----",
            *("password=Hk4-tR8wQz2m;", "password=Hk4-tR8wQz2m,", "a://b:c@d:e/", "<name>password</name>"),
        ),
    ],
    ids=repr,
)
def test_long_hostile_texts_are_masked_in_linear_time(hostile: str) -> None:
    spent = []
    for size in (LONG // 64, LONG // 16):
        text = hostile * (size // len(hostile))
        spent.append(seconds_of(partial(mask_text, text)))
    assert spent[1] < 1.5  # seconds for what takes a fifth of that at most; a quadratic one would take many
    assert spent[1] < 12 * spent[0] + 0.25


@pytest.mark.parametrize("again", ["x", "password: x\n", "a b ", HEX])
def test_a_quarter_of_a_megabyte_is_masked_in_bounded_time(again: str) -> None:
    text = again * (LONG // 4 // len(again))
    assert seconds_of(partial(mask_text, text)) < 2.5
