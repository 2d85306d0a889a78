from __future__ import annotations

import pytest

from stguard.accounts.throttle import ACCOUNT, ADDRESS, DAY, Attempt, Counts, Throttle, network

ANN = Attempt(account="ann", known=True, address="192.0.2.1")


def failures(throttle: Throttle, who: Attempt, *, start: float = 0.0, count: int = 10_000, until: float) -> int:
    """Try as fast as is allowed, and return how often a password was looked at."""
    now, looked = start, 0
    while now < until and looked < count:
        wait = throttle.attempt(who, now=now)
        if wait > 0:
            now += wait
        else:
            looked += 1
    return looked


def test_the_first_failures_cost_nothing_and_then_the_wait_doubles() -> None:
    throttle = Throttle()
    waits, now = [], 0.0
    for _ in range(16):
        wait = throttle.attempt(ANN, now=now)
        waits.append(wait)
        if wait:
            now += wait
            assert throttle.attempt(ANN, now=now) == 0
    assert waits[:5] == [0] * 5
    assert waits[5:] == [30, 60, 120, 240, 480, *[900] * 6]


def test_an_attempt_that_was_refused_does_not_make_the_wait_longer() -> None:
    throttle = Throttle()
    failures(throttle, ANN, count=5, until=1)
    for _ in range(100):
        assert throttle.attempt(ANN, now=0.5) == pytest.approx(29.5)


def test_attempts_side_by_side_count_before_they_are_looked_at() -> None:
    throttle = Throttle()
    assert sum(throttle.attempt(ANN, now=0.0) == 0 for _ in range(100)) == ACCOUNT.free


def test_a_hundred_failures_leave_an_attempt_a_day() -> None:
    throttle = Throttle()
    first = failures(throttle, ANN, until=DAY)
    assert first <= 110
    assert failures(throttle, ANN, start=3 * DAY, until=5.5 * DAY) <= 3


def test_an_attack_cannot_lock_out_the_browser_that_has_signed_in_before() -> None:
    throttle = Throttle()
    failures(throttle, ANN, until=2 * DAY)
    own = Attempt(account="ann", known=True, address="192.0.2.1", browser="proof")
    assert throttle.attempt(ANN, now=2 * DAY) > 0
    assert throttle.attempt(own, now=2 * DAY) == 0


def test_a_browser_that_has_signed_in_is_throttled_too() -> None:
    throttle = Throttle()
    own = Attempt(account="ann", known=True, address="192.0.2.1", browser="proof")
    assert failures(throttle, own, until=DAY) <= 110


def test_success_forgets_the_failures_of_the_account_and_not_those_of_the_address() -> None:
    throttle = Throttle()
    mallory = Attempt(account="mallory", known=True, address=ANN.address)
    guesses = 0
    for number in range(200):
        victim = Attempt(account=f"victim{number}", known=True, address=ANN.address)
        guesses += throttle.attempt(victim, now=0.0) == 0
        if throttle.attempt(mallory, now=0.0) == 0:
            throttle.succeeded(mallory)
    assert guesses == ADDRESS.free
    assert throttle.attempt(Attempt(account="mallory", known=True, address="192.0.2.9"), now=0.0) == 0


def test_one_address_waits_whatever_names_it_tries() -> None:
    throttle = Throttle()
    tried = [Attempt(account=f"n{number}", known=bool(number % 2), address="192.0.2.1") for number in range(50)]
    assert sum(throttle.attempt(each, now=0.0) == 0 for each in tried) == ADDRESS.free
    assert throttle.attempt(Attempt(account="n1", known=True, address="192.0.2.2"), now=0.0) == 0


def test_names_that_nobody_has_are_refused_as_accounts_are() -> None:
    waits = []
    for known in (True, False):
        throttle = Throttle()
        waits.append([throttle.attempt(Attempt(account="x", known=known, address="a"), now=i / 4) for i in range(20)])
    assert waits[0] == waits[1]


def test_a_flood_of_invented_names_does_not_reset_an_account() -> None:
    throttle = Throttle()
    failures(throttle, ANN, count=5, until=1)
    for number in range(30_000):
        throttle.attempt(Attempt(account=f"n{number}", known=False, address=f"a{number}"), now=0.0)
    assert throttle.attempt(Attempt(account="ann", known=True, address="fresh"), now=0.0) > 0


def test_memory_is_bounded() -> None:
    counts = Counts(ACCOUNT, remembered=3)
    for number in range(10):
        counts.charge(str(number), now=0.0)
    assert len(counts._failures) == 3


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_addresses_of_one_place_count_together(address: str | None, shown: str) -> None:
    assert network(address) == shown
