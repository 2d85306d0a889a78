"""`stguard matrix`: what each role opens and allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from stguard.analysis import RoleRow, Share, role_matrix
from stguard.cli.output import FINE, finish, json_option, print_json, say
from stguard.cli.policies import load, locate, policy_argument
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.policy import Policy

_MARKS: Final = {Share.ALL: "x", Share.SOME: "o", Share.NONE: "."}


@click.command("matrix")
@policy_argument
@click.option("--org", metavar="ORG", help="Only in this org; without it in any.")
@json_option
def matrix_command(policy: str | None, org: str | None, *, as_json: bool) -> None:
    """Show, for somebody who holds one role and nothing else, which pages open and what is allowed.

    In a multi-tenant policy the role is held in an org; what holds in some orgs only counts, and shows as "o".
    Everything else about them is known and empty: no groups, an e-mail that the policy does not name.
    """
    loaded = load(locate(policy), as_json=as_json)
    try:
        rows = role_matrix(loaded, org=org)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json({"roles": {role: row.as_json() for role, row in rows.items()}})
    else:
        for line in _table(loaded, rows):
            say(line)
    finish(FINE)


def _table(policy: Policy, rows: dict[str, RoleRow]) -> Iterator[str]:
    if not rows:
        yield "no roles"
        return
    first = max(len(name) for name in ("permission", *policy.permissions, *policy.page_names))
    widths = {role: len(role) for role in rows}
    some = False
    for title, names in (("page", policy.page_names), ("permission", policy.permissions)):
        if not names:
            continue
        yield _line(title, list(rows), first, widths)
        for name in names:
            marks = [_MARKS[(row.pages if title == "page" else row.permissions)[name]] for row in rows.values()]
            some = some or _MARKS[Share.SOME] in marks
            yield _line(name, marks, first, widths)
        yield ""
    yield "x yes, . no" + (", o in some orgs only; see --org" if some else "")


def _line(name: str, cells: list[str], first: int, widths: dict[str, int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths.values(), strict=True))
    return f"{name.ljust(first)}  {'  '.join(padded)}".rstrip()
