"""What identity sources said, for all replicas: one asks about a person, and the others read it.

SECURITY: an answer is sealed for its place, so that the engine reads nothing and hands nobody another one's. How old it
is stands inside: it counts by the engine's clock as it did where it was asked for, and an engine that turns its clock
back, or brings an old answer out again, gains no more than `SLACK`.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from stguard.shared.link import Contact, script

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from stguard.shared.link import Link

SLACK: Final = 60.0
"""Seconds by which the clocks of replicas may differ."""

LONGEST: Final = 31 * 86_400.0
"""Most seconds for which an answer is kept there: the engine refuses a number that is too large, and the turn stays."""

_LOOK: Final = """
local time = redis.call('TIME')
local mine = 0
if ARGV[1] ~= '' and redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then mine = 1 end
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('GET', KEYS[1]) or '', mine}
"""

_PUT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[2])
return 1
"""


class Said(NamedTuple):
    """Hold an answer as its replica wrote it, and how many seconds ago it was asked for, at least."""

    text: str
    age: float


class Look(NamedTuple):
    """Say what stands on the shelf.

    Attributes:
        said: the answer; None when there is none that can be read.
        turn: proves that it is this replica's turn to ask; None when it isn't.
    """

    said: Said | None
    turn: Turn | None = None


class Turn(NamedTuple):
    """Prove that one replica asks for all; since when, in the engine's milliseconds and this machine's seconds."""

    token: str
    begun: int
    moment: float


class Shelf:
    """Read and write answers. Each call waits for the link's deadline at most."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time.time) -> None:
        """Take the connection, and what tells this machine's time in Unix seconds."""
        self._link: Final = link
        self._clock: Final = clock

    def name(self, source: str, key: str) -> str:
        """Return the place of what a source says about somebody: a digest, from which nobody finds either."""
        return self._link.vault.name("answer", f"{len(source)} {source} {key}")

    def look(self, name: str, *, turn: float | None = None) -> Look | None:
        """Look for an answer; None when there is no contact.

        Args:
            name: its place.
            turn: also take one's turn to ask, if nobody has it, for so many seconds; None: only look.
        """
        if self._link.contact is not Contact.HELD:
            return None
        token = "" if turn is None else os.urandom(16).hex()
        at = time.monotonic()
        arguments = [token, max(1, int((turn or 0) * 1000))]
        try:
            answer = self._link.ask(lambda client: script(client, _LOOK, self._keys(name), arguments))
        except self._link.errors:
            return None
        now, sealed, mine = int(answer[0]), bytes(answer[1]), int(answer[2])
        said = self._read(name, sealed, now=now, late=time.monotonic() - at) if sealed else None
        return Look(said, Turn(token, now, self._clock()) if mine else None)

    def put(self, name: str, turn: Turn, text: str | None, *, lives: float) -> None:
        """Write an answer that was asked for at one's turn, and end the turn; nothing is written when it was over.

        Args:
            name: its place.
            turn: the turn.
            text: the answer; None for none.
            lives: seconds after the turn began for which it is kept.
        """
        left = int(min(turn.moment + lives - self._clock(), LONGEST) * 1000)
        sealed = b""
        if text is not None and left > 0:
            inside = json.dumps({"said": text, "begun": turn.begun, "moment": turn.moment}).encode()
            sealed = self._link.vault.seal(inside, about=f"answer {name}")
        arguments: list[Any] = [turn.token, sealed, max(1, left)]
        try:
            self._link.ask(lambda client: script(client, _PUT, self._keys(name), arguments))
        except self._link.errors:
            return  # the turn ends by itself

    def _read(self, name: str, sealed: bytes, *, now: int, late: float) -> Said | None:
        opened = self._link.vault.open(sealed, about=f"answer {name}")
        if opened is None:
            return None
        inside = json.loads(opened)
        age = (now - inside["begun"]) / 1000
        if age < 0:
            return None  # the engine's clock was set back: nobody knows how old it is
        return Said(inside["said"], max(age + late, self._clock() - inside["moment"] - SLACK))

    def _keys(self, name: str) -> list[str]:
        return [self._link.key(f"answer:{name}"), self._link.key(f"asking:{name}")]
