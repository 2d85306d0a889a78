"""A real Streamlit server starts with a guarded app, and a browser's first request gets no page's content."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server


@pytest.fixture
def server(desk: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    desk.views("home").main("""
        import sys
        print("main script ran", file=sys.stderr, flush=True)
        sg.navigation(["views/home.py"]).run()
    """)
    port = unused()
    command = [
        sys.executable, "-m", "streamlit", "run", str(desk.folder / "main.py"), "--server.port", str(port),
        "--server.address", "127.0.0.1", "--server.headless", "true", "--browser.gatherUsageStats", "false",
        "--server.fileWatcherType", "none",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=desk.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield f"127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stderr is not None:
            process.stderr.close()


def wait_until_healthy(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=5) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise


def first_messages(address: str) -> bytes:
    """Open a session as a browser does, ask for the app once, and return what the server sends until it is done."""
    received = b""
    with connect(f"ws://{address}/_stcore/stream", subprotocols=["streamlit"], open_timeout=20) as socket_:  # type: ignore[list-item]  # a name, as their type has it
        message = BackMsg()
        message.rerun_script.query_string = ""
        socket_.send(message.SerializeToString())
        while True:
            data = socket_.recv(timeout=30)
            assert isinstance(data, bytes)
            received += data
            forward = ForwardMsg()
            forward.ParseFromString(data)
            if forward.WhichOneof("type") == "script_finished":
                return received


def test_without_auth_the_server_starts_and_shows_no_page(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = server
    wait_until_healthy(address)
    received = first_messages(address)
    assert b"This app is not available right now." in received
    assert b"home content" not in received
    process.terminate()
    assert process.stderr is not None
    log = process.stderr.read()
    assert "main script ran" in log
    assert "sign-in is not configured" in log
