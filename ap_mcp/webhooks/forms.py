"""Puts a notice into the form that a receiver takes, with no markup or mention in it but our own, and signs it."""

import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import quote_plus

from ap_mcp.vendor import written
from ap_mcp.webhook_addresses import Address, Form
from ap_mcp.webhooks.notice import OPEN, Notice
from ap_mcp.wording import ends

SLACK_HEADER, SLACK_TEXT = 150, 3000
WECOM_BYTES = 2048
_SLACK = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_WIDE = str.maketrans({each: chr(ord(each) + 0xFEE0) for each in "[]<>*~`|\\#@"})
"""What makes markup or a mention, as the wide letter of the same shape, which makes neither."""
DOT = "\u2024"
"""Looks like a full stop, and ends no label of a host."""
_HOST_DOT = re.compile(r"(?<=\w)[.\u3002\uff0e\uff61](?=[^\W\d])")
_AT = str.maketrans({"@": "\uff20", "<": "\uff1c"})


@dataclass(frozen=True, slots=True)
class Message:
    """One request to a receiver: what is posted where, and with which headers."""

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


_Made: TypeAlias = tuple[str, dict[str, Any], dict[str, str]]


def message(address: Address, notice: Notice, now: datetime, message_id: str) -> Message:
    """Return the request that posts a notice.

    Args:
        address: where to.
        notice: what.
        now: the time that the signature holds.
        message_id: the same at each attempt, so that a receiver that looks at it takes the message once.
    """
    url, content, headers = _MAKERS[address.form](address, notice, now)
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if address.form == "generic":
        headers |= _standard(address, body, now, message_id)
    return Message(url, body, {"Content-Type": "application/json; charset=utf-8", **headers})


def refusal(form: Form, status: int, body: str) -> str:
    """Return why a receiver did not take a message; empty if it did. Some refuse under the status 200.

    Args:
        form: what the receiver takes.
        status: of its answer.
        body: the beginning of it.
    """
    if not 200 <= status < 300:
        return f"HTTP {status}{', a redirect, which is not followed' if 300 <= status < 400 else ''}"
    if form == "generic":
        return ""
    if body.lstrip().startswith("<"):
        return f"HTTP {status} with a web page: that is no webhook of {form}, or something stands in between"
    code = _CODES.get(form)
    if code is None:
        return ""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or code not in found:
        return f"HTTP {status} without the {code} that {form} answers with"
    return "" if found[code] == 0 else f"HTTP {status}, {code} {_number(found[code])}{_hint(form, found[code])}"


_CODES: Mapping[Form, str] = {"feishu": "code", "dingtalk": "errcode", "wecom": "errcode"}
_HINTS: Mapping[tuple[Form, int], str] = {
    ("feishu", 19021): "the signature or the clock is wrong: see AP_MCP_APPROVAL_WEBHOOK_SECRET",
    ("feishu", 19022): "the robot does not take messages from this address",
    ("feishu", 19024): "the robot wants a keyword, for instance: person",
    ("dingtalk", 310000): "the robot wants a signature, another address or a keyword, for instance: person",
    ("dingtalk", 300001): "there is no such robot",
    ("wecom", 93000): "there is no such robot",
    ("wecom", 45009): "more than 20 messages within a minute",
}


def _hint(form: Form, code: Any) -> str:
    said = _HINTS.get((form, code)) if isinstance(code, int) else None
    return f": {said}" if said else ""


def _number(code: Any) -> str:
    return str(code) if isinstance(code, int) and abs(code) < 10**9 else "that is no number"


def _slack(address: Address, notice: Notice, _: datetime) -> _Made:
    """Plain text objects, in which nothing is a mention or markup; the link alone stands in one that has markup."""
    title, text = _escaped(notice.title, SLACK_HEADER), _escaped("\n".join(notice.lines), SLACK_TEXT)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}},
        {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}},
    ]
    if notice.link:
        link = {"type": "mrkdwn", "text": f"<{notice.link}|{OPEN}>", "verbatim": True}
        blocks.append({"type": "section", "text": link})
    return address.url, {"text": title, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}, {}


def _teams(address: Address, notice: Notice, _: datetime) -> _Made:
    """An adaptive card of text runs, in which Markdown is plain text."""

    def block(text: str, **more: Any) -> dict[str, Any]:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": _unlinked(text), **more}]}

    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block(notice.title, weight="bolder", size="medium"), *map(block, notice.lines)],
    }
    if notice.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": OPEN, "url": notice.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return address.url, {"type": "message", "attachments": [attachment]}, {}


def _feishu(address: Address, notice: Notice, now: datetime) -> _Made:
    def plain(text: str) -> dict[str, str]:
        return {"tag": "plain_text", "content": _unlinked(text).translate(_AT)}

    elements: list[dict[str, Any]] = [{"tag": "div", "text": plain("\n".join(notice.lines))}]
    if notice.link:
        button = {"tag": "button", "type": "primary", "text": plain(OPEN), "url": notice.link}
        elements.append({"tag": "action", "actions": [button]})
    color = "orange" if notice.kind in ("asked", "left") else "grey"
    card = {"header": {"title": plain(notice.title), "template": color}, "elements": elements}
    content: dict[str, Any] = {"msg_type": "interactive", "card": card}
    if address.secret:
        moment = str(int(now.timestamp()))
        content |= {"timestamp": moment, "sign": _mac(f"{moment}\n{address.secret}".encode(), b"")}
    return address.url, content, {}


def _dingtalk(address: Address, notice: Notice, now: datetime) -> _Made:
    """A text with Markdown, which cannot be switched off: so nothing that makes any is left in it."""
    title, *lines = (_unlinked(each).translate(_WIDE) for each in (notice.title, *notice.lines))
    text = "\n\n".join([f"**{title}**", *lines])
    content: dict[str, Any] = {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
    if notice.link:
        card = {"title": title, "text": text, "singleTitle": OPEN, "singleURL": notice.link}
        content = {"msgtype": "actionCard", "actionCard": card}
    if not address.secret:
        return address.url, content, {}
    moment = str(int(now.timestamp() * 1000))
    sign = quote_plus(_mac(address.key, f"{moment}\n{address.secret}".encode()))
    return f"{address.url}{'&' if '?' in address.url else '?'}timestamp={moment}&sign={sign}", content, {}


def _wecom(address: Address, notice: Notice, _: datetime) -> _Made:
    """Text without markup; only `<@…>` is a mention in it. The link is never cut, the rest may be."""
    link = f"\n{OPEN}: {notice.link}" if notice.link else ""
    text = "\n".join([notice.title, *notice.lines])
    room = WECOM_BYTES - len(link.encode())
    return (
        address.url,
        {"msgtype": "text", "text": {"content": _within(_unlinked(text).translate(_AT), room) + link}},
        {},
    )


def _generic(address: Address, notice: Notice, _: datetime) -> _Made:
    data = {**notice.data, "title": notice.title, "text": "\n".join(notice.lines)}
    return address.url, {"type": f"approval.{notice.kind}", "timestamp": written(notice.at), "data": data}, {}


_MAKERS: Mapping[Form, Callable[[Address, Notice, datetime], _Made]] = {
    "slack": _slack,
    "teams": _teams,
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "wecom": _wecom,
    "generic": _generic,
}


def _standard(address: Address, body: bytes, now: datetime, message_id: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks: what names a message, its time, and the signature of both and itself."""
    moment = str(int(now.timestamp()))
    headers = {"webhook-id": message_id, "webhook-timestamp": moment}
    if address.secret:
        headers["webhook-signature"] = f"v1,{_mac(address.key, f'{message_id}.{moment}.'.encode() + body)}"
    return headers


def _mac(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.new(key, text, sha256).digest()).decode("ascii")


def _unlinked(text: str) -> str:
    """Return a text in which no chat makes a link of an address or of a host: the only one to follow is our own."""
    return _HOST_DOT.sub(DOT, text.replace("://", "\uff1a//"))


def _escaped(text: str, limit: int) -> str:
    """Return a text for Slack of at most so many characters, none of them cut within a sign that is escaped."""
    shown = "".join(_SLACK.get(each, each) for each in _unlinked(text))
    return shown if len(shown) <= limit else _escaped(ends(text, len(text) - max(1, (len(shown) - limit) // 5)), limit)


def _within(text: str, room: int) -> str:
    """Return the beginning of a text that takes at most so many bytes."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= room else encoded[: max(room - 3, 0)].decode("utf-8", "ignore") + "…"
