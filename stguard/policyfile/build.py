"""From sections to the parts of a policy: names checked, wildcards expanded, times in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stguard.errors import quote
from stguard.model import BUILT_IN_PERMISSIONS, PolicyParts, WhoKind
from stguard.policyfile.assignments import read_assignments, read_revocations
from stguard.policyfile.draft import Draft
from stguard.policyfile.forbids import read_forbids
from stguard.policyfile.identity import read_identity, read_sessions
from stguard.policyfile.inline import read_tests
from stguard.policyfile.moments import Moments
from stguard.policyfile.names import Catalogue, Declared, is_clean
from stguard.policyfile.node import CONTENT, FIELDS, ITEMS, KEY_POS, QUOTED
from stguard.policyfile.places import Places
from stguard.policyfile.reach import Reach
from stguard.policyfile.roles import Hierarchy
from stguard.policyfile.rules import Rules, check_page_name
from stguard.policyfile.separations import read_separations
from stguard.policyfile.who import Ids, People

if TYPE_CHECKING:
    from stguard.model import Forbid, Identity, InlineTest, Page, Rule, Separation
    from stguard.policyfile.draft import Sections
    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.node import Node
    from stguard.policyfile.reader import Blemishes


def build(sections: Sections, *, ledger: Ledger, blemishes: Blemishes, now: float) -> tuple[PolicyParts, Places]:
    """Return the parts of a policy, and where they stand. They are complete only when the ledger holds no error."""
    role_table, page_table = sections.table("roles"), sections.table("pages")
    sections.table("permissions")  # an area may stand in one file only, too
    orgs, from_identity = _orgs(sections, ledger=ledger)

    def declared(kind: str, names: dict[str, Node] | dict[str, str], *, section: str) -> Declared:
        return Declared(kind, names=names, open_ended=sections.is_open(section), ledger=ledger)

    has_orgs = bool(sections.nodes("orgs"))
    draft = Draft(
        ledger=ledger,
        sections=sections,
        blemishes=blemishes,
        moments=Moments(ledger=ledger),
        permissions=Catalogue(sections.nodes("permissions"), open_ended=sections.is_open("permissions"), ledger=ledger),
        roles=declared("role", role_table, section="roles"),
        orgs=declared("org", orgs, section="orgs"),
        pages=declared("page", page_table, section="pages"),
        multi_tenant=None if sections.is_open("orgs") and not orgs else has_orgs,
        any_org=from_identity,
        now=now,
    )
    hierarchy = Hierarchy(role_table, draft=draft)
    identity = read_identity(draft)
    people, ids = People(draft=draft), Ids(draft=draft)
    assigned = read_assignments(draft, roles=hierarchy.roles, people=people, ids=ids)
    forbids = read_forbids(draft, people=people, ids=ids)
    separations = read_separations(draft, hierarchy=hierarchy, assigned=assigned, ids=ids)
    rules = Rules(draft=draft)
    pages = _pages(page_table, rules=rules, draft=draft)
    titles = _sections(draft, rules=rules)
    tests = read_tests(draft)
    review = _Review(draft, hierarchy=hierarchy, identity=identity, tests=tests)
    review.roles(asked=rules.roles, forbids=forbids)
    unheld = review.permissions(forbids)
    review.pages(pages, unheld=unheld, forbids=forbids, separations=separations)
    parts = PolicyParts(
        permissions=draft.permissions.all,
        orgs=orgs if has_orgs else None,
        orgs_from_identity=from_identity,
        roles=hierarchy.roles,
        assignments=tuple(assigned.assignments),
        forbids=forbids,
        separations=separations,
        pages=pages,
        sections=titles,
        identity=identity,
        sessions=read_sessions(draft),
        revocations=read_revocations(draft, people=people),
        tests=tests,
    )
    return parts, Places(
        ledger,
        assignments={each.id: pos for each, pos in zip(assigned.assignments, assigned.places, strict=True)},
        permissions=draft.permissions.places,
        pages={name: node[KEY_POS] for name, node in page_table.items()},
        sections={title: node[KEY_POS] for title, node in sections.table("sections").items()},
    )


def _orgs(sections: Sections, *, ledger: Ledger) -> tuple[dict[str, str], bool]:
    """Return org ids with their display names, and whether any org id is valid."""
    found: dict[str, str] = {}
    nodes = sections.nodes("orgs")
    from_identity = False
    for node in nodes:
        if node[0] <= QUOTED:
            from_identity = True
            if len(nodes) > 1:
                message = "expected `orgs: from_identity` alone, got orgs in other places too; keep one of the two"
                ledger.error(node[1], code="orgs-mixed", message=message)
        elif node[0] == ITEMS:
            found.update({item[CONTENT]: item[CONTENT] for item in node[CONTENT] if _org_id(item, ledger=ledger)})
    for org, node in sections.table("orgs").items():
        key: Node = (QUOTED, node[KEY_POS], org, node[KEY_POS])
        if _org_id(key, ledger=ledger):
            name = node[CONTENT].get("name") if node[0] == FIELDS else None
            found[org] = name[CONTENT] if name is not None and name[CONTENT] else org
    return found, from_identity


def _org_id(node: Node, *, ledger: Ledger) -> bool:
    if node[CONTENT] is None:
        return False
    if not is_clean(node[CONTENT]):
        message = f"expected an org's id without `*` and without blanks around it, got {quote(node[CONTENT])}"
        ledger.error(node[1], code="name-form", message=message)
    return True


def _pages(table: dict[str, Node], *, rules: Rules, draft: Draft) -> dict[str, Page]:
    found: dict[str, Page] = {}
    for name, node in table.items():
        check_page_name(name, node=node, draft=draft)
        page = rules.page(name, node=node)
        if page is not None:
            found[name] = page
    return found


def _sections(draft: Draft, *, rules: Rules) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for title, node in draft.sections.table("sections").items():
        rule = rules.read(node, where=f"section {quote(title)}")
        if rule is not None:
            found[title] = rule
    return found


class _Review:
    """Look over a whole policy for what is allowed but probably a mistake."""

    def __init__(
        self, draft: Draft, *, hierarchy: Hierarchy, identity: Identity, tests: tuple[InlineTest, ...]
    ) -> None:
        self._draft = draft
        self._hierarchy = hierarchy
        self._identities = [identity, *identity.providers.values()]
        self._tests = tests

    def roles(self, *, asked: set[str], forbids: tuple[Forbid, ...]) -> None:
        """Warn of roles that change nothing and of roles that nobody gets."""
        draft, hierarchy = self._draft, self._hierarchy
        granting = hierarchy.granting()
        asked = asked | {forbid.who.value for forbid in forbids if forbid.who.kind is WhoKind.ROLE}
        given = {*draft.assigned_roles(), *hierarchy.unsure}
        by_claims = False
        for identity in self._identities:
            given.update(identity.role_names.values())
            by_claims = by_claims or identity.roles is not None
        held = hierarchy.with_ancestors(name for name in given if name is not None)
        matters: set[str] = set()
        for name in hierarchy.order:
            parents = hierarchy.roles[name].inherits
            if name in granting or name in asked or any(parent in matters for parent in parents):
                matters.add(name)
                continue
            if not draft.sections.is_open("pages") and not draft.roles.perhaps_meant(name):
                message = f"role {quote(name)} grants nothing, and no page asks for it; remove it, or give it `allow`"
                draft.ledger.warning(hierarchy.place(name), code="role-grants-nothing", message=message)
        if by_claims or None in given or draft.sections.is_open("assign") or draft.sections.is_open("identity"):
            return
        for name in hierarchy.order:
            if name not in held and not draft.roles.perhaps_meant(name):
                message = f"role {quote(name)} is never assigned and not mapped in `role_names`"
                draft.ledger.warning(hierarchy.place(name), code="role-unassigned", message=message)

    def permissions(self, forbids: tuple[Forbid, ...]) -> frozenset[str]:
        """Warn of permissions that nobody can hold, and return them."""
        draft, hierarchy = self._draft, self._hierarchy
        if hierarchy.unsure or draft.roles.open:
            held = set(draft.permissions.own)
        else:
            held = {name for role in hierarchy.roles.values() for name in role.allow}
        for identity in self._identities:
            held.update(identity.permission_names.values())
        for test in self._tests:
            for membership in test.memberships or ():
                held.update(membership.permissions or ())
        denied = {name for forbid in _for_everyone(forbids) for name in forbid.permissions}
        unheld = []
        for name in draft.permissions.own:
            if name in held and name not in denied:
                continue
            if draft.permissions.perhaps_meant(name):
                continue
            why = "it is forbidden to everyone" if name in denied else "no role allows it"
            message = f"permission {quote(name)} can't be held by anybody: {why}"
            draft.ledger.warning(draft.permissions.places[name], code="permission-unheld", message=message)
            unheld.append(name)
        return frozenset(unheld) | (denied & set(BUILT_IN_PERMISSIONS))

    def pages(
        self,
        pages: dict[str, Page],
        *,
        unheld: frozenset[str],
        forbids: tuple[Forbid, ...],
        separations: tuple[Separation, ...],
    ) -> None:
        """Warn of pages that nobody can open."""
        hierarchy = self._hierarchy

        def inherits(role: str, other: str) -> bool:
            return bool(hierarchy.ancestors(role) & hierarchy.bit(other))

        separated = [frozenset(separation.roles) for separation in separations]
        reach = Reach(unheld=unheld, inherits=inherits, separated=separated)
        denied = {name for forbid in _for_everyone(forbids) for name in forbid.pages}
        for name, page in pages.items():
            if name in denied:
                why = "it is forbidden to everyone"
            elif not reach.possible(page.rule):
                why = "its rule never holds"
            else:
                continue
            pos = self._draft.pages.names[name][KEY_POS]
            message = f"page {quote(name)} can't be opened by anybody: {why}"
            self._draft.ledger.warning(pos, code="page-unreachable", message=message)


def _for_everyone(forbids: tuple[Forbid, ...]) -> list[Forbid]:
    """Return the forbids that hold for everyone in every org; nobody signed in is unknown, so they hold there too."""
    return [forbid for forbid in forbids if forbid.who.kind is WhoKind.EVERYONE and forbid.org is None]
