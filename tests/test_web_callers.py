"""Who has to sign in, and how, follows from the settings; what does not fit together is said before anything starts."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from issuing import ISSUER, SERVER

from ap_mcp.cli import main
from ap_mcp.errors import SettingsError, UnknownPrincipal
from ap_mcp.settings import Settings
from ap_mcp.web.callers import audience_of, has_sign_in, keys_of, sign_in_from, tokens_file
from ap_mcp.web.tokens import Token, add_token, digest_of, new_secret

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("own_home")]

PUBLIC = "https://ap.example"


def give(path: Path) -> str:
    secret = new_secret()
    add_token(path, Token("bot", digest_of(secret)))
    return secret


def refusal(**settings: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        sign_in_from(Settings(**settings), SERVER)
    return raised.value.render()


def test_without_tokens_and_an_issuer_nobody_signs_in() -> None:
    assert not has_sign_in(Settings())
    assert sign_in_from(Settings(), SERVER) is None


async def test_a_tokens_file_in_the_usual_place_is_enough_for_everybody_to_have_to_sign_in(tmp_path: Path) -> None:
    usual = tmp_path / ".config" / "ap-mcp" / "tokens.toml"
    secret = give(usual)
    settings = Settings()
    assert tokens_file(settings) == usual
    sign_in = sign_in_from(settings, SERVER)
    assert sign_in is not None
    assert sign_in.oauth is None
    assert (await sign_in.signed_in(secret)).principal == "token:bot"


def test_a_file_that_is_named_has_to_be_there_and_right(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    assert has_sign_in(Settings(tokens_file=path))
    assert f"The tokens file {path} cannot be used: No such file" in refusal(tokens_file=path)
    path.write_text("[tokens.x]\n")
    assert "sha256 is missing" in refusal(tokens_file=path)
    path.write_text(f"[tokens.x]\nsha256 = '{'a' * 64}'\npolicy_file = '/nowhere.toml'\n")
    assert "The policy /nowhere.toml cannot be used" in refusal(tokens_file=path)


def test_a_user_without_a_home_has_no_file_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    settings = Settings()
    monkeypatch.setattr(Path, "home", homeless)
    assert tokens_file(settings) is None


def test_settings_of_an_issuer_go_with_an_issuer_and_a_public_address() -> None:
    said = refusal(oauth_scopes=("a",), oauth_rules=({"groups": ["sre"]},))
    assert (
        said == "AP_MCP_OAUTH_SCOPES and AP_MCP_OAUTH_RULES without AP_MCP_OAUTH_ISSUER: name the issuer of the tokens."
    )
    assert "Set AP_MCP_PUBLIC_URL" in refusal(oauth_issuer=ISSUER)
    assert 'rule 1: "group" is unknown' in refusal(
        oauth_issuer=ISSUER, public_url=PUBLIC, oauth_rules=({"group": ["sre"]},)
    )
    north = {"profiles": ["north"]}
    assert "profiles north: none of them is served" in refusal(
        oauth_issuer=ISSUER, public_url=PUBLIC, oauth_rules=(north,)
    )
    assert "The policy /nowhere.toml" in refusal(
        oauth_issuer=ISSUER, public_url=PUBLIC, oauth_rules=({"policy_file": "/nowhere.toml"},)
    )


def test_what_tokens_are_for_is_the_public_address_unless_another_audience_is_named() -> None:
    settings = Settings(oauth_issuer=ISSUER, public_url=PUBLIC + "/team")
    assert audience_of(settings) == PUBLIC + "/team/mcp"
    sign_in = sign_in_from(settings, SERVER)
    assert sign_in is not None
    assert sign_in.tokens is None
    assert sign_in.oauth is not None
    assert sign_in.oauth.audience == PUBLIC + "/team/mcp"
    assert audience_of(Settings(oauth_audience="api://ap", public_url=PUBLIC)) == "api://ap"


async def test_the_issuer_is_reached_by_a_client_of_its_own_and_its_failure_is_no_crash() -> None:
    keys = keys_of(Settings(oauth_jwks_url="http://127.0.0.1:9/keys"), ISSUER)
    await keys.refresh()
    assert "http://127.0.0.1:9/keys was not reached (ConnectError)" in keys.trouble


async def test_a_principal_has_no_rights_but_in_a_call_that_they_signed_in_to(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    give(path)
    sign_in = sign_in_from(Settings(tokens_file=path), SERVER)
    assert sign_in is not None
    with pytest.raises(UnknownPrincipal):
        sign_in.rights_of("token:bot")


def test_other_machines_are_served_once_callers_have_to_sign_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def listen(address: str, setting: str) -> None:
        raise SettingsError(f"{setting} would listen at {address}")

    monkeypatch.setattr("ap_mcp.web.serving.listen", listen)
    refused = CliRunner().invoke(main, ["serve", "--http", "0.0.0.0:0"])
    assert refused.exit_code == 2
    assert "ap-mcp token new NAME" in refused.stderr
    give(tmp_path / "tokens.toml")
    monkeypatch.setenv("AP_MCP_TOKENS_FILE", str(tmp_path / "tokens.toml"))
    assert "--http would listen at 0.0.0.0:0" in CliRunner().invoke(main, ["serve", "--http", "0.0.0.0:0"]).stderr
