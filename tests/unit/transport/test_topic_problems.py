"""What `ensure_topics` makes of the topics it finds."""

import dataclasses

import pytest

from schemas.topics import Topic, load_topics
from transport.settings import KafkaSettings
from transport.topics import ExistingTopic, problems

SETTINGS = KafkaSettings(bootstrap="broker:9092", telemetry_partitions=4, control_partitions=2)


def as_wanted() -> dict[str, ExistingTopic]:
    """A cluster that has every topic as it must be, and settings of its own beside ours."""
    return {
        spec.name: ExistingTopic(4 if spec.partitions == "telemetry" else 2, {"segment.bytes": "1", **spec.config})
        for spec in load_topics().values()
    }


def found_wrong(name: Topic, topic: ExistingTopic) -> list[str]:
    return list(problems(SETTINGS, load_topics(), as_wanted() | {name: topic}))


def test_topics_as_wanted_are_no_problem() -> None:
    assert list(problems(SETTINGS, load_topics(), as_wanted())) == []


def test_a_topic_that_does_not_show_up_is_named() -> None:
    found = as_wanted()
    del found["services"]
    [line] = problems(SETTINGS, load_topics(), found)
    assert line.startswith("services: ")


def test_control_topics_must_have_the_same_number_of_partitions() -> None:
    wanted = as_wanted()["rollouts"]
    [line] = found_wrong("rollouts", dataclasses.replace(wanted, partitions=3))
    assert line.startswith("rollouts: it has 3 partitions, control_partitions says 2: ")


@pytest.mark.parametrize("partitions", [1, 64])
def test_telemetry_topics_may_have_any_number_of_partitions(partitions: int) -> None:
    wanted = as_wanted()["mcp-requests"]
    assert found_wrong("mcp-requests", dataclasses.replace(wanted, partitions=partitions)) == []


def test_a_topic_on_producer_time_is_told_with_the_command_that_mends_it() -> None:
    wanted = as_wanted()["rollout-decisions"]
    config = {**wanted.config, "message.timestamp.type": "CreateTime"}
    [line] = found_wrong("rollout-decisions", dataclasses.replace(wanted, config=config))
    assert line == (
        "rollout-decisions: message.timestamp.type is CreateTime, davylamp needs LogAppendTime: "
        "kafka-configs.sh --bootstrap-server broker:9092 --alter --topic rollout-decisions "
        "--add-config message.timestamp.type=LogAppendTime"
    )


def test_every_problem_has_a_line() -> None:
    lines = found_wrong("rollouts", ExistingTopic(7, {"cleanup.policy": "delete"}))
    assert len(lines) == 3
    assert all(line.startswith("rollouts: ") for line in lines)
