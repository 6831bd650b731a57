"""A service's traffic from the log's own windows: what `davylamp plan --from` and `start` measure it by."""

import asyncio
import logging
import time
from collections.abc import Sequence

from cli.client import Client
from cli.plan_traffic import Traffic, measured_traffic
from cli.terminal import EXIT_WRONG, ask, fail
from schemas.decisions import LedgerEntry
from schemas.windows import CohortWindow
from transport.log import LogError
from transport.settings import SettingsError

logger = logging.getLogger(__name__)

RECENT_MS = 3_600_000
"""How far back `start` looks."""
HURRY_S = 5.0
"""So long `start` waits for the log: it has started by then, and warns if it can."""


def traffic_of_rollout(client: Client, service: str, rollout: int, timeout_s: float) -> Traffic:
    """What the sessions of a rollout were like. Ends the command where that cannot be known."""
    entries = [LedgerEntry.model_validate(e, extra="ignore") for e in ask(client.history, service)]
    own = [entry for entry in entries if entry.rollout == rollout]
    opening = own[0].opening if own else None
    if opening is None:
        fail(f"{service} has had no rollout {rollout}.")
    try:
        windows = asyncio.run(asyncio.wait_for(read_windows(service, own[0].cut.now), timeout_s))
    except TimeoutError:
        fail(f"The windows were not read within {timeout_s:g} s: is Kafka there?")
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    except LogError as error:
        fail(str(error))
    found = measured_traffic(_of(windows, opening.service.telemetry), own[0].baseline, rollout)
    if found is None:
        fail(f"No window of rollout {rollout} of {service} holds a session: they may have expired.")
    return found


def recent_traffic(client: Client, service: str) -> Traffic | None:
    """What the last hour was like, on the topic that the API says counts; None where it cannot be known soon."""
    since_ms = time.time_ns() // 1_000_000 - RECENT_MS
    try:
        telemetry = client.rollout(service)["telemetry"]
        windows = asyncio.run(asyncio.wait_for(read_windows(service, since_ms), HURRY_S))
    except Exception:
        logger.debug(
            "recent traffic is not known", extra={"action": "traffic_unknown", "service": service}, exc_info=True
        )
        return None
    return measured_traffic(_of(windows, telemetry), None, None)


def _of(windows: Sequence[CohortWindow], telemetry: str | None) -> Sequence[CohortWindow]:
    """A service that has moved to another telemetry topic, or is heard on one by mistake, has windows of several."""
    return [window for window in windows if window.source == telemetry]


async def read_windows(service: str, since_ms: int) -> Sequence[CohortWindow]:
    """The service's windows that were written since then, up to where the log ends now. Raises what the log raises."""
    from schemas.partitions import partition_of
    from transport.kafka_log import KafkaReader
    from transport.settings import KafkaSettings

    kafka = KafkaSettings.load("kafka")
    partition, found = partition_of(service, kafka.control_partitions), []
    reader = KafkaReader(kafka, "davylamp-plan", ("cohort-windows",), since_ms=since_ms)
    try:
        async for batch in reader.batches():
            values = (r.value for r in batch.records if r.partition == partition and r.value)
            windows = (CohortWindow.read(value) for value in values)
            found += [window for window in windows if window.final and window.service == service]
            if batch.caught_up:
                break
    finally:
        await reader.close()
    return found
