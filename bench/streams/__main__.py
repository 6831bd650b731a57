"""The same job through the same broker: davylamp's streams and others. `python -m bench.streams [--rounds 2] [--write]`.

Decode, validate, tumbling window of five seconds of the log's time, count and p99 of each cohort: in batches of 500 and
100 as the SDK sends them, and singly. Each counts the same topic from its start, one after the other, and what it says is
compared with the truth. The peers are a project of their own (`peers/`), which this installs by its lock file; Kafka
Streams is built by Maven, and left out, by name, where there is no `javac`. Linux only: CPU times come from `/proc`.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.report import machine, write_section
from bench.streams.contenders import OURS, RAW, Ground, contenders, install
from bench.streams.measure import Run, run
from bench.streams.traffic import FORMS, Form, bytes_an_event, messages
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

TITLE = "Streams beside other stream processors"
Runs = dict[str, list[Run]]


def load(ground: Ground) -> None:
    """Make the topic and write the messages into it."""
    with AdminClient(ground.kafka.librdkafka("bench")) as admin:
        config = {"message.timestamp.type": "LogAppendTime"}
        for made in admin.create_topics([NewTopic(ground.topic, 1, 1, config=config)]).values():
            made.result(20)
    settings = {"linger.ms": 5, "compression.type": "lz4", "acks": "all", "queue.buffering.max.kbytes": 65_536}
    producer = Producer(ground.kafka.librdkafka("bench") | settings)
    for message in messages(ground.form):
        while True:
            try:
                producer.produce(ground.topic, message.value, message.key, partition=0)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()


def measure(
    forms: Sequence[Form], rounds: int, names: Sequence[str], results: Path | None = None
) -> tuple[dict[Form, Runs], dict[str, str]]:
    """Every contender, by form; and who is left out, with what is missing here. Adds each to a file as it is done."""
    found: dict[Form, Runs] = {form: {} for form in forms}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder) / "kafka") as node:
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(kafka)
        for number in range(rounds):
            for form in forms:
                ground = Ground(kafka, f"bench-{form.a_message}-{number}", form, Path(folder))
                load(ground)
                for contender in contenders(ground):
                    if contender.lacks is not None:
                        left_out[contender.name] = f"there is no {contender.lacks} here"
                    elif not names or any(name in contender.name for name in names):
                        try:
                            made = run(contender, ground)
                        except RuntimeError as error:
                            left_out[f"{form.name}: {contender.name}"] = str(error)
                            kept(results, {}, {f"{form.name}: {contender.name}": str(error)})
                            print(f"{form.name}: {contender.name}: {error}", flush=True)
                            continue
                        found[form].setdefault(contender.name, []).append(made)
                        kept(results, {form: {contender.name: [made]}}, {})
                        print(f"{form.name}: {contender.name}: {made.an_s:,.0f} events a CPU-second", flush=True)
    return found, left_out


def table(found: dict[Form, Runs], left_out: dict[str, str], rounds: int) -> str:
    """For `docs/performance.md`."""
    text = (
        f"{rounds} run{'' if rounds == 1 else 's, the median,'} each, on a machine shared with other work; {machine()}. Decode, validate, tumbling window of 5 s, count and p99 of each of two "
        "cohorts; the first fifth of the events warms up and is not measured. *Peak memory* is resident, of the process.\n"
    )
    for form, runs in found.items():
        raw, ours = (median(r.an_s for r in runs[name]) if name in runs else 0.0 for name in (RAW, OURS))
        text += f"\n{form.name.capitalize()}: {form.events:,} events, {bytes_an_event(form):.0f} bytes an event\n\n"
        text += "| | events a CPU-second | of raw consume | davylamp is × | events a second | peak memory |\n|---|---|---|---|---|---|\n"
        for name, made in runs.items():
            speed = median(r.an_s for r in made)
            wall = median(r.events / r.wall_s for r in made)
            memory = max(r.memory_mb for r in made)
            share = f"{100 * speed / raw:.1f} %" if raw else "–"
            text += f"| {name} | {speed:,.0f} | {share} | {ours / speed:.2f} | {wall:,.0f} | {memory:.0f} MB |\n"
    for name, why in left_out.items():
        text += f"\nLeft out: {name}: {why}.\n"
    return text


def kept(path: Path | None, found: dict[Form, Runs], left_out: dict[str, str]) -> None:
    """Add what was measured to a file, if there is one, a line each."""
    if path is None:
        return
    with path.open("a", encoding="utf-8") as file:
        for form, runs in found.items():
            for name, made in runs.items():
                for run_ in made:
                    file.write(json.dumps({"form": form.name, "name": name} | asdict(run_)) + "\n")
        for name, why in left_out.items():
            file.write(json.dumps({"left_out": name, "why": why}) + "\n")


def read_back(path: Path) -> tuple[dict[Form, Runs], dict[str, str]]:
    """All that was ever added. Who was left out once and has been measured since is not left out."""
    found: dict[Form, Runs] = {form: {} for form in FORMS}
    left_out: dict[str, str] = {}
    forms = {form.name: form for form in FORMS}
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        if "left_out" in said:
            left_out[said["left_out"]] = said["why"]
            continue
        form, name = forms[said.pop("form")], said.pop("name")
        found[form].setdefault(name, []).append(Run(**said))
        left_out.pop(f"{form.name}: {name}", None)
    return found, left_out


def main() -> None:
    """Measure, print, and with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="contenders whose name holds one of these")
    parser.add_argument("--forms", nargs="*", type=int, default=[], help="sizes of message: 500 100 1")
    parser.add_argument("--results", type=Path, help="add to this file, and tell of all that is in it")
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    install()
    forms = [form for form in FORMS if not said.forms or form.a_message in said.forms]
    found, left_out = measure(forms, said.rounds, said.only, said.results) if said.rounds else ({}, {})
    rounds = said.rounds
    if said.results:
        found, told = read_back(said.results)
        left_out |= told
        rounds = max(len(made) for runs in found.values() for made in runs.values())
    text = table(found, left_out, rounds)
    print(text)
    if said.write:
        write_section(TITLE, f"python -m bench.streams --rounds {rounds} --write", text)


if __name__ == "__main__":
    main()
