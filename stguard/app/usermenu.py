"""Who is signed in, as what and where: `user_menu`.

SECURITY: what came with the claims is shown as plain text. A picture is shown only from an address that
`pictures.showable` lets through, and never to whoever acts as another person: its host would learn who looks.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app import private
from stguard.app.orgs import name_of, roles_shown
from stguard.app.pictures import showable
from stguard.app.place import OURS, at
from stguard.app.screens import SIGN_IN, UNAVAILABLE, VIEWING, one_line, plain, providers, start_sign_in
from stguard.app.standing import FAILED, standing_or_none

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from stguard.app.standing import Standing
    from stguard.model import Subject

_PERSON: Final = ":material/account_circle:"
_ACTS_AS: Final = ":material/supervisor_account:"

_LABEL: Final = 24
"""Longest name on the button that opens the menu; the menu has all of it."""

_AVATAR: Final = (
    '<div aria-hidden="true" style="position:relative;width:40px;height:40px;border-radius:50%;overflow:hidden;'
    'background:#64748b;color:#fff;font-size:15px;font-weight:600;line-height:40px;text-align:center">{}{}</div>'
)
"""Initials, readable on light and on dark pages, and what lies over them."""

_PICTURE: Final = '<div style="position:absolute;inset:0;background:center/cover url(&quot;{}&quot;)"></div>'
"""As a background, a picture that can't be had leaves the initials to be seen."""


@at(OURS)
def user_menu(*, container: DeltaGenerator | None = None, picture: bool = True) -> None:
    """Draw who is signed in: picture, name, e-mail, the active org and the roles held there, and a way to log out.

    To who is not signed in it offers the ways to sign in. Outside the sidebar it is a button that opens all this, for
    the right end of a page's first line: `sg.user_menu(container=st.container(horizontal_alignment="right"))`.

    Args:
        container: where to draw; None for the sidebar.
        picture: show the picture whose address came with the claims, by https only. Its host learns the address of
            whoever looks; False shows the initials instead.
    """
    target = container if container is not None else st.sidebar
    asked = standing_or_none()
    with target:
        if asked is None or (asked.view is not None and asked.view.ended is not None):
            st.caption(UNAVAILABLE)
        elif asked.subject is None:
            if private.sign_in_failed(asked.ctx):
                st.caption(FAILED)
            _ways_in(wide=private.in_sidebar(target))
        elif private.in_sidebar(target):
            _shows(asked, asked.subject, picture=picture)
        else:
            icon = (
                ":material/supervisor_account:"
                if asked.subject.impersonator is not None
                else ":material/account_circle:"
            )
            name = _name(asked.subject)
            with st.popover(plain(name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"), icon=icon):
                _shows(asked, asked.subject, picture=picture)


def _shows(asked: Standing, who: Subject, *, picture: bool) -> None:
    name, actor = _name(who), who.impersonator
    if asked.view is not None:
        st.warning(f"You see the app as {plain(asked.view.target.shown)}.", icon=VIEWING)
    elif actor is not None:
        st.warning(
            f"You are acting as {plain(name)}. Signed in as {plain(actor)}.", icon=":material/supervisor_account:"
        )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        # STREAMLIT 1.67: `st.image` lays buttons over a picture this small.
        st.html(_avatar(showable(who.picture) if picture and actor is None else None, name=name), width="content")
        with st.container(gap=None):
            st.markdown(f"**{plain(name)}**")
            if who.email and who.email != name:
                st.caption(plain(who.email))
    here = asked.policy.membership(who, asked.org)
    if here is not None:
        st.caption(plain(" · ".join(part for part in (name_of(here), roles_shown(here)) if part)))
    if asked.by_session:
        return  # signing out is for the script
    st.button("Log out", key="stguard_logout", on_click=st.logout, icon=":material/logout:", width="stretch")


def _ways_in(*, wide: bool) -> None:
    found = providers()
    if not found:
        st.caption("Not signed in")
    for provider in found:
        st.button(
            provider.label if len(found) > 1 else "Sign in",
            key=f"stguard_login_menu_{provider.name or ''}",
            on_click=start_sign_in,
            args=(provider.name,),
            icon=SIGN_IN,
            width="stretch" if wide else "content",
        )


def _name(who: Subject) -> str:
    return one_line(who.name or "") or who.email or "Signed in"


def _avatar(address: str | None, *, name: str) -> str:
    """Return a round picture as HTML: the initials of the first and the last word, under the picture at an address.

    SECURITY: the only HTML that is made of what came with the claims; Streamlit cleans it once more. An address that
    `showable` returned holds neither a quote `"` nor a backslash, so it can't leave its place in the style.
    """
    words = [word for word in name.partition("@")[0].replace(".", " ").split() if word[0].isalpha()]
    initials = "".join(word[0] for word in (*words[:1], *words[1:][-1:])).upper() or "\N{BUST IN SILHOUETTE}"
    return _AVATAR.format(escape(initials), "" if address is None else _PICTURE.format(escape(address)))
