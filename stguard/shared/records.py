"""Audit records of all replicas in one stream of the engine, the oldest dropped when there are too many."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.audit import Record
    from stguard.shared.link import Link

KEPT: Final = 100_000
"""Records that are kept, about: the engine drops whole blocks of them."""

PAGE: Final = 1_000
"""Records read in one call."""

_FIELD: Final = "record"

_CODE: Final = "code"


class SharedRecords:
    """Add records to the stream, and read them. A sink for a `Trail`, whose thread waits for it and counts failures."""

    def __init__(self, link: Link, *, keep: int = KEPT) -> None:
        """Take the connection, and how many records are kept."""
        self._link: Final = link
        self._key: Final = link.key("audit")
        self._keep: Final = keep

    def __call__(self, record: Record) -> None:
        """Add one; raises one of the link's `errors` when that can't be done."""
        line = json.dumps(record.as_json())
        fields: dict[Any, Any] = {_FIELD: line, _CODE: self._link.vault.sign("record", line.encode())}
        self._link.ask(lambda client: client.xadd(self._key, fields, maxlen=self._keep, approximate=True))

    def lines(self) -> Iterator[bytes]:
        """Yield what stands there, oldest first, a line of JSON each; raises one of the link's `errors`.

        SECURITY: what no replica wrote is an empty line: it is counted as none. Who can write to the engine can still
        take records away, or put one there twice.
        """
        after = "-"
        while True:
            rows: list[tuple[bytes, dict[bytes, Any]]] = self._link.ask(
                lambda client, after=after: client.xrange(self._key, min=after, count=PAGE)  # type: ignore[misc]  # bound now
            )
            for name, fields in rows:
                after = f"({name.decode()}"
                line, code = fields.get(_FIELD.encode(), b""), fields.get(_CODE.encode(), b"")
                yield line if self._link.vault.is_signed("record", line, code.decode("utf-8", "replace")) else b""
            if len(rows) < PAGE:
                return
