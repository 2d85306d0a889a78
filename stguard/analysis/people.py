"""Everybody who might ask one question in one org at one moment, as yes-or-no variables.

Who is treated alike is one variable: two e-mails that are given the same roles, and that no rule names, can't be told
apart. What nobody names ("anyone else") is where all variables are false: signed in,
everything about them known, nothing of it in the policy. The facts are those of `Subject`; each may be unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.analysis.diagram import ALWAYS, NEVER, Diagrams, Function
from stguard.analysis.question import rules_in
from stguard.claims import ISSUER_FORM
from stguard.model import ClaimIs, DomainIs, EmailIs, GroupIs, Rule, Who, WhoKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stguard.analysis.question import Effect

UNKNOWN_EMAIL: Final = "e-mail unknown"
UNKNOWN_GROUPS: Final = "groups unknown"
UNKNOWN_ROLES: Final = "roles unknown"
UNKNOWN_ORGS: Final = "orgs unknown"
UNKNOWN_ORG_ROLES: Final = "roles in the org unknown"
UNKNOWN_ORG_PERMISSIONS: Final = "permissions in the org unknown"
UNKNOWN_SUB: Final = "sub unknown"
MEMBER: Final = "member"


class Given(NamedTuple):
    """Say that one of the policies gives somebody a role that counts here now, and what that changes."""

    number: int
    effect: Effect


class Denied(NamedTuple):
    """Say that a forbid of one of the policies names somebody: by which kind of who-key, what it closes and where.

    Attributes:
        number: which policy.
        org: only there; None everywhere.
        name: the permission that it closes; None for the page itself.
        kind: the kind of who-key.
        claim: the claim, of a who-key of that kind.
    """

    number: int
    org: str | None
    name: str | None
    kind: WhoKind
    claim: str | None


Mark = Given | Denied | Rule
"""One thing that policies do with a who-key; a rule stands for a condition that names it."""

Marks = frozenset[Mark]
"""All that they do with it; equal marks, treated alike."""


class Alike(NamedTuple):
    """Stand for all who-keys with which policies do the same in one question, in one org, at one moment.

    Attributes:
        kind: their kind.
        claim: the claim that they ask for, if they do.
        marks: what is done with them; empty for a `sub`.
        domain: of an e-mail, what is done with its domain; empty where nothing is.
        prefixes: of a `sub`, what is done with it by the issuer or provider that it stands with.
    """

    kind: WhoKind
    claim: str | None = None
    marks: Marks = frozenset()
    domain: Marks = frozenset()
    prefixes: frozenset[tuple[str, Marks]] = frozenset()

    def order(self) -> tuple[str, ...]:
        """Return what sorts them in the same way in every process."""
        prefixes = sorted((prefix, _ordered(marks)) for prefix, marks in self.prefixes)
        return self.kind.value, self.claim or "", _ordered(self.domain), _ordered(self.marks), repr(prefixes)

    def doubts(self) -> frozenset[tuple[str, Mark]]:
        """Return what might be done with whoever isn't known to be one of these, each with the words for that."""
        return frozenset(
            (self.doubt(prefix), mark) for prefix, marks in (("", self.marks), *self.prefixes) for mark in marks
        )

    def doubt(self, prefix: str) -> str:
        """Return the words for not knowing whether somebody is one of these, of a `sub` by an issuer or provider."""
        match self.kind:
            case WhoKind.EMAIL | WhoKind.DOMAIN:
                return UNKNOWN_EMAIL
            case WhoKind.GROUP:
                return UNKNOWN_GROUPS
            case WhoKind.CLAIM:
                return unknown_claim(self.claim or "")
            case WhoKind.SUB:
                return unknown_sub(prefix)
            case _:
                return ""


def _ordered(marks: Marks) -> str:
    return repr(sorted(map(repr, marks)))


class Truth(NamedTuple):
    """Say when a condition is true, and when it might be: true or unknown."""

    true: Function
    maybe: Function


class Sent(NamedTuple):
    """Stand for all that an identity source may send of which policies make the same.

    Attributes:
        kind: `role` or `permission`.
        here: whether it is sent for the org that is asked for; otherwise without an org.
        means: by policy, what holding the role changes, or which permission it is; None: nothing.
    """

    kind: str
    here: bool
    means: tuple[Effect | str | None, ...]


class Fact(NamedTuple):
    """Name one thing that can be so about somebody, as the policy would name it.

    Attributes:
        names: in words, of what isn't known; empty otherwise.
        holds: when it is so.
        values: the variables' values, by rank, when it is so and nothing else is.
        weaker: the same with less of it; None: nothing.
        alike: the who-keys that it is about; None for none.
        prefix: of a `sub`, the issuer or provider that it stands with.
        sent: what an identity source sends that it is about; None for nothing.
        unknown: what isn't known, when the fact is that; None otherwise.
    """

    names: tuple[str, ...]
    holds: Function
    values: Mapping[int, bool]
    weaker: Mapping[int, bool] | None = None
    alike: Alike | None = None
    prefix: str | None = None
    sent: Sent | None = None
    unknown: str | None = None

    @property
    def marks(self) -> Marks:
        """Return what policies do with the who-keys that it is about."""
        if self.alike is None:
            return frozenset()
        return self.alike.marks if self.prefix is None else dict(self.alike.prefixes)[self.prefix]

    @property
    def doubt(self) -> str:
        """Return the words for not knowing it; empty where it isn't about who-keys."""
        return "" if self.alike is None else self.alike.doubt(self.prefix or "")


class Choice:
    """Be one of several things that exclude each other, or none of them, in as few variables as that takes."""

    def __init__(self, diagrams: Diagrams, count: int) -> None:
        """Make the variables for `count` things besides none of them."""
        self._diagrams: Final = diagrams
        self._bits: Final = [diagrams.variable() for _ in range(count.bit_length())]
        self._count: Final = count

    def values(self, number: int) -> dict[int, bool]:
        """Return the variables' values for thing `number`, counted from 1; 0 is none of them."""
        rank = self._diagrams.rank
        return {rank(bit): bool(number >> place & 1) for place, bit in enumerate(self._bits)}

    def one_of(self, numbers: Iterable[int]) -> Function:
        """Return the function that holds for these things, counted from 1."""
        return self._among(frozenset(numbers), 0, 0)

    def fits(self) -> Function:
        """Return the function that holds where the variables stand for something."""
        return self.one_of(range(self._count + 1))

    def _among(self, numbers: frozenset[int], place: int, prefix: int) -> Function:
        if not numbers:
            return NEVER
        if place == len(self._bits):
            return ALWAYS
        low = frozenset(number for number in numbers if not number >> place & 1)
        high = numbers - low
        return self._diagrams.either(
            self._bits[place],
            self._among(high, place + 1, prefix | 1 << place),
            self._among(low, place + 1, prefix),
        )


class People:
    """Hold the variables that tell apart whoever several policies treat differently."""

    def __init__(self, diagrams: Diagrams, named: Iterable[Alike], sent: Iterable[Sent], *, org: bool) -> None:
        """Make a variable for each kind of people.

        Args:
            diagrams: where the variables are made.
            named: the who-keys that one of the policies names.
            sent: what an identity source may send.
            org: whether an org is asked for.
        """
        self.diagrams: Final = diagrams
        self.facts: Final[list[Fact]] = []
        self.possible: Function = ALWAYS
        self._true: Final[dict[Mark, list[Function]]] = {}
        self._doubt: Final[dict[Mark, list[Function]]] = {}
        self._unknown: Final[dict[str, Function]] = {}
        by_kind: dict[WhoKind, list[Alike]] = {}
        for alike in sorted(named, key=Alike.order):
            by_kind.setdefault(alike.kind, []).append(alike)
        for alike in by_kind.get(WhoKind.EVERYONE, ()):
            self._mark(alike.marks, ALWAYS, NEVER)
        self._make_email(by_kind.get(WhoKind.DOMAIN, []), by_kind.get(WhoKind.EMAIL, []))
        self._make_sub(by_kind.get(WhoKind.SUB, []))
        self._make_groups(by_kind.get(WhoKind.GROUP, []))
        self._make_claims(by_kind.get(WhoKind.CLAIM, []))
        self.sent: Final[dict[Sent, Function]] = {}
        ordered = sorted(sent, key=repr)
        for each in (each for each in ordered if not each.here):
            self._make_sent(each, {})
        if self.sent:
            self._flag(UNKNOWN_ROLES)
        self.member = NEVER
        if org:
            self._make_membership([each for each in ordered if each.here])

    def truth(self, mark: Mark) -> Truth:
        """Return when somebody is treated so."""
        true = self.diagrams.any(self._true.get(mark, ()))
        return Truth(true, self.diagrams.any((true, *self._doubt.get(mark, ()))))

    def flag(self, name: str) -> Function:
        """Return when something isn't known: one of the constants above."""
        return self._unknown.get(name, NEVER)

    # --- the variables

    def _mark(self, marks: Marks, true: Function, unknown: Function) -> None:
        for mark in marks:
            self._true.setdefault(mark, []).append(true)
            self._doubt.setdefault(mark, []).append(unknown)

    def _make_email(self, domains: list[Alike], emails: list[Alike]) -> None:
        alike = [*domains, *emails]
        if not alike:
            return
        choice = Choice(self.diagrams, len(alike) + 1)
        codes = {each: number for number, each in enumerate(alike, 1)}
        unknown = choice.one_of([len(alike) + 1])
        for each, code in codes.items():
            domain = each.kind is WhoKind.DOMAIN
            # By the domain's kind: an e-mail of another domain of the same kind is treated as one of this.
            among = [code, *(codes[email] for email in emails if domain and email.domain == each.marks)]
            true = choice.one_of(among)
            self._mark(each.marks, true, unknown)
            weaker = choice.values(codes[Alike(WhoKind.DOMAIN, marks=each.domain)]) if each.domain else None
            self.facts.append(Fact((), true, choice.values(code), weaker=weaker, alike=each))
        self._choose_unknown(UNKNOWN_EMAIL, choice, len(alike) + 1)

    def _choose_unknown(self, name: str, choice: Choice, number: int) -> None:
        """Let the last thing of a choice be that it isn't known."""
        self._unknown[name] = choice.one_of([number])
        self.facts.append(Fact((name,), self._unknown[name], choice.values(number), unknown=name))
        self.possible = self.diagrams.both(self.possible, choice.fits())

    def _make_sub(self, subs: list[Alike]) -> None:
        if not subs:
            return
        which = Choice(self.diagrams, len(subs))
        self.possible = self.diagrams.both(self.possible, which.fits())
        names = sorted({prefix for each in subs for prefix, _ in each.prefixes})
        prefixes: dict[str, Function] = {}
        values: dict[str, dict[int, bool]] = {}
        for word in sorted({unknown_sub(name) for name in names}):
            form = [name for name in names if unknown_sub(name) == word]
            choice = Choice(self.diagrams, len(form) + 1)
            prefixes |= {name: choice.one_of([number]) for number, name in enumerate(form, 1)}
            values |= {name: choice.values(number) for number, name in enumerate(form, 1)}
            self._choose_unknown(word, choice, len(form) + 1)
        for number, each in enumerate(subs, 1):
            here = which.one_of([number])
            for prefix, marks in sorted(each.prefixes, key=lambda part: part[0]):
                true = self.diagrams.both(here, prefixes[prefix])
                self._mark(marks, true, self._unknown[unknown_sub(prefix)])
                both = {**which.values(number), **values[prefix]}
                self.facts.append(Fact((), true, both, alike=each, prefix=prefix))

    def _make_groups(self, groups: list[Alike]) -> None:
        if groups:
            self._make_each(groups, self._flag(UNKNOWN_GROUPS))

    def _make_claims(self, claims: list[Alike]) -> None:
        for claim in sorted({each.claim or "" for each in claims}):
            unknown = self._flag(unknown_claim(claim))
            for variable in self._make_each([each for each in claims if each.claim == claim], unknown):
                # A claim that can't be read says nothing at all.
                self.possible = self.diagrams.without(self.possible, self.diagrams.both(unknown, variable))

    def _make_each(self, alike: list[Alike], unknown: Function) -> list[Function]:
        found = []
        for each in alike:
            variable = self.diagrams.variable()
            self.facts.append(Fact((), variable, {self.diagrams.rank(variable): True}, alike=each))
            self._mark(each.marks, variable, unknown)
            found.append(variable)
        return found

    def _make_membership(self, sent: list[Sent]) -> None:
        self.member = self._flag(MEMBER, shown=False)
        needs = {self.diagrams.rank(self.member): True}
        made = [self._make_sent(each, needs) for each in sent]
        self._flag(UNKNOWN_ORGS)
        made += [self._flag(name, needs=needs) for name in (UNKNOWN_ORG_ROLES, UNKNOWN_ORG_PERMISSIONS)]
        apart = self.diagrams.without(self.diagrams.any(made), self.member)
        self.possible = self.diagrams.without(self.possible, apart)

    def _make_sent(self, sent: Sent, needs: Mapping[int, bool]) -> Function:
        variable = self.sent[sent] = self.diagrams.variable()
        self.facts.append(Fact((), variable, {**needs, self.diagrams.rank(variable): True}, sent=sent))
        return variable

    def _flag(self, name: str, *, shown: bool = True, needs: Mapping[int, bool] | None = None) -> Function:
        variable = self.diagrams.variable()
        self._unknown[name] = variable
        values = {**(needs or {}), self.diagrams.rank(variable): True}
        self.facts.append(Fact((name,), variable, values, unknown=name if shown else None))
        return variable


def keys_of(rule: Rule) -> tuple[Who, ...]:
    """Return the facts that a condition asks for, as who-keys; roles, permissions and orgs are none of them."""
    match rule:
        case EmailIs(names):
            return tuple(Who(WhoKind.EMAIL, name) for name in names)
        case DomainIs(names):
            return tuple(Who(WhoKind.DOMAIN, name) for name in names)
        case GroupIs(names):
            return tuple(Who(WhoKind.GROUP, name) for name in names)
        case ClaimIs(claim, values):
            return tuple(Who(WhoKind.CLAIM, value, claim) for value in values)
        case _:
            return ()


def rule_keys(rule: Rule | None) -> Iterator[Who]:
    """Yield the facts that a rule and all inside it ask for."""
    for each in rules_in(rule):
        yield from keys_of(each)


def unknown_claim(claim: str) -> str:
    """Return the words for not knowing a claim."""
    return f"claim {claim} unknown"


def unknown_sub(prefix: str) -> str:
    """Return the words for not knowing who somebody is by issuer, or by provider, as a prefix of a `sub` names them."""
    return f"{UNKNOWN_SUB} by {'issuer' if ISSUER_FORM.search(prefix) else 'provider'}"
