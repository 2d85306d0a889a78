"""Small facts that every replica knows: logins that ended, when somebody was last seen, who asks for access.

A table is a whole copy in each process; looking something up never waits. Times are spans, never moments: the clocks of
replicas differ, and the engine's own counts the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from stguard.shared.link import Client, script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stguard.shared.kept import Kept
    from stguard.shared.link import Link

Heard = Callable[[str, bytes | None], None]
"""What is told of a change that another replica made: the key, and its value or None when it is gone."""

LIMIT: Final = 200_000
"""Most entries of a table; the one that ends first is forgotten first."""

PAGE: Final = 1_000
"""Entries written or read in one call."""

KEEP_EVERY: Final = 5.0
"""Fewest seconds between two writings of a table's keys to the disk."""

SLACK: Final = 60.0
"""Seconds by which the ends of an entry may differ between two replicas that were told of it at different moments."""

_PRUNE_EVERY: Final = 60.0

_PUT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('GET', KEYS[4])
for at = 3, #ARGV, 3 do
  head = redis.call('INCR', KEYS[4])
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[2], head, ARGV[at])
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[at + 2]), ARGV[at])
end
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
if #old > 0 then
  redis.call('HDEL', KEYS[1], unpack(old))
  redis.call('ZREM', KEYS[2], unpack(old))
  redis.call('ZREM', KEYS[3], unpack(old))
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return head
"""

_PULL: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer = {redis.call('GET', KEYS[4]) or '0', #found / 2}
for at = 1, #found, 2 do
  local value = redis.call('HGET', KEYS[1], found[at])
  local ends = redis.call('ZSCORE', KEYS[3], found[at])
  if value and ends then
    answer[#answer + 1] = found[at + 1]
    answer[#answer + 1] = found[at]
    answer[#answer + 1] = value
    answer[#answer + 1] = tostring(math.floor(ends - now))
  end
end
return answer
"""


class Table(Protocol):
    """Hold short-lived entries by key. Safe in threads; nothing waits."""

    def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none, or it has ended."""
        ...

    def put(self, key: str, value: bytes, *, lives: float) -> None:
        """Set a value for some seconds, here at once."""
        ...

    def drop(self, key: str) -> None:
        """Take a value away, here at once."""
        ...

    def left(self, key: str) -> float | None:
        """Return for how many seconds a value still lives; None when there is none."""
        ...

    def items(self) -> Mapping[str, bytes]:
        """Return every value, in the order in which they were first put here."""
        ...

    def listen(self, heard: Heard) -> None:
        """Be told of changes that other replicas make, in a thread of theirs."""
        ...


class _Entry(NamedTuple):
    """Hold one value, None for one that was dropped, and when it ends by this process's clock."""

    value: bytes | None
    ends: float


class LocalTable:
    """Be a table of this process alone."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, limit: int = LIMIT) -> None:
        """Start empty.

        Args:
            clock: seconds that only go forward.
            limit: most entries.
        """
        self._clock: Final = clock
        self._limit: Final = limit
        self._lock: Final = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._heard: Final[list[Heard]] = []
        self._pruned_at = clock()

    def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none, or it has ended."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._clock() < entry.ends else None

    def left(self, key: str) -> float | None:
        """Return for how many seconds a value still lives; None when there is none."""
        entry, now = self._entries.get(key), self._clock()
        return entry.ends - now if entry is not None and entry.value is not None and now < entry.ends else None

    def put(self, key: str, value: bytes, *, lives: float) -> None:
        """Set a value for some seconds, here at once."""
        with self._lock:
            self._set(key, value, lives)

    def drop(self, key: str) -> None:
        """Take a value away, here at once."""
        with self._lock:
            self._entries.pop(key, None)

    def items(self) -> Mapping[str, bytes]:
        """Return every value, in the order in which they were first put here."""
        with self._lock:
            now = self._clock()
            return {key: e.value for key, e in self._entries.items() if e.value is not None and now < e.ends}

    def listen(self, heard: Heard) -> None:
        """Be told of changes that other replicas make: of a table of one process there are none."""
        self._heard.append(heard)

    def _set(self, key: str, value: bytes | None, lives: float) -> None:
        now = self._clock()
        self._entries[key] = _Entry(value, now + lives)
        if len(self._entries) > self._limit or now - self._pruned_at > _PRUNE_EVERY:
            self._pruned_at = now
            kept = {name: entry for name, entry in self._entries.items() if now < entry.ends}
            if len(kept) > self._limit:
                # A tenth at once: else each further entry would cost a look at all of them.
                room = self._limit - self._limit // 10
                for name in sorted(kept, key=lambda name: kept[name].ends)[: len(kept) - room]:
                    del kept[name]
            self._entries = kept


class SharedTable(LocalTable):
    """Be a table of all replicas: what is put here is known to each of them a moment later.

    INVARIANT: an entry that this process knows is not lost with the engine: after a break it is written again.

    Attributes:
        head: key of the number of changes.
        seen: the number up to which this copy is complete; None before the first reading.
    """

    GONE: Final = 86_400.0
    """Seconds for which replicas remember that an entry was dropped."""

    def __init__(
        self,
        link: Link,
        name: str,
        *,
        kept: Kept | None = None,
        only_grows: bool = False,
        is_ours: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
        limit: int = LIMIT,
    ) -> None:
        """Take the connection; the table is one of its parts from now on.

        Args:
            link: the connection.
            name: tells tables apart.
            kept: where its keys are kept on the disk for a start without the engine; None: nowhere. For tables whose
                values are empty.
            only_grows: whether nothing is ever dropped or made shorter. SECURITY: then who can write to the engine
                takes back nothing that this copy knows; it is written again.
            is_ours: tells whether a replica has made a key; others are passed over. None: any counts.
            clock: as for `LocalTable`.
            limit: as for `LocalTable`.
        """
        super().__init__(clock=clock, limit=limit)
        self._kept: Final = kept
        self._only_grows: Final = only_grows
        self._is_ours: Final = is_ours
        self._kept_at: float | None = None
        self._to_keep = False
        self._link: Final = link
        self._name: Final = name
        self._keys: Final = [link.key(f"{name}{each}") for each in ("", ":order", ":ends", ":head")]
        self._waiting: dict[str, _Entry] = {}
        self.head: Final = self._keys[3]
        self.seen: int | None = None
        if kept is not None:
            for key, left in _lives(kept.read(name)).items():
                self._set(key, b"", left)
        link.add(self)

    def put(self, key: str, value: bytes, *, lives: float) -> None:
        """Set a value for some seconds, here at once, elsewhere as soon as it is written."""
        with self._lock:
            self._set(key, value, lives)
            self._waiting[key] = self._entries[key]
            self._to_keep = True
        self._link.wake()

    def drop(self, key: str) -> None:
        """Take a value away, here at once, elsewhere as soon as that is written."""
        with self._lock:
            self._set(key, None, self.GONE)
            self._waiting[key] = self._entries[key]
        self._link.wake()

    @property
    def waits(self) -> int:
        """How many entries are not written yet."""
        return len(self._waiting)

    # --- as a part of the link

    def begin(self, client: Client) -> None:
        """Read everything; what this copy has and the engine has not is written again."""
        there = self._pull(client, since=0)
        with self._lock:
            now = self._clock()
            for key, entry in self._entries.items():
                if key not in there and now < entry.ends:
                    self._waiting.setdefault(key, entry)
        self._link.wake()

    def follow(self, client: Client) -> None:
        """Read what changed."""
        self._pull(client, since=self.seen or 0)

    def flush(self, client: Client) -> None:
        """Write what waits."""
        while self._waiting:
            with self._lock:
                now = self._clock()
                some = dict(list(self._waiting.items())[:PAGE])
            told: list[str | bytes | int] = [self._link.channel, self._name]
            for key, entry in some.items():
                value = b"-" if entry.value is None else b"+" + entry.value
                told += [key, value, max(1, int((entry.ends - now) * 1000))]
            script(client, _PUT, self._keys, told)
            with self._lock:
                for key, entry in some.items():
                    if self._waiting.get(key) is entry:  # not put anew meanwhile
                        del self._waiting[key]

    def _takes_back(self, known: _Entry, value: bytes | None, lives: float) -> bool:
        """Tell whether what the engine has would end something sooner than it is known here, by more than an error."""
        left = known.ends - self._clock()
        return left > 0 and (value is None or lives < left - SLACK)

    def keep(self) -> None:
        """Keep the keys on the disk, from time to time."""
        now = self._clock()
        if self._kept is None or not self._to_keep or (self._kept_at is not None and now - self._kept_at < KEEP_EVERY):
            return
        self._to_keep, self._kept_at = False, now
        with self._lock:
            mine = {key: entry.ends - now for key, entry in self._entries.items() if entry.value is not None}
        # Replicas on one machine may share the folder.
        lives = {**_lives(self._kept.read(self._name)), **mine}
        moments = {key: time.time() + left for key, left in lives.items() if left > 0}
        self._kept.write(self._name, {"ends": moments}, serial=0)

    def _pull(self, client: Client, *, since: int) -> set[str]:
        there: set[str] = set()
        while True:
            answer = script(client, _PULL, self._keys, [since, PAGE])
            head, found, rows = int(answer[0]), int(answer[1]), answer[2:]
            changed = []
            with self._lock:
                for at in range(0, len(rows), 4):
                    since, key = int(float(rows[at])), rows[at + 1].decode("utf-8", "replace")
                    if self._is_ours is not None and not self._is_ours(key):
                        continue
                    value = rows[at + 2][1:] if rows[at + 2][:1] == b"+" else None
                    there.add(key)
                    known = self._entries.get(key)
                    if key in self._waiting:
                        continue  # newer here
                    lives = int(rows[at + 3]) / 1000
                    if self._only_grows and known is not None and self._takes_back(known, value, lives):
                        self._waiting[key] = known
                        continue
                    self._set(key, value, lives)
                    if known is None or known.value != value:
                        changed.append((key, value))
                        self._to_keep = True
            for key, value in changed:
                for heard in self._heard:
                    heard(key, value)
            if found < PAGE:
                self.seen = max(head, since)
                return there


def _lives(document: object) -> dict[str, float]:
    """Return the keys of a document that was kept, with the seconds that are left by this machine's clock."""
    ends = document.get("ends") if isinstance(document, dict) else None
    if not isinstance(ends, dict):
        return {}
    now = time.time()
    return {key: at - now for key, at in ends.items() if isinstance(at, int | float) and at > now}
