"""What people read of each state, against files that a person has read: `UPDATE_GOLDEN=1` writes them anew."""

import os
from pathlib import Path
from typing import get_args

import pytest

from cli.rendering import WIDTH, render_history, render_line, render_proxy, render_service, render_view, view_of
from schemas.control import ProxyRoute, RolloutView
from schemas.decisions import Reason
from tests.builders import SERVICE, entry
from tests.page_states import Name
from tests.unit.cli.test_figures import entries, found

GOLDEN = Path(__file__).parents[2] / "golden"
STATES = get_args(Name)


def shown(name: Name) -> dict[str, str]:
    """What the commands print, by the folder of their files."""
    said = found(name)
    reason = said["ledger"][-1]["reason"]["sentence"] if said["ledger"] else None
    status = f"{render_line(view_of(said))}\n\n{render_view(view_of(said), reason)}\n"
    return {"status": status, "history": render_history(entries(said)) + "\n"}


@pytest.mark.parametrize("command", ["status", "history"])
@pytest.mark.parametrize("name", STATES)
def test_a_state_reads_as_its_file(name: Name, command: str) -> None:
    text, file = shown(name)[command], GOLDEN / command / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_every_file_is_used() -> None:
    for command in ("status", "history"):
        assert {file.stem for file in (GOLDEN / command).iterdir()} == set(STATES)


LONG = "n" * 40


def test_the_longest_names_and_words_stay_within_the_width() -> None:
    view = RolloutView(
        service=LONG,
        rollout=1,
        state="held",
        baseline=LONG,
        canary=LONG,
        held_because="x" * 200,
        waiting_for="word " * 60,
        looked_at=1,
    )
    said = Reason(code="test", sentence=f"{'y' * 300} and more")
    service = SERVICE.model_copy(update={"hosts": tuple(f"{n}.example.com" for n in range(20))})
    route = ProxyRoute.model_validate({"proxy": LONG, "state": "rejected", "detail": "bad cluster " * 20})
    new = RolloutView(service=LONG, rollout=0, baseline=LONG, looked_at=1)
    for text in (
        render_view(new),
        render_view(view, "z" * 200),
        render_line(view),
        render_history([entry("start", actor=LONG, reason=said)]),
        render_service(service),
        render_proxy(LONG, route),
    ):
        assert max(map(len, text.splitlines())) <= WIDTH, text
