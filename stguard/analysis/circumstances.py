"""In which orgs a question can have another answer, who might ask it there, and what the answer is."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.analysis.answer import Answer
from stguard.analysis.diagram import NEVER, Diagrams, EntangledError, Function
from stguard.analysis.people import Denied, Mark, Marks, People, Sent, keys_of
from stguard.analysis.presence import ALL_TIME, Presence
from stguard.analysis.question import NO_EFFECT, THIS, Effect, Questions, form_of, renamed_effect, rules_in
from stguard.analysis.standings import Standings, sub_of
from stguard.model import BUILT_IN_PERMISSIONS, EVERY_ORG, Not, OrgIs, Who, WhoKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from stguard.analysis.people import Alike, Fact
    from stguard.analysis.presence import Crowd, Stretch
    from stguard.analysis.question import Form, Question
    from stguard.analysis.standings import Place
    from stguard.policy import Policy

ANY_OTHER_ORG: Final = "\N{WHITE SQUARE}"
"""Stands for the orgs that no policy names, with `orgs: from_identity`."""


class Side:
    """Be one policy among those that are compared."""

    def __init__(self, policy: Policy, *, by_our_names: bool) -> None:
        """Take a policy.

        Args:
            policy: the policy.
            by_our_names: whether roles and permissions that an identity source sends are known by the policy's own
                names: so where all policies read them in the same way.
        """
        self.policy: Final = policy
        self.questions: Final = Questions(policy)
        self._by_our_names: Final = by_our_names
        identity = policy.parts.identity
        self._roles: Final = {role: role for role in policy.roles}
        self._permissions: Final = {name: name for name in policy.permissions}
        if not by_our_names:
            for name in BUILT_IN_PERMISSIONS:
                del self._permissions[name]
            self._roles.update(identity.role_names)
            self._permissions.update(identity.permission_names)

    def sent(self, action: str, asked: Question) -> Iterator[tuple[str, bool, str, Effect | str]]:
        """Yield what an identity source may send that changes anything: the kind, whether for an org, the name.

        Last what that means: what holding the role changes, or the permission's name in the question.
        """
        effects = effects_of(asked, self.policy.roles)
        for name, ours in self._roles.items():
            if ours in effects:
                if not asked.multi_tenant or ours in asked.cross_org:
                    yield "role", False, name, effects[ours]
                if asked.multi_tenant:
                    yield "role", True, name, effects[ours]
        for name, ours in self._permissions.items() if asked.multi_tenant else ():
            meant = THIS if ours == action else ours
            if meant in asked.grantable:
                yield "permission", True, THIS if self._by_our_names and ours == action else name, meant


def effects_of(asked: Question, roles: Iterable[str]) -> Mapping[str, Effect]:
    """Return by role what holding it changes, without those that change nothing."""
    # Any role makes a member.
    return {**(dict.fromkeys(roles, NO_EFFECT) if asked.needs_membership else {}), **dict(asked.effects)}


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


class Outcome(NamedTuple):
    """Hold everybody who might ask, and when each policy allows it."""

    people: People
    answers: tuple[Answer, ...]
    allowed: tuple[Function, ...]


class Case:
    """Be who might ask a question in one org for some time, and when each policy allows it.

    Attributes:
        org: the org; None for none.
        people: everybody.
        allowed: when each policy allows it.
        outcome: both, with the answers that say so.
        place: the who-keys of the org, by sort.
        crowds: who is there when, all of them a part of these people.
    """

    __slots__ = ("_asking", "_members", "allowed", "crowds", "org", "outcome", "people", "place")

    def __init__(
        self,
        asking: Asking,
        org: str | None,
        place: Place,
        crowds: Mapping[Crowd, Sequence[Stretch]],
        outcome: Outcome,
    ) -> None:
        """Take what asks, where, who is there when, and what follows."""
        self._asking: Final = asking
        self._members: Mapping[Alike, Sequence[Who]] | None = None
        self.org: Final = org
        self.place: Final = place
        self.crowds: Final = crowds
        self.outcome: Final = outcome
        self.people, _, self.allowed = outcome

    def moments(self) -> Iterator[Case]:
        """Yield the same for each of the crowds: these are the people that are there at one time.

        What somebody is allowed for one fact about them alone is the same in all; facts that it takes together need not
        occur at one time.
        """
        for crowd, times in self.crowds.items():
            yield self._asking.case(self.org, self.place, crowd, {crowd: times})

    def keys(self, fact: Fact) -> tuple[Who, ...]:
        """Return the who-keys that a fact is about; empty where it is about none."""
        if fact.alike is None:
            return ()
        if self._members is None:
            times = sorted(chain.from_iterable(self.crowds.values()))
            self._members = self._asking.members(self.place, times)
        found = self._members.get(fact.alike, ())
        if fact.prefix is not None:
            found = [Who(WhoKind.SUB, f"{fact.prefix}|{sub_of(who)}") for who in found]
        return tuple(sorted(found, key=str))

    def names(self, fact: Fact) -> tuple[str, ...]:
        """Return what a fact is about in words: who-keys, what an identity source sends, what isn't known."""
        if fact.sent is not None:
            return tuple(f"{fact.sent.kind}:{name}" for name in self._asking.sent[fact.sent])
        return fact.names or tuple(map(str, self.keys(fact)))


class Asking:
    """Ask several policies for one action, in whichever org."""

    def __init__(
        self,
        sides: Sequence[Side],
        standings: Standings,
        action: str,
        *,
        worked_out: dict[object, Outcome] | None = None,
    ) -> None:
        """Take the policies and what is asked for.

        Args:
            sides: the policies.
            standings: what they say of who-keys.
            action: what is asked for.
            worked_out: what was worked out for other actions of the same policies, to use it again; None: nothing.
        """
        self._sides: Final = tuple(sides)
        self._standings: Final = standings
        self.asked: Final = tuple(side.questions.about(action) for side in sides)
        self._forms, names = zip(*map(form_of, self.asked), strict=True)
        self._orgs: Final = {org for form in self._forms for org in _orgs_in(form)}
        self._presence: Final = Presence(
            standings,
            [
                {role: renamed_effect(effect, its) for role, effect in effects_of(asked, side.policy.roles).items()}
                for side, asked, its in zip(sides, self.asked, names, strict=True)
            ],
            _marks_of(self._forms),
            doubt_counts=any(map(_doubt_counts, self._forms)),
            doubted_roles_count=any(map(_doubted_roles_count, self._forms)),
        )
        self.sent: Final = self._sort_sent(action, names)
        self._outcomes: Final[dict[object, Outcome]] = {}
        self._worked_out: Final = {} if worked_out is None else worked_out

    def _sort_sent(self, action: str, names: Sequence[Mapping[str, str]]) -> Mapping[Sent, Sequence[str]]:
        """Return what an identity source may send by what it means to each policy."""
        means: dict[tuple[str, bool, str], list[Effect | str | None]] = {}
        for number, (side, asked, its) in enumerate(zip(self._sides, self.asked, names, strict=True)):
            for kind, here, name, meant in side.sent(action, asked):
                found = means.setdefault((kind, here, name), [None] * len(self._sides))
                found[number] = renamed_effect(meant, its) if isinstance(meant, Effect) else its[meant]
        alike: dict[Sent, list[str]] = {}
        for (kind, here, name), found in sorted(means.items(), key=lambda each: each[0]):
            alike.setdefault(Sent(kind, here, tuple(found)), []).append(name)
        return alike

    def counts(self, role: str) -> bool:
        """Tell whether holding a role can change anything."""
        return self._presence.counts(role)

    def cases(
        self, org: str | None, *, at: float | None = None, instead: tuple[Place, Place] | None = None
    ) -> Iterator[Case]:
        """Yield who might ask in an org, and when each policy allows it; the same people once, whenever that is.

        Of people of whom some are there at one time and all at another, all are yielded: whoever some of them can be,
        they can be too.

        Args:
            org: in which org; None for none.
            at: Unix seconds; None: at every moment.
            instead: who-keys by the sort that they no longer belong to, and by the one they now do; None for none.
        """
        place, crowds = self._presence.there(org, at=at, instead=instead)
        for largest, inside in crowds.items():
            yield self.case(org, place, largest, inside)

    def case(self, org: str | None, place: Place, crowd: Crowd, crowds: Mapping[Crowd, Sequence[Stretch]]) -> Case:
        """Return the case of a crowd, for the times of crowds that are a part of it."""
        return Case(self, org, place, crowds, self.outcome(org, crowd))

    def alike(self, orgs: Iterable[str | None]) -> Iterable[Sequence[str | None]]:
        """Return together the orgs that are all one to the question, but for who is there."""
        found: dict[object, list[str | None]] = {}
        for org in orgs:
            found.setdefault(self._seen_as(org), []).append(org)
        return found.values()

    def ever(self, orgs: Iterable[str | None]) -> tuple[Crowd, Crowd] | None:
        """Return who is always there in all orgs, and who ever is in one; None where that stands for none of them."""
        return self._presence.ever(tuple(orgs))

    def at_once(self, org: str | None, crowd: Crowd) -> Case:
        """Return the case of all that are there in some org at some time, with the who-keys of one of the orgs."""
        return self.case(org, self._presence.place(org), crowd, {crowd: ALL_TIME})

    def kinds(self, crowd: Crowd) -> frozenset[Alike]:
        """Return the kinds of who-keys that a crowd is."""
        return self._presence.kinds(crowd)

    def members(self, place: Place, times: Sequence[Stretch]) -> Mapping[Alike, Sequence[Who]]:
        """Return by kind who belongs to it at some time within stretches of time."""
        return self._presence.members(place, times)

    # --- what follows

    def _seen_as(self, org: str | None) -> tuple[tuple[bool, ...], bool, str | None]:
        # Orgs that the question doesn't name are all one to it.
        return self._standings.known(org), org is not None, org if org in self._orgs else None

    def outcome(self, org: str | None, crowd: Crowd) -> Outcome:
        """Return what a crowd is allowed in an org."""
        place = self._seen_as(org)
        outcome = self._outcomes.get((crowd, place))
        if outcome is None:
            named = self._presence.kinds(crowd)
            key = (self._forms, frozenset(self.sent), named, place)
            outcome = self._worked_out.get(key)
            if outcome is None:
                try:
                    outcome = self._worked_out[key] = self._work_out(org, named)
                except RecursionError as error:
                    raise EntangledError("the rules name too much to be worked out; split them up") from error
            self._outcomes[crowd, place] = outcome
        return outcome

    def _work_out(self, org: str | None, named: frozenset[Alike]) -> Outcome:
        known = self._standings.known(org)
        people = People(Diagrams(), named, self.sent, org=org is not None)
        answers = tuple(Answer(people, form, number, org=org) for number, form in enumerate(self._forms))
        allowed = (answer.allowed() if knows else NEVER for knows, answer in zip(known, answers, strict=True))
        return Outcome(people, answers, tuple(allowed))


def _denials_in(asked: Form) -> Iterator[tuple[Who, str | None, str | None]]:
    yield from ((who, org, None) for who, org in asked.denials)
    for name, denials in asked.permission_denials:
        yield from ((who, org, name) for who, org in denials)


def _orgs_in(asked: Form) -> Iterator[str]:
    for rule in rules_in(asked.rule):
        if isinstance(rule, OrgIs):
            yield from rule.names
    yield from (org for _, org, _ in _denials_in(asked) if org is not None)


def _doubt_counts(asked: Form) -> bool:
    """Tell whether what might be so of somebody can change anything, not only what surely is."""
    denied = asked.denials or any(denials for _, denials in asked.permission_denials)
    return bool(denied) or any(isinstance(rule, Not) for rule in rules_in(asked.rule))


def _doubted_roles_count(asked: Form) -> bool:
    """Tell whether it can change anything that somebody might hold a role, not only that they surely do."""
    denied = any(who.kind is WhoKind.ROLE for who, _, _ in _denials_in(asked))
    return denied or any(isinstance(rule, Not) for rule in rules_in(asked.rule))


def _marks_of(forms: Sequence[Form]) -> dict[Who, Marks]:
    """Return the who-keys that rules and forbids name in a question, with what they do with them."""
    found: dict[Who, set[Mark]] = {}
    for number, form in enumerate(forms):
        for who, org, name in _denials_in(form):
            if who.kind not in {WhoKind.EVERYONE, WhoKind.ROLE}:
                found.setdefault(who, set()).add(Denied(number, org, name, who.kind, who.claim))
        for rule in rules_in(form.rule):
            for who in keys_of(rule):
                found.setdefault(who, set()).add(rule)
    return {who: frozenset(marks) for who, marks in found.items()}


def cases(sides: Sequence[Side], action: str, org: str | None, *, at: float | None = None) -> Iterator[Case]:
    """Yield who might ask for an action in an org, and when each policy allows it.

    Args:
        sides: the policies.
        action: what is asked for.
        org: in which org; None for none.
        at: Unix seconds; None: at every moment.
    """
    yield from Asking(sides, Standings([side.policy for side in sides]), action).cases(org, at=at)
