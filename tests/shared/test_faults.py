"""What could go wrong between replicas without anybody noticing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stguard.errors import PolicyFileError
from stguard.shared.board import BoardError, Posted, SharedBoard
from stguard.shared.link import Contact, Link
from stguard.shared.replicas import Replicas, Shared
from stguard.shared.table import LocalTable, SharedTable
from tests.shared.engine import SECRET, Engine, until
from tests.shared.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stguard.shared.policy import SharedPolicy

GOOD = "stguard: 1\npages: {home: signed_in}\n"
BETTER = "stguard: 1\npages: {home: signed_in, reports: public}\n"
BAD = "stguard: 1\npages: {home: {role: nobody}}\n"


def board(link: Link, *, known: Posted | None = None) -> SharedBoard:
    made = SharedBoard(link, known=known)
    assert link.start(patience=10)
    return made


def save(on: SharedBoard, text: str, *, expected: str = "") -> Posted:
    return on.save({"policy.yaml": text.encode()}, text, expected=expected, entries=[], keep=10)


def current(on: SharedBoard) -> str | None:
    posted = on.current()
    return None if posted is None else posted.id


@pytest.fixture
def wire(engine: Engine) -> Iterator[Callable[[], Wire]]:
    made: list[Wire] = []

    def make() -> Wire:
        made.append(Wire(engine.port))
        return made[-1]

    yield make
    for each in made:
        each.__exit__(None, None, None)


@pytest.fixture
def alone(engine: Engine, tmp_path: Path) -> Iterator[Callable[..., Replicas]]:
    made: list[Replicas] = []

    def start(name: str, text: str = GOOD, *, secret: str = SECRET, url: str = "", stale: float = 300.0) -> Replicas:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "policy.yaml").write_text(text, encoding="utf-8")
        made.append(Replicas(Shared(url=url or engine.url, stale=stale), secret=secret, folder=folder))
        return made[-1]

    yield start
    for each in made:
        each.link.close()


def policy(replicas: Replicas, tmp_path: Path, name: str) -> SharedPolicy:
    made = replicas.policy(tmp_path / name / "policy.yaml", on_bad_edit="keep")
    replicas.link.start(patience=10)
    return made


# --- edits -----------------------------------------------------------------------------------------------------------


def test_an_edit_that_was_given_up_is_not_made_when_the_engine_comes_to_it(
    replica: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = replica()
    here = board(link)
    save(here, "one")
    seconds, rest = link.client.time()
    # The engine hung between the question for its time and the edit.
    monkeypatch.setattr(type(link.client), "time", lambda _client: (seconds - 60, rest))
    with pytest.raises(BoardError, match="nothing has changed"):
        save(here, "two", expected="one")
    monkeypatch.undo()
    assert current(here) == "one"
    save(here, "three", expected="one")
    assert current(board(replica())) == "three"


def test_who_saves_is_told_when_nobody_can_know_whether_it_was_saved(
    replica: Callable[..., Link], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = replica()
    here = board(link)
    save(here, "one")
    real = link.client.time

    def hang(_client: object) -> tuple[int, int]:
        answer: tuple[int, int] = real.__func__(link.client)
        engine.freeze()
        return answer

    monkeypatch.setattr(type(link.client), "time", hang)
    try:
        with pytest.raises(BoardError, match="not known whether"):
            save(here, "two", expected="one")
    finally:
        engine.thaw()


def test_an_answer_that_drips_keeps_nobody_waiting_who_saves(
    replica: Callable[..., Link], wire: Callable[[], Wire]
) -> None:
    between = wire()
    here = SharedBoard(replica(url=between.url))
    assert here._link.start(patience=10)
    save(here, "one")
    between.drip = 0.2  # each byte is in time, the answer never is
    with pytest.raises(BoardError):
        save(here, "two", expected="one")
    with pytest.raises(BoardError):
        here.entries()


def test_two_edits_with_one_number_become_one_on_all_without_a_sign_of_the_break(
    replica: Callable[..., Link], engine: Engine, wire: Callable[[], Wire]
) -> None:
    to_one, to_other = wire(), wire()
    one, other = board(replica(url=to_one.url)), board(replica(url=to_other.url))
    save(one, "one")
    until(lambda: current(other) == "one")
    with engine.client() as client:
        lost = {key: client.dump(key) for key in client.keys("*")}
        to_other.cut()
        until(lambda: other._link.contact is Contact.LOST)
        first = save(one, "two", expected="one")
        to_one.cut()
        # A fail-over loses that; the epoch is what it was.
        client.flushall()
        for key, value in lost.items():
            client.restore(key, 0, value)
    to_other.mend()
    until(lambda: other._link.contact is Contact.HELD)
    for number in range(100):
        text = f"three {number}"
        posted = Posted(serial=2, id=text, contents={"policy.yaml": text.encode()}, code="")
        if other._link.vault.sign("policy", posted.note) < first.code:
            break
    save(other, text, expected="one")
    to_one.mend()
    until(lambda: current(one) == current(other) == "two")


def test_a_file_name_that_is_no_text_stops_the_edit_and_nothing_else(replica: Callable[..., Link]) -> None:
    here, there = board(replica()), board(replica())
    save(here, "one")
    with pytest.raises(BoardError, match="UTF-8"):
        here.save({"\udcff.yaml": b"x"}, "two", expected="one", entries=[], keep=1)
    here.save({"zürich \u2713.yaml": b"x"}, "two", expected="one", entries=[], keep=1)
    until(lambda: current(there) == "two")
    assert there.current().contents == {"zürich \u2713.yaml": b"x"}  # type: ignore[union-attr]  # it is there


def test_a_damaged_policy_does_not_keep_sign_outs_from_being_shared(
    replica: Callable[..., Link], engine: Engine
) -> None:
    links = replica(), replica()
    tables = [SharedTable(link, "ended") for link in links]
    boards = [board(link) for link in links]
    save(boards[0], "one")
    with engine.client() as client:
        client.hset("{stguard}:policy", "note", b"{damaged")
        client.incr("{stguard}:policy:head")
        until(lambda: all(each.seen == 2 for each in boards))
    tables[0].put("a", b"", lives=60)
    until(lambda: tables[1].get("a") is not None)
    assert current(boards[0]) == "one"


def test_what_an_engine_short_of_memory_dropped_of_a_policy_is_brought_back(
    replica: Callable[..., Link], engine: Engine
) -> None:
    here = board(replica())
    save(here, "one")
    with engine.client() as client:
        client.delete("{stguard}:policy:texts", "{stguard}:epoch")
        until(lambda: bool(client.exists("{stguard}:policy:texts")))
    assert current(board(replica())) == "one"


def test_several_replicas_that_find_an_empty_engine_begin_one_policy(
    alone: Callable[..., Replicas], tmp_path: Path
) -> None:
    made = [policy(alone(name, text), tmp_path, name) for name, text in (("a", GOOD), ("b", BETTER), ("c", GOOD))]
    first = list(made[0].current().page_names)
    assert [list(each.current().page_names) for each in made] == [first] * 3


def test_what_another_replica_posts_while_this_one_begins_is_in_force_at_once(
    alone: Callable[..., Replicas], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = policy(alone("here"), tmp_path, "here")
    there = policy(alone("there", BETTER), tmp_path, "there")
    until(lambda: here._link.contact is there._link.contact is Contact.HELD)
    # The link has taken what was posted, and hasn't told it yet.
    monkeypatch.setattr(here.board, "_tell", lambda _posted: None)
    assert list(there.current().page_names) == ["home", "reports"]
    until(lambda: here.board.current() is not None)
    assert list(here.current().page_names) == ["home", "reports"]


# --- the policy in force ---------------------------------------------------------------------------------------------


def test_what_is_heard_late_does_not_take_the_place_of_what_came_after_it(
    alone: Callable[..., Replicas], tmp_path: Path
) -> None:
    here = policy(alone("here"), tmp_path, "here")
    assert list(here.current().page_names) == ["home"]
    old = here.board.current()
    assert old is not None
    new = here.board.save({"policy.yaml": BETTER.encode()}, "1" * 12, expected=old.id, entries=[], keep=1)
    here._hear(new)
    here._hear(old)  # read by the link just before, and told just after
    assert list(here.current().page_names) == ["home", "reports"]


def test_a_bad_file_that_is_mended_begins_the_shared_policy_without_a_restart(
    alone: Callable[..., Replicas], tmp_path: Path
) -> None:
    here = policy(alone("here", BAD), tmp_path, "here")
    with pytest.raises(PolicyFileError, match="unknown role"):
        here.current()
    (tmp_path / "here" / "policy.yaml").write_text(GOOD, encoding="utf-8")

    def mended() -> bool:
        try:
            return list(here.current().page_names) == ["home"]
        except PolicyFileError:
            return False

    until(mended)


def test_a_replica_with_another_secret_refuses_says_so_and_does_not_ask_for_each_decision(
    alone: Callable[..., Replicas], tmp_path: Path, engine: Engine
) -> None:
    right = policy(alone("right"), tmp_path, "right")
    assert list(right.current().page_names) == ["home"]
    until(lambda: right.board.current() is not None)
    wrong = policy(alone("wrong", BETTER, secret=SECRET[::-1]), tmp_path, "wrong")
    with engine.client() as client:
        before = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        for _ in range(500):
            with pytest.raises(PolicyFileError, match="another secret"):
                wrong.current()
        after = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    assert after - before < 50
    assert list(right.current().page_names) == ["home"]


def test_a_policy_that_is_wrong_at_one_replica_stays_right_at_the_other(
    alone: Callable[..., Replicas], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (policy(alone(name), tmp_path, name) for name in ("here", "there"))
    assert list(here.current().page_names) == list(there.current().page_names) == ["home"]
    # As an older version of the package would: it doesn't know what the text says.
    monkeypatch.setattr(there, "_read", lambda _contents: there._refusal("unknown-key", "what is this"))
    posted = here.board.current()
    assert posted is not None
    here.board.save({"policy.yaml": BETTER.encode()}, "1" * 12, expected=posted.id, entries=[], keep=1)
    until(lambda: bool(there.problems))
    assert list(here.current().page_names) == ["home", "reports"]
    assert list(there.current().page_names) == ["home"]


def test_a_folder_that_can_not_be_written_is_told_once_and_stops_nothing(
    alone: Callable[..., Replicas], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("STGUARD_STATE", str(tmp_path / "a file" / "state"))
    here = policy(alone("here"), tmp_path, "here")
    assert list(here.current().page_names) == ["home"]
    posted = here.board.current()
    assert posted is not None
    here.board.save({"policy.yaml": BETTER.encode()}, "1" * 12, expected=posted.id, entries=[], keep=1)
    assert list(here.current().page_names) == ["home", "reports"]
    assert len([each for each in caplog.records if "is kept on the disk" in each.message]) == 1


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_full_table_makes_room_for_more_than_one() -> None:
    table = LocalTable(limit=100)
    for number in range(101):
        table.put(str(number), b"", lives=100 + number)
    assert len(table.items()) == 90  # else each further entry would cost a look at all of them
    assert table.get("100") is not None
    assert table.get("10") is None


def test_a_table_of_two_thousand_entries_that_ended_at_once_is_tidied(
    replica: Callable[..., Link], engine: Engine
) -> None:
    link = replica()
    table = SharedTable(link, "t")
    assert link.start(patience=10)
    for number in range(2500):
        table.put(str(number), b"x", lives=0.05)
    until(lambda: table.waits == 0)
    with engine.client() as client:

        def tidied() -> bool:
            table.put("last", b"x", lives=60)
            return bool(client.hlen("{stguard}:t") == 1)

        until(tidied)


def test_a_link_that_is_closed_leaves_no_thread(replica: Callable[..., Link]) -> None:
    link = replica()
    SharedTable(link, "t")
    assert link.start(patience=10)
    threads = list(link._threads)
    link.close()
    assert not any(each.is_alive() for each in threads)
