"""`sg.App`: Streamlit's ASGI application with the gateway in front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.middleware import Middleware

from stguard.app import private
from stguard.app.gateway.accounts import LocalAccounts
from stguard.app.gateway.ledger import keep
from stguard.app.gateway.middleware import Gateway
from stguard.app.menu import reject_pages_folder
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stguard.app.gateway.proxies import TrustedProxy
    from stguard.app.settings import IdentityChoice, PolicyChoice


def App(  # noqa: N802  named as the class it makes
    script_path: str | Path,
    *,
    policy: PolicyChoice | None = None,
    identity: IdentityChoice | None = None,
    auth: None = None,
    proxy: TrustedProxy | None = None,
    origins: Sequence[str] = (),
    anonymous: bool = True,
    accounts: str | Path | None = None,
    **st_app_kwargs: Any,  # noqa: ANN401  those of `st.App`
) -> st.App:
    """Make an `st.App` whose requests go through stguard's gateway first.

    Serve it with an ASGI server (`uvicorn server:app`) or with its own `app.run()`. `streamlit run` only knows an
    `st.App(...)` that is written out in the file: there, write
    `app = st.App("main.py", middleware=[Middleware(sg.Gateway)])`.

    Args:
        script_path: the main script.
        policy: as for `configure`.
        identity: as for `configure`.
        auth: None: `[auth]` comes from Streamlit's secrets.
        proxy: as for `Gateway`.
        origins: as for `Gateway`.
        anonymous: as for `Gateway`.
        accounts: as for `Gateway`.
        st_app_kwargs: as for `st.App`; `middleware` goes behind the gateway.

    Raises:
        ConfigurationError: a setting is wrong, a folder `pages` lies beside the main script, it is made in a script
            run, or this Streamlit can't be guarded.
        PolicyFileError: the file of local accounts can't be read, or holds an error.
    """
    if auth is not None:
        raise ConfigurationError("auth: only None for now; configure [auth] in Streamlit's secrets")
    if private.context() is not None:
        raise ConfigurationError(
            "sg.App() inside a script run: `streamlit run` took this file for a page; start it with "
            "`uvicorn FILE:app`, or write `app = st.App(..., middleware=[Middleware(sg.Gateway)])`"
        )
    keep()
    local = LocalAccounts(accounts) if accounts is not None else None
    gateway = Middleware(
        Gateway,
        policy=policy,
        identity=identity,
        proxy=proxy,
        origins=origins,
        anonymous=anonymous,
        accounts=local,
    )
    behind = list(st_app_kwargs.pop("middleware", None) or ())
    made = st.App(script_path, middleware=[gateway, *behind], **st_app_kwargs)
    folder = private.script_of(made).resolve().parent
    reject_pages_folder(folder)
    if local is not None:
        local.read(folder)
    return made
