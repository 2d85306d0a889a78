"""Lay a policy out: indentation, blank lines, line ends. Order, comments, quotes and rows on one line stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from stguard.edits import places
from stguard.edits.errors import EditError
from stguard.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stguard.edits.places import Mark
    from stguard.policy import Policy

STEP: Final = 2
"""Blanks for each level."""

_BOM: Final = "\ufeff"


class Format:
    """Lay out every file of a policy."""

    def apply(self, policy: Policy, texts: Mapping[str, str], *, now: float) -> dict[str, str]:
        """Return the files that change.

        Raises:
            EditError: a file can't be laid out without a change of what it says.
        """
        del policy, now
        laid = {name: laid_out(text, name=name) for name, text in texts.items()}
        return {name: text for name, text in laid.items() if text != texts[name]}


def laid_out(text: str, *, name: str) -> str:
    """Return a text laid out; INVARIANT: only blanks and line breaks differ, and it says the same.

    Args:
        text: a file of a policy.
        name: the file, for the message.

    Raises:
        EditError: that can't be done.
    """
    text = text.removeprefix(_BOM)
    line = places.newline(text)
    found = places.root(text)
    plain = "\n".join(re.split(r"\r\n|\n|\r", text))
    root = places.root(plain)
    if found is None or root is None:
        return text
    laid = _Layout(plain, root).text().replace("\n", line)
    if places.plain(laid) != places.plain(text) or "".join(laid.split()) != "".join(text.split()):
        raise EditError(f"{quote(name)} can't be laid out without changing what it says; lay it out by hand")
    return laid


class _Layout:
    def __init__(self, text: str, root: Mark) -> None:
        self._lines = text.split("\n")
        self._text = text
        self._first: dict[int, tuple[int, int]] = {}
        """By line: the old and the new column of the key or the dash that begins it."""
        self._gaps: dict[int, tuple[int, int]] = {}
        """By line: from where to where blanks after a dash become one."""
        self._inside: set[int] = set()
        """Lines that continue a text: their blanks may be part of it."""
        self._mark(root, 0)

    def text(self) -> str:
        laid: list[str] = []
        for number, line in self._indented():
            if number in self._inside:
                laid.append(line)
                continue
            bare = line.rstrip()
            if bare or (laid and laid[-1]):
                laid.append(bare)
        while laid and not laid[-1]:
            laid.pop()
        return "\n".join(laid) + "\n"

    def _indented(self) -> Iterator[tuple[int, str]]:
        shift = 0
        for number, line in enumerate(self._lines):
            bare = line.lstrip(" ")
            column = len(line) - len(bare)
            if number in self._first:
                old, new = self._first[number]
                if number in self._gaps:
                    start, end = self._gaps[number]
                    bare = f"{line[:start]} {line[end:]}".lstrip(" ")
                shift = new - old
                yield number, " " * new + bare
            elif number not in self._inside and bare.startswith("#"):
                yield number, " " * self._of_comment(number, column, shift) + bare
            elif not bare:
                yield number, line
            else:
                yield number, " " * max(0, column + shift) + bare

    def _of_comment(self, number: int, column: int, shift: int) -> int:
        """Return the column of a comment: the next key's or dash's above which it stood, else moved as they were."""
        for after in range(number + 1, len(self._lines)):
            if after in self._first:
                old, new = self._first[after]
                if old == column:
                    return new
                break
            if self._lines[after].strip() and not self._lines[after].lstrip().startswith("#"):
                break
        return max(0, column + shift)

    def _mark(self, node: Mark, column: int) -> None:
        """Note where the lines of a block go when it begins in a new column."""
        if not isinstance(node.value, list) or node.flow_style:
            self._keep(node)
            return
        before = places.start(node)
        for number, entry in enumerate(node.value):
            if isinstance(entry, tuple):
                key, value = entry
                self._keep(key)
                self._begin(places.start(key), column)
                self._mark(value, column + STEP)
                continue
            dash = places.start(node) if number == 0 else places.skip(self._text, before, until="-")
            before = places.end(entry)
            self._begin(dash, column)
            block = isinstance(entry.value, list) and not entry.flow_style
            line = entry.start_mark.line
            if line == self._line_of(dash):
                left = places.line_start(self._text, dash)
                if block or not isinstance(entry.value, list):
                    self._gaps[line] = (dash + 1 - left, places.start(entry) - left)
            self._mark(entry, column + STEP)

    def _begin(self, pos: int, column: int) -> None:
        line = self._line_of(pos)
        left = places.line_start(self._text, pos)
        if not self._text[left:pos].strip(" "):
            self._first[line] = (pos - left, column)

    def _keep(self, node: Mark) -> None:
        """Note the lines that continue a text."""
        if isinstance(node.value, list):
            for entry in node.value:
                for each in entry if isinstance(entry, tuple) else (entry,):
                    self._keep(each)
            return
        last = node.end_mark.line - (
            1 if node.end_mark.column == 0 and node.end_mark.line > node.start_mark.line else 0
        )
        self._inside.update(range(node.start_mark.line + 1, last + 1))

    def _line_of(self, pos: int) -> int:
        return self._text.count("\n", 0, pos)
