"""A rollout that is watched until it ends: what `davylamp status --watch` does between its first and its last line."""

import sys
import time
from collections.abc import Callable
from typing import Any

from cli.client import ApiError, AwayError, Client, UnansweredError
from cli.rendering import render_line, view_of
from cli.terminal import EXIT_UNDECIDED, ask, fail
from schemas.control import RolloutState

GOOD_ENDS: frozenset[RolloutState] = frozenset({"completed", "retired"})
BAD_ENDS: frozenset[RolloutState] = frozenset({"rolled_back", "drained"})

LOOK_EVERY_S = 0.5


def follow(
    client: Client,
    service: str,
    timeout_s: float,
    *,
    now_s: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """What the API says once the rollout has ended or time is up; what changes on the way goes to stderr.

    The first question must be answered: a wrong URL, name or token ends the command at once. From then on an API that is
    away or silent for a while is asked again; if it is so when time is up, the command ends undecided.
    """
    end_s, told = now_s() + timeout_s, ""
    said: dict[str, Any] | ApiError = ask(client.rollout, service)
    while True:
        line = f"{said} Asked again until --timeout." if isinstance(said, ApiError) else render_line(view_of(said))
        if line != told:
            print(line, file=sys.stderr)
        told, over = line, now_s() >= end_s
        if isinstance(said, dict) and (over or _ended(said)):
            return said
        if over:
            fail(f"Time is up, and the status API does not answer: nobody knows how {service} stands.", EXIT_UNDECIDED)
        pause(LOOK_EVERY_S)
        said = _asked_again(client, service)


def _asked_again(client: Client, service: str) -> dict[str, Any] | ApiError:
    try:
        return client.rollout(service)
    except (AwayError, UnansweredError) as error:
        return error
    except ApiError as error:
        fail(str(error))


def _ended(found: dict[str, Any]) -> bool:
    """Or there is none that could."""
    state = view_of(found).state
    return state is None or state in GOOD_ENDS | BAD_ENDS
