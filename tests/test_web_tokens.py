"""The tokens file holds hashes only, keeps what the operator wrote into it, and lets nobody in once it is wrong."""

import subprocess
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from forking import python
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.errors import CallRefused, SettingsError
from ap_mcp.web.grants import Grant
from ap_mcp.web.tokens import Token, _table, add_token, digest_of, new_secret, parse_tokens, read_tokens, withdraw_token

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HASH = "ab" * 32
BOT = f"[tokens.bot]\nsha256 = '{HASH}'\n"


def token(name: str = "bot", **more: object) -> Token:
    return replace(Token(name, digest_of(name)), **more)  # type: ignore[arg-type]


def wrong(text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        parse_tokens(text, "tokens.toml")
    return raised.value.render()


def test_a_token_cannot_be_guessed_and_is_known_by_its_hash_alone() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(each.startswith("apm_") and len(each) == 4 + 43 for each in secrets)
    assert len({digest_of(each) for each in secrets}) == 100
    assert "apm_" not in digest_of("apm_x")


def test_what_was_entered_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "made" / "tokens.toml"
    rich = Grant(
        read_only=False, toolsets=("essential", "tags"), policy_file=tmp_path / 'a "b"\\.toml', profiles=("n",)
    )
    entered = (
        token("bot", created=NOW, expires=NOW + timedelta(days=90)),
        token("chat.ops@example", grant=rich, created=NOW),
    )
    for each in entered:
        add_token(path, each)
    assert read_tokens(path) == entered
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "kept nowhere" in path.read_text()


def test_a_new_token_only_reads_unless_its_table_says_otherwise() -> None:
    (found,) = parse_tokens(BOT, "")
    assert found.grant == Grant(read_only=True, toolsets=("all",), policy_file=None, profiles=())
    assert (found.principal, found.expires, found.state(NOW)) == ("token:bot", None, "active")


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("expires = 2026-11-30T12:00:01Z", "active"),
        ("expires = 2026-11-30T12:00:00Z", "expired"),
        ("expires = 2026-11-30", "expired"),
        ("expires = 2026-11-30T13:00:00+02:00", "expired"),
        ("expires = 2026-11-30T12:30:00", "active"),
        ("withdrawn = 2027-01-01", "withdrawn"),
    ],
)
def test_a_token_counts_until_it_expires_or_is_withdrawn(line: str, state: str) -> None:
    assert parse_tokens(BOT + line, "")[0].state(NOW) == state


def test_every_mistake_is_named_at_once_and_no_value_that_may_be_a_token_is_shown() -> None:
    said = wrong(
        f"""
        port = 1
        [tokens]
        three = 3
        [tokens.one]
        sha256 = "apm_secret"
        toolset = ["tags"]
        read_only = "no"
        [tokens.two]
        toolsets = ["clusters", "everything"]
        expires = "2027-01-01"
        policy_file = 3
        profiles = []
        [tokens."a b"]
        sha256 = "{HASH}"
        """
    )
    for part in (
        '"port" is unknown here',
        'token "three": must be a table',
        'token "one": sha256 must be 64 digits 0-9a-f',
        'token "one": "toolset" is unknown; did you mean toolsets?',
        'token "one": read_only must be true or false',
        'token "two": toolsets holds "everything"; each must be one of: all, essential',
        'token "two": expires must be a moment without quotation marks',
        'token "two": policy_file must be the path of a file',
        'token "two": profiles must be a list of texts that is not empty',
        'token "two": sha256 is missing',
        'token "a b": "a b" is no name for a token',
    ):
        assert part in said
    assert "apm_secret" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokens = 3", "tokens must be tables"),
        ("[tokens.bot", "it is no valid TOML"),
        (BOT + BOT.replace("bot", "BOT").replace(HASH, "cd" * 32), "two tokens have the same name"),
        (BOT + BOT.replace("bot", "other"), "two tokens have the same hash"),
        ("x = " + "[" * 10_000, "it is no valid TOML"),
    ],
)
def test_a_file_that_does_not_say_who_calls_is_refused_whole(text: str, said: str) -> None:
    assert said in wrong(text)


def test_a_file_that_others_may_change_or_that_is_no_text_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    with pytest.raises(SettingsError, match="No such file"):
        read_tokens(path)
    path.write_bytes(b"\xff\x00")
    with pytest.raises(SettingsError, match="no UTF-8 text"):
        read_tokens(path)
    with pytest.raises(SettingsError, match="no UTF-8 text"):
        add_token(path, token())
    path.write_text(BOT)
    path.chmod(0o666)
    with pytest.raises(SettingsError, match="chmod go-w"):
        read_tokens(path)
    with pytest.raises(SettingsError, match="Nothing was changed"):
        add_token(path, token("other"))
    assert path.read_text() == BOT


def test_a_name_is_given_once_also_after_it_was_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    add_token(path, token("bot"))
    before = path.read_text()
    with pytest.raises(CallRefused, match=r"a token bot already \(active\)"):
        add_token(path, token("BOT"))
    assert path.read_text() == before
    withdraw_token(path, "bot", NOW)
    with pytest.raises(CallRefused, match=r"a token bot already \(withdrawn\)"):
        add_token(path, token("bot", digest=HASH))


def test_comments_of_the_operator_survive_every_change(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f"# Ours.\n\n[ tokens . 'bot' ]  # the chat bot\nsha256 = '{HASH}' # a hash\n# the end, no newline")
    add_token(path, token("ci"))
    assert withdraw_token(path, "bot", NOW).withdrawn is None
    assert withdraw_token(path, "bot", NOW + timedelta(days=1)).withdrawn == NOW
    text = path.read_text()
    for comment in ("# Ours.\n", "# the chat bot\n", "# a hash\n", "# the end, no newline\n"):
        assert comment in text
    assert {each.name: each.state(NOW) for each in read_tokens(path)} == {"bot": "withdrawn", "ci": "active"}


def test_a_line_of_a_text_is_not_taken_for_the_head_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    text = f'[tokens.ci]\nsha256 = "{HASH}"\npolicy_file = """\n[tokens.bot]\n"""\n[tokens.bot]\nsha256 = "{"cd" * 32}"'
    path.write_text(text)
    withdraw_token(path, "bot", NOW)
    assert path.read_text() == text.replace(
        "\n[tokens.bot]\nsha256", f"\n[tokens.bot]\nwithdrawn = {NOW:%Y-%m-%dT%H:%M:%SZ}\nsha256"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"tokens.bot.sha256 = '{HASH}'",
        f"[tokens]\nbot = {{ sha256 = '{HASH}' }}\n",
        f"tokens = {{bot={{sha256='{HASH}'}}}}",
    ],
)
def test_a_table_written_another_way_is_left_to_its_author(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(CallRefused, match="Delete the lines of the token bot yourself"):
        withdraw_token(path, "bot", NOW)
    assert path.read_text() == text


def test_a_token_that_is_not_there_cannot_be_withdrawn_and_the_near_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    add_token(path, token("chatops"))
    with pytest.raises(CallRefused, match="Did you mean chatops"):
        withdraw_token(path, "chatop", NOW)
    with pytest.raises(CallRefused, match="ap-mcp token list"):
        withdraw_token(path, "xyz", NOW)


def test_a_link_stays_a_link_to_the_file_that_is_changed(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "tokens.toml"
    real.write_text(BOT)
    link.symlink_to(real)
    add_token(link, token("ci"))
    assert link.is_symlink()
    assert [each.name for each in read_tokens(real)] == ["bot", "ci"]


def test_tokens_that_are_made_at_the_same_time_are_all_entered(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    program = (
        "import sys; from pathlib import Path; from ap_mcp.web.tokens import *\n"
        "for name in sys.argv[2:]: add_token(Path(sys.argv[1]), Token(name, digest_of(name)))"
    )
    names = [[f"t{process}-{number}" for number in range(8)] for process in range(3)]
    running = [subprocess.Popen([python(), "-c", program, str(path), *each]) for each in names]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    assert {each.name for each in read_tokens(path)} == {name for each in names for name in each}
    assert sorted(each.name for each in tmp_path.iterdir()) == [".tokens.toml.lock", "tokens.toml"]


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_breaks_the_file_it_is_written_to(path: str, profile: str) -> None:
    written = _table(token(grant=Grant(policy_file=Path("/x" + path), profiles=(profile,))))
    table = tomllib.loads(written)["tokens"]["bot"]
    assert table["policy_file"] == str(Path("/x" + path))
    assert table["profiles"] == [profile]
