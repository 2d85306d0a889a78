"""What is told to whoever edits, when an edit is not made."""

from __future__ import annotations

from stguard.errors import StguardError


class EditError(StguardError):
    """Tell who edits why the edit was not made; nothing is changed."""


class TakenError(EditError):
    """Tell who approves that the change waits no longer: it was withdrawn, declined or approved a moment before."""
