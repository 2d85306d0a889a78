"""The gateway against real servers: each attack gets through on a naive twin, and is stopped on the guarded app."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from itsdangerous import TimestampSigner
from streamlit import auth_util
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, decode_signed_value
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from stguard.dev import provider as provider_module
from stguard.dev.people import from_list
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.server

SECRET = "a-cookie-secret-that-only-this-test-knows"  # noqa: S105  made up
PROXY_SECRET = "only-the-proxy-knows-this"  # noqa: S105  made up
STREAMLIT = tuple(int(part) for part in importlib.metadata.version("streamlit").split(".")[:2])

COMPARES_PEOPLE = hasattr(AppSession, "matches_user_info")
"""Whether Streamlit itself compares who resumes a session with who began it: 1.62 does, 1.57 takes the id alone."""

MAIN = """
    import time
    import streamlit as st

    @st.cache_data
    def cached():
        return time.time_ns()

    who = st.user.get("email")
    st.write(f"<<who {who}>>")
    st.write(f"<<proxied {st.user.get('proxied')}>>")
    st.write(f"<<failed {st.user.get('stguard_sign_in_failed')}>>")
    st.write(f"<<cached {cached()}>>")
    st.write(f"<<secret header {st.context.headers.get('x-stguard-proxy')}>>")
    st.download_button("now", data=f"file of {who}".encode(), file_name="now.txt")
    st.download_button("later", data=lambda: f"later file of {who}".encode(), file_name="later.txt")
    st.file_uploader("upload")
    if st.button("log in"):
        st.login()
"""

CONFIG = """
    [server]
    enableStaticServing = true
    trustedUserHeaders = '{"X-Proxied": "proxied"}'
    [client]
    showErrorDetails = true
"""

POLICY = """
    stguard: 1
    permissions: {report: [view]}
    roles: {viewer: {allow: "report:view"}}
    assign:
      - {role: viewer, email: ann@acme.com}
    pages: {home: signed_in}
    sessions: {max_age: 1h}
    revoked:
      - {email: rita@acme.com, before: 2040-01-01T00:00:00Z}
"""

SERVERS = {
    "naive": "import streamlit as st\napp = st.App('main.py')\n",
    "guarded": f"""
        import stguard as sg
        app = sg.App('main.py', policy='rules/policy.yaml', proxy=sg.TrustedProxy(secret={PROXY_SECRET!r}))
    """,
    "headers": f"""
        import stguard as sg
        app = sg.App('main.py', policy='rules/policy.yaml', identity=sg.TrustedHeaders.oauth2_proxy(),
            proxy=sg.TrustedProxy(secret={PROXY_SECRET!r}))
    """,
    "asking": """
        import stguard as sg
        def known(claims):
            return sg.Facts(blocked="Your account is disabled.") if claims["email"] == "eve@acme.com" else sg.Facts()
        app = sg.App('main.py', policy='rules/policy.yaml', identity=known)
    """,
    "alone": """
        import streamlit as st, stguard as sg
        from starlette.middleware import Middleware
        app = st.App('main.py', middleware=[Middleware(sg.Gateway, anonymous=False)])
    """,
}


@dataclasses.dataclass(frozen=True)
class Server:
    """One app that runs, guarded or not."""

    port: int
    folder: Path
    guarded: bool

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"


@contextlib.contextmanager
def serving(
    folder: Path,
    kind: str,
    *,
    auth: str = "",
    policy: str = POLICY,
    main: str = MAIN,
    options: str | None = None,
    base: str = "",
) -> Iterator[Server]:
    port = unused()
    config = CONFIG.replace("[client]", "enableAgentApi = true\n    [client]") if STREAMLIT >= (1, 67) else CONFIG
    config = config if options is None else f"[server]\n{options}\n"
    files = {
        "main.py": main,
        "server.py": SERVERS.get(kind, kind),
        "rules/policy.yaml": policy,
        "static/plan.txt": "the plan",
        ".streamlit/config.toml": config,
        ".streamlit/secrets.toml": f"""
            [auth]
            redirect_uri = "http://localhost:{port}/oauth2callback"
            cookie_secret = "{SECRET}"
            {auth}
        """,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "warning"]
    environment = {**os.environ, "NO_PROXY": "localhost,127.0.0.1", "HOME": str(folder)}
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Server(port, folder, guarded=kind != "naive")
            wait_until_healthy(server, child, base=base)
            yield server
        finally:
            child.terminate()
            child.wait(timeout=20)


def wait_until_healthy(server: Server, child: subprocess.Popen[bytes], *, base: str = "") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if Browser(server).get(base + "/_stcore/health").body == b"ok":
                return
        except OSError:
            assert child.poll() is None, (server.folder / "log.txt").read_text()
            if time.monotonic() > deadline:
                raise


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Browser:
    """What a browser keeps and sends: its cookies, and the origin of the page that asks."""

    def __init__(self, server: Server, *, login: Mapping[str, Any] | None = None) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        if login is not None:
            self.cookies["_streamlit_user"] = signed_login(server, login)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("localhost", self.server.port, timeout=20)
        with contextlib.closing(connection):
            sent = {"Cookie": self.cookie, **(headers or {})}
            connection.request(
                method, path, body=body or None, headers={k.replace("_", "-"): v for k, v in sent.items()}
            )
            response = connection.getresponse()
            answer = Answer(response.status, response.getheaders(), response.read())
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0].strip('"')
        return answer

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)

    def open(
        self, *, session: str = "", origin: str | None = "", compression: str | None = "deflate", **headers: str
    ) -> Tab:
        """Open a tab: the WebSocket, and a first run."""
        self.get("/_stcore/health")
        protocols = ["streamlit", self.cookies["_streamlit_xsrf"], *([session] if session else [])]
        sent = {"Cookie": self.cookie, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return Tab(
            connect(
                f"ws://localhost:{self.server.port}/_stcore/stream",
                subprotocols=protocols,  # type: ignore[arg-type]  # names, as their type has it
                origin=(self.server.origin if origin == "" else origin),  # type: ignore[arg-type]  # the same
                additional_headers=sent,
                compression=compression,
                open_timeout=20,
            )
        )


class Tab:
    """One connection, after its first run."""

    def __init__(self, opening: Any) -> None:
        self._open = contextlib.ExitStack()
        self.connection = self._open.enter_context(opening)
        self.session = ""
        self.text = ""
        self.frames: list[Any] = []
        self.rerun()

    def rerun(self) -> str:
        message = BackMsg()
        message.rerun_script.query_string = ""
        self.send(message)
        self.until(lambda frame: frame.WhichOneof("type") == "script_finished")
        return self.text

    def send(self, message: BackMsg) -> None:
        self.connection.send(message.SerializeToString())

    def until(self, wanted: Any, *, timeout: float = 30) -> Any:
        """Read frames until one is wanted; `text` is then what they said."""
        self.text = ""
        self.frames = []
        while True:
            data = self.connection.recv(timeout=timeout)
            frame = ForwardMsg()
            frame.ParseFromString(data)
            self.frames.append(frame)
            self.text += str(frame)
            if frame.WhichOneof("type") == "new_session":
                self.session = frame.new_session.initialize.session_id
            if wanted(frame):
                return frame

    def said(self, word: str) -> str:
        """Return what the app wrote as `<<word ...>>`."""
        found = re.search(rf"<<{word} (.*?)>>", self.text)
        assert found, self.text
        return found[1]

    @property
    def download(self) -> str:
        """The address of the file that the page made."""
        found = re.search(r'"(/media/[^"]*)"', self.text)
        assert found, self.text
        return found[1]

    @property
    def promise(self) -> str:
        """The id of the file that is made when it is asked for."""
        found = re.search(r'deferred_file_id: "([^"]*)"', self.text)
        assert found, self.text
        return found[1]

    def fetch(self, promise: str) -> Any:
        """Ask for a file that is made now; return what is answered."""
        message = BackMsg()
        if "backend_operation_request" in BackMsg.DESCRIPTOR.fields_by_name:
            message.backend_operation_request.request_id = "1"
            message.backend_operation_request.session_id = self.session
            message.backend_operation_request.deferred_file.file_id = promise
        else:
            message.deferred_file_request.file_id = promise
        self.send(message)
        return self.answer_or_heartbeat()

    def answer_or_heartbeat(self) -> Any:
        """Return the answer to what was just sent, or that of a heartbeat sent after it where it gets none."""
        beat = BackMsg()
        beat.app_heartbeat = True
        self.send(beat)
        kinds = ("backend_operation_response", "deferred_file_response", "heartbeat_ack", "git_info_changed")
        frame = self.until(lambda frame: frame.WhichOneof("type") in kinds)
        if frame.WhichOneof("type") == "heartbeat_ack":
            # An operation is answered by a task of its own; the next beat comes after it.
            with contextlib.suppress(TimeoutError):
                frame = self.until(lambda frame: frame.WhichOneof("type") in kinds, timeout=1.5)
        return frame

    def is_closed(self) -> bool:
        """Tell whether the server closed the connection, or does within a second."""
        self.text = ""
        try:
            while True:
                self.text += str(ForwardMsg.FromString(self.connection.recv(timeout=1)))
        except TimeoutError:
            return False
        except ConnectionClosed:
            return True

    def close(self) -> None:
        self._open.close()


def signed_login(server: Server, claims: Mapping[str, Any]) -> str:
    payload = {
        "iss": "https://idp.example", "sub": "1", "email_verified": True, "iat": int(time.time()),
        "nonce": os.urandom(8).hex(), **claims, "origin": server.origin, "is_logged_in": True, "provider": "default",
    }  # fmt: skip
    return create_signed_value(SECRET, "_streamlit_user", json.dumps(payload)).decode()


@pytest.fixture(scope="module", params=["naive", "guarded"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp(request.param), request.param) as running:
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("alone"), "alone") as running:
        yield running


@pytest.fixture
def ann(server: Server) -> Browser:
    return Browser(server, login={"email": "ann@acme.com"})


@pytest.fixture
def bob(server: Server) -> Browser:
    return Browser(server, login={"email": "bob@acme.com"})


# --- what must go on working -----------------------------------------------------------------------------------------


def test_a_visitor_gets_their_pages_files_and_uploads(ann: Browser) -> None:
    tab = ann.open()
    assert tab.said("who") == "ann@acme.com"
    now = ann.get(tab.download)
    assert (now.status, now.body) == (200, b"file of ann@acme.com")
    later = tab.fetch(tab.promise)
    address = re.search(r'"(/media/[^"]*)"', str(later))
    assert address, later
    assert ann.get(address[1]).body == b"later file of ann@acme.com"
    assert upload(ann, tab.session).status == 204
    assert "ann@acme.com" in tab.rerun()
    tab.close()


def test_a_visitor_who_is_not_signed_in_gets_their_files(server: Server) -> None:
    browser = Browser(server)
    tab = browser.open()
    assert tab.said("who") == "None"
    assert browser.get(tab.download).body == b"file of None"
    assert upload(browser, tab.session).status == 204
    tab.close()


def test_a_tab_that_lost_its_connection_gets_its_session_back(ann: Browser) -> None:
    first = ann.open()
    first.close()
    again = ann.open(session=first.session)
    assert again.session == first.session
    assert ann.get(again.download).status == 200
    again.close()


def test_two_people_given_the_same_file_both_read_it(server: Server) -> None:
    one, two = Browser(server, login={"email": "ann@acme.com"}), Browser(server, login={"email": "ann@acme.com"})
    first, second = one.open(), two.open()
    assert first.download == second.download
    assert one.get(first.download).status == two.get(second.download).status == 200
    first.close()
    second.close()


# --- whose page asks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [None, "http://localhost:1", "http://127.0.0.1:{port}"])
def test_a_page_of_another_site_gets_no_connection(ann: Browser, origin: str | None) -> None:
    origin = origin and origin.format(port=ann.server.port)
    if not ann.server.guarded:
        ann.open(origin=origin).close()  # it gets through
        return
    with pytest.raises(InvalidStatus) as refused:
        ann.open(origin=origin)
    assert refused.value.response.status_code == 403


def test_a_page_of_another_site_changes_nothing(ann: Browser) -> None:
    tab = ann.open()
    status = upload(ann, tab.session, Origin="https://evil.example").status
    assert status == (403 if ann.server.guarded else 204)
    tab.close()


# --- sessions --------------------------------------------------------------------------------------------------------


def test_a_session_is_not_taken_over_by_its_id(server: Server) -> None:
    ann, thief = Browser(server), Browser(server)
    mine = ann.open()
    mine.close()
    theirs = thief.open(session=mine.session)
    assert (theirs.session == mine.session) is not server.guarded
    theirs.close()


def test_another_persons_session_is_not_taken_over(ann: Browser, bob: Browser) -> None:
    mine = ann.open()
    mine.close()
    theirs = bob.open(session=mine.session)
    if ann.server.guarded or COMPARES_PEOPLE:
        assert theirs.session != mine.session
        assert theirs.said("who") == "bob@acme.com"
    else:
        assert theirs.said("who") == "ann@acme.com"
    theirs.close()


# --- identity headers ------------------------------------------------------------------------------------------------


def test_an_identity_header_of_the_browsers_own_counts_for_nothing(server: Server) -> None:
    tab = Browser(server).open(X_Proxied="admin@acme.com")
    assert tab.said("proxied") == ("None" if server.guarded else "admin@acme.com")
    tab.close()


@pytest.mark.parametrize("proof", ["wrong", "", PROXY_SECRET[:-1], PROXY_SECRET + "x"])
def test_a_wrong_proof_is_none(server: Server, proof: str) -> None:
    tab = Browser(server).open(X_Proxied="admin@acme.com", X_Stguard_Proxy=proof)
    assert tab.said("proxied") == ("None" if server.guarded else "admin@acme.com")
    tab.close()


def test_the_proxys_header_counts_and_its_secret_goes_no_further(server: Server) -> None:
    tab = Browser(server).open(X_Proxied="ann@acme.com", X_Stguard_Proxy=PROXY_SECRET)
    assert tab.said("proxied") == "ann@acme.com"
    assert tab.said("secret header") == ("None" if server.guarded else PROXY_SECRET)
    tab.close()


def test_two_identity_headers_are_refused(server: Server) -> None:
    status = raw_handshake(server, ["X-Proxied: admin@acme.com", "x-proxied: ann@acme.com", proof()])
    assert status == (403 if server.guarded else 101)


def proof() -> str:
    return f"X-Stguard-Proxy: {PROXY_SECRET}"


def raw_handshake(server: Server, headers: list[str], *, path: str = "/_stcore/stream") -> int:
    """Ask for a WebSocket with headers that no client library would send, and return the status."""
    lines = [
        f"GET {path} HTTP/1.1", f"Host: localhost:{server.port}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: streamlit", f"Origin: {server.origin}", *headers, "", "",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        return int(connection.recv(64).split()[1])


@pytest.mark.parametrize("ending", ["%0A", "%0D"])
def test_a_line_end_after_a_path_is_not_a_way_past(server: Server, ending: str) -> None:
    browser = Browser(server)
    if server.guarded:
        assert browser.get(f"/media/x.txt{ending}").status == 400
        assert raw_handshake(server, ["X-Test: 1"], path=f"/_stcore/stream{ending}") == 403


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_read_only_by_who_was_given_it(ann: Browser, bob: Browser) -> None:
    mine, theirs = ann.open(), bob.open()
    for other in (bob, Browser(ann.server)):
        answer = other.get(mine.download)
        assert answer.status == (404 if ann.server.guarded else 200)
        assert (b"file of ann" in answer.body) is not ann.server.guarded
    mine.close()
    theirs.close()


@pytest.mark.parametrize("way", ["HEAD", "range", "twisted", "dotted"])
def test_no_other_way_to_the_file_leads_to_it(ann: Browser, bob: Browser, way: str) -> None:
    tab, stem = ann.open(), bob.open()
    address = tab.download
    identifier = address.removeprefix("/media/").partition(".")[0]
    match way:
        case "HEAD":
            status = bob.ask("HEAD", address).status
        case "range":
            status = bob.get(address, Range="bytes=0-3").status
        case "twisted":
            status = bob.get(f"/media/{identifier}.png").status
        case _:
            status = bob.get(f"/%6dedia/{identifier}").status
    assert status == 404 if ann.server.guarded else status in {200, 206}
    tab.close()
    stem.close()


def test_writing_the_address_of_a_file_on_ones_own_page_does_not_open_it(ann: Browser, bob: Browser) -> None:
    # What a page says is the visitor's to choose where an app repeats it; what was given is not.
    tab = ann.open()
    theirs = bob.open(X_Proxied=tab.download, X_Stguard_Proxy=PROXY_SECRET)
    assert theirs.said("proxied") == tab.download
    status = bob.get(tab.download, X_Proxied=tab.download, X_Stguard_Proxy=PROXY_SECRET).status
    assert status == (404 if ann.server.guarded else 200)
    tab.close()
    theirs.close()


def test_a_download_is_made_only_for_the_session_it_was_offered_to(ann: Browser, bob: Browser) -> None:
    mine, theirs = ann.open(), bob.open()
    answer = str(theirs.fetch(mine.promise))
    assert ("/media/" in answer) is not ann.server.guarded
    mine.close()
    theirs.close()


def test_a_file_goes_to_ones_own_session_only(ann: Browser, bob: Browser) -> None:
    tab = ann.open()
    bob.get("/_stcore/health")
    assert upload(bob, tab.session).status == (403 if ann.server.guarded else 204)
    assert delete(bob, tab.session).status == (403 if ann.server.guarded else 204)
    tab.close()


def test_files_are_kept_out_of_shared_caches(ann: Browser) -> None:
    tab = ann.open()
    kept = ann.get(tab.download).header("cache-control")
    assert kept == ("private" if ann.server.guarded else None)
    tab.close()


def upload(browser: Browser, session: str, **headers: str) -> Answer:
    body = (
        b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\nhello\r\n--line--\r\n"
    )
    sent = {"Content-Type": "multipart/form-data; boundary=line", **forgery_token(browser), **headers}
    return browser.ask("PUT", f"/_stcore/upload_file/{session}/some-file", headers=sent, body=body)


def delete(browser: Browser, session: str) -> Answer:
    return browser.ask("DELETE", f"/_stcore/upload_file/{session}/some-file", headers=forgery_token(browser))


def forgery_token(browser: Browser) -> dict[str, str]:
    return {"X-Xsrftoken": browser.cookies["_streamlit_xsrf"], "Origin": browser.server.origin}


# --- frames and routes -----------------------------------------------------------------------------------------------


def test_a_visitor_cannot_empty_everybodys_caches(ann: Browser) -> None:
    tab = ann.open()
    before = tab.said("cached")
    message = BackMsg()
    message.clear_cache = True
    tab.send(message)
    tab.rerun()
    assert (tab.said("cached") == before) is ann.server.guarded
    tab.close()


def clearing() -> bytes:
    message = BackMsg()
    message.clear_cache = True
    return bytes(message.SerializeToString())


def rerunning() -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = ""
    return bytes(message.SerializeToString())


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("way", ["whole", "in parts", "around a ping", "after another kind", "with fields unknown"])
def test_no_form_of_a_frame_gets_past(ann: Browser, way: str, compression: str | None) -> None:
    tab = ann.open(compression=compression)
    before = tab.said("cached")
    data = clearing()

    def around_a_ping() -> Iterator[bytes]:
        yield data[:1]
        tab.connection.ping()
        yield b""
        yield data[1:]

    match way:
        case "whole":
            tab.connection.send(data)
        case "in parts":
            tab.connection.send([data[:1], data[1:]])
        case "around a ping":
            tab.connection.send(around_a_ping())
        case "after another kind":
            tab.connection.send(rerunning() + data)  # the last of a oneof counts, for who judges and who obeys
        case _:
            tab.connection.send(b"\xfa\x7f\x01x" + data + b"\xfa\x7f\x01x")
    tab.rerun()
    assert (tab.said("cached") == before) is ann.server.guarded
    tab.close()


def test_a_frame_before_another_kind_is_that_other_kind(ann: Browser) -> None:
    tab = ann.open()
    before = tab.said("cached")
    tab.connection.send(clearing() + rerunning())
    tab.until(lambda frame: frame.WhichOneof("type") == "script_finished")
    assert tab.said("cached") == before
    tab.close()


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("parts", [1, 40])
def test_a_frame_that_is_too_large_closes_the_connection(ann: Browser, parts: int, compression: str | None) -> None:
    tab = ann.open(compression=compression)
    piece = bytes((17 << 20) // parts)  # small once it is compressed
    with contextlib.suppress(ConnectionClosed):
        tab.connection.send(piece if parts == 1 else [piece] * parts)
    assert tab.is_closed()
    tab.close()


def test_the_download_of_ones_own_other_session_is_not_made_for_this_one(ann: Browser) -> None:
    mine, other = ann.open(), ann.open()
    own = mine.promise
    answer = str(other.fetch(own)) if own != other.promise else ""
    assert ("/media/" in answer) is not ann.server.guarded
    mine.close()
    other.close()


def test_the_repository_is_not_told(ann: Browser) -> None:
    if not ann.server.guarded:
        subprocess.run(["git", "init", "-q", str(ann.server.folder)], check=True)
    tab = ann.open()
    message = BackMsg()
    message.load_git_info = True
    tab.send(message)
    frame = tab.answer_or_heartbeat()
    assert frame.WhichOneof("type") == "heartbeat_ack"
    tab.close()
    if ann.server.guarded:
        assert "dropped a frame: load_git_info" in (ann.server.folder / "log.txt").read_text()


@pytest.mark.parametrize("data", [b"\xff\xff\xff", "text"])
def test_a_frame_that_is_none_closes_the_connection(ann: Browser, data: bytes | str) -> None:
    tab = ann.open()
    tab.connection.send(data)
    if ann.server.guarded:
        assert tab.is_closed()
    tab.close()


@pytest.mark.parametrize("path", ["/_stcore/agent/interact", "/_stcore/agent/mcp", "/_stcore/agent/openapi.json"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_agent_api_is_closed(ann: Browser, path: str, method: str) -> None:
    headers = {"Content-Type": "application/json", "Origin": ann.server.origin}
    answer = ann.ask(method, path, headers=headers, body=b"{}" if method == "POST" else b"")
    if ann.server.guarded:
        assert (answer.status, answer.body) == (404, b"Not Found")


@pytest.mark.skipif(STREAMLIT < (1, 67), reason="has no agent API")
def test_the_agent_api_of_the_naive_app_runs_it_for_anybody(server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    answer = Browser(server).ask("POST", "/_stcore/agent/interact", headers=headers, body=b"{}")
    assert (b"&lt;&lt;who" in answer.body or b"<<who" in answer.body) is not server.guarded


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/metrics?families=session_events"])
def test_the_metrics_are_for_who_the_policys_rule_names(server: Server, path: str) -> None:
    def reads(*names: str) -> dict[str, bool]:
        return {name: b"# EOF" in Browser(server, login={"email": f"{name}@acme.com"}).get(path).body for name in names}

    assert reads("ann", "bob") == {"ann": not server.guarded, "bob": not server.guarded}
    policy = server.folder / "rules/policy.yaml"
    before = policy.read_text()
    policy.write_text(before.replace("home: signed_in", 'home: signed_in, metrics: {permission: "report:view"}'))
    by_rule = reads("ann", "bob")
    policy.write_text(before)
    assert by_rule == {"ann": True, "bob": not server.guarded}


# --- sign-out --------------------------------------------------------------------------------------------------------


def test_signing_out_in_one_tab_ends_the_others(ann: Browser, bob: Browser) -> None:
    first, second, theirs = ann.open(), ann.open(), bob.open()
    cookie = ann.cookies["_streamlit_user"]
    assert ann.get("/auth/logout").status == 302
    assert ann.cookies["_streamlit_user"] == ""
    assert first.is_closed() is second.is_closed() is ann.server.guarded
    assert ("auth_redirect" in second.text) is ann.server.guarded  # it loads anew
    assert theirs.rerun()
    assert theirs.said("who") == "bob@acme.com"
    ann.cookies["_streamlit_user"] = cookie
    replayed = ann.open(session=second.session)
    assert replayed.said("who") == ("None" if ann.server.guarded else "ann@acme.com")
    for tab in (first, second, theirs, replayed):
        tab.close()


def test_a_cookie_that_was_signed_out_stays_so_in_another_spelling(ann: Browser) -> None:
    cookie = ann.cookies["_streamlit_user"]
    ann.get("/auth/logout")
    # The last character of the signature holds bits that decoding drops.
    other = next(
        cookie[:-1] + last
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if last != cookie[-1] and is_signed(cookie[:-1] + last)
    )
    again = Browser(ann.server)
    again.cookies["_streamlit_user"] = other
    tab = again.open()
    assert tab.said("who") == ("None" if ann.server.guarded else "ann@acme.com")
    tab.close()


def test_after_sign_out_the_files_stay_closed(ann: Browser) -> None:
    tab = ann.open()
    cookie = ann.cookies["_streamlit_user"]
    ann.get("/auth/logout")
    ann.cookies["_streamlit_user"] = cookie
    assert ann.get(tab.download).status == (404 if ann.server.guarded else 200)
    tab.close()


@pytest.mark.parametrize("blank", ["\xa0", "\x85"])
def test_after_sign_out_a_blank_before_the_cookies_name_does_not_bring_it_back(ann: Browser, blank: str) -> None:
    tab = ann.open()
    cookie = ann.cookies["_streamlit_user"]
    ann.get("/auth/logout")
    ann.cookies[f"{blank}_streamlit_user"] = cookie  # Starlette strips what it takes for a blank
    assert ann.get(tab.download).status == (404 if ann.server.guarded else 200)
    tab.close()


@pytest.mark.parametrize("blank", ["\xa0", "\x85"])
def test_alone_after_sign_out_a_blank_before_the_cookies_name_opens_no_connection(alone: Server, blank: str) -> None:
    browser = Browser(alone, login={"email": "ann@acme.com"})
    spelled = f"Cookie: {blank}{browser.cookie}"
    assert raw_handshake(alone, [spelled]) == 101
    browser.get("/auth/logout")
    assert raw_handshake(alone, [spelled]) == 403


def test_the_cookies_of_two_logins_do_not_make_a_third(server: Server) -> None:
    # Large claims are split over several cookies, each signed by itself: what was taken away could come back.
    groups = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(150)]
    before = split_login(server, {"email": "old@acme.com", "groups": [*groups, "admin"]}, at=time.time() - 3600)
    after = split_login(server, {"email": "new@acme.com", "groups": [*groups, "guest"]}, at=time.time())
    assert {*before} == {*after} == {f"_streamlit_user{end}" for end in ("", "_1", "_2", "_3")}
    mixed, whole = Browser(server), Browser(server)
    mixed.cookies |= {**after, "_streamlit_user_3": before["_streamlit_user_3"]}
    whole.cookies |= after
    for browser, who in ((whole, "new@acme.com"), (mixed, "None" if server.guarded else "new@acme.com")):
        tab = browser.open()
        assert tab.said("who") == who
        tab.close()


def split_login(server: Server, claims: Mapping[str, Any], *, at: float) -> dict[str, str]:
    """Return the cookies of a login that was made at a moment, as Streamlit splits them."""
    cookies = {}

    def sign(name: str, value: str) -> bytes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TimestampSigner, "get_timestamp", lambda _: int(at))
            return create_signed_value(SECRET, name, value)

    def keep(name: str, value: str) -> None:
        cookies[name] = sign(name, value).decode()

    login = {"iss": "https://idp.example", "sub": "1", "email_verified": True, "iat": int(time.time())}
    login |= {**claims, "origin": server.origin, "is_logged_in": True, "provider": "default"}
    size: dict[str, Any] = {"cookie_attr_size": 80} if STREAMLIT >= (1, 62) else {}
    auth_util.set_cookie_with_chunks(keep, sign, "_streamlit_user", login, **size)
    return cookies


def is_signed(cookie: str) -> bool:
    return decode_signed_value(SECRET, "_streamlit_user", cookie) is not None


# --- how long a login counts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "login", [{"email": "old@acme.com", "iat": int(time.time()) - 7200}, {"email": "rita@acme.com"}]
)
def test_a_login_that_no_longer_counts_is_nobodys(server: Server, login: dict[str, Any]) -> None:
    browser = Browser(server, login=login)
    tab = browser.open()
    assert tab.said("who") == ("None" if server.guarded else login["email"])
    tab.close()


def test_a_login_that_ends_while_a_tab_is_open_closes_it_at_the_next_frame(server: Server) -> None:
    browser = Browser(server, login={"email": "soon@acme.com", "iat": int(time.time()) - 3595})
    tab = browser.open()
    assert tab.said("who") == "soon@acme.com"
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and not (closed := beat_closes(tab)):
        pass
    assert closed is server.guarded
    tab.close()


def beat_closes(tab: Tab) -> bool:
    message = BackMsg()
    message.app_heartbeat = True
    try:
        tab.send(message)
        tab.until(lambda frame: frame.WhichOneof("type") == "heartbeat_ack")
    except ConnectionClosed:
        return True
    return False


def test_a_revocation_in_the_policy_closes_a_tab_at_its_next_frame(server: Server) -> None:
    policy = server.folder / "rules/policy.yaml"
    tab = Browser(server, login={"email": "zoe@acme.com"}).open()
    assert not beat_closes(tab)
    before = policy.read_text()
    policy.write_text(before.replace("rita@", "zoe@"))
    assert beat_closes(tab) is server.guarded
    policy.write_text(before)
    tab.close()


# --- static files ----------------------------------------------------------------------------------------------------


def test_static_files_are_for_who_is_signed_in(ann: Browser) -> None:
    assert ann.get("/app/static/plan.txt").body == b"the plan"
    stranger = Browser(ann.server).get("/app/static/plan.txt")
    assert stranger.status == (403 if ann.server.guarded else 200)


def test_static_files_follow_the_policys_rule(server: Server) -> None:
    policy = server.folder / "rules/policy.yaml"
    before = policy.read_text()
    policy.write_text(before.replace("home: signed_in", 'home: signed_in, static: {permission: "report:view"}'))
    statuses = {
        name: Browser(server, login={"email": f"{name}@acme.com"}).get("/app/static/plan.txt").status
        for name in ("ann", "bob")
    }
    policy.write_text(before.replace("home: signed_in", "home: signed_in, static: public"))
    anybody = Browser(server).get("/app/static/plan.txt").status
    policy.write_text(before)
    assert statuses == {"ann": 200, "bob": 403 if server.guarded else 200}
    assert anybody == 200


def test_static_files_are_for_no_account_that_an_identity_source_blocks(tmp_path: Path) -> None:
    with serving(tmp_path, "asking") as server:  # no page has been opened yet, so that nobody has asked the source
        statuses = [
            Browser(server, login={"email": f"{name}@acme.com"}).get("/app/static/plan.txt").status
            for name in ("eve", "ann")
        ]
    assert statuses == [403, 200]


# --- the audit -------------------------------------------------------------------------------------------------------


def test_what_the_gateway_decides_is_told_to_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STGUARD_AUDIT", "told.jsonl")
    told = tmp_path / "told.jsonl"
    pages = 'home: signed_in, static: {permission: "report:view"}, metrics: {role: viewer}, health: {role: viewer}'
    with serving(tmp_path, "guarded", policy=POLICY.replace("home: signed_in", pages)) as server:
        ann, bob = (Browser(server, login={"email": f"{name}@acme.com", "sub": name}) for name in ("ann", "bob"))
        for each in (ann, ann, bob, bob, *(Browser(server) for _ in range(50))):
            each.get("/app/static/plan.txt")
        for each in (ann, bob):
            each.get("/_stguard/metrics")
            each.get("/_stguard/health")
        (server.folder / "rules/policy.yaml").write_text(textwrap.dedent(POLICY))
        for each in (ann, Browser(server)):
            each.get("/app/static/plan.txt")
        lines: list[str] = []
        deadline = time.monotonic() + 20
        while len(lines) < 7 and time.monotonic() < deadline:
            lines = told.read_text().splitlines() if told.exists() else []
    found = [json.loads(line) for line in lines]
    assert [
        ((each["subject"] or "|").partition("|")[2], each["action"], each["allowed"], each["reason"]) for each in found
    ] == [
        ("ann", "page:static", True, "granted"),
        ("bob", "page:static", False, "unknown"),
        ("bob", "page:static", False, "unknown"),
        ("", "page:static", False, "not_signed_in"),
        ("ann", "page:metrics", True, "granted"),
        ("ann", "page:health", True, "granted"),
        ("bob", "page:metrics", False, "unknown"),
    ]
    assert "acme.com" not in str(found)
    assert found[0]["grants"], "by which assignment"


# --- the middleware by itself ----------------------------------------------------------------------------------------


def test_alone_it_refuses_who_is_not_signed_in_where_that_is_asked_for(alone: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Browser(alone).open()
    assert refused.value.response.status_code == 403
    tab = Browser(alone, login={"email": "ann@acme.com"}).open()
    assert tab.said("who") == "ann@acme.com"
    tab.close()


def test_alone_without_a_proof_it_takes_identity_headers_out_and_says_so(alone: Server) -> None:
    tab = Browser(alone, login={"email": "ann@acme.com"}).open(X_Proxied="admin@acme.com")
    assert tab.said("proxied") == "None"
    tab.close()
    assert "the gateway has no `proxy`" in (alone.folder / "log.txt").read_text()


# --- a proxy in front that signs people in ---------------------------------------------------------------------------

# Streamlit's own `server.trustedUserHeaders` is the naive twin: see "identity headers" above.


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    policy = "stguard: 1\nroles: {viewer: {}}\nassign: [{role: viewer, group: staff}]\n"
    with serving(
        tmp_path_factory.mktemp("headers"), "headers", policy=policy + "pages: {static: {role: viewer}}"
    ) as up:
        yield up


def through_the_proxy(name: str, **more: str) -> dict[str, str]:
    named = {"X_Forwarded_User": name, "X_Forwarded_Email": f"{name}@acme.com", "X_Stguard_Proxy": PROXY_SECRET}
    return {**named, **more}


def test_who_the_proxy_signed_in_is_who_runs_the_script(proxied: Server) -> None:
    tab = Browser(proxied).open(**through_the_proxy("ann"))
    assert tab.said("who") == "ann@acme.com"
    assert tab.said("secret header") == "None"
    tab.close()


@pytest.mark.parametrize("proof", [None, "", "wrong", PROXY_SECRET + "x"])
def test_whoever_says_so_without_the_proof_is_nobody(proxied: Server, proof: str | None) -> None:
    sent = {**through_the_proxy("ann"), "X_Stguard_Proxy": proof}
    tab = Browser(proxied).open(**{name: value for name, value in sent.items() if value is not None})
    assert tab.said("who") == "None"
    tab.close()


def test_a_login_cookie_counts_for_nothing_behind_such_a_proxy(proxied: Server) -> None:
    login = {"email": "eve@acme.com"}
    for sent, who in (
        ({}, "None"),
        (through_the_proxy("ann"), "ann@acme.com"),
        ({"X_Stguard_Proxy": PROXY_SECRET}, "None"),
    ):
        tab = Browser(proxied, login=login).open(**sent)
        assert tab.said("who") == who
        tab.close()


@pytest.mark.parametrize("name", ["X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups"])
def test_a_header_that_stands_twice_is_refused(proxied: Server, name: str) -> None:
    assert raw_handshake(proxied, [f"{name}: ann", f"{name.lower()}: root", proof()]) == 403
    assert raw_handshake(proxied, [f"{name}: ann", f"{name.lower()}: root"]) == 403
    assert raw_handshake(proxied, ["X-Forwarded-User: ann", proof()]) == 101


def test_sessions_and_files_are_whose_the_proxy_says(proxied: Server) -> None:
    browser = Browser(proxied)
    mine = browser.open(**through_the_proxy("ann"))
    address = mine.download
    mine.close()
    # The same browser: somebody else has signed in at the proxy.
    theirs = browser.open(session=mine.session, **through_the_proxy("bob"))
    assert theirs.session != mine.session
    assert theirs.said("who") == "bob@acme.com"
    theirs.close()
    statuses = [
        browser.get(address, **sent).status
        for sent in (through_the_proxy("ann"), through_the_proxy("bob"), {}, {"X_Forwarded_User": "ann"})
    ]
    assert statuses == [200, 404, 404, 404]


def test_groups_of_the_proxy_open_static_files(proxied: Server) -> None:
    statuses = [
        Browser(proxied).get("/app/static/plan.txt", **through_the_proxy("ann", X_Forwarded_Groups=groups)).status
        for groups in ("staff", "other,staff", "other", "", "staffs")
    ]
    assert statuses == [200, 200, 403, 403, 403]
    assert (
        Browser(proxied).get("/app/static/plan.txt", X_Forwarded_User="ann", X_Forwarded_Groups="staff").status == 403
    )


def test_where_sign_ins_end_one_whose_moment_is_unknown_has_ended(tmp_path: Path) -> None:
    with serving(tmp_path, "headers") as server:  # its policy has `sessions`
        tab = Browser(server).open(**through_the_proxy("ann"))
        assert tab.said("who") == "None"
        tab.close()


# --- sign-in with a provider -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    if importlib.util.find_spec("oidc_provider_mock") is None:
        pytest.skip("needs the extra `demo`")
    port = unused()
    people = from_list([{"email": "ann@acme.com"}])
    with Path(os.devnull).open("wb") as nowhere:
        child = provider_module.start(people, port=port, title="test", log=nowhere)
    try:
        wait_until_answers(port)
        yield f"http://localhost:{port}"
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(timeout=20)


def wait_until_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        assert time.monotonic() < deadline


@pytest.fixture(scope="module", params=["naive", "guarded"])
def with_provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, issuer: str
) -> Iterator[Server]:
    auth = f"""client_id = "test"
            client_secret = "test"
            server_metadata_url = "{issuer}/.well-known/openid-configuration"
    """
    with serving(tmp_path_factory.mktemp(request.param), request.param, auth=auth) as running:
        yield running


def sign_in(browser: Browser, *, referer: str) -> Answer:
    """Go through a whole sign-in and return the answer that leads back to the app."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth_util, "get_signing_secret", lambda: SECRET)
        token = auth_util.encode_provider_token("default")
    start = browser.get(f"/auth/login?{urlencode({'provider': token})}", Referer=referer)
    assert start.status == 302, start
    authorize = urlsplit(start.header("location") or "")
    connection = http.client.HTTPConnection(authorize.netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request(
            "POST", f"{authorize.path}?{authorize.query}", body=urlencode({"sub": "ann@acme.com"}),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        back = urlsplit(connection.getresponse().getheader("Location") or "")
    assert parse_qs(back.query).get("code"), back
    return browser.get(f"{back.path}?{back.query}")


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/reports?org=acme&tab=2", "/reports?org=acme&tab=2"),
        ("/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/%2f%2fevil.example", "/"),
        ("/auth/logout", "/"),
    ],
)
def test_sign_in_returns_to_the_page_asked_for(with_provider: Server, path: str, leads_to: str) -> None:
    browser = Browser(with_provider)
    answer = sign_in(browser, referer=with_provider.origin + path)
    assert answer.status == 302
    assert answer.header("location") == (leads_to if with_provider.guarded else "/")
    assert not browser.cookies.get("_stguard_return")
    tab = browser.open()
    assert tab.said("who") == "ann@acme.com"
    tab.close()


@pytest.mark.parametrize(
    ("query", "failed"),
    [
        ("?error=access_denied&state=x", True),
        ("?code=x&state=y", True),
        ("", False),  # Streamlit has the provider come back here after a sign-out, too
    ],
)
def test_a_sign_in_that_failed_leads_back_to_the_page_asked_for_which_is_told(
    with_provider: Server, query: str, *, failed: bool
) -> None:
    browser = Browser(with_provider)
    browser.get("/auth/login", Referer=with_provider.origin + "/reports?org=acme")
    answer = browser.get("/oauth2callback" + query)
    told = failed and with_provider.guarded
    assert answer.header("location") == ("/reports?org=acme" if told else "/")
    assert browser.cookies.get("_stguard_failed", "") == ("1" if told else "")
    tab = browser.open()
    assert tab.said("failed") == ("True" if told else "None")
    tab.close()
    browser.get("/auth/login")
    assert not browser.cookies.get("_stguard_failed")


def test_who_is_signed_in_stays_so_and_is_told_nothing_when_a_stale_answer_comes(with_provider: Server) -> None:
    browser = Browser(with_provider, login={"email": "ann@acme.com"})
    browser.get("/oauth2callback?code=x&state=y")
    assert "_stguard_failed" not in browser.cookies
    tab = browser.open()
    assert tab.said("who") == "ann@acme.com"
    tab.close()


def test_who_is_signed_in_is_not_told_of_a_sign_in_that_failed(with_provider: Server) -> None:
    browser = Browser(with_provider, login={"email": "ann@acme.com"})
    browser.cookies["_stguard_failed"] = "1"
    tab = browser.open()
    assert (tab.said("who"), tab.said("failed")) == ("ann@acme.com", "None")
    tab.close()


def test_sign_in_from_another_sites_link_leads_to_the_root(with_provider: Server) -> None:
    answer = sign_in(Browser(with_provider), referer="https://evil.example/reports")
    assert answer.header("location") == "/"


def test_a_cookie_that_was_made_up_leads_nowhere(with_provider: Server) -> None:
    browser = Browser(with_provider)
    forged = create_signed_value("another secret", "_stguard_return", "/reports").decode()

    class Forging(Browser):
        @property
        def cookie(self) -> str:
            return super().cookie + f"; _stguard_return={forged}"

    forging = Forging(with_provider)
    forging.cookies = browser.cookies
    assert sign_in(forging, referer="").header("location") == "/"


def test_another_sign_in_ends_the_login_before_it(with_provider: Server) -> None:
    browser = Browser(with_provider)
    sign_in(browser, referer="")
    tab = browser.open()
    before = browser.cookies["_streamlit_user"]
    sign_in(browser, referer="")
    assert browser.cookies["_streamlit_user"] != before
    assert tab.is_closed() is with_provider.guarded
    tab.close()
