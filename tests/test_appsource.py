# ruff: noqa: E501  messages stand whole, as they are printed

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from streamlit.emojis import ALL_EMOJIS
from streamlit.navigation.page import _sanitize_url_path
from streamlit.source_util import page_icon_and_name

from stguard.app.gateway import bearers, health, metrics, middleware
from stguard.appsource import AppSource, Asked, compare, comparison, pagenames, read
from stguard.model import (
    BUILT_IN_PERMISSIONS,
    Page,
    PolicyParts,
    Public,
    Role,
    RoleIs,
    SignedIn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.errors import Problem

    Reader = Callable[..., AppSource]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Write files and read the app from main.py; without an import line each gets the usual two."""
    monkeypatch.chdir(tmp_path)

    def write(main: str = "", **files: str) -> AppSource:
        for name, text in {"main": main, **files}.items():
            path = Path((name if "/" in name else name.replace("__", "/")) + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            body = textwrap.dedent(text)
            head = "" if "import" in body else "import streamlit as st; import stguard as sg\n"
            path.write_text(head + body, encoding="utf-8")
        return read(Path("main.py"))

    return write


def names(source: AppSource) -> list[str]:
    return [page.name for page in source.pages]


def asked(source: AppSource) -> set[tuple[str, str]]:
    return {(demand.kind.value, demand.name) for demand in source.demands}


def codes(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.code for problem in problems]


PARTS = PolicyParts(
    permissions=("report:view", "report:export", *BUILT_IN_PERMISSIONS),
    roles={"viewer": Role("viewer"), "admin": Role("admin")},
    pages={"home": Page("home", SignedIn()), "reports": Page("reports", RoleIs(("viewer",)))},
)


def problems_of(source: AppSource, parts: PolicyParts = PARTS) -> list[str]:
    return [str(problem) for problem in compare(source, parts, policy_file="policies")]


# --- names of pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        "home.py", "1_home.py", "01 - Home.py", "12.py", "_.py", "a__b  c.py", "Ünï_cøde.py", "1_📈_Plots.py",
        "🏠 home.py", "🏳️‍🌈-pride.py", "👩🏽‍💻_dev.py", "🇩🇪_de.py", "1️⃣one.py", "a🏠.py", "home.txt", ".py", "x.py.py",
    ],
)  # fmt: skip
def test_a_file_page_is_named_as_streamlit_names_it(file: str) -> None:
    assert pagenames.of_file(file) == page_icon_and_name(Path(file))[1]


def test_every_emoji_that_streamlit_knows_is_taken_off_a_file_name() -> None:
    wrong = [emoji for emoji in ALL_EMOJIS if pagenames.of_file(f"1_{emoji}_Plots.py") != "Plots"]
    assert wrong == []


@pytest.mark.parametrize("title", ["Docs", "Our  Docs?", "_a/b_ c__d", "Straße & Co", " x "])
def test_an_external_link_is_named_as_streamlit_names_it(title: str) -> None:
    assert pagenames.of_title(title) == _sanitize_url_path(title)


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ('st.Page("views/1_Home.py")', "Home"),
        ('st.Page("views/1_Home.py", default=True)', "Home"),
        ('st.Page("views/1_Home.py", url_path="/start/")', "start"),
        ('st.Page(page="views/1_Home.py", url_path=None)', "Home"),
        ('st.Page("views/1_Home.py", url_path="", default=True)', "Home"),
        ('"views/1_Home.py"', "Home"),
        ("dashboard", "dashboard"),
        ("st.Page(dashboard, title='Other')", "dashboard"),
        ("st.Page(lambda: None, title='x', url_path='x')", "x"),
        ("st.Page(functools.partial(dashboard, 1), url_path='made')", "made"),
        ("st.Page('https://example.com', title='Our Docs')", "our_docs"),
        ("Path('views') / '1_Home.py'", "Home"),
        ("HERE / 'views' / '1_Home.py'", "Home"),
        ("os.path.join(os.path.dirname(__file__), 'views', '1_Home.py')", "Home"),
        ("str(HERE.joinpath('views', '1_Home.py').resolve())", "Home"),
        ("f'{FOLDER}/1_Home.py'", "Home"),
        ("FOLDER + '/1_Home.py'", "Home"),
    ],
)
def test_a_page_in_a_menu_is_found_by_its_url_path(app: Reader, page: str, name: str) -> None:
    source = app(
        f"""
        import functools, os
        from pathlib import Path
        import streamlit as st
        import stguard as sg
        HERE = Path(__file__).parent
        FOLDER = "views"
        def dashboard(): ...
        sg.navigation([{page}]).run()
        """,
        views__1_Home="",
    )
    assert names(source) == [name]
    assert source.problems == ()
    assert source.pages_complete


@pytest.mark.parametrize(
    "menu",
    [
        "sg.navigation([a, b])",
        "sg.navigation(pages=(a, b))",
        "sg.navigation([a] + [b])",
        "sg.navigation([*[a], *[b]])",
        "sg.navigation({'': [a], 'S': [b]})",
        "sg.navigation({**{'': [a]}, 'S': [b]})",
        "sg.navigation({'': [a]} | {'S': [b]})",
        "both = [a]\nboth.append(b)\nsg.navigation(both)",
        "both = [a]\nboth += [b]\nsg.navigation(both)",
        "both = [a]\nboth.extend([b])\nsg.navigation(both)",
        "both = [a]\nboth.insert(1, b)\nsg.navigation(both)",
        "both = {}\nboth['X'] = [a]\nboth['S'] = [b]\nsg.navigation(both)",
        "both = {'X': [a]}\nboth.setdefault('S', []).append(b)\nsg.navigation(both)",
        "both = {'X': [a]}\nboth['X'].append(b)\nsg.navigation(both)",
        "both = {'X': [a]}\nboth.update({'S': [b]})\nsg.navigation(both)",
        "if st.user.is_logged_in:\n    both = [a, b]\nelse:\n    both = [a]\nsg.navigation(both)",
        "sg.navigation([a, b] if st.user else [a])",
        "def pages():\n    if st.user:\n        return [a, b]\n    return [a]\nsg.navigation(pages())",
        "def menu():\n    both = [a, b]\n    return sg.navigation(both)\nmenu().run()",
        "from stguard import navigation\nnavigation([a, b])",
        "import stguard\nstguard.navigation([a, b])",
        "from stguard import *\nnavigation([a, b])",
        "nav = sg.navigation\nnav([a, b])",
        "x, y = a, b\nsg.navigation([x, y])",
        "try:\n    import stguard as guard\nexcept ImportError:\n    guard = None\nguard.navigation([a, b])",
    ],
)
def test_a_menu_is_read_however_it_is_made(app: Reader, menu: str) -> None:
    main = f"import streamlit as st\nimport stguard as sg\na = st.Page('a.py')\ndef b(): ...\n{menu}\n"
    source = app(main, a="", b="")
    assert list(dict.fromkeys(names(source))) == ["a", "b"]
    assert source.pages_complete, source.unread


@pytest.mark.parametrize(("call", "name"), [("logout_page()", "logout"), ("logout_page(url_path='bye')", "bye")])
def test_the_page_that_signs_out_is_known_by_its_url_path(app: Reader, call: str, name: str) -> None:
    source = app(f"import stguard as sg\ndef a(): ...\nsg.navigation([a, sg.{call}])")
    assert names(source) == ["a", name]
    assert source.pages_complete, source.unread


def test_the_sections_of_a_menu_are_kept(app: Reader) -> None:
    source = app("def a(): ...\ndef b(): ...\nsg.navigation({'': [a], 'Admin': [b]})")
    assert [(page.name, page.section) for page in source.pages] == [("a", None), ("b", "Admin")]
    assert source.navigations[0].sections == ("Admin",)


@pytest.mark.parametrize(
    "menu",
    [
        "sg.navigation([st.Page(p) for p in folder.glob('*.py')])",
        "sg.navigation(load_pages())",
        "sg.navigation([st.Page(name)])",
        "sg.navigation([st.Page('a.py', url_path=name)])",
        "sg.navigation({name: ['a.py']})",
        "sg.navigation([st.Page('a.py', **options)])",
        "sg.navigation()",
        "def menu(pages):\n    sg.navigation(pages)",
        "for p in ['a.py']:\n    sg.navigation([p])",
    ],
)
def test_what_only_running_tells_is_noted_and_not_guessed(app: Reader, menu: str) -> None:
    source = app(menu, a="")
    assert not source.pages_complete
    assert "page-not-in-app" not in " ".join(problems_of(source))


def test_imports_and_page_files_are_followed_and_each_file_is_read_once(app: Reader) -> None:
    source = app(
        """
        import streamlit as st
        from views import reports
        import views.deep.inner as inner
        from lib.guards import *
        import main
        navigation([st.Page("views/home.py"), reports.page, inner.page])
        """,
        lib__guards="from stguard import requires, navigation\nfrom .more import Role",
        lib__more="class Role:\n    BOSS = 'boss'\n",
        views__reports="import lib.guards\n@lib.guards.requires(role=lib.guards.Role.BOSS)\ndef page(): ...",
        **{"views/deep/__init__": ""},
        views__deep__inner="from ..reports import page",
        views__home="import stguard\nstguard.authorize('report:view')",
    )
    assert names(source) == ["home", "page", "page"]
    assert asked(source) == {("role", "boss"), ("permission", "report:view")}
    assert sorted(source.files) == sorted(
        ["main.py", "lib/guards.py", "lib/more.py", "views/reports.py", "views/deep/__init__.py",
         "views/deep/inner.py", "views/home.py"]
    )  # fmt: skip
    assert source.problems == ()


def test_a_folder_named_like_stguard_beside_the_script_is_not_taken_for_it(app: Reader) -> None:
    source = app("import stguard as sg\nsg.can('report:view')", **{"stguard/__init__": "x = ("})
    assert asked(source) == {("permission", "report:view")}
    assert source.problems == ()


def test_the_script_of_an_asgi_app_is_followed(app: Reader) -> None:
    source = app("import stguard as sg\napp = sg.App('page.py')", page="import stguard as sg\nsg.can('report:view')")
    assert asked(source) == {("permission", "report:view")}


# --- what code asks for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sg.can('report:view')", {("permission", "report:view")}),
        ("sg.can(permission=['a:b', 'c:d'])", {("permission", "a:b"), ("permission", "c:d")}),
        ("sg.can(page='reports')", {("page", "reports")}),
        ("sg.explain('page:reports')", {("page", "reports")}),
        ("sg.explain('report:view', org='acme')", {("permission", "report:view"), ("org", "acme")}),
        ("sg.authorize(role=('admin', 'viewer'))", {("role", "admin"), ("role", "viewer")}),
        ("sg.authorize('signed_in')", set()),
        ("sg.authorize(group='g', org='acme')", {("group", "g"), ("org", "acme")}),
        ("sg.authorize(email='ann@acme.com')", set()),
        (
            "sg.authorize(any_of=['a:b', {'role': 'r', 'not': {'group': 'g'}}, {'all': [{'claim': {'k': 'v'}}]}])",
            {("permission", "a:b"), ("role", "r"), ("group", "g")},
        ),
        ("ROLE = 'admin'\nsg.authorize(role=ROLE)", {("role", "admin")}),
        ("ROLES = ['admin', 'viewer']\nsg.authorize(role=ROLES)", {("role", "admin"), ("role", "viewer")}),
        ("class R:\n    A = 'admin'\nsg.authorize(role=R.A)", {("role", "admin")}),
        ("class R:\n    A = 'admin'\nsg.authorize(role=R.A.value)", {("role", "admin")}),
        ("AREA = 'report'\nsg.can(f'{AREA}:view')", {("permission", "report:view")}),
        ("class P:\n    @sg.requires('report:view')\n    async def f(self): ...", {("permission", "report:view")}),
        ("def f(sg):\n    sg.can('report:view')", set()),
        ("sg = 3\ndef can(x): ...\ncan('report:view')", set()),
    ],
)
def test_names_that_code_asks_for_are_found(app: Reader, code: str, expected: set[tuple[str, str]]) -> None:
    source = app(code)
    assert asked(source) == expected
    assert source.unread == ()


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("sg.can(name)", "the permission that can asks for"),
        ("sg.can(*args)", "the arguments of can"),
        ("sg.can(**kwargs)", "the arguments of can"),
        ("sg.authorize(role=['admin', other()])", "the role that authorize asks for"),
        ("R = 'a'\nR = 'b'\nsg.authorize(role=R)", "the role that authorize asks for"),
        ("def f(p):\n    return sg.requires(p)", "the permission that requires asks for"),
        ("A = B\nB = A\nsg.can(A)", "the permission that can asks for"),
    ],
)
def test_arguments_that_only_running_tells_are_noted(app: Reader, code: str, what: str) -> None:
    source = app(code)
    assert what in {unread.what for unread in source.unread}
    assert [d for d in source.demands if d.name != "admin"] == []
    assert any("warning[unread]" in problem for problem in problems_of(source))


def test_an_org_that_only_running_tells_is_no_problem(app: Reader) -> None:
    source = app(
        "sg.can('report:view', org=sg.org().org)\nsg.navigation(['reports.py', 'home.py'])", reports="", home=""
    )
    assert [unread.matters for unread in source.unread] == [False]
    assert problems_of(source) == []


def test_places_count_characters_and_not_bytes(app: Reader) -> None:
    source = app("import stguard as sg\nx = 'äöü€😀'; sg.can('report:view')")
    (demand,) = source.demands
    assert (demand.place.file, demand.place.line, demand.place.column) == ("main.py", 2, 21)


@pytest.mark.parametrize("code", ["sg.authorize()", "sg.can(org='acme')", "@sg.requires\ndef f(): ...", "sg.requires(on_deny='hide')"])  # fmt: skip
def test_a_guard_that_asks_for_nothing_is_a_problem(app: Reader, code: str) -> None:
    assert codes(app(code).problems) == ["empty-requirement"]


def test_an_unknown_condition_is_a_problem(app: Reader) -> None:
    (problem,) = app("sg.authorize(rol='admin')").problems
    assert str(problem) == "main.py:2:18: error[unknown-condition] unknown condition `rol` in `authorize`"


# --- decorators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorators", "message"),
    [
        (
            "@sg.requires('report:view')\n@st.fragment\n",
            (
                "main.py:2:2: error[decorator-order] `@sg.requires` on `f` stands above `@st.fragment`, so it is not asked "
                "when that runs again alone; put `@st.fragment` above it"
            ),
        ),
        (
            "@sg.requires('report:view')\n@st.dialog('T')\n",
            (
                "main.py:2:2: error[decorator-order] `@sg.requires` on `f` stands above `@st.dialog`, so it is not asked "
                "when that runs again alone; put `@st.dialog` above it"
            ),
        ),
        (
            "@st.cache_data(ttl=3)\n@sg.requires('report:view')\n",
            (
                "main.py:3:2: error[decorator-order] `@sg.requires` on `f` stands below `@st.cache_data`, so a cached "
                "answer is given without asking; put `@st.cache_data` below it"
            ),
        ),
        (
            "@sg.cache_resource\n@sg.requires('report:view')\n",
            (
                "main.py:3:2: error[decorator-order] `@sg.requires` on `f` stands below `@sg.cache_resource`, so a cached "
                "answer is given without asking; put `@sg.cache_resource` below it"
            ),
        ),
    ],
)
def test_a_guard_in_the_wrong_place_is_a_problem_that_says_the_right_one(
    app: Reader, decorators: str, message: str
) -> None:
    assert [str(problem) for problem in app(f"{decorators}def f(): ...").problems] == [message]


@pytest.mark.parametrize(
    "decorators",
    ["@st.fragment(run_every=3)\n@sg.requires('a:b')\n", "@sg.requires('a:b')\n@st.cache_data\n", "@sg.requires('a:b')\n@other\n"],
)  # fmt: skip
def test_a_guard_in_the_right_place_is_no_problem(app: Reader, decorators: str) -> None:
    assert app(f"{decorators}def f(): ...").problems == ()


# --- a login that the script runs past --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("st.login()\nst.title('x')", 2),
        ("if not st.user.is_logged_in:\n    st.login('google')\nst.title('x')", 3),
        ("if not st.user.is_logged_in:\n    st.login()\nelse:\n    st.write('y')\nst.title('x')", 3),
        ("with st.sidebar:\n    if st.button('In'):\n        st.login()\nst.title('x')", 4),
        ("def page():\n    st.login()\n    st.title('x')\npage()", 3),
        ("def page():\n    st.login()\n    st.title('x')\n    return", 3),
        ("def page():\n    st.login()\n    return render()", 3),
        ("def ask():\n    if not st.user.is_logged_in:\n        st.login()\nask()\nst.title('x')", 4),
        ("def ask():\n    st.login()\n    return\ndef main():\n    ask()\nmain()\nst.title('x')", 3),
        ("def ask():\n    st.login()\ndef main():\n    ask()\n    st.title('x')\nst.button('x', on_click=main)", 3),
        ("try:\n    st.login()\nexcept ValueError:\n    st.stop()\nst.title('x')", 3),
        ("match st.query_params:\n    case {'in': _}:\n        st.login()\nst.title('x')", 4),
        ("class Page:\n    def draw(self):\n        st.login()\n        st.title('x')", 4),
        ("from streamlit import login\nlogin()\nx = 1", 2),
    ],
)
def test_a_login_that_the_script_runs_past_is_a_problem(app: Reader, code: str, line: int) -> None:
    (problem,) = app(code).problems
    assert (problem.file, problem.line, problem.code) == ("main.py", line, "login-without-stop")
    assert problem.severity == "warning"


@pytest.mark.parametrize(
    "code",
    [
        "st.login()\nst.stop()",
        "if not st.user.is_logged_in:\n    st.login()\n    st.stop()\nst.title('x')",
        "if not st.user.is_logged_in:\n    if st.button('In'):\n        st.login()\n    st.stop()\nst.title('x')",
        "if not st.user.is_logged_in:\n    st.login()\n    st.write('wait')\n    st.stop()\nst.title('x')",
        "if not st.user.is_logged_in:\n    st.login()\n    raise SystemExit\nst.title('x')",
        "import sys\nimport streamlit as st\nst.login()\nsys.exit()",
        "if not st.user.is_logged_in:\n    st.login()\nelse:\n    st.title('x')",
        "def ask():\n    st.login()\nst.button('In', on_click=ask)\nst.title('x')",
        "st.button('In', on_click=st.login)\nst.title('x')",
        "st.button('In', on_click=lambda: st.login())\nst.title('x')",
        "def main():\n    if not st.user.is_logged_in:\n        st.login()\n        return\n    st.title('x')\nmain()",
        "def sign_in():\n    if st.button('In'):\n        st.login()\nsg.navigation([st.Page(sign_in)]).run()",
        "def ask():\n    st.login()\nask()\nst.stop()\nst.title('x')",
        "def ask():\n    st.login()\n    ask()\n    raise SystemExit\n",
        "st.login()\ndef later(): ...",
        "class Own:\n    def login(self): ...\nst2 = Own()\nst2.login()\nst.title('x')",
    ],
)
def test_a_login_that_nothing_follows_is_no_problem(app: Reader, code: str) -> None:
    assert codes(app(code).problems) == []


def test_functions_that_call_each_other_around_a_login_end_at_once(app: Reader) -> None:
    assert codes(app("def a():\n    st.login()\n    return\ndef b():\n    a()\n    return\nb()").problems) == []
    source = app("def a():\n    b()\ndef b():\n    a()\n    st.login()\na()")
    assert codes(source.problems) == ["login-without-stop"]


def test_a_login_in_another_file_is_found_where_it_is_called(app: Reader) -> None:
    source = app(
        "from lib.login import ask\nimport streamlit as st\nask()\nst.title('x')",
        lib__login="import streamlit as st\ndef ask():\n    st.login()\n",
    )
    assert [str(problem) for problem in source.problems] == [
        (
            "lib/login.py:3:5: warning[login-without-stop] the script goes on after `st.login()`, for who is not signed in; "
            "put `st.stop()` below it"
        )
    ]


# --- a cache that keeps a person's answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cache", "body", "column", "reads"),
    [
        ("@st.cache_data", "return st.user.email", 12, "`st.user`, and its result is kept for everybody;"),
        ("@st.cache_resource(ttl=3)", "return st.user['email']", 12, "`st.user`, and"),
        ("@st.cache_data", "return rows(sg.org().org)", 17, "`sg.org`, and"),
        ("@st.cache_data", "return sg.can('report:view')", 12, "`sg.can`, and"),
        ("@st.cache_data", "return [sg.state.x for x in y]", 13, "`sg.state`, and"),
        ("@st.cache_data", "return (lambda: sg.subject())()", 21, "`sg.subject`, and"),
        ("@st.cache_data", "return st.context.headers['X-User']", 12, "`st.context.headers`, and"),
        ("@st.cache_data", "return who()", 12, "`st.user` through `who`, and"),
        ("@st.cache_data", "return far()", 12, "`sg.org` through `far`, and"),
        ("@st.cache_data", "return me.email", 12, "`streamlit.user` through `me.email`, and"),
        ("@st.cache_data", "return here", 12, "`sg.org` through `here`, and"),
        ("@st.cache_data", "return guarded()", 12, "`sg.requires` through `guarded`, and"),
        ("@sg.cache_data", "return st.user.email", 12, "`st.user`, and its result is kept for everybody in the org;"),
        ("@sg.cache_data(scope='org')", "return who()", 12, "`st.user` through `who`, and"),
        ("@sg.cache_data(scope='subject')", "return sg.org()", 12, "`sg.org`, which is refused in a cached function;"),
    ],
)
def test_a_cached_function_that_reads_who_asks_is_a_problem(
    app: Reader, cache: str, body: str, column: int, reads: str
) -> None:
    source = app(
        f"""
        import streamlit as st
        import stguard as sg
        me = st.user
        here = sg.org()
        def who(): return st.user.email
        def far(): return again(far)
        def again(f): return sg.org().org if f else far()
        @sg.requires('report:view')
        def guarded(): ...
        {cache}
        def load(y=()):
            {body}
        """
    )
    (problem,) = source.problems
    assert (problem.file, problem.line, problem.column, problem.code) == ("main.py", 13, column, "cached-subject")
    assert problem.severity == "error"
    assert problem.message.startswith(f"`load` under `{cache.partition('(')[0]}` reads {reads}")
    assert problem.message.endswith("; read it outside and hand it in as an argument")


@pytest.mark.parametrize(
    "call", ["cached = st.cache_data(load)", "cached = st.cache_data(ttl=3)(load)", "x = st.cache_resource(load)()"]
)
def test_a_function_that_is_cached_by_a_call_is_looked_into(app: Reader, call: str) -> None:
    (problem,) = app(f"def load():\n    return st.user.email\n{call}").problems
    assert (problem.line, problem.code) == (3, "cached-subject")


def test_a_function_of_another_file_is_looked_into(app: Reader) -> None:
    source = app(
        "import streamlit as st\nfrom lib import who\n@st.cache_data\ndef load():\n    return who.mail()",
        lib__who="from streamlit import user\ndef mail():\n    return user.email",
    )
    assert [str(problem) for problem in source.problems] == [
        (
            "main.py:5:12: error[cached-subject] `load` under `@st.cache_data` reads `user` through `who.mail`, and its "
            "result is kept for everybody; read it outside and hand it in as an argument"
        )
    ]


@pytest.mark.parametrize(
    "code",
    [
        "@st.cache_data\ndef load(email): return email\nload(st.user.email)",
        "@st.cache_data\ndef load(user): return user.email",
        "@st.cache_data\ndef load(sg): return sg.org()",
        "@sg.cache_data(scope='subject')\ndef load(): return st.user.email",
        "@sg.cache_resource(scope='session')\ndef load(): return st.user.email",
        "@sg.requires('a:b')\n@st.cache_data\ndef load(): return st.connection('db')",
        "@st.cache_data\ndef load(): return load()",
        "class Reader: ...\n@st.cache_data\ndef load(): return Reader()",
        "def load(): return st.user.email",
        "x = st.cache_data(3)\nst.cache_data.clear()\nst.cache_data()",
    ],
)
def test_a_cached_function_that_is_handed_what_it_needs_is_no_problem(app: Reader, code: str) -> None:
    assert codes(app(code).problems) == []


CHAIN = "".join(f"def f{n}(): return f{n + 1}()\n" for n in range(1000))


@pytest.mark.parametrize(
    "code",
    [f"@st.cache_data\ndef load(): return f0()\n{CHAIN}", f"{'x + ' * 900}x", "if x:\n    y\nel" * 400 + "se: y"],
)
def test_a_long_chain_is_read_or_refused_but_never_an_exception(app: Reader, code: str) -> None:
    assert set(codes(app(code).problems)) <= {"invalid-python"}


# --- files that can't be read -----------------------------------------------------------------------------------------


def test_a_file_that_is_not_python_is_a_problem_with_its_place_and_the_rest_is_read(app: Reader) -> None:
    source = app("import broken\nimport stguard as sg\nsg.can('report:view')", broken="import x\nx = (\n")
    (problem,) = source.problems
    assert (problem.file, problem.line, problem.column, problem.code) == ("broken.py", 2, 5, "invalid-python")
    assert asked(source) == {("permission", "report:view")}


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        (b"x = 1\ny = '\0'\n", 2, "a NUL byte; expected Python source"),
        (b"x = 1\ny = '\xff'\n", 2, "not utf-8 text; expected Python source"),
        (b"# -*- coding: klingon -*-\n", 1, "can't be read as Python: `unknown encoding: klingon`"),
        (b"\xef\xbb\xbfx = (\n", 1, "can't be read as Python: `'(' was never closed`"),
        (b"-" * 100_000 + b"1", 1, "nested too deeply to be read as Python"),
    ],
)
def test_bytes_that_are_no_python_are_one_problem(tmp_path: Path, content: bytes, line: int, text: str) -> None:
    (tmp_path / "main.py").write_bytes(content)
    (problem,) = read(tmp_path / "main.py").problems
    assert (problem.line, problem.code) == (line, "invalid-python")
    assert problem.message == text


def test_a_long_sum_is_read_or_refused_but_never_an_exception(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import stguard as sg\nsg.can(" + "+".join(["'a'"] * 5000) + ")")
    source = read(tmp_path / "main.py")
    assert source.unread or source.problems


def test_a_long_sum_of_texts_does_not_hide_the_calls_in_it(app: Reader) -> None:
    source = app("x = " + " + ".join(["'a'"] * 900) + " + str(sg.can('report:view'))")
    assert asked(source) == {("permission", "report:view")}
    assert source.problems == ()


@pytest.mark.parametrize(
    "code",
    [
        "a0 = 'x'\n" + "".join(f"a{n} = a{n - 1} + a{n - 1}\n" for n in range(1, 60)) + "sg.can(a59)",
        "a0 = Path('x')\n" + "".join(f"a{n} = a{n - 1} / a{n - 1}\n" for n in range(1, 60)) + "st.Page(a59)",
        "a = b\na = c\nb = a\nb = c\nc = a\nc = b\nsg.can(a)\nsg.navigation(a)\nsg.navigation([a])",
        "pages = []\n" + "pages = pages + [st.Page(x)]\n" * 60 + "sg.navigation(pages)",
        "pages = []\n" + "pages += pages\npages.extend(pages)\n" * 60 + "sg.navigation(pages)",
        "p = 'a.py'\n" + "p = p if x else p\n" * 60 + "sg.navigation([p])",
        "def f():\n    return f() + f()\nsg.navigation(f())",
        "a = [a, a]\nsg.authorize(role=a)",
        "x = __file__" + ".resolve()" * 60 + "\nst.Page(x)",
    ],
)
def test_names_that_refer_to_themselves_or_double_end_at_once(app: Reader, code: str) -> None:
    source = app(f"from pathlib import Path\nimport streamlit as st\nimport stguard as sg\n{code}\n", a="")
    assert {problem.code for problem in source.problems} <= {"missing-page-file"}


def test_modules_that_import_everything_from_each_other_end_at_once(app: Reader) -> None:
    both = "from one import *\nfrom two import *\nfrom three import *\n"
    source = app(f"{both}import stguard as sg\nsg.can(name)", one=both, two=both, three=both)
    assert [unread.text for unread in source.unread] == ["name"]


def test_a_file_in_another_declared_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes("# coding: latin-1\nimport stguard as sg\nsg.can('é:view')".encode("latin-1"))
    assert asked(read(tmp_path / "main.py")) == {("permission", "é:view")}


@pytest.mark.parametrize(("name", "text"), [("gone.py", "no such file or directory"), (".", "is a directory")])
def test_a_script_that_can_not_be_opened_is_one_problem(tmp_path: Path, name: str, text: str) -> None:
    (problem,) = read(tmp_path / name).problems
    assert (problem.code, problem.message) == ("unreadable-file", f"can't read the file: {text}")


def test_a_nul_in_a_path_is_a_problem_and_not_an_exception(app: Reader) -> None:
    source = app("st.Page('a\\0.py')")
    assert codes(source.problems) == ["missing-page-file"]


def test_a_page_file_that_is_missing_is_a_problem(app: Reader) -> None:
    (problem,) = app("sg.navigation(['views/gone.py'])").problems
    assert str(problem) == (
        "main.py:2:16: error[missing-page-file] page file `views/gone.py` does not exist beside the main script"
    )


def test_a_doubtful_escape_in_the_app_is_not_our_warning(app: Reader) -> None:
    assert app("x = '\\d'").problems == ()


def test_nothing_of_the_app_is_run(app: Reader, tmp_path: Path) -> None:
    app("import lib.more\nopen('ran', 'w')\nraise SystemExit(1)", lib__more="open('ran', 'w')")
    assert not (tmp_path / "ran").exists()
    assert "lib.more" not in sys.modules


def test_the_file_is_named_as_the_script_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app" / "views").mkdir(parents=True)
    (tmp_path / "app" / "main.py").write_text("import streamlit as st\nst.navigation(['views/a.py'])")
    (tmp_path / "app" / "views" / "a.py").write_text("x = (")
    monkeypatch.chdir(tmp_path)
    assert [p.file for p in read(Path("app/main.py")).problems] == ["app/views/a.py"]
    monkeypatch.chdir(tmp_path / "app")
    assert [p.file for p in read(Path("main.py")).problems] == ["views/a.py"]


# --- app and policy together ------------------------------------------------------------------------------------------


def test_a_pages_folder_is_an_error_and_its_pages_are_found(app: Reader) -> None:
    source = app("st.title('x')", **{"pages/1_Reports": "", "pages/__init__": ""})
    assert [str(problem) for problem in source.problems] == [
        (
            "pages/1_Reports.py:1:1: error[pages-folder] the folder `pages` beside the main script is not empty; Streamlit "
            "runs its files without the main script and its guards, so move them to another folder such as `views`"
        )
    ]
    assert names(source) == ["main", "Reports"]


def test_an_empty_pages_folder_is_no_problem(app: Reader, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "__init__.py").touch()
    assert app("").problems == ()


def test_an_app_that_fits_its_policy_has_no_problem(app: Reader) -> None:
    source = app(
        """
        @sg.requires('report:view', org='acme')
        def guarded(): ...
        def home(): ...
        docs = st.Page('https://example.com', title='Docs')
        sg.navigation([home, 'reports.py', guarded, docs]).run()
        if sg.can(page='guarded') and sg.can('report:export') and sg.can(role='admin'): ...
        """,
        reports="",
    )
    parts = PolicyParts(permissions=PARTS.permissions, roles=PARTS.roles, pages=PARTS.pages, orgs={"acme": "Acme"})
    assert problems_of(source, parts) == []


def test_unknown_names_are_errors_with_the_nearest_name(app: Reader) -> None:
    source = app(
        """
        sg.can('report:exprt')
        sg.can('report:*')
        sg.authorize(role='amdin')
        sg.can(page='report')
        sg.can('report:view', org='acme')
        sg.navigation(['home.py', 'reports.py'])
        """,
        home="",
        reports="",
    )
    assert problems_of(source) == [
        (
            "main.py:3:8: error[unknown-permission] unknown permission `report:exprt` in `can`; did you mean "
            "`report:export`?"
        ),
        "main.py:4:8: error[unknown-permission] unknown permission `report:*` in `can`; a wildcard can't be asked for",
        "main.py:5:19: error[unknown-role] unknown role `amdin` in `authorize`; did you mean `admin`?",
        "main.py:6:13: error[unknown-page] unknown page `report` in `can`; did you mean `reports`?",
        "main.py:7:27: error[org-not-expected] org `acme` in `can`, but the policy has no `orgs`",
    ]


def test_an_unknown_org_is_an_error_unless_the_identity_source_names_them(app: Reader) -> None:
    source = app("sg.can('report:view', org='acme')")
    declared = PolicyParts(permissions=PARTS.permissions, orgs={"acne": "x"})
    assert [p.split(": ", 1)[1] for p in problems_of(source, declared)] == [
        "error[unknown-org] unknown org `acme` in `can`; did you mean `acne`?"
    ]
    assert problems_of(source, PolicyParts(permissions=PARTS.permissions, orgs_from_identity=True)) == []


def test_pages_that_only_one_side_has_are_warnings(app: Reader) -> None:
    source = app("sg.navigation({'Amin': ['home.py', 'report.py']})", home="", report="")
    parts = PolicyParts(pages=PARTS.pages, roles=PARTS.roles, sections={"Admin": RoleIs(("admin",))})
    assert problems_of(source, parts) == [
        (
            "main.py:2:36: warning[page-without-rule] page `report` has no rule in the policy, so it is denied; did you mean "
            "`reports`?"
        ),
        (
            "policies:1:1: warning[page-not-in-app] page `reports` is in the policy, but the app doesn't declare it; did you "
            "mean `report`?"
        ),
        (
            "policies:1:1: warning[section-not-in-app] section `Admin` is in the policy, but no menu of the app has it, so "
            "its rule holds for no page; did you mean `Amin`?"
        ),
    ]


def test_what_the_server_gives_beside_the_pages_needs_no_page(app: Reader) -> None:
    assert {
        middleware.STATIC_PAGE,
        metrics.METRICS_PAGE,
        health.HEALTH_PAGE,
        bearers.AGENT_PAGE,
    } == comparison.SERVED
    parts = PolicyParts(pages={name: Page(name, Public()) for name in ("home", *comparison.SERVED)})
    assert problems_of(app("sg.navigation(['home.py'])", home=""), parts) == []


def test_a_hidden_page_without_a_rule_is_a_warning_of_its_own(app: Reader) -> None:
    source = app(
        """
        def repots(): ...
        @sg.requires('report:view')
        def guarded(): ...
        HIDDEN = "hidden"
        sg.navigation([
            st.Page("home.py", visibility="hidden"),
            st.Page("secret.py", visibility="hidden"),
            st.Page(repots, visibility=HIDDEN),
            st.Page(guarded, visibility="hidden"),
            st.Page("plain.py", visibility="visible"),
        ]).run()
        """,
        home="",
        secret="",
        plain="",
    )
    assert [problem for problem in problems_of(source) if "without-rule" in problem] == [
        (
            "main.py:9:5: warning[hidden-without-rule] page `secret` has no rule in the policy, and being hidden does not "
            "protect it: its address opens it wherever the policy isn't asked; add it to `pages`"
        ),
        (
            "main.py:10:5: warning[hidden-without-rule] page `repots` has no rule in the policy, and being hidden does not "
            "protect it: its address opens it wherever the policy isn't asked; did you mean `reports`?"
        ),
        "main.py:12:5: warning[page-without-rule] page `plain` has no rule in the policy, so it is denied; add it to `pages`",
    ]
    public = PolicyParts(permissions=PARTS.permissions, pages={"*": Page("*", Public())})
    assert problems_of(source, public) == []


def test_a_rule_for_all_other_pages_covers_a_page_that_is_not_listed(app: Reader) -> None:
    source = app("sg.navigation(['x.py'])\nsg.can(page='anything')", x="")
    assert problems_of(source, PolicyParts(pages={"*": Page("*", Public())})) == []


def test_a_menu_that_does_not_ask_the_policy_is_a_warning(app: Reader) -> None:
    source = app(
        "from streamlit import navigation\nimport stguard\nnavigation(['home.py', 'reports.py'])", home="", reports=""
    )
    assert problems_of(source) == [
        (
            "main.py:3:1: warning[plain-navigation] `navigation` shows every page to everyone; use `sg.navigation`, which "
            "asks the policy"
        )
    ]


def test_an_app_without_stguard_is_a_warning(app: Reader) -> None:
    source = app(
        "import streamlit as st\nst.navigation(['home.py', 'reports.py'])", home="import os", reports="import os"
    )
    assert problems_of(source) == [
        (
            "main.py:1:1: warning[not-guarded] the app never imports stguard, so no policy is in force; make the menu with "
            "`sg.navigation`"
        )
    ]


def test_every_kind_of_name_is_compared(app: Reader) -> None:
    source = app("sg.authorize('p:q', role='r', org='o', group='g')\nsg.can(page='x')")
    assert {demand.kind for demand in source.demands} == set(Asked)
