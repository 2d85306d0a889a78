"""The active org is a wish that counts only among the memberships of now."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from stguard.app.orgs import names_of, roles_shown
from stguard.model import Membership

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
    assert at.selectbox[0].options == ["Acme Inc · Viewer"]


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
    assert at.selectbox[0].options == ["Globex · Viewer, Analyst"]


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
    assert orgs.run("ann").selectbox[0].options == ["Acme Inc (acme) · Analyst", "Acme Inc (globex) · Viewer"]


def test_the_selector_needs_a_policy_with_orgs(desk: Any) -> None:
    assert "has no `orgs`" in desk.main("sg.org_selector()").run("ann").exception[0].message


def test_the_selector_draws_where_it_is_told(orgs: Any) -> None:
    at = orgs.main('sg.org_selector("Company", container=st.sidebar)').run("ann")
    assert at.sidebar.selectbox[0].label == "Company"


# --- what a session begins with --------------------------------------------------------------------------------------

ACTIVE = """
    sg.org_selector()
    mine = sg.org()
    st.write(str(mine and mine.org))
"""
LOGIN = 1_700_000_000


def login(claims: Any, who: str, *, at: int = LOGIN) -> dict[str, Any]:
    return {**claims(who), "iat": at}


def active(at: Any) -> object:
    assert not at.exception, at.exception
    return at.markdown[0].value


def notices(at: Any) -> list[str]:
    return [element.value.replace("\\", "") for element in at.warning]


def forge(at: Any, value: str) -> None:
    """Send a value of the selector that is none of its options, as a browser may."""
    box = at.selectbox[0]
    state = box._widget_state
    state.string_value = value
    type(box)._widget_state, real = property(lambda _: state), type(box)._widget_state
    try:
        at.run()
    finally:
        type(box)._widget_state = real


def without(orgs: Any, *lines: str) -> None:
    """Take assignments out of the policy."""
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    for line in lines:
        assert line in text
        text = "".join(kept for kept in text.splitlines(keepends=True) if line not in kept)
    orgs.policy(text)


ANN_IN_ACME = "{role: analyst, org: acme, email: ann@acme.com}"
ANN_IN_GLOBEX = "{role: viewer, org: globex, email: ann@acme.com}"


def test_a_reload_and_a_new_tab_begin_with_the_org_chosen_last_in_this_login(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    first = orgs.run(login(claims, "ann"))
    assert active(first) == "None"
    first.selectbox[0].select("globex").run()
    assert active(orgs.run(login(claims, "ann"))) == "globex"
    second = orgs.run(login(claims, "ann"))
    second.selectbox[0].select("acme").run()
    assert active(orgs.run(login(claims, "ann"))) == "acme"


def test_two_tabs_keep_two_orgs(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    one, other = orgs.run(login(claims, "ann")), orgs.run(login(claims, "ann"))
    one.selectbox[0].select("acme").run()
    assert active(other.run()) == "None"  # what another tab does changes nothing here
    other.selectbox[0].select("globex").run()
    for _ in range(2):
        assert [active(one.run()), active(other.run())] == ["acme", "globex"]
    third = orgs.run(login(claims, "ann"))
    assert active(third) == "globex"  # the choice that was made last, not the tab that was drawn last
    one.selectbox[0].select("globex").run()
    one.selectbox[0].select("acme").run()
    assert active(third.run()) == "globex"


@pytest.mark.parametrize(
    ("who", "at", "begins"),
    [("ann", LOGIN, "globex"), ("ann", LOGIN + 1, "None"), ("vera", LOGIN, "acme"), ("eve", LOGIN, "None")],
)
def test_no_other_person_and_no_other_login_begins_with_it(
    orgs: Any, claims: Any, who: str, at: int, begins: str
) -> None:
    orgs.main(ACTIVE)
    orgs.run(login(claims, "ann")).selectbox[0].select("globex").run()
    assert active(orgs.run(login(claims, who, at=at))) == begins


def test_where_the_claims_do_not_tell_logins_apart_nothing_is_remembered(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    for unknown in ({**claims("ann")}, {**login(claims, "ann"), "sub": ""}):
        orgs.run(unknown).selectbox[0].select("globex").run()
        assert active(orgs.run(unknown)) == "None"


def test_the_address_is_stronger_than_what_was_chosen_before(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    orgs.run(login(claims, "ann")).selectbox[0].select("globex").run()
    linked = orgs.app(login(claims, "ann"))
    linked.query_params["org"] = "acme"
    assert active(linked.run()) == "acme"
    assert active(orgs.run(login(claims, "ann"))) == "acme"  # following a link is a choice, too


def test_choosing_another_org_takes_the_old_one_out_of_the_address(orgs: Any) -> None:
    at = orgs.main(ACTIVE).app("ann")
    at.query_params["org"] = "acme"
    at.run().selectbox[0].select("globex").run()
    assert active(at) == "globex"
    assert at.query_params["org"] in ("globex", ["globex"])
    assert active(at.run()) == "globex"


def test_a_link_inside_a_session_switches_the_org(orgs: Any) -> None:
    at = orgs.main(ACTIVE).run("ann")
    at.selectbox[0].select("acme").run()
    at.query_params["org"] = "globex"
    assert active(at.run()) == "globex"
    del at.query_params["org"]
    assert active(at.run()) == "globex"


def test_what_is_remembered_counts_only_while_the_membership_lasts(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    orgs.run(login(claims, "ann")).selectbox[0].select("acme").run()
    without(orgs, ANN_IN_ACME)
    at = orgs.run(login(claims, "ann"))
    assert active(at) == "globex"
    assert notices(at) == []


@pytest.mark.parametrize(
    ("active_org", "begins"), [("globex", "globex"), ("acme", "acme"), ("initech", "None"), ("", "None"), ("*", "None")]
)
def test_a_session_begins_with_the_org_that_is_active_at_the_provider(
    orgs: Any, claims: Any, active_org: str, begins: str
) -> None:
    orgs.main(f"sg.configure(identity=lambda claims: sg.Facts(active_org={active_org!r}))" + textwrap.dedent(ACTIVE))
    at = orgs.run(login(claims, "ann"))
    assert (active(at), notices(at)) == (begins, [])
    at.selectbox[0].select("acme").run()
    assert active(orgs.run(login(claims, "ann"))) == "acme"  # what was chosen here is stronger


# --- what is told ----------------------------------------------------------------------------------------------------

LINK = "This link is for an organization you are not a member of."


@pytest.mark.parametrize("who", ["vera", "ann", "eve"])
@pytest.mark.parametrize("org", ["initech", "no such", "*", "", "acme' OR 1=1"])
def test_a_link_to_another_org_is_refused_with_the_same_words_whether_it_exists_or_not(
    orgs: Any, who: str, org: str
) -> None:
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("globex: {name: Globex}", "globex: {name: Globex}, initech: {name: Initech}"))
    orgs.main(ACTIVE)
    at = orgs.app(who)
    at.query_params["org"] = org
    at.run()
    assert (active(at), notices(at)) == ("None", [LINK])
    assert "initech" not in str(at.selectbox)
    assert notices(at.run()) == []
    if org:  # an AppTest of Streamlit 1.57 forgets an empty one after the first run
        assert active(at) == "None"


def test_who_goes_on_from_a_refused_link_is_back_where_they_were(orgs: Any) -> None:
    at = orgs.main(ACTIVE).run("ann")
    at.selectbox[0].select("globex").run()
    at.query_params["org"] = "initech"
    assert active(at.run()) == "None"
    del at.query_params["org"]
    assert active(at.run()) == "globex"


def test_after_a_refused_link_an_org_can_be_chosen(orgs: Any) -> None:
    at = orgs.main(ACTIVE).app("vera")
    at.query_params["org"] = "globex"
    assert active(at.run()) == "None"
    at.selectbox[0].select("acme").run()
    assert (active(at), notices(at)) == ("acme", [])


def test_a_lost_membership_is_told_once_and_the_only_one_left_takes_its_place(orgs: Any) -> None:
    at = orgs.main(ACTIVE).run("ann")
    at.selectbox[0].select("acme").run()
    without(orgs, ANN_IN_ACME)
    at.run()
    assert (active(at), notices(at)) == ("globex", ["You are no longer a member of Acme Inc."])
    at.run()
    assert (active(at), notices(at)) == ("globex", [])


def test_a_click_that_was_meant_for_a_lost_org_does_nothing_in_the_one_that_takes_its_place(orgs: Any) -> None:
    orgs.main("""
        sg.org_selector()
        if st.button("Approve"):
            st.session_state.approved = sg.org()
        mine = sg.org()
        st.write(str(mine and mine.org))
    """)
    at = orgs.run("ann")
    at.selectbox[0].select("acme").run()
    without(orgs, ANN_IN_ACME)
    at.button[0].click().run()
    assert "approved" not in at.session_state
    assert at.markdown[0].value == "globex"


def test_in_an_app_that_takes_the_next_org_by_itself_the_click_lands_in_it(orgs: Any) -> None:
    # What the guarded app above must not do, by hand.
    orgs.main("""
        mine = [m for m in ("acme", "globex") if sg.can("report:view", org=m)]
        if st.button("Approve"):
            st.session_state.approved = mine[0]
    """)
    at = orgs.run("ann")
    without(orgs, ANN_IN_ACME)
    at.button[0].click().run()
    assert at.session_state["approved"] == "globex"


def test_with_several_orgs_left_none_takes_the_place_of_a_lost_one(orgs: Any) -> None:
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(
        text.replace("globex: {name: Globex}", "globex: {name: Globex}, initech: {name: Initech}").replace(
            "assign:\n", "assign:\n  - {role: viewer, org: initech, email: ann@acme.com}\n"
        )
    )
    at = orgs.main(ACTIVE).run("ann")
    at.selectbox[0].select("acme").run()
    without(orgs, ANN_IN_ACME)
    at.run()
    assert (active(at), notices(at)) == ("None", ["You are no longer a member of Acme Inc."])


def test_who_loses_the_last_org_is_told_both(orgs: Any, shown: Any) -> None:
    at = orgs.main(ACTIVE).run("vera")
    without(orgs, "{role: viewer, org: acme, email: vera@acme.com}")
    at.run()
    assert notices(at) == ["You are no longer a member of Acme Inc."]
    assert "You are not a member of any organization." in shown(at)


def test_what_was_kept_for_a_lost_org_is_dropped(orgs: Any) -> None:
    orgs.main("""
        sg.org_selector()
        if sg.org():
            sg.state.setdefault("draft", sg.org().org)
            st.write(sg.state.draft)
    """)
    at = orgs.run("ann")
    at.selectbox[0].select("acme").run()
    assert at.markdown[0].value == "acme"
    without(orgs, ANN_IN_ACME)
    assert at.run().markdown[0].value == "globex"


def test_a_source_that_fails_takes_the_org_away_and_gives_it_back(orgs: Any) -> None:
    orgs.policy("""
stguard: 1
permissions: {report: [view]}
orgs: from_identity
roles: {viewer: {allow: "report:view"}}
pages: {home: signed_in}
""")
    orgs.main(f"""
        def identity(claims, fails=st.session_state.get("fails", False)):
            if fails: raise OSError("down")
            acme, globex = (sg.Membership(org=org, name=org.title(), roles=("viewer",)) for org in ("acme", "globex"))
            return sg.Facts(memberships=(acme, globex))
        sg.configure(identity=identity)
        {ACTIVE.strip().replace(chr(10) + "    ", chr(10) + "        ")}
    """)
    at = orgs.run("ann")
    at.selectbox[0].select("acme").run()
    assert active(at) == "acme"
    at.session_state["fails"] = True
    at.run()
    assert active(at) == "None"
    assert notices(at) == ["Your organizations could not be checked just now. Please try again in a moment."]
    at.session_state["fails"] = False
    at.run()
    assert (active(at), notices(at)) == ("acme", [])


@pytest.mark.parametrize("forged", ["initech", "*", "", "acme\x00", "ACME"])
def test_a_forged_value_of_the_selector_leaves_no_org_active_and_is_not_remembered(
    orgs: Any, claims: Any, forged: str
) -> None:
    orgs.main(ACTIVE)
    at = orgs.run(login(claims, "ann"))
    at.selectbox[0].select("acme").run()
    forge(at, forged)
    assert (active(at), notices(at)) == ("None", ["You are not a member of this organization."])
    assert active(orgs.run(login(claims, "ann"))) == "acme"


def test_an_org_that_is_lost_between_drawing_and_choosing_is_not_chosen(orgs: Any, claims: Any) -> None:
    at = orgs.main(ACTIVE).run(login(claims, "ann"))
    without(orgs, ANN_IN_GLOBEX)
    at.selectbox[0].select("globex").run()
    assert (active(at), notices(at)) == ("None", ["You are not a member of this organization."])


def test_who_signs_out_and_another_in_the_same_session_begins_anew(orgs: Any, claims: Any) -> None:
    orgs.main(ACTIVE)
    at = orgs.run(login(claims, "ann"))
    at.selectbox[0].select("globex").run()
    orgs.raw({**login(claims, "vera"), "is_logged_in": True}, at).run()
    assert (active(at), notices(at)) == ("acme", [])
    orgs.raw({**login(claims, "eve"), "is_logged_in": True}, at).run()
    assert (active(at), notices(at)) == ("None", [])


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_roles_held_are_shown_as_words(orgs: Any) -> None:
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("analyst", "org_admin"))
    assert orgs.main(ACTIVE).run("ann").selectbox[0].options == ["Acme Inc · Org admin", "Globex · Viewer"]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("Acme Inc", "ACME INC", ["Acme Inc (acme)", "ACME INC (globex)"]),
        ("Acme Inc", "Acme\u200b Inc\u202e", ["Acme Inc (acme)", "Acme Inc (globex)"]),
        ("Acme Inc", "Ac\u200dme Inc", ["Acme Inc (acme)", "Ac\u200dme Inc (globex)"]),
        ("Acme Inc", " \n ", ["Acme Inc", "globex"]),
        ("شركة", "شركة", ["\u2068شركة\u2069 (acme)", "\u2068شركة\u2069 (globex)"]),
    ],
)
def test_orgs_whose_names_look_the_same_show_their_ids(one: str, other: str, shown: list[str]) -> None:
    assert list(names_of([Membership(org="acme", name=one), Membership(org="globex", name=other)]).values()) == shown


@pytest.mark.parametrize(
    ("logo", "drawn"),
    [
        ("https://cdn.example/acme.svg", ["https://cdn.example/acme.svg"]),
        ("http://cdn.example/acme.svg", []),
        ("javascript:alert(1)", []),
        ("/etc/passwd", []),
        (None, []),
        (["https://cdn.example/acme.svg"], []),
    ],
)
def test_the_logo_of_the_active_org_is_shown_by_https_only(
    orgs: Any, logo: object, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("streamlit.logo", lambda address, **_: seen.append(address))
    orgs.main(f"""
        acme = sg.Membership(org="acme", metadata={{"logo_url": {logo!r}, "name": "**x**"}})
        sg.configure(identity=lambda claims: sg.Facts(memberships=(acme,)))
        sg.org_selector()
    """)
    at = orgs.run("vera")
    assert not at.exception
    assert seen == drawn


def test_many_roles_are_counted() -> None:
    held = Membership(org="acme", roles=("org_admin", "billing-clerk", "viewer", "x", "y"))
    assert roles_shown(held) == "Org admin, Billing clerk and 3 more"
    assert roles_shown(Membership(org="acme", roles=None)) == ""


def test_a_widget_of_the_author_s_may_be_the_wish(orgs: Any) -> None:
    at = orgs.main("""
        st.selectbox("Where", ["acme", "globex", "initech"], key="stguard_org")
        mine = sg.org()
        st.write(str(mine and mine.org))
        sg.navigation([st.Page(lambda: st.write("page"), title="home", url_path="home")])
    """).app("ann")
    at.query_params["org"] = "globex"
    assert active(at.run()) == "acme"
    at.selectbox[0].select("globex").run()
    assert active(at) == "globex"
    at.selectbox[0].select("initech").run()
    assert active(at) == "None"
    at.selectbox[0].select("acme").run()
    without(orgs, ANN_IN_ACME)
    at.run()
    assert active(at) == "None"  # the widget still asks for it
    assert notices(at) == ["You are no longer a member of Acme Inc."]
