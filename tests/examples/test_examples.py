"""The five situations, each run as its readers would run it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from stguard.policy import Policy
from stguard.testing import as_user

EXAMPLES = Path(__file__).parents[2] / "examples"
PROVIDERS = {"propelauth"}
"""Examples that need a provider's settings; they are run in a browser, with a provider of their own."""
FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/app.py") if path.parent.name not in PROVIDERS)

ANN = "ann@acme.com"
BOB = "bob@acme.com"
EVE = "eve@evil.example"
REFUSED = "You don't have access to this."


def claims(email: str, **more: Any) -> dict[str, Any]:
    return {"iss": "https://idp.example", "sub": email, "email": email, "email_verified": True, "roles": [], **more}


def app(folder: str | Path, email: str | None, **more: Any) -> AppTest:
    script = EXAMPLES / folder / "app.py"
    return as_user(AppTest.from_file(script, default_timeout=30), claims(email, **more) if email else None).run()


def texts(at: AppTest) -> str:
    """Return everything that is shown, a line each."""
    assert not at.exception, at.exception
    shown = [*at.title, *at.header, *at.subheader, *at.markdown, *at.caption, *at.error, *at.info, *at.code, *at.text]
    return "\n".join(str(element.value) for element in shown)


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


def press(at: AppTest, label: str) -> AppTest:
    return next(button for button in at.button if button.label == label).click().run()


def test_there_are_five_situations() -> None:
    assert len(FOLDERS) == 5


@pytest.mark.parametrize("folder", [*FOLDERS, *map(EXAMPLES.joinpath, PROVIDERS)], ids=lambda folder: folder.name)
def test_an_example_fits_on_a_page_and_its_policy_holds_tests_and_no_problem(folder: Path) -> None:
    assert len((folder / "app.py").read_text().splitlines()) <= 60
    policies = folder / "policies"
    policy = Policy.load(policies if policies.is_dir() else folder / "policy.yaml")
    assert policy.problems == ()
    assert policy.parts.tests


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_visitor_gets_a_sign_in_page_and_nothing_of_the_app(folder: Path) -> None:
    shown = texts(app(folder, None))
    assert "Sign in" in shown
    assert not any(word in shown for word in ("Invoices", "Reports", "Article", "Settings"))


def test_one_decorator_guards_page_callback_fragment_dialog_and_function() -> None:
    viewer = app("guarded_functions", BOB)
    assert "Reports" in texts(viewer)
    assert "You may look, and not rename." in texts(viewer)
    assert viewer.slider
    assert "quarter,revenue" not in texts(press(viewer, "Export"))
    assert REFUSED in texts(viewer)
    assert "Delete for good" not in labels(press(viewer, "Delete"))

    admin = app("guarded_functions", ANN)
    assert "The First Half Of The Year" in texts(admin)
    assert "quarter,revenue" in texts(press(admin, "Export"))
    assert "Delete for good" in labels(press(admin, "Delete"))

    assert "Reports" not in texts(app("guarded_functions", EVE))


@pytest.mark.parametrize(
    ("email", "groups", "open_pages"),
    [
        (ANN, [], {"home", "help", "people", "settings"}),
        (BOB, [], {"home", "help"}),
        ("lea@acme.com", ["team-leads"], {"home", "help", "people"}),
        ("lea@elsewhere.example", ["team-leads"], {"home", "help"}),
        (None, [], {"help"}),
    ],
)
def test_the_policy_decides_which_pages_run(email: str | None, groups: list[str], open_pages: set[str]) -> None:
    opened = set()
    for page in ("home", "help", "people", "settings"):
        at = app("pages_from_policy", email, groups=groups)
        try:
            at.switch_page(f"views/{page}.py").run()
        except ValueError:
            continue  # not registered for this person
        if page.capitalize() in [title.value for title in at.title]:
            opened.add(page)
    assert opened == open_pages


def test_a_role_holds_in_the_org_that_is_chosen() -> None:
    at = app("many_orgs", ANN)
    assert "Choose an organization" in at.selectbox[0].placeholder
    at.selectbox[0].select("acme").run()
    assert "Invoices of Acme Inc" in texts(at)
    assert labels(at).count("Approve") == 2
    at.selectbox[0].select("globex").run()
    assert "Invoices of Globex" in texts(at)
    assert "Approve" not in labels(at)


def test_the_only_org_is_chosen_by_itself_and_no_other_can_be_wished_for() -> None:
    at = app("many_orgs", "gus@globex.com")
    assert "Invoices of Globex" in texts(at)
    at.query_params["org"] = "acme"
    assert "Invoices of" not in texts(at.run())
    assert [notice.value for notice in at.warning] == ["This link is for an organization you are not a member of\\."]


def test_who_has_no_org_reads_that_there() -> None:
    assert "not a member of any organization" in texts(app("many_orgs", EVE))


def test_a_button_shows_to_who_may_press_it() -> None:
    approver = app("one_button", ANN, groups=[])
    assert {"Approve A-1", "Approve A-2"} <= set(labels(approver))
    assert "A-1: approved" in texts(press(approver, "Approve A-1"))

    clerk = app("one_button", BOB, groups=[])
    assert "Invoices" in texts(clerk)
    assert not any("Approve" in label for label in labels(clerk))


@pytest.mark.parametrize("more", [{"groups": ["probation"]}, {}], ids=["in the group", "groups unknown"])
def test_a_forbid_takes_the_button_away(more: dict[str, Any]) -> None:
    at = app("one_button", ANN, **more)
    assert "Somebody with the right to approve has to look at these." in texts(at)


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "edited_policy", tmp_path / "edited_policy"))


def test_an_edit_counts_from_the_next_run(edited: Path) -> None:
    at = app(edited, BOB)
    assert "Article" in texts(at)
    assert "Save" not in labels(at)
    people = edited / "policies" / "people.yaml"
    people.write_text(people.read_text().replace("role: reader", "role: editor"))
    assert "Save" in labels(at.run())


def test_a_bad_edit_changes_nothing(edited: Path) -> None:
    at = app(edited, BOB)
    people = edited / "policies" / "people.yaml"
    people.write_text(people.read_text().replace("role: reader", "role: edtior"))
    assert "Article" in texts(at.run())
    assert "Save" not in labels(at)
