"""Check nodes against the description of the language: keys, kinds of values, closed words.

What is wrong is reported and spoilt in place, so that later steps find either what they expect or nothing to look at.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, assert_never

from stguard.errors import quote
from stguard.policyfile.node import FIELDS, ITEMS, PLAIN, QUOTED, SPOILT, is_nothing, spoil
from stguard.policyfile.shape import (
    DEFINITIONS,
    LANGUAGE,
    Choice,
    Items,
    Json,
    Maybe,
    Names,
    Record,
    Ref,
    Split,
    Table,
    Text,
    Truth,
    Version,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.node import Node
    from stguard.policyfile.reader import Blemishes
    from stguard.policyfile.shape import Shape

    Check = Callable[[Node, "Structure"], bool]


class Structure:
    """Check the files of one reading."""

    def __init__(self, *, ledger: Ledger, blemishes: Blemishes) -> None:
        """Take where problems go, and what is known to be wrong with mappings."""
        self.ledger = ledger
        self.blemishes = blemishes

    def sections(self, root: Node) -> list[tuple[str, Node]]:
        """Check what one file holds and return its sections; a section that stands there twice comes twice."""
        if root[0] != FIELDS:
            self.wrong(root, want="a mapping", label="a policy")
            return []
        found: list[tuple[str, Node]] = []
        for name, node in (*root[2].items(), *self.blemishes.repeated.pop(root[1], ())):
            key = LANGUAGE.keys.get(name)
            if key is None:
                self.unknown_key(name, pos=node[3], shape=LANGUAGE)
                self.blemishes.holes.add(root[1])
                continue
            found.append((name, node if _sections()[name](node, self) else spoil(node)))
        return found

    def wrong(self, node: Node, *, want: str, label: str) -> bool:
        """Report a wrong kind of value, unless the node was reported already; return False."""
        if node[0] != SPOILT:
            message = f"expected {want} as {label}, got {_got(node)}{_way_out(node, want=want)}"
            self.ledger.error(node[1], code="wrong-type", message=message)
        return False

    def few(self, node: Node, *, least: int, code: str, label: str) -> bool:
        """Report that there are too few entries; return False."""
        got = len(node[2]) if node[0] in (ITEMS, FIELDS) else 1
        message = f"expected at least {least} {'entry' if least == 1 else 'entries'} in {label}, got {got}"
        self.ledger.error(node[1], code=code, message=message)
        return False

    def settle_repeated(self, node: Node, *, check: Callable[[str, Node], bool], join: bool) -> None:
        """Check what stood under repeated keys too; the first counts, and with `join` the names of all of them."""
        for key, value in self.blemishes.repeated.pop(node[1], ()):
            first = node[2].get(key)  # none, when a character of the key was refused
            if check(key, value) and join and first is not None and first[0] != SPOILT:
                node[2][key] = (ITEMS, first[1], [*_listed(first), *_listed(value)], first[3])

    def unknown_key(self, key: str, *, pos: int, shape: Record) -> None:
        """Report a key that the language does not have."""
        hint = shape.hints.get(key) or self.ledger.nearest(key, shape.keys)
        message = f"unknown key {quote(key)} in {shape.what}{hint}"
        self.ledger.error(pos, code="unknown-key", message=message)

    def excused(self, node: Node) -> bool:
        """Tell whether what is missing may stand under a key that was misspelt or could not be read."""
        return node[1] in self.blemishes.holes

    def missing(self, node: Node, *, names: frozenset[str], shape: Record) -> None:
        """Report keys that must stand in a record, unless they may stand where nothing could be read."""
        for name in () if self.excused(node) else sorted(names):
            doc = shape.keys[name].doc
            message = f"missing key {quote(name)} in {shape.what}: {doc[:1].lower()}{doc[1:].rstrip('.')}"
            self.ledger.error(node[1], code="missing-key", message=message)

    def who(self, node: Node, *, shape: Record, found: frozenset[str]) -> None:
        """Report that a record names nobody, or several."""
        if found:
            given = sorted(found, key=lambda key: int(node[2][key][3]))
            names = ", ".join(quote(key) for key in given)
            message = f"expected one of the keys that say who in {shape.what}, got {names}; write one entry for each"
            self.ledger.error(node[2][given[1]][3], code="who-several", message=message)
        elif not self.excused(node):
            names = ", ".join(quote(key) for key in shape.one_of)
            message = f"expected one of {names} in {shape.what}, got none"
            self.ledger.error(node[1], code="who-missing", message=message)

    def none(self, node: Node, *, shape: Record) -> None:
        """Report that a record has none of the keys of which one must stand there."""
        if not self.excused(node):
            names = ", ".join(quote(key) for key in shape.some_of)
            message = f"expected at least one of {names} in {shape.what}, got none"
            self.ledger.error(node[1], code=shape.some_code, message=message)


@cache
def _sections() -> Mapping[str, Check]:
    """Return the check of each section. Made once: the description of the language does not change."""
    checks = _Checks()
    return {name: checks.check(key.shape, label=quote(name)) for name, key in LANGUAGE.keys.items()}


def forget() -> None:
    """Let go of the checks; the next reading makes them anew, which takes a third of a millisecond.

    They are 1,500 objects that a server's garbage collector visits at each rerun, for a file that is read at edits.
    """
    _sections.cache_clear()


def check_of(shape: Shape, *, label: str) -> Check:
    """Return the check of a shape that is no part of the policy language: another file of the same form."""
    return _Checks().check(shape, label=label)


class _Checks:
    """Make checks from shapes. A check returns whether the node is usable; what is unusable has been reported."""

    def __init__(self) -> None:
        self._definitions: dict[str, Check] = {}

    def check(self, shape: Shape, *, label: str) -> Check:  # noqa: C901, PLR0911, PLR0912  one case for each shape
        """Return the check of a shape; `label` says in messages what the value is."""
        match shape:
            case Text():
                return self._text(shape, label=label)
            case Word():
                return self._word(shape, label=label)
            case Truth():
                return self._truth(label=label)
            case Version():
                return self._version()
            case Names():
                return self._names(shape, label=label)
            case Items():
                return self._items(shape, label=label)
            case Table():
                return self._table(shape, label=label)
            case Record():
                return self._record(shape, label=label)
            case Choice():
                return self._choice(shape, label=label)
            case Split():
                return self._split(shape, label=label)
            case Maybe():
                return self._maybe(shape, label=label)
            case Json():
                return _anything
            case Ref():
                return self._definition(shape)
            case _:
                assert_never(shape)

    def _text(self, shape: Text, *, label: str) -> Check:
        want, empty = shape.want, shape.empty

        def check(node: Node, run: Structure) -> bool:
            if node[0] <= QUOTED and (node[2] or (empty and node[0] == QUOTED)):
                return True
            return run.wrong(node, want=want, label=label)

        return check

    def _word(self, shape: Word, *, label: str) -> Check:
        words = shape.words
        want = " or ".join(quote(word) for word in words)

        def check(node: Node, run: Structure) -> bool:
            if node[0] > QUOTED or not node[2]:
                return run.wrong(node, want=want, label=label)
            if node[2] in words:
                return True
            hint = run.ledger.nearest(node[2], words)
            message = f"unknown {shape.kind} {quote(node[2])} as {label}, expected {want}{hint}"
            run.ledger.error(node[1], code="unknown-word", message=message)
            return False

        return check

    def _truth(self, *, label: str) -> Check:
        def check(node: Node, run: Structure) -> bool:
            if node[0] == PLAIN and node[2] in ("true", "false"):
                return True
            want = "`true` or `false`" + (" without quotes" if node[0] == QUOTED else "")
            return run.wrong(node, want=want, label=label)

        return check

    def _version(self) -> Check:
        def check(node: Node, run: Structure) -> bool:
            if node[0] <= QUOTED and node[2] == "1":
                return True
            if node[0] != SPOILT:
                message = f"expected version `1` of the policy language, got {_got(node)}"
                run.ledger.error(node[1], code="unknown-version", message=message)
            return False

        return check

    def _names(self, shape: Names, *, label: str) -> Check:
        want, least = shape.want, shape.least

        def check(node: Node, run: Structure) -> bool:
            kind, content = node[0], node[2]
            if kind <= QUOTED and content:
                return least <= 1 or run.few(node, least=least, code=shape.code, label=label)
            if kind != ITEMS:
                return run.wrong(node, want=want, label=label)
            for i, item in enumerate(content):
                if item[0] > QUOTED or not item[2]:
                    run.wrong(item, want="a name", label=f"an entry of {label}")
                    content[i] = spoil(item)
            return len(content) >= least or run.few(node, least=least, code=shape.code, label=label)

        return check

    def _items(self, shape: Items, *, label: str) -> Check:
        of = self.check(shape.of, label=f"an entry of {label}")
        least = shape.least

        def check(node: Node, run: Structure) -> bool:
            if node[0] != ITEMS:
                return run.wrong(node, want="a list", label=label)
            content = node[2]
            for i, item in enumerate(content):
                if not of(item, run):
                    content[i] = spoil(item)
            return len(content) >= least or run.few(node, least=least, code=shape.code, label=label)

        return check

    def _table(self, shape: Table, *, label: str) -> Check:
        of = self.check(shape.of, label=f"a value in {label}")
        least, most = shape.least, shape.most
        joins = isinstance(shape.of, Names)

        def check(node: Node, run: Structure) -> bool:
            if node[0] != FIELDS:
                return run.wrong(node, want="a mapping", label=label)
            content = node[2]
            for key, value in content.items():
                if not of(value, run):
                    content[key] = spoil(value)
            run.settle_repeated(node, check=lambda _key, value: of(value, run), join=joins)
            if "" in content:
                message = f"expected a name as key in {label}, got nothing"
                run.ledger.error(content.pop("")[3], code="empty-name", message=message)
                run.blemishes.holes.add(node[1])
            if len(content) < least and node[1] not in run.blemishes.holes:
                return run.few(node, least=least, code=shape.code, label=label)
            if most is not None and len(content) > most:
                message = f"expected {most} {'entry' if most == 1 else 'entries'} in {label}, got {len(content)}"
                run.ledger.error(node[1], code=shape.code, message=message)
                return False
            return True

        return check

    def _record(self, shape: Record, *, label: str) -> Check:
        checks = {
            name: self.check(key.shape, label=f"{quote(name)} of {shape.what}") for name, key in shape.keys.items()
        }
        complete = self._completeness(shape)

        def check_field(key: str, value: Node, run: Structure) -> bool:
            known = checks.get(key)
            return known is not None and known(value, run)

        def check(node: Node, run: Structure) -> bool:
            if node[0] != FIELDS:
                return run.wrong(node, want="a mapping", label=label)
            content = node[2]
            strangers = False
            for key, value in content.items():
                known = checks.get(key)
                if known is None:
                    strangers = True
                elif not known(value, run):
                    content[key] = spoil(value)
            if run.blemishes.repeated:
                run.settle_repeated(node, check=lambda key, value: check_field(key, value, run), join=False)
            if strangers:
                for key in [key for key in content if key not in checks]:
                    run.unknown_key(key, pos=content.pop(key)[3], shape=shape)
                run.blemishes.holes.add(node[1])
            complete(node, run)
            return True

        return check

    def _completeness(self, shape: Record) -> Callable[[Node, Structure], None]:
        """Return what reports keys that are missing in a record, or too many of which only one may stand."""
        required = frozenset(name for name, key in shape.keys.items() if key.required)
        one_of, some_of = frozenset(shape.one_of), frozenset(shape.some_of)

        def complete(node: Node, run: Structure) -> None:
            given = node[2].keys()
            if not required <= given:
                run.missing(node, names=required - given, shape=shape)
            if one_of:
                found = one_of & given
                if len(found) != 1:
                    run.who(node, shape=shape, found=found)
            if some_of and some_of.isdisjoint(given):
                run.none(node, shape=shape)

        return complete

    def _choice(self, shape: Choice, *, label: str) -> Check:
        refuse = self._refuse_choice(shape, label=label)
        text = refuse if shape.text is None else self.check(shape.text, label=label)
        items = refuse if shape.items is None else self.check(shape.items, label=label)
        table = refuse if shape.table is None else self.check(shape.table, label=label)
        by_kind = {PLAIN: text, QUOTED: text, ITEMS: items, FIELDS: table, SPOILT: refuse}

        def check(node: Node, run: Structure) -> bool:
            if node[0] == PLAIN and not node[2]:
                return refuse(node, run)
            return by_kind[node[0]](node, run)

        return check

    def _refuse_choice(self, shape: Choice, *, label: str) -> Check:
        wants: list[str] = []
        if isinstance(shape.text, Word):
            wants += [quote(word) for word in shape.text.words]
        elif shape.text is not None:
            wants.append(shape.text.want)
        wants += ["a list"] if shape.items is not None else []
        wants += ["a mapping"] if shape.table is not None else []
        want = " or ".join(wants)
        return lambda node, run: run.wrong(node, want=want, label=label)

    def _split(self, shape: Split, *, label: str) -> Check:
        long = self.check(shape.long, label=label)
        short = self.check(shape.short, label=label)
        return lambda node, run: long(node, run) if shape.key in node[2] else short(node, run)

    def _maybe(self, shape: Maybe, *, label: str) -> Check:
        of = self.check(shape.of, label=label)
        return lambda node, run: is_nothing(node) or of(node, run)

    def _definition(self, shape: Ref) -> Check:
        name = shape.name
        if name not in self._definitions:
            # The name is taken before its check exists: a definition may contain itself.
            self._definitions[name] = _anything
            self._definitions[name] = self.check(DEFINITIONS[name], label="a rule")

        def check(node: Node, run: Structure) -> bool:
            return self._definitions[name](node, run)

        return check


def _anything(node: Node, run: Structure) -> bool:  # noqa: ARG001  the form of a check
    return node[0] != SPOILT


def _listed(node: Node) -> list[Node]:
    return list(node[2]) if node[0] == ITEMS else [node]


def _got(node: Node) -> str:
    kind, content = node[0], node[2]
    if kind == ITEMS:
        return "a list"
    if kind == FIELDS:
        return "a mapping"
    return quote(content) if content else "nothing"


def _way_out(node: Node, *, want: str) -> str:
    if node[0] != PLAIN or node[2]:
        return ""
    if want == "a mapping":
        return "; write `{}` for an empty one, or remove the key"
    return "; write `[]` for an empty one, or remove the key" if want == "a list" else ""
