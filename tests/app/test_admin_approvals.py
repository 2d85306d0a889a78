"""With `approval=True` a change counts only when a second person agrees, on exactly what they were shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stguard import edits
from stguard.app.admin import seconds
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

NAIVE = MAIN
GUARDED = MAIN.replace("sg.admin_page()", "sg.admin_page(approval=True)")
SENT = "Sent for approval"


@pytest.fixture
def admin(desk: Any, visit: Any) -> Iterator[Any]:
    visit("admin")
    yield desk.policy(POLICY).main(GUARDED)
    seconds._required.clear()


def propose(admin: Any, who: str = "ada", *, to: str = "email:vera@acme.com") -> Any:
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
    assert "acts as somebody else" in told(propose(admin, acting))  # type: ignore[arg-type]  # claims, as `run` takes them
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
