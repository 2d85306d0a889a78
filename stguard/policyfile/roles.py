"""Roles: what they inherit and allow, and that nobody inherits from themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.errors import quote
from stguard.model import Role
from stguard.policyfile.names import is_clean, texts
from stguard.policyfile.node import CONTENT, FIELDS, KEY_POS, POS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stguard.policyfile.draft import Draft
    from stguard.policyfile.node import Node

_SHOWN_IN_CIRCLE: Final = 8


class Hierarchy:
    """Hold the roles and who inherits whom.

    Attributes:
        roles: by name, in file order; inheritance that goes in a circle is left out.
        order: role names, parents first.
        unsure: roles of which something could not be read.
    """

    def __init__(self, table: dict[str, Node], *, draft: Draft) -> None:
        """Read the entries of `roles`."""
        self._draft = draft
        self._table = table
        self._parents: dict[str, list[tuple[str, int]]] = {}
        self.unsure: set[str] = set()
        self.roles: dict[str, Role] = {}
        self.order: list[str] = []
        self._ancestors: dict[str, int] = {}
        allowed: dict[str, tuple[str, ...]] = {}
        for name, node in table.items():
            if not is_clean(name):
                message = f"expected a role's name without `*` and without blanks around it, got {quote(name)}"
                draft.ledger.error(node[KEY_POS], code="name-form", message=message)
            allowed[name] = self._read(name, node=node)
        self._sort()
        for name, node in table.items():
            fields = node[CONTENT] if node[0] == FIELDS else {}
            cross_org = fields.get("cross_org")
            parents = tuple(dict.fromkeys(parent for parent, _ in self._parents[name]))
            self.roles[name] = Role(
                name=name,
                inherits=parents,
                allow=allowed[name],
                cross_org=cross_org is not None and cross_org[CONTENT] == "true",
            )

    def _read(self, name: str, *, node: Node) -> tuple[str, ...]:
        """Note the parents of a role, and return what it allows itself."""
        self._parents[name] = []
        if node[0] != FIELDS:
            self.unsure.add(name)
            return ()
        fields = node[CONTENT]
        catalogue = self._draft.permissions
        allow: dict[str, None] = {}
        parents = fields.get("inherits")
        if parents is not None:
            for parent in texts(parents):
                if parent[CONTENT] in self._table:
                    self._parents[name].append((parent[CONTENT], parent[POS]))
                else:
                    self.unsure.add(name)
                    self._refuse_parent(parent, name=name)
        granted = fields.get("allow")
        if granted is not None:
            for permission in texts(granted):
                known = permission[CONTENT]
                if known in catalogue.places:
                    allow[known] = None
                    continue
                found = catalogue.expand(permission, where=f"role {quote(name)}")
                allow.update(dict.fromkeys(found))
                if not found:
                    self.unsure.add(name)
        if node[POS] in self._draft.blemishes.holes or not all(_is_usable(fields.get(key)) for key in _LISTS):
            self.unsure.add(name)
        return tuple(allow)

    def _refuse_parent(self, parent: Node, *, name: str) -> None:
        draft = self._draft
        if draft.roles.open:
            return
        text = parent[CONTENT]
        message = f"unknown parent {quote(text)} of role {quote(name)}{draft.roles.nearest(text)}"
        draft.ledger.error(parent[POS], code="unknown-parent", message=message)

    def _sort(self) -> None:
        """Put parents before children; report each circle and cut it open.

        Walked without recursion: a policy may be a chain of ten thousand roles.
        """
        done: set[str] = set()
        for first in self._table:
            if first in done:
                continue
            path: list[str] = [first]
            on_path = {first: 0}
            waiting = [list(reversed(self._parents[first]))]
            while path:
                name = path[-1]
                if not waiting[-1]:
                    path.pop()
                    waiting.pop()
                    del on_path[name]
                    done.add(name)
                    self.order.append(name)
                    continue
                parent, pos = waiting[-1].pop()
                if parent in on_path:
                    self._refuse_circle(path[on_path[parent] :], pos=pos)
                    self._parents[name] = [entry for entry in self._parents[name] if entry[0] != parent]
                elif parent not in done:
                    on_path[parent] = len(path)
                    path.append(parent)
                    waiting.append(list(reversed(self._parents[parent])))

    def _refuse_circle(self, circle: list[str], *, pos: int) -> None:
        self.unsure.update(circle)
        shown = [*circle, circle[0]]
        if len(shown) > _SHOWN_IN_CIRCLE:
            shown = [*shown[: _SHOWN_IN_CIRCLE - 1], "...", circle[0]]
        chain = " > ".join(quote(name) for name in shown)
        self._draft.ledger.error(pos, code="inheritance-cycle", message=f"roles inherit in a circle: {chain}")

    def ancestors(self, name: str) -> int:
        """Return the role and everything it inherits, as a set of bits by place in `order`."""
        if not self._ancestors:
            for i, role in enumerate(self.order):
                bits = 1 << i
                for parent in self.roles[role].inherits:
                    bits |= self._ancestors[parent]
                self._ancestors[role] = bits
        return self._ancestors[name]

    def bit(self, name: str) -> int:
        """Return the bit of one role."""
        own = self.ancestors(name)
        return 1 << (own.bit_length() - 1)

    def with_ancestors(self, names: Iterable[str]) -> set[str]:
        """Return roles and everything they inherit."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.roles:
                found.add(name)
                waiting.extend(self.roles[name].inherits)
        return found

    def granting(self) -> set[str]:
        """Return the roles that grant a permission, own or inherited, or perhaps do."""
        found: set[str] = set()
        for name in self.order:
            role = self.roles[name]
            if role.allow or name in self.unsure or any(parent in found for parent in role.inherits):
                found.add(name)
        return found

    def place(self, name: str) -> int:
        """Return where a role is declared."""
        return self._table[name][KEY_POS]


_LISTS: Final = ("inherits", "allow", "cross_org")


def _is_usable(node: Node | None) -> bool:
    return node is None or node[CONTENT] is not None
