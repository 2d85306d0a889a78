"""As people write it by hand: a check at the top of each page, and of the script."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import streamlit as st

from tests.hostile.twins import parts
from tests.hostile.twins.routes import HERE, SECRET, effect

if TYPE_CHECKING:
    from collections.abc import Callable


def orgs_of_mine() -> dict[str, list[str]]:
    """Return the orgs of who is signed in with the roles there.

    Wrong on purpose: the file is read as it is at the moment, half of it where it is being written.
    """
    people: dict[str, dict[str, list[str]]] = json.loads((HERE / "people.json").read_text(encoding="utf-8"))
    who: dict[str, Any] = st.user.to_dict()
    mine = [who["email"], *(f"group:{group}" for group in who["groups"])]
    return {org: held for one in mine for org, held in people.get(one, {}).items()}


def roles() -> list[str]:
    return [role for held in orgs_of_mine().values() for role in held]


def only_admins(page: Callable[[], None]) -> Callable[[], None]:
    @functools.wraps(page)
    def checked() -> None:
        if "admin" not in roles():
            st.error("You don't have access to this.")
            st.stop()
        page()

    return checked


@only_admins
@st.fragment
def report() -> None:
    """Wrong on purpose: the check stands above the fragment."""
    st.write(f"{SECRET} in the report")


def desk() -> None:
    st.title("Desk")
    report()


def careful() -> None:
    """Wrong on purpose: `st.stop` in a callback ends the run."""

    def pressed() -> None:
        if "admin" not in roles():
            st.stop()
        effect("careful")

    st.title("Careful")
    st.button("Press", on_click=pressed)


def orgs() -> None:
    """Wrong on purpose: what the browser says is taken for what was chosen."""
    mine: list[str] = ["acme"]
    host = (urlsplit(st.context.url or "").hostname or "").partition(".")[0]
    by_address = host if host in parts.OF_ORG else None
    wish = st.session_state.get("org") or st.query_params.get("org") or by_address or mine[0]
    st.write(parts.OF_ORG[wish])
    st.selectbox("Org", mine, key="org", on_change=lambda: effect(f"switched to {st.session_state.org}"))
    st.radio("Team", mine, key="team", on_change=lambda: effect(f"switched to {st.session_state.team}"))
    st.multiselect("Units", mine, key="units", on_change=lambda: effect(f"switched to {st.session_state.units}"))


def shop() -> None:
    """Wrong on purpose: the callback takes the org of now, the check was made for the one before."""
    org = st.query_params.get("org", "")
    if "admin" not in orgs_of_mine().get(org, []):
        st.stop()
    st.button("Close", on_click=lambda: effect(f"closed in {st.query_params.get('org')}"))


@st.cache_data
def numbers_of(_org: str) -> str:
    """Wrong on purpose: an argument with an underscore is not in the key."""
    return parts.OF_ORG[_org]


def numbers() -> None:
    st.write(f"numbers of {numbers_of(next(iter(orgs_of_mine())))}")


def gate() -> None:
    parts.gate(lambda: "admin" in roles())


@st.cache_data
def rows_of(_user: object) -> str:
    """Wrong on purpose: an argument with an underscore is not in the key."""
    return f"rows of {st.user.email}"


def mine() -> None:
    st.title("Mine")
    st.write(rows_of(st.user))


if not st.user.is_logged_in:
    st.button("Log in", on_click=st.login)
    st.stop()

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
    *(
        st.Page(only_admins(page), url_path=page.__name__)
        for page in (parts.vault, parts.board, parts.files, parts.from_thread)
    ),
    # Wrong on purpose: a page that isn't in the menu is not closed.
    st.Page(lambda: st.write(f"{SECRET} for admins"), url_path="payroll", title="Payroll", visibility="hidden"),
]
st.session_state.pages = {page.url_path: page for page in pages}
st.navigation(pages).run()
