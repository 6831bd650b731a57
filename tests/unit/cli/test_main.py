"""The commands, against a real status API over the log in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from cli.main import app
from cli.stack import SERVICES, StackOptions, service_argv
from schemas.control import RolloutView
from schemas.service import Service
from status.app import create_app
from status.feed import TOPICS
from tests.builders import entry
from transport.memory_log import MemoryLog
from transport.ports import free_ports

ROOT = Path(__file__).parents[3]


class Api(NamedTuple):
    """A status API that listens."""

    log: MemoryLog
    url: str

    async def run(self, *arguments: str) -> Result:
        """A command, as a shell would start it."""
        environment = {"DAVYLAMP_URL": self.url}
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)

    async def view(self, state: str, share: int) -> None:
        """The judge says where the rollout stands."""
        fields = {"service": "orders", "rollout": 1, "state": state, "stage": 1, "stages": 2, "share": share}
        view = RolloutView.model_validate({**fields, "baseline": "v1", "canary": "v2", "looked_at": 1})
        await self.log.writer().append("rollouts", "orders", view.dump())


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    log = MemoryLog()
    (port,) = free_ports(1)
    server = uvicorn.Server(uvicorn.Config(create_app(log.reader(*TOPICS), log.writer()), port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody when it has started
        await asyncio.sleep(0)
    yield Api(log, f"http://127.0.0.1:{port}")
    server.should_exit = True
    await task


async def test_a_service_file_is_applied(api: Api) -> None:
    got = await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    assert got.exit_code == 0, got.output
    assert got.stdout == "orders: baseline v1, versions v1, v2\n"
    assert Service.read(api.log.records("services")[0].value or b"").baseline == "v1"


async def test_a_wrong_file_is_refused_with_every_error_before_anything_moves(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("service: orders\ncanary: v2\nstages: [{share: 10, for: 5}]\nchekcs: {}\n")
    got = await api.run("start", str(file))
    assert got.exit_code == 1
    assert "nothing has moved" in got.stderr
    for place in ("stages.0.share", "stages.0.for", "chekcs"):
        assert place in got.stderr
    assert api.log.records("rollout-commands") == ()


async def test_a_file_that_is_no_yaml_or_not_there_is_named(api: Api, tmp_path: Path) -> None:
    assert "nowhere.yaml" in (await api.run("start", str(tmp_path / "nowhere.yaml"))).stderr
    (tmp_path / "bad.yaml").write_text("a: [")
    assert "bad.yaml" in (await api.run("start", str(tmp_path / "bad.yaml"))).stderr


async def test_a_start_of_an_unknown_service_is_refused_with_the_apis_sentence(api: Api) -> None:
    got = await api.run("start", str(ROOT / "examples/orders/plan.yaml"))
    assert got.exit_code == 1
    assert "service apply" in got.stderr


@pytest.mark.parametrize(("state", "share", "code"), [("completed", 10_000, 0), ("rolled_back", 0, 3)])
async def test_a_watched_rollout_ends_with_a_code_for_pipelines(api: Api, state: str, share: int, code: int) -> None:
    start = entry("start")
    for item in (start, entry("rollback" if code else "complete", start, now=2)):
        await api.log.writer().append("rollout-decisions", "orders", item.dump())
    await api.view(state, share)
    got = await api.run("status", "orders", "--watch")
    assert got.exit_code == code, got.output
    assert "because" in got.stdout


async def test_a_watch_whose_time_is_up_is_undecided(api: Api) -> None:
    await api.log.writer().append("rollout-decisions", "orders", entry("start").dump())
    await api.view("collecting", 2000)
    got = await api.run("status", "orders", "--watch", "--timeout", "0")
    assert got.exit_code == 4


async def test_every_service_is_listed(api: Api) -> None:
    await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    got = await api.run("status")
    assert got.stdout == "– orders  no rollout\n"


async def test_an_api_that_is_not_there_is_told_with_what_to_do() -> None:
    (port,) = free_ports(1)
    got = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--url", f"http://127.0.0.1:{port}"])
    assert got.exit_code == 1
    assert "davylamp up" in got.stderr


def test_an_unknown_service_process_lists_the_known_ones() -> None:
    got = CliRunner().invoke(app, ["run", "jugde"])
    assert got.exit_code == 1
    assert ", ".join(SERVICES) in got.stderr


def test_every_service_process_has_a_composition_root() -> None:
    for service in SERVICES:
        assert service_argv(service)[1:] == ["-m", service]
        assert (ROOT / service / "__main__.py").exists()


def test_the_stack_tells_every_service_where_kafka_is() -> None:
    environment = StackOptions(kafka="kafka:9092", xds_port=1, status_port=2).service_environment()
    assert environment["DAVYLAMP_KAFKA_BOOTSTRAP"] == "kafka:9092"
    assert environment["DAVYLAMP_ROUTER_XDS_PORT"] == "1"
    assert StackOptions(kafka_port=3).service_environment()["DAVYLAMP_KAFKA_BOOTSTRAP"] == "127.0.0.1:3"
