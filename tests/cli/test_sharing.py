"""Where the environment says that replicas share, the commands edit what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stguard.audit import Record
from stguard.shared.link import Link
from stguard.shared.records import SharedRecords
from tests.cli.conftest import TEAM
from tests.shared.engine import SECRET, Engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def env(engine: Engine) -> dict[str, str]:
    return {"STGUARD_REDIS_URL": engine.url, "COOKIE_SECRET": SECRET}


def test_publish_begins_the_shared_policy_and_grant_edits_it(team: Run, tmp_path: Path, env: dict[str, str]) -> None:
    ran = team("publish", "--yes", env=env)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("there was no policy before\nwritten policy.yaml; policy ")
    ran = team("grant", "bob@acme.com", "viewer", "--yes", env=env)
    assert ran.code == 0, ran.err
    assert "+ email:bob@acme.com gains report:view" in ran.out
    assert (tmp_path / "policy.yaml").read_text("utf-8") == TEAM, "the file beside the app is not what is in force"
    versions = team("history", "--json", env=env).json["versions"]
    assert [each["reason"] for each in versions] == ["grant viewer to email:bob@acme.com", "publish policy.yaml"]
    ran = team("restore", versions[1]["id"], "--yes", env=env)
    assert "- email:bob@acme.com loses report:view" in ran.out
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["policy.yaml"], "nothing is kept by commands"


def test_publish_shows_who_gains_and_loses_against_what_is_in_force(
    team: Run, tmp_path: Path, env: dict[str, str]
) -> None:
    assert team("publish", "--yes", env=env).code == 0
    (tmp_path / "policy.yaml").write_text(TEAM.replace("  - {id: staff, role: viewer, group: staff}\n", ""), "utf-8")
    ran = team("publish", "--yes", "--json", env=env)
    assert {each["who"] for each in ran.json["losses"]} == {"group:staff"}
    assert team("publish", "--yes", env=env).out == "nothing to write; that stands in the policy already\n"


def test_a_folder_replaces_a_file_and_takes_its_name_away(team: Run, tmp_path: Path, env: dict[str, str]) -> None:
    assert team("publish", "--yes", env=env).code == 0
    folder = tmp_path / "both"
    folder.mkdir()
    for name in ("a.yaml", "b.yaml"):
        (folder / name).write_text("stguard: 1\n" + ("pages: {home: public}\n" if name == "a.yaml" else ""), "utf-8")
    ran = team("publish", "both", "--yes", env=env)
    assert ran.code == 0, ran.err
    assert "a.yaml" in ran.out
    assert "policy.yaml" in ran.out


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"COOKIE_SECRET": ""}, 1, "set $COOKIE_SECRET"),
        ({"COOKIE_SECRET": "short"}, 1, "32 characters"),
        ({"STGUARD_REDIS_URL": "http://:hunter2@here"}, 1, "begins with one of"),
        ({"STGUARD_REDIS_URL": "redis://:hunter2@127.0.0.1:1"}, 1, "can't be reached"),
        ({"COOKIE_SECRET": SECRET[::-1]}, 1, "no policy"),
    ],
)
def test_what_keeps_a_command_from_the_shared_policy_is_said(
    team: Run, env: dict[str, str], change: dict[str, str], code: int, said: str
) -> None:
    assert team("publish", "--yes", env=env).code == 0
    ran = team("grant", "bob@acme.com", "viewer", "--yes", env={**env, **change})
    assert ran.code == code
    assert said in ran.err
    assert "hunter2" not in ran.err


def test_edits_of_what_is_shared_stand_in_the_audit_that_is_shared(team: Run, env: dict[str, str]) -> None:
    assert team("publish", "--yes", env=env).code == 0
    assert team("grant", "bob@acme.com", "viewer", "--yes", env=env).code == 0
    records = team("audit", "--shared", "--json", env=env).json["records"]
    assert [(each["event"], each["reason"]) for each in records] == [("edit", "edited")] * 2


def test_a_file_that_is_named_is_edited_whatever_replicas_share(team: Run, tmp_path: Path, env: dict[str, str]) -> None:
    ran = team("grant", "bob@acme.com", "viewer", "--policy", "policy.yaml", "--yes", env=env)
    assert ran.code == 0, ran.err
    assert "bob@acme.com" in (tmp_path / "policy.yaml").read_text("utf-8")


def test_publish_without_an_address_says_what_is_missing(team: Run) -> None:
    ran = team("publish", "--yes", env={"STGUARD_REDIS_URL": None})  # type: ignore[dict-item]  # as click takes it
    assert ran.code == 2
    assert "$STGUARD_REDIS_URL is not set" in ran.err


def test_the_audit_that_replicas_share_is_looked_through_as_a_file_is(run: Run, env: dict[str, str]) -> None:
    link = Link(env["STGUARD_REDIS_URL"], secret=SECRET)
    told = Record(at=1000.0, subject="iss|ann", action="report:view", allowed=False, reason="not_granted", policy="v1")
    SharedRecords(link)(told)
    link.close()
    ran = run("audit", "--shared", "--json", env=env)
    assert ran.code == 0, ran.err
    assert [each["subject"] for each in ran.json["records"]] == ["iss|ann"]
    assert "iss|ann" in run("audit", "--shared", "--summary", env=env).out
    assert run("audit", "--shared", "file.jsonl", env=env).code == 2
    assert run("audit", env=env).code == 2
