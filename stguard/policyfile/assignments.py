"""Assignments and revocations: who gets which role, where, for how long; whose logins no longer count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stguard.errors import quote
from stguard.model import EVERY_ORG, Assignment, Revocation
from stguard.policyfile.node import CONTENT, KEY_POS, POS, SPOILT
from stguard.policyfile.who import label

if TYPE_CHECKING:
    from stguard.model import Role
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node
    from stguard.policyfile.who import Ids, People


@dataclass(frozen=True, slots=True)
class Assigned:
    """Hold the assignments that could be read.

    Attributes:
        assignments: without those that say the same as an earlier one.
        places: where each of them stands.
    """

    assignments: list[Assignment]
    places: list[int]


def read_assignments(draft: Draft, *, roles: dict[str, Role], people: People, ids: Ids) -> Assigned:
    """Read the entries of `assign`."""
    reader = _Assignments(draft, roles=roles, people=people)
    found = Assigned([], [])
    made: set[str] = set()
    entries = draft.sections.items("assign")
    given = [ids.given(node[CONTENT]) if "id" in node[CONTENT] else None for node in entries]
    for node, stated in zip(entries, given, strict=True):
        assignment = reader.read(node, stated=stated)
        if assignment is None or (stated is None and assignment.id in made):
            continue  # INVARIANT: duplicates never matter
        if stated is None:
            made.add(assignment.id)
        found.assignments.append(assignment)
        found.places.append(node[POS])
    return found


class _Assignments:
    def __init__(self, draft: Draft, *, roles: dict[str, Role], people: People) -> None:
        self._draft = draft
        self._roles = roles
        self._people = people

    def read(self, node: Node, *, stated: str | None) -> Assignment | None:
        fields: dict[str, Node] = node[CONTENT]
        draft = self._draft
        role_node, org_node = fields.get("role"), fields.get("org")
        role: str | None = None
        if role_node is not None and role_node[CONTENT] is not None:
            role = role_node[CONTENT]
            if role not in self._roles:
                draft.roles.unknown(role_node, where=label("assignment", fields=fields))
                role = None
        org = None
        if org_node is not None:
            org = org_node[CONTENT]
            if org not in draft.orgs.names:
                org = self._unlisted_org(org_node, role=role, fields=fields)
        elif draft.multi_tenant and node[POS] not in draft.blemishes.holes:
            self._org_missing(node, role=role)
        who = self._people.read(fields, what="assignment", but="role")
        since = until = None
        period = ""
        if "from" in fields or "until" in fields:
            since, until, period = self._period(fields)
        reason_node = fields.get("reason")
        if role is None or who is None:
            return None
        made = f"{role}@{org}:{who[1]}{period}" if org else f"{role}:{who[1]}{period}"
        reason = None if reason_node is None else reason_node[CONTENT]
        # Positional: keywords cost a tenth of the time of loading a large policy.
        return Assignment(stated or made, role, org, who[0], since, until, reason)

    def _period(self, fields: dict[str, Node]) -> tuple[float | None, float | None, str]:
        """Return from when until when it holds, and the same as it stands there."""
        draft = self._draft
        first, last = fields.get("from"), fields.get("until")
        since, until = draft.moments.time(first), draft.moments.time(last)
        if last is not None and until is not None:
            if since is not None and since >= until:
                message = f"`until` {quote(last[CONTENT])} is not after `from`; it would never hold"
                draft.ledger.error(last[POS], code="empty-period", message=message)
            elif until <= draft.now:
                message = f"{label('assignment', fields=fields)} expired at {quote(last[CONTENT])}; remove it"
                draft.ledger.warning(last[POS], code="expired", message=message)
        if not _says_something(fields.get("reason")):
            bound = last or first
            message = f"{label('assignment', fields=fields)} is bound in time without saying why; add `reason`"
            if bound is not None:
                draft.ledger.warning(bound[KEY_POS], code="no-reason", message=message)
        period = f":{'' if first is None else first[CONTENT]}..{'' if last is None else last[CONTENT]}"
        return since, until, period

    def _unlisted_org(self, node: Node, *, role: str | None, fields: dict[str, Node]) -> str | None:
        """Return the org of an assignment that is not in the list of orgs, or None when that was reported."""
        draft = self._draft
        if node[CONTENT] != EVERY_ORG or draft.multi_tenant is not True:
            return draft.org(node, where=label("assignment", fields=fields))
        if role is not None and not self._roles[role].cross_org:
            message = (
                f"org `*` with role {quote(role)}, which is not a cross-org role; name an org, or set `cross_org: true`"
            )
            draft.ledger.error(node[POS], code="not-cross-org", message=message)
            return None
        return EVERY_ORG

    def _org_missing(self, node: Node, *, role: str | None) -> None:
        draft = self._draft
        cross = role is not None and self._roles[role].cross_org
        hint = (
            '; write `org: "*"` for every org' if cross else "; the policy declares `orgs`, and a role is held in one"
        )
        message = f"missing key `org` in {label('assignment', fields=node[CONTENT])}{hint}"
        draft.ledger.error(node[POS], code="org-missing", message=message)


def _says_something(node: Node | None) -> bool:
    return node is not None and (node[0] == SPOILT or bool(node[CONTENT]))


def read_revocations(draft: Draft, *, people: People) -> tuple[Revocation, ...]:
    """Read the entries of `revoked`."""
    found: dict[Revocation, None] = {}
    for node in draft.sections.items("revoked"):
        fields = node[CONTENT]
        who = people.read(fields, what="revocation")
        before = draft.moments.time(fields.get("before"))
        reason = fields.get("reason")
        if who is not None and before is not None:
            found[Revocation(who[0], before, None if reason is None else reason[CONTENT])] = None
    return tuple(found)
