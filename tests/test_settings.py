"""Settings come from flags, variables and a file; wrong ones are all named at once, with what they may hold."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import Authority
from pydantic import ValidationError

from ap_mcp.errors import SettingsError
from ap_mcp.private_files import read_own_text
from ap_mcp.setting_values import is_loopback
from ap_mcp.settings import TABLES, Settings, load_settings, log_form, regions, where_from

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    """Hide the settings of the user who runs the tests."""
    monkeypatch.chdir(own_home)


def refusal() -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return raised.value.render()


def test_nothing_need_be_set(tmp_path: Path) -> None:
    settings = load_settings()
    assert (settings.region, settings.endpoint, settings.iam_endpoint) == (None, None, None)
    assert (settings.toolsets, settings.read_only, settings.confirm) == (("all",), False, "human")
    assert settings.files_dir == tmp_path / ".local/share/ap-mcp/files"
    assert settings.audit_log == tmp_path / ".local/state/ap-mcp/audit.jsonl"
    assert settings.approvals_db == tmp_path / ".local/state/ap-mcp/approvals.db"
    assert settings.approver_dir == tmp_path / ".config/ap-mcp"
    assert settings.tokens_path == tmp_path / ".config/ap-mcp/tokens.toml"
    assert settings.chart_roots == (tmp_path,)
    assert settings.max_kubeconfig_days == 1


def test_every_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").touch()
    (tmp_path / "charts").mkdir()
    values = {
        "PROFILE": "eu, asia",
        "REGION": "AP-Southeast-1",
        "TOOLSETS": "clusters, charts,",
        "READ_ONLY": "true",
        "CONFIRM": "Approval",
        "FORMS": "Never",
        "POLICY_FILE": "policy.toml",
        "AUDIT_LOG": "~/audit.jsonl",
        "AUDIT_STDERR": "true",
        "APPROVALS_DB": "~/approvals.db",
        "APPROVER_DIR": "keys",
        "TOKENS_FILE": "callers.toml",
        "FILES_DIR": "files",
        "CHART_ROOTS": os.pathsep.join([str(tmp_path), str(tmp_path / "charts")]),
        "STATE_KEY": KEY,
        "REDIS_URL": "redis://:secret@redis.example/0",
        "REDIS_REPLICAS": "2",
        "TIMEOUT": "12.5",
        "CALLS_AT_ONCE": "3",
        "RATE": "2.5",
        "BURST": "7",
        "APPROVAL_WAIT": "12.5",
        "APPROVAL_WEBHOOK": "slack+https://hooks.slack.com/services/T feishu+https://open.feishu.cn/hook",
        "APPROVAL_WEBHOOK_SECRET": "SEC1",
        "KUBERNETES": "Direct",
        "MAX_KUBECONFIG_DAYS": "7",
        "PROXY": "http://proxy.example:3128",
        "CA_FILE": str(Authority(tmp_path).file),
        "LOG_LEVEL": "DEBUG",
        "LOG_FORMAT": "JSON",
        "METRICS": "9464",
        "HTTP": "LocalHost:08000",
        "PUBLIC_URL": "https://MCP.example.com:443/team/",
        "HTTP_HOSTS": "10.0.0.7:8000, mcp",
        "HTTP_ORIGINS": "https://Chat.example.com:443",
        "OAUTH_ISSUER": "https://login.example/realms/Ops/",
        "OAUTH_AUDIENCE": "https://mcp.example.com/mcp",
        "OAUTH_JWKS_URL": "http://127.0.0.1:8080/keys?v=1",
        "OAUTH_SCOPES": "autopilot, mcp:tools",
        "OAUTH_RULES": '[{"groups": ["sre"], "read_only": false}]',
    }
    for name, value in values.items():
        monkeypatch.setenv(f"AP_MCP_{name}", value)
    settings = load_settings()
    assert settings.endpoint == "https://cce.ap-southeast-1.myhuaweicloud.com"
    assert settings.iam_endpoint == "https://iam.ap-southeast-1.myhuaweicloud.com"
    assert settings.profile == ("eu", "asia")
    assert settings.toolsets == ("clusters", "charts")
    assert settings.read_only
    assert settings.confirm == "approval"
    assert settings.forms == "never"
    assert settings.policy_file == tmp_path / "policy.toml"
    assert settings.audit_log == tmp_path / "audit.jsonl"
    assert settings.approvals_db == tmp_path / "approvals.db"
    assert settings.approver_dir == tmp_path / "keys"
    assert settings.tokens_file == settings.tokens_path == tmp_path / "callers.toml"
    assert settings.files_dir == tmp_path / "files"
    assert settings.chart_roots == (tmp_path, tmp_path / "charts")
    assert settings.timeout == 12.5
    assert settings.calls_at_once == 3
    assert (settings.rate, settings.burst) == (2.5, 7)
    assert settings.approval_wait == 12.5
    assert [(each.form, each.secret) for each in settings.webhooks] == [("slack", ""), ("feishu", "SEC1")]
    assert settings.kubernetes == "direct"
    assert settings.max_kubeconfig_days == 7
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert settings.metrics == "127.0.0.1:9464"
    assert settings.http == "localhost:8000"
    assert settings.public_url == "https://mcp.example.com/team"
    assert settings.http_hosts == ("10.0.0.7:8000", "mcp")
    assert settings.http_origins == ("https://chat.example.com",)
    assert settings.oauth_issuer == "https://login.example/realms/Ops/"
    assert settings.oauth_audience == "https://mcp.example.com/mcp"
    assert settings.oauth_jwks_url == "http://127.0.0.1:8080/keys?v=1"
    assert settings.oauth_scopes == ("autopilot", "mcp:tools")
    assert settings.oauth_rules == ({"groups": ["sre"], "read_only": False},)
    assert {name.lower() for name in values} | {"endpoint", "iam_endpoint"} == set(Settings.model_fields) - TABLES


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_STATE_KEY", KEY)
    monkeypatch.setenv("AP_MCP_REDIS_URL", "redis://:hunter2@redis.example/0")
    monkeypatch.setenv("AP_MCP_PROXY", "http://me:hunter2@proxy.example")
    shown = repr(load_settings())
    assert KEY not in shown
    assert "hunter2" not in shown


def test_each_of_several_state_keys_must_be_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_STATE_KEY", f"{'n' * 32}, {KEY}")
    assert [each.get_secret_value() for each in load_settings().state_keys] == ["n" * 32, KEY]
    monkeypatch.setenv("AP_MCP_STATE_KEY", f"{KEY},short")
    with pytest.raises(SettingsError, match="each of several keys, with commas between, must have") as caught:
        load_settings()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example",
        "redis://:secret@[::1]:6379/3",
        "rediss://ap-mcp:s%2Fe@redis.example:6380/?ssl_ca_certs=/etc/ca.pem&ssl_certfile=a&ssl_keyfile=b",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_an_address_of_redis_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REDIS_URL", url)
    chosen = load_settings().redis_url
    assert chosen is not None
    assert chosen.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://redis.example", "must be a URL that starts with redis://, rediss:// or unix://"),
        ("redis://", "must be redis://user:password@host:port/number"),
        ("redis://:hunter2@", "must be redis://"),
        ("redis://:hunter2@redis.example:0", "must be redis://"),
        ("redis://redis.example/first", "must be redis://"),
        ("redis://:hunt#er2@redis.example", "percent-encode"),
        ("unix://run/redis.sock", r"unix:///path"),
        ("rediss://redis.example?ssl_cert_reqs=none", 'not "ssl_cert_reqs"'),
        ("rediss://redis.example?ssl_check_hostname=false&db=1", "takes ssl_ca_certs and ssl_certfile and ssl_keyfile"),
        ("redis://redis.example?socket_timeout=", "redis:// takes nothing"),
    ],
)
def test_a_wrong_address_of_redis_is_refused_and_never_shown(
    url: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AP_MCP_REDIS_URL", url)
    text = refusal()
    assert re.search(f"- AP_MCP_REDIS_URL: .*{why}", text)
    assert "hunter2" not in text
    assert "redis.example" not in text


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.read_only = True


def test_all_wrong_settings_are_reported_at_once_with_what_they_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "CONFIRM": "maybe",
        "TOOLSETS": "clusters,nodes",
        "TIMEOUT": "soon",
        "READ_ONLY": "perhaps",
        "STATE_KEY": "short",
        "MAX_KUBECONFIG_DAYS": "0",
        "POLICY_FILE": "nowhere.toml",
        "CHART_ROOTS": "nowhere",
        "REDIS_URL": "http://redis",
        "PROXY": "socks5://proxy",
        "LOG_LEVEL": "loud",
        "ENDPOINT": "http://cce.example.com",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(f"AP_MCP_{name}", value)
    text = refusal()
    for name in wrong:
        assert f"- AP_MCP_{name}: " in text
    assert "'human', 'approval', 'token' or 'deny'" in text
    assert "all, essential, clusters" in text
    assert "openssl rand -hex 32" in text
    assert "IAM_ENDPOINT" not in text
    assert "short" not in text.replace("too short", "")


def test_a_misspelt_variable_is_refused_and_the_right_one_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_READONLY", "true")
    assert "AP_MCP_READONLY is no setting; did you mean AP_MCP_READ_ONLY?" in refusal()


def test_variables_that_are_no_settings_but_ours_are_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_AUTH_TOKEN", "token")
    assert load_settings().confirm == "human"


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_TOOLSETS", "")
    monkeypatch.setenv("AP_MCP_STATE_KEY", "")
    assert load_settings().toolsets == ("all",)


# Regions and endpoints


def test_every_region_has_an_endpoint() -> None:
    assert len(regions()) == 33
    for endpoints in regions().values():
        assert str(endpoints["cce"]).startswith("https://cce.")


def test_regions_that_cannot_be_read_are_a_settings_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.settings.specs_folder", lambda: tmp_path)
    with pytest.raises(SettingsError, match=r"regions\.json cannot be read"):
        regions.__wrapped__()


def test_an_unknown_region_names_close_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "ap-southest-3")
    text = refusal()
    assert 'AP_MCP_REGION: there is no region "ap-southest-3"; did you mean ap-southeast-3' in text


def test_a_region_like_no_other_gets_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "zzz")
    assert "known: ae-ad-1, af-north-1" in refusal()


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"region": "cn-north-4"}, "cn-north-4"),
        ({"region": "cn-north-4", "endpoint": "http://127.0.0.1:8080"}, "cn-north-4 at 127.0.0.1:8080"),
        ({"endpoint": "https://cce.example.com"}, "cce.example.com"),
        ({}, "not set"),
    ],
)
def test_a_person_is_told_the_region_and_the_host_where_it_is_not_the_regions_own(
    given: dict[str, str], place: str
) -> None:
    assert load_settings(**given).place == place


def test_a_region_without_an_iam_of_its_own_uses_the_global_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "cn-south-4")
    assert load_settings().iam_endpoint == "https://iam.myhuaweicloud.com"


def test_an_unknown_region_is_fine_with_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "private-1")
    monkeypatch.setenv("AP_MCP_ENDPOINT", "CCE.private.example:8443/")
    settings = load_settings()
    assert (settings.endpoint, settings.iam_endpoint) == ("https://cce.private.example:8443", None)


def test_the_sdks_endpoint_of_a_region_overrides_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "ap-southeast-1")
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1", "https://cce.override.example")
    assert load_settings().endpoint == "https://cce.override.example"


def test_a_wrong_endpoint_of_the_sdk_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_REGION", "ap-southeast-1")
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1", "ftp://x")
    assert "- HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1: must start with https://" in refusal()


@pytest.mark.parametrize(
    ("variables", "region", "iam"),
    [
        ({"HW_REGION_NAME": "cn-north-4"}, "cn-north-4", "https://iam.cn-north-4.myhuaweicloud.com"),
        ({"HW_REGION_NAME": "cn-north-4", "AP_MCP_REGION": "tr-west-1"}, "tr-west-1", "https://iam.tr-west-1.myhuaweicloud.com"),
        ({"HW_AUTH_URL": "https://iam.example:443/v3"}, None, "https://iam.example:443"),
        ({"HW_AUTH_URL": "https://a.example", "HUAWEICLOUD_SDK_IAM_ENDPOINT": "b.example"}, None, "https://b.example"),
        ({"HUAWEICLOUD_SDK_IAM_ENDPOINT": "b.example", "AP_MCP_IAM_ENDPOINT": "c.example"}, None, "https://c.example"),
    ],
)  # fmt: skip
def test_what_other_tools_have_set_is_used_after_our_own(
    variables: dict[str, str], region: str | None, iam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.region, settings.iam_endpoint) == (region, iam)
    assert settings.iam_endpoint_given == any("IAM" in name or "AUTH" in name for name in variables)


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:9", "http://127.1.2.3", "https://cce.example"],
)
def test_plain_http_is_for_this_machine_only(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_ENDPOINT", endpoint)
    assert load_settings().endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://cce.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://10.0.0.1",
        "ftp://localhost",
        "https://user:pw@cce.example",
        "https://cce.example/path",
        "https://cce.example?x=1",
        "https://cce.example#x",
        "https://",
        "https://cce.example:port",
        "https://cçe.example",
        "https://[::1",
        "https://exa mple",
        "https://exa\tmple",
        "https://exa\nmple",
        "https://exa%20mple",
        "https://-cce.example",
        "https://cce.example:0",
        "https://cce.example:65536",
        "https://[::x]",
        "https://cce.example\\evil.example",
    ],
)
def test_an_endpoint_is_a_host_and_nothing_more(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_ENDPOINT", endpoint)
    assert "- AP_MCP_ENDPOINT: must" in refusal()


# What a client leaves of a field that its user did not fill in


def test_an_unfilled_placeholder_counts_as_not_set_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name in set(Settings.model_fields) - TABLES - {"region"}:
        monkeypatch.setenv(f"AP_MCP_{name.upper()}", f"${{user_config.{name}}}")
    monkeypatch.setenv("AP_MCP_CONFIG", " ${user_config.config} ")
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1", "${x}")
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", "${x}")
    monkeypatch.setenv("AP_MCP_REGION", "ap-southeast-1")
    settings = load_settings()
    assert settings == Settings(region="ap-southeast-1")
    assert settings.endpoint == "https://cce.ap-southeast-1.myhuaweicloud.com"
    for name in ("AP_MCP_PROXY", "AP_MCP_CONFIG", "HUAWEICLOUD_SDK_REGION_CCE_AP_SOUTHEAST_1", "IAM_ENDPOINT"):
        assert name in caplog.text
    assert "AP_MCP_REGION" not in caplog.text
    assert "counts as not set" in caplog.text


def test_a_value_that_only_holds_a_placeholder_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_FILES_DIR", "/data/${x}")
    assert str(load_settings().files_dir) == "/data/${x}"


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a", False)]
)
def test_loopback_hosts_are_separated_from_others(host: str, local: bool) -> None:
    assert is_loopback(host) == local


# File, flags, folders


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    """Where the user's own settings stand."""
    path = tmp_path / ".config" / "ap-mcp" / "ap-mcp.toml"
    path.parent.mkdir(parents=True)
    return path


def test_a_file_in_the_working_folder_is_not_read_for_agents_write_there(tmp_path: Path) -> None:
    (tmp_path / "ap-mcp.toml").write_text('confirm = "token"\n')
    assert load_settings().confirm == "human"


def test_the_users_own_file_is_read(own_file: Path) -> None:
    own_file.write_text('region = "cn-north-4"\ntoolsets = ["clusters", "tags"]\nread_only = true\n')
    settings = load_settings()
    assert (settings.region, settings.toolsets, settings.read_only) == ("cn-north-4", ("clusters", "tags"), True)


def test_the_file_is_read_once_and_again_once_it_changes(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return read_own_text(path)

    monkeypatch.setattr("ap_mcp.settings.read_own_text", counted)
    own_file.write_text('region = "cn-north-4"\nlog_format = "json"\n')
    assert log_form() == "json"
    assert load_settings().region == "cn-north-4"
    assert where_from("region", {}).endswith(str(own_file))
    assert read == [own_file]
    own_file.write_text('region = "ap-southeast-1"\n')
    assert (load_settings().region, log_form()) == ("ap-southeast-1", "text")
    assert len(read) == 2


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text('confirm = "deny"\nlog_level = "info"\ntimeout = 5\n')
    monkeypatch.setenv("AP_MCP_CONFIG", str(tmp_path / "other.toml"))
    monkeypatch.setenv("AP_MCP_CONFIRM", "token")
    monkeypatch.setenv("AP_MCP_LOG_LEVEL", "error")
    settings = load_settings(confirm="approval", timeout=None)
    assert (settings.confirm, settings.log_level, settings.timeout) == ("approval", "error", 5.0)


def test_problems_name_where_the_value_stands(own_file: Path) -> None:
    path = own_file
    path.write_text('confirm = "x"\nred_only = true\n')
    with pytest.raises(SettingsError) as raised:
        load_settings(log_level="loud", read_only=None)
    text = raised.value.render()
    assert f"- confirm in {path}: " in text
    assert f"- red_only in {path}: no such setting; did you mean read_only?" in text
    assert "- --log-level: " in text


def test_the_name_of_a_variable_in_the_file_is_answered_with_the_name_there(own_file: Path) -> None:
    own_file.write_text('AP_MCP_REGION = "ap-southeast-1"\n')
    assert f"- AP_MCP_REGION in {own_file}: no such setting; did you mean region?" in refusal()


@pytest.mark.parametrize(
    ("variable", "value", "must"),
    [
        ("AP_MCP_READ_ONLY", "perhaps", "must be true or false"),
        ("AP_MCP_TIMEOUT", "fast", "must be a number"),
        ("AP_MCP_TIMEOUT", "601", "must be at most 600"),
        ("AP_MCP_RATE", "-1", "must be at least 0"),
        ("AP_MCP_CALLS_AT_ONCE", "many", "must be an integer"),
        ("AP_MCP_CONFIRM", "humn", "must be 'human', 'approval', 'token' or 'deny'"),
    ],
)
def test_a_wrong_value_is_answered_with_what_it_must_be(
    variable: str, value: str, must: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert refusal().splitlines()[-1] == f"- {variable}: {must}"


@pytest.mark.parametrize(
    ("line", "must"),
    [
        ("profile = 7", "profile in {}: must be a text with commas, or a list of texts"),
        ("toolsets = true", "toolsets in {}: must be a text with commas, or a list of texts"),
        ("profiles = 7", "profiles in {}: must be a table"),
        ("region = 7", "region in {}: must be a string"),
        ("rate = []", "rate in {}: must be a number"),
        ("burst = 1.5", "burst in {}: must be an integer"),
    ],
)
def test_a_value_of_another_kind_is_answered_in_plain_words(own_file: Path, line: str, must: str) -> None:
    own_file.write_text(line)
    [said] = refusal().splitlines()[1:]
    assert said.startswith(f"- {must.format(own_file)}")
    assert "valid" not in said


def test_where_each_misspelt_variable_is_like_a_setting_the_others_are_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AP_MCP_REGOIN", "x")
    assert "Known" not in refusal()
    monkeypatch.setenv("AP_MCP_XYZZY", "x")
    assert "Known: AP_MCP_APPROVALS_DB, " in refusal()


def test_a_config_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_MCP_CONFIG", "nowhere.toml")
    assert "AP_MCP_CONFIG: there is no file nowhere.toml" in refusal()


def test_a_config_that_is_a_folder_leads_to_the_file_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AP_MCP_CONFIG", str(tmp_path))
    assert f"AP_MCP_CONFIG: {tmp_path} is a folder; name the file in it, as {tmp_path}/ap-mcp.toml" in refusal()


def test_profiles_that_are_written_as_the_choice_of_them_are_put_right(own_file: Path) -> None:
    own_file.write_text("[profile.eu]\nregion = 'eu-west-101'")
    assert "says which profiles to use; each of them is a table [profiles.eu]" in refusal()


def test_a_config_that_is_no_toml_is_an_error_without_its_content(own_file: Path) -> None:
    own_file.write_text("state_key = hunter2")
    text = refusal()
    assert "no valid TOML at line 1, column 13; texts stand in quotation marks" in text
    assert "hunter2" not in text


def test_folders_follow_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    settings = load_settings()
    assert settings.files_dir == tmp_path / "data/ap-mcp/files"
    assert settings.approver_dir == tmp_path / "config/ap-mcp"
    assert settings.audit_log == tmp_path / ".local/state/ap-mcp/audit.jsonl"
    assert settings.approvals_db == tmp_path / ".local/state/ap-mcp/approvals.db"


def test_a_server_started_in_the_root_opens_no_folder_for_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load_settings().chart_roots == ()


def test_links_in_chart_roots_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("AP_MCP_CHART_ROOTS", str(tmp_path / "link"))
    assert load_settings().chart_roots == (tmp_path / "real",)


def test_a_user_without_a_home_learns_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert "Set HOME, or AP_MCP_FILES_DIR, AP_MCP_AUDIT_LOG, AP_MCP_APPROVALS_DB and AP_MCP_APPROVER_DIR." in refusal()
    for name in ("FILES_DIR", "AUDIT_LOG", "APPROVALS_DB", "APPROVER_DIR"):
        monkeypatch.setenv(f"AP_MCP_{name}", f"/srv/{name}")
    with pytest.raises(SettingsError, match="Set HOME, or AP_MCP_TOKENS_FILE"):
        _ = load_settings().tokens_path


def test_reading_settings_loads_no_http_library() -> None:
    code = "import sys, ap_mcp.settings, ap_mcp.credentials; print('httpx' in sys.modules, 'mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "in PEM form"), (b"no certificate", "in PEM form"), (b"\x30\x82\x01", "in PEM form"), (None, "there is no")],
)
@pytest.mark.parametrize("linked", [False, True])
def test_authorities_that_are_no_certificates_end_the_start(
    content: bytes | None, words: str, tmp_path: Path, *, linked: bool
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    if linked:
        (tmp_path / "link.pem").symlink_to(path)
    with pytest.raises(ValidationError, match=words):
        Settings(ca_file=tmp_path / "link.pem" if linked else path)


def test_authorities_that_cannot_be_read_end_the_start_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(b"x")

    def refused(**_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ssl.create_default_context", refused)  # whoever runs the tests may read everything
    with pytest.raises(ValidationError, match=r"ca\.pem cannot be read: Permission denied"):
        Settings(ca_file=path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *(
            ("OAUTH_ISSUER", value, "must be an address that starts with https://")
            for value in (
                "login.example",
                "http://login.example",
                "https://",
                "https://a b",
                "https://a.example/#x",
                "https://é.example",
            )
        ),
        ("OAUTH_ISSUER", "https://a.example/?tenant=1", "without ? and #"),
        ("OAUTH_JWKS_URL", "file:///etc/passwd", "must be an address that starts with https://"),
        ("OAUTH_AUDIENCE", 'a"b', "must be printable ASCII"),
        ("OAUTH_SCOPES", "a b", "must be printable ASCII"),
        ("OAUTH_RULES", "groups = sre", "must be a list of objects in JSON"),
        ("OAUTH_RULES", "[7]", "AP_MCP_OAUTH_RULES"),
    ],
)
def test_what_cannot_be_an_issuer_or_of_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"AP_MCP_{name}", value)
    assert said in refusal()
