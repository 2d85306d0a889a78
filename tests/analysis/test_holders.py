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


def test_who_only_comes_in_without_signing_in_is_not_anyone() -> None:
    policy = sg.Policy.from_yaml(
        "stguard: 1\npages: {a: {not: signed_in}, b: {any: [{not: signed_in}, {group: g}]}, c: public}\n", now=AT
    )
    told = {page: [(each.who, each.because) for each in holders(policy, f"page:{page}", at=AT)] for page in "abc"}
    assert told["a"] == [("anonymous", "whoever isn't signed in may")]
    assert told["b"] == [("anonymous", "whoever isn't signed in may"), ("group:g", "the rule names them")]
    assert told["c"] == [("anonymous", "anyone may, signed in or not")]


def test_a_forbid_that_may_stop_somebody_is_said() -> None:
    text = BASE.replace("pages:", "forbid: [{id: not-eve, permission: 'report:view', email: eve@acme.com}]\npages:")
    (because, *_) = [each.because for each in holders(sg.Policy.from_yaml(text, now=AT), "report:view", at=AT)]
    assert because.endswith(", unless forbid `not-eve` applies")


def test_nobody_is_named_twice_in_one_org() -> None:
    text = """
stguard: 1
permissions: {report: [view]}
orgs: [acme, globex]
roles: {support: {cross_org: true, allow: "report:view"}, viewer: {allow: "report:view"}}
"""
    found = holders(sg.Policy.from_yaml(text, now=AT), "report:view", org="acme", at=AT)
    assert len(found) == len({(each.who, each.org, each.because) for each in found})
