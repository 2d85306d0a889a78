"""Real servers with local accounts, and what a browser sends them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import os
import re
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from stguard.accounts import passwords
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from websockets.sync.client import ClientConnection

SECRET = "a-cookie-secret-that-only-this-test-knows"  # noqa: S105  made up
PASSWORD = "four words nobody guesses"  # noqa: S105  made up
OTHER = "another four words altogether"

MAIN = """
    import streamlit as st
    import stguard as sg

    def home():
        st.write("<<home>>")
        st.write(f"<<{st.user.to_dict()}>>")

    def reports():
        st.write(f"<<reports for {st.user['name']}>>")

    page = sg.navigation([st.Page(home, default=True), st.Page(reports)])
    sg.user_menu()
    st.button("again")
    page.run()
"""

POLICY = """
    stguard: 1
    permissions: {report: [view]}
    roles: {viewer: {allow: "report:view"}}
    pages: {home: signed_in, reports: {permission: "report:view"}}
"""


@functools.cache
def stored(password: str) -> str:
    """Return the hash of a password, made once."""
    return passwords.hashed(passwords.prepared(password))


def accounts_file(**changes: str) -> str:
    ann = {
        "id": "id-of-ann-0123456789",
        "name": "Ann Archer",
        "email": "ann@acme.com",
        "email_verified": "true",
        "groups": "[finance]",
        "roles": "[viewer]",
        "password": stored(PASSWORD),
    }
    bob = {"id": "id-of-bob-0123456789", "password": stored(OTHER)}
    ann |= {key: value for key, value in changes.items() if value}
    for key in [key for key, value in changes.items() if not value]:
        del ann[key]
    lines = ["accounts:"]
    for user, facts in (("ann", ann), ("bob", bob)):
        lines += [f"  {user}:", *(f"    {key}: {value}" for key, value in facts.items())]
    return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True)
class Server:
    port: int
    folder: Path

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8")

    def accounts(self, text: str) -> None:
        """Replace the file as an editor does it."""
        made = self.folder / "new.yaml"
        made.write_text(text, encoding="utf-8")
        made.chmod(0o600)
        made.replace(self.folder / "accounts.yaml")


@contextlib.contextmanager
def starting(
    folder: Path,
    *,
    app: str = "sg.App('main.py', accounts='accounts.yaml')",
    accounts: str | None = None,
    secrets: str = "",
    policy: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    port = unused()
    files = {
        "main.py": MAIN,
        "server.py": f"import stguard as sg\nimport streamlit as st\napp = {app}\n",
        "policy.yaml": textwrap.dedent(POLICY) + textwrap.dedent(policy),
        "accounts.yaml": accounts_file() if accounts is None else accounts,
    }
    if secrets:
        files[".streamlit/secrets.toml"] = secrets.replace("PORT", str(port))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    (folder / "accounts.yaml").chmod(0o600)
    command = [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    variables = {**os.environ, "NO_PROXY": "localhost,127.0.0.1", "HOME": str(folder), "COOKIE_SECRET": SECRET}
    variables |= environment or {}
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            [*command, "--log-level", "info"],
            cwd=folder,
            env={name: value for name, value in variables.items() if value},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Server(port, folder), child
        finally:
            child.terminate()
            child.wait(timeout=20)


@contextlib.contextmanager
def serving(folder: Path, **options: object) -> Iterator[Server]:
    with starting(folder, **options) as (server, child):  # type: ignore[arg-type]  # those of `starting`
        deadline = time.monotonic() + 60
        while True:
            try:
                if Browser(server).get("/_stcore/health").body == b"ok":
                    break
            except OSError:
                assert child.poll() is None, server.log
                if time.monotonic() > deadline:
                    raise
        yield server


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([^"]*)"', self.text)
        assert found, self.text
        return found[1]


class Browser:
    """What a browser keeps and sends: its cookies, and the origin of the page that asks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("localhost", self.server.port, timeout=20)
        with contextlib.closing(connection):
            sent = {"Cookie": self.cookie, **{k.replace("_", "-"): v for k, v in (headers or {}).items()}}
            connection.request(method, path, body=body or None, headers=sent)
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

    def post(self, fields: object, **headers: str) -> Answer:
        """Send a form as the page does."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()  # type: ignore[arg-type]
        sent = {"Origin": self.server.origin, "Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", "/auth/local", headers={k: v for k, v in sent.items() if v}, body=body)

    def sign_in(self, user: str = "ann", password: str = PASSWORD, **headers: str) -> Answer:
        token = self.get("/auth/local").token
        return self.post({"token": token, "user": user, "password": password}, **headers)

    @contextlib.contextmanager
    def tab(self) -> Iterator[Tab]:
        self.get("/_stcore/health")  # brings the cookie against request forgery
        protocols: list[Any] = ["streamlit", self.cookies.get("_streamlit_xsrf", "none")]
        origin: Any = self.server.origin
        with connect(
            f"ws://localhost:{self.server.port}/_stcore/stream",
            subprotocols=protocols,
            additional_headers={"Cookie": self.cookie},
            origin=origin,
            proxy=None,
        ) as socket_:
            yield Tab(socket_)

    def sees(self, path: str = "") -> str:
        """Return what a new tab shows."""
        with self.tab() as tab:
            return tab.run(path)


class Tab:
    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def run(self, path: str = "") -> str:
        """Run the script and return its texts; `closed` where the server hangs up."""
        frame = BackMsg()
        frame.rerun_script.page_name = path
        seen: list[str] = []
        try:
            self.connection.send(frame.SerializeToString())
            while True:
                data = self.connection.recv(timeout=20)
                assert isinstance(data, bytes)
                message = ForwardMsg.FromString(data)
                if message.WhichOneof("type") == "auth_redirect":
                    seen.append("reload")
                elif message.WhichOneof("type") == "script_finished":
                    return "\n".join(seen)
                seen.append(str(message.delta).replace("\\'", "'"))
        except ConnectionClosed:
            return "\n".join([*seen, "closed"])
