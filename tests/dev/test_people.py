from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stguard.dev import people
from stguard.errors import ConfigurationError
from stguard.policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

ROLES = "stguard: 1\nroles: {viewer: {}, admin: {}}\n"


def of(text: str) -> dict[str | None, people.Person]:
    return {person.email: person for person in people.from_policy(Policy.from_yaml(text).parts)}


def test_a_person_gets_what_a_login_needs() -> None:
    person = people.from_claims({"email": "ann.lee@acme.com"})
    assert person.sub == "ann.lee@acme.com"
    assert person.claims == {"email": "ann.lee@acme.com", "email_verified": True, "name": "Ann Lee"}


def test_claims_that_stand_there_are_kept_as_they_are() -> None:
    claims: dict[str, Any] = {"sub": "7", "email": "a@b.c", "email_verified": False, "name": "A", "groups": None}
    person = people.from_claims(claims)
    assert (person.sub, person.name) == ("7", "A")
    assert person.claims == {"email": "a@b.c", "email_verified": False, "name": "A", "groups": None}


def test_claims_of_the_token_are_left_to_the_provider() -> None:
    person = people.from_claims({"sub": "7", "iss": "https://elsewhere", "exp": 1, "is_logged_in": True})
    assert person.claims == {"name": "7"}


def test_the_people_of_a_policy_are_those_of_its_assignments_and_a_visitor() -> None:
    found = of(ROLES + "assign: [{role: viewer, email: Bob@acme.com}, {role: admin, email: ann@acme.com}]\n")
    assert [*found] == ["bob@acme.com", "ann@acme.com", people.VISITOR]
    assert found["ann@acme.com"].note == "admin"


def test_the_richest_claims_of_an_inline_test_stand_for_a_person() -> None:
    found = of(
        ROLES
        + "assign: [{role: admin, email: ann@acme.com}]\n"
        + "tests:\n"
        + "  - {as: {email: ann@acme.com}}\n"
        + "  - {as: {email: ann@acme.com, email_verified: true, name: Ann, department: ops}}\n"
        + "  - {as: {email: zed@acme.com, email_verified: false}}\n"
        + "  - {as: anonymous}\n"
    )
    assert found["ann@acme.com"].claims["department"] == "ops"
    assert found["zed@acme.com"].claims["email_verified"] is False
    assert len(found) == 3


def test_whoever_is_meant_by_group_domain_or_claim_gets_an_invented_address() -> None:
    found = of(
        ROLES
        + "assign:\n"
        + "  - {role: viewer, domain: globex.com}\n"
        + "  - {role: admin, group: ops-team}\n"
        + "  - {role: admin, claim: {department: finance}}\n"
    )
    assert found["someone@globex.com"].note == "viewer, by domain:globex.com"
    assert found["ops-team@example.com"].claims["groups"] == ["ops-team"]
    assert found["finance@example.com"].claims["department"] == "finance"


def test_nobody_is_invented_for_an_assignment_that_somebody_stands_for() -> None:
    found = of(ROLES + "assign: [{role: admin, email: ann@acme.com}, {role: viewer, domain: acme.com}]\n")
    assert [*found] == ["ann@acme.com", people.VISITOR]


def test_where_the_policy_asks_for_groups_they_are_known_and_stand_where_it_reads_them() -> None:
    found = of(
        ROLES
        + "identity: {groups: [realm, teams]}\n"
        + "assign: [{role: admin, email: ann@acme.com}, {role: viewer, group: staff}]\n"
    )
    assert found["ann@acme.com"].claims["realm"] == {"teams": []}
    assert found["staff@example.com"].claims["realm"] == {"teams": ["staff"]}


@pytest.mark.parametrize("provider", ["auto", "generic", "entra", "keycloak", "auth0", "supabase", "authentik"])
def test_the_preset_that_a_policy_names_knows_roles_and_groups_of_its_people(provider: str) -> None:
    stated = "{stguard: 1, roles: {admin: {}}, assign: [{role: admin, group: staff}], identity: {provider: PRESET}}"
    policy = Policy.from_yaml(stated.replace("PRESET", provider))
    (person, *_) = people.from_policy(policy.parts)
    subject = policy.subject({"iss": "http://localhost:8000", **person.claims})
    assert subject is not None
    assert set(subject.groups) == {"staff"}
    assert not {"roles", "groups"} & subject.unknown.keys()


def test_a_file_of_claims_is_read_as_yaml_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("- {email: ann@acme.com, groups: [a]}\n- {sub: '2'}\n")
    (tmp_path / "p.json").write_text('[{"email": "ann@acme.com", "groups": ["a"]}, {"sub": "2"}]')
    expected = [{"email": "ann@acme.com", "groups": ["a"]}, {"sub": "2"}]
    assert people.read(tmp_path / "p.yaml") == people.read(tmp_path / "p.json") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("email: ann@acme.com", "expected a list of claims"),
        ("- ann@acme.com", "person 1: expected a mapping"),
        ("- {name: Ann}", "person 1: expected `sub` or `email`"),
        ("- {sub: a}\n- {sub: a}", "person 2: `a` stands there twice"),
        ("[]", "nobody to sign in as"),
        ("- {sub: a}\n- {", "neither YAML nor JSON: line 2: "),
    ],
)
def test_a_bad_file_of_claims_is_refused_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "people.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        people.read(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_missing_file_of_claims_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        people.read(tmp_path / "nowhere.yaml")
