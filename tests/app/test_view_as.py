"""Seeing the app as a person or a role: what opens, what can't be done, how it ends, what is set aside."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.runtime.pages_manager import PagesManager

from stguard.app import wishes
from stguard.app.settings import settings_at

if TYPE_CHECKING:
    from stguard.model import Subject
    from stguard.policy import Policy

POLICY = """
stguard: 1
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  exporter: {inherits: viewer, allow: "report:export"}
  keeper: {allow: ["policy:*", "report:view"]}
  auditor: {allow: "policy:view"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: auditor, email: otto@acme.com}
  - {role: viewer, email: vera@acme.com, id: veras}
  - {role: exporter, email: emma@acme.com}
pages:
  home: signed_in
  reports: {permission: "report:view"}
  exports: {rule: {permission: "report:export"}, on_deny: lock}
"""

MAIN = """
from pathlib import Path
WROTE = Path(__file__).with_name("wrote")
def write():
    WROTE.write_text("something")
@sg.requires("signed_in")
def guarded():
    write()
def home():
    st.title("home content")
    st.write("can view: " + str(sg.can("report:view")), "can export: " + str(sg.can("report:export")))
    st.write("I am " + str(sg.subject().email) + " / " + str(st.user.get("email")))
    st.session_state.setdefault("me", sg.subject().email)
    st.write("kept: " + st.session_state["me"])
    if st.button("Approve"):
        guarded()
    st.button("Approve by callback", on_click=guarded)
    if st.checkbox("Tick"):
        write()
    st.checkbox("Tick with a callback", on_change=write)
    if st.chat_input("Say"):
        write()
def reports():
    st.title("reports content")
def exports():
    st.title("exports content")
sg.configure(audit=str(Path(__file__).with_name("audit.jsonl")))
if st.sidebar.checkbox("Everywhere", key="everywhere"):
    write()
sg.user_menu()
sg.navigation([
    st.Page(home, default=True), st.Page(reports), st.Page(exports), sg.admin_page(),
]).run()
"""

STOP = "stguard_view_stop"
BANNER = "You see the app as"


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that opens an address; where the app then leads to another page, the tab stays there."""
    asked: list[str] = []
    at = {"name": "", "hash": ""}

    def set_script_intent(self: Any, page_script_hash: str, _page_name: str) -> None:
        if asked:
            at.update(name=asked.pop(), hash="")
        elif page_script_hash:
            at.update(name="", hash=page_script_hash)
        self._intended_page_script_hash, self._intended_page_name = at["hash"], at["name"]

    monkeypatch.setattr(PagesManager, "set_script_intent", set_script_intent)
    return lambda name: asked.__setitem__(slice(None), [name])


@pytest.fixture
def app(desk: Any, go: Any) -> Any:
    go("admin")
    return desk.policy(POLICY).main(MAIN)


def person(at: Any, name: str) -> Any:
    at.session_state["stguard_admin_person"] = f"email:{name}@acme.com"
    return at.run().button(key="stguard_admin_view_person").click().run()


def as_role(at: Any, role: str, org: str | None = None) -> Any:
    at.session_state["stguard_admin_tab"] = "access"
    at.run()
    at.selectbox(key="stguard_admin_view_role").set_value(role)
    if org is not None:
        at.selectbox(key="stguard_admin_view_org").set_value(org)
    return at.button(key="stguard_admin_view_as_role").click().run()


def wrote(app: Any) -> bool:
    return Path(app.folder, "wrote").exists()


def memo(at: Any) -> Any:
    return at.session_state["_stguard"]


def test_an_admin_sees_the_app_as_a_person(app: Any, shown: Any, menu: Any) -> None:
    at = person(app.run("ada"), "vera")
    assert BANNER in shown(at)
    assert "vera@acme.com" in shown(at)
    assert "I am vera@acme.com / ada@acme.com" in shown(at)
    assert menu() == ["/", "reports", "exports"]


@pytest.mark.parametrize(
    ("role", "pages"), [("viewer", ["/", "reports", "exports"]), ("auditor", ["/", "exports", "admin"])]
)
def test_an_admin_sees_the_app_as_somebody_with_one_role(
    app: Any, shown: Any, menu: Any, role: str, pages: list[str]
) -> None:
    at = as_role(app.run("ada"), role)
    assert f"{BANNER} **somebody with only the role {role}**" in shown(at)
    assert menu() == pages


def test_what_is_refused_to_who_looks_stays_closed(app: Any, go: Any, shown: Any) -> None:
    at = person(app.run("ada"), "emma")  # Emma may export, Ada may not
    assert "can view: True can export: False" in shown(at)
    go("exports")
    at.run()
    assert "exports content" not in shown(at)
    assert BANNER in shown(at)


def test_the_twin_emma_herself_may(app: Any, go: Any, shown: Any) -> None:
    go("exports")
    assert "exports content" in shown(app.run("emma"))


# --- who may look ----------------------------------------------------------------------------------------------------


def test_as_a_person_it_takes_both_permissions_as_a_role_one(app: Any, shown: Any) -> None:
    at = app.app("otto")
    at.session_state["stguard_admin_person"] = "email:vera@acme.com"
    at.run()
    assert not any(button.key == "stguard_admin_view_person" for button in at.button)
    assert f"{BANNER} **somebody" in shown(as_role(at, "viewer"))


def test_who_lost_the_right_since_the_button_was_drawn_begins_nothing(app: Any, shown: Any) -> None:
    at = app.app("ada")
    at.session_state["stguard_admin_person"] = "email:vera@acme.com"
    at.run()
    app.policy(POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: auditor, email: ada@acme.com}"))
    at.button(key="stguard_admin_view_person").click().run()
    assert memo(at).view is None
    assert BANNER not in shown(at)


def test_without_the_hooks_nobody_looks(app: Any) -> None:
    app.main(MAIN.replace("sg.configure(", 'sg.configure(hooks="off", '))
    at = app.app("ada")
    at.session_state["stguard_admin_person"] = "email:vera@acme.com"
    at.run()
    assert not any(button.key == "stguard_admin_view_person" for button in at.button)


def test_who_acts_as_somebody_else_already_does_not_look_as_a_third(app: Any) -> None:
    app.main(MAIN.replace("sg.configure(", 'sg.configure(identity=lambda claims: sg.Facts(impersonator="support"), '))
    at = app.app("ada")
    at.session_state["stguard_admin_person"] = "email:vera@acme.com"
    at.run()
    assert not any(button.key == "stguard_admin_view_person" for button in at.button)


# --- nothing can be done ---------------------------------------------------------------------------------------------


def labelled(elements: Any, label: str) -> Any:
    return next(element for element in elements if element.label == label)


def press(at: Any, label: str) -> Any:
    return labelled(at.button, label).click().run()


def tick(at: Any, label: str) -> Any:
    return labelled(at.checkbox, label).check().run()


DEEDS = {
    "a button": lambda at: press(at, "Approve"),
    "a callback": lambda at: press(at, "Approve by callback"),
    "a checkbox": lambda at: tick(at, "Tick"),
    "a checkbox with a callback": lambda at: tick(at, "Tick with a callback"),
    "a message": lambda at: at.chat_input[0].set_value("hello").run(),
    "a checkbox of the entry script": lambda at: tick(at, "Everywhere"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_can_be_done_while_looking(app: Any, shown: Any, deed: str) -> None:
    at = person(app.run("ada"), "vera")
    DEEDS[deed](at)
    assert not wrote(app)
    assert BANNER in shown(at)


@pytest.mark.parametrize("deed", DEEDS)
def test_the_twin_as_oneself_it_is_done(app: Any, go: Any, deed: str) -> None:
    go("")
    DEEDS[deed](app.run("ada"))
    assert wrote(app)


def test_a_click_that_did_nothing_is_told_beside_the_way_to_stop_and_covers_it_with_nothing(app: Any) -> None:
    at = person(app.run("ada"), "vera")
    assert not at.error  # the click that began it did something
    press(at, "Approve")
    assert ["Your click did nothing" in error.value for error in at.error] == [True]
    assert not at.toast
    at.run()
    assert not at.error


def test_the_admin_page_changes_nothing_while_looking(app: Any, go: Any, shown: Any) -> None:
    at = as_role(app.run("ada"), "keeper")
    go("admin")
    at.run()
    assert "Access control" in shown(at)
    assert not any((button.key or "").startswith("stguard_admin_view") for button in at.button)
    assert "Give a role" not in [expander.label for expander in at.expander]


# --- it ends ---------------------------------------------------------------------------------------------------------


def test_stop_leads_back_to_the_admin_page_as_oneself(app: Any, shown: Any) -> None:
    at = person(app.run("ada"), "vera")
    at.button(key=STOP).click().run()
    assert BANNER not in shown(at)
    assert "Access control" in shown(at)
    assert at.selectbox(key="stguard_admin_person").value == "email:vera@acme.com"


def ended(at: Any, shown: Any, app: Any) -> None:
    """Try a click in the run in which it ends and in the next, then go on."""
    press(at, "Approve")
    assert not wrote(app)
    text = shown(at)
    assert "You no longer see the app as" in text
    assert "content" not in text
    at.run()
    assert "You no longer see the app as" in shown(at)
    at.button(key=STOP).click().run()
    assert memo(at).view is None
    assert "You no longer see the app as" not in shown(at)


def test_after_an_hour_it_ends_and_nothing_opens_until_that_was_seen(app: Any, shown: Any) -> None:
    at = person(app.run("ada"), "vera")
    memo(at).view.begun = time.time() - 3601
    ended(at, shown, app)


def test_with_the_right_it_ends(app: Any, shown: Any) -> None:
    at = person(app.run("ada"), "vera")
    app.policy(POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: auditor, email: ada@acme.com}"))
    ended(at, shown, app)


def test_with_the_role_it_ends(app: Any, shown: Any) -> None:
    at = as_role(app.run("ada"), "exporter")
    gone = POLICY.replace('  exporter: {inherits: viewer, allow: "report:export"}\n', "")
    app.policy(gone.replace("  - {role: exporter, email: emma@acme.com}\n", ""))
    ended(at, shown, app)


@pytest.mark.parametrize("fails", [True, False])
def test_as_somebody_who_counts_as_nobody_by_now_it_ends(app: Any, shown: Any, *, fails: bool) -> None:
    at = person(app.run("ada"), "vera")

    def make(_policy: Policy) -> Subject | None:
        if fails:
            raise RuntimeError("claims of a shape nobody thought of")
        return None

    view = memo(at).view
    view.target = replace(view.target, make=make)
    app.policy(POLICY.replace("  home: signed_in\n", "  home: signed_in\n  more: public\n"))
    ended(at, shown, app)


def test_it_survives_neither_a_sign_out_nor_another_sign_in(
    app: Any, go: Any, desk: Any, claims: Any, shown: Any
) -> None:
    at = person(app.run("ada"), "vera")
    desk.raw({"is_logged_in": False}, at).run()
    assert "Sign in" in shown(at)
    assert memo(at).view is None
    go("admin")
    at = person(app.run("ada"), "emma")
    desk.raw({"is_logged_in": True, **claims("otto")}, at).run()
    assert BANNER not in shown(at)
    assert "**Otto**" in shown(at)
    assert memo(at).view is None


def test_a_script_that_clears_the_session_state_does_not_end_it(app: Any, shown: Any) -> None:
    app.main('if st.query_params.get("clear"):\n    st.session_state.clear()\n' + MAIN)
    at = person(app.run("ada"), "vera")
    at.query_params["clear"] = "1"
    for deed in ("Approve", "Approve by callback"):
        press(at, deed)
        assert BANNER in shown(at)
        assert not wrote(app)


def test_what_was_ticked_while_looking_does_not_count_afterwards(app: Any) -> None:
    at = tick(person(app.run("ada"), "vera"), "Everywhere")
    at.button(key=STOP).click()
    labelled(at.checkbox, "Everywhere").check()  # as the browser shows it still
    at.run()
    labelled(at.checkbox, "Everywhere").check()
    at.run()
    assert not wrote(app)
    labelled(at.checkbox, "Everywhere").uncheck().run()
    labelled(at.checkbox, "Everywhere").check().run()
    assert wrote(app)


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_what_the_app_keeps_about_who_is_here_is_set_aside_and_comes_back(app: Any, go: Any, shown: Any) -> None:
    go("")
    at = app.run("ada")
    assert "kept: ada@acme.com" in shown(at)
    go("admin")
    person(at.run(), "vera")
    assert "kept: vera@acme.com" in shown(at)
    at.button(key=STOP).click().run()
    go("")
    at.run()
    assert "kept: ada@acme.com" in shown(at)


STATE = """
def home():
    sg.state.setdefault("seen", sg.subject().email)
    st.write("state: " + sg.state["seen"])
    st.write("cache: " + cached(), "for the person: " + mine())
@sg.cache_data
def cached():
    return st.session_state["who"]
@sg.cache_data(scope="subject")
def mine():
    return st.session_state["who"]
st.session_state["who"] = f"{st.user['email']} as {sg.subject().email}"
sg.navigation([st.Page(home, default=True), sg.admin_page()]).run()
"""


def test_caches_and_state_keep_who_looks_apart(app: Any, go: Any, shown: Any) -> None:
    app.main(STATE)
    at = person(app.run("ada"), "vera")
    assert "state: vera@acme.com" in shown(at)
    assert "cache: ada@acme.com as vera@acme.com for the person: ada@acme.com as vera@acme.com" in shown(at)
    go("")
    hers = app.run("vera")
    assert "cache: vera@acme.com as vera@acme.com for the person: vera@acme.com as vera@acme.com" in shown(hers)
    at.run()
    assert "cache: ada@acme.com as vera@acme.com for the person: ada@acme.com as vera@acme.com" in shown(at)


# --- orgs ------------------------------------------------------------------------------------------------------------

ORGS = """
stguard: 1
permissions: {report: [view]}
orgs: {acme: {name: Acme Inc}, globex: {name: Globex}, initech: {name: Initech}}
roles:
  viewer: {allow: "report:view"}
  keeper: {cross_org: true, allow: "policy:*"}
  local: {allow: "policy:*"}
assign:
  - {role: keeper, org: "*", email: ada@acme.com, id: adas}
  - {role: viewer, org: acme, email: ada@acme.com}
  - {role: viewer, org: acme, email: vera@acme.com}
  - {role: viewer, org: globex, email: vera@acme.com}
forbid:
  - {permission: "report:view", org: globex, email: ada@acme.com}
pages:
  home: signed_in
  reports: {permission: "report:view"}
"""

ORGS_MAIN = """
def home():
    here = sg.org()
    st.title("home in " + (here.org if here else "no org"))
    st.write(f"acme: {sg.can('report:view', org='acme')}, globex: {sg.can('report:view', org='globex')}")
sg.org_selector(container=st.sidebar)
sg.navigation([st.Page(home, default=True), sg.admin_page()]).run()
"""


def test_the_org_selector_works_while_looking_and_says_nothing_to_the_others_login(app: Any, shown: Any) -> None:
    app.policy(ORGS).main(ORGS_MAIN)
    at = person(app.run("ada"), "vera")
    at.selectbox(key="stguard_org_selector").set_value("globex").run()
    assert "home in globex" in shown(at)
    assert "acme: True, globex: False" in shown(at)
    assert not wishes._chosen or all("vera" not in str(login) for login in wishes._chosen)


def test_an_org_of_which_whom_is_looked_at_is_no_member_is_not_active(app: Any, shown: Any) -> None:
    app.policy(ORGS).main(ORGS_MAIN)
    at = person(app.run("ada"), "vera")
    at.session_state["stguard_org"] = "initech"  # Vera isn't there; Ada is, as is everybody with a cross_org role
    at.run()
    assert "home in no org" in shown(at)


def test_a_role_is_looked_at_in_an_org(app: Any, shown: Any) -> None:
    app.policy(ORGS).main(ORGS_MAIN)
    at = as_role(app.run("ada"), "viewer")
    assert BANNER not in shown(at)
    assert "choose which" in shown(at)
    at = as_role(app.run("ada"), "viewer", "acme")
    assert "somebody with only the role viewer in Acme Inc" in shown(at)
    assert "home in acme" in shown(at)
    assert "acme: True, globex: False" in shown(at)


# --- what is told ----------------------------------------------------------------------------------------------------


def audit(desk: Any) -> str:
    trail = settings_at(str(desk.folder / "main.py")).trail
    assert trail is not None
    trail.flush()
    return Path(desk.folder, "audit.jsonl").read_text()


def test_beginning_looking_and_ending_stand_in_the_audit_without_a_name(app: Any, go: Any, desk: Any) -> None:
    go("")
    app.run("vera")
    go("admin")
    at = person(app.run("ada"), "vera")
    go("exports")
    at.run()
    at.button(key=STOP).click().run()
    lines = [json.loads(line) for line in audit(desk).splitlines()]
    seen = [line for line in lines if line["event"] == "view_as"]
    assert (seen[0]["action"], seen[0]["subject"], seen[0]["reason"]) == (
        "view_as:start", "https://idp.example|ada", "https://idp.example|vera",
    )  # fmt: skip
    assert (seen[-1]["action"], seen[-1]["subject"]) == ("view_as:stop", "https://idp.example|ada")
    between = seen[1:-1]
    assert ("page:exports", False) in {(line["action"], line["allowed"]) for line in between}
    assert {(line["subject"], line["impersonator"]) for line in between} == {
        ("https://idp.example|vera", "https://idp.example|ada")
    }
    assert not any(line["grants"] for line in seen)
    assert not any(line["impersonator"] for line in lines if line["event"] == "decision")


def test_who_only_the_policy_names_stands_there_without_the_e_mail(app: Any, desk: Any) -> None:
    person(app.run("ada"), "emma")
    text = audit(desk)
    assert "view_as:start" in text
    assert "emma" not in text


def test_what_is_refused_to_who_looks_was_refused_to_nobody(app: Any, go: Any, desk: Any) -> None:
    at = person(app.run("ada"), "vera")
    go("exports")
    at.run()
    recent = settings_at(str(desk.folder / "main.py")).recent
    assert recent.refusals() == ()
    assert [seen.email for seen in recent.people()] == ["ada@acme.com"]
