"""What one identity source said, kept for the whole process: one call for each person and lifetime, one at a time.

A source is called in a thread of its own, so that a slow one holds no page longer than its deadline. It has no script
run there: an answer is for every session of a person, so that it can't depend on one of them.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nextafter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stguard.claims import agreed
from stguard.errors import ConfigurationError, IdentityError, StguardError, quote
from stguard.model import Claims, Facts, Membership
from stguard.sources.named import named, written_key
from stguard.sources.written import read, written
from stguard.tally import Durations, Stopwatch

if TYPE_CHECKING:
    from stguard.shared.shelf import Look, Shelf

IdentitySource = Callable[[Mapping[str, Any]], Facts]
"""What adds to the claims: claims in, facts out; raising counts as facts that can't be known."""

FAILURE_LIVES: Final = 10.0
"""Seconds before an identity source that failed is asked again about somebody."""

KEYS_LIMIT: Final = 10_000
"""Most people remembered for one source; who has not been asked about for longest is forgotten first."""

LOOK_AGAIN: Final = 0.05
"""Seconds between two looks whether another replica has its answer."""

WORKERS_LIMIT: Final = 32
"""Most calls of one source at the same time."""

OVERDUE_LIMIT: Final = 64
"""Most calls beyond their deadline that don't count as one of those; a source should give up by itself."""

LOGGED_LIMIT: Final = 64
"""Most kinds of trouble remembered as logged."""

LOG_AGAIN: Final = 60.0
"""Seconds before the same trouble is logged again."""

BLOCKED: Final = "This account can't be used here."
"""What a person reads whose account is blocked, where the source has no usable sentence."""

_FACTS: Final = ("roles", "groups", "memberships")

_OF_A_LOGIN: Final = frozenset(
    {"iat", "exp", "nbf", "auth_time", "nonce", "at_hash", "c_hash", "s_hash", "jti", "sid", "rat", "tokens"}
)
"""What a token holds because of the login, not of the person (OpenID Connect Core 1.0, sections 2 and 3.3.2.11)."""

_LOG: Final = logging.getLogger("stguard")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Hold what a source said, or that it could not.

    Attributes:
        facts: what counts now.
        failure: why the source could not be asked, in plain words; None when the facts are its own, however old.
    """

    facts: Facts
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Count what happened to one source since the process began.

    Attributes:
        calls: calls of the source that were begun.
        hits: questions answered from memory.
        stale: questions answered by an old answer, because the source could not be asked.
        failures: calls that failed or passed the deadline.
    """

    calls: int = 0
    hits: int = 0
    stale: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Say for how long answers count, in seconds; the attributes of a source with these names."""

    ttl: float = 60.0
    stale: float = 600.0
    deadline: float = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """What is known about one person.

    Attributes:
        said: the last answer; None when there is none that may still count.
        asked_at: when the call began that brought it.
        again_at: when the source is to be asked again.
        failed: the failure since; None when the last call was answered.
    """

    said: Answer | None
    asked_at: float
    again_at: float
    failed: Answer | None = None


class _Outcome(NamedTuple):
    """What one call came to.

    Attributes:
        facts: what the source said; None when it failed.
        why: why it failed, in plain words.
        lasting: whether it won't pass by itself, so that an old answer doesn't count either.
        logged: what only the log is told.
        asked_at: when another replica asked for it; None for this one's own call.
    """

    facts: Facts | None
    why: str = ""
    lasting: bool = False
    logged: str | None = None
    asked_at: float | None = None


class _Call:
    """One call of the source, and who waits for it."""

    __slots__ = ("answer", "begun", "claims", "done", "key", "runs", "written_off")

    def __init__(self, key: Hashable, claims: Claims, *, begun: float) -> None:
        self.key = key
        self.claims = claims
        self.begun = begun
        self.answer: Answer | None = None
        self.done = threading.Event()
        self.runs = False
        self.written_off = False


class Answers:
    """Remember what one identity source said. Shared by all sessions; safe in threads.

    INVARIANT: an answer counts from the moment its call began, for `ttl`; so a change at the provider counts after that
    time at the latest, also for a session that sat idle.
    """

    def __init__(
        self,
        source: IdentitySource,
        *,
        clock: Callable[[], float] | None = None,
        shelf: Shelf | None = None,
        place: int = 0,
    ) -> None:
        """Take a source.

        Args:
            source: the source, with the optional attributes that `stguard.sources` lists.
            clock: seconds that only go forward; None for `time.monotonic`.
            shelf: where replicas keep what it says for each other; None for a process on its own.
            place: its place among the sources of the app: no two of them read each other's answers.

        Raises:
            ConfigurationError: it is no function, or a limit of it is no number of seconds.
        """
        if not callable(source):
            raise ConfigurationError(f"identity is a function, got {quote(type(source).__name__)}")
        if inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(getattr(source, "__call__", None)):  # noqa: B004  asked whether it is async
            raise ConfigurationError("an identity source is a plain function, got an async one")
        self.source = source
        self.limits: Final = limits_of(source)
        self.place: Final = place
        name = named(source) if shelf is not None and self.limits.ttl > 0 else None
        self._name: Final = f"{place} {name}"
        self._shelf: Final = None if name is None else shelf
        self.needs_tokens: Final = getattr(source, "needs_tokens", False) is True
        self.makes_keys: Final = getattr(source, "key", None) is not None
        self._clock = clock if clock is not None else _monotonic
        self._lock: Final = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}
        self._calls: dict[Hashable, _Call] = {}
        self._queue: deque[_Call] = deque()
        self._workers = 0
        self._overdue = 0
        self._begun = self._hits = self._stale = self._failures = 0
        self._logged: dict[str, float] = {}
        self._answered_at: float | None = None
        self._watch: Final = Stopwatch()

    @property
    def kind(self) -> str:
        """What asks: the class's name for a source of stguard's own, else `custom`."""
        kind = type(self.source)
        return kind.__name__ if kind.__module__.partition(".")[0] == "stguard" else "custom"

    @property
    def answer_age(self) -> float | None:
        """Seconds since the source last answered about anybody; None when it never did."""
        with self._lock:
            return None if self._answered_at is None else self._clock() - self._answered_at

    def durations(self) -> Durations:
        """Return how long the calls took that have ended, also those that nobody waited for any more."""
        return self._watch.durations()

    def counts(self) -> Counts:
        """Return what happened so far."""
        with self._lock:
            return Counts(calls=self._begun, hits=self._hits, stale=self._stale, failures=self._failures)

    def key(self, claims: Claims) -> Hashable | None:
        """Return what tells these claims from those of others; None when the source can't tell."""
        own = getattr(self.source, "key", None)
        if own is None:
            return default_key(claims)
        try:
            key: Hashable = own(claims)
            hash(key)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody is asked about, and unknown never allows
            self._log(_Outcome(None, "the identity source's `key` failed", lasting=True, logged=type(error).__name__))
            return None
        return key

    def get(self, claims: Claims, *, key: Hashable | None = None) -> Answer:
        """Return what the source says: from memory while that counts, else by asking; waits up to the deadline.

        Args:
            claims: whom to ask about, with `tokens` where the source needs them.
            key: `key(claims)` when it is at hand; None to work it out.
        """
        key = self.key(claims) if key is None else key
        if key is None:
            return _UNTOLD
        with self._lock:
            now = self._clock()
            known = self._remembered(key, now)
            if known is not None:
                self._hits += 1
                return known
            call, hire = self._calls.get(key), False
            if call is None or now >= call.begun + self.limits.deadline:
                call, hire = self._begin(key, claims, now)
            patience = call.begun + self.limits.deadline - now
        if hire:
            self._hire(call)
        if not call.done.wait(patience):
            self._give_up(call)
        return call.answer if call.answer is not None else _UNTOLD

    def peek(self, claims: Claims) -> Answer:
        """Return what the source said, from memory only; unknown when that no longer counts. Never waits."""
        key = self.key(claims)
        if key is None:
            return _UNTOLD
        with self._lock:
            known = self._remembered(key, self._clock())
        return known if known is not None else _NOT_ASKED

    def has_asked(self, claims: Claims) -> bool:
        """Tell whether somebody was asked about, and it still counts what came of it. Never waits."""
        return self.peek(claims) not in {_UNTOLD, _NOT_ASKED}

    def forget(self, claims: Claims) -> None:
        """Forget what was said about somebody, so that the next question asks the source."""
        key = self.key(claims)
        with self._lock:
            # What is under way began before, so that it may be older than what made this necessary.
            self._calls.pop(key, None)
            now = nextafter(self._clock(), inf)
            self._put(key, _Entry(None, asked_at=now, again_at=now))

    # --- memory; the lock is held

    def _remembered(self, key: Hashable, now: float) -> Answer | None:
        entry = self._entries.get(key)
        if entry is None or now >= entry.again_at or (entry.said is None and entry.failed is None):
            return None
        self._put(key, entry)
        if entry.failed is None:
            return entry.said
        return self._in_trouble(entry, now)

    def _in_trouble(self, entry: _Entry, now: float) -> Answer | None:
        """Return what counts while the source can't be asked: the old answer up to the hard limit, then nothing."""
        if entry.said is not None and now < entry.asked_at + self.limits.stale:
            self._stale += 1
            return entry.said
        return entry.failed

    def _put(self, key: Hashable, entry: _Entry) -> None:
        self._entries.pop(key, None)  # the one asked about last stands last
        self._entries[key] = entry
        if len(self._entries) > KEYS_LIMIT:
            del self._entries[next(iter(self._entries))]

    # --- calls

    def _begin(self, key: Hashable, claims: Claims, now: float) -> tuple[_Call, bool]:
        """Queue a call; the lock is held. Returns it, and whether a thread must be started for it."""
        call = _Call(key, dict(claims), begun=now)
        self._calls[key] = call
        self._queue.append(call)
        hire = self._workers < WORKERS_LIMIT
        if hire:
            self._workers += 1
        return call, hire

    def _hire(self, call: _Call) -> None:
        try:
            threading.Thread(target=self._work, name="stguard-identity", daemon=True).start()
        except RuntimeError:  # no more threads
            with self._lock:
                self._workers -= 1
            self._settle(call, _Outcome(None, "there is no thread to ask the identity source in"))

    def _work(self) -> None:
        while True:
            with self._lock:
                while self._queue and self._queue[0].done.is_set():
                    self._queue.popleft()  # given up before its turn came
                if not self._queue:
                    self._workers -= 1
                    return
                call = self._queue.popleft()
                call.runs = True
            self._settle(call, self._outcome(call))
            with self._lock:
                if call.written_off:
                    self._overdue -= 1
                    return

    def _outcome(self, call: _Call) -> _Outcome:
        if self._shelf is None:
            return self._ask(call.claims)
        try:
            key = written_key(call.key)
            if key is None:
                return self._ask(call.claims)
            return self._ask_for_all(call, self._shelf, self._shelf.name(self._name, key))
        except Exception as error:  # noqa: BLE001  whatever it is, the facts are unknown, and unknown never allows
            return _Outcome(None, "what replicas share can't be read", logged=type(error).__name__)

    def _ask_for_all(self, call: _Call, shelf: Shelf, name: str) -> _Outcome:
        """Return what another replica was told lately, or ask for all of them, one at a time; without contact, ask."""
        look = shelf.look(name)
        while look is not None:
            facts, asked_at = self._found(call.key, look)
            if facts is not None and self._clock() < asked_at + self.limits.ttl:
                if look.turn is not None:
                    shelf.put(name, look.turn, None, lives=0)
                return _Outcome(facts, asked_at=asked_at)
            if look.turn is not None:
                outcome = self._ask(call.claims)
                text = None if outcome.facts is None else written(outcome.facts)
                shelf.put(name, look.turn, text, lives=max(self.limits.ttl, self.limits.stale))
                return outcome
            if self._clock() >= call.begun + self.limits.deadline:
                return _Outcome(None, "the identity source did not answer another replica in time")
            look = shelf.look(name, turn=self.limits.deadline)
            if look is not None and look.turn is None:
                time.sleep(LOOK_AGAIN)
        return self._ask(call.claims)

    def _found(self, key: Hashable, look: Look) -> tuple[Facts | None, float]:
        """Return what another replica was told, and when it asked, unless something later is known here.

        What is too old to count now may still count while the source can't be asked, as it does where it came from.
        """
        facts = None if look.said is None else read(look.said.text)
        if look.said is None or facts is None:
            return None, -inf
        with self._lock:
            asked_at = self._clock() - look.said.age
            before = self._entries.get(key)
            if before is not None and before.asked_at > asked_at:
                return None, -inf  # SECURITY: or it was forgotten since
            if before is None or before.asked_at < asked_at:
                failure = None if before is None else before.failed
                again_at = asked_at + self.limits.ttl
                self._put(key, _Entry(Answer(facts), asked_at=asked_at, again_at=again_at, failed=failure))
        return facts, asked_at

    def _ask(self, claims: Claims) -> _Outcome:
        with self._lock:
            self._begun += 1
        begun = self._clock()
        try:
            return self._told(claims)
        finally:
            self._watch.add(self._clock() - begun)

    def _told(self, claims: Claims) -> _Outcome:
        try:
            facts: object = self.source(claims)
            if isinstance(facts, Facts):
                facts = _kept(facts)
        except IdentityError as error:
            return _Outcome(None, " ".join(str(error).split()) or "the identity source could not be asked")
        except ConfigurationError as error:
            return _Outcome(None, "the identity source is not set up right", lasting=True, logged=str(error))
        # Below, neither the message nor the traceback is logged: both may hold claims or tokens.
        except BaseException as error:  # noqa: BLE001  whatever it is, the facts are unknown, and unknown never allows
            kind = type(error).__name__
            if not isinstance(error, StguardError) and _is_of_the_network(error):
                return _Outcome(None, "the identity source could not be reached", logged=kind)
            return _Outcome(None, "the identity source failed", lasting=True, logged=kind)
        if not isinstance(facts, Facts) or not isinstance(facts.claims, Mapping):
            kind = (
                f"{type(facts).__name__} instead of Facts"
                if not isinstance(facts, Facts)
                else "its `claims` are no mapping"
            )
            return _Outcome(None, "the identity source gave no usable answer", lasting=True, logged=kind)
        return _Outcome(facts)

    def _settle(self, call: _Call, outcome: _Outcome) -> None:
        """Take over what a call brought, and let go who waits for it."""
        if outcome.facts is None and not call.done.is_set():
            self._log(outcome)
        with self._lock:
            now, waited_for = self._clock(), not call.done.is_set()
            since = call.begun if outcome.asked_at is None else outcome.asked_at
            if outcome.asked_at is not None:
                self._hits += 1
            elif outcome.facts is not None:
                self._answered_at = now
            if outcome.facts is None and not waited_for:
                return  # given up already
            if self._calls.get(call.key) is call:
                del self._calls[call.key]
            elif waited_for:
                # SECURITY: forgotten meanwhile, or overtaken. It answers who waits for it, and nobody later.
                call.answer = Answer(outcome.facts) if outcome.facts is not None else failed(outcome.why)
                call.done.set()
                return
            before = self._entries.get(call.key)
            if outcome.facts is not None:
                entry = _Entry(Answer(outcome.facts), asked_at=since, again_at=since + self.limits.ttl)
                call.answer = entry.said
            else:
                self._failures += 1
                said = before.said if before is not None and not outcome.lasting else None
                asked_at = before.asked_at if before is not None and said is not None else call.begun
                failure = failed(outcome.why)
                entry = _Entry(said, asked_at=asked_at, again_at=now + FAILURE_LIVES, failed=failure)
                call.answer = self._in_trouble(entry, now)
            # SECURITY: a call that comes back late must not undo what a later one found out.
            if before is None or before.asked_at <= since:
                self._put(call.key, entry)
            call.done.set()

    def _give_up(self, call: _Call) -> None:
        """End the waiting for a call that passed its deadline; what it still brings counts when it comes."""
        with self._lock:
            if call.done.is_set():
                return
            if call.runs and self._overdue < OVERDUE_LIMIT:
                call.written_off = True
                self._overdue += 1
                self._workers -= 1
        self._settle(call, _Outcome(None, "the identity source did not answer in time"))

    def _log(self, outcome: _Outcome) -> None:
        text = outcome.why if outcome.logged is None else f"{outcome.why}: {outcome.logged}"
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
        now = self._clock()
        with self._lock:
            last = self._logged.get(text)
            if last is not None and now - last < LOG_AGAIN:
                return
            if len(self._logged) >= LOGGED_LIMIT:
                self._logged.clear()
            self._logged[text] = now
        if outcome.lasting:
            _LOG.error("%s; what it would add is unknown", text)
        else:
            _LOG.warning("%s; what it last said counts for up to %g s, then it is unknown", text, self.limits.stale)


def limits_of(source: IdentitySource) -> Limits:
    """Return the limits that a source states, with the defaults for what it doesn't.

    Raises:
        ConfigurationError: one is no number of seconds.
    """
    found = {}
    for name in ("ttl", "stale", "deadline"):
        value = getattr(source, name, getattr(Limits(), name))
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
            raise ConfigurationError(f"`{name}` of an identity source is seconds from 0, got {quote(value)}")
        found[name] = float(value)
    return Limits(**found)


def default_key(claims: Claims) -> bytes:
    """Return what tells these claims from those of others: all of them, but what changes with each login."""
    counts = sorted((str(name), repr(value)) for name, value in claims.items() if name not in _OF_A_LOGIN)
    return hashlib.blake2b(repr(counts).encode("utf-8", "backslashreplace"), digest_size=32).digest()


def _kept(facts: Facts) -> Facts:
    """Return facts as they can be read again and again.

    SECURITY: an answer counts for many subjects. What can be read only once would be empty from the second on, and an
    empty list is known: a forbid on a group in it would no longer apply.
    """
    memberships: Any = _read(facts.memberships)
    if isinstance(memberships, tuple):
        memberships = tuple(map(_kept_membership, memberships))
    return replace(facts, roles=_read(facts.roles), groups=_read(facts.groups), memberships=memberships)


def _kept_membership(entry: object) -> object:
    if isinstance(entry, Membership):
        return replace(entry, roles=_read(entry.roles), permissions=_read(entry.permissions))
    if isinstance(entry, Mapping):
        return {**entry, **{name: _read(entry[name]) for name in ("roles", "permissions") if name in entry}}
    return entry


def _read(values: Any) -> Any:  # noqa: ANN401  a source may give anything
    """Return listed values as a tuple; what is no list as it is, to be judged where claims become a subject."""
    return values if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable) else tuple(values)


def failed(why: str) -> Answer:
    """Return the answer of a source that could not be asked."""
    return Answer(
        Facts(roles=None, groups=None, memberships=None, unknown=dict.fromkeys(_FACTS, why)),
        failure=why,
    )


def joined(answers: Sequence[Answer]) -> Facts:
    """Join what several sources say: values add up, and what one doesn't know stays unknown."""
    if len(answers) == 1:
        return answers[0].facts
    roles: list[str] = []
    groups: list[str] = []
    memberships: list[Membership] = []
    unknown: dict[str, str] = {}
    whole = Facts()
    for answer in answers:
        facts = answer.facts
        for name, values, into in (
            ("roles", facts.roles, roles),
            ("groups", facts.groups, groups),
            ("memberships", facts.memberships, memberships),
        ):
            if values is None:
                unknown.setdefault(name, facts.unknown.get(name) or f"an identity source could not say the {name}")
            else:
                _extend(into, values)
        for name, why in facts.unknown.items():
            unknown.setdefault(name, why)
        whole = replace(
            whole,
            complete=(*whole.complete, *facts.complete),
            blocked=whole.blocked if whole.blocked is not None else facts.blocked,
            active_org=whole.active_org if whole.active_org is not None else facts.active_org,
            impersonator=whole.impersonator if whole.impersonator is not None else facts.impersonator,
        )
    return replace(
        whole,
        roles=tuple(roles),
        groups=tuple(groups),
        memberships=tuple(memberships),
        unknown=unknown,
        claims=agreed(answer.facts.claims for answer in answers),
    )


def _extend(into: list[Any], values: object) -> None:
    # A source may give any iterable, or a single text; what it is, is judged where claims become a subject.
    if isinstance(values, tuple | list | set | frozenset):
        into.extend(values)
    else:
        into.append(values)


def _is_of_the_network(error: BaseException) -> bool:
    """Tell whether it is about reaching somebody. What requests raises is an OSError; what httpx raises is not."""
    httpx = sys.modules.get("httpx")
    return isinstance(error, OSError) or (httpx is not None and isinstance(error, httpx.TransportError))


def _monotonic() -> float:
    return time.monotonic()


_UNTOLD: Final = failed("the identity source could not be asked")
_NOT_ASKED: Final = failed("the identity source has not been asked yet")
