"""A field to try faults on: all services, two routers, two Envoys, MCP servers and clients, a Kafka; and who watches them.

What is watched all the time: the ledger as everybody may read it, the routes that each Envoy runs, what on-call is told.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest import mock

import httpx2

from cli import stack as cli_stack
from cli.client import ApiError, Client
from cli.stack import Stack, StackOptions, running, service_argv
from demo.scene import SETTINGS, Versions
from router.bootstrap import bootstrap
from router.local_envoy import LocalEnvoy
from router.snapshot import is_later
from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import Fleet
from schemas.ledger import Accepted, ServiceLedger
from schemas.plan import Plan
from schemas.service import Service
from tests import broken_router
from tests.command_line import davylamp
from transport.kafka_log import KafkaReader
from transport.ports import free_ports
from transport.settings import KafkaSettings
from transport.supervisor import Child

SERVICE = "orders"
TOKEN = "a token of this field alone"
SESSIONS_PER_SECOND = 7.0
"""Of each proxy."""
CLIENT_PATIENCE_S = 20.0
"""Kafka's JVM starting on two busy cores can leave the clients' own process without a turn for seconds, and then answers
that came in time are read too late. What nobody answers is still found."""

Sees = dict[str, Any]

_NOBODY = ("not reachable", "not answered in time", "not been read to its end")
"""What the command line says where nobody has answered."""


def quick_plan(canary: str, within: str = "12pp", **changes: Any) -> Plan:
    """Two stages of five seconds, and one check with a wide margin: what is tried here is not the statistics."""
    others = ("tool_success", "latency_p99", "latency_p90", "session_loss", "tools", "availability")
    made = {
        "service": SERVICE,
        "canary": canary,
        "stages": [{"share": s, "for": "5s", "min_sessions": 10} for s in ("20%", "50%")],
        "checks": {"error_rate": {"within": within}, **dict.fromkeys(others, "off")},
        "rollback": {"deadline": "60s", "severe": "drain"},  # else few calls, most of which failed, move sessions
        "stale_after": "8s",
        "on_unproven_final": "proceed",  # on a busy machine clients are few: too few to prove a healthy canary
    }
    return Plan.model_validate({**made, **changes})


class Pager:
    """An HTTP receiver of alerts; or one that takes the request and never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs
        self._serving: set[asyncio.Task[None]] = set()
        self.told: list[dict[str, str]] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length"))
            body = json.loads(await reader.readexactly(length))
            if self._hangs:
                await asyncio.Event().wait()
            self.told.append(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()

    def heard(self, *words: str) -> bool:
        """Some alert's title holds all of these."""
        return any(all(word in one["title"] for word in words) for one in self.told)


@dataclass
class Proxy:
    """One Envoy, and who watches its routes."""

    name: str
    envoy: LocalEnvoy
    admin: int
    versions: list[str] = field(default_factory=list)
    """Of the routes that it ran, one after the other."""

    @property
    def pid(self) -> int:
        process = self.envoy._process
        assert process is not None
        return process.pid

    async def watch(self) -> None:
        """Look at what it runs, many times a second; a proxy that is away says nothing."""
        url = f"http://127.0.0.1:{self.admin}/config_dump?resource=dynamic_route_configs"
        async with httpx2.AsyncClient(timeout=1.0) as http:
            while True:
                with contextlib.suppress(httpx2.HTTPError, ValueError, KeyError, IndexError):
                    version = (await http.get(url)).json()["configs"][0]["version_info"]
                    if [version] != self.versions[-1:]:
                        self.versions.append(version)
                await asyncio.sleep(0.05)

    @property
    def went_back(self) -> list[tuple[str, str]]:
        """Routes that it ran after newer ones: must be none."""
        return [(a, b) for a, b in zip(self.versions, self.versions[1:], strict=False) if is_later(a, than=b)]


class Clients:
    """Real MCP clients of one proxy."""

    def __init__(self, url: str, log: Path, seed: int) -> None:
        self._argv = [sys.executable, "-m", "demo.traffic", "--url", url, "--seed", str(seed)]
        self._argv += ["--rate", str(SESSIONS_PER_SECOND), "--patience", str(CLIENT_PATIENCE_S)]
        self._log = log

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
            )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"ready\n"

    async def stop(self) -> Sees:
        """What they saw, once the last session has ended."""
        self._process.terminate()
        output, _ = await asyncio.wait_for(self._process.communicate(), 60)
        seen: Sees = json.loads(output)
        return seen

    def kill(self) -> None:
        """At the end, whatever happened."""
        if self._process.returncode is None:
            self._process.kill()


@dataclass
class Watcher:
    """A reader of the ledger like any other, that says at once what it reads."""

    reader: KafkaReader
    chain: ServiceLedger = field(default_factory=ServiceLedger)
    voids: int = 0
    fleet: Fleet = field(default_factory=Fleet)
    now_ms: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        async for batch in self.reader.batches():
            for record in batch.records:
                if record.topic == "rollout-decisions":
                    entry = LedgerEntry.read(record.value or b"")
                    self.chain, result = self.chain.read(entry, record.offset)
                    self.voids += not isinstance(result, Accepted)
                else:
                    self.fleet = self.fleet.read(RouteChange.read(record.value or b""), record.timestamp_ms)
                    self.now_ms = record.timestamp_ms
            async with self.news:
                self.news.notify_all()

    async def until(self, true: Callable[["Watcher"], bool], within_s: float) -> None:
        """Raises ``TimeoutError``."""
        async with asyncio.timeout(within_s), self.news:
            await self.news.wait_for(lambda: true(self))

    @property
    def state(self) -> str:
        """`running` is told apart by whether every proxy runs the stage's route."""
        phase = self.chain.standing.phase or "none"
        if phase != "running":
            return phase
        return "collecting" if self.fleet.runs(self.chain.head_id, self.now_ms) else "shifting"

    @property
    def rollout(self) -> tuple[LedgerEntry, ...]:
        """The newest."""
        return self.chain.rollout(self.chain.standing.rollout)

    @property
    def steps(self) -> list[str]:
        """Of the newest rollout, without holds: on a busy machine data may be missing for a while."""
        return [f"{e.kind} {e.share}" for e in self.rollout if e.kind not in ("hold", "resume")]


@dataclass
class Field:
    """Everything that runs."""

    client: Client
    options: StackOptions
    stack: Stack
    proxies: dict[str, Proxy]
    pager: Pager
    watcher: Watcher
    direct_ports: tuple[int, ...]
    ports: dict[str, int]
    """By version: where one of its servers listens."""

    @contextlib.asynccontextmanager
    async def clients(self, proxy: str, seed: int) -> AsyncIterator[Clients]:
        """Clients of this proxy, gone when the block ends."""
        made = Clients(f"{self.proxies[proxy].envoy.url}/mcp", self.options.folder / f"clients-{seed}.log", seed)
        await made.start()
        try:
            yield made
        finally:
            made.kill()

    async def ask(self, word: Callable[[], str]) -> str:
        """A person's word, said until somebody answers; a refusal is an answer."""
        async with asyncio.timeout(30):
            while True:
                try:
                    return await asyncio.to_thread(word)
                except ApiError as error:
                    if not any(words in str(error) for words in _NOBODY):
                        return str(error)
                await asyncio.sleep(0.1)

    async def apply(self, service: Service) -> str:
        """Empty, or why not."""

        def apply() -> str:
            self.client.apply(service)
            return ""

        return await self.ask(apply)

    async def start(self, canary: str, **changes: Any) -> None:
        """Until the ledger has it: what is waited for next must not be said of the rollout before.

        What a test that failed has left behind is rolled back first.
        """
        await self.back_to_v1()
        before, plan = self.watcher.chain.standing.rollout, quick_plan(canary, **changes)
        said = ""
        for _ in range(4):  # a judge that was killed takes its time to come back
            said = await self.ask(lambda: self.client.start(plan, "field", again=True, replace=True))
            with contextlib.suppress(TimeoutError):
                return await self.watcher.until(lambda w: w.chain.standing.rollout > before, 10)
            if "has not answered" not in said:
                break
        raise AssertionError(f"not started: {said}")

    async def say(self, word: str, **more: Any) -> str:
        return await self.ask(lambda: self.client.say(SERVICE, word, {"reason": "the test wants it", **more}))

    async def until(self, *states: str, within_s: float = 60.0, stage: int = 0) -> None:
        """Until the newest rollout stands so, in a stage that is at least this one."""
        await self.watcher.until(lambda w: w.state in states and w.chain.standing.stage >= stage, within_s)

    async def routed(self, within_s: float = 30.0) -> None:
        """Until every proxy runs the ledger's head, by the routers' words."""
        await self.watcher.until(lambda w: w.fleet.runs(w.chain.head_id, w.now_ms), within_s)

    async def back_to_v1(self) -> None:
        """Nothing runs, and v1 serves everybody."""
        word = {"completed": "undo"}.get(self.watcher.state, "rollback")
        if self.watcher.state in ("pending", "shifting", "collecting", "held", "completed"):
            await self.say(word)
            await self.until("rolled_back", within_s=10)

    def signal(self, name: str, number: signal.Signals) -> None:
        pid = self.stack.supervisor.pid(name)
        assert pid is not None
        os.kill(pid, number)

    def kill(self, *names: str) -> None:
        """kill -9; the supervisor starts them again."""
        for name in names:
            self.signal(name, signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Any:
        """SIGSTOP while the block runs."""
        self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(name, signal.SIGCONT)

    async def command(self, *argv: str) -> tuple[int, str]:
        """The command line's exit code and words."""
        return await davylamp(self.options, *argv, DAVYLAMP_DIRECT_TOKEN=TOKEN)

    async def met(self, proxy: str, sessions: int = 20) -> set[str]:
        """Which versions new sessions through this proxy meet now."""
        url = f"{self.proxies[proxy].envoy.url}/mcp"
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _INITIALIZE}
        async with httpx2.AsyncClient(timeout=10.0, headers=_ACCEPT) as http:
            answers = await asyncio.gather(*(http.post(url, json=body) for _ in range(sessions)))
        ids = [a.headers.get("mcp-session-id", f"status {a.status_code}") for a in answers]
        return {id_.split("~")[0].removeprefix(f"{SERVICE}.") for id_ in ids}

    async def only_v1(self, within_s: float, *proxies: str) -> None:
        """Until no new session meets anything else, through any of these proxies, or of all."""
        for proxy in proxies or tuple(self.proxies):
            await eventually(partial(self._meets_v1, proxy), within_s)

    async def _meets_v1(self, proxy: str) -> bool:
        return await self.met(proxy) == {"v1"}

    async def paged(self, *words: str, within_s: float) -> None:
        """Until on-call is told something with all these words in its title."""
        await eventually(lambda: self.pager.heard(*words), within_s)


_ACCEPT = {"accept": "application/json, text/event-stream"}
_INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "field", "version": "1"},
}


async def eventually(true: Callable[[], bool | Awaitable[bool]], within_s: float) -> None:
    """Ask again and again. Raises ``TimeoutError``."""
    async with asyncio.timeout(within_s):
        while True:
            answer = true()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def lay_out(folder: Path, canaries: Versions, absent: tuple[str, ...] = ()) -> AsyncIterator[Field]:
    """Everything starts; it is gone when the block ends. Of `absent` versions no server runs, though the service has them."""
    kafka, _, status, *ports = free_ports(13 + len(canaries) + len(absent))
    (xds, direct), ports = (ports[:2], ports[2:4]), ports[4:]
    (lbs, admins), ports = (ports[:2], ports[2:4]), ports[4:]
    async with contextlib.AsyncExitStack() as stack:
        pager = await stack.enter_async_context(Pager())
        hanging = await stack.enter_async_context(Pager(hangs=True))
        options = _options(folder, kafka, status, xds[0], direct[0], {"pager": pager, "hangs": hanging})
        with mock.patch.object(cli_stack, "service_argv", _argv):
            everything = await stack.enter_async_context(running(options))
        everything.supervisor.add(_second_router(options, xds[1], direct[1]))
        servers = list(zip(("v1", "v1", *canaries, *absent), ports, strict=True))
        for version, port in servers:
            if version not in absent:
                everything.supervisor.add(_server(options, version, port, canaries.get(version)))
        proxies = {}
        for name, lb, admin, routers in (("lb0", lbs[0], admins[0], xds), ("lb1", lbs[1], admins[1], xds[::-1])):
            made = bootstrap(name, lb, admin, routers=[f"127.0.0.1:{port}" for port in routers])
            _log_failures(made, folder / f"{name}.failures")
            envoy = await stack.enter_async_context(LocalEnvoy(made, folder / "envoy"))
            proxies[name] = Proxy(name, envoy, admin)
        client = stack.enter_context(Client(options.status_url))
        reader = KafkaReader(
            KafkaSettings(bootstrap=options.bootstrap), "field", ["rollout-decisions", "route-changes"]
        )
        watcher = Watcher(reader)
        laid = Field(client, options, everything, proxies, pager, watcher, tuple(direct), dict(servers))
        await laid.apply(_service(servers))
        watching = [asyncio.create_task(work) for work in (watcher.run(), *(p.watch() for p in proxies.values()))]
        try:
            for proxy in proxies.values():
                await proxy.envoy.live(60)
                await laid.only_v1(60, proxy.name)
            yield laid
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await reader.close()


def _log_failures(made: dict[str, Any], file: Path) -> None:
    """Let this proxy write what it answered with an error, and why: for whoever asks why a client broke."""
    words = "%START_TIME% %REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DURATION%"
    words += " %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %REQ(MCP-SESSION-ID)% %ROUTE_NAME%\n"
    comparison = {"op": "GE", "value": {"default_value": 400, "runtime_key": "field.failures"}}
    manager = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["access_log"].append(
        {
            "name": "envoy.access_loggers.file",
            "filter": {
                "or_filter": {
                    "filters": [{"status_code_filter": {"comparison": comparison}}, {"response_flag_filter": {}}]
                }
            },
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(file),
                "log_format": {"text_format_source": {"inline_string": words}},
            },
        }
    )


def _options(folder: Path, kafka: int, status: int, xds: int, direct: int, pagers: dict[str, Pager]) -> StackOptions:
    receivers = [{"name": name, "url": f"json://127.0.0.1:{pager.port}/"} for name, pager in pagers.items()]
    environment = {
        **SETTINGS,
        "DAVYLAMP_ROUTER_NAME": "router-1",
        "DAVYLAMP_ROUTER_DIRECT_PORT": str(direct),
        "DAVYLAMP_ROUTER_DIRECT_TOKEN": TOKEN,
        "DAVYLAMP_ALERTS_RECEIVERS": json.dumps(receivers),
    }
    return StackOptions(folder, None, kafka, xds, status, environment)


def _argv(service: str) -> list[str]:
    """Routers are those that can be told what no proxy accepts."""
    return [sys.executable, broken_router.__file__] if service == "router" else service_argv(service)


def _second_router(options: StackOptions, xds: int, direct: int) -> Child:
    own = {
        "DAVYLAMP_ROUTER_NAME": "router-2",
        "DAVYLAMP_ROUTER_XDS_PORT": str(xds),
        "DAVYLAMP_ROUTER_DIRECT_PORT": str(direct),
        "DAVYLAMP_ROUTER_DATA_FOLDER": str(options.folder / "router-2"),
    }
    environment = {**options.service_environment(), **own}
    return Child("router-2", _argv("router"), environment, options.folder / "router-2.log")


def _server(options: StackOptions, version: str, port: int, fault: str | None) -> Child:
    argv = [sys.executable, "-m", "demo.server", "--version", version, "--port", str(port)]
    argv += ["--bootstrap", options.bootstrap, *(["--fault", fault] if fault else [])]
    return Child(f"{SERVICE}-{version}-{port}", argv, dict(os.environ), options.folder / f"{version}-{port}.log")


def _service(servers: list[tuple[str, int]]) -> Service:
    versions: dict[str, dict[str, list[str]]] = {}
    for version, port in servers:
        versions.setdefault(version, {"endpoints": []})["endpoints"].append(f"127.0.0.1:{port}")
    return Service.model_validate({"service": SERVICE, "baseline": "v1", "versions": versions})
