"""What README and the documentation show is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from stguard import Policy
from stguard.testing import as_user

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall((ROOT / name).read_text(encoding="utf-8")) if kind == language]


@pytest.fixture
def readme_app(tmp_path: Path) -> AppTest:
    (app,) = blocks("README.md", "python")
    (policy,) = blocks("README.md", "yaml")
    (tmp_path / "app.py").write_text(app, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(policy, encoding="utf-8")
    return AppTest.from_file(str(tmp_path / "app.py"), default_timeout=30)


def test_the_readme_app_has_at_most_twelve_lines() -> None:
    (app,) = blocks("README.md", "python")
    assert len([line for line in app.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize(("email", "may_export"), [("ann@acme.com", True), ("bob@acme.com", False)])
def test_the_readme_app_shows_each_person_what_the_policy_says(
    readme_app: AppTest, email: str, *, may_export: bool
) -> None:
    claims = {"sub": email, "name": "A", "email": email, "email_verified": True, "groups": [], "roles": []}
    ran = as_user(readme_app, claims | {"is_logged_in": True}).run()
    assert not ran.exception
    assert ran.markdown[0].value == "Hello, A."
    policy = Policy.from_yaml(blocks("README.md", "yaml")[0])
    assert policy.allows(policy.subject(claims), "report:export") is may_export


@pytest.mark.parametrize("text", blocks("docs/policy.md", "yaml"))
def test_each_policy_in_the_documentation_loads_without_errors(text: str) -> None:
    assert Policy.from_yaml(text).page_names


@pytest.mark.parametrize("text", blocks("docs/serving.md", "python"))
def test_each_server_in_the_documentation_makes_an_app(text: str, tmp_path: Path) -> None:
    # In a process of its own, as it is served: Streamlit remembers the main script of the process it is in.
    (tmp_path / "main.py").write_text("import streamlit as st\n", encoding="utf-8")
    (tmp_path / "server.py").write_text(text, encoding="utf-8")
    code = "import server; print(type(server.app).__name__)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout == "App\n", ran.stderr


def test_the_log_of_the_documentation_is_json(tmp_path: Path) -> None:
    (code,) = blocks("docs/operations.md", "python")
    code += 'log.getChild("decision").info("refused", extra={"reason": "not_granted"})\n'
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    line = json.loads(ran.stderr)
    assert (line["name"], line["message"], line["reason"]) == ("stguard.decision", "refused", "not_granted")


def test_each_policy_about_operations_loads_with_what_stands_around_it() -> None:
    (text,) = blocks("docs/operations.md", "yaml")
    policy = Policy.from_yaml("stguard: 1\npermissions: {ops: [view]}\n" + text)
    assert {"health", "metrics"} <= set(policy.parts.pages)


@pytest.mark.parametrize("text", blocks("docs/identity.md", "python"))
def test_each_identity_source_in_the_documentation_can_be_configured(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROPELAUTH_API_KEY", "LDAP_PASSWORD", "COOKIE_KEY"):
        monkeypatch.setenv(name, "a-secret-that-is-long-enough-and-random")
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "home.py").write_text("", encoding="utf-8")
    (tmp_path / "policy.yaml").write_text("stguard: 1\npages: {home: signed_in}\n", encoding="utf-8")
    start = "import os\nimport streamlit as st\nimport stguard as sg\n"
    (tmp_path / "app.py").write_text(start + text, encoding="utf-8")
    ran = AppTest.from_file(str(tmp_path / "app.py"), default_timeout=30).run()
    assert not ran.exception
