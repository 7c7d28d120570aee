"""Says what a refused sign-in comes from: the credentials in use, this machine's clock, or a request held up."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from ap_mcp.credentials import Credentials
from ap_mcp.wording import span

CCE_SETTING, IAM_SETTING = "AP_MCP_ENDPOINT", "AP_MCP_IAM_ENDPOINT"
LARGEST_SKEW = timedelta(minutes=5)
_MOMENT = r"(?:stamp)?(?:\s+is)?\W{0,3}(\d{4}-?\d\d-?\d\dT\d\d:?\d\d:?\d\d(?:Z|\+00:?00)?)"
_SIGNED_AT = re.compile(rf"signature\s*time{_MOMENT}", re.IGNORECASE)
_SERVER_AT = re.compile(rf"server\s*time{_MOMENT}", re.IGNORECASE)
_EXPIRED = re.compile(r"signature\s+(?:is\s+|has\s+)?expired", re.IGNORECASE)
_ABOUT_TIME = re.compile(rf"{_EXPIRED.pattern}|timestamp|x-sdk-date|clock|(signature|server)\s*time", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a request went to, and as whom.

    Attributes:
        setting: the variable that names its endpoint.
        credentials: in use; None where that does not matter.
    """

    setting: str = CCE_SETTING
    credentials: Credentials | None = None


def is_expired_signature(status: int, said: str) -> bool:
    """Say whether a request was turned away at the door because its signature was too old: nothing was carried out."""
    return status == 401 and _EXPIRED.search(said) is not None


def about_sign_in(said: str, date: str, recipient: Recipient, now: datetime, *, again: bool = False) -> str:
    """Say what to check after a 401.

    Args:
        said: what the service said.
        date: the answer's Date header; may be empty.
        recipient: whom was asked, and as whom.
        now: this machine's time.
        again: it was refused twice, each time with a new signature.
    """
    clock = about_clock(said, date, now, again=again)
    if is_expired_signature(401, said):
        return clock
    advice = recipient.credentials.advice if recipient.credentials else ""
    return " ".join(part for part in (advice, clock) if part)


def about_clock(said: str, date: str, now: datetime, *, again: bool = False) -> str:
    """Say what clocks have to do with a refusal; empty if nothing."""
    is_about_time = bool(_ABOUT_TIME.search(said))
    theirs = http_date(date)
    skew = now - theirs if theirs else timedelta()
    if abs(skew) > LARGEST_SKEW:
        return _wrong_clock(skew)
    refused = " A new signature was refused as well." if again else ""
    signed, received = _moment(_SIGNED_AT, said), _moment(_SERVER_AT, said)
    if signed and received and signed > received:
        return _wrong_clock(signed - received)
    if signed and received:
        return (
            f"The signature was {span(received - signed)} old when it was checked: it was made at {_utc(signed)}, and "
            f"the service's clock showed {_utc(received)}. Either this machine's clock was behind, or the request was "
            f"held up on its way (a machine that slept, a proxy).{refused}"
        )
    if not is_about_time:
        return ""
    if theirs is None:
        return f"Signatures end after 15 minutes: check this machine's clock.{refused}"
    return (
        f"By the date of the answer the clocks agree within {abs(skew).total_seconds():.0f} s now: the clock may have "
        "been set since, or the request was held up on its way (a machine that slept, a proxy)."
        f"{refused}"
    )


def http_date(value: str) -> datetime | None:
    """Read a date as HTTP writes it; None if it is none."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _wrong_clock(skew: timedelta) -> str:
    way = "ahead of" if skew > timedelta() else "behind"
    minutes = round(abs(skew).total_seconds() / 60)
    return f"This machine's clock is {minutes} minutes {way} the service's: set it right (NTP), then try again."


def _moment(pattern: re.Pattern[str], said: str) -> datetime | None:
    found = pattern.search(said)
    try:
        moment = datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
