"""Logins that were ended before their cookie does, and the open connections of each login."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stguard.app.gateway.stream import Stream

COOKIE_LIVES: Final = 31 * 24 * 3600.0
"""Seconds after which Streamlit takes no login cookie any more."""


class Signouts:
    """Remember which logins were ended. Used on the event loop only, in this process only."""

    def __init__(self) -> None:
        """Start with every login counting."""
        self._ended: Final[dict[bytes, float]] = {}
        self._open: Final[dict[bytes, set[Stream]]] = {}
        self._ending: Final[set[Stream]] = set()

    def ended(self, login: bytes | None) -> bool:
        """Tell whether a login was ended."""
        return login in self._ended

    def opened(self, login: bytes, stream: Stream) -> None:
        """Note an open connection of a login."""
        self._open.setdefault(login, set()).add(stream)

    def closed(self, login: bytes, stream: Stream) -> None:
        """Note that it is closed."""
        streams = self._open.get(login, set())
        streams.discard(stream)
        self._ending.discard(stream)
        if not streams:
            self._open.pop(login, None)

    def end(self, login: bytes) -> None:
        """End a login: its cookie no longer counts, and its connections carry nothing any more, in whichever tab."""
        now = time.monotonic()
        for old in [key for key, until in self._ended.items() if until < now]:
            del self._ended[old]
        self._ended[login] = now + COOKIE_LIVES
        for stream in list(self._open.get(login, ())):
            stream.end()
            self._ending.add(stream)

    def close(self) -> None:
        """Close the connections of ended logins. To be called when the browser has the answer that drops the cookie."""
        while self._ending:
            self._ending.pop().close_soon()
