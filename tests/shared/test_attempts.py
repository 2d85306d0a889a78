"""A guess at one replica counts at all of them, by the same rules as in one process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from stguard.accounts.throttle import DAY, LOCKED_AFTER, Attempt, Kind, Throttle
from stguard.shared.attempts import SharedAttempts
from stguard.shared.table import SharedTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.shared.link import Link
    from tests.shared.engine import Engine

ANN = Attempt(account="ann", known=True, address="192.0.2.1")


@pytest.fixture
def join(replica: Callable[..., Link]) -> Callable[[], SharedAttempts]:
    def make() -> SharedAttempts:
        link = replica()
        SharedTable(link, "any")
        assert link.start(patience=10)
        return SharedAttempts(link)

    return make


def test_a_hundred_guesses_at_once_at_four_replicas_count_as_a_hundred(join: Callable[[], SharedAttempts]) -> None:
    replicas = [join() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda number: replicas[number % 4].attempt(ANN), range(100)))
    assert waits.count(0.0) == Kind.ACCOUNT.limit.free
    assert all(29 < wait <= 30 for wait in waits if wait)


@pytest.mark.parametrize("failures", [0, 1, 4, 5, 6, 7, 10, 19, 20, 99, 100, 5000])
@pytest.mark.parametrize("known", [True, False])
def test_the_wait_is_that_of_one_process(
    join: Callable[[], SharedAttempts], engine: Engine, failures: int, *, known: bool
) -> None:
    who = Attempt(account="ann", known=known, address=f"198.51.100.{failures % 250}")
    alone = Throttle()
    for kind, key in who.counted:
        alone._counts[kind]._failures[key] = failures, 0.0
    shared = join()
    with engine.client() as client:
        seconds, _ = client.time()
        for kind, key in who.counted:
            name = shared._link.vault.name(f"attempt {kind.value}", key)
            client.set(f"{{stguard}}:attempt:{name}", f"{failures}:{seconds * 1000}")
    expected = alone.attempt(who, now=0.0)
    assert shared.attempt(who) == pytest.approx(expected, abs=2.0)
    assert (expected == DAY) is (failures >= LOCKED_AFTER)


def test_a_count_of_the_future_makes_nobody_wait_for_it(join: Callable[[], SharedAttempts], engine: Engine) -> None:
    shared = join()
    with engine.client() as client:
        seconds, _ = client.time()
        for kind, key in ANN.counted:
            name = shared._link.vault.name(f"attempt {kind.value}", key)
            client.set(f"{{stguard}}:attempt:{name}", f"1:{(seconds + 3600) * 1000}")
    assert shared.attempt(ANN) == 0


def test_a_right_password_clears_the_account_everywhere_and_gives_the_address_one_back(
    join: Callable[[], SharedAttempts],
) -> None:
    one, other = join(), join()
    mallory = Attempt(account="mallory", known=True, address=ANN.address)
    guesses = 0
    for number in range(60):
        guesses += one.attempt(Attempt(account=f"victim{number}", known=True, address=ANN.address)) == 0
        if other.attempt(mallory) == 0:
            other.succeeded(mallory)
    assert guesses == Kind.ADDRESS.limit.free
    assert one.attempt(Attempt(account="mallory", known=True, address="192.0.2.9")) == 0


def test_an_attack_at_one_replica_does_not_lock_out_a_browser_that_has_signed_in_before(
    join: Callable[[], SharedAttempts],
) -> None:
    one, other = join(), join()
    while one.attempt(ANN) == 0:
        pass
    assert other.attempt(Attempt(account="ann", known=True, address="203.0.113.5")) > 0
    assert other.attempt(Attempt(account="ann", known=True, address=ANN.address, browser="proof")) == 0


def test_nobodys_name_or_address_stands_in_the_engine_and_counts_end_by_themselves(
    join: Callable[[], SharedAttempts], engine: Engine
) -> None:
    shared = join()
    shared.attempt(ANN)
    with engine.client() as client:
        keys = client.keys("{stguard}:attempt:*")
        assert len(keys) == 2
        assert not any(b"ann" in key or b"192" in key for key in keys)
        assert {round(client.pttl(key) / 1000) for key in keys} == {7 * 86400, 3600}


def test_without_an_engine_nobody_waits_for_it_and_each_replica_counts_by_itself(
    join: Callable[[], SharedAttempts], engine: Engine
) -> None:
    shared = join()
    engine.stop()
    assert shared.attempt(ANN) == 0
    shared.succeeded(ANN)
