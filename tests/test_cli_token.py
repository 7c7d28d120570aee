"""`ap-mcp token`: a token is shown once, alone on standard output; the file keeps its hash and what it may do."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ap_mcp.cli import main
from ap_mcp.web.tokens import digest_of, read_tokens


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tokens.toml"
    monkeypatch.setenv("AP_MCP_TOKENS_FILE", str(path))
    return path


def run(*words: str, ends: int = 0) -> Result:
    result = CliRunner().invoke(main, ["token", *words])
    assert result.exit_code == ends, result.output
    return result


def test_a_new_token_stands_alone_on_standard_output_and_only_its_hash_in_the_file(file: Path) -> None:
    made = run("new", "chatops")
    secret = made.stdout.strip()
    (kept,) = read_tokens(file)
    assert kept.digest == digest_of(secret)
    assert secret not in file.read_text()
    assert secret not in made.stderr
    assert "reads only, toolsets all" in made.stderr
    assert kept.created is not None
    assert kept.expires is not None
    assert (kept.expires - kept.created).days == 90


def test_what_a_token_may_do_is_chosen_when_it_is_made(file: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["delete_*"]\n')
    words = ("--read-write", "--toolsets", "essential, tags", "--profile", "north", "--profile", "south")
    shown = json.loads(run("new", "ci", *words, "--policy", str(policy), "--expires", "2w", "--output", "json").stdout)
    assert digest_of(shown["token"]) == shown["sha256"]
    (kept,) = read_tokens(file)
    assert kept.grant.read_only is False
    assert kept.grant.toolsets == ("essential", "tags")
    assert kept.grant.profiles == ("north", "south")
    assert kept.grant.policy_file == policy
    assert (shown["state"], shown["principal"], shown["withdrawn"]) == ("active", "token:ci", None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("never", None),
        ("2999-03-01", datetime(2999, 3, 1, tzinfo=UTC)),
        ("2999-03-01T12:00:00+02:00", datetime(2999, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_token_is_a_time_or_never(file: Path, given: str, kept: datetime | None) -> None:
    run("new", "ci", "--expires", given)
    assert read_tokens(file)[0].expires == kept
    assert ("never" if kept is None else "2999-03-01") in run("list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a b"], "no name for a token"),
        (["ci", "--expires", "soon"], "--expires takes 90d, 12h, 2w, a date"),
        (["ci", "--expires", "0d"], "--expires takes"),
        (["ci", "--expires", "99999w"], "--expires takes"),
        (["ci", "--expires", "2020-01-01"], "2020-01-01T00:00:00Z is over"),
        (["ci", "--toolsets", "everything"], '--toolsets holds "everything"; each must be one of: all, essential'),
        (["ci", "--toolsets", ","], "each must be one of: all, essential"),
        (["ci", "--policy", "nowhere.toml"], "The policy"),
    ],
)
def test_what_cannot_be_meant_makes_no_token(file: Path, words: list[str], said: str) -> None:
    result = run("new", *words, ends=2)
    assert said in result.stderr
    assert result.stdout == ""
    assert not file.exists()


def test_a_taken_name_makes_no_token(file: Path) -> None:
    run("new", "ci")
    again = run("new", "ci", ends=2)
    assert "choose another name" in again.stderr
    assert again.stdout == ""
    assert len(read_tokens(file)) == 1


def test_the_list_tells_tokens_apart_and_shows_whether_they_count(file: Path) -> None:
    assert "There are no tokens" in run("list").stderr
    run("new", "chatops", "--read-write")
    run("new", "ci", "--expires", "never")
    assert "is withdrawn" in run("revoke", "ci").stderr
    assert "was withdrawn already" in run("revoke", "ci").stderr
    head, first, second = run("list").stdout.splitlines()
    assert head.split() == ["NAME", "HASH", "EXPIRES", "STATE", "MAY", "USE"]
    chatops, ci = read_tokens(file)
    assert first.split()[:2] == ["chatops", chatops.digest[:8]]
    assert "active" in first
    assert "reads and writes" in first
    assert second.split()[:4] == ["ci", ci.digest[:8], "never", "withdrawn"]
    listed = json.loads(run("list", "--output", "json").stdout)
    assert listed["file"] == str(file)
    assert [(each["name"], each["state"]) for each in listed["tokens"]] == [("chatops", "active"), ("ci", "withdrawn")]


def test_a_token_that_is_not_there_cannot_be_revoked(file: Path) -> None:
    run("new", "chatops")
    assert "Did you mean chatops?" in run("revoke", "chatop", ends=2).stderr


def test_a_broken_file_is_reported_and_left_alone(file: Path) -> None:
    file.write_text("[tokens.x]\nsha256 = 'apm_oops'\n")
    for words in (["list"], ["new", "ci"], ["revoke", "x"]):
        said = run(*words, ends=2).stderr
        assert 'token "x": sha256 must be 64 digits 0-9a-f' in said
        assert "apm_oops" not in said
    assert file.read_text() == "[tokens.x]\nsha256 = 'apm_oops'\n"


def test_a_profile_has_to_be_one_of_those_that_are_configured(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "ap-mcp.toml"
    config.write_text('[profiles.north]\nregion = "cn-north-4"\n')
    monkeypatch.setenv("AP_MCP_CONFIG", str(config))
    assert "Did you mean north?" in run("new", "ci", "--profile", "nort", ends=2).stderr
    assert "There are: north." in run("new", "ci", "--profile", "x", ends=2).stderr
    run("new", "ci", "--profile", "north")
    assert read_tokens(file)[0].grant.profiles == ("north",)
