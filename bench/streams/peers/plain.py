"""A plain consumer of confluent-kafka with numpy; `BENCH_RAW=1` takes the messages and does nothing with them."""

import os

import job
from confluent_kafka import Consumer, TopicPartition

_SLICE, _MESSAGES, _BYTES = 100, 2000, 512 * 1024


def polled(consumer: Consumer) -> list:
    """What is there, within a bound of bytes."""
    found = consumer.consume(1, 0.1)
    size = sum(map(len, found))
    while found and size < _BYTES and len(found) < _MESSAGES:
        more = consumer.consume(_SLICE, 0)
        if not more:
            break
        found += more
        size += sum(map(len, more))
    return found


def main() -> None:
    """Read the topic from its start for ever."""
    settings = {
        "bootstrap.servers": job.BOOTSTRAP,
        "group.id": job.GROUP,
        "enable.auto.commit": False,
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 16_384,
        "queued.min.messages": 20_000,
    }
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(job.TOPIC, 0, 0)])
    raw, a_message = "BENCH_RAW" in os.environ, int(os.environ["BENCH_A_MESSAGE"])
    cells, progress = job.Cells(), job.Progress()
    while True:
        messages = polled(consumer)
        if raw:
            n = sum(message.value() is not None for message in messages) * a_message
        else:
            n = job.add_messages(cells, ((m.timestamp()[1], m.value()) for m in messages))
        progress.counted(n, dict if raw else lambda: job.told_by([cells]))


if __name__ == "__main__":
    main()
