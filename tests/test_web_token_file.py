"""A token of the file gets its holder in until it expires or is withdrawn; a broken file gets nobody in."""

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from issuing import SERVER, Time

from ap_mcp.errors import UnknownPrincipal
from ap_mcp.guard.policy import Rule
from ap_mcp.masking import mask_text
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import known_to_rules
from ap_mcp.web.grants import Grant
from ap_mcp.web.signed_in import NotSignedIn, rights_within
from ap_mcp.web.token_file import FileTokens
from ap_mcp.web.tokens import Token, add_token, digest_of, new_secret, read_tokens, withdraw_token

pytestmark = pytest.mark.anyio

BOT = "apm_" + "Bot-token_of-tests" * 2 + "1234567"
DENY = '[[rules]]\ndecision = "deny"\ntools = ["list_clusters"]\n'


class File:
    """A tokens file, and a server that goes by it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens.toml"
        self.time = Time()
        self.add("bot", BOT)
        self.tokens = FileTokens(
            self.path, lambda grant: rights_within(SERVER, grant, {}), self.time.now, self.time.seconds
        )

    def add(self, name: str, secret: str, **more: object) -> None:
        add_token(self.path, replace(Token(name, digest_of(secret)), **more))  # type: ignore[arg-type]

    async def refused(self, secret: str = BOT) -> NotSignedIn:
        with pytest.raises(NotSignedIn) as raised:
            await self.tokens.signed_in(secret)
        assert secret not in str(raised.value) or not secret
        return raised.value


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


async def test_whoever_has_a_token_calls_under_its_name_and_with_its_rights(file: File) -> None:
    writer = new_secret()
    file.add("writer", writer, grant=Grant(read_only=False, toolsets=("tags",)))
    file.time.pass_by(1)
    bot, other = await file.tokens.signed_in(BOT), await file.tokens.signed_in(writer)
    assert (bot.principal, other.principal) == ("token:bot", "token:writer")
    assert bot.rights_now().read_only
    assert bot.rights_now().policy.closed == "caller"  # what is refused is advised to ask for another token
    assert not other.rights_now().read_only
    assert other.rights_now().toolsets == ("tags",)
    assert BOT not in repr(bot)
    assert bot.token == ""


@pytest.mark.parametrize("secret", ["", "apm_", "apm_x", BOT[:-1], BOT + " ", BOT.upper(), digest_of(BOT), "é" * 9])
async def test_a_token_that_is_not_in_the_file_is_nobodys(file: File, secret: str) -> None:
    refused = await file.refused(secret)
    assert (refused.status, refused.error) == (401, "invalid_token")
    assert "not known here" in str(refused)


async def test_a_withdrawn_token_counts_for_a_second_at_most_and_a_held_call_of_it_is_refused_too(file: File) -> None:
    caller = await file.tokens.signed_in(BOT)
    withdraw_token(file.path, "bot", datetime.now(UTC))
    file.time.pass_by(1)
    with pytest.raises(UnknownPrincipal, match="token:bot may not use this server"):
        caller.rights_now()
    assert str(await file.refused()) == str(await file.refused("apm_never-seen"))


async def test_a_token_counts_to_its_last_moment(file: File) -> None:
    short = new_secret()
    file.add("short", short, expires=file.time.at + timedelta(seconds=10))
    file.time.pass_by(9)
    caller = await file.tokens.signed_in(short)
    assert caller.rights_now()
    file.time.pass_by(1)
    assert "has expired" in str(await file.refused(short))
    with pytest.raises(UnknownPrincipal):
        caller.rights_now()


async def test_a_new_token_counts_within_a_second_and_the_file_is_read_only_when_it_changes(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read(path: Path) -> tuple[Token, ...]:
        reads.append(path)
        return read_tokens(path)

    monkeypatch.setattr("ap_mcp.web.token_file.read_tokens", read)
    for _ in range(5):
        file.time.pass_by(1)
        await file.tokens.signed_in(BOT)
    assert reads == []
    other = new_secret()
    file.add("other", other)
    assert (await file.refused(other)).status == 401
    file.time.pass_by(1)
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(file.tokens.signed_in, other)
    assert len(reads) == 1


@pytest.mark.parametrize("broken", ["nonsense", "[tokens.bot]\nsha256 = 'x'\n", "tokens = 1", None, "open to others"])
async def test_while_the_file_is_broken_nobody_gets_in_and_the_log_says_why_once(
    file: File, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    good = file.path.read_bytes()
    caller = await file.tokens.signed_in(BOT)
    if broken == "open to others":
        file.path.chmod(0o622)
    elif broken is None:
        file.path.unlink()
    else:
        file.path.write_text(broken)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            file.time.pass_by(1)
            refused = await file.refused()
            assert (refused.status, refused.error) == (503, "")
            with pytest.raises(UnknownPrincipal):
                caller.rights_now()
        assert file.tokens.trouble
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "Nobody can sign in with a token" in caplog.text
        # As the log shows it, where what follows the name of a secret is hidden.
        shown = f"{caplog.records[0].levelname} {caplog.records[0].name}: {caplog.records[0].getMessage()}"
        assert mask_text(shown) == shown
        file.path.unlink(missing_ok=True)
        file.path.write_bytes(good)
        file.path.chmod(0o600)
        file.time.pass_by(1)
        assert (await file.tokens.signed_in(BOT)).rights_now().read_only
    assert file.tokens.trouble == ""
    assert "count again" in caplog.text
    assert BOT not in caplog.text


async def test_a_token_has_rules_of_its_own_beside_those_of_the_server(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(DENY)
    file, ruled = File(tmp_path), new_secret()
    file.add("ruled", ruled, grant=Grant(policy_file=policy))
    own = Rule("deny", tools=("*",), source="the server's")
    server = SERVER._replace(policy=replace(SERVER.policy, rules=(own,)))
    known = known_to_rules(load_catalog())
    tokens = FileTokens(
        file.path,
        lambda grant: rights_within(server, grant, known),
        file.time.now,
        file.time.seconds,
    )
    rights = (await tokens.signed_in(ruled)).rights_now()
    assert [each.source for each in rights.policy.rules] == ["the server's", "policy.toml rule 1"]
    assert [each.source for each in (await tokens.signed_in(BOT)).rights_now().policy.rules] == ["the server's"]
    policy.write_text("broken")
    file.time.pass_by(1)
    with pytest.raises(NotSignedIn) as raised:
        await tokens.signed_in(ruled)
    assert raised.value.status == 503
    assert "policy.toml" in tokens.trouble
    policy.write_text(DENY.replace("list_clusters", "list_*"))
    os.utime(policy, ns=(1, 1))
    file.time.pass_by(1)
    changed = (await tokens.signed_in(ruled)).rights_now()
    assert changed.policy.rules[1].tools == ("list_*",)


def test_nothing_that_is_granted_goes_beyond_what_the_server_offers() -> None:
    reading = SERVER._replace(policy=replace(SERVER.policy, read_only=True))
    found = rights_within(reading, Grant(read_only=False), {})
    assert found is not None
    assert found.read_only
    narrow = rights_within(SERVER._replace(toolsets=("tags",)), Grant(toolsets=("all",)), {})
    assert narrow is not None
    assert (narrow.toolsets, narrow.within) == (("all",), ("tags",))


@pytest.mark.parametrize(
    ("granted", "served", "used"),
    [
        ((), ("",), ("",)),
        ((), ("north", "south"), ("north", "south")),
        (("south", "north"), ("north", "south"), ("south", "north")),
        (("south", "gone"), ("north", "south"), ("south",)),
        (("gone",), ("north", "south"), None),
        (("north",), ("",), None),
    ],
)
def test_a_caller_has_those_of_their_profiles_that_are_served(
    granted: tuple[str, ...], served: tuple[str, ...], used: tuple[str, ...] | None
) -> None:
    found = rights_within(SERVER._replace(profiles=served), Grant(profiles=granted), {})
    assert (None if found is None else found.profiles) == used


@pytest.mark.parametrize(
    ("granted", "used"),
    [(("south",), ("south",)), (("west", "south"), ("south",)), (("soth", "north"), None), (("north", "soth"), None)],
)
def test_a_profile_that_there_is_not_makes_no_other_one_the_default(
    granted: tuple[str, ...], used: tuple[str, ...] | None
) -> None:
    server, tables = SERVER._replace(profiles=("north", "south")), {"north", "south", "west"}
    found = rights_within(server, Grant(profiles=granted), {}, tables)
    assert (None if found is None else found.profiles) == used


async def test_a_token_for_profiles_of_another_server_counts_there_alone(file: File) -> None:
    elsewhere = new_secret()
    file.add("elsewhere", elsewhere, grant=Grant(profiles=("north",)))
    file.time.pass_by(1)
    refused = await file.refused(elsewhere)
    assert (refused.status, refused.error) == (403, "")
    assert "none of the profiles" in str(refused)
    assert (await file.tokens.signed_in(BOT)).principal == "token:bot"
