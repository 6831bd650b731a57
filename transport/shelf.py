"""Records of topics put aside on disk, to be read as if they were lists: by place, by slice, as often as one likes."""

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self, overload

import msgspec

from transport.log import Record

_DECODER = msgspec.msgpack.Decoder(tuple[str, int, int, int, bytes | None, bytes | None, dict[str, bytes]])


class Shelved(Sequence[Record]):
    """Records of one topic. Memory holds eight bytes of each; a record is made whenever it is asked for.

    What was put after a slice was taken is not in the slice.
    """

    def __init__(self, file: IO[bytes], places: "array[int]", shown: range) -> None:
        """``places``: where each begins in the file, and where the last one ends."""
        self._file, self._places, self._shown = file, places, shown

    def __len__(self) -> int:
        return len(self._shown)

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self._shown)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "Shelved": ...
    def __getitem__(self, place: int | slice) -> "Record | Shelved":
        found = self._shown[place]
        return Shelved(self._file, self._places, found) if isinstance(found, range) else self._record(found)

    def _record(self, number: int) -> Record:
        begins, ends = self._places[number], self._places[number + 1]
        return Record(*_DECODER.decode(os.pread(self._file.fileno(), ends - begins, begins)))


class Shelf:
    """A nameless file a topic: whoever dies leaves nothing behind. First everything is put, then it is read.

    It takes as much room on the disk as the records have bytes.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: where there is room; by default where the system keeps what is temporary (``TMPDIR``)."""
        self._folder = folder
        self._topics: dict[str, tuple[IO[bytes], array[int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _places in self._topics.values():
            file.close()

    def put(self, record: Record) -> None:
        """The next one of its topic."""
        if record.topic not in self._topics:
            self._topics[record.topic] = TemporaryFile(dir=self._folder), array("Q", [0])  # noqa: SIM115 - closed at the end
        file, places = self._topics[record.topic]
        places.append(places[-1] + file.write(msgspec.msgpack.encode(_row(record))))

    def records(self) -> dict[str, Shelved]:
        """By topic, each in the order in which it was put."""
        for file, _ in self._topics.values():
            file.flush()
        return {name: Shelved(*kept, range(len(kept[1]) - 1)) for name, kept in self._topics.items()}


def _row(record: Record) -> tuple[Any, ...]:
    place = record.topic, record.partition, record.offset, record.timestamp_ms
    return *place, record.key, record.value, dict(record.headers)
