"""The chain rule: which entries of a service's ledger hold. One code for every reader, so that all accept the same ones."""

from davylamp_sdk._entry_rules import why_wrong
from davylamp_sdk._link import Link, Opening
from davylamp_sdk._standing import Standing


def why_void(standing: Standing[Opening], head: str, entry: Link[Opening]) -> str | None:
    """Why an entry would have no effect where `standing` is what the entries up to `head` add up to; None if it would.

    A `rollback` of the newest rollout holds at any head, once; everything else must follow the head. All must be legal
    in their phase (:data:`davylamp_sdk._standing.TRANSITIONS`) and say what follows from the plan
    (:data:`davylamp_sdk._entry_rules.RULES`).
    """
    if entry.id != entry.derived_id():
        return "its id does not follow from its content"
    if entry.kind == "rollback" and entry.rollout != standing.rollout:
        return f"rollout {entry.rollout} is not the newest"
    if entry.kind != "rollback" and entry.after != head:
        return f"it follows {entry.after or 'nothing'}, the head is {head or 'nothing'}"
    if not standing.may_follow(entry.kind):
        frozen = " and frozen" if standing.frozen else ""
        return f"a {entry.kind} is not possible while the service is {standing.phase or 'without a rollout'}{frozen}"
    return _why_malformed(standing, entry) or why_wrong(standing, entry)


def _why_malformed(standing: Standing[Opening], entry: Link[Opening]) -> str | None:
    if (entry.kind == "start") != (entry.opening is not None):
        return "`opening` belongs to `start` and to nothing else"
    if (entry.kind == "approve") != (entry.approves is not None):
        return "`approves` belongs to `approve` and to nothing else"
    expected = standing.rollout + (entry.kind == "start")
    if entry.rollout != expected:
        return f"it is of rollout {entry.rollout}, which should be {expected}"
    return None
