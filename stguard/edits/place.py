"""Where the files of a policy stand: on the disk, or in what replicas share. Editing is the same in both."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stguard import files
from stguard.edits.errors import EditError, TakenError
from stguard.edits.history import BoardHistory, FileHistory, home
from stguard.edits.waiting import TAKEN, FileWaiting
from stguard.errors import quote
from stguard.policyfile import source
from stguard.policyfile.ledger import Ledger
from stguard.policyfile.source import version_id
from stguard.shared.board import BoardError, TakenMeanwhileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from stguard.edits.history import History, Version
    from stguard.shared.board import Board


class Place(Protocol):
    """Hold the files of one policy, and their history."""

    @property
    def path(self) -> Path:
        """Return the file or folder, for messages and names."""
        ...

    @property
    def is_folder(self) -> bool:
        """Tell whether the policy has files with names of their own."""
        ...

    @property
    def history(self) -> History:
        """Return the history."""
        ...

    def contents(self) -> dict[str, bytes]:
        """Return the files by name, without judging what stands in them.

        Raises:
            FileError: a file can't be read.
        """
        ...

    def held(self) -> AbstractContextManager[None]:
        """Keep out other editors for as long as an edit is worked out and written, where that can be done.

        Raises:
            FileError: somebody else edits for too long.
        """
        ...

    def write(
        self,
        before: Mapping[str, bytes],
        contents: Mapping[str, bytes | None],
        *,
        steps: Sequence[tuple[Version, Mapping[str, bytes]]],
        keep: int,
        takes: str | None = None,
    ) -> None:
        """Put new contents in place, if everything else is as it was; only while it is held.

        Args:
            before: the files that the edit was made on.
            contents: the new content of each file that changes; None for one to go.
            steps: versions for the history with their files, oldest first.
            keep: how many versions the history keeps.
            takes: id of the waiting change that this is; None for none. It waits no longer once this is in place.

        Raises:
            TakenError: it does not wait any more.
            ChangedMeanwhileError: the files are no longer those.
            FileError: they can't be written; everything is as it was.
            EditError: the same, where replicas share.
        """
        ...


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Be a file or a folder.

    Attributes:
        path: where it is.
    """

    path: Path

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.path.is_dir()

    @property
    def history(self) -> FileHistory:
        """Return the history beside it."""
        return FileHistory(self.path)

    def contents(self) -> dict[str, bytes]:
        """Return the files by name."""
        found = {}
        for file in source.files(self.path, ledger=Ledger()):
            if file.exists() and not file.is_file():
                raise files.FileError(f"{quote(file)} is no file")
            data = files.content(file)
            if data is not None:
                found[file.name] = data
        return found

    def held(self) -> AbstractContextManager[None]:
        """Hold the editors' lock of its folder."""
        return files.locked(home(self.path))

    def write(
        self,
        before: Mapping[str, bytes],
        contents: Mapping[str, bytes | None],
        *,
        steps: Sequence[tuple[Version, Mapping[str, bytes]]],
        keep: int,
        takes: str | None = None,
    ) -> None:
        """Put new contents in place, their history first.

        INVARIANT: a change that was withdrawn is never in force. Who withdraws or declines holds the same lock; ended
        in between, it is in force and still listed, on files that are no longer those it was made on.
        """
        waiting = FileWaiting(self.path)
        if takes is not None and not waiting.holds(takes):
            raise TakenError(TAKEN)
        folder = self.is_folder
        places = {name: files.real(self.path / name if folder else self.path) for name in {*before, *contents}}
        history = self.history
        self._expect(before)
        model = next((places[name] for name in before), history.model)
        with files.Replacement({places[name]: data for name, data in contents.items()}, like=model) as ready:
            size = [history.add(data, version, model=model) for version, data in steps][-1]
            try:
                self._expect(before)  # a file that is new in a folder has no digest of its own to compare
                ready.commit({places[name]: files.digest(before.get(name)) for name in places})
            except BaseException:
                history.forget(size)
                raise
        with suppress(files.FileError, OSError):  # the edit is made; the next one drops what is too much
            history.prune(keep)
        if takes is not None:
            with suppress(files.FileError, OSError):  # the same: what is left in the list can't be approved any more
                waiting.settle(takes)

    def _expect(self, before: Mapping[str, bytes]) -> None:
        now = self.contents()
        if now != before:
            what = "was changed meanwhile" if now else "is gone"
            raise files.ChangedMeanwhileError(f"{quote(self.path)} {what}; look at it as it is now and try again")


@dataclass(frozen=True, slots=True)
class OnBoard:
    """Be what replicas share. Saved is saved for all of them.

    Attributes:
        board: holds the files.
        path: the file or folder beside the app, whose name the policy has.
    """

    board: Board
    path: Path

    @property
    def is_folder(self) -> bool:
        """Tell whether the policy has files with names of their own."""
        return set(self.contents()) != {self.path.name}

    @property
    def history(self) -> BoardHistory:
        """Return the history that replicas share."""
        return BoardHistory(self.board)

    def contents(self) -> dict[str, bytes]:
        """Return the files by name, as this replica knows them."""
        posted = self.board.current()
        return {} if posted is None else dict(posted.contents)

    def held(self) -> AbstractContextManager[None]:
        """Keep out nobody: what another replica saved meanwhile is noticed, and the edit made anew on it."""
        return nullcontext()

    def write(
        self,
        before: Mapping[str, bytes],
        contents: Mapping[str, bytes | None],
        *,
        steps: Sequence[tuple[Version, Mapping[str, bytes]]],
        keep: int,
        takes: str | None = None,
    ) -> None:
        """Put new contents in force for all replicas."""
        after = {name: data for name, data in {**before, **contents}.items() if data is not None}
        texts = {files.digest(data): data for _, each in steps for data in each.values()}
        try:
            self.board.save(
                after,
                version_id(after),
                expected=version_id(before) if before else "",
                entries=[version.as_line() for version, _ in steps],
                texts=texts,
                keep=keep,
                takes=takes,
            )
        except TakenMeanwhileError as error:
            raise TakenError(TAKEN) from error
        except BoardError as error:
            raise EditError(str(error)) from error
