"""A gate in a pipeline outlives a restart of the status API, and says so where it cannot."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import typer

from cli.client import Client
from cli.following import LOOK_EVERY_S, follow

Answer = Callable[[httpx2.Request], httpx2.Response]


def stands(state: str) -> Answer:
    view = {"service": "orders", "rollout": 1, "state": state, "stage": 1, "stages": 2, "share": 100, "looked_at": 1}
    told = {"service": "orders", "rollout": {**view, "baseline": "v1", "canary": "v2"}, "ledger": []}
    return lambda _: httpx2.Response(200, json=told)


def refuses(code: int) -> Answer:
    return lambda _: httpx2.Response(code, json={"detail": f"It answered {code}."})


def away(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("connection refused", request=request)


def silent(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadTimeout("timed out", request=request)


@dataclass
class Api:
    """Answers in turn, the last one for ever; each pause between two questions is time that passes."""

    answers: list[Answer]
    now_s: float = 0.0
    asked: list[float] = field(default_factory=list)

    def follow(self, timeout_s: float) -> dict[str, Any]:
        with Client("http://status", httpx2.MockTransport(self._answer)) as client:
            return follow(client, "orders", timeout_s, now_s=lambda: self.now_s, pause=self._pause)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(self.now_s)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)

    def _pause(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize("hiccup", [away, silent, refuses(502), refuses(503), refuses(504)])
def test_an_api_that_is_away_for_a_while_is_waited_for(hiccup: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    api = Api([stands("collecting"), hiccup, hiccup, stands("collecting"), stands("completed")])
    assert api.follow(60.0)["rollout"]["state"] == "completed"
    assert api.asked == [LOOK_EVERY_S * n for n in range(5)]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 4, "what does not change is not told twice"
    assert told[1].endswith("Asked again until --timeout.")
    assert [line.split("  ")[0] for line in (told[0], told[2], told[3])] == ["… orders", "… orders", "✔ orders"]


@pytest.mark.parametrize("last", [away, refuses(503)])
def test_an_api_that_is_away_when_time_is_up_leaves_it_undecided(
    last: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    api = Api([stands("collecting"), last])
    with pytest.raises(typer.Exit) as ended:
        api.follow(2.0)
    assert ended.value.exit_code == 4
    assert api.asked[-1] == 2.0
    assert "nobody knows how orders stands" in capsys.readouterr().err


def test_a_rollout_that_runs_on_when_time_is_up_is_shown_as_it_stands() -> None:
    assert Api([stands("collecting")]).follow(2.0)["rollout"]["state"] == "collecting"


@pytest.mark.parametrize("first", [away, refuses(503), refuses(404)])
def test_the_first_question_must_be_answered(first: Answer) -> None:
    api = Api([first, stands("completed")])
    with pytest.raises(typer.Exit) as ended:
        api.follow(60.0)
    assert (ended.value.exit_code, api.asked) == (1, [0.0])


def test_a_refusal_on_the_way_is_no_hiccup(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api([stands("collecting"), refuses(401), stands("completed")])
    with pytest.raises(typer.Exit) as ended:
        api.follow(60.0)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.endswith("It answered 401.\n")
