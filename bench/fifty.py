"""Fifty rollouts at once on one machine: `python -m bench.fifty [--rollouts 50] [--seconds 30] [--write]`.

The whole stack as it ships (a real local Kafka, streams, judge, router, alerts, status, a real Envoy), a service with two
servers' telemetry for each rollout, all through the SDK. While every rollout collects, the page's list is asked for
three to four times a second, over HTTP by a process of its own, and each process's CPU time is read before and after. The servers' side
runs on the same machine, so an answer waits for it, too. Linux only: CPU times come from `/proc`.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from bench.processes import cpu_s, memory_mb
from bench.report import machine, write_section
from cli.client import ApiError, Client
from cli.stack import SERVICES, Stack, StackOptions, running
from davylamp_sdk import Recorder
from router.bootstrap import bootstrap
from router.local_envoy import LocalEnvoy
from schemas.labels import Label
from schemas.plan import Plan
from schemas.service import Service
from transport.ports import free_ports

TARGET_MS = 200.0
"""What a person does not wait for."""
RATES = {"v1": 8.0, "v2": 2.0}
"""Requests a second of each service's servers."""
PER_SESSION = 5
"""Requests of a session."""
WARM_UP_S = 15.0
ASK_EVERY_S = 0.25
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured."""

    lists_ms: list[float]
    apis_ms: list[float]
    cpu_percent: dict[str, float]
    """Of one core."""
    memory_mb: dict[str, float]
    collecting: int
    sessions: int
    """Of all canaries, in all rollouts."""
    looked_s: float
    """The oldest of the judge's newest looks at each rollout."""
    list_cpu_ms: float
    """Of the status service for one answer, whatever else it does meanwhile included."""


class Server:
    """One version of one service: sessions that ask at a steady rate, told by the SDK."""

    def __init__(self, service: str, version: str, label: str, bootstrap_servers: str) -> None:
        self._recorder = Recorder(
            service=service, version=version, instance=f"{version}-1", bootstrap=bootstrap_servers
        )
        self._headers = {"x-davylamp-assignment": f"{label};{version}"}
        self._rate = RATES[version]
        self._chance = random.Random(f"{service} {version}")
        self._session, self._asked = uuid.uuid4().hex, 0

    async def steadily(self) -> None:
        """Healthy requests until cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(self._rate))
            self._ask()

    def _ask(self) -> None:
        if self._asked == PER_SESSION:
            self._session, self._asked = uuid.uuid4().hex, 0
        self._recorder.record(
            "tools/call",
            duration_ms=self._chance.lognormvariate(3, 0.5),
            headers=self._headers,
            session_id=self._session,
            tool="quote",
            first_of_session=self._asked == 0,
        )
        self._asked += 1

    def close(self) -> None:
        """Send what is left."""
        self._recorder.close()


def service(number: int) -> Service:
    """One of many, each under a path of its own."""
    versions = {version: {"endpoints": ["127.0.0.1:9"]} for version in RATES}
    name = f"orders-{number:02}"
    return Service.model_validate({"service": name, "path": f"/{name}", "baseline": "v1", "versions": versions})


def plan(name: str) -> Plan:
    """Long stages: nothing ends while it is measured."""
    stages = [{"share": "20%", "for": "1h"}, {"share": "50%", "for": "1h"}]
    return Plan.model_validate({"service": name, "canary": "v2", "stages": stages})


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[tuple[StackOptions, Stack, Client]]:
    """The stack as `davylamp up` starts it, and an Envoy."""
    kafka, _, xds, status, lb, admin = free_ports(6)
    options = StackOptions(folder, None, kafka, xds, status)
    proxy = bootstrap("lb0", lb, admin, routers=[f"127.0.0.1:{xds}"])
    async with running(options) as stack, LocalEnvoy(proxy, folder / "envoy"):
        with Client(options.status_url) as client:
            yield options, stack, client


async def insist(ask: Callable[[], Any]) -> Any:
    """Ask until the answer comes: services start, and a word may meet an entry that it has not seen."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(ApiError):
                return await asyncio.to_thread(ask)
            await asyncio.sleep(0.2)


async def begin(client: Client, options: StackOptions, number: int) -> list[Server]:
    """Register a service, start its rollout, and make its servers."""
    made = service(number)
    name = made.service
    await insist(lambda: client.apply(made))
    await insist(lambda: client.start(plan(name), "bench"))
    start = next(e for e in await insist(lambda: client.history(name)) if e["kind"] == "start")
    seed, rollout = start["opening"]["seed"], start["rollout"]
    labels = {v: str(Label.make(seed, rollout, 1, v, "session")) for v in RATES}
    return [Server(name, version, labels[version], options.bootstrap) for version in RATES]


def ask_for(urls: tuple[str, ...], seconds: float) -> list[list[float]]:
    """Milliseconds that each answer took, by URL, one after the other; in a process of its own."""
    took: list[list[float]] = [[] for _ in urls]
    end = time.monotonic() + seconds
    with httpx2.Client(headers={"accept": "text/html"}, timeout=30) as http:
        while time.monotonic() < end:
            for url, times in zip(urls, took, strict=True):
                began = time.monotonic()
                http.get(url).raise_for_status()
                times.append(1000 * (time.monotonic() - began))
                time.sleep(ASK_EVERY_S / len(urls))
    return took


def cpu_of_an_answer(pid: int, url: str) -> float:
    """Milliseconds of the process's CPU for one of a hundred answers: others on the machine do not change it much."""
    began = cpu_s(pid)
    with httpx2.Client(headers={"accept": "text/html"}, timeout=30) as http:
        for _ in range(100):
            http.get(url).raise_for_status()
    return 1000 * (cpu_s(pid) - began) / 100


async def measure(stack: Stack, client: Client, options: StackOptions, seconds: float) -> Found:
    """Answers and CPU times over `seconds`."""
    pids: dict[str, int] = {name: pid for name in SERVICES if (pid := stack.supervisor.pid(name))}
    if stack.kafka is not None and stack.kafka.pid is not None:
        pids["Kafka"] = stack.kafka.pid
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    urls = (options.status_url, f"{options.status_url}/api/rollouts")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        lists, apis = await asyncio.get_running_loop().run_in_executor(process, ask_for, urls, seconds)
    lasted = time.monotonic() - began
    cpu = {name: 100 * (cpu_s(pid) - before[name]) / lasted for name, pid in pids.items()}
    list_cpu_ms = await asyncio.to_thread(cpu_of_an_answer, pids["status"], options.status_url)
    views = [one["rollout"] for one in await insist(client.rollouts)]
    return Found(
        lists_ms=lists,
        apis_ms=apis,
        cpu_percent=cpu,
        memory_mb={name: memory_mb(pid, "VmRSS") for name, pid in pids.items()},
        collecting=sum(view["state"] == "collecting" and view["canary_sessions"] > 0 for view in views),
        sessions=sum(view["canary_sessions"] for view in views),
        list_cpu_ms=list_cpu_ms,
        looked_s=max(time.time() - view["looked_at"] / 1000 for view in views),
    )


async def run(rollouts: int, seconds: float) -> Found:
    """Start them all, let them collect, measure."""
    with tempfile.TemporaryDirectory(prefix="davylamp-bench-") as folder:
        async with stage(Path(folder)) as (options, stack, client):
            servers: list[Server] = []
            for number in range(1, rollouts + 1):
                servers += await begin(client, options, number)
            print(f"{rollouts} rollouts have started", file=sys.stderr)
            asking = [asyncio.create_task(server.steadily()) for server in servers]
            await asyncio.sleep(WARM_UP_S)
            found = await measure(stack, client, options, seconds)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await asyncio.gather(*(asyncio.to_thread(server.close) for server in servers))
            return found


def table(found: Found, rollouts: int, seconds: float) -> str:
    """The figures as Markdown."""
    rate = rollouts * sum(RATES.values())
    said = (
        f"{rollouts} services, each with a rollout that collects and {sum(RATES.values()):g} requests a second ({rate:g} in"
        f" all),\nmeasured for {seconds:g} s; {machine()}. At the end {found.collecting} of {rollouts} rollouts\ncollected,"
        f" with {found.sessions} canary sessions; the judge's newest look at each was at most {found.looked_s:.1f} s old."
    )
    lines = [
        said,
        "",
        f"| answer (target < {TARGET_MS:g} ms) | p50 | p99 | longest of |",
        "|---|---|---|---|",
    ]
    load = os.getloadavg()[0]
    for name, took in (("the page's list, HTML", found.lists_ms), ("`/api/rollouts`, JSON", found.apis_ms)):
        p50, p99 = np.percentile(took, [50, 99])
        lines.append(f"| {name} | {p50:.0f} ms | {p99:.0f} ms | {len(took)}: {max(took):.0f} ms |")
    waits = (
        f"The list takes {found.list_cpu_ms:.1f} ms of the status service's CPU; the rest is waiting for a core. The machine's load"
        f"\nwas {load:.1f} at the end, on {os.cpu_count()} cores, its other users' included."
    )
    lines += [
        "",
        waits,
        "",
        "| process | CPU, of one core | memory |",
        "|---|---|---|",
    ]
    lines += [f"| {n} | {cpu:.0f} % | {found.memory_mb[n]:.0f} MB |" for n, cpu in found.cpu_percent.items()]
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write the section of `docs/performance.md`; exits 1 if the list is slower than its target."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    found = asyncio.run(run(args.rollouts, args.seconds))
    text = table(found, args.rollouts, args.seconds)
    print(f"\n{text}")
    if args.write:
        write_section("Fifty rollouts at once", "python -m bench.fifty --write", text)
    if np.percentile(found.lists_ms, 99) >= TARGET_MS:
        sys.exit(f"the page's list takes {TARGET_MS:g} ms or more")


if __name__ == "__main__":
    main()
