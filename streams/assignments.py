"""What the proxy stamped on a request, and the bucket of its session. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

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


@lru_cache(maxsize=65_536)
def bucket_of(rollout: int, session: str) -> int:
    """The bucket of a session in a rollout: BLAKE2b (RFC 7693) of its hash, salted by the rollout, modulo 64.

    Another rollout puts the same session elsewhere, so two sessions do not share a bucket for ever.
    """
    digest = blake2b(session.encode(), digest_size=8, salt=rollout.to_bytes(blake2b.SALT_SIZE, "big"))
    return int.from_bytes(digest.digest(), "big") % BUCKETS
