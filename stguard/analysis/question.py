"""What one policy has to say about one action, and nothing else of it.

Two questions that are equal have equal answers for everybody who is given the same roles, so that most of a policy need
not be looked at again. A permission's own name doesn't count: it stands as `THIS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stguard import engine
from stguard.model import (
    BUILT_IN_PERMISSIONS,
    PAGE_ACTION,
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
    Rule,
    Who,
    WhoKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stguard.policy import Policy

SECTION_ACTION: Final = "section:"
"""What an action that asks for a menu section begins with; its rule holds for each page in it, besides the page's."""

UNLISTED: Final = f"{PAGE_ACTION}*"
"""The action that stands for every page the policy doesn't list."""

THIS: Final = "*"
"""Stands for the permission that is asked for, so that two of them can be one question; no permission is named so."""


class Effect(NamedTuple):
    """Say what holding one role changes for one question.

    Attributes:
        held: of the roles that the question names in one breath, as a rule's `role: [a, b]` does, those lists of which
            one then is held; sorted.
        grants: permissions that it grants and that the question names; sorted.
    """

    held: tuple[tuple[str, ...], ...]
    grants: tuple[str, ...]


NO_EFFECT: Final = Effect((), ())

Denial = tuple[Who, str | None]
"""A forbid: whom, and in which org only; None everywhere."""


class Question(NamedTuple):
    """Hold all of a policy that one action depends on, but for who holds which role.

    Attributes:
        rule: what must hold; None: nothing can, there is no such page.
        denials: the forbids that name the page.
        permission_denials: by permission that the rule names, the forbids that name it.
        effects: by role, what holding it changes; roles that change nothing are left out.
        separations: roles that nobody may hold together, where that can matter.
        multi_tenant: whether there are orgs.
        cross_org: the roles that may hold in every org.
        grantable: the permissions of the rule that an identity source may grant.
        needs_membership: whether being a member can matter by itself, not only through a role.
    """

    rule: Rule | None
    denials: frozenset[Denial]
    permission_denials: frozenset[tuple[str, frozenset[Denial]]]
    effects: frozenset[tuple[str, Effect]]
    separations: frozenset[frozenset[str]]
    multi_tenant: bool
    cross_org: frozenset[str]
    grantable: frozenset[str]
    needs_membership: bool


class Form(NamedTuple):
    """Hold what of a question is left without the names of its permissions, and of the roles that change anything.

    Questions of one form have one answer, for whoever is treated alike.

    Attributes:
        rule: as in the question.
        denials: as in the question.
        permission_denials: as in the question.
        effects: what holding some role changes, and whether one of the roles counts without an org.
        separations: as in the question.
        multi_tenant: as in the question.
    """

    rule: Rule | None
    denials: frozenset[Denial]
    permission_denials: frozenset[tuple[str, frozenset[Denial]]]
    effects: frozenset[tuple[Effect, bool]]
    separations: frozenset[frozenset[str]]
    multi_tenant: bool


def denials_in(asked: Question) -> frozenset[Denial]:
    """Return whom forbids name in a question, and where."""
    return asked.denials.union(*(denials for _, denials in asked.permission_denials))


def form_of(asked: Question) -> tuple[Form, dict[str, str]]:
    """Return the form of a question, and the numbers that stand there for its permissions."""
    found = (name for each in rules_in(asked.rule) if isinstance(each, PermissionIs) for name in each.names)
    names = {name: f"{number:06}" for number, name in enumerate(dict.fromkeys(found))}
    return Form(
        rule=None if asked.rule is None else _renamed(asked.rule, names),
        denials=asked.denials,
        permission_denials=frozenset((names[name], denials) for name, denials in asked.permission_denials),
        effects=frozenset(
            (renamed_effect(effect, names), not asked.multi_tenant or role in asked.cross_org)
            for role, effect in asked.effects
        ),
        separations=asked.separations,
        multi_tenant=asked.multi_tenant,
    ), names


def renamed_effect(effect: Effect, names: Mapping[str, str]) -> Effect:
    """Return an effect with other names for its permissions."""
    return Effect(effect.held, tuple(sorted(names[name] for name in effect.grants)))


def _renamed(rule: Rule, names: Mapping[str, str]) -> Rule:
    """Return the rule with other names for permissions, and with alternatives of one kind put together."""
    match rule:
        case AnyOf(rules):
            return AnyOf(_together([_renamed(part, names) for part in rules]))
        case AllOf(rules):
            return AllOf(tuple(_renamed(part, names) for part in rules))
        case Not(part):
            return Not(_renamed(part, names))
        case PermissionIs(permissions):
            return PermissionIs(tuple(names[name] for name in permissions))
        case _:
            return rule


def _together(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Put alternatives together that name groups, e-mails, domains or values of one claim."""
    others: list[Rule] = []
    names: dict[type[GroupIs | EmailIs | DomainIs], dict[str, None]] = {}
    values: dict[str, dict[str, None]] = {}
    for rule in rules:
        match rule:
            case GroupIs(named) | EmailIs(named) | DomainIs(named):
                names.setdefault(type(rule), {}).update(dict.fromkeys(named))
            case ClaimIs(claim, named):
                values.setdefault(claim, {}).update(dict.fromkeys(named))
            case _:
                others.append(rule)
    return (
        *others,
        *(kind(tuple(named)) for kind, named in names.items()),
        *(ClaimIs(claim, tuple(named)) for claim, named in values.items()),
    )


def rules_in(rule: Rule | None) -> Iterator[Rule]:
    """Yield a rule and every rule inside it; nothing for None."""
    pending = [] if rule is None else [rule]
    while pending:
        current = pending.pop()
        yield current
        if isinstance(current, AnyOf | AllOf):
            pending += current.rules
        elif isinstance(current, Not):
            pending.append(current.rule)


class Questions:
    """Say what one policy has to say about each action."""

    def __init__(self, policy: Policy) -> None:
        """Look the policy's names up once."""
        self.policy: Final = policy
        parts, tables = policy.parts, policy.tables
        self._separations: Final = {
            frozenset(each.roles): _mask(tables.role_index[name] for name in each.roles) for each in parts.separations
        }
        self._cross_org: Final = frozenset(role.name for role in parts.roles.values() if role.cross_org)
        self._grantable: Final = {*parts.permissions} - {*BUILT_IN_PERMISSIONS} | {
            *parts.identity.permission_names.values()
        }
        self._made: Final[dict[object, Question]] = {}
        granting = [0] * len(parts.permissions)
        for role, granted in enumerate(tables.grants):
            for permission in engine.bits(granted):
                granting[permission] |= 1 << role
        self._granting: Final = dict(zip(parts.permissions, granting, strict=True))
        self._denials: Final[dict[str, set[Denial]]] = {}
        for forbid in parts.forbids:
            for name in forbid.permissions:
                self._denials.setdefault(name, set()).add((forbid.who, forbid.org))

    def about(self, action: str) -> Question:
        """Return what the policy has to say about a permission, `page:NAME`, `page:*` or `section:TITLE`.

        What the policy doesn't declare has a question too: nobody is allowed it.
        """
        if action in self._granting:
            names = {action: THIS}
            # Two permissions that the same roles grant and the same forbids deny are one question.
            key = (self._granting[action], frozenset(self._denials.get(action, ())), action in self._grantable)
            if key not in self._made:
                self._made[key] = self._make(PermissionIs((THIS,)), frozenset(), names)
            return self._made[key]
        rule, denials = self._rule(action)
        named = {name for each in rules_in(rule) if isinstance(each, PermissionIs) for name in each.names}
        return self._make(rule, denials, {name: name for name in named})

    def orgs_in_rules(self) -> frozenset[str]:
        """Return the orgs that rules name."""
        parts = self.policy.parts
        rules = (*(page.rule for page in parts.pages.values()), *parts.sections.values())
        return frozenset(
            name for rule in rules for each in rules_in(rule) if isinstance(each, OrgIs) for name in each.names
        )

    def _rule(self, action: str) -> tuple[Rule | None, frozenset[Denial]]:
        parts = self.policy.parts
        if action.startswith(SECTION_ACTION):
            return parts.sections.get(action.removeprefix(SECTION_ACTION), Public()), frozenset()
        if not action.startswith(PAGE_ACTION):
            return None, frozenset()
        page = action.removeprefix(PAGE_ACTION)
        entry = parts.pages.get(page) or parts.pages.get(engine.EVERY_PAGE)
        listed = page in parts.pages
        return None if entry is None else entry.rule, frozenset(
            (forbid.who, forbid.org)
            for forbid in parts.forbids
            if page in forbid.pages or (not listed and engine.EVERY_PAGE in forbid.pages)
        )

    def _make(self, rule: Rule | None, denials: frozenset[Denial], names: Mapping[str, str]) -> Question:
        tables = self.policy.tables
        by_permission = {name: frozenset(self._denials.get(name, ())) for name in names}
        inside = list(rules_in(rule))
        denials_inside = [*denials, *(denial for each in by_permission.values() for denial in each)]
        # Without orgs there is nothing to be a member of.
        needs_membership = self.policy.multi_tenant and (
            any(isinstance(each, Not | OrgIs) for each in inside)
            or any(org is not None or who.kind is WhoKind.ROLE for who, org in denials_inside)
        )
        lists = {each.names for each in inside if isinstance(each, RoleIs)}
        lists |= {(who.value,) for who, _ in denials_inside if who.kind is WhoKind.ROLE}
        # What grants or is named, and what holds that.
        matters = _mask(tables.role_index[name] for names_ in lists for name in names_)
        relevant = {number for number, held in enumerate(tables.holds) if held & matters}
        relevant |= {number for name in names for number in engine.bits(self._granting[name])}
        separations = frozenset(
            together
            for together, mask in self._separations.items()
            if needs_membership or any(tables.holds[number] & mask for number in relevant)
        )
        lists |= {(name,) for separation in separations for name in separation}
        masks = {each: _mask(tables.role_index[name] for name in each) for each in sorted(lists)}
        granting = {shown: self._granting[name] for name, shown in sorted(names.items(), key=lambda each: each[1])}
        effects = (
            (
                role,
                Effect(
                    tuple(each for each, mask in masks.items() if held & mask),
                    tuple(shown for shown, mask in granting.items() if mask >> number & 1),
                ),
            )
            for number, (role, held) in enumerate(zip(tables.role_names, tables.holds, strict=True))
        )
        return Question(
            rule=rule,
            denials=denials,
            permission_denials=frozenset((names[name], found) for name, found in by_permission.items()),
            effects=frozenset(each for each in effects if each[1] != NO_EFFECT),
            separations=separations,
            multi_tenant=self.policy.multi_tenant,
            cross_org=self._cross_org,
            grantable=frozenset(shown for name, shown in names.items() if name in self._grantable),
            needs_membership=needs_membership,
        )


def _mask(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in set(numbers))


def actions(policies: Iterable[Policy]) -> tuple[str, ...]:
    """Return every action that one of the policies can be asked for: permissions, pages, menu sections."""
    found: dict[str, None] = {}
    for policy in policies:
        found |= dict.fromkeys(policy.permissions)
    for policy in policies:
        found |= dict.fromkeys(f"{PAGE_ACTION}{name}" for name in policy.parts.pages)
        found |= dict.fromkeys(f"{SECTION_ACTION}{title}" for title in policy.parts.sections)
    return tuple(found)
