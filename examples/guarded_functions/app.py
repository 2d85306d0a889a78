# Situation 1: one decorator on whatever must be guarded: a page, a callback, a fragment, a dialog, a plain function.
#
# Try it:  stguard dev examples/guarded_functions/app.py
#
# `@sg.requires` asks at the moment of use. Streamlit runs callbacks before the script and fragments without it, so a
# check at the top of a page would not hold for them. Below `@st.fragment` and `@st.dialog` it asks on each of their
# runs.
import streamlit as st

import stguard as sg

ROWS = "quarter,revenue\nQ1,120\nQ2,150\n"


@sg.requires("report:export")
def export() -> None:
    """A callback: refused, nothing is written, and the person reads a plain sentence."""
    st.session_state["exported"] = ROWS


@st.fragment
@sg.requires("report:view")
def chart() -> None:
    """A fragment: it reruns alone, so it asks alone."""
    scale = st.slider("Scale", 1, 10, 5)
    st.bar_chart({"Q1": 120 * scale, "Q2": 150 * scale})


@st.dialog("Delete the report?")
@sg.requires(role="admin")
def delete() -> None:
    """A dialog: who opened it may have lost the role before pressing the button in it."""
    if st.button("Delete for good"):
        st.session_state["deleted"] = True
        st.rerun()


@sg.requires("report:edit", on_deny="raise")
def rename(title: str) -> str:
    """A plain function: raises AccessDenied, which is also a PermissionError."""
    return title.title()


@sg.requires("report:view")
def reports() -> None:
    """A page: its rule also decides whether the menu shows it."""
    st.title("Reports")
    chart()
    st.button("Export", on_click=export)
    if st.button("Delete"):
        delete()
    if "exported" in st.session_state:
        st.code(st.session_state["exported"])
    try:
        st.caption(rename("the first half of the year"))
    except sg.AccessDenied:
        st.caption("You may look, and not rename.")


sg.navigation([st.Page(reports, default=True)]).run()
