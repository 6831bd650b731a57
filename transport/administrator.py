"""An admin client whose failures say why a broker turned it away: a certificate, a name, a password."""

import contextlib
from collections.abc import Callable, Iterator

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from transport.settings import KafkaSettings

_TURNED_AWAY = {
    "_SSL": "does ssl_ca hold the authority that signed the broker's certificate, and does that name this host?",
    "_AUTHENTICATION": "are sasl_mechanism, sasl_username and sasl_password right?",
}
"""librdkafka's names of errors that no waiting mends → what to look at."""


class Refusals:
    """librdkafka's `error_cb`: what a broker said when it turned us away. The call that fails knows only that nobody answered."""

    def __init__(self) -> None:
        self._said: str | None = None

    def __call__(self, error: KafkaError) -> None:
        if (look := _TURNED_AWAY.get(error.name())) is not None:
            self._said = f"{error.str()}: {look}"

    def explain(self, error: KafkaError) -> str:
        """What went wrong and, where a broker has turned us away, why."""
        return error.str() if self._said is None else f"{error.str()}: {self._said}"


@contextlib.contextmanager
def administrator(
    settings: KafkaSettings, client_id: str, failure: Callable[[str], Exception]
) -> Iterator[AdminClient]:
    """An admin client for a block. A ``KafkaException`` in it becomes a `failure` that names the cluster and says why."""
    refusals = Refusals()
    quiet = {"log_level": 0}  # what goes wrong is in the error
    with AdminClient(settings.librdkafka(client_id) | quiet | {"error_cb": refusals}) as admin:
        try:
            yield admin
        except KafkaException as error:
            admin.poll(0)  # has `refusals` told
            raise failure(f"Kafka at {settings.bootstrap}: {refusals.explain(error.args[0])}") from error
