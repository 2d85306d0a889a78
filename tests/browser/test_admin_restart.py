"""A restart of the server while somebody edits the policy: the text in the browser goes on in the new session."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, expect

from stguard import edits
from tests.hostile import client
from tests.hostile.arena import ROOT, claims, stop, wait_until_answers
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = """stguard: 1
roles: {keeper: {allow: "policy:*"}}
assign: [{role: keeper, email: ada@acme.com}]
pages: {home: signed_in}
"""

MAIN = """
import streamlit as st
import stguard as sg
def home():
    st.title("Home")
sg.navigation([st.Page(home, default=True), sg.admin_page()]).run()
"""


@dataclass(frozen=True, slots=True)
class App:
    """An app on one address, that keeps its cookie secret when it is started again."""

    folder: Path
    address: str
    secret: str

    @classmethod
    def written(cls, folder: Path) -> App:
        app = cls(folder, f"127.0.0.1:{unused()}", secrets.token_hex(32))
        (folder / ".streamlit").mkdir()
        (folder / ".streamlit" / "secrets.toml").write_text(
            f'[auth]\nredirect_uri = "{app.url}/oauth2callback"\ncookie_secret = "{app.secret}"\n'
            'client_id = "x"\nclient_secret = "x"\nserver_metadata_url = "http://localhost:9/.well-known"\n'
        )
        (folder / "main.py").write_text(MAIN)
        (folder / "policy.yaml").write_text(POLICY)
        return app

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def cookies(self) -> dict[str, str]:
        """Return the cookies of a browser in which Ada has signed in."""
        return client.Browser(self.address, secret=self.secret, claims=claims("ada@acme.com")).cookies

    @contextmanager
    def running(self) -> Iterator[None]:
        port = self.address.rpartition(":")[2]
        environment = {key: value for key, value in os.environ.items() if key != "STGUARD_POLICY"}
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "main.py", "--server.address=127.0.0.1",
             "--server.headless=true", f"--server.port={port}"],
            cwd=self.folder,
            env={**environment, "PYTHONPATH": str(ROOT), "HOME": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_answers("127.0.0.1", int(port), "/_stcore/health", process)
            yield
        finally:
            stop(process)


def test_what_was_typed_survives_a_restart_of_the_server(chromium: Browser, tmp_path: Path) -> None:
    app = App.written(tmp_path)
    with chromium.new_context(base_url=app.url) as context:
        context.add_cookies([{"name": name, "value": value, "url": app.url} for name, value in app.cookies().items()])
        page = context.new_page()
        connecting = page.get_by_test_id("stStatusWidget").get_by_text("Connecting")
        with app.running():
            page.goto("/admin")
            page.get_by_test_id("stButtonGroup").get_by_text("Policy", exact=True).click()
            area = page.get_by_label("The policy.")
            area.press("Control+End")
            page.keyboard.type("# before\n")
            expect(page.get_by_role("button", name="Throw my changes away")).to_be_visible()
        expect(connecting).to_be_visible()
        page.keyboard.type("# while it was down\n")
        with app.running():
            expect(connecting).to_have_count(0)
            page.keyboard.type("rolse")
            # The new session has drawn the page: asked for after 5 s, then after 10 and 20 more.
            expect(page.locator(".line.error")).to_have_count(1, timeout=60_000)
            for _ in "rolse":
                page.keyboard.press("Backspace")
            page.keyboard.type("# after\n")
            expect(page.locator(".line.error")).to_have_count(0)
            page.get_by_role("button", name="Show what this changes").click()
            expect(page.get_by_text("Nobody gains or loses anything by it.")).to_be_visible()
            text = f"{POLICY}# before\n# while it was down\n# after\n"
            expect(area).to_have_value(text)
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_text("Saved. It is in force from now on.").first).to_be_visible()
            assert (tmp_path / "policy.yaml").read_text() == text


def test_what_somebody_else_saved_during_a_restart_is_shown_and_not_overwritten(
    chromium: Browser, tmp_path: Path
) -> None:
    app = App.written(tmp_path)
    policy = tmp_path / "policy.yaml"
    edits.change(policy, POLICY + "# first\n", author="test")
    with chromium.new_context(base_url=app.url) as context:
        context.add_cookies([{"name": name, "value": value, "url": app.url} for name, value in app.cookies().items()])
        page = context.new_page()
        connecting = page.get_by_test_id("stStatusWidget").get_by_text("Connecting")
        with app.running():
            page.goto("/admin")
            page.get_by_test_id("stButtonGroup").get_by_text("Policy", exact=True).click()
            page.get_by_label("The policy.").press("Control+End")
            page.keyboard.type("# mine\n")
            expect(page.get_by_role("button", name="Throw my changes away")).to_be_visible()
        expect(connecting).to_be_visible()
        edits.change(policy, POLICY + "# first\n# theirs\n", author="test")
        with app.running():
            expect(connecting).to_have_count(0)
            page.keyboard.type("# more\n")
            theirs = page.get_by_text("Somebody else has changed the policy since you opened it.")
            expect(theirs).to_be_visible(timeout=60_000)
            expect(page.get_by_label("The policy.")).to_have_value(f"{POLICY}# first\n# mine\n# more\n")
            expect(page.get_by_text("+# theirs")).to_be_visible()
            expect(page.get_by_role("button", name="Show what this changes")).to_have_count(0)
            assert policy.read_text().endswith("# theirs\n")
