"""Documents and records mean the same alone and shared; shared, the engine can neither read nor swap the documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stguard.app.recent import REQUESTS_OF_ONE, Recent, Request
from stguard.audit import Event, Record, Trail, trail_to
from stguard.shared.documents import Documents
from stguard.shared.records import SharedRecords
from stguard.shared.table import LocalTable, SharedTable
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stguard.shared.link import Link


def shared(link: Link) -> Documents:
    table = SharedTable(link, "requests")
    assert link.start(patience=10)
    return Documents(table, link.vault)


@pytest.fixture(params=["alone", "shared"])
def documents(request: pytest.FixtureRequest) -> Documents:
    if request.param == "alone":
        return Documents(LocalTable())
    return shared(request.getfixturevalue("replica")())


def asks(person: str, *, at: float, page: str = "reports") -> Request:
    return Request(person=person, name="Ann", action=f"page:{page}", org=None, reason='😀: "why"', at=at)


def test_requests_are_taken_once_listed_by_age_and_settled(documents: Documents) -> None:
    recent = Recent()
    recent.share(documents)
    assert recent.ask(asks("ann", at=100.0))
    assert recent.ask(asks("bob", at=90.0))
    assert recent.ask(asks("ann", at=101.0)), "the same again is no second one"
    assert [each.person for each in recent.requests()] == ["bob", "ann"]
    assert recent.waits("ann", "page:reports", None)
    recent.settle(recent.requests()[0])
    assert [each.person for each in recent.requests()] == ["ann"]


def test_requests_of_one_person_are_bounded(documents: Documents) -> None:
    recent = Recent()
    recent.share(documents)
    taken = [recent.ask(asks("ann", at=100.0 * n, page=str(n))) for n in range(REQUESTS_OF_ONE + 1)]
    assert taken == [True] * REQUESTS_OF_ONE + [False]


def test_a_request_made_before_replicas_were_met_goes_along(documents: Documents) -> None:
    recent = Recent()
    assert recent.ask(asks("ann", at=100.0))
    recent.share(documents)
    assert len(documents.all()) == 1
    assert recent.waits("ann", "page:reports", None)


def test_an_admin_at_another_replica_sees_and_settles_a_request(replica: Callable[..., Link]) -> None:
    here, there = Recent(), Recent()
    here.share(shared(replica()))
    there.share(shared(replica()))
    assert here.ask(asks("ann", at=100.0))
    until(lambda: len(there.requests()) == 1)
    there.settle(there.requests()[0])
    until(lambda: here.requests() == ())


def test_the_engine_can_neither_read_nor_swap_nor_invent_documents(
    replica: Callable[..., Link], engine: Engine
) -> None:
    documents = shared(replica())
    recent = Recent()
    recent.share(documents)
    assert recent.ask(asks("ann@acme.com", at=100.0))
    assert recent.ask(asks("bob@acme.com", at=200.0))
    with engine.client() as client:
        until(lambda: client.hlen("{stguard}:requests") == 2)
        rows = client.hgetall("{stguard}:requests")
        assert not any(b"acme" in key + value or b"why" in value for key, value in rows.items())
        (one, first), (other, second) = rows.items()
        client.hset("{stguard}:requests", mapping={one: second, other: first, b"x" * 64: b"+" + b"{}" * 20})
        client.zadd("{stguard}:requests:order", {one: 50, other: 51, b"x" * 64: 52})
        client.zadd("{stguard}:requests:ends", {b"x" * 64: 9_999_999_999_999})
        client.set("{stguard}:requests:head", 52)
    until(lambda: recent.requests() == ())


def record(number: int) -> Record:
    return Record(at=1000.0 + number, event=Event.DECISION, subject="iss|ann", action="report:view", allowed=False,
                  reason="not_granted", policy="v1")  # fmt: skip


def test_records_of_all_replicas_stand_in_one_capped_stream(replica: Callable[..., Link], engine: Engine) -> None:
    here, there = SharedRecords(replica(), keep=500), SharedRecords(replica(), keep=500)
    for number in range(1200):
        (here if number % 2 else there)(record(number))
    lines = [json.loads(line) for line in here.lines()]
    assert 500 <= len(lines) < 800, "whole blocks are dropped"
    assert lines == [record(number).as_json() for number in range(1200 - len(lines), 1200)]
    with engine.client() as client:
        client.xadd("{stguard}:audit", {"other": "x"})
    assert list(there.lines())[-1] == b""


def test_a_stream_that_can_not_be_written_is_counted_and_the_file_is_written(
    replica: Callable[..., Link], engine: Engine, tmp_path: Path
) -> None:
    records = SharedRecords(replica(deadline=0.2))
    trail = trail_to(tmp_path / "audit.jsonl", also=records)
    trail.tell(lambda: record(1))
    trail.flush()
    engine.stop()
    trail.tell(lambda: record(2))
    trail.flush()
    assert (trail.counts.told, trail.counts.failed) == (2, 1), "the file has both"
    assert len((tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    engine.start()


def test_a_file_that_can_not_be_written_keeps_nothing_from_the_stream(replica: Callable[..., Link]) -> None:
    records = SharedRecords(replica())

    def broken(_record: Record) -> None:
        raise OSError

    trail: Trail = trail_to(broken, also=records)
    trail.tell(lambda: record(1))
    trail.flush()
    assert trail.counts.failed == 1
    assert len(list(records.lines())) == 1


def test_a_stream_that_hangs_does_not_hold_up_the_file(
    replica: Callable[..., Link], engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    trail = trail_to(file, also=SharedRecords(replica(deadline=2.0)))
    engine.freeze()
    try:
        for number in range(20):
            trail.tell(lambda number=number: record(number))  # type: ignore[misc]  # bound now
        until(lambda: file.exists() and len(file.read_text().splitlines()) == 20, seconds=1.5)
    finally:
        engine.thaw()
    trail.flush()


def test_a_record_that_no_replica_wrote_is_none(replica: Callable[..., Link], engine: Engine) -> None:
    records = SharedRecords(replica())
    records(record(1))
    with engine.client() as client:
        (_, fields), *_ = client.xrange("{stguard}:audit")
        client.xadd("{stguard}:audit", {**fields, b"record": fields[b"record"].replace(b'"v1"', b'"v2"')})
        client.xadd("{stguard}:audit", {b"record": fields[b"record"]})
    first, *others = records.lines()
    assert first
    assert others == [b"", b""]
