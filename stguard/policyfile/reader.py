"""From one text to nodes: YAML as an event stream, every scalar as the text that stands there, the risky parts refused.

Source: YAML 1.2.2. Refused on purpose: anchors, aliases, tags, merge keys, several documents, duplicate keys, nesting
deeper than 64. Each is reported, and reading goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import quote
from stguard.policyfile.node import FIELDS, ITEMS, PLAIN, QUOTED, SPOILT, spoil
from stguard.policyfile.source import MARKER

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.node import Node

DEPTH_LIMIT: Final = 64
"""Deepest nesting of lists and mappings."""

_HOPELESS_DEPTH: Final = 1000
"""Nesting at which the rest of the file is not even skipped: libyaml takes quadratic time over it."""


@dataclass(frozen=True, slots=True)
class Blemishes:
    """Remember what was wrong with mappings, by their position, so that nothing follows from it.

    Attributes:
        repeated: what stood under a key that stood there already.
        holes: mappings of which a key could not be read.
    """

    repeated: dict[int, list[tuple[str, Node]]] = field(default_factory=dict)
    holes: set[int] = field(default_factory=set)


_DROPPED: Final = object()
"""Key of a value that is read but not kept."""


@dataclass(frozen=True, slots=True)
class Document:
    """Hold what one file became.

    Attributes:
        root: its node; None when there is none.
        complete: whether everything that stands in the file was read.
        cut: the key of the file that was cut short; None when none was.
    """

    root: Node | None
    complete: bool
    cut: str | None = None


def read(text: str, *, base: int, ledger: Ledger, blemishes: Blemishes, decodable: bool, scrubbed: bool) -> Document:
    """Read one text; report what YAML or this language refuses.

    Args:
        text: the whole file.
        base: position of its first character.
        ledger: where problems go.
        blemishes: where repeated and unreadable keys go.
        decodable: whether all of it was UTF-8; if not, a syntax error is a consequence.
        scrubbed: whether characters were replaced by markers; texts that hold one are spoilt.
    """
    import yaml  # noqa: PLC0415  10 ms that only those pay who read a policy

    reader = _Reader(yaml, text=text, base=base, ledger=ledger, blemishes=blemishes)
    cut = None
    try:
        complete = reader.run()
        if not complete:
            cut = reader.stop()
    except yaml.YAMLError as error:
        cut = reader.stop()
        if decodable:
            _report_syntax(error, text=text, base=base, ledger=ledger)
        complete = False
    root = reader.roots[0] if reader.roots else None
    if complete and (root is None or (root[0] == PLAIN and not root[2])):
        ledger.error(base, code="empty-file", message="expected a policy, got an empty file; start with `stguard: 1`")
        root = None
    if root is not None and scrubbed:
        root = _without_marked(root, blemishes=blemishes)
    return Document(root, complete, cut)


class _Reader:
    """Turn events into nodes.

    A list or mapping is put into its parent when it starts, so a syntax error leaves what was read before.
    """

    def __init__(self, yaml: Any, *, text: str, base: int, ledger: Ledger, blemishes: Blemishes) -> None:  # noqa: ANN401  the module
        """Take the module `yaml`, which is imported late."""
        self._yaml = yaml
        self._next: Callable[[], Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_event
        self._base = base
        self._ledger = ledger
        self._blemishes = blemishes
        self._stack: list[tuple[dict[str, Node] | None, list[Node], int]] = []
        self.roots: list[Node] = []

    def run(self) -> bool:  # noqa: C901, PLR0912, PLR0915  one loop over all events: calls would cost a third of it
        """Read to the end; return whether everything was read."""
        next_event, base, stack = self._next, self._base, self._stack
        scalar, mapping_start = self._yaml.ScalarEvent, self._yaml.MappingStartEvent
        sequence_start, alias = self._yaml.SequenceStartEvent, self._yaml.AliasEvent
        ends = (self._yaml.MappingEndEvent, self._yaml.SequenceEndEvent)
        fields: dict[str, Node] | None = None
        items: list[Node] = self.roots
        key: Any = None
        key_pos = start = base
        while True:
            event = next_event()
            kind = event.__class__
            if kind in ends:
                fields, items, start = stack.pop()
                key = None
                continue
            pos = base + event.start_mark.index
            opened: tuple[dict[str, Node] | None, list[Node]] | None = None
            if kind is scalar:
                if event.anchor is not None or event.tag is not None:
                    self._refuse_properties(event, pos=pos)
                text = event.value
                if fields is not None and key is None:
                    key_pos = pos
                    key = text if text != "<<" or event.style else self._refuse_merge(pos, start=start)
                    continue
                node = (QUOTED if event.style else PLAIN, pos, text, pos if fields is None else key_pos)
            elif kind is mapping_start or kind is sequence_start:
                if event.anchor is not None or event.tag is not None:
                    self._refuse_properties(event, pos=pos)
                is_key = fields is not None and key is None
                if is_key or len(stack) >= DEPTH_LIMIT:
                    self._refuse_subtree(pos, is_key=is_key)
                    if not self._skip():
                        return False
                    if is_key:
                        key = self._drop(start)
                        continue
                    node = (SPOILT, pos, None, pos if fields is None else key_pos)
                elif kind is mapping_start:
                    opened = ({}, items)
                    node = (FIELDS, pos, opened[0], pos if fields is None else key_pos)
                else:
                    opened = (None, [])
                    node = (ITEMS, pos, opened[1], pos if fields is None else key_pos)
            elif kind is alias:
                self._refuse_alias(event, pos=pos)
                if fields is not None and key is None:
                    key = self._drop(start)
                    continue
                node = (SPOILT, pos, None, pos if fields is None else key_pos)
            elif kind is self._yaml.StreamEndEvent:
                return True
            elif kind is self._yaml.DocumentStartEvent and self.roots:
                self._refuse_document(pos)
                return False
            else:
                continue
            if fields is None:
                items.append(node)
            elif key in fields:
                self._repeat(start, key=key, node=node, first=fields[key])
            elif key is not _DROPPED:
                fields[key] = node
            key = None
            if opened is not None:
                stack.append((fields, items, start))
                fields, items = opened
                start = pos

    def stop(self) -> str | None:
        """Drop the entry of a section that an error cut short: what is missing in it was perhaps not forgotten.

        Returns:
            The key of that section, or None when none was open.
        """
        if not self._stack or self.roots[0][0] != FIELDS or not self.roots[0][2]:
            return None
        cut: str
        cut, section = next(reversed(self.roots[0][2].items()))
        content = section[2]
        if len(self._stack) < _ENTRY_DEPTH:
            return cut
        if section[0] == ITEMS and content:
            content[-1] = spoil(content[-1])
        elif section[0] == FIELDS and content:
            name = next(reversed(content))
            content[name] = spoil(content[name])
        return cut

    def _skip(self) -> bool:
        """Pass over the list or mapping that has just started; return whether its end was reached."""
        starts = (self._yaml.MappingStartEvent, self._yaml.SequenceStartEvent)
        ends = (self._yaml.MappingEndEvent, self._yaml.SequenceEndEvent)
        depth = 1
        while depth:
            kind = self._next().__class__
            if kind in starts:
                depth += 1
                if depth > _HOPELESS_DEPTH:
                    return False
            elif kind in ends:
                depth -= 1
        return True

    def _repeat(self, start: int, *, key: str, node: Node, first: Node) -> None:
        line = self._ledger.place(first[3])[1]
        message = f"key {quote(key)} stands here again, first in line {line}; keep one of the two"
        self._ledger.error(node[3], code="duplicate-key", message=message)
        self._blemishes.repeated.setdefault(start, []).append((key, node))

    def _refuse_properties(self, event: Any, *, pos: int) -> None:  # noqa: ANN401  an event of an untyped library
        if event.anchor is not None:
            message = f"anchor {quote('&' + event.anchor)} is not allowed; write the value out where it is needed"
            self._ledger.error(pos, code="anchor", message=message)
        if event.tag is not None:
            message = f"tag {quote(event.tag)} is not allowed; remove it, or quote a text that starts with `!`"
            self._ledger.error(pos, code="tag", message=message)

    def _drop(self, start: int) -> object:
        self._blemishes.holes.add(start)
        return _DROPPED

    def _refuse_merge(self, pos: int, *, start: int) -> object:
        message = "merge key `<<` is not allowed; write the keys out, or let a role inherit another"
        self._ledger.error(pos, code="merge-key", message=message)
        return self._drop(start)

    def _refuse_alias(self, event: Any, *, pos: int) -> None:  # noqa: ANN401  an event of an untyped library
        name = f"*{event.anchor}"
        message = f"alias {quote(name)} is not allowed; write the value out, or quote a text that starts with `*`"
        self._ledger.error(pos, code="alias", message=message)

    def _refuse_subtree(self, pos: int, *, is_key: bool) -> None:
        if is_key:
            message = "expected a text as key, got a list or a mapping"
            self._ledger.error(pos, code="wrong-type", message=message)
        else:
            message = f"expected at most {DEPTH_LIMIT} levels of lists and mappings, got more; this one is not read"
            self._ledger.error(pos, code="too-deep", message=message)

    def _refuse_document(self, pos: int) -> None:
        message = "expected one document, got another one; remove the line `---`, or use a folder of files"
        self._ledger.error(pos, code="several-documents", message=message)


_ENTRY_DEPTH: Final = 3
"""Open lists and mappings within an entry of a section: the file's, the section's, its own."""


def _without_marked(node: Node, *, blemishes: Blemishes) -> Node:
    """Return the node with every text spoilt in which a character was refused."""
    kind, content = node[0], node[2]
    if kind == ITEMS:
        content[:] = [_without_marked(item, blemishes=blemishes) for item in content]
    elif kind == FIELDS:
        for key, value in list(content.items()):
            content[key] = _without_marked(value, blemishes=blemishes)
            if MARKER in key:
                del content[key]
                blemishes.holes.add(node[1])
    elif kind != SPOILT and MARKER in content:
        return spoil(node)
    return node


_HINTS: Final = {
    "*": "; quote a text that starts with `*`",
    "&": "; quote a text that starts with `&`",
    "!": "; quote a text that starts with `!`",
    "\t": "; indent with blanks, not with a tab",
    "@": "; quote a text that starts with `@`",
    "`": "; quote a text that starts with a backtick",
    "%": "; quote a text that starts with `%`",
}


def _report_syntax(error: Any, *, text: str, base: int, ledger: Ledger) -> None:  # noqa: ANN401  an error of an untyped library
    """Report what the YAML parser stumbled over, in its words, with its place."""
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    mark, context_mark = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    index = 0 if mark is None else mark.index
    words = " ".join(str(problem).split()).replace("`", "'")
    context = getattr(error, "context", None)
    if context and context_mark is not None and context_mark.index != index:
        words += f", {context} that starts in line {ledger.place(base + context_mark.index)[1]}"
    # Both places may hold the culprit: of an alias the parser names the character after the `*`.
    hint = _HINTS.get(text[index : index + 1], "")
    if context_mark is not None and text[context_mark.index : context_mark.index + 1] == "*":
        index, hint = context_mark.index, _HINTS["*"]
    ledger.error(base + index, code="syntax", message=f"not YAML: {words}{hint}")
