"""What authors use to test their own apps."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from stguard import Policy
from stguard.testing import as_user, policy_matrix

SCRIPT = "import streamlit as st; st.write(str(st.user.is_logged_in), str(st.user.get('name')))"


def test_claims_sign_somebody_in() -> None:
    at = as_user(AppTest.from_string(SCRIPT, default_timeout=30), {"sub": "1", "name": "Ann"}).run()
    assert at.markdown[0].value == "True Ann"


def test_none_is_a_visitor() -> None:
    assert as_user(AppTest.from_string(SCRIPT, default_timeout=30), None).run().markdown[0].value == "False None"


def test_another_person_may_sign_in_later() -> None:
    at = as_user(AppTest.from_string(SCRIPT, default_timeout=30), {"sub": "1", "name": "Ann"})
    at.run()
    as_user(at, {"sub": "2", "name": "Bob"}).run()
    assert at.markdown[0].value == "True Bob"
    assert as_user(at, None).run().markdown[0].value == "False None"


def test_claims_cannot_say_that_they_are_nobody() -> None:
    at = as_user(
        AppTest.from_string(SCRIPT, default_timeout=30), {"sub": "1", "name": "Ann", "is_logged_in": False}
    ).run()
    assert at.markdown[0].value == "True Ann"


def test_the_matrix_says_what_each_subject_may_do_and_open() -> None:
    policy = Policy.from_yaml(
        "stguard: 1\npermissions: {report: [view, edit]}\nroles: {viewer: {allow: 'report:view'}}\n"
        "assign: [{role: viewer, email: ann@acme.com}]\npages: {home: signed_in, status: public}\n"
    )
    ann = policy.subject({"sub": "1", "email": "ann@acme.com", "email_verified": True})
    assert policy_matrix(policy, {"Ann": ann, "visitor": None}) == {
        "Ann": {"permissions": ["report:view"], "pages": ["home", "status"]},
        "visitor": {"permissions": [], "pages": ["status"]},
    }
