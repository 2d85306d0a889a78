"""`sg.App`: Streamlit's ASGI application with the gateway in front."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import streamlit as st
from starlette.middleware import Middleware

from stguard import environment, tokens, variables
from stguard.app import private
from stguard.app.gateway.accounts import SECRET_VARIABLE, LocalAccounts
from stguard.app.gateway.ledger import keep
from stguard.app.gateway.middleware import Gateway
from stguard.app.gateway.proxies import identity_headers, reader
from stguard.app.menu import reject_pages_folder
from stguard.errors import ConfigurationError, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from stguard.app.gateway.bearers import BearerTokens
    from stguard.app.gateway.proxies import TrustedProxy
    from stguard.app.settings import IdentityChoice, PolicyChoice
    from stguard.shared.replicas import SharedChoice

_LOG: Final = logging.getLogger("stguard")


def App(  # noqa: N802, PLR0913  named as the class it makes; what an app can be given, by name
    script_path: str | Path,
    *,
    policy: PolicyChoice | None = None,
    identity: IdentityChoice | None = None,
    auth: Literal["env"] | Mapping[str, Any] | None = "env",
    proxy: TrustedProxy | None = None,
    bearer: BearerTokens | None = None,
    origins: Sequence[str] = (),
    anonymous: bool = True,
    freeze: bool = True,
    accounts: str | Path | None = None,
    shared: SharedChoice | None = None,
    **st_app_kwargs: Any,  # noqa: ANN401  those of `st.App`
) -> st.App:
    """Make an `st.App` whose requests go through stguard's gateway first.

    Serve it with an ASGI server (`uvicorn server:app`) or, where Streamlit has it, with its own `app.run()`.
    `streamlit run` only knows an `st.App(...)` that is written out in the file: there, write
    `app = st.App("main.py", middleware=[Middleware(sg.Gateway)])`.

    Args:
        script_path: the main script.
        policy: as for `configure`.
        identity: as for `configure`.
        auth: where sign-in is configured. `env`: in environment variables, or a file `.env` beside the main script
            (`stguard env` lists them); when no provider is set up there, in Streamlit's secrets. A mapping: here, in
            the form of the section `[auth]`. None: in Streamlit's secrets only.
        proxy: as for `Gateway`.
        bearer: as for `Gateway`.
        origins: as for `Gateway`.
        anonymous: as for `Gateway`.
        freeze: as for `Gateway`.
        accounts: as for `Gateway`.
        shared: as for `configure`.
        st_app_kwargs: as for `st.App`; `middleware` goes behind the gateway.

    Raises:
        ConfigurationError: a setting is wrong, an extra that it needs is not installed, a folder `pages` lies beside
            the main script, it is made in a script run, or this Streamlit can't be guarded.
        PolicyFileError: the file of local accounts can't be read, or holds an error.
    """
    if private.context() is not None:
        raise ConfigurationError(
            "sg.App() inside a script run: `streamlit run` took this file for a page; start it with "
            "`uvicorn FILE:app`, or write `app = st.App(..., middleware=[Middleware(sg.Gateway)])`"
        )
    if bearer is not None:
        tokens.require()
    by_headers = reader(identity, proxy)  # what is wrong with it is said here, not at the first request
    secrets = dict(st_app_kwargs.pop("secrets", None) or {})
    environ = variables.with_dotenv(Path(script_path).resolve().parent) if auth == "env" else {}
    section = _section(auth, secrets, environ=environ)
    if section is not None:
        secrets["auth"] = section
        variables.share_cookie_secret(section["cookie_secret"])
    elif accounts is not None and (secret := environ.get(SECRET_VARIABLE)):
        variables.share_cookie_secret(variables.checked_cookie_secret(secret))
    keep()
    local = LocalAccounts(accounts) if accounts is not None else None
    gateway = Middleware(
        Gateway,
        policy=policy,
        identity=identity,
        proxy=proxy,
        bearer=bearer,
        origins=origins,
        anonymous=anonymous,
        freeze=freeze,
        accounts=local,
        shared=shared,
    )
    behind = list(st_app_kwargs.pop("middleware", None) or ())
    made = st.App(script_path, middleware=[gateway, *behind], secrets=secrets or None, **st_app_kwargs)
    folder = private.script_of(made).resolve().parent
    reject_pages_folder(folder)
    if local is not None:
        local.read(folder)
    if section is not None:
        variables.warn_unshared(st.get_option("server.cookieSecret"))
    if auth == "env":
        ways = (local, proxy, by_headers)
        other = any(way is not None for way in ways) or bool(identity_headers())
        mine = {SECRET_VARIABLE} if local is not None else set()
        _settle(environ, taken=section is not None, given="auth" in secrets, other=other, mine=mine)
    return made


def _section(auth: object, secrets: Mapping[str, Any], *, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the `[auth]` section to hand to Streamlit; None where it has one, or has to find one itself."""
    if auth is None:
        return None
    if isinstance(auth, str):
        if auth != "env":
            raise ConfigurationError(f"auth is `env`, a mapping or None, got {quote(auth)}")
        meant = "auth" not in secrets and environment.is_meant(environ)
        return variables.auth_from_env(environ) if meant else None
    if "auth" in secrets:
        raise ConfigurationError("`[auth]` is given twice, as `auth` and in `secrets`; leave one of them out")
    return variables.checked(auth)


def _settle(environ: Mapping[str, str], *, taken: bool, given: bool, other: bool, mine: AbstractSet[str]) -> None:
    """Say where sign-in is configured when that is in doubt, before somebody clicks.

    Args:
        environ: the variables.
        taken: whether `[auth]` was taken from them.
        given: whether `[auth]` was handed to Streamlit, from them or by the author.
        other: whether people may be signed in without a provider of `[auth]`.
        mine: variables that are there for that other way.

    Raises:
        ConfigurationError: the environment begins to configure sign-in, and nothing else does.
    """
    in_file = _in_secrets_file()
    if taken and in_file:
        _LOG.warning(
            "sign-in is configured twice: the environment counts, `[auth]` in Streamlit's secrets file does not; "
            "remove one of them, or make it sg.App(..., auth=None) for the file"
        )
    if given or in_file:
        return
    if environment.read({name: value for name, value in environ.items() if name not in mine}).begun:
        variables.auth_from_env(environ)
    if not other:
        _LOG.warning(
            "sign-in is not configured: nobody can sign in to this app; set the variables that `stguard env` lists, "
            "or add `[auth]` to Streamlit's secrets"
        )


def _in_secrets_file() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False
