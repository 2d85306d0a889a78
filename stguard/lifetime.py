"""How long a login counts: `sessions` and `revoked` of a policy. Pure; the moment is an argument."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Final

from stguard.engine import FALSE, View, who_value

if TYPE_CHECKING:
    from stguard.model import Subject
    from stguard.policy import Policy

LATEST: Final = 1e11
"""First number of Unix seconds that is taken for something else."""

SHORTEST: Final = 60.0
"""Seconds that a login must last to be of any use."""

TOKEN: Final = 3600.0
"""Seconds for which providers usually make a token."""


def ends_at(policy: Policy, subject: Subject) -> float:
    """Return the moment from which a login no longer counts, in Unix seconds: inf for never, -inf for not at all.

    `max_age` counts from `auth_time`, or `iat` where that is absent (OpenID Connect Core 1.0, section 2); a revocation
    compares `iat`, or `auth_time`. A moment that is needed and wasn't sent, or can't be used, ends the login; a
    revocation that might name the subject, for all that is known, does too.
    """
    sessions = policy.parts.sessions
    issued, authenticated = _moment(subject, "iat"), _moment(subject, "auth_time")
    end = inf
    if sessions.max_age is not None:
        since = authenticated if authenticated is not None else issued
        end = -inf if since is None else since + sessions.max_age
    if sessions.expire_with_token:
        expires = _moment(subject, "exp")
        end = -inf if expires is None else min(end, expires)
    login = made_at(subject)
    for revocation in policy.parts.revocations:
        if who_value(revocation.who, View(policy.tables, subject, asked=None)) != FALSE and (
            login is None or login < revocation.before
        ):
            return -inf
    return end


def made_at(subject: Subject) -> float | None:
    """Return the moment a login was made, `iat` or else `auth_time`, in Unix seconds; None when it can't be known."""
    issued = _moment(subject, "iat")
    return issued if issued is not None else _moment(subject, "auth_time")


def ended(policy: Policy, subject: Subject, *, at: float, last_seen: float | None = None) -> bool:
    """Tell whether a login no longer counts.

    Args:
        policy: the policy in force.
        subject: whose login it is.
        at: the moment, Unix seconds.
        last_seen: when they last did something, Unix seconds; None counts as when the login was made, and that as
            ended where it can't be known.
    """
    if at >= ends_at(policy, subject):
        return True
    idle = policy.parts.sessions.idle
    seen = made_at(subject) if last_seen is None else last_seen
    return idle is not None and (seen is None or at - seen >= idle)


def lets_in(policy: Policy, subject: Subject, *, at: float) -> bool:
    """Tell whether a sign-in at a moment would count: who is signed out by a change can then come back.

    Args:
        policy: the policy.
        subject: who signs in, with the claims of an earlier login.
        at: the moment of the new login, Unix seconds. It must last for `SHORTEST` seconds.
    """
    moments = {"iat": at, "auth_time": at, "exp": at + TOKEN}
    fresh = {claim: moment for claim, moment in moments.items() if _moment(subject, claim) is not None}
    login = replace(subject, claims={**subject.claims, **fresh})
    return not ended(policy, login, at=at + SHORTEST, last_seen=at)


def _moment(subject: Subject, claim: str) -> float | None:
    """Return a claim that is a moment (RFC 7519, NumericDate), or None when it is absent or no finite number."""
    value = subject.claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        # Beyond the year 5138 it is no moment in seconds; somebody sent milliseconds.
        return float(value) if isfinite(value) and value < LATEST else None
    except OverflowError:
        return None
