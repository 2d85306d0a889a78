"""Who-keys by what they are given: those that no question can tell apart are looked at once, in whichever org."""

from __future__ import annotations

from collections import ChainMap
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.analysis.people import keys_of
from stguard.analysis.question import rules_in
from stguard.model import EVERY_ORG, Who, WhoKind
from stguard.naming import email_domain

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from stguard.model import Assignment, PolicyParts, Rule
    from stguard.policy import Policy


class Term(NamedTuple):
    """Say which role is given and when: from Unix seconds until Unix seconds, infinite where open."""

    role: str
    since: float
    until: float


Terms = tuple[frozenset[Term], ...]
"""What each policy gives, in their order."""


class Sort(NamedTuple):
    """Hold what policies say of a who-key in an org, but for its name.

    Attributes:
        kind: its kind.
        claim: the claim that it asks for, if it does; of a form of a `sub`, the issuer or provider.
        terms: the roles it is given.
        named: of the who-keys that rules and forbids name just as they do this, one; None: they don't name it.
        domain: of an e-mail, the number of its domain's sort; None where policies don't know that either.
        forms: of a `sub`, one for each issuer or provider that it stands with; empty for all other kinds.
    """

    kind: WhoKind
    claim: str | None
    terms: Terms
    named: Who | None = None
    domain: int | None = None
    forms: frozenset[Sort] = frozenset()


class Shape(NamedTuple):
    """Say what a sort is but for the moments themselves: which sort it is with their ranks in place of them.

    Attributes:
        number: of that sort.
        moments: in Unix seconds, by rank, ascending.
    """

    number: int
    moments: tuple[float, ...]


Place = dict[int, list[Who]]
"""Who-keys of one org by the number of their sort; of those of a `sub`, one for all its issuers and providers."""


class Standings:
    """Sort what several policies say of who-keys, org by org."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Take the policies."""
        self._policies: Final = tuple(policies)
        self._by_org: Final = [_by_org(policy) for policy in policies]
        self._named: Final = _named([policy.parts for policy in policies])
        self._subs: Final[dict[str, list[Who]]] = {}
        for who in self._named:
            if who.kind is WhoKind.SUB:
                self._subs.setdefault(sub_of(who), []).append(who)
        self._by_who: Final[dict[int, dict[Who, list[Assignment]]]] = {}
        self._numbers: Final[dict[Sort, int]] = {}
        self._shapes: Final[dict[int, Shape]] = {}
        self._places: Final[dict[str | None, Place]] = {}
        self._bearers: Final[dict[str | None, dict[str | None, list[int]]]] = {}
        self._shapes_in: Final[dict[tuple[str | None, ...], dict[str, set[int]]]] = {}
        self._by_sub: Final[dict[str | None, dict[str, list[Who]]]] = {}
        self._domains: Final[dict[str | None, dict[str, list[Who]]]] = {}
        self._given: Final[dict[str | None, dict[Who, Terms]]] = {}
        self._known: Final[dict[str | None, tuple[bool, ...]]] = {}
        self._nothing: Final[Terms] = (frozenset(),) * len(self._policies)
        self.sorts: Final[list[Sort]] = []

    def known(self, org: str | None) -> tuple[bool, ...]:
        """Tell of each policy whether it can be asked in an org."""
        found = self._known.get(org)
        if found is None:
            found = self._known[org] = tuple(_knows(policy.parts, org) for policy in self._policies)
        return found

    def known_alike(self, org: str | None) -> bool:
        """Tell whether either all policies can be asked in an org, or none."""
        return len({*self.known(org)}) == 1

    def assignments(self, number: int, org: str | None) -> list[Assignment]:
        """Return the assignments of one of the policies that count in an org."""
        by_org = self._by_org[number]
        if not self._policies[number].multi_tenant:
            return by_org.get(None, [])
        everywhere = by_org.get(EVERY_ORG, [])
        return everywhere if org is None else [*by_org.get(org, ()), *everywhere]

    def to(self, number: int, who: Who, org: str | None) -> list[Assignment]:
        """Return the assignments of one of the policies to a who-key that count in an org."""
        places = (org, EVERY_ORG) if self._policies[number].multi_tenant else (None,)
        return [each for each in self._assigned(number).get(who, ()) if each.org in places]

    def _assigned(self, number: int) -> Mapping[Who, list[Assignment]]:
        """Return all assignments of one of the policies by who-key."""
        by_who = self._by_who.get(number)
        if by_who is None:
            by_who = self._by_who[number] = {}
            for each in self._policies[number].parts.assignments:
                by_who.setdefault(each.who, []).append(each)
        return by_who

    def place(self, org: str | None) -> Place:
        """Return the who-keys that are given a role in an org, by sort."""
        found = self._places.get(org)
        if found is None:
            given: dict[Who, list[set[Term]]] = {}
            for number in range(len(self._policies)):
                for each in self.assignments(number, org):
                    terms = given.get(each.who)
                    if terms is None:
                        terms = given[each.who] = [set() for _ in self._policies]
                    terms[number].add(term_of(each))
            self._given[org] = {who: tuple(map(frozenset, terms)) for who, terms in given.items()}
            found = self._places[org] = self.sorted(self._given[org], org)
        return found

    def bearing(self, roles: AbstractSet[str], org: str | None) -> Place:
        """Return the who-keys by sort that are given one of some roles in an org, or that rules and forbids name."""
        place, bearers = self.place(org), self._bearers_in(org)
        bearing = [bearers[role] for role in bearers.keys() & roles]
        return {number: place[number] for number in chain(bearers.get(None, ()), *bearing)}

    def shapes(self, roles: AbstractSet[str], orgs: tuple[str | None, ...]) -> set[int]:
        """Return the numbers of the shapes of all that are given one of some roles in one of some orgs."""
        shapes = self._shapes_in.setdefault(orgs, {})
        for role in roles - shapes.keys():
            bearers = (number for org in orgs for number in self._bearers_in(org).get(role, ()))
            shapes[role] = {self.shape(number).number for number in bearers}
        return set().union(*(shapes[role] for role in roles))

    def _bearers_in(self, org: str | None) -> Mapping[str | None, Sequence[int]]:
        """Return the sorts by role that they are given in an org; by None, those that rules or forbids name."""
        bearers = self._bearers.get(org)
        if bearers is None:
            bearers = self._bearers[org] = {}
            for number in self.place(org):
                for role in self._borne(self.sorts[number]):
                    bearers.setdefault(role, []).append(number)
        return bearers

    def _borne(self, sort: Sort) -> set[str | None]:
        """Return the roles that a sort is given by any policy, and None where rules or forbids name it."""
        forms = (sort, *sort.forms)
        named: set[str | None] = {None} if any(form.named is not None for form in forms) else set()
        return named.union(term.role for form in forms for terms in form.terms for term in terms)

    def shape(self, number: int) -> Shape:
        """Return the shape of a sort: what begins and ends in the same order has the same."""
        found = self._shapes.get(number)
        if found is None:
            sort = self.sorts[number]
            domain = () if sort.domain is None else (self.sorts[sort.domain],)
            terms = (term for each in (sort, *domain, *sort.forms) for given in each.terms for term in given)
            moments = tuple(sorted({moment for term in terms for moment in term[1:]} - {-inf, inf}))
            ranks = {-inf: -inf, inf: inf} | {moment: float(rank) for rank, moment in enumerate(moments)}
            ranked = _ranked(sort, ranks)
            for each in domain:
                ranked = ranked._replace(domain=self._number(_ranked(each, ranks)))
            found = self._shapes[number] = Shape(self._number(ranked), moments)
        return found

    def unassigned(self, named: Iterable[Who], org: str | None) -> Place:
        """Return those of some who-keys that are given nothing in an org, by sort."""
        self.place(org)
        given = self._given[org]
        missing = [who for who in named if who not in given]
        if any(who.kind is WhoKind.SUB for who in missing):
            present = self._with_sub(org)
            missing = [who for who in missing if who.kind is not WhoKind.SUB or sub_of(who) not in present]
        return self.sorted(missing, org) if missing else {}

    def everywhere_alike(self, named: Iterable[Who], roles: AbstractSet[str], org: str | None) -> Place | None:
        """Return some who-keys by sort; None where one of them, or of those that go with it, is ever given some roles.

        Otherwise, as far as these roles go, they are of these sorts in every org and at every moment.
        """
        keys = tuple(named)
        domains = {Who(WhoKind.DOMAIN, email_domain(who.value)) for who in keys if who.kind is WhoKind.EMAIL}
        subs = {sub_of(who) for who in keys if who.kind is WhoKind.SUB}
        for number in range(len(self._policies)):
            assigned = self._assigned(number)
            given = [assigned.get(who, []) for who in (*keys, *domains)]
            if subs:
                given += (its for who, its in assigned.items() if who.kind is WhoKind.SUB and sub_of(who) in subs)
            if any(each.role in roles for its in given for each in its):
                return None
        self.place(org)
        return self.sorted(keys, org)

    def without(self, who: Who, term: Term, org: str | None) -> tuple[Place, Place]:
        """Return all that change when the last policy gives a who-key something no more: before, and after."""
        self.place(org)
        terms = self._given[org][who]
        changed = {who: (*terms[:-1], terms[-1] - {term})}
        keys = [who]
        if who.kind is WhoKind.DOMAIN:
            keys += self._in_domains(org).get(who.value, ())
        return self.sorted(keys, org), self.sorted(keys, org, changed)

    def _in_domains(self, org: str | None) -> dict[str, list[Who]]:
        """Return the e-mails that policies name, by domain."""
        found = self._domains.get(org)
        if found is None:
            found = self._domains[org] = {}
            for who in dict.fromkeys((*self._given[org], *self._named)):
                if who.kind is WhoKind.EMAIL:
                    found.setdefault(email_domain(who.value), []).append(who)
        return found

    def sorted(self, keys: Iterable[Who], org: str | None, changed: dict[Who, Terms] | None = None) -> Place:
        """Return who-keys by sort.

        Args:
            keys: the who-keys.
            org: in which org.
            changed: who-keys that are given something else than there; None for none.
        """
        given: Mapping[Who, Terms] = ChainMap(changed, self._given[org]) if changed else self._given[org]
        found: Place = {}
        subs: set[str] = set()
        for who in keys:
            if who.kind is not WhoKind.SUB:
                found.setdefault(self._sort(who, given), []).append(who)
            elif sub_of(who) not in subs:
                subs.add(sub_of(who))
        if subs:
            for sub in sorted(subs):
                forms = dict.fromkeys((*self._subs.get(sub, ()), *self._with_sub(org).get(sub, ())))
                made = frozenset(self._form(who, given) for who in forms)
                number = self._number(Sort(WhoKind.SUB, None, self._nothing, forms=made))
                found.setdefault(number, []).append(next(iter(forms)))
        return found

    def _with_sub(self, org: str | None) -> dict[str, list[Who]]:
        """Return the who-keys of each `sub` that is given something in an org."""
        found = self._by_sub.get(org)
        if found is None:
            found = self._by_sub[org] = {}
            for who in self._given[org]:
                if who.kind is WhoKind.SUB:
                    found.setdefault(sub_of(who), []).append(who)
        return found

    def _sort(self, who: Who, given: Mapping[Who, Terms]) -> int:
        domain = None
        if who.kind is WhoKind.EMAIL:
            its = Who(WhoKind.DOMAIN, email_domain(who.value))
            if its in given or its in self._named:
                domain = self._sort(its, given)
        terms = given.get(who, self._nothing)
        return self._number(Sort(who.kind, who.claim, terms, self._named.get(who), domain))

    def _form(self, who: Who, given: Mapping[Who, Terms]) -> Sort:
        terms = given.get(who, self._nothing)
        return Sort(WhoKind.SUB, who.value.partition("|")[0], terms, self._named.get(who))

    def _number(self, sort: Sort) -> int:
        number = self._numbers.get(sort)
        if number is None:
            number = self._numbers[sort] = len(self.sorts)
            self.sorts.append(sort)
        return number


def term_of(assignment: Assignment) -> Term:
    """Return which role an assignment gives, and when."""
    since = -inf if assignment.since is None else assignment.since
    return Term(assignment.role, since, inf if assignment.until is None else assignment.until)


def _ranked(sort: Sort, ranks: Mapping[float, float]) -> Sort:
    terms = tuple(
        frozenset(Term(role, ranks[since], ranks[until]) for role, since, until in each) for each in sort.terms
    )
    return sort._replace(terms=terms, forms=frozenset(_ranked(form, ranks) for form in sort.forms))


def sub_of(who: Who) -> str:
    """Return a `sub` without its issuer or provider."""
    return who.value.partition("|")[2]


def _knows(parts: PolicyParts, org: str | None) -> bool:
    return org is None or parts.orgs_from_identity or (parts.orgs is not None and org in parts.orgs)


def _by_org(policy: Policy) -> dict[str | None, list[Assignment]]:
    found: dict[str | None, list[Assignment]] = {}
    for assignment in policy.parts.assignments:
        found.setdefault(assignment.org, []).append(assignment)
    return found


def _named(policies: Iterable[PolicyParts]) -> dict[Who, Who]:
    """Return the who-keys that rules and forbids name, with the first that all of them name in the same places."""
    naming: dict[Who, dict[Hashable, None]] = {}
    for number, parts in enumerate(policies):
        for forbid in parts.forbids:
            if forbid.who.kind not in {WhoKind.EVERYONE, WhoKind.ROLE}:
                naming.setdefault(forbid.who, {})[number, forbid.org, forbid.permissions, forbid.pages] = None
        for rule in {inside: None for each in _rules(parts) for inside in rules_in(each)}:
            for who in keys_of(rule):
                naming.setdefault(who, {})[rule] = None
    first: dict[Hashable, Who] = {}
    return {who: first.setdefault((who.kind, who.claim, frozenset(where)), who) for who, where in naming.items()}


def _rules(parts: PolicyParts) -> Iterator[Rule]:
    yield from (page.rule for page in parts.pages.values())
    yield from parts.sections.values()
