"""`python -m alerts`: the composition root."""

import asyncio
import sys
from collections.abc import Sequence

from alerts import metrics
from alerts.agent import TOPICS, Alerts
from alerts.cause import Severity
from alerts.delivery import EVERYTHING, Post
from alerts.heartbeat import Heartbeat, HttpWatchman
from alerts.memory import MemoryFile
from alerts.receivers import AppriseReceiver, LogReceiver, Receiver
from alerts.settings import AlertsSettings
from alerts.unreadable import WINDOWS
from alerts.webhook import WebhookReceiver
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader
from transport.log import LogError
from transport.metrics_port import open_metrics
from transport.process import loading_settings, run_together, run_until_signalled, start_logging
from transport.settings import KafkaSettings, SettingsError

Told = tuple[Receiver, frozenset[Severity]]


def receivers(settings: AlertsSettings) -> list[Told]:
    """The log, and everybody who is set. Raises :class:`transport.settings.SettingsError`."""
    found: list[Told] = [(LogReceiver(), EVERYTHING)]
    for told in settings.receivers:
        try:
            found.append((AppriseReceiver(told.label, told.url.get_secret_value()), told.severities))
        except ValueError as error:
            raise SettingsError(f"[alerts] {error}") from error
    for hook in settings.webhooks:
        receiver = WebhookReceiver(hook.label, hook.url.get_secret_value(), hook.key, SystemClock())
        found.append((receiver, hook.severities))
    return found


async def serve(kafka: KafkaSettings, settings: AlertsSettings, told: Sequence[Told]) -> None:
    """Follow the log until told to stop."""
    clock = SystemClock()
    post = Post(told, MemoryFile(settings.data_folder / "told.json"), clock)
    reader = KafkaReader(kafka, "alerts", TOPICS)
    since_ms = clock.now_ms() - round(2000 * settings.unreadable_s)  # enough to know what lasts
    windows = KafkaReader(kafka, "alerts-windows", [WINDOWS], since_ms=since_ms)
    status_url = str(settings.status_url) if settings.status_url else None
    try:
        agent = Alerts(reader, clock, post, settings.limits, status_url, windows=windows)
        open_metrics(settings, "alerts", lambda: metrics.render(agent))
        works = [agent.run()]
        if settings.heartbeat_url is not None:
            watchman = HttpWatchman(settings.heartbeat_url.get_secret_value())
            works.append(Heartbeat(watchman, agent.trouble, settings.heartbeat_interval_s).run())
        await run_until_signalled(run_together(*works))
    finally:
        await asyncio.gather(reader.close(), windows.close())


def main() -> None:
    """Run alerts until they are told to stop."""
    start_logging()
    with loading_settings():
        kafka, settings = KafkaSettings.load("kafka"), AlertsSettings.load("alerts")
        told = receivers(settings)
    try:
        asyncio.run(serve(kafka, settings, told))
    except (LogError, SettingsError) as error:
        sys.exit(f"alerts: {error}")


if __name__ == "__main__":
    main()
