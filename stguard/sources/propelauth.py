"""PropelAuth as an identity source: orgs, roles and permissions from its API, since its sign-in brings none of them.

The client library has no timeouts of its own and one error for each of its callers' mistakes; this module gives it a
deadline and turns what it raises into the three kinds that identity sources know.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from stguard.claims import propelauth_membership
from stguard.errors import ConfigurationError, IdentityError, quote
from stguard.model import Claims, Facts
from stguard.moments import LocalMoments
from stguard.sources.loops import run_apart

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Hashable

    import propelauth_py

    from stguard.model import Membership, Subject
    from stguard.moments import Moments

T = TypeVar("T")

DISABLED: Final = "Your account is disabled."
LOCKED: Final = "Your account is locked."
GONE: Final = "Your account no longer exists."
ENDED: Final = "Your sign-in has ended. Please sign in again."

_FAR: Final = 1e11
"""A moment of no login, in Unix seconds: the year 5138. Later ones are in another unit, and unknown."""

_UNUSABLE: Final = "the PropelAuth API gave an answer that can't be used"
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LOG: Final = logging.getLogger("stguard")

_ended: Final[list[Moments]] = [LocalMoments()]
"""Until when the logins of an account have ended, with the other replicas where there are any. Outlives the source
object, which a rerun of the script makes anew."""

_strangers: Final[set[str]] = set()


def share(moments: Moments) -> None:
    """Take moments that other replicas have too; they are told what was ended before."""
    mine = _ended[0]
    known = mine.items() if isinstance(mine, LocalMoments) else {}
    for who, moment in known.items():
        moments.end(who, moment)
    _ended[0] = moments
    # SECURITY: told before the change, so that no login counts again in between, and after it what ended meanwhile.
    if isinstance(mine, LocalMoments):
        for who, moment in mine.items().items():
            if known.get(who) != moment:
                moments.end(who, moment)


class PropelAuth:
    """Look people up on PropelAuth's API: `sg.configure(identity=sg.PropelAuth(auth_url, api_key))`.

    Orgs with their roles, permissions and metadata, the active org, who acts as somebody, and whether the account still
    counts. Somebody who signed in elsewhere has no account there: nothing is added, their claims alone decide.

    Attributes:
        auth_url: where people sign in, without a slash at the end; the issuer of their tokens.
        ttl: seconds for which an answer counts; a change at PropelAuth counts after that time at the latest.
        stale: seconds up to which an old answer is used while the API can't be asked.
        deadline: seconds until a call is given up.
    """

    def __init__(
        self,
        auth_url: str,
        api_key: str,
        *,
        ttl: float = 60.0,
        stale: float = 600.0,
        deadline: float = 5.0,
        issuer: str | None = None,
    ) -> None:
        """Take where people sign in, and the key of the backend integration.

        Args:
            auth_url: the auth URL that PropelAuth's dashboard shows, as `https://auth.example.com`.
            api_key: an API key of the backend integration, from a secret store.
            ttl: seconds for which an answer counts.
            stale: seconds up to which an old answer is used while the API can't be asked; 0 for not at all.
            deadline: seconds until a call is given up.
            issuer: `iss` of the tokens; None for `auth_url`.

        Raises:
            ConfigurationError: an address or a key that can't be one, or the extra `propelauth` isn't installed.
        """
        parts = urlsplit(auth_url) if isinstance(auth_url, str) else urlsplit("")
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
        if not secure or not parts.hostname or parts.query or parts.fragment:
            raise ConfigurationError(
                f"auth_url of PropelAuth is an https address, got {quote(auth_url)}; PropelAuth's dashboard shows it"
            )
        if not isinstance(api_key, str) or not api_key.strip():
            raise ConfigurationError(
                "api_key of PropelAuth is empty; make one in PropelAuth's dashboard, backend integration"
            )
        if importlib.util.find_spec("propelauth_py") is None:
            raise ConfigurationError('PropelAuth needs its client library; `pip install "stguard[propelauth]"`')
        self.auth_url: Final = auth_url.rstrip("/")
        self.issuer: Final = self.auth_url if issuer is None else issuer
        self.ttl: Final = ttl
        self.stale: Final = stale
        self.deadline: Final = deadline
        self._host: Final = parts.netloc
        self._api_key: Final = api_key.strip()

    def __repr__(self) -> str:
        """Return the address, never the key."""
        return f"PropelAuth({self.auth_url!r})"

    def __eq__(self, other: object) -> bool:
        """Compare by what it was made with: a rerun of the script makes it anew."""
        return isinstance(other, PropelAuth) and self._settings() == other._settings()

    def __hash__(self) -> int:
        """Hash as `==` compares."""
        return hash(self._settings())

    def _settings(self) -> tuple[object, ...]:
        return self.auth_url, self.issuer, self._api_key, self.ttl, self.stale, self.deadline

    # --- what people and authors use besides

    @property
    def account_url(self) -> str:
        """Where somebody manages their account: profile, password, orgs."""
        return f"{self.auth_url}/account"

    @property
    def client(self) -> propelauth_py.Auth:
        """PropelAuth's own client, for everything else it can do: `create_magic_link`, `fetch_org` and so on.

        Made at first use, which asks the API. It has no deadlines.

        Raises:
            ValueError: PropelAuth refuses the key or the address; else what its client raises.
        """
        return _client(self.auth_url, self._api_key)

    def logout_everywhere(self, subject: Subject) -> bool:
        """End every login of somebody: here at once, and at PropelAuth, so that signing in asks who they are.

        Here it holds for logins made until now, in this process and in each replica that shares with it. It is the
        caller's to check that who asks may do this.

        Returns:
            Whether PropelAuth knew the account; False, with nothing done, for somebody who signed in elsewhere.

        Raises:
            IdentityError: PropelAuth could not be told; here the logins have ended.
            ConfigurationError: PropelAuth refuses the key.
        """
        user = self._user(subject.claims)
        if user is None:
            return False
        issued = _seconds(subject.claims)
        # A provider whose clock is ahead dates its logins later than this process does.
        _ended[0].end(self._account(user), max(time.time(), issued if issued is not None else 0.0))
        return self._call(lambda client: client.logout_all_user_sessions(user)) is True

    # --- the source

    def key(self, claims: Claims) -> Hashable:
        """Tell people apart by their id, and what differs between the logins of one person."""
        user = self._user(claims)
        if user is None:
            return self._host, None
        return self._host, user, self._ended(user, claims), _impersonator(claims), _active_org(claims)

    def __call__(self, claims: Claims) -> Facts:
        """Ask the API about somebody.

        Returns:
            What the account holds; nothing for claims of another issuer.

        Raises:
            IdentityError: the API can't be asked for the moment, or its answer can't be used.
            ConfigurationError: PropelAuth refuses the key or the address.
        """
        user = self._user(claims)
        if user is None:
            return Facts()
        if self._ended(user, claims):
            return Facts(blocked=ENDED)
        found = self._call(lambda client: client.fetch_user_metadata_by_user_id(user, include_orgs=True))
        if found is None:
            return Facts(blocked=GONE)
        if found.user_id != user:
            raise IdentityError("the PropelAuth API answered about somebody else")
        if found.enabled is False:
            return Facts(blocked=DISABLED)
        if found.locked is True:
            return Facts(blocked=LOCKED)
        # SECURITY: anything but a plain "enabled, not locked" is no account that counts.
        if found.enabled is not True or found.locked is not False:
            raise IdentityError(_UNUSABLE)
        return Facts(
            memberships=_memberships(found.org_id_to_org_info),
            complete=("memberships",),
            active_org=_active_org(claims),
            impersonator=_impersonator(claims) or _text(found.impersonator_user_id),
        )

    def _user(self, claims: Claims) -> str | None:
        """Return the id under which the API knows whom the claims are about; None for somebody of another issuer.

        Raises:
            IdentityError: the id is none that the API looks up.
        """
        issuer = claims.get("iss")
        if issuer != self.issuer:
            self._note_stranger(issuer)
            return None
        sub = claims.get("sub")
        user = _user_id(sub) if isinstance(sub, str) else None
        if user is None:
            raise IdentityError("the sign-in brought an id that the PropelAuth API does not know how to look up")
        return user

    def _note_stranger(self, issuer: object) -> None:
        shown = quote(issuer)
        if len(_strangers) < _STRANGERS_LIMIT and shown not in _strangers:
            _strangers.add(shown)
            _LOG.warning(
                "a sign-in of issuer %s is not one of PropelAuth at %s; nothing is added", shown, self.auth_url
            )

    def _ended(self, user: str, claims: Claims) -> bool:
        """Tell whether this login was made before its person was signed out everywhere."""
        before = _ended[0].moment(self._account(user))
        issued = _seconds(claims)
        return before is not None and (issued is None or issued <= before)

    def _account(self, user: str) -> str:
        return repr((self._host, user))

    def _call(self, ask: Callable[[propelauth_py.AsyncAuth], Awaitable[T]]) -> T:
        """Call the API, with the deadline.

        Raises:
            IdentityError: the API can't be asked for the moment, or its answer can't be used.
            ConfigurationError: PropelAuth refuses the key or the address.
        """
        try:
            return run_apart(lambda: self._asked(ask))
        except (IdentityError, ConfigurationError):
            raise
        except Exception as error:  # noqa: BLE001  raised anew, in words that tell no secret
            # SECURITY: no `from`: the request in the error holds the key.
            raise _translated(error) from None

    async def _asked(self, ask: Callable[[propelauth_py.AsyncAuth], Awaitable[T]]) -> T:
        httpx, propelauth = importlib.import_module("httpx"), importlib.import_module("propelauth_py")
        async with (
            asyncio.timeout(self.deadline * _OF_THE_DEADLINE),
            httpx.AsyncClient(timeout=self.deadline, verify=_trust()) as connection,
        ):
            client = propelauth.AsyncAuth(self._host, self._api_key, None, connection)
            found: T = await ask(client)
            return found


_OF_THE_DEADLINE: Final = 0.9
"""How much of the deadline a call may take, so that it ends by itself, with its own reason."""

_UUID_VERSION: Final = 4
_STRANGERS_LIMIT: Final = 16


def _translated(error: Exception) -> IdentityError | ConfigurationError:
    """Return the error that identity sources know for what the client library raised."""
    httpx, errors = importlib.import_module("httpx"), importlib.import_module("propelauth_py.errors")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return IdentityError("the PropelAuth API did not answer in time")
    if isinstance(error, errors.RateLimitedException):
        return IdentityError("the PropelAuth API did not answer: too many requests (429)")
    if isinstance(error, httpx.HTTPStatusError):
        return IdentityError(f"the PropelAuth API did not answer ({error.response.status_code})")
    if isinstance(error, httpx.TransportError | OSError):
        return IdentityError("the PropelAuth API could not be reached")
    wrong_key = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError | UnicodeError)
    if wrong_key or isinstance(error, errors.BadRequestException):  # 401, and 400 for an address it doesn't know
        return ConfigurationError("PropelAuth refuses the API key or the auth_url; compare both with its dashboard")
    return IdentityError(_UNUSABLE)


@functools.lru_cache(maxsize=4096)
def _user_id(sub: str) -> str | None:
    """Return an id as the API writes it: for any other the client library answers "no such user", without asking."""
    try:
        found = UUID(sub)
    except ValueError:
        return None
    return str(found) if found.version == _UUID_VERSION else None


def _memberships(orgs: object) -> tuple[Membership, ...] | None:
    if not isinstance(orgs, Mapping):
        return None
    found = []
    for org, info in orgs.items():
        if info.org_id != org:
            raise IdentityError(_UNUSABLE)
        membership = propelauth_membership(
            org,
            {
                "org_name": info.org_name,
                "org_metadata": info.org_metadata,
                "org_role_structure": info.org_role_structure,
                "user_role": info.user_assigned_role,
                "inherited_user_roles_plus_current_role": info.user_inherited_roles_plus_current_role,
                "additional_roles": info.assigned_additional_roles,
                "user_permissions": info.user_permissions,
            },
        )
        if membership is not None:
            found.append(membership)
    return tuple(found)


def _active_org(claims: Claims) -> str | None:
    active = claims.get("org_member_info")
    return _text(active.get("org_id")) if isinstance(active, Mapping) else None


def _impersonator(claims: Claims) -> str | None:
    return _text(claims.get("impersonator_user_id"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(claims: Claims) -> float | None:
    """Return when a login was made (OpenID Connect Core 1.0, section 2: `iat`); None when that can't be known."""
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or isinstance(issued, bool) or not abs(issued) < _FAR:
        return None
    return float(issued)


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return the certificates to trust, read once: reading them takes longer than a call."""
    context: ssl.SSLContext = importlib.import_module("httpx").create_ssl_context()
    return context


@functools.lru_cache(maxsize=8)
def _client(auth_url: str, api_key: str) -> propelauth_py.Auth:
    client: propelauth_py.Auth = importlib.import_module("propelauth_py").init_base_auth(auth_url, api_key)
    return client
