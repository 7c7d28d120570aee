"""Credentials are found where users already have them; half a pair or a broken file is reported, never its content."""

from pathlib import Path

import pytest

from ap_mcp.credentials import AccessKey, Agency, Credentials, GivenToken, Password, find_credentials
from ap_mcp.errors import SettingsError

SDK = {"HUAWEICLOUD_SDK_AK": "sdk-ak", "HUAWEICLOUD_SDK_SK": "sdk-sk"}
TERRAFORM = {"HW_ACCESS_KEY": "hw-ak", "HW_SECRET_KEY": "hw-sk"}
USER = {"HW_USER_NAME": "alice", "HW_PASSWORD": "pä ss", "HW_DOMAIN_NAME": "acme"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def key_of(found: Credentials) -> tuple[str, str, str | None]:
    key = found.identity
    assert isinstance(key, AccessKey)
    token = key.security_token.get_secret_value() if key.security_token else None
    return key.access_key, key.secret_key.get_secret_value(), token


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        find_credentials(environ)
    return raised.value.render()


def test_the_variables_of_the_sdk_are_used() -> None:
    found = find_credentials(SDK | {"HUAWEICLOUD_SDK_PROJECT_ID": "p1", "HUAWEICLOUD_SDK_DOMAIN_ID": "d1"})
    assert key_of(found) == ("sdk-ak", "sdk-sk", None)
    assert (found.project_id, found.domain_id) == ("p1", "d1")
    assert found.source == "HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"


def test_a_security_token_belongs_to_its_pair() -> None:
    found = find_credentials(SDK | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "t1", "HW_SECURITY_TOKEN": "t2"})
    assert key_of(found) == ("sdk-ak", "sdk-sk", "t1")


def test_an_empty_security_token_counts_as_absent() -> None:
    assert key_of(find_credentials(SDK | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": " "})) == ("sdk-ak", "sdk-sk", None)


def test_the_variables_of_terraform_are_used() -> None:
    found = find_credentials(TERRAFORM | {"HW_SECURITY_TOKEN": "t", "HW_PROJECT_NAME": "cn-north-4_dev"})
    assert key_of(found) == ("hw-ak", "hw-sk", "t")
    assert found.project_name == "cn-north-4_dev"


def test_an_iam_user_is_used() -> None:
    found = find_credentials(USER)
    assert isinstance(found.identity, Password)
    assert (found.identity.user, found.identity.domain) == ("alice", "acme")
    assert found.identity.password.get_secret_value() == "pä ss"


def test_a_given_token_comes_first_and_the_sdks_key_before_terraforms() -> None:
    everything = USER | TERRAFORM | SDK
    token = find_credentials(everything | {"AP_MCP_AUTH_TOKEN": "MIIxyz"}).identity
    assert isinstance(token, GivenToken)
    assert token.token.get_secret_value() == "MIIxyz"
    assert key_of(find_credentials(everything))[0] == "sdk-ak"
    assert key_of(find_credentials(USER | TERRAFORM))[0] == "hw-ak"


def test_space_around_a_value_is_dropped() -> None:
    assert key_of(find_credentials({"HUAWEICLOUD_SDK_AK": " ak\n", "HUAWEICLOUD_SDK_SK": "sk\r\n"}))[:2] == ("ak", "sk")


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({"HUAWEICLOUD_SDK_AK": "x"}, "HUAWEICLOUD_SDK_SK"),
        ({"HUAWEICLOUD_SDK_SK": "x"}, "HUAWEICLOUD_SDK_AK"),
        ({"HW_ACCESS_KEY": "x"}, "HW_SECRET_KEY"),
        ({"HW_PASSWORD": "x"}, "HW_USER_NAME, HW_DOMAIN_NAME"),
    ],
)
def test_half_a_pair_is_refused_and_the_other_half_named(environ: dict[str, str], missing: str) -> None:
    assert f"but {missing} not" in refusal(environ)


@pytest.mark.parametrize("value", ["a\nb", "abc def", "schlüssel", '"abc"', "'abc'"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(value: str) -> None:
    text = refusal({"HUAWEICLOUD_SDK_AK": "ak", "HUAWEICLOUD_SDK_SK": value})
    assert "HUAWEICLOUD_SDK_SK" in text
    assert value not in text


@pytest.mark.parametrize("project", ['"0123"', "../x", "a b", "p/../q", "prötz"])
def test_what_cannot_be_the_id_of_a_project_is_refused_before_it_becomes_a_part_of_an_address(project: str) -> None:
    said = refusal({"HUAWEICLOUD_SDK_AK": "a", "HUAWEICLOUD_SDK_SK": "b", "HUAWEICLOUD_SDK_PROJECT_ID": project})
    assert said.startswith("HUAWEICLOUD_SDK_PROJECT_ID: this is no id of a project")


def test_secrets_never_show() -> None:
    everything = [SDK | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "sdk-st"}, USER, {"AP_MCP_AUTH_TOKEN": "MIIxyz"}]
    shown = "".join(repr(find_credentials(environ)) for environ in everything)
    for secret in ("sdk-sk", "sdk-st", "pä ss", "MIIxyz"):
        assert secret not in shown


# The file


def test_the_file_in_the_users_home_is_read(home: Path) -> None:
    path = write(
        home / ".huaweicloud/credentials",
        "[global]\nak = g\n[basic]\nak = file-ak\nsk = file%sk\nsecurity_token =\nproject_id = p9\n"
        "iam_endpoint = https://iam.example/v3\n",
    )
    found = find_credentials({})
    assert key_of(found) == ("file-ak", "file%sk", None)
    assert (found.project_id, found.iam_endpoint, found.source) == ("p9", "https://iam.example", str(path))


def test_the_variable_names_another_file_and_its_project_is_overridden_by_a_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.ini", "[basic]\nak = a\nsk = s\nsecurity_token = t\nproject_id = p1\n")
    found = find_credentials({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path), "HUAWEICLOUD_SDK_PROJECT_ID": "p2"})
    assert key_of(found) == ("a", "s", "t")
    assert found.project_id == "p2"


def test_variables_come_before_the_file(home: Path) -> None:
    write(home / ".huaweicloud/credentials", "[basic]\nak = a\nsk = s\nproject_id = p1\n")
    found = find_credentials(SDK)
    assert key_of(found)[0] == "sdk-ak"
    assert found.project_id is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[basic]\nak = a\n", "but sk not in [basic] of"),
        ("ak = hunter2\n", "no valid INI file: see line 1"),
        ("[basic]\nak = a\nhunter2\n", "no valid INI file: see line 3"),
        ("[basic]\nak = a\nak = hunter2\n", "no valid INI file: see line 3"),
        ("[basic]\nak = a\nsk = s\niam_endpoint = http://evil.example\n", "iam_endpoint in"),
    ],
)
def test_a_broken_file_is_named_without_its_content(text: str, words: str, home: Path) -> None:
    write(home / ".huaweicloud/credentials", text)
    said = refusal({})
    assert words in said
    assert "hunter2" not in said


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    assert f"{path} cannot be used" in refusal({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)})
    path.write_bytes("[basic]\n# Schlüssel".encode("latin-1"))
    assert "it is no text in UTF-8" in refusal({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)})
    assert f"{tmp_path} cannot be used" in refusal({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(tmp_path)})


@pytest.mark.parametrize(
    ("text", "state"), [(None, "no such file"), ("[basic]\nproject_id = p\n", "no [basic] section")]
)
def test_without_any_the_servers_agency_remains_and_knows_what_was_searched(
    text: str | None, state: str, home: Path
) -> None:
    if text is not None:
        write(home / ".huaweicloud/credentials", text)
    found = find_credentials({})
    assert isinstance(found.identity, Agency)
    places = "\n".join(found.identity.searched)
    for name in ("AP_MCP_AUTH_TOKEN", *SDK, *TERRAFORM, *USER, str(home / ".huaweicloud/credentials")):
        assert name in places
    assert state in places


def test_an_unfilled_placeholder_counts_as_not_set_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    names = ("AP_MCP_AUTH_TOKEN", *SDK, *USER, "HUAWEICLOUD_SDK_PROJECT_ID", "HUAWEICLOUD_SDK_CREDENTIALS_FILE")
    found = find_credentials(dict.fromkeys(names, "${user_config.x}") | TERRAFORM)
    assert key_of(found) == ("hw-ak", "hw-sk", None)
    assert found.project_id is None
    assert all(name in caplog.text for name in names)
    assert "HW_ACCESS_KEY" not in caplog.text


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SDK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AP_MCP_AUTH_TOKEN", raising=False)
    assert key_of(find_credentials())[0] == "sdk-ak"


@pytest.mark.parametrize("value", ["${AK}", "$AK", "{{ ak }}", "<your access key>", "%AK%"])
@pytest.mark.parametrize("key", ["ak", "sk", "security_token", "project_id"])
def test_a_placeholder_in_a_file_is_no_key(home: Path, key: str, value: str) -> None:
    values = {"ak": "a1", "sk": "s1"} | {key: value}
    path = write(home / ".huaweicloud/credentials", "\n".join(["[basic]", *(f"{k} = {v}" for k, v in values.items())]))
    said = refusal({})
    assert said.startswith(f"{key} in [basic] of {path}: this is a placeholder that nothing has filled in")
    assert value not in said


@pytest.mark.parametrize("value", ["cn-north-4", "eu-west-101", "ap-southeast-3_dev", "my-kualalumpur-1"])
def test_the_name_of_a_region_or_project_is_no_id_of_a_project(home: Path, value: str) -> None:
    assert "HUAWEICLOUD_SDK_PROJECT_ID: this is the name of a region" in refusal(
        SDK | {"HUAWEICLOUD_SDK_PROJECT_ID": value}
    )
    write(home / ".huaweicloud/credentials", f"[basic]\nak = a1\nsk = s1\nproject_id = {value}\n")
    assert "this is the name of a region" in refusal({})


@pytest.mark.parametrize(
    ("environ", "unused", "wanted"),
    [
        (SDK | {"HW_SECURITY_TOKEN": "s3cret"}, "HW_SECURITY_TOKEN", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
        (
            TERRAFORM | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "s3cret"},
            "HUAWEICLOUD_SDK_SECURITY_TOKEN",
            "HW_SECURITY_TOKEN",
        ),
    ],
)
def test_a_security_token_beside_the_keys_of_other_tools_is_said_not_to_be_used(
    environ: dict[str, str], unused: str, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert key_of(find_credentials(environ))[2] is None
    (said,) = caplog.messages
    assert said.startswith(f"{unused} is set, but it is not used")
    assert said.endswith(f"put their token into {wanted}.")
    assert "s3cret" not in said


def test_whole_keys_of_two_tools_are_no_reason_for_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    find_credentials(SDK | TERRAFORM | {"HW_SECURITY_TOKEN": "t"})
    find_credentials(SDK | {"HUAWEICLOUD_SDK_SECURITY_TOKEN": "t1", "HW_SECURITY_TOKEN": "t2"})
    assert not caplog.messages
