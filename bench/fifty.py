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

from bench.processes import Scheduled, cpu_s, memory_mb, scheduled
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

TITLE = "Fifty rollouts at once"
TARGET_MS = 200.0
"""What a person does not wait for."""
RATES = {"v1": 8.0, "v2": 2.0}
"""Requests a second of each service's servers."""
PER_SESSION = 5
"""Requests of a session."""
WARM_UP_S = 15.0
UNASKED_S = 5.0
ASK_EVERY_S = 0.25
PATIENCE_S = 120.0
SLOWEST = 10
"""Answers of which it is told what they waited for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and what the status service's event loop did until it came."""

    took_ms: float
    loop: Scheduled


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured."""

    lists: list[Answer]
    apis: list[Answer]
    cpu_percent: dict[str, float]
    """Of one core."""
    memory_mb: dict[str, float]
    collecting: int
    sessions: int
    """Of all canaries, in all rollouts."""
    looked_s: float
    """The oldest of the judge's newest looks at each rollout."""
    list_cpu_ms: float
    """Of the status service for one answer."""


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


def ask_for(urls: tuple[str, ...], seconds: float, pid: int) -> list[list[Answer]]:
    """What each answer of the process `pid` took, by URL, one after the other; in a process of its own."""
    took: list[list[Answer]] = [[] for _ in urls]
    end = time.monotonic() + seconds
    with httpx2.Client(headers={"accept": "text/html"}, timeout=30) as http:
        while time.monotonic() < end:
            for url, times in zip(urls, took, strict=True):
                before, began = scheduled(pid), time.monotonic()
                http.get(url).raise_for_status()
                took_ms = 1000 * (time.monotonic() - began)
                times.append(Answer(took_ms, scheduled(pid).since(before)))
                time.sleep(ASK_EVERY_S / len(urls))
    return took


def cpu_of_an_answer(pid: int, url: str) -> float:
    """Milliseconds of the process's CPU for one of a hundred answers, without what it does when nobody asks."""
    beside = _cpu_while(pid, lambda: time.sleep(UNASKED_S)) / UNASKED_S
    with httpx2.Client(headers={"accept": "text/html"}, timeout=30) as http:
        began = time.monotonic()
        cpu = _cpu_while(pid, lambda: [http.get(url).raise_for_status() for _ in range(100)])
        return 1000 * (cpu - beside * (time.monotonic() - began)) / 100


def _cpu_while(pid: int, act: Callable[[], Any]) -> float:
    began = cpu_s(pid)
    act()
    return cpu_s(pid) - began


async def measure(stack: Stack, client: Client, options: StackOptions, seconds: float) -> Found:
    """Answers and CPU times over `seconds`."""
    pids: dict[str, int] = {name: pid for name in SERVICES if (pid := stack.supervisor.pid(name))}
    if stack.kafka is not None and stack.kafka.pid is not None:
        pids["Kafka"] = stack.kafka.pid
    pids["servers of the services"] = os.getpid()
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    urls = (options.status_url, f"{options.status_url}/api/rollouts")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        lists, apis = await asyncio.get_running_loop().run_in_executor(process, ask_for, urls, seconds, pids["status"])
    lasted = time.monotonic() - began
    cpu = {name: 100 * (cpu_s(pid) - before[name]) / lasted for name, pid in pids.items()}
    list_cpu_ms = await asyncio.to_thread(cpu_of_an_answer, pids["status"], options.status_url)
    views = [one["rollout"] for one in await insist(client.rollouts)]
    return Found(
        lists=lists,
        apis=apis,
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
    for name, answers in (("the page's list, HTML", found.lists), ("`/api/rollouts`, JSON", found.apis)):
        took = [answer.took_ms for answer in answers]
        p50, p99 = np.percentile(took, [50, 99])
        lines.append(f"| {name} | {p50:.0f} ms | {p99:.0f} ms | {len(took)}: {max(took):.0f} ms |")
    cost = (
        f"The list takes {found.list_cpu_ms:.1f} ms of the status service's CPU. The machine's load was {load:.1f} at the end, on"
        f" {os.cpu_count()} cores,\nits other users' included."
    )
    lines += [
        "",
        slowest([*found.lists, *found.apis]),
        cost,
        "",
        "| process | CPU, of one core | memory |",
        "|---|---|---|",
    ]
    lines += [f"| {n} | {cpu:.0f} % | {found.memory_mb[n]:.0f} MB |" for n, cpu in found.cpu_percent.items()]
    return "\n".join(lines)


def slowest(answers: list[Answer]) -> str:
    """What the slowest answers waited for."""
    worst = sorted(answers, key=lambda answer: answer.took_ms)[-SLOWEST:]
    took, ran, waited = (
        sum(part) / len(worst)
        for part in zip(*((a.took_ms, a.loop.ran_ms, a.loop.waited_ms) for a in worst), strict=True)
    )
    return (
        f"The {len(worst)} slowest of all took {took:.0f} ms in the mean: the status service's event loop worked for {ran:.0f} ms"
        f" of it, and for\n{waited:.0f} ms it was ready to work while others had the cores (`/proc/PID/schedstat`)."
    )


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
        write_section(TITLE, "python -m bench.fifty --write", text)
    if np.percentile([answer.took_ms for answer in found.lists], 99) >= TARGET_MS:
        sys.exit(f"the page's list takes {TARGET_MS:g} ms or more")


if __name__ == "__main__":
    main()
