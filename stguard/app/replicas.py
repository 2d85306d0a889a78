"""What this process shares with other replicas of the app, if anything: one connection, made when it is first named."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from stguard.app import private
from stguard.errors import ConfigurationError
from stguard.moments import LocalMoments
from stguard.shared.replicas import Replicas, chosen
from stguard.sources import propelauth

if TYPE_CHECKING:
    from pathlib import Path

    from stguard.shared.replicas import SharedChoice

_lock: Final = threading.Lock()
_in_force: Final[list[Replicas]] = []


def current() -> Replicas | None:
    """Return what this process shares; None for a process on its own."""
    return _in_force[0] if _in_force else None


def join(choice: SharedChoice | None, *, folder: Path) -> Replicas | None:
    """Connect to the other replicas, as code or the environment says; None for a process on its own.

    The first time it waits a moment for what is there.

    Args:
        choice: as for `configure`.
        folder: the main script's.

    Raises:
        ConfigurationError: the address or the secret can't be used, or another address is in use already.
    """
    shared = chosen(choice)
    with _lock:
        known = current()
        if shared is None or known is not None:
            if known is not None and choice is not None and shared != known.shared:
                raise ConfigurationError("this process shares with other replicas already, at another address or name")
            return known
        secret = private.cookie_secret()
        if secret is None:
            raise ConfigurationError(
                "replicas that share need one secret; set COOKIE_SECRET, or `cookie_secret` in `[auth]`, to the same "
                "long random text on each replica"
            )
        made = Replicas(shared, secret=secret, folder=folder)
        propelauth.share(made.signed_out)
        _in_force.append(made)
        made.start()
        return made


def leave() -> None:
    """End the connection."""
    with _lock:
        while _in_force:
            _in_force.pop().link.close()
            propelauth.share(LocalMoments())
