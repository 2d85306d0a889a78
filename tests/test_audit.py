from __future__ import annotations

import json
import logging
import re
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stguard import audit
from stguard.audit import Record, Trail, impersonal, trail_to
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def record(action: str = "report:view", **facts: Any) -> Record:
    given: dict[str, Any] = {"at": 1_800_000_000.25, "subject": "https://i|ann", "allowed": False}
    return Record(**{**given, "action": action, "reason": "not_granted", "policy": "abc", **facts})


def test_a_file_gets_a_line_of_json_for_each_record(tmp_path: Path) -> None:
    trail = trail_to(tmp_path / "audit.jsonl")
    trail.tell(record)
    trail.tell(lambda: record("page:\N{BELL}\nx", org="acme", grants=("a",)))
    trail.flush()
    first, second = (json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines())
    assert first == {
        "at": "2027-01-15T08:00:00.250Z",
        "event": "decision",
        "subject": "https://i|ann",
        "org": None,
        "action": "report:view",
        "allowed": False,
        "reason": "not_granted",
        "rule": None,
        "policy": "abc",
        "session": None,
        "impersonator": None,
        "grants": [],
    }
    assert (second["action"], second["org"], second["grants"]) == ("page:\N{BELL}\nx", "acme", ["a"])
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_a_full_file_is_set_aside_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES", 600)
    monkeypatch.setattr(audit, "FILES_KEPT", 2)
    trail = trail_to(tmp_path / "audit.jsonl")
    for number in range(20):
        trail.tell(lambda number=number: record(f"a:{number}"))  # type: ignore[misc]
    trail.flush()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert '"a:19"' in files[0].read_text()
    assert trail.counts.told == 20


def test_a_slow_sink_keeps_nobody_waiting_and_what_is_dropped_is_counted() -> None:
    go, begun, told = threading.Event(), threading.Event(), []

    def slow(each: Record) -> None:
        begun.set()
        go.wait()
        told.append(each.action)

    trail = Trail(slow, limit=3)
    trail.tell(record)
    begun.wait()
    for number in range(10):
        trail.tell(lambda number=number: record(f"a:{number}"))  # type: ignore[misc]
    assert told == []
    go.set()
    trail.flush()
    assert told == ["report:view", "a:0", "a:1", "a:2"]
    assert (trail.counts.told, trail.counts.dropped) == (4, 7)


def test_a_failing_sink_and_a_record_that_cannot_be_made_are_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(each: Record) -> None:
        raise OSError(f"no space left for {each.subject}")

    trail = Trail(fails)
    for _ in range(3):
        trail.tell(record)
    trail.tell(lambda: record(unknown=1))
    trail.flush()
    assert trail.counts.failed == 4
    assert [line.getMessage() for line in caplog.records] == [
        "the audit failed (OSError); further failures are counted"
    ]


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or directory"):
        trail_to(tmp_path / "missing" / "audit.jsonl")
    with pytest.raises(ConfigurationError, match="audit is a file's path, a logger or a function"):
        trail_to(7)  # type: ignore[arg-type]


def test_a_file_that_goes_bad_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = trail_to(tmp_path / "audit.jsonl")

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit._Lines, "emit", full)
    trail.tell(record)
    trail.flush()
    assert trail.counts.failed == 1


def test_where_there_is_no_thread_a_record_waits_and_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Record] = []
    trail = Trail(told.append)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        trail.tell(record)
    trail.tell(record)
    trail.flush()
    assert len(told) == 2


def test_a_logger_gets_a_sentence_and_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    trail = trail_to(logging.getLogger("acme.audit"))
    with caplog.at_level(logging.INFO, logger="acme.audit"):
        trail.tell(record)
        trail.tell(lambda: record(allowed=True, reason="granted"))
        trail.flush()
    refused, allowed = caplog.records
    assert refused.getMessage() == "decision report:view refused to https://i|ann: not_granted"
    assert allowed.getMessage() == "decision report:view by https://i|ann: granted"
    assert {key: getattr(refused, key) for key in record().as_json()} == record().as_json()
    assert trail.counts.failed == 0


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("viewer:email:ann@acme.com", "viewer:email:#"),
        ("viewer@acme:email:ann@acme.com until 2027-01-01", "viewer@acme:email:#"),
        ("payer@globex:claim:department=finance", "payer@globex:claim:#"),
        ("not report:view@acme:email:eve@acme.com", "not report:view@acme:email:#"),
        ("viewer:email:a\nb@acme.com", "viewer:email:#"),
    ],
)
def test_no_id_in_a_record_holds_an_e_mail_or_a_claim(name: str, begins: str) -> None:
    told = impersonal(name)
    assert told.startswith(begins)
    assert re.fullmatch(r"[0-9a-f]{12}", told.removeprefix(begins))
    assert told == impersonal(name)
    assert told != impersonal(f"{name}x")


@pytest.mark.parametrize(
    "name", ["acme-admin", "viewer@acme:domain:acme.com", "viewer:group:staff", "viewer:sub:ann", "a:b"]
)
def test_ids_of_other_things_stay_as_they_are(name: str) -> None:
    assert impersonal(name) == name
