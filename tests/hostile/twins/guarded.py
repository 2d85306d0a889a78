"""The same app with stguard: no check in any page, and a policy."""

from __future__ import annotations

import streamlit as st

import stguard as sg
from tests.hostile.twins import parts
from tests.hostile.twins.routes import SECRET, effect


@st.fragment
def report() -> None:
    st.write(f"{SECRET} in the report")


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
        effect("careful")

    st.title("Careful")
    st.button("Press", on_click=pressed)


def orgs() -> None:
    active = sg.org()
    st.write(parts.OF_ORG[active.org] if active is not None else "no org")
    mine = ["acme"]
    st.selectbox("Org", mine, key="org", on_change=switched)
    st.radio("Team", mine, key="team", on_change=switched)
    st.multiselect("Units", mine, key="units", on_change=switched)


def active_org() -> str | None:
    active = sg.org()
    return active.org if active is not None else None


def switched() -> None:
    effect(f"switched to {active_org()}")


def shop() -> None:
    st.button("Close", on_click=lambda: effect(f"closed in {active_org()}"))


@sg.cache_data
def numbers_of(_org: str) -> str:
    """Forget the org in the key as the other twin does; who asks is in it anyway."""
    return parts.OF_ORG[_org]


def numbers() -> None:
    st.write(f"numbers of {numbers_of(str(active_org()))}")


def gate() -> None:
    parts.gate(lambda: sg.can(role="admin"))


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
    st.Page(numbers),
    st.Page(shop),
    st.Page(gate),
    st.Page(parts.broken),
    *(st.Page(page, url_path=page.__name__) for page in (parts.vault, parts.board, parts.files, parts.from_thread)),
    st.Page(lambda: st.write(f"{SECRET} for admins"), url_path="payroll", title="Payroll", visibility="hidden"),
]
st.session_state.pages = {page.url_path: page for page in pages}
sg.navigation(pages).run()
