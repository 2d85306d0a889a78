"""Who is refused at a locked page can ask for it; admins see who, for what and why, as plain text."""

from __future__ import annotations

from typing import Any

import pytest

from stguard.app.recent import PAUSE, REASON_LENGTH, REQUESTS_KEPT, REQUESTS_OF_ONE, Recent, Request

POLICY = """
stguard: 1
permissions: {report: [view]}
roles:
  viewer: {allow: "report:view"}
  keeper: {allow: "policy:*"}
  auditor: {allow: "policy:view"}
assign:
  - {role: keeper, email: ada@acme.com}
  - {role: auditor, email: otto@acme.com}
pages:
  home: signed_in
  reports: {rule: {permission: "report:view"}, on_deny: lock}
"""

MAIN = """
def home():
    st.title("home content")
def reports():
    st.title("reports content")
sg.navigation([st.Page(home, default=True), st.Page(reports)ADMIN]).run()
"""


@pytest.fixture
def app(desk: Any) -> Any:
    return desk.policy(POLICY).main(MAIN.replace("ADMIN", ", sg.admin_page()"))


def send(app: Any, visit: Any, name: str, why: str) -> Any:
    visit("reports")
    at = app.run(name)
    at.text_input(key="stguard_ask_reason").set_value(why)
    at = next(each for each in at.button if each.label == "Ask for access").click().run()
    assert not at.exception
    return at


def queue(app: Any, visit: Any, name: str = "ada") -> Any:
    visit("admin")
    at = app.app(name)
    at.session_state["stguard_admin_tab"] = "requests"
    return at.run()


def test_a_request_reaches_the_admins_with_reason_and_a_way_to_grant(app: Any, visit: Any, shown: Any) -> None:
    at = send(app, visit, "nina", "for the audit")
    assert "You have asked for access" in shown(at)
    assert not [each for each in at.button if each.label == "Ask for access"]
    admin = queue(app, visit)
    assert "Nina · nina@\N{WORD JOINER}acme\\.com · page reports" in "\n".join(
        each.label for each in (*admin.expander, *admin.status)
    )
    assert "for the audit" in shown(admin)
    admin.button(key="stguard_admin_grant_request_0").click().run()
    assert admin.selectbox(key="stguard_admin_grant_role").value == "viewer"


def test_what_somebody_writes_is_plain_text_on_one_line(app: Any, visit: Any, shown: Any) -> None:
    send(app, visit, "nina", "<script>x</script>\n# [here](https://evil.example) **now** ![](x)")
    text = shown(queue(app, visit))
    assert "<script>" not in text
    assert "[here](" not in text
    assert "https://" not in text


def test_only_who_may_edit_takes_a_request_off_the_list(app: Any, visit: Any) -> None:
    send(app, visit, "nina", "please")
    assert "stguard_admin_settle_0" not in [each.key for each in queue(app, visit, "otto").button]
    at = queue(app, visit)
    at.button(key="stguard_admin_settle_0").click().run()
    assert "Nobody is waiting" in "\n".join(each.value for each in at.info)


def test_without_an_admin_page_nobody_is_offered_to_ask(desk: Any, visit: Any) -> None:
    visit("reports")
    at = desk.policy(POLICY).main(MAIN.replace("ADMIN", "")).run("nina")
    assert "Ask for access" not in [each.label for each in at.button]


def test_who_was_given_access_meanwhile_leaves_no_request(app: Any, visit: Any) -> None:
    visit("reports")
    at = app.run("nina")
    app.policy(POLICY.replace("assign:", "assign:\n  - {role: viewer, email: nina@acme.com}"))
    next(each for each in at.button if each.label == "Ask for access").click().run()
    assert "Nobody is waiting" in "\n".join(each.value for each in queue(app, visit).info)


def test_too_many_or_too_fast_is_turned_away_with_a_sentence(app: Any, visit: Any) -> None:
    visit("reports")
    first = send(app, visit, "nina", "x" * (3 * REASON_LENGTH))
    assert not first.error
    other = app.policy(POLICY + "  more: {rule: {permission: 'report:view'}, on_deny: lock}\n")
    other.main(
        MAIN.replace("sg.navigation", "def more():\n    pass\nsg.navigation").replace(
            "ADMIN", ", st.Page(more), sg.admin_page()"
        )
    )
    visit("more")
    at = other.run("nina")
    at = next(each for each in at.button if each.label == "Ask for access").click().run()
    assert "could not be taken just now" in "\n".join(each.value for each in at.error)


def request(person: str, action: str = "page:a", *, at: float = 0.0) -> Request:
    return Request(person=person, name=person, action=action, org=None, reason="", at=at)


def test_requests_are_bounded_for_each_person_and_for_all() -> None:
    recent = Recent()
    taken = [recent.ask(request("mal", f"page:{n}", at=n * PAUSE)) for n in range(3 * REQUESTS_OF_ONE)]
    assert taken == [True] * REQUESTS_OF_ONE + [False] * (2 * REQUESTS_OF_ONE)
    assert not recent.ask(request("mal", "page:x", at=PAUSE))
    for number in range(2 * REQUESTS_KEPT):
        recent.ask(request(f"p{number}"))
    assert len(recent.requests()) == REQUESTS_KEPT
    assert recent.requests()[0].person == "mal"
    recent.settle(recent.requests()[0])
    assert recent.ask(request("late"))


def test_two_requests_of_one_person_need_a_pause_between_them() -> None:
    recent = Recent()
    assert recent.ask(request("ann", "page:a", at=100.0))
    assert not recent.ask(request("ann", "page:b", at=100.0 + PAUSE / 2))
    assert recent.ask(request("ann", "page:b", at=100.0 + PAUSE))
