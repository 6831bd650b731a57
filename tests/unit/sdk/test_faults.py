"""Faults: counted always, logged once a kind, never raised."""

import logging

import pytest

from davylamp_sdk._faults import Faults


def test_the_first_of_each_kind_is_logged_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    for _ in range(3):
        faults.add("sink_failed", error=RuntimeError("no"))
        faults.add("undelivered", 10)
    assert faults.failed == 33
    assert [record.__dict__["action"] for record in caplog.records] == [
        "telemetry_sink_failed",
        "telemetry_undelivered",
    ]


def test_a_mention_is_logged_and_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    faults.mention("dropped")
    assert faults.failed == 0
    assert "the oldest are dropped" in caplog.text


def test_what_is_raised_under_guard_goes_no_further() -> None:
    faults = Faults()
    with faults.guarded("request_unreadable"):
        raise LookupError("unreadable")
    assert faults.failed == 1


def test_a_guard_lets_cancellation_and_exit_through() -> None:
    faults = Faults()
    with pytest.raises(KeyboardInterrupt), faults.guarded("request_unreadable"):
        raise KeyboardInterrupt
    assert faults.failed == 0


def test_a_log_handler_that_raises_is_nobodys_problem() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    handler, logger, faults = Broken(), logging.getLogger("davylamp_sdk"), Faults()
    logger.addHandler(handler)
    try:
        faults.add("sink_failed")
    finally:
        logger.removeHandler(handler)
    assert faults.failed == 1
