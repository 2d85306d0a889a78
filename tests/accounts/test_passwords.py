from __future__ import annotations

import pytest

from stguard.accounts import passwords
from tests.accounts.servers import PASSWORD, stored

SALT = "c29tZXNhbHRzb21lc2FsdA"
TAG = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"


def test_a_hash_matches_its_password_and_no_other() -> None:
    assert passwords.matches(stored(PASSWORD), passwords.prepared(PASSWORD))
    assert not passwords.matches(stored(PASSWORD), passwords.prepared(PASSWORD + " "))
    assert not passwords.matches(stored(PASSWORD), b"")


def test_one_password_typed_on_two_keyboards_is_one() -> None:
    assert passwords.prepared("\N{LATIN SMALL LETTER E WITH ACUTE}") == passwords.prepared(
        "e\N{COMBINING ACUTE ACCENT}"
    )


@pytest.mark.parametrize(
    "password", ["x" * 1025, "\N{EURO SIGN}" * 342, "\ud800", "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 60]
)
def test_a_password_is_refused_and_never_cut(password: str) -> None:
    with pytest.raises(ValueError, match=r"longer than 1024 bytes|surrogates"):
        passwords.prepared(password)


def test_the_parameters_are_those_of_the_rfc() -> None:
    assert passwords.parameters(stored(PASSWORD)) == passwords.Parameters(65536, 3, 4, 16, 32)
    assert not passwords.is_dated(stored(PASSWORD))
    assert passwords.is_dated(f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${TAG}")


@pytest.mark.parametrize("cost", ["m=47104,t=1,p=1", "m=19456,t=2,p=1", "m=12288,t=3,p=1", "m=7168,t=5,p=1"])
def test_the_least_parameters_of_owasp_are_enough(cost: str) -> None:
    passwords.parameters(f"$argon2id$v=19${cost}${SALT}${TAG}")


@pytest.mark.parametrize(
    "phc",
    [
        "",
        "plain",
        "$2b$12$abcdefghijklmnopqrstuv",
        f"$argon2i$v=19$m=65536,t=3,p=4${SALT}${TAG}",
        f"$argon2d$v=19$m=65536,t=3,p=4${SALT}${TAG}",
        f"$argon2id$v=16$m=65536,t=3,p=4${SALT}${TAG}",
        f"$argon2id$m=65536,t=3,p=4${SALT}${TAG}",
        f"$argon2id$v=19$m=8,t=1,p=1${SALT}${TAG}",
        f"$argon2id$v=19$m=19456,t=1,p=1${SALT}${TAG}",
        f"$argon2id$v=19$m=4194304,t=3,p=1${SALT}${TAG}",
        f"$argon2id$v=19$m=65536,t=4000,p=1${SALT}${TAG}",
        f"$argon2id$v=19$m=65536,t=3,p=99${SALT}${TAG}",
        f"$argon2id$v=19$m=65536,t=3,p=4$c2FsdA${TAG}",
        f"$argon2id$v=19$m=65536,t=3,p=4${SALT}$c2FsdA",
        f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${TAG}\n",
        f"$argon2id$v=19$m=0065536,t=3,p=4${SALT}${TAG}",
    ],
)
def test_any_other_hash_is_refused_without_repeating_it(phc: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        passwords.parameters(phc)
    assert SALT not in str(caught.value)


def test_a_decoy_costs_the_same_and_matches_nothing() -> None:
    like = passwords.parameters(stored(PASSWORD))
    decoy = passwords.decoy(like, seed=b"ann")
    assert passwords.parameters(decoy) == like
    assert decoy == passwords.decoy(like, seed=b"ann") != passwords.decoy(like, seed=b"bob")
    assert not passwords.matches(decoy, passwords.prepared(PASSWORD))


@pytest.mark.parametrize(
    "password",
    [
        "short", "x" * 14, "x" * 40, "abcabcabcabcabcabc", "passwordpassword", "Password12345678", "qwertyuiopasdfgh",
        "123456789012345", "annannannannannann", "ann.archer@acme.com", "Archer-acme-2024",
        "\tfour words nobody guesses", "letmeinletmein1", "adminadminadmin!", "ababababababababab",
    ],
)  # fmt: skip
def test_what_anybody_would_try_is_no_password(password: str) -> None:
    assert passwords.reject(password, words=("ann", "Ann Archer", "ann@acme.com"))


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "correct horse battery staple",
        "Zürich im Schnee 7",
        "\N{SNOWMAN}" + "vier seltene Worte",
        "8fK2-91xP-77Qz-L0wd",
    ],
)
def test_a_few_words_are_a_password(password: str) -> None:
    assert passwords.reject(password, words=("ann", "Ann Archer", "ann@acme.com")) is None
