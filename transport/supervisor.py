"""One supervised process a service: started, started again when it ends, and never left behind."""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from transport.tether import tethered

logger = logging.getLogger(__name__)

_STOP_S = 10.0
_NOT_STARTED = 127


@dataclass(frozen=True, slots=True)
class Child:
    """What to run."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """The whole environment; None: the supervisor's own."""
    log_path: Path | None = None
    """What it writes to stdout and stderr is appended here; None: they are the supervisor's own."""
    restart: bool = True
    """Start it again whenever it ends, whatever its exit code."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a child is started again, in seconds: doubling, forgotten after a healthy life."""

    first_s: float = 0.2
    longest_s: float = 5.0
    healthy_s: float = 10.0

    def after(self, last_s: float | None, lived_s: float) -> float:
        """The wait after a life of `lived_s`, given the wait before it (None: there was none)."""
        if last_s is None or lived_s >= self.healthy_s:
            return self.first_s
        return min(2 * last_s, self.longest_s)


class Supervisor:
    """Runs children until it is stopped; leaving its block stops it, by whatever exception.

    Each child leads a session and process group of its own: a Ctrl-C reaches the supervisor alone, which then stops
    them in order. On Linux a child is killed when the supervisor's process ends without stopping it (see
    :func:`transport.tether.tethered`, which says why the event loop should run in the main thread). SIGTERM is the
    composition root's to handle: cancel the task that waits.
    """

    def __init__(self, backoff: Backoff | None = None, stop_s: float = _STOP_S) -> None:
        self._backoff = backoff or Backoff()
        self._stop_s = stop_s
        self._stopping = asyncio.Event()
        self._keepers: dict[str, asyncio.Task[int]] = {}
        self._groups: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def add(self, child: Child) -> asyncio.Future[int]:
        """Start `child`; the future is its last exit code, negative for a signal, 127 if it could not be started.

        A child with ``restart`` ends only by :meth:`stop`; cancelling the future ends none. Raises :class:`ValueError`
        for a name that is taken and :class:`RuntimeError` after :meth:`stop`.
        """
        if child.name in self._keepers:
            raise ValueError(f"there is already a child named {child.name}")
        if self._stopping.is_set():
            raise RuntimeError(f"{child.name} cannot be started: the supervisor is stopping")
        keeper = asyncio.create_task(self._keep(child), name=f"keep {child.name}")
        self._keepers[child.name] = keeper
        return asyncio.shield(keeper)

    def pid(self, name: str) -> int | None:
        """The process of a child, and the group that it leads; None while it does not run."""
        return self._groups.get(name)

    async def wait(self) -> None:
        """Return when every child has ended for good."""
        while waiting := [keeper for keeper in self._keepers.values() if not keeper.done()]:
            await asyncio.wait(waiting)

    async def stop(self) -> None:
        """SIGTERM to all groups, the last started first; SIGKILL to what is left after `stop_s`. May be called twice."""
        self._stopping.set()
        for name in reversed(self._keepers):
            self._signal(name, signal.SIGTERM)
        try:
            if self._keepers:
                await asyncio.wait(self._keepers.values(), timeout=self._stop_s)
        finally:
            for name in self._keepers:
                self._signal(name, signal.SIGKILL)
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    async def _keep(self, child: Child) -> int:
        loop, wait_s = asyncio.get_running_loop(), None
        while True:
            began = loop.time()
            code = await self._run(child)
            if not child.restart or self._stopping.is_set():
                logger.info("child exited", extra={"action": "child_exited", "child": child.name, "code": code})
                return code
            wait_s = self._backoff.after(wait_s, loop.time() - began)
            extra = {"action": "child_restarts", "child": child.name, "code": code, "in_s": wait_s}
            logger.warning("child exited, starting it again", extra=extra)
            if await self._stopped_within(wait_s):
                return code

    async def _run(self, child: Child) -> int:
        """One life. Whatever ends this wait, the group is gone afterwards."""
        try:
            process = await _start(child)
        except OSError as error:
            extra = {"action": "child_not_started", "child": child.name, "reason": str(error)}
            logger.error("child not started", extra=extra)  # noqa: TRY400 - the reason says it all
            return _NOT_STARTED
        self._groups[child.name] = process.pid
        logger.info("child started", extra={"action": "child_started", "child": child.name, "pid": process.pid})
        if self._stopping.is_set():
            self._signal(child.name, signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._signal(child.name, signal.SIGKILL)
            del self._groups[child.name]

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    def _signal(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if (group := self._groups.get(name)) is not None:
                os.killpg(group, number)


async def _start(child: Child) -> asyncio.subprocess.Process:
    with ExitStack() as stack:
        output: IO[bytes] | None = None
        if child.log_path is not None:
            child.log_path.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(child.log_path.open("ab"))
        return await asyncio.create_subprocess_exec(
            *tethered(child.argv),
            env=child.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
