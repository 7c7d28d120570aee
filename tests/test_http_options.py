"""What the operator says of serving over HTTP, and what of it is refused before anything listens."""

from typing import Any

import pytest

from ap_mcp.errors import SettingsError
from ap_mcp.settings import load_settings
from ap_mcp.web.options import OWN_NAMES, is_here, options_from, over_http, refuse_strangers

REFUSED = {
    "http": ["8000x", "host", "host:", "host:65536", "::1:8000", ":8000", "[::g]:1", "ho st:1", "http://h:1", "h:-1"],
    "public_url": [
        "mcp.example.com",
        "http://mcp.example.com",
        "ftp://mcp.example.com",
        "https://",
        "https://mcp.example.com/a?b",
        "https://mcp.example.com/a#b",
        "https://mcp.example.com/a//b",
        "https://mcp.example.com/../b",
        "https://mcp.example.com/a b",
        "https://user@mcp.example.com",
    ],
    "http_hosts": ["https://mcp.example.com", "mcp/x", "*", "a b"],
    "http_origins": ["mcp.example.com", "https://mcp.example.com/x", "null", "*", "https://"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, every in REFUSED.items() for value in every])
def test_what_cannot_be_meant_is_refused_with_what_it_must_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"--{name.replace('_', '-')}: (must|each must) (be|start with) "):
        load_settings(**{name: value})


@pytest.mark.parametrize(
    ("given", "meant"),
    [("8000", "127.0.0.1:8000"), ("[::1]:0", "[::1]:0"), ("0.0.0.0:80", "0.0.0.0:80"), ("Mcp:080", "mcp:80")],
)
def test_where_it_listens_is_a_host_and_a_port_and_a_port_alone_is_of_this_machine(given: str, meant: str) -> None:
    assert load_settings(http=given).http == meant


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000/x", "https://mcp/a/b.c"]
)
def test_a_public_address_is_https_or_of_this_machine(url: str) -> None:
    assert load_settings(public_url=url).public_url == url


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.1.2.3", "192.0.2.1", "[2001:db8::1]", "no-such-host.invalid"])  # noqa: S104 - refused
def test_nothing_is_served_to_other_machines_as_long_as_nobody_signs_in(host: str) -> None:
    with pytest.raises(SettingsError, match="nobody has to sign in"):
        refuse_strangers(load_settings(http=f"{host}:8000"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_this_machine_may_be_served_without_signing_in(host: str) -> None:
    refuse_strangers(load_settings(http=f"{host}:8000"))
    assert is_here(host)


def test_a_name_that_also_leads_elsewhere_is_not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", 0)), (2, 1, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr("socket.getaddrinfo", both)
    assert not is_here("localhost")


@pytest.mark.parametrize("confirm", ["human", "token"])
def test_consent_over_http_cannot_be_obtained_from_the_client(confirm: str) -> None:
    with pytest.raises(SettingsError, match=f"--confirm: .* must be approval or deny, not {confirm}"):
        over_http(load_settings(http="8000", confirm=confirm), 8000, {"confirm": confirm})


def test_what_is_not_chosen_is_what_suits_callers_on_other_machines() -> None:
    plain = load_settings()
    settings = over_http(load_settings(http="127.0.0.1:0"), 4321, {})
    assert (plain.confirm, settings.confirm) == ("human", "approval")
    assert plain.chart_roots
    assert settings.chart_roots == ()
    assert settings.public_url == "http://localhost:4321"


def test_what_is_chosen_stays(tmp_path: Any) -> None:
    chosen = {"confirm": "deny", "chart_roots": str(tmp_path), "public_url": "https://mcp.example.com/a"}
    settings = over_http(load_settings(http="0.0.0.0:80", **chosen), 80, chosen)
    assert settings.confirm == "deny"
    assert settings.chart_roots == (tmp_path,)
    assert settings.public_url == "https://mcp.example.com/a"
    assert over_http(load_settings(http="0.0.0.0:80"), 80, {}).public_url is None


def test_it_is_called_as_the_operator_says_and_as_this_machine_calls_itself() -> None:
    settings = load_settings(
        http="10.0.0.7:80", public_url="https://mcp.example.com:8443/a", http_hosts="x,y:1", http_origins="https://o"
    )
    options = options_from(settings, 80)
    assert options.hosts == OWN_NAMES | {"10.0.0.7", "mcp.example.com", "x", "y:1"}
    assert options.origins >= {"https://mcp.example.com:8443", "https://o", "http://localhost:80"}
    assert options.base_path == "/a"
    assert options_from(load_settings(http="0.0.0.0:80"), 80).hosts == OWN_NAMES
    assert options_from(load_settings(http="[::]:80", public_url="https://m"), 80).hosts == OWN_NAMES | {"m"}
