"""An app with sources that ask somebody: what people see when one answers, refuses, or is missing something."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from stguard.sources import userinfo
from tests.issuer import Issuer, issuing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

POLICY = """
stguard: 1
permissions: {report: [view]}
roles: {viewer: {allow: "report:view"}}
assign: [{role: viewer, group: staff}]
pages:
  home: signed_in
  reports: {permission: "report:view"}
"""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    userinfo._issuers.clear()
    with issuing() as running:
        yield running


@pytest.fixture
def app(desk: Any) -> Any:
    return desk.policy(POLICY).main("""
        sg.configure(identity=sg.UserInfo())
        def home():
            st.title("home content")
            st.write(str(sg.can("report:view")))
        def reports(): st.title("reports content")
        sg.navigation([home, reports]).run()
    """)


def says(status: int, found: dict[str, Any] | None = None) -> Any:
    body = json.dumps(found or {}).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def claims(issuer: Issuer, **more: Any) -> dict[str, Any]:
    return {"iss": issuer.url, "sub": "ann", "iat": 1000, "is_logged_in": True, **more}


def test_groups_from_userinfo_open_a_page(app: Any, issuer: Issuer, menu: Any, shown: Any) -> None:
    issuer.userinfo = says(200, {"sub": "ann", "groups": ["staff"]})
    at = app.run(claims(issuer, tokens={"access": "secret-token"}))
    assert menu() == ["/", "reports"]
    assert "True" in shown(at)
    at.run()
    assert issuer.asked.count("/userinfo") == 1


def test_a_refused_access_token_shows_the_sign_in_page(app: Any, issuer: Issuer, shown: Any) -> None:
    issuer.userinfo = says(401)
    text = shown(app.run(claims(issuer, tokens={"access": "secret-token"}))).replace("\\", "")
    assert "Your sign-in has ended. Please sign in again." in text
    assert "home content" not in text


@pytest.mark.parametrize("tokens", [None, {}])
def test_without_the_switch_pages_without_groups_go_on_and_the_log_says_what_to_do(
    app: Any, issuer: Issuer, menu: Any, shown: Any, caplog: pytest.LogCaptureFixture, tokens: Any
) -> None:
    issuer.userinfo = says(200, {"sub": "ann", "groups": ["staff"]})
    with caplog.at_level(logging.ERROR, logger="stguard"):
        at = app.run(claims(issuer, **({} if tokens is None else {"tokens": tokens})))
    assert "home content" in shown(at)
    assert menu() == ["/"]
    assert 'expose_tokens = ["access"]' in caplog.text
    assert "/userinfo" not in issuer.asked
