"""Counts of what happened, made in any thread without a lock and read exactly."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

Key = TypeVar("Key", bound="Hashable")

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of durations that are counted together, in seconds."""


class Tally:
    """Count one kind of event.

    Attributes:
        add: counts one more; a single call into C, which no other thread can come between.
    """

    __slots__ = ("_lock", "_looks", "add")

    def __init__(self) -> None:
        """Start at zero."""
        self.add: Final[Callable[[], int]] = itertools.count().__next__
        self._lock: Final = threading.Lock()
        self._looks = 0

    def value(self) -> int:
        """Return how often it was counted."""
        with self._lock:
            # To look is to count, too: `+= 1` on a number could lose one that another thread adds.
            counted = self.add() - self._looks
            self._looks += 1
            return counted


class Tallies(Generic[Key]):
    """Count events of several kinds. Callers see to it that the kinds are a closed set."""

    __slots__ = ("_each",)

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        """Start at zero; kinds that are named here are told of before they happen."""
        self._each: Final[dict[Key, Tally]] = {key: Tally() for key in keys}

    def add(self, key: Key) -> None:
        """Count one event of a kind."""
        try:
            self._each[key].add()
        except KeyError:
            self._each.setdefault(key, Tally()).add()

    def values(self) -> dict[Key, int]:
        """Return how often each kind was counted."""
        return {key: tally.value() for key, tally in list(self._each.items())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Count how often a policy was read.

    Attributes:
        loaded: readings that gave a policy.
        refused: readings that gave none.
    """

    loaded: int = 0
    refused: int = 0

    def and_one(self, *, loaded: bool) -> Readings:
        """Return these and one more."""
        return Readings(loaded=self.loaded + loaded, refused=self.refused + (not loaded))


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Say how long calls took.

    Attributes:
        counts: how many took at most each of `BOUNDS` and more than the one before, then those that took longer.
        total: seconds of all together.
    """

    counts: tuple[int, ...]
    total: float


class Stopwatch:
    """Count durations. Threads may share it."""

    __slots__ = ("_counts", "_lock", "_total")

    def __init__(self) -> None:
        """Start with none."""
        self._lock: Final = threading.Lock()
        self._counts: Final = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Count one call."""
        with self._lock:
            self._counts[bisect_left(BOUNDS, seconds)] += 1
            self._total += seconds

    def durations(self) -> Durations:
        """Return what was counted so far."""
        with self._lock:
            return Durations(counts=tuple(self._counts), total=self._total)
