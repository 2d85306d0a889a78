"""Seeing the app as somebody else, at the protocol: what a browser sends meanwhile, begins with, or keeps for after.

The twin is the same app in which whatever the browser sends while somebody looks is obeyed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.hostile.client import Browser, Tab, forged, value
from tests.hostile.test_admin import chosen, keyed, pressed, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.hostile.client import Drawing
    from tests.hostile.test_admin import App

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("hostile")]

POLICY = """stguard: 1
permissions: {report: [view], vault: [use]}
roles:
  viewer: {allow: "report:view"}
  keeper: {allow: "policy:*"}
  auditor: {allow: "policy:view"}
  user: {allow: "vault:use"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: auditor, email: otto@acme.com}
  - {role: viewer, email: vera@acme.com}
  - {role: user, email: emma@acme.com}
pages: {home: signed_in, vault: {permission: "vault:use"}}
"""

APP = """
from pathlib import Path
import streamlit as st
import stguard as sg

def write(what):
    with Path(__file__).with_name("deeds.txt").open("a") as deeds:
        deeds.write(f"{what} by {st.user['email']}\\n")

@sg.requires("signed_in")
def approve(what):
    write(what)

def contents():
    write("download")
    return b"secret contents"

@st.fragment(run_every=60)
def part():
    st.write(f"part of {sg.subject().email}")
    if st.button("In a fragment"):
        write("fragment")
    st.button("In a fragment by callback", on_click=write, args=("fragment callback",))

def home():
    st.title(f"Home of {sg.subject().email}")
    st.write(f"vault open: {sg.can('vault:use')}")
    if st.button("Approve"):
        approve("button")
    st.button("Approve by callback", on_click=approve, args=("callback",))
    if st.checkbox("Tick"):
        write("tick")
    if st.text_input("Text"):
        write("text")
    if st.chat_input("Say"):
        write("chat")
    st.download_button("Fetch", contents, on_click="ignore")
    part()

def vault():
    st.title("Vault contents")

if st.sidebar.checkbox("Everywhere", on_change=write, args=("everywhere callback",)):
    write("everywhere")
sg.user_menu()
sg.navigation([st.Page(home, default=True), st.Page(vault), sg.admin_page()]).run()
"""

OBEYING = (
    """
from stguard.app import viewing
obeys = viewing.keep
viewing.keep = lambda pinned, sent: (sent, True) if isinstance(pinned, viewing.View) else obeys(pinned, sent)
"""
    + APP
)

BANNER = "You see the app as"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("view-as"), APP, policy=POLICY)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    yield from serve(tmp_path_factory.mktemp("view-as-twin"), OBEYING, policy=POLICY)


@pytest.fixture(autouse=True)
def begin(request: pytest.FixtureRequest) -> None:
    for name in ("running", "twin"):
        if name in request.fixturenames:
            app = request.getfixturevalue(name)
            app.write(POLICY)
            (app.folder / "deeds.txt").unlink(missing_ok=True)


def deeds(app: App) -> str:
    path = app.folder / "deeds.txt"
    return path.read_text() if path.exists() else ""


def choose(tab: Tab, person: str = "vera") -> list[WidgetState]:
    """Open the admin page at a person. Returns the values that go along with every further click there."""
    tab.open("admin")
    state = [chosen(tab.part("Person"), f"email:{person}@acme.com")]
    tab.run(*state)
    return state


START = "See the app as this person"


def look(tab: Tab, person: str = "vera", *others: WidgetState) -> Drawing:
    """Look at the app as somebody, beginning at the page of that person."""
    tab.open()  # so that the ids of its widgets are known
    return tab.run(*choose(tab, person), *others, pressed(tab.part(START)))


def stop(tab: Tab, *others: WidgetState) -> Drawing:
    return tab.run(*others, pressed(keyed(tab, "stguard_view_stop")))


TRIES: dict[str, Callable[[Tab], object]] = {
    "button": lambda tab: tab.click("Approve"),
    "callback": lambda tab: tab.click("Approve by callback"),
    "tick": lambda tab: tab.run(value(tab.part("Tick"), bool_value=True)),
    "text": lambda tab: tab.run(value(tab.part("Text"), string_value="x")),
    "chat": lambda tab: tab.run(chat(tab)),
    "everywhere": lambda tab: tab.run(value(tab.part("Everywhere"), bool_value=True)),
    "fragment": lambda tab: tab.click("In a fragment"),
    "fragment callback": lambda tab: tab.click("In a fragment by callback"),
}


def chat(tab: Tab) -> WidgetState:
    part = next(part for part in reversed(tab.seen.parts) if part.kind == "chat_input")
    state = WidgetState(id=part.id)
    state.chat_input_value.data = "hello"
    return state


@pytest.mark.parametrize("deed", TRIES)
def test_what_is_sent_while_looking_does_nothing(running: App, deed: str) -> None:
    with running.tab("ada") as tab:
        look(tab)
        drawn = tab.run()
        assert BANNER in drawn
        assert "Home of vera@acme.com" in drawn
        TRIES[deed](tab)
        assert "Home of vera@acme.com" in tab.run()
    assert deeds(running) == ""


@pytest.mark.parametrize("deed", [each for each in TRIES if "callback" not in each])
def test_on_the_twin_it_is_done(twin: App, deed: str) -> None:
    with twin.tab("ada") as tab:
        look(tab)
        tab.run()
        TRIES[deed](tab)
    assert f"{deed} by ada@acme.com" in deeds(twin)


def test_what_comes_along_with_the_click_that_begins_does_nothing(running: App) -> None:
    with running.tab("ada") as tab:
        tab.open()
        along = [pressed(tab.part("Approve")), value(tab.part("Tick"), bool_value=True)]
        look(tab, "vera", *along)
        assert BANNER in tab.run()
    assert deeds(running) == ""


def test_what_comes_along_with_the_click_that_ends_does_nothing_then_nor_later(running: App) -> None:
    with running.tab("ada") as tab:
        look(tab)
        tab.run()
        ticked = value(tab.part("Everywhere"), bool_value=True)
        drawn = stop(tab, pressed(tab.part("Approve")), pressed(tab.part("Approve by callback")), ticked)
        assert BANNER not in drawn
        assert "Access control" in drawn
        assert "Home of ada@acme.com" in tab.run(ticked, page="")  # as a browser that still shows the tick
        tab.run(ticked)
        assert deeds(running) == ""
        tab.run(value(tab.part("Everywhere"), bool_value=False))
        tab.run(ticked)
        assert "everywhere by ada@acme.com" in deeds(running)
        tab.click("Approve")
    assert "button by ada@acme.com" in deeds(running)


@pytest.mark.parametrize("end", ["right", "role"])
def test_a_click_in_the_run_in_which_it_ends_does_nothing(running: App, end: str) -> None:
    with running.tab("ada") as tab:
        look(tab)
        tab.run()
        running.write(
            POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: auditor, email: ada@acme.com}")
            if end == "right"
            else POLICY.replace('  keeper: {allow: "policy:*"}', '  keeper: {allow: "policy:view"}')
        )
        for _ in range(2):
            drawn = tab.click("Approve")
            assert "You no longer see the app as" in drawn
            assert "Home of" not in drawn
        tab.click("Approve by callback")
        assert deeds(running) == ""
        stop(tab)
        assert "Home of ada@acme.com" in tab.run(page="")


def test_a_forged_beginning_begins_nothing(running: App) -> None:
    with running.tab("ada") as tab:
        state = choose(tab)
        start = tab.part(START)
        tab.run(chosen(tab.part("Person"), "email:vera@acme.com"))
        stop_id = "$$ID-00-stguard_view_stop"
    for name in ("otto", "vera", "emma"):
        with running.tab(name) as tab:
            tab.open("admin")
            for widget in (
                pressed(start),
                forged("$$ID-stguard_pinned-None", trigger_value=True),
                forged("$$ID-stguard_pinned-None", json_value='{"target": "vera"}'),
                forged(stop_id, trigger_value=True),
            ):
                tab.run(*state, widget)
                tab.run(*state, widget, page="admin")
            drawn = tab.open()
            assert f"Home of {name}@acme.com" in drawn
            assert BANNER not in tab.seen


def test_who_lost_the_right_does_not_begin(running: App) -> None:
    with running.tab("ada") as tab:
        state = choose(tab)
        start = tab.part(START)
        running.write(POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: auditor, email: ada@acme.com}"))
        tab.run(*state, pressed(start))
        assert "Home of ada@acme.com" in tab.open()
        assert BANNER not in tab.seen


def test_a_person_who_is_forged_is_nobody(running: App) -> None:
    with running.tab("ada") as tab:
        tab.open("admin")
        tab.run(chosen(tab.part("Person"), "email:x\n- {role: keeper}"))
        assert not any(part.label == START for part in tab.seen.parts)


def test_a_page_that_who_looks_may_not_open_stays_closed(running: App) -> None:
    with running.tab("emma") as tab:
        page_hash = tab.open("vault").pages["vault"]
        assert "Vault contents" in tab.seen
    with running.tab("ada") as tab:
        drawn = look(tab, "emma")
        assert "vault open: False" in drawn
        tab.open("vault")
        tab.open(page_hash=page_hash)
        tab.run(page_hash=page_hash)
        assert "Vault contents" not in tab.seen


def test_a_fragment_is_drawn_for_whom_is_looked_at_and_one_from_before_is_not_run(running: App) -> None:
    with running.tab("ada") as tab:
        tab.open()
        before = tab.fragment_of("part of ada@acme.com")
        look(tab)
        tab.run()
        drawn = tab.run(fragment=tab.fragment_of("part of vera@acme.com"), by_itself=True)
        assert "part of vera@acme.com" in drawn
        drawn = tab.run(pressed(tab.part("In a fragment")), fragment=before, by_itself=True)
        assert "part of ada@acme.com" not in drawn
        stop(tab)
        tab.open()
        assert "part of ada@acme.com" in tab.run(fragment=tab.fragment_of("part of ada@acme.com"), by_itself=True)
    assert deeds(running) == ""


def test_what_is_made_when_it_is_fetched_is_not_made(running: App) -> None:
    with running.tab("ada") as tab:
        look(tab)
        tab.run()
        assert tab.fetch(tab.part("Fetch").proto.deferred_file_id) is None
    assert deeds(running) == ""


def test_another_tab_and_a_tab_after_signing_out_look_at_nothing(running: App) -> None:
    with running.tab("ada") as tab:
        look(tab)
        with Tab(tab.browser) as other:
            assert "Home of ada@acme.com" in other.open()
        tab.run()
        tab.click("Log out")
        drawn = tab.run()
        assert "Home of" not in drawn
        assert BANNER not in drawn
    with Tab(Browser(running.address, secret=running.secret, claims=None)) as tab:
        assert BANNER not in tab.open()
