"""Find out what an app is configured with, for the doctor: from a running server, or from its folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard import environment
from stguard.app import localaccounts, private
from stguard.app.menu import has_pages_folder
from stguard.app.settings import is_served
from stguard.diagnosis import OPTIONS, Setup
from stguard.errors import ConfigurationError, PolicyFileError, quote
from stguard.policy import Policy
from stguard.variables import with_dotenv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stguard.app.standing import Standing

ACCOUNTS: Final = "accounts.yaml"
"""The usual name of the file of local accounts."""

_TRY_HOOKS: Final = """
from stguard.app import private
from stguard.errors import ConfigurationError
try:
    for hook in (private.hook_callbacks, private.hook_fragments, private.hook_deferred, private.hook_lazy_sources):
        hook(lambda registered: registered)
except ConfigurationError as error:
    print(error)
"""


def of_server(asked: Standing) -> Setup:
    """Return the setup of the server that runs the script."""
    script = private.script_key(asked.ctx)
    settings = asked.settings
    options = _options()
    in_file = _auth_in_files()
    return Setup(
        auth=_auth(),
        in_code=not in_file,
        twice=in_file and environment.is_meant(os.environ),
        options=options,
        environ=dict(os.environ),
        policy=asked.policy,
        problems=() if isinstance(settings.store, Policy) else settings.store.problems,
        pages_folder=has_pages_folder(private.main_script(asked.ctx).resolve().parent),
        hooks="" if settings.hooks == "off" else None,
        gateway=is_served(script),
        # Whoever looks is signed in, by whatever way.
        other=asked.subject is not None or localaccounts.active(),
    )


def of_folder(folder: Path, *, policy: Path | None, environ: Mapping[str, str]) -> Setup:
    """Return the setup that a server started in this folder would have.

    Args:
        folder: the main script's folder, and the working folder.
        policy: where the policy lies; None when it lies nowhere.
        environ: the process's variables.
    """
    options = {**_options(), **_from_variables(environ)}
    problems: list[str] = []
    try:
        environ = with_dotenv(folder, environ)
    except ConfigurationError as error:
        problems.append(str(error))
    meant, in_file = environment.is_meant(environ), _auth_in_files()
    accounts = (folder / ACCOUNTS).is_file()
    reading = environment.read({n: v for n, v in environ.items() if not (accounts and n == "COOKIE_SECRET")})
    from_variables = environment.read(environ) if meant else reading
    if meant or (reading.begun and not in_file):
        problems += from_variables.problems
    found, listed, absent = _policy(policy)
    return Setup(
        auth=from_variables.auth if meant else _auth() if in_file else None,
        # Under sg.App replicas share the secret by themselves, and from here it can't be seen what serves the app.
        in_code=False,
        twice=meant and in_file,
        wrong_variables=tuple(problems),
        options=options,
        environ=environ,
        policy=found,
        problems=listed,
        no_policy=absent,
        pages_folder=has_pages_folder(folder),
        hooks=_hooks(),
        other=accounts or bool(options.get("server.trustedUserHeaders")),
    )


def _policy(path: Path | None) -> tuple[Policy | None, tuple[Any, ...], str | None]:
    if path is None:
        return None, (), "`policies/` or `policy.yaml` was expected beside the main script"
    try:
        found = Policy.load(path)
    except PolicyFileError as error:
        return None, error.problems, None
    return found, found.problems, None


def _options() -> dict[str, object]:
    found = {}
    for name in OPTIONS:
        try:
            found[name] = st.get_option(name)
        except RuntimeError:  # this Streamlit has no such option
            continue
    return found


def _from_variables(environ: Mapping[str, str]) -> dict[str, object]:
    """Return the options that `STREAMLIT_…` variables set.

    STREAMLIT 1.57 to 1.67: most count under `streamlit run` only, so that a command doesn't see them otherwise.
    """
    found: dict[str, object] = {}
    for name in OPTIONS:
        section, _, option = name.partition(".")
        words = "".join(
            f"_{c}" if c.isupper() and not option[max(i - 1, 0)].isupper() else c for i, c in enumerate(option)
        )
        value = environ.get(f"STREAMLIT_{section}_{words}".upper())
        if value is not None:
            found[name] = {"true": True, "false": False}.get(value.strip().lower(), value)
    return found


def _auth() -> Mapping[str, Any] | None:
    """Return the `[auth]` section that Streamlit has."""
    try:
        section = st.secrets["auth"]
    except (KeyError, FileNotFoundError):
        return None
    return section.to_dict() if hasattr(section, "to_dict") else None


def _auth_in_files() -> bool:
    """Tell whether `[auth]` stands in a secrets file."""
    for name in st.get_option("secrets.files"):
        path = Path(name)
        try:
            if (path / "auth").is_dir() or "auth" in tomllib.loads(path.read_text(encoding="utf-8")):
                return True
        except (OSError, ValueError):
            continue
    return False


def _hooks() -> str | None:
    """Return why the hooks don't fit, tried in a process of its own: they would stay in this one."""
    ran = subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-W", "ignore", "-c", _TRY_HOOKS], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        return f"they could not be tried on this Streamlit {quote(st.__version__)}"
    return ran.stdout.strip() or None
