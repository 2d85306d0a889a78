"""What each role opens and allows, for somebody who holds that role and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from stguard.analysis.question import rules_in
from stguard.model import ClaimIs, Membership, OrgIs, Subject, WhoKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stguard.model import PolicyParts, Rule
    from stguard.policy import Policy

_ANY_ORG: Final = "any org"


class Share(StrEnum):
    """Say in how many of the orgs something holds."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRow:
    """Hold what one role gives.

    Attributes:
        permissions: by permission, in how many of the orgs it is allowed.
        pages: by page name, in how many of the orgs it opens.
    """

    permissions: Mapping[str, Share]
    pages: Mapping[str, Share]

    def as_json(self) -> dict[str, Any]:
        """Return what holds in any org, as `stguard matrix --json` prints it."""
        return {
            "permissions": [name for name, share in self.permissions.items() if share is not Share.NONE],
            "pages": [name for name, share in self.pages.items() if share is not Share.NONE],
        }


def role_matrix(policy: Policy, *, org: str | None = None) -> dict[str, RoleRow]:
    """Return by role what somebody may who holds it and nothing else.

    In a multi-tenant policy the role is held in an org. Everything else about them is known and empty: no groups, an
    e-mail that the policy does not name.

    Args:
        policy: the policy.
        org: only in this org; None in any.

    Raises:
        ConfigurationError: for an org that the policy does not declare.
    """
    orgs = _orgs(policy, org)
    return {role: _row(policy, role, orgs) for role in policy.roles}


def _row(policy: Policy, role: str, orgs: tuple[str | None, ...]) -> RoleRow:
    subjects = [(org, holder(policy.parts, role, org)) for org in orgs]
    open_pages = [frozenset(policy.pages(subject, org=org)) for org, subject in subjects]
    return RoleRow(
        permissions={
            name: _mark([policy.allows(subject, name, org=org) for org, subject in subjects])
            for name in policy.permissions
        },
        pages={name: _mark([name in pages for pages in open_pages]) for name in policy.page_names},
    )


def _mark(answers: list[bool]) -> Share:
    return Share.ALL if all(answers) else Share.SOME if any(answers) else Share.NONE


def holder(parts: PolicyParts, role: str, org: str | None) -> Subject:
    """Return somebody of whom everything is known: one role, and nothing else that the policy could ask for.

    Args:
        parts: the policy, which knows the role.
        role: the role.
        org: where it is held; None for everywhere.
    """
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
    for rule in (*(page.rule for page in parts.pages.values()), *parts.sections.values()):
        yield from rules_in(rule)


def _claims_asked(parts: PolicyParts) -> set[str]:
    named = {who.claim for who in (*(a.who for a in parts.assignments), *(f.who for f in parts.forbids)) if who.claim}
    return named | {rule.claim for rule in _rules(parts) if isinstance(rule, ClaimIs)}
