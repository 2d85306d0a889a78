"""Public keys of those who sign tokens, fetched over the network and kept.

Everything here is awaited on the server's event loop and blocks nothing on it. The clock is an argument.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stguard import tokens
from stguard.errors import ConfigurationError, quote
from stguard.model import EMPTY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from stguard.tokens import PublicKey

DEADLINE: Final = 5.0
"""Seconds that one fetch may take, from the first byte asked to the last one read."""

LARGEST: Final = 512 * 1024
"""Most bytes of a document."""

FRESH: Final = 3600.0
"""Seconds after which keys are fetched again."""

STALE: Final = 6 * 3600.0
"""Seconds for which keys count while they can't be fetched again."""

BETWEEN: Final = 60.0
"""Seconds between two fetches because of a key that isn't known."""

AFTER_FAILURE: Final = 10.0
"""Seconds before a fetch that failed is tried again."""

_LOG: Final = logging.getLogger("stguard")


class KeysUnavailableError(Exception):
    """Say that keys can't be had now, so that nothing they signed can be verified."""


class IssuerKeys:
    """Keep the keys of one issuer: its JWK set, whose address its discovery document names unless it is given."""

    def __init__(
        self, *, issuer: str | None, jwks_uri: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take where the keys are; nothing is fetched before one is needed.

        Args:
            issuer: as its tokens name it; its discovery document is asked for `jwks_uri` where that is None.
            jwks_uri: address of the JWK set.
            clock: monotonic, in seconds.
        """
        self._issuer: Final = issuer
        self._address = jwks_uri
        self._clock: Final = clock
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._lock: Final = asyncio.Lock()

    async def find(self, *, kid: str | None, alg: str) -> PublicKey | None:
        """Return the key that a token names; None when there is none.

        Raises:
            KeysUnavailableError: the keys can't be had now.
        """
        found = self._known(kid, alg)
        if found is not None and self._age() < FRESH:
            return found
        async with self._lock:  # one fetch at a time; who waited finds its keys
            if self._may_fetch(missing=self._known(kid, alg) is None):
                await self._fetch()
        if self._age() >= STALE:
            raise KeysUnavailableError("the keys can't be fetched")
        found = self._known(kid, alg)
        if found is None and self._failed:
            raise KeysUnavailableError("the keys can't be fetched, and those known don't fit")
        return found

    def _known(self, kid: str | None, alg: str) -> PublicKey | None:
        return tokens.choose(self._keys, kid=kid, alg=alg)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _may_fetch(self, *, missing: bool) -> bool:
        if self._tried_at is None:
            return True
        since = self._clock() - self._tried_at
        if self._failed:
            return since >= AFTER_FAILURE
        # SECURITY: whoever sends tokens with made-up key names must not have the issuer asked each time.
        return since >= BETWEEN and (missing or self._age() >= FRESH)

    async def _fetch(self) -> None:
        self._tried_at, self._failed = self._clock(), True
        try:
            if self._address is None:
                self._address = await self._discover()
            self._keys = tokens.keys_in(await fetch(self._address))
        except (KeysUnavailableError, ValueError, RecursionError) as error:
            _LOG.error("the keys of %s can't be fetched: %s", quote(self._issuer or self._address), error)
            return
        self._fetched_at, self._failed = self._clock(), False

    async def _discover(self) -> str:
        """Return the address of the JWK set (OpenID Connect Discovery 1.0, section 4)."""
        issuer = self._issuer or ""
        document = json.loads(await fetch(issuer.rstrip("/") + "/.well-known/openid-configuration"))
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise KeysUnavailableError("the discovery document is another issuer's")
        address = document.get("jwks_uri")
        if not isinstance(address, str) or not is_safe(address):
            raise KeysUnavailableError("the discovery document names no usable `jwks_uri`")
        return address


class NamedKeys:
    """Keep keys that are fetched one by one, by their name: those of AWS load balancers."""

    def __init__(self, address: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the address below which the keys are."""
        self._address: Final = address
        self._clock: Final = clock
        self._keys: Final[dict[str, tuple[PublicKey, float]]] = {}
        self._tries: Final[list[float]] = []
        self._lock: Final = asyncio.Lock()

    async def find(self, *, kid: str | None, alg: str) -> PublicKey | None:
        """Return the key of that name; None when there is none.

        Raises:
            KeysUnavailableError: it can't be had now.
        """
        # SECURITY: the name becomes part of an address.
        if kid is None or not kid.isascii() or not kid.replace("-", "").isalnum() or len(kid) > _LONGEST_NAME:
            return None
        key = self._known(kid)
        if key is None:
            async with self._lock:
                key = self._known(kid) or await self._fetch(kid)
        return key if key.fits(alg) else None

    def _known(self, kid: str) -> PublicKey | None:
        key, fetched_at = self._keys.get(kid, (None, 0.0))
        return key if self._clock() - fetched_at < STALE else None

    async def _fetch(self, kid: str) -> PublicKey:
        now = self._clock()
        self._tries[:] = [at for at in self._tries if now - at < BETWEEN]
        # SECURITY: as above: made-up names must not have somebody asked each time.
        if len(self._tries) >= _TRIES:
            raise KeysUnavailableError("too many unknown keys were asked for in the last minute")
        self._tries.append(now)
        try:
            key = tokens.key_in_pem(await fetch(f"{self._address.rstrip('/')}/{kid}"), kid=kid)
        except ValueError as error:
            raise KeysUnavailableError(str(error)) from error
        self._keys[kid] = (key, self._clock())
        if len(self._keys) > _KEPT:
            del self._keys[next(iter(self._keys))]
        return key


_LONGEST_NAME: Final = 64
_TRIES: Final = 10
"""Most keys that are asked for in a minute."""
_KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what an address answered.

    Attributes:
        status: of the answer.
        kind: its media type in lower case, without parameters.
        body: at most `LARGEST` bytes.
    """

    status: int
    kind: str
    body: bytes


async def fetch(address: str) -> bytes:
    """Return a document: no redirect is followed, and it is bounded in size and time.

    Raises:
        KeysUnavailableError: it can't be had.
    """
    reply = await ask(address)
    if reply.status != HTTPStatus.OK:
        raise KeysUnavailableError(f"answered {reply.status}")
    return reply.body


async def ask(address: str, *, headers: Mapping[str, str] = EMPTY) -> Reply:
    """Return what an address answers, whatever its status: as `fetch`.

    Raises:
        KeysUnavailableError: there was no answer, or too large a one.
    """
    import httpx  # noqa: PLC0415  an extra

    async def read() -> Reply:
        # Making a client reads the system's certificates.
        client = await asyncio.to_thread(httpx.AsyncClient, follow_redirects=False, timeout=DEADLINE)
        async with client, client.stream("GET", address, headers={**_HEADERS, **headers}) as response:
            document = bytearray()
            if response.status_code == httpx.codes.OK:  # what else comes is nothing to read
                async for chunk in response.aiter_raw():  # raw: a small body must not grow as it is unpacked
                    document += chunk
                    if len(document) > LARGEST:
                        raise KeysUnavailableError("the document is too large")
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return Reply(response.status_code, kind, bytes(document))

    try:
        return await _within(read())
    except TimeoutError as error:
        raise KeysUnavailableError("no answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise KeysUnavailableError(type(error).__name__) from error


async def _within(work: Awaitable[Reply]) -> Reply:
    async with asyncio.timeout(DEADLINE):
        return await work


_HEADERS: Final = {"accept": "application/json, */*;q=0.1", "accept-encoding": "identity"}


def is_safe(address: str) -> bool:
    """Tell whether what an address names can't be changed on the way: https, or http on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not address.isascii() or not address.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def check(address: str, *, what: str) -> None:
    """Check an address that an author gave.

    Raises:
        ConfigurationError: it isn't safe.
    """
    if not is_safe(address):
        raise ConfigurationError(f"{what} is an https address (http only on this machine), got {quote(address)}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
