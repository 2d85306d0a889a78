"""Where problems are gathered, with positions that are resolved to file, line and column only for what is reported."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from stguard import errors
from stguard.errors import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Collection

PROBLEM_LIMIT: Final = 1000
"""Problems of one severity kept for one file; the rest is counted."""

_COMPARISON_LIMIT: Final = 20_000
"""Names compared while looking for nearest ones, in one reading: comparing is slow, and files can be all wrong."""

_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")


class Ledger:
    """Gather the problems of one reading.

    A position is one number: the offset of a file among all files plus the offset of the character in its text. Nodes
    carry it instead of file, line and column, which are worked out only for what is reported.
    """

    def __init__(self) -> None:
        """Start with no file and no problem."""
        self._bases: list[int] = []
        self._names: list[str] = []
        self._texts: list[str] = []
        self._line_starts: dict[int, list[int]] = {}
        self._end = 0
        self._found: dict[tuple[int, Severity, str, str], None] = {}
        self._counts: dict[tuple[int, Severity], int] = {}
        self._comparisons = 0

    def add_file(self, name: str, *, text: str = "") -> int:
        """Register a file under the name that problems show, and return the position of its first character."""
        base = self._end
        self._bases.append(base)
        self._names.append(name)
        self._texts.append(text)
        self._end += len(text) + 1
        return base

    def error(self, pos: int, *, code: str, message: str) -> None:
        """Report what refuses the policy."""
        self._add(pos, severity=Severity.ERROR, code=code, message=message)

    def warning(self, pos: int, *, code: str, message: str) -> None:
        """Report what does not refuse the policy."""
        self._add(pos, severity=Severity.WARNING, code=code, message=message)

    def _add(self, pos: int, *, severity: Severity, code: str, message: str) -> None:
        entry = (pos, severity, code, message)
        if entry in self._found:
            return
        counted = (bisect_right(self._bases, pos) - 1, severity)
        count = self._counts.get(counted, 0) + 1
        self._counts[counted] = count
        if count <= PROBLEM_LIMIT:
            self._found[entry] = None

    @property
    def refused(self) -> bool:
        """Tell whether there is an error."""
        return any(severity is Severity.ERROR for _, severity in self._counts)

    def nearest(self, name: str, known: Collection[str]) -> str:
        """Return `; did you mean ...?` or nothing, as long as looking for it stays cheap."""
        self._comparisons += len(known)
        if self._comparisons > _COMPARISON_LIMIT:
            return ""
        return errors.nearest(name, known)

    def place(self, pos: int) -> tuple[str, int, int]:
        """Return file, line and column, both counted from 1; lines as editors count them."""
        index = bisect_right(self._bases, pos) - 1
        starts = self._line_starts.get(index)
        if starts is None:
            starts = [0, *(match.end() for match in _LINE_BREAK.finditer(self._texts[index]))]
            self._line_starts[index] = starts
        offset = min(pos - self._bases[index], len(self._texts[index]))
        line = bisect_right(starts, offset)
        return self._names[index], line, offset - starts[line - 1] + 1

    def line(self, pos: int, *, seen_from: int) -> str:
        """Return the place of a position as a message names it that stands at another place."""
        file, line, _ = self.place(pos)
        other = self.place(seen_from)[0]
        return f"line {line}" if file == other else f"{errors.quote(file.rpartition('/')[2])} line {line}"

    def problems(self) -> tuple[Problem, ...]:
        """Return everything reported, sorted by place."""
        found = list(self._found)
        for (index, severity), count in self._counts.items():
            if count > PROBLEM_LIMIT:
                message = f"{count - PROBLEM_LIMIT} more problems of severity `{severity.value}` are not listed"
                found.append((self._bases[index] + len(self._texts[index]), severity, "too-many-problems", message))
        listed = []
        for pos, severity, code, message in found:
            file, line, column = self.place(pos)
            listed.append(Problem(file=file, line=line, column=column, severity=severity, code=code, message=message))
        return tuple(sorted(listed))
