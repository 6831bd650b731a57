"""Which events were sent: an exact set of (producer, sequence), small where producers count up. Pure."""

from typing import Self

BLOCK = 1024
"""Sequences a block: one whole number whose bits say which were there."""


class Sequences:
    """Bit by bit, so that a batch is taken at once and stray numbers cost no more than a block each."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], int] = {}

    def add(self, producer: str, first: int, n: int, before: Self) -> int:
        """The producer sent the sequences ``first`` to ``first + n - 1``.

        Returns which of them are here or in ``before`` already: bit ``i`` stands for ``first + i``, 0 for none.
        """
        again, at, end = 0, first, first + n
        while at < end:
            block, within = divmod(at, BLOCK)
            some = min(BLOCK - within, end - at)
            mask, key = ((1 << some) - 1) << within, (producer, block)
            here = self._blocks.get(key, 0)
            again |= ((here | before._blocks.get(key, 0)) & mask) >> within << at - first
            self._blocks[key] = here | mask
            at += some
        return again
