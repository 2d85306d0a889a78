"""The servers that are attacked: one app guarded by hand, one by stguard; and who may what there."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import streamlit as st

from stguard.dev import provider
from stguard.dev.people import from_list
from tests.hostile.client import Browser, Tab
from tests.hostile.twins.routes import SECRET
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TWINS: Final = Path(__file__).parent / "twins"
ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 60.0

Kind = Literal["naive", "script", "guarded"]
"""Guarded by hand; by stguard in the script alone, without the gateway; by stguard."""

PAGES: Final = ("home", "gate", "desk", "careful", "orgs", "mine", "numbers", "broken")
"""Pages for everybody who is signed in."""

PROXY_SECRET: Final = "only-the-proxy-knows-this"  # noqa: S105  made up
HAS_AGENT_API: Final = "server.enableAgentApi" in st.config.get_config_options()

POLICY: Final = """
stguard: 1
permissions: {vault: [use]}
orgs: {acme: {}, globex: {}}
roles:
  viewer: {}
  admin: {inherits: viewer, allow: "vault:use"}
assign:
ASSIGNMENTS
sessions: {max_age: 1h}
revoked:
REVOKED
pages:
OPEN
  vault: {role: admin}
  board: {role: admin}
  files: {permission: "vault:use"}
  from_thread: {role: admin}
  payroll: {role: admin}
  shop: {role: admin}
  main: {role: viewer}  # what stands above the pages in the main script
"""

CONFIG: Final = f"""
[server]
enableStaticServing = true
fileWatcherType = "none"
headless = false
trustedUserHeaders = '{{"X-Proxied": "proxied"}}'
{"enableAgentApi = true" if HAS_AGENT_API else ""}
[browser]
gatherUsageStats = false
"""
"""Not headless, as on the desk of who wrote it: some doors are open only then."""

SERVERS: Final = {
    "naive": """
import streamlit as st
from starlette.middleware import Middleware
from tests.hostile.twins.routes import ROUTES, Returning
app = st.App("main.py", middleware=[Middleware(Returning)], routes=ROUTES)
""",
    "guarded": f"""
import stguard as sg
from tests.hostile.twins.routes import ROUTES
app = sg.App("main.py", proxy=sg.TrustedProxy(secret={PROXY_SECRET!r}), anonymous=ANONYMOUS, routes=ROUTES)
""",
}


@dataclass(slots=True)
class Arena:
    """One running app, and the people it knows.

    Attributes:
        kind: whether it is the naive app or a guarded one.
        folder: where the app lies, what it knows and what was done.
        address: host and port.
        secret: what its cookies are signed with.
        issuer: host and port of its identity provider.
        process: the server.
    """

    kind: Kind
    folder: Path
    address: str
    secret: str
    issuer: str
    process: subprocess.Popen[bytes]
    _stack: ExitStack
    _people: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _revoked: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _signs_in: bool = False

    # --- who may what ------------------------------------------------------------------------------------------------

    def person(self, *roles: str, org: str = "acme") -> str:
        """Return the e-mail of somebody new who holds these roles in an org, and viewer anyway."""
        email = self.stranger()
        self.give(email, *roles, org=org)
        return email

    def stranger(self) -> str:
        """Return the e-mail of somebody new who holds nothing."""
        return f"p{next(self._numbers)}@acme.com"

    def give(self, email: str, *roles: str, org: str = "acme") -> None:
        """Let somebody hold these roles and no others in an org, from now on."""
        self._people.setdefault(email, {})[org] = ["viewer", *roles]
        self.write_people()

    def remove(self, email: str) -> None:
        """Let somebody hold nothing any more."""
        del self._people[email]
        self.write_people()

    def revoke(self, email: str) -> None:
        """End every login of somebody."""
        self._revoked.append(email)
        self.remove(email)

    def write_people(self) -> None:
        """Put a new file in the place of the one in force, as an operator should."""
        replace(self.folder / self.rules, self.rules_text())

    @property
    def rules(self) -> str:
        """Return the name of the file that says who may what."""
        return "people.json" if self.kind == "naive" else "policy.yaml"

    def rules_text(self) -> str:
        if self.kind == "naive":
            return json.dumps(self._people)
        assignments = [
            f"  - {{role: {role}, org: {org}, email: {email}}}"
            for email, orgs in self._people.items()
            for org, roles in orgs.items()
            for role in roles
        ]
        # The one that is nobody's keeps the list from being empty.
        revoked = [
            f"  - {{email: {email}, before: 2040-01-01T00:00:00Z}}" for email in ("n@acme.example", *self._revoked)
        ]
        return (
            POLICY.replace("ASSIGNMENTS", "\n".join(assignments))
            .replace("REVOKED", "\n".join(revoked))
            .replace("OPEN", "\n".join(f"  {page}: signed_in" for page in PAGES))
        )

    # --- tabs and traces ---------------------------------------------------------------------------------------------

    def browser(self, email: str | None, *, age: float = 0, groups: Sequence[str] = ()) -> Browser:
        """Return a browser in which somebody has signed in, so many seconds ago; or nobody has."""
        known = None if email is None else claims(email, signed_in_ago=age, groups=groups)
        return Browser(self.address, secret=self.secret, claims=known)

    def tab(self, email: str | None, *, resume: str | None = None) -> Tab:
        """Open a tab as somebody, or as nobody."""
        return Tab(self.browser(email), resume=resume)

    def sign_in(self, browser: Browser, *, referer: str, planted: Mapping[str, str] | None = None) -> str:
        """Go through a whole sign-in from a page, and return where the last answer leads.

        Args:
            browser: who signs in.
            referer: the page.
            planted: cookies that somebody else has put into the browser meanwhile.
        """
        self._need_provider()
        with Tab(browser) as tab:
            tab.open()
            tab.click("Log in" if self.kind == "naive" else "Sign in")
            start = next(m.auth_redirect.url for m in tab.seen.messages if m.HasField("auth_redirect"))
        authorize = browser.get("/" + start.removeprefix("http://").partition("/")[2], Referer=referer)
        asked = urlsplit(authorize.header("location"))
        granted = Browser(asked.netloc, secret="", claims=None).ask(
            "POST",
            f"{asked.path}?{asked.query}",
            body=urlencode({"sub": "p@acme.com"}).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        back = urlsplit(granted.header("location"))
        assert parse_qs(back.query).get("code"), granted
        browser.cookies |= planted or {}
        return browser.get(f"{back.path}?{back.query}").header("location")

    def _need_provider(self) -> None:
        if self._signs_in:
            return
        host, _, port = self.issuer.partition(":")
        with (self.folder / "provider.log").open("wb") as log:
            child = provider.start(from_list([{"email": "p@acme.com"}]), port=int(port), title="twin", log=log)
        assert child.stdin is not None  # it was asked for
        self._stack.enter_context(child)
        self._stack.callback(child.stdin.close)  # which ends it
        wait_until_answers(host, int(port), "/.well-known/openid-configuration", child)
        self._signs_in = True

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


def claims(email: str, *, signed_in_ago: float = 0, groups: Sequence[str] = ()) -> dict[str, object]:
    return {
        "iss": "https://idp.example",
        "sub": email.partition("@")[0],
        "email": email,
        "email_verified": True,
        "iat": int(time.time() - signed_in_ago),
        "nonce": secrets.token_hex(8),
        "groups": list(groups),
        "roles": [],
        "provider": "default",
    }


def replace(path: Path, text: str) -> None:
    """Put a file in the place of another at once."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


@contextmanager
def serve(kind: Kind, *, anonymous: bool = True, pages_folder: bool = False) -> Iterator[Arena]:
    """Run one of the twins until the `with` block ends.

    Args:
        kind: which one.
        anonymous: whether the gateway gives a connection to who isn't signed in.
        pages_folder: whether a folder `pages` lies beside the main script, with a page that shows a secret.

    Raises:
        RuntimeError: it ended before it answered.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"hostile-{kind}-")))
        address, issuer = f"127.0.0.1:{unused()}", f"localhost:{unused()}"
        secret = secrets.token_hex(32)
        _write_app(folder, kind, address=address, secret=secret, issuer=issuer, anonymous=anonymous)
        if pages_folder:
            (folder / "pages").mkdir()
            page = "import streamlit as st\nfrom tests.hostile.twins.routes import SECRET\nst.write(SECRET)\n"
            (folder / "pages" / "secrets.py").write_text(page, encoding="utf-8")
        log = stack.enter_context((folder / "output.log").open("wb"))
        port = address.rpartition(":")[2]
        command = (
            ["streamlit", "run", "main.py", "--server.address=127.0.0.1", "--server.headless=true"]
            if kind == "script"
            else ["uvicorn", "server:app", "--host=127.0.0.1", "--log-level=warning"]
        )
        process = subprocess.Popen(
            [sys.executable, "-m", *command, f"--server.port={port}" if kind == "script" else f"--port={port}"],
            cwd=folder,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "HOSTILE_FOLDER": str(folder), "HOME": str(folder),
                "STGUARD_POLICY": str(folder / "policy.yaml"), "NO_PROXY": "localhost,127.0.0.1",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        stack.callback(stop, process)
        arena = Arena(kind, folder, address, secret, issuer, process, stack)
        arena.person()
        try:
            wait_until_answers("127.0.0.1", int(port), "/_stcore/health", process)
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"the {kind} twin ended before it answered:\n{arena.output}") from error
        yield arena


def _write_app(folder: Path, kind: Kind, *, address: str, secret: str, issuer: str, anonymous: bool) -> None:
    """Lay out an app as an author has it: script, server, files, settings, in a repository."""
    shutil.copy(TWINS / ("naive.py" if kind == "naive" else "guarded.py"), folder / "main.py")
    files = {
        "static/plan.txt": SECRET,
        ".streamlit/config.toml": CONFIG,
        ".streamlit/secrets.toml": (
            f'[auth]\nredirect_uri = "http://{address}/oauth2callback"\ncookie_secret = "{secret}"\n'
            'client_id = "twin"\nclient_secret = "twin"\n'
            f'server_metadata_url = "http://{issuer}/.well-known/openid-configuration"\n'
        ),
    }
    if kind != "script":
        files["server.py"] = SERVERS[kind].replace("ANONYMOUS", str(anonymous))
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _make_repository(folder)


def _make_repository(folder: Path) -> None:
    """Make the folder a clone of a repository, as one is deployed from."""
    who = ["-c", "user.name=twin", "-c", "user.email=twin@acme.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["remote", "add", "origin", "https://github.com/acme/app.git"],
        [*who, "commit", "-q", "--allow-empty", "-m", "begin"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
        ["branch", "-q", "--set-upstream-to=origin/main"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


def wait_until_answers(host: str, port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers.

    Raises:
        CalledProcessError: it ended before.
        TimeoutExpired: it runs and doesn't answer.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection(host, port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        try:
            code = process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
        else:
            raise subprocess.CalledProcessError(code, process.args)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server, at the latest after ten seconds."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
