"""Changes of a policy that wait for a second person: kept beside the policy, or among what replicas share.

Kept is exactly what would be written and the files it was made on. Nothing here writes a policy, or decides who may.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from stguard import files
from stguard.edits.errors import EditError
from stguard.edits.history import FOLDER, home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stguard.shared.documents import Documents

LIVES: Final = 30 * 86_400.0
"""Seconds for which a change waits; then it is dropped."""

MOST: Final = 50
"""Most changes that wait at a time; a further one is refused, so that nobody can push out what waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Hold a change that waits.

    Attributes:
        title: what it does, in a sentence without Markdown.
        author: who proposed it, for the history.
        people: every id and address by which its author is known: who has one of them can't approve it.
        reason: why, in the author's words; None without any.
        time: when it was proposed, Unix seconds.
        before: digest of the files that it was made on.
        files: the new text of each file that changes, None for one that goes away.
    """

    title: str
    author: str
    people: tuple[str, ...]
    reason: str | None
    time: float
    before: str
    files: Mapping[str, str | None]

    @property
    def id(self) -> str:
        """Return a digest of all of it: whoever approves an id approves exactly this."""
        return files.digest(json.dumps(asdict(self), sort_keys=True).encode("utf-8", "surrogatepass"))

    @property
    def over(self) -> bool:
        """Tell whether it has waited for too long."""
        return time.time() - self.time >= LIVES


class Waiting(Protocol):
    """Keep the changes of one policy that wait."""

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first; what is damaged is left out.

        Raises:
            FileError: it can't be read.
        """
        ...

    def put(self, pending: Pending) -> None:
        """Keep one.

        Raises:
            EditError: too many wait already.
            FileError: it can't be written.
        """
        ...

    def drop(self, name: str) -> None:
        """Forget one by its id.

        Raises:
            FileError: that can't be written.
        """
        ...


class FileWaiting:
    """Keep them in a file beside the policy."""

    def __init__(self, policy: Path) -> None:
        """Take the policy's file or folder."""
        self._policy: Final = policy
        self._place: Final = home(policy) / FOLDER / files.real(policy).name / "waiting.json"

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first."""
        data = files.content(self._place)
        try:
            told = [] if data is None else json.loads(data)
        except (ValueError, RecursionError):
            told = []
        read = [_pending(each) for each in told] if isinstance(told, list) else []
        return tuple(each for each in read if each is not None and not each.over)

    def put(self, pending: Pending) -> None:
        """Keep one."""
        with files.locked(home(self._policy)):
            known = [each for each in self.all() if each.id != pending.id]
            _expect_room(known)
            self._write([*known, pending])

    def drop(self, name: str) -> None:
        """Forget one by its id."""
        with files.locked(home(self._policy)):
            known = self.all()
            if any(each.id == name for each in known):
                self._write([each for each in known if each.id != name])

    def _write(self, pending: list[Pending]) -> None:
        try:
            self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise files.FileError(f"can't keep the change in {self._place.parent}: {files.cause(error)}") from error
        data = json.dumps([asdict(each) for each in pending]).encode()
        with files.Replacement({files.real(self._place): data}) as ready:
            ready.commit({})


class TableWaiting:
    """Keep them among what replicas share."""

    def __init__(self, documents: Documents) -> None:
        """Take where they lie."""
        self._documents: Final = documents

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first."""
        read = [(name, _pending(told)) for name, told in self._documents.all().items()]
        found = [each for name, each in read if each is not None and each.id == name and not each.over]
        return tuple(sorted(found, key=lambda each: each.time))

    def put(self, pending: Pending) -> None:
        """Keep one."""
        _expect_room([each for each in self.all() if each.id != pending.id])
        self._documents.put(pending.id, asdict(pending), lives=LIVES)

    def drop(self, name: str) -> None:
        """Forget one by its id."""
        self._documents.drop(name)


def _expect_room(known: list[Pending]) -> None:
    if len(known) >= MOST:
        raise EditError(f"{MOST} changes wait for approval already; approve or decline some first")


def _pending(told: Any) -> Pending | None:  # noqa: ANN401  what a file held
    try:
        texts = [told[key] for key in ("title", "author", "before")]
        contents = told["files"]
        if not all(isinstance(each, str) for each in (*texts, *told["people"], *contents)):
            return None
        if not contents or not all(isinstance(each, str | None) for each in (told["reason"], *contents.values())):
            return None
        return Pending(
            title=told["title"],
            author=told["author"],
            people=tuple(told["people"]),
            reason=told["reason"],
            time=float(told["time"]),
            before=told["before"],
            files=contents,
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
