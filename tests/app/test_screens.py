"""What people see when they must sign in, are refused, or want to leave."""

from __future__ import annotations

from typing import Any

import pytest

from stguard.app.screens import plain

GOOGLE = {"client_id": "x", "server_metadata_url": "https://accounts.google.com/.well-known/openid-configuration"}
ENTRA = {
    "client_id": "x",
    "server_metadata_url": "https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration",
}
OTHER = {"client_id": "x", "server_metadata_url": "https://id.acme.com/.well-known/openid-configuration"}


@pytest.mark.parametrize(
    ("auth", "labels"),
    [
        (GOOGLE, ["Continue with Google"]),
        (ENTRA, ["Continue with Microsoft"]),
        (OTHER, ["Sign in"]),
        ({"google": GOOGLE, "microsoft": ENTRA}, ["Continue with Google", "Continue with Microsoft"]),
        ({"acme-sso": OTHER, "Keycloak": OTHER}, ["Continue with Acme Sso", "Continue with Keycloak"]),
        ({"acme-sso": {**OTHER, "label": "Acme*"}}, ["Continue with Acme\\*"]),
        ({**OTHER, "google": GOOGLE}, ["Sign in", "Continue with Google"]),
        ({**GOOGLE, "client_kwargs": {"prompt": "login"}}, ["Continue with Google"]),
        ({"redirect_uri": "x", "cookie_secret": "y"}, []),
    ],
)
def test_there_is_a_button_for_each_configured_provider(desk: Any, auth: dict[str, Any], labels: list[str]) -> None:
    at = desk.main("sg.login_page()").app()
    at.secrets["auth"] = auth
    assert [button.label for button in at.run().button] == labels
    assert not at.exception


def test_evil_hosts_do_not_get_a_known_name(desk: Any) -> None:
    at = desk.main("sg.login_page()").app()
    at.secrets["auth"] = {"client_id": "x", "server_metadata_url": "https://accounts.google.com.evil.example/x"}
    assert [button.label for button in at.run().button] == ["Sign in"]


def test_without_secrets_the_sign_in_page_says_so(desk: Any, shown: Any) -> None:
    at = desk.main('sg.login_page("Welcome", text="To *Acme*")').run()
    assert "Welcome" in shown(at)
    assert "To \\*Acme\\*" in shown(at)
    assert "Sign-in is not set up for this app." in shown(at)


def test_logging_out_takes_the_pages_away(desk: Any, shown: Any) -> None:
    desk.main("""
        def home(): st.title("home content")
        sg.user_menu()
        sg.navigation([home]).run()
    """)
    at = desk.app("vera")
    at.secrets["auth"] = GOOGLE
    assert "home content" in shown(at.run())
    at.sidebar.button[0].click().run()
    assert "home content" not in shown(at)
    if hasattr(at, "user"):  # before Streamlit 1.67, an AppTest after logging out looks like an app without [auth]
        assert "Sign in" in shown(at)


def test_a_refusal_offers_ways_to_go_on(orgs: Any, shown: Any) -> None:
    at = orgs.main('sg.authorize("report:export")').app("ann")
    at.session_state["stguard_org"] = "globex"
    text = shown(at.run())
    assert "another of your organizations" in text
    assert "ask an administrator" in text
    assert "Signed in as Ann" in text
    assert "Globex" in text
    assert [button.label for button in at.button] == ["Sign in with another account"]


def test_text_is_escaped_onto_one_line() -> None:
    assert plain("a\n# b <script>") == "a \\# b \\<script\\>"
