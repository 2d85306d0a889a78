"""Attacks on what the script draws: callbacks, fragments, downloads, pages, widgets, caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamlit.components.v2.bidi_component.main import _make_trigger_id
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.hostile.client import HAS_OPERATIONS, Drawing, Tab, value
from tests.hostile.table import case
from tests.hostile.twins.parts import GLOBEX, HAS_LAZY, HAS_PARALLEL
from tests.hostile.twins.routes import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hostile.arena import Arena
    from tests.hostile.client import Part

# --- callbacks -------------------------------------------------------------------------------------------------------

PRESSES: Final[dict[str, tuple[str, str, Callable[[Part], WidgetState]]]] = {
    "click": ("vault", "Wipe", lambda part: value(part, trigger_value=True)),
    "form": ("vault", "Transfer", lambda part: value(part, trigger_value=True)),
    "change": ("vault", "Note", lambda part: value(part, string_value="changed")),
    "download": ("vault", "Save", lambda part: value(part, trigger_value=True)),
    "component event": (
        "vault",
        "clicker",
        lambda part: WidgetState(
            id=_make_trigger_id(part.id, "events"), json_trigger_value='[{"event": "pressed", "value": true}]'
        ),
    ),
    "component state": ("vault", "clicker", lambda part: value(part, json_value='{"state": 1}')),
    "select": ("vault", "", lambda part: value(part, string_value='{"selection": {"rows": [1], "columns": []}}')),
    "click in a fragment": ("board", "Recount", lambda part: value(part, trigger_value=True)),
    "click in a dialog": ("board", "Confirm", lambda part: value(part, trigger_value=True)),
    "click from a thread": ("from_thread", "Purge", lambda part: value(part, trigger_value=True)),
    "click above navigation": ("", "Tidy", lambda part: value(part, trigger_value=True)),
}
"""What a callback leaves behind: the page it stands on, its label, and what the browser sends for it."""

if HAS_PARALLEL:
    PRESSES["click in a parallel fragment"] = ("board", "Reload", lambda part: value(part, trigger_value=True))


def _target(tab: Tab, what: str) -> tuple[Part, WidgetState]:
    """Open the page of a callback, and return its widget with what a browser would send."""
    page, label, press = PRESSES[what]
    tab.open(page)
    if what == "click in a dialog":
        tab.click("Ask")
    part = (
        tab.part(label)
        if label
        else next(p for p in reversed(tab.seen.parts) if p.kind in {"dataframe", "arrow_data_frame"})
    )
    return part, press(part)


def _after_revocation(what: str) -> Callable[[Arena], bool]:
    def attack(arena: Arena) -> bool:
        email = arena.person("admin")
        with arena.tab(email) as tab:
            part, press = _target(tab, what)
            arena.give(email)
            tab.run(press, fragment=part.fragment)
            return arena.done(what)

    return attack


def _after_signing_out(what: str) -> Callable[[Arena], bool]:
    def attack(arena: Arena) -> bool:
        with arena.tab(arena.person("admin")) as tab:
            part, press = _target(tab, what)
            tab.click("Log out")
            tab.run(press, fragment=part.fragment)
            return arena.done(what)

    return attack


for _what in PRESSES:
    if _what != "click above navigation":
        case(f"callback, role revoked after the page was drawn: {_what}", 1)(_after_revocation(_what))
    case(f"callback, after signing out: {_what}", 2)(_after_signing_out(_what))


@case("callback of a page left behind, role revoked", 2)
def _from_another_page(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        _, press = _target(tab, "click")
        tab.open("home")
        arena.give(email)
        tab.run(press, page="home")
        return arena.done("click")


@case("a refused callback leaves a blank page instead of a refusal", 7)
def _blank(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        tab.open("careful")
        arena.give(email)
        drawn = tab.click("Press")
        assert not arena.done("careful")
        return "You don't have access to this." not in drawn


@case("click sent with the fragment of another page, role revoked", 1, 3)
def _with_another_fragment(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        _, press = _target(tab, "click")
        fragment = tab.fragment_of("in the headline")
        arena.give(email)
        tab.run(press, fragment=fragment)
        return arena.done("click")


@case("two values for one widget in a frame, role revoked", 1)
def _twice(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        part, press = _target(tab, "click")
        arena.give(email)
        tab.run(value(part, trigger_value=False), press, press)
        return arena.done("click")


@case("click drawn for one org, sent with another org in the address", 1, 21)
def _click_for_another_org(arena: Arena) -> bool:
    email = arena.person("admin")
    arena.give(email, org="globex")
    with arena.tab(email) as tab:
        drawn = tab.open("shop", query="org=acme")
        assert "Close" in drawn
        tab.run(value(tab.part("Close"), trigger_value=True), query="org=globex")
        return arena.done("closed in globex")


@case("callback above navigation, person removed", 1)
def _above_removed(arena: Arena) -> bool:
    email = arena.person()
    with arena.tab(email) as tab:
        _, press = _target(tab, "click above navigation")
        arena.remove(email)
        tab.run(press)
        return arena.done("click above navigation")


# --- fragments -------------------------------------------------------------------------------------------------------

FRAGMENTS: Final = {
    "fragment": "in a fragment",
    "dialog": "in a dialog",
    "timed rerun": "every hour",
    "inner fragment": "in an inner fragment",
}
"""What reruns by itself, with the text it shows."""

if HAS_PARALLEL:
    FRAGMENTS["parallel fragment"] = "in a parallel fragment"


def _fragment(tab: Tab, what: str) -> str:
    tab.open("board")
    if what == "dialog":
        tab.click("Ask")
    if what == "inner fragment":
        details = tab.part("Details")
        tab.run(value(details, bool_value=True), fragment=details.fragment)
    return tab.fragment_of(FRAGMENTS[what])


def _fragment_after_revocation(what: str) -> Callable[[Arena], bool]:
    def attack(arena: Arena) -> bool:
        email = arena.person("admin")
        with arena.tab(email) as tab:
            fragment = _fragment(tab, what)
            arena.give(email)
            return f"{SECRET} {FRAGMENTS[what]}" in tab.run(fragment=fragment, by_itself=what == "timed rerun")

    return attack


def _fragment_after_signing_out(what: str) -> Callable[[Arena], bool]:
    def attack(arena: Arena) -> bool:
        with arena.tab(arena.person("admin")) as tab:
            fragment = _fragment(tab, what)
            tab.click("Log out")
            return f"{SECRET} {FRAGMENTS[what]}" in tab.run(fragment=fragment)

    return attack


for _what in FRAGMENTS:
    case(f"rerun after the role was revoked: {_what}", 3)(_fragment_after_revocation(_what))
    case(f"rerun after signing out: {_what}", 3, 4)(_fragment_after_signing_out(_what))


@case("rerun of a fragment above navigation, after signing out", 3, 4)
def _headline(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open()
        fragment = tab.fragment_of("in the headline")
        tab.click("Log out")
        return f"{SECRET} in the headline" in tab.run(fragment=fragment)


@case("rerun of a fragment that `st.stop` kept, after the refused page was drawn", 4)
def _kept(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        fragment = _fragment(tab, "fragment")
        arena.give(email)
        assert f"{SECRET} in a fragment" not in tab.open("board")
        return f"{SECRET} in a fragment" in tab.run(fragment=fragment)


@case("rerun of a fragment whose check stands around it, role revoked", 5)
def _checked_once(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        tab.open("desk")
        fragment = tab.fragment_of("in the report")
        arena.give(email)
        return f"{SECRET} in the report" in tab.run(fragment=fragment)


# --- what is fetched later -------------------------------------------------------------------------------------------


@case("deferred download, role revoked after the page was drawn", 6)
def _deferred_revoked(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        tab.open("files")
        file_id = tab.part("Export").proto.deferred_file_id
        assert SECRET.encode() in (tab.fetch(file_id) or b"")
        arena.give(email)
        return SECRET.encode() in (tab.fetch(file_id) or b"")


@case("deferred download above navigation, person removed", 6)
def _handbook(arena: Arena) -> bool:
    email = arena.person()
    with arena.tab(email) as tab:
        tab.open()
        file_id = tab.part("Handbook").proto.deferred_file_id
        assert SECRET.encode() in (tab.fetch(file_id) or b"")
        arena.remove(email)
        return SECRET.encode() in (tab.fetch(file_id) or b"")


@case("lazy table, more rows after the role was revoked", 6, given=HAS_LAZY)
def _lazy_revoked(arena: Arena) -> bool:
    email = arena.person("admin")
    with arena.tab(email) as tab:
        tab.open("files")
        source = _source(tab)
        assert f"{SECRET}-5000".encode() in tab.rows(source, offset=5000)
        arena.give(email)
        return f"{SECRET}-15000".encode() in tab.rows(source, offset=15_000)


def _source(tab: Tab) -> str:
    return next(
        str(part.proto.lazy_data.source_id)
        for part in reversed(tab.seen.parts)
        if part.kind in {"dataframe", "arrow_data_frame"}
    )


# --- pages -----------------------------------------------------------------------------------------------------------


@case("a page that isn't in the menu, by its address", 8)
def _by_name(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        return f"{SECRET} for admins" in tab.open("payroll")


@case("a page that isn't in the menu, by its hash", 8)
def _by_hash(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab:
        payroll = tab.open().pages["payroll"]
    with arena.tab(arena.person()) as tab:
        tab.open()
        return f"{SECRET} for admins" in tab.open(page_hash=payroll)


@case("a page that isn't in the menu, by a link of the app to whatever the address names", 8, 21)
def _by_link(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        return f"{SECRET} for admins" in tab.open("", query="go=payroll")


@case("the names of pages that are closed", 8)
def _names(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        drawn = tab.open()
        return bool({"payroll", "vault"} & drawn.pages.keys()) or "Payroll" in drawn


def _told(drawn: Drawing) -> bool:
    return any(SECRET in str(part.proto) for part in drawn.parts if part.kind == "exception")


@case("what an exception says: in a page", 10)
def _exception(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        return _told(tab.open("broken"))


@case("what an exception says: in a callback", 10)
def _exception_in_callback(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("broken")
        return _told(tab.click("Fail"))


@case("what an exception says: in a fragment", 10)
def _exception_in_fragment(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("broken")
        box = tab.part("Fail here")
        return _told(tab.run(value(box, bool_value=True), fragment=box.fragment))


@case("what an exception says: in a deferred download", 10, given=not HAS_OPERATIONS)
def _exception_in_download(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("broken")
        tab.fetch(tab.part("Break").proto.deferred_file_id)
        return SECRET in str(tab.seen.messages[-1])


@case("what an exception says: where the app's files are", 10)
def _places(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        drawn = tab.open("broken")
        assert any(part.kind in {"exception", "alert"} for part in drawn.parts)
        return "site-packages" in drawn or "parts.py" in drawn


# --- what the browser sends ------------------------------------------------------------------------------------------


@case("an org that isn't an option of the selectbox, read above it", 21)
def _forged_option(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("orgs")
        return GLOBEX in tab.run(value(tab.part("Org"), string_value="globex"))


@case("an org that isn't an option of the selectbox, read in its callback", 21)
def _forged_option_in_callback(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("orgs")
        tab.run(value(tab.part("Org"), string_value="globex"))
        return arena.done("switched to globex")


@case("an option that isn't one, of a radio, in its callback", 21)
def _forged_radio(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("orgs")
        tab.run(value(tab.part("Team"), string_value="globex"))
        return arena.done("switched to globex")


@case("options that aren't any, of a multiselect, in its callback", 21)
def _forged_multiselect(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("orgs")
        tab.run(value(tab.part("Units"), string_array_value=["globex"]))
        return arena.done("switched to ['globex']")


@case("an org by the address that the browser says it is at", 21)
def _forged_url(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        return GLOBEX in tab.run(page="orgs", url="https://globex.example/orgs")


@case("somebody else's org in the address", 21)
def _forged_query(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open("orgs")
        tried = ("org=globex", "org=acme&org=globex", "org=globex&org=acme", "%6frg=globex")
        return any(GLOBEX in tab.open("orgs", query=each) for each in tried)


@case("a cached answer for somebody else", 22)
def _cached(arena: Arena) -> bool:
    first, second = arena.person(), arena.person()
    with arena.tab(first) as tab:
        tab.open("mine")
    with arena.tab(second) as tab:
        return f"rows of {first}" in tab.open("mine")


@case("a cached value of another org", 22)
def _cached_of_org(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        assert f"numbers of {SECRET}" in tab.open("numbers")
    with arena.tab(arena.person(org="globex")) as tab:
        return f"numbers of {SECRET}" in tab.open("numbers")
