"""What is put aside on disk comes back to the byte, in the order of a recording."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transport.test_recording import records
from transport.log import Record
from transport.spool import Spool


@settings(max_examples=25)
@given(st.lists(records, unique_by=lambda r: (r.topic, r.partition, r.offset)), st.randoms(use_true_random=False))
def test_however_partitions_are_interleaved_records_come_back_by_topic_partition_and_offset(
    tmp_path_factory: pytest.TempPathFactory, content: list[Record], dice: Random
) -> None:
    ordered = sorted(content, key=lambda r: (r.topic, r.partition, r.offset))
    partitions = {
        (r.topic, r.partition): [s for s in ordered if (s.topic, s.partition) == (r.topic, r.partition)]
        for r in content
    }
    with Spool(tmp_path_factory.mktemp("spool")) as spool:
        while partitions:
            at = dice.choice(sorted(partitions))
            spool.put(partitions[at].pop(0))
            partitions = {at: left for at, left in partitions.items() if left}
        assert list(spool.records()) == ordered
        assert list(spool.records()) == ordered


def test_a_partition_out_of_order_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.put(Record("mcp-requests", 1, 7, 1000, None, b"a"))
        spool.put(Record("mcp-requests", 0, 7, 1000, None, b"a"))
        with pytest.raises(ValueError, match="mcp-requests-1: 7 after 7"):
            spool.put(Record("mcp-requests", 1, 7, 1000, None, b"b"))
