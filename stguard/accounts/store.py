"""The accounts in force: read at the start, read again when their file changes, and how somebody is recognised."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stguard.accounts import passwords
from stguard.accounts.accountsfile import FINGERPRINT, ISSUER, Accounts, comparable, parse
from stguard.errors import PolicyFileError, Problem, Severity
from stguard.policyfile.source import SIZE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stguard.accounts.accountsfile import Account

_LOG: Final = logging.getLogger("stguard")

SETTLED_AFTER: Final = 2.0
"""Seconds after a reading until which the content is compared: two edits within one tick of a clock look alike."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

Stamp = tuple[int, int, int, int, int]
"""Modification and change time in ns, size, inode and mode."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One reading: the file as it was seen, from when on its stamp tells an edit, and the last good accounts."""

    stamp: Stamp | None
    digest: bytes
    settled_at: float
    accounts: Accounts
    readable: bool = True


class AccountStore:
    """Keep the accounts of one file in force.

    A bad edit leaves the last good accounts in force, with an error in the log. A file that is gone or can't be read
    leaves none: nobody signs in, and no login with a local account counts until it can be read again.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        """Read the file.

        Raises:
            PolicyFileError: it can't be read, or holds an error; carries every problem.
        """
        self.path: Final = Path(path)
        self._lock: Final = threading.Lock()
        self._key: Final = secrets.token_bytes(32)
        stamp, data = self._look()
        self._read: _Read = self._load(stamp, data)

    def current(self) -> Accounts | None:
        """Return the accounts in force now; None when the file can't be read."""
        read = self._read
        if self._changed(read):
            read = self._reload()
        return read.accounts if read.readable else None

    def ends(self, claims: Mapping[str, Any], *, at: float) -> bool:
        """Tell whether a login with a local account no longer counts: its account is gone, disabled or has changed.

        Args:
            claims: those of the login; others than this store's are not asked about.
            at: the moment, Unix seconds.
        """
        accounts = self.current()
        sub, seen = claims.get("sub"), claims.get(FINGERPRINT)
        if accounts is None or claims.get("iss") != ISSUER or not isinstance(sub, str) or not isinstance(seen, str):
            return True
        account = accounts.by_id.get(sub)
        return account is None or not account.counts(at=at) or not _same(account.fingerprint, seen)

    def recognise(
        self,
        accounts: Accounts,
        *,
        user: str,
        password: bytes,
        at: float,
        matches: Callable[[str, bytes], bool] = passwords.matches,
    ) -> Account | None:
        """Return the account of a user name and a prepared password; None for every kind of failure.

        INVARIANT: exactly one hash is worked out, whether or not there is such an account, and whatever it is.

        Args:
            accounts: those to look in.
            user: as it was typed.
            password: as `passwords.prepared` returns it.
            at: the moment, Unix seconds.
            matches: what compares.
        """
        account = accounts.by_user.get(comparable(user))
        right = matches(self._decoy(accounts, user) if account is None else account.password, password)
        return account if right and account is not None and account.counts(at=at) else None

    def _decoy(self, accounts: Accounts, user: str) -> str:
        """Return what the password of an unknown user is compared with.

        SECURITY: it costs as much as that of some account, always the same one for one name. With parameters of its own
        the time would tell unknown users from accounts whose hash is older.
        """
        seed = hmac.digest(self._key, comparable(user).encode("utf-8", "surrogatepass"), "sha256")
        known = list(accounts.by_user.values())
        if not known:
            return passwords.decoy(passwords.Parameters(65536, 3, 4, 16, 32), seed=seed)
        like = known[int.from_bytes(seed) % len(known)]
        return passwords.decoy(passwords.parameters(like.password), seed=seed)

    # --- reading

    def _changed(self, read: _Read) -> bool:
        return _stamp(self.path) != read.stamp or (
            read.readable and time.monotonic() < read.settled_at and self._look_again() != read.digest
        )

    def _look_again(self) -> bytes:
        try:
            return _digest(self._look()[1])
        except PolicyFileError:
            return b""

    def _reload(self) -> _Read:
        with self._lock:
            before = self._read
            if not self._changed(before):
                return before  # another thread has just done it
            try:
                stamp, data = self._look()
            except PolicyFileError as error:
                if before.readable:
                    _LOG.error("%s; no local account counts until it can be read", error)
                self._read = _Read(_stamp(self.path), b"", 0.0, before.accounts, readable=False)
                return self._read
            try:
                self._read = self._load(stamp, data)
            except PolicyFileError as error:
                _LOG.error("accounts refused; the last good ones stay in force\n%s", error)
                self._read = _Read(stamp, _digest(data), time.monotonic() + SETTLED_AFTER, before.accounts)
            return self._read

    def _load(self, stamp: Stamp, data: bytes) -> _Read:
        reading = parse(self.path.as_posix(), data)
        if reading.accounts is None:
            raise PolicyFileError(reading.problems)
        if stamp[-1] & _OTHERS:
            _LOG.warning("%s holds hashes of passwords and others may read it; set its mode to 600", self.path)
        return _Read(stamp, _digest(data), time.monotonic() + SETTLED_AFTER, reading.accounts)

    def _look(self) -> tuple[Stamp, bytes]:
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise PolicyFileError([self._problem("expected a file, got something else")])
                return _of(status), file.read(SIZE_LIMIT + 1)
        except OSError as error:
            why = (error.strerror or "unreadable").lower()
            raise PolicyFileError([self._problem(f"can't read the accounts: {why}")]) from error

    def _problem(self, message: str) -> Problem:
        return Problem(
            file=self.path.as_posix(),
            line=1,
            column=1,
            severity=Severity.ERROR,
            code="unreadable",
            message=message,
        )


def _stamp(path: Path) -> Stamp | None:
    try:
        return _of(path.stat())
    except OSError:
        return None


def _of(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogatepass"))
