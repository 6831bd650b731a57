"""The label that a proxy stamps into a session when it assigns it: ``<rollout>.<stage>.<kind>.<nonce>``."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal, Self, get_args

Kind = Literal["session", "cookie", "principal"]
"""What was assigned. Kinds are strata: never pooled."""

UNJUDGED = "-"
"""The label of sessions that are served and never judged (older sessions, foreign labels, direct calls)."""

_PATTERN = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,2})\.(session|cookie|principal)\.([0-9a-f]{16})")


def nonce(seed: str, stage: int, version: str, kind: Kind) -> str:
    """The first 64 bits of HMAC-SHA256(seed; stage, version, kind), as 16 hex digits.

    ``seed`` is the rollout's 128 random bits in hex. Any router rebuilds the nonce from the ledger; no client can
    guess that of the other cohort.
    """
    message = f"{stage}\n{version}\n{kind}".encode()
    return hmac.new(bytes.fromhex(seed), message, hashlib.sha256).hexdigest()[:16]


def salt(seed: str) -> str:
    """What a rollout's principals are hashed with, 64 bits in hex: each rollout draws them anew.

    Proxies are told it, the seed never.
    """
    return hmac.new(bytes.fromhex(seed), b"salt", hashlib.sha256).hexdigest()[:16]


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """Which rollout and stage a unit was assigned in. Sessions and cookies keep it for life; a principal, which has no
    birth, has that of the stage of each request."""

    rollout: int
    stage: int
    kind: Kind
    nonce: str

    @classmethod
    def make(cls, seed: str, rollout: int, stage: int, version: str, kind: Kind) -> Self:
        """The one label of sessions that ``stage`` assigned to ``version``."""
        return cls(rollout, stage, kind, nonce(seed, stage, version, kind))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The label in ``text``, or None if it is not one (``-`` included)."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            return None
        kind = match[3]
        return cls(int(match[1]), int(match[2]), next(k for k in get_args(Kind) if k == kind), match[4])

    def __str__(self) -> str:
        return f"{self.rollout}.{self.stage}.{self.kind}.{self.nonce}"


def split_assignment(header: str | None) -> tuple[str, str | None]:
    """``(label, version)`` of an ``x-davylamp-assignment`` value ``<label>;<version>``; ``("-", None)`` without one."""
    label, separator, version = (header or "").partition(";")
    if not separator or not label or not version:
        return UNJUDGED, None
    return label, version
