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
from stguard.model import ClaimIs, DomainIs, EmailIs, GroupIs, Who, WhoKind
from stguard.naming import email_domain

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from stguard.analysis.question import Effect
    from stguard.model import Rule

UNKNOWN_EMAIL: Final = "e-mail unknown"
UNKNOWN_GROUPS: Final = "groups unknown"
UNKNOWN_ROLES: Final = "roles unknown"
UNKNOWN_ORGS: Final = "orgs unknown"
UNKNOWN_ORG_ROLES: Final = "roles in the org unknown"
UNKNOWN_ORG_PERMISSIONS: Final = "permissions in the org unknown"
UNKNOWN_SUB: Final = "sub unknown"
MEMBER: Final = "member"


Marks = frozenset[object]
"""What policies do with a who-key; equal marks, treated alike."""


class Truth(NamedTuple):
    """Say when a condition is true, and when it might be: true or unknown."""

    true: Function
    maybe: Function


class Fact(NamedTuple):
    """Name one thing that can be so about somebody, as the policy would name it.

    Attributes:
        names: the who-keys of all that are treated alike: `email:ann@acme.com`.
        holds: when it is so.
        values: the variables' values, by rank, when it is so and nothing else is.
        weaker: the same with less of it; None: nothing.
        keys: the who-keys behind the names.
        unknown: what isn't known, when the fact is that; None otherwise.
    """

    names: tuple[str, ...]
    holds: Function
    values: Mapping[int, bool]
    weaker: Mapping[int, bool] | None = None
    keys: tuple[Who, ...] = ()
    unknown: str | None = None


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


class Row(NamedTuple):
    """Give somebody a role that counts here now, as one policy does: whom, and what that changes."""

    who: Who
    effect: Effect


class Said(NamedTuple):
    """Hold what one policy names in one question, in one org, at one moment.

    Attributes:
        rows: assignments in force.
        denied: who-keys of the forbids, with what they close and where.
        rule: the rule.
        roles: by role name as the identity provider sends it, what holding it changes.
        everywhere: the names in `roles` that count without an org.
        permissions: by name as the identity provider sends it, the permission of the question.
    """

    rows: Sequence[Row]
    denied: Sequence[tuple[Who, Hashable]]
    rule: Rule | None
    roles: Mapping[str, Effect]
    everywhere: frozenset[str]
    permissions: Mapping[str, str]


class People:
    """Hold the variables that tell apart whoever several policies treat differently."""

    def __init__(self, diagrams: Diagrams, said: Sequence[Said], *, org: str | None) -> None:
        """Find out who is treated alike, and make a variable for each kind.

        Args:
            diagrams: where the variables are made.
            said: what each policy names.
            org: the org that is asked for; None for none.
        """
        self.diagrams: Final = diagrams
        self.facts: Final[list[Fact]] = []
        self.possible: Function = ALWAYS
        self._marks: Final[dict[Who, set[Hashable]]] = {}
        self._true: Final[dict[Who, Function]] = {}
        self._unknown: Final[dict[str, Function]] = {}
        for number, each in enumerate(said):
            self._mark(number, each)
        self._make_email()
        self._make_sub()
        self._make_groups()
        self._make_claims()
        self._make_roles(said)
        self.member = self._flag(MEMBER, shown=False) if org is not None else NEVER
        self._make_membership(said, org=org)

    def truth(self, who: Who) -> Truth:
        """Return when a who-key names somebody; for every kind but `role`."""
        if who.kind is WhoKind.EVERYONE:
            return Truth(ALWAYS, ALWAYS)
        true = self._true.get(who, NEVER)
        return Truth(true, self.diagrams.any((true, self.unknown(who))))

    def unknown(self, who: Who) -> Function:
        """Return when the fact that a who-key needs is unknown."""
        return self._unknown.get(unknown_fact(who), NEVER)

    def flag(self, name: str) -> Function:
        """Return when something isn't known: one of the constants above."""
        return self._unknown.get(name, NEVER)

    def role(self, name: str) -> Function:
        """Return when the identity provider sends this role without an org."""
        return self._roles.get(name, NEVER)

    def org_role(self, name: str) -> Function:
        """Return when it sends this role for the org that is asked for."""
        return self._org_roles.get(name, NEVER)

    def org_permission(self, name: str) -> Function:
        """Return when it sends this permission for the org that is asked for."""
        return self._org_permissions.get(name, NEVER)

    # --- who is treated alike

    def _mark(self, number: int, said: Said) -> None:
        for row in said.rows:
            self._note(row.who, ("given", number, row.effect))
        for who, what in said.denied:
            self._note(who, ("denied", number, what))
        for who in rule_keys(said.rule):
            self._note(who, ("ruled", who))

    def _note(self, who: Who, mark: Hashable) -> None:
        if who.kind not in {WhoKind.EVERYONE, WhoKind.ROLE}:
            self._marks.setdefault(who, set()).add(mark)

    def _kind(self, kind: WhoKind) -> list[Who]:
        return sorted((who for who in self._marks if who.kind is kind), key=str)

    def _alike(self, keys: Iterable[Who]) -> dict[Hashable, list[Who]]:
        found: dict[Hashable, list[Who]] = {}
        for who in keys:
            found.setdefault(frozenset(self._marks[who]), []).append(who)
        return found

    # --- the variables

    def _make_email(self) -> None:
        emails, domains = self._kind(WhoKind.EMAIL), self._kind(WhoKind.DOMAIN)
        if not emails and not domains:
            return
        of_domain = {who.value: frozenset(self._marks[who]) for who in domains}
        kind: dict[Who, tuple[Marks | None, Marks | None]] = {who: (None, of_domain[who.value]) for who in domains}
        kind |= {who: (frozenset(self._marks[who]), of_domain.get(email_domain(who.value))) for who in emails}
        options: dict[tuple[Marks | None, Marks | None], list[Who]] = {}
        for who in (*domains, *emails):
            options.setdefault(kind[who], []).append(who)
        choice = Choice(self.diagrams, len(options) + 1)
        codes = {option: number for number, option in enumerate(options, 1)}
        for who in emails:
            self._true[who] = choice.one_of([codes[kind[who]]])
        for who in domains:
            # By the domain's kind: an e-mail of another domain of the same kind is treated as one of this.
            self._true[who] = choice.one_of(codes[each] for each in options if each[1] == of_domain[who.value])
        for (mark, domain), alike in options.items():
            weaker = choice.values(codes[None, domain]) if mark is not None and domain is not None else None
            self.facts.append(
                Fact(
                    names=tuple(str(who) for who in alike),
                    holds=self._true[alike[0]],
                    values=choice.values(codes[mark, domain]),
                    weaker=weaker,
                    keys=tuple(alike),
                )
            )
        self._choose_unknown(UNKNOWN_EMAIL, choice, len(options) + 1)

    def _choose_unknown(self, name: str, choice: Choice, number: int) -> None:
        """Let the last thing of a choice be that it isn't known."""
        self._unknown[name] = choice.one_of([number])
        self.facts.append(Fact((name,), self._unknown[name], choice.values(number), unknown=name))
        self.possible = self.diagrams.both(self.possible, choice.fits())

    def _make_sub(self) -> None:
        keys = self._kind(WhoKind.SUB)
        if not keys:
            return
        by_sub: dict[str, list[Who]] = {}
        for who in keys:
            by_sub.setdefault(who.value.partition("|")[2], []).append(who)
        options: dict[Hashable, list[str]] = {}
        for sub, whos in by_sub.items():
            options.setdefault(frozenset((_prefix(who), frozenset(self._marks[who])) for who in whos), []).append(sub)
        subs = Choice(self.diagrams, len(options))
        prefixes: dict[str, Function] = {}
        values: dict[str, dict[int, bool]] = {}
        for issuer in (True, False):
            form = [name for name in dict.fromkeys(map(_prefix, keys)) if (_form(name) == _form("https://")) is issuer]
            if form:
                choice = Choice(self.diagrams, len(form) + 1)
                prefixes |= {name: choice.one_of([number]) for number, name in enumerate(form, 1)}
                values |= {name: choice.values(number) for number, name in enumerate(form, 1)}
                self._choose_unknown(f"{UNKNOWN_SUB}{_form(form[0])}", choice, len(form) + 1)
        self.possible = self.diagrams.both(self.possible, subs.fits())
        for number, alike in enumerate(options.values(), 1):
            here = subs.one_of([number])
            for who in by_sub[alike[0]]:
                true = self.diagrams.both(here, prefixes[_prefix(who)])
                same = [Who(WhoKind.SUB, f"{_prefix(who)}|{sub}") for sub in alike]
                self._true.update(dict.fromkeys(same, true))
                self.facts.append(
                    Fact(
                        names=tuple(str(each) for each in same),
                        holds=true,
                        values={**subs.values(number), **values[_prefix(who)]},
                        keys=tuple(same),
                    )
                )

    def _make_groups(self) -> None:
        alike = self._alike(self._kind(WhoKind.GROUP))
        for keys in alike.values():
            variable = self._variable([str(who) for who in keys], keys=keys)
            self._true.update(dict.fromkeys(keys, variable))
        if alike:
            self._flag(UNKNOWN_GROUPS)

    def _make_claims(self) -> None:
        by_claim: dict[str, list[Who]] = {}
        for who in self._kind(WhoKind.CLAIM):
            by_claim.setdefault(who.claim or "", []).append(who)
        for keys in by_claim.values():
            unknown = self._flag(unknown_fact(keys[0]))
            for same in self._alike(keys).values():
                variable = self._variable([str(who) for who in same], keys=same)
                self._true.update(dict.fromkeys(same, variable))
                # A claim that can't be read says nothing at all.
                self.possible = self.diagrams.without(self.possible, self.diagrams.both(unknown, variable))

    def _make_roles(self, said: Sequence[Said]) -> None:
        names = sorted({name for each in said for name in each.roles})
        marks = {
            name: tuple(each.roles.get(name) if name in each.everywhere else None for each in said) for name in names
        }
        self._roles = self._named(marks, "role")
        if self._roles:
            self._flag(UNKNOWN_ROLES)

    def _make_membership(self, said: Sequence[Said], *, org: str | None) -> None:
        self._org_roles: dict[str, Function] = {}
        self._org_permissions: dict[str, Function] = {}
        if org is None:
            return
        needs = {self.diagrams.rank(self.member): True}
        names = sorted({name for each in said for name in each.roles})
        self._org_roles |= self._named(
            {name: tuple(each.roles.get(name) for each in said) for name in names}, "role", needs
        )
        names = sorted({name for each in said for name in each.permissions})
        marks = {name: tuple(each.permissions.get(name) for each in said) for name in names}
        self._org_permissions |= self._named(marks, "permission", needs)
        self._flag(UNKNOWN_ORGS)
        unknown = [self._flag(name, needs=needs) for name in (UNKNOWN_ORG_ROLES, UNKNOWN_ORG_PERMISSIONS)]
        for function in {*self._org_roles.values(), *self._org_permissions.values(), *unknown}:
            self.possible = self.diagrams.without(self.possible, self.diagrams.without(function, self.member))

    def _named(
        self, marks: Mapping[str, tuple[object, ...]], kind: str, needs: Mapping[int, bool] | None = None
    ) -> dict[str, Function]:
        """Return a variable for each name that changes anything; those with the same marks share one."""
        alike: dict[tuple[object, ...], list[str]] = {}
        for name, mark in marks.items():
            if any(each is not None for each in mark):
                alike.setdefault(mark, []).append(name)
        found: dict[str, Function] = {}
        for names in alike.values():
            found |= dict.fromkeys(names, self._variable([f"{kind}:{name}" for name in names], needs=needs))
        return found

    def _variable(
        self, names: Sequence[str], *, keys: Sequence[Who] = (), needs: Mapping[int, bool] | None = None
    ) -> Function:
        variable = self.diagrams.variable()
        values = {**(needs or {}), self.diagrams.rank(variable): True}
        self.facts.append(Fact(tuple(names), variable, values, keys=tuple(keys)))
        return variable

    def _flag(self, name: str, *, shown: bool = True, needs: Mapping[int, bool] | None = None) -> Function:
        variable = self.diagrams.variable()
        self._unknown[name] = variable
        values = {**(needs or {}), self.diagrams.rank(variable): True}
        self.facts.append(Fact((name,), variable, values, unknown=name if shown else None))
        return variable


def rule_keys(rule: Rule | None) -> Iterator[Who]:
    """Yield the facts that a rule asks for, as who-keys; roles, permissions and orgs are none of them."""
    for each in rules_in(rule):
        match each:
            case EmailIs(names):
                yield from (Who(WhoKind.EMAIL, name) for name in names)
            case DomainIs(names):
                yield from (Who(WhoKind.DOMAIN, name) for name in names)
            case GroupIs(names):
                yield from (Who(WhoKind.GROUP, name) for name in names)
            case ClaimIs(claim, values):
                yield from (Who(WhoKind.CLAIM, value, claim) for value in values)


def unknown_fact(who: Who) -> str:
    """Return the words for not knowing what a who-key needs; empty where that is always known."""
    match who.kind:
        case WhoKind.EMAIL | WhoKind.DOMAIN:
            return UNKNOWN_EMAIL
        case WhoKind.GROUP:
            return UNKNOWN_GROUPS
        case WhoKind.CLAIM:
            return f"claim {who.claim} unknown"
        case WhoKind.SUB:
            return f"{UNKNOWN_SUB}{_form(_prefix(who))}"
        case _:
            return ""


def _prefix(who: Who) -> str:
    return who.value.partition("|")[0]


def _form(prefix: str) -> str:
    return " by issuer" if ISSUER_FORM.search(prefix) else " by provider"
