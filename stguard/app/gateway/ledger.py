"""Which session belongs to whom, and which files it was given.

A media address is a hash of the content and asks for no cookie, an upload trusts the session id in its address: what is
written here is what the gateway compares them with. In this process only, as are the sessions themselves.
"""

from __future__ import annotations

import os.path
import threading
import time
from typing import Final

from stguard.app import private

FILES_LIMIT: Final = 4096
"""Most files remembered for a session; the one it wasn't given for longest is forgotten first."""

KEPT: Final = 3600.0
"""Seconds for which a session without a connection is remembered; Streamlit itself keeps it two minutes."""


class _Session:
    """Remember one session: whose it is, what it was given."""

    __slots__ = ("connections", "files", "owner", "seen")

    def __init__(self, *, seen: float) -> None:
        self.owner: bytes | None = None
        self.files: dict[str, None] = {}
        self.connections = 0
        self.seen = seen


class Ledger:
    """Remember sessions and their files. Scripts write from their threads, the server reads."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock: Final = threading.Lock()
        self._sessions: Final[dict[str, _Session]] = {}

    def connect(self, session: str, *, owner: bytes | None) -> None:
        """Note that a session is a visitor's, who has just opened a connection to it."""
        with self._lock:
            self._prune()
            entry = self._entry(session)
            entry.owner = owner
            entry.connections += 1

    def own(self, session: str, *, owner: bytes) -> None:
        """Note that a session is a visitor's, who asks by single requests."""
        with self._lock:
            self._prune()
            self._entry(session).owner = owner

    def disconnect(self, session: str) -> None:
        """Note that one connection to a session is closed."""
        with self._lock:
            entry = self._entry(session)
            entry.connections -= 1

    def give(self, session: str, address: str) -> None:
        """Note that a session was given the address of a file, or the id of one that is made later."""
        with self._lock:
            files = self._entry(session).files
            file = file_at(address)
            files.pop(file, None)  # the newest stands last
            files[file] = None
            if len(files) > FILES_LIMIT:
                del files[next(iter(files))]

    def fetch(self, promise: str, address: str) -> None:
        """Note that a file that was to be made later was made; it is for the session that was given its id."""
        with self._lock:
            sessions = [name for name, entry in self._sessions.items() if promise in entry.files]
        for session in sessions:
            self.give(session, address)

    def belongs(self, session: str, owner: bytes | None) -> bool:
        """Tell whether a session is a visitor's."""
        with self._lock:
            entry = self._sessions.get(session)
        return entry is not None and owner is not None and entry.owner == owner

    def holds(self, session: str | None, file: str) -> bool:
        """Tell whether a session was given a file, or the id of one that is made later."""
        with self._lock:
            entry = self._sessions.get(session) if session is not None else None
            return entry is not None and file in entry.files

    def may_read(self, owner: bytes | None, file: str) -> bool:
        """Tell whether a session of a visitor was given a file."""
        if owner is None:
            return False
        with self._lock:
            return any(entry.owner == owner and file in entry.files for entry in self._sessions.values())

    def _entry(self, session: str) -> _Session:
        now = time.monotonic()
        entry = self._sessions.setdefault(session, _Session(seen=now))
        entry.seen = now
        return entry

    def _prune(self) -> None:
        before = time.monotonic() - KEPT
        for name in [name for name, entry in self._sessions.items() if not entry.connections and entry.seen < before]:
            del self._sessions[name]


def file_at(address: str) -> str:
    """Return the id of a file by its address, `/media/ID.EXTENSION`; an id stands for itself."""
    return os.path.splitext(address.rpartition("/")[2])[0]  # noqa: PTH122  as Streamlit's storage reads it


ledger: Final = Ledger()
"""The one of this process: Streamlit has one runtime in a process."""


def keep() -> None:
    """Begin to write down which session is given which file.

    Raises:
        ConfigurationError: this Streamlit can't be watched.
    """
    private.watch_files(made=ledger.give, fetched=ledger.fetch)
