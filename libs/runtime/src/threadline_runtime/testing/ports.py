"""Free loopback ports for servers that tests start; nothing here listens."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"

__all__ = ["LOOPBACK", "free_port", "free_ports"]


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago. Another process can take it before you do."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1, all free at the same moment."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
