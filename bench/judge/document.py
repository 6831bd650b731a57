"""`docs/statistics.md` from its text (`statistics.md` beside this file) and the results, with two plots a rate."""

from pathlib import Path

from bench.judge.faults import FAULTS, RATES
from bench.judge.plots import false_alarms, times
from bench.judge.results import Results
from bench.judge.rivals import OURS
from bench.judge.tables import cells, ended, markdown, percent, tables
from bench.judge.targets import targets
from bench.judge.traffic import CALLS_PER_SESSION
from bench.judge.windows import PLAN
from cli.plan_outlook import outlook
from cli.plan_traffic import Traffic
from schemas.plan import as_written
from schemas.policies import USUAL_REVISION

TEXT = Path(__file__).with_name("statistics.md")
_PREDICTED = ("outage", "errors+20", "errors+5")
"""The faults of the rises whose times the planner tells."""
DOCS = Path(__file__).parents[2] / "docs"


def write(found: Results, docs: Path = DOCS) -> None:
    """The page and its plots."""
    folder = docs / "statistics"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for rate in (rate for rate in RATES if cells(found, rate)):
        for name, picture in (("false", false_alarms(found, rate)), ("times", times(found, rate))):
            file = f"{name}-{rate:g}.svg"
            (folder / file).write_text(picture, encoding="utf-8")
            title = picture.split("<title>")[1].split("</title>")[0]
            pictures.append(f"![{title}](statistics/{file})")
    values = {
        "tables": tables(found),
        "plots": "\n\n".join(pictures),
        "effort": effort(found),
        "ours": ours(found),
        "planner": planner(found),
        "targets": targets(found),
        "revision": str(USUAL_REVISION),
    }
    (docs / "statistics.md").write_text(page(TEXT.read_text(encoding="utf-8"), values), encoding="utf-8")


def page(text: str, values: dict[str, str]) -> str:
    """`text` with each {{name}} replaced."""
    for name, value in values.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def planner(found: Results) -> str:
    """What `davylamp plan` predicts for the first stage beside what was seen, where half are caught in it."""
    rows = []
    for rate in RATES:
        seen = {cell.name: cell.column(OURS) for cell in cells(found, rate)}
        stage = outlook(as_written(PLAN), Traffic(60 * rate, CALLS_PER_SESSION))[0]
        for name, (_, predicted_s) in zip(_PREDICTED, stage.checks[0].speeds, strict=True):
            column = seen.get(name)
            if column is not None and column.times_s and predicted_s <= stage.planned_s:
                seen_s = f"{column.median_s:.0f} s ({column.runs})"
                rows.append([f"{rate:g}", FAULTS[name].title, f"{predicted_s:.0f} s", seen_s])
    return markdown(["sessions a second", "fault", "predicted", "seen (runs)"], rows)


def effort(found: Results) -> str:
    """What it took."""
    hours = sum(run.cpu_s for run in found.runs) / 3600
    return f"{len(found.runs)} runs, {hours:.2f} hours of one core ({found.machine})"


def ours(found: Results) -> str:
    """False rollbacks and wrong promotions of ours over all cells, which nobody needs to add up."""
    every = [cell for rate in RATES for cell in cells(found, rate)]
    healthy = [cell.column(OURS) for cell in every if not cell.fault.is_harmful]
    harmful = [cell.column(OURS) for cell in every if cell.fault.is_harmful]
    (out, n), (wrong, m) = ended(healthy, "rolled_back"), ended(harmful, "proceeded")
    parts = []
    if n:
        parts.append(f"rolled back {out} of {n} canaries with nothing beyond a margin ({percent(out / n, n)})")
    if m:
        parts.append(f"let {wrong} of {m} bad ones proceed as proved ({percent(wrong / m, m)})")
    return "Over all cells davylamp's policy " + " and ".join(parts) + "."
