"""In which orgs and at which moments a question can have another answer, and who then holds which role."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.analysis.answer import Answer
from stguard.analysis.diagram import NEVER, Diagrams, Function
from stguard.analysis.people import People, Row, Said
from stguard.analysis.question import NO_EFFECT, THIS, Questions
from stguard.model import BUILT_IN_PERMISSIONS, EVERY_ORG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stguard.analysis.question import Question
    from stguard.model import Assignment, Who
    from stguard.policy import Policy

ANY_OTHER_ORG: Final = "\N{WHITE SQUARE}"
"""Stands for the orgs that no policy names, with `orgs: from_identity`."""


class Case(NamedTuple):
    """Hold who might ask a question in one org at one moment, and when each policy allows it."""

    org: str | None
    at: float
    people: People
    answers: tuple[Answer, ...]
    allowed: tuple[Function, ...]


class Side:
    """Be one policy among those that are compared, with its assignments by org."""

    def __init__(self, policy: Policy, *, by_our_names: bool) -> None:
        """Take a policy.

        Args:
            policy: the policy.
            by_our_names: whether roles and permissions that an identity source sends are known by the policy's own
                names: so where all policies read them in the same way.
        """
        self.policy: Final = policy
        self.questions: Final = Questions(policy)
        self._by_org: Final[dict[str | None, list[Assignment]]] = {}
        for assignment in policy.parts.assignments:
            self._by_org.setdefault(assignment.org, []).append(assignment)
        self._by_who: Final[dict[Who, list[Assignment]]] = {}
        identity = policy.parts.identity
        self._roles: Final = {role: role for role in policy.roles}
        self._permissions: Final = {name: name for name in policy.permissions}
        if not by_our_names:
            for name in BUILT_IN_PERMISSIONS:
                del self._permissions[name]
            self._roles.update(identity.role_names)
            self._permissions.update(identity.permission_names)

    def knows(self, org: str | None) -> bool:
        """Tell whether the policy can be asked in an org."""
        parts = self.policy.parts
        return org is None or parts.orgs_from_identity or (parts.orgs is not None and org in parts.orgs)

    def assignments(self, org: str | None) -> list[Assignment]:
        """Return the assignments that count in an org."""
        if not self.policy.multi_tenant:
            return self._by_org.get(None, [])
        everywhere = self._by_org.get(EVERY_ORG, [])
        return everywhere if org is None else [*self._by_org.get(org, ()), *everywhere]

    def to(self, who: Who, org: str | None) -> list[Assignment]:
        """Return the assignments to a who-key that count in an org."""
        if not self._by_who:
            for each in self.policy.parts.assignments:
                self._by_who.setdefault(each.who, []).append(each)
        places = (org, EVERY_ORG) if self.policy.multi_tenant else (None,)
        return [each for each in self._by_who.get(who, ()) if each.org in places]

    def said(self, action: str, asked: Question, *, org: str | None, at: float) -> Said:
        """Return what the policy names in a question, with the assignments in force in an org at a moment."""
        effects, counts = dict(asked.effects), _counting(asked)
        everywhere = asked.cross_org if asked.multi_tenant else self._roles.keys()
        permissions = {name: THIS if ours == action else ours for name, ours in self._permissions.items()}
        return Said(
            rows=tuple(
                Row(each.who, effects[each.role])
                for each in self.assignments(org)
                if each.role in counts
                and (-inf if each.since is None else each.since) <= at < (inf if each.until is None else each.until)
            ),
            denied=(
                *((who, (org, None)) for who, org in asked.denials),
                *((who, (org, name)) for name, denials in asked.permission_denials for who, org in denials),
            ),
            rule=asked.rule,
            roles={name: effects[ours] for name, ours in self._roles.items() if ours in effects},
            everywhere=frozenset(name for name, ours in self._roles.items() if ours in everywhere),
            permissions={name: ours for name, ours in permissions.items() if ours in asked.grantable},
        )

    def edges(self, asked: Question, *, org: str | None) -> set[float]:
        """Return the moments at which an assignment that matters begins or ends."""
        counts = _counting(asked)
        return {
            edge
            for each in self.assignments(org)
            if each.role in counts
            for edge in (each.since, each.until)
            if edge is not None
        }


def _counting(asked: Question) -> frozenset[str]:
    """Return the roles that change anything in a question."""
    return frozenset(role for role, effect in asked.effects if asked.needs_membership or effect != NO_EFFECT)


def orgs_of(sides: Sequence[Side]) -> tuple[str | None, ...]:
    """Return every org in which one of the policies can be asked: none, those that are named, one for all others."""
    found: dict[str | None, None] = {None: None}
    for side in sides:
        parts = side.policy.parts
        found |= dict.fromkeys(parts.orgs or ())
        if parts.orgs_from_identity:
            named = {each.org for each in parts.assignments} | {each.org for each in parts.forbids}
            named |= side.questions.orgs_in_rules()
            found |= dict.fromkeys(sorted(org for org in named if org is not None and org != EVERY_ORG))
            found[ANY_OTHER_ORG] = None
    return tuple(found)


def cases(sides: Sequence[Side], action: str, org: str | None, *, at: float | None = None) -> Iterator[Case]:
    """Yield who might ask for an action in an org, and when each policy allows it.

    Args:
        sides: the policies.
        action: what is asked for.
        org: in which org; None for none.
        at: Unix seconds; None: one case for each stretch of time in which no assignment begins or ends.
    """
    asked = [side.questions.about(action) for side in sides]
    moments = {at} if at is not None else {-inf}
    if at is None:
        for side, each in zip(sides, asked, strict=True):
            moments |= side.edges(each, org=org)
    for at in sorted(moments):  # noqa: PLR1704  the moment of the case
        diagrams = Diagrams()
        said = [side.said(action, each, org=org, at=at) for side, each in zip(sides, asked, strict=True)]
        people = People(diagrams, said, org=org)
        answers = tuple(Answer(people, each, what, org=org) for each, what in zip(asked, said, strict=True))
        allowed = tuple(
            answer.allowed() if side.knows(org) else NEVER for side, answer in zip(sides, answers, strict=True)
        )
        yield Case(org, at, people, answers, allowed)
