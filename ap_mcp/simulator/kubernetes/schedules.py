"""Reads the schedules of CronJobs: five fields, or one of the short names."""

from datetime import datetime, timedelta

_SHORT = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = {name: index for names in ("jan feb mar apr may jun jul aug sep oct nov dec",) for index, name in
          enumerate(names.split(), 1)}  # fmt: skip
_NAMES |= {name: index for index, name in enumerate("sun mon tue wed thu fri sat".split())}  # noqa: SIM905
LONGEST_DAYS = 366 * 4


def next_moment(schedule: str, after: datetime) -> datetime | None:
    """Return the first moment after a given one at which a schedule is due; None if it cannot be read or never is."""
    try:
        fields = _fields(_SHORT.get(schedule, schedule))
    except ValueError:
        return None
    minutes, hours, days, months, weekdays = (values for values, _ in fields)
    any_day, any_weekday = fields[2][1], fields[4][1]
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    last = after + timedelta(days=LONGEST_DAYS)
    while moment < last:
        weekday = (moment.weekday() + 1) % 7
        in_month, in_week = moment.day in days, weekday in weekdays or (weekday == 0 and 7 in weekdays)
        day = (in_month and in_week) if any_day or any_weekday else (in_month or in_week)
        if moment.month not in months or not day:
            moment = (moment + timedelta(days=1)).replace(hour=0, minute=0)
        elif moment.hour not in hours:
            moment = (moment + timedelta(hours=1)).replace(minute=0)
        elif moment.minute not in minutes:
            moment += timedelta(minutes=1)
        else:
            return moment
    return None


def _fields(text: str) -> list[tuple[set[int], bool]]:
    parts = text.lower().split()
    if len(parts) != len(_RANGES):
        raise ValueError(f"a schedule has five fields, not {len(parts)}")
    return [(_values(part, *bounds), part.startswith("*")) for part, bounds in zip(parts, _RANGES, strict=True)]


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if span in ("*", "?") else _number(first)
        end = high if span in ("*", "?") or (step and not dash) else _number(last) if dash else start
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)
