"""How long a login counts."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from stguard import Policy
from stguard.lifetime import ended, ends_at

NOW = 1_800_000_000.0
ANN = {"sub": "1", "iss": "https://id.example", "email": "ann@acme.com", "email_verified": True}


def policy(*lines: str) -> Policy:
    return Policy.from_yaml("\n".join(["stguard: 1", "pages: {home: signed_in}", *lines]), now=NOW)


def end(policy: Policy, claims: dict[str, Any]) -> float:
    subject = policy.subject(ANN | claims)
    assert subject is not None
    return ends_at(policy, subject)


def test_without_limits_a_login_never_ends() -> None:
    assert end(policy(), {}) == inf


def test_the_age_counts_from_the_authentication_not_from_the_token() -> None:
    limited = policy("sessions: {max_age: 12h}")
    assert end(limited, {"auth_time": NOW, "iat": NOW + 100}) == NOW + 43200
    assert end(limited, {"iat": NOW}) == NOW + 43200


@pytest.mark.parametrize("iat", [None, "1800000000", True, [1], float("nan"), float("inf"), 10**400])
def test_an_age_that_can_not_be_known_has_passed(iat: Any) -> None:
    assert end(policy("sessions: {max_age: 12h}"), {"iat": iat}) == -inf


def test_the_end_of_the_token_counts_only_when_the_policy_says_so() -> None:
    assert end(policy(), {"exp": NOW}) == inf
    assert end(policy("sessions: {expire_with_token: true}"), {"exp": NOW}) == NOW
    assert end(policy("sessions: {expire_with_token: true}"), {}) == -inf


REVOKED = 'revoked: [{email: ann@acme.com, before: "2026-11-20T09:00:00Z"}]'
MOMENT = 1_795_165_200.0


def test_a_login_before_the_revocation_no_longer_counts_and_a_later_one_does() -> None:
    assert end(policy(REVOKED), {"iat": MOMENT - 1}) == -inf
    assert end(policy(REVOKED), {"iat": MOMENT}) == inf
    assert end(policy(REVOKED), {}) == -inf


def test_a_revocation_of_somebody_else_changes_nothing() -> None:
    assert end(policy(REVOKED), {"email": "bob@acme.com", "iat": 1}) == inf


def test_a_revocation_that_might_name_the_subject_applies() -> None:
    assert end(policy(REVOKED), {"email_verified": False, "iat": 1}) == -inf


def test_idle_counts_from_the_last_thing_done() -> None:
    limited = policy("sessions: {idle: 30m}")
    subject = limited.subject(ANN)
    assert subject is not None
    assert not ended(limited, subject, at=NOW, last_seen=NOW - 1799)
    assert ended(limited, subject, at=NOW, last_seen=NOW - 1800)


def test_who_was_never_seen_is_idle_since_the_login_was_made() -> None:
    limited = policy("sessions: {idle: 30m}")
    for iat, over in ((NOW - 1800, True), (NOW - 1799, False), (None, True)):
        subject = limited.subject(ANN | {"iat": iat})
        assert subject is not None
        assert ended(limited, subject, at=NOW) is over
