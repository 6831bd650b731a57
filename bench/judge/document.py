"""`docs/statistics.md` from its text (`statistics.md` beside this file) and the results, with two plots a rate."""

from pathlib import Path

from bench.judge.faults import RATES
from bench.judge.plots import false_alarms, times
from bench.judge.results import Results
from bench.judge.tables import cells, percent, tables

TEXT = Path(__file__).with_name("statistics.md")
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
    values = {"tables": tables(found), "plots": "\n\n".join(pictures), "effort": effort(found), "ours": ours(found)}
    (docs / "statistics.md").write_text(page(TEXT.read_text(encoding="utf-8"), values), encoding="utf-8")


def page(text: str, values: dict[str, str]) -> str:
    """`text` with each {{name}} replaced."""
    for name, value in values.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def effort(found: Results) -> str:
    """What it took."""
    hours = sum(run.cpu_s for run in found.runs) / 3600
    return f"{len(found.runs)} runs, {hours:.2f} hours of one core ({found.machine})"


def ours(found: Results) -> str:
    """False rollbacks and wrong promotions of ours over all cells, which nobody needs to add up."""
    every = [cell for rate in RATES for cell in cells(found, rate)]
    healthy = [cell.column("ours") for cell in every if not cell.fault.is_harmful]
    harmful = [cell.column("ours") for cell in every if cell.fault.is_harmful]
    n, out = sum(c.runs for c in healthy), sum(c.share("rolled_back") * c.runs for c in healthy)
    m, wrong = sum(c.runs for c in harmful), sum(c.share("proceeded") * c.runs for c in harmful)
    parts = []
    if n:
        parts.append(f"rolled back {out:.0f} of {n} canaries with nothing beyond a margin ({percent(out / n, n)})")
    if m:
        parts.append(f"let {wrong:.0f} of {m} bad ones proceed as proved ({percent(wrong / m, m)})")
    return "Over all cells davylamp's policy " + " and ".join(parts) + "."
