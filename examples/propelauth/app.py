# PropelAuth: people sign in on its pages; orgs, roles and permissions come from its API, asked once a minute.
#
# Set up once:
#   1. In PropelAuth's dashboard: Frontend Integration > Advanced Settings > Edit OAuth Config: create a client with the
#      redirect URI http://localhost:8501/oauth2callback. Backend Integration > API keys: create one.
#   2. In .streamlit/secrets.toml, under [auth]: redirect_uri, cookie_secret, client_id, client_secret, and as
#      server_metadata_url the auth URL with /.well-known/openid-configuration behind it
#   3. export PROPELAUTH_API_KEY=...
# Then: streamlit run app.py. For PropelAuth's own log-out button, let it lead to http://localhost:8501/logout.
import os

import streamlit as st

import stguard as sg

auth_url = st.secrets["auth"]["server_metadata_url"].removesuffix("/.well-known/openid-configuration")
source = sg.PropelAuth(auth_url, os.environ["PROPELAUTH_API_KEY"])
sg.configure(identity=source)


def home() -> None:
    st.title("Your organizations")
    for each in sg.subject().memberships.values():
        st.write(f"{each.name}: {', '.join(each.roles)}")
    org = sg.org()
    if org is not None:
        st.header(f"In {org.name}")
        st.write(f"You may: {', '.join(org.permissions) or 'look'}")
        if sg.can("report:export"):
            st.button("Export")
    st.link_button("Manage your account", source.account_url)
    st.button("Log out on every device", on_click=source.logout_everywhere, args=(sg.subject(),))


def team() -> None:
    st.title(f"The team of {sg.org().name}")


with st.sidebar:
    sg.org_selector()
sg.user_menu()
sg.navigation([st.Page(home, default=True), team, sg.logout_page()]).run()
