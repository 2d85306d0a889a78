"""One change at a time: worked out, shown in plain words, and saved only as it was shown.

A proposal holds what was previewed and the files it was previewed on. It lives in the session on the server, so a
browser can't send another one; saving asks anew whether who saves may, and whether the files are still the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import edits, files
from stguard.analysis.circumstances import Side, cases
from stguard.analysis.diagram import NEVER
from stguard.app.admin import diffs, directory, seconds, words
from stguard.app.admin.guarding import EDIT, editing, insist, may_edit
from stguard.app.screens import one_line, plain
from stguard.app.standing import standing_under
from stguard.errors import Severity
from stguard.shared.policy import SharedPolicy
from stguard.store import PolicyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stguard.analysis import Change
    from stguard.app.standing import Standing
    from stguard.edits import Edit, Outcome
    from stguard.errors import Problem
    from stguard.policy import Policy

CONFIRMATION: Final = "lock everyone out"
"""What must be typed before a change is saved after which nobody, or not who saves, may edit the policy."""

REASON_LENGTH: Final = 200
"""Longest reason kept in the history, in characters."""

GROUPS: Final = 40
"""Most people and groups whose gains or losses are listed one by one."""

CONFIRM: Final = "stguard_admin_confirm"
"""Begin of the keys of what is typed to save a change that locks out; see `confirm_key`."""

PAGE: Final = "stguard_admin_page"
"""Key under which the session knows the name of this page in the policy."""

_PROPOSAL: Final = "stguard_admin_proposal"
_SAID: Final = "stguard_admin_said"
_REASON: Final = "stguard_admin_reason"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """Hold a change that was previewed and not saved yet.

    Attributes:
        tab: the tab it was made in.
        title: what it does, in a sentence without Markdown.
        edit: the change itself.
        outcome: what it would do, on the files it names.
        lockout: a sentence when it takes editing away from everybody or from who made it; None when not.
        text: the text of the editor it was made of; None for other changes.
        clears: keys of what was filled in to make it, to be emptied once it is saved.
        digest: names exactly what was shown, so that a click or words meant for one change never count for another.
    """

    tab: str
    title: str
    edit: str | Mapping[str, str | None] | Edit
    outcome: Outcome
    lockout: str | None
    text: str | None = None
    clears: tuple[str, ...] = ()
    digest: str


def seen(title: str, outcome: Outcome, lockout: str | None, policy: Policy) -> str:
    """Return a digest of what somebody is shown of a change, and of the policies that it was worked out from.

    Args:
        title: what it does.
        outcome: the same in full, on the files it names.
        lockout: what was said about locking out.
        policy: the policy in force.
    """
    told = [
        title, outcome.before, dict(outcome.files), outcome.as_json(), outcome.other, outcome.locks_out, lockout,
        policy.version,
    ]  # fmt: skip
    return files.digest(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass"))


def place_of(asked: Standing) -> edits.OnDisk | edits.OnBoard | None:
    """Return where the policy lies; None for one that code has built, which can't be edited."""
    store = asked.settings.store
    if isinstance(store, SharedPolicy):
        return edits.OnBoard(store.board, store.path)
    return edits.OnDisk(store.path) if isinstance(store, PolicyStore) else None


# --- proposing -------------------------------------------------------------------------------------------------------


def propose(
    tab: str,
    title: str,
    edit: str | Mapping[str, str | None] | Edit,
    *,
    expected: str | None = None,
    text: str | None = None,
    clears: tuple[str, ...] = (),
) -> None:
    """Work out what a change would do and keep it for `draw`; what is wrong with it is told instead.

    Args:
        tab: the tab that shows it.
        title: what it does, in a sentence without Markdown.
        edit: the change.
        expected: digest of the files it was made on; None for the files as they are.
        text: the text of the editor it was made of; None for other changes.
        clears: as in `Proposal`.

    Raises:
        AccessDenied: who asks may not edit.
    """
    asked = insist(EDIT)
    before = st.session_state.pop(_PROPOSAL, None)
    place = place_of(asked)
    if place is None:
        say("The policy of this app is built by its code and can't be changed here.")
        return
    try:
        outcome = edits.preview(place, edit, expected=expected, editor=asked.subject, in_force=asked.policy)
        locks = lockout(asked, place, outcome)
    except edits.ChangedMeanwhileError:
        say(
            "Somebody else has changed the policy since you opened it. Nothing was saved, and your text is still here."
            if text is not None
            else "The policy has changed since. Make this change anew on the policy as it is now."
        )
    except (edits.EditError, edits.FileError) as error:
        say(told(error))
    else:
        digest = seen(title, outcome, locks, asked.policy)
        st.session_state.pop(confirm_key(digest), None)
        if not isinstance(before, Proposal) or before.title != title:
            st.session_state.pop(_REASON, None)  # it was said of another change
        st.session_state[_PROPOSAL] = Proposal(
            tab=tab, title=title, edit=edit, outcome=outcome, lockout=locks, text=text, clears=clears, digest=digest
        )


def say(text: str, *, good: bool = False) -> None:
    """Keep a sentence, without Markdown, for the top of the page as it is drawn next."""
    st.session_state[_SAID] = (good, text)


def draw_said() -> None:
    """Draw what a callback had to say, once."""
    said = st.session_state.pop(_SAID, None)
    if said is not None:
        good, text = said
        st.toast(plain(text), icon=":material/check_circle:" if good else ":material/error:")  # wherever they look
        (st.success if good else st.error)(plain(text), icon=":material/check_circle:" if good else ":material/error:")


def told(error: Exception) -> str:
    """Return an error of ours as a sentence for people, without Markdown."""
    return f"{sentence(str(error))}."


def pending(tab: str) -> Proposal | None:
    """Return the change of a tab that waits to be saved; None when there is none."""
    proposal = st.session_state.get(_PROPOSAL)
    return proposal if isinstance(proposal, Proposal) and proposal.tab == tab else None


def drop() -> None:
    """Forget the change that waits. Nothing is written by it."""
    st.session_state.pop(_PROPOSAL, None)


# --- the lock-out ----------------------------------------------------------------------------------------------------


def lockout(asked: Standing, place: edits.Place, outcome: Outcome) -> str | None:
    """Return a sentence when a change takes this page's editing away from everybody, or from who makes it.

    Raises:
        EditError: the text can't be a file.
        FileError: a file can't be read, or has changed meanwhile.
    """
    after = _after(place, outcome)
    if after is None:
        return None
    if not _anybody(after) and _anybody(asked.policy):
        return (
            "After this change nobody could edit the policy any more, not even you. Only somebody with access to the "
            "server could undo it."
        )
    before, then = asked, standing_under(asked, after)
    if (may_edit(before) and not may_edit(then)) or (_opens_page(before) and not _opens_page(then)):
        return (
            "After this change you could not edit the policy any more. Somebody else would have to undo it, if anybody "
            "still can."
        )
    return None if outcome.locks_out is None else f"{outcome.locks_out[:1].upper()}{outcome.locks_out[1:]}."


def _after(place: edits.Place, outcome: Outcome) -> Policy | None:
    """Return the policy after a change; None when it has errors or nothing changes."""
    if not outcome.ok or not outcome.files:
        return None
    snapshot = edits.Snapshot.take(place)
    if snapshot.digest != outcome.before:
        raise edits.ChangedMeanwhileError("the policy was changed meanwhile; look at it as it is now and try again")
    contents = dict(snapshot.contents)
    for name, text in outcome.files.items():
        if text is None:
            contents.pop(name, None)
        else:
            contents[name] = text.encode("utf-8", "surrogateescape")
    return edits.Snapshot(place, dict(sorted(contents.items()))).policy(now=time.time())


def _anybody(policy: Policy) -> bool:
    """Tell whether anybody at all may edit the policy on this page: without an org, now."""
    side = Side(policy, by_our_names=True)
    return any(
        case.people.diagrams.both(case.allowed[0], case.people.possible) != NEVER
        for case in cases((side,), EDIT.names[0], None, at=time.time())
    )


def _opens_page(asked: Standing) -> bool:
    """Tell whether the policy opens this page itself to who asks: its rules count besides the right to edit."""
    page = st.session_state.get(PAGE)
    return isinstance(page, str) and asked.page(page, org=asked.org).allowed


# --- saving ----------------------------------------------------------------------------------------------------------


@editing
def save(digest: str, typed: Callable[[], str | None] | None = None) -> None:
    """Save the change that waits, exactly as it was shown.

    Args:
        digest: names the change that the button stood under.
        typed: returns the text that it was made of as it is now; None for other changes.
    """
    proposal, asked = st.session_state.get(_PROPOSAL), insist(EDIT)
    place = place_of(asked)
    if not isinstance(proposal, Proposal) or place is None:
        return
    if proposal.digest != digest:
        say("That button was of another change. Nothing was saved; look at this one first.")
        return
    if proposal.text is not None and (typed is None or typed() != proposal.text):
        drop()
        say("The text has changed since you looked at what it does. Nothing was saved; look once more.")
        return
    reason = one_line(str(st.session_state.get(_REASON, "")))[:REASON_LENGTH] or None
    if seconds.are_required(asked):
        _ask(asked, proposal, reason)
        return
    confirmed = is_confirmed(proposal.digest)
    if proposal.lockout is not None and not confirmed:
        say(f"Nothing was saved. To save it all the same, type: {CONFIRMATION}")
        return
    _write(asked, place, proposal, reason=reason, confirmed=confirmed)


def _write(asked: Standing, place: edits.Place, proposal: Proposal, *, reason: str | None, confirmed: bool) -> None:
    try:
        outcome = edits.change(
            place,
            proposal.edit,
            author=author(asked),
            reason=reason,
            expected=proposal.outcome.before,
            editor=asked.subject,
            in_force=asked.policy,
            confirmed=confirmed,
            trail=asked.settings.trail,
            keep=asked.settings.history,
            actor=asked.actor,
        )
    except edits.ChangedMeanwhileError:
        _look_again(proposal, "saved")
    except (edits.EditError, edits.FileError) as error:
        say(f"Nothing was saved. {told(error)}")
    else:
        st.session_state[_PROPOSAL] = replace(proposal, outcome=outcome)
        if not outcome.ok:
            say("Nothing was saved: the policy would have errors.")
            return
        drop()
        for key in (_REASON, *proposal.clears):
            st.session_state.pop(key, None)
        say("Saved. It is in force from now on." if outcome.written else "Nothing to save: it is like that already.",
            good=True)  # fmt: skip


def _look_again(proposal: Proposal, what: str) -> None:
    """Show what a change does on files that somebody else has changed meanwhile; a text is looked at by its author."""
    if proposal.text is not None:
        drop()
        now = "Your text is still here."
    elif isinstance(proposal.edit, Mapping):
        # SECURITY: whole files, made of what stood there before: they would take back what somebody else has changed.
        drop()
        now = "Choose it once more, to see what it does now."
    else:
        propose(proposal.tab, proposal.title, proposal.edit, clears=proposal.clears)
        if pending(proposal.tab) is None:
            return  # it can't be made any more; that was said
        now = "Below is what your change does now."
    say(f"Somebody else has changed the policy meanwhile. Nothing was {what} yet. {now}")


def confirm_key(digest: str) -> str:
    """Return the key of what is typed to save one change that locks out: words typed for one count for no other."""
    return f"{CONFIRM}_{digest[:16]}"


def is_confirmed(digest: str) -> bool:
    """Tell whether the words were typed that a change which locks out asks for."""
    return str(st.session_state.get(confirm_key(digest), "")).strip().casefold() == CONFIRMATION


def _ask(asked: Standing, proposal: Proposal, reason: str | None) -> None:
    """Keep a change for a second person instead of saving it."""
    place = place_of(asked)
    if not proposal.outcome.ok or not proposal.outcome.files or place is None:
        return
    try:
        if edits.Snapshot.take(place).digest != proposal.outcome.before:
            _look_again(proposal, "sent")
            return
        seconds.propose(asked, proposal.outcome, title=proposal.title, author=author(asked), reason=reason)
    except (edits.EditError, edits.FileError) as error:
        say(f"Nothing was sent. {told(error)}")
        return
    drop()
    for key in (_REASON, *proposal.clears):
        st.session_state.pop(key, None)
    say("Sent for approval. It counts as soon as somebody else who may edit the policy approves it.", good=True)


def author(asked: Standing) -> str:
    """Return who edits, for the history: an id, and whoever acts as them."""
    who = asked.subject
    name = (who.id or who.email or "somebody without an id") if who is not None else "nobody"
    return f"{name} (as whom {who.impersonator} acts)" if who is not None and who.impersonator is not None else name


# --- showing ---------------------------------------------------------------------------------------------------------


def draw(asked: Standing, proposal: Proposal, *, typed: Callable[[], str | None] | None = None) -> None:
    """Draw what a change would do, and the buttons that save it or forget it.

    Args:
        asked: who asks.
        proposal: the change.
        typed: returns the text that it was made of as it is now; None for other changes.
    """
    outcome = proposal.outcome
    with st.container(border=True):
        st.markdown(f"**{plain(proposal.title)}**")
        if not outcome.ok:
            errors = [each for each in outcome.problems if each.severity is Severity.ERROR]
            guarded = all(each.code == "failing-test" for each in errors)
            st.error(
                "This can't be saved: a test in the policy says that it must not be so. If it is meant, change the "
                "test first, in the tab Policy."
                if guarded
                else "This can't be saved: the policy would have errors.",
                icon=":material/error:",
            )
            problems(errors)
            st.button("Back", key="stguard_admin_drop", on_click=drop, icon=":material/arrow_back:")
            return
        if not outcome.files:
            st.info("This changes nothing: it is like that already.")
            st.button("Back", key="stguard_admin_drop", on_click=drop, icon=":material/arrow_back:")
            return
        effects(asked, outcome.gains, outcome.losses, outcome.other)
        draw_lines(asked, outcome)
        needs_approval = seconds.are_required(asked)
        if proposal.lockout is not None:
            st.error(proposal.lockout, icon=":material/warning:")
            if not needs_approval:
                st.text_input(f"To save it all the same, type: {CONFIRMATION}", key=confirm_key(proposal.digest))
        st.text_input(
            "Why? (kept in the history)", key=_REASON, max_chars=REASON_LENGTH, placeholder="A ticket, a request"
        )
        draw_said()
        with st.container(horizontal=True):
            st.button(
                "Send for approval" if needs_approval else "Save",
                # Of this change alone: a click that was meant for another one finds no button.
                key=f"stguard_admin_save_{proposal.digest[:16]}",
                type="primary",
                on_click=save,
                args=(proposal.digest, typed),
                icon=":material/how_to_reg:" if needs_approval else ":material/save:",
            )
            st.button("Cancel", key="stguard_admin_drop", on_click=drop)


def draw_lines(asked: Standing, outcome: Outcome) -> None:
    """Draw the lines that a change touches; those of files that were changed meanwhile can't be told, nor saved."""
    place = place_of(asked)
    try:
        snapshot = None if place is None else edits.Snapshot.take(place)
    except (edits.EditError, edits.FileError) as error:
        st.error(plain(told(error)), icon=":material/error:")
        return
    if snapshot is not None and snapshot.digest == outcome.before:
        diffs.draw(snapshot.texts, outcome.files)


def effects(asked: Standing, gains: Sequence[Change], losses: Sequence[Change], other: Sequence[str]) -> None:
    """Draw who gains and who loses what."""
    known = directory.people(asked.policy, asked.settings.recent)
    names = {key: person.label for key, person in known.items()}
    if not gains and not losses and not other:
        st.markdown("Nobody gains or loses anything by it.")
    for changes, title, color, icon in (
        (gains, "More than before", "green", ":material/add_circle:"),
        (losses, "Less than before", "red", ":material/remove_circle:"),
    ):
        if changes:
            st.markdown(f":{color}[{icon} **{title}**]")
            lines = grouped(asked.policy, changes, names)
            st.markdown("\n".join(f"- {line}" for line in lines[:GROUPS]))
            if len(lines) > GROUPS:
                st.caption(f"And {len(lines) - GROUPS} more.")
    if other:
        st.markdown("\n".join([":material/info: **Also**", "", *(f"- {_sentence(line)}" for line in other)]))


def grouped(policy: Policy, changes: Sequence[Change], names: Mapping[str, str]) -> list[str]:
    """Return a line of Markdown for each person or group and each org: what they can open and may do."""
    found: dict[tuple[str, str | None], list[str]] = {}
    why: dict[tuple[str, str | None], dict[str, None]] = {}
    for each in changes:
        line = (each.who, each.org)
        found.setdefault(line, []).append(words.action_shown(each.action))
        why.setdefault(line, {})[each.because] = None
    lines = []
    for (who, org), actions in found.items():
        where = (
            f" in {plain(words.org_shown(policy, org))}"
            if org is not None
            else (" outside any organization" if policy.multi_tenant and who not in ("anonymous", "signed_in") else "")
        )
        because = "; ".join(list(why[who, org])[:3])
        shown = plain(names.get(who) or words.key_shown(diffs.visible(who)))
        lines.append(f"**{shown}**{where}: {plain(', '.join(actions))}  \n:gray[{_sentence(because)}]")
    return lines


def problems(found: Sequence[Problem]) -> None:
    """Draw what is wrong, at its lines."""
    for each in found[:GROUPS]:
        icon = ":red[:material/error:]" if each.severity is Severity.ERROR else ":orange[:material/warning:]"
        st.markdown(f"{icon} **Line {each.line}:** {_sentence(each.message)}")
    if len(found) > GROUPS:
        st.caption(f"And {len(found) - GROUPS} more.")


def sentence(text: str) -> str:
    """Return a message of ours as a sentence for people, without Markdown."""
    text = text.replace("`", "")
    return f"{text[:1].upper()}{text[1:]}"


def _sentence(text: str) -> str:
    return plain(sentence(text))
