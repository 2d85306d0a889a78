"""Real servers with one app each, and tabs on them as a browser has them."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.hostile.client import Browser, Tab

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """One server; `tab` opens a session of somebody who is signed in."""

    address: str
    secret: str

    def tab(self, number: int, email: str) -> Tab:
        claims = {
            "iss": "https://idp.example", "sub": f"{number}", "name": f"Person {number}", "email": email,
            "email_verified": True, "iat": int(time.time()), "groups": [f"group{n}" for n in range(20)],
        }  # fmt: skip
        return Tab(Browser(self.address, secret=self.secret, claims=claims))


@contextmanager
def served(script: str, policy: str, *, app: bool = False, shared: str = "") -> Iterator[Served]:
    """Serve a script until the `with` block ends: by `streamlit run`, or as an `sg.App` by uvicorn.

    With `shared`, an address, it shares with other replicas there.
    """
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        secret = secrets.token_hex(32)
        (folder / "main.py").write_text(script, encoding="utf-8")
        (folder / "policy.yaml").write_text(policy, encoding="utf-8")
        (folder / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "http://{address}/oauth2callback"\ncookie_secret = "{secret}"\n'
            'client_id = "b"\nclient_secret = "b"\nserver_metadata_url = "http://127.0.0.1:9/"\n',
            encoding="utf-8",
        )
        port = address.rpartition(":")[2]
        if app:
            own = folder / ".streamlit"
            own.mkdir()
            (folder / "secrets.toml").rename(own / "secrets.toml")
            (own / "config.toml").write_text(
                '[server]\nfileWatcherType = "none"\n[browser]\ngatherUsageStats = false\n[logger]\nlevel = "error"\n',
                encoding="utf-8",
            )
            (folder / "server.py").write_text(
                'import stguard as sg\n\napp = sg.App("main.py", auth=None)\n', encoding="utf-8"
            )
            command = ["-m", "uvicorn", "server:app", f"--port={port}", "--log-level=error"]
        else:
            command = [
                "-m", "streamlit", "run", "main.py",
                f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true",
                "--server.fileWatcherType=none", "--browser.gatherUsageStats=false", "--logger.level=error",
                "--secrets.files=secrets.toml",
            ]  # fmt: skip
        environ = {**os.environ, "STGUARD_REDIS_URL": shared}
        process = subprocess.Popen(  # noqa: S603  our own server
            [sys.executable, *command], cwd=folder, env=environ, stdout=subprocess.DEVNULL
        )
        try:
            _wait(address, process)
            yield Served(address, secret)
        finally:
            process.terminate()
            process.wait()


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
