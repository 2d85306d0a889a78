"""Until when the logins of somebody have ended: in one process, or known to every replica. Nothing waits."""

from __future__ import annotations

import threading
from typing import Final, Protocol

LIMIT: Final = 200_000
"""Most people that are remembered."""


class Moments(Protocol):
    """Remember until which moment the logins of somebody have ended; the latest counts."""

    def end(self, who: str, moment: float) -> None:
        """End the logins of somebody that were made until a moment, in Unix seconds."""
        ...

    def moment(self, who: str) -> float | None:
        """Return until which moment the logins of somebody have ended, in Unix seconds; None when none have."""
        ...


class LocalMoments:
    """Be moments of this process alone."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        """Start empty; of more than `limit` people the one who was ended longest ago is forgotten first."""
        self._limit: Final = limit
        self._lock: Final = threading.Lock()
        self._known: Final[dict[str, float]] = {}

    def end(self, who: str, moment: float) -> None:
        """End the logins of somebody that were made until a moment, in Unix seconds."""
        with self._lock:
            self._known[who] = max(moment, self._known.pop(who, moment))  # last again, so that it is kept longest
            if len(self._known) > self._limit:
                del self._known[next(iter(self._known))]

    def moment(self, who: str) -> float | None:
        """Return until which moment the logins of somebody have ended, in Unix seconds; None when none have."""
        with self._lock:
            return self._known.get(who)

    def items(self) -> dict[str, float]:
        """Return everybody with their moment."""
        with self._lock:
            return dict(self._known)
