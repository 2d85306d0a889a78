from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import TEAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

BAD = "stguard: 1\nroles: {admin: {}}\nassign:\n  - {role: amdin, email: ann@acme.com}\npages: {home: signed_in}\n"
FAILS = "stguard: 1\npages: {home: signed_in}\ntests:\n  - {as: anonymous, sees: [home]}\n"


def test_a_policy_without_problems_is_fine(team: Run) -> None:
    ran = team("check")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.startswith("policy.yaml: 0 errors, 0 warnings; policy ")
    assert ran.out.endswith(" with 2 roles, 4 pages, 2 tests\n")


def test_check_as_json_is_one_document_with_exactly_the_keys_of_the_contract(team: Run) -> None:
    ran = team("check", "--json")
    assert ran.code == 0
    assert set(ran.json) == {"ok", "policy_version", "problems"}
    assert ran.json["ok"] is True
    assert ran.json["problems"] == []
    assert len(ran.json["policy_version"]) == 16


def test_each_problem_is_a_line_with_its_place_and_the_nearest_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(BAD)
    ran = run("check", "p.yaml")
    assert ran.code == 1
    first, *_, last = ran.out.splitlines()
    assert first.startswith("p.yaml:4:12: error[unknown-role] unknown role `amdin`")
    assert "did you mean `admin`?" in first
    assert last.endswith("; the policy is refused")


def test_problems_as_json_have_exactly_the_keys_of_the_contract(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(BAD)
    ran = run("check", "p.yaml", "--json")
    assert ran.code == 1
    assert ran.json["ok"] is False
    assert ran.json["policy_version"] is None
    problem = ran.json["problems"][0]
    assert set(problem) == {"file", "line", "column", "severity", "code", "message"}
    assert (problem["file"], problem["line"], problem["column"]) == ("p.yaml", 4, 12)
    assert (problem["severity"], problem["code"]) == ("error", "unknown-role")


def test_warnings_alone_are_fine(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stguard: 1\nroles: {idle: {}}\npages: {home: signed_in}\n")
    ran = run("check", "p.yaml", "--json")
    assert ran.code == 0
    assert ran.json["ok"] is True
    assert {problem["severity"] for problem in ran.json["problems"]} == {"warning"}


def test_a_failing_inline_test_is_a_problem_of_the_policy(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(FAILS)
    ran = run("check", "p.yaml", "--json")
    assert ran.code == 1
    assert [problem["code"] for problem in ran.json["problems"]] == ["failing-test"]


@pytest.mark.parametrize("name", ["gone.yaml", "folder", "bad.yaml", "nul\0.yaml"])
def test_what_is_no_policy_is_one_problem_and_never_an_exception(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.yaml").write_bytes(b"\xff\x00")
    for command in (["check", name], ["test", name], ["matrix", name], ["explain", name, "a:b", "--as", "a@b.c"]):
        ran = run(*command, "--json")
        assert ran.code == 1, command
        assert ran.json["ok"] is False
        assert ran.json["problems"], command


def test_a_policy_that_can_not_load_says_why_on_stderr(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(BAD)
    for command in (
        ["test", "p.yaml"],
        ["matrix", "p.yaml"],
        ["decide", "p.yaml", "-"],
        ["explain", "p.yaml", "a:b", "--as", "a@b.c"],
    ):
        ran = run(*command)
        assert (ran.code, ran.out) == (1, ""), command
        assert "p.yaml:4:12: error[unknown-role]" in ran.err


# --- what changes nothing ---------------------------------------------------------------------------------------------

IDLE = TEAM.replace("forbid:", "  - {id: again, role: viewer, email: ann@acme.com}\nforbid:").replace(
    "  settings: {role: admin}", "  shut: {all: [{role: viewer}, {not: {role: viewer}}]}"
)


def test_leftovers_are_notes_with_their_places_and_no_problem(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(IDLE)
    plain = run("check", "p.yaml")
    ran = run("check", "p.yaml", "--leftovers")
    assert (plain.code, ran.code) == (0, 0)
    assert "note[" not in plain.out
    *_, first, second, summary = ran.out.splitlines()
    assert first == "p.yaml:9:5: note[shadowed] assignment `again` is already covered by `boss`"
    assert second == "p.yaml:16:3: note[unreachable] page `shut` can be opened by nobody"
    assert summary.endswith("; 2 leftovers")


def test_leftovers_as_json_stand_beside_the_problems(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(IDLE)
    ran = run("check", "p.yaml", "--leftovers", "--json")
    assert ran.code == 0
    assert set(ran.json) == {"ok", "policy_version", "problems", "leftovers"}
    assert ran.json["leftovers"][0] == {
        "file": "p.yaml",
        "line": 9,
        "column": 5,
        "kind": "shadowed",
        "what": "again",
        "message": "assignment `again` is already covered by `boss`",
    }


def test_leftovers_are_notices_of_a_workflow_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(IDLE)
    ran = run("check", "p.yaml", "--leftovers", "--format", "github")
    assert (
        "::notice file=p.yaml,line=9,col=5,title=stguard shadowed::assignment `again` is already covered by `boss`"
        in ran.out.splitlines()
    )


def test_each_kind_of_leftover_has_a_place_in_whichever_file_it_stands(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(
        "stguard: 1\npermissions: {report: [view, lost]}\nroles: {viewer: {allow: 'report:view'}}\n"
        "sections: {Open: {any: [signed_in, {role: viewer}]}}\n"
    )
    (tmp_path / "policies" / "b.yaml").write_text(
        "assign:\n  - {role: viewer, email: ann@acme.com, until: '2020-01-01T00:00:00Z', reason: x}\n"
        "forbid:\n  - {id: never, permission: 'report:lost', everyone: signed_in}\n"
        "pages:\n  home: {any: [signed_in, {role: viewer}]}\n"
    )
    found = run("check", "--leftovers", "--json").json["leftovers"]
    assert [(each["kind"], each["file"], each["line"], each["column"]) for each in found] == [
        ("unreachable", "policies/a.yaml", 2, 30),
        ("constant", "policies/a.yaml", 4, 12),
        ("dead", "policies/b.yaml", 2, 5),
        ("constant", "policies/b.yaml", 6, 3),
    ]


def test_a_refused_policy_has_no_leftovers_and_says_what_refuses_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(BAD)
    ran = run("check", "p.yaml", "--leftovers", "--json")
    assert ran.code == 1
    assert ran.json["problems"]
    assert ran.json["leftovers"] == []


def test_rules_that_are_too_entangled_are_said_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stguard.analysis.diagram.NODES_LIMIT", 3)
    (tmp_path / "p.yaml").write_text(IDLE)
    ran = run("check", "p.yaml", "--leftovers")
    assert ran.code == 1
    assert "too entangled" in ran.err


# --- which policy -----------------------------------------------------------------------------------------------------


def test_the_policy_is_found_as_configure_finds_it(team: Run, tmp_path: Path) -> None:
    assert team("check").out.startswith("policy.yaml: ")
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text("stguard: 1\npages: {home: public}\n")
    assert team("check").out.startswith("policies: ")
    (tmp_path / "other.yaml").write_text("stguard: 1\npages: {home: public}\n")
    assert team("check", env={"STGUARD_POLICY": "other.yaml"}).out.startswith("other.yaml: ")
    assert team("check", "policy.yaml", env={"STGUARD_POLICY": "other.yaml"}).out.startswith("policy.yaml: ")


def test_no_policy_at_all_is_wrong_usage(run: Run) -> None:
    ran = run("check")
    assert (ran.code, ran.out) == (2, "")
    assert ran.error == (
        "Error: no policy found; expected `policies` or `policy.yaml`, or $STGUARD_POLICY, or name the policy; "
        "`stguard init` writes one"
    )
    assert run("check", "").code == 2


def test_with_an_app_the_policy_is_looked_for_beside_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "policy.yaml").write_text("stguard: 1\npages: {home: public}\n")
    (tmp_path / "app" / "main.py").write_text("import stguard as sg\ndef home(): ...\nsg.navigation([home])\n")
    assert run("check", "--app", "app/main.py").out.startswith("app/policy.yaml: 0 errors, 0 warnings")


# --- with an app ------------------------------------------------------------------------------------------------------


def test_what_the_code_asks_for_and_the_policy_lacks_is_a_problem(team: Run, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import stguard as sg\n"
        "@sg.requires('report:exprt')\n"
        "def export(): ...\n"
        "sg.navigation(['views/home.py', 'views/more.py']).run()\n"
    )
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "home.py").touch()
    (tmp_path / "views" / "more.py").touch()
    ran = team("check", "--app", "main.py", "--json")
    assert ran.code == 1
    assert ran.json["policy_version"] is not None
    found = [(p["file"], p["line"], p["column"], p["severity"], p["code"]) for p in ran.json["problems"]]
    assert found == [
        ("main.py", 2, 14, "error", "unknown-permission"),
        ("main.py", 4, 33, "warning", "page-without-rule"),
        ("policy.yaml", 1, 1, "warning", "page-not-in-app"),
        ("policy.yaml", 1, 1, "warning", "page-not-in-app"),
        ("policy.yaml", 1, 1, "warning", "page-not-in-app"),
    ]


def test_the_app_is_compared_even_when_an_inline_test_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(FAILS)
    (tmp_path / "main.py").write_text("import stguard as sg\nsg.can('a:b')\n")
    codes = [problem["code"] for problem in run("check", "--app", "main.py", "--json").json["problems"]]
    assert codes == ["unknown-permission", "failing-test"]


@pytest.mark.parametrize("content", [None, "x = (", "x = '\0'"])
def test_an_app_that_can_not_be_read_is_a_problem(team: Run, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "main.py").write_text(content)
    ran = team("check", "--app", "main.py", "--json")
    assert ran.code == 1
    assert [problem["file"] for problem in ran.json["problems"]] == ["main.py"]


# --- test -------------------------------------------------------------------------------------------------------------


def test_inline_tests_are_one_line_each(team: Run) -> None:
    ran = team("test")
    assert ran.code == 0
    first, second, last = ran.out.splitlines()
    assert first.startswith("ok   policy.yaml:17: ")
    assert second.startswith("ok   policy.yaml:18: ")
    assert last == "2 tests, 0 failed"


def test_a_failing_inline_test_says_what_differed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(FAILS)
    ran = run("test", "p.yaml")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "FAIL p.yaml:4: anonymous: sees `home` expected, but it is closed: not_signed_in",
        "1 test, 1 failed",
    ]


def test_a_failing_inline_test_says_what_its_claims_lack(run: Run, tmp_path: Path) -> None:
    text = """stguard: 1
permissions: ["report:view"]
roles: {viewer: {allow: "report:view"}, admin: {inherits: viewer}}
assign: [{role: viewer, email: ann@acme.com}, {role: admin, group: admins}]
pages: {settings: {role: admin}}
tests:
  - {as: {email: ann@acme.com}, can: "report:view"}
  - {as: {email: ann@acme.com, email_verified: true, groups: [], roles: []}, sees: settings}
"""
    (tmp_path / "p.yaml").write_text(text)
    first, second, _ = run("test", "p.yaml").out.splitlines()
    assert first.endswith("but refused: unknown, because the e-mail is not verified")
    assert second.endswith("but it is closed: not_granted, missing role `admin`")


def test_tests_as_json_have_exactly_the_keys_of_the_contract(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(FAILS)
    ran = run("test", "p.yaml", "--json")
    assert ran.code == 1
    assert ran.json == {
        "ok": False,
        "tests": [
            {
                "file": "p.yaml",
                "line": 4,
                "name": "anonymous",
                "ok": False,
                "message": "sees `home` expected, but it is closed: not_signed_in",
            }
        ],
    }


def test_a_policy_without_tests_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("stguard: 1\npages: {home: public}\n")
    assert (run("test", "p.yaml").code, run("test", "p.yaml").out) == (0, "no tests; add some under `tests:`\n")
    assert run("test", "p.yaml", "--json").json == {"ok": True, "tests": []}


def test_problems_are_annotations_where_a_workflow_asks_for_them(team: Run, tmp_path: Path) -> None:
    bad = tmp_path / "odd, name%.yaml"
    bad.write_text(TEAM.replace("role: viewer, group", "role: viwer, group"))
    ran = team("check", str(bad), "--format", "github")
    assert ran.code == 1
    first = ran.out.splitlines()[0]
    assert first.startswith("::error file=")
    assert "odd%2C name%25.yaml,line=" in first
    assert first.endswith("::unknown role `viwer` in assignment `staff`; did you mean `viewer`?")


def test_the_document_of_tests_has_its_keys_when_the_policy_has_errors_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("stguard: 1\npages: {a: {rolle: x}}\n", "utf-8")
    document = run("test", "--json").json
    assert (document["ok"], document["tests"]) == (False, [])
    assert document["problems"]
