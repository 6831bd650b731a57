"""What every service does with a record that it does not understand: name it in its log, and go on with the next."""

import contextlib
import logging
from collections.abc import Iterator

from transport.log import Record

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def skipping(record: Record) -> Iterator[None]:
    """Whatever reading `record` raises in this block is logged, and the record has no effect.

    Any exception, for a record that ended the process would end it again after each restart, and with it the service
    of everybody else's records.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        logger.error(  # noqa: TRY400 - the record's words, not a traceback
            "record skipped",
            extra={"action": "record_skipped", "at": place(record), "why": repr(error)},
        )


def place(record: Record) -> str:
    """``<topic>-<partition>@<offset>``."""
    return f"{record.topic}-{record.partition}@{record.offset}"
