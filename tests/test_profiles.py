"""Profiles are read from the settings file, each with its own place and credentials; what is wrong names its table."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from ap_mcp.credentials import AccessKey, Agency, Password
from ap_mcp.errors import CredentialsMissing, SettingsError
from ap_mcp.profiles import Profile, Table, all_profiles, profiles_of
from ap_mcp.settings import load_settings

pytestmark = pytest.mark.usefixtures("own_home")

TWO = """
[profiles.eu]
region = "eu-west-101"
env_prefix = "EU_"

[profiles.asia]
region = "ap-southeast-1"
project = "ap-southeast-1_shop"
read_only = true
kubernetes = "direct"
"""


def written(tmp_path: Path, text: str) -> None:
    folder = tmp_path / ".config" / "ap-mcp"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ap-mcp.toml").write_text(text, encoding="utf-8")


def chosen(tmp_path: Path, text: str, **flags: object) -> dict[str, Profile]:
    written(tmp_path, text)
    return {each.name: each for each in profiles_of(load_settings(**flags))}


def refusal(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        chosen(tmp_path, text)
    return [line.removeprefix("- ") for line in raised.value.render().splitlines()[1:]]


def test_without_profiles_there_is_one_without_a_name_that_has_the_settings_themselves() -> None:
    settings = load_settings(region="eu-west-101")
    (only,) = profiles_of(settings)
    assert (only.name, only.settings is settings) == ("", True)


def test_each_profile_has_its_own_place_and_the_settings_for_all(tmp_path: Path) -> None:
    found = chosen(tmp_path, f"timeout = 7\nfiles_dir = '{tmp_path}/files'\n{TWO}")
    eu, asia = found["eu"].settings, found["asia"].settings
    assert (eu.region, asia.region) == ("eu-west-101", "ap-southeast-1")
    assert eu.endpoint == "https://cce.eu-west-101.myhuaweicloud.eu"
    assert asia.iam_endpoint == "https://iam.ap-southeast-1.myhuaweicloud.com"
    assert (eu.read_only, asia.read_only) == (False, True)
    assert (eu.kubernetes, asia.kubernetes) == ("gateway", "direct")
    assert (eu.timeout, asia.timeout) == (7, 7)
    assert eu.files_dir == asia.files_dir == tmp_path / "files"
    assert not eu.iam_endpoint_given
    assert eu.place == "eu-west-101"


def test_read_only_for_all_holds_for_each_and_the_way_to_clusters_is_a_default(tmp_path: Path) -> None:
    found = chosen(tmp_path, f"kubernetes = 'direct'\n{TWO}", read_only=True)
    assert [each.settings.read_only for each in found.values()] == [True, True]
    assert [each.settings.kubernetes for each in found.values()] == ["direct", "direct"]


@pytest.mark.parametrize(
    ("given", "names"),
    [("asia", ["asia"]), ("asia,eu", ["asia", "eu"]), (" eu , eu", ["eu"]), ("", ["eu", "asia"])],
)
def test_the_first_that_is_chosen_is_the_default(
    given: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AP_MCP_PROFILE", given)
    assert list(chosen(tmp_path, TWO)) == names
    assert list(all_profiles(load_settings())) == ["eu", "asia"]


def test_an_unknown_profile_is_refused_with_a_near_one_and_all_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AP_MCP_PROFILE", "Asai,eu,x\ny")
    written(tmp_path, TWO)
    with pytest.raises(SettingsError) as raised:
        profiles_of(load_settings())
    assert raised.value.render().splitlines() == [
        "There is no profile Asai. Did you mean asia? There are: eu, asia.",
        'There is no profile "x y". There are: eu, asia.',
    ]


def test_a_profile_that_is_chosen_where_there_are_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_PROFILE", "eu")
    with pytest.raises(
        SettingsError, match=r"AP_MCP_PROFILE: there are no profiles; each is a table \[profiles.NAME\]"
    ):
        profiles_of(load_settings())


def test_profiles_are_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_PROFILES", "{}")
    with pytest.raises(SettingsError, match=r"AP_MCP_PROFILES is no setting; did you mean AP_MCP_PROFILE\?"):
        load_settings()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", 'profiles.eu: region: is missing; for instance region = "ap-southeast-1"'),
        ("region = 'eu-west-100'", 'profiles.eu: region: there is no region "eu-west-100"; did you mean eu-west-101'),
        ("region = 'moon'\nendpoint = 'cce.moon'", "profiles.eu: iam_endpoint: is missing"),
        ("region = 'eu-west-101'\nendpoint = 'http://x'", "profiles.eu: endpoint: must start with https://"),
        ("region = 'eu-west-101'\nregoin = 'x'", "profiles.eu: regoin: no such key; did you mean region?"),
        ("region = 'eu-west-101'\nzone = 'x'", "profiles.eu: zone: no such key"),
        ("region = 'eu-west-101'\nsk = 'hunter2'", "profiles.eu: sk: keys have no place in this file"),
        ("region = 'eu-west-101'\nsecret_key = 'hunter2'", "profiles.eu: secret_key: keys have no place in this file"),
        ("region = 'eu-west-101'\nenv_prefix = 'E-'", "profiles.eu: env_prefix: must be the beginning of names"),
        ("region = 'eu-west-101'\nenv_prefix = 'AP_MCP_'", "profiles.eu: env_prefix: must be the beginning of names"),
        ("region = 'eu-west-101'\nenv_prefix = 'E_'\nagency = true", "profiles.eu: env_prefix and agency: each names"),
        ("region = 'eu-west-101'\ncredentials_section = 'x'", "profiles.eu: credentials_section: goes with"),
        ("region = 'eu-west-101'\npolicy_file = '/no/such'", "profiles.eu: policy_file: there is no file /no/such"),
        ("region = 'eu-west-101'\nread_only = 3", "profiles.eu: read_only: must be true or false"),
        ("region = 'eu-west-101'\nkubernetes = 'x'", "profiles.eu: kubernetes: must be 'gateway' or 'direct'"),
        ("region = 'eu-west-101'\nproject = ''", "profiles.eu: project: string should have at least 1 character"),
    ],
)
def test_what_is_wrong_names_the_profile_and_the_key_and_repeats_no_value(
    table: str, problem: str, tmp_path: Path
) -> None:
    (line,) = refusal(tmp_path, f"[profiles.eu]\n{table}\n")
    assert line.startswith(problem)
    assert "hunter2" not in line


def test_a_region_that_is_not_known_leads_to_the_keys_of_the_profile(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, "[profiles.eu]\nregion = 'eu-west-100'\n")
    assert line.endswith("For another one set endpoint and iam_endpoint")


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    text = "[profiles]\nx = 1\n[profiles.eu]\nregion = 'x'\n[profiles.EU]\nregion = 'eu-west-101'\n[profiles.'a b']\n"
    found = refusal(tmp_path, text)
    assert [line.partition(":")[0] for line in found] == [
        "profiles.x",
        "profiles.eu",
        'profiles."a b"',
        'profiles."a b"',
    ]
    text = "[profiles.eu]\nregion = 'eu-west-101'\n[profiles.EU]\nregion = 'eu-west-101'\n"
    assert refusal(tmp_path, text) == ["profiles.EU: differs from profiles.eu in upper and lower case only"]


@pytest.mark.parametrize("name", ["region", "endpoint", "iam_endpoint"])
def test_a_place_for_all_beside_profiles_is_refused_and_one_of_another_program_is_not_meant(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "eu-west-101" if name == "region" else "https://cce.example"
    (line,) = refusal(tmp_path, f"{name} = '{value}'\n{TWO}")
    assert line.startswith(f"{name} in {tmp_path}/.config/ap-mcp/ap-mcp.toml is set beside profiles: remove it, or")
    monkeypatch.setenv(f"AP_MCP_{name.upper()}", value)
    assert refusal(tmp_path, TWO)[0].startswith(f"AP_MCP_{name.upper()} is set beside profiles")
    monkeypatch.delenv(f"AP_MCP_{name.upper()}")
    monkeypatch.setenv("HW_REGION_NAME", "cn-north-4")
    monkeypatch.setenv("HW_AUTH_URL", "https://iam.cn-north-4.myhuaweicloud.com/v3")
    found = chosen(tmp_path, TWO)
    assert found["eu"].settings.region == "eu-west-101"
    assert found["eu"].settings.iam_endpoint == "https://iam.eu-west-101.myhuaweicloud.eu"
    assert not found["eu"].settings.iam_endpoint_given


KEY = {"HUAWEICLOUD_SDK_AK": "usual-ak", "HUAWEICLOUD_SDK_SK": "usual-sk"}
OF_EU = {f"EU_{name}": value.replace("usual", "eu") for name, value in KEY.items()}
REST = {"HUAWEICLOUD_SDK_PROJECT_ID": "0" * 32, "HW_PROJECT_NAME": "usual"}


def profile(tmp_path: Path, table: str) -> Profile:
    return chosen(tmp_path, f"[profiles.eu]\nregion = 'eu-west-101'\n{table}\n")["eu"]


def test_a_prefix_is_the_only_place_of_credentials(tmp_path: Path) -> None:
    only = profile(tmp_path, "env_prefix = 'EU_'")
    found = only.credentials(KEY | OF_EU | REST | {"EU_HUAWEICLOUD_SDK_PROJECT_ID": "1" * 32})
    assert found.identity == AccessKey("eu-ak", SecretStr("eu-sk"))
    assert (found.project_id, found.project_name) == ("1" * 32, None)
    assert found.source == "EU_HUAWEICLOUD_SDK_AK and EU_HUAWEICLOUD_SDK_SK"
    with pytest.raises(CredentialsMissing) as missing:
        only.credentials(KEY | REST)
    assert "EU_HUAWEICLOUD_SDK_AK and EU_HUAWEICLOUD_SDK_SK: not set" in missing.value.render()
    assert "credentials file" not in missing.value.render()
    with pytest.raises(SettingsError, match="EU_HUAWEICLOUD_SDK_AK set, but EU_HUAWEICLOUD_SDK_SK not"):
        only.credentials({"EU_HUAWEICLOUD_SDK_AK": "x"})
    user = {"EU_HW_USER_NAME": "u", "EU_HW_PASSWORD": "p", "EU_HW_DOMAIN_NAME": "d"}
    assert isinstance(only.credentials(user).identity, Password)
    token = only.credentials({**OF_EU, "EU_HUAWEICLOUD_SDK_SECURITY_TOKEN": "t"})
    assert token.token_source == "EU_HUAWEICLOUD_SDK_SECURITY_TOKEN"


def test_a_file_is_the_only_place_of_credentials_with_its_section_project_and_iam(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("[prod]\nak = file-ak\nsk = file-sk\nproject_id = p\niam_endpoint = https://iam.example\n")
    only = profile(tmp_path, "credentials_file = '~/keys'\ncredentials_section = 'prod'")
    found = only.credentials(KEY | REST)
    assert found.identity == AccessKey("file-ak", SecretStr("file-sk"))
    assert (found.project_id, found.iam_endpoint) == ("p", "https://iam.example")
    file.write_text("[basic]\nak = x\nsk = y\n")
    with pytest.raises(CredentialsMissing, match=r"keys: no \[prod\] section with ak and sk in it"):
        only.credentials(KEY)
    file.unlink()
    with pytest.raises(CredentialsMissing, match="keys: no such file"):
        only.credentials(KEY)


def test_the_agency_is_used_although_there_are_keys(tmp_path: Path) -> None:
    assert isinstance(profile(tmp_path, "agency = true").credentials(KEY).identity, Agency)


def test_the_usual_credentials_serve_a_profile_but_not_the_project_that_was_set_for_them(tmp_path: Path) -> None:
    found = profile(tmp_path, "").credentials(KEY | REST)
    assert found.identity == AccessKey("usual-ak", SecretStr("usual-sk"))
    assert (found.project_id, found.project_name) == (None, None)
    assert found.project_setting == "project in [profiles.eu]"


@pytest.mark.parametrize(
    ("given", "expected"), [("a" * 32, ("a" * 32, None)), ("eu-west-101_shop", (None, "eu-west-101_shop"))]
)
def test_a_project_is_an_id_or_a_name(given: str, expected: tuple[str | None, str | None], tmp_path: Path) -> None:
    found = profile(tmp_path, f"project = '{given}'").credentials(KEY | REST)
    assert (found.project_id, found.project_name) == expected


def test_the_profiles_that_the_readme_shows_can_be_used_as_they_stand(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (block,) = (each for each in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL) if "[profiles." in each)
    found = chosen(tmp_path, block)
    assert list(found) == ["eu-prod", "asia"]
    assert found["eu-prod"].credentials(OF_EU).source == "EU_HUAWEICLOUD_SDK_AK and EU_HUAWEICLOUD_SDK_SK"
    assert set(Table.model_fields) <= set(re.findall(r"`(\w+)`", readme))
