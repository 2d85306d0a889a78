from __future__ import annotations

from pathlib import Path

import pytest

from stguard.accounts import accountsfile
from tests.accounts.servers import PASSWORD, accounts_file, stored

HASH = stored(PASSWORD)
OK = f"id: id-of-ann-0123456789, password: {HASH!r}"


def problems(text: str | bytes) -> list[str]:
    reading = accountsfile.parse("accounts.yaml", text)
    assert reading.accounts is None
    return [str(problem) for problem in reading.problems]


def test_a_file_becomes_accounts_by_user_and_by_id() -> None:
    accounts = accountsfile.parse("accounts.yaml", accounts_file()).accounts
    assert accounts is not None
    ann = accounts.by_user["ann"]
    assert ann is accounts.by_id["id-of-ann-0123456789"]
    assert (ann.name, ann.email, ann.email_verified) == ("Ann Archer", "ann@acme.com", True)
    assert (ann.groups, ann.roles, ann.disabled, ann.until) == (("finance",), ("viewer",), False, None)


def test_the_claims_are_those_of_a_provider() -> None:
    accounts = accountsfile.parse("accounts.yaml", accounts_file(email_verified="")).accounts
    assert accounts is not None
    claims = accounts.by_user["ann"].claims(at=1000.5, login="L")
    assert claims.pop("account_version") == accounts.by_user["ann"].fingerprint
    assert claims == {
        "iss": "urn:stguard:accounts",
        "sub": "id-of-ann-0123456789",
        "name": "Ann Archer",
        "preferred_username": "ann",
        "email": "ann@acme.com",
        "email_verified": False,
        "groups": ["finance"],
        "roles": ["viewer"],
        "iat": 1000,
        "auth_time": 1000,
        "sid": "L",
        "provider": "local_accounts",
    }
    bob = accounts.by_user["bob"].claims(at=0, login="L")
    assert "email" not in bob
    assert "email_verified" not in bob
    assert (bob["groups"], bob["roles"]) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Annie"},
        {"email": "ann@globex.com"},
        {"email_verified": ""},
        {"groups": "[]"},
        {"roles": "[viewer, admin]"},
        {"password": stored("another one of four words")},
        {"until": "2030-01-01T00:00:00Z"},
        {"enabled_at": "2026-01-01T00:00:00Z"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_change_of_an_account_makes_it_another_version(change: dict[str, str]) -> None:
    before = accountsfile.parse("a", accounts_file()).accounts
    after = accountsfile.parse("a", accounts_file(**change)).accounts
    assert before is not None
    assert after is not None
    assert before.by_user["ann"].fingerprint != after.by_user["ann"].fingerprint
    assert before.by_user["bob"].fingerprint == after.by_user["bob"].fingerprint


def test_the_printed_form_of_an_account_holds_no_hash() -> None:
    accounts = accountsfile.parse("a", accounts_file()).accounts
    assert "argon2" not in repr(accounts)


def test_a_disabled_or_outlived_account_does_not_count() -> None:
    for change, counts in (({}, True), ({"disabled": "true"}, False), ({"until": "2026-01-01T00:00:00Z"}, False)):
        accounts = accountsfile.parse("a", accounts_file(**change)).accounts
        assert accounts is not None
        assert accounts.by_user["ann"].counts(at=1_800_000_000) is counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a.yaml:1:1: error[empty-file]"),
        ("accounts:", "a.yaml:1:10: error[wrong-type]"),
        ("accounts: {}\npeople: {}", "a.yaml:2:1: error[unknown-key] unknown key `people`"),
        ("acounts: {}", "did you mean `accounts`?"),
        ("- ann", "expected a mapping as a file of accounts"),
        ("accounts: {ann: {id: id-of-ann-0123456789}}", "missing key `password`"),
        (f"accounts: {{ann: {{password: '{HASH}'}}}}", "missing key `id`"),
        (f"accounts: {{ann: {{{OK}, rolse: [a]}}}}", "unknown key `rolse` in an account; did you mean `roles`?"),
        (f"accounts: {{ann: {{{OK}, disabled: yes}}}}", "expected `true` or `false`"),
        (f"accounts: {{ann: {{{OK}, disabled: 'true'}}}}", "without quotes"),
        (f"accounts: {{ann: {{{OK}, email_verified: true}}}}", "`email_verified` without `email`"),
        (f"accounts: {{ann: {{{OK}, email: ann}}}}", "error[email-form]"),
        (f"accounts: {{ann: {{{OK}, until: tomorrow}}}}", "error[bad-time]"),
        (f"accounts: {{ann: {{{OK}, until: '2030-01-01T00:00:00'}}}}", "error[no-zone]"),
        (f"accounts: {{ann: {{{OK}}}, ann: {{{OK}}}}}", "error[duplicate-key]"),
        (f"accounts: {{ann: {{{OK}}}, ANN: {{{OK}}}}}", "error[duplicate-user]"),
        (f"accounts: {{ann: {{{OK}}}, bob: {{{OK}}}}}", "error[duplicate-id]"),
        (f"accounts: {{' ann': {{{OK}}}}}", "error[user-form]"),
        (f'accounts: {{"a\\u200dnn": {{{OK}}}}}', "error[user-form]"),
        (f"accounts: {{ann: {{id: short, password: '{HASH}'}}}}", "error[id-form]"),
        (f"accounts: {{ann: &a {{{OK}}}}}", "error[anchor]"),
        ("accounts: {ann: {id: id-of-ann-0123456789, password: hunter2}}", "error[password-hash]"),
        ("accounts: {ann: [", "error[syntax]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, expected: str) -> None:
    reading = accountsfile.parse("a.yaml", text)
    assert reading.accounts is None
    assert expected in "\n".join(map(str, reading.problems))


def test_all_problems_come_at_once_and_none_repeats_a_password() -> None:
    text = "accounts:\n  ann:\n    id: short\n    password: hunter2-in-plain\n    rolse: x\n"
    found = problems(text)
    assert [line.partition(" ")[0] for line in found] == [
        "accounts.yaml:3:9:", "accounts.yaml:4:15:", "accounts.yaml:5:5:",
    ]  # fmt: skip
    assert "hunter2" not in "\n".join(found)


def test_the_file_that_the_documentation_shows_loads() -> None:
    page = (Path(__file__).parents[2] / "docs" / "accounts.md").read_text(encoding="utf-8")
    text = page.partition("```yaml\n")[2].partition("```")[0]
    shown = next(line for line in text.splitlines() if "password:" in line).partition("password: ")[2]
    accounts = accountsfile.parse("accounts.yaml", text.replace(shown, HASH)).accounts
    assert accounts is not None
    assert accounts.by_user["ann"].until == 1798761600.0


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "not-utf8" in problems(b"accounts: {\xff: {}}")[0]
    assert "too-large" in problems(b"#" * (6 * 1024 * 1024))[0]
