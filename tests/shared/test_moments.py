"""Until when somebody's logins have ended means the same in one process and on many, and nothing brings one back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from stguard.moments import LocalMoments, Moments
from stguard.shared.kept import Kept
from stguard.shared.moments import SharedMoments
from stguard.shared.table import SharedTable
from stguard.sources import propelauth
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stguard.shared.link import Link


@pytest.fixture
def moments(replica: Callable[[], Link], tmp_path: Path) -> Callable[[str], SharedMoments]:
    """Make what one replica knows, with a disk of its own."""

    def make(name: str) -> SharedMoments:
        link = replica()
        made = SharedMoments(link, kept=Kept(tmp_path / name))
        link.start(patience=10)
        return made

    return make


@pytest.fixture(params=["local", "shared"])
def one(request: pytest.FixtureRequest) -> Moments:
    if request.param == "local":
        return LocalMoments()
    shared: Moments = request.getfixturevalue("moments")("one")
    return shared


def test_the_latest_moment_counts(one: Moments) -> None:
    assert one.moment("ann") is None
    for moment in (1000.0, 3000.0, 2000.0):
        one.end("ann", moment)
    found = one.moment("ann")
    assert found is not None
    assert 3000.0 <= found <= 3000.002
    assert one.moment("bob") is None


def test_who_was_ended_longest_ago_is_forgotten_first() -> None:
    few = LocalMoments(limit=2)
    for who in ("a", "b", "a", "c"):
        few.end(who, 1.0)
    assert (few.moment("a"), few.moment("b"), few.moment("c")) == (1.0, None, 1.0)


def test_another_replica_hears_of_it_and_nobody_reads_who(
    moments: Callable[[str], SharedMoments], engine: Engine
) -> None:
    here, there = moments("here"), moments("there")
    here.end("ann-of-acme", 5000.0)
    until(lambda: there.moment("ann-of-acme") is not None)
    with engine.client() as client:
        keys = list(client.scan_iter("*signed-out"))
        assert keys
        assert b"ann-of-acme" not in b"".join(b"".join(client.hgetall(key)) for key in keys)


def test_it_outlives_a_restart_of_engine_and_replica(
    moments: Callable[[str], SharedMoments], engine: Engine, replica: Callable[[], Link], tmp_path: Path
) -> None:
    moments("here").end("ann", 5000.0)
    until((tmp_path / "here" / "signed-out.json").exists)
    engine.stop()
    alone = SharedMoments(replica(), kept=Kept(tmp_path / "here"))
    assert alone.moment("ann") is not None


def test_it_holds_at_once_while_the_engine_is_away_and_everywhere_when_it_is_back(
    moments: Callable[[str], SharedMoments], engine: Engine
) -> None:
    here, there = moments("here"), moments("there")
    engine.stop()
    began = time.monotonic()
    here.end("ann", 5000.0)
    assert here.moment("ann") is not None
    assert time.monotonic() - began < 0.5
    assert there.moment("ann") is None
    engine.start()
    until(lambda: there.moment("ann") is not None)


def test_it_is_on_the_disk_though_the_engine_is_away_and_others_wait_to_write(
    replica: Callable[[], Link], engine: Engine, tmp_path: Path
) -> None:
    link, kept = replica(), Kept(tmp_path / "here")
    ended = SharedTable(link, "ended", kept=kept, only_grows=True)
    here = SharedMoments(link, kept=kept)
    link.start(patience=10)
    engine.stop()
    ended.put("login", b"", lives=1000)
    here.end("ann", 5000.0)
    until((tmp_path / "here" / "signed-out.json").exists)
    assert SharedMoments(replica(), kept=kept).moment("ann") is not None


@pytest.mark.parametrize("moment", [1.79e12, 1e300, -5.0])
def test_a_moment_in_another_unit_ends_logins_all_the_same(
    moments: Callable[[str], SharedMoments], moment: float
) -> None:
    here = moments("here")
    here.end("ann", moment)
    assert here.moment("ann") is not None


def test_entries_that_no_replica_has_written_end_nothing_and_push_nothing_out(
    moments: Callable[[str], SharedMoments], engine: Engine
) -> None:
    here = moments("here")
    here.end("ann", 5000.0)
    until(lambda: here._table.waits == 0)
    keys = here._table._keys
    with engine.client() as client:
        (real,) = client.hkeys(keys[0])
        forged = [real.rpartition(b":")[0].rpartition(b":")[0] + b":999999999999999:00", b"x:1", b"x", b"::"]
        for number, key in enumerate(forged):
            client.hset(keys[0], key, b"+")
            client.zadd(keys[1], {key: 100 + number})
            client.zadd(keys[2], {key: 9e15})
        client.set(keys[3], 200)
    there = moments("there")
    until(lambda: here._table.seen == 200)
    assert here.moment("ann") == there.moment("ann") == pytest.approx(5000.0, abs=0.01)
    assert len(here._table.items()) == len(there._table.items()) == 1


def test_who_was_ended_is_so_at_each_moment_while_it_is_told_again() -> None:
    some = LocalMoments()
    some.end("ann", 1.0)
    done = threading.Event()

    def again() -> None:
        while not done.is_set():
            some.end("ann", 2.0)

    threads = [threading.Thread(target=again) for _ in range(2)]
    for each in threads:
        each.start()
    missed = sum(some.moment("ann") is None for _ in range(50_000))
    done.set()
    for each in threads:
        each.join()
    assert missed == 0


@pytest.mark.parametrize("entry", ["{}:nan", "{}:-1", "{}:", "{}", "{}:1e400", "{}:\u0661", "{}:9999999999999999"])
def test_what_somebody_else_wrote_into_the_engine_brings_no_login_back(
    moments: Callable[[str], SharedMoments], entry: str
) -> None:
    here = moments("here")
    here.end("ann", 5000.0)
    before = here.moment("ann")
    here._hear(entry.format(here._name("ann")))
    here._hear(entry.format(here._name("bob")))
    assert here.moment("ann") == before
    assert here.moment("bob") is None


def test_propelauth_tells_what_it_ended_before_and_asks_what_others_ended(
    moments: Callable[[str], SharedMoments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propelauth, "_ended", [LocalMoments()])
    source = propelauth.PropelAuth("https://auth.example", "key")
    user = "2f0ac1f4-1f0a-4b0e-9d42-4d3a5a3f0001"
    claims = {"iss": "https://auth.example", "sub": user, "iat": 4000.0}
    propelauth._ended[0].end(source._account("before"), 5000.0)
    here, there = moments("here"), moments("there")
    propelauth.share(here)
    assert not source._ended(user, claims)
    until(lambda: there.moment(source._account("before")) is not None)
    there.end(source._account(user), 5000.0)
    until(lambda: source._ended(user, claims))
    assert not source._ended(user, {**claims, "iat": 6000.0})
