"""`ap-mcp doctor` says of a server over HTTP who gets in, who soon will not, and why nobody does."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agent import autopilot_on
from issuing import ISSUER, Issuer
from simulation import simulate

from ap_mcp.cli.checkup import Finding
from ap_mcp.cli.checkup_callers import callers
from ap_mcp.principals import Everybody
from ap_mcp.web.grants import Grant
from ap_mcp.web.tokens import Token, add_token, digest_of, withdraw_token

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_home")]

NOW = datetime.now(UTC)
PUBLIC = "https://ap.example"


def give(path: Path, name: str, **more: Any) -> None:
    add_token(path, replace(Token(name, digest_of(name)), **more))


async def findings(**settings: Any) -> list[Finding]:
    return [each async for each in callers(autopilot_on(simulate(), **settings))]


async def reports(**settings: Any) -> list[tuple[str, str]]:
    return [(each.state, each.found) for each in await findings(**settings)]


async def test_where_nobody_calls_over_http_nothing_is_said() -> None:
    assert await reports() == []


async def test_on_this_machine_nobody_has_to_sign_in_and_elsewhere_nothing_would_start() -> None:
    ((state, found),) = await reports(http="127.0.0.1:8000")
    assert (state, "nobody has to" in found) == ("ok", True)
    ((state, found),) = await reports(http="0.0.0.0:8000")
    assert (state, "nobody has to sign in. Nothing was started" in found) == ("problem", True)


async def test_tokens_that_need_care_are_named(tmp_path: Path) -> None:
    usual = tmp_path / ".config" / "ap-mcp" / "tokens.toml"
    give(usual, "good", expires=NOW + timedelta(days=80))
    give(usual, "for-ever")
    give(usual, "writes-for-ever", grant=Grant(read_only=False))
    give(usual, "soon", expires=NOW + timedelta(days=3, minutes=50))
    give(usual, "old", expires=NOW - timedelta(days=1))
    give(usual, "gone")
    withdraw_token(usual, "gone", NOW)
    said = await reports()
    assert said == [
        ("ok", f"4 tokens of {usual} count; for-ever, good, soon, writes-for-ever; 1 expired; 1 withdrawn"),
        ("warning", "the token writes-for-ever may change things, and never ends"),
        ("warning", "the token soon ends in 3 d"),
    ]
    usual.chmod(0o644)
    warning = f"other users may read or change {usual}; close it with: chmod go-rwx {usual}"
    assert ("warning", warning) in await reports()


async def test_a_file_that_lets_nobody_in_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    give(path, "gone")
    withdraw_token(path, "gone", NOW)
    ((state, found),) = await reports(tokens_file=path)
    assert (state, found) == ("warning", f"0 tokens of {path} count; 1 withdrawn: nobody gets in")
    path.write_text("broken")
    ((state, found),) = await reports(tokens_file=path)
    assert (state, f"Wrong tokens file {path}" in found) == ("problem", True)


TABLES = {each: {"region": "ap-southeast-1"} for each in ("north", "south")}


async def test_profiles_that_there_are_not_and_toolsets_that_give_no_tool_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.toml"
    give(path, "misspelt", grant=Grant(profiles=("noth", "south")))
    give(path, "elsewhere", grant=Grant(profiles=("south",)))
    give(path, "right", grant=Grant(profiles=("north", "south"), toolsets=("clusters", "charts")))
    give(path, "empty", grant=Grant(toolsets=("charts",)))
    give(path, "gone", grant=Grant(profiles=("noth",)))
    withdraw_token(path, "gone", NOW)
    issuer = Issuer("ed")
    monkeypatch.setattr("ap_mcp.web.callers.outward_lines", lambda _: issuer.connect())
    given: dict[str, Any] = {
        "tokens_file": path,
        "oauth_issuer": ISSUER,
        "public_url": PUBLIC,
        "toolsets": ("clusters",),
    }
    made = autopilot_on(simulate(), **given, profiles=TABLES, oauth_rules=({"groups": ["a"], "toolsets": ["charts"]},))
    made.principals = Everybody(made.rights_of("anybody")._replace(profiles=("north",)))
    found = [(each.state, each.found) async for each in callers(made)]
    assert [each for each in found if each[0] != "ok"] == [
        ("problem", 'the token misspelt names profiles that ap-mcp.toml does not have: "noth"'),
        ("warning", "the token elsewhere may use only profiles that are not served here: south"),
        ("warning", "the token empty is offered no tool: it may use the toolsets charts, and the server has clusters"),
        (
            "warning",
            "rule 1 of oauth_rules is offered no tool: it may use the toolsets charts, and the server has clusters",
        ),
    ]


async def test_the_issuer_is_asked_for_its_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    issuer = Issuer("ed", "ed-2")
    monkeypatch.setattr("ap_mcp.web.callers.outward_lines", lambda _: issuer.connect())
    given = {"oauth_issuer": ISSUER, "public_url": PUBLIC}
    assert await reports(**given) == [("ok", f"issuer {ISSUER}: 2 keys (ed, ed-2)")]
    assert (await reports(**given, oauth_audience="api://ap"))[1] == (
        "warning",
        "tokens must be for api://ap, but clients ask for https://ap.example/mcp",
    )
    issuer.down = True
    ((state, found),) = await reports(**given)
    assert state == "problem"
    assert "was not reached (ConnectError)" in found
    ((state, found),) = await reports(oauth_issuer=ISSUER)
    assert (state, "Set AP_MCP_PUBLIC_URL" in found) == ("problem", True)
    ((state, found),) = await reports(oauth_scopes=("a",))
    assert (state, "without AP_MCP_OAUTH_ISSUER" in found) == ("problem", True)


def test_the_command_says_it(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from ap_mcp.cli import main

    give(tmp_path / ".config" / "ap-mcp" / "tokens.toml", "bot")
    result = CliRunner().invoke(main, ["doctor", "--simulate", "--output", "json"])
    checks = json.loads(result.stdout)["checks"]
    assert [each["state"] for each in checks if each["check"] == "sign-in"] == ["ok"]
