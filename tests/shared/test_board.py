"""The shared policy: replaced only by who knows it, never set back, believed only from a replica."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stguard import files
from stguard.files import ChangedMeanwhileError
from stguard.shared.board import BoardError, Posted, SharedBoard, from_json
from stguard.shared.link import Contact, Link
from tests.shared.engine import SECRET, Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = {"policy.yaml": b"one"}
TWO = {"policy.yaml": b"two"}


def board(link: Link, *, known: Posted | None = None) -> SharedBoard:
    made = SharedBoard(link, known=known)
    assert link.start(patience=10)
    return made


def save(on: SharedBoard, contents: dict[str, bytes], *, expected: str = "", name: str | None = None) -> Posted:
    return on.save(contents, name or contents["policy.yaml"].decode(), expected=expected, entries=[], keep=10)


def current(on: SharedBoard) -> str | None:
    posted = on.current()
    return None if posted is None else posted.id


def test_what_one_replica_saves_is_in_force_on_the_other(replica: Callable[..., Link]) -> None:
    here, there = board(replica()), board(replica())
    save(here, ONE)
    until(lambda: current(there) == "one")
    posted = there.current()
    assert posted is not None
    assert posted.contents == ONE
    save(there, TWO, expected="one")
    until(lambda: current(here) == "two")


def test_who_does_not_know_what_is_in_force_replaces_nothing(replica: Callable[..., Link]) -> None:
    here, there = board(replica()), board(replica())
    save(here, ONE)
    until(lambda: current(there) == "one")
    save(here, TWO, expected="one")
    with pytest.raises(ChangedMeanwhileError):
        save(there, {"policy.yaml": b"three"}, expected="one")
    until(lambda: current(there) == "two")


def test_what_was_saved_outlives_an_engine_that_restarts_empty(replica: Callable[..., Link], engine: Engine) -> None:
    here = board(replica())
    save(here, ONE)
    save(here, TWO, expected="one")
    engine.stop()
    engine.start()
    later = board(replica())
    until(lambda: current(later) == "two")


def test_a_replica_with_an_older_one_does_not_set_back_the_others(replica: Callable[..., Link], engine: Engine) -> None:
    first = replica()
    here = board(first)
    old = save(here, ONE)
    save(here, TWO, expected="one")
    engine.stop()
    until(lambda: first.contact is Contact.LOST)
    engine.start()
    behind = SharedBoard(replica(), known=old)  # it had a cut in its network, and is the first one back
    behind._link.start(patience=10)
    until(lambda: current(behind) == "two")
    assert current(here) == "two"


def test_two_that_were_saved_apart_become_one_on_all(replica: Callable[..., Link], engine: Engine) -> None:
    one, other = board(replica()), board(replica())
    save(one, ONE)
    until(lambda: current(other) == "one")
    # A fail-over loses what the first saved, and the second saves before the first is back.
    made = save(one, TWO, expected="one")
    with engine.client() as client:
        client.flushall()
    later = SharedBoard(replica(), known=made)
    later._link.start(patience=10)
    until(lambda: current(one) == current(other) == current(later) == "two")


def test_a_policy_that_no_replica_wrote_is_refused(replica: Callable[..., Link], engine: Engine) -> None:
    here = board(replica())
    save(here, ONE)
    with engine.client() as client:
        note = json.loads(client.hget("{stguard}:policy", "note") or b"")
        client.hset("{stguard}:policy:texts", note["files"]["policy.yaml"], b"everything: allowed")
        client.incr("{stguard}:policy:head")
    stranger = replica(secret=SECRET[::-1])
    forged = board(stranger)
    with pytest.raises(ChangedMeanwhileError):
        save(forged, TWO)
    assert current(forged) is None
    later = board(replica())
    assert current(later) in {None, "one"}
    until(lambda: current(here) == "one")


def test_without_the_engine_nothing_is_saved_and_that_is_said(replica: Callable[..., Link], engine: Engine) -> None:
    here = board(replica())
    save(here, ONE)
    engine.stop()
    with pytest.raises(BoardError, match="could not be saved"):
        save(here, TWO, expected="one")
    assert current(here) == "one"


def test_the_history_keeps_what_it_is_told_and_drops_contents_nobody_names(
    replica: Callable[..., Link], engine: Engine
) -> None:
    here, before = board(replica()), ""
    for number in range(5):
        contents = {"policy.yaml": str(number).encode()}
        entry = {"id": str(number), "files": {"policy.yaml": files.digest(contents["policy.yaml"])}}
        here.save(contents, str(number), expected=before, entries=[entry], keep=3)
        before = str(number)
    assert [each["id"] for each in here.entries() if each] == ["2", "3", "4"]
    assert here.content(files.digest(b"2")) == b"2"
    assert here.content(files.digest(b"1")) is None
    with engine.client() as client:
        client.rpush("{stguard}:policy:history", b"nonsense", b'{"entry": "{}", "code": "forged"}')
    assert here.entries()[-2:] == (None, None)
    save(here, ONE, expected="4")  # a damaged history keeps nobody from saving


def test_a_copy_on_the_disk_counts_only_with_its_code(replica: Callable[..., Link]) -> None:
    link = replica()
    posted = save(board(link), ONE)
    told = json.loads(json.dumps(posted.as_json()))
    assert from_json(told, vault=link.vault) == posted
    for changed in ({"serial": 9}, {"contents": {"policy.yaml": "x"}}, {"code": "x"}, {"id": "x"}):
        assert from_json({**told, **changed}, vault=link.vault) is None
    assert from_json([], vault=link.vault) is None
