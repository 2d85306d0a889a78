"""A browser that signs in with a local account: by keyboard, in any colours, and in a narrow window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.accounts.servers import PASSWORD, Server, accounts_file, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = "not the one at all"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.fixture
def browser(chromium: Browser, app: Server) -> Iterator[BrowserContext]:
    with chromium.new_context(base_url=app.origin) as context:
        yield context


def to_sign_in(page: Page, path: str = "/reports") -> None:
    page.goto(path)
    page.get_by_test_id("stMain").get_by_role("button", name="Sign in").last.click()
    expect(page.get_by_label("User name")).to_be_focused()


def test_sign_in_by_keyboard_opens_the_page_that_was_asked_for(browser: BrowserContext) -> None:
    page = browser.new_page()
    to_sign_in(page)
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(WRONG)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That did not work. Check the user name and the password.")
    expect(page.get_by_label("User name")).to_have_value("ann")
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("<<reports for Ann Archer>>")).to_be_visible()
    assert page.url.endswith("/reports")


def test_an_open_tab_is_signed_out_when_its_account_is_disabled(browser: BrowserContext, app: Server) -> None:
    page = browser.new_page()
    to_sign_in(page)
    page.get_by_label("User name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("<<reports for Ann Archer>>")).to_be_visible()
    app.accounts(accounts_file(disabled="true"))
    try:
        page.get_by_role("button", name="again").click()
        expect(page.get_by_text("<<reports for Ann Archer>>")).to_have_count(0)
        expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in").last).to_be_visible()
    finally:
        app.accounts(accounts_file())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_fits_and_follows_the_colours_of_the_system(browser: BrowserContext, scheme: str, width: int) -> None:
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
    page.set_viewport_size({"width": width, "height": 640})
    page.goto("/auth/local")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 23)"
    assert dark is (scheme == "dark")
    assert page.get_by_label("User name").get_attribute("autocomplete") == "username"
    assert page.get_by_label("Password").get_attribute("autocomplete") == "current-password"
    assert not [text for text in problems if "favicon" not in text and "404" not in text]
