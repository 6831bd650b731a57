"""What real Envoys say of versions that fail in each way that there is: counts that nobody else could give."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import httpx2
import pytest

from schemas.control import FailureCause, ProxyReport, VersionTotals
from schemas.service import Service
from tests.site import Fleet, McpServer, Site, label, service_at, stop
from transport.ports import free_ports

Fault = Literal[
    "killed", "hangs", "hangs before or in its answer", "answers 500", "resets in its answer", "resets before it"
]

SENT = 12


class Faulty:
    """Takes requests and does with them what its fault says."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._open: set[asyncio.Task[None]] = set()
        self._served = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0))
                self._served += 1
                if self._fault.startswith("hangs"):
                    if self._fault != "hangs" and self._served % 3 == 1:
                        writer.write(
                            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n: hm"
                        )
                        await writer.drain()
                    await reader.read()  # until the proxy gives up
                    break
                if self._fault != "resets before it":
                    status, length = ("500 Oops", 2) if self._fault == "answers 500" else ("200 OK", 99)
                    writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\nhi".encode())
                    await writer.drain()
                if self._fault.startswith("resets"):
                    _reset(writer)
                    break
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closing sends RST, not FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@asynccontextmanager
async def faulty(fault: Fault) -> AsyncIterator[int]:
    """The port of a canary."""
    if fault == "killed":
        yield free_ports(1)[0]
        return
    server = await asyncio.start_server(Faulty(fault).serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def site_with(fleet: Fleet, fault: Fault) -> Site:
    """The baseline is well, and almost every new session is the canary's."""
    baseline = await fleet.stack.enter_async_context(McpServer("v1"))
    canary = await fleet.stack.enter_async_context(faulty(fault))
    site = await fleet.around(service_at({"v1": [baseline.port], "v2": [canary]}), [baseline])
    await site.start(9_999)
    return site


async def ask(site: Site, n: int = SENT, timeout_s: float = 10.0) -> None:
    """`n` clients that begin a session, whatever comes of it."""

    async def one() -> None:
        with contextlib.suppress(httpx2.HTTPError):
            await site.client.post(f"{site.envoys[0].url}/mcp", content=b"{}", timeout=timeout_s)

    await asyncio.gather(*(one() for _ in range(n)))


def sent(report: ProxyReport) -> int:
    return sum(counts.sent for counts in report.versions.values())


def by(proxy: str, n: int) -> Callable[[ProxyReport], bool]:
    """Of a proxy that has sent so many, and whose log has come, too."""
    return lambda r: r.proxy == proxy and sent(r) == n == sum(r.born.values())


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("killed", "refused"),
        ("answers 500", "status_5xx"),
        ("resets in its answer", "reset"),
        ("resets before it", "reset"),
    ],
)
async def test_a_canary_that_fails_is_counted_request_by_request(
    fleet: Fleet, fault: Fault, cause: FailureCause
) -> None:
    site = await site_with(fleet, fault)
    await ask(site)
    report = await site.reported(lambda r: sent(r) == SENT and sum(r.failures.values()) == r.versions["v2"].failed > 0)
    canary, baseline = report.versions["v2"], report.versions["v1"]
    assert canary == VersionTotals(sent=canary.sent, failed=canary.sent, active=0)
    assert canary.sent >= SENT - 3  # one in ten thousand is the baseline's: missed once in 10^13
    assert baseline.failed == 0
    assert report.failures == {f"v2 {cause}": canary.sent}
    assert report.born[f"v2 {label(1, 'v2')}"] == canary.sent
    assert (report.proxy, report.router) == ("lb0", "router-1")


async def test_a_canary_that_hangs_is_seen_while_it_hangs_and_when_its_clients_have_given_up(fleet: Fleet) -> None:
    """A third of the answers have begun, as a slow tool's do: those hang, and are not unanswered."""
    fleet.unanswered_after_s = 5.0
    site = await site_with(fleet, "hangs before or in its answer")
    asking = asyncio.create_task(ask(site, timeout_s=7.0))
    hanging = await site.reported(lambda r: sum(counts.active for counts in r.versions.values()) == SENT)
    canary = hanging.versions["v2"]
    begun = -(-canary.active // 3)
    assert (canary.sent, canary.failed) == (canary.active + begun, 0)
    assert canary.active >= SENT - 3
    causes = {"v2 hung": canary.active, "v2 unanswered": canary.active - begun}
    after_5_s = await site.reported(lambda r: r.failures == causes)
    assert after_5_s.versions["v2"].active == canary.active
    await asking
    given_up = await site.reported(lambda r: "v2 hung" in r.failures and r.versions["v2"].active == 0)
    assert given_up.failures == after_5_s.failures


async def test_a_client_that_gives_up_early_is_told_of(fleet: Fleet) -> None:
    site = await site_with(fleet, "hangs")
    await ask(site, timeout_s=0.5)
    report = await site.reported(lambda r: sum(r.failures.values()) >= SENT - 3)
    assert report.failures.keys() == {"v2 abandoned"}


async def test_a_canary_without_a_server_fails_every_request(fleet: Fleet) -> None:
    baseline = await fleet.stack.enter_async_context(McpServer("v1"))
    body = service_at({"v1": [baseline.port]}).model_dump()
    versions = {**body["versions"], "v2": {"dns": "nobody.invalid:80"}}
    site = await fleet.around(Service.model_validate({**body, "versions": versions}), [baseline])
    await site.start(9_999)
    await ask(site)
    report = await site.reported(lambda r: sent(r) == SENT and "v2 no_server" in r.failures)
    assert report.versions["v2"].failed == report.versions["v2"].sent >= SENT - 3


async def test_a_control_plane_that_is_away_loses_no_totals(fleet: Fleet) -> None:
    site = await site_with(fleet, "answers 500")
    await ask(site)
    before = await site.reported(lambda r: sent(r) == SENT)
    await stop(site.router)
    await ask(site, 30)
    await fleet.router()
    after = await site.reported(lambda r: sent(r) == SENT + 30)
    assert after.versions["v2"].failed == after.versions["v2"].sent
    assert (after.proxy, after.started) == (before.proxy, before.started)
    assert after.epoch > before.epoch


async def test_a_proxy_that_is_started_again_begins_another_life(fleet: Fleet) -> None:
    site = await site_with(fleet, "answers 500")
    await ask(site)
    before = await site.reported(lambda r: sent(r) == SENT)
    await site.envoys[0].stop()
    async with site.envoys[0]:
        await site.envoys[0].live()
        await ask(site, 5)
        after = await site.reported(lambda r: r.started > before.started and sent(r) == 5)
    assert after.versions["v2"].failed == after.versions["v2"].sent


async def test_every_proxy_speaks_for_itself(fleet: Fleet) -> None:
    site = await fleet.site(proxies=2)
    await site.start(5_000)
    for n in range(30):
        await site.post(envoy=n % 3 == 0)
    first, second = await site.reported(by("lb0", 20)), await site.reported(by("lb1", 10))
    for report in (first, second):
        assert report.failures == {}
        assert {v: report.born[f"{v} {label(1, v)}"] for v in ("v1", "v2")} == {
            v: report.versions[v].sent for v in ("v1", "v2")
        }
