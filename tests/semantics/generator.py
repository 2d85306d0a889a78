"""Make policies and people at random, over vocabularies small enough that they meet.

A policy is a plain document and, rendered, the YAML text that says the same. Every policy made here is valid: what the
language refuses is avoided by construction, not by trying.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stguard.model import (
    AllOf,
    AnyOf,
    ClaimIs,
    DomainIs,
    EmailIs,
    GroupIs,
    Membership,
    Not,
    OrgIs,
    PermissionIs,
    Public,
    RoleIs,
    Rule,
    SignedIn,
)
from tests.semantics import naive
from tests.semantics.naive import Document, catalogue, lineage, listed

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

# Names that YAML 1.1 would turn into something else, and names with its punctuation, are meant to be here.
ROLES = ("viewer", "editor", "no", "payer", "approver", "admin", "support", "role:odd", "on call")
AREAS = {"report": ["view", "edit", "export"], "billing": ["view", "approve", "pay"], "12": ["view", "30"]}
WHOLE_NAMES = ("ReadOnly", "can_view_billing", "ProductA::CanCreate", "a/b.c")
ORGS = ("acme", "012", "globex", "org one")
GROUPS = ("staff", "contractors", "/ops/a", "Group A", "null")
EMAILS = ("ann@acme.com", "bob@globex.com", "strasse@acme.com", "odd@name@sub.acme.com")
DOMAINS = ("acme.com", "globex.com", "sub.acme.com")
CLAIMS = {"department": ("finance", "it"), "https://acme.io/tier": ("gold", "true"), "level": ("1", "2")}
PAGES = ("home", "status", "reports", "billing_x", "members", "beta")
SECTIONS = ("Admin", "Tools")
ENTRA = "https://login.microsoftonline.com/6babcaad-604b-40ac-a9d7-9fd97c0b779f/v2.0"
ISSUERS = ("https://id.example", "https://accounts.google.com", ENTRA)
SUBS = ("https://id.example|s1", "corp|s1", "https://accounts.google.com|s2")
PROVIDER_ROLES = {"Provider Admin": "admin", "ext-viewer": "viewer", "ext support": "support"}
PROVIDER_ORGS = {"Acme Inc": "acme", "ext-012": "012"}
PROVIDER_PERMISSIONS = {"can do": "report:view", "can_export": "report:export"}
MOMENTS = tuple(datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4, 5))


# --- policies --------------------------------------------------------------------------------------------------------


class Maker:
    """Make one policy document."""

    def __init__(self, rng: random.Random, *, monotone: bool = False) -> None:
        self.rng = rng
        self.monotone = monotone
        self.document: Document = {"stguard": "1"}

    def some(self, choices: Sequence[Any], most: int, *, least: int = 0) -> list[Any]:
        return self.rng.sample(list(choices), min(len(choices), self.rng.randint(least, most)))

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def names(self, choices: Sequence[str], most: int) -> str | list[str]:
        """One name may stand alone, and duplicates never matter."""
        chosen = self.some(choices, most, least=1)
        if self.chance(10):
            chosen.append(chosen[0])
        return chosen[0] if len(chosen) == 1 and self.chance(70) else chosen

    def make(self) -> Document:
        self._permissions()
        self._orgs()
        self._roles()
        if not self.monotone and self.chance(40):
            self._separation()
        self._identity()
        self.document["assign"] = self._assignments()
        if self.chance(70):
            self.document["forbid"] = [self._forbid() for _ in range(self.rng.randint(1, 4))]
        self._pages()
        if self.chance(30):
            self.document["sections"] = {title: self.rule() for title in self.some(SECTIONS, 2, least=1)}
        self.document["forbid"] = [*self.document.get("forbid", []), *self._page_forbids()]
        for key in [key for key, value in self.document.items() if value in ({}, [])]:
            del self.document[key]
        document: Document = shuffled(self.rng, self.document)
        return document

    def _permissions(self) -> None:
        areas = self.some(list(AREAS), 3, least=1)
        if self.chance(50):
            stated: Any = {area: self.names(AREAS[area], 3) for area in areas}
        else:
            stated = [f"{area}:{verb}" for area in areas for verb in self.some(AREAS[area], 3, least=1)]
            stated += self.some(WHOLE_NAMES, 3)
        self.document["permissions"] = stated
        self.permissions = list(dict.fromkeys(catalogue(self.document)))

    def _orgs(self) -> None:
        kind = self.rng.randrange(4)
        self.orgs: list[str] = []
        if kind == 1:
            self.orgs = self.some(ORGS, 4, least=1)
            self.document["orgs"] = self.orgs if self.chance(50) else {org: {"name": org.upper()} for org in self.orgs}
        elif kind > 1:
            self.orgs = list(ORGS)
            self.document["orgs"] = "from_identity" if kind == 2 else self.orgs

    def _patterns(self) -> list[str]:
        """Permission names, and wildcards that match at least one of them."""
        pairs = [name.split(":") for name in self.permissions if len(name.split(":")) == 2]
        wild = {"policy:*"}
        for area, verb in pairs:
            if area != "policy":
                wild |= {f"{area}:*", f"*:{verb}", "*:*"}
        return sorted(wild)

    def _granted(self, most: int) -> str | list[str]:
        plain, wild = self.some(self.permissions, most), self.some(self._patterns(), 1)
        chosen = [*plain, *(wild if self.chance(40) else [])] or [self.permissions[0]]
        return chosen[0] if len(chosen) == 1 and self.chance(50) else chosen

    def _roles(self) -> None:
        roles: Document = {}
        for name in self.some(ROLES, 7, least=1):
            role: Document = {}
            if roles and self.chance(45):
                role["inherits"] = self.names(list(roles), 2)
            if self.chance(80):
                role["allow"] = self._granted(3)
            if self.orgs and self.chance(30):
                role["cross_org"] = True
            roles[name] = role
        self.document["roles"] = roles
        self.roles = list(roles)

    def _separation(self) -> None:
        """Pick roles of which no declared role holds two."""
        lineages = [lineage(self.document, role) for role in self.roles]
        entries = []
        for number in range(self.rng.randint(1, 2)):
            chosen: list[str] = []
            for role in self.some(self.roles, len(self.roles)):
                if len(chosen) < 3 and all(len(one & {*chosen, role}) < 2 for one in lineages):
                    chosen.append(role)
            if len(chosen) > 1:
                entries.append({"id": f"sep-{number}", "roles": chosen})
        self.document["separation"] = entries

    def _identity(self) -> None:
        identity: Document = {}
        if self.chance(15):
            identity["provider"] = "none"
        if self.chance(20):
            identity["roles"] = self.rng.choice(["https://acme.io/roles", ["realm_access", "roles"]])
        if self.chance(15):
            identity["groups"] = self.rng.choice(["cognito:groups", ["realm_access", "groups"]])
        if self.orgs and self.chance(40):
            identity["orgs"] = "organizations"
        identity |= self._translations()
        if self.chance(15):
            identity["trust_email"] = True
        if self.chance(8):
            identity["accept"] = self.rng.choice(
                [{"iss": ISSUERS[0]}, {"aud": ["app"]}, {"iss": [*ISSUERS], "aud": "app"}]
            )
        if self.chance(15):
            identity["providers"] = {"corp": self.rng.choice([{"trust_email": True}, {"groups": "corp.groups"}])}
        self.document["identity"] = identity

    def _translations(self) -> Document:
        """The provider's names that the policy knows the other side of."""
        orgs = self.orgs if self.document.get("orgs") else []
        tables = {
            "role_names": (PROVIDER_ROLES, self.roles),
            "org_names": (PROVIDER_ORGS, orgs),
            "permission_names": (PROVIDER_PERMISSIONS, self.permissions),
        }
        found: Document = {}
        for key, (table, ours) in tables.items():
            known = {theirs: our for theirs, our in table.items() if our in ours}
            if known and self.chance(60):
                found[key] = known
        return found

    def _assignments(self) -> list[Document]:
        made: list[Document] = []
        for number in range(self.rng.randint(1, 8)):
            entry: Document = {"role": self.rng.choice(self.roles), **self._who()}
            if self.orgs:
                cross = self.document["roles"][entry["role"]].get("cross_org") is True
                entry["org"] = "*" if cross and self.chance(60) else self.rng.choice(self.orgs)
            entry |= self._bounds()
            if self._breaks_separation(entry, made):
                continue
            made.append(entry)
            if self.chance(10):
                made.append(dict(entry))
            elif self.chance(50):
                entry["id"] = f"assign-{number}"
        return made

    def _bounds(self) -> Document:
        if self.chance(75):
            return {}
        first, last = sorted(self.rng.sample(MOMENTS, 2))
        bounds = {"from": first.isoformat(), "until": last.isoformat(), "reason": "TICKET-1"}
        if self.chance(50):
            del bounds[self.rng.choice(["from", "until"])]
        return bounds

    def _breaks_separation(self, entry: Document, others: list[Document]) -> bool:
        """Two assignments that bring separated roles to one person are an error; in different orgs too, to be safe."""
        together = [other for other in others if self._may_be_the_same(entry, other)]
        for other in together:
            held = lineage(self.document, entry["role"]) | lineage(self.document, other["role"])
            if any(len(held & set(one["roles"])) > 1 for one in self.document.get("separation", [])):
                return True
        return False

    @staticmethod
    def _may_be_the_same(one: Document, other: Document) -> bool:
        """Whether two who-keys are certain to name somebody in common."""
        if "everyone" in one or "everyone" in other:
            return True
        if ("email" in one and "domain" in other) or ("domain" in one and "email" in other):
            return True
        return any(key in one and str(one[key]).casefold() == str(other.get(key)).casefold() for key in WHO_KEYS)

    def _who(self) -> Document:
        claim = self.rng.choice(list(CLAIMS))
        return self.rng.choice(
            [
                {"email": self.rng.choice([*EMAILS, "Ann@ACME.com"])},
                {"domain": self.rng.choice([*DOMAINS, "Acme.COM"])},
                {"group": self.rng.choice(GROUPS)},
                {"group": self.rng.choice(GROUPS)},
                {"claim": {claim: self.rng.choice(CLAIMS[claim])}},
                {"sub": self.rng.choice(SUBS)},
                {"everyone": "signed_in"},
            ]
        )

    def _forbidden_who(self) -> Document:
        by_role = not self.monotone and self.chance(30)
        who = {"role": self.rng.choice(self.roles)} if by_role else self._who()
        if self.orgs and self.chance(35):
            who["org"] = self.rng.choice(self.orgs)
        return who

    def _forbid(self) -> Document:
        who = self._forbidden_who()
        if self.chance(50):
            who["id"] = f"forbid-{self.rng.randrange(10**9)}"
        return {**who, "permission": self._granted(2)}

    def _page_forbids(self) -> list[Document]:
        listed_pages = [name for name in self.document["pages"] if name != "*"]
        if not listed_pages or self.chance(60):
            return []
        return [{**self._forbidden_who(), "page": self.names(listed_pages, 2)}]

    def _pages(self) -> None:
        pages: Document = {}
        for name in self.some(PAGES, 6, least=1):
            rule = self.rule()
            long_form = {"rule": rule, "menu": "hidden"} if self.chance(50) else {"rule": rule, "on_deny": "lock"}
            pages[name] = long_form if self.chance(15) else rule
        if self.chance(25):
            pages["*"] = self.rule()
        self.document["pages"] = pages

    def rule(self, depth: int = 3, *, public: bool = True) -> Any:
        """`public` does not stand under `not`: such a rule can't vary."""
        if self.chance(12):
            return "signed_in"
        if public and self.chance(8):
            return "public"
        keys = self.some(self._leaves(refuted=not public), 2, least=1)
        rule: Document = {key: self._leaf(key) for key in keys}
        if depth and self.chance(45):
            key = self.rng.choice(["any", "all", "not"])
            if key == "not":
                rule["not"] = self.rule(depth - 1, public=False)
            else:
                rule[key] = [self.rule(depth - 1, public=public) for _ in range(self.rng.randint(1, 3))]
            if self.chance(60):
                rule = {key: rule[key]}
        return rule

    def _leaves(self, *, refuted: bool) -> list[str]:
        """Return the conditions to choose from; monotone policies refute nothing that a role or a forbid changes."""
        changeable = [] if refuted and self.monotone else ["role", "permission"]
        return [*changeable, "group", "email", "domain", "claim", *(["org"] if self.orgs else [])]

    def _leaf(self, key: str) -> Any:
        if key == "claim":
            chosen = self.some(list(CLAIMS), 2, least=1)
            return {name: self.names(CLAIMS[name], 2) for name in chosen}
        choices = {
            "role": self.roles,
            "permission": self.permissions,
            "group": GROUPS,
            "email": EMAILS,
            "domain": DOMAINS,
            "org": self.orgs,
        }
        return self.names(choices[key], 3 if key == "role" else 2)


WHO_KEYS = ("email", "domain", "group", "claim", "sub", "everyone")


def policy(rng: random.Random, *, monotone: bool = False) -> Document:
    """Return a valid policy document; its order of keys and entries is random.

    In a monotone one nothing takes access away but forbids, and no forbid asks for a role: no separation, no forbid by
    role, no `not` over a role or a permission.
    """
    return Maker(rng, monotone=monotone).make()


def assignment(rng: random.Random, document: Document, *, org: str | None = None) -> Document:
    """Return one more assignment for that policy; with an org, in that org."""
    entry = {"role": rng.choice(list(document["roles"])), **_stranger(rng)}
    orgs = orgs_of(document)
    return {**entry, "org": org or rng.choice(orgs)} if orgs else entry


def forbid(rng: random.Random, document: Document, *, org: str | None = None) -> Document:
    """Return one more forbid for that policy; with an org, in that org."""
    pages = [name for name in document["pages"] if name != "*"]
    permissions = {"permission": rng.sample(catalogue(document), 2)}
    target = permissions if not pages or rng.random() < 0.5 else {"page": rng.choice(pages)}
    return {**_stranger(rng), **target, **({"org": org} if org else {})}


def _stranger(rng: random.Random) -> Document:
    """Return whom one more entry names."""
    return rng.choice(
        [
            {"group": rng.choice(GROUPS)},
            {"domain": rng.choice(DOMAINS)},
            {"email": rng.choice(EMAILS)},
            {"everyone": "signed_in"},
        ]
    )


def shuffled(rng: random.Random, value: Any) -> Any:
    """Return the same policy in another order; only the paths in `identity` have one that matters."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: value[key] if key == "identity" else shuffled(rng, value[key]) for key in keys}
    if isinstance(value, list):
        entries = [shuffled(rng, entry) for entry in value]
        rng.shuffle(entries)
        return entries
    return value


# --- the same as text ------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@/-]*(:[A-Za-z0-9][A-Za-z0-9_.-]*)*")


def _scalar(value: Any) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return _scalar(value)


def render(document: Document) -> str:
    """Return the document as YAML: sections in block style, one line for each entry."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {_scalar(name)}: {_flow(one)}" for name, one in value.items())]
        elif isinstance(value, list):
            lines += [f"{key}:", *(f"  - {_flow(one)}" for one in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


# --- people ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who asks, what an identity source says of them, where, and when."""

    claims: Any
    roles: tuple[str, ...] | None = ()
    groups: tuple[str, ...] | None = ()
    memberships: tuple[tuple[str, tuple[str, ...] | None, tuple[str, ...] | None], ...] | None = ()
    org: str | None = None
    at: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return the source's facts as `Policy.subject` takes them."""
        if self.memberships is None:
            return {"roles": self.roles, "groups": self.groups, "memberships": None}
        entries = tuple(Membership(org=o, roles=r, permissions=p) for o, r, p in self.memberships)
        return {"roles": self.roles, "groups": self.groups, "memberships": entries}

    def plain_facts(self) -> dict[str, Any]:
        """Return the source's facts as the naive evaluator takes them."""
        entries = self.memberships
        memberships = entries and [{"org": o, "roles": r, "permissions": p} for o, r, p in entries]
        return {"roles": self.roles, "groups": self.groups, "memberships": memberships}

    def asked(self, document: Document) -> naive.Asked:
        """Return the naive evaluator's answers."""
        who = naive.person(document, self.claims, **self.plain_facts())
        return naive.Asked(document, who, org=self.org, at=self.at)


ODD: tuple[Any, ...] = (None, 7, 1.5, True, False, {}, {"staff": {"x": "y"}}, [1, "staff"], [["staff"]], [None], "")


def _names(rng: random.Random, names: Sequence[str]) -> Any:
    """A claim that should be a list of names, in the shapes that providers send."""
    kind = rng.randrange(10)
    chosen = rng.sample(list(names), rng.randint(0, min(3, len(names))))
    if kind < 6:
        return chosen
    if kind == 6:
        return rng.choice(list(names))
    return dict.fromkeys(chosen, "x") if kind == 7 else rng.choice(ODD)


def request(rng: random.Random, document: Document) -> Request:
    """Return somebody who asks, under that policy."""
    moments = [moment.timestamp() + offset for moment in MOMENTS for offset in (-0.001, 0.0, 3600.0)]
    at = rng.choice(moments)
    orgs = orgs_of(document)
    org = rng.choice([*orgs, None]) if orgs else None
    if rng.random() < 0.06:
        return Request(
            claims=rng.choice([None, {}, [], "ann", 3, {"is_logged_in": False, "sub": "s1"}]), org=org, at=at
        )
    return Request(
        claims=_claims(rng, document),
        roles=_added(rng, [*ROLES, *PROVIDER_ROLES, "unheard of"]) if rng.random() < 0.8 else _conflict(rng, document),
        groups=_added(rng, GROUPS),
        memberships=_memberships(rng, document, org),
        org=org,
        at=at,
    )


def orgs_of(document: Document) -> list[str]:
    """Return the orgs to ask in; none in a single-tenant policy."""
    stated = document.get("orgs")
    return [*ORGS, "from nowhere"] if stated == "from_identity" else listed(list(stated) if stated else None)


def _added(rng: random.Random, names: Sequence[str]) -> tuple[str, ...] | None:
    kind = rng.randrange(10)
    return () if kind < 6 else None if kind == 6 else tuple(rng.sample(list(names), rng.randint(0, 3)))


def _conflict(rng: random.Random, document: Document) -> tuple[str, ...]:
    """Return roles of which two may be separated."""
    apart = [role for entry in document.get("separation", []) for role in entry["roles"]]
    near = [role for role in document["roles"] if lineage(document, role) & set(apart)]
    return tuple(rng.sample(near, min(len(near), rng.randint(2, 4))))


def _memberships(rng: random.Random, document: Document, org: str | None) -> Any:
    if rng.random() < 0.1:
        return None
    permissions = [*PROVIDER_PERMISSIONS, "report:view", "billing:pay", "ReadOnly", "unheard of"]
    made = [
        (rng.choice([*ORGS, *PROVIDER_ORGS]), _added(rng, [*ROLES, *PROVIDER_ROLES]), _added(rng, permissions))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))
    ]
    if org is not None and rng.random() < 0.3:
        made.append((org, _conflict(rng, document), ()))
    return tuple(made)


def _claims(rng: random.Random, document: Document) -> dict[str, Any]:
    claims: dict[str, Any] = {"is_logged_in": True} if rng.random() < 0.5 else {}
    identity = document.get("identity", {})
    names = {"roles": [*ROLES, *PROVIDER_ROLES], "groups": GROUPS, "orgs": [*ORGS, *PROVIDER_ORGS]}
    for key, known in names.items():
        for path in {"roles": ["roles"], "groups": ["groups", "corp.groups"], "orgs": []}[key] + [identity.get(key)]:
            if path is not None and rng.random() < 0.75:
                _put(claims, listed(path), _names(rng, known))
    claims |= _person(rng)
    for name, values in CLAIMS.items():
        if rng.random() < 0.7:
            claims[name] = _names(rng, values) if rng.random() < 0.5 else rng.choice(values)
    return claims or {"sub": "s1"}


def _put(claims: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        claims = claims.setdefault(key, {})
    claims[path[-1]] = value


def _person(rng: random.Random) -> dict[str, Any]:
    """Return who it is, as the token says."""
    person: dict[str, Any] = {
        "sub": rng.choice(["s1", "s1", "s2", "", 5, None]),
        "iss": rng.choice([ISSUERS[0], *ISSUERS]),
        "provider": rng.choice(["corp", "other", 4]),
        "aud": rng.choice(["app", ["app", "x"], "x", [], 1]),
        "email": rng.choice([*EMAILS, *EMAILS, "ANN@acme.com", "Straße@Acme.com", "nobody", 4, None]),
        "email_verified": rng.choice([True, True, True, False, "true", 1, None]),
        "hd": "acme.com",
        "tid": rng.choice(["acme", "Acme Inc", None]),
        "hasgroups": rng.choice([True, "true"]),
        "_claim_names": {"groups": "src1"},
    }
    rare = {"hasgroups", "_claim_names", "tid", "hd"}
    return {key: value for key, value in person.items() if rng.random() < (0.06 if key in rare else 0.7)}


# --- rules as the package takes them ---------------------------------------------------------------------------------

_LEAVES: dict[str, Any] = {
    "role": RoleIs,
    "permission": PermissionIs,
    "group": GroupIs,
    "email": EmailIs,
    "domain": DomainIs,
    "org": OrgIs,
}


def as_rule(stated: Any) -> Rule:
    """Return a rule of a document as code would state it."""
    if stated == "public":
        return Public()
    if stated == "signed_in":
        return SignedIn()
    parts = tuple(_part(key, value) for key, value in stated.items())
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _part(key: str, value: Any) -> Rule:
    match key:
        case "any":
            return AnyOf(tuple(as_rule(one) for one in value))
        case "all":
            return AllOf(tuple(as_rule(one) for one in value))
        case "not":
            return Not(as_rule(value))
        case "claim":
            return AllOf(tuple(ClaimIs(name, tuple(listed(texts))) for name, texts in value.items()))
        case _:
            leaf: Rule = _LEAVES[key](tuple(listed(value)))
            return leaf
