"""What lies between one replica and the engine: it can be cut, slowed down, and led to another engine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Wire:
    """Be a proxy on loopback for one replica, in threads of its own.

    Attributes:
        port: where the replica connects.
        target: the port of the engine; changing it leads later connections elsewhere.
        drip: seconds between two bytes of an answer; 0 for answers at once.
        delay: seconds before each piece of an answer.
        sent: how many pieces the replica has sent.
        bytes: how many bytes went either way.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.drip = 0.0
        self.delay = 0.0
        self.sent = 0
        self.bytes = 0
        self._is_cut = False
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listening.close()
        self.cut()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Break every connection, and take no other."""
        self._is_cut = True
        self._break()

    def mend(self) -> None:
        self._is_cut = False

    def lead_to(self, target: int) -> None:
        """Break every connection; later ones reach another engine, as after a fail-over."""
        self.target = target
        self._break()

    def _break(self) -> None:
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            if self._is_cut:
                here.close()
                continue
            try:
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                here.close()
                continue
            self._open |= {here, there}
            for source, sink, answers in ((here, there, False), (there, here, True)):
                threading.Thread(target=self._carry, args=(source, sink), kwargs={"answers": answers}, daemon=True)\
                    .start()  # fmt: skip

    def _carry(self, source: socket.socket, sink: socket.socket, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.bytes += len(data)
                if not answers:
                    self.sent += 1
                elif self.delay:
                    time.sleep(self.delay)
                if answers and self.drip:
                    for number in range(len(data)):
                        time.sleep(self.drip)
                        sink.sendall(data[number : number + 1])
                else:
                    sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()
        self._open.discard(source)
