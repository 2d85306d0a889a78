"""Who gains and who loses what between two policies, and who may do something under one: exactly.

Nothing is sampled: each answer is worked out for everybody at once, over every who-key, claim value, group, role, org
and moment that occurs in either policy, and "anyone else". A difference that is listed nowhere is none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import combinations, product
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard import engine
from stguard.analysis.because import Because
from stguard.analysis.circumstances import Asking, Side, orgs_of
from stguard.analysis.cover import cover, worth_telling
from stguard.analysis.diagram import NEVER, EntangledError
from stguard.analysis.people import MEMBER, Denied
from stguard.analysis.question import SECTION_ACTION, THIS, actions
from stguard.analysis.standings import Standings, term_of
from stguard.errors import quote
from stguard.model import EVERY_ORG, WhoKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from stguard.analysis.circumstances import Case, Outcome
    from stguard.analysis.cover import Together
    from stguard.analysis.diagram import Function
    from stguard.analysis.people import Alike, Fact, People
    from stguard.analysis.presence import Crowd
    from stguard.analysis.question import Question
    from stguard.policy import Policy

ANONYMOUS: Final = "anonymous"
SIGNED_IN: Final = "signed_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Say that somebody gains or loses something.

    Attributes:
        who: a who-key as `email:ann@acme.com`, `group:x`, `role:x` (whoever brings that role along), `anonymous`,
            `signed_in`; several joined by ` and ` where it takes them together; `groups unknown` and the like for whose
            facts the provider doesn't send.
        org: in which org; `*` in every org; None without one.
        action: a permission, `page:NAME`, or `page:*` for pages that are not listed.
        because: what in the policies makes the difference, in plain words.
    """

    who: str
    org: str | None
    action: str
    because: str

    def as_json(self) -> dict[str, str | None]:
        """Return the fields that `stguard diff --json` prints."""
        return {"who": self.who, "org": self.org, "action": self.action, "because": self.because}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Hold what two policies decide differently.

    Attributes:
        gains: what is allowed under the new one only.
        losses: what is allowed under the old one only.
        other: in plain words, what else changes: menu sections, how claims are read, how long a login counts.
    """

    gains: tuple[Change, ...]
    losses: tuple[Change, ...]
    other: tuple[str, ...]

    def __bool__(self) -> bool:
        """Return whether there is any difference."""
        return bool(self.gains or self.losses or self.other)


def difference(old: Policy, new: Policy) -> Difference:
    """Return exactly who gains and who loses which permission and page between two policies."""
    return _Comparison(old, new).difference()


class Line(NamedTuple):
    """Hold who gains or loses something, and by what."""

    who: str
    action: str
    because: str


Where = dict[str | None, None]
"""The orgs in which that is so."""


class Finding(NamedTuple):
    """Hold people who gain or lose something, before they have names.

    Attributes:
        gained: whether they gain it.
        roles: two roles that they hold together, where that may no longer be; empty otherwise.
        together: facts that it takes together, as `cover` yields them.
    """

    gained: bool
    roles: frozenset[str] = frozenset()
    together: Together = ()


class _Comparison:
    """Compare two policies action by action, org by org, moment by moment."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self._alike = old.parts.identity == new.parts.identity
        self._sides = (Side(old, by_our_names=self._alike), Side(new, by_our_names=self._alike))
        self._actions = actions((old, new))
        self._orgs = orgs_of(self._sides)
        self._standings = Standings((old, new))
        assignments = (*old.parts.assignments, *new.parts.assignments)
        self._lasting = any(each.since is not None or each.until is not None for each in assignments)
        self._worked_out: dict[object, Outcome] = {}
        self._found: dict[People, tuple[Finding, ...]] = {}
        self._between: dict[tuple[People, People], Sequence[Finding] | None] = {}
        # Where something may be decided otherwise though the question is the same, with the roles that may do it.
        touched = ((org, self._changed_roles(org), self._standings.known_alike(org)) for org in self._orgs)
        self._touched = {org: (roles, known) for org, roles, known in touched if roles or not known}

    def difference(self) -> Difference:
        lines: tuple[dict[Line, Where], dict[Line, Where]] = ({}, {})
        for group in self._groups():
            for found, told in zip(self._differences(group[0]), lines, strict=True):
                for (who, because), where in found.items():
                    for action in group:
                        told[Line(who.replace(f"permission:{THIS}", f"permission:{action}"), action, because)] = where
        old, new = (side.policy for side in self._sides)
        named = [org for org in self._orgs if org is not None]
        losses, gains = (_joined(found, named, self._actions) for found in lines)
        other = [*_other(old, new), *_by_section(gains, "opens to"), *_by_section(losses, "closes for")]
        return Difference(gains=_asked_for(gains), losses=_asked_for(losses), other=tuple(other))

    def _groups(self) -> list[list[str]]:
        """Return the actions, those together of which both policies say the same."""
        groups: dict[object, list[str]] = {}
        for action in self._actions:
            asked = tuple(side.questions.about(action) for side in self._sides)
            groups.setdefault((asked, None if self._alike and THIS in _names(asked) else action), []).append(action)
        return list(groups.values())

    def _changed_roles(self, org: str | None) -> frozenset[str]:
        old, new = (
            {(each.who, term_of(each)) for each in self._standings.assignments(number, org)} for number in (0, 1)
        )
        return frozenset(term.role for _, term in old ^ new)

    def _orgs_that_differ(self, asked: Sequence[Question]) -> Sequence[str | None]:
        """Return the orgs in which the policies may answer a question differently."""
        one, other = asked
        if one != other or not self._alike:
            return self._orgs
        granted = {role for role, _ in one.effects}
        return [
            org
            for org, (roles, known) in self._touched.items()
            if not known or (roles if one.needs_membership else not granted.isdisjoint(roles))
        ]

    def _differences(self, action: str) -> tuple[dict[tuple[str, str], Where], dict[tuple[str, str], Where]]:
        """Return who loses and who gains one action and by what, with the orgs where that is so."""
        lines: tuple[dict[tuple[str, str], Where], dict[tuple[str, str], Where]] = ({}, {})
        asking = Asking(self._sides, self._standings, action, worked_out=self._worked_out)
        asked = asking.asked
        because = Because(self._sides, self._standings, action, asked)
        before, after = (visitor_may(side.policy, question) for side, question in zip(self._sides, asked, strict=True))
        if before is not after:
            lines[after][ANONYMOUS, because.general(gained=after)] = {None: None}
        pairs: dict[Finding, Where] = {}
        for found, orgs, case in self._changes(asking):
            where = dict.fromkeys(orgs)
            if found.roles:  # of which nothing depends on who is there
                pairs.setdefault(found, {}).update(where)
                continue
            for line in _told(found, case, because):
                lines[found.gained].setdefault(line, {}).update(where)
        for found, where in pairs.items():
            who = " and ".join(f"role:{role}" for role in sorted(found.roles))
            lines[found.gained].setdefault((who, because.general(gained=found.gained)), {}).update(where)
        return lines

    def _changes(self, asking: Asking) -> Iterator[tuple[Finding, Sequence[str | None], Case]]:
        """Yield who gains and loses something, with the orgs where that is so and a case that stands for them."""
        differ = tuple(self._orgs_that_differ(asking.asked))
        # In one org at one moment, everybody at once is just who is there.
        crowds = asking.ever(differ) if len(differ) > 1 or self._lasting else None
        for orgs in asking.alike(differ):
            at_once = None if crowds is None else self._at_once(asking, orgs[0], *crowds)
            if crowds is not None and at_once is not None:
                always, crowd = crowds
                # Who is always there is that in all of these orgs, under the same names and for the same reason.
                same = asking.kinds(always) | {None} if self._standings.known_alike(orgs[0]) else frozenset()
                for found in at_once:
                    if found.roles or all(fact.alike in same for fact in found.together):
                        yield found, orgs, asking.at_once(orgs[0], crowd)
                    else:
                        yield from ((found, (org,), asking.at_once(org, crowd)) for org in orgs)
                continue
            for org in orgs:
                for whole in asking.cases(org):
                    yield from ((found, (org,), case) for case, found in self._by_moment(whole, asking.asked))

    def _at_once(self, asking: Asking, org: str | None, always: Crowd, ever: Crowd) -> Sequence[Finding] | None:
        """Return who gains and loses something of all that are there in some org at some time.

        By one fact alone, that is so wherever there is such a fact, whoever else is there. None where it takes several
        together: they need not be there in one org at one time.
        """
        try:
            most = asking.outcome(org, ever)
            found = self._findings(most, asking.asked)
            if not found or not (always or any(each.roles or len(each.together) > 1 for each in found)):
                return found
            least = asking.outcome(org, always)
            key = least.people, most.people
            if key not in self._between:
                self._between[key] = self._told_between(least, most, asking.asked)
        except EntangledError:
            return None
        return self._between[key]

    def _told_between(self, least: Outcome, most: Outcome, asked: Sequence[Question]) -> Sequence[Finding] | None:
        """Return who gains and loses something of the most people, if the same is told of every crowd with the least.

        A fact that stands for whoever has it is told though it takes others besides. Of fewer people no more such facts
        may be told, and of more people those that are surely told still are: what may be told of the most and surely is
        of the least, is told of all between.
        """
        found = self._findings(most, asked)
        if any(len(each.together) > 1 for each in found):
            return None
        pairs = [each for each in found if each.roles]
        if pairs:
            always = self._findings(least, asked)
            if any(each not in always for each in pairs):
                return None
        surely = {worth for worth, surely in _worth_telling(least, asked) if surely}
        for worth, _ in _worth_telling(most, asked):
            domain = worth.alike if worth.alike is not None and worth.alike.kind is WhoKind.DOMAIN else None
            if worth not in surely or (domain is not None and _is_told_by_email(domain, most.people)):
                return None
        return found

    def _by_moment(self, case: Case, asked: Sequence[Question]) -> Iterator[tuple[Case, Finding]]:
        """Yield who gains and loses something, moment by moment where it takes several facts together."""
        found = self._findings(case.outcome, asked)
        if len(case.crowds) > 1 and any(len(each.together) > 1 for each in found):
            for each in case.moments():
                yield from self._by_moment(each, asked)
        else:
            yield from ((case, each) for each in found)

    def _findings(self, outcome: Outcome, asked: Sequence[Question]) -> Sequence[Finding]:
        found = self._found.get(outcome.people)
        if found is None:
            found = self._found[outcome.people] = tuple(_findings(outcome, asked))
        return found


def _told(found: Finding, case: Case, because: Because) -> Iterator[tuple[str, str]]:
    """Yield who gains or loses something in a case, and why."""
    gained = found.gained
    if len(found.together) == 1:
        fact = found.together[0]
        if fact.alike is None:
            general = because.general(case.org, gained=gained)
            yield from ((name, general) for name in case.names(fact))
        else:
            yield from ((str(key), because.of(key, case.org, gained=gained)) for key in case.keys(fact))
    else:
        general = because.general(gained=gained)
        for names in product(*(case.names(fact) for fact in found.together if fact.unknown != MEMBER)):
            yield " and ".join(names) or SIGNED_IN, general


def _findings(outcome: Outcome, asked: Sequence[Question]) -> Iterator[Finding]:
    """Yield who gains and loses something."""
    for gained, pairs, only in _only_one_allows(outcome, asked):
        yield from (Finding(gained, roles) for roles in pairs)
        together = cover(outcome.people, only, names_all=_naming_all(outcome.people))
        yield from (Finding(gained, together=each) for each in together)


def _only_one_allows(
    outcome: Outcome, asked: Sequence[Question]
) -> Iterator[tuple[bool, list[frozenset[str]], Function]]:
    """Yield when somebody loses and when they gain something, and first which roles they then hold together.

    Whoever holds two roles that may no longer be held together is left out of the rest.
    """
    old, new = outcome.allowed
    if old == new:
        return
    people, diagrams = outcome.people, outcome.people.diagrams
    for gained in (False, True):
        only = diagrams.without(*((new, old) if gained else (old, new)))
        pairs = []
        for roles in _pairs(asked[not gained].separations - asked[gained].separations):
            meet = diagrams.both(only, people.possible, outcome.answers[not gained].meet(roles))
            if meet != NEVER:
                pairs.append(roles)
                only = diagrams.without(only, meet)
        yield gained, pairs, only


def _naming_all(people: People) -> Callable[[Fact], bool]:
    """Return what tells the facts that stand for whoever has them: whom forbids name under one policy only."""
    unknown = {fact.doubt for fact in people.facts if _denied_otherwise(fact)}
    return lambda fact: _denied_otherwise(fact) or (fact.unknown is not None and fact.unknown in unknown)


class Worth(NamedTuple):
    """Hold a fact that is worth telling though it takes others besides, by what it is among whichever people."""

    gained: bool
    alike: Alike | None
    prefix: str | None
    unknown: str | None


def _worth_telling(outcome: Outcome, asked: Sequence[Question]) -> Iterator[tuple[Worth, bool]]:
    """Yield what may be told of these people or of a part of them, and whether it is told of all they are a part of."""
    people = outcome.people
    for gained, _, only in _only_one_allows(outcome, asked):
        for fact, surely in worth_telling(people, only, names_all=_naming_all(people)):
            yield Worth(gained, fact.alike, fact.prefix, fact.unknown), surely


def _is_told_by_email(domain: Alike, people: People) -> bool:
    """Tell whether an e-mail of a domain may be told in its place."""
    return any(fact.alike is not None and fact.alike.domain == domain.marks for fact in people.facts)


def _denied_otherwise(fact: Fact) -> bool:
    """Tell whether forbids name a who-key under one policy and not under the other."""
    before, after = ({mark.org for mark in fact.marks if isinstance(mark, Denied) and mark.number == number}
                     for number in (0, 1))  # fmt: skip
    return before != after


def visitor_may(policy: Policy, asked: Question) -> bool:
    """Tell whether somebody who isn't signed in is allowed what a question asks."""
    if asked.rule is None or asked.denials or THIS in _names((asked,)):
        return False
    return engine.rule_value(asked.rule, engine.view_of(policy.tables, None, org=None, at=0.0)) == engine.TRUE


def _pairs(separations: Iterable[frozenset[str]]) -> Iterator[frozenset[str]]:
    for together in sorted(separations, key=sorted):
        yield from (frozenset(pair) for pair in combinations(sorted(together), 2))


def _names(asked: Sequence[Question]) -> set[str]:
    return {name for question in asked for name, _ in question.permission_denials}


def _joined(found: Mapping[Line, Where], orgs: Sequence[str], order: Sequence[str]) -> tuple[Change, ...]:
    """Return a line for each, one for all orgs where it is the same in all, in the order of the actions."""
    changes = []
    for (who, action, because), where in found.items():
        everywhere = len(orgs) > 1 and all(org in where for org in orgs)
        if who in (ANONYMOUS, SIGNED_IN) and None in where and all(org in where for org in orgs):
            places: list[str | None] = [None]
        else:
            places = [EVERY_ORG] if everywhere else list(where)
        changes += [Change(who=who, org=org, action=action, because=because) for org in places]
    rank = {action: number for number, action in enumerate(order)}
    return tuple(sorted(changes, key=lambda each: (rank[each.action], each.org or "", each.who)))


def _asked_for(changes: Sequence[Change]) -> tuple[Change, ...]:
    return tuple(change for change in changes if not change.action.startswith(SECTION_ACTION))


def _by_section(changes: Sequence[Change], verb: str) -> Iterator[str]:
    """Yield a line for each change of a menu section: its pages then also change for whom they stand in it."""
    for each in changes:
        if each.action.startswith(SECTION_ACTION):
            place = "" if each.org is None else " in every org" if each.org == EVERY_ORG else f" in {each.org}"
            yield f"section {quote(each.action.removeprefix(SECTION_ACTION))} {verb} {each.who}{place}: {each.because}"


def _other(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return in words what changes besides who may do what."""
    told = []
    before, after = old.parts, new.parts
    if before.identity != after.identity:
        names = [each.name for each in fields(before.identity) if _differs(before.identity, after.identity, each.name)]
        told.append(f"how claims are read changes: identity.{', identity.'.join(names)}")
    if before.sessions != after.sessions:
        told.append("how long a login counts changes: sessions")
    if {(each.who, each.before) for each in before.revocations} != {(e.who, e.before) for e in after.revocations}:
        told.append("which logins no longer count changes: revoked")
    return tuple(told)


def _differs(one: object, other: object, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))
