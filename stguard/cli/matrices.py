"""`stguard matrix`: what each role opens and allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from stguard.cli.output import FINE, finish, json_option, print_json
from stguard.cli.policies import load, locate, policy_argument
from stguard.errors import ConfigurationError
from stguard.model import AllOf, AnyOf, ClaimIs, Membership, Not, OrgIs, Subject, WhoKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.model import PolicyParts, Rule
    from stguard.policy import Policy

_ALWAYS: Final = "x"
_SOMETIMES: Final = "o"
_NEVER: Final = "."
_ANY_ORG: Final = "any org"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What one role gives: action to the share of the orgs in which it does."""

    permissions: dict[str, str]
    pages: dict[str, str]


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
        orgs = _orgs(loaded, org)
        rows = {role: _row(loaded, role, orgs) for role in loaded.roles}
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        document = {
            role: {"permissions": _given(row.permissions), "pages": _given(row.pages)} for role, row in rows.items()
        }
        print_json({"roles": document})
    else:
        for line in _table(loaded, rows):
            click.echo(line)
    finish(FINE)


def _given(share: dict[str, str]) -> list[str]:
    return [name for name, mark in share.items() if mark != _NEVER]


def _row(policy: Policy, role: str, orgs: tuple[str | None, ...]) -> _Row:
    subjects = [(org, _holder(policy.parts, role, org)) for org in orgs]
    open_pages = [frozenset(policy.pages(subject, org=org)) for org, subject in subjects]
    return _Row(
        permissions={
            name: _mark([policy.allows(subject, name, org=org) for org, subject in subjects])
            for name in policy.permissions
        },
        pages={name: _mark([name in pages for pages in open_pages]) for name in policy.page_names},
    )


def _mark(answers: list[bool]) -> str:
    return _ALWAYS if all(answers) else _SOMETIMES if any(answers) else _NEVER


def _holder(parts: PolicyParts, role: str, org: str | None) -> Subject:
    """Return somebody of whom everything is known: one role, and nothing else that the policy could ask for."""
    everywhere = org is None or parts.roles[role].cross_org
    memberships = {} if org is None or everywhere else {org: Membership(org=org, roles=(role,))}
    return Subject(
        id="stguard|matrix",
        ids=("stguard|matrix",),
        email="nobody@stguard.invalid",
        roles=frozenset({role} if everywhere else ()),
        memberships=memberships,
        # A claim that is absent is unknown; an empty list is known to hold nothing.
        claims={claim: [] for claim in _claims_asked(parts)},
    )


def _orgs(policy: Policy, only: str | None) -> tuple[str | None, ...]:
    """Return orgs to ask in: those that the policy treats in their own way, and one that stands for the others."""
    if only is not None:
        policy.rule(OrgIs((only,)))
        return (only,)
    if not policy.multi_tenant:
        return (None,)
    parts = policy.parts
    special = {org for forbid in parts.forbids if (org := forbid.org)}
    special |= {a.org for a in parts.assignments if a.who.kind is WhoKind.EVERYONE and a.org}
    special |= {org for rule in _rules(parts) if isinstance(rule, OrgIs) for org in rule.names}
    if parts.orgs_from_identity:
        return (*sorted(special - {"*"}), _ANY_ORG)
    ordinary = next((org for org in policy.orgs if org not in special), None)
    return tuple(org for org in policy.orgs if org in special or org == ordinary)


def _rules(parts: PolicyParts) -> Iterator[Rule]:
    """Yield every rule of the policy and every rule inside one."""
    pending: list[Rule] = [*(page.rule for page in parts.pages.values()), *parts.sections.values()]
    while pending:
        rule = pending.pop()
        yield rule
        if isinstance(rule, AnyOf | AllOf):
            pending += rule.rules
        elif isinstance(rule, Not):
            pending.append(rule.rule)


def _claims_asked(parts: PolicyParts) -> set[str]:
    named = {who.claim for who in (*(a.who for a in parts.assignments), *(f.who for f in parts.forbids)) if who.claim}
    return named | {rule.claim for rule in _rules(parts) if isinstance(rule, ClaimIs)}


def _table(policy: Policy, rows: dict[str, _Row]) -> Iterator[str]:
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
            marks = [(row.pages if title == "page" else row.permissions)[name] for row in rows.values()]
            some = some or _SOMETIMES in marks
            yield _line(name, marks, first, widths)
        yield ""
    yield f"{_ALWAYS} yes, {_NEVER} no" + (f", {_SOMETIMES} in some orgs only; see --org" if some else "")


def _line(name: str, cells: list[str], first: int, widths: dict[str, int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths.values(), strict=True))
    return f"{name.ljust(first)}  {'  '.join(padded)}".rstrip()
