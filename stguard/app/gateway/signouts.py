"""Logins that were ended before their cookie does, and the open connections of each login."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from stguard.shared.table import LocalTable

if TYPE_CHECKING:
    from stguard.app.gateway.stream import Stream
    from stguard.shared.table import Table

COOKIE_LIVES: Final = 31 * 24 * 3600.0
"""Seconds after which Streamlit takes no login cookie any more."""


TOLD: Final = 60.0
"""Seconds for which a browser is told that a sign-in has ended whose open tabs had to load anew."""


class Signouts:
    """Remember which logins were ended. Used on the event loop only.

    Attributes:
        count: logins that were ended in this process so far, by signing out or by another sign-in.
    """

    def __init__(self) -> None:
        """Start with every login counting, as far as this process knows."""
        self._ended: Table = LocalTable()
        self._open: Final[dict[bytes, set[Stream]]] = {}
        self._ending: Final[set[Stream]] = set()
        self._told: Final[dict[bytes, float]] = {}
        self.count = 0

    def share(self, ended: Table) -> None:
        """Take a table that other replicas have too; what was ended before is put there."""
        if ended is self._ended:
            return
        loop = asyncio.get_running_loop()
        for login in self._ended.items():
            ended.put(login, b"", lives=COOKIE_LIVES)
        self._ended = ended

        def heard(login: str, value: bytes | None) -> None:  # in a thread of the link's
            if value is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._heard, login)

        ended.listen(heard)

    def _heard(self, login: str) -> None:
        """Close the connections of a login that was ended at another replica, where the browser has its answer."""
        self._cut(bytes.fromhex(login))
        self.close()

    def ended(self, login: bytes | None) -> bool:
        """Tell whether a login was ended."""
        return login is not None and self._ended.get(login.hex()) is not None

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
        self.count += 1
        self._ended.put(login.hex(), b"", lives=COOKIE_LIVES)
        self._cut(login)

    def _cut(self, login: bytes) -> None:
        for stream in list(self._open.get(login, ())):
            stream.end()
            self._ending.add(stream)

    def ended_in(self, browser: bytes | None) -> bool:
        """Tell whether a sign-in has just ended under the eyes of somebody: in an open tab that didn't sign out."""
        return browser is not None and self._told.get(browser, 0.0) > time.monotonic()

    def close(self) -> None:
        """Close the connections of ended logins. To be called when the browser has the answer that drops the cookie."""
        now = time.monotonic()
        for old in [key for key, until in self._told.items() if until < now]:
            del self._told[old]
        while self._ending:
            stream = self._ending.pop()
            if stream.visitor.browser is not None and not stream.leaving:
                self._told[stream.visitor.browser] = now + TOLD
            stream.close_soon()
