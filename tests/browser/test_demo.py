from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from stguard import demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stguard.dev import Server
    from stguard.policy import Policy

    Visit = Callable[[str], Page]
    SignIn = Callable[[Page, str], None]

BILLING = "Northwind Hosting"
"""Stands on the page Billing only."""


def menu(page: Page) -> list[str]:
    """Return the url paths of the menu's entries, in order; the default page as `home`."""
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    links = page.get_by_test_id("stSidebarNavLink")
    expect(links.first).to_be_visible()
    return [urlsplit(link.get_attribute("href") or "").path.strip("/") or "home" for link in links.all()]


def expected_menu(policy: Policy, *, sub: str, org: str | None) -> set[str]:
    person = next(person for person in demo.PEOPLE if person.sub == sub)
    subject = policy.subject({"sub": sub, **person.claims})
    return {*policy.pages(subject, org=org), "settings"}  # settings is locked where it isn't open


def heading(page: Page, text: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("heading", name=text).first).to_be_visible()


def shows_nothing_of_billing(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    assert BILLING not in page.content()


def test_signing_in_leads_through_the_provider_to_the_app(visit: Visit, sign_in: SignIn) -> None:
    page = visit("nobody")
    sign_in(page, "ann")
    heading(page, "Hello, Ann")


@pytest.mark.parametrize(
    ("sub", "org"), [("ann", "acme"), ("vic", "globex"), ("cora", "acme"), ("sam", "globex"), ("val", None)]
)
def test_the_menu_holds_exactly_the_pages_of_the_policy(
    visit: Visit, policy: Policy, sub: str, org: str | None
) -> None:
    page = visit(sub)
    page.goto(f"/?org={org}" if org else "/")
    heading(page, "Hello")
    assert set(menu(page)) == expected_menu(policy, sub=sub, org=org)


def test_without_a_login_only_the_public_page_opens(visit: Visit) -> None:
    page = visit("nobody")
    page.goto("/status")
    heading(page, "Status")
    page.goto("/billing")
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    shows_nothing_of_billing(page)


def test_the_address_of_a_refused_page_sends_nothing_of_it(visit: Visit) -> None:
    page = visit("vic")
    received: list[bytes] = []
    page.on(
        "websocket",
        lambda socket: socket.on(
            "framereceived", lambda data: received.append(data.encode() if isinstance(data, str) else data)
        ),
    )
    page.goto("/billing")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    shows_nothing_of_billing(page)
    assert received, "no frame was seen"
    assert not any(BILLING.encode() in frame for frame in received)


def test_a_locked_page_shows_in_the_menu_and_does_not_open(visit: Visit) -> None:
    page = visit("vic")
    page.goto("/settings")
    expect(page.get_by_test_id("stMain").get_by_text("You don't have access to this.")).to_be_visible()
    expect(page.get_by_text("Who may do what")).to_have_count(0)


def test_another_org_brings_another_menu(visit: Visit, policy: Policy) -> None:
    page = visit("ann")
    page.goto("/?org=acme")
    heading(page, "Hello, Ann")
    assert set(menu(page)) == expected_menu(policy, sub="ann", org="acme")
    page.get_by_role("combobox", name=re.compile("Organization")).click()
    page.get_by_role("option", name="Globex").click()
    expect(page.get_by_test_id("stSidebarNavLink").filter(has_text="Billing")).to_have_count(0)
    assert set(menu(page)) == expected_menu(policy, sub="ann", org="globex")


def test_an_org_from_the_address_is_only_a_wish(visit: Visit, policy: Policy) -> None:
    page = visit("vic")
    page.goto("/?org=acme")
    heading(page, "Hello, Vic")
    expect(page.get_by_text("This link is for an organization you are not a member of.")).to_be_visible()
    assert set(menu(page)) == expected_menu(policy, sub="vic", org=None)


def choose(page: Page, org: str) -> None:
    page.get_by_role("combobox", name=re.compile("Organization")).click()
    page.get_by_role("option", name=org).click()
    in_org(page, org)


def in_org(page: Page, org: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_text(f"You work in {org}")).to_be_visible()


def test_the_org_chosen_last_is_there_after_a_reload_and_in_a_new_tab(visit: Visit) -> None:
    page = visit("ann")
    page.goto("/?org=acme")
    in_org(page, "Acme Inc")
    choose(page, "Globex")
    page.reload()
    in_org(page, "Globex")
    page.goto("/")
    in_org(page, "Globex")
    other = page.context.new_page()
    other.goto("/")
    in_org(other, "Globex")
    choose(other, "Acme Inc")
    choose(page, "Globex")
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Status").click()
    heading(page, "Status")
    other.get_by_test_id("stSidebarNavLink").filter(has_text="Status").click()
    heading(other, "Status")
    for tab, org in ((page, "Globex"), (other, "Acme Inc")):  # each tab is where it was
        tab.get_by_test_id("stSidebarNavLink").filter(has_text="Home").click()
        in_org(tab, org)


def test_who_signs_in_after_another_in_one_browser_begins_in_their_own_org(visit: Visit, sign_in: SignIn) -> None:
    page = visit("nobody")
    sign_in(page, "sam")
    choose(page, "Acme Inc")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    sign_in(page, "vic")
    in_org(page, "Globex")


def test_a_membership_that_ends_is_told_and_the_only_org_left_takes_its_place(visit: Visit, policy_file: Path) -> None:
    page = visit("ann")
    page.goto("/?org=globex")
    in_org(page, "Globex")
    before = policy_file.read_text()
    rules = before.partition("tests:")[0]
    # By the role that edits the policy she is a member everywhere.
    ends = ("id: ann-in-globex,", "id: policy-admin,")
    try:
        kept = [line for line in rules.splitlines(keepends=True) if not any(each in line for each in ends)]
        policy_file.write_text("".join(kept))
        page.get_by_test_id("stSidebarNavLink").filter(has_text="Reports").click()
        expect(page.get_by_text("You are no longer a member of Globex.")).to_be_visible()
        heading(page, "Reports")
        expect(page.get_by_test_id("stSidebarNavLink").filter(has_text="Billing")).to_be_visible()  # Acme's menu
        page.get_by_test_id("stSidebarNavLink").filter(has_text="Status").click()
        heading(page, "Status")
        expect(page.get_by_text("You are no longer a member of Globex.")).to_have_count(0)
    finally:
        policy_file.write_text(before)


def test_a_refused_callback_does_nothing_and_says_so(visit: Visit) -> None:
    page = visit("cora")
    page.goto("/reports?org=acme")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("You don't have access to this.")).to_be_visible()
    expect(page.get_by_text("The file is ready")).to_have_count(0)
    heading(page, "Reports")


def test_an_allowed_callback_runs(visit: Visit) -> None:
    page = visit("ann")
    page.goto("/reports?org=acme")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("The file is ready")).to_be_visible()


@contextmanager
def stopped(policy_file: Path, permission: str, email: str) -> Iterator[None]:
    """Take a permission away from somebody while they look."""
    before = policy_file.read_text()
    line = f'forbid:\n  - {{id: stopped, permission: "{permission}", email: {email}}}\n'
    try:
        policy_file.write_text(before.partition("tests:")[0].replace("forbid:\n", line))
        yield
    finally:
        policy_file.write_text(before)


def test_a_fragment_that_is_open_refuses_what_was_taken_away_meanwhile(visit: Visit, policy_file: Path) -> None:
    page = visit("cora")
    page.goto("/reports?org=acme")
    expect(page.get_by_text("By region")).to_be_visible()
    with stopped(policy_file, "report:view", "cora@ruiz.example"):
        page.get_by_role("button", name="Platform").click()
        expect(page.get_by_text("You don't have access to this.").first).to_be_visible()
        expect(page.get_by_text("By region")).to_have_count(0)


def test_a_dialog_that_is_open_refuses_what_was_taken_away_meanwhile(visit: Visit, policy_file: Path) -> None:
    page = visit("ann")
    page.goto("/members?org=acme")
    page.get_by_role("button", name="Invite").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("E-mail")).to_be_visible()
    with stopped(policy_file, "member:invite", "ann@acme.com"):
        dialog.get_by_label("E-mail").fill("kim@acme.com")
        dialog.get_by_label("E-mail").press("Enter")
        expect(dialog.get_by_text("You don't have access to this.")).to_be_visible()
        expect(dialog.get_by_role("button", name="Send")).to_have_count(0)


def test_a_dialog_that_may_go_on_does(visit: Visit) -> None:
    page = visit("ann")
    page.goto("/members?org=acme")
    page.get_by_role("button", name="Invite").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill("kim@acme.com")
    dialog.get_by_label("E-mail").press("Enter")
    dialog.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Invited kim@acme.com")).to_be_visible()


def test_signing_out_closes_what_was_open(visit: Visit, sign_in: SignIn) -> None:
    page = visit("nobody")
    sign_in(page, "sam")
    page.goto("/billing?org=acme")
    expect(page.get_by_text(BILLING)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    page.goto("/billing?org=acme")
    expect(page.get_by_test_id("stMain").get_by_role("button", name="Sign in")).to_be_visible()
    shows_nothing_of_billing(page)


def test_an_edit_of_the_policy_counts_from_the_next_click(visit: Visit, policy_file: Path) -> None:
    page = visit("vic")
    page.goto("/")
    assert "billing" not in menu(page)
    before = policy_file.read_text()
    rules, staff, rest = before.partition("tests:")[0].partition("{id: globex-staff,  role: viewer,")
    assert staff
    try:
        policy_file.write_text(rules + staff.replace("viewer", "approver") + rest)
        billing = page.get_by_test_id("stSidebarNavLink").filter(has_text="Billing")
        expect(billing).to_have_count(0)
        page.get_by_test_id("stSidebarNavLink").filter(has_text="Reports").click()
        expect(billing).to_be_visible()
    finally:
        policy_file.write_text(before)


def test_an_edit_that_fails_a_test_of_the_policy_changes_nothing(visit: Visit, policy_file: Path) -> None:
    before = policy_file.read_text()
    try:
        policy_file.write_text(before.replace("status:   public", "status:   signed_in"))
        assert policy_file.read_text() != before
        page = visit("nobody")
        page.goto("/status")
        heading(page, "Status")
    finally:
        policy_file.write_text(before)


def test_no_page_of_the_sample_app_fails(visit: Visit) -> None:
    page = visit("ann")
    for path in ("", "reports", "billing", "members", "settings", "status"):
        page.goto(f"/{path}?org=acme")
        heading(page, path.capitalize() if path else "Hello, Ann")
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        expect(page.get_by_test_id("stException")).to_have_count(0)


def test_nobody_finds_a_page_that_does_not_exist(visit: Visit, sample: Server) -> None:
    page = visit("val")
    page.goto(f"{sample.url}/secret")
    heading(page, "Hello, Val")
