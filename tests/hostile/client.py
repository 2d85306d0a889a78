"""A browser tab as an attacker has it: Streamlit's frames over a WebSocket, without Streamlit's frontend.

It sends what it likes, whenever it likes, and keeps every id it was ever sent.
"""

from __future__ import annotations

import http.client
import json
import uuid
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, generate_xsrf_token_string
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME, XSRF_COOKIE_NAME
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

PATIENCE: Final = 30.0
"""Seconds to wait for a frame; a busy machine must not fail a case."""

HAS_OPERATIONS: Final = "backend_operation_request" in BackMsg.DESCRIPTOR.fields_by_name
"""Whether this Streamlit has one frame for all that needs no run; before, deferred downloads had one of their own."""

OPERATIONS: Final = frozenset({"backend_operation_request", "deferred_file_request"})

UNANSWERED: Final = 1.0
"""Seconds without an answer after which an operation counts as dropped."""

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


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered over HTTP.

    Attributes:
        status: the HTTP status.
        headers: as they came.
        body: of the answer.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < HTTPStatus.BAD_REQUEST

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class Browser:
    """The cookies of one browser, and what it asks for over HTTP; it sends whatever headers it likes."""

    def __init__(self, address: str, *, secret: str, claims: Mapping[str, Any] | None) -> None:
        """Begin with the cookies that Streamlit sets: against request forgery, and after a login."""
        self.address = address
        self.forgery_token = generate_xsrf_token_string()
        self.cookies = {XSRF_COOKIE_NAME: self.forgery_token}
        if claims is not None:
            payload = {"origin": self.origin, "is_logged_in": True, **claims}
            self.cookies[USER_COOKIE_NAME] = create_signed_value(secret, USER_COOKIE_NAME, json.dumps(payload)).decode()

    @property
    def origin(self) -> str:
        return f"http://{self.address}"

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send one request; redirects are not followed."""
        with closing(http.client.HTTPConnection(self.address, timeout=PATIENCE)) as connection:
            connection.request(method, path, body=body, headers={"Cookie": self.cookie, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, tuple(response.getheaders()), response.read())
        for name, given in answer.headers:
            if name.lower() == "set-cookie":
                key, _, rest = given.partition("=")
                self.cookies[key] = rest.partition(";")[0].strip('"')
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def upload(self, session: str, *, method: str = "PUT", origin: str | None = None) -> Answer:
        """Send a file to a session, or with `DELETE` take it back."""
        headers = {
            "Content-Type": "multipart/form-data; boundary=line",
            "X-Xsrftoken": self.forgery_token,
            "Origin": origin or self.origin,
        }
        body = (
            b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
            b"Content-Type: text/plain\r\n\r\nhello\r\n--line--\r\n"
        )
        path = f"/_stcore/upload_file/{session}/some-file"
        return self.ask(method, path, headers=headers, body=body if method == "PUT" else None)


class Tab:
    """One tab: a WebSocket with a session of its own."""

    def __init__(
        self,
        browser: Browser,
        *,
        resume: str | None = None,
        origin: str | None = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Connect with the cookies of a browser.

        Args:
            browser: whose tab it is.
            resume: the id of a session to go on with.
            origin: of the page that connects; empty for the app's own, None for none.
            headers: others to send, any of them several times.

        Raises:
            InvalidStatus: the server gives no connection.
        """
        self.browser = browser
        self.seen = Drawing()
        self._pending: list[ForwardMsg] = []
        self._connection = ExitStack()
        self._socket = self._connection.enter_context(
            connect(
                f"ws://{browser.address}/_stcore/stream",
                subprotocols=[Subprotocol(name) for name in ("streamlit", browser.forgery_token, resume) if name],
                origin=Origin(browser.origin if origin == "" else origin) if origin is not None else None,
                additional_headers=[("Cookie", browser.cookie), *headers],
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
        url: str = "",
    ) -> Drawing:
        """Send one request for a run and return what comes back."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = query
        state.page_name = page or ""
        state.page_script_hash = self._page_hash if page is None and page_hash is None else page_hash or ""
        state.fragment_id = fragment
        state.is_auto_rerun = by_itself
        state.context_info.url = url
        state.widget_states.widgets.extend(widgets)
        self._socket.send(message.SerializeToString())
        if fragment and not self._starts():
            return self.run(page=page, query=query, page_hash=page_hash)
        return self.finish()

    def start(self, page: str) -> None:
        """Ask for a page, and leave what comes back for `finish`."""
        message = BackMsg()
        message.rerun_script.page_name = page
        self.send(message)

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

    def finish(self, *, patience: float = PATIENCE) -> Drawing:
        """Return what comes back up to the end of a run."""
        drawing = Drawing()
        while True:
            message = self._receive(timeout=patience)
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
        """Fetch a path; None where the server refuses."""
        answer = self.browser.get(path)
        return answer.body if answer.ok else None

    def send(self, message: BackMsg) -> None:
        """Send any frame."""
        self._socket.send(message.SerializeToString())

    def send_data(self, data: bytes | str) -> None:
        """Send what is no frame at all."""
        self._socket.send(data)

    def ask(self, message: BackMsg) -> set[str]:
        """Send a frame that needs no run, and return the kinds of what comes before a heartbeat after it is answered.

        An operation is answered by a task of its own, which may take a little longer than the heartbeat.
        """
        self.send(message)
        self.send(BackMsg(app_heartbeat=True))
        kinds: set[str] = set()
        while "heartbeat_ack" not in kinds:
            kinds.add(self._kind(self._receive()))
        if message.WhichOneof("type") in OPERATIONS:
            with suppress(TimeoutError):
                while not kinds & {"backend_operation_response", "deferred_file_response"}:
                    kinds.add(self._kind(self._receive(timeout=UNANSWERED)))
        return kinds

    def is_closed(self) -> bool:
        """Tell whether the server has closed the connection, or does at the next frame."""
        try:
            self.ask(BackMsg())
        except ConnectionClosed:
            return True
        return False

    def _kind(self, message: ForwardMsg) -> str:
        self.seen.messages.append(message)
        return message.WhichOneof("type") or ""

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
