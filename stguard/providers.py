"""What each identity provider sends, as a table: where roles, groups and orgs stand in its ID token.

Adding a provider is adding a row and its golden claim files. Only keys of ID tokens stand here, because only those
reach `st.user`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stguard.model import EMPTY, ClaimPath

if TYPE_CHECKING:
    from collections.abc import Mapping


class Pairs(StrEnum):
    """Name the shapes in which (org, role) pairs arrive; they are never flattened into roles without an org."""

    ROLE_TO_ORGS = "role_to_orgs"
    """`{role: {org id: domain}}`, as Zitadel sends it."""
    ORG_TO_MEMBER = "org_to_member"
    """`{org id: {org_name, user_role, …}}`, as PropelAuth sends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Describe one provider's ID token.

    Attributes:
        name: the preset's name in a policy's `identity.provider`.
        title: the name to show to people.
        issuer: matches the whole `iss`; None when only a name selects the row.
        roles: where roles without an org stand; None when the provider sends none.
        groups: where groups stand; None when the provider sends none.
        orgs: where the subject's orgs stand; None when the provider sends none.
        pairs: where (org, role) pairs stand; None when the provider sends none.
        pairs_shape: how those pairs are written.
        text_is_a_list: whether a plain string in place of a list is one value; where not, it is unknown.
        switches: by fact (`roles`, `groups`, `orgs`, `email`), one sentence: what to switch on there, or to write here,
            so that the fact comes.
    """

    name: str
    title: str
    issuer: re.Pattern[str] | None = None
    roles: ClaimPath | None = None
    groups: ClaimPath | None = None
    orgs: ClaimPath | None = None
    pairs: ClaimPath | None = None
    pairs_shape: Pairs | None = None
    text_is_a_list: bool = True
    switches: Mapping[str, str] = field(default_factory=lambda: EMPTY)


def _key(key: str) -> ClaimPath:
    return ClaimPath(path=(key,))


def _switches(*, roles: str, groups: str, orgs: str, email: str) -> Mapping[str, str]:
    """Return the switches of one provider; every row says something about every fact."""
    return MappingProxyType({"roles": roles, "groups": groups, "orgs": orgs, "email": email})


_EMAIL_SCOPE: Final = (
    "Ask for the scope `email` in `client_kwargs`; the e-mail counts when `email_verified` is true, or when the policy"
    " declares `trust_email: true`."
)

NONE: Final = Provider(
    name="none",
    title="no provider",
    switches=_switches(
        roles="Name the claim that holds the roles in `identity.roles`.",
        groups="Name the claim that holds the groups in `identity.groups`.",
        orgs="Name the claim that holds the orgs in `identity.orgs`.",
        email=_EMAIL_SCOPE,
    ),
)
"""Nothing is read but what the policy's `identity` section names."""

GENERIC: Final = Provider(
    name="generic",
    title="OpenID Connect",
    roles=_key("roles"),
    groups=_key("groups"),
    switches=_switches(
        roles="Let the provider add the claim `roles` to the ID token, or name the claim that holds them in"
        " `identity.roles`.",
        groups="Let the provider add the claim `groups` to the ID token, or name the claim that holds them in"
        " `identity.groups`.",
        orgs="Name the claim that holds the orgs in `identity.orgs`.",
        email=_EMAIL_SCOPE,
    ),
)
"""Any OpenID provider: top-level `roles` and `groups`."""

PROVIDERS: Final[tuple[Provider, ...]] = (
    NONE,
    GENERIC,
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload: `hd` is the Workspace
    # domain; an absent `hd` is not a Workspace account. Roles and groups are never sent.
    Provider(
        name="google",
        title="Google",
        issuer=re.compile(r"(?:https://)?accounts\.google\.com"),
        orgs=_key("hd"),
        switches=_switches(
            roles="Google sends no roles; give them in the policy with `assign`, by e-mail or domain.",
            groups="Google sends no groups in the ID token; an identity source can add them.",
            orgs="Google sends `hd` for accounts of a Google Workspace only; a private account has no org.",
            email="Ask for the scope `email` in `client_kwargs`.",
        ),
    ),
    # https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference: `roles` are app roles, `groups`
    # object ids. More than 200 groups are replaced by `_claim_names` or `hasgroups`, sometimes by a string.
    Provider(
        name="entra",
        title="Microsoft Entra ID",
        issuer=re.compile(
            r"https://login\.microsoftonline\.com/[0-9a-fA-F-]{36}/v2\.0|https://sts\.windows\.net/[0-9a-fA-F-]{36}/"
        ),
        roles=_key("roles"),
        groups=_key("groups"),
        orgs=_key("tid"),
        text_is_a_list=False,
        switches=_switches(
            roles="Entra admin center: App registrations > your app > App roles makes them; Enterprise applications >"
            " your app > Users and groups gives them to people.",
            groups="Entra admin center: App registrations > your app > Token configuration > Add groups claim; choose"
            " `Groups assigned to the application`, so that the list stays below 200, where Entra cuts it off.",
            orgs="Ask for the scope `profile` in `client_kwargs`: `tid` comes with it.",
            email="Entra never says whether an e-mail is verified: prefer `sub`, `group` or `role`; if every tenant"
            " that may sign in is your own (`identity.accept`), declare `trust_email: true`.",
        ),
    ),
    # https://zitadel.com/docs/apis/openidoauth/claims: roles are per org.
    Provider(
        name="zitadel",
        title="Zitadel",
        issuer=re.compile(r"https://[a-z0-9-]+\.(?:[a-z0-9-]+\.)?zitadel\.cloud"),
        pairs=_key("urn:zitadel:iam:org:project:roles"),
        pairs_shape=Pairs.ROLE_TO_ORGS,
        switches=_switches(
            roles="Zitadel console: Projects > your project > General > `Assert Roles on Authentication`; then your app"
            " > Token Settings > `User roles inside ID Token`.",
            groups="Zitadel sends no groups by itself; an Action can add a claim, which `identity.groups` names.",
            orgs="Zitadel sends orgs with the roles held in them: switch on what brings the roles.",
            email="Zitadel console: Projects > your project > your app > Token Settings > `User Info inside ID Token`;"
            " and ask for the scope `email`.",
        ),
    ),
    # https://docs.propelauth.com/reference/api/org: roles per org, in a hierarchy or several at once.
    Provider(
        name="propelauth",
        title="PropelAuth",
        issuer=re.compile(r"https://[0-9]+\.propelauthtest\.com"),  # a production host is the customer's own: by name
        pairs=_key("org_id_to_org_member_info"),
        pairs_shape=Pairs.ORG_TO_MEMBER,
        switches=_switches(
            roles="PropelAuth's sign-in brings no roles to Streamlit: use `sg.PropelAuth` as the identity source, which"
            " asks its API.",
            groups="PropelAuth knows no groups; use its roles, which are held in an org.",
            orgs="PropelAuth's sign-in brings no orgs to Streamlit: use `sg.PropelAuth` as the identity source, which"
            " asks its API.",
            email=_EMAIL_SCOPE,
        ),
    ),
)

BY_NAME: Final = {provider.name: provider for provider in PROVIDERS}


def by_issuer(issuer: object) -> Provider:
    """Return the row whose issuer matches the whole `iss`, or the generic one."""
    if isinstance(issuer, str):
        for provider in PROVIDERS:
            if provider.issuer is not None and provider.issuer.fullmatch(issuer):
                return provider
    return GENERIC
