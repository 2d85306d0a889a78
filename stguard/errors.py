"""Errors: one root, and one leaf for each person who must act.

The message is one line, lower case, without a full stop: place first, outside text in backticks, what was expected and
what came, the nearest known name, and the way out after a semicolon.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stguard.model import Decision

QUOTE_LIMIT = 60
"""Longest piece of outside text that a message repeats, in characters."""

KNOWN_LIMIT = 6
"""Most names that a message lists."""


class StguardError(Exception):
    """Be the root of every error that stguard raises on purpose."""


class ConfigurationError(StguardError):
    """Tell the app author that code and policy don't fit, or that a setting is wrong."""


class IdentityError(StguardError):
    """Tell the operator that an identity source or a claim can't be used."""


class AccessDenied(StguardError, PermissionError):  # noqa: N818  the name users know from other frameworks
    """Tell the end user that they may not do this.

    Attributes:
        decision: why; its text names roles and rules and is meant for logs and admins, not for the end user.
    """

    def __init__(self, decision: Decision) -> None:
        """Take the decision that refused."""
        self.decision = decision
        # A rule in words has blanks, and names roles or people: it stays in the decision, for logs.
        what = f" to {quote(decision.action)}" if " " not in decision.action else ""
        super().__init__(f"access denied{what}: {decision.reason.value}")


class Severity(StrEnum):
    """Say whether a problem refuses the policy."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """Describe one thing wrong with a policy file, with its place.

    Attributes:
        file: path as it was given, with `/`.
        line: counted from 1.
        column: counted from 1, in characters.
        severity: `error` refuses the policy, `warning` does not.
        code: short name of the kind of problem, such as `unknown-role`.
        message: one line without place.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        """Return `file:line:column: severity[code] message`."""
        return f"{self.file}:{self.line}:{self.column}: {self.severity.value}[{self.code}] {self.message}"


class PolicyFileError(StguardError):
    """Tell the admin that a policy was refused, with every problem found.

    Attributes:
        problems: all problems, warnings too, sorted by file, line and column.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Take all problems of one reading."""
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        errors = [problem for problem in self.problems if problem.severity is Severity.ERROR]
        shown = [f"{p.file}:{p.line}:{p.column}: {p.message}" for p in errors]
        super().__init__("\n".join(shown))


def quote(text: object) -> str:
    """Return outside text in backticks, on one line, cut at 60 characters.

    >>> quote("amdin")
    '`amdin`'
    """
    flat = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    flat = flat.replace("`", "'")
    return f"`{flat}`" if len(flat) <= QUOTE_LIMIT else f"`{flat[:QUOTE_LIMIT]}…`"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` with the nearest known name, or nothing when none is near.

    >>> nearest("amdin", ["viewer", "admin"])
    '; did you mean `admin`?'
    """
    if len(name) > QUOTE_LIMIT:
        return ""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {quote(match[0])}?" if match else ""


def nearest_or_known(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?`, or the first few known names when none is near.

    >>> nearest_or_known("billing", ["home", "settings"])
    '; known are `home`, `settings`'
    >>> nearest_or_known("hme", ["home", "settings"])
    '; did you mean `home`?'
    """
    names = sorted(known)
    shown = ", ".join(quote(each) for each in names[:KNOWN_LIMIT]) + (", …" if len(names) > KNOWN_LIMIT else "")
    return nearest(name, names) or (f"; known are {shown}" if names else "")
