"""Frozen data that every floor shares: subjects, rules, the parts of a policy, decisions.

Nothing here decides or fetches anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return EMPTY


Claims = Mapping[str, Any]
"""Claims as `st.user` holds them: raw, not yet trusted."""

EVERY_ORG: Final = "*"
"""The org of an assignment that holds in every org (only for `cross_org` roles)."""

BUILT_IN_PERMISSIONS: Final = ("policy:view", "policy:edit")
"""Permissions that exist in every policy."""

PAGE_ACTION: Final = "page:"
"""Prefix of an action that asks for a page: `page:reports`."""


# --- who asks ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Describe a subject in one org.

    Attributes:
        org: the org's id in the policy.
        name: a name to show, or None when nobody gave one.
        roles: role names held in that org; None when the source could not say.
        permissions: permission names that the identity source itself grants there; None when it could not say.
        metadata: what the identity source knows about the org besides, for branding; never used for a decision.
    """

    org: str
    name: str | None = None
    roles: tuple[str, ...] | None = ()
    permissions: tuple[str, ...] | None = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Carry what an identity source adds to the claims.

    Attributes:
        roles: role names without an org; None when the source could not say.
        groups: group names; None when the source could not say.
        memberships: one entry for each org; None when the source could not say.
        unknown: which of these facts are not complete, and why, in plain words without addresses or secrets: keys are
            `roles`, `groups`, `memberships`. What is given counts, the rest is unknown.
        complete: which of these facts a source answers for in full, so that a token without them leaves nothing
            unknown. What a token does bring counts as well.
        blocked: the sentence for a person whose account counts as nobody (`Your account is disabled.`); None for an
            account that counts.
        active_org: the org the identity provider says is active, by its id there; a wish like any other, and None for
            none.
        impersonator: id of whoever acts as this person; None for nobody.
        claims: further claims of the person, read as those of the sign-in are: by the provider's preset and the
            policy's `identity` section. They fill in what the sign-in doesn't say, and add to its lists; who somebody
            is and how long the login counts is the sign-in's to say.
    """

    roles: tuple[str, ...] | None = ()
    groups: tuple[str, ...] | None = ()
    memberships: tuple[Membership, ...] | None = ()
    unknown: Mapping[str, str] = field(default_factory=_empty, hash=False)
    complete: tuple[str, ...] = ()
    blocked: str | None = None
    active_org: str | None = None
    impersonator: str | None = None
    claims: Claims = field(default_factory=_empty, hash=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Say who asks and what is known about them under one policy. Made by `Policy.subject`.

    Attributes:
        id: `iss|sub`, or `provider|sub` where no issuer was sent; None when the claims hold no usable `sub`.
        ids: every form of the id by which a policy may name this subject.
        name: a name to show, not to decide by; None when absent.
        picture: an address of a picture to show; None when absent.
        email: the e-mail, case-folded and NFKC-normalised; None when absent or not verified.
        groups: groups known to be held. Others are unknown when `"groups" in unknown`.
        roles: declared roles that came without an org. Others are unknown when `"roles" in unknown`.
        memberships: by org id. Others are unknown when `"memberships" in unknown`.
        claims: the raw claims, for `claim:` rules; never logged, never shown.
        unknown: which facts could not be known, and why, in plain words: keys are `email`, `groups`, `roles`,
            `memberships`, `sub`.
        active_org: the org the identity provider says is active; a wish, verified like any other. None for none.
        impersonator: id of whoever acts as this person, to show and to log; None for nobody.
        notes: what was ignored on the way from claims to subject, in plain words, for `stguard doctor`.
    """

    id: str | None = None
    ids: tuple[str, ...] = ()
    name: str | None = None
    picture: str | None = None
    email: str | None = None
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    memberships: Mapping[str, Membership] = field(default_factory=_empty)
    claims: Claims = field(default_factory=_empty, repr=False)
    unknown: Mapping[str, str] = field(default_factory=_empty)
    active_org: str | None = None
    impersonator: str | None = None
    notes: tuple[str, ...] = ()
    views: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What the engine has already worked out for this subject, by org. Derived, dropped with the subject."""


# --- rules ---


@dataclass(frozen=True, slots=True)
class Public:
    """Hold for anyone, signed in or not."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Hold for anyone who is signed in."""


@dataclass(frozen=True, slots=True)
class RoleIs:
    """Hold for who has any of these roles in the active org."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermissionIs:
    """Hold for who is allowed any of these permissions in the active org."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupIs:
    """Hold for members of any of these groups."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmailIs:
    """Hold for any of these verified e-mails (normalised)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DomainIs:
    """Hold for verified e-mails in any of these domains (normalised)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrgIs:
    """Hold when any of these orgs is the active one."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimIs:
    """Hold when the claim with this exact key is, or contains, any of these texts."""

    claim: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Hold when one of the rules does."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Hold when every one of the rules does."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Hold when the rule is false; unknown stays unknown."""

    rule: Rule


Rule = Public | SignedIn | RoleIs | PermissionIs | GroupIs | EmailIs | DomainIs | OrgIs | ClaimIs | AnyOf | AllOf | Not
"""One rule type for pages, sections and `@requires`."""


# --- the parts of a policy, names already checked ---


class WhoKind(StrEnum):
    """Name the ways to say whom an assignment, a forbid or a revocation means."""

    EMAIL = "email"
    DOMAIN = "domain"
    GROUP = "group"
    CLAIM = "claim"
    SUB = "sub"
    ROLE = "role"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Who:
    """Say whom an assignment, a forbid or a revocation means.

    Attributes:
        kind: the who-key.
        value: what it names: e-mail and domain normalised; `provider|sub` or `iss|sub`; a claim's text; a role's
            name; `signed_in` for everyone.
        claim: the exact key of the claim, only for `claim`.
    """

    kind: WhoKind
    value: str
    claim: str | None = None

    def __str__(self) -> str:
        """Return the who-key as text: `email:ann@acme.com`, `claim:department=finance`, `signed_in`."""
        if self.kind is WhoKind.EVERYONE:
            return "signed_in"
        if self.kind is WhoKind.CLAIM:
            return f"claim:{self.claim}={self.value}"
        return f"{self.kind.value}:{self.value}"


@dataclass(frozen=True, slots=True)
class Role:
    """Declare a role.

    Attributes:
        name: its name.
        inherits: parents' names.
        allow: permission names, wildcards already expanded, without the inherited ones.
        cross_org: whether it may be assigned in every org at once.
    """

    name: str
    inherits: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    cross_org: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """Give a role to somebody.

    Attributes:
        id: the id that stands in the file, or one made from the content.
        role: role name.
        org: org id; `*` for every org; None in a single-tenant policy.
        who: whom.
        since: Unix seconds from which it holds; None from always.
        until: Unix seconds at which it no longer holds; None for never.
        reason: the author's note.
    """

    id: str
    role: str
    org: str | None
    who: Who
    since: float | None = None
    until: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Forbid:
    """Deny permissions or pages to somebody, whatever roles they hold.

    Attributes:
        id: the id that stands in the file, or one made from the content.
        who: whom.
        permissions: permission names, wildcards already expanded.
        pages: page names.
        org: only in that org; None in every org and without one.
        reason: the author's note.
    """

    id: str
    who: Who
    permissions: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    org: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Separation:
    """Name roles of which nobody may hold two in one org."""

    id: str
    roles: tuple[str, ...]


class OnDeny(StrEnum):
    """Say what the menu does with a page that is refused."""

    HIDE = "hide"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Page:
    """Give a page its rule.

    Attributes:
        name: the url path; `*` for pages not listed.
        rule: who may open it.
        hidden: keep it out of the menu though it is allowed.
        on_deny: what the menu does when it is refused.
    """

    name: str
    rule: Rule
    hidden: bool = False
    on_deny: OnDeny = OnDeny.HIDE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPath:
    """Say where a fact stands in the claims.

    Attributes:
        path: keys, outermost first; one exact key has length 1. Never split on dots.
        split: delimiter of a string that holds several values; None when a string is one value.
        field: key to take from each entry of a list of mappings; None when entries are strings.
        when_true: name to use for a claim that is `true`; None when a boolean is unusable.
    """

    path: tuple[str, ...]
    split: str | None = None
    field: str | None = None
    when_true: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Say how claims become a subject, as the `identity` section has it. None means: as the preset has it.

    Attributes:
        provider: `auto` (by issuer), a preset's name, or `none`.
        roles: where roles stand.
        groups: where groups stand.
        orgs: where orgs stand.
        role_names: the provider's name: the policy's role.
        org_names: the provider's name: the policy's org.
        permission_names: the provider's name: the policy's permission.
        trust_email: whether an e-mail counts without `email_verified`.
        issuers: issuers whose tokens count; None for any.
        audiences: audiences whose tokens count; None for any.
        providers: the same for one `[auth.NAME]` section, by its name, with everything general already merged in.
    """

    provider: str = "auto"
    roles: ClaimPath | None = None
    groups: ClaimPath | None = None
    orgs: ClaimPath | None = None
    role_names: Mapping[str, str] = field(default_factory=_empty)
    org_names: Mapping[str, str] = field(default_factory=_empty)
    permission_names: Mapping[str, str] = field(default_factory=_empty)
    trust_email: bool | None = None
    issuers: tuple[str, ...] | None = None
    audiences: tuple[str, ...] | None = None
    providers: Mapping[str, Identity] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Limit how long a login counts.

    Attributes:
        max_age: seconds since login; None for no limit.
        idle: seconds since the last interaction; None for no limit.
        expire_with_token: whether the token's `exp` ends the login.
    """

    max_age: float | None = None
    idle: float | None = None
    expire_with_token: bool = False


@dataclass(frozen=True, slots=True)
class Revocation:
    """End logins of somebody made before a moment.

    Attributes:
        who: whom.
        before: Unix seconds; logins earlier than this no longer count.
        reason: the author's note.
    """

    who: Who
    before: float
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineTest:
    """State what one subject can, can't and sees.

    Attributes:
        name: a line to show.
        file: where it stands.
        line: where it stands, counted from 1.
        column: where it stands, counted from 1.
        claims: claims as a provider would send them; None for nobody signed in.
        roles: roles an identity source would add; None when it could not say.
        groups: groups an identity source would add; None when it could not say.
        memberships: memberships an identity source would add; None when it could not say.
        org: the active org; None for none.
        at: Unix seconds; None for now.
        can: permissions that must be allowed.
        cannot: permissions that must be refused.
        sees: exactly the pages that must be open; None when not stated.
        not_sees: pages that must not be open.
    """

    name: str
    file: str
    line: int
    column: int
    claims: Claims | None
    roles: tuple[str, ...] | None = ()
    groups: tuple[str, ...] | None = ()
    memberships: tuple[Membership, ...] | None = ()
    org: str | None = None
    at: float | None = None
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    sees: tuple[str, ...] | None = None
    not_sees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyParts:
    """Hold a whole policy as it was read, every name checked, every wildcard expanded.

    Attributes:
        permissions: the catalogue in file order, the built-in ones last.
        orgs: org id to display name; None for a single-tenant app; empty with `orgs_from_identity`.
        orgs_from_identity: whether any org id the identity source names is valid.
        roles: by name, in file order.
        assignments: who gets which role.
        forbids: denials.
        separations: roles nobody may hold together.
        pages: by name, in file order; `*` is the rule of pages not listed.
        sections: a menu section's rule, by its title.
        identity: how claims become a subject.
        sessions: how long a login counts.
        revocations: logins that no longer count.
        tests: the inline tests.
    """

    permissions: tuple[str, ...] = BUILT_IN_PERMISSIONS
    orgs: Mapping[str, str] | None = None
    orgs_from_identity: bool = False
    roles: Mapping[str, Role] = field(default_factory=_empty)
    assignments: tuple[Assignment, ...] = ()
    forbids: tuple[Forbid, ...] = ()
    separations: tuple[Separation, ...] = ()
    pages: Mapping[str, Page] = field(default_factory=_empty)
    sections: Mapping[str, Rule] = field(default_factory=_empty)
    identity: Identity = Identity()
    sessions: Sessions = Sessions()
    revocations: tuple[Revocation, ...] = ()
    tests: tuple[InlineTest, ...] = ()

    @property
    def multi_tenant(self) -> bool:
        """Tell whether questions are asked in an org."""
        return self.orgs is not None or self.orgs_from_identity


# --- the answer ---


class Reason(StrEnum):
    """Say why, for programs. Closed: a new reason is a change that the changelog tells."""

    PUBLIC = "public"
    """Allowed: anyone may."""
    SIGNED_IN = "signed_in"
    """Allowed: anyone who is signed in may."""
    GRANTED = "granted"
    """Allowed: a role, a permission or another fact about the subject allows it."""
    NOT_SIGNED_IN = "not_signed_in"
    """Refused: nobody is signed in."""
    FORBIDDEN = "forbidden"
    """Refused: a forbid applies."""
    UNKNOWN = "unknown"
    """Refused: a fact that was needed is missing."""
    NO_ORG = "no_org"
    """Refused: no org is active."""
    NOT_A_MEMBER = "not_a_member"
    """Refused: the subject is not a member of the org that was asked for."""
    SEPARATED = "separated"
    """Refused: roles that nobody may hold together were held together."""
    NOT_GRANTED = "not_granted"
    """Refused: nothing allows it."""
    NO_RULE = "no_rule"
    """Refused: the page has no rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Answer one question. True in a condition exactly when allowed.

    Attributes:
        allowed: the answer.
        reason: why, for programs.
        action: what was asked: a permission, `page:NAME`, or a rule in words.
        org: the org that was asked for; None for none.
        at: the moment that was asked for, Unix seconds.
        rule: id of the assignment, forbid, separation or page that decided; None when none did.
        missing: for a refusal, the shortest list of things any one of which would change it, in plain words for
            admins; empty when allowed.
        trace: how the answer came about, one line a step.
    """

    allowed: bool
    reason: Reason
    action: str
    org: str | None
    at: float
    rule: str | None = None
    missing: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether it is allowed."""
        return self.allowed

    def as_json(self) -> dict[str, Any]:
        """Return the fields that `stguard explain --json` prints, `at` as ISO 8601 in UTC."""
        return {
            "allowed": self.allowed,
            "reason": self.reason.value,
            "rule": self.rule,
            "missing": list(self.missing),
            "org": self.org,
            "action": self.action,
            "at": datetime.fromtimestamp(self.at, tz=UTC).isoformat().replace("+00:00", "Z"),
        }
