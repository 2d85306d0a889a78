"""The tab Requests: who asked for access at a locked page, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import streamlit as st

from stguard.app.admin import directory, guarding, refusals, words
from stguard.app.admin.guarding import EDIT, editing, insist
from stguard.app.screens import plain

if TYPE_CHECKING:
    from stguard.app.recent import Request
    from stguard.app.standing import Standing


def draw(asked: Standing) -> None:
    """Draw the tab."""
    found = asked.settings.recent.requests()
    if not found:
        st.info("Nobody is waiting for access.", icon=":material/check_circle:")
    st.caption(
        "Whoever is refused at a page that the menu shows with a lock can ask for it. They wait for 30 days at most; "
        "where the app runs in a single process, until it restarts."
    )
    known = {
        person.seen.key: person
        for person in directory.people(asked.policy, asked.settings.recent).values()
        if person.seen is not None
    }
    now = time.time()
    for number, each in enumerate(found):
        parts = [each.name, words.action_shown(each.action), words.org_shown(asked.policy, each.org)]
        label = " · ".join(part for part in (*parts, words.ago(each.at, now=now)) if part)
        with st.expander(plain(label), icon=":material/mail:"):
            st.markdown(f"They wrote: {plain(each.reason)}" if each.reason else "They gave no reason.")
            person = known.get(each.person)
            if person is None or not refusals.explain(asked, person, each.action, each.org, key=f"request_{number}"):
                st.caption("They have not been seen for a while, or the policy has changed since.")
            if guarding.may_edit(asked):
                st.button(
                    "Take off the list",
                    key=f"stguard_admin_settle_{number}",
                    on_click=_settle,
                    args=(each,),
                    icon=":material/done:",
                )


@editing
def _settle(request: Request) -> None:
    insist(EDIT).settings.recent.settle(request)
