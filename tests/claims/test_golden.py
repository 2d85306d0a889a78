"""Golden claims: what each provider sends, as it documents it, and the subject that stguard makes of it.

A file holds the address of the documentation (`source`), what the case shows (`shows`), the parts of the policy that
matter (`policy`), the `claims`, and the `subject`; null is nobody. `STGUARD_WRITE_CASES=1 pytest tests/claims` writes
the subjects anew; read the difference before keeping it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stguard import Policy
from stguard.providers import BY_NAME

if TYPE_CHECKING:
    from stguard.model import Subject

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.json"))
KINDS = {"ordinary", "none", "many", "overage", "wrong-types", "hostile", "hostile-issuer"}
"""What every provider has a case of."""

POLICY: dict[str, Any] = {
    "stguard": 1,
    "permissions": {"report": ["view", "edit"]},
    "roles": {
        "viewer": {"allow": "report:view"},
        "admin": {"inherits": "viewer", "allow": "report:edit"},
        "support": {"cross_org": True, "allow": "report:view"},
    },
}
"""What every case shares."""


def policy_of(case: dict[str, Any]) -> Policy:
    return Policy.from_yaml(json.dumps(POLICY | case["policy"]))


def as_json(subject: Subject | None) -> dict[str, Any] | None:
    if subject is None:
        return None
    memberships = {
        org: {"name": m.name, "roles": list(m.roles or ()), "permissions": list(m.permissions or ())}
        for org, m in sorted(subject.memberships.items())
    }
    return {
        "ids": list(subject.ids),
        "email": subject.email,
        "groups": sorted(subject.groups),
        "roles": sorted(subject.roles),
        "memberships": memberships,
        "unknown": {fact: why for fact, why in subject.unknown.items() if fact != "sub:provider"},
        "notes": sorted(subject.notes),
    }


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_claims_become_the_documented_subject(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    found = as_json(policy_of(case).subject(case["claims"]))
    if os.environ.get("STGUARD_WRITE_CASES") == "1":
        text = json.dumps(case | {"subject": found}, indent=2, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")
    else:
        assert found == case["subject"]


def test_every_provider_has_every_kind_of_case() -> None:
    found = {path.name: {case.stem for case in path.glob("*.json")} for path in HERE.iterdir() if path.is_dir()}
    found.pop("__pycache__", None)
    assert set(found) == set(BY_NAME) - {"none"}
    assert {name: KINDS - cases for name, cases in found.items() if KINDS - cases} == {}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_case_says_where_it_is_documented_and_what_it_shows(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert set(case) == {"source", "shows", "policy", "claims", "subject"}
    assert case["source"].startswith("https://")
    assert case["shows"].endswith(".")


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_case_of_a_look_alike_or_of_odd_values_makes_an_admin(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    subject = policy_of(case).subject(case["claims"])
    if path.stem in {"hostile", "wrong-types", "none", "overage"} and subject is not None:
        assert "admin" not in subject.roles
        assert all("admin" not in (m.roles or ()) for m in subject.memberships.values())
        assert "*" not in subject.memberships
