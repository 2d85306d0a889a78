"""Show whether everything runs: open to everybody, signed in or not."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from stguard.demo import data

SERVICES = ("App", "Reports", "Billing", "Sign-in")
GOOD = 99.9

st.title("Status")
st.caption("Open to everybody: this page is `public` in the policy")
st.success("All systems are running", icon=":material/check_circle:")
for service in SERVICES:
    days = data.uptime(service)
    with st.container(border=True):
        name, share = st.columns([3, 1])
        name.markdown(f"**{service}**")
        share.markdown(f":green[{sum(days) / len(days):.2f} %]", text_alignment="right")
        frame = pd.DataFrame(
            {"day": range(len(days)), "up": days, "state": ["good" if d >= GOOD else "slow" for d in days]}
        )
        st.altair_chart(
            alt.Chart(frame)
            .mark_bar(cornerRadius=2)
            .encode(
                x=alt.X("day:O", axis=None),
                y=alt.value(0),
                y2=alt.value(26),
                color=alt.Color(
                    "state:N", legend=None, scale=alt.Scale(domain=["good", "slow"], range=["#10b981", "#f59e0b"])
                ),
                tooltip=[alt.Tooltip("up:Q", title="up, percent", format=".2f")],
            )
            .properties(height=26),
        )
st.caption("The last 60 days")
