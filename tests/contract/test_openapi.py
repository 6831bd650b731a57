"""The API keeps its own description: every operation is tried with what the description allows and with what it does not."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any, get_args

import httpx2
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from davylamp_sdk._message import Message
from schemas.control import Command, Outcome, RolloutView
from schemas.partitions import partition_of
from schemas.plan import Plan
from schemas.service import Service
from status import proxies, words
from status.door import PROBES
from status.news import NewsKind
from tests.page_server import Served, served
from tests.page_states import scene
from transport.memory_log import MemoryLog

MODELS: dict[str, type[Message]] = {
    "Plan": Plan,
    "Service": Service,
    "Word": words.Word,
    "Return": words.Return,
    "Promotion": words.Promotion,
    "Approving": words.Approving,
    "Forgetting": proxies.Forgetting,
}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


async def _refuse(log: MemoryLog) -> None:
    """A judge that says no to everything, at once."""
    async for batch in log.reader("rollout-commands").batches():
        for record in batch.records:
            command = Command.read(record.value or b"")
            outcome = Outcome(command=command.id, accepted=False, sentence="it is only a test")
            view = RolloutView(service=command.service, rollout=1, outcomes=(outcome,), looked_at=1)
            service = command.service.encode()
            await log.put("rollouts", partition_of(command.service, 1), view.dump(), service)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A status service with a rollout and a judge, in a thread of its own: schemathesis is synchronous."""
    found: list[Served] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served([scene("collecting")]) as status:
            judge = asyncio.create_task(_refuse(status.log))
            found.append(status)
            ready.set()
            await asyncio.to_thread(done.wait)
            judge.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    yield found[0].url
    done.set()
    thread.join(30)


def operations(url: str) -> list[Any]:
    """Every operation but the streams, which never end."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path_regex="/stream$")
    found = list(schema.get_all_operations())
    assert all(isinstance(result, Ok) for result in found)
    return [result.ok() for result in found if isinstance(result, Ok)]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_every_operation_answers_as_it_says(url: str, mode: GenerationMode) -> None:
    """Whether it is sent what the description allows (positive) or what it forbids (negative)."""
    tried = operations(url)
    assert len(tried) > 15
    for operation in tried:
        _try(operation, mode)


def _try(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # nothing can be forbidden where nothing is taken
        check()


def test_everything_that_is_sent_has_an_example_that_is_understood(url: str) -> None:
    described = httpx2.get(f"{url}/openapi.json").json()
    schemas = described["components"]["schemas"]
    sent = {
        body["schema"]["$ref"].rpartition("/")[2].partition("-")[0]
        for path in described["paths"].values()
        for operation in path.values()
        for body in operation.get("requestBody", {}).get("content", {}).values()
    }
    assert sent >= {"Plan", "Service", "Word", "Return", "Promotion", "Approving"}
    for name in sent:
        [example] = (schemas.get(name) or schemas[f"{name}-Input"])["examples"]
        MODELS[name].model_validate(example)


def test_every_route_says_how_it_refuses_and_only_that(url: str) -> None:
    described = httpx2.get(f"{url}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            refusals = {code: a for code, a in operation["responses"].items() if not code.startswith("2")}
            wanted = {"401", "403", "422"} if path not in PROBES else set()
            wanted |= {"409", "503", "504"} if method != "get" else set()
            assert refusals.keys() >= wanted, (method, path)
            assert ("404" in refusals) <= (method == "post" or "{service}" in path), (method, path)
            assert ("409" in refusals) == (method != "get"), (method, path)
            assert all(a["content"].keys() == {"application/problem+json"} for a in refusals.values()), (method, path)
            assert operation.get("summary") or operation.get("description"), (method, path)
    assert described["paths"]["/healthz"]["get"]["responses"].keys() == {"200"}
    assert described["paths"]["/readyz"]["get"]["responses"].keys() == {"200", "503"}


def test_everything_but_the_probes_says_by_what_one_comes_in(url: str) -> None:
    described = httpx2.get(f"{url}/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert {one["type"] for one in schemes.values()} == {"http", "apiKey"}
    assert [*(name for by in described["security"] for name in by)] == [*schemes]
    for path, methods in described["paths"].items():
        for operation in methods.values():
            named = {"$ref": "#/components/parameters/actor"} in operation.get("parameters", ())
            assert named == (path not in PROBES) == (operation.get("security") != []), path


def test_every_answer_has_an_example_that_is_valid(url: str) -> None:
    described = httpx2.get(f"{url}/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            (answer,) = (a for code, a in operation["responses"].items() if code.startswith("2"))
            for media, content in answer["content"].items():
                if media == "text/event-stream":
                    continue
                schema = {**content.get("schema", {}), "components": described["components"]}
                assert jsonschema.Draft202012Validator(schema).is_valid(content["example"]), (method, path)


def test_every_event_of_a_stream_has_a_type(url: str) -> None:
    described = httpx2.get(f"{url}/openapi.json").json()
    for path in ("/api/stream", "/api/rollouts/{service}/stream"):
        content = described["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]
        assert content["x-events"].keys() == {*get_args(NewsKind), "snapshot", "pulse"}
        for reference in content["x-events"].values():
            assert reference["$ref"].rpartition("/")[2] in described["components"]["schemas"]
    text = str(described)
    for name in re.findall(r"#/components/schemas/([\w-]+)", text):
        assert name in described["components"]["schemas"], name


def test_no_page_of_somebody_elses_script_is_served(url: str) -> None:
    for path in ("/docs", "/redoc"):
        assert httpx2.get(f"{url}{path}").status_code == 404


def test_every_example_is_valid_by_the_schema_that_it_stands_in(url: str) -> None:
    components = httpx2.get(f"{url}/openapi.json").json()["components"]
    found = [
        (name, schema, example)
        for name, schema in components["schemas"].items()
        for example in schema.get("examples", ())
    ]
    assert {name.partition("-")[0] for name, _, _ in found} >= {*MODELS, "Answer", "Problem"}
    for name, schema, example in found:
        assert jsonschema.Draft202012Validator({**schema, "components": components}).is_valid(example), name
