"""The active org: a wish that counts only where the subject is a member now."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app import private, state, wishes
from stguard.app.pictures import showable
from stguard.app.place import OURS, at
from stguard.app.screens import LOCK, UNAVAILABLE, one_line, plain
from stguard.app.standing import Standing, standing, standing_or_none
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from stguard.model import Membership

_WIDGET: Final = "stguard_org_selector"
"""Key of the selector's widget; its value is what the browser sent and decides nothing by itself."""

LINK_REFUSED: Final = "This link is for an organization you are not a member of."
NOT_A_MEMBER: Final = "You are not a member of this organization."
NOT_CHECKED: Final = "Your organizations could not be checked just now. Please try again in a moment."

_ROLES_SHOWN: Final = 2
"""Most roles that are named; the rest is counted."""


def org() -> Membership | None:
    """Return the active org, verified now: above the selector, in callbacks and in fragments too.

    None when nobody is signed in, when the policy has no orgs, when none is chosen, or when the one that is wished for
    (the selector, `st.session_state["stguard_org"]`, `?org=` in the address) is not among the memberships.
    """
    asked = standing()
    return asked.policy.membership(asked.subject, asked.org)


@at(OURS)
def org_selector(label: str = "Organization", *, container: DeltaGenerator | None = None) -> Membership | None:
    """Draw a selectbox of the subject's orgs and return the active one; the only org is chosen by itself.

    Put it above `navigation`, so that the menu obeys the choice in the same run. The choice lasts for the login: after
    a reload and in another tab the app begins with it, until this process ends; two tabs may work in two orgs.
    Where the active org's metadata holds a `logo_url` with https, the app's logo (`st.logo`) is that one.

    Args:
        label: the selectbox's label.
        container: where to draw; None for where the script is.

    Returns:
        The active org, verified; None when nobody is signed in, there is no org, or none is chosen yet.

    Raises:
        ConfigurationError: the policy has no orgs.
    """
    asked = standing_or_none()
    target = container if container is not None else st
    if asked is None:
        target.caption(UNAVAILABLE)
        return None
    if not asked.policy.multi_tenant:
        raise ConfigurationError(
            "org_selector() with a policy that has no `orgs`; add `orgs:` or leave the selector out"
        )
    if asked.subject is None:
        return None
    settle(asked)
    mine, active = asked.memberships(), asked.org
    here = asked.policy.membership(asked.subject, active)
    if here is not None and all(membership.org != active for membership in mine):
        # With `orgs: from_identity` a cross_org role holds in orgs that can't be listed.
        mine = (*mine, here)
    if not mine:
        unknown = "memberships" in asked.subject.unknown
        target.caption(NOT_CHECKED if unknown else "You are not a member of any organization.")
        return None
    # The widget shows the active org, whoever chose it; a value the browser invented does not survive this.
    st.session_state[_WIDGET] = active
    names = names_of(mine)
    target.selectbox(
        label,
        options=[membership.org for membership in mine],
        index=None if active is None else 0,  # without a default it could be emptied; the state above is what counts
        format_func=lambda org: names.get(org, org),
        key=_WIDGET,
        on_change=_choose,
        placeholder="Choose an organization",
    )
    if here is not None:
        _show_logo(here)
    return here


def _choose() -> None:
    # Runs before the script: everything in the run that follows sees the new wish. It is verified where it is read.
    st.session_state[wishes.ORG_WISH] = wish = st.session_state.get(_WIDGET)
    asked = standing()
    state.sweep(asked)
    if asked.subject is None:
        return
    org, kept = asked.org, asked.memo.wishes
    if org is None:
        if wish is not None:
            asked.memo.news.append(NOT_A_MEMBER)
        return
    _remember(asked, org)
    if wishes.IN_ADDRESS in st.query_params:
        st.query_params[wishes.IN_ADDRESS] = kept.address = org  # a reload must not bring the old one back


def settle(asked: Standing) -> None:
    """Drop what is kept for another org, tell what became of the active one, and let later sessions begin with it.

    It belongs before a page. SECURITY: where an org that was active until now is lost, everything is drawn anew: what
    was pressed for the lost one must not happen in the one that takes its place.
    """
    if private.in_callback(asked.ctx) or private.in_fragment_run(asked.ctx):
        return
    state.sweep(asked)
    if asked.subject is not None and asked.policy.multi_tenant:
        kept, here = asked.memo.wishes, asked.policy.membership(asked.subject, asked.org)
        if here is None:
            _explain_none(asked, kept)
        else:
            kept.begun = True
            kept.active = wishes.Active(here.org, name_of(here), frozenset(asked.subject.unknown))
            _remember(asked, here.org)
    _show_news(asked)


def _explain_none(asked: Standing, kept: wishes.Wishes) -> None:
    """Tell once why no org is active although one was, or is asked for by the address."""
    assert asked.subject is not None  # noqa: S101  `settle` asks for somebody only
    wish, unknown = asked.wish, frozenset(asked.subject.unknown)
    last, kept.active = kept.active, None
    if last is not None and wish == last.org:
        if asked.trouble is not None or unknown - last.unknown:
            asked.memo.news = [NOT_CHECKED]  # the wish stays, and is granted again once it can be checked
            return
        # A refusal that was told to a callback of this interaction has the same reason.
        asked.memo.notices, asked.memo.news = [], [f"You are no longer a member of {last.name}."]
        wishes.drop(kept)
        state.sweep(asked)
        st.rerun()
    elif wish is not None and wish == kept.address != kept.refused:
        kept.refused = kept.address
        asked.memo.news.append(NOT_CHECKED if asked.trouble is not None or "memberships" in unknown else LINK_REFUSED)
    elif wish is None:
        kept.begun = True


def _remember(asked: Standing, org: str) -> None:
    assert asked.subject is not None  # noqa: S101  nobody has no active org
    if asked.viewer is not None:
        return  # it is not for who looks to say where somebody begins
    wishes.remember(asked.subject, org, script=private.script_key(asked.ctx), wishes=asked.memo.wishes)


def _show_news(asked: Standing) -> None:
    """Draw what happened to the active org above the page, once."""
    news, asked.memo.news = asked.memo.news, []
    if news:
        with private.main_area():
            for text in dict.fromkeys(news):
                st.warning(plain(text), icon=LOCK)


def _show_logo(here: Membership) -> None:
    """Show the org's logo in the place of the app's: by https, or not at all. Its host learns who looks."""
    address = showable(here.metadata.get("logo_url"))
    if address is not None:
        st.logo(address, size="large")


# --- names -----------------------------------------------------------------------------------------------------------


def names_of(memberships: Sequence[Membership]) -> dict[str, str]:
    """Return a text for each org: its name, its id where two names look the same, and the roles held there."""
    shown = [name_of(membership) for membership in memberships]
    looks = Counter(map(_look, shown))
    return {
        membership.org: " · ".join(
            part
            for part in (
                _isolated(name) + (f" ({membership.org})" if looks[_look(name)] > 1 else ""),
                roles_shown(membership),
            )
            if part
        )
        for membership, name in zip(memberships, shown, strict=True)
    }


def name_of(membership: Membership) -> str:
    """Return the name of an org as it is shown, on one line; its id where nobody gave it a name."""
    return one_line(membership.name or "") or membership.org


def roles_shown(membership: Membership) -> str:
    """Return the roles held in an org as people read them; empty for none, or where they can't be known."""
    names = [_words(role) for role in membership.roles or ()]
    rest = len(names) - _ROLES_SHOWN
    return ", ".join(names[:_ROLES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _words(role: str) -> str:
    """Return a role's name as words: `org_admin` as `Org admin`."""
    words = re.sub(r"[_\-.:/]+", " ", one_line(role)).strip() or role
    return words[:1].upper() + words[1:]


def _look(name: str) -> str:
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", seen).casefold()


def _isolated(name: str) -> str:
    """Return a name that may be written from right to left, so that what follows keeps its place."""
    if any(unicodedata.bidirectional(letter) in {"R", "AL"} for letter in name):
        return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}"
    return name
