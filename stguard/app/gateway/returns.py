"""The page a visitor asked for, kept over sign-in: Streamlit itself returns to the root.

It is taken from the `Referer` of the request to sign in, which names what the address bar shows, and kept in a signed
cookie for a few minutes.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from stguard.app import private
from stguard.app.gateway import origins
from stguard.app.gateway.places import Place, place_at

COOKIE: Final = "_stguard_return"
COOKIE_LIVES: Final = 600
"""Seconds that a sign-in may take."""

FAILED: Final = "_stguard_failed"
"""Cookie of a browser whose last sign-in did not work. Unsigned: all it can do is to have one fixed sentence shown."""

FAILED_LIVES: Final = 60
"""Seconds for which a page says so when it is opened."""

LONGEST: Final = 1500
"""Most characters of a path with its query; signed, it must fit into a cookie."""

DECODINGS: Final = 5
"""How often a path is percent-decoded in looking for tricks; one that is still encoded then is refused."""


def asked_for(referer: str, *, host: str, secure: bool) -> str | None:
    """Return path and query of the page a request comes from, or None when it isn't one of this site."""
    try:
        parts = urlsplit(referer)
    except ValueError:
        return None
    if not origins.is_own(f"{parts.scheme}://{parts.netloc}", host=host, secure=secure):
        return None
    return safe(parts.path + (f"?{parts.query}" if parts.query else ""))


def safe(target: str) -> str | None:
    r"""Return a target that leads to a page of this site and nowhere else; None for any other.

    SECURITY: browsers take `\` for `/`, skip tabs and line ends, and take `//host` for another site (WHATWG URL, 4.4);
    servers on the way may decode once more. What isn't plainly a path is refused, whatever it might mean.
    """
    if not 0 < len(target) <= LONGEST or not target.isascii() or not target.isprintable() or " " in target:
        return None
    path = target.partition("?")[0]
    if "#" in target or "\\" in target or not _is_path(path):
        return None
    decoded = path
    for _ in range(DECODINGS):
        path, decoded = decoded, unquote(decoded)
        if not _is_path(decoded):
            return None
        if decoded == path:
            # Not to sign-out, sign-in or a file: only to a page.
            return target if place_at(_last_parts(decoded))[0] is Place.OTHER else None
    return None


def cookie(target: str | None, *, secure: bool) -> bytes:
    """Return the value of a `Set-Cookie` header that keeps a target, or with None forgets the last one."""
    if target is None:
        return _set_cookie(COOKIE, '""', lives=0, secure=secure)
    return _set_cookie(COOKIE, private.sign(COOKIE, target), lives=COOKIE_LIVES, secure=secure)


def failed_cookie(*, failed: bool, secure: bool) -> bytes:
    """Return the value of a `Set-Cookie` header that notes a sign-in that did not work, or forgets the last one."""
    return _set_cookie(FAILED, "1" if failed else '""', lives=FAILED_LIVES if failed else 0, secure=secure)


def _set_cookie(name: str, value: str, *, lives: int, secure: bool) -> bytes:
    text = f"{name}={value}; HttpOnly; Max-Age={lives}; Path=/; SameSite=Lax{'; Secure' if secure else ''}"
    return text.encode("ascii")


def target_in(value: str) -> str | None:
    """Return the target that a cookie keeps; None when it wasn't signed here, is too old, or isn't safe."""
    kept = private.unsign(COOKIE, value, seconds=COOKIE_LIVES)
    return safe(kept) if kept is not None else None


def _is_path(path: str) -> bool:
    return (
        path.startswith("/")
        and "//" not in path
        and "\\" not in path
        and path.isprintable()
        and not {".", ".."} & set(path.split("/"))
    )


def _last_parts(path: str) -> str:
    """Return the path from the first part on that is one of Streamlit's own: an app may be mounted below any other."""
    for own in ("/auth/", "/_stcore/", "/media/", "/app/static/", "/oauth2callback", "/component/"):
        if own in path:
            return path[path.index(own) :]
    return path
