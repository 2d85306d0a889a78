"""A page that signs out whoever opens it, for the log-out button of pages that a provider hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from stguard.app.private import StreamlitPage


def logout_page(*, url_path: str = "logout") -> StreamlitPage:
    """Make the page to which a provider's own log-out button sends the browser: opening it signs out here.

    List it in `sg.navigation` and give it the rule `signed_in`; it stays out of the menu. Who isn't signed in gets the
    sign-in page at its address.

    SECURITY: another site can send a browser here, and so sign somebody out. It gains nothing by that, and a provider's
    log-out button can send no more than an address.

    Args:
        url_path: its address, as the provider's settings have it.
    """
    return st.Page(st.logout, title="Log out", url_path=url_path, visibility="hidden")
