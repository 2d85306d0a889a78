"""What people see of an exception is a sentence with a number; the log has the rest under the same number."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from streamlit import error_util
from streamlit.runtime.caching import cache_data_api

import stguard as sg
from stguard.app import failures, private
from stguard.app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """
    from functools import partial
    from stguard.app import failures
    from stguard.app.failures import contained, contained_call
    from stguard.app.standing import standing
    SECRET = "password of db.internal"
"""

SHOWER = next(name for name in ("show_uncaught_app_exception", "_show_exception") if hasattr(error_util, name))


@pytest.fixture(autouse=True)
def unhooked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the hook into Streamlit away again."""
    monkeypatch.setattr(error_util, SHOWER, getattr(error_util, SHOWER))
    failures.install.cache_clear()
    yield
    failures.install.cache_clear()


@pytest.fixture
def details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "shows_details", lambda _settings: True)


def page(desk: Any, body: str, *, around: str = "with contained(standing(), page='home'):") -> Any:
    lines = "".join(f"            {line}\n" for line in body.splitlines())
    return desk.main(f"{HEAD}\n    def home():\n        {around}\n{lines}\n    sg.navigation([home]).run()\n")


def naive(desk: Any) -> Any:
    """Take stguard's menu out of the app."""
    script = desk.folder / "main.py"
    script.write_text(script.read_text(encoding="utf-8").replace("sg.navigation", "st.navigation"), encoding="utf-8")
    return desk


def number(text: str) -> str:
    found = re.fullmatch(r"Something went wrong\. If you ask for help, give this reference: ([0-9A-F]{8})", text)
    assert found, text
    return found[1]


def logged(caplog: pytest.LogCaptureFixture, reference: str) -> str:
    (record,) = [r for r in caplog.records if r.name == "stguard" and f"reference {reference}" in r.getMessage()]
    assert record.exc_info
    return f"{record.getMessage()} {record.exc_info[1]!r}"


def everything(at: Any) -> str:
    elements = [*at.error, *at.exception, *at.markdown, *at.toast, *at.caption, *at.subheader]
    return " ".join(str(getattr(element, "value", "")) + str(getattr(element, "message", "")) for element in elements)


def test_a_naive_page_shows_the_text_of_an_exception(desk: Any) -> None:
    at = naive(page(desk, "raise RuntimeError(SECRET)", around="if True:")).run("ann")
    assert "db.internal" in at.exception[0].message


def test_a_contained_page_shows_a_number_and_the_log_has_the_rest(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    at = page(desk, "st.title('drawn before')\nraise RuntimeError(SECRET)").run("ann")
    assert not at.exception
    assert at.title[0].value == "drawn before"
    reference = number(at.error[0].value)
    assert logged(caplog, reference) == (
        f"reference {reference}: page `home` failed for `https://idp.example|ann` "
        "RuntimeError('password of db.internal')"
    )
    assert "db.internal" not in everything(at)


def test_each_failure_has_its_own_number(desk: Any) -> None:
    at = page(desk, "raise RuntimeError(SECRET)").run("ann")
    first = number(at.error[0].value)
    assert number(at.run().error[0].value) != first


def test_what_stands_after_the_page_does_not_run(desk: Any) -> None:
    page(desk, "raise RuntimeError(SECRET)")
    script = desk.folder / "main.py"
    script.write_text(script.read_text(encoding="utf-8") + "st.write('after')\n", encoding="utf-8")
    assert not desk.run("ann").markdown


def test_details_show_when_the_author_wants_them(desk: Any, details: None) -> None:
    assert details is None
    assert "db.internal" in page(desk, "raise RuntimeError(SECRET)").run("ann").exception[0].message


@pytest.mark.parametrize(("wanted", "shown"), [(True, True), (False, False), ("yes", False)])
def test_only_true_asks_for_details(wanted: object, *, shown: bool) -> None:
    @dataclass
    class Configured:
        show_errors: object

    settings: Any = Configured(wanted)
    assert failures.shows_details(settings) is shown


def test_without_the_setting_no_details_are_shown() -> None:
    policy = sg.Policy.from_yaml("stguard: 1\npages: {home: public}\n")
    assert not failures.shows_details(Settings(choice=None, on_bad_edit="keep", store=policy))


@pytest.mark.parametrize(("control", "shows"), [("st.stop()", []), ("st.rerun()", ["ran again"])])
def test_what_steers_the_run_passes(desk: Any, control: str, shows: list[str]) -> None:
    at = page(desk, f"if st.session_state.setdefault('first', 1):\n    st.session_state.first = 0\n    {control}\nst.write('ran again')").run("ann")  # fmt: skip  # noqa: E501  one body
    assert not at.error
    assert [element.value for element in at.markdown] == shows


def test_a_refusal_that_was_raised_shows_as_a_refusal(desk: Any, shown: Any) -> None:
    at = page(desk, "sg.requires('report:view', on_deny='raise')(st.title)('secret')").run("eve")
    assert "You don't have access to this." in shown(at)
    assert not at.exception
    assert not at.title


def test_a_cache_without_an_org_shows_what_to_do(orgs: Any, shown: Any) -> None:
    at = page(orgs, "sg.cache_data(lambda: 1)()").run("ann")
    assert "Choose an organization to continue." in shown(at)
    assert not at.exception


def test_an_error_of_the_author_shows_that_the_app_is_not_available(desk: Any, caplog: Any, shown: Any) -> None:
    at = page(desk, "sg.authorize('report:veiw')").run("ann")
    assert "This app is not available right now." in shown(at)
    assert not at.exception
    assert "report:veiw" in caplog.text


# --- callbacks


CALLBACK = """
    def fails(): {raises}
    {navigates}
        st.button("Do", on_click={on_click})
        st.write("body")
"""


def callback(desk: Any, *, raises: str, on_click: str = "partial(contained_call, fails)") -> Any:
    body = CALLBACK.format(raises=raises, on_click=on_click, navigates="def home():")
    return desk.main(f"{HEAD}{body}\n    sg.navigation([home]).run()\n")


def test_a_contained_callback_shows_a_number_above_the_page(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    at = callback(desk, raises="raise RuntimeError(SECRET)").run("ann")
    at.button[0].click().run()
    assert not at.exception
    assert [element.value for element in at.markdown] == ["body"]
    assert "`fails` failed" in logged(caplog, number(at.error[0].value))
    assert not at.run().error


def test_a_naive_callback_shows_the_text_of_an_exception(desk: Any) -> None:
    at = naive(callback(desk, raises="raise RuntimeError(SECRET)", on_click="fails")).run("ann")
    assert "db.internal" in at.button[0].click().run().exception[0].message


@pytest.mark.parametrize(
    ("raises", "says"),
    [
        ("sg.requires('report:view', on_deny='raise')(st.title)('x')", "You don't have access to this."),
        ("sg.can('report:veiw')", "Not available right now."),
    ],
)
def test_a_refusal_in_a_callback_is_said_above_the_page(desk: Any, raises: str, says: str) -> None:
    at = callback(desk, raises=raises).run("eve")
    at.button[0].click().run()
    assert [element.value for element in at.error] == [says]
    assert not at.exception


def test_a_callback_of_an_app_without_a_menu_says_it_at_once(desk: Any) -> None:
    at = desk.main(f"{HEAD}{CALLBACK}".format(raises="raise RuntimeError(SECRET)", on_click="partial(contained_call, fails)", navigates="sg.can('report:view')\n    if True:")).run("ann")  # fmt: skip  # noqa: E501  one body
    assert number(at.button[0].click().run().error[0].value)


def test_details_of_a_callback_show_when_the_author_wants_them(desk: Any, details: None) -> None:
    assert details is None
    at = callback(desk, raises="raise RuntimeError(SECRET)").run("ann")
    assert "db.internal" in at.button[0].click().run().exception[0].message


def test_where_stguard_guards_nothing_a_callback_fails_as_ever() -> None:
    def fails() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        failures.contained_call(fails)
    assert failures.contained_call(lambda: 3) == 3


# --- what nobody caught


HOOKED = "\n    failures.install()\n"

FRAGMENT = """
    @st.fragment
    def part():
        st.button("In part")
        raise RuntimeError(SECRET)
    def home():
        part()
        st.write("rest")
    sg.navigation([home]).run()
"""


def test_an_exception_in_a_fragment_leaks_on_a_naive_app_and_not_on_a_hooked_one(desk: Any, caplog: Any) -> None:
    at = naive(desk.main(HEAD + FRAGMENT)).run("ann")
    assert "db.internal" in at.exception[0].message
    at = desk.main(HEAD + HOOKED + FRAGMENT).run("ann")
    assert not at.exception
    assert "db.internal" in logged(caplog, number(at.error[0].value))
    assert "db.internal" not in everything(at)


def test_what_a_fragment_has_shown_is_not_shown_again_by_its_page(desk: Any) -> None:
    body = HEAD + HOOKED + FRAGMENT.replace("        part()\n", "        with contained(standing()): part()\n")
    at = desk.main(body).run("ann")
    assert len(at.error) == 1
    assert not at.markdown


@pytest.mark.parametrize(
    ("body", "who", "says"),
    [
        ("raise RuntimeError(SECRET)", "ann", "Something went wrong."),
        ("sg.can('report:veiw')", "ann", "Not available right now."),
        ("sg.authorize('report:view', on_deny='raise')", "eve", "You don't have access to this."),
    ],
)
def test_an_exception_below_the_menu_in_the_entry_script_does_not_leak(
    desk: Any, body: str, who: str, says: str
) -> None:
    at = desk.main(f"{HEAD}{HOOKED}\n    def home(): ...\n    sg.navigation([home]).run()\n    {body}\n").run(who)
    assert not at.exception
    assert at.error[0].value.startswith(says)


def test_an_exception_in_a_callback_that_nobody_contains_does_not_leak(desk: Any) -> None:
    at = callback(desk, raises="raise RuntimeError(SECRET)", on_click="fails")
    script = desk.folder / "main.py"
    script.write_text(script.read_text(encoding="utf-8") + "failures.install()\n", encoding="utf-8")
    at = desk.run("ann")
    at.button[0].click().run()
    assert not at.exception
    assert number(at.error[0].value)


def test_details_that_nobody_caught_show_when_the_author_wants_them(desk: Any, details: None) -> None:
    assert details is None
    at = desk.main(HEAD + HOOKED + FRAGMENT).run("ann")
    assert "db.internal" in at.exception[0].message


def test_an_app_without_stguard_in_the_same_process_is_left_alone(desk: Any) -> None:
    at = desk.main(f"{HEAD}{HOOKED}\n    raise RuntimeError(SECRET)\n").run("ann")
    assert "db.internal" in at.exception[0].message


def test_the_hook_is_installed_once() -> None:
    failures.install()
    hooked = getattr(error_util, SHOWER)
    failures.install.cache_clear()
    failures.install()
    assert getattr(error_util, SHOWER) is hooked


def test_a_streamlit_that_draws_errors_another_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_util, SHOWER, lambda error, extra: (error, extra))
    with pytest.raises(sg.ConfigurationError, match="draws errors another way"):
        failures.install()
    monkeypatch.delattr(error_util, SHOWER)
    with pytest.raises(sg.ConfigurationError, match="draws errors another way"):
        failures.install()


# --- the private names of Streamlit


def test_the_depth_of_cached_functions_is_counted(desk: Any) -> None:
    at = desk.main("""
        from stguard.app import private
        @st.cache_data
        def inner(): return private.cache_depth()
        @st.cache_resource
        def outer(): return private.cache_depth(), inner()
        st.write(str([private.cache_depth(), outer(), private.cache_depth()]))
        st.cache_data.clear()
        st.cache_resource.clear()
    """).run("ann")
    assert at.markdown[0].value == "[0, (1, 2), 0]"


def test_the_depth_is_unknown_where_streamlit_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cache_data_api, "CACHE_DATA_MESSAGE_REPLAY_CTX")
    assert private.cache_depth() is None


def test_a_value_is_kept_under_the_key_that_we_work_out() -> None:
    import streamlit as st  # noqa: PLC0415  only here

    @st.cache_data
    def rows(number: int, _skipped: int = 0) -> list[int]:
        return [number, _skipped]

    assert private.is_cached(rows)
    assert not private.is_cached(rows.__wrapped__)  # type: ignore[attr-defined]  # set by Streamlit
    assert isinstance(private.function_key(rows), str)
    assert rows(1, 1) == [1, 1]
    assert rows(1, 2) == [1, 1]
    key = private.value_key(rows, (1, 3), {})
    assert key is not None
    assert private.forget(rows, key)
    assert rows(1, 4) == [1, 4]
    assert private.forget(rows, key)
    assert private.forget(rows, key)
    rows.clear()


def test_what_is_no_cache_of_streamlits_has_no_keys() -> None:
    assert private.function_key(len) is None
    assert private.value_key(len, (), {}) is None
    assert not private.forget(len, "x")


def test_the_parameter_of_the_shower_is_what_it_was() -> None:
    assert list(inspect.signature(getattr(error_util, SHOWER)).parameters) == ["ex"]
