"""Can anybody ever satisfy a rule? For the warning about pages that nobody can open."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, assert_never

from stguard.model import (
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    GroupIs,
    Not,
    OrgIs,
    PermissionIs,
    Public,
    RoleIs,
    SignedIn,
)
from stguard.naming import email_domain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stguard.model import Rule

_FACT_LIMIT: Final = 10
"""Facts that are tried in every combination; a rule with more is taken to be satisfiable."""

_TRY_LIMIT: Final = 20_000
"""Combinations that are tried in one policy; rules that come after that are taken to be satisfiable."""

Fact = tuple[str, str]


class Reach:
    """Tell whether somebody could satisfy a rule, by trying all combinations of the facts in it.

    Trying true and false is enough: in Kleene's logic a rule that holds with a fact unknown holds with it known, too.
    """

    def __init__(
        self, *, unheld: frozenset[str], inherits: Callable[[str, str], bool], separated: list[frozenset[str]]
    ) -> None:
        """Take what limits combinations.

        Args:
            unheld: permissions that nobody can hold.
            inherits: whether the first role inherits the second.
            separated: sets of roles of which nobody holds two.
        """
        self._unheld = unheld
        self._inherits = inherits
        self._separated = separated
        self._tries = 0

    def possible(self, rule: Rule) -> bool:
        """Tell whether the rule can be true."""
        match rule:
            case Public() | SignedIn() | RoleIs() | GroupIs() | EmailIs() | DomainIs() | OrgIs() | ClaimIs():
                return True
            case PermissionIs():
                return not self._unheld.issuperset(rule.names)
            case AnyOf():
                return any(self.possible(each) for each in rule.rules)
            case AllOf() | Not():
                return _for_visitor(rule) is True or self._try(rule)
            case _:
                assert_never(rule)

    def _try(self, rule: Rule) -> bool:
        facts = list(dict.fromkeys(_facts(rule)))
        if len(facts) > _FACT_LIMIT:
            return True
        for values in product((True, False), repeat=len(facts)):
            self._tries += 1
            if self._tries > _TRY_LIMIT:
                return True
            held = {fact for fact, value in zip(facts, values, strict=True) if value}
            if self._consistent(held, facts=facts) and _holds(rule, held=held):
                return True
        return False

    def _consistent(self, held: set[Fact], *, facts: list[Fact]) -> bool:
        """Tell whether one person can have exactly these of the facts."""
        emails = [name for kind, name in held if kind == "email"]
        domains = {name for kind, name in held if kind == "domain"}
        roles = {name for kind, name in held if kind == "role"}
        if len(emails) > 1 or len(domains) > 1 or sum(kind == "org" for kind, _ in held) > 1:
            return False
        if any(("permission", name) in held for name in self._unheld):
            return False
        if emails and domains and domains != {email_domain(emails[0])}:
            return False
        if emails and ("domain", email_domain(emails[0])) in facts and not domains:
            return False
        if any(len(roles & each) > 1 for each in self._separated):
            return False
        missing = {name for kind, name in facts if kind == "role"} - roles
        return not any(self._inherits(role, name) for role in roles for name in missing)


def _facts(rule: Rule) -> Iterator[Fact]:
    match rule:
        case Public() | SignedIn():
            return
        case AnyOf() | AllOf():
            for each in rule.rules:
                yield from _facts(each)
        case Not():
            yield from _facts(rule.rule)
        case ClaimIs():
            yield from ((f"claim {rule.claim}", value) for value in rule.values)
        case _:
            yield from ((_KINDS[type(rule)], name) for name in rule.names)


_KINDS: Final[dict[type, str]] = {
    RoleIs: "role",
    PermissionIs: "permission",
    GroupIs: "group",
    EmailIs: "email",
    DomainIs: "domain",
    OrgIs: "org",
}


def _for_visitor(rule: Rule) -> bool | None:
    """Return the rule's value for somebody who isn't signed in; None for unknown."""
    match rule:
        case Public():
            return True
        case SignedIn():
            return False
        case Not():
            inside = _for_visitor(rule.rule)
            return None if inside is None else not inside
        case AnyOf() | AllOf():
            decisive = isinstance(rule, AnyOf)
            values = {_for_visitor(each) for each in rule.rules}
            return decisive if decisive in values else None if None in values else not decisive
        case _:
            return None


def _holds(rule: Rule, *, held: set[Fact]) -> bool:
    """Return the rule's value for somebody who is signed in and has exactly these facts."""
    match rule:
        case Public() | SignedIn():
            return True
        case AnyOf():
            return any(_holds(each, held=held) for each in rule.rules)
        case AllOf():
            return all(_holds(each, held=held) for each in rule.rules)
        case Not():
            return not _holds(rule.rule, held=held)
        case _:
            return any(fact in held for fact in _facts(rule))
