"""List invoices: looking is one permission, approving and paying are two others that nobody may hold together."""

from __future__ import annotations

import streamlit as st

import stguard as sg
from stguard.demo import data
from stguard.demo.parts import active_org

org = active_org()
approved: set[str] = st.session_state.setdefault("approved", set())
paid: set[str] = st.session_state.setdefault("paid", set())


@sg.requires("billing:approve")
def approve(number: str) -> None:
    """Approve an invoice."""
    approved.add(number)


@sg.requires("billing:pay")
def pay(number: str) -> None:
    """Pay an invoice."""
    paid.add(number)


invoices = data.invoices(org.org)
open_amount = sum(invoice.amount for invoice in invoices if invoice.number not in paid)

st.title("Billing")
st.caption(f"Invoices to {org.name or org.org}")
left, middle, right = st.columns(3)
left.metric("Open", f"${open_amount:,}", border=True)
middle.metric("Approved", len(approved & {i.number for i in invoices}), border=True)
right.metric("Paid", len(paid & {i.number for i in invoices}), border=True)

for invoice in invoices:
    with st.container(border=True):
        who, amount, state, action = st.columns([3, 2, 2, 2], vertical_alignment="center")
        who.markdown(f"**{invoice.supplier}**  \n:gray[{invoice.number}]")
        amount.markdown(f"${invoice.amount:,}  \n:gray[due {invoice.due:%d %b %Y}]")
        if invoice.number in paid:
            state.badge("Paid", icon=":material/check:", color="green")
        elif invoice.number in approved:
            state.badge("Approved", icon=":material/task_alt:", color="blue")
            if sg.can("billing:pay"):
                action.button("Pay", key=f"pay-{invoice.number}", on_click=pay, args=[invoice.number], width="stretch")
        else:
            state.badge("Waiting", icon=":material/schedule:", color="orange")
            if sg.can("billing:approve"):
                action.button(
                    "Approve",
                    key=f"approve-{invoice.number}",
                    icon=":material/task_alt:",
                    on_click=approve,
                    args=[invoice.number],
                    width="stretch",
                )

if not sg.can(any_of=["billing:approve", "billing:pay"]):
    st.caption(":material/visibility: You may look at these invoices, and neither approve nor pay them.")
