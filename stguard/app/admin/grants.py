"""Give a role to somebody and take one away: forms that end in a change to look at before it is saved."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from stguard import edits
from stguard.analysis import role_matrix
from stguard.analysis.rolematrix import Share
from stguard.app.admin import changes, directory, words
from stguard.app.admin.guarding import VIEW, editing, insist
from stguard.app.screens import one_line
from stguard.model import EVERY_ORG, PAGE_ACTION

if TYPE_CHECKING:
    from stguard.app.admin.directory import Person
    from stguard.app.standing import Standing
    from stguard.model import Assignment
    from stguard.policy import Policy

TAB: Final = "people"
ROLE: Final = "stguard_admin_grant_role"
ORG: Final = "stguard_admin_grant_org"
UNTIL: Final = "stguard_admin_grant_until"
REASON: Final = "stguard_admin_grant_reason"
OPEN: Final = "stguard_admin_grant_open"
REVOKED: Final = "stguard_admin_revoke"

KEPT: Final = (ROLE, ORG, UNTIL, REASON, REVOKED)
"""Keys whose values stay while a change is looked at, or another tab."""

_FIRST: Final = date(1000, 1, 1)
"""The first day that every supported Streamlit writes with a year of four digits: 1.57 doesn't for earlier ones."""

_LAST: Final = date(9998, 12, 31)
"""The last day after which there is another one anywhere on earth."""

_LONGEST: Final = 200
"""Longest reason, in characters."""


def draw(asked: Standing, person: Person) -> None:
    """Draw the forms for one person."""
    policy = asked.policy
    with st.expander("Give a role", icon=":material/add:", expanded=bool(st.session_state.get(OPEN))):
        _give(policy, person)
    given = given_to(policy, person)
    if given:
        with st.expander("Take a role away", icon=":material/remove:"):
            _take(policy, person, given)


def _give(policy: Policy, person: Person) -> None:
    if not policy.roles:
        st.caption("The policy has no roles to give. Add some in the tab Policy.")
        return
    with st.form("stguard_admin_grant", border=False, enter_to_submit=False):
        left, right = st.columns(2)
        left.selectbox("Role", list(policy.roles), index=None, key=ROLE, placeholder="A role", format_func=one_line)
        if policy.multi_tenant:
            right.selectbox(
                "Where",
                orgs_of(policy),
                index=None,
                key=ORG,
                format_func=lambda org: words.org_shown(policy, org),
                placeholder="An organization",
                accept_new_options=policy.parts.orgs_from_identity,
            )
        # SECURITY, STREAMLIT 1.67: a day outside of the limits becomes none, which would be a role without end; with
        # `min_value="today"` also one chosen before midnight. What has passed is refused by the edit, in words.
        left.date_input("Last day (leave empty for no end)", value=None, key=UNTIL, min_value=_FIRST, max_value=_LAST)
        right.text_input("Reason", key=REASON, max_chars=_LONGEST, placeholder="A ticket, a name")
        st.form_submit_button("Show what this changes", type="primary", on_click=_propose_grant, args=(person.key,))


def orgs_of(policy: Policy) -> list[str]:
    """Return where a role can be given."""
    some = {each.org for each in policy.parts.assignments if each.org} if policy.parts.orgs_from_identity else ()
    every = [EVERY_ORG] if any(role.cross_org for role in policy.parts.roles.values()) else []
    return [*policy.orgs, *sorted(set(some) - {EVERY_ORG}), *every]


@editing
def _propose_grant(key: str) -> None:
    """Work out what giving the role would change. What the browser sent is checked once more where it is written."""
    policy = insist(VIEW).policy
    person = find(key)
    role, org = st.session_state.get(ROLE), st.session_state.get(ORG) if policy.multi_tenant else None
    st.session_state[OPEN] = True
    if person is None or role not in policy.roles:
        changes.say("Choose a role first.")
        return
    if policy.multi_tenant and not org:
        changes.say("Choose where the role counts first.")
        return
    if policy.multi_tenant and org == EVERY_ORG and not policy.parts.roles[role].cross_org:
        changes.say(f"The role {role} counts in one organization only; choose which.")
        return
    day = st.session_state.get(UNTIL)
    until = end_of(day) if isinstance(day, date) else None
    reason = one_line(str(st.session_state.get(REASON) or ""))[:_LONGEST]
    where = f" in {words.org_shown(policy, str(org))}" if org else ""
    last = f", up to and including {day:%Y-%m-%d}" if isinstance(day, date) else ", without end"
    grant = edits.Grant(
        person=edits.Person.read(person.key), role=str(role), org=org, until=until, reason=reason or None
    )
    changes.propose(
        TAB,
        f"{person.label} gets the role {one_line(str(role))}{where}{last}",
        grant,
        clears=(ROLE, ORG, UNTIL, REASON, OPEN),
    )


def end_of(day: date) -> datetime:
    """Return the first moment after a day, where who asks is; in UTC where that isn't known."""
    zone: tzinfo = UTC
    name = st.context.timezone
    if isinstance(name, str):
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zone = UTC  # the browser says what it likes
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=zone).astimezone(UTC)


def given_to(policy: Policy, person: Person) -> list[Assignment]:
    """Return the assignments that name exactly this person, not those of their domain or groups."""
    return [each for each in policy.parts.assignments if each.who == person.who]


def _take(policy: Policy, person: Person, given: list[Assignment]) -> None:
    ids = {each.id: each for each in given}
    with st.form("stguard_admin_take", border=False, enter_to_submit=False):
        st.selectbox(
            "Role",
            list(ids),
            index=None,
            key=REVOKED,
            placeholder="A role",
            format_func=lambda name: _shown(policy, ids[name]) if name in ids else str(name),
        )
        st.form_submit_button("Show what this changes", type="primary", on_click=_propose_revoke, args=(person.key,))
    st.caption("Roles that come through a domain, a group or the sign-in can't be taken from one person here.")


def _shown(policy: Policy, each: Assignment) -> str:
    where = f" in {words.org_shown(policy, each.org)}" if each.org is not None else ""
    since = f", from {words.moment_shown(each.since)}" if each.since is not None else ""
    until = f", until {words.moment_shown(each.until)}" if each.until is not None else ""
    reason = f" ({one_line(each.reason)})" if each.reason else ""
    return f"{one_line(each.role)}{where}{since}{until}{reason}"


@editing
def _propose_revoke(key: str) -> None:
    policy = insist(VIEW).policy
    person = find(key)
    chosen = st.session_state.get(REVOKED)
    each = next((one for one in given_to(policy, person) if one.id == chosen), None) if person is not None else None
    if person is None or each is None:
        changes.say("Choose the role to take away first.")
        return
    revoke = edits.Revoke(person=edits.Person.read(person.key), role=each.role, org=each.org, id=each.id)
    where = f" in {words.org_shown(policy, each.org)}" if each.org is not None else ""
    changes.propose(TAB, f"{person.label} loses the role {one_line(each.role)}{where}", revoke, clears=(REVOKED,))


def find(key: str) -> Person | None:
    """Return a person by their key; somebody unknown by an e-mail alone, None for anything else."""
    asked = insist(VIEW)
    known = directory.people(asked.policy, asked.settings.recent)
    return known.get(key) or directory.typed(key.removeprefix("email:"))


def suggested(policy: Policy, action: str, *, org: str | None) -> str | None:
    """Return the role that allows an action and as little else as possible; None when no role alone does."""
    kind = "pages" if action.startswith(PAGE_ACTION) else "permissions"
    name = action.removeprefix(PAGE_ACTION)
    rows = role_matrix(policy, org=org)
    found = [role for role, row in rows.items() if getattr(row, kind).get(name, Share.NONE) is not Share.NONE]

    def size(role: str) -> tuple[bool, int]:
        row = rows[role]
        marks = (*row.pages.values(), *row.permissions.values())
        return policy.parts.roles[role].cross_org, sum(mark is not Share.NONE for mark in marks)

    return min(found, key=size, default=None)


def prefill(policy: Policy, action: str, *, org: str | None) -> None:
    """Fill the form in with a role that allows an action. Nothing is changed by it."""
    st.session_state[OPEN] = True
    role = suggested(policy, action, org=org)
    if role is not None:
        st.session_state[ROLE] = role
        if org is not None and policy.multi_tenant:
            st.session_state[ORG] = org
