"""The shared policy in force in this process: judged here before it counts, never replaced by a worse one.

What reads it waits for nothing: a change is read and judged in the link's thread, and taken over at once and whole.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stguard import policyfile
from stguard.errors import ConfigurationError, PolicyFileError, Problem, Severity
from stguard.files import ChangedMeanwhileError
from stguard.policy import Policy
from stguard.policyfile import source
from stguard.policyfile.ledger import Ledger
from stguard.shared.board import BoardError
from stguard.shared.link import Contact
from stguard.tally import Readings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stguard.shared.board import Posted, SharedBoard
    from stguard.shared.kept import Kept
    from stguard.shared.link import Link

AGAIN: Final = 1.0
"""Seconds between two tries to begin the shared policy with the files beside the app."""

KEPT_AS: Final = "policy"
"""Name of the copy of the policy among what a replica keeps."""

_LOG: Final = logging.getLogger("stguard")


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """One posted policy as it was judged here.

    Attributes:
        order: serial and code of what was posted, which only grow; (0, "") for nothing.
        policy: the last good policy; None when there never was one.
        error: what is wrong with what is posted now; None when it is in force.
        since: the monotonic clock's seconds at which this version of the policy came into force; None without one.
        readings: those so far, this one among them.
    """

    order: tuple[int, str]
    policy: Policy | None
    error: PolicyFileError | None
    since: float | None = None
    readings: Readings = Readings()  # noqa: RUF009  frozen

    def then(self, order: tuple[int, str], read: Policy | PolicyFileError) -> _Loaded:
        """Return what counts after one more was judged."""
        if not isinstance(read, Policy):
            return _Loaded(order, self.policy, read, self.since, self.readings.and_one(loaded=False))
        same = self.policy is not None and self.policy.version == read.version
        since = self.since if same else time.monotonic()
        return _Loaded(order, read, None, since, self.readings.and_one(loaded=True))


_NOTHING: Final = _Loaded((0, ""), None, None)


def _order(posted: Posted) -> tuple[int, str]:
    return posted.serial, posted.code


class SharedPolicy:
    """Keep the policy that all replicas have in force in force here. Stands where a `PolicyStore` may.

    INVARIANT: a copy that is too old to decide by decides nothing.

    Attributes:
        path: the policy file or folder beside the app; it begins the shared policy when there is none.
        on_bad_edit: as for `PolicyStore`.
        board: holds the files, for who edits.
    """

    def __init__(self, board: SharedBoard, link: Link, *, path: Path, kept: Kept, on_bad_edit: str = "keep") -> None:
        """Take what is posted, now and later.

        Args:
            board: where policies are posted.
            link: its connection.
            path: the policy file or folder beside the app.
            kept: what this replica keeps on its disk.
            on_bad_edit: `keep` or `deny`.

        Raises:
            ConfigurationError: `on_bad_edit` is neither.
        """
        if on_bad_edit not in {"keep", "deny"}:
            raise ConfigurationError(f"on_bad_edit is `keep` or `deny`, got `{on_bad_edit}`")
        self.path: Final = path
        self.on_bad_edit: Final = on_bad_edit
        self._link: Final = link
        self._kept: Final = kept
        self._lock: Final = threading.Lock()
        self._seeding: Final = threading.Lock()
        self._loaded = _NOTHING
        self._seeded_at: float | None = None
        self.board: Final = board
        board.listen(self._hear)
        self._hear(board.current())

    def current(self) -> Policy:
        """Return the policy in force now. Waits only where replicas share none yet: then the files beside the app do.

        Raises:
            PolicyFileError: no policy was ever read, what is known is too old to decide by, or the last edit is bad and
                `on_bad_edit` is `deny`.
        """
        loaded = self._loaded
        if self._link.is_stale:
            raise self._refusal("stale", "the policy that replicas share has not been seen for too long")
        if loaded.order == _NOTHING.order and self._link.contact is Contact.HELD:
            loaded = self._seed()
        if loaded.policy is not None and (loaded.error is None or self.on_bad_edit == "keep"):
            return loaded.policy
        if loaded.error is not None:
            raise loaded.error
        if self._link.contact is Contact.NEVER:
            raise self._refusal("unreachable", "what replicas share can't be reached, and no copy is kept on the disk")
        if self.board.is_refused:
            raise self._refusal(
                "another-secret",
                "the policy that replicas share was written with another secret; give each replica the same one",
            )
        raise self._refusal("no-policy", "replicas share no policy yet")

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of what is posted: errors when the last edit was bad, else the warnings."""
        loaded = self._loaded
        if loaded.error is not None:
            return loaded.error.problems
        return loaded.policy.problems if loaded.policy is not None else ()

    @property
    def is_outdated(self) -> bool:
        """Whether what is known is too old to decide by."""
        return self._link.is_stale

    @property
    def readings(self) -> Readings:
        """How often what was posted was judged here so far, and what came of it."""
        return self._loaded.readings

    @property
    def badly_edited(self) -> bool:
        """Whether what is posted now can't be put in force."""
        return self._loaded.error is not None

    @property
    def age(self) -> float | None:
        """Seconds since the last good policy, by its version, came into force in this process; None without one."""
        since = self._loaded.since
        return None if since is None else time.monotonic() - since

    # --- in the link's thread

    def _hear(self, posted: Posted | None) -> None:
        if posted is not None and _order(posted) > self._loaded.order:
            self._judge(posted)

    def _judge(self, posted: Posted) -> None:
        with self._lock:
            before = self._loaded
            if _order(posted) <= before.order:
                return  # what was read first may be told last
            read = self._read(posted.contents)
            if isinstance(read, PolicyFileError):
                self._report(read, before.policy)
            self._loaded = before.then(_order(posted), read)
        if isinstance(read, Policy):
            self._kept.write(KEPT_AS, posted.as_json(), serial=posted.serial)

    def _read(self, contents: Mapping[str, bytes]) -> Policy | PolicyFileError:
        try:
            return Policy.from_texts(self._named(contents), now=time.time())
        except PolicyFileError as error:
            return error
        except Exception as error:  # noqa: BLE001  whatever a text makes the reader do, the last good policy stays
            return self._refusal("unreadable", f"the reader failed ({type(error).__name__})")
        finally:
            policyfile.forget()

    def _named(self, contents: Mapping[str, bytes]) -> list[tuple[str, str]]:
        folder = self.path.is_dir() or len(contents) > 1
        return [
            (source.shown(self.path / name if folder else self.path), data.decode("utf-8", "surrogateescape"))
            for name, data in contents.items()
        ]

    def _seed(self) -> _Loaded:
        """Begin the shared policy with the files beside the app, when they are right; return what is in force then."""
        with self._seeding:
            now = time.monotonic()
            soon = self._seeded_at is not None and now - self._seeded_at < AGAIN
            if self._loaded.order != _NOTHING.order or self.board.is_refused or soon:
                return self._loaded  # another thread or replica was first
            self._seeded_at = now
            contents = {
                file.name: data
                for file in source.files(self.path, ledger=Ledger())
                if (data := source.content(file, ledger=Ledger())) is not None
            }
            read = self._read(contents)
            if isinstance(read, PolicyFileError):
                self._reject(read)
                return self._loaded
            try:
                self.board.save(contents, source.version_id(contents), expected="", entries=[], keep=1)
            except ChangedMeanwhileError:
                self._hear(self.board.current())  # what another replica posted; the link may just be at it
            except BoardError as error:
                _LOG.error("replicas: the policy beside the app could not be shared: %s", error)
            else:
                _LOG.info("replicas: the policy beside the app is shared from now on")
            return self._loaded

    def _reject(self, error: PolicyFileError) -> None:
        """Say why the files beside the app begin nothing, unless that is known, or something is posted by now."""
        with self._lock:
            before = self._loaded
            if before.order != _NOTHING.order:
                return
            if before.error is not None and before.error.problems == error.problems:
                return
            self._loaded = before.then(_NOTHING.order, error)
        self._report(error, None)

    def _report(self, error: PolicyFileError, last_good: Policy | None) -> None:
        if last_good is None:
            effect = "no policy in force, everything is refused"
        elif self.on_bad_edit == "keep":
            effect = f"the last good policy, version {last_good.version}, stays in force"
        else:
            effect = "everything is refused"
        problems = "\n".join(str(problem) for problem in error.problems)
        _LOG.error("shared policy refused; %s\n%s", effect, problems)

    def _refusal(self, code: str, message: str) -> PolicyFileError:
        problem = Problem(
            file=source.shown(self.path), line=1, column=1, severity=Severity.ERROR, code=code, message=message
        )
        return PolicyFileError([problem])
