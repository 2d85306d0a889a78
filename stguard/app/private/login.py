"""Signing somebody in without a provider: the cookie of a login, its secret, and the way to the page for it."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app.private.run import context
from stguard.app.private.server import signed_login
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


SECRET_LENGTH: Final = 32
"""Fewest characters of a secret that isn't from `[auth]`."""

_SET_BY: Final = ["response", "user_info", "tokens"]


def set_login(response: Any, claims: Mapping[str, Any], *, origin: str) -> None:
    """Sign somebody in with an answer: set the cookies that `st.login` sets as the provider sends the browser back.

    STREAMLIT 1.57 to 1.67: `starlette_auth_routes._set_auth_cookie(response, user_info, tokens)`, a coroutine function
    that waits for nothing. `user_info` is the claims with `origin`, which the handshake's `Origin` must equal, and
    `is_logged_in`. The tokens are none: those of another login must not stay beside these claims.

    Raises:
        ConfigurationError: it is not what it was when it was read.
    """
    from streamlit.web.server.starlette import starlette_auth_routes

    setter = getattr(starlette_auth_routes, "_set_auth_cookie", None)
    if not inspect.iscoroutinefunction(setter) or [*inspect.signature(setter).parameters] != _SET_BY:
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) sets its login cookie in another way than stguard knows, so local "
            "accounts can't sign in; use a supported version"
        )
    setting = setter(response, {**claims, "origin": origin, "is_logged_in": True}, {})
    try:
        setting.send(None)
    except StopIteration:
        return
    setting.close()
    raise ConfigurationError(f"this Streamlit ({st.__version__}) waits for something as it sets its login cookie")


def exercise_login() -> None:
    """Set a login cookie on an answer that nobody gets, and read it back.

    Raises:
        ConfigurationError: what was read is not what was set.
    """
    from http.cookies import SimpleCookie

    from starlette.responses import Response

    response, cookies = Response(), SimpleCookie()
    set_login(response, {"sub": "stguard"}, origin="https://app.example")
    for name, value in response.raw_headers:
        if name == b"set-cookie":
            cookies.load(value.decode("latin-1"))
    payload = signed_login({name: morsel.value for name, morsel in cookies.items()})
    wanted = {"sub": "stguard", "origin": "https://app.example", "is_logged_in": True}
    if payload is None or json.loads(payload) != wanted:
        raise ConfigurationError(
            f"a login cookie of this Streamlit ({st.__version__}) can't be read back, so local accounts can't sign in; "
            "use a supported version"
        )


def cookie_secret() -> str | None:
    """Return the secret that logins are signed with; None when nobody chose one, and it is random in each process.

    STREAMLIT 1.57 to 1.67: as `ensure_cookie_secret`.
    """
    auth, secret = _chosen_secret()
    return auth.get("cookie_secret") or secret or None


def _chosen_secret() -> tuple[dict[str, Any], str]:
    from streamlit import config
    from streamlit.auth_util import get_secrets_auth_section

    section = get_secrets_auth_section()
    secret = config.get_option("server.cookieSecret") if config.is_manually_set("server.cookieSecret") else ""
    return (section.to_dict() if section else {}), secret


def ensure_cookie_secret(given: str | None) -> None:
    """Make sure that logins are signed with a secret that somebody chose, and that `st.user` knows of sign-in.

    STREAMLIT 1.57 to 1.67: `auth_util.get_secrets_auth_section()`; without an `[auth]` section `st.user` has no
    `is_logged_in`, and the secret is a random one of each process. `secrets_singleton.merge_programmatic_secrets` is
    what `st.App(secrets=...)` calls; it replaces what was given before.

    Args:
        given: the secret to take where `[auth]` has none; None for none.

    Raises:
        ConfigurationError: there is none, or it is short.
    """
    from streamlit.runtime.secrets import secrets_singleton

    auth, secret = _chosen_secret()
    if auth.get("cookie_secret"):
        return
    secret = given or secret
    if not secret:
        raise ConfigurationError(
            "local accounts need a secret to sign logins with; set COOKIE_SECRET in the environment, or "
            "`cookie_secret` in the [auth] section of .streamlit/secrets.toml, to a long random text"
        )
    if len(secret) < SECRET_LENGTH:
        raise ConfigurationError(
            f"the secret to sign logins with has {len(secret)} characters, expected {SECRET_LENGTH} or more; "
            "set COOKIE_SECRET to a long random text"
        )
    before = getattr(secrets_singleton, "_programmatic_secrets", None) or {}
    secrets_singleton.merge_programmatic_secrets({**before, "auth": {**auth, "cookie_secret": secret}})


def leave_for(path: str) -> None:
    """Send the tab whose script runs to a path of this server, as `st.login` and `st.logout` do.

    STREAMLIT 1.57 to 1.67: `ForwardMsg.auth_redirect.url`, sent by `ScriptRunContext.enqueue`.
    """
    from streamlit import config
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from streamlit.url_util import make_url_path

    ctx = context()
    if ctx is not None:
        message = ForwardMsg()
        message.auth_redirect.url = make_url_path(config.get_option("server.baseUrlPath"), path)
        ctx.enqueue(message)
