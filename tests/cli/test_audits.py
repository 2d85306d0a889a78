from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

NOW = datetime.now(UTC)


def line(days: float, action: str = "report:view", **facts: Any) -> str:
    record: dict[str, Any] = {
        "at": (NOW - timedelta(days=days)).isoformat(),
        "event": "decision",
        "subject": "https://i|ann",
        "org": None,
        "action": action,
        "allowed": False,
        "reason": "not_granted",
        "rule": None,
        "policy": "abc",
        "session": "1",
        "impersonator": None,
        "grants": [],
    }
    return json.dumps({**record, **facts})


@pytest.fixture
def trail(tmp_path: Path) -> str:
    path = tmp_path / "audit.jsonl"
    (tmp_path / "audit.jsonl.2").write_text(line(90, "page:old") + "\n")
    (tmp_path / "audit.jsonl.1").write_text(line(60, allowed=True, reason="granted", grants=["staff"]) + "\n")
    path.write_text("\n".join([line(2), line(1), line(1, "report:export", subject=None), line(0, allowed=True)]) + "\n")
    return str(path)


def test_records_are_listed_oldest_first_with_those_set_aside(team: Run, trail: str) -> None:
    ran = team("audit", trail, "--json")
    assert ran.code == 0
    assert [each["action"] for each in ran.json["records"]][:2] == ["page:old", "report:view"]
    assert len(ran.json["records"]) == 6
    text = team("audit", trail).out.splitlines()
    assert text[0].endswith("refused page:old to https://i|ann (not_granted)")
    assert "to a visitor" in text[-2]


def test_records_are_filtered(team: Run, trail: str) -> None:
    assert len(team("audit", trail, "--refused", "--json").json["records"]) == 4
    assert len(team("audit", trail, "--action", "report:export", "--json").json["records"]) == 1
    since = (NOW - timedelta(days=30)).isoformat()
    assert len(team("audit", trail, "--since", since, "--json").json["records"]) == 4
    assert len(team("audit", trail, "--until", since, "--json").json["records"]) == 2
    assert team("audit", trail, "--since", "yesterday").code == 2


def test_refusals_are_counted(team: Run, trail: str) -> None:
    found = team("audit", trail, "--summary", "--json").json["refused"]
    assert found[0] == {
        "subject": "https://i|ann",
        "org": None,
        "action": "report:view",
        "reason": "not_granted",
        "times": 2,
    }
    assert "2x refused report:view to https://i|ann (not_granted)" in team("audit", trail, "--summary").out


def test_what_was_looked_at_as_somebody_is_told_apart_and_not_counted(team: Run, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    begins = line(1, "view_as:start", event="view_as", allowed=True, reason="https://i|ann", subject="https://i|ada")
    path.write_text("\n".join([begins, line(1, event="view_as", impersonator="https://i|ada")]) + "\n")
    text = team("audit", str(path)).out
    assert "allowed view_as:start to https://i|ada (https://i|ann)" in text
    assert "looked: refused report:view to https://i|ann as whom https://i|ada acted" in text
    assert team("audit", str(path), "--summary", "--json").json["refused"] == []


def test_assignments_that_nobody_used_are_listed(team: Run, trail: str) -> None:
    ran = team("audit", trail, "--unused", "30", "--json")
    assert (ran.code, ran.json["unused"]) == (1, ["boss", "staff"])
    assert team("audit", trail, "--unused", "80", "--json").json["unused"] == ["boss"]
    ran = team("audit", trail, "--unused", "365")
    assert ran.code == 1
    assert "don't reach back 365 days" in ran.error


def test_lines_that_cannot_be_read_are_counted_and_nothing_acts_on_the_terminal(team: Run, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(["{", "[]", '{"at": "2026-01-01T00:00:00"}', line(1, "\x1b[2J")]) + "\n")
    ran = team("audit", str(path))
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "3 lines can't be read" in ran.error
    assert team("audit", str(tmp_path / "none")).code == 1
