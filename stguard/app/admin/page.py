"""The frame of the admin page: who may open it, its tabs, and what stands above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app import private, screens
from stguard.app.admin import (
    access,
    approvals,
    changes,
    editor,
    grants,
    guarding,
    history,
    people,
    refusals,
    requests,
    seconds,
)
from stguard.app.guard import requires
from stguard.app.place import here_in
from stguard.app.private import StreamlitPage
from stguard.app.standing import Standing, standing, standing_or_none
from stguard.errors import ConfigurationError, quote
from stguard.model import Reason
from stguard.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

TAB: Final = "stguard_admin_tab"
"""Key of the choice of the tab."""

_NOT_EVERYWHERE: Final = (
    "This page is about all organizations at once. It opens only with a role that counts in every organization."
)

_TABS: Final[dict[str, tuple[str, Callable[[Standing], None]]]] = {
    "people": (":material/group: People", people.draw),
    "access": (":material/grid_on: Access", access.draw),
    "policy": (":material/description: Policy", editor.draw),
    "history": (":material/history: History", history.draw),
    "refusals": (":material/block: Refusals", refusals.draw),
    "requests": (":material/mail: Requests", requests.draw),
    approvals.TAB: (":material/how_to_reg: Approvals", approvals.draw),
}


def admin_page(
    title: str = "Access control",
    *,
    icon: str = ":material/admin_panel_settings:",
    url_path: str = "admin",
    approval: bool = False,
) -> StreamlitPage:
    """Return a page on which admins see who may do what and why, and change it; to be listed in `navigation`.

    Seeing it takes the built-in permission `policy:view`, changing anything `policy:edit`; a policy grants them like
    any others (`allow: "policy:*"`). The policy is one for all orgs, so in a multi-tenant app both count only through a
    `cross_org` role. What the policy says about the page itself, if anything, must hold besides.

    Args:
        title: its title in the menu and at its top.
        icon: its icon.
        url_path: its address; also its name in the policy.
        approval: whether a change made here counts only when a second person who may edit the policy approves it.
            Who can write the policy's files on the server needs nobody.

    Raises:
        ConfigurationError: called outside a script run, or while a page runs, where it would draw nothing.
    """
    ctx = private.context()
    inside = None if ctx is None else here_in(ctx).page
    if inside is not None:
        raise ConfigurationError(
            f"admin_page() was called inside page {quote(inside)}; it makes a page of its own: list it in the entry "
            "script, sg.navigation([..., sg.admin_page()]).run()"
        )

    @requires("policy:view")
    def draw() -> None:
        st.session_state[changes.PAGE] = url_path
        _draw(title)

    asked = standing_or_none()
    if asked is not None:
        asked.settings.recent.takes_requests = True
        if approval:
            seconds.require(asked)
    opens = asked is not None and guarding.may_view(asked).allowed
    page = st.Page(draw, title=title, icon=icon, url_path=url_path, visibility="visible" if opens else "hidden")
    if not isinstance(page, StreamlitPage):
        raise ConfigurationError("admin_page() could not make a page")
    return page


def _draw(title: str) -> None:
    asked = standing()
    decision = guarding.may_view(asked)
    asked.report(decision)
    st.title(title, anchor=False)
    if not decision.allowed:
        everywhere = asked.policy.multi_tenant and decision.reason in {Reason.NO_ORG, Reason.UNKNOWN}
        st.error(_NOT_EVERYWHERE if everywhere else screens.NOT_ALLOWED, icon=screens.LOCK)
        return
    _state_of_policy(asked)
    waiting = seconds.count(asked)
    tabs = [key for key in _TABS if key != approvals.TAB or waiting or seconds.are_required(asked)]
    chosen = st.segmented_control(
        "What to look at",
        tabs,
        format_func=lambda key: _TABS[key][0] + (f" ({waiting})" if key == approvals.TAB and waiting else ""),
        default="people",
        key=TAB,
        label_visibility="collapsed",
    )
    _keep()
    tab = chosen if chosen in tabs else "people"
    if changes.pending(tab) is None:
        changes.draw_said()
    _TABS[tab][1](asked)


def _keep() -> None:
    """Keep what was chosen and typed in the tabs that aren't drawn now.

    STREAMLIT 1.67: the value of a widget that isn't drawn in a run is forgotten, unless it is set anew.
    """
    for key in (*people.KEPT, *grants.KEPT):
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]


def _state_of_policy(asked: Standing) -> None:
    """Say what keeps the page from editing. Errors in the files stand above every page already."""
    store = asked.settings.store
    if isinstance(store, Policy):
        st.info("The policy of this app is built by its code, so it can be looked at here but not changed.")
    elif changes.place_of(asked) is None:
        st.info("The policy of this app is published elsewhere, so it can be looked at here but not changed.")
    elif not guarding.may_edit(asked):
        st.caption("You can look at everything here. Changing it takes the permission `policy:edit`.")
