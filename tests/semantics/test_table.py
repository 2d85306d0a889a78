"""The table of the contract, row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stguard.model import (
    AllOf,
    AnyOf,
    ClaimIs,
    Decision,
    DomainIs,
    EmailIs,
    GroupIs,
    Membership,
    Not,
    OrgIs,
    PermissionIs,
    Public,
    Reason,
    RoleIs,
    Rule,
    SignedIn,
)
from stguard.policy import Policy

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
ANN = {
    "iss": "https://id.example",
    "sub": "1",
    "email": "ann@acme.com",
    "email_verified": True,
    "groups": [],
    "roles": [],
}

SINGLE = """
stguard: 1
permissions: {report: [view, edit], billing: [pay]}
roles:
  viewer: {allow: "report:view"}
  editor: {inherits: viewer, allow: "report:edit"}
  payer: {allow: "billing:pay"}
assign:
  - {id: ann-edits, role: editor, email: ann@acme.com}
  - {id: staff-view, role: viewer, group: staff}
  - {id: finance-pays, role: payer, claim: {department: finance}}
forbid:
  - {id: no-contractors, permission: "report:edit", group: contractors}
pages:
  status: public
  home: signed_in
  reports: {permission: "report:view"}
"""

MULTI = """
stguard: 1
permissions: {report: [view, edit], billing: [pay]}
orgs: [acme, globex]
roles:
  viewer: {allow: "report:view"}
  editor: {inherits: viewer, allow: "report:edit"}
  payer: {allow: "billing:pay"}
  support: {cross_org: true, allow: "*:view"}
  lead: {cross_org: true, inherits: payer}
assign:
  - {id: ann-edits, role: editor, org: acme, email: ann@acme.com}
  - {id: staff-view, role: viewer, org: globex, group: staff}
  - {id: sam-supports, role: support, org: "*", email: sam@acme.com}
  - {id: lea-leads, role: lead, org: "*", email: lea@acme.com}
pages:
  status: public
  home: signed_in
  reports: {permission: "report:view"}
  acme_only: {org: acme}
"""


def person(**changes: Any) -> dict[str, Any]:
    """Ann's claims with changes; a claim changed to `...` is left out."""
    return {name: value for name, value in {**ANN, **changes}.items() if value is not ...}


def value(policy: Policy, claims: Any, rule: Rule, *, org: str | None = None, **facts: Any) -> str:
    """The value of a rule: unknown is what neither it nor its opposite holds."""
    subject = policy.subject(claims, **facts)
    held = policy.holds(subject, rule, org=org, at=NOW)
    refuted = policy.holds(subject, Not(rule), org=org, at=NOW)
    assert not (held and refuted)
    return "T" if held else "F" if refuted else "U"


def decided(text: str, claims: Any, action: str, *, org: str | None = None, at: float = NOW, **facts: Any) -> Decision:
    policy = Policy.from_yaml(text, now=NOW)
    return policy.decide(policy.subject(claims, **facts), action, org=org, at=at)


@pytest.fixture(scope="module")
def single() -> Policy:
    return Policy.from_yaml(SINGLE, now=NOW)


@pytest.fixture(scope="module")
def multi() -> Policy:
    return Policy.from_yaml(MULTI, now=NOW)


# --- public, signed_in, nobody ---------------------------------------------------------------------------------------


def test_public_is_true_for_anyone(single: Policy) -> None:
    assert value(single, None, Public()) == "T"
    assert value(single, ANN, Public()) == "T"
    assert single.decide(None, "page:status", at=NOW).reason is Reason.PUBLIC


def test_signed_in_is_true_with_a_subject_and_false_without(single: Policy) -> None:
    assert value(single, ANN, SignedIn()) == "T"
    assert value(single, None, SignedIn()) == "F"
    assert single.decide(single.subject(ANN), "page:home", at=NOW).reason is Reason.SIGNED_IN
    assert single.decide(None, "page:home", at=NOW).reason is Reason.NOT_SIGNED_IN


@pytest.mark.parametrize(
    "rule",
    [
        RoleIs(("viewer",)),
        PermissionIs(("report:view",)),
        GroupIs(("staff",)),
        EmailIs(("ann@acme.com",)),
        DomainIs(("acme.com",)),
        OrgIs(("acme",)),
        ClaimIs("department", ("finance",)),
    ],
)
def test_any_other_condition_is_unknown_with_nobody_signed_in(multi: Policy, rule: Rule) -> None:
    assert value(multi, None, rule) == "U"
    assert value(multi, None, rule, org="acme") == "U"
    assert value(multi, None, AnyOf((rule, Public()))) == "T"


@pytest.mark.parametrize("who", ["everyone: signed_in", "group: contractors", "role: viewer", "domain: acme.com"])
def test_a_forbid_on_a_public_page_also_holds_for_visitors(who: str) -> None:
    text = SINGLE.replace("forbid:\n", "forbid:\n  - {id: hushed, page: status, " + who + "}\n")
    decision = decided(text, None, "page:status")
    assert not decision.allowed
    assert decision.missing


def test_claims_that_are_nobody_are_a_visitor(single: Policy) -> None:
    nobody: list[Any] = [None, {}, [], "ann@acme.com", {**ANN, "is_logged_in": False}, {**ANN, "is_logged_in": "true"}]
    for claims in nobody:
        assert single.subject(claims) is None, claims
    assert single.subject({**ANN, "is_logged_in": True}) is not None


# --- email and domain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"email": ...},
        {"email": None},
        {"email": 7},
        {"email": ["ann@acme.com"]},
        {"email_verified": ...},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email_verified": None},
    ],
)
def test_an_email_that_is_absent_or_not_verified_is_unknown(single: Policy, changes: dict[str, Any]) -> None:
    claims = person(**changes)
    assert value(single, claims, EmailIs(("ann@acme.com",))) == "U"
    assert value(single, claims, DomainIs(("acme.com",))) == "U"
    decision = single.decide(single.subject(claims), "report:edit", at=NOW)
    assert (decision.allowed, decision.reason) == (False, Reason.UNKNOWN)


def test_a_verified_email_is_compared_folded_and_normalised(single: Policy) -> None:
    for email in ("ANN@Acme.COM", "\uff41nn@acme.com"):
        assert value(single, person(email=email), EmailIs(("ann@acme.com",))) == "T"
    assert value(single, ANN, EmailIs(("bob@acme.com",))) == "F"
    assert value(single, ANN, EmailIs(("bob@acme.com", "ann@acme.com"))) == "T"


def test_a_domain_is_the_whole_text_after_the_last_at_sign(single: Policy) -> None:
    assert value(single, ANN, DomainIs(("acme.com",))) == "T"
    for email in ("ann@sub.acme.com", "ann@notacme.com", "ann@acme.com@evil.com", "ann@acme.com.evil.com"):
        assert value(single, person(email=email), DomainIs(("acme.com",))) == "F", email


def test_a_provider_declared_trusted_needs_no_verification() -> None:
    text = SINGLE + "identity: {trust_email: true}\n"
    assert decided(text, person(email_verified=...), "report:edit").allowed
    assert not decided(SINGLE, person(email_verified=...), "report:edit").allowed


# --- group -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [..., None, 7, True])
def test_groups_that_are_absent_or_of_an_unusable_type_are_unknown(single: Policy, groups: object) -> None:
    assert value(single, person(groups=groups), GroupIs(("staff",))) == "U"


def test_groups_that_the_provider_cut_are_unknown(single: Policy) -> None:
    entra = person(iss="https://login.microsoftonline.com/6babcaad-604b-40ac-a9d7-9fd97c0b779f/v2.0", groups=...)
    for marker in ({"hasgroups": True}, {"_claim_names": {"groups": "src1"}}, {"groups": "staff"}):
        assert value(single, {**entra, **marker}, GroupIs(("staff",))) == "U", marker


def test_a_known_list_of_groups_says_yes_and_no(single: Policy) -> None:
    assert value(single, person(groups=["staff"]), GroupIs(("staff",))) == "T"
    assert value(single, person(groups=["staff2", "Staff"]), GroupIs(("staff",))) == "F"
    assert value(single, person(groups=[]), GroupIs(("staff",))) == "F"
    assert value(single, person(groups=["x"]), GroupIs(("staff", "x"))) == "T"


def test_groups_of_an_identity_source_count_and_its_silence_is_unknown(single: Policy) -> None:
    assert value(single, ANN, GroupIs(("staff",)), groups=("staff",)) == "T"
    assert value(single, ANN, GroupIs(("staff",)), groups=None) == "U"
    assert value(single, person(groups=["staff"]), GroupIs(("staff",)), groups=None) == "T"


# --- claim -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unusable", [..., None, 7, True, {"finance": 1}, [7]])
def test_a_claim_that_is_absent_or_unusable_is_unknown(single: Policy, unusable: object) -> None:
    assert value(single, person(department=unusable), ClaimIs("department", ("finance",))) == "U"


def test_a_claim_equals_the_text_or_contains_it(single: Policy) -> None:
    rule = ClaimIs("department", ("finance",))
    assert value(single, person(department="finance"), rule) == "T"
    assert value(single, person(department=["it", "finance"]), rule) == "T"
    assert value(single, person(department="finances"), rule) == "F"
    assert value(single, person(department=[]), rule) == "F"


def test_the_name_of_a_claim_is_never_split(single: Policy) -> None:
    rule = ClaimIs("https://acme.io/tier.x", ("gold",))
    assert value(single, person(**{"https://acme.io/tier.x": "gold"}), rule) == "T"
    assert value(single, person(**{"https://acme": {"io/tier": {"x": "gold"}}}), rule) == "U"


# --- assignments and time --------------------------------------------------------------------------------------------

BOUND = """
stguard: 1
permissions: {report: view}
roles: {viewer: {allow: "report:view"}}
assign:
  - {id: bound, role: viewer, WHO, from: "2026-01-02T00:00:00Z", until: "2026-01-03T00:00:00Z", reason: T-1}
pages: {home: {not: {role: viewer}}}
"""


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("moment", "held"),
    [
        ("2026-01-01T23:59:59.999999+00:00", False),
        ("2026-01-02T00:00:00+00:00", True),
        ("2026-01-02T23:59:59.999999+00:00", True),
        ("2026-01-03T00:00:00+00:00", False),
    ],
)
def test_an_assignment_holds_from_its_start_until_just_before_its_end(moment: str, held: bool) -> None:  # noqa: FBT001
    text = BOUND.replace("WHO", "email: ann@acme.com")
    decision = decided(text, ANN, "report:view", at=at(moment))
    assert decision.allowed is held
    assert decision.reason is (Reason.GRANTED if held else Reason.NOT_GRANTED)
    assert decision.rule == ("bound" if held else decision.rule)


def test_outside_its_time_an_assignment_is_false_even_where_its_condition_is_unknown() -> None:
    text = BOUND.replace("WHO", "group: staff")
    unknown = person(groups=...)
    assert decided(text, unknown, "page:home", at=at("2026-01-05T00:00:00+00:00")).allowed
    inside = decided(text, unknown, "page:home", at=at("2026-01-02T12:00:00+00:00"))
    assert (inside.allowed, inside.reason) == (False, Reason.UNKNOWN)


def test_an_aware_datetime_is_the_same_moment_as_its_seconds() -> None:
    policy = Policy.from_yaml(BOUND.replace("WHO", "email: ann@acme.com"), now=NOW)
    moment = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert policy.allows(policy.subject(ANN), "report:view", at=moment)
    assert policy.allows(policy.subject(ANN), "report:view", at=moment.timestamp())


@pytest.mark.parametrize(
    ("who", "claims", "held"),
    [
        ("email: Ann@ACME.com", person(), True),
        ("domain: ACME.com", person(), True),
        ("domain: acme.com", person(email_verified=False), False),
        ("group: staff", person(groups=["staff"]), True),
        ("group: staff", person(groups=..., roles=["staff"]), False),
        ("claim: {department: finance}", person(department=["finance"]), True),
        ('sub: "https://id.example|1"', person(), True),
        ('sub: "https://id.example|1"', person(iss="https://other.example"), False),
        ('sub: "https://id.example|1"', person(sub="2"), False),
        ('sub: "https://id.example|1"', person(sub=...), False),
        ('sub: "corp|1"', person(provider="corp"), True),
        ("everyone: signed_in", person(), True),
        ("everyone: signed_in", None, False),
    ],
)
def test_an_assignment_reaches_whom_it_names(who: str, claims: Any, held: bool) -> None:  # noqa: FBT001
    text = BOUND.replace("WHO", who)
    assert decided(text, claims, "report:view", at=at("2026-01-02T12:00:00+00:00")).allowed is held


# --- the active org --------------------------------------------------------------------------------------------------


def test_an_org_counts_for_who_holds_a_role_there(multi: Policy) -> None:
    assert value(multi, ANN, OrgIs(("acme",)), org="acme") == "T"
    assert value(multi, ANN, OrgIs(("globex",)), org="acme") == "F"
    assert value(multi, ANN, OrgIs(("globex", "acme")), org="acme") == "T"


def test_an_org_counts_when_the_source_says_so_even_without_a_role(multi: Policy) -> None:
    there = (Membership(org="globex"),)
    assert value(multi, ANN, OrgIs(("globex",)), org="globex", memberships=there) == "T"
    assert value(multi, ANN, RoleIs(("viewer",)), org="globex", memberships=there) == "F"


def test_an_org_counts_for_who_holds_a_cross_org_role(multi: Policy) -> None:
    assert value(multi, person(email="sam@acme.com"), OrgIs(("globex",)), org="globex") == "T"


def test_for_others_an_org_is_as_no_org(multi: Policy) -> None:
    assert value(multi, ANN, OrgIs(("globex",)), org="globex") == "U"
    assert value(multi, ANN, RoleIs(("viewer",)), org="globex") == "U"
    decision = multi.decide(multi.subject(ANN), "report:view", org="globex", at=NOW)
    assert (decision.allowed, decision.reason) == (False, Reason.NOT_A_MEMBER)


def test_who_may_be_a_member_for_all_that_is_known_is_none(multi: Policy) -> None:
    unknown = person(groups=...)
    assert value(multi, unknown, OrgIs(("globex",)), org="globex") == "U"
    assert not multi.decide(multi.subject(unknown), "report:view", org="globex", at=NOW).allowed


def test_without_an_org_no_org_is_right(multi: Policy) -> None:
    assert value(multi, ANN, OrgIs(("acme",))) == "U"
    decision = multi.decide(multi.subject(ANN), "report:view", at=NOW)
    assert (decision.allowed, decision.reason) == (False, Reason.NO_ORG)


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        (PermissionIs(("report:edit",)), "org `acme` as the active one"),
        (RoleIs(("editor",)), "org `acme` as the active one"),
        (AllOf((RoleIs(("viewer",)), PermissionIs(("report:edit",)))), "org `acme` as the active one"),
        (RoleIs(("payer",)), "role `payer` in an org, and that org as the active one"),
    ],
)
def test_without_an_org_the_answer_names_the_orgs_that_would_do(multi: Policy, rule: Rule, missing: str) -> None:
    assert multi.explain(multi.subject(ANN), rule, at=NOW).missing == (missing,)


def test_without_an_org_a_permission_held_in_none_takes_a_role_in_one() -> None:
    text = MULTI.replace('allow: "*:view"', 'allow: "billing:pay"')
    decision = decided(text, person(email="zoe@acme.com"), "report:edit")
    assert decision.missing == ("role `editor` in an org, and that org as the active one",)


# --- role ------------------------------------------------------------------------------------------------------------


def test_a_role_is_true_where_it_is_held_and_where_one_that_inherits_it_is(multi: Policy) -> None:
    assert value(multi, ANN, RoleIs(("editor",)), org="acme") == "T"
    assert value(multi, ANN, RoleIs(("viewer",)), org="acme") == "T"
    assert value(multi, ANN, RoleIs(("payer",)), org="acme") == "F"
    assert value(multi, ANN, RoleIs(("payer", "viewer")), org="acme") == "T"


def test_a_cross_org_role_is_true_in_every_org_and_without_one(multi: Policy) -> None:
    sam = person(email="sam@acme.com")
    for org in ("acme", "globex", None):
        assert value(multi, sam, RoleIs(("support",)), org=org) == "T"
        assert value(multi, sam, PermissionIs(("report:view",)), org=org) == "T"
    assert value(multi, sam, RoleIs(("viewer",)), org="acme") == "F"
    assert value(multi, sam, RoleIs(("viewer",))) == "U"


def test_what_a_cross_org_role_inherits_goes_along(multi: Policy) -> None:
    lea = person(email="lea@acme.com")
    assert value(multi, lea, RoleIs(("payer",)), org="globex") == "T"
    assert value(multi, lea, RoleIs(("payer",))) == "T"


def test_a_role_is_unknown_when_one_of_its_sources_is(single: Policy) -> None:
    assert value(single, person(groups=...), RoleIs(("viewer",))) == "T"
    bob = person(email="bob@acme.com")
    assert value(single, {**bob, "groups": None}, RoleIs(("viewer",))) == "U"
    assert value(single, {**bob, "groups": None}, RoleIs(("editor",))) == "F"
    assert value(single, {**bob, "department": 7}, RoleIs(("payer",))) == "U"
    assert value(single, {**bob, "department": "it"}, RoleIs(("payer",))) == "F"


def test_roles_that_claims_and_sources_carry_count_and_their_absence_is_unknown(single: Policy) -> None:
    bob = person(email="bob@acme.com", department="it")
    assert value(single, {**bob, "roles": ["payer"]}, RoleIs(("payer",))) == "T"
    assert value(single, {**bob, "roles": "payer"}, RoleIs(("payer",))) == "T"
    assert value(single, {**bob, "roles": "superpayer"}, RoleIs(("payer",))) == "F"
    assert value(single, {**bob, "roles": None}, RoleIs(("payer",))) == "U"
    assert value(single, bob, RoleIs(("payer",)), roles=("payer",)) == "T"
    assert value(single, bob, RoleIs(("payer",)), roles=None) == "U"


def test_a_role_without_an_org_counts_in_a_multi_tenant_app_only_when_cross_org(multi: Policy) -> None:
    bob = person(email="bob@acme.com")
    assert value(multi, {**bob, "roles": ["support"]}, RoleIs(("support",)), org="globex") == "T"
    assert value(multi, {**bob, "roles": ["editor"]}, RoleIs(("editor",)), org="globex") == "U"
    there = (Membership(org="globex"),)
    assert value(multi, {**bob, "roles": ["editor"]}, RoleIs(("editor",)), org="globex", memberships=there) == "F"


def test_a_role_that_the_source_gives_in_one_org_says_nothing_in_another(multi: Policy) -> None:
    bob = person(email="bob@acme.com")
    facts = (Membership(org="acme", roles=("editor",)), Membership(org="globex"))
    assert value(multi, bob, RoleIs(("viewer",)), org="acme", memberships=facts) == "T"
    assert value(multi, bob, RoleIs(("viewer",)), org="globex", memberships=facts) == "F"


def test_roles_that_the_source_could_not_name_are_unknown(multi: Policy) -> None:
    bob = person(email="bob@acme.com")
    facts = (Membership(org="globex", roles=None),)
    assert value(multi, bob, RoleIs(("payer",)), org="globex", memberships=facts) == "U"
    assert value(multi, ANN, RoleIs(("payer",)), org="acme", memberships=None) == "U"
    assert value(multi, ANN, RoleIs(("editor",)), org="acme", memberships=None) == "T"


# --- permission ------------------------------------------------------------------------------------------------------


def test_a_permission_is_granted_by_a_role_that_contains_it(single: Policy) -> None:
    decision = single.decide(single.subject(ANN), "report:edit", at=NOW)
    assert (decision.allowed, decision.reason, decision.rule) == (True, Reason.GRANTED, "ann-edits")
    refused = single.decide(single.subject(person(department="it")), "billing:pay", at=NOW)
    assert (refused.allowed, refused.reason) == (False, Reason.NOT_GRANTED)


def test_a_forbid_wins_over_whatever_roles_are_held(single: Policy) -> None:
    decision = single.decide(single.subject(person(groups=["contractors"])), "report:edit", at=NOW)
    assert (decision.allowed, decision.reason, decision.rule) == (False, Reason.FORBIDDEN, "no-contractors")


def test_a_forbid_applies_when_its_condition_is_unknown(single: Policy) -> None:
    decision = single.decide(single.subject(person(groups=...)), "report:edit", at=NOW)
    assert (decision.allowed, decision.reason, decision.rule) == (False, Reason.UNKNOWN, "no-contractors")
    assert value(single, person(groups=...), PermissionIs(("report:edit",))) == "U"


def test_a_permission_is_unknown_only_as_far_as_kleene_says(single: Policy) -> None:
    bob = person(email="bob@acme.com", groups=None)
    assert value(single, bob, PermissionIs(("report:edit",))) == "F", "not granted: the unknown forbid changes nothing"
    cut = person(email=..., groups=["contractors"])
    assert value(single, cut, PermissionIs(("report:edit",))) == "F", "forbidden: the unknown grant changes nothing"


def test_a_permission_that_the_source_grants_counts_in_its_org(multi: Policy) -> None:
    bob = person(email="bob@acme.com")
    facts = (Membership(org="acme", permissions=("billing:pay", "unheard:of")), Membership(org="globex"))
    subject = multi.subject(bob, memberships=facts)
    assert multi.decide(subject, "billing:pay", org="acme", at=NOW).reason is Reason.GRANTED
    assert not multi.allows(subject, "billing:pay", org="globex", at=NOW)
    assert value(multi, bob, PermissionIs(("billing:pay",)), org="globex", memberships=facts) == "F"
    unknown = (Membership(org="acme", permissions=None),)
    assert value(multi, bob, PermissionIs(("billing:pay",)), org="acme", memberships=unknown) == "U"


# --- a forbid --------------------------------------------------------------------------------------------------------

FORBIDS = (
    MULTI
    + """
forbid:
  - {id: not-in-acme, permission: "report:edit", org: acme, domain: acme.com}
  - {id: not-for-payers, permission: "report:view", role: payer}
  - {id: closed, page: acme_only, group: contractors}
"""
)


def test_a_forbid_with_an_org_holds_there_only() -> None:
    facts = (Membership(org="globex", roles=("editor",)),)
    refused = decided(FORBIDS, ANN, "report:edit", org="acme")
    assert (refused.reason, refused.rule) == (Reason.FORBIDDEN, "not-in-acme")
    assert decided(FORBIDS, ANN, "report:edit", org="globex", memberships=facts).allowed


def test_a_forbid_by_role_asks_as_a_rule_does() -> None:
    lea = person(email="lea@acme.com")
    held = (Membership(org="acme", roles=("viewer",)),)
    refused = decided(FORBIDS, lea, "report:view", org="acme", memberships=held)
    assert (refused.reason, refused.rule) == (Reason.FORBIDDEN, "not-for-payers")
    unknown = (Membership(org="acme", roles=None),)
    ann = decided(FORBIDS, ANN, "report:view", org="acme", memberships=unknown)
    assert (ann.reason, ann.rule) == (Reason.UNKNOWN, "not-for-payers")
    assert decided(FORBIDS, ANN, "report:view", org="acme").allowed


def test_a_forbid_of_a_page_closes_it() -> None:
    assert decided(FORBIDS, ANN, "page:acme_only", org="acme").allowed
    refused = decided(FORBIDS, person(groups=["contractors"]), "page:acme_only", org="acme")
    assert (refused.reason, refused.rule) == (Reason.FORBIDDEN, "closed")
    assert not decided(FORBIDS, person(groups=...), "page:acme_only", org="acme").allowed


# --- pages and rules -------------------------------------------------------------------------------------------------


def test_a_page_is_open_when_its_rule_is_true(single: Policy) -> None:
    assert single.pages(single.subject(ANN), at=NOW) == ("status", "home", "reports")
    assert single.pages(None, at=NOW) == ("status",)


def test_a_page_needs_its_sections_rule_besides_its_own() -> None:
    policy = Policy.from_yaml(SINGLE + "sections: {Money: {role: payer}}\n", now=NOW)
    ann, payer = policy.subject(ANN), policy.subject(person(department="finance"))
    assert policy.opens(ann, "home", at=NOW)
    assert not policy.opens(ann, "home", section="Money", at=NOW)
    assert policy.opens(payer, "home", section="Money", at=NOW)
    assert policy.opens(ann, "home", section="Another", at=NOW)


def test_a_page_without_a_rule_is_denied(single: Policy) -> None:
    decision = single.opens(single.subject(ANN), "unlisted", at=NOW)
    assert (decision.allowed, decision.reason) == (False, Reason.NO_RULE)
    assert single.opens(single.subject(ANN), "unlisted", extra=SignedIn(), at=NOW).allowed


def test_what_code_demands_and_what_the_policy_demands_both_hold(single: Policy) -> None:
    ann = single.subject(ANN)
    assert single.opens(ann, "home", extra=RoleIs(("editor",)), at=NOW).allowed
    assert not single.opens(ann, "home", extra=RoleIs(("payer",)), at=NOW).allowed
    assert not single.opens(None, "home", extra=Public(), at=NOW).allowed


def test_the_star_page_is_the_rule_of_pages_not_listed() -> None:
    policy = Policy.from_yaml(SINGLE + '  "*": {role: payer}\n', now=NOW)
    ann, payer = policy.subject(ANN), policy.subject(person(department="finance"))
    assert not policy.allows(ann, "page:elsewhere", at=NOW)
    assert policy.allows(payer, "page:elsewhere", at=NOW)
    assert policy.allows(ann, "page:home", at=NOW), "a listed page has its own rule"
    assert "*" not in policy.pages(payer, at=NOW)


UNKNOWN = ClaimIs("nowhere", ("x",))
YES, NO = EmailIs(("ann@acme.com",)), EmailIs(("bob@acme.com",))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Not(UNKNOWN), "U"),
        (Not(YES), "F"),
        (AnyOf((NO, UNKNOWN)), "U"),
        (AnyOf((YES, UNKNOWN)), "T"),
        (AnyOf((NO, NO)), "F"),
        (AllOf((YES, UNKNOWN)), "U"),
        (AllOf((NO, UNKNOWN)), "F"),
        (AllOf((YES, YES)), "T"),
        (Not(AllOf((YES, Not(AnyOf((NO, UNKNOWN)))))), "U"),
    ],
)
def test_rules_combine_as_kleene_says(single: Policy, rule: Rule, expected: str) -> None:
    assert value(single, ANN, rule) == expected


# --- separation ------------------------------------------------------------------------------------------------------

SEPARATED = """
stguard: 1
permissions: {billing: [view, approve, pay]}
orgs: [acme, globex]
roles:
  viewer: {allow: "billing:view"}
  approver: {inherits: viewer, allow: "billing:approve"}
  payer: {allow: "billing:pay"}
  chief: {inherits: approver}
separation:
  - {id: four-eyes, roles: [approver, payer]}
assign:
  - {id: staff-view, role: viewer, org: acme, group: staff}
pages: {home: signed_in}
"""


def test_two_separated_roles_held_together_count_for_nothing() -> None:
    facts = (Membership(org="acme", roles=("approver", "payer")),)
    for permission in ("billing:approve", "billing:pay", "billing:view"):
        decision = decided(SEPARATED, ANN, permission, org="acme", memberships=facts)
        assert not decision.allowed
        assert (decision.reason, decision.rule) == (Reason.SEPARATED, "four-eyes"), permission


def test_a_role_that_inherits_a_separated_one_falls_with_it() -> None:
    facts = (Membership(org="acme", roles=("chief", "payer")),)
    policy = Policy.from_yaml(SEPARATED, now=NOW)
    for role in ("chief", "approver", "payer", "viewer"):
        assert value(policy, ANN, RoleIs((role,)), org="acme", memberships=facts) == "U", role


FALLEN = """
stguard: 1
permissions: {report: [view]}
orgs: [acme, globex]
roles:
  contractor: {}
  approver: {inherits: contractor}
  payer: {}
  analyst: {allow: "report:view"}
  left: {cross_org: true}
  right: {cross_org: true}
separation:
  - {id: four-eyes, roles: [approver, payer]}
  - {id: two-hands, roles: [left, right]}
forbid:
  - {id: no-contractors, role: contractor, permission: "report:view"}
pages:
  globex: {org: globex}
"""


def test_a_forbid_by_an_inherited_role_still_applies_when_that_role_does_not_count() -> None:
    held = (Membership(org="acme", roles=("approver", "analyst")),)
    more = (Membership(org="acme", roles=("approver", "analyst", "payer")),)
    assert not decided(FALLEN, ANN, "report:view", org="acme", memberships=held).allowed
    assert not decided(FALLEN, ANN, "report:view", org="acme", memberships=more).allowed, "one role more opens it"


def test_roles_that_do_not_count_make_nobody_a_member() -> None:
    assert decided(FALLEN, person(roles=["left"]), "page:globex", org="globex").allowed
    assert not decided(FALLEN, person(roles=["left", "right"]), "page:globex", org="globex").allowed


def test_what_is_held_otherwise_is_not_lost_with_separated_roles() -> None:
    facts = (Membership(org="acme", roles=("approver", "payer")),)
    staff = person(groups=["staff"])
    assert decided(SEPARATED, staff, "billing:view", org="acme", memberships=facts).allowed
    assert not decided(SEPARATED, staff, "billing:pay", org="acme", memberships=facts).allowed


def test_separated_roles_in_different_orgs_are_no_conflict() -> None:
    facts = (Membership(org="acme", roles=("approver",)), Membership(org="globex", roles=("payer",)))
    assert decided(SEPARATED, ANN, "billing:approve", org="acme", memberships=facts).allowed
    assert decided(SEPARATED, ANN, "billing:pay", org="globex", memberships=facts).allowed


def test_who_may_be_a_member_for_all_that_is_known_is_not_said_to_be_none() -> None:
    policy = Policy.from_yaml(
        """
stguard: 1
permissions: {report: [view]}
orgs: [acme, globex]
roles: {viewer: {allow: "report:view"}}
assign: [{role: viewer, org: acme, group: staff}]
pages: {}
""",
        now=NOW,
    )
    said = {"iss": "https://i", "sub": "1"}
    known = policy.decide(policy.subject({**said, "groups": []}), "report:view", org="acme", at=NOW)
    assert known.reason is Reason.NOT_A_MEMBER
    without = policy.subject(said)
    assert policy.decide(without, "report:view", org="acme", at=NOW).reason is Reason.UNKNOWN
    assert (
        "to know the groups: the identity provider sent no groups"
        in policy.decide(without, "report:view", org="acme", at=NOW).missing
    )
    assert policy.decide(without, "report:view", org="globex", at=NOW).reason is Reason.NOT_A_MEMBER
    nothing = policy.subject({**said, "groups": []}, memberships=None)
    told = policy.decide(nothing, "report:view", org="globex", at=NOW)
    assert told.reason is Reason.UNKNOWN
    assert any(each.startswith("to know the memberships: ") for each in told.missing)
    assert not told.allowed
