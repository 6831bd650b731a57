"""Where a port may be opened that knows nobody: without TLS, or without tokens."""

from ipaddress import ip_address

LOOPBACK = "127.0.0.1, ::1, localhost"
"""What to write."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
