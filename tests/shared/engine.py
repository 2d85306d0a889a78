"""A real Redis for tests: on a socket in a folder of its own, which can be stopped, frozen, filled and begun anew."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis, RedisError

from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shared.certificates import Papers

SERVER = "/usr/bin/redis-server"
SECRET = "the secret of all replicas in these tests"  # noqa: S105  a test's own


class Engine:
    """Be a server that can be treated badly."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for its socket and its log; `start` starts it."""
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.port = unused()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> Redis:
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=5)

    def start(self, *options: str) -> None:
        command = [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--dir", str(self.folder), "--loglevel", "warning", *options]  # fmt: skip
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            log_text = (self.folder / "redis.log").read_text()
            assert time.monotonic() < deadline, f"redis does not answer: {log_text}"
            assert self._process.poll() is None, f"redis ended: {log_text}"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it answer nothing, with connections held open, as a slow one does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class TlsEngine(Engine):
    """Be a server that speaks nothing but TLS.

    Attributes:
        shown: the certificate that it shows.
    """

    def __init__(self, folder: Path, *, shown: Papers, client: Papers, authority: Path) -> None:
        """Take what it shows, what its client in `start` shows, and a file with who signs certificates of clients."""
        super().__init__(folder)
        self.shown = shown
        self._client, self._authority = client, authority

    def client(self) -> Redis:
        # What it shows may be wrong on purpose: those who are tested must notice.
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=5, ssl=True, ssl_cert_reqs="none",
                     ssl_check_hostname=False, ssl_certfile=str(self._client.certificate),
                     ssl_keyfile=str(self._client.key))  # fmt: skip

    def start(self, *options: str) -> None:
        super().start("--port", "0", "--tls-port", str(self.port), "--tls-cert-file", str(self.shown.certificate),
                      "--tls-key-file", str(self.shown.key), "--tls-ca-cert-file", str(self._authority),
                      *options)  # fmt: skip


@pytest.fixture(scope="session")
def _engine() -> Iterator[Engine]:
    if not Path(SERVER).exists():
        pytest.skip(f"{SERVER} is missing; install the package `redis-server`")
    folder = Path(tempfile.mkdtemp(prefix="stguard-redis-"))
    engine = Engine(folder)
    engine.start()
    yield engine
    engine.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def engine(_engine: Engine) -> Iterator[Engine]:
    """A server with nothing in it. A test may stop it."""
    yield _engine
    _engine.stop()
    _engine.start()


def until(condition: object, *, seconds: float = 15.0) -> None:
    """Wait until something holds that other threads bring about."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
