"""What is known while a policy is built: its sections, its names, and where problems go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stguard.errors import quote
from stguard.policyfile.node import CONTENT, FIELDS, ITEMS, KEY_POS, SPOILT

if TYPE_CHECKING:
    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.moments import Moments
    from stguard.policyfile.names import Catalogue, Declared
    from stguard.policyfile.node import Node
    from stguard.policyfile.reader import Blemishes


class Sections:
    """Hold the sections of all files of a policy, and whether something of them may be missing."""

    def __init__(self, *, ledger: Ledger, blemishes: Blemishes) -> None:
        """Start without any file."""
        self._ledger = ledger
        self._blemishes = blemishes
        self._nodes: dict[str, list[Node]] = {}
        self._cut: set[str] = set()
        self._broken = False

    def add(self, found: list[tuple[str, Node]]) -> None:
        """Add the sections of one file."""
        for name, node in found:
            self._nodes.setdefault(name, []).append(node)
            if node[0] == SPOILT or node[1] in self._blemishes.holes:
                self._cut.add(name)

    def lose(self, *, cut: str | None = None) -> None:
        """Note that a part of a file could not be read; `cut` is the section that was cut short there."""
        self._broken = True
        if cut is not None:
            self._cut.add(cut)

    @property
    def whole(self) -> bool:
        """Tell whether every file could be read to its end."""
        return not self._broken

    def is_open(self, name: str) -> bool:
        """Tell whether the section may hold more than what was read."""
        return name in self._cut or (self._broken and name not in self._nodes)

    def nodes(self, name: str) -> list[Node]:
        """Return the section's node in each file that has it."""
        return self._nodes.get(name, [])

    def items(self, name: str) -> list[Node]:
        """Return the usable entries of a section that is a list, over all files."""
        return [item for node in self.nodes(name) if node[0] == ITEMS for item in node[CONTENT] if item[0] != SPOILT]

    def table(self, name: str) -> dict[str, Node]:
        """Return the entries of a section that is a mapping, over all files; report a key that stands in two files."""
        tables = [node[CONTENT] for node in self.nodes(name) if node[0] == FIELDS]
        if len(tables) == 1:
            only: dict[str, Node] = tables[0]
            return only
        merged: dict[str, Node] = {}
        for table in tables:
            for key, node in table.items():
                if key not in merged:
                    merged[key] = node
                    continue
                first = self._ledger.line(merged[key][KEY_POS], seen_from=node[KEY_POS])
                message = f"key {quote(key)} of {quote(name)} stands here again, first in {first}; keep one of the two"
                self._ledger.error(node[KEY_POS], code="duplicate-key", message=message)
        return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Hold what the builders of all sections need.

    Attributes:
        ledger: where problems go.
        sections: what was read.
        blemishes: what is known to be wrong with mappings.
        moments: reads times and durations.
        permissions: the catalogue.
        roles: the declared roles.
        orgs: the declared orgs.
        pages: the declared pages.
        multi_tenant: whether there are orgs; None when that could not be read.
        any_org: whether every org id is valid.
        now: Unix seconds, for warnings.
    """

    ledger: Ledger
    sections: Sections
    blemishes: Blemishes
    moments: Moments
    permissions: Catalogue
    roles: Declared
    orgs: Declared
    pages: Declared
    multi_tenant: bool | None
    any_org: bool
    now: float

    def assigned_roles(self) -> set[str | None]:
        """Return the role of each assignment, usable or not; None where it could not be read."""
        nodes = [item for node in self.sections.nodes("assign") if node[0] == ITEMS for item in node[CONTENT]]
        roles = [node[CONTENT].get("role") if node[0] == FIELDS else None for node in nodes]
        return {None if role is None else role[CONTENT] for role in roles}

    def org(self, node: Node | None, *, where: str) -> str | None:
        """Return the org that a node names, or None when there is none or that was reported."""
        if node is None or not isinstance(node[CONTENT], str):
            return None
        text: str = node[CONTENT]
        if text in self.orgs.names or (self.any_org and text != "*"):
            return text
        if self.multi_tenant is False:
            message = f"org {quote(text)} in {where}, but the policy has no orgs; remove it, or declare `orgs`"
            self.ledger.error(node[KEY_POS], code="org-given", message=message)
        elif text == "*":
            message = f"org `*` in {where}, only an assignment of a cross-org role may have it; name an org"
            self.ledger.error(node[1], code="org-everywhere", message=message)
        elif self.multi_tenant:
            self.orgs.unknown(node, where=where)
        return None
