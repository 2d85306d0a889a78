"""Which logins still count: `sessions` and `revoked` of the policy, and when somebody last did something.

The last moment is kept for a login, not for a tab: a reload or a second tab is the same login. It lives in this
process, and at other replicas where there are some; a login that nobody has seen yet counts as idle since it was made.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from stguard import lifetime
from stguard.app import localaccounts, replicas

if TYPE_CHECKING:
    from stguard.model import Subject
    from stguard.policy import Policy

LOGINS_LIMIT: Final = 100_000
"""Most logins remembered; the one unseen for longest is forgotten first, and then counts from its beginning."""

Login = tuple[tuple[str, ...], float | None]

TELLINGS: Final = 20
"""How often within `sessions.idle` other replicas are told of a login that acts; it looks idle there so much sooner."""

_lock: Final = threading.Lock()
_last_seen: Final[dict[Login, float]] = {}


def over(policy: Policy, subject: Subject, *, ends_at: float, acts: bool) -> bool:
    """Tell whether a login no longer counts now, and remember that somebody does something with it.

    Args:
        policy: the policy in force.
        subject: whose login it is.
        ends_at: `lifetime.ends_at` of the two, worked out before.
        acts: whether this is something a person does; a fragment that runs by itself is not.
    """
    now = time.time()
    if now >= ends_at or localaccounts.ended(subject.claims):
        return True
    idle = policy.parts.sessions.idle
    if idle is None:
        return False
    made = lifetime.made_at(subject)
    login = (subject.ids, made)
    others = replicas.current()
    with _lock:
        seen = _last_seen.get(login, made)
        if others is not None:
            seen = _latest(seen, others.last_seen(login, now=now))
        if seen is None or now - seen >= idle:
            return True
        if acts:
            _last_seen.pop(login, None)  # the newest stands last
            _last_seen[login] = now
            if others is not None:
                others.saw(login, every=idle / TELLINGS)
            if len(_last_seen) > LOGINS_LIMIT:
                del _last_seen[next(iter(_last_seen))]
    return False


def _latest(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else max(one, other)
