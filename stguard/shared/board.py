"""The policy that all replicas have in force, in the engine: one content at a time, replaced only by who knows it.

Each content has a serial number that only grows, and a code that only a replica can make. A replica never goes back to
a lower serial, whatever the engine has lost; it writes back what it knows.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from stguard import files
from stguard.errors import StguardError
from stguard.model import EMPTY
from stguard.shared.link import Client, script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stguard.shared.link import Link
    from stguard.shared.vault import Vault

_KIND: Final = "policy"
_ENTRY: Final = "policy history"
_LOG: Final = logging.getLogger("stguard")

_READ: Final = """
local serial = redis.call('GET', KEYS[1]) or '0'
local note = redis.call('HGET', KEYS[2], 'note')
if not note then return {serial} end
local answer = {serial, note, redis.call('HGET', KEYS[2], 'code')}
pcall(function()
  for name, digest in pairs(cjson.decode(note).files) do
    answer[#answer + 1] = name
    answer[#answer + 1] = redis.call('HGET', KEYS[3], digest) or ''
  end
end)
return answer
"""

_SAVE: Final = """
local serial = tonumber(redis.call('GET', KEYS[1]) or '0')
local time = redis.call('TIME')
if time[1] * 1000000 + time[2] > tonumber(ARGV[8]) then return {-1, serial} end
if KEYS[5] and redis.call('GET', KEYS[5]) then return {-2, serial} end
if serial ~= tonumber(ARGV[1]) then return {0, serial} end
if KEYS[5] then redis.call('SET', KEYS[5], time[1], 'EX', ARGV[9]) end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'note', ARGV[3], 'code', ARGV[4])
local entries, texts = tonumber(ARGV[6]), tonumber(ARGV[7])
local at = 10
for _ = 1, entries do
  redis.call('RPUSH', KEYS[4], ARGV[at])
  at = at + 1
end
for _ = 1, texts do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('LTRIM', KEYS[4], -tonumber(ARGV[5]), -1)
local named = {}
for _, digest in pairs(cjson.decode(ARGV[3]).files) do named[digest] = true end
for _, line in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do
  pcall(function()
    for _, digest in pairs(cjson.decode(cjson.decode(line).entry).files) do named[digest] = true end
  end)
end
for _, digest in ipairs(redis.call('HKEYS', KEYS[3])) do
  if not named[digest] then redis.call('HDEL', KEYS[3], digest) end
end
redis.call('PUBLISH', ARGV[#ARGV], 'policy')
return {1, tonumber(ARGV[2])}
"""

_RESTORE: Final = """
local serial = tonumber(redis.call('GET', KEYS[1]) or '0')
local mine = tonumber(ARGV[1])
local known = redis.call('HGET', KEYS[2], 'code')
if serial > mine or (serial == mine and known and known > ARGV[3]) then return serial end
if serial == mine and known ~= ARGV[3] then redis.call('DEL', KEYS[5]) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], 'note', ARGV[2], 'code', ARGV[3])
for at = 4, #ARGV - 1, 2 do redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1]) end
redis.call('PUBLISH', ARGV[#ARGV], 'policy')
return mine
"""


_TAKE: Final = """
local now = redis.call('TIME')[1]
local taken = redis.call('GET', KEYS[1])
if taken then return now - taken end
redis.call('SET', KEYS[1], now, 'EX', ARGV[1])
return -1
"""

TAKEN: Final = 31 * 86_400
"""Seconds for which it is known that something was taken: longer than anything waits."""

_LATE: Final = -1
_TAKEN: Final = -2


class TakenMeanwhileError(StguardError):
    """Tell who saves that somebody else took what this was to settle a moment before; nothing has changed."""


class BoardError(StguardError):
    """Tell who edits that the policy could not be saved for all replicas; everything is as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """Hold the files of a policy as one replica put them in force for all.

    Attributes:
        serial: grows with each.
        id: name of the content, twelve hexadecimal digits.
        contents: the files, by name.
        code: proves that a replica wrote it.
    """

    serial: int
    id: str
    contents: Mapping[str, bytes]
    code: str

    @property
    def note(self) -> bytes:
        """Return what the code is made of."""
        return _note(self.serial, self.id, self.contents)

    def as_json(self) -> dict[str, Any]:
        """Return the fields for a copy on the disk."""
        texts = {name: data.decode("utf-8", "surrogateescape") for name, data in self.contents.items()}
        return {"serial": self.serial, "id": self.id, "contents": texts, "code": self.code}


class Board(Protocol):
    """Hold the policy that all replicas have in force, and its history."""

    def current(self) -> Posted | None:
        """Return it as this process knows it; None when there is none. Never waits."""
        ...

    def save(
        self,
        contents: Mapping[str, bytes],
        name: str,
        *,
        expected: str,
        entries: Sequence[Mapping[str, Any]],
        texts: Mapping[str, bytes] = EMPTY,
        keep: int,
        takes: str | None = None,
    ) -> Posted:
        """Put another in its place, if it is still the expected one.

        Args:
            contents: the files, by name.
            name: the id of these contents.
            expected: the id of those that are replaced; empty for none.
            entries: lines for the history, each with `files`, digests by name.
            texts: the contents that only these lines name, by digest.
            keep: how many lines the history keeps.
            takes: name of what waits and is settled by it, in the same step; None for nothing.

        Raises:
            TakenMeanwhileError: somebody else settled that already.
            ChangedMeanwhileError: it is another by now.
            BoardError: it could not be written; nothing has changed.
        """
        ...

    def take(self, name: str) -> int | None:
        """Settle what waits, so that nobody else can: of all who try, at any replica, one succeeds.

        Returns:
            None for the one who does; for the others how many seconds ago it was taken.

        Raises:
            BoardError: it is not known whether it was taken.
        """
        ...

    def entries(self) -> tuple[Mapping[str, Any] | None, ...]:
        """Return the lines of the history, oldest first; None for one that is damaged.

        Raises:
            BoardError: it can't be read.
        """
        ...

    def content(self, digest: str) -> bytes | None:
        """Return a content that the history names; None when it is gone.

        Raises:
            BoardError: it can't be read.
        """
        ...


class SharedBoard:
    """Be the board in the engine, with a copy of what is in force here.

    INVARIANT: the serial of the copy never falls.

    Attributes:
        head: key of the serial.
        seen: the serial up to which the copy is complete; None before the first reading.
    """

    def __init__(self, link: Link, *, known: Posted | None = None) -> None:
        """Take the connection; the board is one of its parts from now on.

        Args:
            link: the connection, not yet started.
            known: what this replica had in force when it ended last; None for nothing.
        """
        self._link: Final = link
        self._lock: Final = threading.Lock()
        self._keys: Final = [link.key(f"policy{each}") for each in (":head", "", ":texts", ":history")]
        # Where one edit takes the place of another with its number, no head tells: everybody begins anew.
        self._epoch: Final = link.key("epoch")
        self._posted: Posted | None = known
        self._heard: Final[list[Callable[[Posted | None], None]]] = []
        self._rejected: bytes | None = None
        self._is_refused = False
        self.head: Final = self._keys[0]
        self.seen: int | None = None
        link.add(self)

    def current(self) -> Posted | None:
        """Return it as this process knows it; None when there is none. Never waits."""
        return self._posted

    @property
    def is_refused(self) -> bool:
        """Tell whether there is a policy in the engine that no replica with this secret wrote."""
        return self._is_refused

    def listen(self, heard: Callable[[Posted | None], None]) -> None:
        """Be told of what is in force whenever it has been read: None when there is nothing."""
        self._heard.append(heard)

    def save(
        self,
        contents: Mapping[str, bytes],
        name: str,
        *,
        expected: str,
        entries: Sequence[Mapping[str, Any]],
        texts: Mapping[str, bytes] = EMPTY,
        keep: int,
        takes: str | None = None,
    ) -> Posted:
        """Put another in its place, if it is still the expected one; see `Board`."""
        posted = self._posted
        if (posted.id if posted is not None else "") != expected:
            raise _changed()
        before = posted.serial if posted is not None else 0
        if not all(_is_text(each) for each in contents):
            raise BoardError("the name of a file is not UTF-8 text, which replicas can't share; rename it")
        made = _posted(before + 1, name, contents, self._link.vault)
        lines = [_line(entry, self._link.vault) for entry in entries]
        named = {**texts, **{files.digest(data): data for data in contents.values()}}
        arguments: list[Any] = [before, made.serial, made.note, made.code, keep, len(lines), len(named)]
        rest: list[Any] = [*lines]
        for digest, data in named.items():
            rest += [digest, data]
        self._write(made, arguments, rest, () if takes is None else (self._taking(takes),))
        self._take(made)
        return made

    def take(self, name: str) -> int | None:
        """Settle what waits, so that nobody else can; see `Board`."""
        key = self._taking(name)
        try:
            ago = int(self._link.ask(lambda client: script(client, _TAKE, [key], [TAKEN])))
        except self._link.errors as error:
            raise BoardError(
                f"it is not known whether that was done ({type(error).__name__}); look again in a moment"
            ) from error
        return None if ago < 0 else ago

    def _taking(self, name: str) -> str:
        return self._link.key(f"taken:{self._link.vault.name('taken', name)}")

    def _write(self, made: Posted, arguments: list[Any], rest: list[Any], taking: Sequence[str]) -> None:
        """Write what is saved, before who saves has waited too long, or not at all."""
        sent = threading.Event()
        keys = [*self._keys, *taking]
        given_up = time.monotonic() + self._link.deadline

        def write(client: Client) -> int:
            # SECURITY: an engine that hangs reads what was sent when it wakes up, perhaps long after who saves was told
            # that nothing has changed. By its own clock it sees that it is too late.
            seconds, parts = client.time()
            left = max(0.0, given_up - time.monotonic())
            until = int(seconds * 1_000_000 + parts + left * 1_000_000)
            sent.set()
            return int(script(client, _SAVE, keys, [*arguments, until, TAKEN, *rest, self._link.channel])[0])

        try:
            done = self._link.ask(write)
        except self._link.errors as error:
            # It may have been written all the same, when only the answer was lost: look before saying so.
            if not sent.is_set() or (written := self._is_written(made)) is False:
                raise _unsaved(type(error).__name__) from error
            if written is None:
                raise BoardError(
                    f"it is not known whether the policy was saved ({type(error).__name__}); look at it in a moment"
                ) from error
        else:
            if done == _LATE:
                raise _unsaved("too late")
            if done == _TAKEN:
                raise TakenMeanwhileError("somebody else was faster; nothing has changed")
            if not done:
                self._catch_up()
                raise _changed()

    def entries(self) -> tuple[Mapping[str, Any] | None, ...]:
        """Return the lines of the history, oldest first; None for one that is damaged."""
        try:
            lines = self._link.ask(lambda client: client.lrange(self._keys[3], 0, -1))
        except self._link.errors as error:
            raise _unread(error) from error
        return tuple(_entry(line, self._link.vault) for line in lines)

    def content(self, digest: str) -> bytes | None:
        """Return a content that the history names; None when it is gone."""
        try:
            found: bytes | None = self._link.ask(lambda client: client.hget(self._keys[2], digest))
        except self._link.errors as error:
            raise _unread(error) from error
        return found

    # --- as a part of the link

    def begin(self, client: Client) -> None:
        """Read what is in force; what this copy has and the engine has lost is written back."""
        there = self._read(client)
        posted = self._posted
        if posted is not None and (self.seen or 0) <= posted.serial and there != posted:
            arguments: list[Any] = [posted.serial, posted.note, posted.code]
            for data in posted.contents.values():
                arguments += [files.digest(data), data]
            script(client, _RESTORE, [*self._keys, self._epoch], [*arguments, self._link.channel])
            self._read(client)

    def follow(self, client: Client) -> None:
        """Read what is in force."""
        self._read(client)

    def _read(self, client: Client) -> Posted | None:
        """Return what stands in the engine, as far as a replica wrote it, after it was taken over."""
        serial, *rest = script(client, _READ, self._keys, [])
        self.seen = int(serial)
        if not rest:
            self._is_refused = False
            self._tell(self._posted)
            return None
        note, code, *pairs = rest
        contents = {pairs[at].decode("utf-8", "replace"): pairs[at + 1] for at in range(0, len(pairs), 2)}
        code = code or b""
        posted = verified(note, contents, code.decode("utf-8", "replace"), vault=self._link.vault)
        if posted is None or posted.serial != self.seen:
            # SECURITY: written by somebody without the secret, or damaged. What is in force here stays.
            self._is_refused = True
            if self._rejected != code:
                self._rejected = code
                _LOG.error("replicas: the shared policy was not written by a replica with this secret; it is refused")
            self._tell(self._posted)
            return None
        self._is_refused = False
        self._take(posted)
        return posted

    def keep(self) -> None:
        """Keep nothing: who asks for the policy keeps it."""

    def flush(self, client: Client) -> None:
        """Write what waits: nothing does, who saves waits for it."""

    def _take(self, posted: Posted) -> None:
        with self._lock:
            known = self._posted
            if known is not None and (posted.serial, posted.code) < (known.serial, known.code):
                return
            self._posted = posted
        self._tell(posted)

    def _tell(self, posted: Posted | None) -> None:
        for heard in self._heard:
            heard(posted)

    def _is_written(self, made: Posted) -> bool | None:
        """Tell whether it stands in the engine; None when that can't be asked."""
        try:
            code = self._link.ask(lambda client: client.hget(self._keys[1], "code"))
        except self._link.errors:
            return None
        return bool(code == made.code.encode())

    def _catch_up(self) -> None:
        """Read what somebody else saved, so that who edits sees it at once; else the link does it in a moment."""
        try:
            self._link.ask(self.follow)
        except self._link.errors:
            return


def verified(note: bytes, contents: Mapping[str, bytes], code: str, *, vault: Vault) -> Posted | None:
    """Return what a replica posted; None when it was not one with this secret, or something is damaged."""
    if not vault.is_signed(_KIND, note, code):
        return None
    told = json.loads(note)
    if told["files"] != {name: files.digest(data) for name, data in contents.items()}:
        return None
    return Posted(serial=told["serial"], id=told["id"], contents=dict(sorted(contents.items())), code=code)


def from_json(told: Any, *, vault: Vault) -> Posted | None:  # noqa: ANN401  what a file held
    """Return what `Posted.as_json` gave; None when it is damaged, or was made with another secret."""
    try:
        contents = {name: text.encode("utf-8", "surrogateescape") for name, text in told["contents"].items()}
        return verified(_note(told["serial"], told["id"], contents), contents, told["code"], vault=vault)
    except (TypeError, KeyError, AttributeError, ValueError):
        return None


def _posted(serial: int, name: str, contents: Mapping[str, bytes], vault: Vault) -> Posted:
    ordered = dict(sorted(contents.items()))
    return Posted(serial=serial, id=name, contents=ordered, code=vault.sign(_KIND, _note(serial, name, ordered)))


def _note(serial: int, name: str, contents: Mapping[str, bytes]) -> bytes:
    digests = {each: files.digest(data) for each, data in contents.items()}
    return json.dumps({"serial": serial, "id": name, "files": digests}, sort_keys=True).encode()


def _line(entry: Mapping[str, Any], vault: Vault) -> bytes:
    told = json.dumps(entry)
    return json.dumps({"entry": told, "code": vault.sign(_ENTRY, told.encode())}).encode()


def _entry(line: bytes, vault: Vault) -> Mapping[str, Any] | None:
    try:
        told = json.loads(line)
        if not vault.is_signed(_ENTRY, told["entry"].encode(), told["code"]):
            return None
        entry: Mapping[str, Any] = json.loads(told["entry"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return entry


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unsaved(why: str) -> BoardError:
    return BoardError(
        f"the policy could not be saved for all replicas ({why}); nothing has changed, try again in a moment"
    )


def _changed() -> files.ChangedMeanwhileError:
    return files.ChangedMeanwhileError("the policy was changed meanwhile; look at it as it is now and try again")


def _unread(error: Exception) -> BoardError:
    return BoardError(f"the history that replicas share can't be read ({type(error).__name__}); try again in a moment")
