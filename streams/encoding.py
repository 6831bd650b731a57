"""A cohort window → the records of `cohort-windows`. Pure."""

from collections.abc import Sequence
from functools import partial

import msgspec

from schemas.windows import Cell, CohortWindow
from streams.cells import Told

_SAID_ONCE = {"malformed": 0, "unkept": 0, "holes": 0, "duplicates": 0, "dropped": {}, "folded": 0}

PART_BYTES = 512 * 1024
"""Above this a window is split; half of what Kafka takes by default, for one cell may exceed its share."""


_canonical = partial(msgspec.json.encode, order="deterministic")


def key_of(window: CohortWindow) -> bytes:
    """``<service>|<window start>|<partition>|<final or instance>``: a zombie's partials never replace an owner's."""
    who = "final" if window.final else window.instance
    return f"{window.service}|{window.window_start}|{window.partition}|{who}".encode()


def key_of_partial(told: Told) -> bytes:
    """:func:`key_of` an open window."""
    return f"{told['service']}|{told['window_start']}|{told['partition']}|{told['instance']}".encode()


def encode_partial(told: Told, part_bytes: int = PART_BYTES) -> tuple[bytes, ...]:
    """:func:`encode` of an open window, byte for byte, without a model unless it is to be split.

    Not for finals: the means of digests are fractions, which this writer may spell otherwise.
    """
    whole = _canonical(told)
    return (whole,) if len(whole) <= part_bytes else encode(CohortWindow.model_validate(told), part_bytes)


def encode(window: CohortWindow, part_bytes: int = PART_BYTES) -> tuple[bytes, ...]:
    """The values to publish, in order: one, or parts where that one would exceed ``part_bytes``.

    What is said of the window, not of a cell, stands in the first part only. A cell stands in one part, or in several
    where it alone exceeds one: without its metrics and bucket histograms, then these, then metric by metric.
    """
    whole = window.dump()
    if len(whole) <= part_bytes:
        return (whole,)
    groups = _grouped([piece for cell in window.cells for piece in _pieces(cell, part_bytes)], part_bytes)
    return tuple(
        window.model_copy(
            update={"part": i, "parts": len(groups), "cells": tuple(cells)} | ({} if i == 1 else _SAID_ONCE)
        ).dump()
        for i, cells in enumerate(groups, start=1)
    )


def _pieces(cell: Cell, part_bytes: int) -> list[Cell]:
    if len(cell.dump()) <= part_bytes:
        return [cell]
    bare = Cell(version=cell.version, label=cell.label, bucket_floor=cell.bucket_floor)
    return [
        cell.model_copy(update={"bucket_histograms": {}, "metrics": {}}),
        bare.model_copy(update={"bucket_histograms": cell.bucket_histograms}),
        *(bare.model_copy(update={"metrics": {name: metric}}) for name, metric in cell.metrics.items()),
    ]


def _grouped(cells: Sequence[Cell], part_bytes: int) -> list[list[Cell]]:
    groups: list[list[Cell]] = [[]]
    room = part_bytes
    for cell in cells:
        size = len(cell.dump())
        if groups[-1] and size > room:
            groups.append([])
            room = part_bytes
        groups[-1].append(cell)
        room -= size
    return groups
