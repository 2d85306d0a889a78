"""A table means the same in one process and on many replicas; on many it outlives breaks, restarts and lost writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stguard.shared.link import Contact, Link
from stguard.shared.table import LocalTable, SharedTable
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable

Make = "Callable[..., LocalTable]"


class Clock:
    """Be a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["local", "shared"])
def make(request: pytest.FixtureRequest) -> Callable[..., LocalTable]:
    """Make a table of each kind: what is said of one holds for the other."""

    def local(**options: Any) -> LocalTable:
        return LocalTable(**options)

    def shared(**options: Any) -> LocalTable:
        link: Link = request.getfixturevalue("replica")()
        table = SharedTable(link, "table", **options)
        assert link.start(patience=10)
        return table

    return local if request.param == "local" else shared


def test_what_was_put_is_found_until_it_ends(make: Callable[..., LocalTable]) -> None:
    clock = Clock()
    table = make(clock=clock)
    table.put("a", b"1", lives=10)
    table.put("b", b"", lives=20)
    assert (table.get("a"), table.get("b"), table.get("c")) == (b"1", b"", None)
    assert dict(table.items()) == {"a": b"1", "b": b""}
    clock.now += 10
    assert (table.get("a"), table.get("b")) == (None, b"")
    assert dict(table.items()) == {"b": b""}


def test_what_was_dropped_is_gone_and_may_come_back(make: Callable[..., LocalTable]) -> None:
    table = make()
    table.put("a", b"1", lives=10)
    table.drop("a")
    table.drop("never there")
    assert table.get("a") is None
    assert dict(table.items()) == {}
    table.put("a", b"2", lives=10)
    assert table.get("a") == b"2"


def test_a_full_table_forgets_first_what_ends_first(make: Callable[..., LocalTable]) -> None:
    table = make(limit=3)
    for number in range(5):
        table.put(str(number), b"x", lives=100 + number)
    assert dict(table.items()) == {"2": b"x", "3": b"x", "4": b"x"}


def two(replica: Callable[..., Link]) -> tuple[SharedTable, SharedTable, Link, Link]:
    here, there = replica(), replica()
    one, other = SharedTable(here, "t"), SharedTable(there, "t")
    assert here.start(patience=10)
    assert there.start(patience=10)
    return one, other, here, there


def test_every_replica_learns_what_one_puts_and_drops(replica: Callable[..., Link]) -> None:
    one, other, _, _ = two(replica)
    heard: list[tuple[str, bytes | None]] = []
    other.listen(lambda key, value: heard.append((key, value)))
    one.put("a", b"1", lives=60)
    assert one.get("a") == b"1"
    until(lambda: other.get("a") == b"1")
    one.drop("a")
    until(lambda: other.get("a") is None)
    assert heard == [("a", b"1"), ("a", None)]


def test_a_replica_that_comes_later_knows_everything(replica: Callable[..., Link]) -> None:
    first = replica()
    table = SharedTable(first, "t")
    for number in range(2500):
        table.put(str(number), b"x", lives=60)
    first.start(patience=10)
    until(lambda: table.waits == 0)
    later = replica()
    found = SharedTable(later, "t")
    assert later.start(patience=10)
    until(lambda: len(found.items()) == 2500)


def test_a_message_that_is_lost_costs_a_look_at_the_head(replica: Callable[..., Link], engine: Engine) -> None:
    one, other, _, _ = two(replica)
    with engine.client() as client:
        # As if nobody had been told.
        client.config_set("notify-keyspace-events", "")
        for each in client.client_list(_type="pubsub"):
            client.client_kill_filter(_id=each["id"])
    one.put("a", b"1", lives=60)
    until(lambda: other.get("a") == b"1")


def test_what_is_put_while_the_engine_is_away_arrives_when_it_is_back(
    replica: Callable[..., Link], engine: Engine
) -> None:
    one, other, here, there = two(replica)
    one.put("before", b"1", lives=60)
    until(lambda: other.get("before") == b"1")
    engine.stop()
    until(lambda: here.contact is Contact.LOST and there.contact is Contact.LOST)
    one.put("meanwhile", b"2", lives=60)
    assert one.get("meanwhile") == b"2"
    engine.start()
    until(lambda: other.get("meanwhile") == b"2")


def test_an_engine_that_restarts_empty_is_told_again_what_replicas_know(
    replica: Callable[..., Link], engine: Engine
) -> None:
    one, other, here, _ = two(replica)
    one.put("a", b"1", lives=60)
    until(lambda: other.get("a") == b"1")
    engine.stop()
    engine.start()
    until(lambda: here.contact is Contact.HELD)
    later = replica()
    found = SharedTable(later, "t")
    assert later.start(patience=10)
    until(lambda: found.get("a") == b"1")


def test_an_engine_that_is_emptied_under_the_connection_is_told_again(
    replica: Callable[..., Link], engine: Engine
) -> None:
    one, other, _, _ = two(replica)
    one.put("a", b"1", lives=60)
    until(lambda: other.get("a") == b"1")
    with engine.client() as client:
        client.flushall()
        until(lambda: client.hlen("{stguard}:t") == 1)


def test_a_frozen_engine_holds_nobody(replica: Callable[..., Link], engine: Engine) -> None:
    one, _, here, _ = two(replica)
    engine.freeze()
    try:
        one.put("a", b"1", lives=60)
        assert one.get("a") == b"1"
        until(lambda: here.contact is Contact.LOST)
    finally:
        engine.thaw()
    until(lambda: here.contact is Contact.HELD and one.waits == 0)


def test_a_full_engine_keeps_what_it_can_not_take_waiting(replica: Callable[..., Link], engine: Engine) -> None:
    one, other, here, _ = two(replica)
    with engine.client() as client:
        client.config_set("maxmemory", 1)
        one.put("a", b"1", lives=60)
        until(lambda: one.waits == 1)
        assert one.get("a") == b"1"
        assert other.get("a") is None
        client.config_set("maxmemory", 0)
    until(lambda: other.get("a") == b"1")
    assert here.contact is Contact.HELD


def test_copies_grow_old_without_contact_and_young_again_with_it(replica: Callable[..., Link], engine: Engine) -> None:
    clock = Clock()
    link = replica(clock=clock, stale=30.0)
    SharedTable(link, "t")
    assert link.start(patience=10)
    assert link.age == 0
    engine.stop()
    until(lambda: link.contact is Contact.LOST)
    clock.now += 29
    assert (link.age, link.is_stale) == (29, False)
    clock.now += 1
    assert (link.age, link.is_stale) == (30, True)
    engine.start()
    until(lambda: not link.is_stale)


@pytest.mark.parametrize("grows", [False, True], ids=["naive", "only grows"])
@pytest.mark.parametrize("how", ["dropped", "shortened"])
def test_who_writes_to_the_engine_takes_nothing_back_from_a_table_that_only_grows(
    replica: Callable[..., Link],
    engine: Engine,
    how: str,
    grows: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    link = replica()
    table = SharedTable(link, "t", only_grows=grows)
    assert link.start(patience=10)
    table.put("login", b"", lives=3600)
    until(lambda: table.waits == 0 and table.seen == 1)
    with engine.client() as client:
        if how == "dropped":
            client.hset("{stguard}:t", "login", b"-")
        else:
            client.zadd("{stguard}:t:ends", {"login": 1})
        client.zadd("{stguard}:t:order", {"login": 2})
        client.set("{stguard}:t:head", 2)
    until(lambda: (table.seen or 0) >= 2)
    assert (table.get("login") is not None) is grows
    if grows:
        with engine.client() as client:
            until(
                lambda: client.hget("{stguard}:t", "login") == b"+" and client.zscore("{stguard}:t:ends", "login") > 1
            )
