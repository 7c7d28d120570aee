"""Each receiver gets a question in its own form: what decides in it, no markup of others, signed as it is published."""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from approving import NOW, question
from hypothesis import given
from hypothesis import strategies as st

from ap_mcp.webhook_addresses import FORMS, Address, Form, read_addresses
from ap_mcp.webhooks.forms import SLACK_HEADER, SLACK_TEXT, WECOM_BYTES, message, refusal
from ap_mcp.webhooks.notice import Kind, Notice, notice, trial

CODE = "WXYZ-2345"
LINK = f"https://ap.example/approvals/{CODE}"
WHSEC = "whsec_" + base64.b64encode(b"k" * 24).decode()
SECRETS: dict[Form, str] = {"feishu": "SECfeishu", "dingtalk": "SECdingtalk", "generic": WHSEC}
ASKED = question(code=CODE, region="cn-north-4", project="0b1c")
TITLE = 'delete_cluster "shop-prod" waits for a person'
LINES = [
    "Effect: destroy",
    'Where: region "cn-north-4", project "0b1c"',
    'For "ivan", through "Claude 1.0"',
    f"Code: {CODE}, to be decided within 15 min, until 2026-03-01T12:15:00Z",
]


def made(form: Form, shown: Notice, secret: str = "") -> Any:
    posted = message(Address(form, f"https://{form}.example/hook?key=1", secret), shown, NOW, "msg_1")
    assert posted.headers["Content-Type"] == "application/json; charset=utf-8"
    return json.loads(posted.body)


def asked(link: str = LINK, **changes: Any) -> Notice:
    return notice("asked", replace(ASKED, **changes), NOW, link=link)


# What is posted


def test_a_notice_says_what_where_for_whom_with_which_code_and_for_how_long() -> None:
    shown = asked()
    assert (shown.title, [*shown.lines], shown.link) == (TITLE, LINES, LINK)


def test_what_is_simulated_is_said_to_be_first() -> None:
    shown = asked(simulated=True)
    assert shown.title == f"SIMULATED: {TITLE}"
    assert "nothing here is real" in shown.lines[1]


def test_without_a_page_the_command_for_a_terminal_is_named() -> None:
    shown = asked("")
    assert shown.lines[-1] == f"Decide in a terminal: ap-mcp approvals approve {CODE}"


def test_how_many_were_asked_and_that_another_person_must_decide_is_said_where_it_matters() -> None:
    shown = notice("asked", replace(ASKED, other_approver=True), NOW, link=LINK, today=7)
    assert shown.lines[-2:] == (
        "Somebody else than the one it is for must decide.",
        "Asked for them within a day: 7 questions.",
    )


def test_no_argument_and_nothing_of_the_impact_is_posted() -> None:
    secret = replace(ASKED, arguments='{"cluster_id":"0e1f","note":"canary-1"}', impact_text="canary-2")
    for form in FORMS:
        text = json.dumps(made(form, notice("asked", secret, NOW, link=LINK)))
        assert "canary" not in text
        assert "0e1f" not in text


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("approved", 'delete_cluster "shop-prod" was approved by "alice"'),
        ("declined", 'delete_cluster "shop-prod" was declined by "alice"'),
        ("expired", 'delete_cluster "shop-prod" was not decided in time'),
        ("withdrawn", 'delete_cluster "shop-prod" was withdrawn by "alice": nothing is to be decided'),
        ("left", 'delete_cluster "shop-prod" still waits, but the one who asked has left'),
        ("succeeded", 'delete_cluster "shop-prod" was approved by "alice" and is done'),
        ("failed", 'delete_cluster "shop-prod" was approved by "alice" and has failed'),
        ("unknown", 'delete_cluster "shop-prod" was approved by "alice", and it is not known how it ended'),
    ],
)
def test_how_a_question_ended_is_posted_too_with_a_link_only_if_it_still_waits(kind: Kind, title: str) -> None:
    by = "" if kind in ("expired", "left") else "alice"
    shown = notice(kind, ASKED, NOW, link=LINK, by=by)
    assert shown.title == title
    assert bool(shown.link) == (kind == "left")
    assert any(CODE in line for line in shown.lines)
    assert made("generic", shown)["type"] == f"approval.{kind}"


def test_a_trial_says_that_it_is_one() -> None:
    assert trial(NOW).title == "Test of ap-mcp: nothing waits for you"
    for form in FORMS:
        assert "Test of ap-mcp" in json.dumps(made(form, trial(NOW)))


# In which form


def test_slack_gets_blocks_of_plain_text_and_our_link() -> None:
    assert made("slack", asked()) == {
        "text": TITLE,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": TITLE, "emoji": False}},
            {"type": "section", "text": {"type": "plain_text", "text": "\n".join(LINES), "emoji": False}},
            {"type": "section", "text": {"type": "mrkdwn", "text": f"<{LINK}|Read and decide>", "verbatim": True}},
        ],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_teams_gets_an_adaptive_card_of_text_runs_and_an_action() -> None:
    def run(text: str, **more: str) -> dict[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **more}]}

    assert made("teams", asked()) == {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": None,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [run(TITLE, weight="bolder", size="medium"), *map(run, LINES)],
                    "actions": [{"type": "Action.OpenUrl", "title": "Read and decide", "url": LINK}],
                },
            }
        ],
    }


def test_feishu_gets_a_card_of_plain_text_signed_in_its_body() -> None:
    def plain(text: str) -> dict[str, str]:
        return {"tag": "plain_text", "content": text}

    moment = str(int(NOW.timestamp()))
    key = f"{moment}\nSECfeishu".encode()
    button = {"tag": "button", "type": "primary", "text": plain("Read and decide"), "url": LINK}
    assert made("feishu", asked(), "SECfeishu") == {
        "msg_type": "interactive",
        "card": {
            "header": {"title": plain(TITLE), "template": "orange"},
            "elements": [
                {"tag": "div", "text": plain("\n".join(LINES))},
                {"tag": "action", "actions": [button]},
            ],
        },
        "timestamp": moment,
        "sign": base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode(),
    }


def test_dingtalk_gets_an_action_card_signed_in_its_address() -> None:
    posted = message(Address("dingtalk", "https://ding.example/robot/send?access_token=1", "SEC1"), asked(), NOW, "")
    text = "\n\n".join([f"**{TITLE}**", *LINES])
    card = {"title": TITLE, "text": text, "singleTitle": "Read and decide", "singleURL": LINK}
    assert json.loads(posted.body) == {"msgtype": "actionCard", "actionCard": card}
    moment = str(int(NOW.timestamp() * 1000))
    sign = base64.b64encode(hmac.new(b"SEC1", f"{moment}\nSEC1".encode(), hashlib.sha256).digest()).decode()
    assert parse_qs(urlsplit(posted.url).query) == {"access_token": ["1"], "timestamp": [moment], "sign": [sign]}


def test_dingtalk_gets_markdown_where_there_is_no_link() -> None:
    content = made("dingtalk", asked(""))
    assert content["msgtype"] == "markdown"
    assert content["markdown"]["title"] == TITLE


def test_wecom_gets_text_with_our_link_at_its_end() -> None:
    text = "\n".join([TITLE, *LINES, f"Read and decide: {LINK}"])
    assert made("wecom", asked()) == {"msgtype": "text", "text": {"content": text}}


def test_a_program_gets_every_part_signed_as_standard_webhooks_has_it() -> None:
    posted = message(Address("generic", "https://ours.example/hook", WHSEC), asked(), NOW, "msg_1")
    assert json.loads(posted.body) == {
        "type": "approval.asked",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {
            "code": CODE,
            "tool": "delete_cluster",
            "effect": "destroy",
            "name": "shop-prod",
            "principal": "ivan",
            "client": "Claude 1.0",
            "profile": "",
            "region": "cn-north-4",
            "project": "0b1c",
            "simulated": False,
            "other_approver": False,
            "asked": "2026-03-01T12:00:00Z",
            "expires": "2026-03-01T12:15:00Z",
            "link": LINK,
            "by": "",
            "title": TITLE,
            "text": "\n".join(LINES),
        },
    }
    moment = str(int(NOW.timestamp()))
    signed = b".".join([b"msg_1", moment.encode(), posted.body])
    signature = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert posted.headers["webhook-id"] == "msg_1"
    assert posted.headers["webhook-timestamp"] == moment
    assert posted.headers["webhook-signature"] == f"v1,{signature}"


def test_the_signature_is_the_one_of_the_published_example() -> None:
    """Of the specification of Standard Webhooks, whose body is another one: the rule is tried without our content."""
    from ap_mcp.webhooks.forms import _standard

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body, moment = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    headers = _standard(Address("generic", "https://x", secret), body, moment, "msg_p5jXN8AQM9LWM0D4loKWxJek")
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("form", FORMS)
def test_without_a_secret_nothing_is_signed(form: Form) -> None:
    posted = message(Address(form, "https://x.example/hook"), asked(), NOW, "msg_1")
    assert posted.url == "https://x.example/hook"
    assert "webhook-signature" not in posted.headers
    assert "sign" not in json.loads(posted.body)


# What others chose

HOSTILE = (
    "<!channel> @all <@U1> <at id=all></at> [x](http://evil.example) **b** `c` &lt; https://evil.example ![i](//e)"
    " www.evil.example evil.example/approve a@evil.example evil\u3002example"
)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "generic"])
@pytest.mark.parametrize("part", ["name", "client", "principal", "region", "project", "tool"])
def test_no_text_of_others_makes_a_mention_a_link_or_markup(form: Form, part: str) -> None:
    text = json.dumps(made(form, asked(**{part: HOSTILE})), ensure_ascii=False)
    assert not re.search(r"evil\W?[.\u3002]|www\.|//evil", text.replace("\uff1a//evil", ""))
    if form == "slack":
        assert not re.search(r"<(?!https://ap\.example/)", text)
        assert "&lt;!channel&gt;" in text
    if form in ("feishu", "dingtalk", "wecom"):
        assert "@" not in text
        assert "<" not in text
    if form == "dingtalk":
        assert "](" not in text
        assert "`" not in text
        assert "**" not in text.replace(f"**{TITLE.partition(' ')[0]}", "").replace("person**", "") or part == "tool"


@pytest.mark.parametrize("form", FORMS)
def test_no_text_of_others_adds_a_line_or_turns_the_direction(form: Form) -> None:
    text = json.dumps(made(form, asked(client="a\nCode: AAAA-2222\u202e\u2028\x1b[31m")), ensure_ascii=False)
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert "\\u001b" not in text
    assert "\\nCode: AAAA" not in text


long_texts = st.text(min_size=1, max_size=4000).filter(lambda text: not re.search("[\ud800-\udfff]", text))


@given(long_texts, long_texts, long_texts)
def test_no_message_is_longer_than_its_receiver_takes_and_the_link_is_whole(one: str, two: str, three: str) -> None:
    shown = asked(name=one, client=two, principal=three, region=one, project=two)
    slack = made("slack", shown)
    assert len(slack["blocks"][0]["text"]["text"]) <= SLACK_HEADER
    assert len(slack["blocks"][1]["text"]["text"]) <= SLACK_TEXT
    wecom = made("wecom", shown)["text"]["content"]
    assert len(wecom.encode()) <= WECOM_BYTES
    assert wecom.endswith(f"Read and decide: {LINK}")
    for form in FORMS:
        assert len(message(Address(form, "https://x"), shown, NOW, "msg_1").body) < 20_000


def test_a_long_title_is_cut_without_half_an_escape() -> None:
    title = made("slack", asked(name="<" * 200))["blocks"][0]["text"]["text"]
    assert not re.search(r"&(?!lt;|gt;|amp;)", title)


# What a receiver answers


@pytest.mark.parametrize(
    ("form", "status", "body", "why"),
    [
        ("slack", 200, "ok", ""),
        ("slack", 403, "invalid_token", "HTTP 403"),
        ("slack", 302, "", "a redirect, which is not followed"),
        ("slack", 200, "<html>sign in</html>", "a web page"),
        ("teams", 202, "", ""),
        ("teams", 200, "1", ""),
        ("teams", 200, " <!DOCTYPE html>", "a web page"),
        ("feishu", 200, '{"code":0,"msg":"success"}', ""),
        ("feishu", 200, '{"code":19021,"msg":"sign match fail"}', "the signature or the clock is wrong"),
        ("feishu", 200, '{"code":9499}', "code 9499"),
        ("feishu", 200, '{"code":"0"}', "code that is no number"),
        ("feishu", 200, "ok", "without the code"),
        ("dingtalk", 200, '{"errcode":0,"errmsg":"ok"}', ""),
        ("dingtalk", 200, '{"errcode":310000}', "wants a signature"),
        ("dingtalk", 200, "[" * 99_999, "without the errcode"),
        ("wecom", 200, '{"errcode":0}', ""),
        ("wecom", 200, '{"errcode":45009}', "more than 20 messages"),
        ("wecom", 200, '{"errcode":true}', "errcode True"),
        ("generic", 204, "", ""),
        ("generic", 200, "<html>", ""),
        ("generic", 500, "", "HTTP 500"),
    ],
)
def test_what_is_refused_is_known_for_it_under_whatever_status(form: Form, status: int, body: str, why: str) -> None:
    found = refusal(form, status, body)
    assert why in found
    assert bool(found) == bool(why)


# Where it goes


def test_addresses_are_read_with_their_forms_and_secrets() -> None:
    text = "slack+https://hooks.slack.com/services/T/B/X  FEISHU+https://open.feishu.cn/h/1\nhttps://ours.example/hook"
    found = read_addresses(text, f"SEC1 {WHSEC}")
    assert [(each.form, each.secret) for each in found] == [("slack", ""), ("feishu", "SEC1"), ("generic", WHSEC)]
    assert [str(each) for each in found] == [
        "slack at hooks.slack.com",
        "feishu at open.feishu.cn",
        "generic at ours.example",
    ]
    assert found[2].key == b"k" * 24
    assert "services" not in repr(found)
    assert "SEC1" not in repr(found)


def test_one_secret_is_for_all_that_sign_and_a_dash_is_for_none() -> None:
    text = "dingtalk+https://a.example/1 feishu+https://b.example/2 wecom+https://c.example/3"
    assert [each.secret for each in read_addresses(text, "SEC1")] == ["SEC1", "SEC1", ""]
    assert [each.secret for each in read_addresses(text, "- SEC2")] == ["", "SEC2", ""]


def test_plain_http_is_for_this_machine_only() -> None:
    for host in ("127.0.0.1:8080", "localhost", "[::1]:1"):
        assert read_addresses(f"http://{host}/x")[0].form == "generic"


@pytest.mark.parametrize(
    ("text", "secrets", "why"),
    [
        ("http://ours.example/x", "", "must start with https://"),
        ("ftp://ours.example/x", "", "must start with https://"),
        ("discord+https://ours.example/x", "", "no known form; known: slack+https://"),
        ("slack+", "", "must start with https://"),
        ("https://", "", "whole web address"),
        ("https://user:pass@ours.example/x", "", "no user and no password"),
        ("https://ours.example/x#y", "", "must hold no #"),
        ("https://ours.example:99999/x", "", "no web address"),
        ("https://[::1/x", "", "no web address"),
        ("https://ours.example/\u00e9", "", "percent-encoded"),
        ("https://hooks.slack.com/services/T/B/X", "", "write slack+https://"),
        ("https://prod-1.westeurope.logic.azure.com/x", "", "write teams+https://"),
        ("https://a.example/1 nonsense", "", "webhook 2 must start with https://"),
        ("slack+https://a.example/1", "SEC1", "none of them is given"),
        ("feishu+https://a.example/1", "SEC1 SEC2", "holds 2 secrets for 1 webhooks that sign"),
        ("https://a.example/1", "hunter2", "must be whsec_ and 24 to 64 bytes in base64"),
        ("https://a.example/1", "whsec_c2hvcnQ=", "24 to 64 bytes"),
        ("https://a.example/1", base64.b64encode(b"k" * 32).decode(), "must be whsec_"),
    ],
)
def test_a_wrong_address_or_secret_is_refused_without_being_repeated(text: str, secrets: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        read_addresses(text, secrets)
    said = str(caught.value)
    assert why in said
    for private in ("pass@", "/x#y", "/services/", "SEC1", "hunter2", "c2hvcnQ="):
        assert private not in said


def test_a_host_that_only_ends_alike_takes_any_form() -> None:
    assert read_addresses("https://not-hooks.slack.com.ours.example/x")[0].form == "generic"
    assert read_addresses("https://myhooks.slack.com.example/x")[0].form == "generic"


def test_a_question_that_is_about_to_expire_says_so() -> None:
    shown = notice("asked", ASKED, NOW + timedelta(minutes=14, seconds=30), link=LINK)
    assert "within 30 s" in shown.lines[3]
