"""docker-compose.yml: valid by the compose specification's schema, and equal to what `davylamp up` starts."""

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.stack import SERVICES
from router.bootstrap import bootstrap

ROOT = Path(__file__).parents[2]


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
    assert set(compose["services"]) - set(SERVICES) == {"kafka", "topics", "envoy"}


def test_its_envoy_runs_the_bootstrap_that_the_router_makes(compose: dict[str, Any]) -> None:
    committed = json.loads((ROOT / "examples/envoy.json").read_text(encoding="utf-8"))
    assert committed == bootstrap("lb0", 10_000, 9901, listener_host="0.0.0.0")
    assert compose["services"]["envoy"]["network_mode"] == "service:router"
    assert compose["services"]["router"]["ports"] == ["10000:10000"]
