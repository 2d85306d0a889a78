"""Values in `sg.state` belong to one subject in one org of one session, and are gone when either changes."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import stguard as sg
from stguard.app.state import STATE_KEY, _Kept

SHOWS = """
    {before}
    def keep(): sg.state.draft = "draft of " + sg.org().org
    st.button("Keep", on_click=keep)
    st.write(sg.state.get("draft", "nothing"))
"""


def choose(at: Any, org: str | None) -> Any:
    at.session_state["stguard_org"] = org
    return at.run()


def kept(at: Any) -> dict[str, Any] | None:
    return at.session_state[STATE_KEY].values if STATE_KEY in at.session_state else None


def test_session_state_hands_a_value_of_one_org_to_another_on_a_naive_app(orgs: Any) -> None:
    at = choose(orgs.main(SHOWS.format(before="").replace("sg.state", "st.session_state")).app("ann"), "acme")
    at.button[0].click().run()
    assert choose(at, "globex").markdown[0].value == "draft of acme"


def test_a_switch_of_the_org_drops_what_was_kept(orgs: Any) -> None:
    at = choose(orgs.main(SHOWS.format(before="")).app("ann"), "acme")
    at.button[0].click().run()
    assert at.markdown[0].value == "draft of acme"
    assert at.run().markdown[0].value == "draft of acme"
    assert choose(at, "globex").markdown[0].value == "nothing"
    assert kept(at) == {}
    assert choose(at, "acme").markdown[0].value == "nothing"


def test_another_session_has_its_own(orgs: Any) -> None:
    at = choose(orgs.main(SHOWS.format(before="")).app("ann"), "acme")
    at.button[0].click().run()
    assert choose(orgs.app("ann"), "acme").markdown[0].value == "nothing"


def test_a_sign_out_in_the_middle_of_a_run_drops_it_with_the_wish_for_an_org(orgs: Any) -> None:
    orgs.main("""
        from dataclasses import replace
        from stguard.app.state import sweep
        from stguard.app.standing import standing
        sg.state.draft = "x"
        if st.session_state.get("leave"):
            asked = standing()
            st.logout()
            try:
                sg.state.draft
            except sg.StguardError:  # nobody signed in; in a test of 1.57, no sign-in configured
                st.write("out of reach")
            sweep(replace(asked, subject=None))
    """)
    at = choose(orgs.app("ann"), "acme")
    assert kept(at) == {"draft": "x"}
    at.session_state["leave"] = True
    at.run()
    assert at.markdown[0].value == "out of reach"
    assert kept(at) is None
    assert "stguard_org" not in at.session_state
    assert at.session_state["_stguard"].known is None


def test_another_sign_in_in_the_same_session_finds_nothing(orgs: Any, claims: Any) -> None:
    at = choose(orgs.main(SHOWS.format(before="")).app("ann"), "acme")
    at.button[0].click().run()
    orgs.raw({**claims("vera"), "is_logged_in": True}, at).run()
    assert at.markdown[0].value == "nothing"
    assert "stguard_org" not in at.session_state


def test_the_loss_of_the_membership_drops_it_and_lets_no_other_org_in_its_place(orgs: Any) -> None:
    orgs.main("""
        try:
            sg.state.draft = sg.state.get("draft", "new")
            st.write(sg.state.draft + " " + str(sg.org()))
        except PermissionError as error:
            st.write(error.decision.reason.value)
    """)
    at = choose(orgs.app("ann"), "acme")
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("role: analyst, org: acme", "role: analyst, org: globex"))
    assert at.run().markdown[0].value == "no_org"
    assert kept(at) == {}


def test_a_callback_after_the_switch_finds_nothing(orgs: Any) -> None:
    orgs.main("""
        def changed(): st.session_state.seen = sg.state.get("draft", "nothing")
        sg.org_selector()
        st.text_input("Text", key="text", on_change=changed)
        if sg.org(): sg.state.setdefault("draft", "draft of " + sg.org().org)
    """)
    at = choose(orgs.app("ann"), "acme")
    at.selectbox[0].select("globex")
    at.text_input[0].input("x").run()
    assert at.session_state["seen"] == "nothing"


@pytest.mark.parametrize(("who", "reason"), [(None, "not_signed_in"), ("ann", "no_org"), ("eve", "no_org")])
@pytest.mark.parametrize(
    "use", ["sg.state.x", "sg.state['x']", "sg.state.x = 1", "sg.state.get('x')", "len(sg.state)", "'x' in sg.state"]
)
def test_without_an_org_it_says_so(orgs: Any, who: str | None, reason: str, use: str) -> None:
    orgs.main(f"""
        try:
            {use}
        except sg.AccessDenied as error:
            st.write(error.decision.reason.value + " " + error.decision.missing[0])
    """)
    assert orgs.run(who).markdown[0].value.startswith(f"{reason} a")


def test_without_orgs_in_the_policy_it_belongs_to_the_subject(desk: Any, claims: Any) -> None:
    desk.main('sg.state.seen = sg.state.get("seen", 0) + 1; st.write(str(sg.state.seen))')
    at = desk.run("ann").run()
    assert at.markdown[0].value == "2"
    assert desk.raw({**claims("vera"), "is_logged_in": True}, at).run().markdown[0].value == "1"
    assert "not_signed_in" in desk.run(None).exception[0].message


def test_it_is_used_as_session_state_is(orgs: Any) -> None:
    orgs.main("""
        sg.state.a = 1
        sg.state["b"] = 2
        sg.state.setdefault("c", 3)
        st.write(str([sg.state["a"], sg.state.b, "c" in sg.state, "d" in sg.state, len(sg.state), list(sg.state)]))
        del sg.state.a
        del sg.state["b"]
        for gone in ("sg.state.a", "sg.state['b']", "del sg.state.a", "del sg.state['b']", "sg.state.__wrapped__"):
            try:
                exec(gone)
            except (AttributeError, KeyError) as error:
                st.write(f"{type(error).__name__}: {error}")
        st.write(str(sg.state.to_dict()) + repr(sg.state) + str(hasattr(sg.state, "x")))
        sg.state.clear()
        st.write(str(dict(sg.state)))
    """)
    at = choose(orgs.app("ann"), "acme")
    assert [element.value for element in at.markdown] == [
        "[1, 2, True, False, 3, ['a', 'b', 'c']]",
        "AttributeError: sg.state has no `a`; set it first, or use `.get`",
        "KeyError: 'sg.state has no `b`; set it first, or use `.get`'",
        "AttributeError: sg.state has no `a`; set it first, or use `.get`",
        "KeyError: 'sg.state has no `b`; set it first, or use `.get`'",
        "AttributeError: __wrapped__",
        "{'c': 3}<stguard.state>False",
        "{}",
    ]


def test_outside_a_script_run_and_in_a_cached_function_it_can_not_be_read(orgs: Any) -> None:
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        _ = sg.state.x
    orgs.main("""
        @st.cache_data
        def rows(): return sg.state.get("x")
        rows()
    """)
    assert "inside a cached function" in choose(orgs.app("ann"), "acme").exception[0].message


def test_what_is_kept_can_be_stored_elsewhere() -> None:
    one = _Kept((("a",), None, None, "acme"))
    one.values["x"] = 1
    other = pickle.loads(pickle.dumps(one))  # noqa: S301  what Streamlit tries with `enforceSerializableSessionState`
    assert (other.owner, other.values) == (one.owner, one.values)
