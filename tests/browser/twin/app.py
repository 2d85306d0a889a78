"""A twin of the sample app as people write it by hand: it hides links, and checks at the top of a page."""

from __future__ import annotations

import streamlit as st

ADMINS = ("ann@acme.com",)
ROWS = "quarter,revenue\nQ1,120\n"

if not st.user.is_logged_in:
    st.button("Sign in", on_click=st.login)
    st.stop()


def home() -> None:
    st.title("Home")


def billing() -> None:
    st.title("Billing")
    st.write("Northwind Hosting")


def export() -> None:
    """Wrong on purpose: runs before the check below."""
    st.session_state["file"] = ROWS


def reports() -> None:
    st.title("Reports")
    st.button("Export", on_click=export)
    if "file" in st.session_state:
        st.download_button("Save it", st.session_state["file"])
    if st.user.email not in ADMINS:
        st.error("You may not export.")
        st.stop()


pages = [st.Page(home, default=True), st.Page(reports), st.Page(billing)]
current = st.navigation(pages, position="hidden")
with st.sidebar:
    st.page_link(pages[0])
    st.page_link(pages[1])
    if st.user.email in ADMINS:
        st.page_link(pages[2])
    st.button("Log out", on_click=st.logout)
current.run()
