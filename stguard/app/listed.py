"""What the menus of an app have listed: each page with its section and what its function demands.

A session knows the menu it built itself. Before that, what the menus of other sessions of the process listed stands in,
so that a question about a page isn't answered more openly than the menu will.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stguard.model import Rule

MOST: Final = 8
"""Most ways remembered in which menus listed one page; an app that makes ever new ones forgets the oldest."""


Listing = tuple[str | None, "Rule | None"]
"""The menu section of a page, None in a list; what `@requires` on its function demands, None for nothing."""

Menu = Mapping[str, Listing]
"""A page's name: how it was listed."""

NOTHING: Final[Menu] = {}
"""The menu of a session that has built none yet."""

_menus: Final[dict[str, Menu]] = {}
"""Main script: the menu that was listed last."""

_pages: Final[dict[tuple[str, str], tuple[Listing, ...]]] = {}
"""Main script and page: the ways in which menus listed it, oldest first."""

_functions: Final[dict[tuple[str, str], tuple[Rule, ...]]] = {}
"""Main script and the name of a function: what `@requires` on functions of that name demands."""


def remember(script: str, menu: Menu) -> Menu:
    """Take a menu as a session listed it. Returns an equal one that sessions share.

    INVARIANT: sessions with the same menu hold the same object, so that the garbage collector visits it once.
    """
    last = _menus.get(script)
    if last == menu:
        return last
    _menus[script] = menu
    for page, listing in menu.items():
        known = _pages.get((script, page), ())
        if listing not in known:
            _pages[script, page] = (*known, listing)[-MOST:]
    return menu


def remember_function(script: str, name: str, rule: Rule) -> None:
    """Take what `@requires` demands of a function, which may turn out to be a page's."""
    known = _functions.get((script, name), ())
    if rule not in known:
        _functions[script, name] = (*known, rule)[-MOST:]


def listings(script: str, page: str) -> tuple[Listing, ...]:
    """Return each way in which menus of this process listed a page; empty when none has."""
    return _pages.get((script, page), ())


def demands(script: str, page: str) -> tuple[Rule, ...]:
    """Return what functions demand that a menu would give that page's name, if they are pages."""
    return _functions.get((script, page), ())
