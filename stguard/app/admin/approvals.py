"""The tab Approvals: changes that count only when a second person agrees.

Who proposed a change can't approve it, under none of the ids and addresses that they are known by. Approved is exactly
what is shown: the texts that were proposed, on the files they were made on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import edits
from stguard.app.admin import changes, directory, guarding, seconds, words
from stguard.app.admin.editor import difference_of_texts
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.screens import one_line, plain

if TYPE_CHECKING:
    from stguard.app.standing import Standing
    from stguard.edits.waiting import Pending

TAB: Final = "approvals"

_SHOWN: Final = "stguard_admin_pending"


def draw(asked: Standing) -> None:
    """Draw the tab."""
    place = seconds.waiting(asked)
    if place is None:
        st.info("The policy of this app is built by its code. There is nothing to approve.")
        return
    try:
        found = place.all()
    except edits.FileError as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
        return
    if not found:
        st.info("No change is waiting for approval.", icon=":material/check_circle:")
    if seconds.are_required(asked):
        st.caption("Every change needs a second person who may edit the policy. Nobody approves their own.")
    chosen = st.session_state.get(_SHOWN)
    now = time.time()
    for number, each in enumerate(found):
        with st.container(border=True):
            st.markdown(f"**{plain(each.title)}**")
            why = f" · {each.reason}" if each.reason else ""
            st.caption(plain(f"{_name(asked, each)} · {words.ago(each.time, now=now)}{why}"))
            if chosen == each.id:
                _draw_one(asked, each)
            else:
                st.button(
                    "Look at it", key=f"stguard_admin_pending_{number}", on_click=_look, args=(each.id,),
                    icon=":material/visibility:",
                )  # fmt: skip


def _outcome(asked: Standing, place: edits.Place, pending: Pending) -> tuple[edits.Outcome | None, str | None]:
    """Return what a change would do now, and a sentence when it locks out; draw why that can't be said."""
    try:
        outcome = edits.preview(
            place, pending.files, expected=pending.before, editor=asked.subject, in_force=asked.policy
        )
        return outcome, changes.lockout(asked, place, outcome)
    except edits.ChangedMeanwhileError:
        st.warning(
            "The policy has changed since this was proposed, so it can't be approved any more. Propose it again on the "
            "policy as it is now.",
            icon=":material/history:",
        )
    except (edits.EditError, edits.FileError) as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
    return None, None


def _draw_one(asked: Standing, pending: Pending) -> None:
    place = changes.place_of(asked)
    if place is None:
        return
    own = is_own(asked, pending)
    outcome, lockout = _outcome(asked, place, pending)
    if outcome is not None and not outcome.ok:
        st.error("This can't be approved: the policy would have errors.", icon=":material/error:")
        changes.problems(outcome.problems)
    elif outcome is not None:
        changes.effects(asked, outcome.gains, outcome.losses, outcome.other)
        _draw_lines(place, outcome)
    if not guarding.may_edit(asked):
        return
    ready = outcome is not None and outcome.ok and bool(outcome.files)
    if lockout is not None and ready and not own:
        st.error(lockout, icon=":material/warning:")
        st.text_input(f"To approve it all the same, type: {changes.CONFIRMATION}", key=changes.CONFIRM)
    changes.draw_said()
    with st.container(horizontal=True):
        if own:
            st.caption(
                "Who acts as somebody else can't approve a change."
                if seconds.acts_for_another(asked)
                else "You proposed this. Somebody else has to approve it."
            )
            st.button("Withdraw", key="stguard_admin_withdraw", on_click=_drop, args=(pending.id, "withdrawn"))
            return
        if ready:
            # Of this change alone: a click that was meant for another one finds no button.
            st.button(
                "Approve",
                key=f"stguard_admin_approve_{pending.id[:16]}",
                type="primary",
                on_click=_approve,
                args=(pending.id,),
                icon=":material/check:",
            )
        st.button("Decline", key="stguard_admin_decline", on_click=_drop, args=(pending.id, "declined"))


def _draw_lines(place: edits.Place, outcome: edits.Outcome) -> None:
    """Draw every line that changes: who gains and who loses may be too much to list, or not to be told."""
    before = edits.Snapshot.take(place).texts
    st.caption("The lines that change")
    for name, text in outcome.files.items():
        st.code(difference_of_texts(before.get(name, ""), text or "", most=None), language="diff")


def is_own(asked: Standing, pending: Pending) -> bool:
    """Tell whether who asks proposed a change, or can't be told from who did."""
    people = seconds.known_as(asked.subject)
    return not people or seconds.acts_for_another(asked) or not set(people).isdisjoint(pending.people)


def _name(asked: Standing, pending: Pending) -> str:
    """Return who proposed a change: as the page knows them, else by id."""
    for person in directory.people(asked.policy, asked.settings.recent).values():
        if person.seen is not None and person.seen.key in pending.people:
            return person.label
    return one_line(pending.author)


def _look(name: str) -> None:
    st.session_state[_SHOWN] = name
    st.session_state.pop(changes.CONFIRM, None)


@editing
def _approve(name: str) -> None:
    """Put a change in force: the one with this id, if it still waits, on the files it was made on."""
    asked = insist(EDIT)
    try:
        told = _approved(asked, name)
    except edits.ChangedMeanwhileError:
        changes.say("The policy has changed since this was proposed. Nothing was changed; propose it again.")
    except (edits.EditError, edits.FileError) as error:
        changes.say(f"Nothing was changed. {changes.told(error)}")
    else:
        if told is None:
            changes.say("Approved. It is in force from now on.", good=True)
        else:
            changes.say(told)


def _approved(asked: Standing, name: str) -> str | None:
    """Write a change that waits; return why not, where it may not be.

    Raises:
        ChangedMeanwhileError: the files are no longer those it was made on.
        EditError: it can't be made.
        FileError: a file can't be read or written.
    """
    store, place = seconds.waiting(asked), changes.place_of(asked)
    pending = next((each for each in store.all() if each.id == name), None) if store is not None else None
    if store is None or place is None or pending is None:
        return "This change is not waiting any more: somebody else has dealt with it."
    if is_own(asked, pending):
        return "Nothing was changed: you can't approve what you proposed yourself."
    if not author_may_edit(asked, pending):
        return "Nothing was changed: who proposed this may not edit the policy any more."
    confirmed = changes.is_confirmed()
    seen = edits.preview(place, pending.files, expected=pending.before, editor=asked.subject, in_force=asked.policy)
    if changes.lockout(asked, place, seen) is not None and not confirmed:
        return f"Nothing was changed. To approve it all the same, type: {changes.CONFIRMATION}"
    outcome = edits.change(
        place,
        pending.files,
        author=pending.author,
        approver=changes.author(asked),
        reason=pending.reason,
        expected=pending.before,
        editor=asked.subject,
        in_force=asked.policy,
        confirmed=confirmed,
        trail=asked.settings.trail,
    )
    if not outcome.written:
        return "Nothing was changed: the policy would have errors, or is like that already."
    store.drop(name)
    return None


def author_may_edit(asked: Standing, pending: Pending) -> bool:
    """Tell whether who proposed a change may still edit, as far as this process knows them.

    Who has not been seen since the app was started is taken at the word of the moment they proposed it.
    """
    for person in directory.people(asked.policy, asked.settings.recent).values():
        if person.seen is not None and person.seen.key in pending.people:
            subject = person.subject(asked.policy)
            return subject is not None and all(
                asked.policy.allows(subject, permission, org=None)
                for rule in (guarding.VIEW, EDIT)
                for permission in rule.names
            )
    return True


@editing
def _drop(name: str, why: str) -> None:
    asked = insist(EDIT)
    store = seconds.waiting(asked)
    try:
        if store is not None:
            store.drop(name)
    except edits.FileError as error:
        changes.say(changes.told(error))
    else:
        seconds.tell(asked, why)
        changes.say(f"The change was {why}. The policy is as it was.", good=True)
