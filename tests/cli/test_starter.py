from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from stguard import Policy
from stguard.cli import firstpolicy

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SHIPPED = Path(__file__).parents[2] / "policies"


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")


# --- the starter policy -----------------------------------------------------------------------------------------------


def test_the_shipped_policy_is_the_one_that_init_writes() -> None:
    assert (SHIPPED / "policy.yaml").read_text(encoding="utf-8") == firstpolicy.text()


def test_the_shipped_policy_is_short_and_loads_without_a_problem() -> None:
    text = (SHIPPED / "policy.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert text.startswith("# yaml-language-server: $schema=./stguard.schema.json\n")
    policy = Policy.load(SHIPPED)
    assert policy.problems == ()
    assert policy.parts.tests


def test_the_shipped_schema_is_current_and_accepts_the_shipped_policy(run: Run) -> None:
    ran = run("schema")
    assert ran.code == 0
    assert ran.out == (SHIPPED / "stguard.schema.json").read_text(encoding="utf-8"), "stguard schema > policies/…"
    assert run("schema", "--json").out == ran.out
    document = yaml.safe_load((SHIPPED / "policy.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(document, ran.json)


def test_the_commented_lines_of_the_starter_are_right_too() -> None:
    text = firstpolicy.text()
    for start in ("# - {id: analysts", "# - {id: audit"):
        text = text.replace(start, start.removeprefix("# ").rjust(len(start)))
    policy = Policy.from_yaml(text)
    assert {assignment.id for assignment in policy.parts.assignments} >= {"analysts", "audit"}
    forbidding = firstpolicy.text().replace("# forbid:", "forbid:").replace("#   - {id: no-c", "  - {id: no-c")
    tests = forbidding.index("\ntests:")
    assert Policy.from_yaml(forbidding[:tests] + "\n").parts.forbids


# --- init -------------------------------------------------------------------------------------------------------------


def test_the_pages_of_the_app_get_a_rule_each_and_the_lines_to_change_are_shown(run: Run) -> None:
    write(
        {
            "main.py": "import streamlit as st\n\n"
            "pg = st.navigation(['views/home.py', 'views/1_on.py', 'views/settings.py'])\npg.run()\n",
            "views/home.py": "",
            "views/1_on.py": "import stguard\nstguard.can('invoice:approve')\nstguard.can(role='clerk')",
            "views/settings.py": "",
        }
    )
    ran = run("init")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "wrote policies/policy.yaml: 3 pages (home, on, settings)",
        "wrote policies/stguard.schema.json: completion and checks in editors",
        "",
        "change in the app:",
        "  main.py:3",
        "    - pg = st.navigation(['views/home.py', 'views/1_on.py', 'views/settings.py'])",
        "    + pg = sg.navigation(['views/home.py', 'views/1_on.py', 'views/settings.py'])",
        "",
        "then put your e-mail into policies/policy.yaml, under `assign` and `tests`, and:",
        "  stguard check policies --app main.py",
        "  stguard dev main.py",
    ]
    policy = Policy.load("policies")
    assert policy.page_names == ("home", "on", "settings")
    assert "invoice:approve" in policy.permissions
    assert policy.roles == ("viewer", "admin", "clerk")
    ann = policy.subject({"email": "ann@example.com", "email_verified": True})
    assert policy.pages(ann) == ("home", "on", "settings")
    assert policy.pages(None) == ()


def test_an_app_that_does_not_import_stguard_is_told_to(run: Run) -> None:
    write({"app.py": "import streamlit as st\nst.navigation(['home.py']).run()\n", "home.py": ""})
    lines = run("init").out.splitlines()
    assert lines[3:9] == [
        "change in the app:",
        "  app.py",
        "    + import stguard as sg",
        "  app.py:2",
        "    - st.navigation(['home.py']).run()",
        "    + sg.navigation(['home.py']).run()",
    ]


def test_the_app_fits_the_starter_once_its_lines_are_changed(run: Run) -> None:
    main = "import streamlit as st\nimport stguard as sg\nst.navigation(['home.py', 'über_uns.py']).run()\n"
    write({"streamlit_app.py": main, "home.py": "", "über_uns.py": ""})
    assert run("init").code == 0
    write({"streamlit_app.py": main.replace("st.navigation", "sg.navigation")})
    assert run("check", "--app", "streamlit_app.py", "--json").json["problems"] == []


def test_a_pages_folder_becomes_a_menu(run: Run) -> None:
    write({"main.py": "import streamlit as st\n", "pages/1_Übersicht.py": "", "pages/2_Users.py": ""})
    ran = run("init")
    assert ran.code == 0
    assert "first: pages/1_Übersicht.py:1:1: error[pages-folder]" in ran.out
    assert '    + sg.navigation(["views/home.py", "views/1_Übersicht.py", "views/2_Users.py"]).run()' in ran.out
    assert Policy.load("policies").page_names == ("home", "Übersicht", "Users")


def test_an_app_without_a_menu_gets_one_page(run: Run) -> None:
    write({"main.py": "import streamlit as st\nst.title('x')\n"})
    assert "    + sg.navigation([home]).run()" in run("init").out
    assert Policy.load("policies").page_names == ("home",)


def test_an_app_that_is_already_guarded_needs_no_change(run: Run) -> None:
    write({"main.py": "import stguard as sg\ndef home(): ...\nsg.navigation([home]).run()\n"})
    assert "the app already makes its menu with stguard" in run("init").out


@pytest.mark.parametrize("name", ["on", "null", "12", "a b", "a: b", "#x", "{x}", "[x", "a'b", 'a"b', "-", "é", "日本"])
def test_whatever_pages_are_called_the_starter_loads(run: Run, name: str) -> None:
    main = f"import streamlit as st\ndef f(): ...\nst.navigation([st.Page(f, url_path={name!r})])\n"
    write({"main.py": main})
    assert run("init").code == 0
    assert Policy.load("policies").page_names == (name,)


def test_names_that_make_no_policy_are_said_and_nothing_is_written(run: Run) -> None:
    write({"main.py": "import streamlit as st\ndef f(): ...\nst.navigation([st.Page(f, url_path='*x')])\n"})
    ran = run("init")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: the names in the app make no policy; change them or write it by hand\n")
    assert not Path("policies").exists()


@pytest.mark.parametrize("existing", ["policy.yaml", "policies/mine.yaml", "policies/policy.yaml"])
def test_an_existing_policy_is_never_overwritten(run: Run, existing: str) -> None:
    write({"main.py": "import streamlit as st\n", existing: "mine"})
    ran = run("init")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"error: {existing.partition('/')[0]} exists; it stays as it is\n"
    assert Path(existing).read_text() == "mine"


def test_an_existing_schema_is_left_alone(run: Run) -> None:
    write({"main.py": "import streamlit as st\n", "policies/stguard.schema.json": "mine"})
    assert run("init").code == 0
    assert Path("policies/stguard.schema.json").read_text() == "mine"


def test_the_app_may_be_in_another_folder_or_have_another_name(run: Run) -> None:
    write({"here/run.py": "import streamlit as st\n"})
    assert run("init", "here").code == 1
    assert run("init", "here").err == (
        "error: no main script in `here`; expected `main.py`, `app.py`, `streamlit_app.py`, or name the script itself\n"
    )
    assert run("init", "here/run.py").code == 0
    assert Path("here/policies/policy.yaml").is_file()


def test_a_script_that_is_no_python_stops_it(run: Run) -> None:
    write({"main.py": "x = ("})
    ran = run("init")
    assert ran.code == 1
    assert "main.py:1:5: error[invalid-python]" in ran.err
    assert not Path("policies").exists()


def test_a_folder_that_can_not_be_made_is_an_error(run: Run) -> None:
    write({"main.py": "import streamlit as st\n", "elsewhere/x": ""})
    Path("policies").symlink_to("gone/deeper")
    ran = run("init")
    assert ran.code == 1
    assert ran.err.startswith("error: can't write `policies")


def test_a_folder_that_does_not_exist_is_wrong_usage(run: Run) -> None:
    assert run("init", "gone").code == 2
