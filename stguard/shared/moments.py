"""Until when the logins of somebody have ended, known to every replica."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.moments import LocalMoments
from stguard.shared.table import SharedTable

if TYPE_CHECKING:
    from stguard.shared.kept import Kept
    from stguard.shared.link import Link

LIVES: Final = 31 * 86_400.0
"""Seconds for which a moment is remembered: longer than a login lives."""

_DIGITS: Final = 15
"""Most digits of a moment in milliseconds: the year 33658."""


class SharedMoments:
    """Be moments of all replicas.

    An entry of the table is its key alone, a digest of the person and the moment, so that a copy on the disk holds it
    whole. A later moment is another entry.
    """

    def __init__(self, link: Link, *, kept: Kept) -> None:
        """Take the connection, and where a copy is kept for a start without the engine."""
        self._vault: Final = link.vault
        self._table: Final = SharedTable(link, "signed-out", kept=kept, only_grows=True)
        self._local: Final = LocalMoments()
        self._table.listen(lambda key, _: self._hear(key))
        for key in self._table.items():
            self._hear(key)

    def end(self, who: str, moment: float) -> None:
        """End the logins of somebody that were made until a moment: here at once, elsewhere when it is written."""
        key = f"{self._name(who)}:{max(0, int(moment * 1000) + 1)}"
        self._hear(key)
        self._table.put(key, b"", lives=LIVES)

    def moment(self, who: str) -> float | None:
        """Return until which moment the logins of somebody have ended, in Unix seconds; None when none have."""
        return self._local.moment(self._name(who))

    def _name(self, who: str) -> str:
        # SECURITY: who somebody is does not stand in the engine.
        return self._vault.name("signed-out", who)

    def _hear(self, key: str) -> None:
        name, _, digits = key.rpartition(":")
        # SECURITY: anything else was written by none of us. An entry can end logins, never bring one back.
        if digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS:
            self._local.end(name, int(digits) / 1000)
