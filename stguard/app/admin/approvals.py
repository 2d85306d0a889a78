"""The tab Approvals: changes that count only when a second person agrees.

Who proposed a change can't approve it, under none of the ids and addresses that they are known by. Approved is exactly
what is shown: the texts that were proposed, on the files they were made on, by the policy in force when it was shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import streamlit as st

from stguard import edits, lifetime
from stguard.app.admin import changes, directory, guarding, seconds, words
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.screens import one_line, plain
from stguard.app.standing import subject_with
from stguard.audit import Actor
from stguard.claims import ADDED
from stguard.edits.waiting import Answer

if TYPE_CHECKING:
    from stguard.app.standing import Standing
    from stguard.edits.waiting import Pending, Waiting
    from stguard.policy import Policy

TAB: Final = "approvals"

_SHOWN: Final = "stguard_admin_pending"
_WHY: Final = "stguard_admin_why"
_LATE: Final = "This change is not waiting any more: somebody else has dealt with it."


def draw(asked: Standing) -> None:
    """Draw the tab."""
    store = seconds.waiting(asked)
    if store is None:
        st.info("The policy of this app is built by its code. There is nothing to approve.")
        return
    try:
        found = store.all()
        declined = seconds.declined(asked, store)
    except edits.FileError as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
        return
    again = changes.pending(TAB)
    if again is not None:
        changes.draw(asked, again)
    if store.damaged:
        st.warning(
            f"{store.damaged} of the changes that wait can't be read and are left out. Nothing of them is in force; "
            "who proposed them can do so again.",
            icon=":material/warning:",
        )
    if not found:
        st.info("No change is waiting for approval.", icon=":material/check_circle:")
    if seconds.are_required(asked):
        st.caption("Every change needs a second person who may edit the policy. Nobody approves their own.")
    for each in found:
        _draw_waiting(asked, each)
    if declined:
        st.subheader("Declined", anchor=False)
    for each in declined:
        _draw_declined(asked, each)


def _draw_waiting(asked: Standing, pending: Pending) -> None:
    with st.container(border=True):
        st.markdown(f"**{plain(pending.title)}**")
        why = f" · {pending.reason}" if pending.reason else ""
        st.caption(plain(f"{_name(asked, pending)} · {words.ago(pending.time, now=time.time())}{why}"))
        if st.session_state.get(_SHOWN) == pending.id:
            _draw_one(asked, pending)
        else:
            st.button(
                "Look at it", key=f"stguard_admin_pending_{pending.id[:16]}", on_click=_look, args=(pending.id,),
                icon=":material/visibility:",
            )  # fmt: skip


def _draw_declined(asked: Standing, pending: Pending) -> None:
    """Draw a change of one's own that somebody declined, and why."""
    answer = pending.answer
    if answer is None:
        return
    with st.container(border=True):
        st.markdown(f":red[:material/cancel:] **{plain(pending.title)}**")
        st.caption(plain(f"Declined by {_person(asked, answer.by)} · {words.ago(answer.time, now=time.time())}"))
        st.markdown(plain(answer.reason) if answer.reason else ":gray[No reason was given.]")
        if guarding.may_edit(asked):
            with st.container(horizontal=True):
                st.button(
                    "Propose it again", key=f"stguard_admin_again_{pending.id[:16]}", on_click=_again,
                    args=(pending.id,), icon=":material/redo:",
                )  # fmt: skip
                st.button("Dismiss", key=f"stguard_admin_dismiss_{pending.id[:16]}", on_click=_dismiss,
                          args=(pending.id,))  # fmt: skip


class _Look(NamedTuple):
    """Say what a change would do now, for who looks at it.

    Attributes:
        outcome: what it would do.
        lockout: a sentence when it locks out; None when not.
        digest: names all of this, and the policy in force: whoever approves, approves this.
    """

    outcome: edits.Outcome
    lockout: str | None
    digest: str


def look_at(asked: Standing, place: edits.Place, pending: Pending) -> _Look:
    """Work out what a change would do now.

    Raises:
        ChangedMeanwhileError: the files are no longer those it was made on.
        EditError: it can't be made.
        FileError: a file can't be read.
    """
    outcome = edits.preview(place, pending.files, expected=pending.before, editor=asked.subject, in_force=asked.policy)
    lockout = changes.lockout(asked, place, outcome)
    return _Look(outcome, lockout, changes.seen(pending.id, outcome, lockout, asked.policy))


def _looked(asked: Standing, place: edits.Place, pending: Pending) -> _Look | None:
    """Return what a change would do now; draw why that can't be said."""
    try:
        return look_at(asked, place, pending)
    except edits.ChangedMeanwhileError:
        if _is_in_force(place, pending):
            st.success("This is in force already.", icon=":material/check_circle:")
        else:
            st.warning(
                "The policy has changed since this was proposed, so it can't be approved any more. Propose it again "
                "on the policy as it is now.",
                icon=":material/history:",
            )
    except (edits.EditError, edits.FileError) as error:
        st.error(plain(changes.told(error)), icon=":material/error:")
    return None


def _is_in_force(place: edits.Place, pending: Pending) -> bool:
    """Tell whether the files are what a change makes of them: it was approved by a process that ended right after."""
    try:
        texts = edits.Snapshot.take(place).texts
    except (edits.EditError, edits.FileError):
        return False
    return all(texts.get(name) == text for name, text in pending.files.items())


def _draw_one(asked: Standing, pending: Pending) -> None:
    place = changes.place_of(asked)
    if place is None:
        return
    look = _looked(asked, place, pending)
    if look is not None and not look.outcome.ok:
        st.error("This can't be approved: the policy would have errors.", icon=":material/error:")
        changes.problems(look.outcome.problems)
    elif look is not None:
        changes.effects(asked, look.outcome.gains, look.outcome.losses, look.outcome.other)
        changes.draw_lines(asked, look.outcome)
    if not guarding.may_edit(asked):
        return
    if is_own(asked, pending):
        _draw_own(asked, pending)
    else:
        _draw_decision(pending, look if look is not None and look.outcome.ok and look.outcome.files else None)


def _draw_own(asked: Standing, pending: Pending) -> None:
    changes.draw_said()
    if seconds.acts_for_another(asked):
        st.caption("Who acts as somebody else can neither approve nor decline a change.")
        return
    st.caption("You proposed this. Somebody else has to approve it.")
    st.button("Withdraw", key=f"stguard_admin_withdraw_{pending.id[:16]}", on_click=_withdraw, args=(pending.id,),
              icon=":material/undo:")  # fmt: skip


def _draw_decision(pending: Pending, look: _Look | None) -> None:
    """Draw what a second person can do; None for a look at which nothing could be approved."""
    name = pending.id[:16]
    if look is not None and look.lockout is not None:
        st.error(look.lockout, icon=":material/warning:")
        st.text_input(f"To approve it all the same, type: {changes.CONFIRMATION}", key=changes.confirm_key(look.digest))
    st.text_input(
        "If you decline it: why? (its author sees this)", key=f"{_WHY}_{name}", max_chars=changes.REASON_LENGTH,
        placeholder="What would have to be different",
    )  # fmt: skip
    changes.draw_said()
    with st.container(horizontal=True):
        # Of this change alone: a click that was meant for another one finds no button.
        if look is not None:
            st.button("Approve", key=f"stguard_admin_approve_{name}", type="primary", on_click=_approve,
                      args=(pending.id, look.digest), icon=":material/check:")  # fmt: skip
        st.button("Decline", key=f"stguard_admin_decline_{name}", on_click=_decline, args=(pending.id,),
                  icon=":material/close:")  # fmt: skip


def is_own(asked: Standing, pending: Pending) -> bool:
    """Tell whether who asks proposed a change, or can't be told from who did."""
    people = seconds.known_as(asked.subject)
    return not people or seconds.acts_for_another(asked) or not set(people).isdisjoint(pending.people)


def _name(asked: Standing, pending: Pending) -> str:
    """Return who proposed a change: as the page knows them, else by id."""
    return _person(asked, pending.subject or pending.email or pending.author)


def _person(asked: Standing, key: str) -> str:
    # SECURITY: by the id alone; with the account, since a name is what people call themselves.
    for person in directory.people(asked.policy, asked.settings.recent).values():
        if person.seen is not None and person.seen.key == key:
            return person.label
    return one_line(key)


def _look(name: str) -> None:
    st.session_state[_SHOWN] = name


# --- what the buttons do -------------------------------------------------------------------------------------------


def _found(asked: Standing, name: str) -> tuple[Waiting, Pending] | None:
    """Return a change that waits, and where; None, with a sentence, when it waits no longer."""
    store = seconds.waiting(asked)
    pending = next((each for each in store.all() if each.id == name), None) if store is not None else None
    if store is None or pending is None:
        changes.say(_LATE)
        return None
    return store, pending


@editing
def _approve(name: str, digest: str) -> None:
    """Put a change in force: the one with this id, if it still waits and does what was seen."""
    asked = insist(EDIT)
    try:
        told = _approved(asked, name, digest)
    except edits.TakenError:
        changes.say(f"Nothing was changed. {_LATE}")
    except edits.ChangedMeanwhileError:
        changes.say("The policy has changed since this was proposed. Nothing was changed; propose it again.")
    except (edits.EditError, edits.FileError) as error:
        changes.say(f"Nothing was changed. {changes.told(error)}")
    else:
        if told is None:
            changes.say("Approved. It is in force from now on.", good=True)
        else:
            changes.say(told)


def _approved(asked: Standing, name: str, digest: str) -> str | None:
    """Write a change that waits; return why not, where it may not be.

    Raises:
        TakenError: somebody else has dealt with it.
        ChangedMeanwhileError: the files are no longer those it was made on.
        EditError: it can't be made.
        FileError: a file can't be read or written.
    """
    store, place = seconds.waiting(asked), changes.place_of(asked)
    pending = next((each for each in store.all() if each.id == name), None) if store is not None else None
    if store is None or place is None or pending is None:
        return _LATE
    if is_own(asked, pending):
        return "Nothing was changed: you can't approve what you proposed yourself."
    refused = author_may_not(asked.policy, asked, pending)
    if refused is not None:
        return f"Nothing was changed: {refused}"
    look = look_at(asked, place, pending)
    if look.digest != digest:
        # SECURITY: approved is what was seen; the policy in force, or a moment that has passed, may have changed it.
        return "Nothing was changed: what this does has changed meanwhile. Look at it again."
    confirmed = changes.is_confirmed(digest)
    if look.lockout is not None and not confirmed:
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
        takes=name,
        trail=asked.settings.trail,
        keep=asked.settings.history,
        actor=Actor(subject=pending.subject),
    )
    if not outcome.written:
        return "Nothing was changed: the policy would have errors, or is like that already."
    seconds.tell(asked, "approved", pending, before=outcome.version_before, after=outcome.version)
    store.settled(name)
    return None


def author_may_not(policy: Policy, asked: Standing, pending: Pending) -> str | None:
    """Return why a change can't be approved because of who proposed it; None when they may still edit.

    SECURITY: asked of exactly the account that proposed it, not of another one with the same e-mail. Of an account
    that this process has not seen, what the policy says of its id and its e-mail counts, and what groups, roles and
    claims might add or forbid stays unknown, which is refused.
    """
    now = time.time()
    key = pending.subject or pending.email
    seen = next((each for each in asked.settings.recent.people() if each.key == key), None)
    if seen is not None:
        subject = subject_with(seen.claims, seen.facts, policy)
    else:
        subject = policy.subject(
            {**directory.recorded(pending.subject, pending.email), "iat": now, "auth_time": now},
            unknown=dict.fromkeys(ADDED, "its author has not signed in since the app was started"),
        )
    if (
        subject is not None
        and lifetime.lets_in(policy, subject, at=now)
        and all(policy.allows(subject, name, org=None) for rule in (guarding.VIEW, EDIT) for name in rule.names)
    ):
        return None
    if seen is not None:
        return "who proposed this may not edit the policy any more."
    return (
        "whether who proposed this may still edit the policy can't be told, since they have not been seen here since "
        "the app was started. They have to open this page once more; then approve it."
    )


@editing
def _withdraw(name: str) -> None:
    asked = insist(EDIT)
    try:
        found = _found(asked, name)
        if found is None:
            return
        store, pending = found
        if seconds.acts_for_another(asked) or not seconds.known_as(asked.subject) or not is_own(asked, pending):
            changes.say("Nothing was changed: only who proposed a change can withdraw it.")
        elif not store.drop(name):
            changes.say(_LATE)
        else:
            seconds.tell(asked, "withdrawn", pending)
            changes.say("The change was withdrawn. The policy is as it was.", good=True)
    except (edits.EditError, edits.FileError) as error:
        changes.say(changes.told(error))


@editing
def _decline(name: str) -> None:
    asked = insist(EDIT)
    try:
        found = _found(asked, name)
        if found is None:
            return
        store, pending = found
        place = changes.place_of(asked)
        key = f"{_WHY}_{name[:16]}"
        reason = one_line(str(st.session_state.get(key, "")))[: changes.REASON_LENGTH] or None
        who = asked.subject
        by = (who.id or who.email if who is not None else None) or changes.author(asked)
        done = place is not None and _is_in_force(place, pending)
        if is_own(asked, pending):
            changes.say("Nothing was changed: you can withdraw what you proposed yourself, not decline it.")
        elif not store.drop(name, answer=None if done else Answer(by=by, reason=reason, time=time.time())):
            changes.say(_LATE)
        elif done:
            changes.say("It is in force already, and stands in the list no longer.", good=True)
        else:
            seconds.tell(asked, "declined", pending, reason=reason)
            changes.say("The change was declined. The policy is as it was, and who proposed it sees why.", good=True)
            st.session_state.pop(key, None)
    except (edits.EditError, edits.FileError) as error:
        changes.say(changes.told(error))


def _own_declined(asked: Standing, name: str) -> tuple[Waiting, Pending] | None:
    store = seconds.waiting(asked)
    found = () if store is None else seconds.declined(asked, store)
    pending = next((each for each in found if each.id == name), None)
    return None if store is None or pending is None else (store, pending)


@editing
def _again(name: str) -> None:
    """Look at a declined change of one's own once more, to send it again."""
    asked = insist(EDIT)
    try:
        found = _own_declined(asked, name)
    except edits.FileError as error:
        changes.say(changes.told(error))
        return
    if found is not None:
        _, pending = found
        # SECURITY: on the files it was made on only: its texts would take back what somebody else has changed since.
        changes.propose(TAB, pending.title, pending.files, expected=pending.before)


@editing
def _dismiss(name: str) -> None:
    asked = insist(EDIT)
    try:
        found = _own_declined(asked, name)
        if found is not None:
            found[0].forget(name)
    except edits.FileError as error:
        changes.say(changes.told(error))
