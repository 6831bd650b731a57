"""The API keeps its own description: every operation is tried with what the description allows and with what it does not."""

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
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
from schemas.control import Command, Outcome, RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.partitions import partition_of
from schemas.plan import Plan
from schemas.service import Service
from schemas.topics import Topic
from status import proxies, words
from status.door import PROBES
from status.news import NewsKind
from status.tokens import Role, Token, fingerprint
from tests.builders import SERVICE as SERVICE_FILE
from tests.builders import entry, plan
from tests.page_server import Served, served
from tests.page_states import SERVICE, Scene, scene
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
VIEWER: Role = "viewer"
OPERATOR: Role = "operator"
START = entry("start")
"""Of a service whose rollout will be complete; :data:`SERVICE`'s runs."""
_ROLLOUT = {"service": SERVICE}
_WHY = {"reason": "errors in the field"}
_NEW = SERVICE_FILE.model_copy(update={"service": "new-mcp", "hosts": ("new.example",)})
SAID: dict[tuple[str, str], tuple[dict[str, str], dict[str, Any]]] = {
    ("PUT", "/api/services/{name}"): ({"name": "new-mcp"}, json.loads(_NEW.dump())),
    ("POST", "/api/rollouts"): ({}, json.loads(plan(service=SERVICE).dump())),
    ("POST", "/api/rollouts/{service}/approve"): (_ROLLOUT, {**_WHY, "approves": "2"}),
    ("POST", "/api/rollouts/{service}/promote"): (_ROLLOUT, {**_WHY, "full": True}),
    ("POST", "/api/rollouts/{service}/{kind}"): ({**_ROLLOUT, "kind": "hold"}, _WHY),
    ("POST", "/api/proxies/forget"): ({}, {**_WHY, "proxy": "edge-1", "service": SERVICE}),
    ("POST", "/api/rollouts/{service}/rollback"): (_ROLLOUT, {**_WHY, "mode": "drain"}),
    ("POST", "/api/rollouts/{service}/undo"): ({"service": START.service}, _WHY),
}
"""What holds, in this order: path and body of every operation that changes something."""
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


async def _answer(log: MemoryLog, *, accepted: bool) -> None:
    """A judge that says the same to everything, at once; and a router that forgets what it is told to."""
    async for batch in log.reader("rollout-commands").batches():
        for record in batch.records:
            command = Command.read(record.value or b"")
            if command.kind == "forget":
                await _forget(log, command, record.offset)
                continue
            outcome = Outcome(command=command.id, accepted=accepted, sentence="it is only a test")
            view = RolloutView(service=command.service, rollout=1, outcomes=(outcome,), looked_at=1)
            await _put(log, "rollouts", view)


async def _forget(log: MemoryLog, command: Command, offset: int) -> None:
    said = [RouteChange.read(record.value or b"") for record in log.records("route-changes")]
    newest = [change for change in said if change.service == command.service][-1]
    left = tuple(proxy for proxy in newest.proxies if proxy.proxy != command.proxy)
    await _put(log, "route-changes", newest.model_copy(update={"proxies": left, "forgotten": {command.proxy: offset}}))


async def _put(log: MemoryLog, topic: Topic, message: RolloutView | RouteChange | LedgerEntry) -> None:
    await log.put(topic, partition_of(message.service, 1), message.dump(), message.service.encode())


@contextlib.contextmanager
def listening(*scenes: Scene, accepted: bool, more: Iterable[LedgerEntry] = (), **options: Any) -> Iterator[str]:
    """A status service with rollouts and a judge, in a thread of its own: schemathesis is synchronous."""
    found: list[Served] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served(scenes, **options) as status:
            for item in more:
                await _put(status.log, "rollout-decisions", item)
            judge = asyncio.create_task(_answer(status.log, accepted=accepted))
            found.append(status)
            ready.set()
            await asyncio.to_thread(done.wait)
            judge.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(30)
    try:
        yield found[0].url
    finally:
        done.set()
        thread.join(30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Whose judge refuses everything, and which asks nobody for a token."""
    with listening(scene("collecting"), accepted=False) as found:
        yield found


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Whose judge carries out everything, and which shows nothing without a token."""
    tokens = tuple(Token(name=role, role=role, token_sha256=fingerprint(role.encode())) for role in (VIEWER, OPERATOR))
    with listening(
        scene("collecting"), more=(START, entry("complete", START, now=2)), accepted=True, tokens=tokens
    ) as found:
        yield found


def operations(url: str) -> list[Any]:
    """Every operation but the streams, which never end."""
    headers = {"authorization": f"Bearer {VIEWER}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers).exclude(path_regex="/stream$")
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
        max_examples=8,
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


def test_what_is_asked_and_said_by_who_may_is_answered_as_described(guarded: str) -> None:
    """With 2xx: of names and words that are made up none ever holds."""
    tried = {(operation.method.upper(), operation.path): operation for operation in operations(guarded)}
    assert tried.keys() >= SAID.keys()
    for place, operation in sorted(
        tried.items(), key=lambda item: list(SAID).index(item[0]) if item[0] in SAID else -1
    ):
        names, body = SAID.get(place, ({"service": SERVICE}, None))
        assert place[0] == "GET" or place in SAID, f"{place} is said by nobody here"
        response = _said(operation, names, body, OPERATOR)
        assert response.status_code < 300, (place, response.text)


def test_who_may_not_is_refused_as_described(guarded: str) -> None:
    for operation in operations(guarded):
        names, body = SAID.get((operation.method.upper(), operation.path), ({"service": SERVICE}, None))
        if operation.path not in ("/healthz", "/readyz"):
            assert _said(operation, names, body, None).status_code == 401, operation.path
        if operation.method.upper() != "GET":
            assert _said(operation, names, body, VIEWER).status_code == 403, operation.path


def _said(operation: Any, names: dict[str, str], body: dict[str, Any] | None, role: Role | None) -> Any:
    """One call with a token of that role; its answer is the described one."""
    given = {p.name: names[p.name] for p in operation.path_parameters}
    more = {} if body is None else {"body": body, "media_type": "application/json"}
    case = operation.Case(path_parameters=given, **more)
    response = case.call(headers={"authorization": f"Bearer {role}"} if role else {})
    case.validate_response(response, checks=CHECKS)
    return response


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
