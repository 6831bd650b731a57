"""What was told outlives a crash, whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from alerts.memory import Book, MemoryFile, OpenCause, Told

OPEN = OpenCause(
    kind="blind", severity="page", service="orders", rollout=1, sentence="It is so.", since_ms=1, told_ms=2
)
TOLD = {"log": Told(settled_ms=5, done={"f": 6}, open={"k": OPEN}), "mail": Told(settled_ms=7)}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = MemoryFile(tmp_path / "new" / "told.json")
    file.save(TOLD)
    assert file.load() == Book(receivers=TOLD)
    file.save({})
    assert MemoryFile(tmp_path / "new" / "told.json").load() == Book()


def test_without_a_file_nothing_was_told(tmp_path: Path) -> None:
    assert MemoryFile(tmp_path / "told.json").load() == Book()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"v": 2}', b'{"receivers": {"log": {}}}', b"\xff\x00"])
def test_a_file_that_cannot_be_read_is_named_and_counts_as_none(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "told.json"
    path.write_bytes(content)
    assert MemoryFile(path).load() == Book()
    assert [getattr(r, "path", None) for r in caplog.records] == [str(path)]


def test_a_newer_versions_file_is_read_for_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_text('{"v": 1, "more": 1, "receivers": {"log": {"settled_ms": 5, "new": 2}}}', encoding="utf-8")
    assert MemoryFile(path).load().receivers == {"log": Told(settled_ms=5)}


def test_a_crash_before_the_move_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = MemoryFile(tmp_path / "told.json")
    file.save(TOLD)

    def crash(*_: object) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="power"):
        file.save({})
    assert file.load() == Book(receivers=TOLD)


def test_file_and_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
    MemoryFile(tmp_path / "told.json").save(TOLD)
    assert synced == [False, True]


def test_an_open_cause_becomes_a_cause_again() -> None:
    cause = OPEN.cause("orders/1/blind", -3.5)
    assert (cause.key, cause.kind, cause.since_s, cause.sentence) == ("orders/1/blind", "blind", -3.5, "It is so.")
