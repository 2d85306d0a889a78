"""An app on disk, as an author has it: a main script, views, a policy; run through Streamlit's own AppTest."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from stguard.app import settings
from stguard.testing import as_user

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stguard.audit import Trail

POLICY = """
stguard: 1
permissions: {report: [view, export], billing: [view]}
roles:
  viewer: {allow: "report:view"}
  analyst: {inherits: viewer, allow: "report:export"}
  admin: {allow: "*:*"}
assign:
  - {role: viewer, email: vera@acme.com}
  - {role: analyst, email: ann@acme.com}
  - {role: admin, email: ada@acme.com}
pages:
  home: signed_in
  status: public
  reports: {permission: "report:view"}
  settings: {role: admin}
"""

ORGS = """
stguard: 1
permissions: {report: [view, export]}
orgs: {acme: {name: Acme Inc}, globex: {name: Globex}}
roles:
  viewer: {allow: "report:view"}
  analyst: {inherits: viewer, allow: "report:export"}
assign:
  - {role: analyst, org: acme, email: ann@acme.com}
  - {role: viewer, org: globex, email: ann@acme.com}
  - {role: viewer, org: acme, email: vera@acme.com}
pages:
  home: signed_in
  reports: {permission: "report:view"}
  exports: {permission: "report:export"}
"""


def claims(name: str) -> dict[str, Any]:
    return {
        "iss": "https://idp.example",
        "sub": name,
        "name": name.title(),
        "email": f"{name}@acme.com",
        "email_verified": True,
        "groups": [],
        "roles": [],
    }


@dataclass(frozen=True, slots=True)
class Desk:
    """One app's folder, and how to run it."""

    folder: Path

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def main(self, text: str) -> Desk:
        self.write("main.py", "import streamlit as st\nimport stguard as sg\n" + textwrap.dedent(text))
        return self

    def policy(self, text: str) -> Desk:
        self.write("policy.yaml", text)
        return self

    def views(self, *names: str) -> Desk:
        for name in names:
            self.write(f"views/{name}.py", f"import streamlit as st\nst.title('{name} content')\n")
        return self

    def app(self, who: str | Mapping[str, Any] | None = None) -> AppTest:
        at = AppTest.from_file(self.folder / "main.py", default_timeout=30)
        return as_user(at, claims(who) if isinstance(who, str) else who)

    def raw(self, user: Mapping[str, Any], at: AppTest | None = None) -> AppTest:
        """Return the app with exactly this in `st.user`, signed in or not."""
        at = self.app() if at is None else at
        # Before 1.67 an AppTest has no `user`; `as_user` has then made a place for it.
        setattr(at, "user" if hasattr(at, "user") else "_stguard_user", dict(user))
        return at

    def run(self, who: str | Mapping[str, Any] | None = None) -> AppTest:
        return self.app(who).run()

    @property
    def trail(self) -> Trail:
        """Return the audit trail of this app; other apps of this process have their own."""
        trail = settings._by_script[str(self.folder / "main.py")].trail
        assert trail is not None
        return trail


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.delenv("STGUARD_POLICY", raising=False)
    return Desk(tmp_path).policy(POLICY)


@pytest.fixture
def orgs(desk: Desk) -> Desk:
    return desk.policy(ORGS)


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the next runs ask for a page by its address, as a browser's first request does."""

    def ask(path: str) -> None:
        def set_script_intent(self: Any, _page_script_hash: str, _page_name: str) -> None:
            self._intended_page_script_hash = ""
            self._intended_page_name = path

        monkeypatch.setattr(PagesManager, "set_script_intent", set_script_intent)

    return ask


@pytest.fixture(name="claims")
def claims_of() -> Any:
    return claims


def shown(at: AppTest) -> str:
    """Return everything that the page says, as one text."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "text", "error", "info", "warning", "exception")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(at, kind))


@pytest.fixture(name="shown")
def shown_of() -> Any:
    return shown


@dataclass(slots=True)
class Menu:
    """What the last run handed to `st.navigation`."""

    sections: dict[str, list[Any]]
    options: dict[str, Any]

    def __call__(self) -> list[str]:
        return [page.url_path or "/" for pages in self.sections.values() for page in pages]

    def page(self, name: str) -> Any:
        return next(page for pages in self.sections.values() for page in pages if page._url_path == name)


@pytest.fixture
def menu(monkeypatch: pytest.MonkeyPatch) -> Menu:
    seen = Menu({}, {})
    real = st.navigation

    def navigation(pages: Any, **options: Any) -> Any:
        current = real(pages, **options)
        seen.sections = dict(pages) if isinstance(pages, dict) else {"": list(pages)}
        seen.options = options
        return current

    monkeypatch.setattr(st, "navigation", navigation)
    return seen
