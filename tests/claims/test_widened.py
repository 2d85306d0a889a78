"""Claims from elsewhere fill in what a sign-in leaves out, and never say who somebody is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import stguard as sg
from stguard.app.standing import subject_with
from stguard.claims import OF_THE_SIGN_IN, agreed, widened
from stguard.sources.answers import Answer, failed, joined

OWN = {"iss": "https://idp.example", "sub": "ann", "iat": 1000}


def test_the_sign_in_keeps_what_it_says_and_lists_add_up() -> None:
    own = {**OWN, "department": "hr", "groups": ["a"], "realm_access": {"roles": ["x"], "y": 1}}
    more = {"department": "finance", "groups": ["b"], "realm_access": {"roles": ["z"], "y": 2}, "team": "core"}
    assert widened(own, more) == {
        **OWN, "department": "hr", "groups": ["a", "b"], "realm_access": {"roles": ["x", "z"], "y": 1}, "team": "core",
    }  # fmt: skip


def test_nobody_stays_nobody() -> None:
    assert widened(None, {"sub": "ann", "is_logged_in": True}) is None
    assert widened({}, {"sub": "ann"}) == {}
    assert widened({"is_logged_in": False}, {"sub": "ann", "is_logged_in": True}) == {"is_logged_in": False}


def test_what_two_sources_contradict_each_other_in_is_unknown_whoever_comes_first() -> None:
    one, two, three = {"department": "hr"}, {"department": "finance"}, {"department": "hr"}
    for order in ([one, two, three], [two, one, three], [one, three, two]):
        assert widened(OWN, agreed(order)) == {**OWN, "department": None}
    assert agreed([one, three]) == {"department": "hr"}


def test_what_two_sources_contradict_each_other_in_leaves_a_list_of_the_sign_in_open() -> None:
    # One of them alone would: what is no list may name the group that a forbid asks for.
    assert widened({**OWN, "groups": ["a"]}, {"groups": "contractors"}) == {**OWN, "groups": ["a", None]}
    for said in ([{"groups": ["b"]}, {"groups": "contractors"}], [{"groups": "b"}, {"groups": "contractors"}]):
        assert widened({**OWN, "groups": ["a"]}, agreed(said)) == {**OWN, "groups": ["a", None]}
        assert widened(OWN, agreed(said)) == {**OWN, "groups": None}
        deep = agreed([{"realm": each} for each in said])
        assert widened({**OWN, "realm": {"groups": ["a"]}}, deep) == {**OWN, "realm": {"groups": ["a", None]}}
        assert widened(OWN, deep) == {**OWN, "realm": {"groups": None}}
    assert widened({**OWN, "groups": ["a"]}, agreed([{"groups": None}, {}])) == {**OWN, "groups": ["a"]}


def test_one_source_does_not_verify_the_email_of_another() -> None:
    assert agreed([{"email": "ann@acme.com"}, {"email_verified": True}]) == {"email": "ann@acme.com"}
    two: Any = widened(
        OWN, agreed([{"email": "a@x.io", "email_verified": True}, {"email": "b@x.io", "email_verified": True}])
    )
    assert two["email"] is None
    odd: Any = widened(
        OWN, agreed([{"email": "a@x.io", "email_verified": 1}, {"email": "a@x.io", "email_verified": True}])
    )
    assert odd["email_verified"] is None


POLICY = sg.Policy.from_yaml("""
stguard: 1
permissions: {report: [view, edit, export]}
orgs: [acme, globex]
roles:
  viewer: {allow: "report:view"}
  editor: {allow: "report:edit", cross_org: true}
  exporter: {allow: "report:export"}
assign:
  - {role: viewer, org: acme, group: staff}
  - {role: editor, org: "*", claim: {department: finance}}
  - {role: exporter, org: globex, email: ann@acme.com}
forbid:
  - {id: f1, permission: "report:edit", group: contractors}
  - {id: f2, permission: "report:view", claim: {department: hr}}
  - {id: f3, permission: "report:export", role: viewer, org: globex}
pages: {}
""")
ASKED = [(verb, org) for verb in ("view", "edit", "export") for org in ("acme", "globex", None)]

names = st.sampled_from(["staff", "contractors", "viewer", "editor", "exporter"])
listed = st.lists(names, max_size=3)
values = st.one_of(
    listed, names, st.none(), st.booleans(), st.just({"staff": True}), st.just({"staff": False}), st.just([1])
)
more_claims = st.fixed_dictionaries(
    {},
    optional={
        "groups": values,
        "roles": values,
        "department": st.one_of(st.sampled_from(["hr", "finance"]), values),
        "email": st.sampled_from(["ann@acme.com", "eve@acme.com", None]),
        "email_verified": st.sampled_from([True, True, False, None, 1, "true"]),
        "_claim_names": st.sampled_from([{"groups": "src1"}, {}, None]),
        "sub": st.just("eve"),
        "iat": st.just(9e9),
    },
)
memberships = st.lists(
    st.builds(sg.Membership, org=st.sampled_from(["acme", "globex"]), roles=st.lists(names, max_size=2).map(tuple)),
    max_size=2,
).map(tuple)
facts = st.builds(
    sg.Facts,
    roles=st.one_of(st.none(), listed.map(tuple)),
    groups=st.one_of(st.none(), listed.map(tuple)),
    memberships=st.one_of(st.none(), memberships),
    unknown=st.dictionaries(st.sampled_from(["roles", "groups", "memberships"]), st.just("why"), max_size=2),
    complete=st.lists(st.sampled_from(["roles", "groups", "memberships"]), max_size=2).map(tuple),
    blocked=st.sampled_from([None, None, None, "Your account is disabled."]),
    claims=more_claims,
)
owns = more_claims.map(lambda more: {**more, **OWN})


def allowed(own: Any, found: sg.Facts) -> set[tuple[str, str | None]]:
    subject = subject_with(own, found, POLICY)
    return {(verb, org) for verb, org in ASKED if POLICY.allows(subject, f"report:{verb}", org=org, at=5000.0)}


@given(owns, st.lists(facts, min_size=2, max_size=4), st.randoms())
def test_the_order_of_sources_never_matters_for_what_is_allowed(own: Any, said: list[sg.Facts], random: Any) -> None:
    shuffled = list(said)
    random.shuffle(shuffled)
    assert allowed(own, joined([Answer(each) for each in said])) == allowed(
        own, joined([Answer(each) for each in shuffled])
    )


@given(owns, st.lists(facts, max_size=3))
def test_a_source_that_fails_never_allows_more(own: Any, said: list[sg.Facts]) -> None:
    answers = [Answer(each) for each in said]
    without = joined(answers) if answers else sg.Facts()
    assert allowed(own, joined([*answers, failed("down")])) <= allowed(own, without)


@given(owns, facts)
def test_a_source_that_fails_never_allows_more_than_the_same_source_answering(own: Any, said: sg.Facts) -> None:
    if said.blocked is None:
        assert allowed(own, failed("down").facts) <= allowed(own, said)


@given(owns, more_claims)
def test_claims_from_elsewhere_never_change_the_sign_in_nor_take_from_it(own: dict[str, Any], more: Any) -> None:
    found: Any = widened(own, {**more, "sub": "eve", "iat": 9, "exp": 9, "is_logged_in": True, "provider": "x"})
    for name in OF_THE_SIGN_IN:
        assert found.get(name) == own.get(name)
    for name, value in own.items():
        if isinstance(value, list):
            assert found[name][: len(value)] == value
        elif value is not None and name != "email_verified":
            assert found[name] == value


@given(owns, more_claims)
def test_the_email_is_verified_by_whom_it_comes_from(own: dict[str, Any], more: dict[str, Any]) -> None:
    subject = POLICY.subject(widened(own, more))
    assert subject is not None
    if subject.email is not None:
        source = own if own.get("email") is not None else more
        assert source["email"] == subject.email
        assert source["email_verified"] is True


def test_a_text_of_the_sign_in_beside_a_list_of_a_source_leaves_the_rest_unknown() -> None:
    assert widened({**OWN, "groups": "a"}, {"groups": ["contractors"]}) == {**OWN, "groups": ["contractors", None]}
