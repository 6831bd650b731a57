"""docker-compose.yml: valid by the compose specification's schema, and equal to what `davylamp up` starts."""

import asyncio
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from cli.main import app
from cli.stack import SERVICES
from router.bootstrap import bootstrap
from schemas.service import Service
from tests.page_server import served
from tests.page_states import scene
from transport.ports import free_ports
from transport.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
EXAMPLES = ("orders-v1", "orders-v2")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def test_it_is_valid_by_the_compose_specifications_schema(compose: dict[str, Any]) -> None:
    file = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    jsonschema.validate(compose, schema)


def test_it_starts_the_services_that_up_starts(compose: dict[str, Any]) -> None:
    ours = {name: s["command"] for name, s in compose["services"].items() if name in SERVICES}
    assert ours == {name: ["davylamp", "run", name] for name in SERVICES}
    assert set(compose["services"]) - set(SERVICES) == {"kafka", "topics", "envoy", *EXAMPLES}
    assert {s.get("image") for name, s in compose["services"].items() if name in SERVICES} == {"davylamp"}


def test_every_command_and_every_variable_of_ours_exists(compose: dict[str, Any]) -> None:
    ours = [s for s in compose["services"].values() if s.get("image") == "davylamp"]
    said = [s["command"] for s in ours if s["command"][0] == "davylamp"]
    assert len(said) == len(SERVICES) + 1
    assert {command[1] for command in said} <= set(getattr(get_command(app), "commands", {}))
    variables = {name for s in ours for name in s.get("environment", {})}
    assert variables == {"DAVYLAMP_KAFKA_BOOTSTRAP"}
    assert "bootstrap" in KafkaSettings.model_fields


def test_who_has_a_name_on_the_log_keeps_it_when_its_container_is_made_anew(compose: dict[str, Any]) -> None:
    for name in ("streams", "judge", "router"):
        assert compose["services"][name]["hostname"] == name


async def test_status_is_healthy_when_it_is_ready_and_not_when_nobody_answers(compose: dict[str, Any]) -> None:
    kind, interpreter, *arguments = compose["services"]["status"]["healthcheck"]["test"]
    assert (kind, interpreter) == ("CMD", "python")

    async def asked(port: int) -> int:
        command = [argument.replace("8642", str(port)) for argument in arguments]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=quiet)
        return await process.wait()

    async with served([scene("new")]) as status:
        assert await asked(status.port) == 0
    assert await asked(free_ports(1)[0]) != 0


def test_its_example_servers_take_the_arguments_that_they_are_given(compose: dict[str, Any]) -> None:
    for name in EXAMPLES:
        interpreter, *arguments = compose["services"][name]["command"]
        assert interpreter == "python"
        shown = subprocess.run([sys.executable, *arguments[:2], "--help"], capture_output=True, text=True, check=True)
        assert all(word in shown.stdout for word in arguments if word.startswith("--"))


def test_its_example_service_names_the_servers_that_it_starts(compose: dict[str, Any]) -> None:
    service = Service.model_validate(
        yaml.safe_load((ROOT / "examples/orders/compose.yaml").read_text(encoding="utf-8"))
    )
    assert {f"{service.service}-{version}" for version in service.versions} == set(EXAMPLES)
    assert {v.dns for v in service.versions.values()} == {f"{name}:8000" for name in EXAMPLES}
    assert set(EXAMPLES) <= set(compose["services"])


def test_its_envoy_runs_the_bootstrap_that_the_router_makes(compose: dict[str, Any]) -> None:
    committed = json.loads((ROOT / "examples/envoy.json").read_text(encoding="utf-8"))
    assert committed == bootstrap("lb0", 10_000, 9901, listener_host="0.0.0.0")
    assert compose["services"]["envoy"]["network_mode"] == "service:router"
    assert compose["services"]["router"]["ports"] == ["10000:10000"]
