"""A real browser on real servers with real logins: the sample app, and a twin of it that guards by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from stguard import demo, dev
from stguard.policy import Policy
from tests.chromium import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, StorageState

NOBODY = "nobody"

Visit = Callable[[str], Page]
"""Open a page as somebody, one at a time: `ann`, `vic`, `cora`, `sam`, `val`, or `nobody`."""


@dataclass(kw_only=True)
class Profile:
    """Hold one browser profile: everybody finds Streamlit's scripts in its cache, and each signs in only once."""

    context: BrowserContext
    cookies: dict[str, StorageState] = field(default_factory=dict)

    def visit(self, sub: str) -> Page:
        self.context.set_default_timeout(PATIENCE)
        self.context.clear_cookies()
        page = self.context.new_page()
        if sub in self.cookies:
            self.context.add_cookies(self.cookies[sub]["cookies"])  # type: ignore[arg-type]  # as it was given to us
        elif sub != NOBODY:
            _sign_in(page, sub)
            self.cookies[sub] = self.context.storage_state()
        return page

    def leave(self) -> None:
        for page in self.context.pages:
            page.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.server)
            # One process runs them all, so that each server and each login is needed once.
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(demo.POLICY, tmp_path_factory.mktemp("demo")))


@pytest.fixture(scope="session")
def policy(policy_file: Path) -> Policy:
    return Policy.load(policy_file)


@pytest.fixture(scope="session")
def sample(policy_file: Path) -> Iterator[dev.Server]:
    with dev.serve(demo.APP, policy=policy_file, people=demo.PEOPLE, user_secrets=False) as server:
        yield server


@pytest.fixture(scope="session")
def twin() -> Iterator[dev.Server]:
    with dev.serve(Path(__file__).parent / "twin" / "app.py", people=demo.PEOPLE, user_secrets=False) as server:
        yield server


@pytest.fixture(scope="session")
def profile(chromium: Browser, sample: dev.Server) -> Iterator[Profile]:
    with chromium.new_context(base_url=sample.url) as context:
        yield Profile(context=context)


@pytest.fixture(scope="session")
def twin_profile(chromium: Browser, twin: dev.Server) -> Iterator[Profile]:
    with chromium.new_context(base_url=twin.url) as context:
        yield Profile(context=context)


@pytest.fixture
def visit(profile: Profile) -> Iterator[Visit]:
    yield profile.visit
    profile.leave()


@pytest.fixture
def visit_twin(twin_profile: Profile) -> Iterator[Visit]:
    yield twin_profile.visit
    twin_profile.leave()


def _sign_in(page: Page, sub: str) -> None:
    """Sign in through the provider's own page."""
    name = next(person.name for person in demo.PEOPLE if person.sub == sub)
    page.goto("/")
    page.get_by_test_id("stMain").get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name=name).click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


@pytest.fixture
def sign_in() -> Callable[[Page, str], None]:
    return _sign_in
