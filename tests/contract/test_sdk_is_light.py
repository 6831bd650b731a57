"""A server that embeds the SDK loads next to nothing for it."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("numpy", "scipy", "faust", "fastapi", "grpc", "mcp", "fastmcp", "starlette"),
    *("aiokafka", "tdigest", "typer", "rich", "schemas", "transport"),
}


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def loaded_by(statements: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after `statements`."""
    names: list[str] = json.loads(run(f"{statements}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"))
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", ["davylamp_sdk", "davylamp_sdk.testing", "davylamp_sdk.asgi"])
def test_importing_the_sdk_loads_neither_science_nor_servers_nor_kafka(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert "davylamp_sdk" in loaded
    assert loaded & (HEAVY | {"confluent_kafka"}) == set()


def test_sending_to_kafka_loads_its_client_and_nothing_else() -> None:
    loaded = loaded_by("from davylamp_sdk import KafkaSink\nKafkaSink('127.0.0.1:1')")
    assert "confluent_kafka" in loaded
    assert loaded & HEAVY == set()


def test_telemetry_loads_mcp_when_it_is_asked_for() -> None:
    loaded = loaded_by("from davylamp_sdk import Telemetry")
    assert "mcp" in loaded
    assert loaded & (HEAVY - {"mcp", "starlette", "typer", "rich"}) == set()


def test_without_mcp_telemetry_says_what_to_install() -> None:
    said = run("""
import sys
sys.modules["mcp"] = None
try:
    from davylamp_sdk import Telemetry
except ImportError as error:
    print(error)
""")
    assert "install 'davylamp-sdk[mcp]'" in said


def test_what_the_sdk_promises_is_there_and_nothing_is_by_accident() -> None:
    said = run("import davylamp_sdk as s\nprint(all(hasattr(s, name) for name in s.__all__), hasattr(s, 'telemetry'))")
    assert said.split() == ["True", "False"]
