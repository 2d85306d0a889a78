"""The tab Refusals: what was refused lately, to whom, why, and what would change it now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard.app.admin import directory, grants, people, words
from stguard.app.screens import plain
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from stguard.app.admin.directory import Person
    from stguard.app.recent import Refusal
    from stguard.app.standing import Standing
    from stguard.policy import Policy

SHOWN: Final = 30
"""Most refusals drawn at once, the latest first."""


def draw(asked: Standing) -> None:
    """Draw the tab."""
    found = asked.settings.recent.refusals()
    if not found:
        st.info("Nothing was refused to anybody since the app was started.", icon=":material/check_circle:")
        return
    wanted = st.text_input(
        "Filter", key="stguard_admin_refused", placeholder="A person, a page or a permission", icon=":material/search:"
    )
    text = str(wanted or "").strip().casefold()
    shown = [each for each in found if not text or text in _label(asked, each, now=0.0).casefold()]
    st.caption("Kept in memory since the app was started. A line disappears when the app restarts.")
    known = {
        person.seen.key: person
        for person in directory.people(asked.policy, asked.settings.recent).values()
        if person.seen is not None
    }
    now = time.time()
    for number, each in enumerate(shown[:SHOWN]):
        with st.expander(plain(_label(asked, each, now=now)), icon=":material/block:"):
            _explain(asked, each, known.get(each.person), number=number)
    if len(shown) > SHOWN:
        st.caption(f"{len(shown) - SHOWN} more: filter for them above.")
    if not shown:
        st.caption("Nothing like that was refused.")


def _label(asked: Standing, each: Refusal, *, now: float) -> str:
    parts = [each.name, words.action_shown(each.action), words.org_shown(asked.policy, each.org)]
    parts.append(words.ago(each.at, now=now) + (f", {each.times} times" if each.times > 1 else ""))
    return " · ".join(part for part in parts if part)


def _explain(asked: Standing, each: Refusal, person: Person | None, *, number: int) -> None:
    if person is None or not explain(asked, person, each.action, each.org, key=f"refusal_{number}"):
        st.write(words.reason_shown(each.reason))
        people.ways(each.missing)


def explain(asked: Standing, person: Person, action: str, org: str | None, *, key: str) -> bool:
    """Draw why somebody may not do something, as the policy has it now, and the ways on.

    Args:
        asked: who asks.
        person: about whom.
        action: a permission or `page:NAME`.
        org: the org to ask in; None for none.
        key: tells the buttons apart.

    Returns:
        False, with nothing drawn, when the policy can't be asked that any more.
    """
    subject = person.subject(asked.policy)
    if subject is None or action not in people.actions_of(asked.policy):
        return False
    try:
        decision = asked.policy.decide(subject, action, org=org)
    except ConfigurationError:
        return False  # the policy has changed, and no longer knows the org
    if decision.allowed:
        st.success("They may by now.", icon=":material/check_circle:")
    else:
        people.answer(asked.policy, person, decision)
    with st.container(horizontal=True):
        if people.a_role_may_help(asked, decision):
            st.button(
                "Grant this…",
                key=f"stguard_admin_grant_{key}",
                on_click=_grant,
                args=(asked.policy, person.key, action, org),
                icon=":material/add:",
            )
        st.button(
            "Open this person",
            key=f"stguard_admin_open_{key}",
            on_click=_open,
            args=(person.key, action, org),
            icon=":material/person:",
        )
    return True


def _grant(policy: Policy, person: str, action: str, org: str | None) -> None:
    """Lead to the person, with a role that allows it filled in. Nothing is changed by it."""
    _open(person, action, org)
    grants.prefill(policy, action, org=org)


def _open(person: str, action: str, org: str | None) -> None:
    """Lead to the person, with the question already asked. Nothing is decided or changed by it."""
    st.session_state["stguard_admin_tab"] = "people"
    st.session_state[people.PERSON] = person
    st.session_state[people.ACTION] = action
    if org is not None:
        st.session_state[people.ORG] = org
