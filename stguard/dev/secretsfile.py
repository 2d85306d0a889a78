"""Where Streamlit looks for secrets, whether a real `[auth]` stands there, and the `[auth]` of a development run."""

from __future__ import annotations

import json
import os
import secrets
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import ConfigurationError, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLIENT: Final = "stguard-dev"


def places(app: Path, *, environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Return where Streamlit would look for this app's secrets, later ones winning.

    STREAMLIT 1.57-1.67: `secrets.files` is by default `secrets.toml` of the `.streamlit` folders of the user, the
    working folder and the main script; `STREAMLIT_SECRETS_FILES` and `config.toml` may name others. An entry is a TOML
    file or a folder with one subfolder for each section.
    """
    named = environ.get("STREAMLIT_SECRETS_FILES", "").split() or _from_config(app, cwd=cwd)
    if named:
        return tuple(cwd / entry for entry in named)
    return tuple(folder / "secrets.toml" for folder in _folders(app, cwd=cwd))


def existing(found: Sequence[Path]) -> tuple[Path, ...]:
    """Return the places that hold secrets.

    Raises:
        ConfigurationError: a real `[auth]` stands in one of them, or one of them can't be read.
    """
    present = tuple(place for place in found if place.exists())
    for place in present:
        if _has_auth(place):
            raise ConfigurationError(
                f"{place}: a real `[auth]` is configured there, and a development run would sign people in past it; "
                "run the app with `streamlit run`, or take `[auth]` out of that file first"
            )
    return present


def write(path: Path, *, issuer: str, port: int, providers: Sequence[str]) -> None:
    """Write the `[auth]` section of one run, readable by its owner only.

    Args:
        path: the file; must not exist.
        issuer: address of the embedded provider.
        port: port of the app.
        providers: names of `[auth.NAME]` sections that the app signs in with; empty for the default one.
    """
    client = {
        "client_id": CLIENT,
        "client_secret": secrets.token_urlsafe(16),
        "server_metadata_url": f"{issuer}/.well-known/openid-configuration",
    }
    general: dict[str, str | list[str]] = {
        "redirect_uri": f"http://localhost:{port}/oauth2callback",
        "cookie_secret": secrets.token_urlsafe(32),
        "expose_tokens": ["access"],  # for identity sources that ask the provider
    }
    named = [name for name in providers if name != "default"]
    if len(named) < len(providers) or not named:
        general |= client
    sections: dict[str, Mapping[str, object]] = {
        "auth": general,
        **{f"auth.{json.dumps(name)}": client for name in named},
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for title, entries in sections.items():
            file.write(f"[{title}]\n")
            # A JSON string of printable ASCII is a TOML basic string; a list of them is an array.
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in entries.items())


def _folders(app: Path, *, cwd: Path) -> tuple[Path, ...]:
    folders = (Path.home() / ".streamlit", cwd / ".streamlit", app.parent / ".streamlit")
    return tuple(dict.fromkeys(folders))


def _from_config(app: Path, *, cwd: Path) -> list[str]:
    named: list[str] = []
    for folder in _folders(app, cwd=cwd):
        config = folder / "config.toml"
        if config.is_file():
            files = _toml(config).get("secrets", {}).get("files", named)
            named = [files] if isinstance(files, str) else [str(entry) for entry in files]
    return named


def _has_auth(place: Path) -> bool:
    return (place / "auth").is_dir() if place.is_dir() else "auth" in _toml(place)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: can't be read as TOML ({quote(error)})") from error
