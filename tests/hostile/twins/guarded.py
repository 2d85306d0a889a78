"""The same app with stguard: no check in any page, and a policy."""

from __future__ import annotations

import streamlit as st

import stguard as sg
from tests.hostile.twins import parts


@st.fragment
def report() -> None:
    st.write(f"{parts.SECRET} in the report")


@sg.requires(role="admin", on_deny="hide")
def for_admins() -> None:
    """Stand around a fragment; directly above `st.fragment` it would be refused at once."""
    report()


def desk() -> None:
    st.title("Desk")
    for_admins()


def careful() -> None:
    @sg.requires(role="admin")
    def pressed() -> None:
        parts.effect("careful")

    st.title("Careful")
    st.button("Press", on_click=pressed)


def orgs() -> None:
    known = {"acme": parts.SECRET, "globex": parts.GLOBEX}
    active = sg.org()
    st.write(known[active.org] if active is not None else "no org")
    mine = ["acme"]
    st.selectbox("Org", mine, key="org", on_change=switched)


def switched() -> None:
    active = sg.org()
    parts.effect(f"switched to {active.org if active is not None else 'nothing'}")


@st.cache_data
def rows_of(_user: object) -> str:
    who = sg.subject()
    return f"rows of {who.email if who is not None else 'nobody'}"


def mine() -> None:
    st.title("Mine")
    st.write(rows_of(sg.subject()))


parts.header()
pages = [
    st.Page(parts.home, default=True),
    st.Page(desk),
    st.Page(careful),
    st.Page(orgs),
    st.Page(mine),
    st.Page(parts.broken),
    *(st.Page(page, url_path=page.__name__) for page in (parts.vault, parts.board, parts.files, parts.from_thread)),
    st.Page(lambda: st.write(f"{parts.SECRET} for admins"), url_path="payroll", title="Payroll", visibility="hidden"),
]
sg.navigation(pages).run()
