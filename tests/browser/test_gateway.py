"""A browser in front of the gateway: the page asked for, files, and sign-out across tabs."""

from __future__ import annotations

import re
import textwrap
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from stguard import dev

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """
    import streamlit as st
    import stguard as sg
    from starlette.middleware import Middleware

    app = st.App("main.py", middleware=[Middleware(sg.Gateway)])
"""

MAIN = """
    import streamlit as st
    import stguard as sg

    PIXEL = bytes.fromhex(
        "89504e470d0a1a0a0000000d494844520000000100000001080200000090775"
        "3de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
    )

    def home():
        st.title("Home")

    def reports():
        st.title("Reports")
        st.image(PIXEL, width=40)
        st.download_button("Download", data="a,b", file_name="reports.csv")
        st.file_uploader("Upload")
        st.button("Again")
        st.write("You asked for " + st.query_params.get("quarter", "nothing"))
        st.session_state["runs"] = st.session_state.get("runs", 0) + 1
        st.write(f"Drawn {st.session_state['runs']} times")

    page = sg.navigation([st.Page(home, default=True), st.Page(reports), sg.admin_page()])
    sg.user_menu()
    page.run()
"""

POLICY = """
    stguard: 1
    roles: {keeper: {allow: "policy:*"}}
    assign: [{role: keeper, email: ann@acme.com}]
    pages: {home: public, reports: signed_in}
"""


ENDED = "Your sign-in has ended. Please sign in again."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[dev.Server]:
    for name, text in {"server.py": SERVER, "main.py": MAIN, "policy.yaml": POLICY}.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    people = [{"email": "ann@acme.com", "email_verified": True, "name": "Ann"}]
    with dev.serve(folder / "server.py", people=people, user_secrets=False) as server:
        yield server


@pytest.fixture
def browser(chromium: Browser, app: dev.Server) -> Iterator[BrowserContext]:
    with chromium.new_context(base_url=app.url) as context:
        yield context


def sign_in(page: Page) -> None:
    page.get_by_test_id("stMain").get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Ann").click()


def heading(page: Page, text: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("heading", name=text)).to_be_visible()


def test_sign_in_opens_the_page_that_was_asked_for_with_its_files(browser: BrowserContext, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    sign_in(page)
    heading(page, "Reports")
    assert page.url.endswith("/reports?quarter=q3")
    expect(page.get_by_text("You asked for q3")).to_be_visible()
    image = page.get_by_test_id("stImage").get_by_role("img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    drawn = page.get_by_text("Drawn")
    before = drawn.inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.path().read_text() == "a,b"
    # STREAMLIT 1.67: a run that begins clears its queue, with the answer to an upload that was asked for just before.
    expect(drawn).not_to_have_text(before)
    (tmp_path / "plan.txt").write_text("the plan")
    page.locator("input[type=file]").set_input_files(tmp_path / "plan.txt")
    expect(page.get_by_text("plan.txt")).to_be_visible()
    expect(page.get_by_test_id("stFileUploaderFileErrorMessage")).to_have_count(0)


def test_what_is_typed_into_the_policy_is_checked_through_the_gateway(browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto("/admin")
    sign_in(page)
    page.get_by_test_id("stButtonGroup").get_by_text("Policy", exact=True).click()
    area = page.get_by_label("The policy.")
    area.press("Control+End")
    page.keyboard.type("rolse: {}")
    expect(page.locator(".line.error")).to_have_attribute("title", re.compile("rolse"))


def test_sign_out_in_one_tab_ends_the_other(browser: BrowserContext) -> None:
    one = browser.new_page()
    one.goto("/reports")
    sign_in(one)
    heading(one, "Reports")
    other = browser.new_page()
    other.goto("/reports")
    heading(other, "Reports")
    one.get_by_role("button", name="Log out").click()
    expect(one.get_by_role("button", name="Log out")).to_have_count(0)
    assert "_streamlit_user" not in {cookie.get("name") for cookie in browser.cookies()}
    # Nobody touches the other tab: it comes back as nobody's.
    expect(other.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    expect(other.get_by_role("heading", name="Reports")).to_have_count(0)
    expect(other.get_by_text(ENDED)).to_be_visible()
    assert other.url.endswith("/reports")


def test_a_sign_in_that_ends_says_so_and_leads_back_to_the_page_asked_for(
    browser: BrowserContext, folder: Path
) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_text(ENDED)).to_have_count(0)
    sign_in(page)
    heading(page, "Reports")
    before = int(time.time()) + 1
    when = datetime.fromtimestamp(before, UTC).isoformat()
    (folder / "policy.yaml").write_text(
        textwrap.dedent(POLICY) + f"revoked: [{{email: ann@acme.com, before: '{when}'}}]\n", encoding="utf-8"
    )
    # The tab that was open, as soon as anything is done in it.
    page.get_by_role("button", name="Again").click()
    expect(page.get_by_text(ENDED)).to_be_visible()
    expect(page.get_by_role("heading", name="Reports")).to_have_count(0)
    assert page.url.endswith("/reports?quarter=q3")
    # A fresh load, with the cookie of that sign-in.
    fresh = browser.new_page()
    fresh.goto("/reports?quarter=q4")
    expect(fresh.get_by_text(ENDED)).to_be_visible()
    fresh.wait_for_function("moment => Date.now() >= moment", arg=before * 1000)
    sign_in(fresh)
    heading(fresh, "Reports")
    assert fresh.url.endswith("/reports?quarter=q4")
    expect(fresh.get_by_text("You asked for q4")).to_be_visible()
    expect(fresh.get_by_text(ENDED)).to_have_count(0)
