"""What holds for every policy and every person."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stguard.errors import PolicyFileError
from stguard.model import Decision, Reason
from stguard.policy import Policy
from tests.semantics import generator
from tests.semantics.generator import as_rule, orgs_of, render, request
from tests.semantics.naive import EVERYWHERE, catalogue, lineage

if TYPE_CHECKING:
    from stguard.model import Subject
    from tests.semantics.generator import Request
    from tests.semantics.naive import Document

NOW = generator.MOMENTS[1].timestamp()
ALLOWING = {Reason.PUBLIC, Reason.SIGNED_IN, Reason.GRANTED}

seeds = st.integers(min_value=0, max_value=2**32).map(lambda number: random.Random(f"property {number}"))  # noqa: S311
repeatable = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def loaded(document: Document) -> Policy:
    return Policy.from_yaml(render(document), now=NOW)


def changed(document: Document, section: str, entry: Document) -> Document:
    return {**document, section: [*document.get(section, []), entry]}


def actions(document: Document) -> list[str]:
    return [*dict.fromkeys(catalogue(document)), *(f"page:{name}" for name in document["pages"] if name != EVERYWHERE)]


def allowed(policy: Policy, document: Document, one: Request) -> set[str]:
    """Everything the person may do."""
    subject = policy.subject(one.claims, **one.facts())
    return {action for action in actions(document) if policy.allows(subject, action, org=one.org, at=one.at)}


# --- policies --------------------------------------------------------------------------------------------------------


@repeatable
@given(seeds)
def test_order_and_duplicates_do_not_matter(rng: random.Random) -> None:
    document = generator.policy(rng)
    other = generator.shuffled(rng, document)
    for entry in rng.sample(other.get("assign", []), min(2, len(other.get("assign", [])))):
        other["assign"].append({key: value for key, value in entry.items() if key != "id"})
    for entry in rng.sample(other.get("forbid", []), min(1, len(other.get("forbid", [])))):
        other["forbid"].append({key: value for key, value in entry.items() if key != "id"})
    first, second = loaded(document), loaded(other)
    for _ in range(6):
        one = request(rng, document)
        assert allowed(first, document, one) == allowed(second, document, one)


@repeatable
@given(seeds)
def test_the_version_does_not_depend_on_the_order(rng: random.Random) -> None:
    document = generator.policy(rng)
    assert loaded(document).version == loaded(generator.shuffled(rng, document)).version


@repeatable
@given(seeds)
def test_a_forbid_never_adds_access(rng: random.Random) -> None:
    document = generator.policy(rng, monotone=True)
    before, after = loaded(document), loaded(changed(document, "forbid", generator.forbid(rng, document)))
    for _ in range(6):
        one = request(rng, document)
        assert allowed(after, document, one) <= allowed(before, document, one)


@repeatable
@given(seeds)
def test_an_assignment_never_removes_access(rng: random.Random) -> None:
    document = generator.policy(rng, monotone=True)
    before, after = loaded(document), loaded(changed(document, "assign", generator.assignment(rng, document)))
    for _ in range(6):
        one = request(rng, document)
        assert allowed(before, document, one) <= allowed(after, document, one)


@repeatable
@given(seeds)
def test_what_happens_in_one_org_never_changes_another(rng: random.Random) -> None:
    document = generator.policy(rng)
    orgs = orgs_of(document)
    assume(len(orgs) > 1)
    here, there = rng.sample(orgs, 2)
    other = changed(document, "assign", generator.assignment(rng, document, org=there))
    other = changed(other, "forbid", generator.forbid(rng, document, org=there))
    before = loaded(document)
    try:
        after = loaded(other)
    except PolicyFileError as error:
        assert "separation-broken" in {problem.code for problem in error.problems}, error  # noqa: PT017  roles kept apart
        return
    for _ in range(6):
        one = replace(request(rng, document), org=here)
        more = (there, ("viewer", "payer"), ("report:view",))
        told = one if one.memberships is None else replace(one, memberships=(*one.memberships, more))
        member = before.holds(before.subject(one.claims, **one.facts()), as_rule({"org": here}), org=here, at=one.at)
        if not member:  # whoever is in no org may be in the other for all that is known
            continue
        assert allowed(before, document, one) == allowed(after, document, told)


def opens_to_visitors(rule: Any, *, refuted: bool = False) -> bool:
    """Whether a rule has a branch that holds for nobody in particular."""
    if isinstance(rule, str):
        return rule == ("signed_in" if refuted else "public")
    parts = [(rule["not"], not refuted)] if "not" in rule else []
    parts += [(one, refuted) for key in ("any", "all") for one in rule.get(key, [])]
    return any(opens_to_visitors(one, refuted=turned) for one, turned in parts)


@repeatable
@given(seeds)
def test_nothing_is_allowed_to_a_visitor_but_public_pages(rng: random.Random) -> None:
    document = generator.policy(rng)
    public = {
        f"page:{name}"
        for name, stated in document["pages"].items()
        if opens_to_visitors(stated["rule"] if isinstance(stated, dict) and "rule" in stated else stated)
    }
    policy = loaded(document)
    for org in [None, *orgs_of(document)]:
        assert {action for action in actions(document) if policy.allows(None, action, org=org, at=NOW)} <= public


# --- answers ---------------------------------------------------------------------------------------------------------


def refusal_is_explained(decision: Decision) -> bool:
    return bool(decision.missing) is not decision.allowed and (decision.reason in ALLOWING) is decision.allowed


@repeatable
@given(seeds)
def test_all_ways_to_ask_agree_and_every_refusal_says_what_is_missing(rng: random.Random) -> None:
    document = generator.policy(rng)
    policy = loaded(document)
    for _ in range(4):
        one = request(rng, document)
        subject = policy.subject(one.claims, **one.facts())
        where: dict[str, Any] = {"org": one.org, "at": one.at}
        decisions = {action: policy.decide(subject, action, **where) for action in actions(document)}
        for action, decision in decisions.items():
            assert decision.allowed is bool(decision) is policy.allows(subject, action, **where)
            assert refusal_is_explained(decision), decision
            assert (decision.action, decision.org, decision.at) == (action, one.org, one.at)
        opened = tuple(name for name in document["pages"] if decisions.get(f"page:{name}"))
        assert policy.pages(subject, **where) == opened
        for name, stated in document["pages"].items():
            rule = as_rule(stated["rule"] if isinstance(stated, dict) and "rule" in stated else stated)
            explained = policy.explain(subject, rule, **where)
            assert explained.allowed is policy.holds(subject, rule, **where)
            assert refusal_is_explained(explained), explained
            opens = policy.opens(subject, name, **where) if name != EVERYWHERE else explained
            assert opens.allowed is decisions.get(f"page:{name}", explained).allowed


@repeatable
@given(seeds)
def test_a_subject_kept_for_long_answers_as_a_fresh_one(rng: random.Random) -> None:
    document = generator.policy(rng)
    policy = loaded(document)
    one = request(rng, document)
    kept = policy.subject(one.claims, **one.facts())
    orgs = [None, *orgs_of(document)]
    for _ in range(30):
        moment = rng.choice(generator.MOMENTS).timestamp() + rng.choice([-0.001, 0, 1])
        where: dict[str, Any] = {"org": rng.choice(orgs), "at": moment}
        action = rng.choice(actions(document))
        fresh = policy.subject(one.claims, **one.facts())
        assert policy.allows(kept, action, **where) == policy.allows(fresh, action, **where)
        assert policy.pages(kept, **where) == policy.pages(fresh, **where)


@repeatable
@given(seeds)
def test_an_edited_policy_does_not_answer_from_what_the_old_one_worked_out(rng: random.Random) -> None:
    document = generator.policy(rng)
    old, new = loaded(document), loaded(changed(document, "forbid", generator.forbid(rng, document)))
    one = request(rng, document)
    kept, fresh = old.subject(one.claims, **one.facts()), new.subject(one.claims, **one.facts())
    for action in actions(document):
        old.allows(kept, action, org=one.org, at=one.at)
        assert new.allows(kept, action, org=one.org, at=one.at) == new.allows(fresh, action, org=one.org, at=one.at)


def _knowing_less(rng: random.Random, one: Request) -> Request:
    """Return the same person with one fact gone."""
    dropped = rng.choice(["groups", "roles", "memberships", "email_verified", "sub", *generator.CLAIMS])
    claims = {key: value for key, value in one.claims.items() if key != dropped}
    less = replace(one, claims=claims or {"iss": "x"})
    match dropped:
        case "groups":
            return replace(less, groups=None)
        case "roles":
            return replace(less, roles=None)
        case "memberships":
            return replace(less, memberships=None)
        case _:
            return less


@repeatable
@given(seeds)
def test_what_is_allowed_without_knowing_a_fact_is_allowed_whatever_the_fact_is(rng: random.Random) -> None:
    document = generator.policy(rng)
    document.pop("separation", None)
    policy = loaded(document)
    for _ in range(6):
        one = request(rng, document)
        assume(policy.subject(one.claims) is not None)
        less = _knowing_less(rng, one)
        assert allowed(policy, document, less) <= allowed(policy, document, one), less


@repeatable
@given(seeds)
def test_holding_a_role_is_holding_the_roles_it_inherits(rng: random.Random) -> None:
    document = generator.policy(rng)
    policy = loaded(document)
    one = request(rng, document)
    subject = policy.subject(one.claims, **one.facts())
    for role in document["roles"]:
        if policy.holds(subject, as_rule({"role": role}), org=one.org, at=one.at):
            for inherited in lineage(document, role):
                assert policy.holds(subject, as_rule({"role": inherited}), org=one.org, at=one.at)


@repeatable
@given(seeds)
def test_separated_roles_are_never_held_together(rng: random.Random) -> None:
    document = generator.policy(rng)
    policy = loaded(document)
    for _ in range(6):
        one = request(rng, document)
        subject = policy.subject(one.claims, **one.facts())
        for entry in document.get("separation", []):
            rules = [as_rule({"role": role}) for role in entry["roles"]]
            assert sum(policy.holds(subject, rule, org=one.org, at=one.at) for rule in rules) < 2


@repeatable
@given(seeds)
def test_memberships_hold_what_rules_say(rng: random.Random) -> None:
    document = generator.policy(rng)
    policy = loaded(document)
    one = request(rng, document)
    subject = policy.subject(one.claims, **one.facts())
    for membership in policy.memberships(subject, at=one.at):
        assert policy.holds(subject, as_rule({"org": membership.org}), org=membership.org, at=one.at)
        for role in membership.roles or ():
            assert policy.holds(subject, as_rule({"role": role}), org=membership.org, at=one.at)
        for permission in membership.permissions or ():
            assert permission in policy.permissions


# --- absurd claims ---------------------------------------------------------------------------------------------------

KEYS = """
    sub iss aud exp iat auth_time provider is_logged_in email email_verified groups roles orgs organizations hd tid
    realm_access name picture department level _claim_names hasgroups https://acme.io/roles cognito:groups tokens
"""
known_keys = st.sampled_from(KEYS.split())
texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["ann@acme.com", "@", "a@", "\ud800", "viewer", "admin", "staff", "\0", "acme", "*", "page:home"]),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=4), st.just(10**400)
)
absurd = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=3), st.tuples(inner), st.frozensets(texts)
    ),
    max_leaves=8,
)
claims_of_any_shape = st.one_of(st.dictionaries(st.one_of(known_keys, texts), absurd, max_size=8), absurd)


@settings(repeatable, max_examples=300)
@given(claims_of_any_shape, st.integers(min_value=0, max_value=40))
def test_no_claims_make_a_decision_raise(claims: Any, number: int) -> None:
    rng = random.Random(f"absurd {number}")  # noqa: S311  a seed that anybody can repeat
    document = generator.policy(rng)
    policy = loaded(document)
    subject: Subject | None = policy.subject(claims)
    for org in [None, *orgs_of(document)][:2]:
        for action in actions(document):
            decision = policy.decide(subject, action, org=org, at=NOW)
            assert decision.allowed is policy.allows(subject, action, org=org, at=NOW)
        policy.pages(subject, org=org, at=NOW)
    policy.memberships(subject, at=NOW)


GUARDED = """
stguard: 1
permissions: {report: [view]}
orgs: [acme]
roles: {admin: {cross_org: true, allow: "*:*"}, viewer: {allow: "report:view"}}
assign:
  - {role: viewer, org: acme, group: staff}
  - {role: viewer, org: acme, email: ann@acme.com}
  - {role: viewer, org: acme, claim: {department: finance}}
  - {role: admin, org: "*", sub: "https://id.example|1"}
pages: {reports: {permission: "report:view"}}
"""


@settings(repeatable, max_examples=250)
@given(st.dictionaries(known_keys, st.recursive(scalars, lambda inner: st.lists(inner, max_size=2)), max_size=8))
def test_absurd_claims_never_get_in_without_the_very_text(claims: dict[str, Any]) -> None:
    policy = Policy.from_yaml(GUARDED, now=NOW)
    text = repr(claims)
    assume(not any(word in text for word in ("staff", "finance", "ann@acme.com", "admin")))
    assert not policy.allows(policy.subject(claims), "report:view", org="acme", at=NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "1", "groups": [f"g{number}" for number in range(10_000)]},
        {"sub": "1", "groups": {"staff": {"staff": ["staff"]}, "x": 1}, "roles": {"admin": True}, "email": {"a": "b"}},
        {"sub": "\ud800", "email": "\ud800@\udfff", "email_verified": True, "roles": ["\udc00"]},
        {"sub": "1", "roles": [["admin"]], "groups": [[["staff"]]]},
        {"sub": "1", 7: "x", None: ["y"], "iss": ["https://id.example"]},
    ],
)
def test_large_and_twisted_claims_get_an_answer(claims: dict[Any, Any]) -> None:
    policy = Policy.from_yaml(GUARDED, now=NOW)
    subject = policy.subject(claims)
    decision = policy.decide(subject, "report:view", org="acme", at=NOW)
    assert decision.allowed is policy.allows(subject, "report:view", org="acme", at=NOW)


def test_a_cyclic_claim_gets_an_answer() -> None:
    claims: dict[str, Any] = {"sub": "1", "groups": []}
    claims["groups"].append(claims["groups"])
    claims["self"] = claims
    policy = Policy.from_yaml(GUARDED, now=NOW)
    assert not policy.decide(policy.subject(claims), "report:view", org="acme", at=NOW).allowed


# --- threads ---------------------------------------------------------------------------------------------------------


def test_threads_that_share_a_policy_and_a_subject_get_the_right_answers() -> None:
    rng = random.Random("threads")  # noqa: S311  a seed that anybody can repeat
    cases = []
    for _ in range(15):
        document = generator.policy(rng)
        one = request(rng, document)
        cases.append((document, one, allowed(loaded(document), document, one)))

    def ask(case: tuple[Document, Request, set[str]], policy: Policy, subject: Subject | None) -> bool:
        document, one, expected = case
        got = {action for action in actions(document) if policy.allows(subject, action, org=one.org, at=one.at)}
        return got == expected

    for case in cases:
        policy = loaded(case[0])
        subject = policy.subject(case[1].claims, **case[1].facts())
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: ask(case, policy, subject), range(40)))  # noqa: B023  used up in this turn


def _as_lists(value: Any, key: str = "") -> Any:
    """Return the same with every single name of a rule or a role in a list of its own."""
    if isinstance(value, dict):
        return {name: one if name == "identity" else _as_lists(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_as_lists(one) for one in value]
    return [value] if key in ("inherits", "allow", "permission", "page") and isinstance(value, str) else value


@repeatable
@given(seeds)
def test_one_name_and_a_list_of_one_mean_the_same(rng: random.Random) -> None:
    document = generator.policy(rng)
    assert loaded(document).version == loaded(_as_lists(document)).version
