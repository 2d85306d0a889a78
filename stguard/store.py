"""The policy in force: loaded at first need, replaced when its files change, never by a worse one.

Knows no Streamlit. Each call looks at the files with a few system calls; no lock is taken unless something changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, assert_never

from stguard import policyfile
from stguard.errors import ConfigurationError, PolicyFileError, Problem, Severity
from stguard.policy import Policy
from stguard.policyfile.source import is_read
from stguard.tally import Readings

if TYPE_CHECKING:
    from collections.abc import Mapping

OnBadEdit = Literal["keep", "deny"]
"""What a bad later edit does: the last good policy stays in force, or everything is refused."""

POLICY_VARIABLE: Final = "STGUARD_POLICY"
"""Environment variable that names the policy file or folder."""

DEFAULT_NAMES: Final = ("policies", "policy.yaml")
"""Where a policy is looked for beside the main script, in this order."""

SETTLED_AFTER: Final = 2.0
"""Seconds after a reading from which a file's modification time tells a later edit apart.

Kernels stamp files by their own tick (4 to 10 ms), some network file systems by the second; two edits of one length
within one tick look alike. Until then the content is compared.
"""

_LOG: Final = logging.getLogger("stguard")

READINGS: Final = 5
"""How often files that change while they are read are read anew before that counts as an error."""

Stamp = tuple[str, int, int, int, int]
"""Name, modification and change time in ns, size and inode of one file; zeros for one that can't be looked at.

The change time can't be set back: an edit that keeps length and modification time is seen by it.
"""


class Store(Protocol):
    """Keep a policy in force, wherever it comes from."""

    def current(self) -> Policy:
        """Return the policy in force now; raises PolicyFileError when there is none."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of what was last read: errors when it is bad, else the warnings."""
        ...

    @property
    def is_outdated(self) -> bool:
        """Whether what is known is too old to decide by."""
        ...

    @property
    def readings(self) -> Readings:
        """How often the policy was read so far, and what came of it."""
        ...

    @property
    def badly_edited(self) -> bool:
        """Whether what was last read can't be put in force."""
        ...

    @property
    def age(self) -> float | None:
        """Seconds since the last good policy, by its version, came into force in this process; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One reading of the files: what was seen and what came of it.

    Attributes:
        stamps: the files as they were seen; empty when they could not be looked at.
        digest: hash of their content, only until `settled_at`.
        settled_at: the monotonic clock's seconds from which equal stamps mean equal content.
        policy: the last good policy; None when there never was one.
        error: what is wrong with the files as they are now; None when they loaded.
        since: the monotonic clock's seconds at which this version of the policy was loaded; None without a policy.
        readings: those so far, this one among them.
    """

    stamps: tuple[Stamp, ...]
    digest: bytes | None
    settled_at: float
    policy: Policy | None
    error: PolicyFileError | None
    since: float | None
    readings: Readings


class PolicyStore:
    """Keep the policy of one file or folder in force.

    Attributes:
        path: the file or folder.
        on_bad_edit: `keep` leaves the last good policy in force after a bad edit; `deny` refuses everything.
    """

    def __init__(self, path: str | Path, *, on_bad_edit: OnBadEdit = "keep") -> None:
        """Take the place of the policy; nothing is read yet."""
        if on_bad_edit not in {"keep", "deny"}:
            raise ConfigurationError(f"on_bad_edit is `keep` or `deny`, got `{on_bad_edit}`")
        self.path: Final = Path(path)
        self._place: Final = str(self.path)
        self.on_bad_edit: Final[OnBadEdit] = on_bad_edit
        self._lock: Final = threading.Lock()
        self._loaded: _Loaded | None = None

    def current(self) -> Policy:
        """Return the policy in force now.

        INVARIANT: a policy that loads replaces the one before at once and whole.

        Raises:
            PolicyFileError: no policy ever loaded, or the last edit is bad and `on_bad_edit` is `deny`.
        """
        loaded = self._loaded
        if loaded is None or self._changed(loaded):
            loaded = self._reload(loaded)
        if loaded.error is None or (loaded.policy is not None and self._keeps):
            assert loaded.policy is not None  # noqa: S101  # no error means that a policy loaded
            return loaded.policy
        raise loaded.error

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of the files as last read: errors when the last edit was bad, else the warnings."""
        loaded = self._loaded
        if loaded is None:
            return ()
        if loaded.error is not None:
            return loaded.error.problems
        return loaded.policy.problems if loaded.policy is not None else ()

    @property
    def is_outdated(self) -> bool:
        """Whether what is known is too old to decide by: never, the files are looked at each time."""
        return False

    @property
    def readings(self) -> Readings:
        """How often the files were read so far, and what came of it."""
        return self._loaded.readings if self._loaded is not None else Readings()

    @property
    def badly_edited(self) -> bool:
        """Whether the files, as last read, hold no policy that can be put in force."""
        return self._loaded is not None and self._loaded.error is not None

    @property
    def age(self) -> float | None:
        """Seconds since the last good policy, by its version, was loaded in this process; None without one."""
        loaded = self._loaded
        return None if loaded is None or loaded.since is None else time.monotonic() - loaded.since

    @property
    def _keeps(self) -> bool:
        match self.on_bad_edit:
            case "keep":
                return True
            case "deny":
                return False
            case _:
                assert_never(self.on_bad_edit)

    def _changed(self, loaded: _Loaded) -> bool:
        if _stamps(self._place) != loaded.stamps:
            return True
        return (
            loaded.digest is not None and time.monotonic() < loaded.settled_at and _digest(self._place) != loaded.digest
        )

    def _reload(self, seen: _Loaded | None) -> _Loaded:
        with self._lock:
            before = self._loaded
            if before is not None and before is not seen and not self._changed(before):
                return before  # another thread has just done it
            last_good = before.policy if before is not None else None
            stamps, digest, read = self._read()
            error = read if isinstance(read, PolicyFileError) else None
            policy = read if isinstance(read, Policy) else last_good
            if error is not None:
                self._report(error, last_good)
            now = time.monotonic()
            same = policy is not None and last_good is not None and policy.version == last_good.version
            since = before.since if before is not None and same else now if policy is not None else None
            readings = (before.readings if before is not None else Readings()).and_one(loaded=error is None)
            self._loaded = _Loaded(stamps, digest, now + SETTLED_AFTER, policy, error, since, readings)
            return self._loaded

    def _read(self) -> tuple[tuple[Stamp, ...], bytes | None, Policy | PolicyFileError]:
        """Read the files, anew when they change meanwhile: half of one edit may allow what neither whole does."""
        for _ in range(READINGS):
            seen = _stamps(self._place), _digest(self._place)
            read = self._load()
            if seen == (_stamps(self._place), _digest(self._place)):
                return *seen, read
        return (), None, _unreadable(self.path, "the files change while they are read")

    def _load(self) -> Policy | PolicyFileError:
        try:
            return Policy.load(self.path)
        except PolicyFileError as error:
            return error
        except OSError as error:
            return _unreadable(self.path, (error.strerror or type(error).__name__).lower())
        except Exception as error:  # noqa: BLE001  whatever a file makes the reader do, the last good policy stays
            return _unreadable(self.path, f"the reader failed ({type(error).__name__})")
        finally:
            policyfile.forget()

    def _report(self, error: PolicyFileError, last_good: Policy | None) -> None:
        """Log one error for one bad state of the files, with every problem in it."""
        if last_good is None:
            effect = "no policy in force, everything is refused"
        elif self._keeps:
            effect = f"the last good policy, version {last_good.version}, stays in force"
        else:
            effect = "everything is refused"
        problems = "\n".join(str(problem) for problem in error.problems)
        _LOG.error("policy %s refused; %s\n%s", self.path, effect, problems)


def discover(folder: Path, *, environ: Mapping[str, str]) -> Path:
    """Find the policy of an app whose main script lies in `folder`.

    Raises:
        ConfigurationError: there is none; says where it was looked for.
    """
    if named := environ.get(POLICY_VARIABLE):
        return Path(named)
    for name in DEFAULT_NAMES:
        if (folder / name).exists():
            return folder / name
    places = " and ".join(f"`{name}`" for name in DEFAULT_NAMES)
    raise ConfigurationError(
        f"no policy found: ${POLICY_VARIABLE} is not set, and there is no {places} beside the main script; "
        "`stguard init` writes one"
    )


def _stamps(path: str) -> tuple[Stamp, ...]:
    """Look at the files without reading them; empty when they can't be looked at."""
    try:
        return tuple(
            (name, 0, 0, 0, 0) if s is None else (name, s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino)
            for name, s in _stats(path)
        )
    except OSError:
        return ()


def _stats(path: str) -> list[tuple[str, os.stat_result | None]]:
    status = os.stat(path)  # noqa: PTH116  runs at each check; a text is looked at in half the time
    if not stat.S_ISDIR(status.st_mode):
        return [("", status)]
    with os.scandir(path) as entries:
        return sorted((entry.name, _status(entry)) for entry in entries if is_read(entry.name))


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _digest(path: str) -> bytes | None:
    digest = hashlib.blake2b()
    try:
        for name, status in _stats(path):
            digest.update(name.encode(errors="surrogateescape"))
            if status is None or not stat.S_ISREG(status.st_mode):
                continue  # opening a pipe would wait for whoever writes into it
            with Path(path, name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    except OSError:
        return None
    return digest.digest()


def _unreadable(path: Path, why: str) -> PolicyFileError:
    return PolicyFileError(
        [
            Problem(
                file=path.as_posix(),
                line=1,
                column=1,
                severity=Severity.ERROR,
                code="unreadable",
                message=f"can't read the policy: {why}",
            )
        ]
    )
