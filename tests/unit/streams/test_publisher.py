"""What streams say to the log, as records."""

import dataclasses

from schemas.partitions import partition_of
from schemas.windows import Cell, CohortWindow
from streams.decoding import BadEvent, Tick, decode
from streams.encoding import PART_BYTES
from streams.outbox import MemoryOutbox, Outgoing
from streams.publisher import Publisher
from tests.telemetry import record


def window(service: str, *cells: Cell) -> CohortWindow:
    return CohortWindow(
        service=service,
        source="mcp-requests",
        partition=1,
        partitions=4,
        window_start=5000,
        window_ms=1000,
        first_offset=7,
        through=9,
        clock_ms=7,
        final=True,
        instance="w1",
        cells=cells,
    )


async def test_a_window_goes_to_the_partition_of_its_service_under_its_key() -> None:
    outbox = MemoryOutbox()
    services = "orders", "stock", "mail"
    await Publisher(outbox, 3).windows(map(window, services))
    assert outbox.records == [
        Outgoing("cohort-windows", partition_of(s, 3), f"{s}|5000|1|final".encode(), window(s).dump()) for s in services
    ]


async def test_a_partial_goes_there_as_well_under_its_workers_key() -> None:
    outbox = MemoryOutbox()
    said = window("orders").model_copy(update={"final": False})
    await Publisher(outbox, 3).partials([said.model_dump(mode="json")])
    assert outbox.records == [
        Outgoing("cohort-windows", partition_of("orders", 3), b"orders|5000|1|w1", said.dump()),
    ]


async def test_a_large_window_goes_in_parts_under_one_key() -> None:
    outbox = MemoryOutbox()
    full = dict.fromkeys(range(2048), 10**9)
    await Publisher(outbox, 3).windows(
        [window("orders", *(Cell(version=f"v{i}", label="-", histogram=full) for i in range(40)))]
    )
    assert {(r.partition, r.key) for r in outbox.records} == {(partition_of("orders", 3), b"orders|5000|1|final")}
    parts = [CohortWindow.read(r.value or b"") for r in outbox.records]
    assert [p.part for p in parts] == list(range(1, parts[0].parts + 1))
    assert sum(len(r.value or b"") for r in outbox.records) > PART_BYTES


async def test_a_dead_letter_is_the_record_as_it_came_with_its_reason_and_place() -> None:
    outbox = MemoryOutbox()
    await Publisher(outbox, 3).dead_letter(record(41, 1000, b"{", partition=2), BadEvent("not_json", "EOF – at 1"))
    assert outbox.records == [
        Outgoing(
            "mcp-requests.dlq",
            None,
            b"orders-1/1",
            b"{",
            {
                "reason": "not_json: EOF – at 1".encode(),
                "topic": b"mcp-requests",
                "partition": b"2",
                "offset": b"41",
            },
        )
    ]


async def test_a_dead_letter_stays_within_what_the_log_takes() -> None:
    outbox = MemoryOutbox()
    huge = record(41, 1000, b"[" * 2_000_000)
    bad = BadEvent("invalid", "metrics." + "x" * 2_000_000)
    await Publisher(outbox, 3).dead_letter(dataclasses.replace(huge, key=b"k" * 2_000_000), bad)
    (sent,) = outbox.records
    assert sent.headers["reason"].startswith(b"invalid: metrics.xxx")
    assert sent.headers["original_size"] == b"2000000"
    assert len(sent.key or b"") + len(sent.value or b"") + sum(map(len, sent.headers.values())) < 1_000_000


async def test_a_tick_reads_back_as_one() -> None:
    outbox = MemoryOutbox()
    await Publisher(outbox, 3).tick("mcp-requests", 2)
    (sent,) = outbox.records
    assert (sent.topic, sent.partition) == ("mcp-requests", 2)
    assert decode(record(0, 1, sent.value, headers=sent.headers)) == Tick()
