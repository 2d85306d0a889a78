"""What each identity provider sends, as a table: where roles, groups and orgs stand in its ID token.

Adding a provider is adding a row, its golden claim files (`tests/claims/NAME`) and its page (`docs/providers/NAME.md`).
Only keys of ID tokens stand here, because only those reach `st.user`; where a provider puts more into the tokens that a
proxy passes on, those keys stand here too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from stguard.model import EMPTY, ClaimPath

if TYPE_CHECKING:
    from collections.abc import Mapping


class Pairs(StrEnum):
    """Name the shapes in which (org, role) pairs arrive; they are never flattened into roles without an org."""

    ROLE_TO_ORGS = "role_to_orgs"
    """`{role: {org id: domain}}`, or a list of such mappings, as Zitadel sends it."""
    ORG_TO_MEMBER = "org_to_member"
    """`{org id: {org_name, user_role, …}}`, as PropelAuth sends it; or one `org_member_info` with an `org_id`."""
    ONE_ORG = "one_org"
    """The org's id in one claim, and what is held there in `role`, `roles` and `permissions`, as WorkOS sends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Describe one provider's ID token.

    Attributes:
        name: the preset's name in a policy's `identity.provider`.
        title: the name to show to people.
        also: other words for it, in lower case, so that a message can name the preset that was meant.
        issuer: matches the whole `iss`; None when only a name selects the row, because it runs on its customers' hosts.
        roles: where roles without an org stand; None when the provider sends none.
        groups: where groups stand; None when the provider sends none.
        orgs: where the subject's orgs stand; None when the provider sends none.
        org_name: where the name of the one org stands, to show; None when it isn't sent.
        no_orgs: values at `orgs` that stand for no org, such as all private accounts together.
        pairs: where (org, role) pairs stand: the first of these that is there; empty when the provider sends none.
        pairs_shape: how those pairs are written.
        text_is_a_list: whether a plain string in place of a list is one value; where not, it is unknown.
        namespaced: whether roles and groups stand under the only key of the form `https://…/roles`, `https://…/groups`.
        noise: matches names that the provider adds to everybody's roles by itself: no roles, unless `role_names` names
            them.
        unread: claims that this preset doesn't read and that somebody may have added there: while one is present and
            the policy doesn't say where roles stand, the roles are unknown.
        editable: claims that users can write themselves: never read, even where the policy names them.
        anonymous: holds `anonymous` for an account that anybody gets without signing in: such an account is nobody.
        switches: by fact (`roles`, `groups`, `orgs`, `email`), one sentence: what to switch on there, or to write here,
            so that the fact comes.
    """

    name: str
    title: str
    also: tuple[str, ...] = ()
    issuer: re.Pattern[str] | None = None
    roles: ClaimPath | None = None
    groups: ClaimPath | None = None
    orgs: ClaimPath | None = None
    org_name: ClaimPath | None = None
    no_orgs: tuple[str, ...] = ()
    pairs: tuple[ClaimPath, ...] = ()
    pairs_shape: Pairs | None = None
    text_is_a_list: bool = True
    namespaced: bool = False
    noise: re.Pattern[str] | None = None
    unread: tuple[str, ...] = ()
    editable: tuple[str, ...] = ()
    anonymous: ClaimPath | None = None
    switches: Mapping[str, str] = field(default_factory=lambda: EMPTY)


def _key(*path: str) -> ClaimPath:
    return ClaimPath(path=path)


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
    also=("oidc", "openid", "oauth", "authelia", "custom"),
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

_GUID: Final = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_LABEL: Final = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
"""One label of a host name. SECURITY: no dot, so that `accounts.google.com.evil.io` fits no pattern."""

# SECURITY: an issuer selects how claims are read, not whether they count: whoever signs in through one of these hosts
# was let in by `[auth]` or `identity.accept`. Still each pattern matches whole issuers only.
PROVIDERS: Final[tuple[Provider, ...]] = (
    NONE,
    GENERIC,
    # https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload: `hd` is the Workspace
    # domain; an absent `hd` is not a Workspace account. Roles and groups are never sent.
    Provider(
        name="google",
        title="Google",
        also=("gmail", "workspace"),
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
    # object ids. More than 200 groups are replaced by `_claim_names` or `hasgroups`, sometimes by a string. All private
    # Microsoft accounts share the one tenant named there.
    Provider(
        name="entra",
        title="Microsoft Entra ID",
        also=("microsoft", "ms", "azure", "azuread", "azure-ad", "azure_ad", "aad", "entraid", "entra-id"),
        issuer=re.compile(
            rf"https://login\.(?:microsoftonline\.com|microsoftonline\.us|partner\.microsoftonline\.cn)/{_GUID}/v2\.0"
            rf"|https://sts\.windows\.net/{_GUID}/|https://{_GUID}\.ciamlogin\.com/{_GUID}/v2\.0"
        ),
        roles=_key("roles"),
        groups=_key("groups"),
        orgs=_key("tid"),
        no_orgs=("9188040d-6c67-4c5b-b112-36a304b66dad",),
        text_is_a_list=False,
        switches=_switches(
            roles="Entra admin center: App registrations > your app > App roles makes them; Enterprise applications >"
            " your app > Users and groups gives them to people.",
            groups="Entra admin center: App registrations > your app > Token configuration > Add groups claim; choose"
            " `Groups assigned to the application`, so that the list stays below 200, where Entra cuts it off.",
            orgs="Ask for the scope `profile` in `client_kwargs`: `tid` comes with it.",
            email="Entra never says whether an e-mail is verified: prefer `claim: {oid: ...}`, `group` or `role`; if"
            " every tenant that may sign in is your own (`identity.accept`), declare `trust_email: true`.",
        ),
    ),
    # https://developer.okta.com/docs/guides/customize-tokens-groups-claim/: `groups` only when somebody adds it; there
    # is no standard claim for roles. One Okta org is one issuer.
    Provider(
        name="okta",
        title="Okta",
        issuer=re.compile(
            rf"https://{_LABEL}\.(?:okta|oktapreview|okta-emea|okta-gov)\.com(?:/oauth2/(?:default|[0-9A-Za-z]+))?"
        ),
        groups=_key("groups"),
        orgs=_key("iss"),
        noise=re.compile("Everyone"),
        unread=("roles", "role"),
        switches=_switches(
            roles="Okta has no claim for roles: use groups, or add a claim to your authorization server (Security >"
            " API) and name it in `identity.roles`.",
            groups="Okta admin console: Applications > your app > Sign On > OpenID Connect ID Token > Groups claim"
            " filter: `groups`, Matches regex, `.*`; and ask for the scope `groups` in `client_kwargs`.",
            orgs="The issuer is the org: map it to one of yours in `identity.org_names`.",
            email="Ask for the scope `email` in `client_kwargs`, and let Okta put it into the ID token (a custom"
            " authorization server does: Security > API > Claims).",
        ),
    ),
    # https://auth0.com/docs/manage-users/organizations/using-tokens: custom claims stand under a URL of the customer's;
    # `org_id` comes when the login was one to an organization, `org_name` when the tenant allows names.
    Provider(
        name="auth0",
        title="Auth0",
        issuer=re.compile(rf"https://{_LABEL}\.(?:[a-z]{{2}}(?:-[0-9]+)?\.)?auth0\.com/"),
        orgs=_key("org_id"),
        org_name=_key("org_name"),
        namespaced=True,
        switches=_switches(
            roles="Auth0 dashboard: Actions > Triggers > post-login, with an Action that calls"
            " `api.idToken.setCustomClaim('https://YOUR-NAME/roles', event.authorization.roles)`; a bare `roles` is"
            " dropped.",
            groups="Auth0 has no groups by itself: an Action can set `https://YOUR-NAME/groups`.",
            orgs="Auth0 dashboard: Applications > your app > Organizations: let business users log in, and prompt for"
            " the organization, so that `org_id` comes.",
            email="Ask for the scope `email` in `client_kwargs`.",
        ),
    ),
    # https://www.keycloak.org/docs/latest/server_admin/#_protocol-mappers: roles reach access tokens only, until
    # somebody adds them to ID tokens. https://www.keycloak.org/docs/latest/server_admin/#_mapping_organization_claims_
    Provider(
        name="keycloak",
        title="Keycloak",
        also=("rhsso", "rhbk"),
        roles=_key("realm_access", "roles"),
        groups=_key("groups"),
        orgs=_key("organization"),
        noise=re.compile("offline_access|uma_authorization|default-roles-.+"),
        switches=_switches(
            roles="Keycloak admin console: Client scopes > roles > Mappers > realm roles: switch on `Add to ID token`;"
            " for the roles of one client also `client roles`, and"
            " `identity.roles: [resource_access, YOUR-CLIENT, roles]`.",
            groups="Keycloak admin console: Clients > your client > Client scopes > YOUR-CLIENT-dedicated > Add mapper"
            " > Group Membership: name `groups`, `Add to ID token` on, `Full group path` on.",
            orgs="Ask for the scope `organization` in `client_kwargs`, or `organization:*` for all of them; in the"
            " scope's mapper `Add to ID token` must be on.",
            email="Ask for the scope `email` in `client_kwargs`; `email_verified` is the switch `Email verified` of the"
            " user in Keycloak.",
        ),
    ),
    # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-id-token.html:
    # `cognito:groups` are absent when there are none; `cognito:roles` are addresses of IAM roles and never read.
    Provider(
        name="cognito",
        title="Amazon Cognito",
        also=("aws", "amazon", "aws-cognito"),
        issuer=re.compile(
            r"https://cognito-idp(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/[a-z0-9-]+_[0-9A-Za-z]+"
        ),
        groups=_key("cognito:groups"),
        noise=re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+_[0-9A-Za-z]+_.+"),
        unread=("roles", "role", "custom:roles", "custom:role"),
        switches=_switches(
            roles='Cognito has no roles: read its groups as roles with `identity.roles: "cognito:groups"`.',
            groups="AWS console: Cognito > your user pool > Groups; nothing is sent for people in no group at all, so"
            " put everybody into one.",
            orgs="Add a custom attribute to the user pool, don't let the app client write it, and name it:"
            ' `identity.orgs: "custom:org"`.',
            email="Ask for the scope `email` in `client_kwargs`, and let the app client read `email` and"
            " `email_verified`.",
        ),
    ),
    # https://zitadel.com/docs/apis/openidoauth/claims: roles are per org; the org of a user is the resource owner.
    Provider(
        name="zitadel",
        title="Zitadel",
        issuer=re.compile(rf"https://{_LABEL}\.(?:{_LABEL}\.)?zitadel\.cloud"),
        orgs=_key("urn:zitadel:iam:user:resourceowner:id"),
        org_name=_key("urn:zitadel:iam:user:resourceowner:name"),
        pairs=(_key("urn:zitadel:iam:org:project:roles"),),
        pairs_shape=Pairs.ROLE_TO_ORGS,
        switches=_switches(
            roles="Zitadel console: Projects > your project > General > `Assert Roles on Authentication`; then your app"
            " > Token Settings > `User roles inside ID Token`.",
            groups="Zitadel sends no groups by itself; an Action can add a claim, which `identity.groups` names.",
            orgs="Zitadel sends orgs with the roles held in them; the user's own org comes with the scope"
            " `urn:zitadel:iam:user:resourceowner`.",
            email="Zitadel console: Projects > your project > your app > Token Settings > `User Info inside ID Token`;"
            " and ask for the scope `email`.",
        ),
    ),
    # https://docs.propelauth.com/reference/api/org: roles per org, in a hierarchy or several at once.
    Provider(
        name="propelauth",
        title="PropelAuth",
        issuer=re.compile(r"https://[0-9]+\.propelauthtest\.com"),  # a production host is the customer's own: by name
        pairs=(_key("org_id_to_org_member_info"), _key("org_id_to_org_info")),
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
    # https://clerk.com/changelog/2026-05-14-oauth-organizations: the org that was chosen, no roles.
    Provider(
        name="clerk",
        title="Clerk",
        issuer=re.compile(rf"https://{_LABEL}\.clerk\.accounts\.dev"),  # in production the customer's own: by name
        orgs=_key("org_id"),
        org_name=_key("org_name"),
        unread=("roles", "role", "org_role"),
        editable=("unsafe_metadata",),
        switches=_switches(
            roles="Clerk sends no roles in the ID token; give them in the policy with `assign`, or ask its API in an"
            " identity source.",
            groups="Clerk knows no groups; an identity source can add some.",
            orgs="Clerk dashboard: OAuth applications > your app > Scopes: allow `user:org:read`, and ask for it in"
            " `client_kwargs`.",
            email="Ask for the scope `email` in `client_kwargs`.",
        ),
    ),
    # https://workos.com/docs/authkit/sessions: access tokens hold the one org and what is held in it; the ID tokens of
    # WorkOS Connect don't.
    Provider(
        name="workos",
        title="WorkOS",
        also=("authkit",),
        issuer=re.compile(
            rf"https://{_LABEL}\.authkit\.app|https://api\.workos\.com(?:/|/user_management/client_[0-9A-Z]+)?"
        ),
        pairs=(_key("org_id"),),
        pairs_shape=Pairs.ONE_ORG,
        switches=_switches(
            roles="WorkOS sends roles in the access token only: put a proxy in front that passes it on, or ask its API"
            " in an identity source.",
            groups="WorkOS sends no groups; an identity source can add them.",
            orgs="WorkOS sends the org in the access token only: put a proxy in front that passes it on, or ask its API"
            " in an identity source.",
            email="Ask for the scope `email` in `client_kwargs`.",
        ),
    ),
    # https://firebase.google.com/docs/auth/admin/custom-claims: custom claims stand at the top, often as booleans.
    # https://cloud.google.com/identity-platform/docs/multi-tenancy-authentication: `firebase.tenant`.
    Provider(
        name="firebase",
        title="Firebase",
        also=("identity-platform",),
        issuer=re.compile(r"https://securetoken\.google\.com/[a-z0-9-]+"),
        orgs=_key("firebase", "tenant"),
        unread=("roles", "role"),
        anonymous=_key("firebase", "sign_in_provider"),
        switches=_switches(
            roles="Set a custom claim with the Admin SDK and name it here:"
            " `identity.roles: {claim: admin, when_true: admin}`.",
            groups="Firebase has no groups: set a custom claim with the Admin SDK, and name it in `identity.groups`.",
            orgs="Firebase sends `firebase.tenant` with the multi-tenancy of Google Cloud Identity Platform.",
            email="Firebase sends the e-mail by itself; `email_verified` is true after the user followed the link in"
            " the verification mail.",
        ),
    ),
    # https://supabase.com/docs/guides/auth/jwt-fields: `role` is a role of Postgres; users write `user_metadata`.
    Provider(
        name="supabase",
        title="Supabase",
        issuer=re.compile(r"https://[a-z0-9]+\.supabase\.co/auth/v1"),
        roles=_key("app_metadata", "roles"),
        groups=_key("app_metadata", "groups"),
        editable=("user_metadata",),
        anonymous=ClaimPath(path=("is_anonymous",), when_true="anonymous"),
        switches=_switches(
            roles="Write `roles` into the user's `app_metadata` with the service key; or name the claim that your"
            " custom access token hook adds in `identity.roles`.",
            groups="Write `groups` into the user's `app_metadata` with the service key.",
            orgs="Write the org into the user's `app_metadata`, and name it: `identity.orgs: [app_metadata, org]`.",
            email="Supabase doesn't say in the token whether the e-mail is verified; if `Confirm email` is on and no"
            " other sign-in is allowed, declare `trust_email: true`.",
        ),
    ),
    # https://docs.goauthentik.io/add-secure-apps/providers/property-mappings/: `groups` come with the scope `profile`,
    # `roles` with the scope `entitlements`.
    Provider(
        name="authentik",
        title="authentik",
        roles=_key("roles"),
        groups=_key("groups"),
        switches=_switches(
            roles="authentik: Applications > your app > Application entitlements; and ask for the scope `entitlements`"
            " in `client_kwargs`.",
            groups="authentik: Applications > Providers > your provider > Advanced protocol settings: keep `Include"
            " claims in id_token` on; and ask for the scope `profile` in `client_kwargs`.",
            orgs="Add a scope mapping under Customization > Property Mappings, and name its claim in `identity.orgs`.",
            email="authentik says `email_verified: false` since 2025.10: replace the mapping of the scope `email`, or"
            " declare `trust_email: true` if users can't change their e-mail.",
        ),
    ),
)

BY_NAME: Final = {provider.name: provider for provider in PROVIDERS}

EDITABLE: Final = frozenset(claim for provider in PROVIDERS for claim in provider.editable)
"""Claims that users can write themselves at one provider or another."""


def by_issuer(issuer: object) -> Provider:
    """Return the row whose issuer matches the whole `iss`, or the generic one."""
    return _by_issuer(issuer) if isinstance(issuer, str) else GENERIC


@lru_cache(maxsize=64)  # asked for each subject, and an app has a few issuers
def _by_issuer(issuer: str) -> Provider:
    for provider in PROVIDERS:
        if provider.issuer is not None and provider.issuer.fullmatch(issuer):
            return provider
    return GENERIC


def meant(name: str) -> str | None:
    """Return the preset that goes by another word, such as `azure`; None when none does.

    >>> meant("Azure")
    'entra'
    """
    word = name.casefold()
    return next((row.name for row in PROVIDERS if word in (row.name, row.title.casefold(), *row.also)), None)
