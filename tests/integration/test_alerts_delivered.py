"""From ledger entries to what a webhook and a mail server hold: who hears what, once, and that it is over."""

import asyncio
import contextlib
import email
import email.policy
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import pytest
import uvicorn
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts.__main__ import receivers
from alerts.agent import TOPICS, Alerts
from alerts.delivery import Post
from alerts.memory import MemoryFile
from alerts.settings import AlertsSettings
from davylamp_sdk._message import Message
from schemas.decisions import Reason
from schemas.topics import Topic
from tests.builders import entry
from tests.unit.alerts.fakes import says
from transport.clock import FakeClock
from transport.memory_log import MemoryLog
from transport.ports import free_ports

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""

SENTENCE = "Error rate 4.10 % of 512 against 0.20 % of 4,608: +3.90 points, surely more than +0.52, limit +0.50."
START = entry("start")
HOLD = entry("hold", START, now=2, reason=Reason(code="sick_baseline", sentence="Baseline errors 5.10 %."))
RESUME = entry("resume", HOLD, now=3)
ROLLBACK = entry("rollback", RESUME, now=4, reason=Reason(code="breach", sentence=SENTENCE))
REFUSED = says(START, lb0="rejected: no such cluster")
CLOCK = FakeClock()
LINK = "Status: https://davylamp.example/rollouts/orders"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """apprise leaves 5.5 s between two mails."""
    monkeypatch.setattr("apprise.plugins.base.NotifyBase.request_rate_per_sec", 0)


@dataclass
class OnCall:
    """Whoever carries the pager, by webhook, and the team's mailbox."""

    pages: list[dict[str, str]] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def titles(self) -> tuple[list[str], list[str]]:
        """What the pager and the mailbox got, in order."""
        return [page["title"] for page in self.pages], [str(mail["subject"]) for mail in self.mails]

    async def got(self, pages: int, mails: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(30):
            while len(self.pages) < pages or len(self.mails) < mails:
                self.came.clear()
                await self.came.wait()

    async def hook(self, request: Request) -> Response:
        """The webhook."""
        self.pages.append(json.loads(await request.body()))
        self.came.set()
        return Response(status_code=204)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """The mailbox; in the loop of whoever made this."""
        assert envelope.rcpt_tos == ["team@example.com"]
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, EmailMessage, policy=email.policy.default)
        self.loop.call_soon_threadsafe(self._keep, mail)
        return "250 OK"

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def _keep(self, mail: EmailMessage) -> None:
        self.mails.append(mail)
        self.came.set()


@contextlib.asynccontextmanager
async def listening(on_call: OnCall) -> AsyncIterator[AlertsSettings]:
    """A web server and a mail server of other people's making, and the settings that lead to them."""
    http_port, smtp_port = free_ports(2)
    app = Starlette(routes=[Route("/hook", on_call.hook, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=http_port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody when it has started
        await asyncio.sleep(0)
    mail = Controller(on_call, hostname="127.0.0.1", port=smtp_port)
    await asyncio.to_thread(mail.start)
    pager = {"url": f"json://127.0.0.1:{http_port}/hook", "severities": ["page"], "name": "pager"}
    team = {"url": f"mailto://127.0.0.1:{smtp_port}?from=davylamp@example.com&to=team@example.com", "name": "team"}
    try:
        yield AlertsSettings.model_validate({"receivers": [pager, team], "status_url": "https://davylamp.example"})
    finally:
        await asyncio.to_thread(mail.stop)
        server.should_exit = True
        await task


async def never(seconds: float) -> None:
    """Nothing is told for time alone."""
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def alerts(log: MemoryLog, settings: AlertsSettings, told: Path) -> AsyncIterator[None]:
    """The service's own parts over a log in memory, in a world where no time passes."""
    post = Post(receivers(settings), MemoryFile(told), CLOCK)
    agent = Alerts(log.reader(*TOPICS), CLOCK, post, settings.limits, str(settings.status_url), never)
    task = asyncio.create_task(agent.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def write(log: MemoryLog, *messages: Message) -> None:
    for message in messages:
        topic: Topic = "route-changes" if type(message).__name__ == "RouteChange" else "rollout-decisions"
        await log.put(topic, 0, message.dump())


async def remembered(told: Path, cause: str, times: int) -> None:
    """Wait until so many receivers' answers were written down: what may not have arrived is sent again."""
    async with asyncio.timeout(30):
        while _told(told, cause) < times:  # noqa: ASYNC110 - written by a thread
            await asyncio.sleep(0.02)


def _told(file: Path, cause: str) -> int:
    return file.read_text(encoding="utf-8").count(cause)


async def test_each_receiver_hears_what_it_wants_once_and_that_it_is_over(tmp_path: Path) -> None:
    on_call, log = OnCall(), MemoryLog(clock=CLOCK)
    async with listening(on_call) as settings:
        async with alerts(log, settings, tmp_path / "told.json"):
            await write(log, START, REFUSED, REFUSED)
            await on_call.got(1, 1)
            await write(log, REFUSED, says(START, lb0="acknowledged"))
            await on_call.got(2, 2)
            await write(log, HOLD)
            await on_call.got(2, 3)
            await write(log, RESUME)
            await on_call.got(2, 4)
            await write(log, ROLLBACK, ROLLBACK)
            await on_call.got(3, 5)
            await remembered(tmp_path / "told.json", ROLLBACK.id, 3)
        async with alerts(log, settings, tmp_path / "told.json"):
            await write(log, entry("drained", ROLLBACK, now=5))
            await on_call.got(3, 6)
    pages = [
        "[page] orders: a proxy rejects its route",
        "[resolved] orders: a proxy rejects its route",
        "[page] orders: rolled back",
    ]
    held = ["[notice] orders: held: the baseline is sick", "[resolved] orders: held: the baseline is sick"]
    assert on_call.titles == (pages, [*pages[:2], *held, pages[2], "[info] orders: canary drained"])


async def test_a_page_and_a_mail_carry_sentence_numbers_link_and_command(tmp_path: Path) -> None:
    on_call, log = OnCall(), MemoryLog(clock=CLOCK)
    async with listening(on_call) as settings, alerts(log, settings, tmp_path / "told.json"):
        await write(log, START, HOLD, RESUME, ROLLBACK)
        await on_call.got(1, 1)
    (page,), mail = on_call.pages, on_call.mails[-1]
    text = mail.get_body(("plain", "html"))
    assert text is not None
    assert page["type"] == "failure"
    for words in (SENTENCE, "Next: davylamp history orders", LINK):
        assert words in page["message"]
        assert words in text.get_content().replace("\r\n", "\n")
