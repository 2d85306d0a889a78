"""The admin page: who may open it, and what its reading tabs say."""

from __future__ import annotations

from typing import Any

import pytest

from stguard.app.admin import directory, words
from stguard.app.recent import PEOPLE_KEPT, REFUSALS_KEPT, REFUSALS_OF_ONE, Recent
from stguard.model import Decision, Facts, Reason, Subject

POLICY = """
stguard: 1
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  exporter: {inherits: viewer, allow: "report:export"}
  keeper: {allow: "policy:*"}
  auditor: {allow: "policy:view"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: auditor, email: otto@acme.com}
  - {role: viewer, email: vera@acme.com, reason: "trial"}
  - {role: exporter, group: exporters}
pages:
  home: signed_in
  reports: {permission: "report:view"}
  exports: {rule: {permission: "report:export"}, on_deny: lock}
"""

ORGS = """
stguard: 1
permissions: {report: [view]}
orgs: {acme: {name: Acme Inc}, globex: {name: Globex}}
roles:
  viewer: {allow: "report:view"}
  org_admin: {inherits: viewer, allow: "policy:*"}
  keeper: {cross_org: true, allow: "policy:*"}
assign:
  - {role: keeper, org: "*", email: ada@acme.com}
  - {role: org_admin, org: acme, email: olga@acme.com}
  - {role: viewer, org: globex, email: vera@acme.com}
pages:
  home: signed_in
  reports: {permission: "report:view"}
"""

MAIN = """
def home():
    st.title("home content")
def reports():
    st.title("reports content")
def exports():
    st.title("exports content")
sg.navigation([
    st.Page(home, default=True), st.Page(reports), st.Page(exports), sg.admin_page(),
]).run()
"""


@pytest.fixture
def admin(desk: Any, visit: Any) -> Any:
    visit("admin")
    return desk.policy(POLICY).main(MAIN)


def tables(at: Any) -> str:
    return "\n".join(frame.value.to_string() for frame in at.dataframe)


def tab(at: Any, name: str) -> Any:
    return at.session_state.__setitem__("stguard_admin_tab", name) or at.run()


# --- who may open it -------------------------------------------------------------------------------------------------


def test_who_holds_neither_permission_finds_no_such_page(admin: Any, menu: Any, shown: Any) -> None:
    at = admin.run("vera")
    assert "home content" in shown(at)
    assert "Access control" not in shown(at)
    assert "admin" not in menu()
    assert not at.dataframe


def test_called_inside_a_page_it_says_where_it_belongs(desk: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.policy(POLICY).main("""
        def home(): sg.admin_page()
        sg.navigation([st.Page(home, default=True)]).run()
    """)
    desk.run("ada")
    assert "inside page `home`; it makes a page of its own: list it in the entry script" in caplog.text


def test_nobody_signed_in_is_led_to_sign_in(admin: Any, shown: Any) -> None:
    at = admin.run(None)
    assert "Access control" not in shown(at)
    assert "Sign in" in shown(at)


def test_who_may_only_see_the_policy_is_told_so(admin: Any, shown: Any) -> None:
    at = admin.run("otto")
    assert "Changing it takes the permission `policy:edit`" in shown(at)


def test_in_a_multi_tenant_app_a_role_held_in_one_org_does_not_open_it(admin: Any) -> None:
    admin.policy(ORGS)
    at = admin.app("olga")
    at.session_state["stguard_org"] = "acme"
    at.run()
    assert "It opens only with a role that counts in every organization" in "\n".join(e.value for e in at.error)
    assert not at.dataframe


def test_in_a_multi_tenant_app_a_cross_org_role_opens_it_with_and_without_an_active_org(admin: Any) -> None:
    admin.policy(ORGS)
    for org in (None, "acme"):
        at = admin.app("ada")
        if org is not None:
            at.session_state["stguard_org"] = org
        at.run()
        assert "vera@acme.com" in tables(at)


def test_a_right_that_is_taken_away_closes_it_at_the_next_click(admin: Any, shown: Any) -> None:
    at = admin.run("ada")
    assert "vera@acme.com" in tables(at)
    admin.policy(POLICY.replace("{role: keeper, email: ada@acme.com}", "{role: viewer, email: ada@acme.com}"))
    at.run()
    assert "vera@acme.com" not in tables(at)
    assert "Access control" not in shown(at)


# --- People ----------------------------------------------------------------------------------------------------------


def test_people_lists_who_signed_in_and_whom_the_policy_names(admin: Any) -> None:
    admin.run("nina")
    text = tables(admin.run("ada"))
    assert "Nina" in text
    assert "vera@acme.com" in text
    assert "not since the start" in text


def test_a_person_is_shown_with_roles_and_abilities(admin: Any, shown: Any) -> None:
    at = admin.run("ada")
    at.selectbox(key="stguard_admin_person").set_value("email:vera@acme.com").run()
    assert "trial" in tables(at)
    abilities = at.dataframe[-1].value.set_index("")["Allowed"]
    assert abilities["report:view"] == "✓"
    assert abilities["report:export"] == ""
    assert "Only the account is known" in shown(at)


def test_why_somebody_may_not_is_one_step_with_what_would_change_it(admin: Any, shown: Any) -> None:
    at = admin.run("ada")
    at.selectbox(key="stguard_admin_person").set_value("email:vera@acme.com").run()
    at.selectbox(key="stguard_admin_action").set_value("page:exports").run()
    (warning,) = at.warning
    assert "can't open **page exports**" in warning.value
    assert "would change it" in shown(at)


@pytest.mark.parametrize("text", ["", "@", "ann@", "@acme.com", "a" * 400 + "@x.y", "x\n@acme.com", "a b@c.d", "**x**"])
def test_what_is_typed_and_is_no_email_is_nobody(text: str) -> None:
    assert directory.typed(text) is None


def test_a_new_email_that_is_typed_is_somebody_with_nothing(admin: Any) -> None:
    at = admin.app("ada")
    at.session_state["stguard_admin_person"] = "new@acme.com"
    at.run()
    assert at.subheader[0].value == "new@\N{WORD JOINER}acme\\.com"
    assert at.dataframe[-1].value.set_index("")["Allowed"]["report:view"] == ""


def test_a_forged_choice_of_a_tab_shows_the_first(admin: Any) -> None:
    at = admin.app("ada")
    at.session_state["stguard_admin_tab"] = "nothing"
    at.run()
    assert not at.exception
    assert "vera@acme.com" in tables(at)


def test_names_from_claims_are_plain_text(admin: Any, claims: Any, shown: Any) -> None:
    admin.run({**claims("mal"), "name": "[click](https://evil.example) **x**"})
    at = admin.run("ada")
    at.selectbox(key="stguard_admin_person").set_value("email:mal@acme.com").run()
    assert "[click](https" not in shown(at)


# --- Access and Refusals ---------------------------------------------------------------------------------------------


def test_access_shows_the_matrix_the_assignments_and_what_changes_nothing(admin: Any, shown: Any) -> None:
    at = tab(admin.run("ada"), "access")
    matrix = at.dataframe[0].value.set_index("")
    assert matrix["exporter"]["report:export"] == "✓"
    assert matrix["viewer"]["report:export"] == ""
    assert "group exporters" in tables(at)
    assert "Every line of the policy has an effect" in shown(at)


def test_the_matrix_can_be_filtered(admin: Any) -> None:
    at = tab(admin.run("ada"), "access")
    at.text_input(key="stguard_admin_filter").set_value("export").run()
    assert list(at.dataframe[0].value.columns) == ["", "exporter"]


def test_access_says_who_may_do_one_thing(admin: Any) -> None:
    at = tab(admin.run("ada"), "access")
    at.selectbox(key="stguard_admin_who").set_value("report:export").run()
    assert "group exporters" in at.dataframe[1].value.to_string()


def test_a_refusal_is_listed_explained_and_leads_to_the_person(admin: Any, visit: Any) -> None:
    visit("exports")
    admin.run("vera")
    visit("admin")
    at = tab(admin.run("ada"), "refusals")
    assert "Vera · vera@\N{WORD JOINER}acme\\.com · page exports" in "\n".join(
        each.label for each in (*at.expander, *at.status)
    )
    assert "can't open **page exports**" in at.warning[0].value
    at.button(key="stguard_admin_open_refusal_0").click().run()
    assert at.selectbox(key="stguard_admin_person").value == "email:vera@acme.com"
    assert "can't open **page exports**" in at.warning[0].value


def test_a_page_that_is_asked_for_by_its_address_and_hidden_is_listed_too(admin: Any, visit: Any) -> None:
    visit("reports")
    admin.run("nina")
    visit("admin")
    at = tab(admin.run("ada"), "refusals")
    assert "Nina · nina@\N{WORD JOINER}acme\\.com · page reports" in "\n".join(
        each.label for each in (*at.expander, *at.status)
    )


# --- what is remembered ----------------------------------------------------------------------------------------------


def refusal(action: str) -> Decision:
    return Decision(allowed=False, reason=Reason.NOT_GRANTED, action=action, org=None, at=0.0)


def test_what_is_remembered_is_bounded_and_nobody_pushes_out_the_others() -> None:
    recent = Recent()
    recent.refused(Subject(id="iss|first"), refusal("report:view"))
    for number in range(3 * REFUSALS_OF_ONE):
        recent.refused(Subject(id="iss|mal"), refusal(f"page:{number}"))
    assert len(recent.refusals()) == 1 + REFUSALS_OF_ONE
    assert recent.refusals()[-1].person == "iss|first"
    for number in range(2 * REFUSALS_KEPT):
        recent.refused(Subject(id=f"iss|{number}"), refusal("report:view"))
    assert len(recent.refusals()) == REFUSALS_KEPT
    for number in range(2 * PEOPLE_KEPT):
        recent.saw(Subject(id=f"iss|{number}"), {}, Facts())
    assert len(recent.people()) == PEOPLE_KEPT


def test_the_same_refusal_again_is_counted_not_added() -> None:
    recent = Recent()
    for _ in range(3):
        recent.refused(Subject(id="iss|ann"), refusal("report:view"))
    assert [each.times for each in recent.refusals()] == [3]


def test_visitors_and_what_is_allowed_are_not_remembered() -> None:
    recent = Recent()
    recent.refused(None, refusal("report:view"))
    recent.refused(Subject(), refusal("report:view"))
    assert recent.refusals() == ()


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    assert words.reason_shown(reason).endswith(".")
