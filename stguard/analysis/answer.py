"""When one policy allows one action, for everybody at once: the engine's rules over truth functions.

It follows `stguard.engine` step by step, and is tested against it. Truth has three values here too: a condition is
true, or might be (true or unknown), or is false.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from stguard.analysis.diagram import ALWAYS, NEVER, Diagrams, Function
from stguard.analysis.people import (
    UNKNOWN_ORG_PERMISSIONS,
    UNKNOWN_ORG_ROLES,
    UNKNOWN_ORGS,
    UNKNOWN_ROLES,
    Denied,
    Given,
    People,
)
from stguard.analysis.question import NO_EFFECT, Effect
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
    WhoKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stguard.analysis.people import Mark
    from stguard.analysis.question import Denial, Form
    from stguard.model import Rule


class Answer:
    """Work out when one policy allows what a question asks, among some people in one org."""

    def __init__(self, people: People, form: Form, number: int, *, org: str | None) -> None:
        """Take the people, what is asked and which policy's it is.

        Args:
            people: everybody.
            form: what the policy has to say.
            number: which of the policies that are compared it is.
            org: the org that is asked for; None for none.
        """
        self._people: Final = people
        self._diagrams: Final[Diagrams] = people.diagrams
        self._form: Final = form
        self._number: Final = number
        self._org: Final = org
        self._denials: Final = dict(form.permission_denials)
        self._held: dict[Effect, Function] = {}
        self._sure: Final[dict[Effect, Function]] = {}
        self._maybe: Final[dict[Effect, tuple[Function, ...]]] = {}
        self._settle_roles()
        self._member: Final = self._settle_member()

    def allowed(self) -> Function:
        """Return when it is allowed, for whoever is signed in."""
        if self._form.rule is None:
            return NEVER
        denied = self._denied(self._form.denials, sure=False)
        return self._diagrams.without(self._rule(self._form.rule, sure=True), denied)

    def meet(self, roles: frozenset[str]) -> Function:
        """Return when all of these roles are held, whether or not they count together."""
        both, any_ = self._diagrams.both, self._diagrams.any
        return both(
            *(any_(has for effect, has in self._held.items() if (role,) in effect.held) for role in sorted(roles))
        )

    # --- roles

    def _settle_roles(self) -> None:
        people, diagrams, form = self._people, self._diagrams, self._form
        direct: dict[Effect, list[Function]] = {}
        maybe: dict[Effect, list[Function]] = {}
        for effect in {NO_EFFECT, *(effect for effect, _ in form.effects)}:
            given = people.truth(Given(self._number, effect))
            if given.maybe != NEVER:
                direct[effect], maybe[effect] = [given.true], [given.maybe]
        for sent, function in people.sent.items():
            meant = sent.means[self._number]
            if isinstance(meant, Effect):
                direct.setdefault(meant, []).append(function)
        for effect, everywhere in form.effects:
            if everywhere:
                maybe.setdefault(effect, []).append(people.flag(UNKNOWN_ROLES))
        self._held = {effect: diagrams.any(functions) for effect, functions in direct.items()}
        dropped = self._dropped(self._held)
        for effect in {*self._held, *maybe}:
            have, lost = self._held.get(effect, NEVER), dropped.get(effect, NEVER)
            self._sure[effect] = diagrams.without(have, lost)
            # A role that separation drops turns unknown, not false.
            self._maybe[effect] = (*maybe.get(effect, ()), have) if lost != NEVER else tuple(maybe.get(effect, ()))

    def _dropped(self, held: dict[Effect, Function]) -> dict[Effect, Function]:
        diagrams = self._diagrams
        dropped: dict[Effect, Function] = {}
        for together in self._form.separations:
            one = two = NEVER
            for role in sorted(together):
                has = diagrams.any(function for effect, function in held.items() if (role,) in effect.held)
                two = diagrams.any((two, diagrams.both(one, has)))
                one = diagrams.any((one, has))
            for effect in held:
                if any((role,) in effect.held for role in together):
                    dropped[effect] = diagrams.any((dropped.get(effect, NEVER), two))
        return dropped

    def _settle_member(self) -> Function:
        if not self._form.multi_tenant:
            return ALWAYS
        return NEVER if self._org is None else self._diagrams.any((self._people.member, *self._sure.values()))

    @cached_property
    def _open(self) -> Function:
        """Who isn't known to be a member, or whose roles here aren't known, might hold any."""
        if not self._form.multi_tenant:
            return NEVER
        flags = (self._people.flag(UNKNOWN_ORGS), self._people.flag(UNKNOWN_ORG_ROLES))
        return self._diagrams.any((self._diagrams.opposite(self._member), *flags))

    # --- conditions, each of which is surely true for some, and might be for more

    def _among(self, effects: Iterable[Effect], *, sure: bool) -> Function:
        """Return when one of these effects is held, or might be."""
        listed = [effect for effect in effects if effect in self._sure]
        found = [self._sure[effect] for effect in listed]
        return self._diagrams.any(
            found if sure else [*found, *(each for effect in listed for each in self._maybe[effect])]
        )

    def _role(self, names: tuple[str, ...], *, sure: bool) -> Function:
        held = self._among((effect for effect in self._sure if names in effect.held), sure=sure)
        return held if sure else self._diagrams.any((held, self._open))

    def _permission(self, name: str, *, sure: bool) -> Function:
        people = self._people
        granting = {effect for effect, _ in self._form.effects if name in effect.grants}
        granted = [self._among(granting, sure=sure)]
        if self._form.multi_tenant and self._org is not None:
            granted += [function for sent, function in people.sent.items() if sent.means[self._number] == name]
        if not sure:
            granted += [self._diagrams.opposite(self._member), self._open if granting else NEVER]
            if self._form.multi_tenant and self._org is not None:
                granted += [people.flag(UNKNOWN_ORGS), people.flag(UNKNOWN_ORG_PERMISSIONS)]
        # What might be denied isn't surely allowed.
        denied = self._denied(self._denials.get(name, frozenset()), name, sure=not sure)
        return self._diagrams.without(self._diagrams.any(granted), denied)

    def _denied(self, denials: Iterable[Denial], name: str | None = None, *, sure: bool) -> Function:
        found = []
        for who, org in denials:
            match who.kind:
                case WhoKind.ROLE:
                    named = self._role((who.value,), sure=sure)
                case WhoKind.EVERYONE:
                    named = ALWAYS
                case _:
                    named = self._named(Denied(self._number, org, name, who.kind, who.claim), sure=sure)
            found.append(named if org is None else self._diagrams.both(named, self._in_org((org,), sure=sure)))
        return self._diagrams.any(found)

    def _in_org(self, names: tuple[str, ...], *, sure: bool) -> Function:
        # The active org is the one that is asked for, when the subject is a member there, else none is.
        named = ALWAYS if self._org is not None and self._org in names else NEVER
        member = NEVER if self._org is None else self._member
        if sure:
            return self._diagrams.both(named, member)
        return self._diagrams.any((named, self._diagrams.opposite(member)))

    def _named(self, mark: Mark, *, sure: bool) -> Function:
        truth = self._people.truth(mark)
        return truth.true if sure else truth.maybe

    def _rule(self, rule: Rule, *, sure: bool) -> Function:
        diagrams = self._diagrams
        match rule:
            case Public() | SignedIn():
                return ALWAYS
            case AnyOf(rules):
                return diagrams.any([self._rule(part, sure=sure) for part in rules])
            case AllOf(rules):
                return diagrams.both(*(self._rule(part, sure=sure) for part in rules))
            case Not(part):
                return diagrams.opposite(self._rule(part, sure=not sure))
            case PermissionIs(names):
                return diagrams.any([self._permission(name, sure=sure) for name in names])
            case RoleIs(names):
                return self._role(names, sure=sure)
            case OrgIs(names):
                return self._in_org(names, sure=sure)
            case GroupIs() | EmailIs() | DomainIs() | ClaimIs():
                return self._named(rule, sure=sure)
