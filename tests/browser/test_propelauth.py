"""The PropelAuth example as its readers run it: a real sign-in, and PropelAuth's client against its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from stguard import dev
from tests.propelauth.api import ACME, ANN, GLOBEX, KEY, Api, account, membership, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(__file__).parents[2] / "examples" / "propelauth" / "app.py"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serve(tmp_path_factory.mktemp("propelauth"), host="") as api:
        yield api


@pytest.fixture(scope="module")
def app(api: Api) -> Iterator[dev.Server]:
    people = [{"sub": ANN, "email": "ann@acme.com", "name": "Ann"}]
    environ = {**api.environ, "PROPELAUTH_API_KEY": KEY}
    with dev.serve(APP, people=people, user_secrets=False, environ=environ) as server:
        api.host = server.issuer.partition("//")[2]
        yield server


@pytest.fixture
def page(chromium: Browser, app: dev.Server, api: Api) -> Iterator[Page]:
    api.recover()
    api.accounts[ANN] = account(
        ANN,
        "ann@acme.com",
        membership(ACME, "Acme", "Admin", user_permissions=["can_export_reports"]),
        membership(GLOBEX, "Globex", "Member", user_permissions=[]),
    )
    context: BrowserContext
    with chromium.new_context(base_url=app.url) as context:
        context.set_default_timeout(20_000)
        page = context.new_page()
        sign_in(page)
        yield page


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_test_id("stMain").get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Ann").click()
    expect(page.get_by_role("heading", name="Your organizations")).to_be_visible()


def choose(page: Page, org: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("combobox").click()
    page.get_by_role("option", name=org).click()
    expect(page.get_by_role("heading", name=f"In {org}")).to_be_visible()


def signed_out(page: Page) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_role("heading", name="Your organizations")).to_have_count(0)


def test_orgs_roles_and_permissions_are_shown_and_change_with_the_org(page: Page) -> None:
    main = page.get_by_test_id("stMain")
    expect(main.get_by_text("Acme: admin, member")).to_be_visible()
    expect(main.get_by_text("Globex: member")).to_be_visible()
    choose(page, "Acme")
    expect(main.get_by_text("You may: report:export")).to_be_visible()
    expect(main.get_by_role("button", name="Export")).to_be_visible()
    expect(page.get_by_role("link", name="team")).to_be_visible()
    choose(page, "Globex")
    expect(main.get_by_text("You may: look")).to_be_visible()
    expect(main.get_by_role("button", name="Export")).to_have_count(0)
    expect(page.get_by_role("link", name="team")).to_have_count(0)


def test_the_page_to_which_propelauths_log_out_button_leads_signs_out(page: Page) -> None:
    page.goto("/logout")
    signed_out(page)
    page.goto("/")
    signed_out(page)


def test_logging_out_on_every_device_ends_the_login_here_and_tells_propelauth(page: Page, api: Api) -> None:
    page.get_by_role("button", name="Log out on every device").click()
    signed_out(page)
    expect(page.get_by_text("Your sign-in has ended. Please sign in again.")).to_be_visible()
    assert ("POST", f"/api/backend/v1/user/{ANN}/logout_all_sessions") in api.calls
