"""What apprise puts on the wire reaches a real HTTP endpoint and a real mail server; one that never answers is given up."""

import asyncio
import contextlib
import email
import email.policy
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from alerts.cause import Cause, Happened
from alerts.delivery import EVERYTHING, Patience, Post
from alerts.memory import InMemory
from alerts.receivers import AppriseReceiver, MemoryReceiver, ReceiverError
from alerts.wording import Message, message
from transport.clock import SystemClock
from transport.ports import free_ports

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""

CAUSE = Cause(
    key="orders/3/rollback/e1",
    kind="rollback",
    severity="page",
    service="orders",
    rollout=3,
    since_s=0,
    sentence="Error rate 4.1 % against 0.2 %: +3.9 points, <b>limit</b> +0.5.",
)

Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


def rollback() -> Message:
    return message(Happened(CAUSE), 1_700_000_000_000, 1_700_000_000_000)


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A TCP server on loopback; its connections are closed with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Http:
    """Answers POSTs with `status` and keeps their bodies."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.bodies: list[dict[str, str]] = []
        self.answered = asyncio.Event()

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        self.bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        self.answered.set()


class Smtp:
    """As much of RFC 5321 as a client needs to hand over a message."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.recipients: list[str] = []

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"220 test\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                self.recipients.append(line.partition(":")[2].strip("<> "))
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 ok\r\n")
            await writer.drain()
            if verb == "QUIT":
                return


async def silent(reader: StreamReader, writer: StreamWriter) -> None:
    """Takes the connection and never says a word."""
    await asyncio.Event().wait()


async def test_a_webhook_gets_title_sentence_and_severity() -> None:
    http = Http()
    async with listening(http) as port:
        await AppriseReceiver("hook", f"json://127.0.0.1:{port}").send(rollback())
    (body,) = http.bodies
    assert body["title"] == "[page] orders: rolled back"
    assert body["message"].startswith(CAUSE.sentence)
    assert "Next: davylamp history orders" in body["message"]
    assert body["type"] == "failure"


async def test_a_mail_server_gets_the_message_as_mail() -> None:
    smtp = Smtp()
    async with listening(smtp) as port:
        url = f"mailto://127.0.0.1:{port}?from=davylamp@example.com&to=oncall@example.com"
        await AppriseReceiver("mail", url).send(rollback())
    assert smtp.recipients == ["oncall@example.com"]
    mail = email.message_from_bytes(smtp.mails[0], policy=email.policy.default)
    body = mail.get_body(("plain", "html"))
    assert mail["subject"] == "[page] orders: rolled back"
    assert body is not None
    assert "davylamp history orders" in body.get_content()
    html = mail.get_body(("html",))
    assert html is None or "<b>limit</b>" not in html.get_content()


@pytest.mark.parametrize("status", ["500 Internal Server Error", "403 Forbidden"])
async def test_a_webhook_that_refuses_is_an_error(status: str) -> None:
    async with listening(Http(status)) as port:
        with pytest.raises(ReceiverError):
            await AppriseReceiver("hook", f"json://127.0.0.1:{port}").send(rollback())


async def test_nobody_listening_is_an_error() -> None:
    (port,) = free_ports(1)
    with pytest.raises(ReceiverError):
        await AppriseReceiver("hook", f"json://127.0.0.1:{port}").send(rollback())


async def test_a_webhook_that_never_answers_delays_nobody_and_gets_it_once_it_recovers() -> None:
    http, other = Http(), MemoryReceiver()
    patience = Patience(attempt_s=0.2, first_s=0.05, longest_s=0.1)
    hook_down = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        if hook_down.is_set():
            await http(reader, writer)
        else:
            hook_down.set()
            await silent(reader, writer)

    async with listening(serve) as port:
        hook = AppriseReceiver("hook", f"json://127.0.0.1:{port}?rto=1&cto=1")
        post = Post([(hook, EVERYTHING), (other, EVERYTHING)], InMemory(), SystemClock(), patience=patience)
        task = asyncio.create_task(post.run())
        post.offer(message(Happened(CAUSE), SystemClock().now_ms(), 0))
        await hook_down.wait()
        assert [m.key for m in other.taken] == [CAUSE.key]
        async with asyncio.timeout(30):
            await http.answered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(http.bodies) == 1
