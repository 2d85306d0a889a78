"""A browser in front of the gateway: the page asked for, files, and sign-out across tabs."""

from __future__ import annotations

import textwrap
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
        st.write("You asked for " + st.query_params.get("quarter", "nothing"))

    page = sg.navigation([st.Page(home, default=True), st.Page(reports)])
    sg.user_menu()
    page.run()
"""

POLICY = """
    stguard: 1
    pages: {home: public, reports: signed_in}
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dev.Server]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    for name, text in {"server.py": SERVER, "main.py": MAIN, "policy.yaml": POLICY}.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    people = [{"email": "ann@acme.com", "name": "Ann"}]
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
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.path().read_text() == "a,b"
    (tmp_path / "plan.txt").write_text("the plan")
    page.locator("input[type=file]").set_input_files(tmp_path / "plan.txt")
    expect(page.get_by_text("plan.txt")).to_be_visible()
    expect(page.get_by_test_id("stFileUploaderFileErrorMessage")).to_have_count(0)


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
