"""Who counts, and how each is started: a process that reads the topic from its start and tells how far it is."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from bench.streams.traffic import Form
from schemas.windows import CohortWindow
from streams.histogram import merge, quantile
from transport.kafka_log import partitions
from transport.settings import KafkaSettings

PEERS = Path(__file__).parent / "peers"
_JAVA = PEERS / "kafka-streams"
_JAR = _JAVA / "target" / "bench.jar"
_PYTHON = PEERS / ".venv" / "bin" / "python"
OURS = "davylamp, as shipped: 64 session buckets, tools, session ages, duplicates"
PATIENCE_S = 100.0
"""Whoever has not counted all by then is left out, by name."""
RAW = "raw consume: no decoding"
PLAIN = "plain consumer, msgspec and numpy"
_FIRST = 100_000
"""So many single events, of which each costs a state of its own, keep RocksDB busy for half a minute."""

Told = dict[str, tuple[int, float]]
"""Count and p99 in milliseconds by cohort."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A topic of one partition, loaded."""

    kafka: KafkaSettings
    topic: str
    form: Form
    folder: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """A process; what it says lies on its standard output, or for davylamp in `cohort-windows`."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    lacks: str | None = None
    """Why it cannot run here."""
    events: int | None = None
    """It counts only so many, the first of the topic; None: all."""


@dataclass(frozen=True, slots=True)
class Word:
    """So many events are counted so far; at the end also what was counted."""

    events: int
    told: Told | None = None


def contenders(ground: Ground) -> list[Contender]:
    """All, ours first."""
    said = {
        "BENCH_BOOTSTRAP": ground.kafka.bootstrap,
        "BENCH_TOPIC": ground.topic,
        "BENCH_FORM": "singles" if ground.form.a_message == 1 else "batches",
        "BENCH_EVENTS": str(ground.form.events),
        "BENCH_A_MESSAGE": str(ground.form.a_message),
    }
    ours = {
        "DAVYLAMP_KAFKA_BOOTSTRAP": ground.kafka.bootstrap,
        "DAVYLAMP_STREAMS_TOPIC": ground.topic,
        "DAVYLAMP_STREAMS_INSTANCE": ground.topic,
        "DAVYLAMP_STREAMS_DATA_FOLDER": str(ground.folder / ground.topic),
    }
    python = str(_PYTHON)

    def peer(name: str, file: str, events: int | None = None, **more: str) -> Contender:
        return Contender(name, (python, str(PEERS / file)), said | more, _lacks_python(), events)

    rocks = peer("quixstreams, its windows (RocksDB)", "quix.py")
    if ground.form.a_message == 1:
        rocks = peer(f"{rocks.name}, the first {_FIRST:,}", "quix.py", _FIRST, BENCH_EVENTS=str(_FIRST))

    return [
        Contender(OURS, (sys.executable, "-m", "streams"), ours),
        peer(RAW, "plain.py", BENCH_RAW="1"),
        peer(PLAIN, "plain.py"),
        peer("quixstreams, cells in memory", "quix.py", BENCH_MEMORY="1"),
        rocks,
        peer("bytewax, its windows", "waxed.py"),
        Contender("Kafka Streams (Java), its windows in memory", ("java", "-jar", str(_JAR)), said, _lacks_java()),
    ]


def install() -> None:
    """Install the peers by their lock file, and build the Java one."""
    if shutil.which("uv") or (Path(sys.executable).parent / "uv").exists():
        uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
        environ = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}}
        subprocess.run([uv, "sync", "--quiet", "--frozen"], cwd=PEERS, env=environ, check=True)  # noqa: S603
    if _lacks_java() is None and not _JAR.exists():
        subprocess.run(["mvn", "-q", "-B", "package"], cwd=_JAVA, check=True)  # noqa: S607


def _lacks_python() -> str | None:
    return None if _PYTHON.exists() else "uv, which installs it"


def _lacks_java() -> str | None:
    missing = [tool for tool in ("javac", "mvn") if shutil.which(tool) is None]
    return f"{' and '.join(missing)}" if missing else None


def words_of(contender: Contender, process: "subprocess.Popen[bytes]", ground: Ground) -> Iterator[Word]:
    """What it says, as it comes, until all is counted. Raises ``RuntimeError`` if it ends before."""
    words = _windows(ground, process) if contender.name == OURS else _lines(process, ground.form.events)
    last = Word(0)
    for word in words:
        last = word
        yield word
    if last.told is None:
        code = process.wait()
        said = (ground.folder / "said.log").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        print("\n".join(said), file=sys.stderr)  # nothing for a page: it may name this machine's folders
        why = f"not done within {PATIENCE_S:.0f} s" if code == -signal.SIGKILL else f"ended with {code}"
        raise RuntimeError(f"{why}, after {last.events:,} events")


def _lines(process: "subprocess.Popen[bytes]", events: int) -> Iterator[Word]:
    if process.stdout is None:
        return
    for line in process.stdout:  # the last one may be cut: by the limit
        said: dict[str, Any] = json.loads(line) if line.startswith(b"{") and line.endswith(b"}\n") else {}
        if "events" in said:
            yield Word(said["events"])
        if "told" in said:
            yield Word(events, {cohort: (n, p99) for cohort, (n, p99) in said["told"].items()})
            return


def _windows(ground: Ground, process: "subprocess.Popen[bytes]") -> Iterator[Word]:
    """From our windows: the one that reaches furthest says all of each."""
    settings = ground.kafka.librdkafka("bench") | {"group.id": "bench", "enable.auto.commit": False}
    consumer = Consumer(settings)
    newest: dict[int, CohortWindow] = {}
    try:
        at = [TopicPartition("cohort-windows", p, 0) for p in partitions(consumer, "cohort-windows", 10)]
        consumer.assign(at)
        while process.poll() is None:
            for message in consumer.consume(100, 0.05):
                window = CohortWindow.read(message.value())
                known = newest.get(window.window_start)
                if window.source == ground.topic and (known is None or known.through <= window.through):
                    newest[window.window_start] = window
            counted = sum(n for w in newest.values() for cell in w.cells for n in cell.outcomes.values())
            yield Word(counted, _told(newest) if counted >= ground.form.events else None)
            if counted >= ground.form.events:
                return
    finally:
        consumer.close()


def _told(windows: Mapping[int, CohortWindow]) -> Told:
    told: Told = {}
    cells = [cell for window in windows.values() for cell in window.cells]
    for cohort in {cell.version for cell in cells}:
        mine = [cell for cell in cells if cell.version == cohort]
        p99 = quantile(merge(cell.histogram for cell in mine), 0.99)
        told[cohort] = sum(sum(cell.outcomes.values()) for cell in mine), p99 or 0.0
    return told
