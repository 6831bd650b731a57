"""Free TCP ports on loopback, for stacks that must not collide with anything."""

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """`count` different ports that nobody listens on now. Another process may still take one before you do."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
