"""What commands print: problems, JSON documents, failures."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

import click

from stguard.errors import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stguard.errors import Problem

FINE: Final = 0
FOUND: Final = 1
USAGE: Final = 2
DENIED: Final = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


class Failure(click.ClickException):
    """End the command with a line on stderr and exit code 1."""

    exit_code = FOUND

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, in the form of all the others."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


def say(text: str = "", *, err: bool = False) -> None:
    """Print lines for people.

    SECURITY: a policy can hold any character, by an escape in quotes; nothing in it may act on the terminal, where it
    could hide who gains what, or turn its direction.
    """
    lines = text.split("\n")
    shown = ("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines)
    click.echo("\n".join(shown), err=err)


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print a JSON document; ASCII only, so that it is the same under every locale."""
    click.echo(json.dumps(document, indent=indent))


def finish(code: int) -> None:
    """End the command with an exit code."""
    click.get_current_context().exit(code)


def has_errors(problems: Iterable[Problem]) -> bool:
    """Tell whether a problem refuses the policy."""
    return any(problem.severity is Severity.ERROR for problem in problems)


def problems_document(problems: Sequence[Problem], *, version: str | None) -> dict[str, Any]:
    """Return the document of `stguard check --json`."""
    return {
        "ok": not has_errors(problems),
        "policy_version": version,
        "problems": [
            {
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "severity": problem.severity.value,
                "code": problem.code,
                "message": problem.message,
            }
            for problem in problems
        ],
    }


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "page"), count(0, "error")
    ('1 page', '0 errors')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
