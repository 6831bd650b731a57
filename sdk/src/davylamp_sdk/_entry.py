"""A ledger entry as a server reads it: what the chain rule and people need, without the whole contract's models."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self, get_args

from davylamp_sdk._link import EntryKind
from davylamp_sdk._message import canonical_json

FULL_SHARE: Final = 10_000
KINDS: Final[frozenset[str]] = frozenset(get_args(EntryKind))


@dataclass(frozen=True, slots=True)
class PlanOfEntry:
    """A plan's versions and shares."""

    service: str
    canary: str
    approve: frozenset[str]
    stages: tuple[int, ...]

    def share_of(self, stage: int) -> int:
        shares = (0, *self.stages)
        return shares[stage] if 0 <= stage < len(shares) else FULL_SHARE


@dataclass(frozen=True, slots=True)
class ServiceOfEntry:
    """A service's first baseline."""

    service: str
    baseline: str


@dataclass(frozen=True, slots=True)
class OpeningOfEntry:
    """What `start` fixes, as far as the rule goes."""

    plan: PlanOfEntry
    service: ServiceOfEntry


@dataclass(frozen=True, slots=True)
class Entry:
    """A :class:`davylamp_sdk._link.Link` with the words that people read."""

    id: str
    after: str
    service: str
    kind: EntryKind
    rollout: int
    stage: int
    share: int
    baseline: str
    canary: str
    approves: str | None
    opening: OpeningOfEntry | None
    actor: str
    reason: str
    decided_at: int
    content_id: str

    def derived_id(self) -> str:
        return self.content_id

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Parse JSON; keys that are not known here are ignored, and are part of the id. Raises ``ValueError``."""
        try:
            return cls._of(json.loads(raw))
        except (AttributeError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"no ledger entry: {error!r}") from error

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> Self:
        if document.get("v", 1) != 1 or document["kind"] not in KINDS:
            raise ValueError(f"not understood: version {document.get('v')}, kind {document['kind']}")
        content = canonical_json({key: value for key, value in document.items() if key != "id"})
        return cls(
            id=_text(document["id"]),
            after=_text(document["after"]),
            service=_text(document["service"]),
            kind=document["kind"],
            rollout=_whole(document["rollout"]),
            stage=_whole(document["stage"]),
            share=_whole(document["share"], FULL_SHARE),
            baseline=_text(document["baseline"]),
            canary=_text(document["canary"]),
            approves=None if document.get("approves") is None else _text(document["approves"]),
            opening=None if document.get("opening") is None else _opening(document["opening"]),
            actor=_text(document["actor"]),
            reason=_text(document["reason"]["sentence"]),
            decided_at=_whole(document["decided_at"]),
            content_id=hashlib.blake2b(content, digest_size=16).hexdigest(),
        )


def _opening(document: Mapping[str, Any]) -> OpeningOfEntry:
    plan, service = document["plan"], document["service"]
    return OpeningOfEntry(
        PlanOfEntry(
            service=_text(plan["service"]),
            canary=_text(plan["canary"]),
            approve=frozenset(map(_text, plan["approve"])),
            stages=tuple(_share(stage["share"]) for stage in plan["stages"]),
        ),
        ServiceOfEntry(service=_text(service["service"]), baseline=_text(service["baseline"])),
    )


def _share(text: Any) -> int:
    """`1%` is 100 of 10,000."""
    return int(Decimal(_text(text).removesuffix("%")) * 100)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: Any, most: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0 or (most is not None and value > most):
        raise TypeError(f"{value!r} is no whole number here")
    return value
