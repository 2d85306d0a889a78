from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stguard.accounts import accountsfile, passwords
from stguard.cli import stguard

PASSWORD = "four words nobody guesses"  # noqa: S105  made up
OTHER = "another four words altogether"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.yaml"


def run(file: Path, *args: str, given: str = PASSWORD) -> Result:
    return CliRunner().invoke(stguard, ["accounts", *args, "--file", str(file)], input=given + "\n")


def add(file: Path, user: str, *args: str, given: str = PASSWORD) -> Result:
    return run(file, "add", user, *args, "--password-stdin", given=given)


def accounts(file: Path) -> dict[str, accountsfile.Account]:
    reading = accountsfile.parse("accounts.yaml", file.read_bytes())
    assert reading.accounts is not None, reading.problems
    return dict(reading.accounts.by_user)


def test_add_makes_the_file_for_its_owner_only(file: Path) -> None:
    result = add(
        file, "ann", "--name", "Ann", "--email", "ann@acme.com", "--email-verified", "--group", "a", "--group", "b",
        "--role", "viewer", "--until", "2030-01-01T00:00:00Z",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    ann = accounts(file)["ann"]
    assert ann.id in result.output
    assert (ann.name, ann.email, ann.email_verified) == ("Ann", "ann@acme.com", True)
    assert (ann.groups, ann.roles, ann.until) == (("a", "b"), ("viewer",), 1893456000.0)
    assert passwords.matches(ann.password, passwords.prepared(PASSWORD))
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["accounts.yaml"]


def test_an_account_added_again_under_its_name_is_somebody_else(file: Path) -> None:
    add(file, "ann")
    first = accounts(file)["ann"].id
    assert run(file, "remove", "ann").exit_code == 0
    assert accounts(file) == {}
    add(file, "ann")
    assert accounts(file)["ann"].id != first


@pytest.mark.parametrize(
    ("args", "given", "expected"),
    [
        (["ANN"], PASSWORD, "there is an account `ANN` already"),
        ([" x"], PASSWORD, "expected a user name"),
        (["bob"], "short", "15 characters or more, got 5"),
        (["bob"], "passwordpassword", "one of the first to be tried"),
        (["bobthebuilder"], "bobthebuilder12345", "one of the first to be tried"),
        (["bob", "--email", "bob"], PASSWORD, "expected an e-mail"),
        (["bob", "--email-verified"], PASSWORD, "`email_verified` without `email`"),
        (["bob", "--until", "tomorrow"], PASSWORD, "expected a time"),
    ],
)
def test_what_cannot_be_added_leaves_the_file_as_it_was(file: Path, args: list[str], given: str, expected: str) -> None:
    add(file, "ann")
    before = file.read_bytes()
    result = add(file, *args, given=given)
    assert result.exit_code != 0
    assert expected in result.output
    assert given not in result.output.replace(" ".join(args), "")
    assert file.read_bytes() == before


def test_edits_keep_comments_order_and_what_others_wrote(file: Path) -> None:
    add(file, "ann")
    add(file, "bob", given=OTHER)
    text = "# people of the plant\n" + file.read_text().replace("  bob:", "  # night shift\n  bob:  # since May")
    text = text.replace("accounts:", "accounts:\n  'no':\n    id: 0123456789012345\n    name: yes\n    password: "
                        f"{accounts(file)['ann'].password}", 1)  # fmt: skip
    file.write_text(text)
    before = accounts(file)
    assert run(file, "passwd", "bob", "--password-stdin", given="third choice of four words").exit_code == 0
    after = accounts(file)
    assert list(after) == list(before) == ["no", "ann", "bob"]
    assert (after["no"], after["ann"]) == (before["no"], before["ann"])
    assert before["no"].name == "yes"
    assert passwords.matches(after["bob"].password, passwords.prepared("third choice of four words"))
    for comment in ("# people of the plant", "# night shift", "# since May"):
        assert comment in file.read_text()


def test_a_name_that_yaml_reads_as_a_number_is_left_for_the_hand(file: Path) -> None:
    add(file, "ann")
    file.write_text(file.read_text().replace("  ann:", "  012:"))
    before = file.read_bytes()
    result = run(file, "disable", "012")
    assert (result.exit_code, file.read_bytes()) == (1, before)
    assert "in quotes" in result.output


def test_disable_and_enable_end_earlier_logins_for_good(file: Path) -> None:
    add(file, "ann")
    first = accounts(file)["ann"]
    assert run(file, "disable", "Ann").exit_code == 0
    assert accounts(file)["ann"].disabled
    assert run(file, "enable", "ann").exit_code == 0
    ann = accounts(file)["ann"]
    assert not ann.disabled
    assert ann.id == first.id
    assert ann.fingerprint != first.fingerprint


def test_list_tells_everything_but_the_hash(file: Path) -> None:
    add(file, "ann", "--role", "viewer")
    dated = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
    file.write_text(file.read_text() + f"  bob:\n    id: 0123456789abcdef\n    disabled: true\n    password: {dated}\n")
    result = run(file, "list", "--json")
    assert "argon2" not in result.output
    ann, bob = json.loads(result.output)["accounts"]
    assert (ann["user"], ann["roles"], ann["password_dated"], ann["disabled"]) == ("ann", ["viewer"], False, False)
    assert (bob["user"], bob["email"], bob["password_dated"], bob["disabled"]) == ("bob", None, True, True)
    shown = run(file, "list").output
    assert "bob  (disabled)  (hash of an older kind: set the password again)" in shown
    assert "2 accounts" in shown
    assert "argon2" not in shown


@pytest.mark.parametrize("command", ["passwd", "disable", "enable", "remove", "list"])
def test_a_missing_file_is_told_with_the_way_out(file: Path, command: str) -> None:
    result = run(file, command, *(["ann"] if command != "list" else []))
    assert result.exit_code == 1
    assert "stguard accounts add" in result.output


def test_a_broken_file_is_told_and_not_touched(file: Path) -> None:
    file.write_text("accounts: {ann: {}}\n")
    result = add(file, "bob")
    assert result.exit_code == 1
    assert "accounts.yaml:1:17: missing key `id`" in result.output
    assert file.read_text() == "accounts: {ann: {}}\n"


def test_a_file_may_stay_readable_by_a_group_and_by_nobody_else(file: Path) -> None:
    add(file, "ann")
    file.chmod(0o664)
    add(file, "bob")
    assert file.stat().st_mode & 0o777 == 0o640


def test_an_edit_goes_to_the_file_behind_a_link(file: Path, tmp_path: Path) -> None:
    add(file, "ann")
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    add(link, "bob")
    assert link.is_symlink()
    assert list(accounts(file)) == ["ann", "bob"]


def test_without_a_terminal_no_password_is_asked_for(file: Path) -> None:
    result = run(file, "add", "ann")
    assert result.exit_code == 1
    assert "--password-stdin" in result.output
    assert not file.exists()


@pytest.mark.parametrize(("second", "code"), [(PASSWORD, 0), (OTHER, 1)])
def test_a_terminal_is_asked_twice_and_shows_nothing(file: Path, second: str, code: int) -> None:
    main, side = pty.openpty()
    command = [sys.executable, "-W", "error", "-m", "stguard.cli", "accounts", "add", "ann", "--file", str(file)]
    child = subprocess.Popen(
        command,
        stdin=side,
        stdout=side,
        stderr=side,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(side)
    seen = b""
    for prompt, typed in ((b"or more):", PASSWORD), (b"Once more:", second)):
        while prompt not in seen:
            seen += os.read(main, 1000)
        os.write(main, typed.encode() + b"\n")
    assert child.wait(timeout=60) == code
    while True:
        try:
            seen += os.read(main, 1000)
        except OSError:  # the other side is closed
            break
    os.close(main)
    assert PASSWORD.encode() not in seen
    assert file.exists() is (code == 0)
