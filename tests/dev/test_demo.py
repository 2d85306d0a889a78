from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard import demo
from stguard.policy import Policy

if TYPE_CHECKING:
    from stguard.dev import Person

PERMISSIONS = {
    "ann": {"report:view", "report:edit", "report:export", "billing:view", "billing:approve", "member:view"},
    "vic": {"report:view"},
    "cora": {"report:view", "report:edit", "billing:view"},
    "sam": {"report:view", "billing:view", "member:view"},
    "val": set[str](),
}
HOME = {"ann": "acme", "vic": "globex", "cora": "acme", "sam": "globex", "val": "acme"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load(demo.POLICY)


@pytest.mark.parametrize("person", demo.PEOPLE, ids=lambda person: person.sub)
def test_the_five_people_have_different_rights(policy: Policy, person: Person) -> None:
    subject = policy.subject({"sub": person.sub, **person.claims})
    asked = PERMISSIONS["ann"]
    assert {name for name in asked if policy.allows(subject, name, org=HOME[person.sub])} == PERMISSIONS[person.sub]


def test_the_policy_tests_exactly_the_people_that_one_can_sign_in_as(policy: Policy) -> None:
    tested = {test.claims["email"] for test in policy.parts.tests if test.claims is not None}
    assert tested == {person.email for person in demo.PEOPLE}


def test_the_policy_shows_one_assignment_that_has_run_out(policy: Policy) -> None:
    assert [problem.code for problem in policy.problems] == ["expired"]


def test_everybody_gets_a_hint_what_to_try() -> None:
    assert set(demo.TRY) == {person.sub for person in demo.PEOPLE}


@pytest.mark.server
def test_the_demo_prints_address_people_and_hints_and_stops_on_ctrl_c() -> None:
    root = str(Path(__file__).parents[2])
    script = (
        "import sys; from stguard import demo; "
        "sys.exit(demo.run(open_browser=False, echo=lambda text: print(text, flush=True)))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "  Ctrl-C stops it.\n"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "http://localhost:" in said
    assert all(str(person.email) in said and demo.TRY[person.sub] in said for person in demo.PEOPLE)
    copy = Path(said.partition("Its policy: ")[2].partition("\n")[0])
    assert copy.name == "policy.yaml"
    assert not copy.exists(), "the copy goes with the demo"
    assert "Traceback" not in errors
