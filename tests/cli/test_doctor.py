from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.runtime.secrets import secrets_singleton

from stguard.app import survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Run

COOKIE = "a-cookie-secret-of-forty-odd-characters"
CANARY = "canary-0123456789"
GOOD = {
    "REDIRECT_URI": "http://localhost:8501/oauth2callback",
    "COOKIE_SECRET": COOKIE,
    "OKTA_CLIENT_ID": "the-id",
    "OKTA_CLIENT_SECRET": "the-secret",
    "OKTA_SUBDOMAIN": "acme",
}
ANN = {
    "iss": "https://acme.okta.com",
    "sub": "1",
    "email": "ann@acme.com",
    "email_verified": True,
    "groups": ["staff"],
}


@pytest.fixture
def here(team: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run a command in a folder with a policy, as a process of its own would find Streamlit's settings there."""
    monkeypatch.setattr(st.config, "_main_script_path", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[client]\nshowErrorDetails = "none"\n')
    st.config.get_config_options(force_reparse=True)
    secrets_singleton._reset()
    yield team
    monkeypatch.undo()
    secrets_singleton._reset()
    st.config.get_config_options(force_reparse=True)


def claims(folder: Path, entries: dict[str, Any]) -> str:
    (folder / "claims.json").write_text(json.dumps(entries), encoding="utf-8")
    return "claims.json"


def test_a_good_setup_is_fine(here: Run) -> None:
    ran = here("doctor", env=GOOD)
    assert (ran.code, ran.out, ran.err) == (0, "0 errors, 0 warnings\n", "")
    assert here("doctor", "--json", env=GOOD).json == {"ok": True, "findings": [], "claims": {}}


def test_each_finding_says_why_and_what_to_do_and_errors_exit_with_1(here: Run, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "secret.py").touch()
    ran = here("doctor", env={**GOOD, "COOKIE_SECRET": "short", "STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION": "false"})
    assert ran.code == 1
    assert "error[pages-folder] Scripts lie in a folder `pages` beside the main script.\n  why: " in ran.out
    assert "error[xsrf]" in ran.out
    assert "`COOKIE_SECRET`: expected 32 characters or more, got 5" in ran.out
    assert ran.out.endswith("3 errors, 0 warnings\n")


def test_warnings_alone_exit_with_0(here: Run) -> None:
    ran = here("doctor", "--json", env={"STREAMLIT_SERVER_ENABLE_AGENT_API": "true"})
    if "server.enableAgentApi" in survey._options():
        assert [each["code"] for each in ran.json["findings"]] == ["sign-in-missing", "agent-api"]
    assert ran.code == 0


def test_sign_in_from_a_secrets_file_is_looked_at_too(here: Run, tmp_path: Path) -> None:
    text = f'[auth]\nredirect_uri = "http://app.acme.com/oauth2callback"\ncookie_secret = "{COOKIE}"\n'
    text += '[auth.entra]\nclient_id = "i"\nclient_secret = "s"\n'
    text += 'server_metadata_url = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"\n'
    (tmp_path / ".streamlit" / "secrets.toml").write_text(text)
    codes = [each["code"] for each in here("doctor", "--json").json["findings"]]
    assert codes == ["redirect-http", "tenant", "accept"]
    assert "sign-in-twice" in here("doctor", env=GOOD).out


def test_with_local_accounts_a_cookie_secret_is_enough(here: Run, tmp_path: Path) -> None:
    (tmp_path / "accounts.yaml").touch()
    assert here("doctor", env={"COOKIE_SECRET": COOKIE}).code == 0


def test_a_policy_with_errors_and_no_policy_are_findings(here: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("stguard: 1\npages: {x: {role: nobody}}\n")
    ran = here("doctor", "--json", env=GOOD)
    assert ran.code == 1
    assert ran.json["findings"][0]["what"].startswith("policy.yaml:2:")
    (tmp_path / "policy.yaml").unlink()
    assert "There is no policy" in here("doctor", env=GOOD).out
    assert here("doctor", "gone.yaml", env=GOOD).code == 1


def test_claims_are_followed_through_the_policy(here: Run, tmp_path: Path) -> None:
    name = claims(tmp_path, {**ANN, "email_verified": False})
    ran = here("doctor", "--claims", name, env=GOOD)
    assert ran.code == 0
    assert "claims, read as those of Okta" in ran.out
    assert "email_verified  false" in ran.out
    assert "groups  staff" in ran.out
    assert re.search("email +the e-mail is not verified. [A-Z]", ran.out)
    told = here("doctor", "--claims", name, "--json", env=GOOD).json["claims"]
    assert told["became"]["e-mail"] == "none that counts"
    assert {"fact", "why", "switch"} == set(told["missing"][0])


def test_claims_that_count_as_nobody_exit_with_1(here: Run, tmp_path: Path) -> None:
    assert here("doctor", "--claims", claims(tmp_path, {"is_logged_in": False}), env=GOOD).code == 1


@pytest.mark.parametrize("text", ["", "[]", "{", None])
def test_claims_that_can_not_be_read_are_wrong_usage(here: Run, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "claims.json").write_text(text)
    ran = here("doctor", "--claims", "claims.json", env=GOOD)
    assert (ran.code, ran.out) == (2, "")


def test_no_secret_is_printed_wherever_it_stands(here: Run, tmp_path: Path) -> None:
    environ = dict.fromkeys(GOOD, CANARY) | {
        "STREAMLIT_SERVER_COOKIE_SECRET": CANARY,
        "PROPELAUTH_API_KEY": CANARY,
        "WEBSOCKETS_MAX_LINE_LENGTH": CANARY,
        "OIDC_A_CLIENT_SECRET": CANARY,
    }
    lines = [f"{name}={CANARY}" for name in ("GOOGLE_CLIENT_SECRET", "MS_CLIENT_SECRET")]
    (tmp_path / ".env").write_text("\n".join(lines))
    secrets = f'db = "{CANARY}"\n[auth]\ncookie_secret = "{CANARY}"\nclient_id = "i"\nclient_secret = "{CANARY}"\n'
    (tmp_path / ".streamlit" / "secrets.toml").write_text(secrets)
    entries = {**ANN, "tokens": {"access": CANARY}, "roles": [CANARY], "nonce": CANARY, "name": f"x {CANARY}"}
    name = claims(tmp_path, entries)
    for env in (environ, {"COOKIE_SECRET": "", "DB_PASSWORD": CANARY}):
        for args in (["doctor"], ["doctor", "--claims", name], ["doctor", "--claims", name, "--json"]):
            ran = here(*args, env=env)
            assert CANARY not in ran.out + ran.err
            assert ran.code == 1


def test_hooks_that_do_not_fit_are_told(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert survey._hooks() is None
    monkeypatch.setattr(survey, "_TRY_HOOKS", "print('another `SessionState`')")
    assert "error[hooks] The hooks don't fit: another `SessionState`." in here("doctor", env=GOOD).out
    monkeypatch.setattr(survey, "_TRY_HOOKS", "raise SystemExit(3)")
    assert "could not be tried" in here("doctor", env=GOOD).out
