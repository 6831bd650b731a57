"""The remote judge: Kayenta's request in, Kayenta's answer out, and nobody else let in."""

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from judge.policies.kayenta.wire import judge_document
from judge.remote import RemoteJudgeSettings, create_app
from tests.unit.judge.policies.kayenta_golden import carried

CASES = {case.id: case.values[0] for case in carried("09-import.json", "judge")}
TOKEN = "davylamp_secret"
CLOSED = RemoteJudgeSettings(token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest())
JSON = {"content-type": "application/json"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def request(case: str) -> dict[str, Any]:
    """A golden case as `RemoteJudgeRequest` carries it: Jackson writes NaN as a word."""
    golden = CASES[case]
    scope = {"startTimeIso": "2026-01-01T00:00:00Z", "startTimeMillis": 1767225600000, "stepMillis": 60000}
    pairs = [
        {
            "name": metric["name"],
            "id": f"pair-{index}",
            "tags": {},
            "values": {"control": metric["control"], "experiment": metric["experiment"]},
            "scopes": {"control": scope, "experiment": scope},
            "attributes": {"control": {"query": "…"}, "experiment": {"query": "…"}},
        }
        for index, metric in enumerate(golden["metrics"])
    ]
    return {
        "canaryConfig": {"createdTimestamp": 1, **golden["config"]},
        "scoreThresholds": golden["scoreThresholds"],
        "metricSetPairList": pairs,
    }


@contextlib.asynccontextmanager
async def judge(settings: RemoteJudgeSettings | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(settings or RemoteJudgeSettings()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize("case", CASES)
async def test_it_answers_as_kayentas_own_judge(case: str) -> None:
    async with judge() as client:
        got = (await client.post("/judge", json=request(case))).json()
    expected = CASES[case]["expected"]
    assert got["judgeName"] == "NetflixACAJudge-v1.0"
    assert got["score"] == expected["score"]
    assert {group["name"]: group["score"] for group in got["groupScores"]} == pytest.approx(expected["groupScores"])
    assert [(r["name"], r["classification"]) for r in got["results"]] == [
        (r["name"], r["classification"]) for r in expected["results"]
    ]
    assert [r["id"] for r in got["results"]] == [f"pair-{index}" for index in range(len(got["results"]))]


async def test_it_says_the_same_as_the_command_line() -> None:
    async with judge() as client:
        got = (await client.post("/judge", json=request("import-a-bad"))).json()
    assert got["score"] == judge_document(CASES["import-a-bad"])["score"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/judge", {}, 401),
        ("/judge", {"authorization": "Bearer wrong"}, 401),
        ("/judge", BEARER, 200),
        (f"/{TOKEN}/judge", {}, 200),
        ("/wrong/judge", {}, 401),
        ("/wrong/judge", BEARER, 401),
        (f"/judge?token={TOKEN}", {}, 401),
    ],
)
async def test_a_token_is_shown_in_the_header_or_in_the_url(path: str, headers: dict[str, str], status: int) -> None:
    async with judge(CLOSED) as client:
        got = await client.post(path, json=request("import-a-good"), headers=headers)
    assert got.status_code == status
    assert TOKEN not in got.text


async def test_only_the_probe_needs_no_token() -> None:
    async with judge(CLOSED) as client:
        assert (await client.get("/healthz")).status_code == 200
        for path in ("/openapi.json", "/docs", "/judge", "/"):
            assert (await client.get(path)).status_code in {404, 405}


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"{", {"content-type": "application/json"}, 400, "no JSON"),
        (b"{}", {"content-type": "application/json; charset=UTF-8"}, 422, "metricSetPairList"),
        (b"[" * 100_000, JSON, 422, "nested more than 100 deep"),
        (b'{"metricSetPairList": [' + b"9" * 400 + b"]}", JSON, 422, "a number of 400 digits"),
        (b'{"canaryConfig": "\\ud800", "metricSetPairList": []}', JSON, 422, "half a character"),
        (b'{"canaryConfig": {"a": 1, "a": 2}}', JSON, 422, "canaryConfig.a stands twice"),
        (b"\xff\xfe\xff", JSON, 400, "no JSON"),
        (b"{}", {"content-type": "text/plain"}, 415, "application/json"),
        (b"{}", {}, 415, "application/json"),
        (b"[" + b"1," * 600_000, {"content-type": "application/json"}, 413, "longer than 1 MB"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_the_reason(
    body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    async with judge(RemoteJudgeSettings(max_body_mb=1)) as client:
        got = await client.post("/judge", content=body, headers=headers)
    assert got.status_code == status
    assert words in got.json()["message"]
    assert got.headers["content-type"] == "application/problem+json"


async def test_a_mistake_in_the_config_is_told_with_its_place() -> None:
    wrong = json.loads(json.dumps(request("import-a-good")))
    wrong["canaryConfig"]["metrics"][0]["analysisConfigurations"]["canary"]["critical"] = "yes"
    async with judge() as client:
        got = await client.post("/judge", json=wrong)
    assert got.status_code == 422
    assert "config.metrics[0].analysisConfigurations.canary.critical" in got.json()["message"]


def test_without_a_token_it_listens_on_loopback_only() -> None:
    assert RemoteJudgeSettings(host="localhost").token_sha256 is None
    with pytest.raises(ValidationError, match="loopback only"):
        RemoteJudgeSettings(host="0.0.0.0")
    assert RemoteJudgeSettings(host="0.0.0.0", token_sha256=CLOSED.token_sha256).port == 8643
