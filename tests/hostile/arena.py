"""The two servers that are attacked: one app guarded by hand, one by stguard; and who may what there."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from tests.hostile.client import Tab

if TYPE_CHECKING:
    from collections.abc import Iterator

TWINS: Final = Path(__file__).parent / "twins"
ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 60.0

Kind = Literal["naive", "guarded"]

POLICY: Final = """
stguard: 1
permissions: {vault: [use]}
orgs: {acme: {}, globex: {}}
roles:
  viewer: {}
  admin: {inherits: viewer, allow: "vault:use"}
assign:
ASSIGNMENTS
pages:
  home: signed_in
  desk: signed_in
  careful: signed_in
  orgs: signed_in
  mine: signed_in
  broken: signed_in
  vault: {role: admin}
  board: {role: admin}
  files: {permission: "vault:use"}
  from_thread: {role: admin}
  payroll: {role: admin}
  guarded: {role: viewer}  # what stands above the pages in guarded.py
"""


@dataclass(slots=True)
class Arena:
    """One running app, and the people it knows.

    Attributes:
        kind: whether it is the naive app or the guarded one.
        folder: where the app keeps what it knows and what was done.
        address: host and port.
        secret: what its cookies are signed with.
        process: the server.
    """

    kind: Kind
    folder: Path
    address: str
    secret: str
    process: subprocess.Popen[bytes]
    _roles: dict[str, list[str]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    # --- who may what ------------------------------------------------------------------------------------------------

    def person(self, *roles: str) -> str:
        """Return the e-mail of somebody new who holds these roles in acme, and viewer anyway."""
        email = f"p{next(self._numbers)}@acme.com"
        self.give(email, *roles)
        return email

    def give(self, email: str, *roles: str) -> None:
        """Let somebody hold these roles and no others, from now on."""
        self._roles[email] = ["viewer", *roles]
        self.write_people()

    def remove(self, email: str) -> None:
        """Let somebody hold nothing any more."""
        del self._roles[email]
        self.write_people()

    def write_people(self) -> None:
        """Put a new file in the place of the one in force, as an operator should."""
        replace(self.folder / self.rules, self.rules_text())

    def write_half(self) -> None:
        """Leave the file as an editor may have it for a moment: half of it is there.

        The cut is inside an entry. A file that is cut between two entries is a whole file that says less; nothing but
        putting a new file in the place of the old one protects from that.
        """
        text = self.rules_text()
        (self.folder / self.rules).write_text(text[: text.rindex("@acme.com")], encoding="utf-8")

    @property
    def rules(self) -> str:
        """Return the name of the file that says who may what."""
        return "people.json" if self.kind == "naive" else "policy.yaml"

    def rules_text(self) -> str:
        if self.kind == "naive":
            return json.dumps(self._roles)
        lines = [
            f"  - {{role: {role}, org: acme, email: {email}}}" for email, roles in self._roles.items() for role in roles
        ]
        return POLICY.replace("ASSIGNMENTS", "\n".join(lines))

    # --- tabs and traces ---------------------------------------------------------------------------------------------

    def tab(self, email: str | None, *, resume: str | None = None) -> Tab:
        """Open a tab as somebody, or as nobody."""
        return Tab(self.address, secret=self.secret, claims=None if email is None else claims(email), resume=resume)

    def done(self, what: str) -> bool:
        """Tell whether the app did something, and forget it."""
        log = self.folder / "effects.log"
        found = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return what in found

    @property
    def output(self) -> str:
        """Return what the server printed so far."""
        return (self.folder / "output.log").read_text(encoding="utf-8", errors="replace")


def claims(email: str) -> dict[str, object]:
    return {
        "iss": "https://idp.example",
        "sub": email.partition("@")[0],
        "email": email,
        "email_verified": True,
        "iat": int(time.time()),
        "groups": [],
        "roles": [],
    }


def replace(path: Path, text: str) -> None:
    """Put a file in the place of another at once."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


@contextmanager
def serve(kind: Kind) -> Iterator[Arena]:
    """Run one of the twins until the `with` block ends.

    Raises:
        RuntimeError: it ended before it answered.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"hostile-{kind}-")))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        secret = secrets.token_hex(32)
        (folder / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "http://{address}/oauth2callback"\ncookie_secret = "{secret}"\n'
            'client_id = "twin"\nclient_secret = "twin"\nserver_metadata_url = "http://127.0.0.1:9/"\n',
            encoding="utf-8",
        )
        log = stack.enter_context((folder / "output.log").open("wb"))
        process = subprocess.Popen(
            [
                sys.executable, "-m", "streamlit", "run", str(TWINS / f"{kind}.py"),
                f"--server.port={address.rpartition(':')[2]}", "--server.address=127.0.0.1", "--server.headless=true",
                "--server.fileWatcherType=none", "--browser.gatherUsageStats=false",
                f"--secrets.files={folder / 'secrets.toml'}",
            ],
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "HOSTILE_FOLDER": str(folder),
                "STGUARD_POLICY": str(folder / "policy.yaml"),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        stack.callback(_stop, process)
        arena = Arena(kind, folder, address, secret, process)
        arena.person()
        _wait_until_healthy(arena)
        yield arena


def _wait_until_healthy(arena: Arena) -> None:
    deadline = time.monotonic() + START_SECONDS
    host, _, port = arena.address.partition(":")
    while True:
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        try:
            connection.request("GET", "/_stcore/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        try:
            arena.process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
        else:
            raise RuntimeError(f"the {arena.kind} twin ended before it answered:\n{arena.output}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
