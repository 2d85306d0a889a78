"""Sign-in from environment variables, in place of Streamlit's secrets file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dotenv

from stguard import environment
from stguard.errors import ConfigurationError, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

DOTENV: Final = ".env"
COOKIE_SECRET: Final = "STREAMLIT_SERVER_COOKIE_SECRET"  # noqa: S105  the name of a variable

_LOG: Final = logging.getLogger("stguard")


def auth_from_env(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the `[auth]` section for `st.App(..., secrets={"auth": ...})` that environment variables describe.

    Each provider gets a section with its own name, a single one too: `st.login("google")`. So what
    `st.user["provider"]` says, and what a policy says about a provider, stays the same when a second one is added.
    `stguard env` lists the variables.

    Args:
        environ: the variables; None for those of this process, and below them those of a file `.env` in the working
            folder.

    Raises:
        ConfigurationError: variables are missing or malformed; it names each of them, and repeats no value.
    """
    reading = environment.read(with_dotenv(Path()) if environ is None else environ)
    if reading.auth is None:
        raise ConfigurationError("sign-in can't be set up from the environment: " + "\n".join(reading.problems))
    return reading.auth


def with_dotenv(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's variables, and below them those of a file `.env` in a folder.

    A value in the file counts as it stands: `${...}` in a secret is no variable.

    Args:
        folder: where `.env` may lie.
        environ: the variables; None for those of this process.

    Raises:
        ConfigurationError: the file can't be read.
    """
    above = os.environ if environ is None else environ
    path = folder / DOTENV
    if not path.is_file():
        return dict(above)
    try:
        below = dotenv.dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read ({type(error).__name__})") from None
    return {**{name: value for name, value in below.items() if value is not None}, **above}


def checked(auth: object) -> dict[str, Any]:
    """Return an `[auth]` section that the author wrote in code.

    Raises:
        ConfigurationError: it is no mapping, or sign-in would fail with it.
    """
    if not hasattr(auth, "keys"):
        raise ConfigurationError(f"auth is `env`, a mapping or None, got {quote(type(auth).__name__)}")
    section: dict[str, Any] = {**auth}  # type: ignore[dict-item]
    problems = environment.auth_problems(section)
    if problems:
        raise ConfigurationError("sign-in can't be set up from `auth`: " + "\n".join(problems))
    return environment.Auth(section)


def checked_cookie_secret(secret: str) -> str:
    """Return a cookie secret from the environment.

    Raises:
        ConfigurationError: it can be guessed.
    """
    wrong = environment.cookie_secret_problem(secret.strip())
    if wrong is not None:
        raise ConfigurationError(f"`COOKIE_SECRET`: {wrong}")
    return secret.strip()


def share_cookie_secret(secret: str) -> None:
    """Let this process sign with the app's own cookie secret, before Streamlit reads its settings.

    STREAMLIT 1.57 to 1.67: the cookie that a login starts with is signed with `server.cookieSecret`, which is random in
    each process, since secrets given in code are known later only. A login that starts at one replica and comes back
    to another would fail. `STREAMLIT_SERVER_COOKIE_SECRET` counts under every server; what is set already stays.
    """
    os.environ.setdefault(COOKIE_SECRET, secret)


def warn_unshared(in_force: str | None) -> None:
    """Say in the log that `share_cookie_secret` came too late, when it did.

    Args:
        in_force: Streamlit's `server.cookieSecret`.
    """
    if in_force != os.environ.get(COOKIE_SECRET):
        _LOG.warning(
            "Streamlit read its settings before sg.App() was made, so logins would fail with several replicas; "
            "set %s in the environment to the value of COOKIE_SECRET, or read no Streamlit setting above sg.App()",
            COOKIE_SECRET,
        )
