"""Golden cases: each file or folder in `cases` is named by what happens; the problems stand in a text beside it.

`STGUARD_WRITE_CASES=1 pytest tests/policyfile/test_cases.py` writes the texts anew; read the difference before keeping.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import stguard.policyfile
from stguard import policyfile
from stguard.errors import Severity

CASES = Path(__file__).parent / "cases"
NOW = 1_790_000_000.0
NAMES = sorted(path.name for path in CASES.iterdir() if path.suffix != ".txt")

WITHOUT_FILE = {"no-yaml", "path-missing", "too-large", "too-many-problems", "unreadable", "vanished"}
"""Codes whose cases can't be kept as files; `test_hostile.py` makes them."""


def problems_of(name: str) -> str:
    reading = policyfile.load(name, now=NOW)
    assert (reading.parts is None) == any(p.severity is Severity.ERROR for p in reading.problems)
    assert list(reading.problems) == sorted(reading.problems)
    return "".join(f"{problem}\n" for problem in reading.problems)


@pytest.mark.parametrize("name", NAMES)
def test_each_case_has_exactly_its_problems(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    expected = CASES / f"{name.removesuffix('.yaml')}.txt"
    found = problems_of(name)
    if os.environ.get("STGUARD_WRITE_CASES") == "1":
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


def test_every_code_that_the_package_emits_has_a_case() -> None:
    package = Path(stguard.policyfile.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    emitted = set(re.findall(r'code(?:: str)? ?= ?"([a-z0-9-]+)"', text))
    emitted |= {f"unknown-{kind}" for kind in ("permission", "role", "org", "page")}
    shown = set(
        re.findall(r"(?:error|warning)\[([a-z0-9-]+)\]", "".join(p.read_text("utf-8") for p in CASES.glob("*.txt")))
    )
    assert emitted - WITHOUT_FILE == shown


def test_no_expectation_is_left_over() -> None:
    assert {path.stem for path in CASES.glob("*.txt")} == {name.removesuffix(".yaml") for name in NAMES}


def test_messages_are_one_line_in_lower_case_without_a_full_stop() -> None:
    for path in CASES.glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            message = re.sub(r"`[^`]*`", "", line.partition("] ")[2])
            assert not message.endswith("."), line
            assert message[:1] == message[:1].lower() or message.startswith("not YAML"), line
