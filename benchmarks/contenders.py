"""The engines, each asked in the way its own documentation shows for speed.

Every one gets its subjects ready before the clock runs. Each brings its own loops, so that no wrapper is measured. The
peers are imported when they are made, so that a process that measures one of them holds no other.
"""

from __future__ import annotations

import importlib
import logging
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

from stguard.policy import Policy

if TYPE_CHECKING:
    from benchmarks.sizes import Case, Workload
    from stguard.model import Subject


Asked = Any
"""One request in the form that an engine takes: each has its own."""


class Contender(Protocol):
    """An engine with a policy loaded."""

    name: str
    share: float
    """Part of the requests that it gets: the slow ones would take minutes."""

    def __init__(self, work: Workload) -> None:
        """Load the policy."""

    def loop(self, cases: list[Asked]) -> list[bool]:
        """Answer all."""

    def timed(self, cases: list[Asked]) -> list[int]:
        """Return nanoseconds of each answer."""

    def ready(self, cases: list[Case]) -> list[Asked]:
        """Return the cases as this engine is asked."""

    def pages(self, one: Asked) -> list[str]:
        """Return the pages that the subject of a case may open."""


class Stguard:
    name = "stguard"
    share = 1.0

    def __init__(self, work: Workload) -> None:
        self.policy = Policy.from_yaml(work.text)

    def subject(self, email: str) -> Subject | None:
        claims = {"iss": "https://id.example", "sub": email, "email": email, "email_verified": True}
        return self.policy.subject({**claims, "groups": [], "roles": []})

    def ready(self, cases: list[Case]) -> list[Asked]:
        subjects = {case.email: self.subject(case.email) for case in cases}
        return [(subjects[case.email], case.org, case.permission) for case in cases]

    def loop(self, cases: list[Asked]) -> list[bool]:
        allows = self.policy.allows
        return [allows(subject, permission, org=org) for subject, org, permission in cases]

    def timed(self, cases: list[Asked]) -> list[int]:
        allows, times = self.policy.allows, []
        for subject, org, permission in cases:
            start = perf_counter_ns()
            allows(subject, permission, org=org)
            times.append(perf_counter_ns() - start)
        return times

    def pages(self, one: Asked) -> list[str]:
        subject, org, _ = one
        return list(self.policy.pages(subject, org=org))


class HandWritten:
    """What an author writes by hand: a dict of frozensets by role."""

    name = "hand-written dict"
    share = 1.0

    def __init__(self, work: Workload) -> None:
        self.grants = {role: frozenset(names) for role, names in work.grants.items()}
        self.held = {email: dict(places) for email, places in work.held.items()}
        self.page_permissions = dict(work.pages)

    def allows(self, places: dict[str, tuple[str, ...]], permission: str, org: str) -> bool:
        for role in places.get(org, ()):  # noqa: SIM110  `any` over a generator is slower, and this is the limit
            if permission in self.grants[role]:
                return True
        return False

    def pages(self, one: Asked) -> list[str]:
        places, org, _ = one
        return [page for page, permission in self.page_permissions.items() if self.allows(places, permission, org)]

    def ready(self, cases: list[Case]) -> list[Asked]:
        return [(self.held[case.email], case.org, case.permission) for case in cases]

    def loop(self, cases: list[Asked]) -> list[bool]:
        allows = self.allows
        return [allows(places, permission, org) for places, org, permission in cases]

    def timed(self, cases: list[Asked]) -> list[int]:
        allows, times = self.allows, []
        for places, org, permission in cases:
            start = perf_counter_ns()
            allows(places, permission, org)
            times.append(perf_counter_ns() - start)
        return times


class IndexedByHand(HandWritten):
    """The same with the page names kept by role."""

    name = "hand-written, pages by role"

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.by_role = {
            role: tuple(page for page, permission in work.pages.items() if permission in names)
            for role, names in self.grants.items()
        }

    def pages(self, one: Asked) -> list[str]:
        places, org, _ = one
        return list(dict.fromkeys(page for role in places.get(org, ()) for page in self.by_role[role]))


CASBIN_MODEL = """
[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && r.act == p.act && g(r.sub, p.sub, r.dom)
"""


class Casbin:
    """The model with domains; what roles inherit is written out, which favours it."""

    name = "pycasbin, domains"
    share = 0.03

    def __init__(self, work: Workload) -> None:
        logging.getLogger("casbin").setLevel(logging.CRITICAL)
        self.enforcer = self._enforcer()
        sections = self.enforcer.get_model().model  # filled as its own adapters do; its API would take minutes
        for role, names in work.grants.items():
            for name in sorted(names):
                sections["p"]["p"].policy.append([role, "*", *name.split(":")])
        for email, places in work.held.items():
            sections["g"]["g"].policy.extend([email, role, org] for org in places for role in places[org])
        self.enforcer.build_role_links()
        self.page_permissions = {page: tuple(name.split(":")) for page, name in work.pages.items()}

    def _enforcer(self) -> Asked:
        casbin = importlib.import_module("casbin")
        model = casbin.Model()
        model.load_model_from_text(CASBIN_MODEL)
        return casbin.Enforcer(model)

    def ready(self, cases: list[Case]) -> list[Asked]:
        return [(case.email, case.org, *case.permission.split(":")) for case in cases]

    def loop(self, cases: list[Asked]) -> list[bool]:
        enforce = self.enforcer.enforce
        return [enforce(*case) for case in cases]

    def timed(self, cases: list[Asked]) -> list[int]:
        enforce, times = self.enforcer.enforce, []
        for case in cases:
            start = perf_counter_ns()
            enforce(*case)
            times.append(perf_counter_ns() - start)
        return times

    def pages(self, one: Asked) -> list[str]:
        email, org, *_ = one
        enforce = self.enforcer.enforce
        return [page for page, asked in self.page_permissions.items() if enforce(email, org, *asked)]


class FastCasbin(Casbin):
    """Its FastEnforcer, with the rules indexed by permission. Threads that share it get wrong answers."""

    name = "pycasbin, FastEnforcer"
    share = 0.15

    def _enforcer(self) -> Asked:
        casbin = importlib.import_module("casbin")
        model = importlib.import_module("casbin.model.model_fast").FastModel([2, 3])
        model.load_model_from_text(CASBIN_MODEL)
        return casbin.FastEnforcer(model, cache_key_order=[2, 3])


class Cedar:
    """One permit for each role; the caller passes the roles held in the org, parsed sets are reused."""

    name = "cedarpy"
    share = 0.1

    def __init__(self, work: Workload) -> None:
        cedarpy = importlib.import_module("cedarpy")
        self.ask, self.ask_many = cedarpy.is_authorized, cedarpy.is_authorized_batch
        permits = []
        for role, names in work.grants.items():
            actions = ", ".join(f'Action::"{name}"' for name in sorted(names))
            permits.append(
                f'permit(principal, action in [{actions}], resource) when {{ context.roles.contains("{role}") }};'
            )
        self.policies = cedarpy.PolicySet.from_str("\n".join(permits))
        self.entities = cedarpy.Entities.from_json_str("[]")
        self.held = work.held
        self.page_permissions = dict(work.pages)

    def request(self, email: str, org: str, permission: str) -> dict[str, Any]:
        return {
            "principal": {"type": "User", "id": email},
            "action": {"type": "Action", "id": permission},
            "resource": {"type": "Org", "id": org},
            "context": {"roles": list(self.held[email][org])},
        }

    def ready(self, cases: list[Case]) -> list[Asked]:
        return [self.request(case.email, case.org, case.permission) for case in cases]

    def loop(self, cases: list[Asked]) -> list[bool]:
        ask, policies, entities = self.ask, self.policies, self.entities
        return [ask(case, policies, entities).allowed for case in cases]

    def timed(self, cases: list[Asked]) -> list[int]:
        ask, policies, entities, times = self.ask, self.policies, self.entities, []
        for case in cases:
            start = perf_counter_ns()
            ask(case, policies, entities)
            times.append(perf_counter_ns() - start)
        return times

    def pages(self, one: Asked) -> list[str]:
        requests = [{**one, "action": {"type": "Action", "id": name}} for name in self.page_permissions.values()]
        answers = self.ask_many(requests, self.policies, self.entities)
        return [page for page, answer in zip(self.page_permissions, answers, strict=True) if answer.allowed]


CONTENDERS: tuple[type[Contender], ...] = (Stguard, HandWritten, IndexedByHand, FastCasbin, Casbin, Cedar)
