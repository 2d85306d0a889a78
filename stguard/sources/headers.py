"""People whom a proxy in front of the app signed in: oauth2-proxy, an AWS load balancer, Google's Identity-Aware Proxy.

What a request says about itself is worth nothing by itself. Plain headers count when the proxy proves itself to the
gateway (`sg.TrustedProxy`), signed ones when their signature does. So this source is given to `sg.App` or to
`sg.Gateway`, never to `configure`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from stguard import keys, tokens
from stguard.errors import ConfigurationError, quote
from stguard.model import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stguard.model import Claims

Header = tuple[bytes, bytes]

ALB_HEADER: Final = "x-amzn-oidc-data"
IAP_HEADER: Final = "x-goog-iap-jwt-assertion"
IAP_ISSUER: Final = "https://cloud.google.com/iap"
IAP_KEYS: Final = "https://www.gstatic.com/iap/verify/public_key-jwk"
LEEWAY: Final = 30.0
"""Seconds by which the clocks may differ."""

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")
"""A header's name (RFC 9110, section 5.1), without `_`: servers on the way take that for `-`."""

_SIGNER: Final = re.compile(r"arn:aws[a-z-]*:elasticloadbalancing:([a-z0-9-]+):\d{12}:loadbalancer/app/[\w/-]+")

_OF_THE_REQUEST: Final = frozenset({"exp", "iat", "nbf", "auth_time", "jti", "nonce"})
"""What a signed header says of itself, made anew for each request: it tells nothing of when somebody signed in."""

_NOT_CLAIMS: Final = frozenset({"is_logged_in", "provider", "origin", "tokens"})


@dataclass(frozen=True, slots=True)
class Signed:
    """Say how a signed header is verified.

    Attributes:
        kind: `alb` or `iap`.
        header: its name.
        expects: `alb`: ARN of the load balancer; `iap`: the audience.
        client: `alb`: id of the client at the identity provider; None: any.
        keys: `alb`: address below which the keys are; `iap`: address of the JWK set.
    """

    kind: str
    header: str
    expects: str
    keys: str
    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedHeaders:
    """Take who is signed in from headers of a proxy in front of the app.

    `TrustedHeaders.oauth2_proxy()`, `TrustedHeaders.aws_alb(...)` and `TrustedHeaders.google_iap(...)` know their
    headers. With it `st.login` plays no role: login cookies don't count. When somebody signed in is not known, so that
    `sessions` of the policy ends each sign-in, and `revoked` holds for good.

    Attributes:
        user: header with the id of who is signed in: the `sub`. Without it in a request nobody is.
        email: header with the e-mail; None for none. It counts where the policy says `identity: {trust_email: true}`.
        name: header with the name to show; None for none.
        groups: header with the groups; None for none. Absent in a request it leaves them unknown.
        roles: as `groups`, for roles.
        delimiter: what stands between two groups or roles; it must be given with either.
        issuer: the `iss` of these people; a policy names them as `ISSUER|ID`.
        signed: how a signed header is verified, which then is the only one read; None: the headers are plain.
    """

    user: str = "x-forwarded-user"
    email: str | None = "x-forwarded-email"
    name: str | None = "x-forwarded-preferred-username"
    groups: str | None = None
    roles: str | None = None
    delimiter: str | None = None
    issuer: str = "trusted-headers"
    signed: Signed | None = None

    def __post_init__(self) -> None:
        """Check what was given."""
        for header in self.headers:
            if not _NAME.fullmatch(header):
                raise ConfigurationError(f"the name of a header has letters, digits and `-`, got {quote(header)}")
        if self.delimiter == "" or ((self.groups or self.roles) and self.delimiter is None):
            raise ConfigurationError('groups or roles of a header need a `delimiter`, as delimiter=","')
        if not self.issuer:
            raise ConfigurationError("issuer is the name of who signs people in, got none")

    @classmethod
    def oauth2_proxy(cls, *, issuer: str = "trusted-headers", request_headers: bool = True) -> TrustedHeaders:
        """Read what oauth2-proxy sends.

        Args:
            issuer: as above.
            request_headers: True: `X-Forwarded-*` (`--pass-user-headers`); False: `X-Auth-Request-*`
                (`--set-xauthrequest`, with nginx's `auth_request`).
        """
        start = "x-forwarded-" if request_headers else "x-auth-request-"
        return cls(
            user=start + "user",
            email=start + "email",
            name=start + "preferred-username",
            groups=start + "groups",
            delimiter=",",
            issuer=issuer,
        )

    @classmethod
    def aws_alb(cls, *, signer: str, client: str | None = None, keys_at: str | None = None) -> TrustedHeaders:
        """Read what an AWS application load balancer sends: `x-amzn-oidc-data`, signed with ES256.

        Args:
            signer: ARN of the load balancer. Every load balancer of the region signs with the same keys: without this
                anybody's would count.
            client: id of the client at the identity provider; None: any.
            keys_at: address below which the keys are; None: the region's, by the ARN.

        Raises:
            ConfigurationError: that is no ARN of one, or no safe address.
        """
        matched = _SIGNER.fullmatch(signer)
        if matched is None:
            raise ConfigurationError(
                "signer is the ARN of a load balancer, as "
                f"`arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/...`, got {quote(signer)}"
            )
        address = keys_at
        if address is None:
            if not signer.startswith("arn:aws:"):
                raise ConfigurationError("the address of the keys is not known for this partition; give keys_at=...")
            address = f"https://public-keys.auth.elb.{matched[1]}.amazonaws.com"
        keys.check(address, what="keys_at")
        return cls(signed=Signed("alb", ALB_HEADER, signer, address, client))

    @classmethod
    def google_iap(cls, *, audience: str, keys_at: str = IAP_KEYS) -> TrustedHeaders:
        """Read what Google's Identity-Aware Proxy sends: `x-goog-iap-jwt-assertion`, signed with ES256.

        Args:
            audience: as the console shows it: `/projects/NUMBER/global/backendServices/ID`, or
                `/projects/NUMBER/apps/ID`.
            keys_at: address of the JWK set.

        Raises:
            ConfigurationError: there is no audience, or no safe address.
        """
        if not audience.startswith("/projects/"):
            raise ConfigurationError(f"audience starts with `/projects/`, got {quote(audience)}")
        keys.check(keys_at, what="keys_at")
        return cls(signed=Signed("iap", IAP_HEADER, audience, keys_at))

    @property
    def headers(self) -> tuple[str, ...]:
        """Return the names of the headers that are read, in lower case."""
        if self.signed is not None:
            return (self.signed.header,)
        named = (self.user, self.email, self.name, self.groups, self.roles)
        return tuple(each.lower() for each in named if each is not None)

    def __call__(self, claims: Claims) -> Facts:
        """Return the groups and roles that the gateway found in the headers."""
        if claims.get("iss") != self.issuer or "exp" in claims:
            # SECURITY: a program's token says what it likes under these names; what of it counts is for the policy.
            return Facts()
        found: dict[str, tuple[str, ...]] = {}
        for kind in ("groups", "roles"):
            values = claims.get(kind)
            if getattr(self, kind) is not None and isinstance(values, list):
                found[kind] = tuple(values)
        facts = Facts(complete=tuple(found))
        return replace(facts, **found)  # type: ignore[arg-type]  # groups and roles are tuples


class Reader:
    """Find out who is signed in by the headers of a request that the gateway lets in."""

    def __init__(self, source: TrustedHeaders) -> None:
        """Take what to read.

        Raises:
            ConfigurationError: the extra `tokens` is not installed and needed.
        """
        self.source: Final = source
        self._keys: keys.IssuerKeys | keys.NamedKeys | None = None
        if source.signed is not None:
            tokens.require()
            if source.signed.kind == "alb":
                self._keys = keys.NamedKeys(source.signed.keys)
            else:
                self._keys = keys.IssuerKeys(issuer=None, jwks_uri=source.signed.keys)

    async def claims(self, headers: Sequence[Header], *, now: float) -> dict[str, Any] | None:
        """Return the claims of who is signed in; None for nobody.

        Args:
            headers: each of those that are read at most once, and only with the proof that they need.
            now: Unix seconds.

        Raises:
            TokenError: one can't be used.
            KeysUnavailableError: a signature can't be verified now.
        """
        values = {key.decode("latin-1").lower(): value for key, value in headers}
        if self.source.signed is None:
            return _plain(self.source, values)
        value = values.get(self.source.signed.header)
        if not value:
            return None
        found = await self._verified(self.source.signed, value.decode("latin-1"), now=now)
        return {name: each for name, each in found.items() if name not in _OF_THE_REQUEST | _NOT_CLAIMS}

    async def _verified(self, signed: Signed, text: str, *, now: float) -> dict[str, Any]:
        alb = signed.kind == "alb"
        token = tokens.parse(text, algorithms=("ES256",), padded=alb)
        if alb:
            # SECURITY: before a key is fetched; it is checked again by the signature, which covers it.
            if token.header.get("signer") != signed.expects:
                raise tokens.TokenError("signed by another load balancer")
            if signed.client is not None and token.header.get("client") != signed.client:
                raise tokens.TokenError("for another client")
        key = await self._key(token)
        claims = token.claims(key)
        if not alb:
            tokens.check_claims(claims, issuer=IAP_ISSUER, audiences=(signed.expects,), now=now, leeway=LEEWAY)
            return claims
        tokens.check_moments(token.header, now=now, leeway=LEEWAY)
        if "exp" in claims:
            tokens.check_moments(claims, now=now, leeway=LEEWAY)
        issuer, sub = token.header.get("iss"), claims.get("sub")
        if not isinstance(issuer, str) or not issuer or claims.get("iss", issuer) != issuer:
            raise tokens.TokenError("no usable `iss`")
        if not isinstance(sub, str) or not sub:
            raise tokens.TokenError("no usable `sub`")
        return {**claims, "iss": issuer}

    async def _key(self, token: tokens.Token) -> tokens.PublicKey:
        key = await self._keys.find(kid=token.kid, alg=token.alg) if self._keys is not None else None
        if key is None:
            raise tokens.TokenError("signed with an unknown key")
        return key


def _plain(source: TrustedHeaders, values: Mapping[str, bytes]) -> dict[str, Any] | None:
    user = _text(values, source.user)
    if not user:
        return None
    claims: dict[str, Any] = {"iss": source.issuer, "sub": user}
    for claim, header in (("email", source.email), ("name", source.name)):
        if text := _text(values, header):
            claims[claim] = text
    for claim, header in (("groups", source.groups), ("roles", source.roles)):
        listed = _text(values, header)
        if listed is not None:
            claims[claim] = [each.strip() for each in listed.split(source.delimiter) if each.strip()]
    return claims


def _text(values: Mapping[str, bytes], header: str | None) -> str | None:
    """Return a header as text; None when it is absent.

    Raises:
        TokenError: it isn't plain UTF-8 text.
    """
    value = values.get(header.lower()) if header is not None else None
    if value is None:
        return None
    try:
        # SECURITY: the blanks of HTTP only (RFC 9110, section 5.5). Without its other blanks a name would be another's.
        text = value.decode("utf-8").strip(" \t")
    except UnicodeDecodeError as error:
        raise tokens.TokenError("an identity header is no UTF-8") from error
    if not text.isprintable():
        raise tokens.TokenError("an identity header has control characters")
    return text


def among(identity: object) -> TrustedHeaders | None:
    """Return the one among the identity sources that reads headers; None when none does.

    Raises:
        ConfigurationError: there are several.
    """
    given = identity if isinstance(identity, list | tuple) else (identity,)
    found = [each for each in given if isinstance(each, TrustedHeaders)]
    if len(found) > 1:
        raise ConfigurationError("several TrustedHeaders; who is signed in comes from one proxy")
    return found[0] if found else None
