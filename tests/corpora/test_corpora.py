"""Policies that nobody here wrote: what other engines expect in their own tests holds here too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from stguard.policy import Policy
from tests.corpora.translation import Naming, policy_document, questions
from tests.semantics.generator import render

FOLDER = Path(os.environ.get("STGUARD_CORPORA") or Path(__file__).parents[2].parent / "shared" / "corpora")
FILES = sorted(FOLDER.glob("*.json"))
EXPECTATIONS = 306
BEYOND = {("kubernetes__rbac_authorizer", "wildcard `0.*:*` stands for a part of a segment"): 9}
"""Expectations that the language leaves out on purpose, by case and reason."""

present = pytest.mark.skipif(not FILES, reason=f"no cases in {FOLDER}; STGUARD_CORPORA names another folder")


def case(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read


def variants() -> list[Any]:
    """Each case with people known by `sub` and by e-mail, and through groups where the case has them."""
    return [
        pytest.param(file, naming, grouped, id=f"{file.stem}-{naming}{'-groups' if grouped else ''}")
        for file in FILES
        for naming in ("sub", "email")
        for grouped in (False, True)
        if not grouped or "group_assignments" in case(file)
    ]


@present
@pytest.mark.parametrize(("file", "naming", "grouped"), variants())
def test_every_expectation_that_can_be_expressed_holds(file: Path, naming: Naming, grouped: bool) -> None:  # noqa: FBT001
    read = case(file)
    policy = Policy.from_yaml(render(policy_document(read, naming, grouped=grouped)), now=0.0)
    wrong = []
    for asked in questions(read, naming, grouped=grouped):
        if asked.beyond is not None:
            continue
        subject = policy.subject(asked.claims)
        decision = policy.decide(subject, asked.permission, org=asked.org, at=asked.at)
        assert decision.allowed is policy.allows(subject, asked.permission, org=asked.org, at=asked.at)
        if decision.allowed is not asked.allowed:
            wrong.append((asked, decision))
    assert wrong == []


@present
def test_what_the_language_leaves_out_is_counted() -> None:
    found: dict[tuple[str, str], int] = {}
    total = 0
    for file in FILES:
        for asked in questions(case(file), "sub"):
            total += 1
            if asked.beyond is not None:
                found[file.stem, asked.beyond] = found.get((file.stem, asked.beyond), 0) + 1
    assert found == BEYOND
    assert total == EXPECTATIONS
