"""Four replicas behind nginx act as one, whichever of them serves, and whichever is killed."""

from __future__ import annotations

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from tests.chromium import PATIENCE
from tests.cluster.cluster import NGINX, POLICY, Cluster, replica_of, running
from tests.cluster.load import Load, check, grant
from tests.shared.engine import SERVER, Engine, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.hostile.client import Tab

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("cluster")]

DEMOTED = POLICY.replace("  - {role: viewer, email: ann@acme.com}\n", "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    for program in (SERVER, NGINX):
        if not Path(program).exists():
            pytest.skip(f"{program} is missing; tests/install-system-parts.sh installs it")
    folder = Path(tempfile.mkdtemp(prefix="stguard-redis-"))
    engine = Engine(folder)
    engine.start()
    try:
        with running(engine) as made:
            yield made
    finally:
        engine.stop()
        shutil.rmtree(folder, ignore_errors=True)


def opened(tab: Tab) -> bool:
    return "the reports" in tab.open("reports")


def test_an_edit_is_in_force_at_every_replica(cluster: Cluster) -> None:
    tabs = [cluster.tab("ann", at=each) for each in cluster.replicas]
    try:
        assert all(map(opened, tabs))
        cluster.edit(DEMOTED)
        until(lambda: not any(map(opened, tabs)))
        assert not any(map(opened, tabs))
        cluster.edit(POLICY)
        until(lambda: all(map(opened, tabs)))
    finally:
        for each in tabs:
            each.close()


def test_an_identity_source_is_asked_once_about_each_person(cluster: Cluster) -> None:
    before = len(cluster.source.asked)
    for name in ("eve", "sam", "val"):
        browser = cluster.browser(name)
        for each in cluster.replicas:
            with cluster.tab_of(cluster.browser_at(each, of=browser)) as tab:
                assert f"home of {name}@acme.com" in tab.open()
    assert cluster.source.asked[before:] == ["/eve", "/sam", "/val"]


def test_a_sign_out_at_one_replica_ends_the_tabs_at_the_others(cluster: Cluster) -> None:
    first, *others = cluster.replicas
    browser = cluster.browser("ann", at=first)
    tabs = []
    for each in others:
        tabs.append(cluster.tab_of(cluster.browser_at(each, of=browser)))
        assert "home of ann@acme.com" in tabs[-1].open()
    cookies = dict(browser.cookies)
    assert browser.get("/auth/logout").status < 400
    for tab in tabs:
        assert tab.is_closed() or tab.is_closed()
    browser.cookies.update(cookies)  # somebody has copied them
    with cluster.tab_of(browser) as late:
        assert "home of None" in late.open()


def test_a_replica_that_is_killed_loses_its_tabs_and_no_sign_in(cluster: Cluster, chromium: Browser) -> None:
    with chromium.new_context(base_url=cluster.origin) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        sign_in(page)
        before = shown(page)
        page.reload()
        assert shown(page) == before, "nginx keeps a browser at its replica"
        killed = next(each for each in cluster.replicas if each.name == before)
        killed.kill()
        try:
            page.reload()
            expect(page.get_by_text("home of ann@acme.com")).to_be_visible()
            assert shown(page) != before
            # Without stickiness, each request goes to another replica.
            cluster.serve(sticky=False)
            seen = set()
            for _ in range(12):
                page.goto("/")
                expect(page.get_by_text("home of ann@acme.com")).to_be_visible()
                seen.add(shown(page))
                if len(seen) > 1:
                    break
            assert len(seen) > 1
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_role("button", name="Sign in")).to_be_visible()
            sign_in(page)  # which begins at one replica and ends at another
        finally:
            cluster.serve(sticky=True)
            killed.start()
            killed.wait()


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_test_id("stMain").get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Ann").click()
    expect(page.get_by_text("home of ann@acme.com")).to_be_visible()


def shown(page: Page) -> str:
    name = replica_of(page.get_by_text("replica").first.inner_text())
    assert name is not None
    return name


def test_replicas_that_are_killed_under_load_decide_nothing_wrong_and_lose_no_edit(cluster: Cluster) -> None:
    pause = threading.Event()
    with Load(cluster, threads=1) as seen, ThreadPoolExecutor(2) as pool:
        editing = [
            pool.submit(grant, cluster, seen, editor=name, times=8, pause=lambda: pause.wait(0.2))
            for name in ("one", "two")
        ]
        for each in cluster.replicas[:2]:
            each.kill()
            each.start(ahead=each is cluster.replicas[0])
            each.wait()
        for done in editing:
            done.result()
    check(cluster, seen)
    assert seen.loaded
    assert seen.wrong == []
    assert len(seen.saved) == 16
    assert seen.lost == []
    for each in cluster.replicas:
        with cluster.tab("one0", at=each) as tab:
            assert opened(tab), f"{each.name}: an edit made while it was away is not in force"
