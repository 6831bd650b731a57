"""Which events were sent: an exact set of (producer, sequence), small where producers count up. Pure."""

from typing import Self

import numpy as np

from streams.columns import Bools

BLOCK = 1024
"""Sequences a block: one whole number whose bits say which were there."""


def flags(again: int, n: int) -> Bools:
    """What :meth:`Sequences.add` says of ``n`` events, a flag each."""
    octets = np.frombuffer(again.to_bytes((n + 7) // 8, "little"), np.uint8)
    return np.unpackbits(octets, count=n, bitorder="little").astype(np.bool_)


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
