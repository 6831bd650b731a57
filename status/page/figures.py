"""Numbers as people read them: unit always, a space that does not break before it, a true minus, UTC. Pure."""

from datetime import UTC, datetime
from functools import lru_cache

from schemas.units import FULL_SHARE

NB = "\u00a0"
"""Between a number and its unit: they stay on one line."""
_THIN = "\u202f"
_MINUS = "\u2212"
_SPACES = str.maketrans({NB: " ", _THIN: " "})
_SECOND_MS = 1000
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_KEPT = 4096
"""Of the figures that a list writes by the hundred, again and again."""


def plain(text: str) -> str:
    """With one kind of space, for terminals and programs."""
    return text.translate(_SPACES)


@lru_cache(_KEPT)
def count(n: float) -> str:
    """2180 → `2 180`."""
    return f"{n:,.0f}".replace(",", _THIN).replace("-", _MINUS)


def percent(part: float) -> str:
    """0.02706 → `2.71 %`."""
    return f"{100 * part:.2f}{NB}%"


def share(of_ten_thousand: float) -> str:
    """1000 of 10,000 → `10 %`; observed ones keep a decimal (990.4 → `9.9 %`)."""
    value = 100 * of_ten_thousand / FULL_SHARE
    exact = value == round(value, 2) and isinstance(of_ten_thousand, int)
    return f"{value:g}{NB}%" if exact else f"{value:.1f}{NB}%"


def signed(part: float) -> str:
    """0.0212 → `+2.12`: percentage points with a sign, nothing after them."""
    text = f"{100 * part:+.2f}"
    return "±0.00" if text in ("+0.00", "-0.00") else text.replace("-", _MINUS)


def points(part: float) -> str:
    """0.0212 → `+2.12 points`."""
    return f"{signed(part)}{NB}points"


def ratio(factor: float) -> str:
    """1.0352 → `× 1.035`."""
    return f"×{NB}{factor:.3f}"


def limit_ratio(factor: float) -> str:
    """1.1 → `× 1.10`: as people write limits, with no more digits than it has."""
    return f"×{NB}{f'{factor:.3f}'.removesuffix('0')}"


def milliseconds(ms: float) -> str:
    """1420 → `1.42 s`, 212.4 → `212 ms`: three significant digits."""
    value, unit = (ms / _SECOND_MS, "s") if ms >= _SECOND_MS else (ms, "ms")
    digits = 0 if value >= 100 else 1 if value >= 10 else 2  # noqa: PLR2004 - three significant digits
    return f"{value:.{digits}f}{NB}{unit}"


def mean(value: float) -> str:
    """A mean of anything: 1184.2 → `1 184`, 12.34 → `12.3`."""
    return count(value) if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - three significant digits


def duration(seconds: float) -> str:
    """251 → `4 min 11 s`; two units at most, the second only where it is not zero."""
    return _duration(max(0, round(seconds)))


@lru_cache(_KEPT)
def _duration(total: int) -> str:
    for size, unit, smaller, smaller_unit in (
        (_DAY_S, "d", _HOUR_S, "h"),
        (_HOUR_S, "h", _MINUTE_S, "min"),
        (_MINUTE_S, "min", 1, "s"),
    ):
        if total >= size:
            rest = total % size // smaller
            whole = f"{total // size}{NB}{unit}"
            return f"{whole} {rest}{NB}{smaller_unit}" if rest else whole
    return f"{total}{NB}s"


def brief(seconds: float) -> str:
    """0.4 → `0.4 s`, 0.015 → `15 ms`: a short time, with a decimal below ten seconds."""
    if seconds < 0.1:  # noqa: PLR2004 - a tenth would be shown as nothing
        return f"{max(0.0, 1000 * seconds):.0f}{NB}ms"
    return f"{seconds:.1f}{NB}s" if seconds < 10 else duration(seconds)  # noqa: PLR2004


def clock(unix_ms: float, now_ms: float | None = None) -> str:
    """`03:07:41` (UTC), with the date where it is not the day of `now_ms`."""
    at = datetime.fromtimestamp(unix_ms / _SECOND_MS, UTC)
    same_day = now_ms is None or at.date() == datetime.fromtimestamp(now_ms / _SECOND_MS, UTC).date()
    return f"{at:%H:%M:%S}" if same_day else f"{at:%Y-%m-%d %H:%M:%S}"


def iso(unix_ms: float) -> str:
    """For `datetime=`: `2026-11-24T03:07:41Z`."""
    return f"{datetime.fromtimestamp(unix_ms / _SECOND_MS, UTC):%Y-%m-%dT%H:%M:%SZ}"
