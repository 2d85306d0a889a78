from __future__ import annotations

import getpass
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard.policy import Policy
from tests.cli.conftest import TEAM

if TYPE_CHECKING:
    from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def test_a_grant_adds_a_row_and_a_revoke_takes_it_away_again(team: Run, tmp_path: Path) -> None:
    ran = team("grant", "bob@acme.com", "viewer", "--until", "2099-01-01T00:00:00Z", "--reason", "T-1", "--yes")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("+ email:bob@acme.com gains report:view, page:reports (assignment `viewer:email:bob")
    assert lines[1].startswith(f"written policy.yaml; policy {Policy.load(tmp_path / 'policy.yaml').version}, version ")
    row = '  - {role: viewer, email: bob@acme.com, until: "2099-01-01T00:00:00Z", reason: T-1}\n'
    text = (tmp_path / "policy.yaml").read_text("utf-8")
    assert text == TEAM.replace("forbid:\n", row + "forbid:\n", 1)
    ran = team("revoke", "email:bob@acme.com", "viewer", "--yes")
    assert ran.out.startswith("- email:bob@acme.com loses report:view, page:reports (")
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM


def test_the_document_has_exactly_the_keys_that_are_promised(team: Run) -> None:
    document = team("grant", "bob@acme.com", "viewer", "--yes", "--json").json
    assert set(document) == {"ok", "version_before", "version", "gains", "losses", "problems"}
    assert document["ok"] is True
    assert document["version_before"] != document["version"]
    assert document["gains"][0]["who"] == "email:bob@acme.com"
    assert set(team("restore", document["version_before"], "--yes", "--json").json) == set(document)
    assert set(team("fmt", "--json").json) == set(document)


def test_what_locks_everyone_out_is_refused_also_with_yes_unless_that_is_meant(run: Run, tmp_path: Path) -> None:
    text = (
        "stguard: 1\nroles: {admin: {allow: 'policy:*'}}\n"
        "assign:\n  - {id: boss, role: admin, email: ann@acme.com}\npages: {home: signed_in}\n"
    )
    (tmp_path / "policy.yaml").write_text(text, "utf-8")
    for how in (["--yes"], ["--yes", "--json"]):
        ran = run("revoke", "ann@acme.com", "admin", *how)
        assert ran.code == 1
        assert "give --lock-out if that is meant" in ran.error
        assert (tmp_path / "policy.yaml").read_text("utf-8") == text
    assert run("revoke", "ann@acme.com", "admin", "--yes", "--lock-out").code == 0
    assert "ann@acme.com" not in (tmp_path / "policy.yaml").read_text("utf-8")


def test_without_a_terminal_and_without_yes_nothing_is_written(team: Run, tmp_path: Path) -> None:
    for arguments in (["grant", "bob@acme.com", "viewer"], ["revoke", "ann@acme.com", "admin"]):
        ran = team(*arguments, stdin="y\n")
        # The second fails the policy's own test, which is said first.
        assert ran.code == (2 if arguments[0] == "grant" else 1)
    assert "give --yes" in team("grant", "bob@acme.com", "viewer").err
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1), ("", 1)])
def test_a_terminal_is_asked_after_the_difference(team: Run, tmp_path: Path, answer: str, code: int) -> None:
    del team
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "stguard.cli", "grant", "bob@acme.com", "viewer"],
        cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    os.write(ours, f"{answer}\n".encode())
    out, _ = running.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert running.returncode == code, out
    assert out.index("+ email:bob@acme.com gains") < out.index("write this? [y/N]")
    assert ("bob" in (tmp_path / "policy.yaml").read_text("utf-8")) == (answer == "y")


def test_an_edit_that_breaks_the_policys_own_tests_is_refused_with_the_place(team: Run, tmp_path: Path) -> None:
    ran = team("revoke", "ann@acme.com", "admin", "--yes")
    assert ran.code == 1
    assert "failing-test" in ran.err
    assert ran.err.endswith("not written; the policy would be refused\n")
    document = team("revoke", "ann@acme.com", "admin", "--yes", "--json").json
    assert (document["ok"], document["version"]) == (False, None)
    assert document["problems"][-1]["code"] == "failing-test"
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["grant", "bob@acme.com", "viewr"], 1, "error: no role `viewr` in the policy; did you mean `viewer`?"),
        (["grant", "bob", "viewer"], 2, "expected an e-mail, `everyone`"),
        (["grant", "grup:x", "viewer"], 2, "did you mean `group`?"),
        (["grant", "bob@acme.com", "viewer", "--until", "tomorrow"], 2, "expected ISO 8601 with a zone"),
        (["grant", "bob@acme.com", "viewer", "--until", "2020-01-01T00:00:00Z"], 1, "is in the past"),
        (["grant", "bob@acme.com", "viewer", "--org", "acme"], 1, "the policy has no orgs; leave it out"),
        (["revoke", "bob@acme.com", "viewer"], 1, "no assignment gives `email:bob@acme.com` role `viewer`"),
        (["restore", "abcd"], 1, "no version `abcd` in the history"),
        (["grant", "bob@acme.com", "viewer", "--policy", "no.yaml"], 1, "no policy at `no.yaml`"),
    ],
)
def test_bad_input_is_one_clear_line(team: Run, arguments: list[str], code: int, message: str) -> None:
    ran = team(*arguments, "--yes")
    assert ran.code == code
    assert message in ran.error


def test_an_org_is_named_where_the_policy_has_orgs(orgs: Run) -> None:
    assert "name it with `--org`" in orgs("grant", "bob@acme.com", "viewer", "--yes").error
    assert "did you mean `globex`" in orgs("grant", "bob@acme.com", "viewer", "--org", "globx", "--yes").error
    assert "gains report:view in acme" not in orgs("grant", "bob@acme.com", "viewer", "--org", "acme", "--yes").err
    assert orgs("revoke", "bob@acme.com", "viewer", "--yes").code == 0


def test_what_stands_there_already_is_said(team: Run) -> None:
    ran = team("grant", "ann@acme.com", "admin", "--yes")
    assert (ran.code, ran.out) == (0, "nothing to write; that stands in the policy already\n")


def test_the_history_is_listed_and_a_version_restored(team: Run, tmp_path: Path) -> None:
    assert "no versions yet" in team("history").out
    team("grant", "bob@acme.com", "viewer", "--reason", "T-1\u202e", "--yes")
    team("grant", "bob@acme.com", "viewer", "--reason", "T-1", "--yes")
    lines = team("history").out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("  T-1")
    assert lines[1].endswith("(found on the disk)")
    versions = team("history", "--json").json["versions"]
    assert set(versions[0]) == {"id", "version", "time", "author", "approver", "reason", "previous"}
    ran = team("restore", versions[1]["id"], "--yes")
    assert ran.out.startswith("- email:bob@acme.com loses")
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM
    index = tmp_path / ".stguard" / "policy.yaml" / "index.jsonl"
    index.write_bytes(b"{broken\n" + index.read_bytes())
    ran = team("history", "--json")
    assert len(ran.json["versions"]) == 3
    assert "warning: 1 line of the history can't be read" in ran.err


def test_an_edit_is_told_to_the_audit_that_is_named(team: Run, tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    assert team("grant", "bob@acme.com", "viewer", "--yes", "--audit", str(told)).code == 0
    env = {"STGUARD_AUDIT": str(told)}
    assert team("revoke", "bob@acme.com", "viewer", "--yes", env=env).code == 0
    (tmp_path / "policy.yaml").write_text(TEAM.replace("assign:\n", "\n\n\nassign:\n"), "utf-8")
    assert team("fmt", env=env).code == 0
    team("grant", "bob@acme.com", "viewer", env=env)  # nobody is asked here: nothing is written, nothing told
    records = team("audit", str(told), "--json").json["records"]
    assert [(each["event"], each["action"], each["reason"], each["allowed"]) for each in records] == [
        ("edit", "policy:edit", "edited", True)
    ] * 3
    assert "bob" not in told.read_text("utf-8"), "whom it was about stands in the history"
    assert {each["subject"] for each in records} == {getpass.getuser()}


def test_an_audit_that_can_not_be_written_keeps_the_policy_as_it_is(team: Run, tmp_path: Path) -> None:
    ran = team("grant", "bob@acme.com", "viewer", "--yes", "--audit", str(tmp_path))
    assert ran.code == 1
    assert "audit: " in ran.err
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM


def test_an_audit_that_fails_after_the_edit_is_said(team: Run, tmp_path: Path) -> None:
    ran = team("grant", "bob@acme.com", "viewer", "--yes", "--audit", "/dev/full")
    assert ran.code == 0, ran.err
    assert "warning: the edit was made, and the audit could not be told of it" in ran.err
    assert "bob@acme.com" in (tmp_path / "policy.yaml").read_text("utf-8")


def test_every_command_that_writes_keeps_as_many_versions_as_is_said(team: Run, tmp_path: Path) -> None:
    env = {"STGUARD_HISTORY": "3"}
    for _ in range(3):
        team("grant", "bob@acme.com", "viewer", "--yes", env=env)
        team("revoke", "bob@acme.com", "viewer", "--yes", env=env)
    assert len(team("history", "--json").json["versions"]) == 3
    (tmp_path / "policy.yaml").write_text(TEAM.replace("assign:\n", "\n\n\nassign:\n"), "utf-8")
    assert team("fmt", "--keep", "2").code == 0
    assert len(team("history", "--json").json["versions"]) == 2
    ran = team("grant", "bob@acme.com", "viewer", "--yes", env={"STGUARD_HISTORY": "none"})
    assert ran.code == 2
    assert "none" in ran.err


def test_fmt_lays_out_and_check_only_says_so(team: Run, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(TEAM.replace("assign:\n", "\n\n\nassign:   \n"), "utf-8")
    ran = team("fmt", "--check")
    assert (ran.code, ran.out) == (1, "would lay out policy.yaml\n")
    assert "\n\n\n" in path.read_text("utf-8")
    ran = team("fmt")
    assert (ran.code, ran.out) == (0, "laid out policy.yaml\n")
    assert path.read_text("utf-8") == TEAM.replace("assign:\n", "\nassign:\n")
    assert team("fmt", "--check").code == 0
    path.write_text("roles: [", "utf-8")
    assert "the policy has errors, mend them first" in team("fmt").error
