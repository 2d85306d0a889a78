"""What the audit is told of decisions: a refusal always, what is allowed once."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache, partial
from math import inf
from typing import TYPE_CHECKING, Final

from stguard.audit import Actor, Event, Record, impersonal
from stguard.model import PAGE_ACTION

if TYPE_CHECKING:
    from collections.abc import Hashable

    from stguard.analysis.grants import Grants
    from stguard.audit import Trail
    from stguard.model import Decision, Subject
    from stguard.policy import Policy

TOLD_LIMIT: Final = 4096
"""Most allowed actions that are remembered as told; then it begins anew."""

EVERY: Final = 60.0
"""Seconds in which requests of nobody for the same are told once."""

ORG_LENGTH: Final = 200
"""Most characters of an org that are told: the address can name any."""


class Told:
    """Remember what the audit was told that is told once."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        """Start with nothing told."""
        self._lines: set[Hashable] = set()

    def first(self, decision: Decision, *who: Hashable) -> bool:
        """Tell whether the audit is to be told of a decision: a refusal always, what is allowed once.

        Args:
            decision: what was decided.
            who: for whom.
        """
        if not decision.allowed:
            return True
        line = (decision.org, decision.action, *who)
        if line in self._lines:
            return False
        if len(self._lines) >= TOLD_LIMIT:
            self._lines = set()  # at once: threads share it
        self._lines.add(line)
        return True


class Nobodies:
    """Remember when it was told what requests were allowed and refused that name nobody.

    SECURITY: else anybody could fill the audit until the oldest records go, a thousand requests a second.
    """

    __slots__ = ("_at",)

    def __init__(self) -> None:
        """Start with nothing told."""
        self._at: dict[tuple[str, bool], float] = {}

    def is_due(self, decision: Decision) -> bool:
        """Tell whether the audit is to be told of a decision about nobody: once a minute for each action and answer."""
        line, now = (decision.action, decision.allowed), time.monotonic()
        if now - self._at.get(line, -inf) < EVERY:
            return False
        self._at[line] = now
        return True


def action(decision: Decision, policy: Policy) -> str:
    """Return what was asked as records name it: a permission, a page, or `rule` for what code asks in its own words.

    Args:
        decision: what was decided.
        policy: what decided.
    """
    asked = decision.action
    # SECURITY: the words of a rule in code name e-mails and claims.
    return asked if asked.startswith(PAGE_ACTION) or asked in policy.permissions else "rule"


def actor(subject: Subject | None, *, session: str | None) -> Actor:
    """Return who did something, as records name them.

    Args:
        subject: who; None for nobody signed in.
        session: id of the browser session; None outside one.
    """
    return Actor(
        subject=None if subject is None else subject.id,
        impersonator=None if subject is None else subject.impersonator,
        session=None if session is None else _digest(session),
    )


def tell(
    trail: Trail,
    decision: Decision,
    *,
    subject: Subject | None,
    policy: Policy,
    session: str | None = None,
    event: Event = Event.DECISION,
) -> None:
    """Tell the audit of a decision. Never waits, never raises.

    Args:
        trail: hands the record on.
        decision: what was decided.
        subject: for whom; None for nobody signed in.
        policy: what decided.
        session: id of the browser session; None outside one.
        event: what it is about.
    """
    trail.tell(partial(_record, event, subject, decision, policy, session))


def _record(event: Event, subject: Subject | None, decision: Decision, policy: Policy, session: str | None) -> Record:
    """Make the record of a decision. In the audit's thread: which assignments gave it takes a while to find out."""
    used: tuple[str, ...] = ()
    if event is not Event.VIEW_AS:  # nobody uses an assignment by looking
        used = _grants(policy).used(subject, decision.action, org=decision.org, at=decision.at)
    return Record.of(
        actor(subject, session=session),
        at=decision.at,
        event=event,
        org=None if decision.org is None else decision.org[:ORG_LENGTH],
        action=action(decision, policy),
        allowed=decision.allowed,
        reason=decision.reason.value,
        rule=None if decision.rule is None else impersonal(decision.rule),
        policy=policy.version,
        grants=tuple(map(impersonal, used)),
    )


def _digest(session: str) -> str:
    return hashlib.blake2b(session.encode(), digest_size=8).hexdigest()  # who knows the id could upload to it


@lru_cache(maxsize=4)
def _grants(policy: Policy) -> Grants:
    from stguard.analysis.grants import Grants  # noqa: PLC0415  only an audit needs it

    return Grants(policy)
