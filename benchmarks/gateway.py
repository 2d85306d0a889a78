"""Measure what the gateway adds to each frame and request: `python -m benchmarks.gateway [--quick]`.

Both columns serve the same frames to the same application in one process, in turns: with nothing in front, and with the
gateway, a login and a policy that limits it. A server, a socket and a script would only hide the difference.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.cache_storage_manager_config import create_default_cache_storage_manager

import stguard as sg
from benchmarks.measure import side_by_side
from stguard.app import private
from stguard.app.gateway.ledger import ledger
from stguard.app.gateway.visitors import visitor_of
from stguard.app.settings import settings_at
from stguard.store import SETTLED_AFTER

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_US = 100.0
"""What a frame may cost, in microseconds."""

POLICY = """
stguard: 1
permissions: {report: [view]}
roles: {viewer: {allow: "report:view"}}
assign:
  - {role: viewer, email: ann@acme.com}
pages: {home: signed_in}
sessions: {max_age: 12h, idle: 1h, expire_with_token: true}
revoked:
  - {email: rita@acme.com, before: 2020-01-01T00:00:00Z}
"""

SESSIONS = 1000
"""Sessions that the ledger knows while it is asked."""


def start(folder: Path) -> None:
    """Be a server in this process, as far as the gateway asks for it."""
    (folder / "main.py").write_text("import streamlit as st\n")
    (folder / "policy.yaml").write_text(POLICY)
    Runtime(
        RuntimeConfig(
            script_path=str(folder / "main.py"),
            media_file_storage=MemoryMediaFileStorage("/media"),
            uploaded_file_manager=MemoryUploadedFileManager("/_stcore/upload_file"),
            cache_storage_manager=create_default_cache_storage_manager(),
            is_hello=False,
            session_storage=MemorySessionStorage(),
        )
    )
    for number in range(SESSIONS):
        ledger.connect(f"session-{number}", owner=b"owner-%d" % number)
        for file in range(5):
            ledger.give(f"session-{number}", f"/media/{number}-{file}.png")


@functools.cache
def headers() -> list[tuple[bytes, bytes]]:
    now = int(time.time())
    claims = {
        "iss": "https://idp.example", "sub": "1", "email": "ann@acme.com", "email_verified": True, "name": "Ann",
        "iat": now, "exp": now + 3600, "groups": [f"group-{number}" for number in range(20)], "is_logged_in": True,
    }  # fmt: skip
    cookie = f"_streamlit_user={private.sign('_streamlit_user', json.dumps(claims))}"
    return [(b"host", b"localhost:8501"), (b"origin", b"http://localhost:8501"), (b"cookie", cookie.encode())]


def rerun(size: int) -> bytes:
    """Return what a browser sends after a click, with a text widget of that many characters."""
    message = BackMsg()
    state = message.rerun_script
    state.query_string = "org=acme"
    state.page_script_hash = "0123456789abcdef0123456789abcdef"
    for number in range(10):
        widget = state.widget_states.widgets.add()
        widget.id = f"$$ID-0123456789abcdef0123456789abcdef-widget-{number}"
        widget.string_value = "x" * (size if number == 0 else 20)
    return bytes(message.SerializeToString())


def heartbeat() -> bytes:
    message = BackMsg()
    message.app_heartbeat = True
    return bytes(message.SerializeToString())


def new_session() -> bytes:
    message = ForwardMsg()
    message.new_session.initialize.session_id = "session-0"
    return bytes(message.SerializeToString())


def delta(size: int) -> bytes:
    message = ForwardMsg()
    message.delta.new_element.markdown.body = "x" * size
    return bytes(message.SerializeToString())


@dataclass(kw_only=True)
class Case:
    """One kind of traffic."""

    name: str
    incoming: bytes | None = None
    outgoing: bytes | None = None
    path: str = "/_stcore/stream"
    per_frame: bool = True


CASES = (
    Case(name="frame in: heartbeat", incoming=heartbeat()),
    Case(name="frame in: click, 10 widgets", incoming=rerun(20)),
    Case(name="frame in: click, 20 kB of text", incoming=rerun(20_000)),
    Case(name="frame in: click, 1 MB of text", incoming=rerun(1_000_000)),
    Case(name="frame out: 300 bytes", outgoing=delta(300)),
    Case(name="frame out: 1 MB", outgoing=delta(1_000_000)),
    Case(name="opening a connection", per_frame=False),
    Case(name="request: a script of the frontend", path="/static/js/index.js", per_frame=False),
    Case(name="request: a file of one of 1000 sessions", path="/media/file.png", per_frame=False),
)


async def application(case: Case, times: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Read and write as often as asked; nothing else."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return
    await send({"type": "websocket.send", "bytes": new_session()})
    if case.incoming is not None:
        for _ in range(times):
            assert (await receive())["bytes"]
    if case.outgoing is not None:
        message = {"type": "websocket.send", "bytes": case.outgoing}
        for _ in range(times):
            await send(message)


async def serve(app: ASGIApp, case: Case, times: int) -> None:
    scope: dict[str, Any] = {"path": case.path, "headers": headers(), "query_string": b"", "client": ("127.0.0.1", 1)}
    scope |= {"type": "websocket"} if case.path.endswith("/stream") else {"type": "http", "method": "GET"}
    message = {"type": "websocket.receive", "bytes": case.incoming}

    async def receive() -> Message:
        return message

    async def send(sent: Message) -> None:
        assert sent.get("status", 200) == 200, sent
        assert sent["type"] != "websocket.close"

    for _ in range(1 if case.per_frame else times):
        await app(scope, receive, send)


def run(app: ASGIApp, case: Case, times: int) -> None:
    asyncio.run(serve(app, case, times))


def measured(case: Case, *, times: int, turns: int) -> tuple[float, float]:
    """Return the microseconds of one frame or request without and with the gateway."""
    plain = functools.partial(application, case, times)
    guarded = sg.Gateway(plain)
    apps: dict[str, ASGIApp] = {"plain": plain, "guarded": guarded}
    runs = {name: functools.partial(run, app, case, times) for name, app in apps.items()}
    found = side_by_side(runs, turns=turns)
    return found["plain"] / times * 1e6, found["guarded"] / times * 1e6


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    quick = arguments.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder))
        visitor_owns("session-0", "/media/file.png")
        settle()
        print(f"{'microseconds':<42}{'nothing':>10}{'gateway':>10}{'adds':>10}")
        worst = 0.0
        for case in CASES:
            times = (200 if quick else 2000) if len(case.incoming or b"") < 100_000 else 50
            without, with_gateway = measured(case, times=times, turns=3 if quick else 7)
            added = with_gateway - without
            print(f"{case.name:<42}{without:>10.2f}{with_gateway:>10.2f}{added:>10.2f}")
            if case.per_frame and len(case.incoming or b"") < 100_000:
                worst = max(worst, added)
    met = worst <= LIMIT_US
    print(f"the dearest frame below 100 kB adds {worst:.2f} µs, at most {LIMIT_US:g}: {'met' if met else 'NOT met'}")
    return 0 if met else 1


def settle() -> None:
    """Load the policy and let it become old enough that its files are no longer read at each look."""
    script = private.served_script()
    assert script is not None
    settings_at(script).policy()
    time.sleep(SETTLED_AFTER + 0.1)


def visitor_owns(session: str, address: str) -> None:
    """Give a file to the session of who asks."""
    ledger.connect(session, owner=visitor_of({"type": "http", "headers": headers()}, identity=()).owner)
    ledger.give(session, address)


if __name__ == "__main__":
    sys.exit(main())
