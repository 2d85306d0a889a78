"""Show the policy in force, and answer "why can't Vic export?" from the pure core."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import streamlit as st

import stguard as sg
from stguard.demo import PEOPLE
from stguard.demo.parts import active_org

sg.authorize("policy:view")
org = active_org()
path = Path(os.environ.get("STGUARD_POLICY") or Path(__file__).parents[1] / "policy.yaml")
try:
    policy = sg.Policy.load(path)
except sg.PolicyFileError as error:
    st.error(f"The file holds an error, so the last good policy stays in force:\n\n{error}", icon=":material/error:")
    st.stop()

st.title("Settings")
st.caption(f"What the policy says about {org.name or org.org}")
access, why, source = st.tabs(
    [":material/grid_on: Who may do what", ":material/help: Why?", ":material/description: Policy file"]
)
subjects = {person.name: policy.subject({"sub": person.sub, **person.claims}) for person in PEOPLE}
asked = [name for name in policy.permissions if not name.startswith("policy:")]

with access:
    table = pd.DataFrame(
        {name: [policy.allows(subject, name, org=org.org) for subject in subjects.values()] for name in asked},
        index=pd.Index(subjects, name="Person"),
    )
    st.dataframe(table, column_config={name: st.column_config.CheckboxColumn(name) for name in asked})
with why:
    left, right = st.columns(2)
    who = left.selectbox("Who", list(subjects), index=len(subjects) - 3)
    what = right.selectbox("What", asked, index=asked.index("report:export"))
    decision = policy.decide(subjects[who], what, org=org.org)
    (st.success if decision else st.warning)(
        f"**{who}** {'may' if decision else 'may not'} `{what}` in {org.name or org.org}: "
        f"{decision.reason.value.replace('_', ' ')}" + (f" by `{decision.rule}`" if decision.rule else ""),
        icon=":material/check_circle:" if decision else ":material/block:",
    )
    if decision.missing:
        st.markdown("Any one of these would change it:\n" + "\n".join(f"- {step}" for step in decision.missing))
with source:
    st.caption(f"`{path}`: edit it while the app runs, and the next click obeys.")
    st.code(path.read_text(encoding="utf-8"), language="yaml", line_numbers=True)
