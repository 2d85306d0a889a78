"""Changes that wait for a second person: kept as they were, bounded, and settled by exactly one of all who try."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard import edits
from stguard.edits.history import FileHistory
from stguard.edits.waiting import DECLINED, LIVES, MOST, TAKEN, Answer, FileWaiting, Pending, TableWaiting
from stguard.policyfile.source import version_id
from stguard.shared.board import SharedBoard
from stguard.shared.documents import Documents
from stguard.shared.table import SharedTable
from tests.shared import conftest as shared
from tests.shared.engine import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.edits.waiting import Waiting
    from stguard.shared.link import Link
    from tests.shared.engine import Engine

replica = shared.replica

ROOT = Path(__file__).parents[2]
ADA = "https://idp.example|ada"
POLICY = """stguard: 1
roles: {keeper: {allow: "policy:*"}}
assign: [{role: keeper, email: ada@acme.com}]
pages: {home: signed_in}
"""
NEW = POLICY + "# new\n"


class Place:
    """One policy, as several processes or replicas have it."""

    def __init__(self, *, path: Path, store: Waiting, where: edits.Place) -> None:
        self.path = path
        self.store = store
        self.where = where

    def text(self) -> str:
        return self.where.contents()["policy.yaml"].decode()

    def approve(self, pending: Pending) -> edits.Outcome:
        outcome = edits.change(
            self.where, pending.files, author="ada", approver="kim", expected=pending.before, takes=pending.id
        )
        self.store.settled(pending.id)
        return outcome


def joined(link: Link, path: Path) -> Place:
    documents = Documents(SharedTable(link, "proposals"), link.vault)
    board, settled = SharedBoard(link), SharedTable(link, "settled", only_grows=True)
    assert link.start(patience=10)
    return Place(path=path, store=TableWaiting(documents, board, settled), where=edits.OnBoard(board, path))


@pytest.fixture(params=["file", "shared"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Place]:
    """Give the same policy twice: as two processes at one file, or two replicas, have it."""
    path = tmp_path / "policy.yaml"
    if request.param == "file":
        path.write_text(POLICY)
        return (Place(path=path, store=FileWaiting(path), where=edits.OnDisk(path)),
                Place(path=path, store=FileWaiting(path), where=edits.OnDisk(path)))  # fmt: skip
    make: Callable[..., Link] = request.getfixturevalue("replica")
    one, two = joined(make(), path), joined(make(), path)
    contents = {"policy.yaml": POLICY.encode()}
    assert isinstance(one.where, edits.OnBoard)
    one.where.board.save(contents, version_id(contents), expected="", entries=[], keep=5)
    until(lambda: two.where.contents() == contents)
    return one, two


def pending(number: int, *, at: float) -> Pending:
    files = {"policy.yaml": f"stguard: {number}\n", "gone.yaml": None, "ü.yaml": "\udcff"}
    return Pending(
        title=f"number {number}", author="ada", subject=ADA, email=None, people=(ADA,),
        reason="😀: \"'", time=at, before="x", files=files,
    )  # fmt: skip


def proposed(place: Place) -> Pending:
    """Let Ada propose the new text, and wait until everybody knows."""
    before = edits.Snapshot.take(place.where).digest
    made = Pending(
        title="new", author="ada", subject=ADA, email="ada@acme.com", people=(ADA, "ada@acme.com"),
        reason=None, time=time.time(), before=before, files={"policy.yaml": NEW},
    )  # fmt: skip
    place.store.put(made)
    return made


def titles(found: tuple[Pending, ...]) -> list[str]:
    return [each.title for each in found]


def test_what_waits_comes_back_as_it_was(places: tuple[Place, Place]) -> None:
    here, there = (each.store for each in places)
    now = time.time()
    for number in range(3):
        here.put(pending(number, at=now + number / 1000))
    until(lambda: there.all() == tuple(pending(number, at=now + number / 1000) for number in range(3)))
    assert there.drop(pending(1, at=now + 1 / 1000).id)
    assert not there.drop("not there")
    until(lambda: titles(here.all()) == ["number 0", "number 2"])


def test_what_waits_ends_and_is_bounded(places: tuple[Place, Place]) -> None:
    store, now = places[0].store, time.time()
    store.put(pending(0, at=now - LIVES))
    assert store.all() == ()
    for number in range(MOST):
        store.put(pending(number, at=now))
    with pytest.raises(edits.EditError, match="wait for approval already"):
        store.put(pending(MOST, at=now))


def test_what_was_declined_is_kept_for_its_author_and_bounded(places: tuple[Place, Place]) -> None:
    here, there = (each.store for each in places)
    now = time.time()
    answer = Answer(by="kim", reason="no: \"'🙂", time=now)
    for number in range(DECLINED + 2):
        made = pending(number, at=now + number / 1000)
        here.put(made)
        assert here.drop(made.id, answer=answer)
    assert here.all() == ()
    assert titles(here.declined()) == [f"number {number}" for number in range(2, DECLINED + 2)]
    assert here.declined()[0].answer == answer
    assert here.declined()[0].id == pending(2, at=now + 2 / 1000).id, "the same change"
    until(lambda: there.declined() == here.declined())
    there.forget(there.declined()[0].id)
    until(lambda: len(here.declined()) == DECLINED - 1)
    here.put(pending(99, at=now))
    assert len(here.all()) == 1, "what was declined takes no room from what waits"


@pytest.mark.parametrize(
    ("damage", "entries"), [("nonsense", 1), ('{"a": 1}', 1), ('[{"title": 1}, 5, null]', 3), ("[]", 0)]
)
def test_what_is_damaged_is_left_out_and_counted_and_kept_aside(tmp_path: Path, damage: str, entries: int) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    store = FileWaiting(tmp_path / "policy.yaml")
    store.put(pending(0, at=time.time()))
    place = tmp_path / ".stguard" / "policy.yaml" / "waiting.json"
    assert json.loads(place.read_text())
    place.write_text(damage)
    assert store.all() == ()
    assert store.damaged == entries
    store.put(pending(1, at=time.time()))
    assert len(store.all()) == 1
    assert store.damaged == 0
    aside = [each.read_text() for each in place.parent.glob("waiting-damaged-*.json")]
    assert aside == ([damage] if entries else [])


@pytest.mark.parametrize(
    "forged",
    [
        {"people": []},
        {"people": ADA},
        {"people": ["https://idp.example|kim"]},
        {"subject": None, "email": None},
        {"email": "kim@acme.com"},
        {"time": float("nan")},
        {"time": float("inf")},
    ],
)
def test_what_does_not_tell_its_author_or_its_time_does_not_wait(tmp_path: Path, forged: dict[str, object]) -> None:
    """Its author could approve it, or it would wait for ever."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    store = FileWaiting(tmp_path / "policy.yaml")
    store.put(pending(0, at=time.time()))
    place = tmp_path / ".stguard" / "policy.yaml" / "waiting.json"
    (told,) = json.loads(place.read_text())
    place.write_text(json.dumps([{**told, **forged}]))
    assert store.all() == ()
    place.write_text(json.dumps([told]))
    assert len(store.all()) == 1, "the twin"


# --- who is first ----------------------------------------------------------------------------------------------------


def test_what_is_approved_waits_no_longer(places: tuple[Place, Place]) -> None:
    here, there = places
    made = proposed(here)
    until(lambda: there.store.all() == (made,))
    assert there.approve(made).written
    until(lambda: here.store.all() == ())
    until(lambda: here.text() == NEW)
    assert not here.store.drop(made.id)
    with pytest.raises((edits.TakenError, edits.ChangedMeanwhileError)):
        here.approve(made)


def test_what_was_withdrawn_is_never_put_in_force_by_who_still_sees_it(places: tuple[Place, Place]) -> None:
    here, there = places
    made = proposed(here)
    until(lambda: there.store.all() == (made,))
    assert here.store.drop(made.id)
    with pytest.raises(edits.TakenError, match=TAKEN):
        there.approve(made)  # at once: the other replica may not have heard of it
    assert here.text() == there.text() == POLICY


def test_without_the_claim_who_still_sees_it_would_put_it_in_force(places: tuple[Place, Place]) -> None:
    """The twin, wrong on purpose: a change that was withdrawn, written as any other edit."""
    here, there = places
    made = proposed(here)
    until(lambda: there.store.all() == (made,))
    assert here.store.drop(made.id)
    assert edits.change(there.where, made.files, author="ada", expected=made.before).written


def test_of_an_approval_and_a_withdrawal_at_one_moment_exactly_one_is_done(places: tuple[Place, Place]) -> None:
    here, there = places
    for number in range(6):
        made = proposed(here)
        until(lambda made=made: made in there.store.all())
        ready = threading.Barrier(2)
        done: dict[str, bool] = {}

        def withdraw(made: Pending = made, ready: threading.Barrier = ready, done: dict[str, bool] = done) -> None:
            ready.wait()
            done["withdrawn"] = here.store.drop(made.id)

        thread = threading.Thread(target=withdraw)
        thread.start()
        ready.wait()
        time.sleep(0.001 * number if number % 2 else 0)
        try:
            approved = there.approve(made).written
        except edits.TakenError:
            approved = False
        thread.join()
        assert approved is not done["withdrawn"]
        until(lambda approved=approved: here.text() == (NEW if approved else POLICY))
        if approved:
            until(lambda made=made: made not in here.store.all())
            edits.change(there.where, {"policy.yaml": POLICY}, author="root")
            until(lambda: here.text() == POLICY)


def test_an_engine_that_comes_back_as_it_was_before_lets_nothing_wait_again(
    replica: Callable[..., Link], engine: Engine, tmp_path: Path
) -> None:
    """One that takes over a moment behind has neither the claim nor that the change was dropped."""
    path, contents = tmp_path / "policy.yaml", {"policy.yaml": POLICY.encode()}
    here, there = joined(replica(), path), joined(replica(), path)
    assert isinstance(here.where, edits.OnBoard)
    here.where.board.save(contents, version_id(contents), expected="", entries=[], keep=5)
    until(lambda: there.where.contents() == contents)
    made, still = proposed(here), pending(1, at=time.time())
    here.store.put(still)
    until(lambda: there.store.all() == (made, still))
    engine.client().save()
    assert here.store.drop(made.id)
    until(lambda: there.store.all() == (still,))
    engine.stop()
    engine.start()
    (engine.folder / "dump.rdb").unlink()
    late, more = joined(replica(), path), pending(2, at=time.time())
    until(lambda: late.store.all() == (still,))
    late.store.put(more)
    for each in (here, there):
        until(lambda each=each: each.store.all() == (still, more))
        assert not each.store.drop(made.id)


ENDS = """
import os, sys, pathlib
from stguard import edits, files
from stguard.edits.waiting import FileWaiting
path = pathlib.Path(sys.argv[1])
(pending,) = FileWaiting(path).all()
real, left = files.sync_folder, int(sys.argv[2])
def sync_folder(folder):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    real(folder)
files.sync_folder = sync_folder
edits.change(path, pending.files, author="ada", approver="kim", expected=pending.before, takes=pending.id)
"""


@pytest.mark.parametrize("after", range(6))
def test_a_process_that_ends_while_it_approves_leaves_it_in_force_or_waiting(tmp_path: Path, after: int) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    place = Place(path=path, store=FileWaiting(path), where=edits.OnDisk(path))
    made = proposed(place)
    subprocess.run([sys.executable, "-c", ENDS, str(path), str(after)], cwd=ROOT, check=False, timeout=60)
    if place.text() == POLICY:
        assert place.store.all() == (made,)
        assert place.approve(made).written, "it is approved as if nothing had been"
    else:
        assert place.text() == NEW
        if place.store.all():
            with pytest.raises(edits.ChangedMeanwhileError):
                place.approve(made)
    assert FileHistory(path).versions()[-1].approver == "kim"


def test_what_other_replicas_can_not_see_does_not_wait(
    replica: Callable[..., Link], engine: Engine, tmp_path: Path
) -> None:
    here = joined(replica(), tmp_path / "policy.yaml")
    engine.stop()
    with pytest.raises(edits.EditError, match="could not be told to the other replicas"):
        here.store.put(pending(0, at=time.time()))
    assert here.store.all() == ()


def test_what_nobody_can_tell_is_withdrawn_is_not_said_to_be(
    replica: Callable[..., Link], engine: Engine, tmp_path: Path
) -> None:
    here = joined(replica(), tmp_path / "policy.yaml")
    made = pending(0, at=time.time())
    here.store.put(made)
    engine.stop()
    with pytest.raises(edits.EditError, match="not known whether that was done"):
        here.store.drop(made.id)
    assert here.store.all() == (made,)
