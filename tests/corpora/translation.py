"""Turn a case of another engine's own tests into a policy document and requests to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Case = dict[str, Any]
Naming = Literal["sub", "email"]

ISSUER = "https://corpus.example"
FIXED = "2023-01-01T00:10:00Z"
"""The moment of requests that name none."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One expectation of a case, as a request."""

    claims: dict[str, Any]
    org: str | None
    permission: str
    at: float
    allowed: bool
    source: str
    beyond: str | None
    """Why the language can't express it; None when it can."""


def policy_document(case: Case, naming: Naming, *, grouped: bool = False) -> Case:
    """Return the policy of a case: one role per org where a role's grants differ by org, a forbid per denial."""
    document: Case = {"stguard": "1", "permissions": _catalogue(case)}
    if _multi_tenant(case):
        document["orgs"] = _orgs(case)
    document["roles"] = dict(_roles(case))
    entries = case["group_assignments" if grouped else "assignments"]
    document["assign"] = [_assignment(case, entry, naming) for entry in entries]
    forbids = list(_forbids(case))
    return {**document, **({"forbid": forbids} if forbids else {}), "pages": {"home": "signed_in"}}


def questions(case: Case, naming: Naming, *, grouped: bool = False) -> Iterator[Question]:
    """Yield the expectations of a case."""
    for stated in case["requests"]:
        groups = case["subjects_groups"][stated["subject"]] if grouped else stated.get("groups", [])
        yield Question(
            claims={**_person(stated["subject"], naming), "groups": groups, "roles": []},
            org=stated["org"],
            permission=stated["permission"],
            at=datetime.fromisoformat(stated.get("at", FIXED)).timestamp(),
            allowed=stated["allow"],
            source=stated["source"],
            beyond=_beyond(case, stated["permission"]),
        )


def _person(name: str, naming: Naming) -> dict[str, Any]:
    if naming == "sub":
        return {"iss": ISSUER, "sub": name}
    return {"iss": ISSUER, "sub": "0", "email": f"{name}@corpus.example", "email_verified": True}


def _multi_tenant(case: Case) -> bool:
    return any(entry["org"] is not None for entry in case["assignments"])


def _orgs(case: Case) -> Any:
    """Requests to an org that nobody declared need orgs that come from the identity source."""
    declared = sorted({entry["org"] for entry in case["assignments"]})
    asked = {stated["org"] for stated in case["requests"]} - {None}
    return declared if asked <= set(declared) else "from_identity"


def _definitions(case: Case) -> Iterator[tuple[str, str | None, Case]]:
    """Yield each role, the org its definition is for, and the definition."""
    for name, role in case["roles"].items():
        for org, definition in role.get("by_org", {None: role}).items():
            yield name, org, definition


def _named(case: Case, role: str, org: str | None) -> str:
    return f"{role} in {org}" if "by_org" in case["roles"][role] else role


def _roles(case: Case) -> Iterator[tuple[str, Case]]:
    for name, org, definition in _definitions(case):
        grants = [pattern for pattern in definition.get("allow", []) if not _partial(pattern)]
        parents = [_named(case, parent, org) for parent in definition.get("inherits", [])]
        stated = {"allow": grants, "inherits": parents}
        yield _named(case, name, org), {key: value for key, value in stated.items() if value}


def _forbids(case: Case) -> Iterator[Case]:
    for name, org, definition in _definitions(case):
        if definition.get("deny"):
            yield {"id": f"deny-{name}", "role": _named(case, name, org), "permission": definition["deny"]}


def _assignment(case: Case, entry: Case, naming: Naming) -> Case:
    assigned: Case = {"role": _named(case, entry["role"], entry["org"])}
    if "group" in entry:
        assigned["group"] = entry["group"]
    elif naming == "sub":
        assigned["sub"] = f"{ISSUER}|{entry['subject']}"
    else:
        assigned["email"] = f"{entry['subject']}@corpus.example"
    if entry["org"] is not None:
        assigned["org"] = entry["org"]
    if "expires" in entry:
        assigned |= {"until": entry["expires"], "reason": "as in the case"}
    return assigned


def _partial(pattern: str) -> bool:
    """Whether a wildcard stands for a part of a segment."""
    return any("*" in segment and segment != "*" for segment in pattern.split(":"))


def _patterns(case: Case) -> set[str]:
    found = (pattern for _, _, role in _definitions(case) for key in ("allow", "deny") for pattern in role.get(key, []))
    return set(found)


def _catalogue(case: Case) -> list[str]:
    """Every permission that the case names, for a wildcard stands for what is in the catalogue."""
    stated = {pattern for pattern in _patterns(case) if "*" not in pattern}
    return sorted(stated | {request["permission"] for request in case["requests"]})


def _beyond(case: Case, permission: str) -> str | None:
    for pattern in filter(_partial, _patterns(case)):
        if permission.startswith(pattern.partition("*")[0]):
            return f"wildcard `{pattern}` stands for a part of a segment"
    return None
