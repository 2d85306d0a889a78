"""As people write it by hand: a check at the top of each page, and of the script."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import streamlit as st

from tests.hostile.twins import parts

if TYPE_CHECKING:
    from collections.abc import Callable


def roles() -> list[str]:
    """Return the roles of who is signed in, from a file that is read each time."""
    people: dict[str, list[str]] = json.loads((parts.HERE / "people.json").read_text(encoding="utf-8"))
    return people.get(str(st.user.email), [])


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
    st.write(f"{parts.SECRET} in the report")


def desk() -> None:
    st.title("Desk")
    report()


def careful() -> None:
    """Wrong on purpose: `st.stop` in a callback ends the run."""

    def pressed() -> None:
        if "admin" not in roles():
            st.stop()
        parts.effect("careful")

    st.title("Careful")
    st.button("Press", on_click=pressed)


def orgs() -> None:
    """Wrong on purpose: what the browser says is taken for what was chosen."""
    known = {"acme": parts.SECRET, "globex": parts.GLOBEX}
    mine = ["acme"]
    wish = st.session_state.get("org") or st.query_params.get("org") or mine[0]
    st.write(known[wish])
    st.selectbox("Org", mine, key="org", on_change=lambda: parts.effect(f"switched to {st.session_state.org}"))


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
    st.Page(parts.broken),
    *(
        st.Page(only_admins(page), url_path=page.__name__)
        for page in (parts.vault, parts.board, parts.files, parts.from_thread)
    ),
    # Wrong on purpose: a page that isn't in the menu is not closed.
    st.Page(lambda: st.write(f"{parts.SECRET} for admins"), url_path="payroll", title="Payroll", visibility="hidden"),
]
st.navigation(pages).run()
