"""Ports for servers that are started a moment later."""

from __future__ import annotations

import os
import socket
from itertools import count

_FIRST, _SPAN = 20_000, 1_500
"""Below those that the system gives to outgoing connections (32768 and up): one of them would be gone by then."""

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_next = count(_FIRST + _worker * _SPAN + os.getpid() % 500)


def unused() -> int:
    """Return a port that nobody listens at, and that no other test of this run is given."""
    for port in _next:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is left")
