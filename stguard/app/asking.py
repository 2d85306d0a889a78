"""Ask for access: what who is refused at a locked page can send to the admins of the app.

SECURITY: what somebody writes is outside text, shown to admins as plain text; who asks, for what and where comes from
the server, and nothing is granted by it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app.recent import REASON_LENGTH, Request, called, key_of
from stguard.app.standing import Standing, standing
from stguard.audit import Event, Record
from stguard.model import PAGE_ACTION

if TYPE_CHECKING:
    from stguard.model import Decision

TOO_MANY: Final = "Your request could not be taken just now. Please try again later."

_REASON: Final = "stguard_ask_reason"
_TURNED_AWAY: Final = "stguard_ask_turned_away"


def draw(asked: Standing, decision: Decision) -> None:
    """Draw a way to ask for a page that is refused; nothing where no admin would see it."""
    who, recent = asked.subject, asked.settings.recent
    key = None if who is None else key_of(who)
    if who is None or key is None or who.impersonator is not None or not recent.takes_requests:
        return
    if recent.waits(key, decision.action, decision.org):
        st.caption("You have asked for access. The administrators of this app see your request.")
        return
    if st.session_state.pop(_TURNED_AWAY, False):
        st.error(TOO_MANY)
    with st.form("stguard_ask", border=False, enter_to_submit=False):
        st.text_input("Why do you need it?", key=_REASON, max_chars=REASON_LENGTH)
        st.form_submit_button(
            "Ask for access", on_click=_send, args=(decision.action, decision.org), icon=":material/mail:"
        )


def _send(action: str, org: str | None) -> None:
    """Take the request of who is signed in now, if they are still refused what they were refused."""
    asked = standing()
    who = asked.subject
    key = None if who is None else key_of(who)
    if who is None or key is None or asked.viewer is not None:
        return
    if not asked.settings.recent.takes_requests or asked.org != org:
        return
    if asked.page(action.removeprefix(PAGE_ACTION), org=org).allowed:
        return
    reason = " ".join(str(st.session_state.get(_REASON) or "").split())[:REASON_LENGTH]
    request = Request(person=key, name=called(who) or key, action=action, org=org, reason=reason, at=time.time())
    if not asked.settings.recent.ask(request):
        st.session_state[_TURNED_AWAY] = True
        return
    if asked.settings.trail is not None:
        record = Record.of(
            asked.actor,
            at=request.at,
            event=Event.REQUEST,
            org=org,
            action=action,
            allowed=False,
            reason="requested",
            policy=asked.policy.version,
        )
        asked.settings.trail.tell(lambda: record)
