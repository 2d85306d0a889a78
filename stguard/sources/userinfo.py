"""Claims that an ID token leaves out: asked of the provider's UserInfo endpoint, or read from the access token.

OpenID Connect Core 1.0, section 5.3; RFC 6750 for what a refusal means; RFC 9068 for access tokens that can be read.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from stguard import keys, tokens
from stguard.claims import OF_THE_SIGN_IN
from stguard.errors import ConfigurationError, IdentityError
from stguard.keys import IssuerKeys, KeysUnavailableError
from stguard.model import Claims, Facts
from stguard.sources.loops import run_apart
from stguard.tokens import TokenError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

ENDED: Final = "Your sign-in has ended. Please sign in again."

SWITCH: Final = (
    'UserInfo needs the access token of the sign-in: set `expose_tokens = ["access"]` in [auth], '
    "or `EXPOSE_TOKENS=access` with auth_from_env, and sign in again"
)

LEEWAY: Final = 30.0
"""Seconds by which the clocks may differ."""

DISCOVERY_LIVES: Final = 3600.0
"""Seconds for which a discovery document counts."""

ISSUERS_LIMIT: Final = 100
"""Most issuers whose addresses are remembered."""

_FOR_THE_MOMENT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""Refusals that pass by themselves."""

_UNUSABLE: Final = "the provider's UserInfo gave an answer that can't be used"
_UNREAD: Final = "the access token can't be verified"
_OF_THE_DEADLINE: Final = 0.9
"""How much of the deadline a call may take, so that it ends by itself, with its own reason."""

_LOGIN: Final = ("provider", "iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "jti", "sid", "at_hash")
"""What tells one login from another. An access token ends; that of a newer login of the same person still counts."""


@dataclass(frozen=True, slots=True)
class _Issuer:
    """What an issuer's discovery document says, and the keys of its tokens."""

    userinfo: str | None
    keys: IssuerKeys
    read_at: float


class UserInfo:
    """Ask the provider for the claims that the ID token leaves out: `sg.configure(identity=sg.UserInfo())`.

    For thin ID tokens, as Okta and Authelia send them. What comes is read like claims of the ID token: by the
    provider's preset and the policy's `identity` section. It needs `expose_tokens = ["access"]` in `[auth]`.

    When the provider refuses the access token, because it ended or was revoked, the sign-in has ended. Streamlit never
    renews one, so give access tokens the lifetime of a session, or ask less often with `ttl`.

    Attributes:
        ttl: seconds for which an answer counts.
        stale: seconds up to which an old answer is used while the provider can't be asked.
        deadline: seconds until a call is given up.
    """

    needs_tokens: ClassVar[bool] = True

    def __init__(
        self,
        *,
        issuer: str | None = None,
        endpoint: str | None = None,
        access_token_claims: bool = False,
        ttl: float = 300.0,
        stale: float = 600.0,
        deadline: float = 5.0,
    ) -> None:
        """Take where to ask.

        Args:
            issuer: whose sign-ins this is about, as `iss` names it; to those of others nothing is added. None: those of
                every issuer, and each one is asked itself.
            endpoint: address of the UserInfo endpoint; None: the one in the issuer's discovery document.
            access_token_claims: True reads the claims of the access token itself, where it is a JWT (Auth0's
                `permissions`, WorkOS' `role` and `org_id`), and asks nobody but for the issuer's public keys.
            ttl: seconds for which an answer counts.
            stale: seconds up to which an old answer is used while the provider can't be asked.
            deadline: seconds until a call is given up.

        Raises:
            ConfigurationError: an address that isn't safe, an endpoint without its issuer, or the extra `tokens` isn't
                installed.
        """
        for address, what in ((issuer, "issuer"), (endpoint, "endpoint")):
            if address is not None:
                keys.check(address, what=f"{what} of UserInfo")
        if endpoint is not None and issuer is None:
            # SECURITY: the access token of one provider must not be sent to another.
            raise ConfigurationError("UserInfo with an endpoint needs its issuer, as issuer='https://...'")
        tokens.require()
        self.issuer: Final = issuer
        self.endpoint: Final = endpoint
        self.access_token_claims: Final = access_token_claims
        self.ttl: Final = ttl
        self.stale: Final = stale
        self.deadline: Final = deadline

    def _settings(self) -> tuple[object, ...]:
        return self.issuer, self.endpoint, self.access_token_claims, self.ttl, self.stale, self.deadline

    def __eq__(self, other: object) -> bool:
        """Compare by what it was made with: a rerun of the script makes it anew."""
        return isinstance(other, UserInfo) and self._settings() == other._settings()

    def __hash__(self) -> int:
        """Hash as `==` compares."""
        return hash(self._settings())

    def key(self, claims: Claims) -> Hashable:
        """Tell logins apart, not only people: each has an access token of its own."""
        return tuple(repr(claims.get(name)) for name in _LOGIN)

    def __call__(self, claims: Claims) -> Facts:
        """Ask about somebody.

        Returns:
            The claims that the provider adds; nothing for somebody of another issuer; a blocked account where the
            provider refuses the access token.

        Raises:
            IdentityError: the provider can't be asked for the moment, or its answer can't be used.
            ConfigurationError: there is no access token, or nobody to ask.
        """
        issuer, sub = claims.get("iss"), claims.get("sub")
        if self.issuer is not None and issuer != self.issuer:
            return Facts()
        if not isinstance(issuer, str) or not isinstance(sub, str) or not sub or not keys.is_safe(issuer):
            raise IdentityError("the sign-in brought no usable `iss` and `sub`")
        given = claims.get("tokens")
        if given is None:  # the agent API, a proxy's headers: nobody signed in here
            raise IdentityError("the request brought no access token to ask the provider with")
        token = given.get("access") if hasattr(given, "get") else None
        if not isinstance(token, str) or not token:
            raise ConfigurationError(SWITCH)
        try:
            return run_apart(lambda: self._found(issuer, sub, token, audience=claims.get("aud")))
        except TimeoutError as error:
            raise IdentityError("the provider did not answer in time") from error
        except KeysUnavailableError as error:
            # Its text names no address and no token.
            raise IdentityError(f"the provider could not be asked: {error}") from error

    async def _found(self, issuer: str, sub: str, token: str, *, audience: object) -> Facts:
        async with asyncio.timeout(self.deadline * _OF_THE_DEADLINE):
            if self.access_token_claims:
                return await self._read_token(issuer, sub, token)
            return await self._ask(issuer, sub, token, audience=audience)

    async def _ask(self, issuer: str, sub: str, token: str, *, audience: object) -> Facts:
        address = self.endpoint or (await _issuer(issuer)).userinfo
        if address is None:
            raise ConfigurationError(
                "the provider's discovery document names no UserInfo endpoint; give endpoint='...'"
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise IdentityError("the access token can't be sent")
        reply = await keys.ask(address, headers={"authorization": f"Bearer {token}"})
        if reply.status == HTTPStatus.UNAUTHORIZED:  # RFC 6750, section 3.1: expired, revoked or otherwise void
            return Facts(blocked=ENDED)
        if reply.status in range(400, 500) and reply.status not in _FOR_THE_MOMENT:
            # SECURITY: some answer so to a token that was revoked; what was said before counts no longer.
            raise ConfigurationError(
                f"the provider's UserInfo refuses the access token ({reply.status}); ask for the scope `openid`"
            )
        if reply.status != HTTPStatus.OK:
            raise IdentityError(f"the provider's UserInfo did not answer ({reply.status})")
        if reply.kind == "application/jwt":
            found = await self._verified(issuer, reply.body, audience=audience)
        else:
            found = _object(reply.body)
        # SECURITY: OpenID Connect Core 1.0, section 5.3.2: another `sub` is another person, or somebody's substitution.
        if found.get("sub") != sub:
            raise IdentityError("the provider's UserInfo answered about somebody else")
        return Facts(claims=_added(found))

    async def _verified(self, issuer: str, body: bytes, *, audience: object) -> Mapping[str, Any]:
        """Return the claims of a signed answer: it names its issuer and whom it is for, where it names any."""
        try:
            found = await _claims_in(body.decode("ascii"), await _issuer(issuer))
        except (TokenError, UnicodeDecodeError) as error:
            raise IdentityError(_UNUSABLE) from error
        mine, theirs = _listed(audience), found.get("aud")
        if found.get("iss", issuer) != issuer or (theirs is not None and not mine & _listed(theirs)):
            raise IdentityError("the provider's UserInfo answered for somebody else's app")
        return found

    async def _read_token(self, issuer: str, sub: str, token: str) -> Facts:
        if token.count(".") != _DOTS:
            raise ConfigurationError(
                "the access token is no JWT, so that nothing can be read from it; providers make one when the sign-in "
                "asks for an API: `audience` in [auth.NAME.authorize_params] (Auth0)"
            )
        try:
            found = await _claims_in(token, await _issuer(issuer))
        except TokenError as error:
            raise IdentityError(f"{_UNREAD}: {error}") from error
        if found.get("iss") != issuer or found.get("sub") != sub:
            raise IdentityError("the access token is somebody else's")
        try:
            tokens.check_moments(found, now=time.time(), leeway=LEEWAY)
        except TokenError:
            return Facts(blocked=ENDED)
        return Facts(claims=_added(found))


_DOTS: Final = 2

_lock: Final = threading.Lock()
_turn: Final = threading.Lock()
_issuers: Final[dict[str, _Issuer]] = {}
"""By `iss`. Outlives the source object, which a rerun of the script makes anew."""


async def _issuer(name: str) -> _Issuer:
    """Return what an issuer's discovery document says (OpenID Connect Discovery 1.0, section 4)."""
    with _lock:
        known = _issuers.get(name)
    if known is not None and time.monotonic() - known.read_at < DISCOVERY_LIVES:
        return known
    found = _object(await keys.fetch(name.rstrip("/") + "/.well-known/openid-configuration"))
    if found.get("issuer") != name:
        raise IdentityError("the provider's discovery document is another issuer's")
    userinfo, jwks = found.get("userinfo_endpoint"), found.get("jwks_uri")
    for address in (userinfo, jwks):
        if address is not None and not (isinstance(address, str) and keys.is_safe(address)):
            raise IdentityError("the provider's discovery document names an address that isn't safe")
    made = _Issuer(userinfo, IssuerKeys(issuer=name, jwks_uri=jwks), time.monotonic())
    with _lock:
        _issuers.pop(name, None)
        _issuers[name] = made
        if len(_issuers) > ISSUERS_LIMIT:
            del _issuers[next(iter(_issuers))]
    return made


async def _claims_in(text: str, issuer: _Issuer) -> dict[str, Any]:
    """Return the claims of a token that the issuer signed.

    Raises:
        TokenError: it isn't one.
        KeysUnavailableError: the keys can't be had now.
    """
    token = tokens.parse(text, algorithms=tuple(tokens.ALGORITHMS))
    # Each call has a thread and a loop of its own, and the keys are made for one: one call at a time looks at them.
    if not _turn.acquire(timeout=keys.DEADLINE):
        raise KeysUnavailableError("no answer in time")
    try:
        key = await issuer.keys.find(kid=token.kid, alg=token.alg)
    finally:
        _turn.release()
    if key is None:
        raise TokenError("signed with a key that isn't the issuer's")
    return token.claims(key)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise IdentityError(_UNUSABLE) from error
    if not isinstance(found, dict):
        raise IdentityError(_UNUSABLE)
    return found


def _added(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in OF_THE_SIGN_IN}


def _listed(audience: object) -> set[str]:
    named = [audience] if isinstance(audience, str) else audience
    return {each for each in named if isinstance(each, str)} if isinstance(named, list | tuple) else set()
