"""Rules: of pages and sections, with their names checked, and none that can't vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stguard.errors import quote
from stguard.model import (
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    GroupIs,
    Not,
    OnDeny,
    OrgIs,
    Page,
    PermissionIs,
    Public,
    RoleIs,
    SignedIn,
)
from stguard.policyfile.names import is_clean, texts
from stguard.policyfile.node import CONTENT, FIELDS, KEY_POS, POS, QUOTED
from stguard.policyfile.who import domain, email

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stguard.model import Rule
    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node


@dataclass(frozen=True, slots=True)
class Read:
    """Hold a rule that was read.

    Attributes:
        rule: the rule.
        always: its value when that can't vary, else None.
    """

    rule: Rule
    always: bool | None = None


class Rules:
    """Read rules.

    Attributes:
        roles: role names that rules ask for.
    """

    def __init__(self, *, draft: Draft) -> None:
        """Take what the policy declares."""
        self._draft = draft
        self.roles: set[str] = set()

    def read(self, node: Node, *, where: str) -> Rule | None:
        """Return the rule in a node, or None when it was reported."""
        found = self._rule(node, where=where)
        return None if found is None else found.rule

    def _rule(self, node: Node, *, where: str) -> Read | None:
        if node[0] <= QUOTED:
            return Read(Public(), always=True) if node[CONTENT] == "public" else Read(SignedIn())
        if node[0] != FIELDS:
            return None
        parts = [self._part(key, node=value, where=where) for key, value in node[CONTENT].items()]
        usable = [part for part in parts if part is not None]
        if not usable or len(usable) < len(parts) or node[POS] in self._draft.blemishes.holes:
            return None
        return usable[0] if len(usable) == 1 else self._all(usable, node=node, where=where)

    def _part(self, key: str, *, node: Node, where: str) -> Read | None:
        match key:
            case "any":
                return self._any(self._entries(node, where=where), node=node, where=where)
            case "all":
                return self._all(self._entries(node, where=where), node=node, where=where)
            case "not":
                return self._not(self._rule(node, where=where), node=node, where=where)
            case "claim":
                return self._claims(node)
            case "role" | "permission" | "org":
                names = self._declared(key, node=node, where=where)
            case "email" | "domain":
                read = email if key == "email" else domain
                names = [read(name, draft=self._draft) for name in texts(node)]
            case _:
                names = [name[CONTENT] for name in texts(node)]
        found = tuple(dict.fromkeys(name for name in names if name is not None))
        if not found or None in names:
            return None
        return Read(_LEAVES[key](found))

    def _declared(self, key: str, *, node: Node, where: str) -> list[str | None]:
        draft = self._draft
        names: list[str | None] = []
        for name in texts(node):
            if key == "permission":
                names.append(draft.permissions.name(name, where=where))
            elif key == "org":
                names.append(draft.org(name, where=where))
            elif name[CONTENT] in draft.roles.names:
                self.roles.add(name[CONTENT])
                names.append(name[CONTENT])
            else:
                draft.roles.unknown(name, where=where)
                names.append(None)
        return names

    def _claims(self, node: Node) -> Read | None:
        if node[0] != FIELDS:
            return None
        claims: list[Rule] = []
        for claim, values in node[CONTENT].items():
            listed = tuple(dict.fromkeys(value[CONTENT] for value in texts(values)))
            if not listed:
                return None
            claims.append(ClaimIs(claim, listed))
        if not claims:
            return None
        return Read(claims[0] if len(claims) == 1 else AllOf(tuple(claims)))

    def _entries(self, node: Node, *, where: str) -> list[Read] | None:
        if not isinstance(node[CONTENT], list):
            return None
        entries = [self._rule(item, where=where) for item in node[CONTENT]]
        usable = [entry for entry in entries if entry is not None]
        return usable if usable and len(usable) == len(entries) else None

    def _any(self, entries: list[Read] | None, *, node: Node, where: str) -> Read | None:
        if entries is None:
            return None
        always = _folded(entries, deciding=True)
        if always is True:
            message = f"`any` in {where} always holds, because one of its rules does; write `public`"
            self._draft.ledger.warning(node[POS], code="always-true", message=message)
        return Read(AnyOf(tuple(entry.rule for entry in entries)), always)

    def _all(self, entries: list[Read] | None, *, node: Node, where: str) -> Read | None:
        if entries is None:
            return None
        always = _folded(entries, deciding=False)
        if always is True:
            message = f"`all` in {where} always holds, because each of its rules does; write `public`"
            self._draft.ledger.warning(node[POS], code="always-true", message=message)
        return Read(AllOf(tuple(entry.rule for entry in entries)), always)

    def _not(self, entry: Read | None, *, node: Node, where: str) -> Read | None:
        if entry is None:
            return None
        if entry.always is not None:
            got = quote(node[CONTENT]) if node[0] <= QUOTED else "a rule that always holds"
            message = f"`not` in {where} never holds: it negates {got}; remove it, or name what is excluded"
            self._draft.ledger.error(node[POS], code="constant-rule", message=message)
            return None
        return Read(Not(entry.rule))

    def page(self, name: str, *, node: Node) -> Page | None:
        """Return a page with its rule, or None when it was reported."""
        where = f"page {quote(name)}"
        fields = node[CONTENT] if node[0] == FIELDS else {}
        is_long = "rule" in fields
        rule = self.read(fields["rule"] if is_long else node, where=where)
        if rule is None:
            return None
        if not is_long:
            return Page(name, rule)
        menu, on_deny = fields.get("menu"), fields.get("on_deny")
        return Page(
            name,
            rule,
            menu is not None and menu[CONTENT] == "hidden",
            OnDeny.LOCK if on_deny is not None and on_deny[CONTENT] == "lock" else OnDeny.HIDE,
        )


_LEAVES: Final[Mapping[str, Callable[[tuple[str, ...]], Rule]]] = {
    "role": RoleIs,
    "permission": PermissionIs,
    "group": GroupIs,
    "email": EmailIs,
    "domain": DomainIs,
    "org": OrgIs,
}


def _folded(entries: list[Read], *, deciding: bool) -> bool | None:
    """Return the value of several rules together when it can't vary; one that has the deciding value decides."""
    if any(entry.always is deciding for entry in entries):
        return deciding
    return (not deciding) if all(entry.always is (not deciding) for entry in entries) else None


def check_page_name(name: str, *, node: Node, draft: Draft) -> None:
    """Report a page name that no page can have."""
    if name == "*" or (is_clean(name) and not name.startswith("/") and not name.endswith("/")):
        return
    stripped = name.strip().strip("/")
    hint = f"; write {quote(stripped)}" if is_clean(stripped) else ""
    message = f"expected a page's url path without `*`, without blanks and `/` around it, got {quote(name)}{hint}"
    draft.ledger.error(node[KEY_POS], code="name-form", message=message)
