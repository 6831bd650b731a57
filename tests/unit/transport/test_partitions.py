"""murmur2 against Kafka's own vectors and against librdkafka, which the SDK's clients use."""

import ctypes
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitions import murmur2, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2: Java's signed integers.
VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def librdkafka() -> ctypes.CDLL:
    """The library inside confluent-kafka's wheel (auditwheel's folder on Linux, delocate's on macOS)."""
    spec = find_spec("confluent_kafka")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    found = [*folder.parent.glob("confluent_kafka.libs/librdkafka*"), *folder.glob(".dylibs/librdkafka*")]
    if not found:
        pytest.skip("confluent-kafka was built against the system's librdkafka")
    return ctypes.CDLL(str(found[0]))


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = librdkafka()
    library.rd_kafka_msg_partitioner_murmur2.restype = ctypes.c_int32
    library.rd_kafka_msg_partitioner_murmur2.argtypes = [
        ctypes.c_void_p,  # the topic, which this partitioner does not look at
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library


@pytest.mark.parametrize(("data", "signed"), VECTORS.items())
def test_murmur2_is_kafkas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 100])
def test_a_partition_is_the_positive_hash_modulo_their_number(partitions: int) -> None:
    for data, signed in VECTORS.items():
        assert partition_of(data.decode(), partitions) == (signed & 0x7FFFFFFF) % partitions


@given(service=st.text(min_size=1, max_size=200), partitions=st.integers(1, 10_000))
def test_a_partition_is_the_one_librdkafka_would_choose(library: ctypes.CDLL, service: str, partitions: int) -> None:
    key = service.encode()
    theirs = library.rd_kafka_msg_partitioner_murmur2(None, key, len(key), partitions, None, None)
    assert partition_of(service, partitions) == theirs


@given(service=st.text(max_size=50), partitions=st.integers(1, 10_000))
def test_a_partition_exists(service: str, partitions: int) -> None:
    assert 0 <= partition_of(service, partitions) < partitions
