"""Identity headers that a proxy in front of the app sets: they count when a request proves that it came from there."""

from __future__ import annotations

import hmac
import ipaddress
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.errors import ConfigurationError, quote
from stguard.sources.headers import Reader, among

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Header = tuple[bytes, bytes]

SECRET_LENGTH: Final = 16
"""Fewest characters of a shared secret."""

_ANYBODY: Final = frozenset({"*", "0.0.0.0/0", "::/0"})
"""What names every address in `FORWARDED_ALLOW_IPS` of uvicorn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxy:
    """Say how a request proves that it came through the proxy that signs people in.

    With both a secret and peers, both are asked for.

    Attributes:
        secret: the value that the proxy puts into `header`, at least 16 characters. The proxy must replace what a
            browser sends there.
        header: the name of that header; it is taken out before Streamlit sees the request.
        peers: addresses or networks from which the server is reached by the proxy alone. They are compared with the
            address the server reports, which `X-Forwarded-For` may have replaced: see `FORWARDED_ALLOW_IPS` of uvicorn.
    """

    secret: str | None = field(default=None, repr=False)
    header: str = "x-stguard-proxy"
    peers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that it can prove something."""
        if self.secret is None and not self.peers:
            raise ConfigurationError("a trusted proxy needs a `secret` or `peers`; without either it proves nothing")
        if self.secret is not None and (len(self.secret) < SECRET_LENGTH or not self.secret.isascii()):
            raise ConfigurationError(f"the secret of a trusted proxy has {SECRET_LENGTH} ASCII characters or more")
        for peer in self.peers:
            _network(peer)
        forwarders = {each.strip() for each in os.environ.get("FORWARDED_ALLOW_IPS", "").split(",")}
        if self.secret is None and forwarders & _ANYBODY:
            raise ConfigurationError(
                "`peers` prove nothing while FORWARDED_ALLOW_IPS names every address: any browser can then name its "
                "own; name the proxy's address there, or use a `secret`"
            )

    def proves(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether a request came through the proxy."""
        if self.secret is not None:
            values = values_of(scope["headers"], self.header)
            if len(values) != 1 or not hmac.compare_digest(values[0], self.secret.encode("ascii")):
                return False
        return not self.peers or self._from_peer(scope.get("client"))

    def _from_peer(self, client: Sequence[Any] | None) -> bool:
        try:
            address = ipaddress.ip_address(client[0] if client else "")
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in _network(peer) for peer in self.peers)


def reader(identity: object, proxy: TrustedProxy | None) -> Reader | None:
    """Return what reads who is signed in from headers; None where no identity source does.

    Raises:
        ConfigurationError: plain headers without a proof, or the extra `tokens` is needed and not installed.
    """
    source = among(identity)
    if source is None:
        return None
    if source.signed is None and proxy is None:
        raise ConfigurationError(
            "TrustedHeaders without a proof: any browser can send these headers; say how the proxy proves itself: "
            "sg.App(..., proxy=sg.TrustedProxy(secret=...))"
        )
    return Reader(source)


def identity_headers() -> tuple[str, ...]:
    """Return the names of the headers that Streamlit takes into `st.user`: `server.trustedUserHeaders`."""
    mapping = st.get_option("server.trustedUserHeaders")
    return tuple(str(name).lower() for name in mapping) if isinstance(mapping, dict) else ()


def values_of(headers: Sequence[Header], name: str) -> list[bytes]:
    """Return all values of a header, by its name in any case."""
    wanted = name.lower().encode("latin-1")
    return [value for key, value in headers if key.lower() == wanted]


def without(headers: Sequence[Header], *names: str) -> list[Header]:
    """Return the headers but those."""
    dropped = {name.lower().encode("latin-1") for name in names}
    return [(key, value) for key, value in headers if key.lower() not in dropped]


def _network(peer: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(peer)
    except ValueError as error:
        raise ConfigurationError(
            f"a peer is an address or a network, as `10.0.0.5` or `10.0.0.0/24`, got {quote(peer)}"
        ) from error
    if network.prefixlen == 0:
        raise ConfigurationError(
            f"{quote(peer)} is every address, which proves nothing; name the proxy's, or use a `secret`"
        )
    return network
