"""What several pages of the sample app share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

import stguard as sg

if TYPE_CHECKING:
    from stguard.model import Membership


def active_org() -> Membership:
    """Return the active org, or ask for one and end the run: a role that holds everywhere opens pages without one."""
    org = sg.org()
    if org is None:
        st.info("Choose an organization in the sidebar.", icon=":material/domain:")
        st.stop()
    return org
