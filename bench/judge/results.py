"""What was simulated so far: JSON lines, appended run by run, so that a stopped simulation goes on where it was."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.judge.rivals import JUDGES, TUNED, End, Tuned, Verdict
from bench.report import machine

FILE = Path(__file__).parents[2] / "docs" / "statistics" / "results.jsonl"
NAMES = (*JUDGES, TUNED)
_ENDS: dict[str, End] = {"r": "rolled_back", "p": "proceeded", "h": "held"}
_LETTERS = {end: letter for letter, end in _ENDS.items()}


class OtherJudgesError(ValueError):
    """The file holds results of other judges than those of this code: begin a new one."""


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
    said: tuple[Said, ...]
    """In the order of :data:`NAMES`."""

    def line(self) -> str:
        """As it is kept: ``r322:12`` is a rollback at 322 s with 12 sessions harmed."""
        said = [f"{_LETTERS[s.verdict.end]}{s.verdict.at_s:g}:{s.harmed}" for s in self.said]
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
    def read(cls, content: dict[str, Any]) -> "Run":
        """From a line's JSON."""
        said = []
        for text in content["said"].split():
            at, _, harmed = text[1:].partition(":")
            said.append(Said(Verdict(_ENDS[text[0]], float(at)), int(harmed)))
        return cls(
            content["rate"], content["fault"], content["seed"], content.get("bound"), content["cpu"], tuple(said)
        )


@dataclass(slots=True)
class Results:
    """A file's content."""

    runs: list[Run] = field(default_factory=list)
    tuned: dict[float, Tuned] = field(default_factory=dict)
    """By rate: the limits of the tuned rule."""
    machine: str = "an unknown machine"
    """What began them."""

    @classmethod
    def load(cls, file: Path) -> "Results":
        """Raises :class:`OtherJudgesError`. A line that was cut off by a kill is passed over."""
        found = cls()
        for content in _lines(file):
            if "judges" in content and tuple(content["judges"]) != NAMES:
                raise OtherJudgesError(f"{file} holds results of {content['judges']}, not of {list(NAMES)}")
            found.machine = content.get("machine", found.machine)
            if "tuned" in content:
                found.tuned[content["rate"]] = Tuned(*content["tuned"])
            if "said" in content:
                found.runs.append(Run.read(content))
        return found

    def many(self, rate: float, fault: str) -> int:
        """How often a cell was simulated."""
        return sum(run.rate == rate and run.fault == fault for run in self.runs)


def append(file: Path, line: str) -> None:
    """One more line, on disk before anything else is done; the first names the judges."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        if not out.tell():
            out.write(json.dumps({"judges": NAMES, "machine": machine()}) + "\n")
        out.write(line + "\n")


def tuned_line(rate: float, tuned: Tuned, of: int) -> str:
    """The limits, and of how many healthy rollouts they are."""
    limits = [round(v, 6) for v in (tuned.error_rate, tuned.tool_failures, tuned.p99_ms)]
    return json.dumps({"rate": rate, "tuned": limits, "of": of}, separators=(",", ":"))


def _lines(file: Path) -> Iterable[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
