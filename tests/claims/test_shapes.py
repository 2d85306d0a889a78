"""Claims of any shape: nothing raises, junk adds nothing, and only a whole issuer selects a preset."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stguard.claims import Vocabulary, subject_from
from stguard.model import ClaimPath, Identity, Subject
from stguard.providers import BY_NAME, EDITABLE, GENERIC, PROVIDERS, Provider, by_issuer, meant

HERE = Path(__file__).parent
VOCABULARY = Vocabulary(
    roles=frozenset({"admin", "viewer", "support"}),
    cross_org=frozenset({"support"}),
    permissions=frozenset({"report:view"}),
    orgs=None,
    multi_tenant=True,
)
CASES = [
    (path.parent.name, json.loads(path.read_text(encoding="utf-8"))["claims"]) for path in sorted(HERE.glob("*/*.json"))
]
ROWS = [row for row in PROVIDERS if row.name != "none"]
WITH_ISSUER = [row for row in PROVIDERS if row.issuer is not None]

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text().filter(lambda text: text not in VOCABULARY.roles),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def read(claims: Any, provider: str) -> Subject | None:
    return subject_from(claims, identity=Identity(provider=provider), vocabulary=VOCABULARY)


def held(subject: Subject | None) -> set[tuple[str | None, str]]:
    """Return what is held: (org, role), and (org, permission)."""
    if subject is None:
        return set()
    found: set[tuple[str | None, str]] = {(None, role) for role in subject.roles}
    for org, member in subject.memberships.items():
        found |= {(org, name) for name in (*(member.roles or ()), *(member.permissions or ()))}
    return found


def places(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    """Return the paths of every value inside."""
    inner: list[tuple[Any, ...]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        inner += [(*path, key), *places(each, *path, key)]
    return inner


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@given(data=st.data())
def test_no_value_anywhere_in_the_claims_of_a_provider_raises(data: st.DataObject) -> None:
    name, claims = data.draw(st.sampled_from(CASES))
    claims = copy.deepcopy(claims)
    *outer, last = data.draw(st.sampled_from(places(claims)))
    at(claims, tuple(outer))[last] = data.draw(JUNK)
    found = read(claims, data.draw(st.sampled_from([name, "auto", *BY_NAME])))
    assert found is None or found.roles <= VOCABULARY.roles


@given(data=st.data())
def test_junk_in_a_list_never_adds_a_role(data: st.DataObject) -> None:
    name, claims = data.draw(st.sampled_from(CASES))
    lists = [path for path in places(claims) if isinstance(at(claims, path), list)]
    more = copy.deepcopy(claims)
    for path in lists:
        at(more, path).extend(data.draw(st.lists(JUNK, max_size=3)))
    assert held(read(more, name)) <= held(read(claims, name))


@given(data=st.data())
def test_a_claim_that_nobody_knows_never_adds_a_role(data: st.DataObject) -> None:
    name, claims = data.draw(st.sampled_from(CASES))
    junk = data.draw(st.dictionaries(st.text().filter(lambda key: key not in claims), JUNK, max_size=4))
    assert held(read({**claims, **junk}, name)) <= held(read(claims, name))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.name))
def test_ten_thousand_entries_are_read_and_few_are_noted(row: Provider) -> None:
    many = [f"name-{n}" for n in range(10_000)]
    claims: dict[str, Any] = {"iss": "https://id.acme.com", "sub": "1"}
    for where in (row.roles, row.groups, row.orgs, *row.pairs):
        if where is not None:
            inner = claims
            for key in where.path[:-1]:
                inner = inner.setdefault(key, {})
            inner[where.path[-1]] = many
    found = read(claims, row.name)
    assert found is not None
    assert not held(found)
    assert len(found.notes) <= 50
    assert row.groups is None or len(found.groups) == 10_000


def issuer_of(row: Provider) -> str:
    case = json.loads((HERE / row.name / "ordinary.json").read_text(encoding="utf-8"))
    return str(case["claims"]["iss"])


@pytest.mark.parametrize("row", WITH_ISSUER, ids=lambda row: str(row.name))
def test_the_documented_issuer_selects_the_row(row: Provider) -> None:
    assert by_issuer(issuer_of(row)) is row


@pytest.mark.parametrize("row", WITH_ISSUER, ids=lambda row: str(row.name))
def test_no_issuer_that_only_looks_like_one_selects_a_row(row: Provider) -> None:
    real = issuer_of(row)
    host, _, path = real.removeprefix("https://").partition("/")
    path = f"/{path}" if "/" in real.removeprefix("https://") else ""
    fakes = [
        f"https://{host}.evil.io{path}",
        f"https://evil.io/{host}{path}",
        f"https://evil.io?{real}",
        f"https://evil.io#{real}",
        f"https://{host}@evil.io{path}",
        f"https://{host}:443{path}",
        f"https://evil.io/.{host}{path}",
        f"http://{host}{path}",
        f" {real}",
        f"{real}\n",
        f"{real}\x00",
        f"{real}/x/y",
        real.replace("https://", "https:/"),
        real.replace(".", "\u3002"),
        *(
            f"https://{host[:n]}x{host[n + 1 :]}{path}"
            for n, char in enumerate(host)
            if char == "." and n > host.find(".")
        ),
    ]
    assert [fake for fake in fakes if by_issuer(fake) is not GENERIC] == []


def test_a_row_chosen_by_how_an_issuer_begins_would_read_a_stranger_s_claims() -> None:
    # Wrong on purpose: what the whole match keeps out.
    fake = "https://accounts.google.com.evil.io"
    careless = next(row for row in WITH_ISSUER if row.issuer is not None and row.issuer.match(fake))
    claims = {"iss": fake, "sub": "1", "hd": "acme"}
    fooled, careful = read(claims, careless.name), read(claims, "auto")
    assert fooled is not None
    assert careful is not None
    assert (set(fooled.memberships), set(careful.memberships)) == ({"acme"}, set())


@pytest.mark.parametrize("issuer", [None, 5, True, b"https://accounts.google.com", ["https://accounts.google.com"], {}])
def test_an_issuer_that_is_no_text_selects_nothing(issuer: Any) -> None:
    assert by_issuer(issuer) is GENERIC


def test_no_issuer_fits_two_rows() -> None:
    for row in WITH_ISSUER:
        assert [other for other in WITH_ISSUER if other.issuer and other.issuer.fullmatch(issuer_of(row))] == [row]


@pytest.mark.parametrize(("claims", "known"), [({"roles": "contractor"}, False), ({"role": None}, True), ({}, True)])
def test_roles_that_somebody_added_and_nobody_reads_are_unknown(claims: dict[str, Any], *, known: bool) -> None:
    found = read({"iss": "https://acme.okta.com", "sub": "1", **claims}, "auto")
    assert found is not None
    assert ("roles" not in found.unknown) is known


@pytest.mark.parametrize("claim", sorted(EDITABLE))
def test_what_users_write_themselves_is_read_by_no_preset_that_knows_it(claim: str) -> None:
    for row in ROWS:
        assert claim not in {where.path[0] for where in (row.roles, row.groups, row.orgs) if where is not None}
        if claim in row.editable:
            there = ClaimPath(path=(claim, "x"))
            identity = Identity(provider=row.name, roles=there, groups=there, orgs=there)
            found = subject_from({"sub": "1", claim: {"x": ["admin"]}}, identity=identity, vocabulary=VOCABULARY)
            assert found is not None
            assert (found.roles, found.groups, dict(found.memberships)) == (frozenset(), frozenset(), {})
            assert {"roles", "groups", "orgs"} <= found.unknown.keys()


@pytest.mark.parametrize(("word", "name"), [("Azure", "entra"), ("AWS", "cognito"), ("okta", "okta"), ("ldap", None)])
def test_other_words_for_a_provider_are_understood(word: str, name: str | None) -> None:
    assert meant(word) == name
