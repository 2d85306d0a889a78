"""Everything that the replicas of one app share, over one connection."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stguard.errors import ConfigurationError, quote
from stguard.shared.attempts import SharedAttempts
from stguard.shared.board import SharedBoard, from_json
from stguard.shared.documents import Documents
from stguard.shared.kept import Kept, folder_of
from stguard.shared.link import STALE, URL_VARIABLE, Link
from stguard.shared.moments import SharedMoments
from stguard.shared.policy import KEPT_AS, SharedPolicy
from stguard.shared.records import SharedRecords
from stguard.shared.shelf import Shelf
from stguard.shared.table import SharedTable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME_VARIABLE: Final = "STGUARD_SHARED_NAME"
"""Environment variable: what begins each key; apps that share one engine have different names."""

STALE_VARIABLE: Final = "STGUARD_SHARED_STALE"
"""Environment variable: seconds without contact after which what is known no longer counts."""


_LOG: Final = logging.getLogger("stguard")

KEPT_FOR: Final = 3 * 86_400.0
"""Seconds since the last contact after which the copy on the disk no longer counts: a long weekend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Say where replicas share, and how.

    Attributes:
        url: `redis://`, `rediss://` (TLS) or `unix://`, with credentials; of Redis or Valkey, version 6.2 or newer.
        name: begins each key; apps that share one engine have different names.
        stale: seconds without contact after which what a replica knows no longer counts, so that it refuses.
        policy: whether the policy in force is shared. False: each replica has its own files.
        kept: seconds since the last contact after which the copy of the policy on the disk no longer counts at a start.
    """

    url: str
    name: str = "stguard"
    stale: float = STALE
    policy: bool = True
    kept: float = KEPT_FOR

    def __repr__(self) -> str:
        """Leave out the address: it may hold a password."""
        return f"Shared(name={self.name!r}, stale={self.stale!r}, policy={self.policy!r})"


SharedChoice = str | Shared
"""An address, or an address with what else can be said."""


def chosen(choice: SharedChoice | None, *, environ: Mapping[str, str] = os.environ) -> Shared | None:
    """Return where replicas share: as code says, else the environment; None for nowhere.

    Raises:
        ConfigurationError: it is neither an address nor a `Shared`, or a variable can't be read.
    """
    if isinstance(choice, Shared):
        return choice
    if choice is not None and not isinstance(choice, str):
        raise ConfigurationError(f"shared is an address or sg.Shared(...), got {quote(type(choice).__name__)}")
    url = choice or environ.get(URL_VARIABLE)
    if not url:
        return None
    stale = environ.get(STALE_VARIABLE)
    try:
        seconds = STALE if not stale else float(stale)
    except ValueError:
        raise ConfigurationError(f"${STALE_VARIABLE} is a number of seconds, got {quote(stale)}") from None
    return Shared(url=url, name=environ.get(NAME_VARIABLE) or "stguard", stale=seconds)


class Replicas:
    """Hold what this replica shares with the others.

    Attributes:
        shared: where, and how.
        link: the connection.
        ended: logins that were ended, by a digest of their cookie.
        signed_out: until when the logins of somebody have ended.
        seen: when a login last did something: what is left of `LIVES`.
        orgs: the org that a login chose last.
        proposals: changes of the policy that wait for a second person.
        settled: ids of those of them that wait no more.
        requests: who asks for access.
        records: what the audit was told.
        shelf: what identity sources said.
        attempts: to sign in with a password.
    """

    LIVES: Final = 31 * 86_400.0
    """Seconds for which something is known about a login: longer than a login lives."""

    def __init__(self, shared: Shared, *, secret: str, folder: Path) -> None:
        """Take the address and the secret; `start` connects.

        Args:
            shared: where, and how.
            secret: the same text on each replica.
            folder: the main script's; beside it is kept what a start without the engine needs.

        Raises:
            ConfigurationError: the address or the secret can't be used, or the extra `redis` is not installed.
        """
        self.shared: Final = shared
        self.link: Final = Link(shared.url, secret=secret, name=shared.name, stale=shared.stale)
        self._kept: Final = Kept(folder_of(folder, environ=os.environ))
        self.ended: Final = SharedTable(self.link, "ended", kept=self._kept, only_grows=True)
        self.signed_out: Final = SharedMoments(self.link, kept=self._kept)
        self.seen: Final = SharedTable(self.link, "seen")
        self.orgs: Final = SharedTable(self.link, "orgs")
        self.proposals: Final = Documents(SharedTable(self.link, "proposals"), self.link.vault)
        self.settled: Final = SharedTable(self.link, "settled", kept=self._kept, only_grows=True)
        self.requests: Final = Documents(SharedTable(self.link, "requests"), self.link.vault)
        self.records: Final = SharedRecords(self.link)
        self.shelf: Final = Shelf(self.link)
        self.attempts: Final = SharedAttempts(self.link)
        self.link.after_each_look(lambda: self._kept.confirm(KEPT_AS))
        known = from_json(self._kept.read(KEPT_AS), vault=self.link.vault) if self._is_recent(shared.kept) else None
        self._board: Final = SharedBoard(self.link, known=known)
        self._policies: Final[dict[tuple[Path, str], SharedPolicy]] = {}

    def policy(self, path: Path, *, on_bad_edit: str) -> SharedPolicy:
        """Return the policy that replicas share, which begins with the files beside the app."""
        known = self._policies.get((path, on_bad_edit))
        if known is None:
            known = SharedPolicy(self._board, self.link, path=path, kept=self._kept, on_bad_edit=on_bad_edit)
            self._policies[path, on_bad_edit] = known
        return known

    def last_seen(self, login: object, *, now: float) -> float | None:
        """Return when a login last did something, at any replica, on the scale of `now`; None when nobody knows."""
        left = self.seen.left(self._name("login", login))
        return None if left is None else now - (self.LIVES - left)

    def saw(self, login: object, *, every: float) -> None:
        """Tell the others that a login does something now, unless they heard so less than `every` seconds ago."""
        key = self._name("login", login)
        left = self.seen.left(key)
        if left is None or self.LIVES - left >= every:
            self.seen.put(key, b"", lives=self.LIVES)

    def choose(self, login: object, org: str) -> None:
        """Remember the org that a login chose last."""
        key = self._name("org", login)
        self.orgs.put(key, self.link.vault.seal(org.encode(), about=key), lives=self.LIVES)

    def choice(self, login: object) -> str | None:
        """Return the org that a login chose last, at any replica; None when it chose none."""
        key = self._name("org", login)
        sealed = self.orgs.get(key)
        opened = None if sealed is None else self.link.vault.open(sealed, about=key)
        return None if opened is None else opened.decode("utf-8", "replace")

    def _is_recent(self, seconds: float) -> bool:
        """Tell whether the copy of the policy on the disk was what is shared so many seconds ago."""
        age = self._kept.age(KEPT_AS)
        if age is None or age < seconds:
            return age is not None
        _LOG.error("replicas: the copy of the policy on the disk is too old to begin with: %d s", age)
        return False

    def _name(self, kind: str, what: object) -> str:
        # SECURITY: who somebody is does not stand in the engine.
        return self.link.vault.name(kind, repr(what))

    def start(self) -> None:
        """Connect, and wait a moment for what is there, so that the first page finds it."""
        self.link.start(patience=self.link.deadline * 2)
