from __future__ import annotations

import pytest

import stguard as sg
from stguard.analysis import leftovers

AT = 1_800_000_000.0
BASE = """
stguard: 1
permissions: {report: [view, edit]}
roles: {viewer: {allow: "report:view"}, editor: {inherits: viewer, allow: "report:edit"}}
assign:
  - {id: staff, role: editor, group: staff}
  - {id: acme, role: viewer, domain: acme.com}
pages: {home: signed_in, reports: {permission: "report:view"}}
"""


def found(text: str) -> list[tuple[str, str]]:
    return [(each.kind.value, each.what) for each in leftovers(sg.Policy.from_yaml(text, now=AT), at=AT)]


def with_assignment(line: str) -> str:
    return BASE.replace("pages:", f"  - {line}\npages:")


def test_a_policy_in_which_everything_counts_has_no_leftovers() -> None:
    assert found(BASE) == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("{id: x, role: viewer, email: ann@acme.com}", "shadowed"),
        ("{id: x, role: viewer, group: staff}", "shadowed"),
        ("{id: x, role: viewer, domain: acme.com, until: '2030-01-01T00:00:00Z', reason: r}", "shadowed"),
        ("{id: x, role: viewer, email: bob@x.io, until: '2020-01-01T00:00:00Z', reason: r}", "dead"),
    ],
)
def test_an_assignment_that_changes_nothing_is_pointed_at(line: str, kind: str) -> None:
    assert found(with_assignment(line)) == [(kind, "x")]


@pytest.mark.parametrize(
    "line",
    [
        "{id: x, role: editor, email: ann@acme.com}",
        "{id: x, role: viewer, email: ann@other.com}",
        "{id: x, role: editor, domain: acme.com, from: '2030-01-01T00:00:00Z', reason: r}",
    ],
)
def test_an_assignment_that_gives_something_is_not(line: str) -> None:
    assert found(with_assignment(line)) == []


def test_of_two_roles_that_grant_the_same_each_could_go() -> None:
    text = BASE.replace("roles: {", 'roles: {reader: {allow: "report:view"}, ').replace(
        "pages:", "  - {id: x, role: reader, domain: acme.com}\npages:"
    )
    assert found(text) == [("dead", "acme"), ("dead", "x")]


def test_what_nobody_can_reach_is_pointed_at() -> None:
    text = BASE + "forbid: [{id: f, permission: 'report:edit', everyone: signed_in}]\n"
    assert ("unreachable", "report:edit") in found(text)


def test_a_rule_that_holds_for_everybody_is_pointed_at() -> None:
    text = BASE.replace("home: signed_in", "home: {any: [signed_in, {group: staff}]}")
    assert found(text) == [("constant", "page:home")]


def test_what_everyone_is_given_counts_though_some_are_forbidden_it() -> None:
    text = BASE.replace("domain: acme.com}", "everyone: signed_in, from: '2030-01-01T00:00:00Z', reason: r}")
    text += "forbid: [{id: f, permission: 'report:view', group: contractors}]\n"
    assert found(text) == []


def test_what_is_asked_of_a_claim_for_one_assignment_only_counts_for_whose_claim_is_unknown() -> None:
    text = BASE.replace("domain: acme.com}", "claim: {c: v}}").replace(
        'reports: {permission: "report:view"}', 'reports: {not: {permission: "report:view"}}'
    )
    assert found(text + "forbid: [{id: f, permission: 'report:view', claim: {c: v}}]\n") == []


def test_a_domain_whose_people_are_named_by_rules_elsewhere_is_looked_at_too() -> None:
    text = BASE.replace("home: signed_in", "home: {email: ann@acme.com}") + (
        "forbid: [{id: f, permission: 'report:*', email: bob@acme.com}]\n"
    )
    assert found(text) == []
