# Situation 2: the policy file decides what the menu shows and what runs.
#
# Try it:  stguard dev examples/pages_from_policy/app.py
#
# `sg.navigation` stands in place of `st.navigation` and takes the same pages. A page that somebody may not open is not
# registered for them: no menu entry, and its address leads nowhere. With nobody signed in, the sign-in page shows
# beside the public pages.
import streamlit as st

import stguard as sg

pages = {
    "": [st.Page("views/home.py", default=True), st.Page("views/help.py")],
    "Admin": [st.Page("views/people.py"), st.Page("views/settings.py")],
}

sg.navigation(pages).run()
