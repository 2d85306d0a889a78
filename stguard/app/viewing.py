"""See the app as somebody else does: as whom, for how long, what the browser may send, what is set aside meanwhile.

INVARIANT: nothing is allowed by it that is refused to who looks: `standing` asks about both.
INVARIANT: nothing can be done by it: what the browser sends is dropped before any callback, but for what steers.

A view is pinned to the session, on the server. Once it is over it stays in the way, and nothing opens, until who looked
says that they have seen it: a click that was meant for what they looked at never happens as their own.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from stguard.app import private
from stguard.app.listed import NOTHING
from stguard.app.told import Told
from stguard.app.wishes import IN_ADDRESS, ORG_WISH, Wishes
from stguard.errors import StguardError, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stguard.app.private import ScriptRunContext, WidgetState
    from stguard.app.standing import Memo
    from stguard.model import Subject
    from stguard.policy import Policy

LONGEST: Final = 3600.0
"""Seconds after which a view ends by itself."""

STOP: Final = "stguard_view_stop"
"""Key of the button that ends a view."""

HEARD: Final = frozenset({STOP, "stguard_org_selector", "stguard_logout", "stguard_switch_account"})
"""Keys of the widgets that count while somebody looks: to stop, to look at another org, to sign out."""

SEEING: Final = "policy:view"
EDITING: Final = "policy:edit"

_OURS: Final = ("stguard_", "_stguard")
_SWAPPED: Final = (ORG_WISH, "_stguard_state")

_LOG: Final = logging.getLogger("stguard")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """Say as whom the app is looked at.

    Attributes:
        id: an id or a role, for the audit and the log: no name, no e-mail.
        shown: what to call them on the page, without Markdown.
        make: makes them under a policy; None where they count as nobody there.
        needs: the permissions that looking takes.
        org: the org to begin in; None for none.
    """

    id: str
    shown: str
    make: Callable[[Policy], Subject | None]
    needs: tuple[str, ...]
    org: str | None = None


class View:
    """Remember that the app is looked at as somebody else in one session.

    Attributes:
        target: as whom.
        viewer: who began to look.
        begun: when, Unix seconds.
        ended: why it is over, as a sentence; None while it lasts.
        page: url path of the page to go back to.
        asked: whether it was asked yet what counts of what the browser sends.
        pressed: whether something was clicked that did nothing, and nobody has said so yet.
        drawn: the run in which the banner was drawn last, and what `ended` was then; None for none.
        kept: values of the session state that were set aside.
        wishes: the org that was wished for before, and why.
        sent: by widget, the value that the browser holds and that was dropped.
    """

    __slots__ = (
        "_made",
        "asked",
        "begun",
        "drawn",
        "ended",
        "kept",
        "page",
        "pressed",
        "sent",
        "target",
        "viewer",
        "wishes",
    )

    def __init__(self, target: Target, viewer: Subject, *, at: float, page: str) -> None:
        """Begin to look.

        Args:
            target: as whom.
            viewer: who looks.
            at: now, Unix seconds.
            page: url path of the page to go back to.
        """
        self.target = target
        self.begun = at
        self.page = page
        self.ended: str | None = None
        self.pressed = False
        self.asked = False
        self.drawn: tuple[object, str | None] | None = None
        self.kept: dict[str, Any] = {}
        self.wishes: Wishes | None = None
        self.sent: dict[str, bytes] = {}
        self.viewer = viewer
        self._made: tuple[Policy, Subject, Subject] | None = None

    def is_of(self, viewer: Subject) -> bool:
        """Tell whether it was this person who began to look."""
        return (self.viewer.ids, self.viewer.email) == (viewer.ids, viewer.email)

    def subject(self, policy: Policy, viewer: Subject, *, at: float) -> Subject | None:
        """Return as whom the app is looked at now; None, and `ended` says why, once that is over."""
        if self.ended is None:
            self.ended = self._over(policy, viewer, at=at)
        if self.ended is not None:
            return None
        made = self._made
        if made is None or made[0] is not policy or made[1] is not viewer:
            subject = self._make(policy, viewer)
            if subject is None:
                self.ended = "They can't be looked at any more: the policy or their account has changed."
                return None
            made = self._made = policy, viewer, subject
        return made[2]

    def _over(self, policy: Policy, viewer: Subject, *, at: float) -> str | None:
        if not 0 <= at - self.begun < LONGEST:
            return "An hour has passed."
        if not all(policy.allows(viewer, needed, at=at) for needed in self.target.needs):
            return "You may no longer look at the app as somebody else."
        return None

    def _make(self, policy: Policy, viewer: Subject) -> Subject | None:
        try:
            subject = self.target.make(policy)
        except StguardError:
            return None
        except Exception:  # noqa: BLE001  what can't be made ends the view
            _LOG.exception("somebody to look at the app as could not be made")
            return None
        # Told to the audit, which has no e-mails.
        actor = viewer.id or (account(viewer.email) if viewer.email else None)
        if subject is None or actor is None:
            return None
        mine = {org: each for org, each in subject.memberships.items() if policy.membership(viewer, org) is not None}
        return replace(subject, id=self.target.id, memberships=mine, impersonator=actor)


class Left:
    """Remember what the browser still holds of a view that is over: values of widgets that were never obeyed.

    SECURITY: the browser sends all of its values each time. What was ticked while looking must not count afterwards.
    """

    __slots__ = ("sent",)

    def __init__(self, sent: Mapping[str, bytes]) -> None:
        """Take what was dropped."""
        self.sent = dict(sent)


def account(of: str) -> str:
    """Return a text for the audit that stands for an e-mail: the same each time, and without it."""
    return f"account {hashlib.sha256(of.encode('utf-8', 'replace')).hexdigest()[:16]}"


# --- what the browser sends ------------------------------------------------------------------------------------------


def keep(pinned: object, sent: Sequence[WidgetState]) -> tuple[Sequence[WidgetState], bool]:
    """Return what counts of what the browser sent, and whether other input of the same run does."""
    if isinstance(pinned, private.Probe):
        pinned.asked = True
        return (), False
    if isinstance(pinned, View):
        dropped = [state for state in sent if private.widget_key(state.id) not in HEARD]
        pinned.pressed = pinned.pressed or (pinned.asked and any(map(private.is_click, dropped)))
        pinned.asked = True  # the first click is the one that began it
        pinned.sent |= {state.id: _bytes(state) for state in dropped if not private.is_momentary(state)}
        return [state for state in sent if private.widget_key(state.id) in HEARD], False
    if isinstance(pinned, Left):
        kept = [state for state in sent if pinned.sent.get(state.id) != _bytes(state)]
        _forget(pinned, sent, kept)
        return kept, True
    return (), False


def _forget(left: Left, sent: Sequence[WidgetState], kept: Sequence[WidgetState]) -> None:
    """Forget the widgets that have another value now, and those that are gone from the page."""
    for state in kept:
        left.sent.pop(state.id, None)
    ctx = private.context()
    if ctx is None or private.in_fragment_run(ctx):
        return
    ids = {state.id for state in sent}
    for gone in [each for each in left.sent if each not in ids]:
        del left.sent[gone]
    if not left.sent:
        private.pin(ctx, None)


def _bytes(state: WidgetState) -> bytes:
    return bytes(state.SerializeToString(deterministic=True))


# --- beginning and ending --------------------------------------------------------------------------------------------


def begin(ctx: ScriptRunContext, memo: Memo, view: View, *, stays: Iterable[str] = ()) -> None:
    """Begin to look; in a callback, so that the whole run that follows is drawn for whom is looked at.

    Args:
        ctx: the script run.
        memo: what the session remembers.
        view: as whom.
        stays: keys of the session state that say who is signed in.
    """
    keys = _set_aside(ctx, stays)
    view.kept = {key: st.session_state[key] for key in keys}
    for key in keys:
        del st.session_state[key]
    view.wishes, memo.wishes = memo.wishes, Wishes(address=st.query_params.get(IN_ADDRESS))
    if view.target.org is not None:
        st.session_state[ORG_WISH] = view.target.org
    _turn(memo, view)
    private.pin(ctx, view)
    memo.goes_to = ""


def end(ctx: ScriptRunContext, memo: Memo, *, stays: Iterable[str] = ()) -> None:
    """Bring back what was set aside, and lead back to where it began; in a callback."""
    view = memo.view
    if view is None:
        return
    for key in _set_aside(ctx, stays):
        del st.session_state[key]
    for key, value in view.kept.items():
        st.session_state[key] = value
    if view.wishes is not None:
        view.wishes.address = st.query_params.get(IN_ADDRESS)  # what stands there is from looking
        memo.wishes = view.wishes
    drop(ctx, memo)
    memo.goes_to = view.page


def drop(ctx: ScriptRunContext, memo: Memo) -> None:
    """Let a view go, with what was set aside for it: somebody else is here now, or nobody."""
    view = memo.view
    if view is not None:
        private.pin(ctx, Left(view.sent) if view.sent else None)
    _turn(memo, None)


def _turn(memo: Memo, view: View | None) -> None:
    memo.view = view
    memo.notices, memo.news, memo.pages = [], [], NOTHING
    memo.told = Told()
    memo.goes_to = None


def _set_aside(ctx: ScriptRunContext, stays: Iterable[str]) -> list[str]:
    """Return the keys of what the app keeps about who is here: not of widgets, nor of this page, nor of the sign-in."""
    keys = [key for key in st.session_state if isinstance(key, str)]
    fixed = {*stays, *private.keys_of_widgets(ctx, keys)}
    return [key for key in keys if key in _SWAPPED or (key not in fixed and not key.startswith(_OURS))]


def tell_log(view: View, viewer: Subject, *, begins: bool) -> None:
    """Write to the log that somebody begins or ends to look at the app as somebody else."""
    verb = "looks" if begins else "no longer looks"
    _LOG.info("%s %s at the app as %s", quote(viewer.id), verb, quote(view.target.id))
