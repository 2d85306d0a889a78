"""What a page registered is asked about again when it runs, and an app whose hooks don't fit shows no page."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.state.session_state import SessionState

from stguard.app import mediation, private
from stguard.app.mediation import ORG_CHANGED
from stguard.app.place import Place
from stguard.app.standing import Memo, Run
from stguard.model import RoleIs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.app.conftest import Desk

FRAGMENTS = "register" if "register" in vars(MemoryFragmentStorage) else "set"
HOOKED = [
    (SessionState, "register_widget"),
    (SessionState, "on_script_will_rerun"),
    (MemoryFragmentStorage, FRAGMENTS),
    (MediaFileManager, "add_deferred"),
]

PRESSED = """
    def pressed(): st.session_state.pressed = st.session_state.get("pressed", 0) + 1
    def settings(): st.button("Press", on_click=pressed)
    sg.navigation([st.Page(settings)]).run()
"""

UNAVAILABLE = "This app is not available right now."
REFUSED = "You don't have access to this."


@pytest.fixture
def unhooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Take the hooks out of Streamlit, as before the first `navigation` of a process; put back what was there."""
    for owner, name in HOOKED:
        monkeypatch.setattr(owner, name, inspect.unwrap(getattr(owner, name)))
    mediation._unfit.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    mediation._unfit.cache_clear()


def count(at: Any) -> int:
    return int(at.session_state["pressed"]) if "pressed" in at.session_state else 0


# --- asked again -----------------------------------------------------------------------------------------------------


def test_a_callback_runs_for_who_registered_it(desk: Desk) -> None:
    at = desk.main(PRESSED).run("ada")
    assert count(at.button[0].click().run()) == 1


def test_a_callback_is_not_called_after_the_policy_closed_its_page_and_the_page_says_so(desk: Desk, shown: Any) -> None:
    at = desk.main(PRESSED).run("ada")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: admin, email: ada@acme.com", "role: viewer, email: ada@acme.com"))
    at.button[0].click().run()
    assert count(at) == 0
    assert REFUSED in shown(at)


def test_a_callback_never_runs_for_somebody_else(desk: Desk, claims: Any) -> None:
    desk.policy(
        (desk.folder / "policy.yaml")
        .read_text(encoding="utf-8")
        .replace("vera@acme.com}", "x@y.z}")
        .replace("{role: analyst, email: ann@acme.com}", "{role: admin, email: ann@acme.com}")
    )
    at = desk.main(PRESSED).run("ada")
    button = at.button[0].click()
    desk.raw({"is_logged_in": True, **claims("ann")}, at)
    button.run()
    assert count(at) == 0


def test_a_callback_never_runs_after_signing_out_even_on_a_public_page(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        def status(): st.button("Press", on_click=pressed)
        sg.navigation([st.Page(status)]).run()
    """).run("ada")
    button = at.button[0].click()
    desk.raw({"is_logged_in": False}, at)
    button.run()
    assert count(at) == 0


def test_on_a_public_page_callbacks_run_for_nobody(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        def status(): st.button("Press", on_click=pressed)
        sg.navigation([st.Page(status, default=True)]).run()
    """).app(None)
    at.run()
    next(button for button in at.button if button.label == "Press").click().run()
    assert count(at) == 1


def test_what_stands_above_navigation_needs_a_person(desk: Desk) -> None:
    desk.main("""
        def pressed(): st.session_state.pressed = 1
        st.button("Press", on_click=pressed)
        def status(): st.title("Status")
        sg.navigation([st.Page(status, default=True)]).run()
    """)
    nobody, ada = desk.run(None), desk.run("ada")
    assert count(nobody.button[0].click().run()) == 0
    assert count(ada.button[0].click().run()) == 1


def test_what_stands_above_navigation_follows_the_rule_of_the_scripts_own_name(desk: Desk) -> None:
    desk.policy((desk.folder / "policy.yaml").read_text(encoding="utf-8") + "  main: {role: admin}\n").main("""
        def pressed(): st.session_state.pressed = 1
        st.button("Press", on_click=pressed)
        def home(): st.title("Home")
        sg.navigation([st.Page(home)]).run()
    """)
    vera, ada = desk.run("vera"), desk.run("ada")
    assert count(vera.button[0].click().run()) == 0
    assert count(ada.button[0].click().run()) == 1


def test_what_stands_below_the_page_is_the_entry_scripts_not_the_pages(desk: Desk) -> None:
    desk.main("""
        def pressed(): st.session_state.pressed = 1
        def status(): st.title("Status")
        sg.navigation([st.Page(status, default=True)]).run()
        st.button("Press", on_click=pressed)
    """)
    nobody = desk.run(None)
    assert count(nobody.button[-1].click().run()) == 0


def test_signing_out_is_never_refused(desk: Desk) -> None:
    at = (
        desk.policy((desk.folder / "policy.yaml").read_text(encoding="utf-8") + "  main: {role: admin}\n")
        .main("""
        st.button("Log out", on_click=st.logout)
        def home(): st.title("Home")
        sg.navigation([st.Page(home)]).run()
    """)
        .run("vera")
    )
    button = at.button[0].click()
    at.run()
    assert button.label == "Log out"
    assert not at.exception
    assert not at.title


def test_what_requires_guards_inside_a_page_is_asked_about_too(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        @sg.requires("report:export")
        def tools(): st.button("Press", on_click=pressed)
        def reports(): tools()
        sg.navigation([st.Page(reports)]).run()
    """).run("ann")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: analyst, email", "role: viewer, email"))
    assert count(at.button[0].click().run()) == 0


IN_STEPS = """
    import asyncio
    def pressed(): st.session_state.pressed = 1
    @sg.requires("{guard}")
    def buttons():
        yield st.button("First", on_click=pressed)
        yield st.button("Second", on_click=pressed)
        return st.button("Last", on_click=pressed)
    @sg.requires("{guard}")
    async def awaited():
        yield st.button("Awaited", on_click=pressed)
        yield st.button("Awaited, too", on_click=pressed)
    async def draw():
        async for _ in awaited(): pass
    def reports():
        for _ in buttons(): pass
        asyncio.run(draw())
    sg.navigation([st.Page(reports)]).run()
"""


@pytest.mark.parametrize("label", ["First", "Second", "Last", "Awaited", "Awaited, too"])
@pytest.mark.parametrize(("guard", "runs"), [("report:view", 1), ("report:export", 0)])
def test_what_a_guarded_generator_registers_is_asked_about_with_its_rule(
    desk: Desk, label: str, guard: str, runs: int
) -> None:
    at = desk.main(IN_STEPS.format(guard=guard)).run("ann")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: analyst, email", "role: viewer, email"))
    assert count(next(button for button in at.button if button.label == label).click().run()) == runs


def test_between_the_steps_of_a_guarded_generator_its_rule_does_not_hold(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        @sg.requires("report:export")
        def rows(): yield from range(2)
        def reports():
            for number in rows(): st.button(f"{number}", on_click=pressed)
        sg.navigation([st.Page(reports)]).run()
    """).run("ann")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: analyst, email", "role: viewer, email"))
    assert count(at.button[0].click().run()) == 1


def test_a_thread_of_the_authors_registers_with_the_rule_of_its_page(desk: Desk) -> None:
    at = desk.main("""
        import threading
        from streamlit.runtime.scriptrunner import add_script_run_ctx
        def pressed(): st.session_state.pressed = 1
        def settings():
            thread = threading.Thread(target=lambda: st.button("Press", on_click=pressed))
            add_script_run_ctx(thread).start()
            thread.join()
        sg.navigation([st.Page(settings)]).run()
    """).run("ada")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: admin, email: ada@acme.com", "role: viewer, email: ada@acme.com"))
    assert count(at.button[0].click().run()) == 0


def test_a_thread_started_in_a_part_that_requires_guards_registers_with_that_rule_too(desk: Desk) -> None:
    at = desk.main("""
        import threading
        from streamlit.runtime.scriptrunner import add_script_run_ctx
        def pressed(): st.session_state.pressed = 1
        @sg.requires("report:export")
        def tools():
            thread = threading.Thread(target=lambda: st.button("Press", on_click=pressed))
            add_script_run_ctx(thread).start()
            thread.join()
        def reports(): tools()
        sg.navigation([st.Page(reports)]).run()
    """).run("ann")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: analyst, email", "role: viewer, email"))
    assert count(at.button[0].click().run()) == 0


def test_what_was_drawn_for_one_org_does_not_run_in_another(orgs: Desk, shown: Any) -> None:
    at = orgs.main("""
        def pressed(): st.session_state.pressed = 1
        def home(): st.button("Press", on_click=pressed)
        sg.navigation([st.Page(home)]).run()
    """).app("ann")
    at.session_state["stguard_org"] = "acme"
    at.run()
    at.session_state["stguard_org"] = "globex"
    at.button[0].click().run()
    assert count(at) == 0
    assert ORG_CHANGED in shown(at)


@pytest.mark.parametrize(("label", "runs"), [("For acme", 0), ("For globex", 1)])
def test_what_one_run_draws_for_two_orgs_is_bound_to_each(orgs: Desk, label: str, runs: int) -> None:
    at = orgs.main("""
        def pressed(): st.session_state.pressed = 1
        def home():
            for org in ("acme", "globex"):
                st.session_state.stguard_org = org
                st.button(f"For {org}", on_click=pressed)
        sg.navigation([st.Page(home)]).run()
    """).run("ann")
    assert count(next(button for button in at.button if button.label == label).click().run()) == runs


def test_what_a_page_draws_in_one_run_shares_one_binding(desk: Desk) -> None:
    at = desk.main("""
        from stguard.app import private
        def status():
            for number in range(5): st.button(f"{number}", on_click=print)
            metadata = private.context().session_state._state._new_widget_state.widget_metadata.values()
            st.write(str(len({id(each.callback.binding) for each in metadata if each.callback})))
        sg.navigation([st.Page(status, default=True)]).run()
    """).run("ada")
    assert [element.value for element in at.markdown] == ["1"]


def test_clearing_the_session_state_frees_nothing(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        st.checkbox("Clear", on_change=st.session_state.clear)
        st.button("Press", on_click=pressed)
        def status(): st.title("Status")
        sg.navigation([st.Page(status, default=True)]).run()
    """).run(None)
    at.checkbox[0].check()
    assert count(at.button[0].click().run()) == 0


# --- the hooks -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unhooked")
def test_the_first_run_of_a_process_is_guarded_above_navigation(desk: Desk) -> None:
    assert not hasattr(SessionState.register_widget, private.HOOKED)
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        st.button("Press", on_click=pressed)
        def status(): st.title("Status")
        sg.navigation([st.Page(status, default=True)]).run()
    """).run(None)
    assert hasattr(SessionState.register_widget, private.HOOKED)
    assert count(at.button[0].click().run()) == 0


@pytest.mark.parametrize(("owner", "name"), HOOKED, ids=lambda part: getattr(part, "__name__", part))
def test_another_signature_than_the_one_that_was_read_shows_no_page(
    desk: Desk, unhooked: pytest.MonkeyPatch, shown: Any, owner: type, name: str
) -> None:
    original = getattr(owner, name)

    def other(self: Any, *anything: Any, **more: Any) -> Any:
        return original(self, *anything, **more)

    unhooked.setattr(owner, name, other)
    at = desk.main(PRESSED).run("ada")
    assert UNAVAILABLE in shown(at)
    assert not at.button


@pytest.mark.parametrize(("owner", "name"), HOOKED, ids=lambda part: getattr(part, "__name__", part))
def test_a_method_that_is_gone_shows_no_page(
    desk: Desk, unhooked: pytest.MonkeyPatch, shown: Any, owner: type, name: str
) -> None:
    original = getattr(owner, name)
    with unhooked.context() as gone:
        gone.delattr(owner, name)
        unfit = mediation._unfit()
    assert getattr(owner, name) is original
    assert unfit is not None
    assert UNAVAILABLE in shown(desk.main(PRESSED).run("ada"))


@pytest.mark.parametrize(
    ("hook", "way"),
    [
        ("hook_callbacks", "callbacks, callbacks by event"),
        ("hook_fragments", "fragments"),
        ("hook_deferred", "deferred"),
        ("hook_input", "what the browser sends"),
    ],
)
def test_a_hook_without_effect_shows_no_page(
    desk: Desk, unhooked: pytest.MonkeyPatch, shown: Any, caplog: pytest.LogCaptureFixture, hook: str, way: str
) -> None:
    unhooked.setattr(private, hook, lambda _bind: None)
    assert UNAVAILABLE in shown(desk.main(PRESSED).run("ada"))
    assert f"are not reached by {way}" in caplog.text


def test_a_self_test_that_fails_shows_no_page(
    desk: Desk, unhooked: pytest.MonkeyPatch, shown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> list[str]:
        raise RuntimeError("no such thing")

    unhooked.setattr(private, "exercise_hooks", fails)
    assert UNAVAILABLE in shown(desk.main(PRESSED).run("ada"))
    assert "could not be tried" in caplog.text


def test_without_hooks_callbacks_run_unasked_and_the_log_warns(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    mediation._warn_off.cache_clear()
    caplog.set_level(logging.WARNING, "stguard")
    at = desk.main('sg.configure(hooks="off")\n' + inspect.cleandoc(PRESSED)).run("ada")
    assert 'hooks="off"' in caplog.text
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    desk.policy(policy.replace("role: admin, email: ada@acme.com", "role: viewer, email: ada@acme.com"))
    assert count(at.button[0].click().run()) == 1


def test_an_app_without_navigation_keeps_its_callbacks(desk: Desk) -> None:
    at = desk.main("""
        def pressed(): st.session_state.pressed = 1
        sg.can("report:view")
        st.button("Press", on_click=pressed)
    """).run(None)
    assert count(at.button[0].click().run()) == 1


def test_what_another_thread_of_the_run_bound_meanwhile_is_never_taken_for_ones_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Overtaken(Run):
        """A parallel fragment, which nothing guards, is the last to write."""

        @property
        def bound(self) -> Any:
            return (), "bound to the open fragment"

        @bound.setter
        def bound(self, _bound: Any) -> None: ...

    run = Overtaken(token=None, user={}, claims=None, memo=Memo())
    guarded = Place(page="home", inner=RoleIs(("admin",)))
    monkeypatch.setattr(private, "context", object)
    monkeypatch.setattr(mediation, "known_settings", lambda _ctx: None)
    monkeypatch.setattr(mediation, "here_in", lambda _ctx: guarded)
    monkeypatch.setattr(mediation, "this_run", lambda _ctx: run)
    monkeypatch.setattr("stguard.app.wishes.stamp", lambda _wishes: ())
    monkeypatch.setattr(mediation, "_bound_to", lambda _ctx, place, _settings: place)
    bound: Any = mediation._binding()
    assert bound == guarded
