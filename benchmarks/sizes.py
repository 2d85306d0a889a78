"""The same policy in three sizes, as YAML and as plain data, with requests whose answers are known."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

VERBS = ("view", "edit", "export", "approve", "pay", "invite", "remove", "import", "audit", "share")


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything."""

    name: str
    roles: int
    permissions: int
    orgs: int
    pages: int
    grants: int
    """Permissions that a role allows by itself."""


SIZES = (
    Size(name="small", roles=5, permissions=50, orgs=3, pages=10, grants=8),
    Size(name="medium", roles=50, permissions=500, orgs=100, pages=100, grants=20),
    Size(name="large", roles=500, permissions=10_000, orgs=1_000, pages=1_000, grants=40),
)


class Case(NamedTuple):
    """One question with its answer."""

    email: str
    org: str
    permission: str
    allowed: bool


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A policy and what is asked of it."""

    size: Size
    text: str
    grants: dict[str, frozenset[str]]
    """By role, with what it inherits."""
    held: dict[str, dict[str, tuple[str, ...]]]
    """Roles by e-mail and org."""
    pages: dict[str, str]
    """The permission that each page asks for."""
    cases: list[Case]
    """Allowed and refused in turn."""


def workload(size: Size, *, cases: int = 2_000) -> Workload:
    """Return the workload of a size; it is the same at each call."""
    rng = random.Random(size.name)
    areas: dict[str, tuple[str, ...]] = {f"area{number}": VERBS for number in range(size.permissions // len(VERBS))}
    permissions = [f"{area}:{verb}" for area, verbs in areas.items() for verb in verbs]
    own = {f"role{number}": rng.sample(permissions, size.grants) for number in range(size.roles)}
    parents = {f"role{number}": f"role{number - 1}" for number in range(size.roles) if number % 5}
    grants: dict[str, frozenset[str]] = {}
    for role, names in own.items():
        grants[role] = frozenset(names) | grants.get(parents.get(role, ""), frozenset())
    orgs = [f"org{number}" for number in range(size.orgs)]
    held = _held(rng, orgs, list(own))
    pages = {f"page{number}": rng.choice(permissions) for number in range(size.pages)}
    return Workload(
        size=size,
        text=_text(areas, own, parents, orgs, held, pages),
        grants=grants,
        held=held,
        pages=pages,
        cases=_cases(rng, held, grants, permissions, cases),
    )


def _held(rng: random.Random, orgs: list[str], roles: list[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    """As many people as orgs, each with one to three roles in up to three orgs."""
    held = {}
    for number in range(max(10, len(orgs))):
        places = rng.sample(orgs, min(len(orgs), 3))
        email = f"person{number}@example.com"
        held[email] = {org: tuple(rng.sample(roles, rng.randint(1, 3))) for org in places}
    return held


def _cases(
    rng: random.Random,
    held: dict[str, dict[str, tuple[str, ...]]],
    grants: dict[str, frozenset[str]],
    permissions: list[str],
    count: int,
) -> list[Case]:
    people = rng.sample(sorted(held), min(50, len(held)))
    ordered = {role: sorted(names) for role, names in grants.items()}
    found = []
    for number in range(count):
        email = rng.choice(people)
        org = rng.choice(sorted(held[email]))
        roles = held[email][org]
        names = ordered[rng.choice(roles)] if number % 2 else permissions
        permission = rng.choice(names)
        if number % 2 == 0:
            while any(permission in grants[role] for role in roles):
                permission = rng.choice(names)
        found.append(Case(email, org, permission, bool(number % 2)))
    return found


def _text(
    areas: dict[str, tuple[str, ...]],
    own: dict[str, list[str]],
    parents: dict[str, str],
    orgs: list[str],
    held: dict[str, dict[str, tuple[str, ...]]],
    pages: dict[str, str],
) -> str:
    lines = ["stguard: 1", "permissions:"]
    lines += [f"  {area}: [{', '.join(verbs)}]" for area, verbs in areas.items()]
    lines += ["orgs:", *(f"  - {org}" for org in orgs), "roles:"]
    for role, names in own.items():
        inherits = f"inherits: {parents[role]}, " if role in parents else ""
        allow = ", ".join(f'"{name}"' for name in names)
        lines.append(f"  {role}: {{{inherits}allow: [{allow}]}}")
    lines.append("assign:")
    for email, places in held.items():
        for org, roles in places.items():
            lines += [f"  - {{role: {role}, org: {org}, email: {email}}}" for role in roles]
    lines += ["pages:", *(f'  {page}: {{permission: "{name}"}}' for page, name in pages.items())]
    return "\n".join(lines) + "\n"
