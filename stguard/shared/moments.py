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

_LAST: Final = 10**15 - 1
"""The last moment that can be told, in milliseconds: the year 33658."""

_KIND: Final = "signed-out"


class SharedMoments:
    """Be moments of all replicas.

    An entry of the table is its key alone: a digest of the person, the moment, and a code that only replicas make. So a
    copy on the disk holds it whole. A later moment is another entry.
    """

    def __init__(self, link: Link, *, kept: Kept) -> None:
        """Take the connection, and where a copy is kept for a start without the engine."""
        self._vault: Final = link.vault
        self._table: Final = SharedTable(link, _KIND, kept=kept, only_grows=True, is_ours=self._is_ours)
        self._local: Final = LocalMoments()
        self._table.listen(lambda key, _: self._hear(key))
        for key in self._table.items():
            self._hear(key)

    def end(self, who: str, moment: float) -> None:
        """End the logins of somebody that were made until a moment: here at once, elsewhere when it is written."""
        told = f"{self._name(who)}:{max(0, min(int(moment * 1000) + 1, _LAST))}"
        key = f"{told}:{self._vault.sign(_KIND, told.encode())}"
        self._hear(key)
        self._table.put(key, b"", lives=LIVES)

    def moment(self, who: str) -> float | None:
        """Return until which moment the logins of somebody have ended, in Unix seconds; None when none have."""
        return self._local.moment(self._name(who))

    def _name(self, who: str) -> str:
        # SECURITY: who somebody is does not stand in the engine.
        return self._vault.name(_KIND, who)

    def _is_ours(self, key: str) -> bool:
        """Tell whether a replica has written this.

        SECURITY: with entries of their own, who can write to the engine could end the logins of people whose digest
        they saw, and push out what is known.
        """
        told, _, code = key.rpartition(":")
        return self._vault.is_signed(_KIND, told.encode("utf-8", "surrogatepass"), code)

    def _hear(self, key: str) -> None:
        if self._is_ours(key):
            name, moment, _ = key.split(":")
            self._local.end(name, int(moment) / 1000)
