"""The tab Access: what each role allows, who may do one thing, who was given what, and what changes nothing."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.analysis import EntangledError, Leftover, holders, leftovers, role_matrix
from stguard.analysis.rolematrix import Share
from stguard.app.admin import tables, viewas, words
from stguard.app.admin.people import YES, actions_of
from stguard.app.screens import one_line, plain
from stguard.model import PAGE_ACTION

if TYPE_CHECKING:
    from stguard.analysis.rolematrix import RoleRow
    from stguard.app.standing import Standing
    from stguard.policy import Policy

MANY: Final = 10_000
"""Assignments from which looking for what changes nothing takes long enough to be asked for."""

MANY_PERIODS: Final = 300
"""Assignments for a time from which it does: each begins and ends at moments of its own."""

_MARKS: Final = {Share.ALL: YES, Share.SOME: "in some", Share.NONE: ""}


def draw(asked: Standing) -> None:
    """Draw the tab."""
    _matrix(asked.policy)
    viewas.draw_role(asked)
    _holders(asked.policy)
    _given(asked.policy)
    _leftovers(asked.policy)


@lru_cache(maxsize=4)
def _rows(policy: Policy, org: str | None) -> dict[str, RoleRow]:
    return role_matrix(policy, org=org)


def _matrix(policy: Policy) -> None:
    st.subheader("What each role allows", anchor=False)
    if not policy.roles:
        st.caption("The policy has no roles.")
        return
    left, right = st.columns(2) if policy.multi_tenant and policy.orgs else (st.container(), None)
    wanted = left.text_input(
        "Filter", key="stguard_admin_filter", placeholder="A role, a page or a permission", icon=":material/search:"
    )
    org = None
    if right is not None:
        org = right.selectbox(
            "Where",
            list(policy.orgs),
            index=None,
            format_func=lambda each: words.org_shown(policy, each),
            key="stguard_admin_matrix_org",
            placeholder="All organizations",
        )
        org = org if org in policy.orgs else None
    rows = _rows(policy, org)
    names = {words.action_shown(PAGE_ACTION + page): ("pages", page) for page in policy.page_names}
    names |= {words.action_shown(each): ("permissions", each) for each in policy.permissions}
    roles = list(rows)
    if text := str(wanted or "").strip().casefold():
        some_roles = [role for role in roles if text in role.casefold()]
        some_names = {shown: what for shown, what in names.items() if text in shown.casefold()}
        roles, names = some_roles or (roles if some_names else []), some_names or (names if some_roles else {})
    if not names or not roles:
        st.caption("Nothing by that name.")
        return
    tables.matrix(
        list(names),
        {one_line(role): [_MARKS[getattr(rows[role], kind)[name]] for kind, name in names.values()] for role in roles},
    )
    st.caption("For somebody who holds that role and nothing else." + (
        " “in some”: in some organizations only." if policy.multi_tenant and org is None else ""))  # fmt: skip


def _holders(policy: Policy) -> None:
    st.subheader("Who may?", anchor=False)
    actions = actions_of(policy)
    action = st.selectbox(
        "Who may open or do this",
        actions,
        index=None,
        format_func=words.action_shown,
        key="stguard_admin_who",
        placeholder="A page or a permission",
        label_visibility="collapsed",
    )
    if action not in actions:
        return
    try:
        found = holders(policy, action, at=time.time())
    except EntangledError as error:
        st.error(f"Who may can't be told: {plain(str(error))}", icon=":material/error:")
        return
    if not found:
        st.info("Nobody may.")
        return
    rows = [
        {
            "Who": words.key_shown(each.who),
            "Where": words.org_shown(policy, each.org),
            "Because": one_line(each.because.replace("`", "")),
        }
        for each in found
    ]
    tables.rows(rows)


def _given(policy: Policy) -> None:
    st.subheader("Who was given which role", anchor=False)
    if not policy.parts.assignments:
        st.caption("The policy gives no role to anybody. Roles may still come with the sign-in.")
        return
    now = time.time()
    rows = [
        {
            "Who": words.who_shown(each.who),
            "Role": one_line(each.role),
            "Where": words.org_shown(policy, each.org),
            "From": words.moment_shown(each.since),
            "Ends": words.moment_shown(each.until) + (" (ended)" if each.until and each.until <= now else ""),
            "Reason": one_line(each.reason or ""),
        }
        for each in policy.parts.assignments
    ]
    tables.rows(rows)


@lru_cache(maxsize=2)
def _found(policy: Policy, day: int) -> tuple[Leftover, ...]:
    del day  # what has ended is found the day after at the latest
    return leftovers(policy, at=time.time())


def _leftovers(policy: Policy) -> None:
    st.subheader("What changes nothing", anchor=False)
    assignments = policy.parts.assignments
    periods = sum(each.since is not None or each.until is not None for each in assignments)
    if (len(assignments) > MANY or periods > MANY_PERIODS) and not st.button(
        "Look for it", key="stguard_admin_leftovers", icon=":material/search:"
    ):
        st.caption("Looking through a policy of this size can take a minute.")
        return
    with st.spinner("Looking…"):
        try:
            found = _found(policy, int(time.time() // 86400))
        except EntangledError as error:
            st.error(f"What changes nothing can't be told: {plain(str(error))}", icon=":material/error:")
            return
    if not found:
        st.caption("Nothing. Every line of the policy has an effect.")
        return
    st.caption("These parts of the policy could go without anybody noticing.")
    st.markdown("\n".join(f"- {plain(each.text.replace('`', ''))}" for each in found))
