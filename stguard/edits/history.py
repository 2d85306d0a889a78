"""Every accepted version of a policy, kept beside its files: `.stguard/NAME/`, which is never read as a policy.

Contents lie under the name of their digest, so one that was damaged is noticed; an index of JSON lines says when, who
and why. The order of the lines counts, not their times: clocks are set back.
"""

from __future__ import annotations

import json
import os
import re
import stat
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stguard import files
from stguard.edits.errors import EditError
from stguard.errors import ConfigurationError, nearest, quote
from stguard.policyfile.source import ID_LENGTH, version_id
from stguard.shared.board import BoardError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stguard.shared.board import Board

FOLDER: Final = ".stguard"
"""Name of the folder beside the policy. INVARIANT: `policyfile.source.is_read` says no to it and all in it."""

KEPT: Final = 100
"""How many versions are kept unless told otherwise."""

HISTORY_VARIABLE: Final = "STGUARD_HISTORY"
"""Environment variable that says how many versions are kept, where code says nothing."""

SHORTEST: Final = 4
"""Fewest characters of an id that name a version."""

_INDEX: Final = "index.jsonl"
_ID: Final = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def kept(choice: int | None, *, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many versions are kept: as code says, else the environment, else `KEPT`.

    Raises:
        ConfigurationError: it is no whole number from 1 on.
    """
    said: object = environ.get(HISTORY_VARIABLE) or KEPT if choice is None else choice
    where = f"${HISTORY_VARIABLE}" if choice is None else "history"
    number = int(said) if isinstance(said, str) and said.isascii() and said.isdecimal() else said
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ConfigurationError(f"{where} is how many versions of the policy are kept, from 1 on, got {quote(said)}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Describe one accepted version.

    Attributes:
        id: name of its content, twelve hexadecimal digits: comments count.
        version: the policy's own, of its meaning; None for content found on the disk that is no policy.
        time: Unix seconds by the clock of the machine that wrote it.
        author: who made the edit; None for what was found on the disk, edited by other means.
        approver: who agreed to it, where that was needed; None for nobody.
        reason: why, in the author's words; None without any.
        previous: id of the version before; None for the first.
        files: digest of each file's content, by name.
    """

    id: str
    version: str | None
    time: float
    author: str | None
    reason: str | None
    previous: str | None
    files: Mapping[str, str]
    approver: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields that `stguard history --json` prints."""
        return {
            "id": self.id,
            "version": self.version,
            "time": datetime.fromtimestamp(self.time, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "author": self.author,
            "approver": self.approver,
            "reason": self.reason,
            "previous": self.previous,
        }

    def as_line(self) -> dict[str, Any]:
        """Return the fields as the history keeps them."""
        return {**self.as_json(), "files": dict(self.files)}


def home(policy: Path) -> Path:
    """Return the folder whose lock editors of a policy hold, and where its history lies: the one its files are in."""
    place = files.real(policy)
    return place if place.is_dir() else place.parent


class History(ABC):
    """Hold the versions of one policy.

    Attributes:
        damaged: how many entries could not be read, as of the last look.
    """

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.damaged = 0

    def versions(self) -> tuple[Version, ...]:
        """Return the versions, oldest first; entries that are damaged are passed over and counted.

        Raises:
            FileError: the history is there and can't be read.
            EditError: the same, where replicas share.
        """
        read = self._read()
        found = tuple(version for version in read if version is not None)
        self.damaged = len(read) - len(found)
        return found

    @property
    @abstractmethod
    def place(self) -> str:
        """Return where it lies, for messages."""

    @abstractmethod
    def _read(self) -> list[Version | None]: ...

    @abstractmethod
    def _content(self, digest: str) -> bytes | None: ...

    def find(self, name: str) -> Version:
        """Return the latest version of an id, of the start of an id, or of a policy's version.

        Raises:
            EditError: there is none, or several begin like that.
        """
        versions = self.versions()
        exact = [each for each in versions if name in (each.id, each.version)]
        if exact:
            return exact[-1]
        begins = {each.id: each for each in versions if len(name) >= SHORTEST and each.id.startswith(name)}
        if len(begins) == 1:
            return next(iter(begins.values()))
        if begins:
            raise EditError(f"several versions begin with {quote(name)}: {', '.join(begins)}")
        hint = nearest(name, [each.id for each in versions])
        raise EditError(f"no version {quote(name)} in the history{hint}; `stguard history` lists them")

    def contents(self, version: Version) -> dict[str, bytes]:
        """Return the files of a version.

        Raises:
            EditError: one of them is damaged or gone.
        """
        found = {}
        for name, digest in version.files.items():
            data = self._content(digest)
            if data is None or files.digest(data) != digest:
                what = "gone" if data is None else "damaged"
                raise EditError(f"version {version.id} can't be restored: its file {quote(name)} is {what}")
            found[name] = data
        if version_id(found) != version.id:
            # SECURITY: what is shown as one version is not to bring back another.
            raise EditError(f"version {version.id} can't be restored: the history names other contents for it")
        return found


class FileHistory(History):
    """Be the history beside the files of a policy.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, policy: Path) -> None:
        """Take the policy's path; nothing is read yet."""
        super().__init__()
        self.folder: Final = home(policy) / FOLDER / files.real(policy).name

    @property
    def place(self) -> str:
        """Return where it lies, for messages."""
        return str(self.folder)

    def _read(self) -> list[Version | None]:
        data = files.content(self._index) or b""
        return [_read(line) for line in data.splitlines() if line.strip()]

    def _content(self, digest: str) -> bytes | None:
        return files.content(self.folder / digest)

    def add(self, contents: Mapping[str, bytes], version: Version, *, model: Path) -> int:
        """Write a version; the folder's lock must be held.

        Args:
            contents: its files.
            version: what is said about it.
            model: the file whose owner and mode the new files get: who may not read the policy may not read what it
                was.

        Returns:
            The size of the index before, for `forget`.

        Raises:
            FileError: it can't be written.
        """
        try:
            self._make_folder(model)
            for data in contents.values():
                self._keep(data, model)
            return self._append(version, model)
        except OSError as error:
            raise files.FileError(f"can't keep the history in {quote(self.folder)}: {files.cause(error)}") from error

    def forget(self, size: int) -> None:
        """Take back what was appended since the index had this size: the edit was not made."""
        with suppress(OSError):
            os.truncate(self._index, size)

    def prune(self, keep: int) -> None:
        """Drop the oldest versions, and contents that no version names; the folder's lock must be held."""
        versions = self.versions()
        if len(versions) <= keep:
            return
        kept = versions[-keep:]
        data = b"".join(_line(each) for each in kept)
        with files.Replacement({self._index: data}) as ready:
            ready.commit({})
        named = {digest for each in kept for digest in each.files.values()}
        for entry in self.folder.iterdir():
            if _DIGEST.fullmatch(entry.name) and entry.name not in named:
                entry.unlink(missing_ok=True)

    @property
    def model(self) -> Path:
        """Return a file that has the owner and the mode of the policy, for when the policy is gone."""
        return self._index

    @property
    def _index(self) -> Path:
        return self.folder / _INDEX

    def _make_folder(self, model: Path) -> None:
        for folder in (self.folder.parent, self.folder):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                if model.exists():
                    handle = os.open(folder, os.O_RDONLY)
                    try:
                        mode = stat.S_IMODE(model.stat().st_mode) & 0o666
                        # Whoever may read or write the policy may look into the folder, or write into it.
                        files.take_after(model, handle, keep=0, least=mode | (mode & 0o444) >> 2 | 0o700)
                    finally:
                        os.close(handle)
                files.sync_folder(folder.parent)

    def _keep(self, data: bytes, model: Path) -> None:
        place = self.folder / files.digest(data)
        if files.content(place) != data:  # one that was damaged is written anew
            with files.Replacement({place: data}) as ready:
                ready.commit({})
            with place.open("rb") as file:
                files.take_after(model, file.fileno(), keep=0o666)

    def _append(self, version: Version, model: Path) -> int:
        handle = os.open(self._index, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            files.take_after(model, file.fileno(), keep=0o666)
            size = file.seek(0, os.SEEK_END)
            whole = True
            if size:
                file.seek(size - 1)
                whole = file.read(1) == b"\n"
            data = (b"" if whole else b"\n") + _line(version)
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:]) or 0
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        return size


class BoardHistory(History):
    """Be the history that replicas share."""

    def __init__(self, board: Board) -> None:
        """Take the board; nothing is read yet."""
        super().__init__()
        self._board: Final = board

    @property
    def place(self) -> str:
        """Return where it lies, for messages."""
        return "what replicas share"

    def _read(self) -> list[Version | None]:
        try:
            return [None if entry is None else _version(entry) for entry in self._board.entries()]
        except BoardError as error:
            raise EditError(str(error)) from error

    def _content(self, digest: str) -> bytes | None:
        try:
            return self._board.content(digest)
        except BoardError as error:
            raise EditError(str(error)) from error


def _line(version: Version) -> bytes:
    return json.dumps(version.as_line()).encode() + b"\n"


def _read(line: bytes) -> Version | None:
    try:
        return _version(json.loads(line))
    except (ValueError, RecursionError):
        return None


def _version(told: Any) -> Version | None:  # noqa: ANN401  what an entry held
    try:
        texts = [*(told[key] for key in ("version", "author", "reason", "previous")), told.get("approver")]
        contents = told["files"]
        if not (_ID.fullmatch(told["id"]) and all(isinstance(each, str | None) for each in texts)):
            return None
        if not contents or not all(_is_file(name, digest) for name, digest in contents.items()):
            return None
        return Version(
            id=told["id"],
            version=told["version"],
            time=datetime.fromisoformat(told["time"]).timestamp(),
            author=told["author"],
            approver=told.get("approver"),
            reason=told["reason"],
            previous=told["previous"],
            files=contents,
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _is_file(name: str, digest: object) -> bool:
    # SECURITY: a name from a tampered index must not lead out of the policy's folder, nor a digest out of the history.
    return (
        bool(name)
        and "/" not in name
        and "\0" not in name
        and name not in (".", "..")
        and (isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None)
    )
