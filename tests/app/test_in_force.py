"""What changes on the disk is in force at the next check, in every session; what is wrong there never is."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

from stguard import edits
from tests.app.conftest import POLICY
from tests.app.test_server import wait_until_healthy
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

RULES = """\
stguard: 1
roles: {admin: {}}
assign:
  - {role: admin, email: ann@acme.com}
pages:
  home: signed_in
  reports: {role: admin}
"""
OPEN = RULES.replace("reports: {role: admin}", "reports: public")
BAD = OPEN.replace("home: signed_in", "home: singed_in")

# --- who may edit is told ---------------------------------------------------------------------------------------------

KEEPER = POLICY.replace('admin: {allow: "*:*"}', 'admin: {allow: ["*:*", "policy:edit"]}')
BROKEN = KEEPER.replace("role: viewer, email", "role: veiwer, email").replace("home: signed_in", "home: singed_in")


@pytest.fixture
def app(desk: Any) -> Any:
    desk.views("home", "status").main("""
        sg.navigation([st.Page("views/home.py", default=True), "views/status.py"]).run()
    """)
    return desk.policy(KEEPER)


def test_who_may_edit_is_told_of_a_bad_edit_and_what_is_wrong(app: Any, shown: Any) -> None:
    ada, vera = app.run("ada"), app.run("vera")
    assert [at.warning.len for at in (ada, vera)] == [0, 0]
    app.policy(BROKEN)
    ada.run()
    assert "home content" in shown(ada), "the last good version stays in force"
    text = ada.warning[0].value
    assert text.startswith("The policy file has errors; the last good version stays in force.")
    assert "unknown role" in text
    assert "policy\\.yaml line 9" in text
    vera.run()
    assert "home content" in shown(vera)
    assert vera.warning.len == 0, "what stands in the policy is nothing for everybody"
    app.policy(KEEPER)
    assert ada.run().warning.len == 0


def test_only_the_first_problems_are_shown(app: Any) -> None:
    ada = app.run("ada")
    app.policy(KEEPER.replace("signed_in", "nobody").replace("public", "x").replace("role: ", "rolle: "))
    text = ada.run().warning[0].value
    assert text.count("\n- ") == 4
    assert "more; `stguard check` lists them".replace("`", "\\`") in text


# --- a running server -------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, policy: Path) -> Iterator[str]:
    views = folder / "views"
    views.mkdir()
    (views / "reports.py").write_text("import streamlit as st\nst.title('reports content')\n", "utf-8")
    (folder / "main.py").write_text('import stguard as sg\nsg.navigation(["views/reports.py"]).run()\n', "utf-8")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        '[auth]\nredirect_uri = "http://127.0.0.1/oauth2callback"\ncookie_secret = "not used here, but long enough"\n'
        'client_id = "app"\nclient_secret = "app"\nserver_metadata_url = "http://127.0.0.1:9/nobody"\n',
        "utf-8",
    )
    port = unused()
    command = [
        sys.executable, "-m", "streamlit", "run", "main.py", "--server.port", str(port), "--server.address",
        "127.0.0.1", "--server.headless", "true", "--browser.gatherUsageStats", "false",
        "--server.fileWatcherType", "none",
    ]  # fmt: skip
    env = {**os.environ, "STGUARD_POLICY": str(policy), "PYTHONPATH": str(ROOT)}
    with (folder / "output.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until_healthy(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def session(address: str) -> Iterator[ClientConnection]:
    with connect(f"ws://{address}/_stcore/stream", subprotocols=["streamlit"], open_timeout=20) as made:  # type: ignore[list-item]  # a name, as their type has it
        yield made


def sees_reports(tab: ClientConnection) -> bool:
    """Ask for the app once more in a session that is open, and tell whether it drew the page."""
    message = BackMsg()
    message.rerun_script.query_string = ""
    tab.send(message.SerializeToString())
    received = b""
    while True:
        data = tab.recv(timeout=30)
        assert isinstance(data, bytes)
        received += data
        forward = ForwardMsg()
        forward.ParseFromString(data)
        if forward.WhichOneof("type") == "script_finished":
            return b"reports content" in received


class ConfigMap:
    """A folder as Kubernetes mounts one: files are links into `..data`, which is a link that is exchanged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._versions = 0
        self.put(RULES)
        (folder / "policy.yaml").symlink_to("..data/policy.yaml")

    def put(self, text: str) -> None:
        self._versions += 1
        version = self.folder / f"..2026_11_0{self._versions}"
        version.mkdir()
        (version / "policy.yaml").write_text(text, "utf-8")
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")


@pytest.mark.server
@pytest.mark.parametrize("mounted", ["the folder", "a file in it"])
def test_the_exchange_of_a_mounted_folder_is_in_force_in_sessions_that_are_open(tmp_path: Path, mounted: str) -> None:
    volume = ConfigMap(tmp_path / "policies")
    policy = volume.folder if mounted == "the folder" else volume.folder / "policy.yaml"
    with serving(tmp_path, policy) as address, session(address) as one, session(address) as other:
        assert [sees_reports(tab) for tab in (one, other)] == [False, False]
        volume.put(OPEN)
        assert [sees_reports(tab) for tab in (one, other)] == [True, True]
        volume.put(BAD.replace("public", "{role: admin}"))
        assert [sees_reports(tab) for tab in (other, one)] == [True, True], "the last good version"
        volume.put(RULES)
        assert [sees_reports(tab) for tab in (one, other)] == [False, False]


@pytest.mark.server
def test_an_edit_in_any_way_is_in_force_in_sessions_that_are_open(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(RULES, "utf-8")

    def by_hand(text: str) -> None:
        policy.write_text(text, "utf-8")

    def as_editors_save(text: str) -> None:
        policy.rename(tmp_path / "policy.yaml~")
        policy.write_text(text, "utf-8")

    def by_rename(text: str) -> None:
        new = tmp_path / ".policy.yaml.swp"
        new.write_text(text, "utf-8")
        new.replace(policy)

    def by_an_edit(text: str) -> None:
        assert edits.change(policy, text, author="ann", confirmed=True).written

    with serving(tmp_path, policy) as address, session(address) as one, session(address) as other:
        for change in (by_hand, as_editors_save, by_rename, by_an_edit):
            change(OPEN)
            assert [sees_reports(tab) for tab in (one, other)] == [True, True], change.__name__
            change(RULES)
            assert [sees_reports(tab) for tab in (other, one)] == [False, False], change.__name__
        # Half of a file, as a writer leaves it that is not done: not YAML, so never in force.
        by_hand(OPEN[: OPEN.index("email")])
        assert [sees_reports(tab) for tab in (one, other)] == [False, False]
        by_hand(BAD)
        assert [sees_reports(tab) for tab in (one, other) * 3] == [False] * 6
        by_hand(OPEN)
        assert sees_reports(one)
    log = (tmp_path / "output.log").read_text("utf-8")
    assert log.count("policy.yaml refused") == 2, "one error for each bad state"
