"""The active org: a wish that counts only where the subject is a member now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app import state
from stguard.app.place import OURS, at
from stguard.app.screens import UNAVAILABLE
from stguard.app.standing import ORG_WISH, Standing, standing, standing_or_none
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from stguard.model import Membership

_WIDGET: Final = "stguard_org_selector"
"""Key of the selector's widget; its value is what the browser sent and decides nothing by itself."""


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

    Put it above `navigation`, so that the menu obeys the choice in the same run.

    Args:
        label: the selectbox's label.
        container: where to draw; None for where the script is.

    Returns:
        The active org, verified; None when nobody is signed in, there is no org, or none is chosen yet.

    Raises:
        ConfigurationError: the policy has no orgs.
    """
    asked = standing_or_none()
    if asked is None:
        (container if container is not None else st).caption(UNAVAILABLE)
        return None
    if not asked.policy.multi_tenant:
        raise ConfigurationError(
            "org_selector() with a policy that has no `orgs`; add `orgs:` or leave the selector out"
        )
    if asked.subject is None:
        return None
    target = container if container is not None else st
    mine = asked.policy.memberships(asked.subject)
    if not mine:
        target.caption("You are not a member of any organization.")
        return None
    active = _active(asked, mine)
    if active is not None and all(membership.org != active for membership in mine):
        # With `orgs: from_identity` a cross_org role holds in orgs that can't be listed.
        here = asked.policy.membership(asked.subject, active)
        mine = (*mine, here) if here is not None else mine
    # The widget shows the active org, whoever chose it; a value the browser invented does not survive this.
    st.session_state[_WIDGET] = active
    names = _names(mine)
    target.selectbox(
        label,
        options=[membership.org for membership in mine],
        index=None if active is None else 0,  # without a default it could be emptied; the state above is what counts
        format_func=lambda org: names.get(org, org),
        key=_WIDGET,
        on_change=_remember,
        placeholder="Choose an organization",
    )
    return asked.policy.membership(asked.subject, active)


def _active(asked: Standing, mine: Sequence[Membership]) -> str | None:
    active = asked.org
    if active is None and len(mine) == 1:
        active = mine[0].org
    if active is not None:
        st.session_state[ORG_WISH] = active
    return active


def _remember() -> None:
    # Runs before the script: everything in the run that follows sees the new wish. It is verified where it is read.
    st.session_state[ORG_WISH] = st.session_state.get(_WIDGET)
    state.sweep(standing())


def _names(mine: Sequence[Membership]) -> dict[str, str]:
    """Return a text for each org; two orgs of one name show their ids as well."""
    shown = [membership.name or membership.org for membership in mine]
    return {
        membership.org: name if shown.count(name) == 1 else f"{name} ({membership.org})"
        for membership, name in zip(mine, shown, strict=True)
    }
