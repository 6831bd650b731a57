"""Records of a topic put aside on disk as they come, to be had again in the order of a recording. Memory holds one of them."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from transport.log import Record
from transport.recording import from_line, to_line


class Spool:
    """A file for each partition, for a reader gives each one's records in order and the partitions interleaved.

    First everything is put, then it is read, as often as one likes. Whoever makes one ends it, and removes the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, int], gzip.GzipFile] = {}
        self._reached: dict[tuple[str, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def put(self, record: Record) -> None:
        """The next one of its partition. Raises ``ValueError`` unless its offset is larger than that of the one before."""
        at = record.topic, record.partition
        if record.offset <= self._reached.get(at, -1):
            raise ValueError(f"{record.topic}-{record.partition}: {record.offset} after {self._reached[at]}")
        self._reached[at] = record.offset
        if at not in self._files:
            self._files[at] = gzip.GzipFile(self._path(len(self._files)), "wb", compresslevel=1)
        self._files[at].write(to_line(record))

    def records(self) -> Iterator[Record]:
        """By topic, partition and offset."""
        paths = {at: self._path(number) for number, at in enumerate(self._files)}
        self.__exit__()
        for at in sorted(paths):
            with gzip.open(paths[at]) as lines:
                yield from map(from_line, lines)

    def _path(self, number: int) -> Path:
        """Numbered, for a topic's name is anybody's."""
        return self._folder / f"{number}.gz"
