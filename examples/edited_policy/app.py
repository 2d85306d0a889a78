# Situation 5: an admin edits the policy while the app runs.
#
# Try it:  stguard dev examples/edited_policy/app.py
#          then give Bob the role `editor` in policies/people.yaml: his next click obeys.
#          stguard check examples/edited_policy/policies     finds a typo at its line and column
#
# A folder is one policy: its files are read in name order and merged. An edit that holds an error, or fails one of the
# tests, changes nothing: the last good policy stays in force, and those who may edit the policy are told in the app.
import streamlit as st

import stguard as sg


@sg.requires("article:edit")
def save() -> None:
    st.session_state["saved"] = st.session_state["draft"]


def article() -> None:
    st.title("Article")
    st.write(st.session_state.get("saved", "Nothing written yet."))
    if sg.can("article:edit"):
        st.text_input("Draft", key="draft")
        st.button("Save", on_click=save)


sg.navigation([st.Page(article, default=True)]).run()
