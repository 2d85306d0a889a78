"""What a path of the server asks for."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app import localaccounts, private
from stguard.errors import ConfigurationError, quote

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(Enum):
    """Say what a path asks for."""

    STREAM = auto()
    """The WebSocket of a tab."""
    MEDIA = auto()
    """A file that a script made: image, sound, download."""
    UPLOAD = auto()
    """A file that a visitor sends to a session, or takes back."""
    STATIC = auto()
    """A file of the app's own `static` folder."""
    AGENT = auto()
    """The agent API and MCP, which run the app without the login cookie."""
    METRICS = auto()
    """What the server counts: sessions, and the cached functions by their names."""
    HEALTH = auto()
    """Whether the app can serve guarded pages."""
    OWN_METRICS = auto()
    """What stguard counts."""
    LOGIN = auto()
    LOCAL = auto()
    """Where people with a local account sign in."""
    LOGOUT = auto()
    CALLBACK = auto()
    """Where the identity provider sends the browser back to."""
    ASSET = auto()
    """What is the same for everybody: Streamlit's own frontend, components, health."""
    OTHER = auto()
    """The document of a page, or a route of the author's."""


STREAM: Final = "/_stcore/stream"
HEALTH: Final = "/_stguard/health"
METRICS: Final = "/_stguard/metrics"

_EXACT: Final = {
    STREAM: Place.STREAM,
    "/auth/login": Place.LOGIN,
    localaccounts.PATH: Place.LOCAL,
    "/auth/logout": Place.LOGOUT,
    "/oauth2callback": Place.CALLBACK,
    HEALTH: Place.HEALTH,
    METRICS: Place.OWN_METRICS,
    "/_stcore/health": Place.ASSET,
    "/_stcore/host-config": Place.ASSET,
}

_BELOW: Final = (
    ("/media/", Place.MEDIA),
    ("/_stcore/upload_file/", Place.UPLOAD),
    ("/app/static/", Place.STATIC),
    ("/_stcore/agent", Place.AGENT),
    ("/_stcore/metrics", Place.METRICS),
    ("/static/", Place.ASSET),
    ("/component/", Place.ASSET),
    ("/_stcore/bidi-components/", Place.ASSET),
)

_FIRST_PRINTABLE: Final = " "
_DELETE: Final = "\x7f"


def place_of(scope: Mapping[str, Any]) -> tuple[Place, str]:
    """Return what a request asks for, and what follows the prefix of that place in its path.

    STREAMLIT 1.57 to 1.67: the paths are those of its `starlette_routes`, `starlette_websocket`,
    `starlette_auth_routes` and `starlette_agent_routes`, below `server.baseUrlPath`.

    Raises:
        ConfigurationError: that is no one path.
    """
    path = private.route_path(scope)
    base = "/" + str(st.get_option("server.baseUrlPath") or "").strip("/")
    if "{" in base:
        # SECURITY: Starlette takes it for a parameter; the places below it would not be known here.
        raise ConfigurationError(f"server.baseUrlPath is a path without braces, got {quote(base)}")
    if base != "/" and path.startswith(base + "/"):
        path = path[len(base) :]
    return place_at(path)


def place_at(path: str) -> tuple[Place, str]:
    """Return what a path below the app's root asks for, and what follows the prefix."""
    if path in _EXACT:
        return _EXACT[path], ""
    for prefix, place in _BELOW:
        if path.startswith(prefix):
            return place, path[len(prefix) :]
    return Place.OTHER, path


def is_plain(path: str) -> bool:
    r"""Tell whether a decoded path is free of control characters.

    SECURITY: a route's pattern ends in `$`, which also matches before a line end, so that `/_stcore/stream\n` would be
    served as the stream and not be seen as it here.
    """
    return not any(character < _FIRST_PRINTABLE or character == _DELETE for character in path)
