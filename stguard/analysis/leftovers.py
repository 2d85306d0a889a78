"""What a policy holds that changes nothing: assignments without effect, pages out of reach, rules that can't vary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from math import inf
from operator import or_
from typing import TYPE_CHECKING, Final

from stguard.analysis.circumstances import Asking, Side, orgs_of
from stguard.analysis.diagram import NEVER
from stguard.analysis.difference import visitor_may
from stguard.analysis.question import SECTION_ACTION, actions
from stguard.analysis.standings import Standings, term_of
from stguard.errors import quote
from stguard.model import BUILT_IN_PERMISSIONS, EVERY_ORG, PAGE_ACTION, SignedIn, Who, WhoKind
from stguard.naming import email_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stguard.analysis.circumstances import Case, Outcome
    from stguard.analysis.people import People
    from stguard.analysis.question import Question
    from stguard.model import Assignment
    from stguard.policy import Policy


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


_EVERYONE: Final = (Who(WhoKind.EVERYONE, "signed_in"),)


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
    taking = _Taking(policy)
    by_who: dict[tuple[Who, str | None], list[tuple[int, Assignment]]] = {}
    for place, each in enumerate(policy.parts.assignments):
        by_who.setdefault((each.who, each.org), []).append((place, each))
    for place, each in enumerate(policy.parts.assignments):
        if each.until is not None and each.until <= at:
            yield _leftover(LeftoverKind.DEAD, each, "has ended")
            continue
        also = [each.who, *(_EVERYONE if each.who.kind is not WhoKind.EVERYONE else ())]
        if each.who.kind is WhoKind.EMAIL:
            also.append(Who(WhoKind.DOMAIN, email_domain(each.who.value)))
        places = dict.fromkeys((each.org, EVERY_ORG))
        others = [found for who in also for org in places for found in by_who.get((who, org), ()) if found[0] != place]
        others = [(number, other) for number, other in others if _covers_when(other, each)]
        covering = (other for number, other in others if _covers(policy, other, each, earlier=number < place))
        shadow = None if policy.parts.separations else next(covering, None)
        if shadow is not None:
            yield _leftover(LeftoverKind.SHADOWED, each, f"is already covered by {quote(shadow.id)}")
        elif not taking.grants_alone(each, [other for _, other in others]) and not taking.matters(each):
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


def _covers(policy: Policy, other: Assignment, each: Assignment, *, earlier: bool) -> bool:
    """Tell whether one role holds another; of two that are the same, the later is the one too many."""
    index = policy.tables.role_index
    if not policy.tables.holds[index[other.role]] >> index[each.role] & 1:
        return False
    same = (other.who, other.role, other.org) == (each.who, each.role, each.org) and _covers_when(each, other)
    return not same or earlier


class _Taking:
    """Take assignments away from a policy, one at a time, and see whether anything is decided otherwise."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        # Twice the same: who is given less under the second is told by `instead`.
        self._standings = Standings((policy, policy))
        side = Side(policy, by_our_names=True)
        questions = {side.questions.about(action): action for action in actions((policy,))}
        worked_out: dict[object, Outcome] = {}
        self._askings = [
            Asking((side, side), self._standings, action, worked_out=worked_out) for action in questions.values()
        ]
        self._orgs = orgs_of((side,))
        self._known: dict[tuple[object, ...], bool] = {}
        self._differ: dict[People, bool] = {}
        tables = policy.tables
        together = _any_of(each for _, each in tables.separations)
        self._apart = [bool(held & together) for held in tables.holds]
        self._denied = _any_of(block.permissions for block in tables.blocks)

    def grants_alone(self, each: Assignment, others: list[Assignment]) -> bool:
        """Tell whether it is plain that an assignment matters: it grants what nothing else of the same person does.

        Somebody of whom only this is known is then allowed something by it: no forbid and no separation is near.
        """
        tables = self._policy.tables
        role = tables.role_index[each.role]
        granted = tables.grants[role] & ~self._denied
        for other in others:
            granted &= ~tables.grants[tables.role_index[other.role]]
        return bool(granted) and not self._apart[role]

    def matters(self, each: Assignment) -> bool:
        """Tell whether anything is decided otherwise without an assignment."""
        return any(self._matters_in(org, each) for org in (self._orgs if each.org == EVERY_ORG else (each.org,)))

    def _matters_in(self, org: str | None, each: Assignment) -> bool:
        term = term_of(each)
        if any(other is not each and term_of(other) == term for other in self._standings.to(0, each.who, org)):
            return False
        instead = self._standings.without(each.who, term, org)
        before, after = instead
        place = self._standings.place(org)
        # Somebody else of the same sort, and it makes no difference which of them it is.
        alone = frozenset(number for number, keys in before.items() if len(place.get(number, ())) <= len(keys))
        key = (org, frozenset(before), alone, frozenset(after))
        if key not in self._known:
            self._known[key] = any(
                self._decide_otherwise(case)
                for asking in self._askings
                if asking.counts(each.role)
                for case in asking.cases(org, instead=instead)
            )
        return self._known[key]

    def _decide_otherwise(self, case: Case) -> bool:
        before, after = case.allowed
        if before == after:
            return False
        found = self._differ.get(case.people)
        if found is None:
            diagrams, possible = case.people.diagrams, case.people.possible
            found = self._differ[case.people] = diagrams.both(before, possible) != diagrams.both(after, possible)
        return found


def _any_of(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)


def _actions(policy: Policy) -> Iterator[Leftover]:
    side = Side(policy, by_our_names=True)
    orgs = orgs_of((side,))
    standings = Standings((policy,))
    worked_out: dict[object, Outcome] = {}
    known: dict[Question, tuple[bool, bool]] = {}
    for action in actions((policy,)):
        question = side.questions.about(action)
        if action in BUILT_IN_PERMISSIONS or visitor_may(policy, question):
            continue
        shown = quote(action.removeprefix(PAGE_ACTION).removeprefix(SECTION_ACTION))
        section = action.startswith(SECTION_ACTION)
        if question not in known:
            asking = Asking((side,), standings, action, worked_out=worked_out)
            known[question] = _reaches(case for org in orgs for case in asking.cases(org))
        reachable, everybody = known[question]
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


def _reaches(cases: Iterable[Case]) -> tuple[bool, bool]:
    """Return whether anybody is allowed something, and whether everybody is."""
    anybody, everybody = False, True
    for case in cases:
        allowed, people = case.allowed[0], case.people
        anybody = anybody or people.diagrams.both(allowed, people.possible) != NEVER
        everybody = everybody and people.diagrams.without(people.possible, allowed) == NEVER
        if anybody and not everybody:
            break
    return anybody, everybody


def _says_so(policy: Policy, action: str) -> bool:
    """Tell whether a rule says that it holds for everybody."""
    page = policy.parts.pages.get(action.removeprefix(PAGE_ACTION))
    rule = policy.parts.sections.get(action.removeprefix(SECTION_ACTION)) if page is None else page.rule
    return isinstance(rule, SignedIn)
