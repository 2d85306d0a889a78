"""See the app as a person or a role: the buttons that begin it. What holds meanwhile stands in `stguard.app.viewing`.

As a role it takes `policy:view`: who sees the policy can read there what a role opens. As a person it takes
`policy:edit` too: an app that picks what it shows by who asks (`sg.subject()`) shows what is that person's own.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.analysis.rolematrix import holder
from stguard.app import private, viewing
from stguard.app.admin import changes, grants, guarding, words
from stguard.app.admin.guarding import EDIT, VIEW, insist
from stguard.app.recent import key_of
from stguard.app.screens import VIEWING, one_line
from stguard.app.standing import refused, signing_in_keys
from stguard.errors import AccessDenied
from stguard.model import WhoKind

if TYPE_CHECKING:
    from stguard.app.admin.directory import Person
    from stguard.app.standing import Standing
    from stguard.model import Subject
    from stguard.policy import Policy

ROLE: Final = "stguard_admin_view_role"
ORG: Final = "stguard_admin_view_org"

_COMES_BACK: Final = ("stguard_admin_tab", "stguard_admin_person")
"""Keys of what was looked at on this page."""

_IMPOSSIBLE: Final = "The app can't be looked at as somebody else here."


def draw_person(asked: Standing, person: Person) -> None:
    """Draw the button for one person."""
    if _possible(asked) and guarding.may_edit(asked):
        st.button(
            "See the app as this person",
            key="stguard_admin_view_person",
            on_click=_start_person,
            args=(person.key,),
            icon=VIEWING,
        )


def draw_role(asked: Standing) -> None:
    """Draw the choice of a role and an org."""
    policy = asked.policy
    if not _possible(asked) or not policy.roles:
        return
    with st.expander("See the app as somebody with one role", icon=VIEWING):
        left, right = st.columns(2) if policy.multi_tenant else (st.container(), None)
        left.selectbox("Role", list(policy.roles), index=None, key=ROLE, placeholder="A role", format_func=one_line)
        if right is not None:
            right.selectbox(
                "Where",
                [each.org for each in asked.memberships()],
                index=None,
                key=ORG,
                format_func=lambda org: words.org_shown(policy, org),
                placeholder="One of your organizations",
            )
        st.button("See the app", key="stguard_admin_view_as_role", on_click=_start_role, icon=VIEWING)
        st.caption("You see what the role opens and you may see yourself. Nothing can be done meanwhile.")


def _possible(asked: Standing) -> bool:
    """Tell whether looking can be told of and kept from doing anything here."""
    who = asked.subject
    return (
        who is not None
        and who.impersonator is None
        and asked.viewer is None
        and key_of(who) is not None
        and asked.memo.navigates
        and asked.settings.hooks == "require"
    )


# --- what the buttons do ---------------------------------------------------------------------------------------------


def _start_person(key: str) -> None:
    asked = insist(EDIT)
    person = grants.find(key)
    subject = None if person is None else person.subject(asked.policy)
    if person is None or subject is None:
        changes.say("This account counts as nobody, so there is nothing to see.")
        return
    value = one_line(person.who.value)
    named = person.short if person.short == value else f"{person.short} ({value})"
    target = viewing.Target(
        id=_id_of(person, subject), shown=named, make=person.subject, needs=(viewing.SEEING, viewing.EDITING)
    )
    _start(asked, target)


def _id_of(person: Person, subject: Subject) -> str:
    if person.seen is not None and subject.id is not None:
        return subject.id
    return person.who.value if person.who.kind is WhoKind.SUB else viewing.account(person.who.value)


def _start_role() -> None:
    asked = insist(VIEW)
    policy, role, org = asked.policy, st.session_state.get(ROLE), st.session_state.get(ORG)
    if role not in policy.roles:
        changes.say("Choose a role first.")
        return
    if not policy.multi_tenant or all(each.org != org for each in asked.memberships()):
        org = None  # SECURITY: the browser says which; it is none where who looks isn't a member
    if policy.multi_tenant and org is None and not policy.parts.roles[role].cross_org:
        changes.say(f"The role {one_line(role)} counts in one organization only; choose which.")
        return
    where = "" if org is None else f" in {org}"
    named = "" if org is None else f" in {words.org_shown(policy, org)}"
    target = viewing.Target(
        id=f"role {role}{where}",
        shown=f"somebody with only the role {one_line(role)}{named}",
        make=partial(_with_role, role, org),
        needs=(viewing.SEEING,),
        org=org,
    )
    _start(asked, target)


def _with_role(role: str, org: str | None, policy: Policy) -> Subject | None:
    """Return somebody with one role; None where the policy no longer knows it, or the org."""
    known = org is None or policy.parts.orgs_from_identity or org in policy.orgs
    return holder(policy.parts, role, org) if role in policy.roles and known else None


def _start(asked: Standing, target: viewing.Target) -> None:
    who, ctx, page = asked.subject, private.context(), st.session_state.get(changes.PAGE)
    if not _possible(asked) or who is None or ctx is None:
        raise AccessDenied(refused(target.needs[-1]))
    view = viewing.View(target, who, at=time.time(), page=page if isinstance(page, str) else "")
    if view.subject(asked.policy, who, at=view.begun) is None:
        changes.say(_IMPOSSIBLE)
        return
    viewing.begin(ctx, asked.memo, view, stays=signing_in_keys(ctx))
    view.kept |= {key: st.session_state[key] for key in _COMES_BACK if key in st.session_state}
    asked.report_view(view, who, begins=True)
