"""How often the API is asked, seen on a real server with many real sessions."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from tests.hostile.arena import stop, wait_until_answers
from tests.hostile.client import Browser, Tab
from tests.ports import unused
from tests.propelauth.api import ACME, ANN, BEN, KEY, Api, account, membership, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUTH_URL = "https://auth.acme.example"
SESSIONS = 50

MAIN = f"""
import streamlit as st
import stguard as sg

# A lifetime that a busy machine doesn't outlive during the test.
sg.configure(identity=sg.PropelAuth("{AUTH_URL}", "{KEY}", ttl=600))

def home():
    st.write("home in " + sg.org().name)
    st.button("Again")

sg.navigation([home]).run()
"""

POLICY = f"""
stguard: 1
orgs: {{{ACME}: {{name: Acme}}}}
identity: {{provider: propelauth}}
roles: {{Member: {{}}}}
pages: {{home: {{role: Member}}}}
"""


@dataclass(frozen=True, slots=True)
class App:
    """One app that runs: its host and port, and what its cookies are signed with."""

    address: str
    secret: str


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serve(tmp_path_factory.mktemp("api"), host="auth.acme.example") as api:
        for user in (ANN, BEN):
            api.accounts[user] = account(user, f"{user}@acme.com", membership(ACME, "Acme", "Member"))
        yield api


@pytest.fixture(scope="module")
def server(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "main.py").write_text(MAIN, encoding="utf-8")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    with ExitStack() as stack:
        yield _start(folder, api, stack)


def _start(folder: Path, api: Api, stack: ExitStack) -> App:
    port = unused()
    address = f"127.0.0.1:{port}"
    secret = secrets.token_hex(32)
    (folder / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "http://{address}/oauth2callback"\ncookie_secret = "{secret}"\n'
        'client_id = "app"\nclient_secret = "app"\nserver_metadata_url = "http://127.0.0.1:9/"\n',
        encoding="utf-8",
    )
    log = stack.enter_context((folder / "output.log").open("wb"))
    process = subprocess.Popen(
        [
            sys.executable, "-m", "streamlit", "run", str(folder / "main.py"),
            f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true",
            "--server.fileWatcherType=none", "--browser.gatherUsageStats=false",
            f"--secrets.files={folder / 'secrets.toml'}",
        ],
        env={**os.environ, **api.environ},
        stdout=log,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    stack.callback(stop, process)
    wait_until_answers("127.0.0.1", port, "/_stcore/health", process)
    return App(address, secret)


def tab(server: App, user: str) -> Tab:
    """Open a tab of a login of its own, as every device has one."""
    claims = {"iss": AUTH_URL, "sub": user, "iat": int(time.time()), "nonce": secrets.token_hex(8)}
    return Tab(Browser(server.address, secret=server.secret, claims=claims))


@pytest.mark.server
def test_fifty_sessions_of_one_person_over_three_reruns_each_make_one_call(server: App, api: Api) -> None:
    together = Barrier(SESSIONS)

    def visit(_number: int) -> bool:
        with tab(server, ANN) as one:
            together.wait(60)
            first = one.open()
            return all("home in Acme" in drawing for drawing in (first, one.click("Again"), one.click("Again")))

    with ThreadPoolExecutor(SESSIONS) as pool:
        assert all(pool.map(visit, range(SESSIONS)))
    assert api.calls == [("GET", f"/api/backend/v1/user/{ANN}")]


@pytest.mark.server
def test_another_person_makes_a_call_of_their_own(server: App, api: Api) -> None:
    api.calls.clear()
    with tab(server, BEN) as one, tab(server, BEN) as two:
        assert "home in Acme" in one.open()
        assert "home in Acme" in two.open()
    assert api.calls == [("GET", f"/api/backend/v1/user/{BEN}")]
