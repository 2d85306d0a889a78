from __future__ import annotations

import stguard as sg
from stguard.analysis import holders

AT = 1_800_000_000.0
BASE = """
stguard: 1
permissions: {report: [view, edit]}
roles: {viewer: {allow: "report:view"}}
assign:
  - {id: ann, role: viewer, email: ann@acme.com, until: "2030-01-01T00:00:00Z", reason: x}
  - {id: bob, role: viewer, email: bob@acme.com, from: "2030-01-01T00:00:00Z", reason: x}
  - {id: cid, role: viewer, email: cid@acme.com}
pages: {reports: {all: [{permission: "report:view"}, {group: [staff, board]}]}}
"""


def who(action: str, *, at: float = AT) -> set[str]:
    return {each.who for each in holders(sg.Policy.from_yaml(BASE, now=AT), action, at=at)}


def test_only_whose_role_has_begun_and_has_not_ended_is_named() -> None:
    assert who("report:view") == {"email:ann@acme.com", "email:cid@acme.com", "role:viewer"}
    assert who("report:view", at=1_900_000_000.0) == {"email:bob@acme.com", "email:cid@acme.com", "role:viewer"}


def test_of_facts_that_it_takes_together_every_combination_is_named() -> None:
    named = {frozenset(each.split(" and ")) for each in who("page:reports")}
    people = ("email:ann@acme.com", "email:cid@acme.com", "role:viewer")
    assert named == {frozenset((one, group)) for one in people for group in ("group:board", "group:staff")}
