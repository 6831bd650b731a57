"""One record that cannot be read stops nobody."""

import asyncio

import pytest

from transport.log import Record
from transport.skipping import skipping

RECORD = Record("rollout-decisions", 2, 17, 0, None, b"?")


@pytest.mark.parametrize("error", [ValueError("not json"), KeyError("v"), ArithmeticError("overflow")])
def test_whatever_a_record_raises_is_named_with_its_place_and_has_no_effect(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[Record] = []
    for record in (RECORD, RECORD):
        with skipping(record):
            if not done:
                done.append(record)
                raise error
            done.append(record)
    assert len(done) == 2
    (told,) = caplog.records
    assert (told.levelname, told.__dict__["action"]) == ("ERROR", "record_skipped")
    assert (told.__dict__["at"], told.__dict__["why"]) == ("rollout-decisions-2@17", repr(error))


@pytest.mark.parametrize("end", [asyncio.CancelledError, KeyboardInterrupt])
def test_the_end_of_the_process_is_no_records_fault(end: type[BaseException]) -> None:
    with pytest.raises(end), skipping(RECORD):
        raise end
