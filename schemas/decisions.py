"""Ledger entry v1 (`rollout-decisions`): one decision of the judge, or one word of a person."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, StringConstraints

from davylamp_sdk import _link
from davylamp_sdk._message import Message, canonical_json
from schemas.names import ServiceName, VersionName
from schemas.plan import HoldMode, Plan
from schemas.service import Service
from schemas.units import FULL_SHARE

EntryKind = _link.EntryKind
NO_ENTRY = _link.NO_ENTRY
"""What the first entry of a service follows."""


class Cut(Message):
    """How far the judge had read when it decided: replaying every input up to here gives the same entry."""

    offsets: dict[str, int] = Field(description="`<topic>-<partition>` → first offset not read.")
    now: Annotated[int, Field(description="Unix milliseconds; the only clock a decision may use.")]


class Reason(Message):
    """Why: a stable code for machines and one sentence with numbers for people."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
    sentence: str


MISSING_DATA = frozenset({"stale", "telemetry_lost", "baseline_silent", "canary_silent", "incomplete"})
"""Codes of holds that say: nobody knows how the canary does."""

RESUMES_ITSELF = MISSING_DATA | {"blind"}
"""Codes of holds that end by themselves, once the data is back, or the judge whom a router missed (`blind`). Any other
needs a person."""


class Count(Message):
    """What one cohort brought to a check."""

    n: int
    bad: int | float = Field(
        description="Requests, calls or sessions counted as bad; of a mean, the sum of its values."
    )
    value: float | None = Field(
        default=None, description="What people compare: a rate (0 to 1), a latency in ms, a mean. None: no data."
    )

    @property
    def rate(self) -> float | None:
        """Bad per counted; None without any."""
        return self.bad / self.n if self.n else None


CheckKind = Literal["rate", "latency", "mean", "loss", "tools"]


class CheckResult(Message):
    """One comparison of canary with baseline. Absent numbers mean "no data", never zero.

    The claim under test is ``p_C <= ratio * p_B + margin`` (arms swapped where lower is worse). ``difference``, ``low``
    and ``high`` are of ``p_C - ratio * p_B``; of a latency these are shares of requests above the threshold. The verdict
    is `breached` where this check is enough by itself, which is exactly when ``low >= margin``; the culprit of a breach
    that several checks bear together has it, too. It is `within` exactly when ``high <= gate_margin``. Bounds are rounded
    outwards, so that picture and verdict never contradict each other.
    """

    check: str
    kind: CheckKind = "rate"
    since: int | None = Field(
        default=None,
        description="Counts and difference are of windows that end after this moment, Unix milliseconds: from where most "
        "of the evidence against the canary comes. None: of the whole rollout.",
    )
    worse: Literal["higher", "lower"] = "higher"
    verdict: Literal["breached", "within", "undecided"]
    baseline: Count
    canary: Count
    difference: float | None = Field(default=None, description="Canary rate minus `ratio` times baseline rate.")
    low: float | None = Field(default=None, description="Anytime-valid lower bound of the difference.")
    high: float | None = Field(default=None, description="Anytime-valid upper bound: more than this is ruled out.")
    margin: float = Field(description="The difference that the plan allows.")
    ratio: float = Field(default=1.0, description="The factor that the plan allows.")
    gate_margin: float | None = Field(
        default=None,
        description="The margin that this stage's gate must prove; None: the check proves nothing, it warns.",
    )
    threshold: float | None = Field(
        default=None, description="Of a latency: ms above which a baseline request is counted."
    )
    canary_threshold: float | None = Field(
        default=None, description="Of a latency: ms above which a canary request is counted."
    )
    log_e_breach: float = Field(description="Natural log of the evidence against the margin.")
    log_e_within: float = Field(description="Natural log of the evidence for being within the gate's margin.")
    dispersion: float = Field(default=1.0, description="Variance over mean of the bucket sums; of rates at least 1.")
    share: float = Field(default=1.0, description="The check's part of alpha; 0: it is shown and decides nothing.")
    score: float | None = Field(default=None, description="0 to 100, this check alone; None: no data.")
    why_undecided: Literal["no_data", "few_buckets", "more_needed"] | None = Field(
        default=None,
        description="Few buckets: there would be evidence enough for a breach, but too few sessions bear it. None of a "
        "check that only warns and has data.",
    )
    needed: int | None = Field(
        default=None, description="About so many more canary sessions until the gate's margin is proven."
    )
    culprits: tuple[str, ...] = Field(default=(), description="Of `tools`: those that fail, worst first.")


class Acknowledgement(Message):
    """When every live proxy had acknowledged the entry before this one, as the judge read it."""

    entry: str
    partition: int
    offset: int
    at: Annotated[int, Field(description="Broker append time, Unix milliseconds.")]


class Opening(Message):
    """What `start` fixes for the whole rollout: edits made later never change it."""

    plan: Plan
    service: Service
    seed: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$", strict=True)] = Field(
        description="128 random bits from which every router builds the labels' nonces."
    )


class LedgerEntry(Message):
    """A link of a service's chain: it follows the entry named by `after`, else it is void for every reader alike."""

    v: Literal[1] = 1
    id: str
    after: str
    service: ServiceName
    kind: EntryKind
    rollout: Annotated[int, Field(ge=0, description="0: before the first (freeze only).")]
    stage: Annotated[
        int,
        Field(ge=0, description="1-based; 0 before the start is approved, one more than the stages once completed."),
    ]
    share: Annotated[int, Field(ge=0, le=FULL_SHARE, description="Of new sessions to the canary, of 10,000.")]
    baseline: VersionName
    canary: VersionName
    hold_mode: HoldMode = "drain"
    approves: str | None = Field(default=None, description="With `approve`: `start`, a stage's number, or `promote`.")
    score: float | None = None
    checks: tuple[CheckResult, ...] = ()
    culprit: str | None = Field(default=None, description="With a breach: the check that costs the canary its release.")
    reason: Reason
    cut: Cut
    plan_hash: str
    actor: str = Field(description="`judge`, or the name of the person whose word it is.")
    command: str | None = Field(default=None, description="Id of the command that it carries out.")
    decided_at: int
    code_version: str
    opening: Opening | None = Field(default=None, description="With `start` only.")
    acknowledged: Acknowledgement | None = Field(default=None, description="Of the entry this one follows.")
    _foreign: bytes | None = PrivateAttr(default=None)
    """An entry as another version of the code wrote it: with fields that are not known here, or without some."""

    @classmethod
    def read(cls, raw: bytes | str) -> Self:
        """Parse JSON as a reader does. The id is that of what was written, also where that is not all understood.

        Else an upgrade of one service would void the ledger for all others. Raises ``pydantic.ValidationError``.
        """
        entry = super().read(raw)
        if entry.id != entry.derived_id():
            entry._foreign = canonical_json(json.loads(raw))  # noqa: SLF001 - its own
        return entry

    def dump(self) -> bytes:
        """Nothing is lost of what another version of the code wrote."""
        return self._foreign or super().dump()

    @classmethod
    def make(cls, **fields: object) -> Self:
        """An entry with its id and `decided_at` derived: nobody can set them apart from what they stand for."""
        draft = cls.model_validate({"id": "", "decided_at": 0, **fields})
        draft = draft.model_copy(update={"decided_at": draft.cut.now})
        return draft.model_copy(update={"id": draft.derived_id()})

    def derived_id(self) -> str:
        """128 bits of BLAKE2b over everything else in the entry, in hex: nothing of it can be changed unnoticed."""
        said = json.loads(self._foreign) if self._foreign else self.model_dump(mode="json", exclude_none=True)
        return _id_of({key: value for key, value in said.items() if key != "id"})


def _id_of(content: dict[str, Any]) -> str:
    return hashlib.blake2b(canonical_json(content), digest_size=16).hexdigest()
