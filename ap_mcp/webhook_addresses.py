"""Reads where questions are posted: addresses of incoming webhooks, each with the form that its receiver takes."""

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args
from urllib.parse import SplitResult, urlsplit

Form: TypeAlias = Literal["slack", "teams", "feishu", "dingtalk", "wecom", "generic"]

FORMS: tuple[Form, ...] = get_args(Form)
SIGNED: tuple[Form, ...] = ("feishu", "dingtalk", "generic")
"""The forms that take a signature; of the others the address itself is the secret."""
NONE = "-"
"""Stands among secrets for a webhook that has none."""
STANDARD = "whsec_"
KEY_BYTES = (24, 64)
_OWN_HOSTS: tuple[tuple[str, Form], ...] = (
    ("hooks.slack.com", "slack"),
    ("open.feishu.cn", "feishu"),
    ("open.larksuite.com", "feishu"),
    ("oapi.dingtalk.com", "dingtalk"),
    ("qyapi.weixin.qq.com", "wecom"),
    (".logic.azure.com", "teams"),
    (".powerplatform.com", "teams"),
    (".webhook.office.com", "teams"),
)
"""Hosts that take one form only."""
_NOT_IN_ADDRESS = re.compile(r"[\x00-\x20\x7f-\xff\\]")


@dataclass(frozen=True, slots=True)
class Address:
    """One incoming webhook; who knows its URL can post there, so it is never shown.

    Attributes:
        form: what its receiver takes.
        url: where it is.
        secret: what messages are signed with; empty if they are not.
    """

    form: Form
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return what may be shown of it."""
        return f"{self.form} at {urlsplit(self.url).netloc}"

    @property
    def key(self) -> bytes:
        """The bytes that messages are signed with."""
        if self.form != "generic":
            return self.secret.encode()
        return base64.b64decode(self.secret.removeprefix(STANDARD))


def read_addresses(text: str, secrets: str = "") -> tuple[Address, ...]:
    """Return the webhooks that an operator has given.

    Args:
        text: `slack+https://…` and the like, separated by white space; without a form, generic.
        secrets: one for all that sign, or one for each of them in their order, `-` for none.

    Raises:
        ValueError: says which one is wrong, and how it must be; no part of an address or secret is repeated.
    """
    words = text.split()
    found = [_address(word, f"webhook {number} " if len(words) > 1 else "") for number, word in enumerate(words, 1)]
    signing = [index for index, each in enumerate(found) if each.form in SIGNED]
    given = secrets.split()
    if given and not signing:
        raise ValueError(f"is for webhooks that sign ({', '.join(SIGNED)}), and none of them is given")
    if len(given) not in (0, 1, len(signing)):
        raise ValueError(
            f"holds {len(given)} secrets for {len(signing)} webhooks that sign: give one for all, or one for each in "
            f"their order ({NONE} for one without)"
        )
    shared = given * len(signing) if len(given) == 1 else given
    for index, secret in zip(signing, shared, strict=False):
        if secret != NONE:
            found[index] = _signing(found[index], secret)
    return tuple(found)


def _address(word: str, which: str) -> Address:
    head, plus, rest = word.partition("+")
    form, url = (head.lower(), rest) if plus and "/" not in head else ("generic", word)
    known = next((each for each in FORMS if each == form), None)
    if known is None:
        raise ValueError(f"{which}begins with no known form; known: {', '.join(f'{each}+https://…' for each in FORMS)}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"{which}is no web address") from None
    if why := _flaw(url, parts):
        raise ValueError(f"{which}{why}")
    host = f".{parts.hostname or ''}"
    own = next(
        (form for name, form in _OWN_HOSTS if host.endswith(name if name.startswith(".") else f".{name}")), known
    )
    if known == "generic" and own != known:
        raise ValueError(f"{which}leads to a host that takes the form of {own}: write {own}+https://…")
    return Address(known, url)


def _flaw(url: str, parts: SplitResult) -> str:
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return "must start with https:// (http:// is for this machine only, as 127.0.0.1 or localhost)"
    if not parts.hostname or _NOT_IN_ADDRESS.search(url):
        return "must be a whole web address, special characters percent-encoded"
    if "@" in parts.netloc:
        return "must hold no user and no password"
    return "must hold no #" if "#" in url else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _signing(address: Address, secret: str) -> Address:
    signed = Address(address.form, address.url, secret)
    if address.form == "generic":
        least, most = KEY_BYTES
        wanted = f"must be {STANDARD} and {least} to {most} bytes in base64, as Standard Webhooks has it: "
        wanted += f'`echo "{STANDARD}$(openssl rand -base64 32)"` makes one'
        try:
            base64.b64decode(secret.removeprefix(STANDARD), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(wanted) from None
        if not secret.startswith(STANDARD) or not least <= len(signed.key) <= most:
            raise ValueError(wanted)
    return signed
