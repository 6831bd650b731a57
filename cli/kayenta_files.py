"""What `davylamp kayenta import` makes of the text of its files. Pure; what is not understood is a ``ValueError``."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from judge.policies.kayenta.migration import Migration, migrate
from judge.policies.kayenta.remarks import Remark
from judge.policies.kayenta.stage import stage_remarks
from schemas.documents import DocumentError, read_json
from schemas.plan import Plan
from status.mistakes import mistakes


def migrated(
    config: str, canary: str, service: str | None, mapping: Sequence[str], stage: str | None, *, source: str
) -> tuple[str, list[str]]:
    """The plan as YAML, and what a person should see on the terminal as well."""
    try:
        found = migrate(_json(config, "the canary config"), service, canary, _targets(mapping))
    except ValidationError as error:
        raise ValueError("; ".join(map(str, mistakes(error.errors(), Plan)))) from error
    beside = stage_remarks(_json(stage, "the stage"), found.plan) if stage else ()
    told = [*_unmapped(found), *map(str, (*found.remarks, *beside))]
    return render(found, beside, source), [one_line(line) for line in told]


def render(found: Migration, beside: Sequence[Remark], source: str) -> str:
    """YAML that reads back as the plan, with everything else as comments."""
    lines = [f"From {source}, by `davylamp kayenta import`. Checks that are not written here keep their defaults.", ""]
    for fate in found.fates:
        lines.append(f"{fate.metric!r} → {fate.check or 'NOT TAKEN OVER'}")
        lines += [f"  - {detail}" for detail in fate.details]
    lines += ["", *(f"! {remark}" for remark in (*found.remarks, *beside))] if found.remarks or beside else []
    head = "\n".join(f"# {one_line(line)}".rstrip() for line in lines)
    return f"{head}\n{yaml.safe_dump(dict(found.content), sort_keys=False, allow_unicode=True)}"


def one_line(text: str) -> str:
    """What stands in a config cannot leave its comment, nor move a terminal's cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _unmapped(found: Migration) -> Iterator[str]:
    for fate in found.fates:
        if fate.check is None:
            yield f"not taken over: {fate.metric!r}: {'; '.join(fate.details)}"


def _targets(mapping: Sequence[str]) -> dict[str, str]:
    """Of two for one metric the last would count, without a word."""
    pairs = [_pair(text) for text in mapping]
    found = dict(pairs)
    twice = next((metric for metric, check in pairs if found[metric] != check), None)
    if twice is not None:
        raise ValueError(f"--map {twice!r}: it stands twice, for different checks: leave one of them out")
    return found


def _pair(text: str) -> tuple[str, str]:
    """At the last `=`: queries hold some."""
    metric, separator, check = text.rpartition("=")
    if not separator or not metric or not check:
        raise ValueError(f"--map {text!r}: write it like 'tool call errors=error_rate'")
    return metric, check


def _json(text: str, what: str) -> Any:
    try:
        return read_json(text)
    except DocumentError as error:
        raise ValueError(f"{what}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{what} is no JSON: {error}") from error
