"""The event on the page about alerts is one that is sent."""

import json
import re
from datetime import datetime
from pathlib import Path

from alerts.cause import Began
from alerts.causes import Causes
from alerts.webhook import event
from alerts.wording import message
from schemas.control import RolloutView
from tests.builders import entry, opening

PAGE = Path(__file__).parents[2] / "docs/howto/be-paged.md"


def test_the_event_on_the_page_is_what_a_waiting_rollout_sends() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    shown = json.loads(block)
    start = entry("start", opening=opening(approve=["2"]))
    causes, _ = Causes().read_entry(start, 0, 0.0)
    view = RolloutView(service="orders", rollout=1, awaits="2", head=start.id, looked_at=1)
    _, (began,) = causes.read_view(view, 0.0).look(0.0)
    at_ms = round(1000 * datetime.fromisoformat(shown["timestamp"]).timestamp())
    assert isinstance(began, Began)
    assert event(message(began, at_ms, at_ms)) == shown
