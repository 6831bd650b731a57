"""Prometheus' text format (version 0.0.4). Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Name = TypeVar("Name", bound=str)
Kind = Literal["gauge", "counter", "histogram"]
Family = tuple[Kind, str]
"""Type and help."""
Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]
"""What follows the metric's name (`_bucket`), labels, value."""
Said = tuple[str, Labels, float]
"""A metric's name, labels, value."""


def text(metrics: Mapping[Name, Family], said: Iterable[Said]) -> str:
    """All of them, also those of which nothing is said now. Raises ``KeyError`` for a name that is none of theirs."""
    found: dict[str, list[Sample]] = {name: [] for name in metrics}
    for name, labels, value in said:
        found[name].append(("", labels, value))
    return "".join(family(name, *about, found[name]) for name, about in metrics.items())


def family(name: str, kind: Kind, about: str, samples: Iterable[Sample]) -> str:
    """One metric, with its type and help once."""
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    lines += [f"{name}{suffix}{_braced(labels)} {value:.15g}" for suffix, labels, value in samples]
    return "\n".join([*lines, ""])


def table(metrics: Mapping[Name, Family]) -> Iterator[tuple[str, Kind, str]]:
    """A row each, for the documentation."""
    return ((f"`{name}`", kind, about) for name, (kind, about) in metrics.items())


def _braced(labels: Labels) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
