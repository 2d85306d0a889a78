# Situation 3: one app, several organizations, and roles that hold in one of them only.
#
# Try it:  stguard dev examples/many_orgs/app.py
#
# `sg.org_selector` offers the organizations of whoever is signed in. What the browser asks for is a wish: it counts
# only when the person is a member there now, and every later question is asked in that organization.
import streamlit as st

import stguard as sg

INVOICES = {"acme": {"AC-1": 1200, "AC-2": 300}, "globex": {"GX-1": 9000}}


def invoices() -> None:
    org = sg.org()
    if org is None:
        st.info("Choose one of your organizations to see its invoices.")
        return
    st.title(f"Invoices of {org.name or org.org}")
    for number, amount in INVOICES[org.org].items():
        left, right = st.columns(2)
        left.write(f"{number}: {amount} €")
        if sg.can("invoice:approve"):
            right.button("Approve", key=number)


with st.sidebar:
    sg.org_selector()
sg.user_menu()

sg.navigation([st.Page(invoices, default=True)]).run()
