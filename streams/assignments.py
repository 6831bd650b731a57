"""What the proxy stamped on a request, and the bucket of its session. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from schemas.labels import UNJUDGED, Label, split_assignment
from schemas.windows import BUCKETS


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the proxy stamped on a request."""

    version: str | None
    """None: no proxy assigned it."""
    label: str = UNJUDGED
    rollout: int | None = None
    """The rollout of the label; None without one."""


@lru_cache(maxsize=4096)
def read_assignment(header: str | None) -> Assignment:
    """The assignment in an event. Only the one spelling that a proxy writes is a label, all else is ``-``."""
    text, version = split_assignment(header)
    label = Label.parse(text)
    if label is None or str(label) != text:
        return Assignment(version)
    return Assignment(version, text, label.rollout)


def bucket_of(rollout: int, session: str) -> int:
    """The bucket of a session in a rollout: BLAKE2b (RFC 7693) of its hash, salted by the rollout, modulo 64.

    Another rollout puts the same session elsewhere, so two sessions do not share a bucket for ever.
    """
    digest = blake2b(session.encode(), digest_size=8, salt=rollout.to_bytes(blake2b.SALT_SIZE, "big"))
    return int.from_bytes(digest.digest(), "big") % BUCKETS


class _Known(dict[str, int]):
    """Session → bucket in a rollout; asked for another session it remembers that too."""

    __slots__ = ("_rollout",)

    def __init__(self, rollout: int) -> None:
        super().__init__()
        self._rollout = rollout

    def __missing__(self, session: str) -> int:
        self[session] = bucket = bucket_of(self._rollout, session)
        return bucket


REMEMBERED = 65_536
"""Sessions whose buckets are remembered; once they are more, all are forgotten."""

_known: dict[int, _Known] = {}


def buckets_of(rollout: int, sessions: Sequence[str]) -> NDArray[np.int64]:
    """:func:`bucket_of` each session. They come again with each request, and a hash takes a microsecond."""
    if sum(map(len, _known.values())) > REMEMBERED:
        _known.clear()
    known = _known.get(rollout) or _known.setdefault(rollout, _Known(rollout))
    return np.fromiter(map(known.__getitem__, sessions), np.int64, len(sessions))
