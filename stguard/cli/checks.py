"""`stguard check` and `stguard test`: is the policy right, and does the app fit it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stguard import appsource, policyfile
from stguard.cli.output import (
    FINE,
    FOUND,
    count,
    finish,
    has_errors,
    json_option,
    print_json,
    problems_document,
    say,
)
from stguard.cli.policies import locate, policy_argument, refuse
from stguard.errors import PolicyFileError, Severity
from stguard.policy import Policy, run_tests

if TYPE_CHECKING:
    from stguard.errors import Problem
    from stguard.model import PolicyParts


_IN_TEXTS: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTIES: Final = {**_IN_TEXTS, **str.maketrans({":": "%3A", ",": "%2C"})}


@click.command("check")
@policy_argument
@click.option("--app", metavar="MAIN.py", help="Also compare with what this app declares and asks for.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "github"]),
    default="text",
    help="github: as annotations of a workflow run, beside the lines they are about.",
)
@json_option
def check_command(policy: str | None, app: str | None, form: str, *, as_json: bool) -> None:
    """List every problem of a policy as file:line:column: severity[code] text.

    With --app also what the app's source declares and asks for that doesn't fit the policy. The app is not run.
    Warnings alone exit with 0.
    """
    path = locate(policy, beside=Path(app).parent if app else Path())
    loaded, parts, problems = _read(path, now=time.time())
    if app is not None:
        problems = _with_app(problems, Path(app), parts, path)
    version = None if loaded is None else loaded.version
    if as_json:
        print_json(problems_document(problems, version=version))
    else:
        for problem in problems:
            say(_annotation(problem) if form == "github" else str(problem))
        say(_summary(path, loaded, problems))
    finish(FOUND if has_errors(problems) else FINE)


def _annotation(problem: Problem) -> str:
    """Return a problem as a workflow command.

    Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands, messages of a run; in
    texts `%` and line ends are escaped, in properties `:` and `,` too.
    """
    properties = {
        "file": problem.file,
        "line": str(problem.line),
        "col": str(problem.column),
        "title": f"stguard {problem.code}",
    }
    shown = ",".join(f"{name}={value.translate(_IN_PROPERTIES)}" for name, value in properties.items())
    return f"::{problem.severity.value} {shown}::{problem.message.translate(_IN_TEXTS)}"


def _read(path: Path, *, now: float) -> tuple[Policy | None, PolicyParts | None, tuple[Problem, ...]]:
    try:
        policy = Policy.load(path, now=now)
    except PolicyFileError as error:
        # With a failing test the parts are whole: the app can be compared all the same.
        return None, policyfile.load(path, now=now).parts, error.problems
    return policy, policy.parts, policy.problems


def _with_app(problems: tuple[Problem, ...], app: Path, parts: PolicyParts | None, policy: Path) -> tuple[Problem, ...]:
    source = appsource.read(app)
    found = {*problems, *source.problems}
    if parts is not None and source.files:
        found |= {*appsource.compare(source, parts, policy_file=policy.as_posix())}
    return tuple(sorted(found))


def _summary(path: Path, policy: Policy | None, problems: tuple[Problem, ...]) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    verdict = f"{count(errors, 'error')}, {count(len(problems) - errors, 'warning')}"
    if policy is None:
        return f"{path.as_posix()}: {verdict}; the policy is refused"
    sizes = (
        (len(policy.roles), "role"),
        (len(policy.page_names), "page"),
        (len(policy.parts.tests), "test"),
    )
    holds = ", ".join(count(number, noun) for number, noun in sizes)
    return f"{path.as_posix()}: {verdict}; policy {policy.version} with {holds}"


@click.command("test")
@policy_argument
@json_option
def test_command(policy: str | None, *, as_json: bool) -> None:
    """Run the inline tests of a policy, one line each."""
    path = locate(policy)
    now = time.time()
    reading = policyfile.load(path, now=now)
    if reading.parts is None:
        refuse(reading.problems, as_json=as_json, also={"tests": []})
        return
    results = run_tests(Policy(reading.parts), now=now)
    failed = sum(not result.ok for result in results)
    if as_json:
        tests = [{"file": r.file, "line": r.line, "name": r.name, "ok": r.ok, "message": r.message} for r in results]
        print_json({"ok": not failed, "tests": tests})
    else:
        for result in results:
            line = f"{'ok  ' if result.ok else 'FAIL'} {result.file}:{result.line}: {result.name}"
            say(line if result.ok else f"{line}: {result.message}")
        say(f"{count(len(results), 'test')}, {failed} failed" if results else "no tests; add some under `tests:`")
    finish(FOUND if failed else FINE)


test_command.__test__ = False  # type: ignore[attr-defined]  # pytest would take the name for a test
