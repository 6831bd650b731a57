"""What each kind of entry must say of stage, share and versions. The code is the SDK's, see :mod:`schemas.standing`."""

from davylamp_sdk._entry_rules import RULES, Rule, Step, why_wrong

__all__ = ["RULES", "Rule", "Step", "why_wrong"]
