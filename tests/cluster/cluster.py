"""Replicas of one app as they stand in production: nginx in front, Redis behind, each replica a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stguard.dev import people, provider
from stguard.policyfile.source import version_id
from stguard.shared.board import SharedBoard
from stguard.shared.link import Link
from tests.hostile.client import Browser, Tab
from tests.ports import unused
from tests.shared.engine import Engine, until
from tests.shared.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NGINX: Final = "/usr/sbin/nginx"
CONFIG: Final = Path(__file__).parents[2] / "docs" / "deploy" / "nginx.conf"
SECRET: Final = "the cookie secret of all replicas of the cluster"  # noqa: S105  a test's own
START_SECONDS: Final = 90.0

PEOPLE: Final = [
    {"sub": name, "name": name.title(), "email": f"{name}@acme.com", "email_verified": True}
    for name in ("ada", "ann", "vera")
]

POLICY: Final = """\
stguard: 1
permissions: {report: [view]}
roles:
  viewer: {allow: "report:view"}
  keeper: {allow: "policy:*"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: viewer, email: ann@acme.com}
sessions: {max_age: 12h, idle: 1h}
pages:
  home: public
  reports: {permission: "report:view"}
"""

MAIN: Final = """\
import os
import streamlit as st
import stguard as sg

REPLICA = os.environ["REPLICA"]

def home():
    st.caption(f"replica {REPLICA}")
    st.write(f"home of {st.user.get('email')}")
    if st.user.get("is_logged_in"):
        st.button("Log out", on_click=st.logout)
    else:
        st.button("Sign in", on_click=st.login, args=("test",))

def reports():
    st.caption(f"replica {REPLICA}")
    st.write("the reports")

sg.navigation([st.Page(home, default=True), st.Page(reports, url_path="reports")]).run()
"""

SERVER: Final = """\
import json
import os
import urllib.request
import stguard as sg

def known(claims):
    with urllib.request.urlopen(os.environ["SOURCE"] + "/" + claims["sub"], timeout=5) as answer:
        json.load(answer)
    return sg.Facts()

app = sg.App("main.py", identity=known)
"""

DOOR: Final = """\
  server {{
    listen 127.0.0.1:{door};
    location / {{
      proxy_pass http://127.0.0.1:{port};
      proxy_http_version 1.1;
      proxy_set_header Host localhost:{front};
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
  }}
"""

AHEAD: Final = """\
import time
_real = time.time
time.time = lambda: _real() + 30
"""
"""A `sitecustomize` that sets the clock of one process ahead."""


class Source:
    """Be an identity source over HTTP that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        mine = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mine.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Replica:
    """Be one process that serves the app.

    Attributes:
        name: what its pages show.
        port: its own, which only nginx knows.
        door: nginx's, which leads to it alone; to see what each replica does.
        wire: what lies between it and the engine.
    """

    def __init__(self, name: str, *, folder: Path, wire: Wire, environ: Mapping[str, str]) -> None:
        self.name = name
        self.port = unused()
        self.door = unused()
        self.wire = wire
        self.folder = folder
        self._environ = {**environ, "REPLICA": name, "STGUARD_REDIS_URL": wire.url,
                         "STGUARD_STATE": str(folder / f"state-{name}")}  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text(encoding="utf-8", errors="replace")

    def start(self, *, ahead: bool = False) -> None:
        """Start, perhaps with a clock that is half a minute ahead; `wait` waits until it answers."""
        given = {**os.environ, **self._environ}
        if ahead:
            given["PYTHONPATH"] = str(self.folder / "ahead")
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", f"--port={self.port}",
                 "--log-level=warning"],
                cwd=self.folder, env=given, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process is not None, self.log
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def answers(self) -> bool:
        return answers(self.port, path="/_stcore/health")

    def kill(self) -> None:
        """End it without a last word."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


class Cluster:
    """Be the whole of it.

    Attributes:
        engine: the Redis.
        source: an identity source that all replicas ask.
        replicas: by number.
        front: port of nginx.
    """

    def __init__(self, folder: Path, *, engine: Engine, size: int, sticky: bool) -> None:
        self.folder = folder
        self.engine = engine
        self.source = Source()
        self.front = unused()
        self._issuing = unused()
        for name, text in {
            "main.py": MAIN, "server.py": SERVER, "policy.yaml": POLICY, "ahead/sitecustomize.py": AHEAD,
            ".streamlit/config.toml": '[server]\nfileWatcherType = "none"\n[browser]\ngatherUsageStats = false\n',
        }.items():  # fmt: skip
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        environ = {
            "COOKIE_SECRET": SECRET, "REDIRECT_URI": f"http://localhost:{self.front}/oauth2callback",
            "OIDC_TEST_CLIENT_ID": "stguard-dev", "OIDC_TEST_CLIENT_SECRET": "only a test knows it",
            "OIDC_TEST_METADATA_URL": f"http://localhost:{self._issuing}/.well-known/openid-configuration",
            "SOURCE": self.source.url, "NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1",
            "HOME": str(folder), "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.replicas = [
            Replica(str(n), folder=folder, wire=Wire(engine.port), environ=environ) for n in range(1, size + 1)
        ]
        self._sticky = sticky
        self._logins = itertools.count()
        self._provider: subprocess.Popen[bytes] | None = None
        self._nginx: subprocess.Popen[bytes] | None = None
        self._link = Link(engine.url, secret=SECRET)
        self.board = SharedBoard(self._link)

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.front}"

    def start(self) -> None:
        self._provider = provider.start(people.from_list(PEOPLE), port=self._issuing, title="cluster", log=None)
        for each in self.replicas:
            each.start()
        self.serve(sticky=self._sticky)
        for each in self.replicas:
            each.wait()
        assert self._link.start(patience=10)
        # The first page of the first replica begins what is shared.
        for each in self.replicas:
            with self.tab("ann", at=each) as tab:
                tab.open()
        until(lambda: self.board.current() is not None)

    def serve(self, *, sticky: bool) -> None:
        """Put nginx in front: each browser at one replica, or each request at the next."""
        if self._nginx is not None:
            self._nginx.terminate()
            self._nginx.wait()
        text = CONFIG.read_text(encoding="utf-8")
        servers = iter(self.replicas)
        lines = [self._line(line, servers) for line in text.splitlines()]
        text = "".join(f"{line}\n" for line in lines if line is not None)
        text = text.replace("listen 8080;", f"listen 127.0.0.1:{self.front};")
        text = text.replace("worker_processes auto;", "worker_processes 1;\ndaemon off;\nmaster_process off;\n"
                            f"pid {self.folder}/nginx.pid;\nerror_log {self.folder}/nginx.log;")  # fmt: skip
        places = "".join(f"  {kind}_temp_path {self.folder}/{kind};\n"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
        text = text.replace("http {\n", f"http {{\n  access_log off;\n{places}")
        if not sticky:
            text = text.replace("    hash $route consistent;\n", "")
        text = text.replace("    location / {\n", "    location = /nginx { return 200; }\n    location / {\n")
        doors = "".join(DOOR.format(door=each.door, port=each.port, front=self.front) for each in self.replicas)
        text = text[: text.rindex("}")] + doors + "}\n"
        (self.folder / "nginx.conf").write_text(text, encoding="utf-8")
        self._nginx = subprocess.Popen(
            [NGINX, "-p", str(self.folder), "-e", str(self.folder / "nginx.log"), "-c", str(self.folder / "nginx.conf")]
        )

        until(lambda: answers(self.front, path="/nginx"), seconds=30)

    @staticmethod
    def _line(line: str, servers: Iterator[Replica]) -> str | None:
        """Return a line of the configuration with the next replica of this cluster in it; None without one."""
        if not line.strip().startswith("server replica-"):
            return line
        each = next(servers, None)
        return None if each is None else re.sub(r"replica-\d:8501", each.address, line)

    def close(self) -> None:
        self._link.close()
        for each in self.replicas:
            each.kill()
            each.wire.__exit__(None, None, None)
        for process in (self._nginx, self._provider):
            if process is not None:
                if process.stdin is not None:
                    process.stdin.close()
                process.kill()
                process.wait()
        self.source.close()

    # --- people ------------------------------------------------------------------------------------------------------

    def browser(self, name: str, *, at: Replica | None = None) -> Browser:
        """Return the cookies of somebody who has signed in, at nginx or at one replica behind it."""
        claims = {"iss": "https://idp.example", "sub": name, "email": f"{name}@acme.com", "email_verified": True,
                  "iat": int(time.time()) - 40, "provider": "test", "login": next(self._logins)}  # fmt: skip
        address = f"localhost:{self.front if at is None else at.door}"
        made = Browser(address, secret=SECRET, claims=None)
        signed = Browser(f"localhost:{self.front}", secret=SECRET, claims=claims)
        made.cookies.update({key: value for key, value in signed.cookies.items() if "user" in key})
        return made

    def browser_at(self, replica: Replica, *, of: Browser) -> Browser:
        """Return the same browser, whose requests nginx sends to another replica."""
        made = Browser(f"localhost:{replica.door}", secret=SECRET, claims=None)
        made.cookies.update(of.cookies)
        made.forgery_token = of.forgery_token
        return made

    def tab(self, name: str, *, at: Replica | None = None) -> Tab:
        return self.tab_of(self.browser(name, at=at))

    def tab_of(self, browser: Browser) -> Tab:
        """Open a tab; whichever way it reaches a replica, its page is the app's own."""
        return Tab(browser, origin=self.origin)

    # --- edits -------------------------------------------------------------------------------------------------------

    def edit(self, text: str) -> float:
        """Put a policy in force for all, as an editor does who looked at what is in force; return when."""
        posted = self.board.current()
        contents = {"policy.yaml": text.encode()}
        self.board.save(contents, version_id(contents), expected="" if posted is None else posted.id,
                        entries=[], keep=10)  # fmt: skip
        return time.monotonic()


@contextlib.contextmanager
def running(engine: Engine, *, size: int = 4, sticky: bool = True) -> Iterator[Cluster]:
    """Run a cluster until the `with` block ends."""
    folder = Path(tempfile.mkdtemp(prefix="stguard-cluster-"))
    cluster = Cluster(folder, engine=engine, size=size, sticky=sticky)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


def answers(port: int, *, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def replica_of(text: str) -> str | None:
    """Return the replica that a page names."""
    found = re.search(r"replica (\d)", text)
    return None if found is None else found[1]
