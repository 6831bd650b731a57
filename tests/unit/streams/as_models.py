"""What streams write as JSON, as the models that readers have of it."""

from schemas.windows import Cell, CohortWindow
from streams.cells import told_cells
from streams.service_window import ServiceWindow
from streams.windows import PartitionFold


def cells_of(service: ServiceWindow, *, final: bool) -> tuple[Cell, ...]:
    return tuple(map(Cell.model_validate, told_cells(service, final=final)))


def partials(fold: PartitionFold) -> tuple[CohortWindow, ...]:
    return tuple(map(CohortWindow.model_validate, fold.told()))
