"""Why somebody gains or loses an action between two policies: what in them makes the difference, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.analysis.question import SECTION_ACTION, denials_in
from stguard.analysis.standings import term_of
from stguard.errors import quote
from stguard.model import PAGE_ACTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stguard.analysis.circumstances import Side
    from stguard.analysis.question import Question
    from stguard.analysis.standings import Standings
    from stguard.model import Who


class Because:
    """Say why one action is gained or lost."""

    def __init__(self, sides: Sequence[Side], standings: Standings, action: str, asked: Sequence[Question]) -> None:
        """Take the old and the new policy, what they say of who-keys, and what they have to say about the action."""
        self._sides: Final = sides
        self._standings: Final = standings
        self._action: Final = action
        self._asked: Final = asked
        self._effective: Final = [frozenset(role for role, _ in question.effects) for question in asked]
        self._general: Final[dict[tuple[bool, str | None], str]] = {}

    def of(self, key: Who, org: str | None, *, gained: bool) -> str:
        """Return why a who-key gains or loses it in an org."""
        given = self._standings.to(gained, key, org)
        there = {term_of(each) for each in self._standings.to(not gained, key, org)} if given else ()
        for each in given:
            if each.role in self._effective[gained] and term_of(each) not in there:
                return f"assignment {quote(each.id)} {'gives' if gained else 'gave'} role {quote(each.role)}"
        return self.general(org, gained=gained)

    def general(self, org: str | None = None, *, gained: bool) -> str:
        """Return why whoever it is gains or loses it in an org."""
        key = gained, None if self._standings.known_alike(org) else org
        found = self._general.get(key)
        if found is None:
            found = self._general[key] = self._why(org, gained=gained)
        return found

    def _why(self, org: str | None, *, gained: bool) -> str:
        old, new = self._sides
        before, after = self._asked
        if before.rule != after.rule:
            return self._rule_changed()
        apart = [{frozenset(each.roles) for each in side.policy.parts.separations} for side in self._sides]
        if apart[0] != apart[1] and before.separations != after.separations:
            return "the roles that nobody may hold together changed"
        denials = [denials_in(question) for question in self._asked]
        changed = denials[0] - denials[1] if gained else denials[1] - denials[0]
        if changed:
            side = old if gained else new
            named = [forbid for forbid in side.policy.parts.forbids if (forbid.who, forbid.org) in changed]
            return f"forbid {quote(named[0].id)} {'no longer applies' if gained else 'applies now'}"
        roles = self._changed_definitions()
        if roles:
            return f"role{'s' if len(roles) > 1 else ''} {', '.join(quote(role) for role in roles)} changed"
        if old.policy.parts.identity != new.policy.parts.identity:
            return "the identity section changed"
        if not self._standings.known_alike(org):
            return f"org {quote(org)} is {'new' if gained else 'gone'}"
        return "assignments changed"

    def _rule_changed(self) -> str:
        before, after = self._asked
        if self._action.startswith(SECTION_ACTION):
            return f"the rule of section {quote(self._action.removeprefix(SECTION_ACTION))} changed"
        if not self._action.startswith(PAGE_ACTION):
            return f"permission {quote(self._action)} is {'new' if before.rule is None else 'gone'}"
        page = quote(self._action.removeprefix(PAGE_ACTION))
        if before.rule is None:
            return f"page {page} is new"
        return f"page {page} is gone" if after.rule is None else f"the rule of page {page} changed"

    def _changed_definitions(self) -> list[str]:
        """Return the roles that were written differently, of those that change anything here."""
        before, after = (dict(question.effects) for question in self._asked)
        changed = sorted(role for role in before.keys() | after.keys() if before.get(role) != after.get(role))
        old, new = (side.policy.parts.roles for side in self._sides)
        return [role for role in changed if old.get(role) != new.get(role)] or changed
