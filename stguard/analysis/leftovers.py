"""What a policy holds that changes nothing: assignments without effect, pages out of reach, rules that can't vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING

from stguard.analysis.circumstances import Side, cases, orgs_of
from stguard.analysis.diagram import NEVER
from stguard.analysis.difference import difference, visitor_may
from stguard.analysis.question import SECTION_ACTION, actions
from stguard.errors import quote
from stguard.model import BUILT_IN_PERMISSIONS, EVERY_ORG, PAGE_ACTION, SignedIn, Who, WhoKind
from stguard.naming import email_domain
from stguard.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.model import Assignment


class LeftoverKind(StrEnum):
    """Name the ways in which a part of a policy changes nothing. Closed."""

    SHADOWED = "shadowed"
    """An assignment that another one already covers."""
    DEAD = "dead"
    """An assignment without which everything is decided alike."""
    UNREACHABLE = "unreachable"
    """A page that nobody can open, or a permission that nobody can be allowed."""
    CONSTANT = "constant"
    """A rule that is true for everybody it is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Point at a part of a policy that changes nothing.

    Attributes:
        kind: in which way.
        what: the assignment's id, or the action.
        text: a sentence about it.
    """

    kind: LeftoverKind
    what: str
    text: str


def leftovers(policy: Policy, *, at: float) -> tuple[Leftover, ...]:
    """Return what changes nothing in a policy, from a moment on.

    Args:
        policy: the policy.
        at: Unix seconds; what ended before doesn't count any more.
    """
    return (*_assignments(policy, at=at), *_actions(policy))


def _assignments(policy: Policy, *, at: float) -> Iterator[Leftover]:
    by_who: dict[Who, list[Assignment]] = {}
    for each in policy.parts.assignments:
        by_who.setdefault(each.who, []).append(each)
    everyone = by_who.get(Who(WhoKind.EVERYONE, "signed_in"), [])
    for each in policy.parts.assignments:
        if each.until is not None and each.until <= at:
            yield _leftover(LeftoverKind.DEAD, each, "has ended")
            continue
        also = [*by_who[each.who], *(everyone if each.who.kind is not WhoKind.EVERYONE else ())]
        if each.who.kind is WhoKind.EMAIL:
            also += by_who.get(Who(WhoKind.DOMAIN, email_domain(each.who.value)), [])
        others = [other for other in also if other is not each and _covers_when(other, each)]
        shadow = next((other for other in others if _covers(policy, other, each)), None)
        if shadow is not None and not policy.parts.separations:
            yield _leftover(LeftoverKind.SHADOWED, each, f"is already covered by {quote(shadow.id)}")
        elif _adds_nothing(policy, each, others) and not difference(policy, _without(policy, each)):
            yield _leftover(LeftoverKind.DEAD, each, "changes nothing: without it everything is decided alike")


def _leftover(kind: LeftoverKind, assignment: Assignment, text: str) -> Leftover:
    return Leftover(kind=kind, what=assignment.id, text=f"assignment {quote(assignment.id)} {text}")


def _covers_when(other: Assignment, each: Assignment) -> bool:
    """Tell whether one assignment holds wherever and whenever another does."""
    return (
        other.org in (each.org, EVERY_ORG)
        and (-inf if other.since is None else other.since) <= (-inf if each.since is None else each.since)
        and (inf if other.until is None else other.until) >= (inf if each.until is None else each.until)
    )


def _covers(policy: Policy, other: Assignment, each: Assignment) -> bool:
    """Tell whether one role holds another; of two that are the same, the later is the one too many."""
    index = policy.tables.role_index
    if not policy.tables.holds[index[other.role]] >> index[each.role] & 1:
        return False
    order = policy.parts.assignments
    same = (other.who, other.role, other.org) == (each.who, each.role, each.org) and _covers_when(each, other)
    return not same or order.index(other) < order.index(each)


def _adds_nothing(policy: Policy, each: Assignment, others: list[Assignment]) -> bool:
    """Tell whether all that a role grants is granted otherwise, or denied to everyone.

    Where not, somebody of whom only this is known is allowed something by it, and it does change decisions.
    """
    tables = policy.tables
    granted = tables.grants[tables.role_index[each.role]]
    for other in others:
        granted &= ~tables.grants[tables.role_index[other.role]]
    for block in tables.blocks:
        if block.who.kind is WhoKind.EVERYONE and block.org in (None, each.org):
            granted &= ~block.permissions
    return not granted


def _without(policy: Policy, assignment: Assignment) -> Policy:
    kept = tuple(each for each in policy.parts.assignments if each is not assignment)
    return Policy(replace(policy.parts, assignments=kept))


def _actions(policy: Policy) -> Iterator[Leftover]:
    side = Side(policy, by_our_names=True)
    orgs = orgs_of((side,))
    for action in actions((policy,)):
        if action in BUILT_IN_PERMISSIONS or visitor_may(policy, side.questions.about(action)):
            continue
        shown = quote(action.removeprefix(PAGE_ACTION).removeprefix(SECTION_ACTION))
        section = action.startswith(SECTION_ACTION)
        reachable, everybody = False, True
        for case in (case for org in orgs for case in cases((side,), action, org)):
            reachable = reachable or case.people.diagrams.both(case.allowed[0], case.people.possible) != NEVER
            everybody = everybody and case.people.diagrams.without(case.people.possible, case.allowed[0]) == NEVER
            if reachable and not everybody:
                break
        if not reachable:
            text = (
                f"no page in section {shown} can be opened by anybody"
                if section
                else f"page {shown} can be opened by nobody"
                if action.startswith(PAGE_ACTION)
                else f"permission {shown} can be allowed to nobody"
            )
            yield Leftover(kind=LeftoverKind.UNREACHABLE, what=action, text=text)
        elif everybody and not _says_so(policy, action):
            text = f"the rule of {'section' if section else 'page'} {shown} holds for everybody who is signed in"
            yield Leftover(kind=LeftoverKind.CONSTANT, what=action, text=f"{text}; `signed_in` says the same")


def _says_so(policy: Policy, action: str) -> bool:
    """Tell whether a rule says that it holds for everybody."""
    page = policy.parts.pages.get(action.removeprefix(PAGE_ACTION))
    rule = policy.parts.sections.get(action.removeprefix(SECTION_ACTION)) if page is None else page.rule
    return isinstance(rule, SignedIn)
