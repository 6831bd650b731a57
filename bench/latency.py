"""How long bad news takes: `python -m bench.latency [--trials 100]`.

Each trial is a rollout of its own on the whole stack as it ships (a real local Kafka, streams, judge, router, a real
Envoy). Baseline and canary emit steadily through the SDK; then the canary fails a burst of sessions at once. Time runs
from the moment the burst's last event lies in the SDK's buffer (the last one that the evidence can need) to the ledger's
rollback as the log took it, and to the acknowledgement of the last proxy, both by the broker's append time on this machine's clock.
"""

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.report import machine, write_section
from cli.client import ApiError, Client
from cli.stack import StackOptions, running
from davylamp_sdk import Recorder
from davylamp_sdk._event import Outcome
from router.bootstrap import bootstrap
from router.local_envoy import LocalEnvoy
from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.labels import Label
from schemas.plan import Plan
from schemas.service import Service
from schemas.topics import Topic
from schemas.windows import CohortWindow
from transport.kafka_log import KafkaReader
from transport.log import Record
from transport.ports import free_ports
from transport.settings import KafkaSettings

SERVICE = "orders"
TOPICS: tuple[Topic, ...] = ("rollout-decisions", "route-changes", "mcp-requests", "cohort-windows")
BURST = 24
"""Failing sessions that begin at once."""
RATE = 200.0
"""Requests a second of the baseline; the canary has a quarter of it."""
FAILED: Outcome = "rpc_error"
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Trial:
    """Milliseconds from the last event to each step, by append times."""

    logged_ms: float
    counted_ms: float
    decided_ms: float
    routed_ms: float

    def __str__(self) -> str:
        return (
            f"logged {self.logged_ms:4.0f}  counted {self.counted_ms:4.0f}  decided {self.decided_ms:4.0f}  "
            f"routed {self.routed_ms:4.0f} ms"
        )


@dataclass(slots=True)
class Log:
    """What the log has said of the service: woken by each record."""

    entries: dict[str, tuple[LedgerEntry, int]] = field(default_factory=dict)
    routed: dict[str, int] = field(default_factory=dict)
    """Entry → append time of the first word that every proxy runs it."""
    failures: dict[str, int] = field(default_factory=dict)
    """Label → append time of the newest telemetry with a failure."""
    counted: dict[str, int] = field(default_factory=dict)
    """Label → append time of the first window that counts the whole burst."""
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def follow(self, reader: KafkaReader) -> None:
        """Until the reader is closed."""
        async for batch in reader.batches():
            for record in batch.records:
                self.read(record)
            async with self.moved:
                self.moved.notify_all()

    def read(self, record: Record) -> None:
        """A record of any of the topics."""
        value, at_ms = record.value or b"", record.timestamp_ms
        match record.topic:
            case "rollout-decisions":
                entry = LedgerEntry.read(value)
                self.entries[entry.id] = entry, at_ms
            case "route-changes":
                change = RouteChange.read(value)
                if change.acknowledged:
                    self.routed.setdefault(change.entry, at_ms)
            case "cohort-windows":
                for cell in CohortWindow.read(value).cells:
                    if cell.outcomes.get(FAILED, 0) >= BURST:
                        self.counted.setdefault(cell.label, at_ms)
            case _ if value and FAILED.encode() in value:
                assignments = (name for name in json.loads(value)["names"] if ";" in name)
                self.failures.update({name.partition(";")[0]: at_ms for name in assignments})

    async def entry(self, kind: str, rollout: int) -> tuple[LedgerEntry, int]:
        """The entry of a rollout and its append time, once every proxy runs it."""

        def found() -> tuple[LedgerEntry, int] | None:
            every = (e for e in self.entries.values() if e[0].kind == kind and e[0].rollout == rollout)
            return next((e for e in every if e[0].id in self.routed), None)

        async with asyncio.timeout(PATIENCE_S), self.moved:
            while (entry := found()) is None:
                await self.moved.wait()
        return entry


class Cohort:
    """A server's SDK: sessions of one cohort that ask at a steady rate."""

    def __init__(self, version: str, bootstrap_servers: str) -> None:
        self.version = version
        self._recorder = Recorder(
            service=SERVICE, version=version, instance=f"{version}-1", bootstrap=bootstrap_servers
        )
        self._chance = random.Random(version)

    def ask(self, label: str, *, session: str, ok: bool = True) -> None:
        """One request has ended."""
        self._recorder.record(
            "tools/call",
            "ok" if ok else FAILED,
            duration_ms=self._chance.lognormvariate(3, 0.5),
            headers={"x-davylamp-assignment": f"{label};{self.version}"},
            session_id=session,
            tool="quote",
            error_type=None if ok else "-32603",
        )

    async def steadily(self, label: str, rate: float) -> None:
        """Healthy requests until cancelled."""
        sessions = [uuid.uuid4().hex for _ in range(200)]
        while True:
            self.ask(label, session=self._chance.choice(sessions))
            await asyncio.sleep(self._chance.expovariate(rate))

    def close(self) -> None:
        """Send what is left."""
        self._recorder.close()


def plan(canary: str) -> Plan:
    """Long stages: nothing but the burst can end them. What is left of a rollout ends soon, or the hundredth trial would
    begin on a service that still re-homes the sessions of ninety-nine canaries.
    """
    return Plan.model_validate(
        {
            "service": SERVICE,
            "canary": canary,
            "stages": [{"share": "20%", "for": "10m"}, {"share": "50%", "for": "10m"}],
            "rollback": {"deadline": "1s"},
        }
    )


async def started(client: Client) -> None:
    """A start; asked for again where the judge had written something meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(ApiError):
                await asyncio.to_thread(client.start, plan("v2"), "bench", again=True)
                return
            await asyncio.sleep(0.2)


async def trial(number: int, client: Client, log: Log, cohorts: dict[str, Cohort]) -> Trial:
    """One rollout, from its start to the acknowledged rollback."""
    await started(client)
    start, _ = await log.entry("start", number)
    if start.opening is None:
        raise RuntimeError("a start without an opening")
    seed = start.opening.seed
    labels = {v: str(Label.make(seed, number, 1, v, "session")) for v in cohorts}
    async with asyncio.TaskGroup() as group:
        steady = [
            group.create_task(cohorts["v1"].steadily(labels["v1"], RATE)),
            group.create_task(cohorts["v2"].steadily(labels["v2"], RATE / 4)),
        ]
        await asyncio.sleep(1.0 + random.random())  # anywhere between two publications
        for session in (uuid.uuid4().hex for _ in range(BURST)):
            cohorts["v2"].ask(labels["v2"], session=session, ok=False)
        last_ms = time.time_ns() / 1e6
        rollback, decided_ms = await log.entry("rollback", number)
        for task in steady:
            task.cancel()
    await log.entry("drained", number)
    steps = log.failures[labels["v2"]], log.counted.get(labels["v2"], decided_ms), decided_ms, log.routed[rollback.id]
    return Trial(*(at_ms - last_ms for at_ms in steps))


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[tuple[StackOptions, Client]]:
    """The stack as `davylamp up` starts it, an Envoy, and a service of two versions."""
    kafka, spare, xds, status, lb, admin = free_ports(6)
    del spare
    options = StackOptions(folder, None, kafka, xds, status)
    proxy = bootstrap("lb0", lb, admin, routers=[f"127.0.0.1:{xds}"])
    async with running(options), LocalEnvoy(proxy, folder / "envoy"):
        with Client(options.status_url) as client:
            versions = {v: {"endpoints": ["127.0.0.1:9"]} for v in ("v1", "v2")}
            service = Service.model_validate({"service": SERVICE, "baseline": "v1", "versions": versions})
            async with asyncio.timeout(PATIENCE_S):
                while not await asyncio.to_thread(_applied, client, service):  # noqa: ASYNC110 - over HTTP
                    await asyncio.sleep(0.2)
            yield options, client


def _applied(client: Client, service: Service) -> bool:
    try:
        client.apply(service)
    except Exception:  # noqa: BLE001 - the status API is still starting
        return False
    return True


async def run(trials: int) -> list[Trial]:
    """All trials, one after the other."""
    with tempfile.TemporaryDirectory(prefix="davylamp-bench-") as folder:
        async with stage(Path(folder)) as (options, client):
            reader = KafkaReader(KafkaSettings(bootstrap=options.bootstrap), "bench", TOPICS)
            log = Log()
            following = asyncio.create_task(log.follow(reader))
            cohorts = {v: Cohort(v, options.bootstrap) for v in ("v1", "v2")}
            try:
                done = []
                for number in range(1, trials + 1):
                    done.append(await trial(number, client, log, cohorts))
                    print(f"{number:>4}  {done[-1]}", flush=True)
                return done
            finally:
                for cohort in cohorts.values():
                    cohort.close()
                await reader.close()
                following.cancel()


def table(trials: list[Trial]) -> str:
    """Both distances as Markdown."""
    rows = [
        ("last event in the SDK's buffer → event in the log", [t.logged_ms for t in trials]),
        (
            "last event in the SDK's buffer → open window with the whole burst in the log",
            [t.counted_ms for t in trials],
        ),
        ("last event in the SDK's buffer → rollback in the ledger", [t.decided_ms for t in trials]),
        ("last event in the SDK's buffer → route acknowledged by the proxy", [t.routed_ms for t in trials]),
    ]
    lines = ["| from → to | p50 | p90 | p99 |", "|---|---|---|---|"]
    for name, values in rows:
        p50, p90, p99 = np.percentile(values, [50, 90, 99])
        lines.append(f"| {name} | {p50:.0f} ms | {p90:.0f} ms | {p99:.0f} ms |")
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write the section of `docs/performance.md`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    found = table(asyncio.run(run(args.trials)))
    text = f"{found}\n\n{args.trials} trials on {machine()}."
    print(f"\n{text}")
    if args.write:
        write_section("Bad news travels", f"python -m bench.latency --trials {args.trials} --write", text)


if __name__ == "__main__":
    main()
