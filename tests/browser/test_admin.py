"""The admin page in a browser: why not, a grant until a day, its effect in another tab, the way back, the lock-out."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from stguard import demo, dev
from stguard.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    SignIn = Callable[[Page, str], None]

PREVIEW = "Show what this changes"


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    return Path(shutil.copy(demo.POLICY, tmp_path))


@pytest.fixture
def url(policy_path: Path) -> Iterator[str]:
    with dev.serve(demo.APP, policy=policy_path, people=demo.PEOPLE, user_secrets=False) as server:
        yield server.url


def tab(page: Page, name: str) -> None:
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).click()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_test_id("stMain").get_by_role("combobox", name=label).first.click()
    page.get_by_role("option", name=option, exact=True).click()


def links(page: Page, name: str) -> Locator:
    return page.get_by_test_id("stSidebarNavLink").filter(has_text=name)


def test_an_admin_finds_out_why_grants_until_a_day_and_restores(
    chromium: Browser, url: str, policy_path: Path, sign_in: SignIn
) -> None:
    before = policy_path.read_text()
    with chromium.new_context(base_url=url) as hers, chromium.new_context(base_url=url) as his:
        ann, val = hers.new_page(), his.new_page()
        sign_in(val, "val")
        val.goto("/reports")
        expect(val.get_by_role("button", name="Log out")).to_be_visible()
        expect(links(val, "Reports")).to_have_count(0)
        val.keyboard.press("Escape")  # the dialog that says that there is no such page

        # Why can't Val see Reports?
        sign_in(ann, "ann")
        ann.get_by_test_id("stSidebarNavLink").filter(has_text="Access control").click()
        tab(ann, "Refusals")
        ann.get_by_text(re.compile("Val Holt · .* · page reports")).click()
        expect(ann.get_by_text("They are not a member of this organization.").or_(
            ann.get_by_text("They are not in an organization")).first).to_be_visible()  # fmt: skip
        ann.get_by_role("button", name="Grant this…").click()

        # A role until a day, after a look at what it changes.
        choose(ann, "Where", "Acme Inc")
        last = datetime.now(tz=UTC).date() + timedelta(days=5)
        day = ann.get_by_test_id("stDateInput")
        day.get_by_role("spinbutton").first.click()
        ann.keyboard.type(f"{last:%Y%m%d}")
        ann.get_by_role("textbox", name="Reason").fill("until Friday")
        ann.get_by_role("button", name=PREVIEW).first.click()
        expect(ann.get_by_text("More than before")).to_be_visible()
        assert policy_path.read_text() == before
        ann.get_by_role("button", name="Save").click()
        expect(ann.get_by_text("Saved. It is in force from now on.").first).to_be_visible()
        given = next(each for each in Policy.load(policy_path).parts.assignments if each.reason == "until Friday")
        assert given.until is not None
        assert abs(given.until - datetime(last.year, last.month, last.day, tzinfo=UTC).timestamp() - 86400) < 86400

        # Val's open tab has the page at the next click.
        val.get_by_test_id("stSidebarNavLink").filter(has_text="Status").click()
        expect(links(val, "Reports")).to_have_count(1)

        # The way back.
        tab(ann, "History")
        ann.get_by_role("combobox", name="Look at a version").click()
        ann.get_by_role("option").last.click()
        ann.get_by_role("button", name="Bring this version back").click()
        expect(ann.get_by_text("Less than before")).to_be_visible()
        ann.get_by_role("button", name="Save").click()
        expect(ann.get_by_role("button", name="Save")).to_have_count(0)
        assert policy_path.read_text() == before
        val.get_by_test_id("stSidebarNavLink").filter(has_text="Home").click()
        expect(links(val, "Reports")).to_have_count(0)


def test_an_admin_is_kept_from_locking_everyone_out(
    chromium: Browser, url: str, policy_path: Path, sign_in: SignIn
) -> None:
    before = policy_path.read_text()
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        sign_in(ann, "ann")
        ann.get_by_test_id("stSidebarNavLink").filter(has_text="Access control").click()
        choose(ann, "Person", "Ann Lee · ann@acme.com")
        expect(ann.get_by_role("heading", name="Ann Lee")).to_be_visible()
        expect(ann.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        take = ann.get_by_test_id("stExpander").filter(has_text="Take a role away")
        take.get_by_text("Take a role away").click()
        expect(take.get_by_role("button", name=PREVIEW)).to_be_visible()
        role = take.get_by_role("combobox", name="Role")
        for _ in range(5):  # the list closes when the page is drawn anew under it
            role.click()
            with suppress(PlaywrightTimeoutError):
                ann.get_by_role("option").filter(has_text="policy_admin").click(timeout=3000)
                break
        take.get_by_role("button", name=PREVIEW).click()
        expect(ann.get_by_text("a test in the policy says that it must not be so")).to_be_visible()
        ann.get_by_role("button", name="Back").click()
        tab(ann, "Policy")
        area = ann.get_by_label("The policy.")
        area.fill(before.replace('allow: "policy:*"', 'allow: "policy:view"'))
        area.press("Control+Enter")
        ann.get_by_role("button", name=PREVIEW).click()
        expect(ann.get_by_text("nobody could edit the policy any more")).to_be_visible()
        ann.get_by_role("button", name="Save").click()
        expect(ann.get_by_text("type: lock everyone out").nth(1)).to_be_visible()
        assert policy_path.read_text() == before


def open_policy(page: Page, sign_in: SignIn) -> Locator:
    sign_in(page, "ann")
    links(page, "Access control").click()
    tab(page, "Policy")
    area = page.get_by_label("The policy.")
    expect(area).to_be_visible()
    return area


def wrong(page: Page) -> Locator:
    """Return the lines that are marked as wrong beside the text."""
    return page.locator(".line.error")


def caret(area: Locator) -> int:
    found: int = area.evaluate("area => area.selectionStart")
    return found


def test_a_mistake_is_marked_at_its_line_while_it_is_typed(
    chromium: Browser, url: str, policy_path: Path, sign_in: SignIn
) -> None:
    before = policy_path.read_text()
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        area = open_policy(ann, sign_in)
        expect(ann.get_by_role("button", name=PREVIEW)).to_be_disabled()

        # A wrong key: the mark comes without any other key, and the caret stays where it is.
        area.press("Control+End")
        ann.keyboard.type("rolse: {}", delay=20)
        line = before.count("\n") + 1
        expect(wrong(ann)).to_have_text(str(line))
        expect(wrong(ann)).to_have_attribute("title", re.compile("rolse"))
        expect(area).to_have_attribute("aria-invalid", "true")
        expect(ann.get_by_role("status").filter(has_text="1 thing to mend")).to_be_visible()
        expect(area).to_be_focused()
        assert caret(area) == len(before + "rolse: {}")

        # Mended, the mark goes as it came.
        for _ in "rolse: {}":
            ann.keyboard.press("Backspace")
        ann.keyboard.type("# more", delay=20)
        expect(wrong(ann)).to_have_count(0)
        expect(area).to_have_attribute("aria-invalid", "false")
        expect(ann.get_by_role("button", name=PREVIEW)).to_be_enabled()

        # What is typed while it is checked stays, letter by letter; so does the way back.
        words = [f" {number}{letter}" for number in range(3) for letter in "abcd"]
        for number, word in enumerate(words):
            ann.keyboard.type(word, delay=10)
            ann.wait_for_timeout(380 + 22 * number)
        text = f"{before}# more{''.join(words)}"
        assert area.input_value() == text
        ann.keyboard.press("Control+z")
        undone = area.input_value()
        assert len(undone) < len(text)
        assert text.startswith(undone)
        ann.wait_for_timeout(1000)
        assert area.input_value() == undone
        ann.keyboard.press("Control+Shift+z")
        assert area.input_value() == text

        # Saved as it stands, though the last letters were typed just before the click.
        ann.keyboard.type(" last")
        ann.get_by_role("button", name=PREVIEW).click()
        expect(ann.get_by_text("Nobody gains or loses anything by it.")).to_be_visible()
        ann.get_by_role("button", name="Save").click()
        expect(ann.get_by_text("Saved. It is in force from now on.").first).to_be_visible()
        assert policy_path.read_text() == text + " last"
        assert area.input_value() == text + " last"


def test_what_is_typed_while_somebody_else_saves_is_kept_beside_theirs(
    chromium: Browser, url: str, policy_path: Path, sign_in: SignIn
) -> None:
    before = policy_path.read_text()
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        area = open_policy(ann, sign_in)
        area.press("Control+End")
        policy_path.write_text(before + "# theirs\n")
        here = links(ann, "Access control")
        # The page is drawn anew before the pause is over; a click by script takes the focus from nothing.
        here.evaluate(
            """(link) => {
                 const area = document.querySelector(".st-key-stguard_admin_text .stBidiComponent [data-testid]")
                   .shadowRoot.querySelector("textarea")
                 area.setRangeText("# mine\\n", area.value.length, area.value.length, "end")
                 area.dispatchEvent(new Event("input"))
                 link.click()
               }"""
        )
        expect(ann.get_by_text("Somebody else has changed the policy since you opened it.")).to_be_visible()
        assert area.input_value() == before + "# mine\n"
        ann.get_by_role("button", name="Throw my changes away").click()
        expect(area).to_have_value(before + "# theirs\n")
        expect(ann.get_by_text("Somebody else has changed the policy")).to_have_count(0)


def test_a_click_on_a_problem_leads_to_its_line_and_nothing_of_the_text_becomes_html(
    chromium: Browser, url: str, sign_in: SignIn
) -> None:
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        area = open_policy(ann, sign_in)
        html = "<img src=x onerror=\"document.title='taken over'\">"
        area.fill("\n" * 200 + f"'{html}': 1\n" + "</textarea><script>document.title='taken over'</script>\n" * 3)
        area.press("Control+Enter")
        problem = ann.get_by_role("button", name=re.compile("^Line 20"))
        expect(problem.first).to_be_visible()
        problem.first.click()
        expect(area).to_be_focused()
        assert area.evaluate("area => area.value.slice(0, area.selectionStart).split('\\n').length") > 200
        expect(wrong(ann).first).to_be_visible()
        assert ann.locator(".stBidiComponent img").count() == 0
        assert "taken over" not in ann.title()


def test_the_keyboard_leaves_the_text_as_it_leaves_any_other_field(
    chromium: Browser, url: str, sign_in: SignIn
) -> None:
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        area = open_policy(ann, sign_in)
        before = area.input_value()
        area.press("Tab")
        expect(area).not_to_be_focused()
        ann.keyboard.press("Shift+Tab")
        expect(area).to_be_focused()
        assert area.input_value() == before


def test_an_admin_sees_the_app_as_somebody_and_can_do_nothing_there(
    chromium: Browser, url: str, policy_path: Path, sign_in: SignIn
) -> None:
    with chromium.new_context(base_url=url) as context:
        ann = context.new_page()
        sign_in(ann, "cora")
        context.clear_cookies()
        ann = context.new_page()
        sign_in(ann, "ann")
        ann.get_by_test_id("stSidebarNavLink").filter(has_text="Access control").click()
        choose(ann, "Person", "Cora Ruiz · cora@ruiz.example")
        ann.get_by_role("button", name="See the app as this person").click()

        # Menu, page and user menu are Cora's.
        banner = ann.get_by_test_id("stMain").get_by_text("You see the app as")
        expect(banner).to_be_visible()
        expect(ann.get_by_role("heading", name="Hello, Cora")).to_be_visible()
        expect(links(ann, "Access control")).to_have_count(0)

        # A click does nothing, and says so.
        links(ann, "Reports").click()
        ann.get_by_role("button", name="Export").click()
        expect(ann.get_by_text("Your click did nothing")).to_be_visible()
        expect(banner).to_be_visible()

        # Back where it began.
        ann.get_by_role("button", name="Stop").click()
        expect(ann.get_by_role("heading", name="Cora Ruiz")).to_be_visible()
        expect(banner).to_have_count(0)
        expect(ann).to_have_url(re.compile("/admin$"))

        # It ends with the right, and nothing opens before that was seen.
        ann.get_by_role("button", name="See the app as this person").click()
        expect(ann.get_by_role("heading", name="Hello, Cora")).to_be_visible()
        text = policy_path.read_text().partition("\ntests:")[0]
        policy_path.write_text(text.replace('allow: "policy:*"', 'allow: "policy:view"'))
        links(ann, "Reports").click()
        expect(ann.get_by_text("You no longer see the app as")).to_be_visible()
        expect(links(ann, "Reports")).to_have_count(0)
        ann.get_by_role("button", name="Go on as yourself").click()
        expect(links(ann, "Access control")).to_have_count(1)
