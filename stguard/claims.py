"""Turn claims into a subject (the policy information point, PIP): read exactly, keep unknown apart from empty.

Pure: what an identity source says comes in as arguments. Whatever the claims hold, the result is a subject, nobody, or
a fact marked unknown; never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, assert_never

from stguard import naming
from stguard.errors import quote
from stguard.model import EMPTY, EVERY_ORG, ClaimPath, Claims, Identity, Membership, Subject
from stguard.providers import BY_NAME, NONE, Pairs, Provider, by_issuer

NOTES_LIMIT: Final = 50
"""Most notes kept for one subject, so that 10 000 undeclared roles don't fill the memory."""

ISSUER_FORM: Final = re.compile(r"[.:/]")
"""A `sub` in a policy starts with an issuer when it holds one of these, else with a provider's section name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Hold the names that a policy declares; claims bring nothing else.

    Attributes:
        roles: role names.
        cross_org: role names that count without an org.
        permissions: names that an identity source may grant.
        orgs: org ids; None when any id counts (`from_identity`).
        multi_tenant: whether there are orgs at all.
    """

    roles: frozenset[str]
    cross_org: frozenset[str]
    permissions: frozenset[str]
    orgs: frozenset[str] | None
    multi_tenant: bool


class Values(NamedTuple):
    """Texts read from one claim.

    Attributes:
        known: the texts found.
        unknown: why further ones can't be known, in plain words; None when `known` is complete.
    """

    known: frozenset[str]
    unknown: str | None = None


NOTHING: Final = Values(frozenset())

ADDED: Final = ("roles", "groups", "memberships")
"""The facts that an identity source adds."""


def signed_in(claims: object) -> bool:
    """Tell whether claims stand for somebody: a mapping that isn't empty and doesn't deny `is_logged_in`."""
    return isinstance(claims, Mapping) and bool(claims) and claims.get("is_logged_in", True) is True


def identity_for(claims: Claims, identity: Identity) -> Identity:
    """Return the part of the identity section that holds for the `[auth.NAME]` section these claims came through."""
    name = claims.get("provider")
    return identity.providers.get(name, identity) if isinstance(name, str) else identity


def provider_for(claims: Claims, identity: Identity) -> Provider:
    """Return the row of the table that reads these claims."""
    if identity.provider == "auto":
        return by_issuer(claims.get("iss"))
    return BY_NAME.get(identity.provider, NONE)


def rejection(claims: Claims, identity: Identity) -> str | None:
    """Return why a token counts as nobody (`identity.accept`, an anonymous account), or None when it counts.

    Source: OpenID Connect Core 1.0, section 3.1.3.7, steps 2 and 3: `iss` must match exactly, `aud` is one string or a
    list of strings.
    """
    if identity.issuers is not None:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in identity.issuers:
            return "the token's `iss` is not accepted"
    if identity.audiences is not None:
        audience = claims.get("aud")
        stated = audience if isinstance(audience, list | tuple) else [audience]
        if not any(isinstance(entry, str) and entry in identity.audiences for entry in stated):
            return "the token's `aud` is not accepted"
    where = provider_for(claims, identity).anonymous
    # SECURITY: the provider gives such an account to any visitor, so `signed_in` would hold for everybody.
    if where is not None and "anonymous" in read(claims, where, what="accounts").known:
        return "the account is an anonymous one"
    return None


OF_THE_SIGN_IN: Final = frozenset(
    {
        "iss", "sub", "aud", "azp", "exp", "iat", "nbf", "auth_time", "nonce", "acr", "amr", "jti", "sid",
        "at_hash", "c_hash", "s_hash", "is_logged_in", "provider", "origin", "tokens",
    }
)  # fmt: skip
"""Claims about the sign-in itself (OpenID Connect Core 1.0, sections 2 and 3.3.2.11), and what Streamlit adds.

SECURITY: nobody else may say who somebody is, or for how long a login counts.
"""

_VERIFIED: Final = {"email": "email_verified", "phone_number": "phone_number_verified"}


def widened(claims: object, more: object) -> object:
    """Add to the claims of a sign-in what an identity source knows besides; the claims themselves when it is nothing.

    The sign-in's value stays where there is one; lists add up, and mappings are joined by the same rules. Where one
    says a text and the other a list, what the list holds counts, and the rest is unknown.

    Args:
        claims: those of the sign-in.
        more: those of the source, about the same person.
    """
    if not isinstance(claims, Mapping) or not signed_in(claims) or not isinstance(more, Mapping) or not more:
        return claims
    added = {name: value for name, value in more.items() if name not in OF_THE_SIGN_IN}
    own = dict(claims)
    for value, verified in _VERIFIED.items():
        # SECURITY: `email_verified` of one must not vouch for the `email` of the other.
        if own.get(value) is not None:
            added.pop(verified, None)
        elif added.get(value) is not None:
            own.pop(verified, None)
    return _filled(own, added)


def agreed(sources: Iterable[object]) -> dict[str, Any]:
    """Join the further claims that sources know, for `widened`; what they contradict each other in is unknown."""
    found: list[dict[str, Any]] = []
    for source in sources:
        if isinstance(source, Mapping):
            each = dict(source)
            for value, verified in _VERIFIED.items():
                if each.get(value) is None:
                    each.pop(verified, None)
            found.append(each)
    return _agreed(found)


class _Contradiction:
    """Stand for what sources contradict each other in, until it meets what the sign-in says."""


_CONTRADICTION: Final = _Contradiction()


def _filled(claims: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(claims)
    for name, value in more.items():
        mine = found.get(name)
        if mine is None:
            found[name] = _without_contradictions(value)
        elif isinstance(mine, list | tuple) and value is not None:
            # SECURITY: what is no list may name the group that a forbid asks for: then there is one nobody can read.
            found[name] = [*mine, *(value if isinstance(value, list | tuple) else [None])]
        elif isinstance(mine, str) and isinstance(value, list | tuple):
            # SECURITY: the same: what the sign-in says in another form is there, and nobody can read it.
            found[name] = [*value, None]
        elif isinstance(mine, Mapping) and isinstance(value, Mapping):
            found[name] = _filled(mine, value)
    return found


def _without_contradictions(value: object) -> object:
    """Return a value in which nothing is said about what sources contradict each other in."""
    if isinstance(value, Mapping):
        return {name: _without_contradictions(entry) for name, entry in value.items()}
    return None if value is _CONTRADICTION else value


def _agreed(found: list[dict[str, Any]]) -> dict[str, Any]:
    # All at once, so that it doesn't matter who comes first.
    names = dict.fromkeys(name for each in found for name in each)
    return {name: _agreed_value([value for each in found if (value := each.get(name)) is not None]) for name in names}


def _agreed_value(values: list[Any]) -> object:
    if not values:
        return None
    if all(isinstance(value, list | tuple) for value in values):
        return [entry for value in values for entry in value]
    if all(isinstance(value, Mapping) for value in values):
        return _agreed([dict(value) for value in values])
    # `True == 1`, but only one of them verifies an e-mail.
    same = all(type(value) is type(values[0]) and value == values[0] for value in values)
    return values[0] if same else _CONTRADICTION


def texts(value: object) -> frozenset[str] | None:
    """Return the texts of a claim for a `claim:` condition, or None when it is absent or unusable.

    A text is one value; a list of texts is its texts. Anything else is unusable, a list with anything else in it too.
    """
    if isinstance(value, str):
        return frozenset((value,))
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return frozenset(value)
    return None


def claim_texts(claims: Claims, name: str) -> frozenset[str] | None:
    """Return the texts of the claim with this exact key, or None when it is absent, cut off or unusable."""
    cut = claims.get("_claim_names")
    return None if isinstance(cut, Mapping) and name in cut else texts(claims.get(name))


def read(claims: Claims, where: ClaimPath, *, what: str, text_is_a_list: bool = True) -> Values:
    """Read the texts that stand at one place in the claims.

    Args:
        claims: the raw claims.
        where: the place. A key is taken as it stands, never split on dots.
        what: the word for messages: `roles`, `groups`, `orgs`.
        text_is_a_list: whether a plain string is one value.

    Returns:
        What is known, and why the rest isn't. An empty list is known and empty; an absent claim is unknown.
    """
    first = where.path[0]
    cut = claims.get("_claim_names")
    # OpenID Connect Core 1.0, section 5.6.2: a distributed claim stands elsewhere. Its address is not followed, since
    # whoever issued the token could make this process call any host.
    if (isinstance(cut, Mapping) and first in cut) or (first == "groups" and _truthy(claims.get("hasgroups"))):
        return Values(frozenset(), f"the identity provider cut the {what} off: there are too many for the token")
    value = _at(claims, where)
    if value is None:
        return Values(frozenset(), f"the identity provider sent no {what}")
    return _shape(value, where, what=what, text_is_a_list=text_is_a_list)


def _at(claims: Claims, where: ClaimPath) -> object:
    """Return the value at a place in the claims; None when it is absent."""
    value: object = claims
    for key in where.path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _truthy(value: object) -> bool:
    return value is not None and value is not False and value != "false"


def _denies(entry: object) -> bool:
    """Tell whether a key's value says that the key is not meant: `false`, `null`, `0`, nothing, in whatever type."""
    return entry is None or (isinstance(entry, str | int | float) and str(entry).casefold() in _DENIALS)


_DENIALS: Final = frozenset({"", "0", "0.0", "false", "no", "null", "none"})


def _shape(value: object, where: ClaimPath, *, what: str, text_is_a_list: bool) -> Values:
    unusable = Values(frozenset(), f"the identity provider sent the {what} in a form that can't be used")
    if isinstance(value, str):
        if where.split is not None:
            return Values(frozenset(part.strip() for part in value.split(where.split) if part.strip()))
        return Values(frozenset((value,))) if value and text_is_a_list else unusable
    if isinstance(value, bool):
        if where.when_true is None:
            return unusable
        return Values(frozenset((where.when_true,))) if value else NOTHING
    if isinstance(value, Mapping):
        # SECURITY: `{"admin": false}` must not make an admin, so a mapping that denies an entry is not read as keys.
        if any(_denies(entry) for entry in value.values()):
            return unusable
        value = list(value)
    elif where.field is not None and isinstance(value, list | tuple):
        value = [entry.get(where.field) if isinstance(entry, Mapping) else None for entry in value]
    if not isinstance(value, list | tuple | set | frozenset):
        return unusable
    found = frozenset(entry for entry in value if isinstance(entry, str))
    if value and not found:
        return unusable
    # SECURITY: an entry that can't be read might be the group that a forbid names, so the rest stays unknown.
    odd = sum(1 for entry in value if not isinstance(entry, str))
    return Values(
        found, f"the identity provider sent {odd} of the {what} in a form that can't be used" if odd else None
    )


def subject_from(  # noqa: PLR0913  one keyword for each thing that an identity source adds
    claims: object,
    *,
    identity: Identity,
    vocabulary: Vocabulary,
    roles: Iterable[str] | None = (),
    groups: Iterable[str] | None = (),
    memberships: Iterable[Membership | Mapping[str, Any]] | None = (),
    unknown: Mapping[str, str] = EMPTY,
    complete: Collection[str] = (),
    active_org: str | None = None,
    impersonator: str | None = None,
) -> Subject | None:
    """Make the subject that claims and an identity source stand for.

    Args:
        claims: claims as `st.user` holds them; anything that isn't a mapping counts as nobody.
        identity: the policy's `identity` section.
        vocabulary: the policy's names.
        roles: role names an identity source adds, without an org; None when it could not say.
        groups: group names it adds; None when it could not say.
        memberships: memberships it adds; None when it could not say.
        unknown: which of `roles`, `groups`, `memberships` it could not say in full, and why; what it gave counts.
        complete: which of these it answers for in full, so that claims that lack them leave nothing unknown.
        active_org: the org it says is active, by its id there; None for none.
        impersonator: id of whoever acts as this person; None for nobody.

    Returns:
        The subject, or None for nobody: no claims, not signed in, or a token that `identity.accept` refuses.
    """
    if not isinstance(claims, Mapping) or not signed_in(claims):
        return None
    identity = identity_for(claims, identity)
    if rejection(claims, identity) is not None:
        return None
    reading = _Reading(claims, identity=identity, vocabulary=vocabulary)
    reading.read_doubts(unknown)
    # One text would hold each of its parts, too.
    listed = complete if isinstance(complete, tuple | list | set | frozenset) else ()
    reading.complete = frozenset(fact for fact in ADDED if fact in listed)
    reading.read_person()
    reading.read_groups(groups)
    reading.read_roles(roles)
    reading.read_memberships(memberships)
    reading.active_org = reading.own_org(active_org)
    reading.impersonator = _text(impersonator)
    return reading.subject()


def propelauth_membership(org: str, entry: Mapping[str, Any]) -> Membership | None:
    """Return the membership that PropelAuth describes, in a token as on its API; None where it names no role.

    An app there has either one role in a hierarchy, sent with those below it, or several roles at once.
    """
    own = entry.get("user_role")
    if own is None:
        return None
    roles: list[Any] = [own]
    inherited, several = entry.get("inherited_user_roles_plus_current_role"), entry.get("additional_roles")
    # https://docs.propelauth.com/overview/authorization/rbac: where people hold several, no role inherits another.
    for more in (several,) if entry.get("org_role_structure") == "multi_role" else (inherited, several):
        # What is there but no list may name the role that a forbid asks for: then the roles are not all known.
        roles += more if isinstance(more, list) else [] if more is None else [None]
    name, metadata = entry.get("org_name"), entry.get("org_metadata")
    return Membership(
        org=org,
        name=name if isinstance(name, str) else None,
        roles=tuple(roles),
        permissions=entry.get("user_permissions"),
        metadata=metadata if isinstance(metadata, Mapping) else {},
    )


class _Reading:
    """Collect one subject's facts, and what stays unknown, step by step."""

    def __init__(self, claims: Claims, *, identity: Identity, vocabulary: Vocabulary) -> None:
        self.claims = claims
        self.identity = identity
        self.vocabulary = vocabulary
        self.provider = provider_for(claims, identity)
        self.unknown: dict[str, str] = {}
        self.notes: list[str] = []
        self.ids: tuple[str, ...] = ()
        self.email: str | None = None
        self.groups: frozenset[str] = frozenset()
        self.roles: frozenset[str] = frozenset()
        self.members: dict[str, Membership] = {}
        self.complete: frozenset[str] = frozenset()
        self.active_org: str | None = None
        self.impersonator: str | None = None

    def subject(self) -> Subject:
        return Subject(
            id=self.ids[0] if self.ids else None,
            ids=self.ids,
            name=_text(self.claims.get("name")),
            picture=_text(self.claims.get("picture")),
            email=self.email,
            groups=self.groups,
            roles=self.roles,
            memberships=self.members,
            claims=self.claims,
            unknown=self.unknown,
            active_org=self.active_org,
            impersonator=self.impersonator,
            notes=tuple(self.notes[:NOTES_LIMIT]),
        )

    # --- what an identity source could not say

    def read_doubts(self, unknown: object) -> None:
        """Take over why facts are unknown. Read first: the reason of the source that failed is the one to tell."""
        doubts = unknown if isinstance(unknown, Mapping) else {None: None}
        for fact, why in doubts.items():
            # SECURITY: a doubt about a fact that isn't known here may mean any of them.
            for meant in (fact,) if fact in ADDED else ADDED:
                self._unknown(meant, _text(why) or f"the identity source could not say which {meant} there are")

    # --- who they are

    def read_person(self) -> None:
        sub = _text(self.claims.get("sub"))
        issuer, provider = _text(self.claims.get("iss")), _text(self.claims.get("provider"))
        if sub is not None:
            self.ids = tuple(f"{prefix}|{sub}" for prefix in (issuer, provider) if prefix is not None)
        if sub is None or issuer is None:
            self.unknown["sub:issuer"] = "the identity provider sent no usable `sub` and `iss`"
        if sub is None or provider is None:
            self.unknown["sub:provider"] = "the sign-in named no provider, or no usable `sub`"
        email = self.claims.get("email")
        if not isinstance(email, str) or not email:
            self.unknown["email"] = "the identity provider sent no e-mail"
            return
        normal = naming.normalise(email)
        # SECURITY: a compatibility character that turns into `@` (U+FF20, U+FE6B) would move the domain.
        if not naming.email_domain(normal) or normal.count("@") != email.count("@"):
            self.unknown["email"] = "the identity provider sent an e-mail that can't be used"
        elif self.claims.get("email_verified") is True or self.identity.trust_email is True:
            self.email = normal
        else:
            self.unknown["email"] = "the e-mail is not verified"

    # --- groups and roles without an org

    def read_groups(self, added: Iterable[str] | None) -> None:
        extra = self._added(added, "groups")
        claimed = self._claimed("groups", self.identity.groups or self.provider.groups)
        if claimed is not None:
            values = claimed
        elif added is None or extra.known:
            values = NOTHING
        else:
            values = Values(frozenset(), "no claim and no identity source says which groups there are")
        self.groups = values.known | extra.known
        self._unsaid("groups", values.unknown)
        self._unknown("groups", extra.unknown)

    def read_roles(self, added: Iterable[str] | None) -> None:
        extra = self._added(added, "roles")
        values = self._claimed("roles", self.identity.roles or self.provider.roles) or self._unread()
        self.roles = self._declared_roles(values.known | extra.known)
        self._unsaid("roles", values.unknown)
        self._unknown("roles", extra.unknown)
        if self.vocabulary.multi_tenant:
            for role in sorted(self.roles - self.vocabulary.cross_org):
                self._note("role {} came without an org and is not `cross_org`: ignored", role)

    def _claimed(self, what: str, where: ClaimPath | None) -> Values | None:
        """Read what stands at a place in the claims, or at the only key that can be meant; None when there is none."""
        if where is None and self.provider.namespaced and what != "orgs":
            keys = [key for key in self.claims if isinstance(key, str) and re.fullmatch(rf"https?://\S+/{what}", key)]
            if len(keys) > 1:
                way_out = f"name one in `identity.{what}`"
                return Values(
                    frozenset(), f"the identity provider sent several claims that end in `/{what}`; {way_out}"
                )
            if not keys:
                return Values(frozenset(), f"the identity provider sent no {what}")
            where = ClaimPath(path=(keys[0],))
        if where is None:
            return None
        if where.path[0] in self.provider.editable:
            # SECURITY: whoever signs in would write their own roles there.
            return Values(frozenset(), f"users can write {quote(where.path[0])} themselves, so it is not read")
        text_is_a_list = self.provider.text_is_a_list or what == "orgs"
        return read(self.claims, where, what=what, text_is_a_list=text_is_a_list)

    def _unread(self) -> Values:
        """Return no roles; they are unknown if somebody made the provider send some that nobody reads."""
        for key in self.provider.unread:
            if self.claims.get(key) is not None:
                # SECURITY: what stands there may be the role that a forbid names.
                why = f"the token holds {quote(key)}, which the preset doesn't read; name it in `identity.roles`"
                return Values(frozenset(), why)
        return NOTHING

    def _added(self, added: object, what: str) -> Values:
        if added is None:
            return Values(frozenset(), f"the identity source could not say which {what} there are")
        if isinstance(added, str):
            return Values(frozenset((added,)))
        listed = _listed(added)
        if listed is None:
            return Values(frozenset(), f"the identity source sent the {what} in a form that can't be used")
        return _shape(listed, ClaimPath(path=(what,)), what=what, text_is_a_list=True)

    def _declared_roles(self, names: Iterable[str]) -> frozenset[str]:
        known = set()
        for name in names:
            role = self.identity.role_names.get(name, name)
            # What the provider gives to everybody counts only if the policy translates it on purpose.
            if self._is_noise(name):
                if role in self.vocabulary.roles:
                    self._note("role {} comes with every account there: ignored, unless `role_names` names it", name)
                continue
            if role in self.vocabulary.roles:
                known.add(role)
            else:
                self._note("role {} is not declared in the policy: ignored", name)
        return frozenset(known)

    def _is_noise(self, name: str) -> bool:
        noise = self.provider.noise
        return noise is not None and noise.fullmatch(name) is not None and name not in self.identity.role_names

    # --- orgs, and what is held in them

    def read_memberships(self, added: Iterable[Membership | Mapping[str, Any]] | None) -> None:
        # Without orgs in the policy nobody asks for them: a tenant or a domain is nothing to remark on then.
        where = (self.identity.orgs or self.provider.orgs) if self.vocabulary.multi_tenant else None
        values = self._claimed("orgs", where) or NOTHING
        if "memberships" not in self.complete:
            self._unknown("orgs", values.unknown)
        name = self._org_name() if len(values.known) == 1 else None
        for org in sorted(values.known):
            if org in self.provider.no_orgs:
                self._note("org {} stands for private accounts: ignored", org)
            else:
                self._join(org, name=name)
        if self.provider.pairs_shape is not None:
            self._read_pairs(self.provider.pairs_shape)
        if added is None:
            self._unknown("memberships", "the identity source could not say which orgs there are")
        elif (entries := _listed(added)) is None:
            self._unknown("memberships", "the identity source sent the memberships in a form that can't be used")
        else:
            for entry in entries:
                self._add(entry)

    def _org_name(self) -> str | None:
        where = self.provider.org_name
        return None if where is None or self.identity.orgs is not None else _text(_at(self.claims, where))

    def _read_pairs(self, shape: Pairs) -> None:
        value = next((found for where in self.provider.pairs if (found := _at(self.claims, where)) is not None), None)
        if shape is Pairs.ORG_TO_MEMBER and value is None:
            # With an org active in the token, PropelAuth sends that one org under a key of its own.
            one = self.claims.get("org_member_info")
            org = one.get("org_id") if isinstance(one, Mapping) else None
            value = {org: one} if isinstance(org, str) else None
        if value is None:
            self._unsaid("memberships", "the identity provider sent no roles by org")
            return
        match shape:
            case Pairs.ROLE_TO_ORGS:
                for each in value if isinstance(value, list | tuple) else [value]:
                    self._read_role_to_orgs(each)
            case Pairs.ORG_TO_MEMBER:
                if not isinstance(value, Mapping):
                    self._odd_pairs()
                    return
                for org, entry in value.items():
                    if isinstance(org, str) and isinstance(entry, Mapping):
                        self._add_member(org, entry)
                    else:
                        self._odd_pairs()
            case Pairs.ONE_ORG:
                self._read_one_org(value)
            case _:
                assert_never(shape)

    def _odd_pairs(self) -> None:
        self._unknown("memberships", "the identity provider sent roles by org in a form that can't be used")

    def _read_role_to_orgs(self, value: object) -> None:
        if not isinstance(value, Mapping):
            self._odd_pairs()
            return
        for role, orgs in value.items():
            # SECURITY: `{"admin": {"acme": false}}` must not make an admin of acme.
            if (
                not isinstance(role, str)
                or not isinstance(orgs, Mapping)
                or any(_denies(each) for each in orgs.values())
            ):
                self._odd_pairs()
                continue
            for org in orgs:
                self._add({"org": org, "roles": [role]})

    def _read_one_org(self, org: object) -> None:
        roles: list[object] = []
        stated = [self.claims[key] for key in ("role", "roles") if self.claims.get(key) is not None]
        for each in stated:
            # What is there but neither text nor list may name the role that a forbid asks for: then it is unknown.
            roles += each if isinstance(each, list) else [each]
        permissions = self.claims.get("permissions")
        self._add({"org": org, "roles": roles if stated else None, "permissions": permissions})

    def _add_member(self, org: str, entry: Mapping[str, Any]) -> None:
        membership = propelauth_membership(org, entry)
        if membership is None:
            self._note("org {} came without a role: no membership", org)
        else:
            self._add(membership)

    def _add(self, entry: object) -> None:
        """Join one membership that a source or a claim names, whatever its form."""
        if isinstance(entry, Mapping):
            org, name = entry.get("org"), entry.get("name")
            roles, permissions = entry.get("roles", ()), entry.get("permissions", ())
            metadata = entry.get("metadata")
        elif isinstance(entry, Membership):
            org, name, roles, permissions = entry.org, entry.name, entry.roles, entry.permissions
            metadata = entry.metadata
        else:
            org = None
        if not isinstance(org, str) or not org:
            self._unknown("memberships", "the identity source sent a membership in a form that can't be used")
            return
        org = self._join(org, name=name if isinstance(name, str) else None)
        if org is None:
            return
        held, granted = self._added(roles, "roles"), self._added(permissions, "permissions")
        before = self.members[org]
        self.members[org] = replace(
            before,
            roles=tuple(sorted(self._declared_roles(held.known).union(before.roles or ()))),
            permissions=tuple(sorted(self._declared_permissions(granted.known).union(before.permissions or ()))),
            metadata=metadata if isinstance(metadata, Mapping) and metadata else before.metadata,
        )
        self._unknown(f"roles:{org}", held.unknown)
        self._unknown(f"permissions:{org}", granted.unknown)

    def _declared_permissions(self, names: Iterable[str]) -> set[str]:
        known = set()
        for name in names:
            ours = self.identity.permission_names.get(name)
            if ours is not None:
                known.add(ours)
            elif name in self.vocabulary.permissions:
                known.add(name)
            else:
                self._note("permission {} is not in the policy's catalogue: ignored", name)
        return known

    def _join(self, org: str, *, name: str | None = None) -> str | None:
        """Make the subject a member of an org, and return the policy's name of it, or None when it doesn't count."""
        ours = self.identity.org_names.get(org, org)
        if not self.vocabulary.multi_tenant:
            self._note("org {} came, but the policy has no `orgs`: ignored", org)
            return None
        if ours in ("", EVERY_ORG):
            self._note("org {} is no org's id: ignored", org)
            return None
        if self.vocabulary.orgs is not None and ours not in self.vocabulary.orgs:
            self._note("org {} is not declared in the policy: ignored", org)
            return None
        before = self.members.get(ours)
        if before is None or before.name is None:
            self.members[ours] = replace(before, name=name) if before else Membership(org=ours, name=name)
        return ours

    def own_org(self, org: object) -> str | None:
        """Return the policy's name of an org that a source calls active; whether it may be is asked at each use."""
        return self.identity.org_names.get(org, org) if isinstance(org, str) and org else None

    def _unsaid(self, fact: str, why: str | None) -> None:
        """Mark what the claims don't say, unless an identity source answers for it in full."""
        if fact not in self.complete:
            self._unknown(fact, why)

    def _unknown(self, fact: str, why: str | None) -> None:
        if why is not None:
            self.unknown.setdefault(fact, why)

    def _note(self, text: str, name: str = "") -> None:
        if len(self.notes) < NOTES_LIMIT:
            self.notes.append(text.format(quote(name)))


def _listed(value: object) -> list[object] | None:
    """Return what an identity source sent one after the other; None when that can't be done or fails on the way."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except Exception:  # noqa: BLE001  it may be anything that iterates, a query that fails for one
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
