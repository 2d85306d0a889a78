"""`stguard check` and `stguard test`: is the policy right, and does the app fit it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from stguard import appsource, policyfile
from stguard.analysis import EntangledError, Leftover
from stguard.analysis import leftovers as leftovers_of
from stguard.analysis.leftovers import LeftoverKind
from stguard.analysis.question import SECTION_ACTION
from stguard.cli.output import (
    FINE,
    FOUND,
    Failure,
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
from stguard.model import PAGE_ACTION
from stguard.policy import Policy, run_tests

if TYPE_CHECKING:
    from stguard.errors import Problem
    from stguard.model import PolicyParts
    from stguard.policyfile.places import Place, Places


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
@click.option("--leftovers", is_flag=True, help="Also list what changes nothing. Large policies take a while.")
@json_option
def check_command(policy: str | None, app: str | None, form: str, *, leftovers: bool, as_json: bool) -> None:
    """List every problem of a policy as file:line:column: severity[code] text.

    With --app also what the app's source declares and asks for that doesn't fit the policy. The app is not run.
    With --leftovers also assignments without effect, what nobody can reach, and rules that hold for everybody anyway.
    Warnings and leftovers alone exit with 0.
    """
    path = locate(policy, beside=Path(app).parent if app else Path())
    now = time.time()
    loaded, parts, problems = _read(path, now=now)
    notes = _notes(path, now=now) if leftovers else None
    if app is not None:
        problems = _with_app(problems, Path(app), parts, path)
    version = None if loaded is None else loaded.version
    if as_json:
        document = problems_document(problems, version=version)
        if notes is not None:
            document["leftovers"] = [note.as_json() for note in notes]
        print_json(document)
    else:
        for problem in problems:
            say(_of_problem(problem) if form == "github" else str(problem))
        for note in notes or ():
            say(_of_note(note) if form == "github" else str(note))
        summary = _summary(path, loaded, problems)
        say(summary if notes is None else f"{summary}; {count(len(notes), 'leftover')}")
    finish(FOUND if has_errors(problems) else FINE)


class _Note(NamedTuple):
    """Hold what changes nothing, with its place."""

    file: str
    line: int
    column: int
    found: Leftover

    def __str__(self) -> str:
        """Return `file:line:column: note[kind] text`."""
        return f"{self.file}:{self.line}:{self.column}: note[{self.found.kind}] {self.found.text}"

    def as_json(self) -> dict[str, str | int]:
        """Return the fields that `stguard check --leftovers --json` prints."""
        place: dict[str, str | int] = {"file": self.file, "line": self.line, "column": self.column}
        return {**place, "kind": self.found.kind.value, "what": self.found.what, "message": self.found.text}


def _notes(path: Path, *, now: float) -> list[_Note]:
    """Return what changes nothing in a policy, by place; of one that can't be read, nothing."""
    reading = policyfile.load(path, now=now)
    if reading.parts is None:
        return []
    try:
        found = leftovers_of(Policy(reading.parts), at=now)
    except EntangledError as error:
        raise Failure(str(error)) from error
    notes = (_Note(*_place(each, reading.places), each) for each in found)
    return sorted(notes, key=lambda note: note[:3])


def _place(leftover: Leftover, places: Places) -> Place:
    what = leftover.what
    if leftover.kind in {LeftoverKind.SHADOWED, LeftoverKind.DEAD}:
        return places.assignment(what)
    if what.startswith(PAGE_ACTION):
        return places.page(what.removeprefix(PAGE_ACTION))
    if what.startswith(SECTION_ACTION):
        return places.section(what.removeprefix(SECTION_ACTION))
    return places.permission(what)


def _of_problem(problem: Problem) -> str:
    place = (problem.file, problem.line, problem.column)
    return _annotation(problem.severity.value, place, code=problem.code, message=problem.message)


def _of_note(note: _Note) -> str:
    return _annotation("notice", note[:3], code=note.found.kind.value, message=note.found.text)


def _annotation(command: str, place: Place, *, code: str, message: str) -> str:
    """Return a problem or a note as a workflow command.

    Source: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands, messages of a run; in
    texts `%` and line ends are escaped, in properties `:` and `,` too.
    """
    file, line, column = place
    properties = {"file": file, "line": str(line), "col": str(column), "title": f"stguard {code}"}
    shown = ",".join(f"{name}={value.translate(_IN_PROPERTIES)}" for name, value in properties.items())
    return f"::{command} {shown}::{message.translate(_IN_TEXTS)}"


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
