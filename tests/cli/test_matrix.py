from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_the_document_has_exactly_the_keys_of_the_contract(team: Run) -> None:
    ran = team("matrix", "--json")
    assert ran.code == 0
    assert ran.json == {
        "roles": {
            "viewer": {"permissions": ["report:view"], "pages": ["home", "status", "reports"]},
            "admin": {
                "permissions": ["report:view", "report:export"],
                "pages": ["home", "status", "reports", "settings"],
            },
        }
    }


def test_forbids_for_people_whom_the_policy_names_do_not_count_for_a_role(orgs: Run) -> None:
    assert "report:view" in orgs("matrix", "--json").json["roles"]["viewer"]["permissions"]


def test_what_holds_in_some_orgs_only_counts_and_is_marked(orgs: Run) -> None:
    roles = orgs("matrix", "--json").json["roles"]
    assert roles["viewer"]["pages"] == ["home", "reports", "acme"]
    assert roles["exporter"]["permissions"] == ["report:view", "report:export"]
    assert roles["support"]["permissions"] == ["report:view"]
    text = orgs("matrix").out.splitlines()
    assert text == [
        "page           viewer  support  exporter",
        "home           x       x        x",
        "reports        x       x        x",
        "acme           o       o        o",
        "",
        "permission     viewer  support  exporter",
        "report:view    x       x        x",
        "report:export  .       .        o",
        "policy:view    .       .        .",
        "policy:edit    .       .        .",
        "",
        "x yes, . no, o in some orgs only; see --org",
    ]


def test_one_org_can_be_asked_for(orgs: Run) -> None:
    assert orgs("matrix", "--org", "globex", "--json").json["roles"]["exporter"] == {
        "permissions": ["report:view"],
        "pages": ["home", "reports"],
    }
    ran = orgs("matrix", "--org", "acne")
    assert ran.code == 2
    assert ran.error == "Error: unknown org `acne`; did you mean `acme`?"


def test_an_org_in_a_policy_without_orgs_is_wrong_usage(team: Run) -> None:
    assert team("matrix", "--org", "acme").code == 2


def test_orgs_from_the_identity_source_need_no_list(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "stguard: 1\norgs: from_identity\npermissions: {a: [b]}\nroles: {r: {allow: 'a:b'}}\n"
        "pages: {x: {role: r}}\nidentity: {accept: {iss: [https://id.example]}}\n"
    )
    assert run("matrix", "p.yaml", "--json").json["roles"] == {"r": {"permissions": ["a:b"], "pages": ["x"]}}


def test_a_policy_without_roles_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stguard: 1\npages: {home: public}\n")
    assert run("matrix", "p.yaml").out == "no roles\n"
    assert run("matrix", "p.yaml", "--json").json == {"roles": {}}
