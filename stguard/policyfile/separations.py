"""Separations: roles that nobody may hold together, and the assignments that would bring them together."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import quote
from stguard.model import EVERY_ORG, Separation, Who, WhoKind
from stguard.naming import email_domain
from stguard.policyfile.names import texts
from stguard.policyfile.node import CONTENT, POS
from stguard.policyfile.who import label

if TYPE_CHECKING:
    from stguard.model import Assignment
    from stguard.policyfile.assignments import Assigned
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node
    from stguard.policyfile.roles import Hierarchy
    from stguard.policyfile.who import Ids

_LEAST: Final = 2
_ANY_ORG: Final = object()
_EVERYONE: Final = Who(WhoKind.EVERYONE, "signed_in")


def read_separations(draft: Draft, *, hierarchy: Hierarchy, assigned: Assigned, ids: Ids) -> tuple[Separation, ...]:
    """Read the entries of `separation`, and check roles and assignments against each."""
    found: dict[object, Separation] = {}
    for node in draft.sections.items("separation"):
        separation = _read(node, draft=draft, hierarchy=hierarchy, ids=ids)
        # SECURITY: by what they say, not by id: one that was given the id made of another must not hide that one.
        said = None if separation is None else frozenset(separation.roles)
        if separation is not None and said not in found:
            found[said] = separation
            _Check(separation, draft=draft, hierarchy=hierarchy).run(assigned)
    return tuple(found.values())


def _read(node: Node, *, draft: Draft, hierarchy: Hierarchy, ids: Ids) -> Separation | None:
    fields: dict[str, Node] = node[CONTENT]
    stated = ids.given(fields) if "id" in fields else None
    where = label("separation", fields=fields)
    listed = fields.get("roles")
    if listed is None or listed[CONTENT] is None:
        return None
    places: dict[str, int] = {}
    for role in texts(listed):
        if role[CONTENT] in hierarchy.roles:
            places.setdefault(role[CONTENT], role[POS])
        else:
            draft.roles.unknown(role, where=where)
    distinct = {item[CONTENT] for item in listed[CONTENT]} if isinstance(listed[CONTENT], list) else set()
    if len(distinct) < _LEAST and None not in distinct:
        message = f"expected at least {_LEAST} different roles in {where}, got {len(distinct)}"
        draft.ledger.error(listed[POS], code="separation-too-few", message=message)
    if len(places) < _LEAST:
        return None
    mask = 0
    for name in places:
        mask |= hierarchy.bit(name)
    for name, pos in places.items():
        inherited = hierarchy.ancestors(name) & mask & ~hierarchy.bit(name)
        if inherited:
            parent = hierarchy.order[inherited.bit_length() - 1]
            message = f"role {quote(name)} in {where} inherits {quote(parent)}, so whoever holds it holds both"
            draft.ledger.error(pos, code="separation-inherits", message=message)
    return Separation(stated or "separate " + ",".join(sorted(places)), tuple(places))


class _Check:
    """Find whoever would hold two of the roles.

    Two assignments may meet in one person when their who-keys are the same, when an e-mail lies in a domain, or when
    one of them means everyone. Whether a group and an e-mail meet can't be told from the file: run time sees to that.
    """

    def __init__(self, separation: Separation, *, draft: Draft, hierarchy: Hierarchy) -> None:
        self._draft = draft
        self._roles = separation.roles
        self._name = separation.id
        self._hierarchy = hierarchy
        self._brings = self._brought()
        self._timelines: dict[tuple[Any, Any], _Timeline] = {}

    def _brought(self) -> dict[str, str]:
        """Return which separated role each role brings; report a role that brings two by itself."""
        brings: dict[str, str] = {}
        separated = set(self._roles)
        many: dict[str, list[str]] = {}
        for name in self._hierarchy.order:
            held = [name] if name in separated else []
            for parent in self._hierarchy.roles[name].inherits:
                held += many[parent] if parent in many else [brings[parent]] if parent in brings else []
            distinct = list(dict.fromkeys(held))[:_LEAST]
            if len(distinct) == 1:
                brings[name] = distinct[0]
            elif distinct:
                many[name] = distinct
                if name not in separated and not any(parent in many for parent in self._hierarchy.roles[name].inherits):
                    self._refuse_role(name, both=distinct)
        return brings

    def _refuse_role(self, name: str, *, both: list[str]) -> None:
        first, second = sorted(both)
        message = (
            f"role {quote(name)} inherits both {quote(first)} and {quote(second)}, "
            f"which separation {quote(self._name)} keeps apart"
        )
        self._draft.ledger.error(self._hierarchy.place(name), code="separation-in-role", message=message)

    def run(self, assigned: Assigned) -> None:
        """Report each assignment that meets another one in somebody."""
        entries = [
            (i, assignment, self._brings[assignment.role])
            for i, assignment in enumerate(assigned.assignments)
            if assignment.role in self._brings
        ]
        if len({role for _, _, role in entries}) < _LEAST:
            return
        for i, assignment, role in entries:
            start, end = _span(assignment)
            if start < end:
                for org in (assignment.org, _ANY_ORG):
                    timeline = self._timelines.setdefault((assignment.who, org), _Timeline())
                    timeline.add(start, end, role, i)
        clashes: dict[int, int] = {}
        for i, assignment, role in entries:
            other = self._clash(assignment, role=role)
            if other is not None:
                clashes.setdefault(max(i, other), min(i, other))
        for later, earlier in sorted(clashes.items()):
            self._refuse_pair(assigned, earlier=earlier, later=later)

    def _clash(self, assignment: Assignment, *, role: str) -> int | None:
        """Return another assignment that gives the same somebody another separated role at the same time."""
        start, end = _span(assignment)
        people = [assignment.who]
        if assignment.who.kind is WhoKind.EMAIL:
            people.append(Who(WhoKind.DOMAIN, email_domain(assignment.who.value)))
        if assignment.who != _EVERYONE:
            people.append(_EVERYONE)
        orgs = (_ANY_ORG,) if assignment.org == EVERY_ORG else (assignment.org, EVERY_ORG)
        for who in people:
            for org in orgs:
                timeline = self._timelines.get((who, org))
                other = None if timeline is None else timeline.meets(start, end, role)
                if other is not None:
                    return other
        return None

    def _refuse_pair(self, assigned: Assigned, *, earlier: int, later: int) -> None:
        one, two = assigned.assignments[earlier], assigned.assignments[later]
        first = self._draft.ledger.line(assigned.places[earlier], seen_from=assigned.places[later])
        message = (
            f"assignment {quote(two.id)} gives role {quote(two.role)} to somebody who gets {quote(one.role)} in {first}"
            f"; separation {quote(self._name)} keeps them apart"
        )
        self._draft.ledger.error(assigned.places[later], code="separation-broken", message=message)


class _Timeline:
    """Periods with their roles; answers which one of another role overlaps a period, without looking at each."""

    def __init__(self) -> None:
        self._periods: list[tuple[float, float, str, int]] = []
        self._starts: list[float] = []
        self._latest: list[tuple[tuple[float, str, int], tuple[float, str, int]]] = []

    def add(self, start: float, end: float, role: str, index: int) -> None:
        self._periods.append((start, end, role, index))

    def meets(self, start: float, end: float, role: str) -> int | None:
        """Return the index of a period of another role that overlaps, or None.

        Among the periods that start before this one ends, the one of another role that ends last decides: so each
        prefix keeps the period that ends last, and the one of any other role that ends last.
        """
        if not self._starts:
            self._sort()
        before = bisect_left(self._starts, end)
        if not before:
            return None
        for latest, other, index in self._latest[before - 1]:
            if other != role and latest > start:
                return index
        return None

    def _sort(self) -> None:
        nobody = (-math.inf, "", -1)
        first = second = nobody
        for begin, end, role, index in sorted(self._periods):
            entry = (end, role, index)
            if role == first[1] or first is nobody:
                first = max(first, entry, key=lambda held: held[0])
            elif end > first[0]:
                first, second = entry, first
            elif second is nobody or end > second[0]:
                second = entry
            self._starts.append(begin)
            self._latest.append((first, second))


def _span(assignment: Assignment) -> tuple[float, float]:
    start = -math.inf if assignment.since is None else assignment.since
    return start, math.inf if assignment.until is None else assignment.until
