"""Changes of a policy that wait for a second person: kept beside the policy, or among what replicas share.

Kept is exactly what would be written and the files it was made on. Nothing here writes a policy, or decides who may.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from stguard import files
from stguard.edits.errors import EditError
from stguard.edits.history import FOLDER, home
from stguard.shared.board import BoardError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stguard.shared.board import Board
    from stguard.shared.documents import Documents
    from stguard.shared.table import Table

LIVES: Final = 30 * 86_400.0
"""Seconds for which a change waits; then it is dropped."""

MOST: Final = 50
"""Most changes that wait at a time; a further one is refused, so that nobody can push out what waits."""


DECLINED: Final = 50
"""Most declined changes that are kept for their authors, the latest."""

SETTLED: Final = LIVES + 86_400.0
"""Seconds for which replicas know that a change waits no more: longer than one waits, by clocks that differ."""

TIDY: Final = 60
"""Seconds after which a change that somebody took and that is listed still was left by a process that ended."""

TAKEN: Final = "this change is not waiting any more; somebody else has dealt with it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Say that a change was declined.

    Attributes:
        by: who declined it, for its author.
        reason: why, in their words; None without any.
        time: when, Unix seconds.
    """

    by: str
    reason: str | None
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Hold a change that waits, or was declined.

    Attributes:
        title: what it does, in a sentence without Markdown.
        author: who proposed it, for the history.
        subject: the author's id, `iss|sub`; None for who has an e-mail only.
        email: the author's verified e-mail; None for none.
        people: every id and address by which its author is known: who has one of them can't approve it.
        reason: why, in the author's words; None without any.
        time: when it was proposed, Unix seconds.
        before: digest of the files that it was made on.
        files: the new text of each file that changes, None for one that goes away.
        answer: who declined it, and why; None as long as it waits.
    """

    title: str
    author: str
    subject: str | None
    email: str | None
    people: tuple[str, ...]
    reason: str | None
    time: float
    before: str
    files: Mapping[str, str | None]
    answer: Answer | None = None

    @property
    def id(self) -> str:
        """Return a digest of all that was proposed: whoever approves an id approves exactly this."""
        told = {key: value for key, value in asdict(self).items() if key != "answer"}
        return files.digest(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass"))

    @property
    def over(self) -> bool:
        """Tell whether it has waited for too long."""
        return time.time() - self.time >= LIVES


class Waiting(Protocol):
    """Keep the changes of one policy that wait, and those that were declined until their authors have seen it.

    INVARIANT: of all who approve, decline or withdraw a change at one moment, one succeeds.

    Attributes:
        damaged: how many changes could not be read, as of the last look.
    """

    damaged: int

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first; what is damaged is left out and counted.

        Raises:
            FileError: it can't be read.
        """
        ...

    def declined(self) -> tuple[Pending, ...]:
        """Return what was declined, the oldest first.

        Raises:
            FileError: it can't be read.
        """
        ...

    def put(self, pending: Pending) -> None:
        """Keep one.

        Raises:
            EditError: too many wait already, or nobody else could see it.
            FileError: it can't be written.
        """
        ...

    def drop(self, name: str, *, answer: Answer | None = None) -> bool:
        """Let one wait no longer; it can't be approved any more.

        Args:
            name: its id.
            answer: kept for its author, when it is declined; None forgets it.

        Returns:
            Whether this was done here; False when somebody else was faster.

        Raises:
            FileError: that can't be written.
            EditError: the same, where replicas share.
        """
        ...

    def forget(self, name: str) -> None:
        """Forget one that was declined, by its id.

        Raises:
            FileError: that can't be written.
        """
        ...

    def settled(self, name: str) -> None:
        """List one no longer that `change` has put in force."""
        ...


class FileWaiting:
    """Keep them in a file beside the policy; one that is damaged is set aside by the next that is written."""

    def __init__(self, policy: Path) -> None:
        """Take the policy's file or folder."""
        self._policy: Final = policy
        self._place: Final = home(policy) / FOLDER / files.real(policy).name / "waiting.json"
        self.damaged = 0

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first."""
        return tuple(each for each in self._known() if each.answer is None)

    def declined(self) -> tuple[Pending, ...]:
        """Return what was declined, the oldest first."""
        return tuple(each for each in self._known() if each.answer is not None)

    def put(self, pending: Pending) -> None:
        """Keep one."""
        with files.locked(home(self._policy)):
            known = [each for each in self._known() if each.id != pending.id]
            _expect_room(known)
            self._write([*known, pending])

    def drop(self, name: str, *, answer: Answer | None = None) -> bool:
        """Let one wait no longer."""
        with files.locked(home(self._policy)):
            if not self.holds(name):
                return False
            self.settle(name, answer=answer)
            return True

    def forget(self, name: str) -> None:
        """Forget one that was declined."""
        with files.locked(home(self._policy)):
            known = self._known()
            left = [each for each in known if each.id != name or each.answer is None]
            if len(left) < len(known):
                self._write(left)

    def settled(self, name: str) -> None:
        """List one no longer: `change` has taken it away where it wrote it."""

    def holds(self, name: str) -> bool:
        """Tell whether one waits; it does so until the lock of the folder is given back, which must be held."""
        return any(each.id == name for each in self.all())

    def settle(self, name: str, *, answer: Answer | None = None) -> None:
        """Do as `drop`, under the folder's lock, which must be held."""
        known = self._known()
        declined = [replace(each, answer=answer) for each in known if each.id == name and answer is not None]
        kept = [each for each in known if each.id != name] + declined
        old = [each for each in kept if each.answer is not None][:-DECLINED]
        self._write([each for each in kept if each not in old])

    def _known(self) -> list[Pending]:
        data = files.content(self._place)
        try:
            told = [] if data is None else json.loads(data)
        except (ValueError, RecursionError):
            told = None
        read = [_pending(each) for each in (told if isinstance(told, list) else [None])]
        self.damaged = read.count(None)
        return [each for each in read if each is not None and not each.over]

    def _write(self, pending: list[Pending]) -> None:
        try:
            self._place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise files.FileError(f"can't keep the change in {self._place.parent}: {files.cause(error)}") from error
        contents = {}
        damaged = files.content(self._place) if self.damaged else None
        if damaged is not None:
            contents[self._place.with_name(f"waiting-damaged-{files.digest(damaged)[:12]}.json")] = damaged
        contents[self._place] = json.dumps([asdict(each) for each in pending]).encode()
        with files.Replacement({files.real(place): data for place, data in contents.items()}) as ready:
            ready.commit({})


class TableWaiting:
    """Keep them among what replicas share."""

    def __init__(self, documents: Documents, board: Board, settled: Table) -> None:
        """Take where they lie, and where they are put in force.

        Args:
            documents: the changes, as each replica knows them, each a moment after the other.
            board: says in one step for all of them who was first.
            settled: ids of those that wait no more. SECURITY: it only grows, so that an engine that comes back as it
                was before, without what `board` noted there, lets none of them wait again.
        """
        self._documents: Final = documents
        self._board: Final = board
        self._settled: Final = settled
        self.damaged = 0

    def all(self) -> tuple[Pending, ...]:
        """Return what waits, the oldest first."""
        return tuple(each for each in self._known() if each.answer is None)

    def declined(self) -> tuple[Pending, ...]:
        """Return what was declined, the oldest first."""
        return tuple(each for each in self._known() if each.answer is not None)

    def put(self, pending: Pending) -> None:
        """Keep one; it counts once other replicas can see it."""
        _expect_room([each for each in self._known() if each.id != pending.id])
        self._documents.put(pending.id, asdict(pending), lives=LIVES)
        if not self._documents.are_written():
            self._documents.drop(pending.id)
            raise EditError("the change could not be told to the other replicas; try again in a moment")

    def drop(self, name: str, *, answer: Answer | None = None) -> bool:
        """Let one wait no longer."""
        pending = next((each for each in self.all() if each.id == name), None)
        if pending is None:
            return False
        try:
            taken = self._board.take(name)
        except BoardError as error:
            raise EditError(str(error)) from error
        self._settled.put(name, b"", lives=SETTLED)
        if taken is None and answer is not None:
            for each in self.declined()[: -DECLINED + 1]:
                self._documents.drop(each.id)
            self._documents.put(name, asdict(replace(pending, answer=answer)), lives=LIVES)
        elif taken is None or taken > TIDY:
            self._documents.drop(name)
        return taken is None

    def forget(self, name: str) -> None:
        """Forget one that was declined."""
        self._documents.drop(name)

    def settled(self, name: str) -> None:
        """List one no longer that is in force."""
        self._settled.put(name, b"", lives=SETTLED)
        self._documents.drop(name)

    def _known(self) -> tuple[Pending, ...]:
        read = [(name, _pending(told)) for name, told in self._documents.all().items()]
        sound = [each for name, each in read if each is not None and each.id == name]
        self.damaged = len(read) - len(sound)
        found = [each for each in sound if not each.over]
        left = [each for each in found if each.answer is not None or self._settled.get(each.id) is None]
        return tuple(sorted(left, key=lambda each: each.time))


def _expect_room(known: list[Pending]) -> None:
    if sum(each.answer is None for each in known) >= MOST:
        raise EditError(f"{MOST} changes wait for approval already; approve or decline some first")


def _pending(told: Any) -> Pending | None:  # noqa: ANN401  what a file held
    try:
        texts = [told[key] for key in ("title", "author", "before")]
        contents = told["files"]
        if not all(isinstance(each, str) for each in (*texts, *told["people"], *contents)):
            return None
        perhaps = (told["reason"], told["subject"], told["email"], *contents.values())
        if not contents or not all(isinstance(each, str | None) for each in perhaps):
            return None
        who = {each for each in (told["subject"], told["email"]) if each is not None}
        # SECURITY: by none of these its author could be kept from approving it, and by no such time would it ever end.
        if not isinstance(told["people"], list | tuple) or not who or not who <= {*told["people"]}:
            return None
        if not math.isfinite(told["time"]):
            return None
        return Pending(
            title=told["title"],
            author=told["author"],
            subject=told["subject"],
            email=told["email"],
            people=tuple(told["people"]),
            reason=told["reason"],
            time=float(told["time"]),
            before=told["before"],
            files=contents,
            answer=None if told["answer"] is None else _answer(told["answer"]),
        )
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return None


def _answer(told: Any) -> Answer:  # noqa: ANN401  what a file held
    if not isinstance(told["by"], str) or not isinstance(told["reason"], str | None):
        raise TypeError
    return Answer(by=told["by"], reason=told["reason"], time=float(told["time"]))
