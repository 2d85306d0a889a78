"""Who asks is known from one read of `st.user`, and what can't be known never opens anything."""

from __future__ import annotations

import io
import json
import logging
import pickle
import sys
import time
import types
from typing import Any

import pytest
import streamlit as st
from pythonjsonlogger.json import JsonFormatter

import stguard as sg
from stguard.app.settings import Settings
from stguard.app.standing import ENFORCED, Memo, _known
from stguard.model import Reason

PAGES = """
    def home(): st.title("home content")
    def status(): st.title("status content")
    sg.navigation([home, status]).run()
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    kind = type(st.user)
    real = kind.to_dict

    def to_dict(self: Any) -> Any:
        seen.append(1)
        return real(self)

    monkeypatch.setattr(kind, "to_dict", to_dict)
    return seen


def test_st_user_is_read_once_in_a_run(desk: Any, reads: list[int]) -> None:
    desk.main("""
        sg.requires("report:view")(lambda: None)()
        asked = [(sg.can("report:view"), sg.subject()) for _ in range(10)]
        def home(): sg.authorize("report:view")
        sg.navigation([home]).run()
        sg.user_menu()
    """)
    at = desk.run("vera")
    assert not at.exception
    assert len(reads) == 1
    at.run()
    assert len(reads) == 2


def test_the_subject_is_the_same_object_as_long_as_claims_and_policy_are(desk: Any) -> None:
    desk.main("""
        st.session_state.setdefault("seen", []).append(sg.subject())
    """)
    at = desk.run("vera").run()
    assert at.session_state["seen"][0] is at.session_state["seen"][1]
    path = desk.folder / "policy.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    at.run()
    assert at.session_state["seen"][1] is not at.session_state["seen"][2]


def test_logging_out_in_the_middle_of_a_run_counts_at_once(desk: Any) -> None:
    desk.main("""
        from streamlit.runtime.scriptrunner import get_script_run_ctx
        before = sg.can("report:view")
        get_script_run_ctx().user_info.clear()  # what st.logout does
        get_script_run_ctx().user_info["is_logged_in"] = False
        st.write(str([before, sg.can("report:view"), sg.subject()]))
    """)
    assert desk.run("vera").markdown[0].value == "[True, False, None]"


@pytest.mark.parametrize("user", [{"email": "vera@acme.com"}, {}, {"sub": "vera", "email_verified": True}])
def test_without_auth_no_page_opens_and_the_page_says_what_to_do(desk: Any, shown: Any, user: dict[str, Any]) -> None:
    desk.main(PAGES)
    text = shown(desk.raw(user).run())
    assert "This app is not available right now." in text
    assert "[auth] section" in text
    assert "content" not in text


def test_without_auth_every_question_is_an_error(desk: Any) -> None:
    for call in ('sg.can("report:view")', "sg.subject()", 'sg.authorize("report:view")', "sg.org()"):
        at = desk.main(f"{call}\nst.title('ran')").raw({"email": "vera@acme.com"}).run()
        assert "sign-in is not configured" in at.exception[0].message
        assert not at.title


def test_without_auth_what_stands_beside_the_pages_stays_quiet(desk: Any, shown: Any) -> None:
    at = desk.main("sg.user_menu()\nsg.org_selector()" + PAGES.replace("\n    ", "\n")).raw({}).run()
    assert not at.exception
    assert "This app is not available right now." in shown(at)
    assert not at.button


@pytest.mark.parametrize("value", ["True", "true", 1, {"a": 1}, [True], None, 0, ""])
def test_only_true_is_signed_in(desk: Any, shown: Any, value: object, claims: Any) -> None:
    # A trusted header is always text, whoever sent it.
    text = shown(desk.main(PAGES).raw({**claims("vera"), "is_logged_in": value}).run())
    assert "home content" not in text
    assert "Sign in" in text


@pytest.mark.parametrize(
    "text",
    ["stguard: 2\n", "", "pages: [", "stguard: 1\npages: {home: {role: nobody}}\n"],
)
def test_with_a_bad_policy_at_start_no_page_opens(desk: Any, shown: Any, text: str, caplog: Any) -> None:
    desk.policy(text).main(PAGES)
    at = desk.app("ada")
    seen = shown(at.run())
    assert "This app is not available right now." in seen
    assert "stguard check" in seen
    assert "content" not in seen
    assert "nobody" not in seen
    at.run()
    assert len([r for r in caplog.records if r.name == "stguard" and "policy.yaml" in r.getMessage()]) >= 1


def test_a_policy_that_is_mended_opens_the_app_again(desk: Any, shown: Any) -> None:
    good = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
    at = desk.policy("stguard: 2\n").main(PAGES).run("ada")
    desk.policy(good)
    assert "home content" in shown(at.run())


def test_without_a_policy_the_page_says_how_to_make_one(desk: Any, shown: Any) -> None:
    (desk.folder / "policy.yaml").unlink()
    text = shown(desk.main(PAGES).run("ada"))
    assert "no policy found" in text
    assert "stguard init" in text
    assert str(desk.folder) not in text


@pytest.mark.parametrize("call", ["can", "explain", "authorize", "subject", "org", "org_selector", "user_menu"])
def test_outside_a_script_run_every_question_is_an_error(call: str) -> None:
    arguments = ["report:view"] if call in {"can", "explain", "authorize"} else []
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        getattr(sg, call)(*arguments)


ABSURD: list[Any] = [
    {"sub": 7, "email": ["vera@acme.com"], "email_verified": "true", "roles": "superadmin"},
    {"roles": [{"admin": {"x": [[[]]]}}], "groups": 3.5, "email": {"a": "b"}},
    {"email": "vera@acme.com\ud800", "email_verified": True, "groups": ["g"] * 10_000},
    {"iss": None, "sub": None, "aud": [[["x"]]], "roles": [None, 1, {"a": []}, "admin\x00"]},
    {"name": {"first": "V"}, "picture": 4, "groups": [["admin"]], "email": "@", "email_verified": 1},
]


@pytest.mark.parametrize("user", ABSURD)
def test_absurd_claims_never_raise_and_never_open_anything(desk: Any, shown: Any, user: dict[str, Any]) -> None:
    desk.main("""
        def home(): st.title("home content")
        def settings(): st.title("settings content")
        sg.user_menu()
        sg.navigation([home, settings]).run()
        st.write(str([sg.can(role="admin"), sg.can("report:view"), sg.explain("report:view").allowed]))
    """)
    at = desk.run(user)
    assert not at.exception
    assert "[False, False, False]" in shown(at)
    assert "settings content" not in shown(at)


# --- identity sources


SOURCE = """
    import calls
    def source(claims):
        calls.MADE.append(claims["sub"])
        {body}
    sg.configure(identity=source)
    st.write(str([sg.can(role="admin"), sg.can("signed_in")]))
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("calls")
    module.MADE = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "calls", module)
    return module


def test_an_identity_source_adds_roles_and_is_not_asked_in_each_rerun(desk: Any, calls: Any) -> None:
    desk.main(SOURCE.format(body='return sg.Facts(roles=("admin",))'))
    at = desk.run("vera").run().run()
    assert at.markdown[0].value == "[True, True]"
    assert calls.MADE == ["vera"]


def test_an_identity_source_is_asked_again_when_its_answer_is_old(
    desk: Any, calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    desk.main(SOURCE.format(body='return sg.Facts(roles=("admin",))'))
    at = desk.run("vera")
    now[0] += 61
    at.run()
    assert calls.MADE == ["vera", "vera"]


def test_another_person_in_one_session_gets_their_own_facts(desk: Any, calls: Any, claims: Any) -> None:
    desk.main(SOURCE.format(body='return sg.Facts(roles=("admin",) if claims["sub"] == "vera" else ())'))
    at = desk.run("vera")
    desk.raw({**claims("eve"), "is_logged_in": True}, at).run()
    assert at.markdown[0].value == "[False, True]"
    assert calls.MADE == ["vera", "eve"]


@pytest.mark.parametrize(
    "body",
    ['raise RuntimeError("token=s3cret")', "return None", 'return {"roles": ["admin"]}', "return sg.Facts(roles=None)"],
)
def test_an_identity_source_that_fails_makes_its_facts_unknown(
    desk: Any, calls: Any, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    at = desk.main(SOURCE.format(body=body)).run("vera")
    assert not at.exception
    assert at.markdown[0].value == "[False, True]"
    assert "s3cret" not in caplog.text
    at.run()
    assert calls.MADE == ["vera"]


def test_what_the_session_remembers_can_be_pickled() -> None:
    memo = Memo()
    memo.notices.append("refused")
    assert pickle.loads(pickle.dumps(memo)).notices == []  # noqa: S301  our own


def test_what_another_thread_found_under_another_policy_is_never_read_back() -> None:
    text = "stguard: 1\nroles: {admin: {}}\nassign: [{role: admin, email: eve@acme.com}]\n"
    trusting = sg.Policy.from_yaml(f"{text}identity: {{trust_email: true}}\n")
    strict = sg.Policy.from_yaml(text)
    claims = {"iss": "https://idp.example", "sub": "eve", "email": "eve@acme.com"}

    class Overtaken(Memo):
        """What is put here is gone at once: the other thread was the last to write."""

        @property
        def known(self) -> Any:
            return self.before

        @known.setter
        def known(self, _found: Any) -> None:
            self.before = getattr(self, "before", None)

    memo = Overtaken()
    settings = Settings(choice=None, on_bad_edit="keep", store=strict)
    memo.before = before = _known(claims, settings, trusting, Memo())
    assert before is not None
    assert before.subject is not None
    assert before.subject.email == "eve@acme.com"
    found = _known(claims, settings, strict, memo)
    assert found is not None
    assert found.policy is strict
    assert found.subject is not None
    assert found.subject.email is None


def test_tokens_reach_only_the_identity_source_that_needs_them(desk: Any, claims: Any, calls: Any) -> None:
    desk.main("""
        import calls
        def plain(claims):
            calls.MADE.append(claims.get("tokens"))
            return sg.Facts()
        def needy(claims):
            calls.MADE.append(claims.get("tokens"))
            return sg.Facts()
        needy.needs_tokens = True
        sg.configure(identity=[plain, needy])
        st.write(str("tokens" in sg.subject().claims))
    """)
    at = desk.run({**claims("vera"), "tokens": {"access": "s3cret"}})
    assert at.markdown[0].value == "False"
    assert calls.MADE == [None, {"access": "s3cret"}]


def test_a_hundred_sessions_of_one_person_ask_the_source_once(desk: Any, calls: Any) -> None:
    desk.main(SOURCE.format(body='return sg.Facts(roles=("admin",))'))
    for at in [desk.run("vera") for _ in range(20)]:
        assert at.run().markdown[0].value == "[True, True]"
    assert calls.MADE == ["vera"]


def test_a_new_login_of_the_same_person_asks_nothing_new(desk: Any, calls: Any, claims: Any) -> None:
    desk.main(SOURCE.format(body='return sg.Facts(roles=("admin",))'))
    for moment in (1, 2):
        desk.run({**claims("vera"), "iat": moment, "exp": moment + 9, "nonce": f"n{moment}"})
    assert calls.MADE == ["vera"]


CLICKS = """
    import calls
    def source(claims):
        calls.MADE.append(claims["sub"])
        return sg.Facts(roles=calls.ROLES)
    sg.configure(identity=source)
    def pay():
        calls.PAID.append(1)
    def desk():
        st.title("desk")
        st.button("Pay", on_click=pay)
    sg.navigation([st.Page(desk, url_path="settings")]).run()
"""


def test_a_session_that_sat_idle_is_asked_about_when_it_clicks(
    desk: Any, calls: Any, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    calls.ROLES, calls.PAID = ("admin",), []
    at = desk.main(CLICKS).run("vera")
    at.button[0].click().run()
    assert calls.PAID == [1]
    calls.ROLES = ()
    now[0] += 59.9
    at.button[0].click().run()
    assert calls.PAID == [1, 1]  # what was said counts for its lifetime
    now[0] += 0.2
    button = at.button[0]
    button.click().run()
    assert calls.PAID == [1, 1]
    assert "desk" not in shown(at)


def test_a_blocked_account_is_nobody_and_reads_why(desk: Any, calls: Any, shown: Any) -> None:
    desk.main("""
        import calls
        def source(claims):
            return sg.Facts(roles=("admin",), blocked=calls.WHY)
        sg.configure(identity=source)
        def settings(): st.title("settings content")
        sg.navigation([settings]).run()
        st.write(str(sg.subject()))
    """)
    calls.WHY = "Your account is disabled."
    text = shown(desk.run("vera"))
    assert "Your account is disabled" in text
    assert "None" in text
    assert "settings content" not in text


def test_while_a_source_cannot_be_asked_the_refusal_says_so(desk: Any, shown: Any) -> None:
    desk.main("""
        def source(claims):
            raise sg.IdentityError("the identity API did not answer (429)")
        sg.configure(identity=source)
        def settings(): st.title("settings content")
        sg.navigation([settings]).run()
        st.write(str(sg.explain(role="admin").missing))
    """)
    text = shown(desk.run("vera"))
    assert "Not available right now" in text
    assert "settings content" not in text
    assert "the identity API did not answer (429)" in text  # in the decision, which the author's code shows here


def test_a_setting_of_a_source_that_is_wrong_opens_nothing_and_is_loud(
    desk: Any, shown: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk.main("""
        def source(claims):
            raise sg.ConfigurationError("the API key is refused")
        sg.configure(identity=source)
        def settings(): st.title("settings content")
        sg.navigation([settings]).run()
    """)
    text = shown(desk.run("vera"))
    assert "Not available right now" in text
    assert "settings content" not in text
    assert "API key" not in text
    assert any(r.levelname == "ERROR" and "the API key is refused" in r.getMessage() for r in caplog.records)


def test_the_org_that_the_provider_calls_active_is_a_wish_like_any_other(orgs: Any) -> None:
    orgs.main("""
        def source(claims):
            return sg.Facts(active_org=claims["active"])
        sg.configure(identity=source)
        st.write(str(sg.org() and sg.org().org))
    """)
    ann = {"iss": "https://idp.example", "sub": "ann", "email": "ann@acme.com", "email_verified": True}
    assert orgs.run({**ann, "active": "globex"}).markdown[0].value == "globex"
    assert orgs.run({**ann, "active": "initech"}).markdown[0].value == "None"
    at = orgs.app({**ann, "active": "globex"})
    at.query_params["org"] = "acme"
    assert at.run().markdown[0].value == "acme"


def test_who_acts_for_somebody_is_shown_and_logged(desk: Any, shown: Any, caplog: pytest.LogCaptureFixture) -> None:
    desk.main("""
        def source(claims):
            return sg.Facts(impersonator="support-7")
        sg.configure(identity=source)
        sg.user_menu()
        sg.authorize(role="admin")
    """)
    with caplog.at_level(logging.INFO, logger="stguard.decision"):
        text = shown(desk.run("vera"))
    assert "You are acting as Vera. Signed in as support" in text
    assert "as whom `support-7` acts" in caplog.text


def test_refusals_in_the_log_are_one_line(desk: Any, caplog: pytest.LogCaptureFixture, claims: Any) -> None:
    desk.main('sg.authorize("report:view")')
    with caplog.at_level(logging.INFO, logger="stguard.decision"):
        desk.run({**claims("eve"), "sub": "eve\nrefused nothing"})
    assert all("\n" not in r.getMessage() for r in caplog.records if r.name == "stguard.decision")


def test_a_refusal_has_its_parts_as_fields_for_a_structured_log(
    desk: Any, caplog: pytest.LogCaptureFixture, claims: Any
) -> None:
    desk.main('sg.authorize("report:export")')
    with caplog.at_level(logging.INFO, logger="stguard.decision"):
        desk.run(claims("vera"))
    (record,) = (each for each in caplog.records if each.name == "stguard.decision")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("{levelname}{name}{message}", style="{"))
    handler.handle(record)
    line = json.loads(stream.getvalue())
    assert (line["name"], line["levelname"], line["message"]) == ("stguard.decision", "INFO", record.getMessage())
    assert {name: line[name] for name in ("action", "allowed", "impersonator", "org", "reason", "rule", "subject")} == {
        "action": "report:export",
        "allowed": False,
        "impersonator": None,
        "org": None,
        "reason": "not_granted",
        "rule": None,
        "subject": "https://idp.example|vera",
    }
    assert line["policy"] in line["message"]


def test_what_is_enforced_is_counted_and_what_is_only_asked_is_not(desk: Any) -> None:
    desk.main("""
        sg.can("report:view")
        sg.authorize("report:view")
        sg.can("report:export")
        sg.authorize("report:export")
    """)
    before = ENFORCED.values()
    desk.run("vera")
    after = ENFORCED.values()
    assert {reason: after[reason] - before[reason] for reason in after if after[reason] != before[reason]} == {
        Reason.GRANTED: 1,
        Reason.NOT_GRANTED: 1,
    }


def test_a_source_that_ends_a_login_in_a_callback_is_heard_in_the_same_run(desk: Any, calls: Any, shown: Any) -> None:
    desk.main("""
        import calls
        class Source:
            def key(self, claims): return claims["sub"], bool(calls.MADE)
            def __call__(self, claims): return sg.Facts(blocked="It has ended." if calls.MADE else None)
            def __eq__(self, other): return True
            def __hash__(self): return 1
        sg.configure(identity=Source())
        def home():
            st.title("home content")
            st.button("End", on_click=lambda: calls.MADE.append(1))
        sg.navigation([home]).run()
    """)
    at = desk.run("vera")
    assert "home content" in shown(at)
    at.button[0].click().run()
    assert calls.MADE == [1]
    assert "It has ended" in shown(at)
    assert "home content" not in shown(at)
