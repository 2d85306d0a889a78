"""Programs that ask with a token: the agent API and MCP, which know no login cookie (RFC 6750, RFC 9068)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stguard import keys, tokens
from stguard.app import private
from stguard.app.gateway.ledger import ledger
from stguard.app.gateway.proxies import values_of
from stguard.app.gateway.visitors import Visitor, digest
from stguard.errors import ConfigurationError, nearest, quote
from stguard.sources.answers import default_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stguard.model import Claims

AGENT_PAGE: Final = "agent"
"""The page of the policy whose rule is that of the agent API, MCP included."""

TYPES: Final = frozenset({"at+jwt", "jwt"})
"""Values of `typ` in the header of an access token: RFC 9068's, and what issuers sent before it."""

MOST_LEEWAY: Final = 300.0
"""Most seconds by which the clocks may differ."""

_BEARER: Final = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")
"""RFC 6750, section 2.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerTokens:
    """Say whose access tokens open the agent API of the app, and MCP.

    A token is a JWT that the issuer signed; it carries `iss`, `aud`, `exp` and `sub`. Who it names is the subject of
    what it runs, and the policy decides as for anybody; the rule of the page `agent` decides whether it may ask at all.

    Attributes:
        issuer: the issuer, exactly as `iss` names it.
        audience: what `aud` must name: this app, as it is registered there; one name or several. Never a client's id:
            ID tokens carry that one.
        jwks_uri: address of the issuer's public keys; None: the one in its discovery document.
        algorithms: those that are allowed, asymmetric ones only.
        leeway: seconds by which the clocks of issuer and app may differ, at most 300.
    """

    issuer: str
    audience: str | tuple[str, ...]
    jwks_uri: str | None = None
    algorithms: tuple[str, ...] = tuple(tokens.ALGORITHMS)
    leeway: float = 30.0

    def __post_init__(self) -> None:
        """Check that it can verify something."""
        keys.check(self.issuer, what="issuer")
        if self.jwks_uri is not None:
            keys.check(self.jwks_uri, what="jwks_uri")
        if not self.audiences or not all(isinstance(each, str) and each for each in self.audiences):
            raise ConfigurationError("audience is the name of this app at the issuer, or several in a tuple; got none")
        check_algorithms(self.algorithms)
        if not 0 <= self.leeway <= MOST_LEEWAY:
            raise ConfigurationError(f"leeway is 0 to {MOST_LEEWAY:.0f} seconds, got {quote(self.leeway)}")

    @property
    def audiences(self) -> tuple[str, ...]:
        """Return the names of which a token must carry one."""
        return (self.audience,) if isinstance(self.audience, str) else tuple(self.audience)


def check_algorithms(names: tuple[str, ...]) -> None:
    """Check the algorithms that an author allows.

    Raises:
        ConfigurationError: there is none, or one that can't be allowed.
    """
    if not names:
        raise ConfigurationError(f"algorithms is one or more of {', '.join(tokens.ALGORITHMS)}, got none")
    for name in names:
        if name not in tokens.ALGORITHMS:
            raise ConfigurationError(
                f"algorithms: {quote(name)} is none of {', '.join(tokens.ALGORITHMS)}{nearest(name, tokens.ALGORITHMS)}"
            )


class UnauthorizedError(Exception):
    """Refuse a request for its token.

    Attributes:
        status: 400, 401, or 503 where no token can be verified now.
        challenge: value of the `WWW-Authenticate` header; None for none.
    """

    def __init__(self, status: int, why: str, *, challenge: str | None = None) -> None:
        """Take what to answer, and what to tell the log."""
        self.status = status
        self.challenge = challenge
        super().__init__(why)


class Bearers:
    """Verify the tokens of requests."""

    def __init__(self, settings: BearerTokens, *, clock: Callable[[], float] = time.time) -> None:
        """Take whose tokens count.

        Args:
            settings: what the author wrote.
            clock: Unix seconds.

        Raises:
            ConfigurationError: the extra `tokens` is not installed, or this Streamlit's agent API can't be guarded.
        """
        tokens.require()
        private.hook_agents(same=owner_of, owned=_own, may_read=_may_read)
        self._settings: Final = settings
        self._clock: Final = clock
        self._keys: Final = keys.IssuerKeys(issuer=settings.issuer, jwks_uri=settings.jwks_uri)

    async def visitor(self, scope: Mapping[str, Any]) -> Visitor:
        """Return who a request's token names.

        Raises:
            UnauthorizedError: it has none, or one that doesn't count.
        """
        values = values_of(scope["headers"], "authorization")
        if not values:
            raise UnauthorizedError(401, "no token", challenge="Bearer")
        if len(values) > 1:
            raise UnauthorizedError(400, "several `authorization` headers", challenge=_challenge("invalid_request"))
        matched = _BEARER.fullmatch(values[0])
        if matched is None:
            raise UnauthorizedError(401, "no bearer token", challenge="Bearer")
        try:
            return visitor_of(await self._claims(matched[1].decode("ascii")))
        except tokens.TokenError as error:
            raise UnauthorizedError(401, f"a token: {error}", challenge=_challenge("invalid_token")) from error
        except keys.KeysUnavailableError as error:
            raise UnauthorizedError(503, f"a token: {error}") from error

    async def _claims(self, text: str) -> Claims:
        """Return the verified claims.

        Raises:
            TokenError: the token doesn't count.
            KeysUnavailableError: it can't be verified now.
        """
        settings = self._settings
        token = tokens.parse(text, algorithms=settings.algorithms)
        tokens.check_type(token.header, types=TYPES)
        key = await self._keys.find(kid=token.kid, alg=token.alg)
        if key is None:
            raise tokens.TokenError("signed with a key that isn't the issuer's")
        claims = token.claims(key)
        tokens.check_claims(
            claims, issuer=settings.issuer, audiences=settings.audiences, now=self._clock(), leeway=settings.leeway
        )
        return claims


def visitor_of(claims: Mapping[str, Any]) -> Visitor:
    """Return the visitor that verified claims name."""
    user = private.user_of(claims)
    return Visitor(user, None, owner_of(user), named=True, user=user)


def owner_of(user: Mapping[str, Any]) -> bytes:
    """Return what the sessions and files of a user are bound to, whichever of their tokens they ask with."""
    return digest("bearer", default_key(user))


def _own(session: str, user: Mapping[str, Any]) -> None:
    ledger.own(session, owner=owner_of(user))


def _may_read(user: Mapping[str, Any], file: str) -> bool:
    return ledger.may_read(owner_of(user), file)


def _challenge(error: str) -> str:
    return f'Bearer error="{error}"'
