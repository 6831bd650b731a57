"""`docs/scale.md`: the calculation to ten million events a second, from `docs/performance.md`. `python -m bench.scale`.

Measures nothing: it reads the tables that `bench.streams`, `bench.workers`, `bench.services`, `bench.restart`, `bench.look` and
`bench.fifty` have written, so run it again after one of these.
"""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from bench import fifty, look, restart, services, soak, workers
from bench.report import FILE, write_section
from streams.app import StreamsSettings
from streams.owner import SOONER

SCALE = FILE.with_name("scale.md")
EVENTS_A_SECOND = 10_000_000
LOAD = 0.6
"""Of a worker: the rest reads a backlog after a restart."""
PARTITIONS_BY = 32
REPLICATION = 3
BROKER_MB_S = 100.0
"""Written by a broker: an assumption."""
WINDOW_S = 5.0
PUBLISH_INTERVAL_S: float = StreamsSettings.model_fields["publish_interval_s"].default
PARTIALS_A_S = 1 / PUBLISH_INTERVAL_S
FAILING_PARTIALS_A_S = PARTIALS_A_S / SOONER
"""While requests fail."""
MANY_SERVICES = 64
STREAMS = "Streams beside other stream processors"
COMMAND = "python -m bench.scale"


@dataclass(frozen=True, slots=True)
class Form:
    """How events come, and what one worker makes of them."""

    name: str
    events_a_cpu_s: float
    bytes_an_event: float


def section(text: str, title: str) -> str:
    """What a command wrote under its title. Raises ``KeyError`` without."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise KeyError(f"{FILE.name} has no section {title}")
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of a Markdown table, titles and rules included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def number(cell: str) -> float:
    """The first number in a cell."""
    found = re.search(r"[-+]?[\d,]*\.?\d+", cell)
    if found is None:
        raise ValueError(f"no number in {cell!r}")
    return float(found[0].replace(",", ""))


def forms(text: str) -> list[Form]:
    """What `bench.streams` measured of davylamp, by size of message."""
    made = []
    for part in re.split(r"\n(?=[A-Z][a-z ]+[\d]* ?\d*: )", section(text, STREAMS)):
        head = re.match(r"([A-Z][\w ]+): [\d,]+ events, (\d+) bytes an event", part)
        if head is not None:
            ours = next(row for row in rows(part) if row[0].startswith("davylamp"))
            made.append(Form(head[1], number(ours[1]), float(head[2])))
    return made


def cpu_a_million(text: str) -> dict[int, dict[int, float]]:
    """CPU-seconds of all workers: events a message → workers → for a million events, as `bench.workers` measured."""
    found: dict[int, dict[int, float]] = {}
    for row in rows(section(text, workers.TITLE))[2:]:
        found.setdefault(int(row[0]), {})[int(row[1])] = number(row[2])
    return found


def one_worker(text: str) -> str:
    """What was measured of a worker."""
    lines = ["| form | events a CPU-second | bytes an event, uncompressed |", "|---|---|---|"]
    lines += [f"| {f.name.lower()} | {f.events_a_cpu_s:,.0f} | {f.bytes_an_event:.0f} |" for f in forms(text)]
    lines += [
        "",
        "| batches of | CPU-seconds a million events: 1 worker | 2 workers | 4 workers |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {size} | {' | '.join(f'{cost[n]:.2f}' for n in workers.WORKERS)} |"
        for size, cost in cpu_a_million(text).items()
    ]
    steady = rows(section(text, soak.TITLE))
    many = rows(section(text, services.TITLE))[2]
    told = (
        f"Memory: {number(steady[-1][1]):.0f} MB after {number(steady[-1][0]) / 60:.0f} minutes at "
        f"{number(steady[-1][3]) / number(steady[-1][0]):,.0f} events a second. A thousand services with {many[0]} events a second "
        f"in all are {many[1]} windows a second, {many[2]} of a core and {many[3]}; half of them are heard of within {many[4]}."
    )
    clock, cpu = rows(section(text, restart.TITLE))[2:4]
    again = (
        f"After a kill -9 a worker says its first word of a new event {clock[2]} s later in the median, {clock[3]} s at the longest, and "
        f"{cpu[2]} s of CPU are its start. Meanwhile its partitions wait, and what waits is read at full speed."
    )
    return "\n".join([*lines, "", told, "", again])


def ten_million(text: str) -> str:
    """The calculation, for batches: by what an event costs with four workers."""
    cost, size = (
        cpu_a_million(text),
        {int(number(f.name)): f.bytes_an_event for f in forms(text) if f.name[-1].isdigit()},
    )
    columns = {n: _column(n, cost[n][max(workers.WORKERS)], size[n]) for n in cost}
    names = next(iter(columns.values())).keys()
    lines = [f"| what | {' | '.join(f'batches of {n}' for n in columns)} | how |", f"|---|{'---|' * len(columns)}---|"]
    lines += [f"| {name} | {' | '.join(columns[n][name] for n in columns)} | {HOW[name]} |" for name in names]
    singles = next(form for form in forms(text) if form.name == "Singles")
    return "\n".join(
        [
            *lines,
            "",
            f"Ten million single JSON events a second would be {EVENTS_A_SECOND / singles.events_a_cpu_s:,.0f} cores: let servers send batches.",
        ]
    )


HOW = {
    "CPU of streams": "CPU-seconds a million events with four workers, × 10",
    "workers at 60 % load": "the rest reads a backlog after a restart, at 1 / 0.6 of the rate; one core each",
    "partitions of the telemetry": f"the next multiple of {PARTITIONS_BY}: at least one a worker",
    "bytes into Kafka": "before lz4, which the SDK uses; the ratio was not measured",
    "brokers": f"replication {REPLICATION}, {BROKER_MB_S:g} MB/s of writes a broker (an assumption: put in yours)",
    "messages a second": "events / the size of a batch",
    "final windows a second of one service": f"heard on all partitions, each {WINDOW_S:g} s",
    "open windows a second of it, at most": f"{PARTIALS_A_S:g} a second and partition",
    "the same while requests fail, as of so many some always do": f"{FAILING_PARTIALS_A_S:g} a second and partition",
}


def judge_work(text: str) -> str:
    """What the judge has to do, with the partitions of that calculation."""
    looks = rows(section(text, look.TITLE))[2:]
    both = [pair(row[column]) for row in looks for column in (3, 4)]
    folds = [pair(row[5])[0] for row in looks]
    cpu = {row[0]: row[1] for row in rows(section(text, fifty.TITLE)) if len(row) == 3}  # noqa: PLR2004 - process, CPU, memory
    partitions = max(_partitions(cost[max(workers.WORKERS)]) for cost in cpu_a_million(text).values())
    closed_a_s, fold_ms = partitions / WINDOW_S, max(folds) / 2
    failing = partitions * FAILING_PARTIALS_A_S
    return f"""It does not see events. A partition says of a service one final window in {WINDOW_S:g} s, and of an open one up to {PARTIALS_A_S:g} partials a
second, {FAILING_PARTIALS_A_S:g} while requests fail. A look at news takes {min(b[0] for b in both)} to {max(b[0] for b in both)} ms of CPU in the median ({max(b[1] for b in both)} ms at p99), and to
fold a closed window of two partitions {min(folds)} to {max(folds)} ms, after {looks[-1][0]} as after {looks[0][0]} (`python -m bench.look`). Fifty rollouts cost
{cpu["judge"]} of a core, with {cpu["streams"]} of one for streams (`python -m bench.fifty`; less where the machine is so busy that looks are left out). So:

- {partitions} partitions on which a service is heard close {partitions} windows in {WINDOW_S:g} s: {closed_a_s:.0f} a second at {fold_ms:.1f} ms each, {closed_a_s * fold_ms / 10:.1f} % of a core a rollout.
- Open windows are the larger part: {partitions} partitions may say {failing:,.0f} partials a second of **one** service while requests fail, which is
  when it matters, and {MANY_SERVICES} services {MANY_SERVICES * failing:,.0f}. That no judge reads. Give a busy service its own topic
  (`mcp-requests.<service>`, of a few partitions), or make `publish_interval_s` longer in proportion: at 1 s the {failing:,.0f} become
  {failing * PUBLISH_INTERVAL_S:,.0f}, and bad news travels up to half a second later."""


def pair(cell: str) -> tuple[float, float]:
    """Median and p99."""
    median, p99 = cell.split("/")
    return number(median), number(p99)


def _workers(cpu_a_million_s: float) -> int:
    return ceil(EVENTS_A_SECOND / 1e6 * cpu_a_million_s / LOAD)


def _partitions(cpu_a_million_s: float) -> int:
    return ceil(_workers(cpu_a_million_s) / PARTITIONS_BY) * PARTITIONS_BY


def _column(a_message: int, cpu_a_million_s: float, bytes_an_event: float) -> dict[str, str]:
    cores = EVENTS_A_SECOND / 1e6 * cpu_a_million_s
    needed, partitions = _workers(cpu_a_million_s), _partitions(cpu_a_million_s)
    megabytes = EVENTS_A_SECOND * bytes_an_event / 1e6
    values = (
        f"{cores:.0f} cores",
        f"{needed}",
        f"{partitions}",
        f"{megabytes / 1000:.1f} GB/s",
        f"{ceil(megabytes * REPLICATION / BROKER_MB_S)}",
        f"{EVENTS_A_SECOND / a_message:,.0f}",
        f"{partitions / WINDOW_S:.0f}",
        f"{partitions * PARTIALS_A_S:,.0f}",
        f"{partitions * FAILING_PARTIALS_A_S:,.0f}",
    )
    return dict(zip(HOW, values, strict=True))


def write(performance: Path = FILE, scale: Path = SCALE) -> None:
    """Its sections."""
    text = performance.read_text(encoding="utf-8")
    write_section("What one worker does", COMMAND, one_worker(text), scale)
    write_section("Ten million events a second", COMMAND, ten_million(text), scale)
    write_section("What the judge has to do", COMMAND, judge_work(text), scale)


if __name__ == "__main__":
    write()
