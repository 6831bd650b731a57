"""Durations as Kubernetes objects write them: Go's ``time.ParseDuration``."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORM = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_MOST_S = 2**63 / 1e9
"""Go counts nanoseconds in 64 bits: 292 years."""


def parse_duration_s(text: str) -> float:
    """``"1m30s"`` → 90.0. Raises ``ValueError``. Go's units below a millisecond are not known here."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 1m30s or 1h")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds >= _MOST_S:
        raise ValueError(f"{text[:20]!r} is longer than Go holds, 292 years")
    return seconds
