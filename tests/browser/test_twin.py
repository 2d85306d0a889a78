"""The same attempts on an app that guards by hand succeed: so it is the guard that holds in the sample app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    Visit = Callable[[str], Page]


def test_a_hidden_link_does_not_close_an_address(visit_twin: Visit) -> None:
    page = visit_twin("vic")
    page.goto("/")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text("billing")).to_have_count(0)
    page.goto("/billing")
    expect(page.get_by_text("Northwind Hosting")).to_be_visible()


def test_a_check_at_the_top_of_a_page_does_not_stop_its_callback(visit_twin: Visit) -> None:
    page = visit_twin("cora")
    page.goto("/reports")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("You may not export.")).to_be_visible()
    expect(page.get_by_role("button", name="Save it")).to_be_visible()
