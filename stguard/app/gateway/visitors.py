"""Who a request comes from, by its cookies and proven headers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from stguard.app import private
from stguard.app.gateway.proxies import Header, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stguard.model import Claims


@dataclass(frozen=True, slots=True)
class Visitor:
    """Say who a request comes from.

    Attributes:
        claims: the claims of the login; None for nobody signed in.
        login: tells one login from another, also from another login of the same person; None for nobody signed in.
        owner: what sessions and files are bound to: the login, or the browser where nobody is signed in, with the
            identity headers of a proxy; None when nothing tells this browser from another.
        named: whether a login or an identity header says who this is.
    """

    claims: Claims | None
    login: bytes | None
    owner: bytes | None
    named: bool


def visitor_of(scope: dict[str, Any], *, identity: Sequence[str]) -> Visitor:
    """Find out who sends a request.

    Args:
        scope: of the request, identity headers without a proof already taken out.
        identity: names of the identity headers.
    """
    cookies = HTTPConnection(scope).cookies
    proxied = [(name, values_of(scope["headers"], name)) for name in identity]
    named = [(name, values) for name, values in proxied if any(values)]
    # SECURITY: the payload, not the cookie's text: base64 has several texts for one signature, so that a cookie that
    # was signed out could come back as another text.
    payload = private.signed_login(cookies)
    claims = _claims(payload)
    if claims is not None:
        login = _digest("login", payload)
        return Visitor(claims, login, _digest("login", payload, named), named=True)
    browser = private.browser_token(cookies)
    owner = _digest("browser", browser, named) if browser or named else None
    return Visitor(None, None, owner, named=bool(named))


def without_login(headers: Sequence[Header]) -> list[Header]:
    """Return the headers without the cookies of a login."""
    return [(key, _forget_login(value)) if key.lower() == b"cookie" else (key, value) for key, value in headers]


def _forget_login(cookies: bytes) -> bytes:
    # Split as Starlette's parser does it, so that what it would find is what is dropped.
    names = tuple(name.encode("ascii") for name in private.login_cookies())
    return b";".join(each for each in cookies.split(b";") if not each.partition(b"=")[0].strip().startswith(names))


def _claims(payload: bytes | None) -> Claims | None:
    if payload is None:
        return None
    try:
        claims = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(claims, dict) or claims.pop("is_logged_in", None) is not True:
        return None
    claims.pop("origin", None)
    return claims


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()
