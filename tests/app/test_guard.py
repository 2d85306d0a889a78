"""`requires` and its kin hold at the moment of use, wherever Streamlit calls the function from."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunData
from streamlit.testing.v1 import local_script_runner

import stguard as sg
from stguard.app import private
from stguard.app.guard import rule_of
from stguard.model import AllOf, AnyOf, GroupIs, Not, PermissionIs, Public, RoleIs, SignedIn
from stguard.policy import Policy

REQUIRES: Any = sg.requires
AUTHORIZE: Any = sg.authorize
CAN: Any = sg.can
"""The same, for arguments that a type checker would not let through."""


def FUNCTION(*_given: Any) -> None:  # noqa: N802  stands in a table
    """Do nothing."""


PAGE = """
    {decorator}
    def export(): st.title("exported")
    export()
    st.write("after")
"""


@pytest.mark.parametrize(
    ("demand", "allowed", "refused"),
    [
        ('"report:export"', "ann", "vera"),
        ('permission="report:export"', "ann", "vera"),
        ('permission=["report:export", "billing:view"]', "ann", "vera"),
        ('role="analyst"', "ann", "vera"),
        ('email="ANN@acme.com"', "ann", "vera"),
        ('any_of=["report:export", {"role": "admin"}]', "ada", "vera"),
        ('all_of=[{"role": "viewer"}, {"not": {"email": "vera@acme.com"}}]', "ann", "vera"),
        ('any_of=[{"domain": "acme.com"}]', "ann", None),
        ('any_of=[{"claim": {"sub": "ann"}}]', "ann", "vera"),
        ('"signed_in"', "eve", None),
    ],
)
def test_a_guarded_function_runs_for_who_may_and_shows_a_refusal_to_others(
    desk: Any, shown: Any, demand: str, allowed: str, refused: str | None
) -> None:
    desk.main(PAGE.format(decorator=f"@sg.requires({demand})"))
    assert "exported" in shown(desk.run(allowed))
    text = shown(desk.run(refused))
    assert "exported" not in text
    assert "after" not in text
    assert "exported" in shown(desk.main(PAGE.format(decorator="")).run(refused))


def test_a_refusal_names_no_role_rule_or_file(desk: Any, shown: Any) -> None:
    desk.main(PAGE.format(decorator='@sg.requires(all_of=["report:export", {"role": "analyst"}])'))
    text = shown(desk.run("vera"))
    assert "You don't have access to this." in text
    assert not [word for word in ("analyst", "report:", "yaml", "role", "permission") if word in text]


def test_a_visitor_is_asked_to_sign_in(desk: Any, shown: Any) -> None:
    desk.main(PAGE.format(decorator='@sg.requires("report:export")'))
    assert "Sign in" in shown(desk.run(None))


def test_hide_draws_nothing_and_goes_on(desk: Any, shown: Any) -> None:
    desk.main(PAGE.format(decorator='@sg.requires("report:export", on_deny="hide")'))
    assert shown(desk.run("vera")) == "after"


def test_raise_raises_what_the_author_can_catch(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export", on_deny="raise")
        def export(): st.title("exported")
        try:
            export()
        except PermissionError as error:
            st.write(error.decision.reason.value)
    """)
    at = desk.run("vera")
    assert at.markdown[0].value == "not_granted"
    assert not at.title


def test_methods_are_guarded(desk: Any) -> None:
    desk.main("""
        class Reports:
            @sg.requires("report:export")
            def export(self, name): st.title(f"exported {name}")
            @staticmethod
            @sg.requires("report:export")
            def still(): st.title("static")
            @classmethod
            @sg.requires("report:export", on_deny="hide")
            def of(cls): st.title("class")
        Reports.of()
        Reports().export("q3")
        Reports.still()
    """)
    assert [title.value for title in desk.run("ann").title] == ["class", "exported q3", "static"]
    assert not desk.run("vera").title


def test_async_functions_are_asked_about_when_they_run(desk: Any) -> None:
    desk.main("""
        import asyncio
        @sg.requires("report:export", on_deny="hide")
        async def export(): return "exported"
        st.write(str(asyncio.run(export())))
    """)
    assert desk.run("ann").markdown[0].value == "exported"
    assert desk.run("vera").markdown[0].value == "None"


def test_generators_are_asked_about_when_they_are_iterated(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export", on_deny="hide")
        def rows():
            yield "row"
        st.write(str(list(rows())))
    """)
    assert desk.run("ann").markdown[0].value == "['row']"
    assert desk.run("vera").markdown[0].value == "[]"


def test_async_generators_are_asked_about_when_they_are_iterated(desk: Any) -> None:
    desk.main("""
        import asyncio
        @sg.requires("report:export", on_deny="hide")
        async def rows():
            yield "row"
        async def read(): return [row async for row in rows()]
        st.write(str(asyncio.run(read())))
    """)
    assert desk.run("ann").markdown[0].value == "['row']"
    assert desk.run("vera").markdown[0].value == "[]"


def test_a_guarded_generator_takes_what_is_sent_and_thrown_into_it_and_returns_and_closes(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export")
        def talk(said):
            try:
                while True:
                    try:
                        said.append((yield len(said)))
                    except KeyError as error:
                        said.append(error.args[0])
                    if said[-1] == "end":
                        return "done"
            finally:
                said.append("closed")
        def whole(said):
            return (yield from talk(said))
        said = []
        talker = whole(said)
        said.append(next(talker))
        said.append(talker.send("sent"))
        said.append(talker.throw(KeyError("thrown")))
        try:
            talker.send("end")
        except StopIteration as end:
            said.append(end.value)
        st.write(str(said))
        said = []
        talker = talk(said)
        next(talker)
        talker.close()
        st.write(str(said))
    """)
    first, second = (element.value for element in desk.run("ann").markdown)
    assert first == "[0, 'sent', 2, 'thrown', 4, 'end', 'closed', 'done']"
    assert second == "['closed']"


def test_a_guarded_async_generator_takes_what_is_sent_and_thrown_into_it_and_closes(desk: Any) -> None:
    desk.main("""
        import asyncio
        @sg.requires("report:export")
        async def talk(said):
            try:
                while True:
                    try:
                        said.append((yield len(said)))
                    except KeyError as error:
                        said.append(error.args[0])
            finally:
                said.append("closed")
        async def whole(said):
            talker = talk(said)
            said.append(await anext(talker))
            said.append(await talker.asend("sent"))
            said.append(await talker.athrow(KeyError("thrown")))
            await talker.aclose()
            return said
        st.write(str(asyncio.run(whole([]))))
    """)
    assert desk.run("ann").markdown[0].value == "[0, 'sent', 2, 'thrown', 4, 'closed']"


# --- callbacks


CALLBACK = """
    def export(): st.session_state.done = "exported"
    {guard}
    st.button("Export", on_click=export)
    st.write("body", st.session_state.get("done", "nothing"))
"""


def test_a_refused_callback_is_not_called_and_the_body_shows_the_refusal(desk: Any, shown: Any) -> None:
    desk.main(CALLBACK.format(guard='export = sg.requires("report:export")(export)'))
    at = desk.run("vera")
    at.button[0].click().run()
    assert "body nothing" in shown(at)
    assert at.error[0].value == "You don't have access to this."
    at.run()
    assert not at.error


def test_an_allowed_callback_is_called(desk: Any, shown: Any) -> None:
    desk.main(CALLBACK.format(guard='export = sg.requires("report:export")(export)'))
    assert "body exported" in shown(desk.run("ann").button[0].click().run())


def test_a_guard_in_the_body_alone_does_not_hold_for_a_callback(desk: Any, shown: Any) -> None:
    naive = 'st.session_state.may = sg.can("report:export")\n    if not st.session_state.may: st.write("refused")'
    desk.main(CALLBACK.format(guard=naive))
    assert "body exported" in shown(desk.run("vera").button[0].click().run())


@pytest.mark.parametrize("guard", ['sg.authorize("report:export")', "allowed()"])
def test_a_refusal_inside_a_callback_skips_the_rest_of_it(desk: Any, shown: Any, guard: str) -> None:
    desk.main(f"""
        @sg.requires("report:export")
        def allowed(): pass
        def export():
            {guard}
            st.session_state.done = "exported"
        def home():
            st.button("Export", on_click=export)
            st.write("body", st.session_state.get("done", "nothing"))
        sg.navigation([home]).run()
    """)
    at = desk.run("vera")
    at.button[0].click().run()
    assert "body nothing" in shown(at)
    assert at.error[0].value == "You don't have access to this."
    assert "body exported" in shown(desk.run("ann").button[0].click().run())


def test_the_refusal_of_a_callback_shows_once_above_the_page(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export")
        def export(): st.session_state.done = True
        def home():
            st.title("home")
            st.button("Export", on_click=export)
        sg.navigation([home]).run()
    """)
    at = desk.run("vera")
    at.button[0].click().run()
    assert len(at.error) == 1
    assert "done" not in at.session_state
    assert not at.run().error


def test_a_hidden_refusal_of_a_callback_says_nothing(desk: Any, shown: Any) -> None:
    desk.main(CALLBACK.format(guard='export = sg.requires("report:export", on_deny="hide")(export)'))
    at = desk.run("vera").button[0].click().run()
    assert shown(at) == "body nothing"


def test_a_callback_of_a_page_that_is_gone_still_asks(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export")
        def export(): st.session_state.done = True
        st.button("Export", on_click=export)
    """)
    at = desk.run("ann")
    path = desk.folder / "policy.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("ann@acme.com", "zoe@acme.com"), encoding="utf-8")
    at.button[0].click().run()
    assert "done" not in at.session_state


# --- fragments, dialogs, caches


FRAGMENT = """
    {decorators}
    def panel():
        st.title("panel content")
        st.button("Refresh")
    panel()
    st.write("rest of the page")
"""


def test_a_refused_fragment_shows_its_refusal_in_place_and_the_page_goes_on(desk: Any, shown: Any) -> None:
    desk.main(FRAGMENT.format(decorators='@st.fragment\n    @sg.requires("report:export")'))
    text = shown(desk.run("vera"))
    assert "You don't have access to this." in text
    assert "rest of the page" in text
    assert "panel content" not in text
    assert "panel content" in shown(desk.run("ann"))


@pytest.fixture
def rerun_fragments(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that reruns an app's fragments alone, as a widget in them or `run_every` does."""

    def rerun(at: Any) -> Any:
        fragments = list(at._fragment_storage._fragments)
        assert fragments
        with monkeypatch.context() as patch:
            patch.setattr(local_script_runner, "RerunData", functools.partial(RerunData, fragment_id_queue=fragments))
            return at.run()

    return rerun


@pytest.mark.skipif(tuple(map(int, st.__version__.split(".")[:2])) < (1, 67), reason="needs Streamlit 1.67: AppTest")
@pytest.mark.parametrize(("guard", "again"), [('@sg.requires("report:export")', []), ("", ["panel content"])])
def test_a_fragment_that_reruns_alone_is_asked_about_again(
    desk: Any, rerun_fragments: Any, guard: str, again: list[str]
) -> None:
    desk.main(f"""
        sg.authorize("report:export")
        st.session_state.setdefault("drawn", []).append("page")
        @st.fragment
        {guard}
        def panel():
            st.session_state.drawn.append("panel content")
        panel()
    """)
    at = desk.run("ann")
    assert at.session_state["drawn"] == ["page", "panel content"]
    path = desk.folder / "policy.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("ann@acme.com", "zoe@acme.com"), encoding="utf-8")
    rerun_fragments(at)
    assert not at.exception
    assert at.session_state["drawn"] == ["page", "panel content", *again]
    assert bool(at.error) is bool(guard)


def test_several_refused_fragments_each_show_one_line(desk: Any) -> None:
    desk.main("""
        @st.fragment
        @sg.requires("report:export")
        def one(): st.title("one")
        @st.fragment
        @sg.requires("report:export")
        def two(): st.title("two")
        one()
        two()
    """)
    at = desk.run("vera")
    assert not at.exception
    assert len(at.error) == 2
    assert len(desk.run(None).error) == 2


@pytest.mark.parametrize(
    ("above", "below", "order"),
    [
        ('@sg.requires("report:export")', "@st.fragment", "@st.fragment above, @sg.requires below"),
        ('@sg.requires("report:export")', "@st.fragment(run_every=5)", "@st.fragment above, @sg.requires below"),
        ('@sg.requires("report:export")', '@st.dialog("Title")', "@st.dialog above, @sg.requires below"),
        ("@st.cache_data", '@sg.requires("report:export")', "@sg.requires above, @st.cache_data below"),
        ("@st.cache_data(ttl=60)", '@sg.requires("report:export")', "@sg.requires above, @st.cache_data below"),
        ("@st.cache_resource", '@sg.requires("report:export")', "@sg.requires above, @st.cache_resource below"),
    ],
)
def test_an_order_in_which_the_guard_would_not_hold_is_refused_with_the_right_one(
    desk: Any, above: str, below: str, order: str
) -> None:
    desk.main(f"""
        {above}
        {below}
        def panel(): st.title("panel content")
        st.title("defined")
    """)
    at = desk.run("ann")
    assert order in at.exception[0].message
    assert not at.title


def test_the_right_orders_run(desk: Any) -> None:
    desk.main("""
        @st.dialog("Title")
        @sg.requires("report:export")
        def ask(): st.title("dialog content")
        @sg.requires("report:export")
        @st.cache_data
        def data(): return "data"
        @sg.requires("report:export")
        @st.cache_resource
        def engine(): return "engine"
        st.title(data() + engine())
        ask()
    """)
    at = desk.run("ann")
    assert not at.exception
    assert [title.value for title in at.title] == ["dataengine", "dialog content"]
    assert not desk.run("vera").title


@pytest.mark.parametrize(
    ("imported", "decorator"),
    [
        ("from functools import cache as memo", "memo"),
        ("from functools import lru_cache as memo", "memo(maxsize=9)"),
        ("import functools as tools", "tools.lru_cache"),
        ("def cached(store): return lambda function: function", "cached({})"),  # the name that cachetools has
    ],
)
def test_a_guard_under_a_cache_of_another_name_is_refused(desk: Any, imported: str, decorator: str) -> None:
    desk.write(
        "store.py",
        f"import stguard as sg\n{imported}\n@{decorator}\n@sg.requires('report:export')\ndef export(): return 'all'\n",
    )
    at = desk.main("""
        import runpy
        from pathlib import Path
        store = runpy.run_path(str(Path(__file__).parent / "store.py"))
        st.title(store["export"]())
    """).run("ann")
    assert "is skipped when the result is in the cache" in at.exception[0].message
    assert not at.title


def test_a_guard_under_a_cache_that_the_source_does_not_show_is_refused_when_it_runs(desk: Any) -> None:
    desk.main("""
        def data(): return "data"
        cached = st.cache_data(sg.requires("report:export")(data))
        st.title(cached())
    """)
    at = desk.run("ann")
    assert "inside a cached function" in at.exception[0].message
    assert not at.title


def test_without_the_refusal_a_cached_guard_would_serve_everybody(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "in_cached_function", lambda: False)
    desk.main("""
        def data(): return "secret of ann"
        cached = st.cache_data(sg.requires("report:export")(data))
        st.title(cached())
    """)
    assert desk.run("ann").title[0].value == "secret of ann"
    assert desk.run("vera").title[0].value == "secret of ann"


# --- what can't be guarded


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (REQUIRES, "a guard must demand something"),
        (lambda: REQUIRES(None), "a guard must demand something"),
        (lambda: REQUIRES(role=None), "a guard must demand something"),
        (lambda: REQUIRES(role=""), "`role` takes names"),
        (lambda: REQUIRES(role=[]), "`role` is empty"),
        (lambda: REQUIRES(any_of=[]), "any_of is empty"),
        (lambda: REQUIRES(all_of=[]), "all_of is empty"),
        (lambda: REQUIRES(all_of=[{}]), "an empty mapping demands nothing"),
        (lambda: REQUIRES(any_of="report:view"), "any_of takes a list"),
        (lambda: REQUIRES(any_of=["public"]), "`public` in a guard lets anyone in"),
        (lambda: REQUIRES(any_of=[Public(), RoleIs(("admin",))]), "`public` in a guard lets anyone in"),
        (lambda: REQUIRES(any_of=[AnyOf((Not(Public()),))]), "`public` in a guard lets anyone in"),
        (lambda: REQUIRES(any_of=[AllOf(())]), "an empty list of demands"),
        (lambda: REQUIRES(any_of=[{"rolle": "admin"}]), "unknown key `rolle` in a demand; did you mean `role`?"),
        (lambda: REQUIRES(any_of=[{"claim": "x"}]), "`claim` takes a mapping"),
        (lambda: REQUIRES(any_of=[7]), "a demand is a permission or a mapping"),
        (lambda: REQUIRES(role=7), "`role` takes a name or a list"),
        (lambda: REQUIRES(7), "a permission is a text"),
        (lambda: REQUIRES("page:home"), "asks for a page"),
        (lambda: REQUIRES("a:b", on_deny="ignore"), "on_deny is `stop`, `hide` or `raise`"),
        (lambda: REQUIRES(FUNCTION), "stands without parentheses"),
        (lambda: REQUIRES("a:b")(7), "guards functions"),
        (lambda: REQUIRES("a:b")(classmethod(FUNCTION)), "put @classmethod above"),
        (lambda: REQUIRES("a:b")(property(FUNCTION)), "put @property above"),
        (lambda: REQUIRES("a:b")(int), "got a class"),
        (AUTHORIZE, "a guard must demand something"),
        (lambda: AUTHORIZE("a:b", on_deny="hide"), "on_deny of a statement"),
        (CAN, "a guard must demand something"),
    ],
)
def test_what_would_guard_nothing_is_an_error(make: Any, message: str) -> None:
    with pytest.raises(sg.ConfigurationError) as caught:
        make()
    assert message in str(caught.value)


def test_the_keywords_become_the_rule_type_of_the_policy() -> None:
    guarded = REQUIRES("a:b", role=["x", "y"], group={"g"}, any_of=["c:d", "signed_in", {"not": {"role": "z"}}])(
        lambda: None
    )
    assert rule_of(guarded) == AllOf(
        (
            PermissionIs(("a:b",)),
            RoleIs(("x", "y")),
            GroupIs(("g",)),
            AnyOf((PermissionIs(("c:d",)), SignedIn(), Not(RoleIs(("z",))))),
        )
    )


def test_guards_stacked_on_one_function_all_count_in_the_menu() -> None:
    guarded = sg.requires("a:b")(sg.requires(role="x")(lambda: None))
    assert rule_of(guarded) == AllOf((PermissionIs(("a:b",)), RoleIs(("x",))))


def test_a_guarded_function_keeps_its_name_and_signature() -> None:
    def export(name: str, *, rows: int = 3) -> str:
        """Export."""
        return name * rows

    guarded = sg.requires("a:b")(export)
    assert (guarded.__name__, guarded.__doc__) == ("export", "Export.")
    assert inspect.signature(guarded) == inspect.signature(export)


def test_a_guarded_function_does_not_run_outside_a_script_run() -> None:
    called: list[int] = []
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        sg.requires("a:b")(lambda: called.append(1))()
    assert not called


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            'sg.requires("report:exprot")(lambda: 1)()',
            "unknown permission `report:exprot`; did you mean `report:export`?",
        ),
        ('sg.requires(role="amdin")(lambda: 1)()', "unknown role `amdin`; did you mean `admin`?"),
        ('sg.authorize(role="amdin")', "unknown role `amdin`; did you mean `admin`?"),
        ('sg.can("report:exprot")', "did you mean `report:export`?"),
        ('sg.can(page="setings")', "unknown page `setings`; did you mean `settings`?"),
        ('sg.can("report:view", org="acme")', "the policy has no `orgs`"),
        ('sg.requires(org="acme")(lambda: 1)()', "the policy has no `orgs`"),
    ],
)
def test_a_misspelt_name_in_code_is_an_error_with_the_nearest_name(desk: Any, code: str, message: str) -> None:
    desk.main(f"st.write({code})\nst.title('ran')")
    at = desk.run("ada")
    assert message in at.exception[0].message
    assert not at.title


def test_a_misspelt_name_is_found_at_decoration_once_the_policy_is_at_hand(desk: Any) -> None:
    desk.main("""
        sg.configure()
        @sg.requires(role="amdin")
        def never_called(): pass
    """)
    assert "did you mean `admin`?" in desk.run("ada").exception[0].message


# --- questions


def test_can_and_explain_agree(desk: Any) -> None:
    desk.main("""
        asked = ["report:view", "report:export", "billing:view", "page:reports", "page:settings"]
        st.write(str([sg.can(action) for action in asked]))
        st.write(str([sg.explain(action).allowed for action in asked]))
        st.write(str([sg.can(role="admin"), sg.can(page="reports"), sg.can(any_of=["report:view"])]))
        decision = sg.explain("report:export")
        st.write(decision.action, decision.reason.value)
    """)
    at = desk.run("vera")
    assert at.markdown[0].value == at.markdown[1].value == "[True, False, False, True, False]"
    assert at.markdown[2].value == "[False, True, True]"
    assert at.markdown[3].value == "report:export not_granted"


def test_can_about_a_page_counts_what_its_function_demands(desk: Any) -> None:
    desk.main("""
        @sg.requires("report:export")
        def reports(): pass
        def home(): st.write(str(sg.can(page="reports")))
        sg.navigation([home, reports]).run()
    """)
    assert desk.run("vera").markdown[0].value == "False"
    assert desk.run("ann").markdown[0].value == "True"


ABOVE = """
    {function}
    st.write(str(sg.can(page="reports")))
    def home(): pass
    sg.navigation({pages}).run()
"""
SECTIONS = "sections: {Admin: {role: admin}, Work: signed_in}\n"
MENUS = {
    "a list": ("def reports(): pass", "[home, reports]"),
    "an open section": ("def reports(): pass", '{"Work": [home, reports]}'),
    "a section": ("def reports(): pass", '{"Work": [home], "Admin": [reports]}'),
    "a function": ('@sg.requires("report:export")\n    def reports(): pass', "[home, reports]"),
    "a function of another name": (
        '@sg.requires("report:export")\n    def shown(): pass', '[home, st.Page(shown, url_path="reports")]',
    ),
}  # fmt: skip


def above(desk: Any, menu: str) -> None:
    function, pages = MENUS[menu]
    desk.policy((desk.folder / "policy.yaml").read_text(encoding="utf-8") + SECTIONS)
    desk.main(ABOVE.format(function=function, pages=pages))


@pytest.mark.parametrize("menu", ["a section", "a function"])
def test_can_above_the_first_menu_of_a_process_is_not_more_open_than_the_menu(desk: Any, menu: str) -> None:
    above(desk, menu)
    assert desk.run("vera").markdown[0].value == "False"


def test_can_above_the_first_menu_says_yes_to_who_may_whatever_the_menu(desk: Any) -> None:
    above(desk, "a section")
    assert desk.run("ada").markdown[0].value == "True"


@pytest.mark.parametrize(
    ("menu", "answer"),
    [
        ("a list", "True"),
        ("an open section", "True"),
        ("a section", "False"),
        ("a function", "False"),
        ("a function of another name", "False"),
    ],
)
def test_can_above_the_first_menu_of_a_session_knows_the_menus_of_others(desk: Any, menu: str, answer: str) -> None:
    above(desk, menu)
    desk.run("ada")
    first = desk.run("vera")
    assert first.markdown[0].value == answer
    assert first.run().markdown[0].value == answer


def test_can_about_a_page_that_menus_list_in_several_ways_needs_all_of_them_to_open(desk: Any) -> None:
    above(desk, "an open section")
    desk.run("ada")
    above(desk, "a section")
    desk.run("ada")
    above(desk, "an open section")
    first = desk.run("vera")
    assert first.markdown[0].value == "False"
    assert first.run().markdown[0].value == "True"


def test_can_about_a_page_no_menu_has_listed_is_what_the_policy_says_without_sections(desk: Any) -> None:
    desk.main('st.write(str([sg.can(page="reports"), sg.can(page="settings")]))')
    assert desk.run("vera").markdown[0].value == "[True, False]"


def test_what_a_page_demanded_before_an_edit_refuses_and_does_not_end_the_run(desk: Any) -> None:
    desk.policy((desk.folder / "policy.yaml").read_text(encoding="utf-8") + SECTIONS)
    code = ABOVE.format(function='@sg.requires(role="analyst")\n    def reports(): pass', pages="[home, reports]")
    at = desk.main(code).run("ann")
    policy = (desk.folder / "policy.yaml").read_text(encoding="utf-8").replace("analyst", "analysts")
    desk.policy(policy).main(code.replace("analyst", "analysts"))
    assert at.run().markdown[0].value == "False"
    assert not at.exception
    assert at.run().markdown[0].value == "True"


def test_nobody_signed_in_can_nothing(desk: Any) -> None:
    desk.main('st.write(str([sg.can("report:view"), sg.can("signed_in"), sg.can(page="status"), sg.subject()]))')
    assert desk.run(None).markdown[0].value == "[False, False, True, None]"


def test_can_asks_in_another_org_when_told(orgs: Any) -> None:
    orgs.main('st.write(str([sg.can("report:export", org=o) for o in ("acme", "globex", None)]))')
    at = orgs.app("ann")
    at.session_state["stguard_org"] = "globex"
    assert at.run().markdown[0].value == "[True, False, False]"


# --- records


def test_refusals_are_logged_without_claims(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.main(PAGE.format(decorator='@sg.requires("report:export")'))
    with caplog.at_level(logging.INFO, logger="stguard.decision"):
        desk.run("vera")
    text = "\n".join(record.getMessage() for record in caplog.records if record.name == "stguard.decision")
    assert "refused `report:export` to `https://idp.example|vera`: not_granted" in text
    assert "vera@acme.com" not in text


AUDITED = """
    import tests.app.test_guard as told
    sg.configure(audit=told.sink)
    @sg.requires("report:export")
    def export(): st.title("exported")
    export()
"""
records: list[Any] = []


def sink(record: Any) -> None:
    records.append(record)
    raise RuntimeError("disk full")


def test_the_audit_is_told_of_each_refusal_and_once_of_what_is_allowed_and_can_change_none(
    desk: Any, shown: Any
) -> None:
    records.clear()
    desk.main(AUDITED)
    at = desk.run("ann")
    assert "exported" in shown(at)
    at = at.run()
    assert "exported" in shown(at)
    at = desk.run("vera")
    assert "exported" not in shown(at)
    at.run()
    desk.trail.flush()
    assert [(each.subject, each.action, each.allowed) for each in records] == [
        ("https://idp.example|ann", "report:export", True),
        ("https://idp.example|vera", "report:export", False),
        ("https://idp.example|vera", "report:export", False),
    ]
    assert desk.trail.counts.failed == 3
    assert records[0].grants
    assert not {"ann@acme.com", "vera@acme.com"} & set(str(records).split("'"))


def test_what_a_rule_in_code_names_reaches_neither_the_audit_nor_the_log(
    desk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    records.clear()
    caplog.set_level("INFO", logger="stguard.decision")
    desk.main(AUDITED.replace('"report:export"', 'email="zed@acme.com"'))
    desk.run("ann")
    desk.trail.flush()
    assert {each.action for each in records} == {"rule"}
    assert "zed@acme.com" not in str(records)
    assert "zed@acme.com" not in str([vars(each) for each in caplog.records])


def test_an_exception_in_deciding_is_a_refusal(desk: Any, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: Any, **_options: Any) -> Any:
        raise ZeroDivisionError

    for name in ("explain", "holds", "opens", "decide"):
        monkeypatch.setattr(Policy, name, fails)
    desk.main("""
        st.write(str([sg.can("report:view"), sg.explain("report:view").allowed, sg.can(page="home")]))
        @sg.requires("report:view")
        def export(): st.title("exported")
        export()
    """)
    at = desk.run("ada")
    assert at.markdown[0].value == "[False, False, False]"
    assert "exported" not in shown(at)


def test_a_refused_statement_never_goes_on_even_if_leaving_the_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stguard.app.guard._admit", lambda *_args, **_named: False)
    with pytest.raises(sg.AccessDenied):
        sg.authorize("report:view")
