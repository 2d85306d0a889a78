"""Changes that need a second person: whether they do, where they wait, and by whom they were proposed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stguard import edits
from stguard.app import private, replicas
from stguard.app.admin.guarding import EDIT
from stguard.audit import Event, Proposed, Record
from stguard.edits.waiting import FileWaiting, Pending, TableWaiting, Waiting
from stguard.shared.policy import SharedPolicy
from stguard.store import PolicyStore

if TYPE_CHECKING:
    from stguard.app.standing import Standing
    from stguard.edits import Outcome
    from stguard.model import Subject

_required: Final[set[str]] = set()
"""Main scripts whose changes need a second person."""


def require(asked: Standing) -> None:
    """Note that changes of an app need a second person. It stays so until the app restarts.

    SECURITY: two admin pages in one app must not take turns in lifting it.
    """
    _required.add(private.script_key(asked.ctx))


def are_required(asked: Standing) -> bool:
    """Tell whether a change needs a second person."""
    return private.script_key(asked.ctx) in _required


def waiting(asked: Standing) -> Waiting | None:
    """Return where changes wait; None for a policy that code has built."""
    store, others = asked.settings.store, replicas.current()
    if isinstance(store, SharedPolicy):
        return None if others is None else TableWaiting(others.proposals, store.board, others.settled)
    return FileWaiting(store.path) if isinstance(store, PolicyStore) else None


def count(asked: Standing) -> int:
    """Return how many changes wait, were declined and are of who asks, or are damaged; 0 where none can be read."""
    place = waiting(asked)
    try:
        return 0 if place is None else len(place.all()) + len(declined(asked, place)) + place.damaged
    except edits.FileError:
        return 0


def declined(asked: Standing, place: Waiting) -> tuple[Pending, ...]:
    """Return what was declined of what who asks has proposed.

    Raises:
        FileError: it can't be read.
    """
    if acts_for_another(asked):
        return ()
    return tuple(each for each in place.declined() if is_author(asked.subject, each))


def is_author(subject: Subject | None, pending: Pending) -> bool:
    """Tell whether somebody is exactly who proposed a change: the same id at the same issuer."""
    if subject is None or (subject.id is None and subject.email is None):
        return False
    return (subject.id, None if subject.id else subject.email) == (
        pending.subject,
        None if pending.subject else pending.email,
    )


def propose(asked: Standing, outcome: Outcome, *, title: str, author: str, reason: str | None) -> None:
    """Keep a change for a second person.

    Args:
        asked: who proposes it.
        outcome: what it does, on the files it names.
        title: the same in a sentence without Markdown.
        author: who proposes it, for the history.
        reason: why; None without any.

    Raises:
        EditError: too many wait already, or nobody could tell who proposed it.
        FileError: it can't be written.
    """
    place, people, who = waiting(asked), known_as(asked.subject), asked.subject
    if acts_for_another(asked):
        raise edits.EditError("who acts as somebody else can't propose a change that needs approval")
    if place is None or who is None or not people:
        raise edits.EditError("a change that needs approval can't be proposed by somebody without an id or an e-mail")
    pending = Pending(
        title=title,
        author=author,
        subject=who.id,
        email=who.email,
        people=people,
        reason=reason,
        time=time.time(),
        before=outcome.before,
        files=outcome.files,
    )
    place.put(pending)
    tell(asked, "proposed", pending, reason=reason, before=outcome.version_before, after=outcome.version)


def acts_for_another(asked: Standing) -> bool:
    """Tell whether somebody acts as who asks.

    SECURITY: sources name whoever acts in forms of their own, so that nothing tells whether it is the same person as a
    second one; who acts as somebody else can neither propose nor approve.
    """
    return asked.subject is not None and asked.subject.impersonator is not None


def known_as(subject: Subject | None) -> tuple[str, ...]:
    """Return every id and address by which somebody is known."""
    if subject is None:
        return ()
    return tuple(dict.fromkeys(each for each in (*subject.ids, subject.email) if each))


def tell(
    asked: Standing,
    what: str,
    pending: Pending,
    *,
    reason: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> None:
    """Tell the audit what became of a proposed change.

    Args:
        asked: who did that.
        what: `proposed`, `approved`, `declined` or `withdrawn`.
        pending: the change.
        reason: why, in their words, of which the audit is told only whether there are any.
        before: version of the policy that it was made on; None when that isn't known.
        after: version of the policy that it makes; None when that isn't known.
    """
    if asked.settings.trail is not None:
        record = Record.of(
            asked.actor,
            at=time.time(),
            event=Event.APPROVAL,
            action=EDIT.names[0],
            allowed=what == "approved",
            reason=what,
            policy=asked.policy.version,
            proposal=Proposed(
                id=pending.id[:16], author=pending.subject, has_reason=reason is not None, before=before, after=after
            ),
        )
        asked.settings.trail.tell(lambda: record)
