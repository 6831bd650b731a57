"""A cohort window → the records of `cohort-windows`. Pure."""

from schemas.windows import Cell, CohortWindow

PART_BYTES = 512 * 1024
"""Above this a window is split; half of what Kafka takes by default, for one cell may exceed its share."""


def key_of(window: CohortWindow) -> bytes:
    """``<service>|<window start>|<partition>|<final or instance>``: a zombie's partials never replace an owner's."""
    who = "final" if window.final else window.instance
    return f"{window.service}|{window.window_start}|{window.partition}|{who}".encode()


def encode(window: CohortWindow, part_bytes: int = PART_BYTES) -> tuple[bytes, ...]:
    """The values to publish, in order: one, or parts of whole cells where that one would exceed ``part_bytes``."""
    whole = window.dump()
    if len(whole) <= part_bytes:
        return (whole,)
    groups = _grouped(window.cells, part_bytes)
    return tuple(
        window.model_copy(update={"part": i, "parts": len(groups), "cells": tuple(cells)}).dump()
        for i, cells in enumerate(groups, start=1)
    )


def _grouped(cells: tuple[Cell, ...], part_bytes: int) -> list[list[Cell]]:
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
