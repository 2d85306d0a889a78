"""The WebSocket of one tab: each frame is judged before Streamlit sees it."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from streamlit.proto.AuthRedirect_pb2 import AuthRedirect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from stguard.app.gateway.ledger import ledger
from stguard.app.gateway.traffic import traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stguard.app.gateway.visitors import Visitor

REFUSED: Final = 1008
"""WebSocket close code for a violated policy (RFC 6455, section 7.4.1)."""

FRAMES: Final = frozenset(
    {
        "rerun_script",
        "stop_script",
        "app_heartbeat",
        "file_urls_request",
        "set_run_on_save",
        "deferred_file_request",
        "backend_operation_request",
    }
)
"""Frames that reach Streamlit: each concerns the sender's own session only.

SECURITY: what isn't named here is dropped, frames of later versions included. `clear_cache` empties the caches of
everybody, `load_git_info` answers with the names of files in the repository.
"""

SHORT: Final = 2000
"""Bytes that a frame has at most which sends a tab to sign in or out."""

OPERATIONS: Final = frozenset({"deferred_file", "dataframe_chunk"})
"""Kinds of `backend_operation_request` that reach Streamlit; `install_skills` writes to the server's disk."""

RELOAD: Final = ForwardMsg(auth_redirect=AuthRedirect(url="")).SerializeToString()
"""What makes a tab load its own address anew.

STREAMLIT 1.57 to 1.67: the browser goes to `auth_redirect.url`, and an empty one is the address it is at. After a mere
loss of the connection it would open another and leave on the screen what was drawn.
"""

_LOG: Final = logging.getLogger("stguard")


class _Verdict(Enum):
    PASS = auto()
    DROP = auto()
    END = auto()


class Stream:
    """Be the connection of one tab while it is open.

    Attributes:
        visitor: who opened it.
    """

    __slots__ = ("_closing", "_ended", "_leaving", "_over", "_receive", "_send", "_session", "visitor")

    def __init__(self, *, visitor: Visitor, receive: Receive, send: Send, over: Callable[[], bool]) -> None:
        """Take the two ends of a connection that is being opened.

        Args:
            visitor: who opens it.
            receive: gets a frame of the browser.
            send: sends one to it.
            over: tells whether the visitor's login no longer counts now.
        """
        self.visitor: Final = visitor
        self._receive: Final[Callable[[], Awaitable[Message]]] = receive
        self._send: Final = send
        self._over: Final = over
        self._session: str | None = None
        self._ended = False
        self._leaving = False
        self._closing: asyncio.Task[None] | None = None

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Serve the connection until it is closed."""
        try:
            await app(scope, self._judged_receive, self._watched_send)
        finally:
            if self._session is not None:
                ledger.disconnect(self._session)

    @property
    def leaving(self) -> bool:
        """Tell whether the tab is on its way to sign in or out."""
        return self._leaving

    def end(self) -> None:
        """Let nothing through any more, in neither direction."""
        self._ended = True

    def close_soon(self) -> None:
        """End the connection, let the tab load anew, and close."""
        self._ended = True
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        try:
            if not self._leaving:
                await self._send({"type": "websocket.send", "bytes": RELOAD})
            await self._send({"type": "websocket.close", "code": REFUSED, "reason": "sign in again"})
        except Exception as error:  # noqa: BLE001  it is closed already, or not yet open; nothing passes either way
            _LOG.debug("closing a connection failed: %s", type(error).__name__)

    async def _judged_receive(self) -> Message:
        """Return the next message of the browser that may reach Streamlit."""
        while True:
            message = await self._receive()
            if self._ended:
                return {"type": "websocket.disconnect", "code": REFUSED}
            if message["type"] != "websocket.receive":
                return message
            match self._verdict(message):
                case _Verdict.PASS:
                    return message
                case _Verdict.DROP:
                    continue
                case _Verdict.END:
                    self.close_soon()
                    return {"type": "websocket.disconnect", "code": REFUSED}

    def _verdict(self, message: Message) -> _Verdict:
        try:
            if self._over():
                _LOG.info("a login no longer counts; its connection was closed")
                return self._end("login_over")
            data = message.get("bytes")
            return self._judge(data) if data is not None else self._end("malformed")  # Streamlit speaks no text
        except Exception:  # noqa: BLE001  fail closed
            _LOG.exception("judging a frame failed; its connection was closed")
            return self._end("malformed")

    def _judge(self, data: bytes) -> _Verdict:
        # Parsed by what Streamlit parses it with: a frame can't mean one thing here and another there.
        frame: Any = BackMsg.FromString(data)
        kind = frame.WhichOneof("type")
        if kind not in FRAMES:
            return self._drop(kind)
        if kind == "deferred_file_request":
            return self._deferred(frame.deferred_file_request.file_id)
        if kind == "backend_operation_request":
            operation = frame.backend_operation_request
            payload = operation.WhichOneof("payload")
            if payload not in OPERATIONS:
                return self._drop(payload)
            if payload == "deferred_file":
                return self._deferred(operation.deferred_file.file_id)
        return _Verdict.PASS

    def _deferred(self, file: str) -> _Verdict:
        # STREAMLIT 1.67: it makes a deferred download for whoever sends the id, in whichever session.
        if ledger.holds(self._session, file):
            return _Verdict.PASS
        return self._drop("foreign_download", "download of another session")

    def _drop(self, kind: str | None, what: str | None = None) -> _Verdict:
        _LOG.warning("dropped a frame: %s", what or kind or "of no known kind")
        traffic.frames.add(kind or "unknown")  # a name in Streamlit's own protocol, whatever was sent
        return _Verdict.DROP

    def _end(self, kind: str) -> _Verdict:
        traffic.frames.add(kind)
        return _Verdict.END

    async def _watched_send(self, message: Message) -> None:
        """Send a message of Streamlit to the browser, and learn from it what has to be known."""
        if self._ended:
            return
        if message["type"] == "websocket.send":
            data = message.get("bytes") or b""
            if self._session is None or (len(data) < SHORT and b"auth/" in data):
                self._learn(data)
        await self._send(message)

    def _learn(self, data: bytes) -> None:
        """Learn the session's id from the first frame that names it, and that the tab is sent to sign in or out."""
        frame = ForwardMsg.FromString(data)
        kind = frame.WhichOneof("type")
        if kind == "new_session" and self._session is None:
            self._session = frame.new_session.initialize.session_id
            ledger.connect(self._session, owner=self.visitor.owner)
        elif kind == "auth_redirect":
            self._leaving = True  # to load anew now would call it back
