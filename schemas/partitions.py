"""Where a service's control messages lie. The code is the SDK's: a server reads the partition of its own service."""

from davylamp_sdk._partitions import murmur2, partition_of

__all__ = ["murmur2", "partition_of"]
