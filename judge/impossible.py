"""Counts that no traffic can have made: a window that says such a thing is named and never judged. Pure."""

from schemas.windows import Cell, CohortWindow


class ImpossibleWindowError(ValueError):
    """A window counts more failures than there was anything to fail."""


def refuse_impossible(window: CohortWindow) -> None:
    """Raises :class:`ImpossibleWindowError` with the place and the numbers. Negative counts and NaN are no windows at all."""
    for place, cell in enumerate(window.cells):
        wrong = _wrong(cell)
        if wrong is not None:
            at = f"window {window.window_start} of {window.source}-{window.partition}"
            raise ImpossibleWindowError(f"{at}: cells[{place}].{wrong}")


def _wrong(cell: Cell) -> str | None:
    for index, bucket in cell.buckets.items():
        if bucket.err > bucket.n:
            return f"buckets.{index}: {bucket.err} errors of {bucket.n} requests"
        if bucket.tf > bucket.tools:
            return f"buckets.{index}: {bucket.tf} failed tool calls of {bucket.tools}"
    for name, tool in cell.tools.items():
        if tool.bad > tool.n:
            return f"tools.{name}: {tool.bad} failed calls of {tool.n}"
    return None
