"""On the command line a profile is chosen by a flag, a variable or an argument; each is looked at by doctor."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from approving import question
from click.testing import CliRunner

from ap_mcp.cli import main
from ap_mcp.state.consent_file import ConsentFile

TWO = """
[profiles.eu]
region = "eu-west-101"
env_prefix = "EU_"

[profiles.asia]
region = "ap-southeast-1"
read_only = true
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    monkeypatch.chdir(own_home)
    written(own_home, TWO)


def written(folder: Path, text: str) -> None:
    path = folder / ".config" / "ap-mcp" / "ap-mcp.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done.output


def called(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["call", *arguments, "--simulate", "--output", "json"])
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_call_goes_to_the_simulated_account_of_its_profile_which_is_kept_apart(tmp_path: Path) -> None:
    called("add_cluster_tags", "cluster_id=search-dev", 'tags={"only":"eu"}', "profile=eu")
    tags = {flag: called("get_cluster", "cluster_id=search-dev", "--profile", flag)["tags"] for flag in ("eu", "asia")}
    assert ("only" in tags["eu"], "only" in tags["asia"]) == (True, False)
    kept = sorted(each.name for each in (tmp_path / ".local" / "state" / "ap-mcp").glob("simulator*.json"))
    assert kept == ["simulator-asia.json", "simulator-eu.json"]


def test_a_profile_that_only_reads_refuses_a_change_and_says_which_it_is() -> None:
    said = called("add_cluster_tags", "cluster_id=search-dev", 'tags={"a":"b"}', "--profile", "asia", code=4)
    assert "read-only" in json.dumps(said)


def test_an_argument_or_a_flag_that_names_no_profile_is_wrong_usage() -> None:
    said = json.dumps(called("list_clusters", "profile=aisa", code=2))
    assert "must be one of eu, asia" in said
    assert "Did you mean asia?" in said
    said = run("call", "list_clusters", "--simulate", "--profile", "aisa", code=2)
    assert "There is no profile aisa. Did you mean asia? There are: eu, asia." in said


def test_the_state_that_is_chosen_is_kept_for_each_profile_beside_the_other(tmp_path: Path) -> None:
    called("list_clusters", "--state", str(tmp_path / "my.json"))
    assert sorted(each.name for each in tmp_path.glob("my*.json")) == ["my-asia.json", "my-eu.json"]


def test_the_tools_are_shown_with_the_argument_that_chooses() -> None:
    assert "profile (string, one of eu, asia, default eu): Account and region" in run("tools", "list_clusters")
    assert "profile (string, required, one of eu)" in run("tools", "add_cluster_tags", "--profile", "asia,eu")
    assert "profile" not in run("tools", "list_clusters", "--profile", "asia")
    together = json.loads(run("tools", "--output", "json"))
    assert (
        "profile chooses the account and region: eu (eu-west-101), asia (ap-southeast-1, only reads)"
        in (together["instructions"])
    )


def test_doctor_looks_at_each_profile_and_finds_what_one_lacks() -> None:
    report = json.loads(CliRunner().invoke(main, ["doctor", "--output", "json"]).stdout)
    found = {(each["check"], each["state"], each["found"].partition(": ")[0]) for each in report["checks"]}
    assert ("profile", "ok", "eu") in found
    assert ("profile", "ok", "asia") in found
    assert ("credentials", "problem", "eu") in found
    assert ("credentials", "warning", "asia") in found
    (missing,) = (each for each in report["checks"] if each["found"].startswith("eu: none was found"))
    assert "EU_HUAWEICLOUD_SDK_AK and EU_HUAWEICLOUD_SDK_SK: not set" in missing["found"]
    assert missing["advice"] == "Calls to this profile fail until then; the others go on."


def test_doctor_finds_simulated_profiles_healthy_and_a_rule_about_none_of_them(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\nprofiles = ["africa"]\n')
    written(tmp_path, TWO.replace("read_only = true", f'policy_file = "{policy}"'))
    report = json.loads(CliRunner().invoke(main, ["doctor", "--simulate", "--output", "json"]).stdout)
    assert report["healthy"]
    projects = [each["found"] for each in report["checks"] if each["found"].partition(": ")[2].startswith("project ")]
    assert [each.partition(": ")[0] for each in projects] == ["eu", "asia"]
    assert len({each.partition(": ")[2] for each in projects}) == 2
    said = "policy.toml rule 1 never matches: no profile that is served fits its profiles (africa)"
    assert said in [each["found"] for each in report["checks"] if each["state"] == "warning"]


def test_doctor_reports_broken_tables_one_by_one(tmp_path: Path) -> None:
    written(tmp_path, "[profiles.eu]\nregion = 'x'\n[profiles.asia]\nzone = 1\n")
    said = run("doctor", code=1)
    assert 'profiles.eu: region: there is no region "x"' in said
    assert "profiles.asia: zone: no such key" in said


def test_the_rules_are_explained_for_the_profile_that_is_chosen(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["delete_addon"]\nprofiles = ["asia"]\n')
    asking = ("policy", "explain", "delete_addon", "--policy-file", str(policy), "--simulate", "--profile")
    written(tmp_path, TWO.replace("read_only = true", ""))
    denied, free = run(*asking, "asia"), run(*asking, "eu")
    assert ("delete_addon: REFUSED" in denied, "profile: asia" in denied) == (True, True)
    assert ("delete_addon: ASKED" in free, "it is about other profiles" in free) == (True, True)


def test_what_waits_can_be_listed_for_one_profile_and_the_rest_is_counted(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    store = ConsentFile(tmp_path / ".local" / "state" / "ap-mcp" / "approvals.db")
    codes = {}
    for profile in ("eu", "asia"):
        asked = question(profile=profile, created=now, expires=now + timedelta(minutes=15))
        store.ask(asked)
        codes[profile] = asked.code
    every, one = run("approvals", "list"), run("approvals", "list", "--profile", "asia")
    assert all(code in every for code in codes.values())
    assert 'profile "eu", region "cn-north-4"' in every
    assert (codes["asia"] in one, codes["eu"] in one) == (True, False)
    assert "Of other profiles: 1, not shown." in one
    assert "There is no profile africa" in run("approvals", "list", "--profile", "africa", code=2)
