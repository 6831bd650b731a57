"""Numbers as people write them: ``1%``, ``10m``, ``0.5pp``. Parsed once, written back the same way."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

FULL_SHARE = 10_000
"""A share is an integer of ten thousand, so that weights are exact on every proxy."""

LONGEST_S = 100 * 365.25 * 86400
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


def _number(value: Any, unit: str, example: str) -> Decimal:
    match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*{unit}\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not understood; write it like {example}")
    return Decimal(match[1])


def parse_share(value: Any) -> int:
    """``"1%"`` → 100 of 10,000. Raises ``ValueError`` with the form to write."""
    share = _number(value, "%", "1% or 12.5%") * 100
    if share != int(share) or not 0 < share <= FULL_SHARE:
        raise ValueError(f"{value!r} is not a share: from 0.01% to 100%, in steps of 0.01%")
    return int(share)


def parse_duration_s(value: Any) -> float:
    """``"10m"`` → 600.0 seconds; units ms, s, m, h, d. Raises ``ValueError`` with the form to write."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write it like 30s, 10m or 1h")
    seconds = float(match[1])
    if seconds * float(_SECONDS[match[2]]) > LONGEST_S:
        raise ValueError(f"{match[1][:20]}… {match[2]} is longer than a hundred years")
    return float(Decimal(match[1]) * _SECONDS[match[2]])


def parse_points(value: Any) -> float:
    """``"0.5pp"`` (percentage points) → 0.005. Raises ``ValueError`` with the form to write."""
    points = _number(value, "pp", "0.5pp (percentage points)") / 100
    if not 0 <= points < 1:
        raise ValueError(f"{value!r} is not a margin: from 0pp to less than 100pp")
    return float(points)


def parse_percent(value: Any) -> float:
    """``"10%"`` → 0.1, a part of something else. Raises ``ValueError`` with the form to write."""
    part = _number(value, "%", "10%") / 100
    if not 0 <= part <= 100:  # noqa: PLR2004 - a hundredfold is a typing error
        raise ValueError(f"{value!r} is not a margin: from 0% to 10000%")
    return float(part)


def _plain(value: float | Decimal) -> str:
    return f"{Decimal(str(value)).normalize():f}"


def format_share(share: int) -> str:
    """100 of 10,000 → ``"1%"``."""
    return f"{_plain(Decimal(share) / 100)}%"


def format_duration_s(seconds: float) -> str:
    """600.0 → ``"10m"``: the largest unit that keeps it whole."""
    exact = Decimal(str(seconds))
    for unit in ("d", "h", "m", "s"):
        if exact >= _SECONDS[unit] and exact % _SECONDS[unit] == 0:
            return f"{_plain(exact / _SECONDS[unit])}{unit}"
    return f"{_plain(exact)}s"


def format_points(points: float) -> str:
    """0.005 → ``"0.5pp"``."""
    return f"{_plain(Decimal(str(points)) * 100)}pp"


def format_percent(part: float) -> str:
    """0.1 → ``"10%"``."""
    return f"{_plain(Decimal(str(part)) * 100)}%"


Share = Annotated[
    int,
    BeforeValidator(parse_share),
    PlainSerializer(format_share, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["1%"]}),
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration_s),
    PlainSerializer(format_duration_s, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10m"]}),
]
Points = Annotated[
    float,
    BeforeValidator(parse_points),
    PlainSerializer(format_points, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["0.5pp"]}),
]
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(format_percent, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["10%"]}),
]
