"""The pytest plugin: policies as tests."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]

POLICY = """\
stguard: 1
permissions: {report: [view, export]}
roles: {viewer: {allow: "report:view"}}
assign: [{role: viewer, group: staff}]
pages: {home: signed_in}
tests:
  - {as: {groups: [staff]}, can: "report:view"}
  - {as: anonymous, sees: []}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    pytester.makeini("[pytest]\nstguard_policies = policy.yaml\n")
    (pytester.path / "policy.yaml").write_text(POLICY)
    return pytester.path


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    # From an environment that was made before the plugin was there, it is named.
    named = () if "stguard" in entry_points(group="pytest11").names else ("-p", "stguard.testing")
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *named, *options)


def test_each_inline_test_is_a_test(pytester: pytest.Pytester, project: Path) -> None:
    run(pytester, "-v", str(project)).assert_outcomes(passed=3)


def test_a_failing_inline_test_says_what_came_out(pytester: pytest.Pytester, project: Path) -> None:
    (project / "policy.yaml").write_text(POLICY.replace('can: "report:view"', 'can: "report:export"'))
    result = run(pytester, str(project))
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*policy.yaml:7:*can `report:export` expected, but refused*"])


def test_a_policy_with_problems_lists_them(pytester: pytest.Pytester, project: Path) -> None:
    (project / "policy.yaml").write_text(POLICY.replace("role: viewer", "role: viwer"))
    result = run(pytester, str(project))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*unknown role `viwer`*did you mean `viewer`*"])


def test_what_roles_give_is_kept_and_compared(pytester: pytest.Pytester, project: Path) -> None:
    run(pytester, "--stguard-update", str(project)).assert_outcomes(passed=4)
    assert json.loads((project / "matrix.json").read_text()) == {
        "viewer": {"permissions": ["report:view"], "pages": ["home"]}
    }
    (project / "policy.yaml").write_text(POLICY.replace('{allow: "report:view"}', '{allow: "report:*"}'))
    result = run(pytester, str(project))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["+ viewer gains report:export", "*pytest --stguard-update*"])


def test_a_folder_is_one_policy_and_without_the_setting_nothing_happens(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("policies")
    (folder / "a.yaml").write_text(POLICY.replace("pages: {home: signed_in}\n", ""))
    (folder / "b.yaml").write_text("pages: {home: signed_in}\n")
    result = run(pytester, str(folder))
    result.assert_outcomes()
    pytester.makeini("[pytest]\nstguard_policies = policies\n")
    run(pytester, str(folder)).assert_outcomes(passed=3)


@pytest.mark.parametrize("named", ["polices", "empty"])
def test_a_policy_that_is_not_where_the_setting_says_is_an_error_and_not_no_tests(
    pytester: pytest.Pytester, named: str
) -> None:
    pytester.mkdir("empty")
    pytester.makeini(f"[pytest]\nstguard_policies = {named}\n")
    pytester.makepyfile("def test_something(): ...")
    result = run(pytester)
    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*stguard_policies: no policy at *{named}*"])
