"""A browser tab as an attacker has it: Streamlit's frames over a WebSocket, without Streamlit's frontend.

It sends what it likes, whenever it likes, and keeps every id it was ever sent.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, generate_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME, XSRF_COOKIE_NAME
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PATIENCE: Final = 30.0
"""Seconds to wait for a frame; a busy machine must not fail a case."""

HAS_OPERATIONS: Final = "backend_operation_request" in BackMsg.DESCRIPTOR.fields_by_name
"""Whether this Streamlit has one frame for all that needs no run; before, deferred downloads had one of their own."""

DROPPED: Final = 0.5
"""Seconds without a frame after which a rerun counts as dropped. What comes later is still seen by the run after it."""


@dataclass(frozen=True, slots=True)
class Part:
    """One element that the server sent.

    Attributes:
        kind: its name in Streamlit's protocol: `button`, `markdown`.
        proto: the element.
        fragment: the fragment it belongs to, empty for none.
    """

    kind: str
    proto: Any
    fragment: str

    @property
    def id(self) -> str:
        return str(getattr(self.proto, "id", ""))

    @property
    def label(self) -> str:
        return str(getattr(self.proto, "label", "") or getattr(self.proto, "component_name", ""))


@dataclass(slots=True)
class Drawing:
    """What the server sent for one request, up to the end of the run."""

    messages: list[ForwardMsg] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        elements = [
            (message.delta.new_element, message.delta.fragment_id)
            for message in self.messages
            if message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element"
        ]
        return [
            Part(kind, getattr(element, kind), fragment)
            for element, fragment in elements
            if (kind := element.WhichOneof("type"))
        ]

    @property
    def timers(self) -> list[str]:
        """Return the fragments that the browser is asked to rerun by itself."""
        return [message.auto_rerun.fragment_id for message in self.messages if message.HasField("auto_rerun")]

    @property
    def pages(self) -> dict[str, str]:
        """Return the url path of each page of the menu, with its hash."""
        return {
            page.url_pathname: page.page_script_hash
            for message in self.messages
            if message.HasField("navigation")
            for page in message.navigation.app_pages
        }

    def __contains__(self, text: str) -> bool:
        wanted = text.encode()
        return any(wanted in message.SerializeToString() for message in self.messages)


class Tab:
    """One tab: a WebSocket with a session of its own."""

    def __init__(
        self, address: str, *, secret: str, claims: Mapping[str, Any] | None, resume: str | None = None
    ) -> None:
        """Connect as whoever the claims name, with the cookie that Streamlit makes after a login."""
        self.address = address
        self.seen = Drawing()
        xsrf = generate_xsrf_token_string()
        cookies = {XSRF_COOKIE_NAME: xsrf}
        if claims is not None:
            payload = {"origin": f"http://{address}", "is_logged_in": True, **claims}
            cookies[USER_COOKIE_NAME] = create_signed_value(secret, USER_COOKIE_NAME, json.dumps(payload)).decode()
        self._pending: list[ForwardMsg] = []
        self._connection = ExitStack()
        self._socket = self._connection.enter_context(
            connect(
                f"ws://{address}/_stcore/stream",
                subprotocols=[Subprotocol(name) for name in ("streamlit", xsrf, resume) if name],
                origin=Origin(f"http://{address}"),
                additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
                open_timeout=PATIENCE,
                max_size=None,
                ping_interval=None,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def session(self) -> str:
        """Return the session's id."""
        return next(
            message.new_session.initialize.session_id
            for message in self.seen.messages
            if message.HasField("new_session")
        )

    # --- runs --------------------------------------------------------------------------------------------------------

    def open(self, page: str = "", *, query: str = "", page_hash: str = "") -> Drawing:
        """Ask for a page, as a click in the menu or an address does."""
        return self.run(page=page, query=query, page_hash=page_hash)

    def run(
        self,
        *widgets: WidgetState,
        page: str | None = None,
        query: str = "",
        page_hash: str | None = None,
        fragment: str = "",
        by_itself: bool = False,
    ) -> Drawing:
        """Send one request for a run and return what comes back."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = query
        state.page_name = page or ""
        state.page_script_hash = self._page_hash if page is None and page_hash is None else page_hash or ""
        state.fragment_id = fragment
        state.is_auto_rerun = by_itself
        state.widget_states.widgets.extend(widgets)
        self._socket.send(message.SerializeToString())
        if fragment and not self._starts():
            return self.run(page=page, query=query, page_hash=page_hash)
        return self._finish()

    def _starts(self) -> bool:
        """Tell whether the server takes up a request; it says nothing when it has forgotten the fragment."""
        while True:
            try:
                message = self._receive(timeout=DROPPED)
            except TimeoutError:
                return False
            if message.WhichOneof("type") == "new_session":
                self._pending.append(message)
                return True
            self.seen.messages.append(message)

    def click(self, label: str) -> Drawing:
        """Click a button that was drawn at some time, whether or not it still is."""
        part = self.part(label)
        return self.run(WidgetState(id=part.id, trigger_value=True), fragment=part.fragment)

    def part(self, label: str) -> Part:
        """Return the last element sent under a label."""
        return next(part for part in reversed(self.seen.parts) if part.label == label)

    def fragment_of(self, text: str) -> str:
        """Return the fragment that drew a text."""
        return next(
            part.fragment
            for part in reversed(self.seen.parts)
            if part.fragment and text.encode() in part.proto.SerializeToString()
        )

    @property
    def _page_hash(self) -> str:
        found = [m.navigation.page_script_hash for m in self.seen.messages if m.HasField("navigation")]
        return found[-1] if found else ""

    def _finish(self) -> Drawing:
        drawing = Drawing()
        while True:
            message = self._receive()
            drawing.messages.append(message)
            self.seen.messages.append(message)
            if message.WhichOneof("type") == "script_finished" and (
                message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                return drawing

    def _receive(self, *, timeout: float = PATIENCE) -> ForwardMsg:
        if self._pending:
            return self._pending.pop()
        data = self._socket.recv(timeout=timeout)
        assert isinstance(data, bytes)
        message = ForwardMsg()
        message.ParseFromString(data)
        return message

    # --- what needs no run -------------------------------------------------------------------------------------------

    def fetch(self, file_id: str) -> bytes | None:
        """Have a deferred download made and fetch it; None where the server makes none."""
        message = BackMsg()
        if HAS_OPERATIONS:
            request = message.backend_operation_request
            request.request_id = uuid.uuid4().hex
            request.session_id = self.session
            request.deferred_file.file_id = file_id
            self._socket.send(message.SerializeToString())
            url = self._answer("backend_operation_response").deferred_file.url
        else:  # Streamlit 1.57
            message.deferred_file_request.file_id = file_id
            self._socket.send(message.SerializeToString())
            url = self._answer("deferred_file_response").url
        return self.get(url) if url else None

    def rows(self, source: str, *, offset: int = 0, limit: int = 50) -> bytes:
        """Return rows of a lazy table; empty where the server gives none."""
        message = BackMsg()
        request = message.backend_operation_request
        request.request_id = uuid.uuid4().hex
        request.session_id = self.session
        request.dataframe_chunk.source_id = source
        request.dataframe_chunk.offset = offset
        request.dataframe_chunk.limit = limit
        self._socket.send(message.SerializeToString())
        answer = self._answer("backend_operation_response")
        return answer.SerializeToString() if answer.HasField("dataframe_chunk") else b""

    def get(self, path: str) -> bytes | None:
        """Fetch a path without a cookie; None where the server refuses."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            return None

    def _answer(self, kind: str) -> Any:
        while True:
            message = self._receive()
            self.seen.messages.append(message)
            if message.WhichOneof("type") == kind:
                return getattr(message, kind)


def value(part: Part, **content: Any) -> WidgetState:
    """Return the value of a widget as the browser sends it, whatever the widget would allow."""
    state = WidgetState(id=part.id)
    for name, given in content.items():
        if isinstance(given, (list, tuple)):
            getattr(state, name).data.extend(given)
        else:
            setattr(state, name, given)
    return state


def forged(widget_id: str, **content: Any) -> WidgetState:
    """Return a value for any id."""
    return WidgetState(id=widget_id, **content)


def labels(parts: Sequence[Part]) -> list[str]:
    """Return what is drawn with a label."""
    return [part.label for part in parts if part.label]
