"""Run the sample app: two organizations, six pages, and a policy that decides who sees and does what."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import stguard as sg

ASSETS = Path(__file__).parent / "assets"

st.set_page_config(page_title="Meridian", page_icon=str(ASSETS / "mark.svg"), layout="wide")
st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "mark.svg"))

# Begin in Acme: a wish, which counts for members of Acme only, and gives way to what a person chooses.
sg.configure(identity=lambda _claims: sg.Facts(active_org="acme"))
with st.sidebar:
    sg.org_selector()

page = sg.navigation(
    {
        "": [
            st.Page("views/home.py", title="Home", icon=":material/home:", default=True),
            st.Page("views/reports.py", title="Reports", icon=":material/monitoring:"),
            st.Page("views/billing.py", title="Billing", icon=":material/receipt_long:"),
            st.Page("views/status.py", title="Status", icon=":material/vital_signs:"),
        ],
        "Admin": [
            st.Page("views/members.py", title="Members", icon=":material/group:"),
            st.Page("views/settings.py", title="Settings", icon=":material/tune:"),
            sg.admin_page(),
        ],
    }
)

if sg.subject() is not None:
    sg.user_menu()

page.run()
