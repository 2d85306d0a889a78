"""Whether a request was sent by a page of the app itself (RFC 6454, and RFC 6455 section 10.2 for WebSockets)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

_PORTS: Final = {"http": 80, "https": 443}

_Origin = tuple[str, str, int]
"""Scheme, host and port."""


def is_own(origin: str, *, host: str, secure: bool, allowed: Collection[str] = ()) -> bool:
    """Tell whether an `Origin` names this app, or a site that was allowed by its full origin.

    STREAMLIT 1.67: its own check takes a missing `Origin`, and any page on `localhost` whatever its port.

    Args:
        origin: the header's value.
        host: value of the `Host` header.
        secure: whether the request came by TLS as far as the server knows; then a page without TLS isn't the app. The
            other way round it may be: a proxy in front may have taken the TLS off.
        allowed: full origins, as `https://portal.example`.
    """
    asked = _parsed(origin)
    if asked is None:
        return False
    if any(asked == _parsed(each) for each in allowed):
        return True
    if secure and asked[0] != "https":
        return False
    return asked == _parsed(f"{asked[0]}://{host}")


def _parsed(origin: str) -> _Origin | None:
    """Return the parts of an origin; None when it is something else, such as `null`."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    plain = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or plain.lower() != origin.lower():
        return None
    return parts.scheme, parts.hostname, port if port is not None else _PORTS[parts.scheme]
