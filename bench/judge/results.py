"""What was simulated so far: JSON lines, appended run by run, so that a stopped simulation goes on where it was."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.judge.faults import FAULTS
from bench.judge.rivals import JUDGES, TUNED, TUNING, End, Tuned, Verdict
from bench.report import machine

FILE = Path(__file__).parents[2] / "docs" / "statistics" / "results.jsonl"
NAMES = (*JUDGES, TUNED)
_ENDS: dict[str, End] = {"r": "rolled_back", "p": "proceeded", "h": "held"}
_LETTERS = {end: letter for letter, end in _ENDS.items()}


_NOT_ASKED = "-"


class OtherJudgesError(ValueError):
    """The file holds results of judges that this code does not know: begin a new one."""


@dataclass(frozen=True, slots=True)
class Said:
    """One judge of one run, with how many sessions had been harmed when it was over."""

    verdict: Verdict
    harmed: int


@dataclass(frozen=True, slots=True)
class Run:
    """One stream, and what everybody made of it."""

    rate: float
    fault: str
    seed: int
    bound_s: float | None
    cpu_s: float
    said: Mapping[str, Said]
    """By judge. A judge that was added later was not asked yet."""

    @property
    def unasked(self) -> tuple[str, ...]:
        """Judges that have still to see this stream."""
        return tuple(name for name in NAMES if name not in self.said)

    def line(self) -> str:
        """As it is kept: ``r322:12`` is a rollback at 322 s with 12 sessions harmed."""
        said = [_text(self.said[name]) if name in self.said else _NOT_ASKED for name in NAMES]
        content: dict[str, Any] = {
            "rate": self.rate,
            "fault": self.fault,
            "seed": self.seed,
            "cpu": round(self.cpu_s, 1),
        }
        if self.bound_s is not None:
            content["bound"] = round(self.bound_s, 1)
        return json.dumps({**content, "said": " ".join(said)}, separators=(",", ":"))

    @classmethod
    def read(cls, content: dict[str, Any], judges: Sequence[str]) -> "Run":
        """From a line's JSON, whose words are in the order of `judges`."""
        words = zip(judges, content["said"].split(), strict=True)
        said = {judge: _said(word) for judge, word in words if word != _NOT_ASKED}
        return cls(content["rate"], content["fault"], content["seed"], content.get("bound"), content["cpu"], said)


def _text(said: Said) -> str:
    return f"{_LETTERS[said.verdict.end]}{said.verdict.at_s:g}:{said.harmed}"


def _said(word: str) -> Said:
    at, _, harmed = word[1:].partition(":")
    return Said(Verdict(_ENDS[word[0]], float(at)), int(harmed))


@dataclass(slots=True)
class Results:
    """A file's content."""

    runs: list[Run] = field(default_factory=list)
    tuned: dict[float, Tuned] = field(default_factory=dict)
    """By rate: the limits of the tuned rule."""
    machine: str = "an unknown machine"
    """What began them."""
    judges: tuple[str, ...] = ()
    """In the order of the newest lines."""

    @classmethod
    def load(cls, file: Path) -> "Results":
        """Raises :class:`OtherJudgesError`. A line that was cut off by a kill is passed over."""
        found, runs = cls(), dict[tuple[float, str, int], Run]()
        for content in _lines(file):
            if "judges" in content:
                found.judges = tuple(content["judges"])
                if unknown := [judge for judge in found.judges if judge not in NAMES]:
                    raise OtherJudgesError(f"{file} holds results of {unknown}; known are {list(NAMES)}")
            found.machine = content.get("machine", found.machine)
            if "tuned" in content:
                found.tuned[content["rate"]] = Tuned(*content["tuned"])
            if "said" in content:
                run = Run.read(content, found.judges)
                runs[run.rate, run.fault, run.seed] = run  # a later line knows what further judges say
        found.runs = list(runs.values())
        return found

    def save(self, file: Path) -> None:
        """A line a run, cell by cell: what further judges said later stands beside what the first ones did."""
        cells = {fault: place for place, fault in enumerate(FAULTS)}
        self.runs.sort(key=lambda run: (run.rate, cells[run.fault], run.seed))
        lines = (
            _head(self.machine),
            *(tuned_line(rate, self.tuned[rate]) for rate in sorted(self.tuned)),
            *(run.line() for run in self.runs),
        )
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def many(self, rate: float, fault: str) -> int:
        """How often a cell was simulated."""
        return sum(run.rate == rate and run.fault == fault for run in self.runs)


def append(file: Path, line: str) -> None:
    """One more line, on disk before anything else is done."""
    with file.open("a", encoding="utf-8") as out:
        out.write(line + "\n")


def begin(file: Path, found: Results) -> None:
    """Name the judges that are asked from here on, unless the newest lines name them."""
    if found.judges != NAMES:
        file.parent.mkdir(parents=True, exist_ok=True)
        append(file, _head(machine()))


def tuned_line(rate: float, tuned: Tuned) -> str:
    """The limits, and of how many healthy rollouts they are."""
    limits = [round(v, 6) for v in (tuned.error_rate, tuned.tool_failures, tuned.p99_ms)]
    return json.dumps({"rate": rate, "tuned": limits, "of": TUNING}, separators=(",", ":"))


def _head(of: str) -> str:
    return json.dumps({"judges": NAMES, "machine": of})


def _lines(file: Path) -> Iterable[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
