"""The configuration of the local Kafka: one small, quiet node that is broker and controller."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PROPERTIES_FILE = "server.properties"
DATA_FOLDER = "data"
_LOG4J_FILE = "log4j2.properties"

JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:ReservedCodeCacheSize=48m",
    "-XX:MaxDirectMemorySize=64m",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={_LOG4J_FILE}",
    "-Dkafka.logs.dir=.",
    "--enable-native-access=ALL-UNNAMED",
)
"""A node of about 180 MB that answers after 2 s; to be run in its folder."""

_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{{controller}}
controller.listener.names=CONTROLLER
listeners={{listener}}://{HOST}:{{port}},CONTROLLER://{HOST}:{{controller}}
advertised.listeners={{listener}}://{HOST}:{{port}}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{{listener}}:{{listener}}
# Relative, and run in its folder: no path needs the escapes of this format.
log.dirs={DATA_FOLDER}
# Topics are made by `ensure_topics`; a missing one is a mistake to be told.
auto.create.topics.enable=false
# There is no second node to keep a copy.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# Nobody to wait for before the first assignment of a group.
group.initial.rebalance.delay.ms=0
# After a kill the controller takes the node back when its last session has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Small.
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=16777216
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
"""

_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
"""


SCRAM = "SCRAM-SHA-512"
ADMIN = "admin"
_SECURED = f"""\
sasl.enabled.mechanisms={SCRAM}
sasl.mechanism.inter.broker.protocol={SCRAM}
listener.name.{{listener}}.{SCRAM.lower()}.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{{password}}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# The node speaks to its own controller without a name.
super.users=User:{ADMIN};User:ANONYMOUS
"""


KEYSTORE_FILE = "broker.pem"
TRUSTSTORE_FILE = "authority.pem"
_TLS = f"""\
ssl.keystore.type=PEM
ssl.keystore.location={KEYSTORE_FILE}
# Kafka looks whether a broker would trust itself.
ssl.truststore.type=PEM
ssl.truststore.location={TRUSTSTORE_FILE}
"""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the node's certificate for 127.0.0.1, its key (PKCS 8), and the authority that signed it."""

    cert: Path
    key: Path
    ca: Path


def listener_of(users: Mapping[str, str] | None, tls: Tls | None) -> str:
    """The security protocol of the node's clients."""
    encrypted = "PLAINTEXT" if tls is None else "SSL"
    return encrypted if users is None else f"SASL_{encrypted}"


def write_config(
    folder: Path, port: int, controller: int, users: Mapping[str, str] | None = None, tls: Tls | None = None
) -> None:
    """Write the files that the node reads, for its port and its controller's.

    With `users` (name → password, `admin` among them) it asks for a name by SCRAM and lets nobody but `admin` do
    anything that no ACL allows; with `tls` it shows a certificate.
    """
    listener = listener_of(users, tls)
    properties = _PROPERTIES.format(port=port, controller=controller, listener=listener)
    properties += f"inter.broker.listener.name={listener}\n"
    if users is not None:
        properties += _SECURED.format(password=users[ADMIN], listener=listener.lower())
    if tls is not None:
        properties += _TLS
        (folder / KEYSTORE_FILE).write_bytes(tls.key.read_bytes() + tls.cert.read_bytes())
        (folder / TRUSTSTORE_FILE).write_bytes(tls.ca.read_bytes())
    (folder / PROPERTIES_FILE).write_text(properties, encoding="utf-8")
    (folder / _LOG4J_FILE).write_text(_LOG4J, encoding="utf-8")
