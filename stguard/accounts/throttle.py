"""How often somebody may guess passwords. Pure but for what it remembers; the moment is an argument.

Each attempt is charged before the password is looked at, so that a hundred at once count as a hundred, and given back
when it was right. After a few free ones each failure doubles the wait, as a refusal that says how long; nothing sleeps.

NIST SP 800-63B-4, section 3.2.2, asks for at most 100 failures in a row. Taken by the letter, that lets anybody lock
anybody out for ever. Here the 100th failure locks an account for a day at a time against browsers that never signed in
with it; a browser that did has a count of its own ("device cookies" of OWASP), so that its owner still gets in. Any
edit of the account, such as a new password, begins the count anew.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum
from typing import Final

DAY: Final = 86400.0

FIRST: Final = 30.0
"""Seconds of the first wait."""

LOCKED_AFTER: Final = 100
"""Failures in a row after which an attempt a day is left."""

REMEMBERED: Final = 20_000
"""Most counts of one kind that are kept; the one untouched for longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Say how one kind of count grows.

    Attributes:
        free: failures without a wait.
        longest: most seconds of a wait before the lock.
        forgotten: seconds after which a count that nobody touched is forgotten.
    """

    free: int
    longest: float
    forgotten: float

    def wait(self, failures: int) -> float:
        """Return the seconds to wait after that many failures in a row."""
        if failures < self.free:
            return 0.0
        if failures >= LOCKED_AFTER:
            return DAY
        return min(FIRST * 2.0 ** min(failures - self.free, 32), self.longest)


ACCOUNT: Final = Limit(free=5, longest=900.0, forgotten=7 * DAY)
"""One account, by all browsers that never signed in with it."""

BROWSER: Final = Limit(free=5, longest=900.0, forgotten=7 * DAY)
"""One account, by one browser that did."""

ADDRESS: Final = Limit(free=20, longest=900.0, forgotten=3600.0)
"""All accounts, by one address: an office may share one."""


class Counts:
    """Keep the failures of one kind."""

    def __init__(self, limit: Limit, *, remembered: int = REMEMBERED) -> None:
        """Start with none."""
        self._limit: Final = limit
        self._remembered: Final = remembered
        self._failures: Final[dict[str, tuple[int, float]]] = {}

    def wait(self, key: str, *, now: float) -> float:
        """Return the seconds until the next attempt may be made; 0 for now."""
        failures, at = self._known(key, now)
        return max(0.0, at + self._limit.wait(failures) - now)

    def charge(self, key: str, *, now: float) -> None:
        """Count an attempt as failed."""
        failures, _ = self._known(key, now)
        self._failures.pop(key, None)  # the newest stands last
        self._failures[key] = (failures + 1, now)
        if len(self._failures) > self._remembered:
            del self._failures[next(iter(self._failures))]

    def clear(self, key: str) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)

    def give_back(self, key: str) -> None:
        """Take one back."""
        failures, at = self._failures.get(key, (0, 0.0))
        if failures > 1:
            self._failures[key] = (failures - 1, at)
        else:
            self._failures.pop(key, None)

    def _known(self, key: str, now: float) -> tuple[int, float]:
        failures, at = self._failures.get(key, (0, now))
        return (failures, at) if now - at < self._limit.forgotten else (0, now)


class Kind(Enum):
    """Name what failures are counted by. Closed."""

    ACCOUNT = "account"
    UNKNOWN = "unknown"
    """SECURITY: names that nobody has are counted alike, so that a wait doesn't tell which names there are, but apart:
    a flood of invented ones must not push out the count of an account."""
    BROWSER = "browser"
    ADDRESS = "address"

    @property
    def limit(self) -> Limit:
        """How a count of this kind grows."""
        return {Kind.BROWSER: BROWSER, Kind.ADDRESS: ADDRESS}.get(self, ACCOUNT)

    @property
    def waits(self) -> list[float]:
        """The seconds to wait after each number of failures; after more than those, the last."""
        return [self.limit.wait(failures) for failures in range(LOCKED_AFTER + 1)]

    @property
    def clears(self) -> bool:
        """Whether a right password clears the count.

        SECURITY: else it takes back one: who has one password must not, by using it, get to try another's without end.
        """
        return self is not Kind.ADDRESS


class Throttle:
    """Decide whether an attempt may be made now. Used on the event loop only; what it counts is this process's."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._counts: Final = {kind: Counts(kind.limit) for kind in Kind}

    def attempt(self, who: Attempt, *, now: float) -> float:
        """Charge an attempt and return 0, or return the seconds to wait; then it was not charged.

        Args:
            who: what it counts for.
            now: seconds of a clock that never goes back.
        """
        counted = who.counted
        wait = max(self._counts[kind].wait(key, now=now) for kind, key in counted)
        if wait <= 0:
            for kind, key in counted:
                self._counts[kind].charge(key, now=now)
        return wait

    def succeeded(self, who: Attempt) -> None:
        """Take back what an attempt was charged, which turned out right."""
        for kind, key in who.counted:
            if kind.clears:
                self._counts[kind].clear(key)
            else:
                self._counts[kind].give_back(key)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Say what one attempt counts for.

    Attributes:
        account: the account as it is now, or the name that nobody has.
        known: which of the two.
        address: the network address as `network` returns it.
        browser: the proof of a browser that has signed in with this account before; None for any other.
    """

    account: str
    known: bool
    address: str
    browser: str | None = None

    @property
    def counted(self) -> tuple[tuple[Kind, str], ...]:
        """What it is counted by, with the key of each."""
        if self.browser is not None:
            return ((Kind.BROWSER, self.browser),)
        return ((Kind.ACCOUNT if self.known else Kind.UNKNOWN, self.account), (Kind.ADDRESS, self.address))


def network(address: str | None) -> str:
    """Return what addresses of one place have in common: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None or parsed.version == 4:  # noqa: PLR2004  the version of IP
        return str(mapped or parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
