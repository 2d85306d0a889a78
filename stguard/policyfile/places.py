"""Where the parts of a policy stand in its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stguard.policyfile.ledger import Ledger

Place = tuple[str, int, int]
"""File, line and column, both counted from 1."""


class Places:
    """Tell where assignments, permissions, pages and menu sections stand, by their names."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        assignments: Mapping[str, int],
        permissions: Mapping[str, int],
        pages: Mapping[str, int],
        sections: Mapping[str, int],
    ) -> None:
        """Take the positions of what is declared."""
        self._ledger: Final = ledger
        self._assignments: Final = assignments
        self._permissions: Final = permissions
        self._pages: Final = pages
        self._sections: Final = sections

    def assignment(self, name: str) -> Place:
        """Return the place of the assignment with this id."""
        return self._ledger.place(self._assignments[name])

    def permission(self, name: str) -> Place:
        """Return the place where a permission is declared."""
        return self._ledger.place(self._permissions[name])

    def page(self, name: str) -> Place:
        """Return the place of a page's name."""
        return self._ledger.place(self._pages[name])

    def section(self, title: str) -> Place:
        """Return the place of a menu section's title."""
        return self._ledger.place(self._sections[title])
