"""Names that a policy declares, and the questions whether one is declared and what a wildcard stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stguard.errors import quote
from stguard.model import BUILT_IN_PERMISSIONS
from stguard.policyfile.node import CONTENT, FIELDS, ITEMS, KEY_POS, POS, QUOTED, SPOILT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.node import Node

RESERVED_AREAS: Final = ("page", "policy")
"""Areas in which a policy declares nothing: `page:` asks for pages, `policy:` is built in."""

_RESERVED_NAMES: Final = ("public", "signed_in")
_SEGMENTS: Final = 2


def texts(node: Node | None) -> Iterator[Node]:
    """Yield the text nodes of a list of names, where one may stand alone and spoilt ones are left out."""
    if node is None:
        return
    if node[0] <= QUOTED:
        yield node
    elif node[0] == ITEMS:
        for item in node[2]:
            if item[0] <= QUOTED:
                yield item


def is_clean(text: str) -> bool:
    """Tell whether a text is fit to be a name: not empty, printable, no blanks around it, no `*`."""
    return bool(text) and text.isprintable() and "*" not in text and text == text.strip()


class Declared:
    """Hold the declared names of one kind.

    Attributes:
        kind: what they are, for messages: `role`.
        names: the names.
        open: whether more may be declared where it could not be read; then no name is called unknown.
        tainted: names that were declared wrongly and reported there.
    """

    def __init__(self, kind: str, *, names: Mapping[str, Any], open_ended: bool, ledger: Ledger) -> None:
        """Take the names."""
        self.kind = kind
        self.names = names
        self.open = open_ended
        self.tainted: set[str] = set()
        self._ledger = ledger
        self._meant: set[str] = set()

    def unknown(self, node: Node, *, where: str) -> None:
        """Report that the name in this node is not declared, unless that may be a consequence of another problem."""
        text = node[CONTENT]
        if self.open or text in self.tainted:
            return
        hint = self.nearest(text)
        way_out = hint or f"; declare it in {quote(self.kind + 's')}"
        message = f"unknown {self.kind} {quote(text)} in {where}{way_out}"
        self._ledger.error(node[POS], code=f"unknown-{self.kind}", message=message)

    def nearest(self, text: str) -> str:
        """Return `; did you mean ...?` or nothing, and remember what was perhaps meant."""
        hint = self._ledger.nearest(text, self.names)
        self._meant.add(hint)
        return hint

    def perhaps_meant(self, name: str) -> bool:
        """Tell whether an unknown name was probably this one, so that nobody says that this one is not used."""
        return self.open or f"; did you mean {quote(name)}?" in self._meant


class Catalogue(Declared):
    """Hold the declared permissions, and say what a wildcard stands for."""

    def __init__(self, nodes: list[Node], *, open_ended: bool, ledger: Ledger) -> None:
        """Read the `permissions` sections."""
        self.places: dict[str, int] = {}
        super().__init__("permission", names=self.places, open_ended=open_ended, ledger=ledger)
        self._spoilt_areas: set[str] = set()
        self._unread = False
        for node in nodes:
            if node[0] == FIELDS:
                for area, verbs in node[CONTENT].items():
                    self._declare_area(area, verbs=verbs)
            else:
                self.open = self.open or _has_spoilt(node)
                for name in texts(node):
                    self._declare(name[CONTENT], pos=name[POS])
        self.own = tuple(self.places)
        self.places.update(dict.fromkeys(BUILT_IN_PERMISSIONS, 0))
        self.all = tuple(self.places)
        self._expanded: dict[str, tuple[str, ...]] = {name: (name,) for name in self.all}
        self._by_area: dict[str, list[str]] = {}
        self._by_verb: dict[str, list[str]] = {}
        for permission in self.own:
            segments = permission.split(":")
            if len(segments) == _SEGMENTS:
                self._by_area.setdefault(segments[0], []).append(permission)
                self._by_verb.setdefault(segments[1], []).append(permission)

    def _declare_area(self, area: str, *, verbs: Node) -> None:
        pos = verbs[KEY_POS]
        if area in RESERVED_AREAS or _wrong_form(area):
            self._spoilt_areas.add(area)
            self._refuse(area, pos=pos, is_area=True)
            return
        if verbs[0] == SPOILT or _has_spoilt(verbs):
            self._spoilt_areas.add(area)
            self._unread = True
        for verb in texts(verbs):
            self._declare(f"{area}:{verb[CONTENT]}", pos=verb[POS])

    def _declare(self, name: str, *, pos: int) -> None:
        if _wrong_form(name) or name.partition(":")[0] in RESERVED_AREAS or name in _RESERVED_NAMES:
            self.tainted.add(name)
            self._refuse(name, pos=pos, is_area=False)
        else:
            self.places.setdefault(name, pos)

    def _refuse(self, name: str, *, pos: int, is_area: bool) -> None:
        if _wrong_form(name):
            what = "area" if is_area else "name"
            message = f"expected a permission {what} without blanks, commas and `*`, got {quote(name)}"
            self._ledger.error(pos, code="permission-form", message=message)
        elif name in _RESERVED_NAMES:
            message = f"permission {quote(name)} has the name of a rule; choose another name"
            self._ledger.error(pos, code="reserved-name", message=message)
        else:
            area = quote(name.partition(":")[0])
            why = "is built in" if name.startswith("policy") else "asks for pages"
            message = f"area {area} is reserved: it {why}; choose another area"
            self._ledger.error(pos, code="reserved-area", message=message)

    def name(self, node: Node, *, where: str) -> str | None:
        """Return the one permission that a node names, or None when that was reported."""
        text: str = node[CONTENT]
        if text in self.places:
            return text
        if "*" in text:
            message = (
                f"wildcard {quote(text)} is not allowed in {where}, only in roles and forbids; list the permissions"
            )
            self._ledger.error(node[POS], code="wildcard-place", message=message)
        else:
            self.unknown(node, where=where)
        return None

    def expand(self, node: Node, *, where: str) -> tuple[str, ...]:
        """Return what a permission in a role or a forbid stands for; nothing when that was reported."""
        text: str = node[CONTENT]
        found = self._expanded.get(text)
        if found is not None:
            return found
        if "*" not in text:
            self.unknown(node, where=where)
            return ()
        found = self._match(node, where=where)
        if found:
            self._expanded[text] = found
        return found

    def _match(self, node: Node, *, where: str) -> tuple[str, ...]:
        text: str = node[CONTENT]
        segments = text.split(":")
        if len(segments) != _SEGMENTS or any("*" in segment and segment != "*" for segment in segments):
            message = (
                f"wildcard {quote(text)} in {where}: `*` stands for a whole segment; write `area:*`, `*:verb` or `*:*`"
            )
            self._ledger.error(node[POS], code="wildcard-part", message=message)
            return ()
        area, verb = segments
        if text == "policy:*":
            return BUILT_IN_PERMISSIONS
        if text == "*:*":
            found = tuple(name for names in self._by_area.values() for name in names)
        elif verb == "*":
            found = tuple(self._by_area.get(area, ()))
        else:
            found = tuple(self._by_verb.get(verb, ()))
        if not found and not self._perhaps_declared(area, verb=verb):
            hint = (
                self._ledger.nearest(area, self._by_area) if verb == "*" else self._ledger.nearest(verb, self._by_verb)
            )
            self._meant.add("*")
            message = f"wildcard {quote(text)} in {where} stands for no permission{hint}"
            self._ledger.error(node[POS], code="wildcard-nothing", message=message)
        return found

    def _perhaps_declared(self, area: str, *, verb: str) -> bool:
        """Tell whether something that could not be used would match a wildcard of this area or this verb."""
        if self.open or (verb == "*" and area in self._spoilt_areas) or (area == "*" and self._unread):
            return True
        ends = (f":{verb}",) if area == "*" and verb != "*" else ()
        return any(name.startswith(f"{area}:") or name.endswith(ends) for name in self.tainted)

    def unknown(self, node: Node, *, where: str) -> None:
        """Report that a permission is not declared."""
        text: str = node[CONTENT]
        if text.partition(":")[0] not in self._spoilt_areas:
            super().unknown(node, where=where)

    def perhaps_meant(self, name: str) -> bool:
        """Tell whether an unknown name or an empty wildcard was probably meant to hold this one."""
        return "*" in self._meant or super().perhaps_meant(name)


def _wrong_form(name: str) -> bool:
    return not name or "," in name or "*" in name or name.split() != [name] or not name.isprintable()


def _has_spoilt(node: Node) -> bool:
    return node[0] == SPOILT or (node[0] == ITEMS and any(item[0] == SPOILT for item in node[CONTENT]))
