"""Claims to subject: every shape and trap that identity providers send, and unknown kept apart from empty."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stguard.claims import Vocabulary, read, subject_from, texts
from stguard.model import ClaimPath, Identity, Membership, Subject

SINGLE = Vocabulary(
    roles=frozenset({"admin", "viewer"}),
    cross_org=frozenset(),
    permissions=frozenset({"report:view"}),
    orgs=None,
    multi_tenant=False,
)
MULTI = Vocabulary(
    roles=frozenset({"admin", "viewer", "support"}),
    cross_org=frozenset({"support"}),
    permissions=frozenset({"report:view", "billing:view"}),
    orgs=frozenset({"acme", "globex"}),
    multi_tenant=True,
)
ENTRA = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"
ANN = {"iss": "https://id.example", "sub": "1", "email": "ann@acme.com", "email_verified": True}


def subject(claims: Any, *, identity: Identity | None = None, vocabulary: Vocabulary = SINGLE, **facts: Any) -> Subject:
    found = subject_from(claims, identity=identity or Identity(), vocabulary=vocabulary, **facts)
    assert found is not None
    return found


def key(name: str, **how: Any) -> ClaimPath:
    return ClaimPath(path=(name,), **how)


@pytest.mark.parametrize(
    "claims", [None, {}, [], "ann", 5, {"sub": "1", "is_logged_in": False}, {"sub": "1", "is_logged_in": "true"}]
)
def test_what_is_no_login_is_nobody(claims: Any) -> None:
    assert subject_from(claims, identity=Identity(), vocabulary=SINGLE) is None


@pytest.mark.parametrize(
    ("value", "known", "unknown"),
    [
        (["admin", "viewer"], {"admin", "viewer"}, False),
        ([], set(), False),
        ("admin", {"admin"}, False),
        ("superadmin", set(), False),  # a string is compared whole, never searched
        ("admin,viewer", set(), False),  # and split only by a declared delimiter
        ({"admin": {}, "viewer": {"since": 1}}, {"admin", "viewer"}, False),
        ({"admin": False}, set(), True),
        ({}, set(), False),
        (["admin", 5, None], {"admin"}, True),
        (None, set(), True),
        ("", set(), True),
        (5, set(), True),
        (True, set(), True),
        ([["admin"]], set(), True),
        ([{"name": "admin"}], set(), True),
        (1.5, set(), True),
    ],
)
def test_each_shape_of_roles_is_read_or_unknown(value: Any, known: set[str], *, unknown: bool) -> None:
    found = subject(ANN | {"roles": value})
    assert found.roles == known
    assert ("roles" in found.unknown) is unknown


def test_absent_roles_are_unknown_and_an_empty_list_is_not() -> None:
    assert "roles" in subject(ANN).unknown
    assert "roles" not in subject(ANN | {"roles": []}).unknown


def test_a_key_is_never_split_on_dots() -> None:
    identity = Identity(provider="none", roles=key("https://acme.io/roles"), groups=key("cognito:groups"))
    found = subject(ANN | {"https://acme.io/roles": ["admin"], "cognito:groups": ["staff"]}, identity=identity)
    assert (set(found.roles), set(found.groups)) == ({"admin"}, {"staff"})


def test_a_path_is_followed_key_by_key() -> None:
    identity = Identity(provider="none", roles=ClaimPath(path=("realm_access", "roles")))
    assert subject(ANN | {"realm_access": {"roles": ["admin"]}}, identity=identity).roles == {"admin"}
    assert "roles" in subject(ANN | {"realm_access": "roles"}, identity=identity).unknown


def test_a_string_is_split_by_a_declared_delimiter_only() -> None:
    identity = Identity(provider="none", roles=key("roles", split=","))
    assert subject(ANN | {"roles": "admin, viewer,"}, identity=identity).roles == {"admin", "viewer"}


def test_a_declared_field_of_a_list_of_mappings_is_taken() -> None:
    identity = Identity(provider="none", roles=key("roles", field="name"))
    assert subject(ANN | {"roles": [{"name": "admin", "id": 5}]}, identity=identity).roles == {"admin"}


def test_true_stands_for_a_declared_name_only() -> None:
    identity = Identity(provider="none", roles=key("admin", when_true="admin"))
    assert subject(ANN | {"admin": True}, identity=identity).roles == {"admin"}
    denied = subject(ANN | {"admin": False}, identity=identity)
    assert (denied.roles, "roles" in denied.unknown) == (frozenset(), False)


@pytest.mark.parametrize(
    "overage",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}},
        {"hasgroups": True},
        {"hasgroups": "true"},
        {"groups": "src1"},
        {"groups": ["a"], "_claim_names": {"groups": "src1"}},
    ],
)
def test_groups_that_entra_cut_off_are_unknown_never_empty(overage: dict[str, Any]) -> None:
    found = subject({"iss": ENTRA, "sub": "1", "tid": "t"} | overage)
    assert found.groups == frozenset()
    assert "groups" in found.unknown


def test_entra_needs_no_email_to_be_a_subject_and_its_email_does_not_count_unless_trusted() -> None:
    claims = {"iss": ENTRA, "sub": "1", "email": "ann@acme.com"}
    assert subject(claims).email is None
    assert subject(claims, identity=Identity(trust_email=True)).email == "ann@acme.com"


@pytest.mark.parametrize(
    ("email", "verified", "counts"),
    [
        ("Ann@ACME.com", True, "ann@acme.com"),
        ("ａｎｎ@acme.com", True, "ann@acme.com"),  # noqa: RUF001  full-width letters are the case
        ("ann@acme.com", "true", None),
        ("ann@acme.com", 1, None),
        ("ann@acme.com", None, None),
        ("ann@evil.com＠acme.com", True, None),  # noqa: RUF001  U+FF20 becomes `@` and would move the domain
        ("ann", True, None),
        ("ann@", True, None),
        ("", True, None),
        (["ann@acme.com"], True, None),
        ({"ann@acme.com": 1}, True, None),
        ("\ud800@acme.com", True, "\ud800@acme.com"),
    ],
)
def test_an_email_counts_only_when_verified_and_usable(email: Any, verified: Any, counts: str | None) -> None:
    found = subject({"sub": "1", "email": email, "email_verified": verified})
    assert found.email == counts
    assert ("email" in found.unknown) is (counts is None)


def test_google_brings_no_roles_and_its_workspace_domain_is_an_org() -> None:
    identity = Identity(org_names={"acme.com": "acme"})
    found = subject(
        {"iss": "https://accounts.google.com", "sub": "1", "hd": "acme.com"}, identity=identity, vocabulary=MULTI
    )
    assert list(found.memberships) == ["acme"]
    assert "roles" not in found.unknown


def test_an_absent_workspace_domain_is_no_membership_whatever_the_email_says() -> None:
    found = subject(ANN | {"iss": "https://accounts.google.com"}, vocabulary=MULTI)
    assert not found.memberships


@pytest.mark.parametrize("issuer", ["https://accounts.google.com.evil.io", "https://accounts.google.com/x", 5, None])
def test_an_issuer_that_only_looks_like_a_provider_is_generic(issuer: Any) -> None:
    found = subject({"iss": issuer, "sub": "1", "hd": "acme", "roles": ["admin"]}, vocabulary=MULTI)
    assert not found.memberships
    assert found.roles == {"admin"}


def test_zitadel_roles_stay_with_their_org() -> None:
    claims = {
        "sub": "1",
        "urn:zitadel:iam:org:project:roles": {"admin": {"acme": "acme.io"}, "viewer": {"globex": "g.io", "acme": "x"}},
    }
    found = subject(claims, identity=Identity(provider="zitadel"), vocabulary=MULTI)
    assert {org: m.roles for org, m in found.memberships.items()} == {
        "acme": ("admin", "viewer"),
        "globex": ("viewer",),
    }
    assert found.roles == frozenset()


def test_propelauth_brings_roles_and_permissions_by_org_and_a_null_role_is_no_membership() -> None:
    claims = {
        "sub": "1",
        "org_id_to_org_member_info": {
            "o1": {
                "org_name": "Acme",
                "user_role": "Admin",
                "inherited_user_roles_plus_current_role": ["Admin", "viewer"],
                "user_permissions": ["can_view_billing", "other"],
            },
            "o2": {"org_name": "Globex", "user_role": None},
        },
    }
    identity = Identity(
        provider="propelauth",
        org_names={"o1": "acme", "o2": "globex"},
        role_names={"Admin": "admin"},
        permission_names={"can_view_billing": "billing:view"},
    )
    found = subject(claims, identity=identity, vocabulary=MULTI)
    assert dict(found.memberships) == {
        "acme": Membership(org="acme", name="Acme", roles=("admin", "viewer"), permissions=("billing:view",))
    }


def test_a_role_name_is_translated_once() -> None:
    identity = Identity(role_names={"Admin": "admin", "admin": "viewer"})
    assert subject(ANN | {"roles": ["Admin"]}, identity=identity).roles == {"admin"}


def test_what_the_policy_does_not_declare_gives_nothing_and_is_noted() -> None:
    found = subject(ANN | {"roles": ["offline_access"]}, vocabulary=MULTI, memberships=[{"org": "evil"}])
    assert found.roles == frozenset()
    assert not found.memberships
    assert any("offline_access" in note for note in found.notes)
    assert any("evil" in note for note in found.notes)


def test_an_identity_source_does_not_grant_the_policy_permissions_by_their_own_name() -> None:
    member = {"org": "acme", "permissions": ["policy:edit", "report:view"]}
    assert subject(ANN, vocabulary=MULTI, memberships=[member]).memberships["acme"].permissions == ("report:view",)


@pytest.mark.parametrize("fact", ["roles", "groups", "memberships"])
def test_a_source_that_could_not_say_leaves_the_fact_unknown_and_keeps_what_the_claims_say(fact: str) -> None:
    found = subject(ANN | {"roles": ["admin"], "groups": ["staff"]}, vocabulary=MULTI, **{fact: None})
    assert fact in found.unknown
    assert (set(found.roles), set(found.groups)) == ({"admin"}, {"staff"})


@pytest.mark.parametrize("odd", [5, {"org": "acme"}, "acme", [5], [None], [{"org": 5}], [{"roles": ["admin"]}]])
def test_memberships_of_an_odd_shape_are_unknown(odd: Any) -> None:
    assert "memberships" in subject(ANN, vocabulary=MULTI, memberships=odd).unknown


def test_one_name_in_place_of_a_list_is_one_name_not_its_letters() -> None:
    found = subject(ANN, roles="admin", groups="staff")
    assert found.roles == {"admin"}
    assert found.groups == {"staff"}


@pytest.mark.parametrize(
    ("claims", "counts"),
    [
        ({"iss": "https://a", "aud": "app"}, True),
        ({"iss": "https://a", "aud": ["x", "app"]}, True),
        ({"iss": "https://a/", "aud": "app"}, False),
        ({"iss": ["https://a"], "aud": "app"}, False),
        ({"iss": "https://a", "aud": "application"}, False),
        ({"iss": "https://a"}, False),
        ({"aud": "app"}, False),
    ],
)
def test_a_token_for_somebody_else_counts_as_nobody(claims: dict[str, Any], *, counts: bool) -> None:
    identity = Identity(issuers=("https://a",), audiences=("app",))
    found = subject_from(claims | {"sub": "1"}, identity=identity, vocabulary=SINGLE)
    assert (found is not None) is counts


def test_the_section_of_one_provider_replaces_the_general_one() -> None:
    identity = Identity(providers={"okta": Identity(provider="none", groups=key("memberOf"))})
    claims = ANN | {"memberOf": ["staff"], "groups": ["other"]}
    assert subject(claims | {"provider": "okta"}, identity=identity).groups == {"staff"}
    assert subject(claims | {"provider": "google"}, identity=identity).groups == {"other"}


def test_identity_is_issuer_and_sub_or_provider_and_sub() -> None:
    assert subject(ANN | {"provider": "google"}).ids == ("https://id.example|1", "google|1")
    assert subject({"email": "x@y.z", "sub": 5}).ids == ()


def test_ten_thousand_groups_are_read() -> None:
    assert len(subject(ANN | {"groups": [f"g{n}" for n in range(10_000)]}).groups) == 10_000


def test_raw_claims_never_stand_in_the_repr() -> None:
    assert "s3cret" not in repr(subject(ANN | {"token": "s3cret"}))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", {"a"}),
        (["a", 1], None),
        ([], set()),
        (5, None),
        (True, None),
        ({"a": 1}, None),
        (None, None),
        ([1], None),
    ],
)
def test_a_claim_condition_reads_text_and_lists_of_text_only(value: Any, found: set[str] | None) -> None:
    assert texts(value) == found


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["sub", "iss", "aud", "email", "email_verified", "roles", "groups", "hasgroups", "_claim_names", "provider", "name",
     "org_id_to_org_member_info", "org_member_info", "urn:zitadel:iam:org:project:roles", "tid", "hd", "is_logged_in"]
)  # fmt: skip


@given(
    claims=SHAPES | st.dictionaries(KEYS, SHAPES),
    provider=st.sampled_from(["auto", "none", "google", "entra", "zitadel", "propelauth"]),
    roles=SHAPES,
    groups=SHAPES,
    memberships=SHAPES | st.lists(st.dictionaries(st.sampled_from(["org", "roles", "permissions", "name"]), SHAPES)),
)
def test_no_shape_of_claims_or_facts_raises(
    claims: Any, provider: str, roles: Any, groups: Any, memberships: Any
) -> None:
    found = subject_from(
        claims,
        identity=Identity(provider=provider),
        vocabulary=MULTI,
        roles=roles,
        groups=groups,
        memberships=memberships,
    )
    assert found is None or found.roles <= MULTI.roles


def test_reading_says_why_a_fact_is_unknown() -> None:
    values = read({}, key("groups"), what="groups")
    assert values.unknown == "the identity provider sent no groups"
