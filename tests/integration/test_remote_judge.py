"""The remote judge as a process of its own, over HTTP."""

import asyncio
import os
from pathlib import Path

import httpx2

from cli.stack import service_argv
from tests.unit.judge.test_remote import CASES, request
from transport.ports import free_ports
from transport.supervisor import Child, Supervisor


async def test_it_serves_without_kafka_and_ends_when_told_to(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    env = {**os.environ, "DAVYLAMP_REMOTE_JUDGE_PORT": str(port)}
    async with asyncio.timeout(60), Supervisor() as supervisor:
        child = Child("remote-judge", service_argv("remote-judge"), env, tmp_path / "log", restart=False)
        ended = supervisor.add(child)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await _answers(client)
            got = await client.post("/judge", json=request("import-a-bad"))
        await supervisor.stop()
        assert await ended in {0, -15}
    assert got.json()["score"] == CASES["import-a-bad"]["expected"]["score"]


async def _answers(client: httpx2.AsyncClient) -> None:
    while True:
        try:
            if (await client.get("/healthz")).status_code == 200:
                return
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
