"""What each identity provider sends, as a table: where roles, groups and orgs stand in its ID token.

Adding a provider is adding a row and its golden claim files. Only keys of ID tokens stand here, because only those
reach `st.user`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stguard.model import ClaimPath


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
        issuer: matches the whole `iss`; None when only a name selects the row.
        roles: where roles without an org stand; None when the provider sends none.
        groups: where groups stand; None when the provider sends none.
        orgs: where the subject's orgs stand; None when the provider sends none.
        pairs: where (org, role) pairs stand; None when the provider sends none.
        pairs_shape: how those pairs are written.
        text_is_a_list: whether a plain string in place of a list is one value; where not, it is unknown.
    """

    name: str
    issuer: re.Pattern[str] | None = None
    roles: ClaimPath | None = None
    groups: ClaimPath | None = None
    orgs: ClaimPath | None = None
    pairs: ClaimPath | None = None
    pairs_shape: Pairs | None = None
    text_is_a_list: bool = True


def _key(key: str) -> ClaimPath:
    return ClaimPath(path=(key,))


NONE: Final = Provider(name="none")
"""Nothing is read but what the policy's `identity` section names."""

GENERIC: Final = Provider(name="generic", roles=_key("roles"), groups=_key("groups"))
"""Any OpenID provider: top-level `roles` and `groups`."""

PROVIDERS: Final[tuple[Provider, ...]] = (
    NONE,
    GENERIC,
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload: `hd` is the Workspace
    # domain; an absent `hd` is not a Workspace account. Roles and groups are never sent.
    Provider(name="google", issuer=re.compile(r"(?:https://)?accounts\.google\.com"), orgs=_key("hd")),
    # https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference: `roles` are app roles, `groups`
    # object ids. More than 200 groups are replaced by `_claim_names` or `hasgroups`, sometimes by a string.
    Provider(
        name="entra",
        issuer=re.compile(
            r"https://login\.microsoftonline\.com/[0-9a-fA-F-]{36}/v2\.0|https://sts\.windows\.net/[0-9a-fA-F-]{36}/"
        ),
        roles=_key("roles"),
        groups=_key("groups"),
        orgs=_key("tid"),
        text_is_a_list=False,
    ),
    # https://zitadel.com/docs/apis/openidoauth/claims: roles are per org.
    Provider(
        name="zitadel",
        issuer=re.compile(r"https://[a-z0-9-]+\.(?:[a-z0-9-]+\.)?zitadel\.cloud"),
        pairs=_key("urn:zitadel:iam:org:project:roles"),
        pairs_shape=Pairs.ROLE_TO_ORGS,
    ),
    # https://docs.propelauth.com/reference/api/org: roles per org, in a hierarchy or several at once.
    Provider(
        name="propelauth",
        issuer=re.compile(r"https://[0-9]+\.propelauthtest\.com"),  # a production host is the customer's own: by name
        pairs=_key("org_id_to_org_member_info"),
        pairs_shape=Pairs.ORG_TO_MEMBER,
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
