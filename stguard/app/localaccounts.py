"""Local accounts, as script and gateway ask about them: whether there are any, and whether a login still counts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stguard.accounts.accountsfile import ISSUER, PROVIDER
from stguard.app import private

if TYPE_CHECKING:
    from stguard.accounts.store import AccountStore
    from stguard.model import Claims

__all__ = ["PATH", "PROVIDER", "active", "ended", "start", "use"]

PATH: Final = "/auth/local"
"""Where people sign in, below the app's root."""

_in_force: Final[list[AccountStore]] = []
"""The store of this process, or none: Streamlit has one runtime in a process."""


def use(store: AccountStore | None) -> None:
    """Take the accounts that the server of this process was given; None for none."""
    _in_force[:] = [] if store is None else [store]


def active() -> bool:
    """Tell whether somebody may sign in with a local account."""
    return bool(_in_force)


def ended(claims: Claims) -> bool:
    """Tell whether claims are those of a login with a local account that no longer counts.

    SECURITY: its cookie lives 30 days. Without the accounts, as on a server that is started without them, it counts
    for nobody.
    """
    if claims.get("iss") != ISSUER:
        return False
    return not _in_force or _in_force[0].ends(claims, at=time.time())


def start() -> None:
    """Send the tab to the page where people sign in with a local account."""
    private.leave_for(PATH)
