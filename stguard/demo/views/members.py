"""List who works in the active org, and invite more from a guarded dialog."""

from __future__ import annotations

import streamlit as st

import stguard as sg
from stguard.demo import data
from stguard.demo.parts import active_org

org = active_org()


@st.dialog("Invite somebody")
@sg.requires("member:invite")
def invite() -> None:
    """Ask whom to invite; below `st.dialog`, the guard asks again on each interaction in it."""
    email = st.text_input("E-mail", placeholder="name@example.com")
    if st.button("Send", type="primary", icon=":material/send:", disabled="@" not in email):
        st.session_state["invited"] = email
        st.rerun()


title, action = st.columns([4, 1], vertical_alignment="bottom")
title.title("Members")
title.caption(f"People of {org.name or org.org}")
if sg.can("member:invite") and action.button("Invite", type="primary", icon=":material/person_add:", width="stretch"):
    invite()
if "invited" in st.session_state:
    st.toast(f"Invited {st.session_state.pop('invited')}", icon=":material/mark_email_read:")

people = data.members(org.org)
st.dataframe(
    people,
    hide_index=True,
    column_config={
        "name": st.column_config.TextColumn("Name"),
        "email": st.column_config.TextColumn("E-mail"),
        "team": st.column_config.TextColumn("Team"),
        "since": st.column_config.NumberColumn("Since", format="%d"),
    },
)
if not sg.can("member:invite"):
    st.caption(":material/visibility: You may see who is here, not invite anybody.")
