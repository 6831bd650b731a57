"""What is not in the cell it asked for, by name: the sum of all windows is what was acknowledged less these."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since this worker started; each counts messages or events of the partitions it owned."""

    duplicates: int = 0
    """Events dropped: the same window, or the one before, was already sent the same (producer, sequence)."""
    folded: int = 0
    """What a cap put under ``-`` or ``_other``, or left out, in windows that have closed."""
    malformed: int = 0
    """Messages that nobody can read or count: they are in the dead-letter topic, but for the `unkept`."""
    unkept: int = 0
    """Of the malformed those that came in a flood: counted, named in their windows, and not in the dead-letter topic."""
    holes: int = 0
    """Messages that retention removed before anybody read them."""
