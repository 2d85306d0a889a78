"""What an edit changes that nobody gains or loses anything by: how pages are shown, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stguard.errors import quote

if TYPE_CHECKING:
    from stguard.model import Page
    from stguard.policy import Policy

ONLY_WRITTEN: Final = "the policy is written otherwise; nobody may do more or less"


def appearance(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return in words how pages that both policies have are shown otherwise in the menu."""
    before, after = old.parts.pages, new.parts.pages
    told = []
    for name in sorted(set(before) & set(after)):
        what = _shown_otherwise(before[name], after[name])
        if what:
            told.append(f"page {quote(name)}: {' and '.join(what)}")
    return tuple(told)


def _shown_otherwise(old: Page, new: Page) -> list[str]:
    told = []
    if old.hidden != new.hidden:
        told.append("it is kept out of the menu" if new.hidden else "the menu lists it")
    if old.on_deny != new.on_deny:
        told.append(f"who may not open it now meets `on_deny: {new.on_deny.value}`")
    return told
