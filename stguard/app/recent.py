"""What this process remembers for admins: who signed in, what was refused, who asked for access. In memory, bounded.

SECURITY: it holds claims and names, so it is shown by the admin page only, to who may see the policy; it is never
written anywhere, but for requests, which replicas share sealed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from stguard.model import Reason
from stguard.shared.documents import Documents
from stguard.shared.table import LocalTable

if TYPE_CHECKING:
    from stguard.model import Claims, Decision, Facts, Subject

PEOPLE_KEPT: Final = 500
"""Most people remembered; the ones seen longest ago are forgotten first."""

REFUSALS_KEPT: Final = 200
"""Most refusals remembered, the same thing refused to the same person once."""

REFUSALS_OF_ONE: Final = 20
"""Most of them by one person, so that nobody can push out everybody else's."""

REQUESTS_KEPT: Final = 100
"""Most requests that wait for an admin; further ones are turned away, so that nobody can push out what waits."""

REQUESTS_OF_ONE: Final = 5
"""Most of them by one person."""

REQUESTS_LIVE: Final = 30 * 86_400.0
"""Seconds for which a request waits."""

PAUSE: Final = 10.0
"""Seconds between two requests of one person."""

REASON_LENGTH: Final = 300
"""Longest reason of a request, in characters."""

_TOLD: Final = frozenset(Reason) - {Reason.NOT_SIGNED_IN}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Remember who signed in, so that it can be asked what they may do now.

    Attributes:
        key: what tells them apart: `iss|sub`, else the verified e-mail.
        claims: their claims.
        facts: what the identity sources said.
        name: a name to show; None for none.
        email: the verified e-mail; None for none.
        at: when they were last seen, Unix seconds.
    """

    key: str
    claims: Claims
    facts: Facts
    name: str | None
    email: str | None
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Remember that something was refused.

    Attributes:
        person: the key of who was refused.
        name: what to call them.
        action: a permission, `page:NAME`, or `rule` for what code demanded.
        org: the org that was asked in; None for none.
        reason: why, when it was refused last.
        missing: what would have changed it then, in plain words for admins.
        at: when it was refused last, Unix seconds.
        times: how often.
    """

    person: str
    name: str
    action: str
    org: str | None
    reason: Reason
    missing: tuple[str, ...]
    at: float
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Remember that somebody asks for access.

    Attributes:
        person: their key.
        name: what to call them.
        action: `page:NAME`.
        org: the org they ask for; None for none.
        reason: why, as they wrote it: outside text.
        at: when, Unix seconds.
    """

    person: str
    name: str
    action: str
    org: str | None
    reason: str
    at: float

    @property
    def line(self) -> tuple[str, str, str | None]:
        """Return what tells requests apart."""
        return self.person, self.action, self.org


class Recent:
    """Remember people, refusals and requests of one app. Threads may share it.

    Attributes:
        takes_requests: whether there is an admin page on which somebody would see a request.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self.takes_requests = False
        self._requests = Documents(LocalTable())
        self._asked_at: Final[OrderedDict[str, float]] = OrderedDict()
        self._lock: Final = threading.Lock()
        self._people: Final[OrderedDict[str, Seen]] = OrderedDict()
        self._refusals: Final[OrderedDict[tuple[str, str, str | None], Refusal]] = OrderedDict()

    def saw(self, subject: Subject, claims: Claims, facts: Facts) -> None:
        """Remember somebody who is signed in; who has neither id nor e-mail can't be told apart and isn't."""
        key = key_of(subject)
        if key is None:
            return
        seen = Seen(key=key, claims=claims, facts=facts, name=subject.name, email=subject.email, at=time.time())
        with self._lock:
            self._people[key] = seen
            self._people.move_to_end(key)
            if len(self._people) > PEOPLE_KEPT:
                self._people.popitem(last=False)

    def refused(self, subject: Subject | None, decision: Decision) -> None:
        """Remember a refusal to somebody who is signed in."""
        key = None if subject is None else key_of(subject)
        if subject is None or key is None or decision.allowed or decision.reason not in _TOLD:
            return
        line = (key, decision.action, decision.org)
        refusal = Refusal(
            person=key,
            name=called(subject) or key,
            action=decision.action,
            org=decision.org,
            reason=decision.reason,
            missing=decision.missing,
            at=decision.at,
        )
        with self._lock:
            before = self._refusals.pop(line, None)
            self._refusals[line] = refusal if before is None else replace(refusal, times=before.times + 1)
            self._forget(key)

    def _forget(self, person: str) -> None:
        counts = Counter(known for known, _, _ in self._refusals)
        if counts[person] > REFUSALS_OF_ONE:
            del self._refusals[next(line for line in self._refusals if line[0] == person)]
        elif len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)

    def ask(self, request: Request) -> bool:
        """Take a request. Returns False when it is one too many, or too soon after the last by the same person."""
        with self._lock:
            known = self.requests()
            if any(each.line == request.line for each in known):
                return True
            own = sum(each.person == request.person for each in known)
            soon = 0 <= request.at - self._asked_at.get(request.person, -PAUSE) < PAUSE  # a clock may be set back
            if soon or own >= REQUESTS_OF_ONE or len(known) >= REQUESTS_KEPT:
                return False
            self._requests.put(self._key(request.line), asdict(request), lives=REQUESTS_LIVE)
            self._asked_at[request.person] = request.at
            if len(self._asked_at) > PEOPLE_KEPT:
                self._asked_at.popitem(last=False)
            return True

    def waits(self, person: str, action: str, org: str | None) -> bool:
        """Tell whether a request waits for an admin."""
        return any(each.line == (person, action, org) for each in self.requests())

    def requests(self) -> tuple[Request, ...]:
        """Return what waits, the oldest first."""
        found = [request for told in self._requests.all().values() if (request := _request(told)) is not None]
        return tuple(sorted(found, key=lambda each: each.at))

    def settle(self, request: Request) -> None:
        """Forget a request that was dealt with."""
        self._requests.drop(self._key(request.line))

    def share(self, requests: Documents) -> None:
        """Keep requests where other replicas see and settle them."""
        with self._lock:
            before, self._requests = self.requests(), requests
        for each in before:
            requests.put(self._key(each.line), asdict(each), lives=REQUESTS_LIVE)

    def _key(self, line: tuple[str, str, str | None]) -> str:
        return self._requests.name(repr(line))

    def people(self) -> tuple[Seen, ...]:
        """Return who was seen, the latest first."""
        with self._lock:
            return tuple(reversed(self._people.values()))

    def refusals(self) -> tuple[Refusal, ...]:
        """Return what was refused, the latest first."""
        with self._lock:
            return tuple(reversed(self._refusals.values()))


def _request(told: Any) -> Request | None:  # noqa: ANN401  what another replica wrote, perhaps of another version
    try:
        return Request(**told)
    except TypeError:
        return None


def called(subject: Subject) -> str:
    """Return name and account of somebody, to show.

    SECURITY: a name is what people call themselves, perhaps like somebody else; the account tells who they are.
    """
    return " · ".join(dict.fromkeys(part for part in (subject.name, subject.email or subject.id) if part))


def key_of(subject: Subject) -> str | None:
    """Return what tells a person apart: the id, else the verified e-mail; None when neither is known."""
    return subject.id or subject.email
