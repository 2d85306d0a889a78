"""Which assignments give somebody what an action asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard import engine
from stguard.analysis.question import Questions
from stguard.model import EVERY_ORG

if TYPE_CHECKING:
    from stguard.analysis.question import Question
    from stguard.model import Subject
    from stguard.policy import Policy


class Grants:
    """Say for one policy which assignments give somebody what an action asks for."""

    def __init__(self, policy: Policy) -> None:
        """Take the policy."""
        self.policy: Final = policy
        self._questions: Final = Questions(policy)
        self._asked: Final[dict[str, Question]] = {}

    def used(self, subject: Subject | None, action: str, *, org: str | None, at: float) -> tuple[str, ...]:
        """Return the ids of the assignments in force that name a subject and change anything for an action.

        Args:
            subject: who asks; None for nobody signed in.
            action: a permission or `page:NAME`; anything else depends on no assignment.
            org: the active org; None for none.
            at: Unix seconds.
        """
        if subject is None:
            return ()
        asked = self._asked.get(action)
        if asked is None:
            asked = self._asked.setdefault(action, self._questions.about(action))
        giving = {role for role, _ in asked.effects}
        tables = self.policy.tables
        places = (org, EVERY_ORG) if tables.multi_tenant else (None,)
        certain = engine.holdings_of(tables, subject).certain
        return tuple(
            sorted(
                {
                    identifier
                    for place in places
                    for role, _, since, until, identifier in certain.get(place, ())
                    if since <= at < until and tables.role_names[role] in giving
                }
            )
        )
