"""The admin page at the protocol: clicks replayed by who lost the right or never had it, and forged values.

The twin is the same page with its own guard taken out, in an app whose callbacks aren't asked about again.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from streamlit.proto.Common_pb2 import StringArray
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.hostile.arena import ROOT, claims, replace, stop, wait_until_answers
from tests.hostile.client import Browser, Tab
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hostile.client import Part

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("hostile")]

POLICY = """stguard: 1
permissions: {report: [view]}
roles:
  viewer: {allow: "report:view"}
  keeper: {allow: "policy:*"}
  auditor: {allow: "policy:view"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: keeper, email: kim@acme.com}
  - {role: auditor, email: otto@acme.com}
  - {role: viewer, email: vera@acme.com}
pages: {home: signed_in}
"""

GUARDED = """
import streamlit as st
import stguard as sg
def home():
    st.title("Home")
sg.navigation([st.Page(home, default=True), sg.admin_page()]).run()
"""

UNGUARDED = """
import streamlit as st
import stguard as sg
from stguard.app.admin import changes, editor, grants, guarding, history
from stguard.app.standing import standing
for module in (changes, editor, grants, guarding, history):
    module.insist = lambda rule: standing()
guarding.may_edit = lambda asked: True
sg.configure(hooks="off")
""" + GUARDED.partition("import stguard as sg")[2]

PREVIEW = "Show what this changes"


@dataclass(frozen=True, slots=True)
class App:
    folder: Path
    address: str
    secret: str

    @property
    def policy(self) -> Path:
        return self.folder / "policy.yaml"

    def tab(self, name: str) -> Tab:
        return Tab(Browser(self.address, secret=self.secret, claims=claims(f"{name}@acme.com")))

    def write(self, text: str) -> None:
        replace(self.policy, text)


def serve(folder: Path, main: str, *, policy: str = POLICY) -> Iterator[App]:
    address, secret = f"127.0.0.1:{unused()}", secrets.token_hex(32)
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "http://{address}/oauth2callback"\ncookie_secret = "{secret}"\n'
        'client_id = "x"\nclient_secret = "x"\nserver_metadata_url = "http://localhost:9/.well-known"\n'
    )
    (folder / "main.py").write_text(main)
    (folder / "policy.yaml").write_text(policy)
    port = address.rpartition(":")[2]
    environment = {key: value for key, value in os.environ.items() if key != "STGUARD_POLICY"}
    with ExitStack() as stack:
        log = stack.enter_context((folder / "output.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "main.py", "--server.address=127.0.0.1",
             "--server.headless=true", f"--server.port={port}"],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        stack.callback(stop, process)
        wait_until_answers("127.0.0.1", int(port), "/_stcore/health", process)
        yield App(folder, address, secret)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("admin"), GUARDED)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("admin-twin"), UNGUARDED)


@pytest.fixture(autouse=True)
def begin(request: pytest.FixtureRequest) -> None:
    for name in ("running", "twin"):
        if name in request.fixturenames:
            request.getfixturevalue(name).write(POLICY)


def chosen(part: Part, text: str) -> WidgetState:
    return WidgetState(id=part.id, string_value=text)


def pressed(part: Part) -> WidgetState:
    return WidgetState(id=part.id, trigger_value=True)


def keyed(tab: Tab, key: str) -> Part:
    return next(part for part in reversed(tab.seen.parts) if part.id.endswith(f"-{key}"))


def preview_of(tab: Tab) -> Part:
    """Return the button of the form that gives a role; the one that takes one away comes after it."""
    buttons = {part.id: part for part in tab.seen.parts if part.label == PREVIEW}
    return next(iter(buttons.values()))


def fill_in(tab: Tab, *, person: str = "vera@acme.com", role: str = "keeper") -> list[WidgetState]:
    """Choose a person and fill the form in. Returns the values that go along with every further click."""
    tab.open("admin")
    state = [chosen(tab.part("Person"), person)]
    tab.run(*state)
    return [*state, chosen(keyed(tab, "stguard_admin_grant_role"), role)]


def look(tab: Tab, state: list[WidgetState]) -> None:
    tab.run(*state, pressed(preview_of(tab)))


def test_who_may_edit_gives_a_role(running: App) -> None:
    with running.tab("ada") as tab:
        look(tab, fill_in(tab))
        assert running.policy.read_text() == POLICY
        tab.click("Save")
    assert "{role: keeper, email: vera@acme.com}" in running.policy.read_text()


WITHOUT = POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: auditor, email: ada@acme.com}")


@pytest.mark.parametrize("label", [PREVIEW, "Save"])
def test_a_click_of_who_lost_the_right_writes_nothing(running: App, label: str) -> None:
    with running.tab("ada") as tab:
        state = fill_in(tab)
        if label == "Save":
            look(tab, state)
        running.write(WITHOUT)
        drawn = tab.run(*state, pressed(preview_of(tab) if label == PREVIEW else tab.part(label)))
        assert "You don't have access to this." in drawn
        assert "More than before" not in drawn
    assert running.policy.read_text() == WITHOUT


def test_on_the_twin_a_click_of_who_lost_the_right_is_obeyed(twin: App) -> None:
    with twin.tab("ada") as tab:
        look(tab, fill_in(tab))
        twin.write(WITHOUT + "\n")
        tab.click("Save")  # the file has changed: looked at anew
        tab.click("Save")
    assert "{role: keeper, email: vera@acme.com}" in twin.policy.read_text()


def test_clicks_seen_in_an_admins_tab_do_nothing_in_that_of_somebody_else(running: App) -> None:
    with running.tab("ada") as tab:
        state = fill_in(tab)
        look(tab, state)
        buttons = [pressed(preview_of(tab)), pressed(tab.part("Save"))]
    for name in ("otto", "vera"):
        with running.tab(name) as tab:
            tab.open("admin")
            for button in buttons:
                tab.run(*state, button)
                tab.run(*state, button, page="admin")
            assert ("ada@acme.com" in tab.seen) is (name == "otto")
    assert running.policy.read_text() == POLICY


@pytest.mark.parametrize(
    ("person", "role"),
    [
        ("vera@acme.com", "root"),
        ("vera@acme.com", "viewer, email: x@acme.com}\n  - {role: keeper"),
        ("x@acme.com}\n  - {role: keeper, email: y@acme.com", "viewer"),
    ],
)
def test_a_forged_person_or_role_writes_nothing(running: App, person: str, role: str) -> None:
    with running.tab("ada") as tab:
        fill_in(tab)
        preview = pressed(preview_of(tab))
        forged = [chosen(tab.part("Person"), person), chosen(keyed(tab, "stguard_admin_grant_role"), role)]
        tab.run(*forged, preview)
        if any(part.label == "Save" for part in tab.seen.parts):
            tab.click("Save")
    assert running.policy.read_text() == POLICY


def shown(tab: Tab) -> Part:
    """Return the field of the policy's text as it was drawn last."""
    return keyed(tab, "stguard_admin_text")


POLICY_TAB = ":material/description: Policy"


def open_policy(tab: Tab) -> WidgetState:
    """Open the tab Policy. Returns the value that goes along with every further request."""
    tab.open("admin")
    state = WidgetState(id=keyed(tab, "stguard_admin_tab").id, string_array_value=StringArray(data=[POLICY_TAB]))
    tab.run(state)
    return state


def typed(part: Part, text: str) -> WidgetState:
    data = json.loads(part.proto.json)
    sent = {
        "count": data["heard"] + 1,
        "file": data["file"],
        "number": data["number"],
        "base": data["base"],
        "text": text,
    }
    return WidgetState(id=part.id, json_value=json.dumps({"typed": sent}))


@pytest.mark.parametrize("alone", [True, False], ids=["fragment", "page"])
def test_what_is_typed_is_checked(running: App, *, alone: bool) -> None:
    with running.tab("ada") as tab:
        state, field = open_policy(tab), shown(tab)
        tab.run(state, typed(field, POLICY + "rolse: {}\n"), fragment=field.fragment if alone else "")
        (mark,) = json.loads(shown(tab).proto.json)["marks"]
        assert mark["line"] == POLICY.count("\n") + 1
        assert "rolse" in mark["text"]
    assert running.policy.read_text() == POLICY


@pytest.mark.parametrize("alone", [True, False], ids=["fragment", "page"])
@pytest.mark.parametrize("role", ["auditor", "viewer"])
def test_what_is_typed_by_who_lost_the_right_is_refused_and_not_kept(running: App, role: str, *, alone: bool) -> None:
    with running.tab("ada") as tab:
        state, field = open_policy(tab), shown(tab)
        running.write(POLICY.replace("{role: keeper, email: ada", f"{{role: {role}, email: ada"))
        forged = typed(field, POLICY + "# typed too late\n")
        drawn = tab.run(state, forged, fragment=field.fragment if alone else "")
        assert "You don't have access to this." in tab.seen
        for each in (drawn, tab.run(state), tab.run(state, forged)):
            assert "typed too late" not in each
            assert not [part for part in each.parts if part.kind == "bidi_component"]
        running.write(POLICY)
        tab.run(state)
        assert json.loads(shown(tab).proto.json)["text"] == POLICY


def test_a_field_seen_in_an_admins_tab_takes_nothing_in_that_of_somebody_else(running: App) -> None:
    with running.tab("ada") as tab:
        state = open_policy(tab)
        field = shown(tab)
    with running.tab("otto") as tab:
        open_policy(tab)
        for fragment in ("", field.fragment):
            tab.run(state, typed(field, POLICY + "# typed elsewhere\n"), fragment=fragment)
        assert "typed elsewhere" not in tab.seen
        assert not [part for part in tab.seen.parts if part.kind == "bidi_component"]


def test_on_the_twin_what_is_typed_by_who_lost_the_right_is_kept(twin: App) -> None:
    with twin.tab("ada") as tab:
        state, field = open_policy(tab), shown(tab)
        twin.write(WITHOUT)
        tab.run(state, typed(field, POLICY + "# typed too late\n"))
        assert json.loads(shown(tab).proto.json)["text"] == POLICY + "# typed too late\n"


def test_nothing_of_the_page_reaches_who_may_not_see_it(running: App) -> None:
    with running.tab("vera") as tab:
        tab.open("admin")
        tab.open()
        assert "Home" in tab.seen
        for text in ("ada@acme.com", "keeper", "Refusals", "policy:view"):
            assert text not in tab.seen
