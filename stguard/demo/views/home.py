"""Greet whoever signed in, and show what they may do in the active org."""

from __future__ import annotations

import streamlit as st

import stguard as sg
from stguard.demo import data

CAPABILITIES = {
    "report:view": ("See reports", ":material/monitoring:"),
    "report:edit": ("Change the forecast", ":material/edit:"),
    "report:export": ("Export data", ":material/download:"),
    "billing:view": ("See invoices", ":material/receipt_long:"),
    "billing:approve": ("Approve invoices", ":material/task_alt:"),
    "member:invite": ("Invite people", ":material/person_add:"),
}
REFUSALS = {
    "forbidden": "A rule forbids it, whatever your roles",
    "unknown": "Your sign-in did not carry enough to tell",
    "not_granted": "None of your roles here allows it",
}

subject, org = sg.subject(), sg.org()
name = subject.name if subject is not None and subject.name else "there"

st.title(f"Hello, {name.split()[0]}")

if org is None:
    st.markdown("You are signed in, and no organization is active. Pages that are open to everybody still work.")
    st.info(
        "Choose your organization in the sidebar. None there? Ask an administrator of yours to add you.",
        icon=":material/domain:",
    )
    st.page_link("views/status.py", label="Is everything running?", icon=":material/vital_signs:")
    st.stop()

roles = ", ".join(role.replace("_", " ") for role in org.roles or ())
st.markdown(f"You work in **{org.name or org.org}** as :violet-badge[{roles or 'guest'}]")

if sg.can("report:view"):
    weekly = data.revenue(org.org).groupby("week")["revenue"].sum()
    quarter, before = weekly.tail(13).sum(), weekly.iloc[-26:-13].sum()
    left, middle, right = st.columns(3)
    left.metric(
        "Revenue this quarter",
        f"${quarter / 1e6:.2f} M",
        f"{quarter / before - 1:+.1%}",
        border=True,
        chart_data=weekly.tail(26).tolist(),
        chart_type="area",
        height="stretch",
    )
    middle.metric(
        "Best week",
        f"${weekly.max() / 1e3:,.0f} k",
        f"{weekly.max() / weekly.mean() - 1:+.0%} over the mean",
        border=True,
        chart_data=weekly.tail(13).tolist(),
        chart_type="line",
        height="stretch",
    )
    waiting = data.invoices(org.org)
    right.metric(
        "Invoices waiting",
        len(waiting) if sg.can("billing:view") else "Hidden",
        f"${sum(i.amount for i in waiting):,}" if sg.can("billing:view") else "not yours to see",
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
    )

st.subheader("What you may do here", anchor=False)
columns = st.columns(3)
for number, (permission, (label, icon)) in enumerate(CAPABILITIES.items()):
    decision = sg.explain(permission)
    with columns[number % 3].container(border=True):
        if decision:
            st.markdown(f"{icon} **{label}**")
            st.caption(":green[:material/check: Yes]")
        else:
            st.markdown(f":gray[{icon} {label}]")
            st.caption(f":material/block: {REFUSALS.get(decision.reason, 'Not now')}")
