"""Who opens a connection: what the gateway found out about it, handed on to Streamlit."""

from __future__ import annotations

import contextlib
import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app.private.hooks import HOOKED
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from streamlit.runtime.scriptrunner import ScriptRunContext

SIGN_IN_ENDED: Final = "stguard_sign_in_ended"
"""Key in `st.user` of a connection whose sign-in no longer counts."""

SIGN_IN_FAILED: Final = "stguard_sign_in_failed"
"""Key in `st.user` of a connection whose browser has just tried to sign in, without success."""

_handed: Final[ContextVar[Mapping[str, Any] | None]] = ContextVar("stguard_handed", default=None)
"""What the gateway found out about who opens the connection that is being served."""

_OWN_KEYS: Final = frozenset({"is_logged_in", "provider", "origin", "tokens", SIGN_IN_ENDED, SIGN_IN_FAILED})
"""Keys of `st.user` that are no claims: nobody's claims may set them."""


def user_of(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `st.user` holds for somebody signed in with these claims."""
    return {**{name: value for name, value in claims.items() if name not in _OWN_KEYS}, "is_logged_in": True}


def sign_in_ended(ctx: ScriptRunContext) -> bool:
    """Tell whether this session's connection brought a sign-in that no longer counted."""
    return ctx.user_info.get(SIGN_IN_ENDED) is True


def sign_in_failed(ctx: ScriptRunContext) -> bool:
    """Tell whether this session's browser had just tried to sign in, without success."""
    return ctx.user_info.get(SIGN_IN_FAILED) is True


@contextlib.contextmanager
def handing_on(user: Mapping[str, Any]) -> Iterator[None]:
    """Make what is served in here see this in `st.user`.

    Args:
        user: with `is_logged_in` it is the whole of `st.user`, else it is added to what Streamlit puts there.
    """
    token = _handed.set(user)
    try:
        yield
    finally:
        _handed.reset(token)


def hook_users() -> None:
    """Have Streamlit take who opens a connection from `handing_on`.

    STREAMLIT 1.57: `starlette_websocket._gather_user_info(headers)`; 1.67: `gather_user_info(headers)`. What it returns
    goes over what a login cookie said, and is all that the agent API knows.

    Raises:
        ConfigurationError: neither is there.
    """
    from streamlit.web.server.starlette import starlette_websocket

    name = next((n for n in ("gather_user_info", "_gather_user_info") if hasattr(starlette_websocket, n)), "")
    gather: Any = getattr(starlette_websocket, name, None)
    if getattr(gather, HOOKED, False):
        return
    if not _takes(gather, ["headers"]):
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) reads who opens a connection another way than stguard knows; "
            "use a supported version"
        )

    @functools.wraps(gather)
    def asked_first(headers: object) -> dict[str, Any]:
        user = _handed.get()
        if user is None:
            return dict(gather(headers))
        return dict(user) if "is_logged_in" in user else {**gather(headers), **user}

    setattr(asked_first, HOOKED, True)
    setattr(starlette_websocket, name, asked_first)


def hook_agents(
    *,
    same: Callable[[Mapping[str, Any]], Hashable],
    owned: Callable[[str, Mapping[str, Any]], None],
    may_read: Callable[[Mapping[str, Any], str], bool],
) -> None:
    """Watch whose the sessions of the agent API are, and let a fresh token go on with the session of its subject.

    STREAMLIT 1.67: `AgentSessionRegistry.create(user_info)` and `get(handle, user_info)` return the session of a
    request, whose `app_session_id` is the one that files belong to. `get` compares `user_info` whole, so that a token
    that was merely renewed would find none; `AppSession._user_info` is what the next run has in `st.user`.

    MCP's `get_data` reads a file by `MediaFileManager.read_file(file_id)`, whichever session it was made for: "the id
    alone grants access".

    Args:
        same: returns what tells a user from another, the same for each token of one.
        owned: called with the id of a session and the user whose it is, before a request runs anything.
        may_read: tells whether a file, by its id, is a user's to read.

    Raises:
        ConfigurationError: this Streamlit has no agent API, or another one.
    """
    from starlette.requests import Request

    try:
        from streamlit.runtime.agent.interaction import AgentSessionRegistry
        from streamlit.runtime.media_file_manager import MediaFileManager
        from streamlit.web.server.starlette import starlette_agent_routes
    except ImportError:
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) has no agent API; leave `bearer` out, or use 1.67 or later"
        ) from None
    create: Any = AgentSessionRegistry.create
    get: Any = AgentSessionRegistry.get
    if getattr(create, HOOKED, False):
        return
    read: Any = getattr(MediaFileManager, "read_file", None)
    fits = (
        _takes(read, ["self", "file_id"])
        and _takes(create, ["self", "user_info"])
        and _takes(get, ["self", "handle", "user_info"])
    )
    probe = {"is_logged_in": True}
    hook_users()
    with handing_on(probe):
        reads = starlette_agent_routes._user_info(Request({"type": "http", "headers": []})) == probe
    if not fits or not reads:
        raise ConfigurationError(
            f"this Streamlit ({st.__version__}) has another agent API than stguard knows; leave `bearer` out, "
            "or use a supported version"
        )

    @functools.wraps(create)
    def created(self: Any, user_info: Mapping[str, Any]) -> object:
        session = create(self, user_info)
        owned(session.app_session_id, user_info)
        return session

    @functools.wraps(get)
    def found(self: Any, handle: str, user_info: Mapping[str, Any]) -> object:
        known = self._sessions.get(handle)
        if known is not None and same(known.user_info) == same(user_info):
            running = self._runtime.get_app_session(known.app_session_id)
            if running is not None:
                known.user_info = dict(user_info)
                running._user_info = dict(user_info)
        session = get(self, handle, user_info)
        owned(session.app_session_id, user_info)
        return session

    @functools.wraps(read)
    def read_own(self: Any, file_id: str) -> object:
        user = _handed.get()
        return read(self, file_id) if user is not None and may_read(user, file_id) else None

    MediaFileManager.read_file = read_own  # type: ignore[method-assign,assignment]
    setattr(created, HOOKED, True)
    for name, hooked in (("create", created), ("get", found)):
        setattr(AgentSessionRegistry, name, hooked)


def _takes(function: object, parameters: Sequence[str]) -> bool:
    return inspect.isfunction(function) and [*inspect.signature(function).parameters] == [*parameters]
