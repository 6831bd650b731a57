"""The rollout of `billing-mcp` from v8 to v9 in each state that its page can show, as records of the log.

Numbers are those of a healthy service (0.59 % errors, p99 1.42 s) and of a canary that fails 2.7 % of its calls.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from davylamp_sdk._message import Message
from schemas.checks import Checks
from schemas.control import ProxyReport, ProxyRoute, RolloutState, RolloutView, RouteChange, VersionTotals
from schemas.decisions import CheckResult, Count, Cut, EntryKind, LedgerEntry, Opening, Reason
from schemas.labels import Label
from schemas.plan import Plan
from schemas.service import Service
from schemas.topics import Topic
from schemas.windows import Bucket, Cell, CohortWindow, ToolCount

Name = Literal[
    "rolled_back", "collecting", "no_data", "held", "promoted", "pending", "shifting", "person", "new", "blind"
]

SERVICE = "billing-mcp"
SEED = "5e" * 16
BEGAN_MS = 1_795_488_789_000  # 2026-11-24 02:53:09 UTC
WINDOW_MS = 15_000
CALLS_PER_S = 80.0
TOOLS = {"create_invoice": (0.18, 0.0109), "get_invoice": (0.18, 0.0119), "list_invoices": (0.25, 0.0066),
         "refund_invoice": (0.03, 0.0605), "search_customers": (0.13, 0.0339)}  # fmt: skip
"""Tool → its part of the calls, and of its calls those that fail on the baseline."""


def definition(service: str = SERVICE) -> Service:
    versions = {version: {"dns": f"{service}-{version}.svc:8000"} for version in ("v8", "v9")}
    return Service.model_validate({"service": service, "path": f"/{service}", "baseline": "v8", "versions": versions})


def plan(service: str = SERVICE, **changes: Any) -> Plan:
    checks = Checks.model_validate({"tokens_per_call": {"kind": "mean", "within": "10%"}})
    return Plan.model_validate({"service": service, "canary": "v9", "checks": checks, **changes})


class Place(NamedTuple):
    """Which service, and when its rollout began."""

    service: str = SERVICE
    began_ms: int = BEGAN_MS


@dataclass(slots=True)
class Scene:
    """What the log holds, and the moment at which it is looked at."""

    service: str = SERVICE
    began_ms: int = BEGAN_MS
    now_ms: int = BEGAN_MS
    plan: Plan = field(default_factory=plan)
    records: list[tuple[Topic, Message]] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)

    def put(self, topic: Topic, message: Message) -> None:
        self.records.append((topic, message))

    def decide(self, kind: EntryKind, after_s: float, code: str, sentence: str, **fields: Any) -> LedgerEntry:
        """An entry `after_s` after the rollout began."""
        head = self.entries[-1] if self.entries else None
        known: dict[str, Any] = {
            "after": head.id if head else "",
            "service": self.service,
            "kind": kind,
            "rollout": 1,
            "stage": (head.stage if head else 0) + (kind in ("start", "proceed", "complete")),
            "share": head.share if head else 0,
            "baseline": "v8",
            "canary": "v9",
            "reason": Reason(code=code, sentence=sentence),
            "cut": Cut(offsets={}, now=self.began_ms + round(1000 * after_s)),
            "plan_hash": self.plan.hash,
            "actor": "judge",
            "code_version": "0",
        }
        entry = LedgerEntry.make(**{**known, **fields})
        self.entries.append(entry)
        self.put("rollout-decisions", entry)
        return entry

    def confirm(self, entry: LedgerEntry, took_ms: float = 400.0, *, lagging: int = 0) -> None:
        """Three proxies acknowledge the entry's route, all but `lagging`."""
        states = ["pending" if i < lagging else "acknowledged" for i in range(3)]
        proxies = [
            ProxyRoute.model_validate({"proxy": f"edge-{i}", "state": s, "version": "7-1"})
            for i, s in enumerate(states)
        ]
        change = RouteChange(
            service=self.service,
            router="router-1",
            entry=entry.id,
            version="7-1",
            proxies=tuple(proxies),
            acknowledged=not lagging,
            at=entry.decided_at + round(took_ms),
            took_ms=None if lagging else took_ms,
        )
        self.put("route-changes", change)

    def look(self, state: RolloutState, checks: tuple[CheckResult, ...], **fields: Any) -> RolloutView:
        """What the judge shows now."""
        head = self.entries[-1]
        known: dict[str, Any] = {
            "service": self.service,
            "rollout": 1,
            "state": state,
            "stage": head.stage,
            "stages": len(self.plan.stages),
            "share": head.share,
            "baseline": "v9" if state in ("completed", "retired") else "v8",
            "canary": "v9",
            "head": head.id,
            "checks": checks,
            "looked_at": self.now_ms - 400,
        }
        view = RolloutView.model_validate({**known, **fields})
        self.put("rollouts", view)
        return view

    def telemetry(self, spans: list["Span"], *, until_s: float | None = None) -> None:
        """Final windows of one partition over the spans; from `until_s` on nobody counts."""
        chance = np.random.default_rng(47)
        for span in spans:
            for at_s in range(int(span.from_s), int(span.to_s), WINDOW_MS // 1000):
                if until_s is None or at_s < until_s:
                    self.put("cohort-windows", _window(self.service, self.began_ms + 1000 * at_s, span, chance))

    def reports(self, active: int, born: dict[str, int], failed: int = 9) -> None:
        """What one of the proxies has counted."""
        versions = {
            "v8": VersionTotals(sent=19_700, failed=12, active=41),
            "v9": VersionTotals(sent=2_190, failed=failed, active=active),
        }
        known: dict[str, Any] = {
            "service": self.service,
            "router": "router-1",
            "epoch": 1,
            "proxy": "edge-0",
            "started": 1,
        }
        none = {version: VersionTotals(sent=0, failed=0, active=0) for version in versions}
        self.put("proxy-reports", ProxyReport(**known, at=self.began_ms, versions=none))
        self.put("proxy-reports", ProxyReport(**known, at=self.now_ms - 600, versions=versions, born=born))


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the rollout, in seconds since its begin."""

    from_s: float
    to_s: float
    stage: int
    share: float
    errors: tuple[float, float] = (0.0059, 0.0064)
    """Of baseline and canary."""
    slow: float = 1.03
    bad_tool: float = 0.0
    """How much oftener `create_invoice` fails on the canary."""


def label(stage: int, version: str) -> str:
    return str(Label.make(SEED, 1, stage, version, "session"))


def _window(service: str, start_ms: int, span: Span, chance: np.random.Generator) -> CohortWindow:
    cells = [
        _cell("v8", span, 1 - span.share, span.errors[0], 1.0, 0.0, chance),
        _cell("v9", span, span.share, span.errors[1], span.slow, span.bad_tool, chance),
    ]
    known: dict[str, Any] = {"service": service, "source": "mcp-requests", "partition": 0, "partitions": 1}
    return CohortWindow(
        **known,
        window_start=start_ms // WINDOW_MS * WINDOW_MS,
        window_ms=WINDOW_MS,
        first_offset=0,
        through=1,
        clock_ms=start_ms // WINDOW_MS * WINDOW_MS + WINDOW_MS,
        final=True,
        instance="streams-1",
        cells=tuple(cell for cell in cells if cell.outcomes),
    )


def _cell(
    version: str, span: Span, part: float, errors: float, slow: float, bad_tool: float, chance: np.random.Generator
) -> Cell:
    n = round(part * CALLS_PER_S * (WINDOW_MS / 1000) * chance.uniform(0.95, 1.05))
    bad = int(chance.binomial(n, errors))
    tools = {}
    for tool, (share, rate) in TOOLS.items():
        calls = round(share * n)
        worse = bad_tool if tool == "create_invoice" else 0.0
        tools[tool] = ToolCount(n=calls, bad=int(chance.binomial(calls, rate + worse)))
    return Cell(
        version=version,
        label=label(span.stage, version) if span.share else "-",
        outcomes={"ok": n - bad, "rpc_error": bad} if n else {},
        tool_calls=sum(count.n for count in tools.values()),
        new_sessions=round(n / 8.1),
        buckets={0: Bucket(n=n, err=bad, tools=n, tf=sum(count.bad for count in tools.values()))},
        histogram=_latencies(n, slow, chance),
        tools=tools,
    )


def _latencies(n: int, slow: float, chance: np.random.Generator) -> dict[int, int]:
    """Lognormal with a p99 of 1.42 s, in the contract's bins."""
    ms = slow * 1420 * np.exp(SPREAD * (chance.standard_normal(n) - _Z["latency_p99"]))
    octave = np.floor(np.log2(ms))
    bins, counts = np.unique(
        ((octave + 10) * 64 + np.floor(64 * (ms / 2.0**octave - 1))).astype(int), return_counts=True
    )
    return dict(zip(bins.tolist(), counts.tolist(), strict=True))


def rate(
    check: str,
    verdict: Literal["breached", "within", "undecided"],
    baseline: tuple[int, int],
    canary: tuple[int, int],
    interval: tuple[float, float],
    margin: float,
    gate: float | None = None,
    **fields: Any,
) -> CheckResult:
    """A check of rates; counts as (bad, n), interval and margins in points."""
    theirs, ours = Count(bad=baseline[0], n=baseline[1]), Count(bad=canary[0], n=canary[1])
    return CheckResult(
        check=check,
        verdict=verdict,
        baseline=theirs,
        canary=ours,
        difference=_six((ours.rate or 0) - fields.get("ratio", 1.0) * (theirs.rate or 0)),
        low=_six(interval[0] / 100),
        high=_six(interval[1] / 100),
        margin=margin / 100,
        gate_margin=None if gate is None else gate / 100,
        log_e_breach=4.2 if verdict == "breached" else 0.1,
        log_e_within=3.1 if verdict == "within" else 0.2,
        **fields,
    )


SPREAD = 0.9
"""Of the logarithm of latencies, which are lognormal here."""
_Z = {"latency_p99": 2.3263, "latency_p90": 1.2816}


def slow_share(check: str, ratio: float) -> float:
    """The share of requests above 1.1 times the baseline's quantile, where latencies are the baseline's times `ratio`."""
    return 0.5 * math.erfc((_Z[check] + math.log(1.1 / ratio) / SPREAD) / math.sqrt(2))


def latency(
    check: str,
    verdict: Literal["breached", "within", "undecided"],
    ratio: float,
    n: tuple[int, int],
    interval: tuple[float, float],
    gate: float | None = None,
    **fields: Any,
) -> CheckResult:
    """A check of latencies: ratio and interval as people see them, the gate in points of slow requests."""
    part = slow_share(check, 1.1)
    quantile = 1420 * math.exp(SPREAD * (_Z[check] - _Z["latency_p99"]))
    return CheckResult(
        check=check,
        kind="latency",
        verdict=verdict,
        baseline=Count(bad=round(part * n[0]), n=n[0], value=_six(quantile)),
        canary=Count(bad=round(slow_share(check, ratio) * n[1]), n=n[1], value=_six(quantile * ratio)),
        difference=_six(slow_share(check, ratio) - part),
        low=_six(slow_share(check, interval[0]) - part),
        high=_six(slow_share(check, interval[1]) - part),
        margin=0.0,
        gate_margin=None if gate is None else gate / 100,
        threshold=_six(quantile),
        log_e_breach=0.1,
        log_e_within=3.1 if verdict == "within" else 0.2,
        **fields,
    )


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def no_data(check: str, margin: float, gate: float | None = None, **fields: Any) -> CheckResult:
    """A check that nobody can judge."""
    return CheckResult(
        check=check,
        verdict="undecided",
        baseline=Count(n=0, bad=0),
        canary=Count(n=0, bad=0),
        margin=margin / 100,
        gate_margin=None if gate is None else gate / 100,
        log_e_breach=0.0,
        log_e_within=0.0,
        why_undecided="no_data",
        **fields,
    )


AVAILABILITY = rate("availability", "within", (12, 19_700), (3, 2_190), (-0.11, 0.46), 0.5)
TOKENS = CheckResult(
    check="tokens_per_call",
    kind="mean",
    verdict="within",
    baseline=Count(n=19_618, bad=23_227_712, value=1184.0),
    canary=Count(n=2_180, bad=2_622_540, value=1203.0),
    difference=1203.0 - 1.1 * 1184.0,
    low=-198.0,
    high=-20.0,
    margin=0.0,
    ratio=1.1,
    log_e_breach=0.0,
    log_e_within=3.2,
)

BREACHED = (
    rate("error_rate", "breached", (116, 19_618), (59, 2_180), (0.52, 4.13), 0.5, 1.0, dispersion=2.1),
    rate("tool_success", "undecided", (402, 19_618), (105, 2_180), (0.25, 5.57), 1.0, 2.0),
    latency("latency_p99", "undecided", 1.035, (19_618, 2_180), (0.854, 1.330), 0.25),
    latency("latency_p90", "undecided", 1.019, (19_618, 2_180), (0.886, 1.155)),
    rate("session_loss", "undecided", (100, 2_451), (12, 269), (-5.2, 4.5), 0.0, kind="loss", ratio=1.5),
    rate("tools", "undecided", (39, 3_530), (47, 397), (2.51, 20.28), 5.0, kind="tools", culprits=("create_invoice",)),
    AVAILABILITY,
    TOKENS,
)
OPEN = (
    rate("error_rate", "within", (409, 69_341), (49, 7_705), (-0.38, 0.56), 0.5, 1.0),
    rate("tool_success", "within", (1421, 69_341), (165, 7_705), (-0.88, 1.08), 1.0, 2.0),
    latency("latency_p99", "undecided", 1.077, (69_341, 7_705), (0.963, 1.210), 0.25, needed=690),
    latency("latency_p90", "within", 1.019, (69_341, 7_705), (0.944, 1.087)),
    rate("session_loss", "undecided", (272, 6_639), (33, 741), (-4.3, 1.5), 0.0, kind="loss", ratio=1.5),
    rate("tools", "undecided", (126, 2_080), (16, 247), (-7.44, 10.67), 5.0, kind="tools"),
    AVAILABILITY,
    TOKENS,
)
PROVEN = (
    rate("error_rate", "within", (1240, 210_240), (1261, 210_240), (-0.12, 0.12), 0.5, 0.5),
    rate("tool_success", "within", (4310, 210_240), (4352, 210_240), (-0.26, 0.25), 1.0, 1.0),
    latency("latency_p99", "within", 1.021, (210_240, 210_240), (0.989, 1.050), 0.0),
    latency("latency_p90", "within", 1.014, (210_240, 210_240), (0.989, 1.029)),
    rate("session_loss", "within", (739, 18_034), (772, 17_966), (-2.7, -1.1), 0.0, kind="loss", ratio=1.5),
    rate("tools", "within", (410, 6_732), (444, 6_728), (-2.39, 2.49), 5.0, kind="tools"),
    AVAILABILITY,
    TOKENS,
)
SITS = tuple(
    latency("latency_p99", "undecided", 1.092, (210_240, 210_240), (1.066, 1.113), 0.0, needed=186_000)
    if check.check == "latency_p99"
    else check
    for check in PROVEN
)
SILENT = (
    no_data("error_rate", 0.5, 1.0),
    no_data("tool_success", 1.0, 2.0),
    no_data("latency_p99", 0.0, 0.25, kind="latency"),
    no_data("latency_p90", 0.0, kind="latency"),
    no_data("session_loss", 0.0, kind="loss", ratio=1.5),
    no_data("tools", 5.0, kind="tools"),
    AVAILABILITY,
    no_data("tokens_per_call", 0.0, kind="mean", ratio=1.1),
)


def _begun(at: Place, *, approve: tuple[str, ...] = ()) -> Scene:
    """Applied and started."""
    scene = Scene(at.service, at.began_ms, plan=plan(at.service, approve=list(approve)))
    scene.put("services", definition(at.service))
    opening = Opening(plan=scene.plan, service=definition(at.service), seed=SEED)
    waits = "start" in approve
    sentence = f"Canary v9 of {at.service} gets 1% of new sessions, compared with baseline v8."
    start = scene.decide(
        "start",
        0,
        "started",
        sentence,
        actor="deployer",
        opening=opening,
        share=0 if waits else 100,
        stage=0 if waits else 1,
    )
    scene.confirm(start)
    return scene


_UNPROVEN = "No breach and nothing suspicious, yet not proven within its limits after 600 s and 61 canary sessions."


def _at_ten(at: Place) -> Scene:
    scene = _begun(at)
    scene.confirm(scene.decide("proceed", 600, "unproven", _UNPROVEN, share=1_000, score=88.0))
    return scene


def _rolled_back(at: Place) -> Scene:
    scene = _at_ten(at)
    sentence = (
        "Error rate 2.71 % against 0.591 %: +2.12 points (at least +0.52), limit +0.5; 59 of 2180 canary requests "
        "failed, 116 of 19618 baseline requests."
    )
    back = scene.decide("rollback", 872, "breach", sentence, share=0, score=0.0, checks=BREACHED, culprit="error_rate")
    scene.confirm(back)
    scene.now_ms = back.decided_at + 251_000
    scene.look("rolled_back", BREACHED, score=0.0)
    bad = Span(600, 885, 2, 0.1, errors=(0.0059, 0.0271), bad_tool=0.1)
    scene.telemetry([Span(0, 600, 1, 0.01), bad, Span(885, 1110, 2, 0.0)])
    scene.reports(4, {f"v9 {label(2, 'v9')}": 268, f"v8 {label(2, 'v8')}": 2_440})
    return scene


def _collecting(at: Place) -> Scene:
    scene = _at_ten(at)
    scene.now_ms = scene.began_ms + 1_338_000
    scene.look(
        "collecting",
        OPEN,
        score=96.0,
        waiting_for="738 s of 1800 s collected.",
        stage_elapsed_s=738.0,
        baseline_sessions=6_639,
        canary_sessions=741,
    )
    scene.telemetry([Span(0, 600, 1, 0.01), Span(600, 1_320, 2, 0.1, slow=1.07)])
    scene.reports(12, {f"v9 {label(2, 'v9')}": 690, f"v8 {label(2, 'v8')}": 6_260})
    return scene


def _blind(at: Place) -> Scene:
    scene = _collecting(at)
    scene.now_ms += 47_000
    return scene


def _no_data(at: Place) -> Scene:
    scene = _at_ten(at)
    held = scene.decide("hold", 778, "stale", "No window has closed for 60 s (limit 60 s).", checks=SILENT)
    scene.confirm(held)
    scene.now_ms = held.decided_at + 94_000
    scene.look("held", SILENT, held_because=held.reason.sentence, stage_elapsed_s=118.0)
    scene.telemetry([Span(0, 600, 1, 0.01), Span(600, 718, 2, 0.1)])
    scene.reports(12, {})
    return scene


def _at_fifty(at: Place, checks: tuple[CheckResult, ...]) -> Scene:
    scene = _at_ten(at)
    within = "Every check is within its limit after 1800 s and 2980 canary sessions."
    scene.confirm(scene.decide("proceed", 2_400, "within", within, share=5_000, score=97.0, checks=checks))
    scene.telemetry([Span(0, 600, 1, 0.01), Span(600, 2_400, 2, 0.1), Span(2_400, 6_000, 3, 0.5)])
    return scene


def _held(at: Place) -> Scene:
    scene = _at_fifty(at, SITS)
    word = "No breach and nothing suspicious, yet not proven within its limits after 7200 s and 36012 canary sessions."
    hold = scene.decide("hold", 9_600, "unproven", word, score=94.0, checks=SITS)
    scene.confirm(hold)
    scene.now_ms = hold.decided_at + 491_000
    scene.telemetry([Span(6_000, 10_080, 3, 0.5, slow=1.09)])
    counts = {"baseline_sessions": 35_988, "canary_sessions": 36_012}
    scene.look("held", SITS, score=94.0, held_because=word, stage_elapsed_s=7_200.0, **counts)
    return scene


def _promoted(at: Place) -> Scene:
    scene = _at_fifty(at, PROVEN)
    word = "Every check is within its limit after 3600 s and 17966 canary sessions."
    done = scene.decide("complete", 6_000, "within", word, share=10_000, score=99.0, checks=PROVEN)
    scene.confirm(done, 500.0)
    scene.now_ms = done.decided_at + 211_000
    scene.look("completed", PROVEN, score=99.0)
    scene.reports(31, {})
    return scene


def _pending(at: Place) -> Scene:
    scene = _begun(at, approve=("start", "promote"))
    scene.now_ms = scene.began_ms + 75_000
    scene.look("pending", (), waiting_for=f"Waiting for a person: davylamp approve {at.service} start.")
    return scene


def _shifting(at: Place) -> Scene:
    scene = _begun(at)
    proceed = scene.decide("proceed", 600, "unproven", _UNPROVEN, share=1_000, score=88.0)
    scene.confirm(proceed, lagging=1)
    scene.now_ms = proceed.decided_at + 3_000
    scene.look("shifting", (), waiting_for="Every proxy must acknowledge 10% for v9 first.")
    return scene


def _person(at: Place) -> Scene:
    scene = _at_ten(at)
    word = 'anna rolled back: <b>"refunds" & worse</b>'
    back = scene.decide("rollback", 700, "person", word, share=0, actor="anna", hold_mode="evict")
    scene.confirm(back)
    scene.now_ms = back.decided_at + 5_000
    scene.look("rolled_back", ())
    return scene


def _new(at: Place) -> Scene:
    scene = Scene(at.service, at.began_ms, at.began_ms)
    scene.put("services", definition(at.service))
    return scene


SCENES = {
    "rolled_back": _rolled_back,
    "collecting": _collecting,
    "no_data": _no_data,
    "held": _held,
    "promoted": _promoted,
    "pending": _pending,
    "shifting": _shifting,
    "person": _person,
    "new": _new,
    "blind": _blind,
}


def scene(name: Name, service: str = SERVICE, *, now_ms: int | None = None) -> Scene:
    """The log in one of the states; looked at `now_ms` where that is given."""
    found = SCENES[name](Place(service))
    if now_ms is None:
        return found
    return SCENES[name](Place(service, BEGAN_MS + now_ms - found.now_ms))
