from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.conftest import TEAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_two_policies_that_mean_the_same_differ_in_nothing(team: Run, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(TEAM.replace("roles:\n", "roles: # sorted\n"))
    ran = team("diff", str(tmp_path / "other.yaml"), str(tmp_path / "other.yaml"))
    assert (ran.code, ran.out) == (0, "nothing that anybody may do changes\n")


def test_the_document_of_diff_has_exactly_the_keys_of_the_contract(team: Run, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(TEAM)
    (tmp_path / "new.yaml").write_text(
        TEAM.replace("  - {id: staff", "  - {id: bob, role: viewer, email: bob@acme.com}\n  - {id: staff")
    )
    ran = team("diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), "--json")
    because = "assignment `bob` gives role `viewer`"
    assert ran.code == 1
    assert ran.json == {
        "gains": [
            {"who": "email:bob@acme.com", "org": None, "action": "report:view", "because": because},
            {"who": "email:bob@acme.com", "org": None, "action": "page:reports", "because": because},
        ],
        "losses": [],
    }
    text = team("diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"))
    assert text.out == f"+ email:bob@acme.com gains report:view, page:reports ({because})\n"


def test_a_policy_that_does_not_load_is_refused_with_its_problems(team: Run, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(TEAM)
    (tmp_path / "new.yaml").write_text(TEAM.replace("role: admin, email", "role: amdin, email"))
    ran = team("diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"))
    assert ran.code == 1
    assert "unknown role `amdin`" in ran.error


def test_who_may_is_said_by_assignment_and_by_role(orgs: Run) -> None:
    found = orgs("who", "report:export", "--json").json["allowed"]
    assert {"who": "role:exporter", "org": "acme"}.items() <= found[0].items()
    assert all(set(each) == {"who", "org", "because"} for each in found)
    assert not any(each["org"] == "globex" for each in found), "nobody may export there"


def test_who_may_in_one_org(orgs: Run) -> None:
    found = orgs("who", "report:view", "--org", "acme", "--json").json["allowed"]
    assert [(each["who"], each["org"]) for each in found if each["who"].startswith("email")] == [
        ("email:ann@acme.com", "acme"),
        ("email:sam@vendor.example", "acme"),
    ]
    ran = orgs("who", "report:view", "--org", "acne")
    assert ran.code == 2


def test_a_page_for_anyone_and_one_for_nobody_are_said_so(team: Run) -> None:
    assert team("who", "page:status").out == "anonymous (anyone may, signed in or not)\n"
    assert team("who", "page:home").out == "signed_in (anyone who is signed in may)\n"
    assert team("who", "policy:edit").out == "nobody\n"
    assert team("who", "report:shred").code == 2
