"""What outlives a router on its disk."""

import hashlib
import json
from pathlib import Path

import pytest

from davylamp_sdk._message import canonical_json
from router.disk import Acknowledged, Disk
from router.errors import DiskError
from router.fold import Fold
from router.latch import Latches
from router.proxies import Known
from schemas.decisions import EntryKind, LedgerEntry
from schemas.ledger import Accepted, Ledger, ServiceLedger
from tests.builders import SERVICE, entry, opening
from transport.log import Record

START = entry("start")
ROLLBACK = entry("rollback", START)


def fold() -> Fold:
    made = Fold()
    for topic, value in (("services", SERVICE.dump()), ("rollout-decisions", START.dump())):
        made, _ = made.read(Record(topic, 0, 6, 1, b"orders", value))
    return made


def test_latches_are_read_back(tmp_path: Path) -> None:
    Disk(tmp_path / "new").latch(Latches({"orders": ROLLBACK}))
    assert Disk(tmp_path / "new").latches().entries == {"orders": ROLLBACK}
    Disk(tmp_path / "new").latch(Latches())
    assert not Disk(tmp_path / "new").latches()


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert not Disk(tmp_path / "none").latches()
    assert Disk(tmp_path / "none").acknowledged() == Fold()


def test_latches_that_are_not_understood_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "latches.json").write_text("{")
    with pytest.raises(DiskError, match=r"latches\.json"):
        Disk(tmp_path).latches()


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    Disk(tmp_path).latch(Latches({"orders": ROLLBACK}))
    (tmp_path / "latches.new").write_text("half")
    assert Disk(tmp_path).latches().entries == {"orders": ROLLBACK}


def test_a_disk_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="file"):
        Disk(tmp_path / "file").latch(Latches({"orders": ROLLBACK}))


def test_acknowledged_routes_come_back_as_they_were(tmp_path: Path) -> None:
    Disk(tmp_path).keep(Acknowledged.of(fold(), "orders"))
    kept = Disk(tmp_path).acknowledged()
    assert kept.snapshot == fold().snapshot
    assert kept.ledger == fold().ledger


def years(last: EntryKind) -> ServiceLedger:
    """Of releases that went well but for some, and then one entry more."""
    chain = ServiceLedger()
    kinds: list[EntryKind] = []
    for number in range(12):
        kinds += ["start", "proceed", *(["rollback"] if number % 4 == 2 else ["complete", "retire"])]  # type: ignore[list-item]
    for offset, kind in enumerate([*kinds, last]):
        new = opening(f"v{chain.standing.rollout + 2}") if kind == "start" else None
        chain, result = chain.read(entry(kind, chain.head, opening=new), offset)
        assert isinstance(result, Accepted), result
    return chain


@pytest.mark.parametrize("last", ["start", "freeze"])
def test_of_a_ledger_of_years_only_what_the_route_follows_from_is_kept(tmp_path: Path, last: EntryKind) -> None:
    chain = years(last)
    known = Fold(ledger=Ledger({"orders": chain}), services={"orders": SERVICE})
    Disk(tmp_path).keep(Acknowledged.of(known, "orders"))
    kept = Disk(tmp_path).acknowledged()
    found = kept.ledger.of("orders")
    assert found.standing.rejected == {"v4", "v8", "v12"}
    assert (found.standing, found.head, found.offset) == (chain.standing, chain.head, chain.offset)
    assert kept.snapshot.routes == known.snapshot.routes
    assert (len(found.entries), len(chain.entries)) == (5, 46)


def written_by_a_newer_version(entry: LedgerEntry) -> LedgerEntry:
    """With a field that nobody here knows, which its id follows from."""
    content = {**json.loads(entry.dump()), "cost": 3}
    del content["id"]
    id_ = hashlib.blake2b(canonical_json(content), digest_size=16).hexdigest()
    return LedgerEntry.read(canonical_json({**content, "id": id_}))


def test_what_a_newer_version_wrote_is_kept_as_it_was_written_and_still_in_force(tmp_path: Path) -> None:
    start = written_by_a_newer_version(START)
    back = written_by_a_newer_version(entry("rollback", start))
    chain, _ = ServiceLedger().read(start, 6)
    known = Fold(ledger=Ledger({"orders": chain}), services={"orders": SERVICE})
    Disk(tmp_path).keep(Acknowledged.of(known, "orders"))
    Disk(tmp_path).latch(Latches({"orders": back}))
    kept, latches = Disk(tmp_path).acknowledged(), Disk(tmp_path).latches()
    assert [e.dump() for e in kept.ledger.of("orders").entries] == [start.dump()]
    assert b'"cost":3' in latches.entries["orders"].dump()
    assert latches.over(kept.ledger).of("orders").head == back


def test_a_latch_of_the_form_before_is_still_in_force(tmp_path: Path) -> None:
    (tmp_path / "latches.json").write_bytes(b'{"entries":[' + ROLLBACK.dump() + b"]}")
    assert Disk(tmp_path).latches().entries == {"orders": ROLLBACK}


def test_services_that_are_gone_and_files_that_are_torn_are_forgotten(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep(Acknowledged.of(fold(), "orders"))
    (tmp_path / "routes" / "billing.json").write_text("{")
    assert disk.acknowledged().services == {"orders": SERVICE}
    disk.only(frozenset({"billing"}))
    assert disk.acknowledged() == Fold()


def test_the_proxies_come_back_as_they_were(tmp_path: Path) -> None:
    known = Known(names=("lb0", "lb1"), commands={"0": 5})
    Disk(tmp_path).know(known)
    assert Disk(tmp_path).known() == known


def test_proxies_that_are_not_understood_are_none(tmp_path: Path) -> None:
    (tmp_path / "proxies.json").write_text("{")
    assert Disk(tmp_path).known() == Known()
