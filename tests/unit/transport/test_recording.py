"""A recording gives back what was put into it, to the byte; and says where and why it cannot."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import SERVICE, plan
from transport.log import Record
from transport.recording import Header, RecordingFileError, open_recording, write_recording

HEADER = Header(davylamp="0.1.0", service="orders", rollout=3, plan=plan(), definition=SERVICE)
RECORDS = [
    Record("services", 0, 4, 1000, b"orders", b'{"a": 1}'),
    Record("services", 0, 9, 1000, b"orders", None),
    Record("cohort-windows", 0, 2, 1200, b"\xff\x00", b"\xff", {"h": b"\x00"}),
]

records = st.builds(
    Record,
    st.sampled_from(["services", "cohort-windows"]),
    st.integers(0, 3),
    st.integers(0, 2**40),
    st.integers(0, 2**41),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=60) | st.text(max_size=20).map(str.encode),
    st.dictionaries(st.text(max_size=5).filter(str.isprintable), st.binary(max_size=9), max_size=2),
)


def read(path: Path) -> list[Record]:
    with path.open("rb") as file:
        return list(open_recording(file).records)


@given(st.lists(records, unique_by=lambda r: (r.topic, r.partition, r.offset)))
def test_what_was_recorded_comes_back_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, content: list[Record]
) -> None:
    file = tmp_path_factory.mktemp("recording") / "r.gz"
    ordered = sorted(content, key=lambda r: (r.topic, r.partition, r.offset))
    assert write_recording(file, HEADER, ordered) == len(ordered)
    assert read(file) == ordered


def test_the_header_comes_back_and_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.gz", tmp_path / "other.gz"
    for file in (one, other):
        write_recording(file, HEADER, RECORDS)
    assert one.read_bytes() == other.read_bytes()
    with one.open("rb") as content:
        assert open_recording(content).header == HEADER


def test_a_recording_that_could_not_be_made_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Record:
        raise RuntimeError("the log is away")

    with pytest.raises(RuntimeError, match="away"):
        write_recording(tmp_path / "r.gz", HEADER, (broken() for _ in range(1)))
    assert not list(tmp_path.iterdir())


def lines(*changed: bytes | None) -> bytes:
    """A recording with lines put in the place of others, None for none."""
    return b"".join(line + b"\n" for line in changed if line is not None)


def whole() -> list[bytes]:
    def line(record: Record) -> bytes:
        content = {"topic": record.topic, "partition": 0, "offset": record.offset, "timestamp_ms": 1, "value": "{}"}
        return json.dumps(content).encode()

    return [HEADER.dump(), *map(line, RECORDS), b'{"end": 3}']


Damage = Callable[[list[bytes]], bytes]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: b"", "the file is empty: make a recording with davylamp record"),
        (lambda all_: lines(b'{"a": 1}', *all_[1:]), "line 1: this is no header of a recording"),
        (
            lambda all_: lines(all_[0].replace(b'"v":1', b'"v":2'), *all_[1:]),
            "line 1: format 2 was written by davylamp 0.1.0, and this one reads up to 1: upgrade davylamp",
        ),
        (lambda all_: lines(all_[0].replace(b'"rollout":3', b'"rollout":"x"')), "line 1: the header is not .* rollout"),
        (lambda all_: lines(*all_[:2], b"{", *all_[3:]), "line 3: no JSON"),
        (lambda all_: lines(*all_[:2], b"[1]", *all_[3:]), "line 3: no JSON object"),
        (lambda all_: lines(*all_[:2], b'{"topic": "x"}'), "line 3: the record is not understood: partition"),
        (
            lambda all_: lines(*all_[:3], all_[3].replace(b'"value"', b'"value_base64"'), all_[4]),
            "line 4: not base64",
        ),
        (lambda all_: lines(*all_[:2], all_[1], *all_[3:]), "line 3: offset 4 of services comes too late"),
        (lambda all_: lines(*all_[:-1]), "line 4: the file ends here without its last line: it was cut off"),
        (lambda all_: lines(*all_, all_[-1]), "line 6: something follows the last line"),
        (lambda all_: lines(*all_[:2], all_[-1]), "line 3: 3 records were written and 1 are there"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_to_do(damage: Damage, words: str, tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    file.write_bytes(gzip.compress(damage(whole())))
    with pytest.raises(RecordingFileError, match=words):
        read(file)


def test_a_file_that_was_cut_off_anywhere_is_told_from_a_whole_one(tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    write_recording(file, HEADER, RECORDS)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(RecordingFileError, match=r"cut off|is empty|not compressed"):
            read(file)


def test_what_is_no_gzip_and_what_is_damaged_inside_are_told(tmp_path: Path) -> None:
    file = tmp_path / "r.gz"
    file.write_bytes(b"service: orders\n")
    with pytest.raises(RecordingFileError, match="line 1: the file is not compressed by gzip"):
        read(file)
    write_recording(file, HEADER, RECORDS)
    content = bytearray(file.read_bytes())
    content[-6] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(RecordingFileError, match="damaged"):
        read(file)


def test_what_a_newer_writer_of_this_format_added_is_passed_over(tmp_path: Path) -> None:
    file, all_ = tmp_path / "r.gz", whole()
    all_[0] = all_[0].replace(b"{", b'{"later": 1,', 1)
    all_[1] = all_[1].replace(b"{", b'{"later": 1,', 1)
    file.write_bytes(gzip.compress(lines(*all_)))
    assert len(read(file)) == 3
