"""A site to try: MCP-like servers behind real Envoys, a router, and the ledger that rules them; all in this process
but the Envoys."""

import asyncio
import contextlib
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2

from davylamp_sdk._message import Message
from router import report_sinks
from router.agent import Router
from router.bootstrap import bootstrap
from router.disk import Disk
from router.envoy_xds import EnvoyXds
from router.fold import TOPICS
from router.freshness import Freshness
from router.keeper import Keeper
from router.local_envoy import LocalEnvoy
from router.witness import UNANSWERED_AFTER_S, Witness
from schemas.control import ProxyReport, RouteChange
from schemas.decisions import EntryKind, LedgerEntry, Opening
from schemas.labels import Kind, Label
from schemas.plan import Plan
from schemas.service import Service
from schemas.topics import Topic
from schemas.units import format_share
from tests.builders import SEED, entry, plan
from transport.clock import SystemClock
from transport.log import Batch, WatchedReader
from transport.memory_log import MemoryLog
from transport.ports import free_ports

M = TypeVar("M", bound=Message)

MODERN = ("mcp-protocol-version", "2026-07-28")
"""What a client of the protocol without sessions says with every request."""


def label(stage: int, version: str, kind: Kind = "session") -> str:
    return str(Label.make(SEED, 1, stage, version, kind))


class McpServer:
    """Gives a session id to whoever names no protocol, or says that it initializes; answers 404 to ids that it did not
    give out (unless it adopts them); says what it was told."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.adopts = False
        self._sessions: set[str] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = [(n, v) for n, _, v in (line.partition(": ") for line in head.split("\r\n")[1:] if line)]
                said = await reader.readexactly(int(dict(headers).get("content-length", "0")))
                writer.write(self._answer(head.split(" ")[1], headers, said))
                await writer.drain()
        writer.close()

    def _answer(self, path: str, headers: list[tuple[str, str]], said: bytes) -> bytes:
        given = dict(headers)
        session = given.get("mcp-session-id")
        status = "200 OK" if session is None or self.adopts or session in self._sessions else "404 Not Found"
        if "mcp-protocol-version" not in given or said == b"initialize":
            session = session or uuid.uuid4().hex
        if status == "200 OK" and session is not None:
            self._sessions.add(session)
        assignments = [value for name, value in headers if name == "x-davylamp-assignment"]
        told = {
            "version": self._version,
            "port": self.port,
            "session": session,
            "assignments": assignments,
            "path": path,
        }
        body = json.dumps(told).encode()
        known = f"mcp-session-id: {session}\r\n" if session is not None else ""
        return f"HTTP/1.1 {status}\r\n{known}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Session:
    """A session as the client and its server knew it when it was born."""

    id: str
    version: str
    port: int
    inner: str
    assignment: str


@dataclass
class Site:
    """A service with two versions behind Envoys, and the ledger that rules them."""

    client: httpx2.AsyncClient
    log: MemoryLog
    service: Service
    envoys: list[LocalEnvoy]
    router: asyncio.Task[None]
    servers: list[McpServer]
    head: LedgerEntry | None = None
    plan: Plan = field(default_factory=plan)
    written: int = 0

    async def start(self, *shares: int, seed: str = SEED) -> None:
        """A rollout of v2 in stages of these shares; it is at the first of them."""
        stages = [{"share": format_share(share), "for": "10m"} for share in shares]
        self.plan = Plan.model_validate({"service": "orders", "canary": "v2", "stages": stages})
        await self.write("start", opening=Opening(plan=self.plan, service=self.service, seed=seed))

    async def write(self, kind: EntryKind, **changes: Any) -> None:
        """Append an entry, with the stage and share that follow from the plan, and wait until every proxy has
        acknowledged it."""
        before = self.head.stage if self.head else 0
        whole = len(self.plan.stages) + 1
        stage = {"start": 1, "proceed": before + 1, "complete": whole}.get(kind, before)
        share = 0 if kind in {"rollback", "drained"} else self.plan.share_of(stage)
        self.written += 1
        written = entry(kind, self.head, now=self.written, **{"stage": stage, "share": share, **changes})
        self.head = written
        await self.log.writer().append("rollout-decisions", "orders", written.dump())
        await self.told(lambda c: c.entry == written.id and c.acknowledged)

    async def told(self, wanted: Callable[[RouteChange], bool]) -> RouteChange:
        """The first route change that is `wanted`."""
        return await self._first("route-changes", RouteChange, wanted)

    async def reported(self, wanted: Callable[[ProxyReport], bool]) -> ProxyReport:
        """The first report of a proxy that is `wanted`."""
        return await self._first("proxy-reports", ProxyReport, wanted)

    async def _first(self, topic: Topic, kind: type[M], wanted: Callable[[M], bool]) -> M:
        async with asyncio.timeout(20):
            async for batch in self.log.reader(topic).batches():
                for record in batch.records:
                    message = kind.read(record.value or b"")
                    if wanted(message):
                        return message
        raise AssertionError("the log ended")

    async def post(
        self, *headers: tuple[str, str], envoy: int = 0, path: str = "/mcp", method: str = "POST", say: bytes = b"{}"
    ) -> httpx2.Response:
        """A request of a client that keeps no cookies."""
        self.client.cookies.clear()
        url = f"{self.envoys[envoy].url}{path}"
        return await self.client.request(method, url, content=say, headers=list(headers))

    async def new(self, n: int) -> list[Session]:
        return [born(await self.post()) for _ in range(n)]

    async def again(self, *sessions: Session) -> Counter[str]:
        """Each session calls once more: how many stayed exactly where they were, and what became of the others."""
        seen: Counter[str] = Counter()
        for session in sessions:
            response = await self.post(("mcp-session-id", session.id))
            if response.status_code != 200:
                seen[str(response.status_code)] += 1
            else:
                same = born(response)
                place = (same.id, same.port, same.inner) == (session.id, session.port, session.inner)
                seen["same" if place else "moved"] += 1
        return seen

    async def assignments(self, *headers: tuple[str, str]) -> list[str]:
        """What the server was told about one request."""
        told: list[str] = (await self.post(*headers)).json()["assignments"]
        return told


@dataclass(frozen=True)
class Newcomers:
    """Clients of a kind, each with its first request. Principals are the same ones each time."""

    site: Site
    kind: Kind

    async def versions(self, n: int) -> list[str]:
        """What each of `n` newcomers meets."""
        met = [(await self._first(number)).json() for number in range(n)]
        assert all(f".{self.kind}." in m["assignments"][0] for m in met)
        return [m["version"] for m in met]

    async def _first(self, number: int) -> httpx2.Response:
        match self.kind:
            case "session":
                return await self.site.post()
            case "cookie":
                return await self.site.post(MODERN)
            case "principal":
                return await self.site.post(MODERN, ("authorization", f"Bearer {number:04x}-token"))


def born(response: httpx2.Response) -> Session:
    told = response.json()
    (assignment,) = told["assignments"]
    return Session(response.headers["mcp-session-id"], told["version"], told["port"], told["session"], assignment)


class Unreachable:
    """Reads nothing from a log that nobody can reach."""

    away_s = 60.0

    async def batches(self) -> AsyncIterator[Batch]:
        await asyncio.Event().wait()
        yield Batch((), caught_up=False)

    async def read_to_end(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Fleet:
    """Starts a site and its routers, and stops what is left of them."""

    folder: Path
    stack: AsyncExitStack
    log: MemoryLog = field(default_factory=MemoryLog)
    xds_port: int = field(default_factory=lambda: free_ports(1)[0])
    made: Router = field(init=False)
    """The newest router."""
    unanswered_after_s: float = UNANSWERED_AFTER_S

    async def router(self, reader: WatchedReader | None = None) -> asyncio.Task[None]:
        """A router, which may be stopped."""
        task = asyncio.create_task(self._route(reader or self.log.reader(*TOPICS)))
        await asyncio.sleep(0)  # it has begun
        self.stack.push_async_callback(stop, task)
        return task

    async def _route(self, reader: WatchedReader) -> None:
        keeper = Keeper(Disk(self.folder / "router"), self.log.writer())
        proven, fresh = keeper.acknowledged.snapshot, Freshness(reader, keeper)
        clock = SystemClock()
        witness = Witness("router-1", clock.now_ms(), self.unanswered_after_s)
        balancer = EnvoyXds("127.0.0.1", self.xds_port, proven, fresh)
        balancer.serve_beside(report_sinks.handlers(witness, clock))
        self.made = Router("router-1", reader, self.log.writer(), balancer, clock, keeper, witness)
        try:
            await self.made.run()
        finally:
            await balancer.close()

    async def site(self, proxies: int = 1, **changes: Any) -> Site:
        """Servers, a router and proxies, ready for clients. `changes` are to the service's file, `eras` by version."""
        servers = [await self.stack.enter_async_context(McpServer(v)) for v in ("v1", "v1", "v2")]
        service = service_at({"v1": [s.port for s in servers[:2]], "v2": [servers[2].port]}, **changes)
        return await self.around(service, servers, proxies)

    async def around(self, service: Service, servers: list[McpServer], proxies: int = 1) -> Site:
        """A router and proxies for servers that run already."""
        await self.log.writer().append("services", "orders", service.dump())
        router = await self.router()
        envoys = [await self._envoy(f"lb{i}") for i in range(proxies)]
        client = await self.stack.enter_async_context(httpx2.AsyncClient(timeout=10))
        site = Site(client, self.log, service, envoys, router, servers)
        await site.told(lambda c: c.acknowledged and len(c.proxies) == proxies)
        await asyncio.gather(*(envoy.live() for envoy in envoys))
        return site

    async def _envoy(self, node: str) -> LocalEnvoy:
        port, admin = free_ports(2)
        start = bootstrap(node, port, admin, (f"127.0.0.1:{self.xds_port}",))
        return await self.stack.enter_async_context(LocalEnvoy(start, self.folder))


def service_at(
    ports: dict[str, list[int]], eras: dict[str, list[str]] | None = None, baseline: str = "v1", **changes: Any
) -> Service:
    """The service's file: the baseline by addresses, others by name."""
    places: dict[str, Any] = {
        v: {"endpoints": [f"127.0.0.1:{p}" for p in at]} if v == baseline else {"dns": f"localhost:{at[0]}"}
        for v, at in ports.items()
    }
    versions = {name: {**place, **({"eras": eras[name]} if eras else {})} for name, place in places.items()}
    return Service.model_validate({"service": "orders", "baseline": baseline, "versions": versions, **changes})


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
