"""With `approval=True` a change counts only when a second person agrees, on exactly what they were shown."""

from __future__ import annotations

import builtins
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from stguard import edits
from stguard.app import settings
from stguard.app.admin import changes, diffs, seconds
from stguard.audit import Event
from stguard.edits.waiting import FileWaiting, Pending
from stguard.policy import Policy
from tests.app.test_admin_changes import (
    MAIN,
    POLICY,
    PREVIEW,
    begin_grant,
    confirm,
    editor,
    file,
    open_tab,
    press,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stguard.audit import Record

NAIVE = MAIN
GUARDED = MAIN.replace("sg.admin_page()", "sg.admin_page(approval=True)")
SENT = "Sent for approval"


@pytest.fixture
def admin(desk: Any, visit: Any) -> Iterator[Any]:
    visit("admin")
    yield desk.policy(POLICY).main(GUARDED)
    seconds._required.clear()


def propose(admin: Any, who: Any = "ada", *, to: str = "email:vera@acme.com") -> Any:
    at = begin_grant(admin.run(who), to, "exporter", "TICKET-1")
    at = press(at, PREVIEW)
    at.text_input(key="stguard_admin_reason").set_value("asked by mail")
    return press(at, "Send for approval")


def look(admin: Any, who: str) -> Any:
    return press(open_tab(admin.run(who), "approvals"), "Look at it")


def labels(at: Any) -> list[str]:
    return [each.label for each in at.button]


def test_without_it_the_one_who_edits_needs_nobody(desk: Any, visit: Any) -> None:
    visit("admin")
    admin = desk.policy(POLICY).main(NAIVE)
    at = press(begin_grant(admin.run("ada"), "email:vera@acme.com", "exporter"), PREVIEW)
    assert "Saved" in told(press(at, "Save"))
    assert "approvals" not in at.segmented_control(key="stguard_admin_tab").options


def test_a_change_waits_until_somebody_else_approves_it(admin: Any, shown: Any) -> None:
    at = propose(admin)
    assert SENT in told(at)
    assert file(admin).read_text() == POLICY, "nothing is in force yet"
    at = look(admin, "kim")
    assert "report\\:export" in shown(at)
    assert "asked by mail" in shown(at)
    at = press(at, "Approve")
    assert "Approved" in told(at)
    assert [each.role for each in Policy.load(file(admin)).parts.assignments].count("exporter") == 1
    version = edits.history_of(file(admin)).versions()[-1]
    assert (version.author, version.approver, version.reason) == (
        "https://idp.example|ada",
        "https://idp.example|kim",
        "asked by mail",
    )
    assert FileWaiting(file(admin)).all() == ()


def test_nobody_approves_their_own(admin: Any) -> None:
    propose(admin)
    at = look(admin, "ada")
    assert "Approve" not in labels(at)
    assert "Withdraw" in labels(at)
    (pending,) = FileWaiting(file(admin)).all()
    # A browser can send any click: the callback asks again, whoever's session it is in.
    at = admin.app("ada")
    at.session_state["stguard_admin_tab"] = "approvals"
    at.run()
    forged(admin, "ada", pending.id)
    assert file(admin).read_text() == POLICY


FORGED = """
from stguard.app.admin import approvals, changes, seconds
from stguard.app.standing import standing
from stguard.edits import ChangedMeanwhileError
asked = standing()
(one,) = [each for each in seconds.waiting(asked).all() if each.id == NAME]
try:
    digest = approvals.look_at(asked, changes.place_of(asked), one).digest
except ChangedMeanwhileError:
    digest = "-"
approvals._approve(NAME, digest)
st.text(st.session_state.get("stguard_admin_said"))
"""


def forged(admin: Any, who: Any, name: str, *, main: str = GUARDED) -> str:
    """Run the callback of the button Approve in a session of somebody, as a forged click would; return what it said."""
    admin.main(main + FORGED.replace("NAME", repr(name)))
    at = admin.run(who)
    admin.main(main)
    assert not [each for each in at.exception if "AccessDenied" not in each.value], at.exception
    return "\n".join(each.value for each in at.text)


def test_a_forged_click_of_somebody_else_who_may_edit_does_approve(admin: Any) -> None:
    """The twin of the forged clicks that are refused: they would get through."""
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    forged(admin, "kim", pending.id)
    assert "exporter" in [each.role for each in Policy.load(file(admin)).parts.assignments]


@pytest.mark.parametrize("who", ["otto", "vera"])
def test_who_may_not_edit_approves_nothing(admin: Any, who: str) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    forged(admin, who, pending.id)
    assert file(admin).read_text() == POLICY
    if who == "otto":
        at = open_tab(admin.run(who), "approvals")
        assert "Approve" not in labels(press(at, "Look at it"))


def test_the_same_person_with_another_name_is_the_same(admin: Any, claims: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    forged(admin, {**claims("kim"), "sub": "ada"}, pending.id)
    forged(admin, {**claims("ada"), "sub": "another"}, pending.id)
    assert file(admin).read_text() == POLICY


ACTING = GUARDED.replace("def home", "ACTS", 1).replace(
    "ACTS", "sg.configure(identity=lambda c: sg.Facts(impersonator=c.get('acted')))\ndef home", 1
)


@pytest.mark.parametrize("acted", ["ada", "https://idp.example|ada", "ADA@ACME.COM"])
def test_who_acts_as_somebody_else_neither_approves_nor_proposes(admin: Any, claims: Any, acted: str) -> None:
    acting = {**claims("kim"), "acted": acted}
    admin.main(ACTING)
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    forged(admin, acting, pending.id, main=ACTING)
    assert file(admin).read_text() == POLICY
    admin.main(ACTING)
    assert "acts as somebody else" in told(propose(admin, acting))
    assert len(FileWaiting(file(admin)).all()) == 1


def test_a_change_that_lost_its_author_s_right_is_not_approved(admin: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    assert edits.change(
        file(admin), edits.Revoke(person=edits.Person.read("ada@acme.com"), role="keeper"), author="root"
    ).written
    stays = FileWaiting(file(admin))
    at = admin.app("kim")
    at.session_state["stguard_admin_tab"] = "approvals"
    at.run()
    # Made anew on the files as they are now, so that only the author's right stands against it.
    fresh = Pending(
        title=pending.title, author=pending.author, subject=pending.subject, email=pending.email,
        people=pending.people, reason=None, time=pending.time, before=edits.Snapshot.take(file(admin)).digest,
        files={"policy.yaml": file(admin).read_text() + "# changed\n"},
    )  # fmt: skip
    stays.put(fresh)
    forged(admin, "kim", fresh.id)
    assert "# changed" not in file(admin).read_text()


def test_a_policy_that_changed_meanwhile_makes_it_stale(admin: Any) -> None:
    propose(admin)
    file(admin).write_text(POLICY + "# edited on the server\n")
    at = look(admin, "kim")
    assert "can't be approved any more" in told(at)
    assert "Approve" not in labels(at)
    at = press(at, "Decline")
    assert "declined" in told(at)
    assert FileWaiting(file(admin)).all() == ()


def test_a_lock_out_is_confirmed_in_words_by_who_approves(admin: Any) -> None:
    at = open_tab(admin.run("ada"), "policy")
    text = POLICY.replace('keeper: {allow: "policy:*"}', 'keeper: {allow: "policy:view"}')
    editor(at).set_value(text)
    at = press(press(at.run(), PREVIEW), "Send for approval")
    at = look(admin, "kim")
    at = press(at, "Approve")
    assert "lock everyone out" in told(at)
    assert file(admin).read_text() == POLICY
    confirm(at).set_value("lock everyone out")
    press(at, "Approve")
    assert file(admin).read_text() == text


def test_who_approves_sees_every_line_however_many_gain_by_it(admin: Any) -> None:
    rows = "".join(f"  - {{role: viewer, email: v{n}@acme.com}}\n" for n in range(60))
    at = open_tab(admin.run("ada"), "policy")
    editor(at).set_value(POLICY.replace("pages:", f"{rows}  - {{role: keeper, email: zz@evil.com}}\npages:"))
    press(press(at.run(), PREVIEW), "Send for approval")
    at = look(admin, "kim")
    assert any("+  - {role: keeper, email: zz@evil.com}" in each.value for each in at.code)


def test_what_was_withdrawn_can_not_be_approved(admin: Any) -> None:
    propose(admin)
    at = look(admin, "kim")
    press(look(admin, "ada"), "Withdraw")
    at = press(at, "Approve")
    assert "not waiting any more" in told(at)
    assert file(admin).read_text() == POLICY


# --- what was seen is what is approved --------------------------------------------------------------------------------


def test_an_approval_of_something_else_than_what_was_seen_is_refused(admin: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    admin.main(GUARDED + FORGED.replace("NAME", repr(pending.id)).replace(", digest)", ', "0" * 64)'))
    at = admin.run("kim")
    assert "changed meanwhile. Look at it again" in at.text[0].value
    assert file(admin).read_text() == POLICY
    assert FileWaiting(file(admin)).all() == (pending,), "it waits still"


def test_what_does_more_than_was_seen_by_the_time_of_the_click_is_not_approved(
    admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = time.time() + 3600
    since = datetime.fromtimestamp(soon, tz=UTC).isoformat()
    admin.policy(POLICY.replace("pages:", f'  - {{role: keeper, email: nina@acme.com, from: "{since}"}}\npages:'))
    at = open_tab(admin.run("ada"), "policy")
    editor(at).set_value(editor(at).value.replace('allow: "policy:*"', 'allow: ["*:*", "policy:*"]'))
    press(press(at.run(), PREVIEW), "Send for approval")
    before = file(admin).read_text()
    at = look(admin, "kim")
    real = changes.seen
    # As if the hour had passed: what the policy says of this moment is other than what was drawn.
    monkeypatch.setattr(
        changes,
        "seen",
        lambda title, outcome, lockout, policy: real(title, replace(outcome, gains=outcome.gains[:1]), lockout, policy),
    )
    at = press(at, "Approve")
    assert "Look at it again" in told(at)
    assert file(admin).read_text() == before
    at = press(at, "Approve")  # it was drawn anew
    assert "Approved" in told(at)
    assert file(admin).read_text() != before


def test_what_is_damaged_is_told_and_the_rest_still_waits(admin: Any, shown: Any) -> None:
    propose(admin)
    place = file(admin).parent / ".stguard" / "policy.yaml" / "waiting.json"
    place.write_text(json.dumps([{"title": 1}, *json.loads(place.read_text())]), encoding="utf-8")
    at = open_tab(admin.run("kim"), "approvals")
    assert "1 of the changes that wait can't be read and are left out" in shown(at)
    assert "Look at it" in labels(at)
    place.write_text("cut off", encoding="utf-8")
    assert "can't be read" in shown(open_tab(admin.run("kim"), "approvals"))
    propose(admin, to="email:otto@acme.com")
    assert [each.read_text() for each in place.parent.glob("waiting-damaged-*")] == ["cut off"]
    assert "can't be read" not in shown(open_tab(admin.run("kim"), "approvals"))


# --- its author -------------------------------------------------------------------------------------------------------

BY_GROUP = POLICY.replace("  - {role: keeper, email: ada@acme.com}\n", "  - {role: keeper, group: boss}\n")


def restart() -> None:
    """Forget who was seen, as a process that starts has."""
    for each in settings._by_script.values():
        each.recent._people.clear()


def given(admin: Any) -> bool:
    return "exporter" in [each.role for each in Policy.load(file(admin)).parts.assignments]


def test_an_author_who_was_not_seen_since_the_start_is_judged_by_id_and_e_mail(admin: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    restart()
    assert "Approved" in forged(admin, "kim", pending.id)
    assert given(admin)


def test_an_author_of_whom_that_can_not_be_told_has_to_come_back_first(admin: Any, claims: Any) -> None:
    admin.policy(BY_GROUP)
    ada = {**claims("ada"), "groups": ["boss"]}
    propose(admin, ada)
    (pending,) = FileWaiting(file(admin)).all()
    restart()
    assert "They have to open this page once more" in forged(admin, "kim", pending.id)
    assert not given(admin)
    admin.run(ada)
    assert "Approved" in forged(admin, "kim", pending.id)


def test_another_account_with_the_same_e_mail_does_not_vouch_for_the_author(admin: Any, claims: Any) -> None:
    admin.policy(BY_GROUP)
    ada = {**claims("ada"), "groups": ["boss"]}
    propose(admin, ada)
    (pending,) = FileWaiting(file(admin)).all()
    restart()
    admin.run({**ada, "sub": "another"})
    admin.run({**ada, "iss": "https://other.example"})
    assert "They have to open this page once more" in forged(admin, "kim", pending.id)
    assert not given(admin)


def test_the_author_counts_though_another_account_with_the_same_e_mail_was_seen_last(admin: Any, claims: Any) -> None:
    admin.policy(BY_GROUP)
    propose(admin, {**claims("ada"), "groups": ["boss"]})
    (pending,) = FileWaiting(file(admin)).all()
    admin.run({**claims("ada"), "sub": "another"})
    assert "Approved" in forged(admin, "kim", pending.id)


@pytest.mark.parametrize(
    "whom", ["group: left", "claim: {gone: 'yes'}", "email: ada@acme.com", "sub: 'https://idp.example|ada'"]
)
def test_an_author_who_was_not_seen_and_may_be_forbidden_is_refused(admin: Any, whom: str, claims: Any) -> None:
    admin.policy(POLICY + f'forbid: [{{permission: "policy:edit", {whom}}}]\n')
    kim = {**claims("kim"), "gone": "no"}
    propose(admin, kim)
    (one,) = FileWaiting(file(admin)).all()
    pending = replace(
        one, subject="https://idp.example|ada", email="ada@acme.com", people=("https://idp.example|ada", "ada@acme.com")
    )
    FileWaiting(file(admin)).put(pending)
    restart()
    assert "can't be told" in forged(admin, kim, pending.id)
    assert not given(admin)


# --- declined ---------------------------------------------------------------------------------------------------------


def decline(admin: Any, why: str = "") -> Any:
    at = look(admin, "kim")
    next(each for each in at.text_input if each.key.startswith("stguard_admin_why")).set_value(why)
    return press(at, "Decline")


def test_what_was_declined_comes_back_to_its_author_with_the_reason(admin: Any, shown: Any) -> None:
    propose(admin)
    assert "declined" in told(decline(admin, "not before *Friday*: ask [me](http://evil.example)"))
    assert file(admin).read_text() == POLICY
    at = open_tab(admin.run("ada"), "approvals")
    assert "not before \\*Friday\\*" in shown(at), "as plain text"
    assert "Declined by Kim" in shown(at)
    assert "Look at it" not in labels(at)
    assert any("Approvals (1)" in each for each in at.segmented_control(key="stguard_admin_tab").options)
    assert "Declined by" not in shown(open_tab(admin.run("kim"), "approvals")), "its author alone sees it"
    at = press(at, "Propose it again")
    at = press(at, "Send for approval")
    assert SENT in told(at)
    at = press(at, "Dismiss")
    assert "Declined by" not in shown(at)
    press(look(admin, "kim"), "Approve")
    assert given(admin)


def test_what_was_declined_is_not_proposed_again_over_what_somebody_else_has_changed(admin: Any) -> None:
    propose(admin)
    decline(admin)
    at = open_tab(admin.run("ada"), "approvals")
    theirs = POLICY + "# theirs\n"
    file(admin).write_text(theirs)
    at = press(at, "Propose it again")
    assert "Make this change anew" in told(at)
    assert "Send for approval" not in labels(at)


def test_nobody_declines_their_own_or_withdraws_what_is_not_theirs(admin: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    for who, what in (("ada", "_decline"), ("kim", "_withdraw"), ("otto", "_decline"), ("otto", "_withdraw")):
        admin.main(GUARDED + f"\nfrom stguard.app.admin import approvals\napprovals.{what}({pending.id!r})\n")
        admin.run(who)
    assert FileWaiting(file(admin)).all() == (pending,)


def test_the_audit_names_who_proposed_and_who_decided_and_the_versions_but_no_reason(admin: Any) -> None:
    records: list[Record] = []
    admin.main("sg.configure(audit=__import__('builtins')._told)\n" + GUARDED)
    builtins._told = records.append  # type: ignore[attr-defined]  # the script's way to this test
    propose(admin)
    decline(admin, "secret words")
    propose(admin)
    press(look(admin, "kim"), "Approve")
    propose(admin, to="email:otto@acme.com")
    press(look(admin, "ada"), "Withdraw")
    admin.trail.flush()
    del builtins._told  # type: ignore[attr-defined]  # as above
    found = [each.as_json() for each in records if each.event is Event.APPROVAL]
    assert [(each["reason"], each["subject"], each["proposal"]["has_reason"]) for each in found] == [
        ("proposed", "https://idp.example|ada", True),
        ("declined", "https://idp.example|kim", True),
        ("proposed", "https://idp.example|ada", True),
        ("approved", "https://idp.example|kim", False),
        ("proposed", "https://idp.example|ada", True),
        ("withdrawn", "https://idp.example|ada", False),
    ]
    assert all(each["session"] for each in found)
    edited = [each.as_json() for each in records if each.event is Event.EDIT]
    assert [(each["subject"], each["reason"]) for each in edited] == [("https://idp.example|ada", "edited")]
    approved = found[3]["proposal"]
    assert approved["author"] == "https://idp.example|ada"
    assert approved["before"] == Policy.from_texts([("policy.yaml", POLICY)]).version
    assert approved["after"] not in (None, approved["before"])
    assert found[2]["proposal"]["id"] == approved["id"]
    assert "secret words" not in str(found)
    assert admin.trail.counts.failed == 0


def test_an_approval_that_ended_before_the_list_was_written_is_told_to_be_in_force(admin: Any) -> None:
    propose(admin)
    (pending,) = FileWaiting(file(admin)).all()
    (text,) = pending.files.values()
    assert text is not None
    file(admin).write_text(text)
    at = look(admin, "kim")
    assert "in force already" in told(at)
    assert "Approve" not in labels(at)
    at = press(at, "Decline")
    assert "stands in the list no longer" in told(at)
    assert FileWaiting(file(admin)).declined() == (), "nobody is told that it was declined"


def test_a_list_that_is_damaged_is_empty_and_approves_nothing(admin: Any) -> None:
    propose(admin)
    at = look(admin, "kim")
    (file(admin).parent / ".stguard" / "policy.yaml" / "waiting.json").write_text('[{"title": 5}, {"a"')
    at = press(at, "Approve")
    assert "not waiting any more" in told(at)
    assert file(admin).read_text() == POLICY


def test_marks_that_turn_the_direction_are_written_out_for_who_approves() -> None:
    lines = diffs.difference_of_texts("a\n", "a\n# \u202e moc.emca@kim\u200b\x00\U000e0041 ü 🙂\n")
    assert "+# \\u202e moc.emca@kim\\u200b\\u0000\\U000e0041 ü 🙂" in lines
