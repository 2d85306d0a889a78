"""What of Streamlit's own parts local accounts lean on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response
from streamlit import auth_util
from streamlit.errors import StreamlitAuthError
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette import starlette_auth_routes

from stguard.accounts import AccountStore
from stguard.app import localaccounts, private, screens
from stguard.errors import ConfigurationError
from tests.accounts.servers import accounts_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg


@pytest.fixture
def in_force(tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "accounts.yaml"
    path.write_text(accounts_file())
    path.chmod(0o600)
    localaccounts.use(AccountStore(path))
    yield
    localaccounts.use(None)


def test_a_login_that_is_set_is_the_one_that_streamlit_reads() -> None:
    private.exercise_login()
    response = Response()
    private.set_login(response, {"sub": "x" * 9000}, origin="https://app.example")
    cookies = {}
    for name, value in response.raw_headers:
        if name == b"set-cookie":
            key, _, rest = value.decode().partition("=")
            cookies[key] = rest.partition(";")[0]
    payload = private.signed_login(cookies)
    assert payload is not None
    assert json.loads(payload) == {"sub": "x" * 9000, "origin": "https://app.example", "is_logged_in": True}


def test_another_way_to_set_the_cookie_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(response: Any, user_info: Any) -> None: ...

    def plain(response: Any, user_info: Any, tokens: Any) -> None: ...

    async def forgetful(response: Any, user_info: Any, tokens: Any) -> None: ...

    for replacement in (None, other, plain, forgetful):
        monkeypatch.setattr(starlette_auth_routes, "_set_auth_cookie", replacement)
        with pytest.raises(ConfigurationError, match="local accounts can't sign in"):
            private.exercise_login()


@pytest.mark.usefixtures("in_force")
def test_the_button_sends_the_tab_to_the_page_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[ForwardMsg] = []

    def script() -> None:
        from stguard.app import screens as shown  # noqa: PLC0415  runs as a script of its own

        shown.login_page()

    at = AppTest.from_function(script, default_timeout=30).run()
    monkeypatch.setattr(
        "streamlit.runtime.scriptrunner_utils.script_run_context.ScriptRunContext.enqueue",
        lambda _self, message: sent.append(message),
    )
    at.button[0].click().run()
    assert [m.auth_redirect.url for m in sent if m.WhichOneof("type") == "auth_redirect"] == ["/auth/local"]


@pytest.mark.usefixtures("in_force")
def test_local_accounts_are_one_more_way_to_sign_in_only_while_they_are_in_force() -> None:
    assert [each.name for each in screens.providers()] == [localaccounts.PROVIDER]
    localaccounts.use(None)
    assert screens.providers() == ()


def test_no_section_of_streamlit_can_have_the_name_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    # STREAMLIT 1.57 to 1.67: `validate_auth_credentials` refuses an underscore.
    section = {"redirect_uri": "x", "cookie_secret": "x", localaccounts.PROVIDER: {"client_id": "x"}}
    monkeypatch.setattr(secrets_singleton, "_secrets", {"auth": section})
    with pytest.raises(StreamlitAuthError, match="underscore"):
        auth_util.validate_auth_credentials(localaccounts.PROVIDER)


def test_other_logins_are_not_asked_about() -> None:
    assert not localaccounts.ended({"iss": "https://idp.example", "sub": "x"})
    assert not localaccounts.ended({})
    assert localaccounts.ended({"iss": "urn:stguard:accounts", "sub": "x"})
