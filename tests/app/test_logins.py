"""A login that no longer counts is nobody's, in every tab and after a reload."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stguard import Policy
from stguard.app import logins
from stguard.lifetime import ends_at

if TYPE_CHECKING:
    import pytest

LIMITED = "stguard: 1\npages: {home: signed_in}\nsessions: {idle: 30m}\n"


def over(policy: Policy, *, iat: float, acts: bool = True) -> bool:
    subject = policy.subject({"sub": f"{iat}", "iss": "https://id.example", "iat": iat})
    assert subject is not None
    return logins.over(policy, subject, ends_at=ends_at(policy, subject), acts=acts)


def test_a_login_counts_while_somebody_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, start = Policy.from_yaml(LIMITED), time.time()
    for minute in (0, 20, 40, 60):
        monkeypatch.setattr(time, "time", lambda minute=minute: start + 60 * minute)
        assert not over(policy, iat=start)
    monkeypatch.setattr(time, "time", lambda: start + 60 * 90)
    assert over(policy, iat=start)
    assert over(policy, iat=start), "what has ended does not come back by trying again"


def test_a_fragment_that_runs_by_itself_does_not_keep_a_login_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, start = Policy.from_yaml(LIMITED), time.time() + 1000
    monkeypatch.setattr(time, "time", lambda: start)
    assert not over(policy, iat=start)
    monkeypatch.setattr(time, "time", lambda: start + 1799)
    assert not over(policy, iat=start, acts=False)
    monkeypatch.setattr(time, "time", lambda: start + 1800)
    assert over(policy, iat=start)


def test_an_old_login_that_this_process_never_saw_is_over() -> None:
    assert over(Policy.from_yaml(LIMITED), iat=time.time() - 1801)


def test_a_page_of_an_ended_login_asks_to_sign_in_again(desk: Any, claims: Any, shown: Any) -> None:
    desk.policy("stguard: 1\npages: {home: signed_in}\nsessions: {max_age: 1h}\n")
    at = desk.main("def home():\n    st.write('secret')\nsg.navigation([st.Page(home)]).run()")
    old = at.run({**claims("vera"), "iat": time.time() - 3601})
    assert "secret" not in shown(old)
    assert "Please sign in again" in shown(old)
    assert "secret" in shown(at.run({**claims("vera"), "iat": time.time()}))
