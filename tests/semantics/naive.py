"""Decide by the letter of the contract: slow, without an index, and without a line of the package's engine.

It takes a policy as the plain document that its YAML describes and a person as raw claims, and answers `T`, `F` or `U`.
The comments quote the table "Exactly" of the policy language, and the rules of the mapper from claims to a subject.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Value = Literal["T", "F", "U"]
Document = dict[str, Any]

EVERYWHERE = "*"
NOWHERE = None
BUILT_IN = ("policy:view", "policy:edit")


def every(values: Iterable[Value]) -> Value:
    """`all` is false if one is false; unknown if one is unknown."""
    seen = set(values)
    return "F" if "F" in seen else "U" if "U" in seen else "T"


def some(values: Iterable[Value]) -> Value:
    """`any` is true if one is true; unknown if one is unknown."""
    seen = set(values)
    return "T" if "T" in seen else "U" if "U" in seen else "F"


def opposite(value: Value) -> Value:
    """`not unknown` is unknown."""
    opposites: dict[Value, Value] = {"T": "F", "F": "T", "U": "U"}
    return opposites[value]


def listed(value: Any) -> list[Any]:
    """Wherever a list of names is expected, one name may stand alone."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def truth(value: object) -> Value:
    return "T" if value else "F"


def folded(text: str) -> str:
    """E-mail and domain are compared case-folded and Unicode-normalised (NFKC)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


# --- the policy ------------------------------------------------------------------------------------------------------


def catalogue(document: Document) -> list[str]:
    """`permissions` is a mapping `area: [verbs]`, or a list of whole names; two names exist in every policy."""
    stated = document.get("permissions", [])
    if isinstance(stated, dict):
        names = [f"{area}:{verb}" for area, verbs in stated.items() for verb in listed(verbs)]
    else:
        names = listed(stated)
    return [*names, *BUILT_IN]


def expanded(pattern: str, names: list[str]) -> set[str]:
    """`*` stands for a whole segment of names of two segments; the `policy` area only by name or `policy:*`."""
    if EVERYWHERE not in pattern:
        return {pattern}
    area, verb = pattern.split(":")
    found = set()
    for name in names:
        segments = name.split(":")
        if len(segments) != 2 or (segments[0] == "policy" and area != "policy"):
            continue
        if area in (EVERYWHERE, segments[0]) and verb in (EVERYWHERE, segments[1]):
            found.add(name)
    return found


def lineage(document: Document, role: str) -> set[str]:
    """Holding a role is holding the roles it inherits: the role and all of those."""
    found = {role}
    for parent in listed(document["roles"][role].get("inherits")):
        found |= lineage(document, parent)
    return found


def multi_tenant(document: Document) -> bool:
    return "orgs" in document


def moment(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()


# --- who asks --------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Held:
    """What an identity source says of one org."""

    roles: set[str] = field(default_factory=set)
    roles_unknown: bool = False
    permissions: set[str] = field(default_factory=set)
    permissions_unknown: bool = False


@dataclass(kw_only=True)
class Person:
    """Who is signed in, and which facts about them are not known."""

    claims: Mapping[str, Any]
    email: str | None
    groups: set[str]
    groups_unknown: bool
    roles: set[str]
    roles_unknown: bool
    memberships: dict[str, Held]
    memberships_unknown: bool


def settings(document: Document, claims: Mapping[str, Any]) -> Document:
    """`providers: {NAME: {...}}` are the same keys for one `[auth.NAME]` section, over the general ones."""
    general: Document = dict(document.get("identity", {}))
    special = general.pop("providers", {})
    name = claims.get("provider")
    return {**general, **special[name]} if isinstance(name, str) and name in special else general


PRESETS: dict[str, dict[str, str | None]] = {
    "generic": {"roles": "roles", "groups": "groups", "orgs": None},  # top-level `roles` and `groups`
    "google": {"roles": None, "groups": None, "orgs": "hd"},
    "entra": {"roles": "roles", "groups": "groups", "orgs": "tid"},
    "none": {"roles": None, "groups": None, "orgs": None},  # only what stands in the policy
}


def preset(identity: Document, claims: Mapping[str, Any]) -> str:
    """`auto`: by issuer; an issuer nobody knows is read as generic."""
    stated: str = identity.get("provider", "auto")
    if stated != "auto":
        return stated
    issuer = claims.get("iss")
    if issuer == "https://accounts.google.com":
        return "google"
    if isinstance(issuer, str) and issuer.startswith("https://login.microsoftonline.com/"):
        return "entra"
    return "generic"


def found(path: str | list[str] | None, claims: Mapping[str, Any]) -> Any:
    """A claim is named by its exact key, or by a list of keys as a path. Never split on dots."""
    value: Any = claims
    for key in listed(path):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return value


def read(value: Any, *, standard: str = "generic") -> tuple[set[str], bool]:
    """Turn a claim into its names, and whether others may be missing.

    list → its strings; string → one value; dict → keys; null or absent → unknown; empty list → known, empty;
    another type → unknown. An entry that is no string is of another type, so the list is not wholly known. With
    Entra ID a string in place of a list is unknown, never a name.
    """
    if isinstance(value, str) and value:
        return (set(), True) if standard == "entra" else ({value}, False)
    if isinstance(value, list):
        return {entry for entry in value if isinstance(entry, str)}, any(not isinstance(entry, str) for entry in value)
    if isinstance(value, dict):
        return {entry for entry in value if isinstance(entry, str)}, False
    return set(), True


def cut(claims: Mapping[str, Any]) -> bool:
    """`_claim_names` or `hasgroups` stand for groups that were left out, whatever else is there."""
    names = claims.get("_claim_names")
    return (isinstance(names, dict) and "groups" in names) or bool(claims.get("hasgroups"))


def verified_email(identity: Document, claims: Mapping[str, Any]) -> str | None:
    """E-mail counts only when `email_verified` is true (bool), or the provider is declared `trust_email: true`."""
    email = claims.get("email")
    if not isinstance(email, str) or "@" not in email:
        return None
    if claims.get("email_verified") is True or identity.get("trust_email") is True:
        return folded(email)
    return None


def accepted(identity: Document, claims: Mapping[str, Any]) -> bool:
    """`accept: {iss: [...], aud: [...]}`: other tokens count as nobody; `aud` is a string or a list."""
    accept = identity.get("accept", {})
    if "iss" in accept and claims.get("iss") not in listed(accept["iss"]):
        return False
    if "aud" in accept:
        audiences = claims.get("aud")
        shown = audiences if isinstance(audiences, list) else [audiences]
        return any(audience in listed(accept["aud"]) for audience in shown)
    return True


def identified(claims: Mapping[str, Any], wanted: str) -> Value:
    """`sub` (`provider|sub` or `iss|sub`): U if a fact that this form needs is missing; an issuer is an address."""
    place, sub = claims.get("iss" if "://" in wanted else "provider"), claims.get("sub")
    if not (isinstance(place, str) and place and isinstance(sub, str) and sub):
        return "U"
    return truth(f"{place}|{sub}" == wanted)


def known_groups(identity: Document, claims: Mapping[str, Any], added: Iterable[str]) -> tuple[set[str], bool]:
    """Groups: U if they are absent, cut, or of an unusable type, but for those that an identity source names."""
    standard = preset(identity, claims)
    path = identity.get("groups", PRESETS[standard]["groups"])
    if path is None:  # nobody looks into the claims: an identity source alone can say
        return set(added), not added
    if path == "groups" and cut(claims):
        return set(added), True
    names, unknown = read(found(path, claims), standard=standard)
    return names | set(added), unknown


def known_roles(document: Document, identity: Document, claims: Mapping[str, Any]) -> tuple[set[str], bool]:
    """Roles from the claims; where nobody looks for roles there is no source, so nothing is missing."""
    standard = preset(identity, claims)
    path = identity.get("roles", PRESETS[standard]["roles"])
    if path is None:
        return set(), False
    names, unknown = read(found(path, claims), standard=standard)
    return our_roles(document, identity, names), unknown


def our_roles(document: Document, identity: Document, names: Iterable[str]) -> set[str]:
    """Roles count by their name or through `role_names`, when the policy declares that role."""
    mapped = {identity.get("role_names", {}).get(name, name) for name in names}
    return mapped & set(document.get("roles", {}))


def our_orgs(document: Document, identity: Document, names: Iterable[str]) -> set[str]:
    """Org ids are those declared; with `orgs: from_identity`, whatever the identity source says."""
    mapped = {identity.get("org_names", {}).get(name, name) for name in names}
    stated = document.get("orgs")
    return (
        mapped
        if stated == "from_identity"
        else mapped & set(listed(stated) if not isinstance(stated, dict) else stated)
    )


def joined(document: Document, identity: Document, claims: Mapping[str, Any], memberships: Any) -> dict[str, Held]:
    """Memberships of the claims, which carry no roles, and those of the source, (org, role) pairs kept together."""
    standard = preset(identity, claims)
    path = identity.get("orgs", PRESETS[standard]["orgs"])
    names = read(found(path, claims))[0] if path is not None else set()
    orgs = {org: Held() for org in our_orgs(document, identity, names)}
    permission_names = identity.get("permission_names", {})
    for entry in memberships or ():
        for org in our_orgs(document, identity, [entry["org"]]):
            held = orgs.setdefault(org, Held())
            held.roles |= our_roles(document, identity, entry["roles"] or ())
            held.roles_unknown |= entry["roles"] is None
            granted = {permission_names.get(name, name) for name in entry["permissions"] or ()}
            held.permissions |= granted & set(catalogue(document))
            held.permissions_unknown |= entry["permissions"] is None
    return orgs


def person(
    document: Document, claims: Any, *, roles: Any = (), groups: Any = (), memberships: Any = ()
) -> Person | None:
    """Read a person; None is nobody: no claims, a sign-in that is not one, or a token that is not accepted."""
    if not isinstance(claims, dict) or not claims or claims.get("is_logged_in", True) is not True:
        return None
    identity = settings(document, claims)
    if not accepted(identity, claims):
        return None
    claimed_groups, groups_unknown = known_groups(identity, claims, groups or ())
    claimed_roles, roles_unknown = known_roles(document, identity, claims)
    return Person(
        claims=claims,
        email=verified_email(identity, claims),
        groups=claimed_groups,
        groups_unknown=groups_unknown or groups is None,
        roles=claimed_roles | our_roles(document, identity, roles or ()),
        roles_unknown=roles_unknown or roles is None,
        memberships=joined(document, identity, claims, memberships) if multi_tenant(document) else {},
        memberships_unknown=memberships is None,
    )


# --- the questions ---------------------------------------------------------------------------------------------------


class Asked:
    """One person, in one org, at one moment, under one policy."""

    def __init__(self, document: Document, who: Person | None, *, org: str | None, at: float) -> None:
        self.document = document
        self.person = who
        self.at = at
        self.roles: dict[str, Any] = document.get("roles", {})
        self.lineages = {role: lineage(document, role) for role in self.roles}
        self.names = catalogue(document)
        self.fallen: set[str] = set()
        self.member = False
        self.values: dict[str, Value] = {}
        self.org: str | None = None
        if who is not None:
            self._place(who, org)

    def _place(self, who: Person, org: str | None) -> None:
        """The active org counts only if the subject is a member there; otherwise as with no active org."""
        if not multi_tenant(self.document):
            self.values = self._counted({role: self._direct(who, role, NOWHERE) for role in self.roles})
            return
        everywhere = {role: self._direct(who, role, EVERYWHERE) for role in self.roles}
        if org is None:
            self.values = self._counted(everywhere)
            return
        # A role counts when it "is held there (or held `cross_org`)".
        there = {role: some([self._direct(who, role, org), everywhere[role]]) for role in self.roles}
        self.values = self._counted(there)
        # "some role in it is T, the identity source says so, or a `cross_org` role is T"
        if "T" in self.values.values() or org in who.memberships:
            self.org = org

    def _direct(self, who: Person, role: str, place: str | None) -> Value:
        """One role at one place, without what other roles bring: each of its sources."""
        sources: list[Value] = [
            self._assignment(entry)
            for entry in self.document.get("assign", [])
            if entry["role"] == role and entry.get("org") == place
        ]
        # "in a multi-tenant app a role that comes without an org counts only if it is `cross_org`"
        if place is NOWHERE or (place == EVERYWHERE and self.roles[role].get("cross_org") is True):
            sources.append("T" if role in who.roles else "U" if who.roles_unknown else "F")
        elif place != EVERYWHERE:
            held = who.memberships.get(place, Held())
            unknown = held.roles_unknown or who.memberships_unknown
            sources.append("T" if role in held.roles else "U" if unknown else "F")
        return some(sources)

    def _assignment(self, entry: Document) -> Value:
        """An assignment: its who-condition; F outside `from`/`until`."""
        since, until = moment(entry.get("from")), moment(entry.get("until"))
        if (since is not None and self.at < since) or (until is not None and self.at >= until):
            return "F"
        return self._who({key: value for key, value in entry.items() if key != "role"})

    def _counted(self, values: dict[str, Value]) -> dict[str, Value]:
        """Separation: of two held together none of the set counts, nor does a held role that inherits one of them.

        What is held and does not count is unknown: nothing is allowed by it, and a forbid that asks for it applies.
        """
        held = {ancestor for role, value in values.items() if value == "T" for ancestor in self.lineages[role]}
        sets = [set(entry["roles"]) for entry in self.document.get("separation", [])]
        broken = {role for roles in sets if len(roles & held) > 1 for role in roles}
        self.fallen = {role for role, value in values.items() if value == "T" and self.lineages[role] & broken}
        return {role: "U" if role in self.fallen else value for role, value in values.items()}

    def _who(self, entry: Document) -> Value:
        """The who-condition of an assignment or a forbid."""
        if self.person is None:
            return "U"  # "any other condition, nobody signed in: U"
        for kind in ("email", "domain", "group", "claim", "role"):
            if kind in entry:
                return self.rule({kind: entry[kind]})
        if "sub" in entry:
            return identified(self.person.claims, entry["sub"])
        return "T"  # `everyone: signed_in`, and somebody is

    def role(self, name: str) -> Value:
        """`role` R: T if held, or a role that inherits it; else U if one of the sources is U; else F."""
        if self.person is None:
            return "U"
        value = some(self.values[role] for role in self.roles if name in self.lineages[role])
        # Without an active org in a multi-tenant app, "T by `cross_org`, else U".
        return "U" if self._adrift() and value != "T" else value

    def _adrift(self) -> bool:
        return multi_tenant(self.document) and self.org is None

    def permission(self, name: str) -> Value:
        """`permission` P: *granted* and not *forbidden*, by Kleene."""
        if self.person is None:
            return "U"
        return every([self._granted(self.person, name), opposite(self._forbidden("permission", name))])

    def _granted(self, who: Person, name: str) -> Value:
        """Granted as for `role`, over the roles that contain P, and by the identity source itself in that org."""
        containing = [
            role
            for role, declared in self.roles.items()
            if any(name in expanded(pattern, self.names) for pattern in listed(declared.get("allow")))
        ]
        sources = [self.role(role) for role in containing]
        if self._adrift():
            sources.append("U")
        elif self.org is not None:
            held = who.memberships.get(self.org, Held())
            unknown = held.permissions_unknown or who.memberships_unknown
            sources.append("T" if name in held.permissions else "U" if unknown else "F")
        return some(sources)

    def _forbidden(self, kind: str, name: str) -> Value:
        """Forbidden is the `any` of the forbids that name it; a forbid is its who-condition and its `org`."""
        values: list[Value] = []
        for entry in self.document.get("forbid", []):
            named = listed(entry.get(kind))
            if kind == "permission":
                named = [one for pattern in named for one in expanded(pattern, self.names)]
            if name in named:
                where = [self.rule({"org": entry["org"]})] if "org" in entry else []
                values.append(every([self._who(entry), *where]))
        return some(values)

    def page(self, name: str, *, section: str | None = None) -> Value:
        """A page: its rule, and its section's, and not forbidden."""
        pages = self.document["pages"]
        stated = pages[name] if name in pages else pages[EVERYWHERE]
        rules = [stated["rule"] if isinstance(stated, dict) and "rule" in stated else stated]
        if section is not None and section in self.document.get("sections", {}):
            rules.append(self.document["sections"][section])
        return every([*(self.rule(rule) for rule in rules), opposite(self._forbidden("page", name))])

    def rule(self, rule: Any) -> Value:
        """A rule: several keys in one mapping mean all of them, a list of names means any of them."""
        if rule == "public":
            return "T"
        if rule == "signed_in":
            return truth(self.person is not None)
        return every(self._condition(key, value) for key, value in rule.items())

    def _condition(self, key: str, value: Any) -> Value:
        match key:
            case "any":
                return some(self.rule(one) for one in value)
            case "all":
                return every(self.rule(one) for one in value)
            case "not":
                return opposite(self.rule(value))
            case "claim":
                return every(self._claim(name, wanted) for name, wanted in value.items())
            case _:
                return some(self._named(key, name) for name in listed(value))

    def _named(self, key: str, name: str) -> Value:
        if self.person is None:
            return "U"
        match key:
            case "role":
                return self.role(name)
            case "permission":
                return self.permission(name)
            case "group":
                held = name in self.person.groups
                return "T" if held else "U" if self.person.groups_unknown else "F"
            case "org":
                return "U" if self.org is None else truth(self.org == name)
            case _:
                return self._mailed(self.person.email, key, name)

    @staticmethod
    def _mailed(email: str | None, key: str, name: str) -> Value:
        """`email`, `domain`: U if the e-mail is absent or not verified; the whole domain after the last `@`."""
        if email is None:
            return "U"
        return truth((email if key == "email" else email.rpartition("@")[2]) == folded(name))

    def _claim(self, name: str, wanted: Any) -> Value:
        """`claim: {k: v}`: U if absent or unusable; else equal to the text, or contained in the list."""
        if self.person is None:
            return "U"
        value = self.person.claims.get(name)
        usable = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        if not usable:
            return "U"
        return some(truth(text in value if isinstance(value, list) else text == value) for text in listed(wanted))

    def action(self, action: str) -> Value:
        """A permission, or `page:NAME`."""
        return self.page(action.removeprefix("page:")) if action.startswith("page:") else self.permission(action)
