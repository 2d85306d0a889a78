"""Times and durations as a policy writes them, to seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from stguard.errors import quote

if TYPE_CHECKING:
    from stguard.policyfile.ledger import Ledger
    from stguard.policyfile.node import Node

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_PART: Final = re.compile(r"([0-9]+)([smhdw])")


class Moments:
    """Read times and durations, each text once."""

    def __init__(self, *, ledger: Ledger) -> None:
        """Take where problems go."""
        self._ledger = ledger
        self._known: dict[str, float] = {}

    def time(self, node: Node | None) -> float | None:
        """Return Unix seconds, or None when there is no usable time.

        Source: ISO 8601 as `datetime.fromisoformat` reads it, with a zone.
        """
        if node is None or not isinstance(node[2], str):
            return None
        text = node[2]
        if text in self._known:
            return self._known[text]
        try:
            moment = datetime.fromisoformat(text)
            seconds = None if moment.tzinfo is None else moment.astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            message = f"expected a time such as `2026-11-01T00:00:00Z`, got {quote(text)}"
            self._ledger.error(node[1], code="bad-time", message=message)
            return None
        if seconds is None:
            message = f"expected a time with a zone, got {quote(text)}; append `Z` for UTC, after a time of day"
            self._ledger.error(node[1], code="no-zone", message=message)
            return None
        self._known[text] = seconds
        return seconds

    def duration(self, node: Node | None) -> float | None:
        """Return seconds, or None when there is no usable duration."""
        if node is None or not isinstance(node[2], str):
            return None
        text = node[2]
        if _DURATION.fullmatch(text):
            seconds = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
            if seconds > 0:
                return float(seconds)
        message = f"expected a duration above zero such as `12h`, `30m` or `1h30m`, got {quote(text)}"
        self._ledger.error(node[1], code="bad-duration", message=message)
        return None
