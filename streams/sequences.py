"""Which events were sent: an exact set of (producer, sequence), small where producers count up. Pure."""

from collections.abc import Iterator

BLOCK = 1024
"""Sequences a block: one whole number whose bits say which were there."""


class Sequences:
    """Bit by bit, so that a batch is taken at once and stray numbers cost no more than a block each."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], int] = {}

    def add(self, producer: str, first: int, n: int) -> None:
        """The producer sent the sequences ``first`` to ``first + n - 1``."""
        for block, mask, _, _ in _spans(first, n):
            key = producer, block
            self._blocks[key] = self._blocks.get(key, 0) | mask

    def among(self, producer: str, first: int, n: int) -> int:
        """Which of these were sent: bit ``i`` stands for ``first + i``; 0 for none."""
        found = 0
        for block, mask, within, ahead in _spans(first, n):
            sent = self._blocks.get((producer, block), 0) & mask
            found |= sent >> within << ahead
        return found


def _spans(first: int, n: int) -> Iterator[tuple[int, int, int, int]]:
    """Block by block: its number, the bits in it, where these begin in it, and how many came in blocks before."""
    for block in range(first // BLOCK, (first + n - 1) // BLOCK + 1):
        low, high = max(first, block * BLOCK), min(first + n, (block + 1) * BLOCK)
        within = low - block * BLOCK
        yield block, ((1 << high - low) - 1) << within, within, low - first
