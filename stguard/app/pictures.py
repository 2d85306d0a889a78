"""Which addresses of pictures may be given to a browser. Pure.

SECURITY: a browser that shows a picture tells its host who looks, and asks whatever the address says. Only https, and
only a host with a name in the public DNS: no address in the reader's own network is ever asked.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

LONGEST: Final = 2048
"""Most characters of an address."""

_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.ASCII)
"""Two labels or more, of which the last is not a number (RFC 1123): no IPv4 in any notation, no bare name."""

_PRIVATE: Final = (".local", ".localhost", ".internal", ".lan", ".home", ".corp", ".intranet", ".home.arpa", ".onion")
"""Ends of names that only a reader's own network knows (RFC 6761, RFC 6762, RFC 8375, and in wide use)."""

_PLAIN: Final = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z_a-z~]+", re.ASCII)
"""Characters of an address (RFC 3986) without brackets and without what ends an attribute."""


def showable(address: object) -> str | None:
    """Return an address of a picture that may be shown, or None.

    Args:
        address: what a claim or an org's metadata holds; anything.
    """
    if not isinstance(address, str) or len(address) > LONGEST or not _PLAIN.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or "@" in parts.netloc or port not in (None, 443):
        return None
    return address if _HOST.fullmatch(host) and len(host) < 254 and not host.endswith(_PRIVATE) else None  # noqa: PLR2004  RFC 1035
