# Situation 4: `if sg.can("invoice:approve"):` around a button.
#
# Try it:  stguard dev examples/one_button/app.py
#
# `can` is for what people see; the guard on the callback is what holds. Hiding a button protects nothing by itself.
import streamlit as st

import stguard as sg

approved = st.session_state.setdefault("approved", set())


@sg.requires("invoice:approve")
def approve(number: str) -> None:
    approved.add(number)


def invoices() -> None:
    st.title("Invoices")
    for number in ("A-1", "A-2"):
        st.write(f"{number}: {'approved' if number in approved else 'waiting'}")
        if sg.can("invoice:approve") and number not in approved:
            st.button(f"Approve {number}", on_click=approve, args=[number])
    if not sg.can("invoice:approve"):
        st.caption("Somebody with the right to approve has to look at these.")


sg.navigation([st.Page(invoices, default=True)]).run()
