"""People whom streamlit-authenticator signed in, by the package itself: what the browser writes never says who asks."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import bcrypt
import pytest
import streamlit as st

import stguard as sg
from stguard.app import mediation
from stguard.sources.authenticator import AuthenticatorSession

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

POLICY = """
stguard: 1
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  editor: {allow: "report:export"}
assign:
  - {role: editor, sub: "streamlit-authenticator|ann"}
forbid: [{permission: "report:export", group: contractors}]
pages:
  home: signed_in
  reports: {permission: "report:view"}
"""

APP = """
    import streamlit_authenticator as stauth
    credentials = {"usernames": {
        "ann": {"email": "ann@acme.com", "first_name": "Ann", "last_name": "Lee", "password": "HASH-ann",
                "roles": ["viewer"]},
        "ben": {"email": "ben@acme.com", "first_name": "Ben", "last_name": "Ray", "password": "HASH-ben",
                "roles": None},
    }}
    authenticator = stauth.Authenticate(credentials, "app", "a-key-of-this-app-that-is-long-and-random", 1,
                                        login_sleep_time=0)
    sg.configure(identity=sg.AuthenticatorSession(CREDENTIALS))
    authenticator.login()
    def home():
        st.title(f"home of {sg.subject().name}")
        st.write(str([sg.can("report:view"), sg.can("report:export"), sg.subject().id]))
        st.button("again", on_click=print)
    def reports(): st.title("reports content")
    page = sg.navigation([home, reports])
    sg.user_menu()
    if st.session_state["authentication_status"]:
        authenticator.logout(location="sidebar")
    page.run()
"""

HASHES = {name: bcrypt.hashpw(f"pass-{name}".encode(), bcrypt.gensalt(4)).decode() for name in ("ann", "ben")}
"""Of the fewest rounds: each run of the package looks at them."""


@pytest.fixture(params=["credentials", "None"])
def app(desk: Any, request: pytest.FixtureRequest) -> AppTest:
    script = textwrap.dedent(APP).replace("CREDENTIALS", request.param)
    for name, hashed in HASHES.items():
        script = script.replace(f"HASH-{name}", hashed)
    desk.policy(POLICY).main(script)
    made: AppTest = desk.app()
    return desk.raw({}, made)  # type: ignore[no-any-return]  # no [auth] section at all


def sign_in(at: AppTest, name: str, password: str | None = None) -> AppTest:
    at.text_input[0].set_value(name)
    at.text_input[1].set_value(password or f"pass-{name}")
    next(button for button in at.button if button.label == "Login").click()
    return at.run()


def test_a_visitor_sees_the_form_of_the_script_and_no_page(app: AppTest, shown: Any) -> None:
    app.run()
    assert not app.exception
    assert [each.label for each in app.text_input] == ["Username", "Password"]
    assert "Please sign in to go on." in shown(app)
    assert "home of" not in shown(app)


def test_who_signs_in_holds_what_the_credentials_and_the_policy_say(app: AppTest, shown: Any) -> None:
    at = sign_in(app.run(), "ann").run()
    assert not at.exception
    assert "home of Ann Lee" in shown(at)
    assert "[True, True, 'streamlit-authenticator|ann']" in shown(at)


def test_roles_that_are_none_are_none(app: AppTest, shown: Any) -> None:
    at = sign_in(app.run(), "ben").run()
    assert "[False, False, 'streamlit-authenticator|ben']" in shown(at)


def test_a_wrong_password_signs_nobody_in(app: AppTest, shown: Any) -> None:
    at = sign_in(app.run(), "ann", "wrong").run()
    assert at.session_state["authentication_status"] is False
    assert "home of" not in shown(at)


def test_signing_out_counts_at_once_and_another_person_can_sign_in(app: AppTest, shown: Any) -> None:
    at = sign_in(app.run(), "ann").run()
    next(button for button in at.button if button.label == "Logout").click()
    at.run().run()
    assert "home of" not in shown(at)
    at = sign_in(at, "ben").run()
    assert "home of Ben Ray" in shown(at)


def test_the_menu_offers_no_log_out_that_does_nothing(app: AppTest) -> None:
    at = sign_in(app.run(), "ann").run()
    assert [button.label for button in at.sidebar.button] == ["Logout"]


def test_the_cookie_of_an_earlier_session_signs_in_again(
    app: AppTest, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jwt  # noqa: PLC0415  comes with the package

    def cookies(key: str) -> dict[str, str]:
        return {"app": jwt.encode({"username": "ann", "exp_date": 9e9}, key, algorithm="HS256")}

    kind = type(st.context)
    monkeypatch.setattr(kind, "cookies", property(lambda _: cookies("another-key-that-is-not-of-this-app")))
    assert "home of" not in shown(app.run())
    monkeypatch.setattr(kind, "cookies", property(lambda _: cookies("a-key-of-this-app-that-is-long-and-random")))
    assert "home of Ann Lee" in shown(app.run().run())


@pytest.mark.parametrize("status", ["True", 1, "yes", [True]])
def test_only_the_truth_value_itself_is_a_sign_in(app: AppTest, shown: Any, status: Any) -> None:
    app.session_state["authentication_status"] = status
    app.session_state["username"] = "ann"
    app.session_state["name"] = "Ann Lee"
    app.session_state["email"] = app.session_state["roles"] = None
    assert "home of" not in shown(app.run())


@pytest.mark.parametrize("key", ["authentication_status", "username", "roles"])
def test_a_widget_with_such_a_key_is_refused(desk: Any, shown: Any, key: str) -> None:
    widget = f"st.checkbox('x', key={key!r})" if key == "authentication_status" else f"st.text_input('x', key={key!r})"
    desk.policy(POLICY).main(f"""
        sg.configure(identity=sg.AuthenticatorSession())
        st.session_state.setdefault("username", "eve")
        {widget}
        if sg.subject() is not None:
            st.write("somebody")
    """)
    at = desk.raw({}, desk.app()).run()
    if key == "authentication_status":
        at.checkbox[0].check()
    else:
        at.text_input[0].set_value("ann")
    at.run()
    assert "somebody" not in shown(at)
    assert f"a widget has the key `{key}`" in shown(at)


def test_without_that_check_the_browser_would_say_who_asks(
    desk: Any, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stguard.app.private.keys_of_widgets", lambda *_: ())
    desk.policy(POLICY).main("""
        sg.configure(identity=sg.AuthenticatorSession())
        st.checkbox("x", key="authentication_status")
        st.text_input("y", key="username")
        st.write(str(sg.subject() and sg.subject().id))
    """)
    at = desk.raw({}, desk.app()).run()
    at.checkbox[0].check()
    at.text_input[0].set_value("ann")
    assert "streamlit-authenticator|ann" in shown(at.run())


def test_what_was_drawn_for_somebody_is_not_given_out_after_sign_out(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[Any] = []
    real = mediation._bound_to

    def bound_to(*args: Any) -> Any:
        bound.append(real(*args))
        return bound[-1]

    monkeypatch.setattr(mediation, "_bound_to", bound_to)
    at = sign_in(app.run(), "ann").run()
    mine = [each for each in bound if each.subject is not None]
    assert mine
    assert mediation._refused_outside(mine[-1]) is None
    next(button for button in at.button if button.label == "Logout").click()
    at.run().run()
    assert mediation._refused_outside(mine[-1]) is not None


def test_who_is_removed_from_the_credentials_is_nobody() -> None:
    session = {"authentication_status": True, "username": "ann", "roles": ["admin"], "email": "eve@acme.com"}
    source = AuthenticatorSession({"usernames": {"ann": {"roles": ["viewer"], "email": "ann@acme.com"}}})
    found = source.claims_in(session)
    assert found is not None
    assert (found["roles"], found["email"]) == (["viewer"], "ann@acme.com")
    assert AuthenticatorSession({"usernames": {}}).claims_in(session) is None


def test_names_are_compared_as_the_package_does() -> None:
    source = AuthenticatorSession({"usernames": {"Ann": {"name": "Ann"}}})
    assert source.claims_in({"authentication_status": True, "username": "ann"}) is not None


@pytest.mark.parametrize("given", [[], "config.yaml", {"users": {}}, {"usernames": []}])
def test_credentials_of_another_form_are_refused(given: Any) -> None:
    with pytest.raises(sg.ConfigurationError, match="with `usernames`"):
        sg.AuthenticatorSession(given)


def test_a_login_of_streamlits_own_does_not_count_besides(desk: Any, shown: Any, claims: Any) -> None:
    desk.policy(POLICY).main("""
        sg.configure(identity=sg.AuthenticatorSession())
        st.write(str(sg.subject()))
    """)
    assert "None" in shown(desk.run(claims("ann")))
