"""What `davylamp replay` prints. Pure."""

from collections.abc import Iterator, Sequence

from cli.rendering import render_view
from cli.verify import render_verdicts
from judge.unknowable import unknowable
from judge.verdicts import ByPerson, Differs, Same, Verdict
from judge.whatif import Said, WhatIf
from schemas.control import RolloutView
from schemas.decisions import LedgerEntry
from schemas.plan import Plan
from schemas.units import format_share
from transport.recording import Header


def render_head(header: Header, code_version: str) -> str:
    """Which rollout, and by whose code."""
    decided = f"decided by davylamp {header.davylamp}" + (
        "" if header.davylamp == code_version else f", replayed by {code_version}"
    )
    anonymized = ", anonymized" if header.anonymized else ""
    return f"rollout {header.rollout} of {header.service}, canary {header.plan.canary}: {decided}{anonymized}"


def render_replay(verdicts: Sequence[Verdict]) -> str:
    """A line an entry, then how many are the same to the byte, and where the first one is not."""
    decided = [verdict for verdict in verdicts if not isinstance(verdict, ByPerson)]
    same = sum(isinstance(verdict, Same) for verdict in decided)
    added = sum(isinstance(verdict, Same) and verdict.but_for_additions for verdict in decided)
    but = f" but for what was added to the contract since, in {added} of them" if added else ""
    lines = [render_verdicts(verdicts), f"same {same} of {len(decided)}, byte for byte{but}"]
    first = next((verdict for verdict in decided if not isinstance(verdict, Same)), None)
    if isinstance(first, Differs):
        recomputed = "nothing" if first.recomputed is None else _decision(first.recomputed)
        lines.append(f"first difference: the ledger says {_decision(first.entry)} The replay says {recomputed}")
    elif first is not None:
        lines.append(f"first that is not the same: {first.entry.kind}, for its inputs are not all there")
    return "\n".join(lines)


def render_what_if(found: WhatIf, plan: Plan, left_out: Sequence[str]) -> str:
    """Entries as long as they are the same, the divergence with its reason, and what cannot be known.

    `left_out` are checks that decided and are not in this plan.
    """
    first = found.course.legs[0].ends
    start_ms = first.expected.cut.now if first else 0
    policy = plan.policy.name if plan.policy else "sequential"
    revision = f", revision {plan.policy.revision}" if plan.policy and plan.policy.revision else ""
    lines = [f"what if it had been judged by policy {policy}{revision}, plan {plan.hash[:12]}:"]
    lines += [f"{policy} does not compare {', '.join(left_out)}"] if left_out else []
    lines += [""]
    lines += [f"{_at(w.recorded.decided_at, start_ms)}  {_short(w.expected)}  same" for w in found.same]
    if found.divergence is not None:
        lines += _divergence(found.divergence, start_ms)
    lines += ["", f"same {len(found.same)} of {found.total}{_until(found, start_ms)}"]
    lines += [f"not known: {sentence}" for sentence in unknowable(found)]
    lines += [f"had it gone on as recorded: {_told(said, start_ms)}" for said in found.later]
    return "\n".join(lines)


def render_standing(view: RolloutView, start_ms: int) -> str:
    """Where a rollout stood at a moment."""
    return f"at {_at(view.looked_at, start_ms).strip()}:\n{render_view(view)}"


def _divergence(said: Said, start_ms: int) -> Iterator[str]:
    yield f"{_at(said.at_ms, start_ms)}  {_short(said.entry) if said.entry else _NOTHING}  DIFFERS"
    yield f"{'':11}replay:    {_why(said)}"
    word = said.instead_of
    if word is None:
        yield f"{'':11}recording: it ends without another word"
        return
    recorded = word.recorded
    yield f"{'':11}recording: {_decision(recorded)} At {_at(recorded.decided_at, start_ms).strip()}."


def _told(said: Said, start_ms: int) -> str:
    what = f"{said.entry.kind}: " if said.entry else ""
    instead = f" where the recording says {said.instead_of.recorded.kind}" if said.instead_of and not said.entry else ""
    return f"{_at(said.at_ms, start_ms).strip()} {what}{_why(said)}{instead}"


def _why(said: Said) -> str:
    if said.entry is not None:
        return said.entry.reason.sentence
    return f"nothing is decided. {said.waits_for or ''}".strip()


def _until(found: WhatIf, start_ms: int) -> str:
    return "" if found.divergence is None else f", until {_at(found.divergence.at_ms, start_ms).strip()}"


def _decision(entry: LedgerEntry) -> str:
    return f"{entry.kind} (stage {entry.stage}, {format_share(entry.share)}): {entry.reason.sentence}"


def _short(entry: LedgerEntry) -> str:
    return f"{entry.kind:<9}{format_share(entry.share):>6}"


_NOTHING = f"{'–':<9}{'':>6}"


def _at(ms: int, start_ms: int) -> str:
    return f"{(ms - start_ms) / 1000:>+9.1f} s"
