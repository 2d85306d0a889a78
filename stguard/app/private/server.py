"""The server: its main script, its paths, and the cookies it signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamlit import runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
    of the claims with `origin`, `provider` and `is_logged_in`.
    """
    from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

    return _get_signed_cookie_with_chunks(dict(cookies), login_cookies()[0])


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
