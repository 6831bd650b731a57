"""`davylamp verify`: what people see, and when it fails."""

import pytest
from typer.testing import CliRunner

from cli import verify
from judge.verdicts import ByPerson, Differs, Expired, OtherVersion, Same, Verdict
from schemas.decisions import Reason
from tests.builders import entry

START = entry("start")
HOLD = entry("hold", START, actor="anna")
BLIND = entry(
    "hold", START, actor="router", reason=Reason(code="blind", sentence="The judge has not looked for 120 s.")
)


def run(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> tuple[int, str]:
    async def found(service: str, rollout: int | None) -> list[Verdict]:
        return list(verdicts)

    monkeypatch.setattr(verify, "_verify", found)
    result = CliRunner().invoke(verify.app, ["orders", "--rollout", "1"])
    return result.exit_code, result.output


def test_every_verdict_is_a_line_in_its_own_words() -> None:
    told = verify.render_verdicts(
        [Same(START), ByPerson(HOLD), OtherVersion(START), Expired(START, ("services", "cohort-windows"))]
    ).splitlines()
    assert told[0].endswith("start     same")
    assert told[1].endswith("by a person: anna")
    assert told[2].endswith("other version: written by 0")
    assert told[3].endswith("evidence expired: the log no longer holds all of services, cohort-windows")
    assert told[4] == "4 entries: 1 by a person, 1 evidence expired, 1 other version, 1 same"


def test_a_routers_own_word_for_a_blind_judge_is_no_persons() -> None:
    told = verify.render_verdicts([ByPerson(BLIND), ByPerson(HOLD)]).splitlines()
    assert told[0].endswith("by a router: blind")
    assert told[2] == "2 entries: 1 by a person, 1 by a router"


def test_a_difference_shows_both() -> None:
    told = verify.render_verdicts([Differs(START, HOLD), Differs(HOLD, None)])
    assert START.dump().decode() in told
    assert HOLD.dump().decode() in told
    assert "its cut gives no entry" in told


def test_only_a_difference_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Same(START), ByPerson(HOLD), OtherVersion(HOLD), Expired(HOLD, ("services",)))[0] == 0
    code, told = run(monkeypatch, Same(START), Differs(HOLD, None))
    assert code == 1
    assert "1 differs" in told


def test_nothing_to_verify_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch)[0] == 1
