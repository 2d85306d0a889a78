"""The active org is a wish that counts only among the memberships of now."""

from __future__ import annotations

from typing import Any

import pytest

SHOWS = """
    above = sg.org()
    chosen = sg.org_selector()
    below = sg.org()
    st.write(str([m and m.org for m in (above, chosen, below)]))
    st.write(str([sg.can("report:view"), sg.can("report:export")]))
"""


def test_the_only_org_is_chosen_by_itself(orgs: Any) -> None:
    at = orgs.main(SHOWS).run("vera")
    assert at.markdown[0].value == "['acme', 'acme', 'acme']"
    assert at.markdown[1].value == "[True, False]"
    assert at.selectbox[0].options == ["Acme Inc"]


def test_with_several_orgs_none_is_active_until_one_is_chosen(orgs: Any) -> None:
    at = orgs.main(SHOWS).run("ann")
    assert at.markdown[0].value == "[None, None, None]"
    assert at.markdown[1].value == "[False, False]"
    at.selectbox[0].select("acme").run()
    assert at.markdown[0].value == "['acme', 'acme', 'acme']"
    assert at.markdown[1].value == "[True, True]"
    at.selectbox[0].select("globex").run()
    assert at.markdown[0].value == "['globex', 'globex', 'globex']"
    assert at.markdown[1].value == "[True, False]"


@pytest.mark.parametrize("wish", ["globex", "nowhere", "*", "", 7, ["acme"], {"acme": 1}])
def test_a_wish_for_an_org_the_subject_is_not_in_leaves_none_active(orgs: Any, wish: object) -> None:
    orgs.main('st.write(str(sg.org())); st.write(str(sg.can("report:view")))')
    at = orgs.app("vera")
    at.session_state["stguard_org"] = wish
    at.run()
    assert not at.exception
    assert [element.value for element in at.markdown] == ["None", "False"]


def test_without_the_check_a_forged_wish_is_believed(orgs: Any) -> None:
    orgs.main('st.write(st.session_state.get("stguard_org") or st.query_params.get("org"))')
    at = orgs.app("vera")
    at.query_params["org"] = "globex"
    assert at.run().markdown[0].value == "globex"


@pytest.mark.parametrize(("who", "org", "active"), [("ann", "globex", "globex"), ("vera", "globex", "None")])
def test_the_address_may_wish_for_an_org(orgs: Any, who: str, org: str, active: str) -> None:
    orgs.main("mine = sg.org(); st.write(str(mine and mine.org))")
    at = orgs.app(who)
    at.query_params["org"] = org
    assert at.run().markdown[0].value == active


def test_a_membership_that_ends_leaves_no_org_active_in_callbacks_of_the_same_interaction(orgs: Any) -> None:
    orgs.main("""
        def pressed(): st.session_state.seen = [(mine := sg.org()) and mine.org, sg.can("report:view")]
        sg.org_selector()
        st.button("Press", on_click=pressed)
    """)
    at = orgs.run("ann")
    at.selectbox[0].select("acme").run()
    path = orgs.folder / "policy.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("role: analyst, org: acme", "role: analyst, org: globex"), encoding="utf-8")
    at.button[0].click().run()
    assert at.session_state["seen"] == [None, False]
    assert at.selectbox[0].options == ["Globex"]


def test_in_on_change_the_org_is_one_of_the_memberships(orgs: Any) -> None:
    orgs.main("""
        def changed(): st.session_state.seen = [st.session_state.free, (mine := sg.org()) and mine.org]
        st.text_input("free", key="free", on_change=changed)
        sg.org_selector()
    """)
    at = orgs.app("vera")
    at.session_state["stguard_org_selector"] = "globex"
    at.run()
    at.session_state["stguard_org"] = "globex"
    at.text_input[0].input("x").run()
    assert at.session_state["seen"] == ["x", None]


def test_the_menu_follows_the_org_in_the_same_run(orgs: Any, menu: Any) -> None:
    orgs.views("home", "reports", "exports").main("""
        sg.org_selector()
        sg.navigation(["views/home.py", "views/reports.py", "views/exports.py"]).run()
    """)
    at = orgs.run("ann")
    assert menu() == ["/"]
    at.selectbox[0].select("acme").run()
    assert menu() == ["/", "reports", "exports"]
    at.selectbox[0].select("globex").run()
    assert menu() == ["/", "reports"]


def test_a_refusal_without_an_org_says_to_choose_one(orgs: Any, shown: Any) -> None:
    orgs.main('sg.authorize("report:view"); st.title("ran")')
    at = orgs.run("ann")
    assert "Choose an organization to continue." in shown(at)
    assert not at.title


def test_who_is_in_no_org_is_told_so(orgs: Any, shown: Any) -> None:
    at = orgs.main("st.write(str(sg.org_selector()))").run("eve")
    assert "You are not a member of any organization." in shown(at)
    assert not at.selectbox


def test_a_visitor_has_no_org_and_sees_no_selector(orgs: Any) -> None:
    at = orgs.main(SHOWS).run(None)
    assert at.markdown[0].value == "[None, None, None]"
    assert not at.selectbox


def test_two_orgs_of_one_name_are_told_apart(orgs: Any) -> None:
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("name: Globex", "name: Acme Inc")).main(SHOWS)
    assert orgs.run("ann").selectbox[0].options == ["Acme Inc (acme)", "Acme Inc (globex)"]


def test_the_selector_needs_a_policy_with_orgs(desk: Any) -> None:
    assert "has no `orgs`" in desk.main("sg.org_selector()").run("ann").exception[0].message


def test_the_selector_draws_where_it_is_told(orgs: Any) -> None:
    at = orgs.main('sg.org_selector("Company", container=st.sidebar)').run("ann")
    assert at.sidebar.selectbox[0].label == "Company"
