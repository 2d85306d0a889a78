"""The server: its main script, its paths, and the cookies it signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streamlit import runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ONE_ANSWER: Final = 2.0
"""Most seconds between the signatures of one answer; they are dated in whole seconds."""


def login_cookies() -> tuple[str, str]:
    """Return what the names of the cookies of a login are, or begin with before `_` and a number: claims and tokens."""
    from streamlit.web.server.starlette.starlette_server_config import (
        TOKENS_COOKIE_NAME,
        USER_COOKIE_NAME,
    )

    return USER_COOKIE_NAME, TOKENS_COOKIE_NAME


def signed_login(cookies: Mapping[str, str]) -> bytes | None:
    """Return the payload of the login cookie, put together and verified; None without one that is valid.

    STREAMLIT 1.57 to 1.67: `starlette_websocket._get_signed_cookie_with_chunks(cookies, name)`; the payload is the JSON
    of the claims with `origin`, `provider` and `is_logged_in`. One that is too large for a cookie stands in several
    (`auth_util.get_cookie_with_chunks`), each signed by itself.
    """
    from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

    name = login_cookies()[0]
    payload = _get_signed_cookie_with_chunks(dict(cookies), name)
    if payload is not None and f"{name}_1" in cookies and not _signed_at_once(cookies, name):
        return None
    return payload


def _signed_at_once(cookies: Mapping[str, str], name: str) -> bool:
    """Tell whether all parts of a cookie whose signatures are right were signed by one answer.

    SECURITY: a part of an earlier login beside one of a later would bring back what was taken away in between, with the
    later one's moment of signing in.
    """
    from itsdangerous import URLSafeTimedSerializer
    from streamlit.auth_util import get_cookie_with_chunks
    from streamlit.web.server.server_util import get_cookie_secret

    moments: list[float] = []

    def part(name: str) -> bytes:
        serializer = URLSafeTimedSerializer(get_cookie_secret(), salt=name)
        text, moment = serializer.loads(cookies[name], return_timestamp=True)
        moments.append(moment.timestamp())
        return str(text).encode()

    get_cookie_with_chunks(part, name)
    return max(moments) - min(moments) <= ONE_ANSWER


def browser_token(cookies: Mapping[str, str]) -> bytes | None:
    """Return the random bytes in the cookie against request forgery, one value in each browser; None without it.

    STREAMLIT 1.57 to 1.67: the cookie's text is another at each answer (`2|mask|masked|time`), the bytes are not.
    """
    from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string
    from streamlit.web.server.starlette.starlette_server_config import XSRF_COOKIE_NAME

    return decode_xsrf_token_string(cookies.get(XSRF_COOKIE_NAME, ""))[0] or None


def sign(name: str, value: str) -> str:
    """Return a text signed for one cookie name with Streamlit's cookie secret."""
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

    return create_signed_value(get_cookie_secret(), name, value).decode("ascii")


def unsign(name: str, signed: str, *, seconds: float) -> str | None:
    """Return what `sign` signed; None when it was something else, or longer ago than that many seconds."""
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    value = decode_signed_value(get_cookie_secret(), name, signed, max_age_days=seconds / 86400)
    return None if value is None else value.decode()


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the path that Starlette's router matches: the request's without the mount before it.

    Read in Starlette 1.0; what decides here must read a path exactly as what serves it.
    """
    from starlette._utils import get_route_path

    return get_route_path(scope)  # type: ignore[arg-type]  # a scope is any mutable mapping to them


def served_script() -> str | None:
    """Return the main script of the server in this process, as `script_key` has it; None before there is a server."""
    if not runtime.exists():
        return None
    return runtime.get_instance()._main_script_path


def script_of(app: object) -> Path:
    """Return the main script of an `st.App`, as it was found when the app was made.

    STREAMLIT 1.57 to 1.67: `App._resolve_script_path()`.
    """
    found: Path = app._resolve_script_path()  # type: ignore[attr-defined]
    return found
