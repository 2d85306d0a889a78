"""Sign-in from environment variables: what sg.App makes of them, and real servers that have nothing else."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import streamlit as st
from streamlit import auth_util
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette import starlette_auth_routes

import stguard as sg
from stguard import variables
from stguard.dev import provider as provider_module
from stguard.dev.people import from_list
from tests.app.test_gateway import Browser, Server, wait_until_answers, wait_until_healthy
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

COOKIE = "a-cookie-secret-of-forty-odd-characters"
OTHER = "another-cookie-secret-that-is-long-too"
GOOD = {
    "REDIRECT_URI": "http://localhost:8501/oauth2callback",
    "COOKIE_SECRET": COOKIE,
    "OKTA_CLIENT_ID": "the-id",
    "OKTA_CLIENT_SECRET": "the-secret",
    "OKTA_SUBDOMAIN": "acme",
}
SECRETS_FILE = f"""
[auth]
redirect_uri = "http://localhost:8501/oauth2callback"
cookie_secret = "{COOKIE}"
client_id = "from-the-file"
client_secret = "s"
server_metadata_url = "https://idp.example/.well-known/openid-configuration"
"""


IN_ONE_PROCESS = hasattr(starlette_auth_routes, "_AsyncAuthCache")
"""Whether this Streamlit (1.57) keeps the start of a login in the process, not in a cookie."""


# --- auth_from_env ----------------------------------------------------------------------------------------------------


def test_the_section_comes_from_the_mapping_alone_when_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(sg.ConfigurationError, match="`REDIRECT_URI` is not set"):
        sg.auth_from_env({})
    assert sg.auth_from_env()["okta"]["client_id"] == "the-id"


def test_every_problem_is_one_line_of_one_error() -> None:
    with pytest.raises(sg.ConfigurationError) as caught:
        sg.auth_from_env({**GOOD, "COOKIE_SECRET": "short", "OKTA_SUBDOMAIN": "a/b"})
    first, *more = str(caught.value).splitlines()
    assert first.startswith("sign-in can't be set up from the environment: `COOKIE_SECRET`: expected 32 characters")
    assert [line.split("`")[1] for line in more] == ["OKTA_SUBDOMAIN"]


def test_a_dotenv_file_is_read_below_the_real_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{name}={value}" for name, value in {**GOOD, "OKTA_CLIENT_SECRET": "a${COOKIE_SECRET}b"}.items()]
    (tmp_path / ".env").write_text("\n".join(["# mine", *lines, "OKTA_SCOPE"]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OKTA_CLIENT_ID", "the-real-one")
    made = sg.auth_from_env()
    assert made["okta"]["client_id"] == "the-real-one"
    assert made["okta"]["client_secret"] == "a${COOKIE_SECRET}b"  # noqa: S105  made up; taken as it stands
    assert "OKTA_CLIENT_SECRET" not in os.environ


def test_a_dotenv_file_that_can_not_be_read_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"OKTA_CLIENT_SECRET=canary\xff\xfe")
    with pytest.raises(sg.ConfigurationError) as caught:
        variables.with_dotenv(tmp_path)
    assert "canary" not in str(caught.value)


# --- which of several counts ------------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any] | None]]:
    """Return a function that makes an sg.App in an empty folder and returns the `[auth]` Streamlit was given."""
    seen: dict[str, Any] = {}
    real = st.App

    def app(script: str | Path, **options: Any) -> st.App:
        seen.update(options)
        return real(script, **options)

    def make(environ: Mapping[str, str] | None = None, **options: Any) -> dict[str, Any] | None:
        for name, value in (environ or {}).items():
            monkeypatch.setenv(name, value)
        sg.App(tmp_path / "main.py", **options)
        section: dict[str, Any] | None = (seen["secrets"] or {}).get("auth")
        return section

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(st, "App", app)
    monkeypatch.setattr(st.config, "_main_script_path", None)
    monkeypatch.setenv(variables.COOKIE_SECRET, "x")
    monkeypatch.delenv(variables.COOKIE_SECRET)
    (tmp_path / "main.py").write_text("", encoding="utf-8")
    st.config.get_config_options(force_reparse=True)
    secrets_singleton._reset()
    yield make
    secrets_singleton._reset()
    os.environ.pop(variables.COOKIE_SECRET, None)
    st.config.get_config_options(force_reparse=True)


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.name == "stguard")


def secrets_file(folder: Path) -> None:
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(SECRETS_FILE, encoding="utf-8")


def test_the_environment_counts_by_default(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    section = made(GOOD)
    assert section is not None
    assert section["okta"]["client_id"] == "the-id"
    assert os.environ[variables.COOKIE_SECRET] == COOKIE
    assert COOKIE not in said(caplog)


def test_a_dotenv_file_beside_the_main_script_counts(made: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in GOOD.items()), encoding="utf-8")
    assert made()["okta"]["client_id"] == "the-id"


def test_without_a_provider_in_the_environment_the_secrets_file_counts(
    made: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets_file(tmp_path)
    assert made({"REDIRECT_URI": "x", "GOOGLE_API_KEY": "x"}) is None
    assert said(caplog) == ""


def test_with_both_the_environment_counts_and_the_log_says_so(
    made: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets_file(tmp_path)
    assert made(GOOD)["okta"]["client_id"] == "the-id"
    assert "configured twice: the environment counts" in said(caplog)
    assert made(auth=None) is None


def test_with_nothing_the_log_says_so_at_the_start(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert made() is None
    assert "nobody can sign in to this app; set the variables that `stguard env` lists" in said(caplog)


def test_with_nothing_and_a_proxy_that_signs_people_in_nothing_is_said(
    made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert made(proxy=sg.TrustedProxy(secret="only-the-proxy-knows-this")) is None  # noqa: S106  made up
    assert said(caplog) == ""


def test_with_local_accounts_a_cookie_secret_alone_is_enough(
    made: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "accounts.yaml").write_text("accounts: {}\n", encoding="utf-8")
    (tmp_path / "accounts.yaml").chmod(0o600)
    (tmp_path / ".env").write_text("COOKIE_SECRET=canary", encoding="utf-8")
    with pytest.raises(sg.ConfigurationError, match="`COOKIE_SECRET`: expected 32 characters or more, got 6"):
        made(accounts="accounts.yaml")
    (tmp_path / ".env").write_text(f"COOKIE_SECRET={COOKIE}", encoding="utf-8")
    assert made(accounts="accounts.yaml") is None
    assert os.environ[variables.COOKIE_SECRET] == COOKIE  # logins with local accounts are signed with it, too
    assert said(caplog) == ""


@pytest.mark.parametrize("environ", [{"COOKIE_SECRET": COOKIE}, {"GOOGLE_CLIENTID": "x"}, {"OKTA_CLIENT_ID": "x"}])
def test_an_environment_that_only_begins_stops_the_start(made: Any, environ: dict[str, str]) -> None:
    with pytest.raises(sg.ConfigurationError, match="can't be set up from the environment"):
        made(environ)


def test_secrets_given_in_code_count_before_the_environment(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    mine = {"redirect_uri": "x", "cookie_secret": "y"}
    assert made(GOOD, secrets={"auth": mine, "db": "z"}) == mine
    assert said(caplog) == ""
    with pytest.raises(sg.ConfigurationError, match="given twice"):
        made(auth=mine, secrets={"auth": mine})


def test_a_mapping_is_taken_when_sign_in_can_succeed_with_it(made: Any) -> None:
    mine = dict(sg.auth_from_env(GOOD))
    assert made(auth=mine) == mine
    assert os.environ[variables.COOKIE_SECRET] == COOKIE
    with pytest.raises(sg.ConfigurationError) as caught:
        made(auth={**mine, "cookie_secret": "canary"})
    assert "`cookie_secret`: expected 32 characters" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("auth", "message"), [("environment", "got `environment`"), (7, "got `int`")])
def test_another_value_of_auth_is_told(made: Any, auth: Any, message: str) -> None:
    with pytest.raises(sg.ConfigurationError, match=message):
        made(auth=auth)


def test_settings_that_were_read_too_early_are_told(made: Any, caplog: pytest.LogCaptureFixture) -> None:
    st.get_option("server.port")
    made(GOOD)
    assert "Streamlit read its settings before sg.App() was made" in said(caplog)
    assert COOKIE not in said(caplog)


def test_a_cookie_secret_that_the_operator_set_stays(
    made: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variables.COOKIE_SECRET, OTHER)
    st.config._config_options = None
    made(GOOD)
    assert os.environ[variables.COOKIE_SECRET] == OTHER
    assert said(caplog) == ""


# --- real servers -----------------------------------------------------------------------------------------------------

MAIN = """
    import streamlit as st
    st.write(f"<<who {st.user.get('email')} by {st.user.get('provider')}>>")
"""
SERVERS = {
    "uvicorn": ("import stguard as sg\napp = sg.App('main.py')\n", ["-m", "uvicorn", "server:app"]),
    "itself": (
        "import stguard as sg\napp = sg.App('main.py')\nif __name__ == '__main__':\n    app.run()\n",
        ["server.py"],
    ),
    "naive": (
        "import streamlit as st, stguard as sg\napp = st.App('main.py', secrets={'auth': sg.auth_from_env()})\n",
        ["-m", "uvicorn", "server:app"],
    ),
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    port = unused()
    people = from_list([{"email": "ann@acme.com"}])
    with Path(os.devnull).open("wb") as nowhere:
        child = provider_module.start(people, port=port, title="test", log=nowhere)
    try:
        wait_until_answers(port)
        yield f"http://localhost:{port}"
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(timeout=20)


@contextlib.contextmanager
def serving(folder: Path, kind: str, *, issuer: str, port: int | None = None, secret: str = COOKIE) -> Iterator[Server]:
    """Run an app whose folder holds its code and nothing else."""
    text, command = SERVERS[kind]
    port = unused() if port is None else port
    for name, content in (("main.py", textwrap.dedent(MAIN)), ("server.py", text)):
        (folder / name).write_text(content, encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(sg.__file__).parents[1]),
        "HOME": str(folder),
        "NO_PROXY": "localhost",
        "STREAMLIT_SERVER_PORT": str(port),
        "REDIRECT_URI": f"http://localhost:{port}/oauth2callback",
        "COOKIE_SECRET": secret,
    }
    for name in ("LOCAL_ONE", "TWO"):
        environ |= {
            f"OIDC_{name}_CLIENT_ID": f"client-{name}",
            f"OIDC_{name}_CLIENT_SECRET": "canary-of-the-client",
            f"OIDC_{name}_METADATA_URL": f"{issuer}/.well-known/openid-configuration",
        }
    if kind == "itself":
        (folder / ".streamlit").mkdir()
        (folder / ".streamlit" / "config.toml").write_text(f"[server]\nport = {port}\naddress = '127.0.0.1'\n")
    else:
        command = [*command, "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT
        )
        server = Server(port, folder, guarded=True)
        try:
            wait_until_healthy(server, child)
            yield server
        finally:
            child.terminate()
            child.wait(timeout=20)
    written = (folder / "log.txt").read_text()
    assert "canary-of-the-client" not in written
    assert secret not in written


def begin(browser: Browser, provider: str) -> str:
    """Begin to sign in, and return the address that the provider sends the browser back to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth_util, "get_signing_secret", lambda: COOKIE)
        token = auth_util.encode_provider_token(provider)
    answer = browser.get(f"/auth/login?{urlencode({'provider': token})}")
    assert answer.status == 302, answer
    authorize = urlsplit(answer.header("location") or "")
    assert parse_qs(authorize.query)["code_challenge_method"] == ["S256"]
    connection = http.client.HTTPConnection(authorize.netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request(
            "POST", f"{authorize.path}?{authorize.query}", body=urlencode({"sub": "ann@acme.com"}),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        back = urlsplit(connection.getresponse().getheader("Location") or "")
    assert "code" in parse_qs(back.query)
    return f"{back.path}?{back.query}"


def who(browser: Browser) -> str:
    tab = browser.open()
    with contextlib.closing(tab):
        return tab.said("who")


@pytest.mark.server
@pytest.mark.parametrize("kind", ["uvicorn", "itself"] if hasattr(st.App, "run") else ["uvicorn"])
def test_an_app_with_nothing_but_variables_signs_in_by_each_of_two_providers(
    tmp_path: Path, issuer: str, kind: str
) -> None:
    with serving(tmp_path, kind, issuer=issuer) as server:
        for provider in ("local-one", "two"):
            browser = Browser(server)
            assert who(browser) == "None by None"
            browser.get(begin(browser, provider))
            assert who(browser) == f"ann@acme.com by {provider}"
        assert "Streamlit read its settings" not in (tmp_path / "log.txt").read_text()


@pytest.mark.server
@pytest.mark.parametrize(
    ("kind", "secret", "signed_in", "halfway"),
    [
        ("uvicorn", COOKIE, "ann@acme.com by two", "ann@acme.com by two"),
        ("uvicorn", OTHER, "None by None", "None by None"),
        ("naive", COOKIE, "ann@acme.com by two", "None by None"),
    ],
    ids=["one secret", "two secrets", "naive"],
)
def test_replicas_with_one_cookie_secret_accept_each_others_logins(
    tmp_path_factory: pytest.TempPathFactory, issuer: str, kind: str, secret: str, signed_in: str, halfway: str
) -> None:
    # One after the other at one address, as a proxy shows them to a browser.
    port = unused()
    with serving(tmp_path_factory.mktemp("one"), kind, issuer=issuer, port=port) as server:
        ann, late = Browser(server), Browser(server)
        ann.get(begin(ann, "two"))
        assert who(ann) == "ann@acme.com by two"
        back = begin(late, "two")
    with serving(tmp_path_factory.mktemp("two"), kind, issuer=issuer, port=port, secret=secret):
        assert who(ann) == signed_in
        late.get(back)
        assert who(late) == ("None by None" if IN_ONE_PROCESS else halfway)
