"""Who a request comes from, by its cookies and proven headers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection

from stguard.app import private
from stguard.app.gateway.proxies import Header, values_of
from stguard.sources.answers import default_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Scope

    from stguard.model import Claims


@dataclass(frozen=True, slots=True)
class Visitor:
    """Say who a request comes from.

    Attributes:
        claims: the claims of the login, as a script finds them in `st.user`; None for nobody signed in.
        login: tells one login from another, also from another login of the same person; None for nobody signed in.
        owner: what sessions and files are bound to: the login, or the browser where nobody is signed in, with the
            identity headers of a proxy; None when nothing tells this browser from another.
        named: whether a login, a token or an identity header says who this is.
        browser: tells one browser from another, whoever is signed in there; None when nothing does.
        user: what `st.user` is to hold; None: what Streamlit itself reads from the request.
    """

    claims: Claims | None
    login: bytes | None
    owner: bytes | None
    named: bool
    browser: bytes | None = None
    user: Mapping[str, Any] | None = None


def visitor_of(scope: Scope, *, identity: Sequence[str]) -> Visitor:
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
    token = private.browser_token(cookies)
    browser = digest("browser", token) if token else None
    if claims is not None:
        login = digest("login", payload)
        return Visitor(claims, login, digest("login", payload, named), named=True, browser=browser)
    owner = digest("browser", token, named) if token or named else None
    return Visitor(None, None, owner, named=bool(named), browser=browser)


def by_headers(scope: Scope, claims: Claims | None) -> Visitor:
    """Return who a request comes from where a proxy signs people in: cookies tell browsers apart, and nothing else.

    Args:
        scope: of the request.
        claims: those the proxy vouches for; None: nobody is signed in.
    """
    token = private.browser_token(HTTPConnection(scope).cookies)
    browser = digest("browser", token) if token else None
    if claims is None:
        return Visitor(None, None, browser, named=False, browser=browser, user={"is_logged_in": False})
    user = private.user_of(claims)
    # No login: there is no sign-out here that could end it.
    return Visitor(user, None, digest("headers", default_key(user)), named=True, browser=browser, user=user)


def without_login(headers: Sequence[Header]) -> list[Header]:
    """Return the headers without the cookies of a login."""
    return [(key, _forget_login(value)) if key.lower() == b"cookie" else (key, value) for key, value in headers]


def _forget_login(cookies: bytes) -> bytes:
    # SECURITY: split as Starlette's parser does it, so that what it would find is what is dropped. It strips text, not
    # bytes: `\xa0` and `\x85` are blanks there.
    names = private.login_cookies()
    each = cookies.decode("latin-1").split(";")
    return ";".join(one for one in each if not one.partition("=")[0].strip().startswith(names)).encode("latin-1")


def _claims(payload: bytes | None) -> Claims | None:
    if payload is None:
        return None
    try:
        claims = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(claims, dict) or claims.get("is_logged_in") is not True:
        return None
    claims.pop("origin", None)
    return claims


def digest(*parts: object) -> bytes:
    """Return a short text for values of any kind, equal for equal ones."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()
