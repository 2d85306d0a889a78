"""The private names of Streamlit still mean what they meant where they were read."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from starlette.datastructures import Headers
from streamlit import config
from streamlit.runtime.state.session_state import SessionState
from streamlit.testing.v1 import AppTest

from stguard.app import private
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def run(body: str) -> Any:
    at = AppTest.from_string("import streamlit as st\nfrom stguard.app import private\n" + body, default_timeout=30)
    at.run()
    assert not at.exception
    return at


def test_context_is_there_in_a_run_and_only_there() -> None:
    assert private.context() is None
    assert run("st.write(str(private.context() is not None))").markdown[0].value == "True"


def test_main_script_is_the_script_that_runs() -> None:
    at = run("st.write(str(private.main_script(private.context())))")
    assert at.markdown[0].value == at._script_path
    assert (
        run("ctx = private.context(); st.write(str(str(private.main_script(ctx)) == private.script_key(ctx)))")
        .markdown[0]
        .value
        == "True"
    )


def test_the_run_token_is_one_object_in_a_run_and_another_in_the_next() -> None:
    at = run("""
ctx = private.context()
seen = st.session_state.setdefault("seen", [])
seen.append(private.run_token(ctx))
st.write("draws something")
seen.append(private.run_token(ctx))
""")
    at.run()
    first, same, second, _ = at.session_state["seen"]
    assert first is same
    assert first is not second


def test_live_user_is_what_st_user_copies() -> None:
    at = run("""
ctx = private.context()
before = dict(private.live_user(ctx))
st.logout()
st.write(str([bool(before), st.user.to_dict().get("email"), "email" in private.live_user(ctx)]))
""")
    assert at.markdown[0].value == "[True, None, False]"


def test_the_main_area_is_drawn_in_from_inside_another_container() -> None:
    at = run("""
with st.sidebar:
    with private.main_area():
        st.write("in the main area")
    st.write("in the sidebar")
""")
    assert [element.value for element in at.main.markdown] == ["in the main area"]
    assert [element.value for element in at.sidebar.markdown] == ["in the sidebar"]


def test_a_container_in_the_sidebar_is_told_from_one_in_the_page() -> None:
    at = run("""
inside = st.sidebar.container().columns(2)[0]
areas = [st.sidebar, inside, st.container(), st.columns(2)[0], private.main_area()]
st.write(str([private.in_sidebar(area) for area in areas]))
""")
    assert at.markdown[0].value == "[True, True, False, False, False]"


def test_what_is_remembered_on_the_context_is_recalled() -> None:
    at = run("private.remember(private.context(), 7); st.write(str(private.recall(private.context())))")
    assert at.markdown[0].value == "7"


def test_a_callback_is_told_from_the_body() -> None:
    at = run("""
def pressed():
    st.session_state.seen = [private.in_callback(private.context()), private.is_callback_caller(private.caller())]
st.button("Press", on_click=pressed)
st.write(str(private.in_callback(private.context())))
""")
    assert at.markdown[0].value == "False"
    at.button[0].click().run()
    assert at.session_state["seen"] == [True, True]
    assert at.markdown[0].value == "False"


def test_fragments_and_dialogs_are_seen_as_callers_and_as_wrappers() -> None:
    at = run("""
@st.fragment
def part(): st.write(str(private.is_fragment_caller(private.caller())))
@st.dialog("Title")
def ask(): st.write(str(private.is_fragment_caller(private.caller())))
part()
ask()
st.write(str([private.wrapper_of(f) for f in (part, ask, print)]))
st.write(str(private.in_fragment_run(private.context())))
""")
    assert [element.value for element in at.markdown] == ["True", "['st.fragment', 'st.dialog', None]", "False", "True"]


def test_a_cached_function_is_noticed_from_inside() -> None:
    at = run("""
@st.cache_data
def inside(): return private.in_cached_function()
@st.cache_resource
def within(): return private.in_cached_function()
st.write(str([inside(), within(), private.in_cached_function()]))
""")
    assert at.markdown[0].value == "[True, True, False]"


@pytest.mark.parametrize(("path", "asked"), [("reports", "reports"), ("", "")])
def test_the_address_that_was_asked_for_is_known(visit: Any, path: str, asked: str) -> None:
    visit(path)
    assert run("st.write('<' + private.asked_page(private.context()) + '>')").markdown[0].value == f"<{asked}>"


@pytest.mark.parametrize(
    "name",
    [
        "home.py", "1_home.py", "01-home.py", "2 Home Page.py", "my_page.py", "a__b.py", "_x.py", "123.py", "1.py",
        "3_🏠_home.py", "🚨alert.py", "page.test.py", "Überblick.py", "12_3_x.py", "a-b c.py", "A.py",
    ],
)  # fmt: skip
def test_the_name_of_a_file_is_the_one_streamlit_gives_its_page(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("", encoding="utf-8")
    at = run(f"""
page = st.Page({str(tmp_path / name)!r})
st.write(str([page.url_path, private.page_name(page), private.file_page_name({name!r})]))
""")
    url, own, inferred = eval(at.markdown[0].value)  # noqa: S307  our own list
    assert url == own == inferred


def test_the_parts_of_a_page_are_where_they_were() -> None:
    at = run("""
def home(): pass
page = st.Page(home, default=True)
link = st.Page("https://a.example", title="Out There")
st.write(str([
    page.url_path, private.page_name(page), private.page_source(page) is home, private.is_default(page),
    private.page_name(link), private.page_source(link), private.is_complete(page),
]))
""")
    assert at.markdown[0].value == "['', 'home', True, True, 'out_there', None, True]"


def test_a_page_made_outside_a_run_lacks_its_source() -> None:
    assert not private.is_complete(st.Page(lambda: None, title="x"))


def test_a_copied_page_has_every_attribute_whatever_the_author_gave() -> None:
    at = run("""
class Kind(private.StreamlitPage): pass
pages = [
    st.Page(print), st.Page(print, title="A", icon="🚨", url_path="a"), st.Page(print, url_path="b", default=True),
    st.Page(print, url_path="c", visibility="hidden"), st.Page("https://a.example", title="Out"),
    st.Page("https://b.example", title="Out, too", icon="🚨"),
]
copies = [private.copy_page(page, Kind) for page in pages]
st.write(str([
    {**vars(copy), "_can_be_called": page._can_be_called} == vars(page) for copy, page in zip(copies, pages)
]))
""")
    assert at.markdown[0].value == str([True] * 6)


def test_a_copied_page_leaves_the_original_alone_and_is_what_streamlit_runs() -> None:
    at = run("""
def home(): st.title("home")
def other(): st.title("other")
original = st.Page(home)
class Kind(private.StreamlitPage): pass
copy = private.copy_page(original, Kind, default=True, icon="🚨", visibility="visible")
current = st.navigation([copy])
private.replace_source(current, other)
current.run()
st.write(str([current is copy, original._default, original.icon, copy.icon]))
""")
    assert at.title[0].value == "other"
    assert at.markdown[0].value == "[True, False, '', '🚨']"


# --- who a connection is from ----------------------------------------------------------------------------------------


def gathered() -> dict[str, Any]:
    module = importlib.import_module("streamlit.web.server.starlette.starlette_websocket")
    gather = getattr(module, "gather_user_info", None) or module._gather_user_info
    return dict(gather(Headers({"x-user": "ann"})))


def test_streamlit_takes_who_opens_a_connection_from_what_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    private.hook_users()
    private.hook_users()  # once is enough
    monkeypatch.setattr(config, "get_option", lambda _: {"X-User": "user"})
    assert gathered() == {"user": "ann"}
    with private.handing_on({"sub": "bob", "is_logged_in": True}):
        assert gathered() == {"sub": "bob", "is_logged_in": True}
    with private.handing_on({private.SIGN_IN_ENDED: True}):
        assert gathered() == {"user": "ann", private.SIGN_IN_ENDED: True}
    assert gathered() == {"user": "ann"}


def test_a_streamlit_that_reads_who_opens_a_connection_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("streamlit.web.server.starlette.starlette_websocket")
    name = "gather_user_info" if hasattr(module, "gather_user_info") else "_gather_user_info"
    monkeypatch.setattr(module, name, lambda request: request)
    with pytest.raises(ConfigurationError, match="reads who opens a connection another way"):
        private.hook_users()


def test_an_agent_api_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("streamlit.runtime.agent") is None:
        with pytest.raises(ConfigurationError, match="has no agent API"):
            private.hook_agents(same=repr, owned=lambda _session, _user: None, may_read=lambda _user, _file: False)
        return
    module = importlib.import_module("streamlit.runtime.agent.interaction")
    monkeypatch.setattr(module.AgentSessionRegistry, "create", lambda self, user: (self, user))
    with pytest.raises(ConfigurationError, match="another agent API"):
        private.hook_agents(same=repr, owned=lambda _session, _user: None, may_read=lambda _user, _file: False)
    monkeypatch.undo()
    routes = importlib.import_module("streamlit.web.server.starlette.starlette_agent_routes")
    monkeypatch.setattr(routes, "_user_info", lambda _request: {})
    monkeypatch.setattr(module.AgentSessionRegistry.create, private.HOOKED, False, raising=False)
    with pytest.raises(ConfigurationError, match="another agent API"):
        private.hook_agents(same=repr, owned=lambda _session, _user: None, may_read=lambda _user, _file: False)


def test_keys_of_widgets_are_those_that_a_browser_writes() -> None:
    at = run("""
st.session_state["mine"] = True
st.text_input("x", key="theirs")
st.write(str(private.keys_of_widgets(private.context(), ("mine", "theirs", "neither"))))
""")
    assert at.markdown[0].value == "('theirs',)"
    assert at.run().markdown[0].value == "('theirs',)"


PINNED = """
private.hook_input(lambda pinned, sent: ([each for each in sent if private.widget_key(each.id) == "heard"], False))
private.hook_input(lambda pinned, sent: (sent, True))  # once is enough
ctx = private.context()
if st.button("Pin", key="heard"):
    private.pin(ctx, "a thing")
st.checkbox("Tick", key="tick", on_change=lambda: st.session_state.update(called=True))
st.write(str(private.pinned(ctx)), str(st.session_state["tick"]), str("called" in st.session_state))
"""


def test_where_something_is_pinned_it_is_asked_what_of_the_input_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionState, "on_script_will_rerun", getattr(REAL, "__wrapped__", REAL))
    at = run(PINNED)
    at.checkbox(key="tick").check().run()
    assert at.markdown[0].value == "None True True"
    at.checkbox(key="tick").uncheck().run()
    at.button(key="heard").click().run()
    assert at.markdown[0].value == "a thing False True"
    at.checkbox(key="tick").check().run()
    assert at.markdown[0].value == "a thing False True"


REAL: Any = SessionState.on_script_will_rerun


def test_what_is_pinned_is_not_reached_by_clearing_the_session_state() -> None:
    at = run("""
ctx = private.context()
if private.pinned(ctx) is None:
    private.pin(ctx, "a thing")
else:
    st.session_state.clear()
    st.write(str(private.pinned(ctx)))
    private.pin(ctx, None)
    st.write(str(private.pinned(ctx)))
    private.pin(ctx, None)
""").run()
    assert [each.value for each in at.markdown] == ["a thing", "None"]


def test_input_that_is_taken_another_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionState, "on_script_will_rerun", lambda self, message: (self, message))
    with pytest.raises(ConfigurationError, match="takes what the browser sends another way"):
        private.hook_input(lambda _pinned, sent: (sent, True))


def test_a_click_is_told_from_a_value() -> None:
    click = private.WidgetState(id="$$ID-1-a", trigger_value=True)
    nothing = private.WidgetState(id="$$ID-1-a", trigger_value=False)
    value = private.WidgetState(id="$$ID-1-a", bool_value=True)
    message, silence = private.WidgetState(id="$$ID-2-b"), private.WidgetState(id="$$ID-3-None")
    message.chat_input_value.data = "hello"
    silence.chat_input_value.SetInParent()
    assert [*map(private.is_click, (click, nothing, value, message, silence))] == [True, False, False, True, False]
    assert [*map(private.is_momentary, (click, nothing, value, silence))] == [True, True, False, True]
    assert [private.widget_key(each.id) for each in (click, message, silence)] == ["a", "b", None]
