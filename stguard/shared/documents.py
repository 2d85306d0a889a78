"""Small documents about people in a table, sealed where the table is shared: the engine reads nothing of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from stguard.shared.table import SharedTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stguard.shared.table import Table
    from stguard.shared.vault import Vault

PATIENCE: Final = 2.0
"""Seconds to wait for the engine to have what was put."""

_POLL: Final = 0.01


class Documents:
    """Hold documents by key."""

    def __init__(self, table: Table, vault: Vault | None = None) -> None:
        """Take where they lie.

        Args:
            table: of this process, or shared.
            vault: seals them; None for a table of this process alone.
        """
        self._table: Final = table
        self._vault: Final = vault

    def name(self, text: str) -> str:
        """Return the key for a text that may say who somebody is."""
        return text if self._vault is None else self._vault.name("document", text)

    def put(self, key: str, document: Mapping[str, Any], *, lives: float) -> None:
        """Set a document for some seconds."""
        data = json.dumps(document).encode()
        self._table.put(key, data if self._vault is None else self._vault.seal(data, about=key), lives=lives)

    def drop(self, key: str) -> None:
        """Take a document away."""
        self._table.drop(key)

    def are_written(self, *, patience: float = PATIENCE) -> bool:
        """Wait until others can see all of them; False when that takes too long. Of one process they always can."""
        deadline = time.monotonic() + patience
        while isinstance(self._table, SharedTable) and self._table.waits:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def all(self) -> dict[str, Any]:
        """Return the documents by key; what no replica with this secret wrote is left out."""
        found = {}
        for key, value in self._table.items().items():
            data = value if self._vault is None else self._vault.open(value, about=key)
            if data is not None:
                found[key] = json.loads(data)
        return found
