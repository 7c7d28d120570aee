import base64
import json
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spending import seconds_of

from ap_mcp import masking
from ap_mcp.masking import DEPTH_LIMIT, PLACEHOLDER, contains_placeholder, mask, mask_text
from ap_mcp.masking.names import names_a_secret

SECRET = "Zq7-planted.Secret_9"

SECRET_NAMES = [
    *("password", "passwd", "PWD", "adminPassword", "mysql_root_password", "basic_auth_password_third", "dbPass"),
    *("token", "X-Auth-Token", "security_token", "securitytoken", "bearer_token", "accessToken", "tokenId"),
    *("secret", "clientSecret", "aom_app_secret", "secretKey", "secretAccessKey", "accessKey", "accessKeyId"),
    *("ak", "SK"),
    *("client-key-data", "privateKey", "tls.key", "APIKey", "aom_app_key", "encryption_key", ".dockerconfigjson"),
    *("credential", "credentials", "passphrase", "passwordHash", "token_value", "id_rsa", "密码"),
]  # fmt: skip
HARMLESS_NAMES = [
    *("secretName", "secretRef", "secretKeyRef", "secretNamespace", "imagePullSecret", "existingSecret", "tlsSecret"),
    *("tokenCount", "maxTokens", "tokenExpirationSeconds", "passwordPolicy", "passwordKey", "nextPageToken"),
    *("usePassword", "automountServiceAccountToken", "key", "topologyKey", "publicKey", "certificate", "keyPairName"),
    *("client-certificate-data", "certificate-authority-data", "kubernetesSvcIpRange", "bypass", "monkey"),
    *("task", "break", "authentication", "author", "passed", "secretary", "", "-"),
]  # fmt: skip

MORE = settings(
    max_examples=max(150, settings().max_examples), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_under_the_name_of_a_secret_is_masked(name: str) -> None:
    assert mask({"outer": [{name: SECRET, "other": "kept"}]}) == {"outer": [{name: PLACEHOLDER, "other": "kept"}]}


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_a_name_that_only_describes_secrets_is_left_alone(name: str) -> None:
    assert not names_a_secret(name)
    assert mask({name: "shown"}) == {name: "shown"}


@pytest.mark.parametrize(
    "value", ["", None, True, False, "false", "${DB_PASSWORD}", "$(TOKEN)", "{{ .Values.password }}"]
)
def test_a_value_that_reveals_nothing_is_shown(value: object) -> None:
    assert mask({"password": value}) == {"password": value}


def test_what_is_remembered_of_texts_stays_bounded_and_changes_no_answer() -> None:
    answer = {"password": SECRET, "note": "all is well", "line": f"--token={SECRET}", "tokenCount": 3}
    before = mask(answer)
    assert before == {"password": PLACEHOLDER, "note": "all is well", "line": f"--token={PLACEHOLDER}", "tokenCount": 3}
    for kind, count in (("note", 9000), ("password: no. ", 9000), ("x" * 1000, 50)):
        mask({f"{kind}{number}": f"{kind} of its own, {number}" for number in range(count)})
    assert mask(answer) == before
    assert 0 < len(masking._harmless) <= 4096
    assert 0 < len(masking._plain) <= 8192
    assert max(map(len, [*masking._harmless, *masking._plain])) < 1000


def test_numbers_are_masked_as_passwords_but_shown_as_counts() -> None:
    assert mask({"password": 123456, "passwords": [1234]}) == {"password": PLACEHOLDER, "passwords": [PLACEHOLDER]}
    counts = {"tokens": 42, "hard": {"secrets": "10"}, "max_tokens": 9}
    assert mask(counts) == counts


def test_everything_below_a_secret_is_masked_but_the_facts_about_it() -> None:
    volume = {
        "secret": {"secretName": "db", "items": [{"key": "a", "path": "b"}], "defaultMode": 420, "optional": False}
    }
    assert mask(volume) == volume
    assert mask({"imagePullSecrets": [{"name": "default-secret"}]}) == {
        "imagePullSecrets": [{"name": "default-secret"}]
    }
    assert mask({"secrets": {"a": {"b": SECRET, "type": "t"}}}) == {"secrets": {"a": {"b": PLACEHOLDER, "type": "t"}}}


def test_a_kubeconfig_keeps_its_certificates_and_loses_its_keys() -> None:
    user = {"client-certificate-data": "LS0tLS1CRUdJTiBDRVJU", "client-key-data": SECRET, "token": SECRET}
    masked = mask({"kind": "Config", "users": [{"name": "user", "user": user}]})
    assert masked["users"][0]["user"] == {
        "client-certificate-data": "LS0tLS1CRUdJTiBDRVJU",
        "client-key-data": PLACEHOLDER,
        "token": PLACEHOLDER,
    }


def test_the_data_of_a_kubernetes_secret_is_masked_whatever_its_keys() -> None:
    one = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"color": "Ymx1ZQ=="}, "stringData": {"x": "y"}}
    masked = mask(one)
    assert masked == {**one, "data": {"color": PLACEHOLDER}, "stringData": {"x": PLACEHOLDER}}
    listed = mask({"kind": "SecretList", "items": [{"metadata": {"name": "db"}, "data": {"color": "Ymx1ZQ=="}}]})
    assert listed["items"][0]["data"] == {"color": PLACEHOLDER}
    applied = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(one)}}
    assert "Ymx1ZQ" not in json.dumps(mask(applied))


def test_pairs_of_name_and_value_and_arguments_are_understood() -> None:
    assert mask([{"name": "DB_PASSWORD", "value": SECRET}, {"name": "COLOR", "value": "blue"}]) == [
        {"name": "DB_PASSWORD", "value": PLACEHOLDER},
        {"name": "COLOR", "value": "blue"},
    ]
    assert mask(["run", "--password", SECRET, "--verbose"]) == ["run", "--password", PLACEHOLDER, "--verbose"]


def test_a_registry_login_is_masked() -> None:
    login = base64.b64encode(b"user:" + SECRET.encode()).decode()
    auths = {"auths": {"swr.example.com": {"username": "user", "auth": login}}}
    assert mask(auths) == {"auths": {"swr.example.com": {"username": "user", "auth": PLACEHOLDER}}}
    assert mask({"auth": "no one", "authorization": "rbac"}) == {"auth": "no one", "authorization": "rbac"}
    assert mask({"auth": "dXNlcg==", "cookie": "a=b"}) == {"auth": "dXNlcg==", "cookie": PLACEHOLDER}
    assert mask({"x": base64.b64encode(json.dumps(auths).encode()).decode()}) == {"x": PLACEHOLDER}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"login with password={SECRET},x;y failed", "login with password=«masked» failed"),
        (f'error: "token": "{SECRET} two words", retry', 'error: "token": "«masked»", retry'),
        (f"tool --token {SECRET} --verbose", "tool --token «masked» --verbose"),
        (f"failed with token: {SECRET} from cache", "failed with token: «masked» from cache"),
        ("sent the password: unexpected", "sent the password: «masked»"),
        ("sent the password: sunshine and rain", "sent the password: «masked» and rain"),
        (f"map[password:{SECRET} user:bob]", "map[password:«masked» user:bob]"),
        (f"https://bob:{SECRET}@host/x?mail=a@b", "https://bob:«masked»@host/x?mail=a@b"),
        (f"redis://:{SECRET}/with/slashes@host:6379/0", "redis://:«masked»@host:6379/0"),
        (f"root:{SECRET}@tcp(10.0.0.1:3306)/shop", "root:«masked»@tcp(10.0.0.1:3306)/shop"),
        (f"https://host/a?token={SECRET}&page=2", "https://host/a?token=«masked»&page=2"),
        (f"Authorization: Bearer {SECRET}", "Authorization: «masked»"),
        (f"sent Bearer {SECRET} to host", "sent Bearer «masked» to host"),
        (f"SDK-HMAC-SHA256 Access={SECRET}, SignedHeaders=host, Signature=00ff", "SDK-HMAC-SHA256 «masked»"),
        (f"curl -u bob:{SECRET} https://host", "curl -u bob:«masked» https://host"),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----\nrest", "«masked»\nrest"),
        (f"-----BEGIN PRIVATE KEY-----\n{SECRET}\ncut off", "«masked»"),
        (r"{\"password\":\"" + SECRET + r"\",\"user\":\"bob\"}", r"{\"password\":\"«masked»\",\"user\":\"bob\"}"),
        (f"密码：{SECRET}", "密码：«masked»"),  # noqa: RUF001 - the wide colon is what people type
    ],
)  # fmt: skip
def test_secrets_inside_text_are_masked_and_the_rest_stays(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "The secret of a good day: breakfast is not a secret",
        'secrets "db" not found in namespace "shop"',
        "http://127.0.0.1:8080/a@b",
        "git@github.com:owner/repo.git",
        "authorization: rbac",
        '{"authentication": {"mode": "rbac"}, "n": 1.0}',
        "task: done, break: none",
        "the password is too short",
        "failed to authorize: failed to fetch oauth token: unexpected status from GET request: 401 Unauthorized",
        'failed to fetch anonymous token: Get "https://auth.example.com/v2": dial tcp: lookup auth.example.com',
        "cannot read the secret: permission denied",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
    ],
)
def test_text_without_secrets_comes_back_unchanged(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password: correct horse\nuser: bob\n", "password: «masked»\nuser: bob\n"),
        ("password: |\n  a\n  b\nuser: bob", "password: «masked»\nuser: bob"),
        ("password: first\n  second\nuser: bob", "password: «masked»\nuser: bob"),
        ("tokens:\n- a\n- b\nuser: bob", "tokens:\n- «masked»\n- «masked»\nuser: bob"),
        ("secret:\n  name: db\n  pin: 1\nuser: bob", "secret:\n  name: db\n  pin: «masked»\nuser: bob"),
        ("env:\n- name: DB_PASSWORD\n  value: a\n- name: X\n  value: y",
         "env:\n- name: DB_PASSWORD\n  value: «masked»\n- name: X\n  value: y"),
        ("kind: Secret\ndata:\n  color: Ymx1ZQ==\n  name: eA==\ntype: Opaque",
         "kind: Secret\ndata:\n  color: «masked»\n  name: «masked»\ntype: Opaque"),
        ('  "password": "a b",\n  "user": "bob"', '  "password": "«masked»",\n  "user": "bob"'),
    ],
)  # fmt: skip
def test_yaml_in_text_is_masked_line_by_line(text: str, masked: str) -> None:
    assert mask_text(text) == masked
    assert mask_text(masked) == masked


def test_json_in_text_stays_json_and_a_repeated_key_hides_nothing() -> None:
    assert json.loads(mask_text('{"a": {"password": 12}, "b": [1, null]}')) == {
        "a": {"password": PLACEHOLDER},
        "b": [1, None],
    }
    assert SECRET not in mask_text(f'{{"password": "{SECRET}", "password": ""}}')


@pytest.mark.parametrize(
    "text",
    [
        f'spec: "user: b\\xF6b\\n\\\n  \\ password: {SECRET} two\\n"',
        f"spec: '\"user: bob\\n  password:\n  {SECRET}\\n\"'",
        f'broken "user: b\\qb\\npassword: {SECRET}\\n"',
        f"cut off \\npassword: {SECRET} two\\nuser: bob",
    ],
    ids=["double quotes", "single quotes", "unusual escapes", "no quotes"],
)
def test_lines_written_out_in_a_quoted_text_are_read_as_lines(text: str) -> None:
    masked = mask_text(text)
    assert SECRET not in masked
    assert " two" not in masked
    assert mask_text(masked) == masked


def test_an_open_value_in_yaml_is_shown() -> None:
    assert mask_text("password: null\nsecret: {}\ntoken: [] \n") == "password: null\nsecret: {}\ntoken: [] \n"


def test_base64_of_a_kubeconfig_is_masked_and_of_a_certificate_is_not() -> None:
    config = yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [{"user": {"token": SECRET}}]})
    assert mask(base64.b64encode(config.encode()).decode()) == PLACEHOLDER
    certificate = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n").decode()
    assert mask(certificate) == certificate
    wrapped = base64.encodebytes(b"-----BEGIN PRIVATE KEY-----\n" + SECRET.encode() * 9).decode()
    assert mask_text("key data: " + wrapped).startswith("key data: «masked»")
    assert wrapped.splitlines()[1] not in mask_text(wrapped)


def _in_json(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False)


def _in_yaml(value: Any) -> Any:
    return yaml.safe_dump(value, allow_unicode=True) if isinstance(value, dict | list) else value


def _in_base64(value: Any) -> Any:
    return base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()


WRAPPERS = st.lists(
    st.sampled_from(
        [
            _in_json,
            _in_yaml,
            _in_base64,
            lambda value: {"spec": value},
            lambda value: [1, value],
            lambda value: {"a": "b", "c": value},
        ]
    ),
    max_size=5,
)


@MORE
@given(name=st.sampled_from(SECRET_NAMES), wrappers=WRAPPERS)
def test_a_planted_secret_never_comes_out_however_it_is_wrapped(name: str, wrappers: list[Any]) -> None:
    value: Any = {name: SECRET, "padding": "x" * 40}
    for wrap in wrappers:
        value = wrap(value)
    masked = mask(value)
    shown = json.dumps(masked)
    assert SECRET not in shown
    for token in shown.replace('"', " ").split():
        assert SECRET.encode() not in _decoded(token)


def _decoded(token: str) -> bytes:
    try:
        decoded = base64.b64decode(token, validate=True)
    except ValueError:
        return b""
    return decoded + _decoded(decoded.decode("latin-1").strip('"')) if decoded else decoded


FRAGMENTS = st.sampled_from(
    [
        *("password", "token", "secretName", "ak", "key", "name", "kind: Secret", "data", "a", "-", "--"),
        *(" ", "  ", "\n", "\\n", "\\u0022"),
        *(":", "=", ": ", "=>", '"', "'", "\\", '\\"', "{", "}", "[", "]", ",", "|", "&", "?"),
        *("/", "://", "@", "#", "~", "null", "«masked»", "QUJD" * 12, "x1y2z3", "é", "\ud800", "\x00"),
        *("Authorization", "Bearer ", "Basic ", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
        *("curl -u ", "@tcp(", "eyJabcdefghij.", "SDK-HMAC-SHA256 Access="),
    ]
)  # fmt: skip
NASTY = st.lists(FRAGMENTS, max_size=14).map("".join)
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NASTY,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NASTY | st.sampled_from(SECRET_NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@MORE
@example({"passwordpassword[null": 0})
@given(JSON_LIKE)
def test_masking_twice_changes_nothing_more(value: Any) -> None:
    once = mask(value)
    assert mask(once) == once


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(HARMLESS_NAMES), st.integers() | st.sampled_from(["a", "v1.30", "10.0.0.0/16"])))
def test_harmless_data_keeps_every_value(value: dict[str, Any]) -> None:
    assert mask(value) == value


LONG = 120_000


@pytest.mark.parametrize(
    "hostile",
    [
        *("password ", "a://b:", "eyJaaaaaaaaa-", "a", "password=", "-----BEGIN PRIVATE KEY-----", "password:\n", "{"),
        *("A" * 41 + "\n", 'password:\\"', "Bearer ", "key.", "token\\n"),
        *(('password="', "\\", ""), ("", "- ", "password: x"), ("password", " ", ": x"), ("", '"\\n', "key")),
        *("password: x ", "password = x ", "Secret ", "kind: Secret "),
    ],
    ids=repr,
)
def test_a_long_hostile_text_takes_no_quadratic_time(hostile: str | tuple[str, str, str]) -> None:
    before, again, after = hostile if isinstance(hostile, tuple) else ("", hostile, "")
    text = before + again * (LONG // len(again)) + after
    spent = seconds_of(partial(mask_text, text))
    assert spent < 1.5  # ten times what the slowest takes; a quadratic one would take minutes


def test_data_that_is_too_deep_is_hidden_rather_than_followed() -> None:
    deep: Any = "leaf"
    for _ in range(3000):
        deep = [deep]
    assert PLACEHOLDER in json.dumps(mask(deep), ensure_ascii=False)
    for _ in range(DEPTH_LIMIT):
        deep = {"secret": deep}
    assert PLACEHOLDER in json.dumps(mask(deep), ensure_ascii=False)
    text: Any = "long text, with spaces"
    for _ in range(DEPTH_LIMIT):
        text = [text]
    assert "spaces" not in json.dumps(mask(text), ensure_ascii=False)


def test_other_values_are_masked_by_their_text() -> None:
    assert mask((1, f"password={SECRET}")) == [1, "password=«masked»"]
    assert mask({1: RuntimeError(f"password={SECRET}")}) == {"1": "password=«masked»"}
    assert mask({"password": object()}) == {"password": PLACEHOLDER}


def test_a_placeholder_that_comes_back_is_found_with_its_place() -> None:
    assert contains_placeholder({"values": {"db": [{"password": PLACEHOLDER}]}}) == "values.db[0].password"
    assert contains_placeholder({"values": '{"p":"\\u00abmasked\\u00bb"}'}) == "values"
    assert contains_placeholder({"labels": {f"a{PLACEHOLDER}": "x"}}) == f'labels."a{PLACEHOLDER}"'
    assert contains_placeholder({"url": f"https://u:{PLACEHOLDER}@host"}) == "url"
    assert contains_placeholder({"values": {"n": 1, "text": "masked"}, "list": [None, "a"]}) is None


def test_what_was_masked_is_found_again() -> None:
    assert contains_placeholder(mask({"values": {"password": SECRET}})) == "values.password"
