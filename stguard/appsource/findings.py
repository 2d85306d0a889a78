"""What an app's source was found to declare and to ask for. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from stguard.errors import Problem, Severity

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Say where something stands.

    Attributes:
        file: path as the main script's was given, with `/`.
        line: counted from 1.
        column: counted from 1, in characters.
    """

    file: str
    line: int
    column: int

    def problem(self, severity: Severity, code: str, message: str) -> Problem:
        """Return a problem at this place."""
        return Problem(
            file=self.file, line=self.line, column=self.column, severity=severity, code=code, message=message
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPage:
    """Describe a page that the app declares.

    Attributes:
        name: the url path, as the key in `pages:` has it.
        place: where it is declared.
        section: the menu section it stands in; None for none, or when that can't be read.
        path: the file it runs; None for a function or an external link.
        function: name of the function it runs; None for a file or an external link.
        external: whether it only links to another site.
        guarded: whether its function carries `@sg.requires`, which is then its rule.
        hidden: whether `visibility="hidden"` keeps it out of the menu, which does not protect it.
    """

    name: str
    place: Place
    section: str | None = None
    path: Path | None = None
    function: str | None = None
    external: bool = False
    guarded: bool = False
    hidden: bool = False


class Asked(StrEnum):
    """Name what code can ask for by name."""

    PERMISSION = "permission"
    ROLE = "role"
    ORG = "org"
    GROUP = "group"
    PAGE = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Describe one name that code asks for.

    Attributes:
        kind: what the name is a name of.
        name: as it stands in the code.
        verb: the function that asks: `requires`, `authorize`, `can` or `explain`.
        place: where the name stands.
    """

    kind: Asked
    name: str
    verb: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Note an argument that only running the app would tell.

    Attributes:
        what: what could not be read, in words.
        text: the expression.
        place: where it stands.
        matters: whether a check of the app is incomplete for it; an org is expected to be known only at run time.
    """

    what: str
    text: str
    place: Place
    matters: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationCall:
    """Describe a call of `st.navigation` or `sg.navigation`.

    Attributes:
        place: where the function's name begins.
        text: the function as it is written: `st.navigation`.
        line_text: the whole line.
        guarded: whether it is stguard's.
        sections: the titles of its menu sections.
        complete: whether every page it is given could be read.
    """

    place: Place
    text: str
    line_text: str
    guarded: bool
    sections: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSource:
    """Hold what the source of an app says.

    Attributes:
        main: the main script as it was given, with `/`.
        files: every file that was read, in the order of reading.
        pages: the declared pages, in the order of the menu where that can be read.
        demands: every name that code asks for, by file and place.
        navigations: the calls that make the menu.
        unread: arguments that only running the app would tell.
        imports_stguard: whether any file imports stguard.
        problems: what is wrong with the source whatever the policy says, sorted.
    """

    main: str
    files: tuple[str, ...] = ()
    pages: tuple[DeclaredPage, ...] = ()
    demands: tuple[Demand, ...] = ()
    navigations: tuple[NavigationCall, ...] = ()
    unread: tuple[Unread, ...] = ()
    imports_stguard: bool = False
    problems: tuple[Problem, ...] = ()

    @property
    def pages_complete(self) -> bool:
        """Tell whether `pages` holds every page: a menu is made, and all of it could be read."""
        return bool(self.navigations) and all(call.complete for call in self.navigations)
