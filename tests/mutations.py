"""What may be wrong with a message: any value at any place, a key too many or too few, bytes that changed on the way."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    7,
    2**31,
    2**53,
    2**63,
    -(2**63),
    2**64,
    10**400,
    -1.5,
    -0.5,
    -0.0,
    0.5,
    1.0,
    1e9,
    1e12,
    1e300,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "ok",
    "12",
    "1.5",
    "nan",
    "v1",
    "_other",
    "tools/call",
    "\x00",
    "\u2028",
    "\ud800",  # half a character
    "x" * 65,
    "x" * 101,
    "x" * 121,
    "7.1.session.786db6f38e0cd8b7;v2",
    [],
    [0],
    [1, 0],
    ["ok"],
    [[0]],
    [None],
    [1.0, 2],
    {},
    {"at": [0], "values": [1]},
    {"tokens": {"at": [0], "values": [1]}},
    {"tokens": {"at": [0], "values": [1], "more": 1}},
    {"": {"at": [], "values": []}},
    {f"m{i}": 1 for i in range(36)},  # four too many: a further change leaves it refused
)


def mutated(raw: bytes, seed: int) -> bytes:
    """The JSON in ``raw`` with one or a few things changed; often still valid."""
    dice = Random(seed)
    if dice.random() < 0.15:
        return bytes_changed(raw, dice)
    value = json.loads(raw)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        _change(value, dice)
    changed = json.dumps(value, ensure_ascii=dice.random() < 0.5).encode(errors="surrogatepass")
    return _key_doubled(changed, value, dice) if dice.random() < 0.1 else changed


def _change(value: dict[str, Any], dice: Random) -> None:
    places: list[tuple[Any, Any]] = []
    _collect(value, places)
    if not places:  # a change before this one has taken all there was
        return
    within, key = dice.choice(places)
    how: Callable[[], Any] = dice.choice([*[lambda: _replace(within, key, dice)] * 5, lambda: within.pop(key)])
    how()


def _replace(within: Any, key: Any, dice: Random) -> None:
    within[key] = copy.deepcopy(dice.choice(JUNK))


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        places.append((value, key))
        if isinstance(value[key], dict | list):
            _collect(value[key], places)


def _key_doubled(raw: bytes, value: dict[str, Any], dice: Random) -> bytes:
    """JSON that names a key of its object twice, first with something else."""
    if not value:
        return raw
    key = dice.choice(list(value))
    return b"{" + json.dumps({key: dice.choice(JUNK)}).encode()[1:-1] + b"," + raw[1:]


def bytes_changed(raw: bytes, dice: Random) -> bytes:
    """Cut off, shortened, with another byte, or with something put in."""
    changed = bytearray(raw)
    at = dice.randrange(len(changed))
    match dice.randrange(4):
        case 0:
            del changed[at:]
        case 1:
            del changed[at : at + dice.randint(1, 8)]
        case 2:
            changed[at] = dice.randrange(256)
        case _:
            changed[at:at] = dice.choice(
                [b"[" * 300, b"\\u0000", b"\xff", b'"', b"{}", b"1e999", b"-", b",", b"9" * 5000]
            )
    return bytes(changed)
