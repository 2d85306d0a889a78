"""What happens to replicas when the engine or the way to it fails: the table in docs/replicas.md, done."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard.accounts.throttle import Attempt
from stguard.errors import PolicyFileError
from stguard.policyfile.source import version_id
from stguard.shared.attempts import SharedAttempts
from stguard.shared.board import BoardError, SharedBoard
from stguard.shared.link import Contact, Link
from stguard.shared.replicas import Replicas, Shared
from stguard.shared.shelf import Shelf
from stguard.shared.table import SharedTable
from tests.shared.engine import SECRET, Engine, until
from tests.shared.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stguard.shared.policy import SharedPolicy

OPEN = "stguard: 1\npages: {home: signed_in, reports: signed_in}\n"
SHUT = "stguard: 1\npages: {home: signed_in}\n"
LOGIN = "ab" * 32

ROOT = Path(__file__).parents[2]


class Two:
    """Be two replicas, each with a wire of its own to the engine."""

    def __init__(self, engine: Engine, folder: Path, *, stale: float = 300.0) -> None:
        self.wires = [Wire(engine.port) for _ in range(2)]
        self.replicas: list[Replicas] = []
        self.policies: list[SharedPolicy] = []
        for number, wire in enumerate(self.wires):
            place = folder / str(number)
            place.mkdir()
            (place / "policy.yaml").write_text(OPEN, encoding="utf-8")
            made = Replicas(Shared(url=wire.url, stale=stale), secret=SECRET, folder=place)
            self.replicas.append(made)
            self.policies.append(made.policy(place / "policy.yaml", on_bad_edit="keep"))
            made.link.start(patience=10)
            assert self.opens(number)

    def opens(self, number: int) -> bool:
        """Tell whether the page is open at a replica; a refusal to decide leaves it shut."""
        try:
            return "reports" in self.policies[number].current().page_names
        except PolicyFileError:
            return False

    def save(self, number: int, text: str) -> None:
        board = self.policies[number].board
        before, contents = board.current(), {"policy.yaml": text.encode()}
        board.save(contents, version_id(contents), expected=before.id if before else "", entries=[], keep=5)

    def end(self, number: int) -> None:
        self.replicas[number].ended.put(LOGIN, b"", lives=3600)

    def ended(self, number: int) -> bool:
        return self.replicas[number].ended.get(LOGIN) is not None

    def contact(self, number: int) -> Contact:
        return self.replicas[number].link.contact

    def close(self) -> None:
        for each in self.replicas:
            each.link.close()
        for wire in self.wires:
            wire.__exit__(None, None, None)


@pytest.fixture
def two(engine: Engine, tmp_path: Path) -> Iterator[Two]:
    made = Two(engine, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("how", ["frozen", "dripping"])
def test_a_slow_engine_changes_nothing_that_is_known(two: Two, engine: Engine, how: str) -> None:
    two.save(0, SHUT)
    until(lambda: not two.opens(1))
    if how == "frozen":
        engine.freeze()
    else:
        for wire in two.wires:
            wire.drip = 0.3
    two.end(0)
    assert two.ended(0), "it counts at once where it was told"
    assert [two.opens(0), two.opens(1)] == [False, False]
    with pytest.raises(BoardError):
        two.save(0, OPEN)
    assert [two.opens(0), two.opens(1)] == [False, False]
    engine.thaw()
    for wire in two.wires:
        wire.drip = 0
    until(lambda: two.ended(1))


def test_an_engine_that_comes_back_empty_is_told_what_was_known(two: Two, engine: Engine) -> None:
    two.save(0, SHUT)
    two.end(1)
    until(lambda: not two.opens(1) and two.ended(0))
    engine.stop()
    until(lambda: two.contact(0) is two.contact(1) is Contact.LOST)
    assert [two.opens(0), two.opens(1)] == [False, False]
    engine.start()
    until(lambda: two.contact(0) is two.contact(1) is Contact.HELD)
    assert [two.opens(0), two.opens(1)] == [False, False]
    assert two.ended(0)
    assert two.ended(1)
    with engine.client() as client:
        until(lambda: client.hlen("{stguard}:ended") == 1 and client.exists("{stguard}:policy") == 1)


def test_a_fail_over_that_loses_the_last_writes_loses_no_edit_and_no_sign_out(two: Two, engine: Engine) -> None:
    folder = Path(tempfile.mkdtemp(prefix="stguard-redis-"))
    second = Engine(folder)
    second.start("--replicaof", f"127.0.0.1 {engine.port}")
    try:
        with second.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        second.freeze()  # what comes now doesn't reach it
        two.save(0, SHUT)
        two.end(0)
        until(lambda: not two.opens(1) and two.ended(1))
        engine.stop()
        second.thaw()
        with second.client() as client:
            client.replicaof("NO", "ONE")
            for wire in two.wires:
                wire.lead_to(second.port)
            until(lambda: client.hlen("{stguard}:ended") == 1)
        until(lambda: two.contact(0) is two.contact(1) is Contact.HELD)
        assert [two.opens(0), two.opens(1)] == [False, False]
        later = Link(second.url, secret=SECRET)
        board = SharedBoard(later)
        assert later.start(patience=10)
        until(lambda: board.current() is not None and board.current().contents == {"policy.yaml": SHUT.encode()})  # type: ignore[union-attr]  # asked before
        later.close()
    finally:
        second.stop()


def test_a_full_engine_takes_no_edit_says_so_and_loses_no_sign_out(two: Two, engine: Engine) -> None:
    with engine.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(BoardError, match="nothing has changed"):
            two.save(0, SHUT)
        two.end(0)
        assert two.ended(0)
        assert [two.opens(0), two.opens(1)] == [True, True]
        client.config_set("maxmemory", 0)
    until(lambda: two.ended(1))
    two.save(0, SHUT)
    until(lambda: not two.opens(1))


def test_a_replica_whose_network_is_cut_decides_by_what_it_knew_until_that_is_too_old(
    engine: Engine, tmp_path: Path
) -> None:
    two = Two(engine, tmp_path, stale=3.0)
    try:
        two.wires[1].cut()
        two.save(0, SHUT)
        two.end(1)
        assert not two.opens(0)
        assert two.ended(1)
        with pytest.raises(BoardError):
            two.save(1, OPEN)
        until(lambda: two.replicas[1].link.is_stale)
        assert not two.opens(1)
        with pytest.raises(PolicyFileError, match="too long"):
            two.policies[1].current()
        assert not two.opens(0)
        assert not two.replicas[0].link.is_stale
        two.wires[1].mend()
        until(lambda: not two.replicas[1].link.is_stale and two.ended(0))
        assert list(two.policies[1].current().page_names) == ["home"]
    finally:
        two.close()


def test_clocks_half_a_minute_apart_change_no_span(replica: Callable[..., Link]) -> None:
    right, ahead = replica(), replica(clock=lambda: time.monotonic() + 30)
    here = SharedTable(right, "t")
    there = SharedTable(ahead, "t", clock=lambda: time.monotonic() + 30)
    assert right.start(patience=10)
    assert ahead.start(patience=10)
    here.put("a", b"", lives=20)
    there.put("b", b"", lives=20)
    until(lambda: here.get("b") is not None and there.get("a") is not None)
    for table in (here, there):
        for key in ("a", "b"):
            assert 10 < (table.left(key) or 0) <= 20


SAVING = """
import sys
from stguard.policyfile.source import version_id
from stguard.shared.board import SharedBoard
from stguard.shared.link import Link
link = Link(sys.argv[1], secret=sys.argv[2])
board = SharedBoard(link)
assert link.start(patience=10)
number = 0
while True:
    number += 1
    contents = {"policy.yaml": b"# %d\\nstguard: 1\\npages: {home: signed_in}\\n" % number}
    posted = board.current()
    board.save(contents, version_id(contents), expected=posted.id if posted else "", entries=[], keep=5)
    print(number, flush=True)
"""


def test_a_replica_killed_in_mid_save_leaves_the_last_edit_it_told_of_or_the_next(engine: Engine) -> None:
    link = Link(engine.url, secret=SECRET)
    board = SharedBoard(link)
    assert link.start(patience=10)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVING, engine.url, SECRET], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        told += [int(line) for line in child.stdout if line.endswith("\n")]
        child.wait()
        child.stdout.close()
        until(lambda: board.seen == _head(engine))
        posted = board.current()
        assert posted is not None
        number = int(posted.contents["policy.yaml"].split(b"\n")[0].removeprefix(b"# "))
        assert number in {told[-1], told[-1] + 1}
    link.close()


def _head(engine: Engine) -> int:
    with engine.client() as client:
        return int(client.get("{stguard}:policy:head") or 0)


@pytest.mark.parametrize("how", ["frozen", "gone", "dripping", "cut"])
def test_nobody_who_decides_waits_for_the_engine(two: Two, engine: Engine, how: str) -> None:
    match how:
        case "frozen":
            engine.freeze()
        case "gone":
            engine.stop()
        case "dripping":
            two.wires[0].drip = 0.3
        case _:
            two.wires[0].cut()
    try:
        waited: list[str] = []
        deciding = threading.Thread(target=lambda: waited.extend(str(two.opens(0)) for _ in range(1000)))
        sent = two.wires[0].sent
        deciding.start()
        deciding.join(60)
        assert waited == ["True"] * 1000
        assert two.wires[0].sent - sent < 100, "a decision asks for nothing; the link looks in the background"
    finally:
        engine.thaw() if how == "frozen" else None


def test_the_rights_that_the_documentation_names_are_enough(engine: Engine) -> None:
    line = next(
        each for each in (ROOT / "docs" / "replicas.md").read_text(encoding="utf-8").splitlines()
        if each.startswith("ACL SETUSER")
    )  # fmt: skip
    with engine.client() as client:
        client.execute_command(*line.replace("PASSWORD", "sesame").split())
    link = Link(f"redis://stguard:sesame@127.0.0.1:{engine.port}/0", secret=SECRET)
    board, table = SharedBoard(link), SharedTable(link, "t")
    assert link.start(patience=10)
    table.put("a", b"", lives=60)
    until(lambda: table.waits == 0)
    board.save({"policy.yaml": b"one"}, "one", expected="", entries=[{"files": {}}], keep=3)
    assert board.entries()
    assert board.content("0") is None
    who = Attempt(account="ann", known=True, address="192.0.2.1")
    attempts = SharedAttempts(link)
    assert [attempts.attempt(who) > 0 for _ in range(6)] == [False] * 5 + [True]
    attempts.succeeded(who)
    assert attempts.attempt(who) == 0
    shelf = Shelf(link)
    look = shelf.look("ann", turn=5.0)
    assert look is not None
    assert look.turn is not None
    shelf.put("ann", look.turn, "facts", lives=60.0)
    again = shelf.look("ann")
    assert again is not None
    assert again.said is not None
    board.save({"policy.yaml": b"two"}, "two", expected="one", entries=[], keep=3, takes="approved")
    assert board.take("withdrawn") is None
    assert board.take("approved") is not None
    with engine.client() as client:
        client.flushall()
        until(lambda: client.exists("{stguard}:policy") == 1 and client.exists("{stguard}:t") == 1)
        assert not [each for each in client.acl_log() if each["username"] == "stguard"]
        client.execute_command("ACL", "DELUSER", "stguard")
    link.close()
