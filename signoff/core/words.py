"""Lists and durations as a person would say them."""

from collections.abc import Iterable
from datetime import timedelta


def listed(items: Iterable[object]) -> str:
    """Items in words.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(", ".join(map(str, items)).rsplit(", ", 1))


def duration(seconds: float) -> str:
    """Seconds in their two largest units.

    >>> duration(10_950), duration(75.9), duration(4)
    ('3h2m', '1m15s', '4s')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def days(span: timedelta) -> str:
    """A time in days, in hours if it is short.

    >>> days(timedelta(days=80, hours=3)), days(timedelta(hours=47))
    ('80 days', '47 hours')
    """
    hours = span / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours >= 2 * 24 else f"{hours:.0f} hours"
