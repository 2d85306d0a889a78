"""When one policy allows one action, for everybody at once: the engine's rules over truth functions.

It follows `stguard.engine` step by step, and is tested against it. Truth has three values here too: a condition is
true, or might be (true or unknown), or is false.
"""

from __future__ import annotations

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
    Truth,
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
        self._maybe: Final[dict[Effect, Function]] = {}
        self._settle_roles()
        self._member: Final = self._settle_member()
        # Who isn't known to be a member, or whose roles here aren't known, might hold any.
        self._open: Final = self._settle_open()

    def allowed(self) -> Function:
        """Return when it is allowed, for whoever is signed in."""
        if self._form.rule is None:
            return NEVER
        return self._diagrams.without(self._rule(self._form.rule).true, self._denied(self._form.denials).maybe)

    def meet(self, roles: frozenset[str]) -> Function:
        """Return when all of these roles are held, whether or not they count together."""
        both, any_ = self._diagrams.both, self._diagrams.any
        return both(*(any_(has for effect, has in self._held.items() if (role,) in effect.held) for role in sorted(roles)))

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
            effect = sent.means[self._number]
            if isinstance(effect, Effect):
                direct.setdefault(effect, []).append(function)
        for effect, everywhere in form.effects:
            if everywhere:
                maybe.setdefault(effect, []).append(people.flag(UNKNOWN_ROLES))
        self._held = {effect: diagrams.any(functions) for effect, functions in direct.items()}
        dropped = self._dropped(self._held)
        for effect in {*self._held, *maybe}:
            have, lost = self._held.get(effect, NEVER), dropped.get(effect, NEVER)
            self._sure[effect] = diagrams.without(have, lost)
            # A role that separation drops turns unknown, not false.
            self._maybe[effect] = diagrams.any((*maybe.get(effect, ()), diagrams.both(have, lost)))

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

    def _settle_open(self) -> Function:
        if not self._form.multi_tenant:
            return NEVER
        flags = (self._people.flag(UNKNOWN_ORGS), self._people.flag(UNKNOWN_ORG_ROLES))
        return self._diagrams.any((self._diagrams.opposite(self._member), *flags))

    def _among(self, effects: Iterable[Effect]) -> Truth:
        """Return when one of these effects is held, and when it might be."""
        listed = [effect for effect in effects if effect in self._sure]
        true = self._diagrams.any(self._sure[effect] for effect in listed)
        return Truth(true, self._diagrams.any((true, *(self._maybe[effect] for effect in listed))))

    def _role(self, names: tuple[str, ...]) -> Truth:
        truth = self._among(effect for effect in self._sure if names in effect.held)
        return Truth(truth.true, self._diagrams.any((truth.maybe, self._open)))

    # --- permissions

    def _permission(self, name: str) -> Truth:
        diagrams, people = self._diagrams, self._people
        granting = {effect for effect, _ in self._form.effects if name in effect.grants}
        roles = self._among(granting)
        true = [roles.true]
        maybe = [roles.maybe, diagrams.opposite(self._member), self._open if granting else NEVER]
        if self._form.multi_tenant and self._org is not None:
            true += [function for sent, function in people.sent.items() if sent.means[self._number] == name]
            maybe += [people.flag(UNKNOWN_ORGS), people.flag(UNKNOWN_ORG_PERMISSIONS)]
        granted = diagrams.any(true)
        denied = self._denied(self._denials.get(name, frozenset()), name)
        return Truth(
            diagrams.without(granted, denied.maybe),
            diagrams.without(diagrams.any((granted, *maybe)), denied.true),
        )

    def _denied(self, denials: Iterable[Denial], name: str | None = None) -> Truth:
        true, maybe = [], []
        for who, org in denials:
            match who.kind:
                case WhoKind.ROLE:
                    named = self._role((who.value,))
                case WhoKind.EVERYONE:
                    named = Truth(ALWAYS, ALWAYS)
                case _:
                    named = self._people.truth(Denied(self._number, org, name, who.kind, who.claim))
            here = Truth(ALWAYS, ALWAYS) if org is None else self._in_org((org,))
            true.append(self._diagrams.both(named.true, here.true))
            maybe.append(self._diagrams.both(named.maybe, here.maybe))
        return Truth(self._diagrams.any(true), self._diagrams.any(maybe))

    def _in_org(self, names: tuple[str, ...]) -> Truth:
        # The active org is the one that is asked for, when the subject is a member there, else none is.
        named = ALWAYS if self._org is not None and self._org in names else NEVER
        member = self._member if self._org is not None else NEVER
        return Truth(self._diagrams.both(named, member), self._diagrams.any((named, self._diagrams.opposite(member))))

    # --- rules

    def _rule(self, rule: Rule) -> Truth:  # noqa: C901, PLR0911  one branch for each kind of rule
        match rule:
            case Public() | SignedIn():
                return Truth(ALWAYS, ALWAYS)
            case AnyOf(rules):
                return self._any([self._rule(part) for part in rules])
            case AllOf(rules):
                parts = [self._rule(part) for part in rules]
                both = self._diagrams.both
                return Truth(both(*(part.true for part in parts)), both(*(part.maybe for part in parts)))
            case Not(part):
                inside = self._rule(part)
                return Truth(self._diagrams.opposite(inside.maybe), self._diagrams.opposite(inside.true))
            case PermissionIs(names):
                return self._any([self._permission(name) for name in names])
            case RoleIs(names):
                return self._role(names)
            case OrgIs(names):
                return self._in_org(names)
            case GroupIs() | EmailIs() | DomainIs() | ClaimIs():
                return self._people.truth(rule)

    def _any(self, truths: list[Truth]) -> Truth:
        any_ = self._diagrams.any
        return Truth(any_(truth.true for truth in truths), any_(truth.maybe for truth in truths))
