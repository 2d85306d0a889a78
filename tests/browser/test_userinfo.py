"""UserInfo on a real server: what changes at the provider after a real sign-in counts, and what it refuses does not."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect

from stguard import dev

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
import streamlit as st
import stguard as sg

sg.configure(identity=sg.UserInfo(ttl=0, stale=0))

def home():
    st.title("Home of " + ", ".join(sorted(sg.subject().groups)))

def reports():
    st.title("Reports")

page = sg.navigation([home, reports])
sg.user_menu()
page.run()
"""

POLICY = """
stguard: 1
roles: {viewer: {}}
assign: [{role: viewer, group: late}]
pages: {home: signed_in, reports: {role: viewer}}
"""

ANN = {"sub": "ann", "name": "Ann", "email": "ann@acme.com", "email_verified": True, "groups": ["early"]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dev.Server]:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    with dev.serve(tmp_path / "app.py", people=[ANN], user_secrets=False) as running:
        yield running


def tell(url: str, method: str, body: object = None) -> None:
    request = urllib.request.Request(  # noqa: S310  loopback
        url, method=method, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request).close()  # noqa: S310  loopback


def test_a_group_that_comes_later_counts_as_long_as_the_provider_accepts_the_access_token(
    chromium: Browser, server: dev.Server
) -> None:
    with chromium.new_context(base_url=server.url) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_test_id("stMain").get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Ann").click()
        expect(page.get_by_role("heading", name="Home of early")).to_be_visible()

        tell(f"{server.issuer}/users/ann", "PUT", {**ANN, "groups": ["late"]})
        page.goto("/")
        expect(page.get_by_role("heading", name="Home of early, late")).to_be_visible()
        page.goto("/reports")
        expect(page.get_by_role("heading", name="Reports")).to_be_visible()

        tell(f"{server.issuer}/users/ann/revoke-tokens", "POST")
        page.goto("/reports")
        # This provider answers 400, which only refuses; 401 ends the sign-in.
        expect(page.get_by_role("heading", name="Home of early", exact=True)).to_be_visible()
        expect(page.get_by_role("heading", name="Reports")).to_have_count(0)
        assert "UserInfo refuses the access token" in server.output
