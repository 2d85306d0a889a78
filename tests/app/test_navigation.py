"""The menu holds what who asks may open, and nothing else is reachable."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.util import calc_hash

import stguard as sg

FILES = """
    home = st.Page("views/home.py", default=True)
    page = sg.navigation([home, "views/reports.py", "views/settings.py", "views/status.py"])
    page.run()
"""


@pytest.fixture
def app(desk: Any) -> Any:
    return desk.views("home", "reports", "settings", "status").main(FILES)


@pytest.mark.parametrize(
    ("who", "pages"),
    [
        ("vera", ["/", "reports", "status"]),
        ("ada", ["/", "reports", "settings", "status"]),
        ("eve", ["/", "status"]),
    ],
)
def test_each_person_gets_the_pages_the_policy_opens(app: Any, menu: Any, who: str, pages: list[str]) -> None:
    at = app.run(who)
    assert not at.exception
    assert menu() == pages
    assert at.title[0].value == "home content"


def test_a_visitor_gets_the_sign_in_page_beside_the_public_pages(app: Any, menu: Any, shown: Any) -> None:
    at = app.run(None)
    assert sorted(menu()) == ["/", "status"]
    assert "Sign in" in shown(at)
    assert "content" not in shown(at)


def test_a_public_default_page_stays_the_default_for_a_visitor(desk: Any, menu: Any, shown: Any) -> None:
    desk.views("home", "status").main('sg.navigation(["views/status.py", "views/home.py"]).run()')
    assert "status content" in shown(desk.run(None))
    assert menu() == ["/", "sign-in"]


def test_a_refused_page_is_not_reached_by_its_hash_and_without_the_guard_it_is(app: Any, shown: Any) -> None:
    at = app.app("vera")
    at._page_hash = calc_hash("settings")
    assert "settings content" not in shown(at.run())
    naive = app.main(FILES.replace("sg.navigation", "st.navigation")).app("vera")
    naive._page_hash = calc_hash("settings")
    assert "settings content" in shown(naive.run())


@pytest.mark.parametrize("path", ["settings", "nowhere", "../x", "reports"])
def test_a_visitor_who_asks_for_any_address_gets_the_sign_in_page(app: Any, visit: Any, shown: Any, path: str) -> None:
    visit(path)
    at = app.run(None)
    assert not at.exception
    assert "Sign in" in shown(at)
    assert "content" not in shown(at)


def test_a_visitor_who_asks_for_a_public_page_gets_it(app: Any, visit: Any, shown: Any) -> None:
    visit("status")
    assert "status content" in shown(app.run(None))


def test_a_person_who_asks_for_a_refused_address_gets_the_default_page(app: Any, visit: Any, shown: Any) -> None:
    visit("settings")
    assert "home content" in shown(app.run("vera"))


def test_a_refused_default_page_gives_way_to_the_first_page_allowed(desk: Any, menu: Any, shown: Any) -> None:
    desk.views("settings", "reports", "status").main(
        'sg.navigation([st.Page("views/settings.py", default=True), "views/reports.py", "views/status.py"]).run()'
    )
    assert "reports content" in shown(desk.run("vera"))
    assert menu() == ["/", "status"]


def test_page_objects_of_the_author_stay_as_they_are(desk: Any, menu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(desk.folder)
    desk.views("settings", "reports").write("made.py", "import streamlit as st\nPAGES = []\n")
    desk.main("""
        import made
        made.PAGES = made.PAGES or [st.Page("views/settings.py"), st.Page("views/reports.py")]
        sg.navigation(made.PAGES)
        st.write([page._default for page in made.PAGES])
    """)
    at = desk.run("vera")
    assert at.json[0].value == "[false, false]"
    assert menu() == ["/"]


def test_the_returned_page_equals_the_page_object_it_was_made_from(desk: Any) -> None:
    desk.views("home", "reports").main("""
        home = st.Page("views/home.py", default=True)
        page = sg.navigation([home, "views/reports.py"])
        st.write(page == home, page in {home}, page.title, page.url_path == "")
    """)
    assert desk.run("vera").markdown[0].value == "`True` `True` home `True`"


def test_nothing_left_shows_a_refusal(desk: Any, menu: Any, shown: Any) -> None:
    desk.views("settings").main('sg.navigation(["views/settings.py"]).run()')
    text = shown(desk.run("eve"))
    assert "You don't have access to this." in text
    assert "admin" not in text.replace("administrator", "")
    assert menu() == ["/"]


def test_a_page_without_a_rule_is_refused(desk: Any, menu: Any) -> None:
    desk.views("home", "secrets").main('sg.navigation(["views/home.py", "views/secrets.py"]).run()')
    desk.run("ada")
    assert menu() == ["/"]


def test_the_rule_of_pages_not_listed_opens_them(desk: Any, menu: Any) -> None:
    desk.policy("stguard: 1\npages: {'*': signed_in}\n")
    desk.views("home", "other").main('sg.navigation(["views/home.py", "views/other.py"]).run()')
    desk.run("eve")
    assert menu() == ["/", "other"]


def test_sections_keep_their_pages_and_lose_the_refused_ones(desk: Any, menu: Any) -> None:
    desk.views("home", "reports", "settings").main("""
        sg.navigation({"Work": ["views/home.py", "views/reports.py"], "Admin": ["views/settings.py"]}).run()
    """)
    desk.run("vera")
    assert {header: len(pages) for header, pages in menu.sections.items()} == {"Work": 2}
    desk.run("ada")
    assert {header: len(pages) for header, pages in menu.sections.items()} == {"Work": 2, "Admin": 1}


def test_a_section_rule_holds_besides_the_rule_of_the_page(desk: Any, menu: Any) -> None:
    desk.policy("""
        stguard: 1
        roles: {admin: {}}
        assign: [{role: admin, email: ada@acme.com}]
        pages: {home: signed_in, audit: signed_in}
        sections: {Admin: {role: admin}}
    """)
    desk.views("home", "audit").main('sg.navigation({"": ["views/home.py"], "Admin": ["views/audit.py"]}).run()')
    desk.run("vera")
    assert menu() == ["/"]
    desk.run("ada")
    assert menu() == ["/", "audit"]


def test_functions_are_named_by_their_name_and_carry_their_own_rule(desk: Any, menu: Any) -> None:
    desk.main("""
        def home(): st.title("home")
        @sg.requires("report:export")
        def reports(): st.title("reports")
        @sg.requires(role="admin")
        def console(): st.title("console")
        sg.navigation([home, reports, console]).run()
    """)
    desk.run("vera")
    assert menu() == ["/"]
    desk.run("ann")
    assert menu() == ["/", "reports"]
    desk.run("ada")
    assert menu() == ["/", "reports", "console"]


def test_without_the_rule_on_its_function_the_policy_alone_decides(desk: Any, menu: Any) -> None:
    desk.main("""
        def home(): st.title("home")
        def reports(): st.title("reports")
        sg.navigation([home, reports]).run()
    """)
    desk.run("vera")
    assert menu() == ["/", "reports"]


def test_a_hidden_page_is_guarded_like_any_other(desk: Any, menu: Any) -> None:
    desk.views("home", "settings").main(
        'sg.navigation(["views/home.py", st.Page("views/settings.py", visibility="hidden")]).run()'
    )
    desk.run("vera")
    assert menu() == ["/"]
    desk.run("ada")
    assert menu.page("settings").visibility == "hidden"


def test_menu_hidden_in_the_policy_keeps_an_allowed_page_out_of_the_menu(desk: Any, menu: Any, shown: Any) -> None:
    desk.policy("stguard: 1\npages: {home: signed_in, beta: {rule: signed_in, menu: hidden}}\n")
    desk.views("home", "beta").main('sg.navigation(["views/home.py", "views/beta.py"]).run()')
    at = desk.app("vera")
    at._page_hash = calc_hash("beta")
    assert "beta content" in shown(at.run())
    assert menu.page("beta").visibility == "hidden"


LOCKED = """
stguard: 1
permissions: {beta: [try]}
roles: {tester: {allow: "beta:try"}}
assign: [{role: tester, email: ada@acme.com}]
pages: {home: signed_in, beta: {rule: {role: tester}, on_deny: lock}}
"""


def test_a_locked_page_stands_in_the_menu_and_says_what_is_missing(desk: Any, menu: Any, shown: Any) -> None:
    desk.policy(LOCKED).views("home", "beta").main('sg.navigation(["views/home.py", "views/beta.py"]).run()')
    at = desk.app("vera")
    at._page_hash = calc_hash("beta")
    text = shown(at.run())
    assert menu.page("beta").icon == ":material/lock:"
    assert "beta content" not in text
    assert "This would open it" in text
    assert "tester" in text
    allowed = desk.app("ada")
    allowed._page_hash = calc_hash("beta")
    assert "beta content" in shown(allowed.run())
    assert menu.page("beta").icon == ""


def test_a_locked_page_is_not_shown_to_visitors(desk: Any, menu: Any) -> None:
    desk.policy(LOCKED).views("home", "beta").main('sg.navigation(["views/home.py", "views/beta.py"]).run()')
    desk.run(None)
    assert menu() == ["/"]


def test_a_locked_page_never_becomes_the_default_while_another_is_open(desk: Any, menu: Any, shown: Any) -> None:
    desk.policy(LOCKED).views("home", "beta").main('sg.navigation(["views/beta.py", "views/home.py"]).run()')
    assert "home content" in shown(desk.run("vera"))
    assert menu() == ["beta", "/"]


def test_links_are_for_who_is_signed_in_unless_the_policy_lists_them(desk: Any, menu: Any) -> None:
    desk.policy("""
        stguard: 1
        roles: {admin: {}}
        assign: [{role: admin, email: ada@acme.com}]
        pages: {home: signed_in, status: public, console: {role: admin}}
    """)
    desk.views("home", "status").main("""
        sg.navigation([
            "views/status.py", "views/home.py",
            st.Page("https://docs.example", title="Docs"),
            st.Page("https://console.example", title="Console"),
        ]).run()
    """)
    desk.run(None)
    assert menu() == ["/", "sign-in"]
    desk.run("vera")
    assert menu() == ["/", "home", "docs"]
    desk.run("ada")
    assert menu() == ["/", "home", "docs", "console"]


def test_links_alone_leave_a_refusal_to_show(desk: Any, menu: Any, shown: Any) -> None:
    desk.views("settings").main("""
        sg.navigation(["views/settings.py", st.Page("https://docs.example", title="Docs")]).run()
    """)
    assert "You don't have access to this." in shown(desk.run("eve"))
    assert sorted(menu()) == ["/", "docs"]


@pytest.mark.parametrize("options", [{"position": "top"}, {"position": "hidden"}, {"expanded": True}, {"expanded": 5}])
def test_position_and_expanded_are_handed_on(desk: Any, menu: Any, options: dict[str, Any]) -> None:
    desk.views("home", "reports").main(f'sg.navigation(["views/home.py", "views/reports.py"], **{options!r}).run()')
    assert not desk.run("vera").exception
    assert options.items() <= menu.options.items()


def test_two_pages_of_one_name_are_an_error_even_if_one_would_be_refused(desk: Any, shown: Any) -> None:
    desk.views("settings", "more/settings").main('sg.navigation(["views/settings.py", "views/more/settings.py"]).run()')
    text = shown(desk.run("eve"))
    assert "two pages have the url path `settings`" in text
    assert "content" not in text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("sg.navigation([])", "navigation got no page"),
        ("sg.navigation('views/home.py')", "a list or a mapping"),
        ("sg.navigation([3])", "a page is a path, a function or an st.Page"),
        ("sg.navigation([st.Page(f, default=True) for f in (home, away)])", "several pages have default=True"),
    ],
)
def test_a_wrong_list_of_pages_is_a_clear_error(desk: Any, call: str, message: str) -> None:
    desk.main(f"def home(): pass\ndef away(): pass\n{call}.run()")
    at = desk.run("ada")
    assert message in at.exception[0].message


def test_a_folder_named_pages_beside_the_script_is_refused(desk: Any) -> None:
    desk.views("home").write("pages/secret.py", "import streamlit as st; st.title('secret content')")
    desk.main('sg.navigation(["views/home.py"]).run()')
    at = desk.app("ada")
    at.run()
    text = "".join(str(error.message) for error in at.exception) + "".join(title.value for title in at.title)
    assert "content" not in text


def test_the_page_asks_again_when_it_runs(desk: Any, shown: Any) -> None:
    desk.views("home", "reports").main("""
        from pathlib import Path
        page = sg.navigation(["views/reports.py", "views/home.py"])
        path = Path(__file__).parent / "policy.yaml"
        path.write_text(path.read_text().replace("vera@acme.com", "zoe@acme.com"))
        page.run()
    """)
    text = shown(desk.run("vera"))
    assert "You don't have access to this." in text
    assert "reports content" not in text


def test_an_edit_of_the_policy_counts_in_the_next_run(app: Any, desk: Any, menu: Any) -> None:
    at = app.run("vera")
    assert "reports" in menu()
    path = desk.folder / "policy.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("vera@acme.com", "zoe@acme.com"), encoding="utf-8")
    at.run()
    assert menu() == ["/", "status"]


def test_a_page_with_an_own_url_path_is_named_by_it(desk: Any, menu: Any) -> None:
    desk.views("home", "overview").main(
        'sg.navigation(["views/home.py", st.Page("views/overview.py", url_path="reports")]).run()'
    )
    desk.run("vera")
    assert menu() == ["/", "reports"]


def test_a_default_page_with_an_empty_url_path_is_named_by_its_file(desk: Any, shown: Any) -> None:
    desk.views("reports", "home").main(
        'sg.navigation([st.Page("views/reports.py", url_path="", default=True), "views/home.py"]).run()'
    )
    assert "reports content" in shown(desk.run("vera"))
    assert "home content" in shown(desk.run("eve"))


def test_a_deep_link_that_needs_an_org_asks_to_choose_one(orgs: Any, visit: Any, shown: Any) -> None:
    orgs.views("home", "reports").main('sg.navigation(["views/home.py", "views/reports.py"]).run()')
    visit("reports")
    assert "Choose an organization to continue." in shown(orgs.run("ann"))


def test_a_deep_link_that_opens_in_no_org_of_mine_says_nothing(orgs: Any, visit: Any, shown: Any) -> None:
    orgs.views("home", "secrets").main('sg.navigation(["views/home.py", "views/secrets.py"]).run()')
    visit("secrets")
    assert "home content" in shown(orgs.run("ann"))


def test_outside_a_script_run_navigation_is_an_error() -> None:
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        sg.navigation([lambda: None])


def test_a_page_that_stands_for_a_refused_default_keeps_its_own_address(desk: Any, visit: Any, shown: Any) -> None:
    desk.views("settings", "reports").main('sg.navigation(["views/settings.py", "views/reports.py"]).run()')
    visit("reports")
    at = desk.run("vera")
    assert "reports content" in shown(at)


@pytest.mark.parametrize("name", ["pages", "opens", "memberships"])
def test_an_exception_in_deciding_opens_no_page(
    orgs: Any, shown: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(*_args: Any, **_options: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(sg.Policy, name, fails)
    orgs.views("home", "reports").main('sg.navigation(["views/home.py", "views/reports.py"]).run()')
    at = orgs.run("vera")
    assert not at.exception
    assert "content" not in shown(at)


def test_the_authors_folder_of_views_may_have_number_prefixes(desk: Any, menu: Any) -> None:
    desk.views("1_home", "02_reports").main('sg.navigation(["views/1_home.py", "views/02_reports.py"]).run()')
    desk.run("vera")
    assert menu() == ["/", "reports"]
    assert menu.page("home").url_path == ""


def test_paths_and_fresh_pages_in_each_rerun_are_fine(desk: Any, shown: Any, menu: Any) -> None:
    desk.views("home", "reports").main("""
        from pathlib import Path
        sg.navigation((Path("views/home.py"), Path(__file__).parent / "views" / "reports.py")).run()
    """)
    at = desk.run("vera")
    at.run().run()
    assert "home content" in shown(at)
    assert menu() == ["/", "reports"]
