"""Messages one at a time, where streams read many together."""

import numpy as np

from davylamp_sdk._event import RequestEvent
from streams.decoding import BadEvent, Heard, Said
from streams.singles import batch_of
from streams.windows import PartitionFold


def read(fold: PartitionFold, said: Said, offset: int, appended_ms: int) -> BadEvent | None:
    """Fold what the message says to which the log has come. Returns why it is refused, if it is to be kept."""
    heard = Heard(0, batch_of(said) if isinstance(said, RequestEvent) else said)
    return next((why for _, why in fold.read_all([heard], np.array([offset]), np.array([appended_ms]))), None)
