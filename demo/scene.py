"""The scene of every story: the whole stack, a real Envoy, versions of a real MCP server, and real clients."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import httpx2

from cli.client import ApiError, Client
from cli.stack import Stack, StackOptions, is_ready, running
from demo.faults import FINAL_S, STAGE_S, FaultName
from router.bootstrap import bootstrap
from router.local_envoy import LocalEnvoy
from schemas.labels import Kind
from schemas.plan import Plan
from schemas.service import Service
from transport.ports import free_ports
from transport.supervisor import Child

SERVICE = "orders"
SESSIONS_PER_SECOND = 10.0

Versions = Mapping[str, FaultName | None]
"""The canaries, and what is wrong with each."""
STORIES: Versions = {"v2": "errors", "v3": None}
"""A bad one and a healthy one."""
BASELINE = "v1"

PATIENCE_S = 30.0

T = TypeVar("T")

KEY = secrets.token_hex(16)
"""The service's secret, with which its servers hash tokens and cookies."""

SETTINGS = {"DAVYLAMP_STREAMS_WINDOW_S": "1.0", "DAVYLAMP_STREAMS_PUBLISH_INTERVAL_S": "0.1"}
"""One-second windows, as the compressed plan needs them."""


def demo_plan(canary: str, stage_s: float = STAGE_S) -> Plan:
    """A plan that can be proven in half a minute at 10 sessions a second: demo margins, not the document's."""
    return Plan.model_validate(
        {
            "service": SERVICE,
            "canary": canary,
            "stages": [
                {"share": "20%", "for": f"{stage_s:g}s", "min_sessions": 15},
                {"share": "50%", "for": f"{max(stage_s, FINAL_S):g}s", "min_sessions": 20},
            ],
            "checks": {
                "error_rate": {"within": "5pp"},
                "tool_success": {"within": "15pp"},
                "latency_p99": "off",
                "latency_p90": {"within": "100%", "over": "30s", "refresh": "2s"},
                "tools": {"within": "20pp"},
                "session_loss": {"ages": ["0s", "1s", "2s", "5s", "10s", "20s"], "idle": "3s"},
                "availability": {"within": "5pp"},
            },
            "stale_after": "15s",
            "warm_up": "2s",
        }
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """A running scene."""

    client: Client
    options: StackOptions
    mcp_url: str
    stack: Stack
    folder: Path
    ports: Mapping[str, int]
    """By version: where one of its servers listens."""

    def incident_file(self, version: str) -> Path:
        """While it exists, two in five calls of the version fail."""
        return _incident_file(self.folder, version)

    @property
    def slow_file(self) -> Path:
        """While it exists, the first call of each session is slow, whatever the version."""
        return _slow_file(self.folder)

    async def rollout(self) -> dict[str, Any]:
        """The status API's answer about the service."""
        return await self._patiently(lambda: self.client.rollout(SERVICE))

    async def start(self, plan: Plan, *, again: bool = False, replace: bool = False) -> str:
        """Start a rollout; the judge's sentence."""
        return await self._patiently(lambda: self.client.start(plan, "demo", again=again, replace=replace))

    async def _patiently(self, ask: Callable[[], T]) -> T:
        """A status service that was killed is started again by the supervisor: ask until it answers."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await asyncio.to_thread(ask)
            except ApiError as error:
                if "not reachable" not in str(error) or asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.2)


def _incident_file(folder: Path, version: str) -> Path:
    return folder / f"incident-{version}"


def _slow_file(folder: Path) -> Path:
    return folder / "slow"


@contextlib.asynccontextmanager
async def scene(
    folder: Path, canaries: Versions = STORIES, settings: Mapping[str, str] = SETTINGS
) -> AsyncIterator[Scene]:
    """Set the scene up, with two servers of the baseline and one of each canary; everything is gone when the block ends."""
    kafka, kafka_controller, xds, status, lb, admin, *ports = free_ports(8 + len(canaries))
    del kafka_controller  # keeps the port after Kafka's own from being taken by the others, most of the time
    options = StackOptions(folder, None, kafka, xds, status, settings)
    servers = list(zip((BASELINE, BASELINE, *canaries), ports, strict=True))
    async with running(options) as stack:
        for version, port in servers:
            more = ["--incident", str(_incident_file(folder, version)), "--slow", str(_slow_file(folder))]
            fault = canaries.get(version)
            stack.supervisor.add(_server(options, version, port, [*more, *(["--fault", fault] if fault else [])]))
        proxy = bootstrap("lb0", lb, admin, routers=[f"127.0.0.1:{xds}"])
        async with LocalEnvoy(proxy, folder / "envoy"):
            with Client(options.status_url) as client:
                await _until_ready(options.status_url, ports)
                await asyncio.to_thread(client.apply, _service(servers))
                await _until_routed(f"http://127.0.0.1:{lb}/mcp")
                yield Scene(client, options, f"http://127.0.0.1:{lb}/mcp", stack, folder, dict(servers))


@contextlib.asynccontextmanager
async def traffic(
    scene: Scene, seed: int | None = None, kinds: Sequence[Kind] = ("session",)
) -> AsyncIterator[dict[str, Any]]:
    """Clients of these kinds at a steady rate while the block runs; afterwards the yielded dict holds what they saw."""
    argv = [sys.executable, "-m", "demo.traffic", "--url", scene.mcp_url, "--rate", str(SESSIONS_PER_SECOND)]
    argv += ["--kinds", *kinds]
    argv += ["--seed", str(seed)] if seed is not None else []
    with (scene.options.folder / "traffic.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
        )
    seen: dict[str, Any] = {}
    try:
        if process.stdout is None or await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the clients did not start: see {scene.options.folder / 'traffic.log'}")
        yield seen
        process.terminate()
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        seen.update(json.loads(output))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def recorded(scene: Scene, rollout: int, file: Path) -> str:
    """Record a rollout into a file by `davylamp record`; its own words."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cli", "record", f"{SERVICE}/{rollout}", "--output", str(file)]
    process = await asyncio.create_subprocess_exec(
        *command, env=scene.options.service_environment(), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"rollout {rollout} was not recorded: davylamp record ended with {process.returncode}")
    return told.decode().rstrip()


def _server(options: StackOptions, version: str, port: int, more: list[str]) -> Child:
    argv = [sys.executable, "-m", "demo.server", "--version", version, "--port", str(port)]
    argv += ["--bootstrap", options.bootstrap, *more]
    return Child(
        f"{SERVICE}-{version}-{port}",
        argv,
        {**os.environ, "DAVYLAMP_KEY": KEY},
        options.folder / f"{version}-{port}.log",
    )


def _service(versions: list[tuple[str, int]]) -> Service:
    listed: dict[str, dict[str, list[str]]] = {}
    for version, port in versions:
        listed.setdefault(version, {"endpoints": []})["endpoints"].append(f"127.0.0.1:{port}")
    return Service.model_validate(
        {"service": SERVICE, "baseline": BASELINE, "versions": listed, "assign": get_args(Kind)}
    )


async def _until_ready(status_url: str, ports: list[int], patience_s: float = 60.0) -> None:
    """The status API has read the log to its end, and every server listens."""
    async with httpx2.AsyncClient(base_url=status_url) as client:
        await _eventually(lambda: is_ready(client), "the status API", patience_s)
    for port in ports:
        await _eventually(lambda port=port: _listens(port), f"the MCP server on port {port}", patience_s)


async def _listens(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    return True


async def _until_routed(url: str, patience_s: float = 60.0) -> None:
    """Envoy has its first route: any answer of an MCP server will do."""

    async def routed() -> bool:
        async with httpx2.AsyncClient() as http:
            answer = await http.post(url, json={}, headers={"accept": "application/json, text/event-stream"})
        return answer.status_code not in (404, 503)

    await _eventually(routed, "Envoy's route", patience_s)


async def _eventually(ask: Any, what: str, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            while True:
                with contextlib.suppress(OSError, httpx2.HTTPError):
                    if await ask():
                        return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"{what} was not ready within {patience_s:.0f} s") from None
