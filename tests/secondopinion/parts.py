"""A certified OpenID provider, and an app that signs in with it: both real, both on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE: Final = Path(__file__).parent
METADATA: Final = "/.well-known/openid-configuration"

OLDEST: Final = 18
"""Major version of node."""

OFFLINE: Final = ("EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")
"""What npm calls a registry that it can't reach."""

MAIN: Final = """
    import streamlit as st
    import stguard as sg

    def home():
        st.title("Home")
        who = sg.subject()
        st.write("You are " + ", ".join([*sorted(who.roles), *sorted(who.groups), *sorted(who.memberships)]))
        st.write("Unknown: " + ", ".join(sorted(who.unknown)))

    def reports():
        st.title("Reports")
        st.write("You asked for " + st.query_params.get("quarter", "nothing"))
        if sg.can("report:publish"):
            st.button("Publish")

    def ledger():
        st.title("Ledger")

    def help():
        st.title("Help")

    page = sg.navigation([st.Page(home, default=True), st.Page(reports), st.Page(ledger), st.Page(help)])
    sg.user_menu()
    page.run()
"""

POLICY: Final = """
    stguard: 1
    permissions: {report: [view, publish]}
    orgs: from_identity
    identity: {orgs: org_id}
    roles:
      viewer: {cross_org: true, allow: "report:view"}
      admin: {cross_org: true, inherits: viewer, allow: "report:publish"}
    assign:
      - {role: admin, org: "*", email: boss@acme.com, reason: the provider must say that the address is theirs}
    pages:
      home: signed_in
      reports: {permission: "report:view"}
      ledger: {group: finance}
      help: public
"""

SERVER: Final = """
    import os
    import stguard as sg

    app = sg.App("main.py", identity=sg.UserInfo(issuer=os.environ["ASKED"]))
"""


def installed() -> Path:
    """Return a folder with the provider and what it needs; made once for a lock file, outside of the checkout."""
    for part in ("node", "npm"):
        if shutil.which(part) is None:
            pytest.skip(f"{part} is missing; install the packages `nodejs` and `npm`")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"node {OLDEST} or newer is missing, there is {version}; install a newer `nodejs`")
    files = [HERE / name for name in ("package.json", "package-lock.json", "provider.mjs")]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stguard-tests"
    folder = cache / f"secondopinion-{key}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as made:
        for path in files:
            shutil.copy(path, made)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False)
        if done.returncode and any(word in done.stderr for word in OFFLINE):
            pytest.skip("oidc-provider is missing: npm can't reach its registry")
        assert done.returncode == 0, done.stderr
        with contextlib.suppress(OSError):  # another run was quicker
            Path(made).rename(folder)
            Path(made).mkdir()
    return folder


@contextlib.contextmanager
def providing(redirect_uri: str) -> Iterator[dict[str, dict[str, str]]]:
    """Run the provider; yield issuer, client id and secret of each of its kinds: `thick`, `thin`, `asked`."""
    child = subprocess.Popen(
        ["node", "provider.mjs", redirect_uri],
        cwd=installed(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield json.loads(child.stdout.readline())
        finally:
            child.stdin.close()
            child.wait(timeout=20)


def variables(name: str, kind: Mapping[str, str], **more: str) -> dict[str, str]:
    """Return the variables of one provider."""
    values = {
        "CLIENT_ID": kind["client_id"],
        "CLIENT_SECRET": kind["client_secret"],
        "METADATA_URL": kind["issuer"] + METADATA,
        "PROMPT": "login",
        **more,
    }
    return {f"OIDC_{name}_{key}": value for key, value in values.items()}


@contextlib.contextmanager
def serving(folder: Path, *, port: int, environ: Mapping[str, str]) -> Iterator[str]:
    """Run the app under uvicorn; yield its address."""
    for name, text in {"main.py": MAIN, "server.py": SERVER, "policy.yaml": POLICY}.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    base = {name: value for name, value in os.environ.items() if not name.startswith(("OIDC_", "STREAMLIT_"))}
    log = folder / "log.txt"
    with log.open("wb") as out:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**base, "NO_PROXY": "localhost,127.0.0.1", "HOME": str(folder), **environ},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        while not _answers(port):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=0.05)
            assert child.poll() is None, log.read_text()
        yield f"http://localhost:{port}"
    finally:
        child.terminate()
        child.wait(timeout=20)


def _answers(port: int) -> bool:
    connection: Any = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_stcore/health")
        return bool(connection.getresponse().status == http.client.OK)
    except OSError:
        return False
    finally:
        connection.close()
