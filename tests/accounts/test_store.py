from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
from itsdangerous import Signer
from starlette.requests import Request

from stguard.accounts import AccountStore, passwords
from stguard.app.gateway import accounts as page
from stguard.errors import PolicyFileError
from tests.accounts.servers import OTHER, PASSWORD, accounts_file, stored

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.yaml"
    path.write_text(accounts_file())
    path.chmod(0o600)
    return path


def claims(store: AccountStore) -> dict[str, Any]:
    accounts = store.current()
    assert accounts is not None
    return accounts.by_user["ann"].claims(at=NOW, login="L")


def recognised(store: AccountStore, user: str, password: str, **options: Any) -> str | None:
    accounts = store.current()
    assert accounts is not None
    found = store.recognise(accounts, user=user, password=passwords.prepared(password), at=NOW, **options)
    return None if found is None else found.user


def test_user_and_password_are_recognised(file: Path) -> None:
    store = AccountStore(file)
    assert recognised(store, "ann", PASSWORD) == "ann"
    assert recognised(store, " ANN ", PASSWORD) == "ann"
    assert recognised(store, "ann", OTHER) is None
    assert recognised(store, "bob", OTHER) == "bob"
    assert recognised(store, "eve", PASSWORD) is None


def test_exactly_one_hash_is_worked_out_whoever_asks_and_it_costs_the_same(file: Path) -> None:
    file.write_text(accounts_file(disabled="true"))
    store = AccountStore(file)
    seen: list[str] = []

    def matches(phc: str, password: bytes) -> bool:
        seen.append(phc)
        return passwords.matches(phc, password)

    for user, password in (
        ("ann", PASSWORD),
        ("ann", "x"),
        ("bob", "x"),
        ("eve", "x"),
        ("", ""),
        ("a" * 500, PASSWORD),
    ):
        before = len(seen)
        assert recognised(store, user, password, matches=matches) is None
        assert len(seen) == before + 1
    assert len({passwords.parameters(phc) for phc in seen}) == 1


def test_a_naive_look_up_tells_users_apart_by_the_work_it_does(file: Path) -> None:
    accounts = AccountStore(file).current()
    assert accounts is not None
    worked = []

    def naive(user: str) -> None:
        account = accounts.by_user.get(user)
        if account is not None:
            worked.append(user)
            passwords.matches(account.password, b"x")

    naive("ann")
    naive("eve")
    assert worked == ["ann"]


def test_the_decoy_of_a_name_costs_as_much_as_that_of_some_account(file: Path) -> None:
    cheap = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
    file.write_text(accounts_file(password=cheap))
    store = AccountStore(file)
    seen: dict[str, set[passwords.Parameters]] = {}

    def ask(user: str) -> None:
        def matches(phc: str, _password: bytes) -> bool:
            seen.setdefault(user, set()).add(passwords.parameters(phc))
            return False

        recognised(store, user, "x", matches=matches)

    for number in (*range(40), *range(40)):
        ask(f"nobody{number}")
    assert all(len(costs) == 1 for costs in seen.values())
    assert len(set.union(*seen.values())) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"disabled": "true"},
        {"until": "2026-01-01T00:00:00Z"},
        {"password": stored(OTHER)},
        {"id": "id-of-another-0123456789"},
        {"roles": "[]"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_login_ends_with_a_change_of_its_account(file: Path, change: dict[str, str]) -> None:
    store = AccountStore(file)
    login = claims(store)
    assert not store.ends(login, at=NOW)
    file.write_text(accounts_file(**change))
    assert store.ends(login, at=NOW)


def test_a_login_ends_when_its_account_is_removed(file: Path) -> None:
    store = AccountStore(file)
    login = claims(store)
    file.write_text("accounts: {}\n")
    assert store.ends(login, at=NOW)


@pytest.mark.parametrize("name", ["sub", "iss", "account_version"])
@pytest.mark.parametrize("value", [None, 1, True, [], {}, "", "id-of-bob-0123456789", "\ud800"])
def test_claims_of_any_other_shape_are_no_login(file: Path, name: str, value: object) -> None:
    store = AccountStore(file)
    assert store.ends({**claims(store), name: value}, at=NOW)


def test_a_bad_edit_keeps_the_last_good_accounts_and_says_so(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = AccountStore(file)
    login = claims(store)
    file.write_text("accounts: {ann: {}}")
    with caplog.at_level(logging.ERROR, "stguard"):
        assert not store.ends(login, at=NOW)
        assert recognised(store, "bob", OTHER) == "bob"
    assert caplog.text.count("the last good ones stay in force") == 1
    assert "accounts.yaml:1:17: missing key `id`" in caplog.text
    file.write_text(accounts_file(disabled="true"))
    assert store.ends(login, at=NOW)


def test_a_file_that_is_gone_leaves_nobody(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = AccountStore(file)
    login = claims(store)
    away = file.rename(file.with_name("away"))
    for _ in range(3):
        assert store.current() is None
        assert store.ends(login, at=NOW)
    assert caplog.text.count("no local account counts") == 1
    away.rename(file)
    assert not store.ends(login, at=NOW)


def test_an_edit_of_equal_length_and_time_is_seen(file: Path) -> None:
    store = AccountStore(file)
    login = claims(store)
    before = file.stat()
    file.write_text(accounts_file(name="Ann Arches"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.ends(login, at=NOW)


def test_a_broken_or_missing_file_is_refused_at_the_start(file: Path) -> None:
    with pytest.raises(PolicyFileError, match="no such file"):
        AccountStore(file.with_name("missing.yaml"))
    file.write_text("accounts: {ann: {}}")
    with pytest.raises(PolicyFileError, match=r"accounts\.yaml:1:17"):
        AccountStore(file)
    with pytest.raises(PolicyFileError):
        AccountStore(file.parent)


def test_a_file_that_others_may_read_is_named_in_the_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    AccountStore(file)
    assert not caplog.records
    file.chmod(0o644)
    AccountStore(file)
    assert "set its mode to 600" in caplog.text


def test_the_cookie_of_a_browser_is_looked_at_whoever_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = AccountStore(file).current()
    assert accounts is not None
    long = "a" * 9000 + ".b.c"
    scope = {"type": "http", "headers": [(b"cookie", f"_stguard_browser={long}".encode())], "client": None}
    signed: list[int] = []
    verify = Signer.verify_signature

    def counted(self: Signer, value: str | bytes, sig: str | bytes) -> bool:
        signed.append(len(value))
        return verify(self, value, sig)

    monkeypatch.setattr(Signer, "verify_signature", counted)
    work = []
    for user in ("ann", "nobody"):
        signed.clear()
        page._attempt(Request(scope), accounts, user)
        work.append(sum(signed))
    assert work[0] == work[1] > 9000
