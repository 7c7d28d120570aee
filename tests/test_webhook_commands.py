"""`ap-mcp approvals test-webhook` posts a test, and `ap-mcp doctor` says whether a webhook can be reached."""

import socket
from pathlib import Path

import pytest
from certificates import Authority
from receiving import answer, receiving
from test_cli import alone, run
from test_cli_doctor import examined, of

__all__ = ["alone"]

WHSEC = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"


def test_a_test_is_posted_to_each_webhook_and_marked_as_one() -> None:
    with receiving() as one, receiving() as other:
        webhooks = f"slack+{one.url('/services/hidden')} {other.url()}"
        environment = {"AP_MCP_APPROVAL_WEBHOOK": webhooks, "AP_MCP_APPROVAL_WEBHOOK_SECRET": WHSEC}
        result = run("approvals", "test-webhook", environment=environment)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"slack at 127.0.0.1:{one.port}: posted",
        f"generic at 127.0.0.1:{other.port}: posted",
    ]
    assert one.posted[0]["text"] == "Test of ap-mcp: nothing waits for you"
    assert other.kinds == ["test"]
    assert "webhook-signature: v1," in other.heads[0]


def test_a_webhook_that_refuses_is_named_with_its_reason_and_without_its_address() -> None:
    with receiving(None, answer('{"errcode":310000}')) as found:
        environment = {"AP_MCP_APPROVAL_WEBHOOK": f"dingtalk+{found.url('/robot/hidden')}"}
        result = run("approvals", "test-webhook", environment=environment)
    assert result.exit_code == 6
    assert f"dingtalk at 127.0.0.1:{found.port}: HTTP 200, errcode 310000" in result.stderr
    assert "1 of 1 did not take the message" in result.stderr
    assert "hidden" not in result.output


def test_without_a_webhook_there_is_nothing_to_test() -> None:
    result = run("approvals", "test-webhook")
    assert result.exit_code == 2
    assert "AP_MCP_APPROVAL_WEBHOOK names no webhook" in result.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AP_MCP_APPROVAL_WEBHOOK": "http://ours.example/hidden"}, "must start with https://"),
        ({"AP_MCP_APPROVAL_WEBHOOK_SECRET": WHSEC}, "AP_MCP_APPROVAL_WEBHOOK names none"),
        (
            {"AP_MCP_APPROVAL_WEBHOOK": "https://a.example/hidden", "AP_MCP_APPROVAL_WEBHOOK_SECRET": "hidden"},
            "AP_MCP_APPROVAL_WEBHOOK_SECRET: must be whsec_",
        ),
        (
            {"AP_MCP_APPROVAL_WEBHOOK": "ftp://a.example/hidden", "AP_MCP_APPROVAL_WEBHOOK_SECRET": "hidden"},
            "AP_MCP_APPROVAL_WEBHOOK: must start with",
        ),
    ],
)
def test_a_wrong_webhook_stops_whatever_reads_the_settings(environment: dict[str, str], said: str) -> None:
    result = run("approvals", "test-webhook", environment=environment)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hidden" not in result.output
    assert run("serve", environment=environment).exit_code == 2


def test_several_webhooks_of_a_file_are_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as one, receiving() as other:
        chosen = tmp_path / "ap-mcp.toml"
        chosen.write_text(f'approval_webhook = ["{one.url()}", "slack+{other.url()}"]\n')
        monkeypatch.setenv("AP_MCP_CONFIG", str(chosen))
        assert run("approvals", "test-webhook").exit_code == 0
        assert (len(one.posted), len(other.posted)) == (1, 1)


def test_doctor_connects_to_a_webhook_and_posts_nothing(tmp_path: Path) -> None:
    simulated = ("--simulate", "--state", "account.json")
    with receiving() as found:
        webhook = {"AP_MCP_APPROVAL_WEBHOOK": f"{found.url('/hidden')} feishu+{found.url('/hidden')}"}
        checks = examined(*simulated, healthy=True, **webhook, AP_MCP_APPROVAL_WEBHOOK_SECRET="- SEC1")
        assert f"generic at 127.0.0.1:{found.port}: can be reached, and is not signed" in of(
            checks, "webhook", "warning"
        )
        assert "can be reached, signed -> Post a test" in of(checks, "webhook", "ok")
        assert found.posted == []
    checks = examined(*simulated, healthy=False, **webhook)
    assert "no connection: " in of(checks, "webhook", "problem")
    assert "hidden" not in str(checks)
    del tmp_path


def test_doctor_knows_somebody_elses_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with receiving(authority.server_context("somebody.else")) as found:
        webhook = {"AP_MCP_APPROVAL_WEBHOOK": f"slack+{found.url('/hidden', 'localhost', 'https')}"}
        checks = examined("--simulate", healthy=False, **webhook, AP_MCP_CA_FILE=str(authority.file))
    assert "its certificate is not valid for it: " in of(checks, "webhook", "problem")


def test_doctor_says_when_a_proxy_keeps_it_from_trying() -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        webhook = {"AP_MCP_APPROVAL_WEBHOOK": "slack+https://hooks.slack.com/services/hidden", "AP_MCP_PROXY": address}
        checks = examined("--simulate", healthy=True, **webhook)
    assert "through the proxy; no connection was tried" in of(checks, "webhook", "ok")
