"""The tab People: one person, everything they may do, and why not the rest."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import engine
from stguard.app.admin import changes, directory, grants, guarding, tables, viewas, words
from stguard.app.screens import one_line, plain
from stguard.model import PAGE_ACTION, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stguard.app.admin.directory import Person
    from stguard.app.standing import Standing
    from stguard.model import Decision, Subject
    from stguard.policy import Policy

PERSON: Final = "stguard_admin_person"
"""Key of the choice of a person."""

ACTION: Final = "stguard_admin_action"
"""Key of the choice of what is asked about."""

ORG: Final = "stguard_admin_org"
"""Key of the choice of the org that is asked in."""

KEPT: Final = (PERSON, ACTION, ORG)
"""Keys whose values stay while another tab is looked at."""

LISTED: Final = 200
"""Most people in the list; the search finds the others too."""

COLUMNS: Final = 8
"""Most orgs side by side."""

YES: Final = "✓"


def draw(asked: Standing) -> None:
    """Draw the tab."""
    waiting = changes.pending(grants.TAB)
    if waiting is not None and guarding.may_edit(asked):
        changes.draw(asked, waiting)
        return
    known = directory.people(asked.policy, asked.settings.recent)
    chosen = st.selectbox(
        "Person",
        list(known),
        index=None,
        format_func=lambda key: known[key].label if key in known else str(key),
        key=PERSON,
        placeholder="Search by name, e-mail or id, or type a new e-mail",
        accept_new_options=True,
        label_visibility="collapsed",
    )
    if chosen is None:
        _list(asked, known)
        return
    # SECURITY: the browser says who was chosen; whoever isn't known is taken for an e-mail, or for nobody.
    person = known.get(chosen) or directory.typed(str(chosen))
    if person is None:
        st.info("Nobody by that name has signed in yet. Type their whole e-mail address to look at them anyway.")
        return
    _person(asked, known.get(person.key, person))


def _list(asked: Standing, known: Mapping[str, Person]) -> None:
    now = time.time()
    shown = list(known.values())[:LISTED]
    rows = [
        {
            "Name": one_line(person.name or ""),
            "Account": one_line(person.who.value),
            "Roles": ", ".join(dict.fromkeys(row["Role"] for row in roles_of(asked.policy, person))),
            "Last seen": words.ago(person.seen.at, now=now) if person.seen is not None else "not since the start",
        }
        for person in shown
    ]
    st.caption("Everyone who has signed in since the app was started, and everyone whom the policy names.")
    tables.rows(rows)
    if len(known) > LISTED:
        st.caption(f"{len(known) - LISTED} more: search for them above.")


def _person(asked: Standing, person: Person) -> None:
    policy, subject = asked.policy, person.subject(asked.policy)
    st.subheader(plain(person.short), anchor=False)
    st.caption(plain(_known_as(person)))
    if subject is None:
        st.warning("This account counts as nobody: it is blocked, or the policy does not accept its sign-in.")
        return
    for line in _not_known(person, subject):
        st.caption(plain(line))
    _roles(policy, person)
    if guarding.may_edit(asked) and changes.place_of(asked) is not None:
        grants.draw(asked, person)
    viewas.draw_person(asked, person)
    _why(asked, subject, person)
    _abilities(policy, subject)


def _known_as(person: Person) -> str:
    account = person.who.value if person.short != one_line(person.who.value) else ""
    seen = "has not signed in since the app was started" if person.seen is None else "last seen " + words.ago(
        person.seen.at, now=time.time()
    )  # fmt: skip
    return f"{account} · {seen}" if account else seen


def _not_known(person: Person, subject: Subject) -> list[str]:
    if person.seen is None:
        return ["Only the account is known. Groups and roles that come with the sign-in may add to what is shown here."]
    facts = sorted({fact.partition(":")[0] for fact in subject.unknown if not fact.startswith("sub")})
    return [f"The sign-in did not say: {', '.join(facts)}. What depends on that is refused."] if facts else []


# --- what they hold --------------------------------------------------------------------------------------------------


def roles_of(policy: Policy, person: Person) -> list[dict[str, str]]:
    """Return a row for each role that somebody holds now, or will: which, where, by what, until when."""
    subject = person.subject(policy)
    if subject is None:
        return []
    rows = []
    by_id = {each.id: each for each in policy.parts.assignments}
    now = time.time()
    for place, given in engine.holdings_of(policy.tables, subject).certain.items():
        for role, _, since, until, identifier in given:
            if until <= now:
                continue
            each = by_id.get(identifier)
            rows.append(
                {
                    "Role": one_line(policy.roles[role]),
                    "Where": words.org_shown(policy, place),
                    "Given to": words.who_shown(each.who) if each is not None else "",
                    "From": words.moment_shown(since) if now < since else "",
                    "Ends": words.moment_shown(until) if until < inf else "",
                    "Reason": one_line(each.reason or "") if each is not None else "",
                }
            )
    by_sign_in: list[tuple[str, str | None]] = [(role, None) for role in sorted(subject.roles)]
    by_sign_in += [(role, org) for org, each in subject.memberships.items() for role in each.roles or ()]
    rows += [
        {"Role": one_line(role), "Where": words.org_shown(policy, org), "Given to": "comes with the sign-in",
         "From": "", "Ends": "", "Reason": ""}
        for role, org in by_sign_in if role in policy.roles
    ]  # fmt: skip
    return rows


def _roles(policy: Policy, person: Person) -> None:
    rows = roles_of(policy, person)
    st.markdown("**Roles**")
    if not rows:
        st.caption("None.")
        return
    tables.rows(rows)


def _abilities(policy: Policy, subject: Subject) -> None:
    st.markdown("**What they may do**")
    orgs: list[str | None] = [each.org for each in policy.memberships(subject)]
    shown = orgs[:COLUMNS] or [None]
    if policy.multi_tenant and not orgs:
        st.caption("They are not a member of any organization.")
    columns = {}
    for org in shown:
        name = words.org_shown(policy, org) or ("Without an organization" if policy.multi_tenant else "Allowed")
        while name in columns:
            name += " "
        open_pages = policy.pages(subject, org=org)
        columns[name] = [YES if page in open_pages else "" for page in policy.page_names] + [
            YES if policy.allows(subject, permission, org=org) else "" for permission in policy.permissions
        ]
    names = [words.action_shown(PAGE_ACTION + page) for page in policy.page_names]
    names += [words.action_shown(permission) for permission in policy.permissions]
    tables.matrix(names, columns)
    if len(orgs) > COLUMNS:
        st.caption(f"{len(orgs) - COLUMNS} more organizations: ask below.")


# --- why -------------------------------------------------------------------------------------------------------------


def actions_of(policy: Policy) -> list[str]:
    """Return what can be asked about: pages first, then permissions."""
    return [*(PAGE_ACTION + page for page in policy.page_names), *policy.permissions]


def orgs_to_ask(policy: Policy, subject: Subject | None) -> list[str]:
    """Return the orgs in which can be asked: those of the subject, then the other declared ones."""
    return list(dict.fromkeys([*(each.org for each in policy.memberships(subject)), *policy.orgs]))


def _why(asked: Standing, subject: Subject, person: Person) -> None:
    policy = asked.policy
    st.markdown("**Why, or why not?**")
    actions = actions_of(policy)
    left, right = st.columns(2) if policy.multi_tenant else (st.container(), None)
    action = left.selectbox(
        "What", actions, index=None, format_func=words.action_shown, key=ACTION, placeholder="A page or a permission"
    )
    org = None
    if right is not None:
        orgs = orgs_to_ask(policy, subject)
        org = right.selectbox(
            "Where",
            orgs,
            index=0 if orgs else None,
            format_func=lambda each: words.org_shown(policy, each),
            key=ORG,
            placeholder="An organization",
        )
        org = org if org in orgs else None
    if action in actions:
        decision = policy.decide(subject, action, org=org)
        answer(policy, person, decision)
        if a_role_may_help(asked, decision):
            st.button(
                "Give a role that allows it",
                key="stguard_admin_prefill",
                on_click=grants.prefill,
                args=(policy, action),
                kwargs={"org": org},
                icon=":material/add:",
            )


def a_role_may_help(asked: Standing, decision: Decision) -> bool:
    """Tell whether to offer giving a role: it was refused, a role could turn it, and who asks may give one."""
    return (
        not decision.allowed
        and decision.reason not in (Reason.FORBIDDEN, Reason.SEPARATED, Reason.NO_RULE)
        and guarding.may_edit(asked)
        and changes.place_of(asked) is not None
    )


def answer(policy: Policy, person: Person, decision: Decision) -> None:
    """Draw whether somebody may do something, why, and what would change it."""
    where = f" in {plain(words.org_shown(policy, decision.org))}" if decision.org is not None else ""
    verb = ("can open" if decision else "can't open") if decision.action.startswith(PAGE_ACTION) else (
        "may do" if decision else "may not do")  # fmt: skip
    text = f"**{plain(person.short)}** {verb} **{plain(words.action_shown(decision.action))}**{where}. "
    if decision.allowed:
        st.success(text + words.why(decision), icon=":material/check_circle:")
    else:
        st.warning(text + words.why(decision), icon=":material/block:")
    ways(decision.missing)
    if decision.trace:
        with st.expander("Step by step"):
            st.markdown("\n".join(f"- {_unquoted(line)}" for line in decision.trace))


def ways(missing: Sequence[str]) -> None:
    """Draw what would turn a refusal."""
    if missing:
        lead = "Any one of these would change it:" if len(missing) > 1 else "This would change it:"
        st.markdown("\n".join([lead, "", *(f"- {_unquoted(line)}" for line in missing)]))


def _unquoted(line: str) -> str:
    return plain(line.replace("`", ""))
