"""Show revenue: a fragment, a decision around a widget, and a guarded callback."""

from __future__ import annotations

import altair as alt
import streamlit as st

import stguard as sg
from stguard.demo import data
from stguard.demo.parts import active_org

org = active_org()
rows = data.revenue(org.org)


@sg.requires("report:export")
def prepare_export() -> None:
    """Put the rows into a file: refused by the decorator, whoever presses the button and from wherever."""
    st.session_state["export"] = rows.to_csv(index=False).encode()


@st.fragment
@sg.requires("report:view")
def charts() -> None:
    """Draw the charts again when the choice changes; below `st.fragment`, the guard asks again each time."""
    products = st.pills("Products", data.PRODUCTS, selection_mode="multi", default=data.PRODUCTS)
    shown = rows[rows["product"].isin(products or data.PRODUCTS)]
    wide, narrow = st.columns([2, 1])
    with wide.container(border=True):
        st.markdown("**Weekly revenue**")
        weekly = shown.groupby(["week", "product"], as_index=False)["revenue"].sum()
        st.altair_chart(
            alt.Chart(weekly)
            .mark_area(opacity=0.85)
            .encode(
                x=alt.X("week:T", title=None),
                y=alt.Y("revenue:Q", title=None, axis=alt.Axis(format="$~s")),
                color=alt.Color("product:N", title=None, legend=alt.Legend(orient="bottom")),
                tooltip=["week:T", "product:N", alt.Tooltip("revenue:Q", format="$,.0f")],
            )
            .properties(height=320),
        )
    with narrow.container(border=True):
        st.markdown("**By region**")
        regions = shown.groupby("region", as_index=False)["revenue"].sum()
        st.altair_chart(
            alt.Chart(regions)
            .mark_bar(cornerRadiusEnd=5)
            .encode(
                x=alt.X("revenue:Q", title=None, axis=alt.Axis(format="$~s", tickCount=3)),
                y=alt.Y("region:N", title=None, sort="-x"),
                tooltip=["region:N", alt.Tooltip("revenue:Q", format="$,.0f")],
            )
            .properties(height=320),
        )


title, action = st.columns([4, 1], vertical_alignment="bottom")
title.title("Reports")
title.caption(f"Revenue of {org.name or org.org} over {data.WEEKS} weeks")
# Everybody gets this button, so that you can see the guard hold; an app would put `if sg.can("report:export"):` around
# it, and keep the guard.
action.button("Export", icon=":material/download:", on_click=prepare_export, width="stretch")
if "export" in st.session_state:
    st.download_button(
        "The file is ready: save it",
        st.session_state.pop("export"),
        file_name=f"{org.org}-revenue.csv",
        icon=":material/save:",
        type="primary",
    )

charts()

forecast, table = st.tabs([":material/insights: Forecast", ":material/table_rows: Latest weeks"])
with forecast:
    if sg.can("report:edit"):
        growth = st.slider("Growth for next quarter, in percent", -10, 30, 8)
        quarter = rows[rows["week"] >= sorted(rows["week"].unique())[-13]]["revenue"].sum()
        st.metric("Next quarter", f"${quarter * (1 + growth / 100) / 1e6:.2f} M", f"{growth:+d} %")
    else:
        st.caption(":material/lock: You may look at the reports of this organization, not change its forecast.")
with table:
    latest = rows.pivot_table(index="week", columns="product", values="revenue", aggfunc="sum").tail(8)
    st.dataframe(
        latest.iloc[::-1], column_config={str(p): st.column_config.NumberColumn(format="dollar") for p in latest}
    )
