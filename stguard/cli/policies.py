"""Find and load the policy that a command is about."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stguard.cli.output import FOUND, finish, print_json, problems_document, say
from stguard.errors import PolicyFileError
from stguard.policy import Policy
from stguard.remote.policyurl import is_address
from stguard.store import DEFAULT_NAMES, POLICY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stguard.errors import Problem

policy_argument = click.argument("policy", required=False, metavar="[POLICY]")


def locate(given: str | None, *, beside: Path = Path()) -> Path:
    """Return the policy's path: as given, else as `sg.configure` finds it.

    Args:
        given: the argument; None when it was left out.
        beside: the folder that stands for the main script's.

    Raises:
        click.UsageError: nothing is given and nothing is found.
    """
    if given is not None:
        if not given:
            raise click.UsageError("the policy's path is empty; expected a file or a folder")
        return Path(given)
    if named := os.environ.get(POLICY_VARIABLE):
        if is_address(named):
            raise click.UsageError(f"${POLICY_VARIABLE} is an address, which only apps read; name a file or folder")
        return Path(named)
    for name in DEFAULT_NAMES:
        if (beside / name).exists():
            return beside / name
    expected = " or ".join(f"`{beside / name}`" for name in DEFAULT_NAMES)
    raise click.UsageError(
        f"no policy found; expected {expected}, or ${POLICY_VARIABLE}, or name the policy; `stguard init` writes one"
    )


def load(path: Path, *, as_json: bool) -> Policy:
    """Return the policy, or print its problems and end the command with exit code 1."""
    try:
        return Policy.load(path)
    except PolicyFileError as error:
        refuse(error.problems, as_json=as_json)
        raise


def refuse(problems: Sequence[Problem], *, as_json: bool, also: Mapping[str, object] | None = None) -> None:
    """Print why a policy is refused, on stderr or as the document of `check`, and end with exit code 1.

    Args:
        problems: why.
        as_json: whether it is a document.
        also: fields that it holds besides, of a command's own document; None for none.
    """
    if as_json:
        print_json({**problems_document(problems, version=None), **(also or {})})
    for problem in () if as_json else problems:
        say(str(problem), err=True)
    finish(FOUND)
