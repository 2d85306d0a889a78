"""Files that are replaced whole or not at all, and never over the head of somebody else who edits them.

The one place that writes what admins keep: the policy, its history, local accounts.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from stguard.errors import StguardError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATIENCE: Final = 10.0
"""Seconds to wait for another editor before giving up."""

_POLL: Final = 0.01
_MARK: Final = ".stguard-new"
"""End of the names of temporary files; with the dot in front, nothing reads them as a policy."""

MODE: Final = 0o777
"""All of a file's mode that says who may do what with it."""


class FileError(StguardError):
    """Tell who edits that the files could not be written; they are as they were."""


class ChangedMeanwhileError(FileError):
    """Tell who edits that somebody else changed the file since it was read; theirs stays."""


def digest(data: bytes | None) -> str:
    """Return the name of a content; that of a file that isn't there is empty."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


def content(path: Path) -> bytes | None:
    """Return what stands in a file, or None when there is none.

    Raises:
        FileError: it can't be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"can't read {quote(path)}: {cause(error)}") from error


def real(path: Path) -> Path:
    """Return the file that a path leads to, through every symbolic link; the link itself is never replaced."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise FileError(f"can't follow {quote(path)}: {error}") from error


def cause(error: OSError) -> str:
    """Return in plain words why the system refused, with the way out where there is one."""
    text = (error.strerror or type(error).__name__).lower()
    hints = {
        errno.EROFS: "; mounted read-only (a ConfigMap, an image): edit the source it is made from",
        errno.EACCES: "; the folder and the file must be writable for the user that edits",
        errno.EPERM: "; the folder and the file must be writable for the user that edits",
        errno.ENOSPC: "; free some space and try again",
        errno.EDQUOT: "; free some space and try again",
        errno.EFBIG: "; the system limits the size of files here",
    }
    return text + hints.get(error.errno or 0, "")


def replace(path: Path, data: bytes, *, expected: str, keep: int = MODE, least: int = 0) -> None:
    """Put content in the place of a file, whole or not at all, if it still holds what is expected.

    Args:
        path: the file; a symbolic link is followed.
        data: its new content.
        expected: `digest` of what it held when the edit was made; that of None when there was no file.
        keep: what of the mode of an existing file is kept.
        least: what its mode gets in any case. A new file has mode 600.

    Raises:
        ChangedMeanwhileError: it holds something else now.
        FileError: it can't be written.
    """
    path = real(path)
    with locked(path.parent), Replacement({path: data}, keep=keep, least=least) as ready:
        ready.commit({path: expected})


@contextmanager
def locked(folder: Path, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the editors' lock of a folder.

    Advisory: it keeps out those who ask for it. Others are noticed by the content.

    Raises:
        FileError: there is no such folder, or somebody else holds the lock for longer than `patience` seconds, or this
            thread holds it already: it would wait for itself.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(f"can't open the folder {quote(folder)}: {cause(error)}") from error
    place = None
    try:
        status = os.fstat(handle)
        if (status.st_dev, status.st_ino) in _held.places:
            raise FileError(f"an edit in {quote(folder)} can't be made inside another one; make one after the other")
        deadline = time.monotonic() + patience
        while not _took(handle, folder):
            if time.monotonic() > deadline:
                raise FileError(f"somebody else is editing in {quote(folder)}; try again")
            time.sleep(_POLL)
        place = (status.st_dev, status.st_ino)
        _held.places.add(place)
        yield
    finally:
        if place is not None:
            _held.places.discard(place)
        os.close(handle)  # and with it the lock


class _Held(threading.local):
    """Know the folders whose lock this thread holds, by device and number."""

    def __init__(self) -> None:
        self.places: set[tuple[int, int]] = set()


_held: Final = _Held()


def _took(handle: int, folder: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Fail closed: without a lock two edits at once could lose one of them.
        raise FileError(f"can't lock the folder {quote(folder)}: {cause(error)}") from error
    return True


class Replacement:
    """Hold new contents, written in full beside the files they are for, until they are put in place.

    Everything that needs space happens before the first file changes. The lock of each folder must be held.
    """

    def __init__(
        self, contents: Mapping[Path, bytes | None], *, keep: int = MODE, least: int = 0, like: Path | None = None
    ) -> None:
        """Take the content of each real path; None takes the file away.

        Args:
            contents: what to write, by real path.
            keep: what of the mode of an existing file is kept.
            least: what its mode gets in any case.
            like: the file whose owner and mode one gets that is new; None for the user's own and mode 600.
        """
        self._contents = dict(contents)
        self._keep = keep
        self._least = least
        self._like = like
        self._made: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        """Write everything beside its place.

        Raises:
            FileError: something can't be written; nothing is left behind.
        """
        try:
            for path in self._contents:
                _sweep(path)  # of all first: one file's name may begin with another's
            for path, data in self._contents.items():
                if data is not None:
                    self._write(path, data)
        except OSError as error:
            self._drop()
            target = error.filename or next(iter(self._contents))
            raise FileError(f"can't write {quote(self._target(target))}: {cause(error)}") from error
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take away what was not put in place."""
        self._drop()

    def commit(self, expected: Mapping[Path, str]) -> None:
        """Put everything in place, one file right after the other.

        Args:
            expected: `digest` of what each file of the edit must still hold, also of those that stay as they are.

        Raises:
            ChangedMeanwhileError: one holds something else now; nothing was put in place.
            FileError: the system refused.
        """
        for path, before in expected.items():
            if digest(content(path)) != before:
                what = "is gone" if before and not path.exists() else "was changed meanwhile"
                raise ChangedMeanwhileError(f"{quote(path)} {what}; look at it as it is now and try again")
        try:
            for path, data in self._contents.items():
                if data is None:
                    path.unlink(missing_ok=True)
                else:
                    self._made[path].replace(path)
                    del self._made[path]
            for folder in {path.parent for path in self._contents}:
                sync_folder(folder)
        except OSError as error:
            raise FileError(f"can't replace {quote(error.filename2 or error.filename)}: {cause(error)}") from error

    def _write(self, path: Path, data: bytes) -> None:
        # A temporary file has mode 600 from the start.
        handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_MARK)
        self._made[path] = Path(made)
        with os.fdopen(handle, "wb") as file:
            model = self._like if self._like is not None and not path.exists() else path
            take_after(model, file.fileno(), keep=self._keep, least=self._least)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _drop(self) -> None:
        for made in self._made.values():
            with suppress(OSError):
                made.unlink()
        self._made.clear()

    def _target(self, name: object) -> object:
        return next((path for path, made in self._made.items() if str(made) == str(name)), name)


def take_after(path: Path, handle: int, *, keep: int = MODE, least: int = 0) -> None:
    """Give an open file the owner and the mode of the file at a path, if there is one."""
    try:
        before = path.stat()
    except FileNotFoundError:
        return
    # The server may run as somebody else, who must still be able to read it.
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(handle, before.st_uid, before.st_gid)
    os.fchmod(handle, stat.S_IMODE(before.st_mode) & keep | least)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Take away what editors left that were killed; under the lock nobody else is writing."""
    for name in os.listdir(path.parent):  # noqa: PTH208  names are enough
        if name.startswith(f".{path.name}.") and name.endswith(_MARK):
            with suppress(OSError):
                (path.parent / name).unlink()
