"""A strict, certified OpenID provider that nobody here wrote: sign-in, roles, sign-out, and how each can go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from streamlit import auth_util

from tests.ports import unused
from tests.secondopinion import parts

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a-cookie-secret-that-only-this-test-knows"  # noqa: S105  made up
FAILED = "Sign-in did not work. Please try again."
ENDED = "Your sign-in has ended. Please sign in again."


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = unused()
    callback = f"http://localhost:{port}/oauth2callback"
    with parts.providing(callback) as kinds:
        thick, thin, asked = kinds["thick"], kinds["thin"], kinds["asked"]
        environ = {
            "REDIRECT_URI": callback,
            "COOKIE_SECRET": SECRET,
            "EXPOSE_TOKENS": "access",
            "ASKED": asked["issuer"],
            **parts.variables("STRICT", thick),
            **parts.variables("THIN", thin),
            **parts.variables("ASKED", asked),
            **parts.variables("USUAL", thick, PROMPT=""),
            **parts.variables("ELSEWHERE", thick, CLIENT_ID="elsewhere"),
            **parts.variables("MISTAKEN", thick, CLIENT_SECRET="not the secret"),  # noqa: S106  made up
            **parts.variables("GONE", thick, METADATA_URL="http://localhost:1" + parts.METADATA),
        }
        with parts.serving(tmp_path_factory.mktemp("secondopinion"), port=port, environ=environ) as url:
            yield url


@pytest.fixture(scope="module")
def profile(chromium: Browser, app: str) -> Iterator[BrowserContext]:
    with chromium.new_context(base_url=app) as context:
        context.set_default_timeout(20_000)
        yield context


@pytest.fixture
def browser(profile: BrowserContext) -> Iterator[BrowserContext]:
    """Yield a browser in which nobody is signed in, with Streamlit's scripts in its cache."""
    profile.clear_cookies()
    yield profile
    for page in profile.pages:
        page.close()


def begin(page: Page, provider: str = "Strict") -> None:
    page.get_by_test_id("stMain").get_by_role("button", name=f"Continue with {provider}").click()


def sign_in(page: Page, who: str, *, provider: str = "Strict") -> None:
    begin(page, provider)
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    page.get_by_role("button", name=who, exact=True).click()


def heading(page: Page, text: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("heading", name=text)).to_be_visible()


def menu(page: Page) -> list[str]:
    expect(page.get_by_test_id("stSidebarNavLink").first).to_be_visible()
    return page.get_by_test_id("stSidebarNavLink").all_inner_texts()


def says_that_it_failed(page: Page) -> None:
    main = page.get_by_test_id("stMain")
    expect(main.get_by_text(FAILED)).to_be_visible()
    expect(main.get_by_role("button", name="Continue with Strict")).to_be_visible()
    expect(page.get_by_role("button", name="Log out")).to_have_count(0)


@pytest.mark.parametrize(
    ("who", "held", "pages", "buttons"),
    [
        ("ann", "You are admin, finance, acme", ["home", "reports", "ledger", "help"], 1),
        ("vic", "You are viewer, acme", ["home", "reports", "help"], 0),
        # The provider says that this address is not verified: the role that goes with it is not given.
        ("eve", "You are globex", ["home", "help"], 0),
    ],
)
def test_roles_groups_and_org_of_the_token_decide(
    browser: BrowserContext, who: str, held: str, pages: list[str], buttons: int
) -> None:
    page = browser.new_page()
    page.goto("/")
    sign_in(page, who)
    heading(page, "Home")
    expect(page.get_by_text(held, exact=True)).to_be_visible()
    assert menu(page) == pages
    if "reports" in pages:
        page.get_by_role("link", name="reports").click()
        heading(page, "Reports")
        expect(page.get_by_text("You asked for nothing")).to_be_visible()
    else:
        page.goto("/reports")
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()  # not even that there is one
    expect(page.get_by_role("button", name="Publish")).to_have_count(buttons)


def test_the_page_asked_for_opens_with_its_query_and_sign_out_ends_the_other_tab_and_the_providers_session(
    browser: BrowserContext,
) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    sign_in(page, "ann")
    heading(page, "Reports")
    assert page.url.endswith("/reports?quarter=q3")
    expect(page.get_by_text("You asked for q3")).to_be_visible()
    other = browser.new_page()
    other.goto("/reports")
    heading(other, "Reports")
    # STREAMLIT 1.67: st.logout goes to the provider's end_session_endpoint, which comes back to /oauth2callback.
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Leave the provider?")).to_be_visible()
    expect(other.get_by_text(ENDED)).to_be_visible()
    expect(other.get_by_role("heading", name="Reports")).to_have_count(0)
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Continue with Strict")).to_be_visible()
    expect(page.get_by_text(FAILED)).to_have_count(0)
    assert "_session" not in {cookie.get("name") for cookie in browser.cookies()}


def test_a_thin_token_leaves_roles_groups_and_orgs_unknown_and_opens_nothing_by_them(browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto("/")
    sign_in(page, "ann", provider="Thin")
    heading(page, "Home")
    expect(page.get_by_text("You are", exact=True)).to_be_visible()
    expect(page.get_by_text("Unknown: email, groups, orgs, roles", exact=True)).to_be_visible()
    assert menu(page) == ["home", "help"]


def test_userinfo_brings_what_a_thin_token_leaves_out(browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    sign_in(page, "ann", provider="Asked")
    heading(page, "Reports")
    expect(page.get_by_role("button", name="Publish")).to_be_visible()
    assert menu(page) == ["home", "reports", "ledger", "help"]


def test_a_sign_in_that_is_cancelled_says_so_at_the_page_asked_for_and_can_be_tried_again(
    browser: BrowserContext,
) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    sign_in(page, "access_denied")
    says_that_it_failed(page)
    assert page.url.endswith("/reports?quarter=q3")
    sign_in(page, "vic")
    heading(page, "Reports")
    assert page.url.endswith("/reports?quarter=q3")
    expect(page.get_by_text(FAILED)).to_have_count(0)
    assert "_stguard_failed" not in {cookie.get("name") for cookie in browser.cookies()}


def test_a_public_page_says_it_beside_the_way_to_sign_in(browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto("/help")
    heading(page, "Help")
    page.get_by_test_id("stSidebar").get_by_role("button", name="Continue with Strict").click()
    page.get_by_role("button", name="access_denied").click()
    expect(page.get_by_test_id("stSidebar").get_by_text(FAILED)).to_be_visible()
    heading(page, "Help")


def test_a_provider_that_asks_nobody_who_they_are_leads_back_and_the_page_says_so(browser: BrowserContext) -> None:
    page = browser.new_page()
    page.goto("/reports?quarter=q3")
    begin(page, "Usual")  # Streamlit asks for `select_account`, which this provider refuses
    says_that_it_failed(page)
    assert page.url.endswith("/reports?quarter=q3")
    browser.clear_cookies(name="_stguard_failed")
    page.reload()
    expect(page.get_by_text("Use your account to continue.")).to_be_visible()
    begin(page, "Gone")  # nobody answers there
    says_that_it_failed(page)
    assert page.url.endswith("/reports?quarter=q3")
    begin(page, "Elsewhere")  # the app's redirect URI is not registered: nothing may lead back
    expect(page.get_by_role("heading", name="Refused by the provider")).to_be_visible()
    expect(page.get_by_text("invalid_redirect_uri")).to_be_visible()


@pytest.mark.parametrize(
    ("provider", "who", "signed_in"),
    [
        ("strict", "ann", True),
        ("strict", "nonce", False),
        ("strict", "issuer", False),
        ("strict", "audience", False),
        ("strict", "expired", False),
        ("strict", "signature", False),
        ("mistaken", "ann", False),  # the app's secret is not the client's
    ],
)
def test_a_token_that_is_not_meant_for_this_sign_in_signs_nobody_in(
    app: str, provider: str, who: str, *, signed_in: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth_util, "get_signing_secret", lambda: SECRET)
        token = auth_util.encode_provider_token(provider)
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=20) as client:
        asked = client.get(f"{app}/auth/login", params={"provider": token}, headers={"Referer": f"{app}/reports"})
        assert "Who are you?" in asked.text
        back = client.get(asked.url, params={"account": who})
        assert str(back.url) == f"{app}/reports"
        assert ("_streamlit_user" in client.cookies) is signed_in
        assert ("_stguard_failed" in client.cookies) is not signed_in
