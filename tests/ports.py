"""Ports for servers that are started a moment later."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

_FIRST, _LAST = 20_000, 31_999
"""Below those that the system gives to outgoing connections (32768 and up): one of them would be gone by then."""

_FOLDER = Path(tempfile.gettempdir()) / f"stguard-ports-{os.getuid()}"
_held: list[IO[bytes]] = []
"""A locked file for each port that this process was given; the system lets go of them when the process ends."""


def unused() -> int:
    """Return a port that nobody listens at, and that no other test on this machine is given while this process runs."""
    _FOLDER.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(range(_FIRST, _LAST + 1), 500):
        mark = (_FOLDER / str(port)).open("wb")
        with suppress(OSError), socket.socket() as probe:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _held.append(mark)
            return port
        mark.close()
    raise AssertionError("no port is left")
