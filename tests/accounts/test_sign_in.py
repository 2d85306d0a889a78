"""Sign-in with local accounts at real servers, and what an attacker sends."""

from __future__ import annotations

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from tests.accounts.servers import OTHER, PASSWORD, SECRET, Browser, Server, accounts_file, serving, starting, stored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.server

GUESS = "not the one at all"
HOME, REPORTS = "<<home>>", "<<reports for Ann Archer>>"
LOGIN = "_streamlit_user"


@pytest.fixture
def fresh(tmp_path: Path) -> Any:
    with serving(tmp_path) as running:
        yield running


def signed_in(server: Server) -> Browser:
    browser = Browser(server)
    assert browser.sign_in().status == 303
    return browser


# --- signing in and out


def test_a_right_password_signs_in_with_the_claims_of_the_account(server: Server) -> None:
    browser = Browser(server)
    assert HOME not in browser.sees()
    answer = browser.sign_in()
    assert (answer.status, answer.header("location")) == (303, "/")
    shown = browser.sees()
    assert HOME in shown
    for claim in ("'iss': 'urn:stguard:accounts'", "'sub': 'id-of-ann-0123456789'", "'provider': 'local_accounts'"):
        assert claim in shown, shown
    assert REPORTS in browser.sees("reports")


def test_the_login_cookie_is_out_of_reach_for_scripts_and_other_sites(server: Server) -> None:
    answer = Browser(server).sign_in()
    cookies = [value for name, value in answer.headers if name.lower() == "set-cookie"]
    for name in (LOGIN, "_stguard_browser"):
        cookie = next(value for value in cookies if value.startswith(f"{name}="))
        assert "httponly" in cookie.lower()
        assert "samesite=lax" in cookie.lower()
    assert answer.header("cache-control") == "no-store"


def test_sign_in_returns_to_the_page_asked_for_and_to_no_other_site(server: Server) -> None:
    for referer, target in (
        ("/reports?quarter=q3", "/reports?quarter=q3"),
        ("//evil.example/", "/"),
        ("/auth/logout", "/"),
        ("/auth/local", "/"),
    ):
        browser = Browser(server)
        token = browser.get("/auth/local", Referer=server.origin + referer).token
        answer = browser.post({"token": token, "user": "ann", "password": PASSWORD})
        assert answer.header("location") == target
    browser = Browser(server)
    token = browser.get("/auth/local?next=https://evil.example/", Referer="https://evil.example/reports").token
    assert browser.post({"token": token, "user": "ann", "password": PASSWORD}).header("location") == "/"


def test_sign_out_ends_the_login_for_good(server: Server) -> None:
    browser = signed_in(server)
    kept = dict(browser.cookies)
    assert browser.get("/auth/logout").header("location") == "/"
    browser.cookies = kept
    assert HOME not in browser.sees()


def test_a_new_sign_in_is_a_new_login_and_ends_the_one_before(server: Server) -> None:
    browser = signed_in(server)
    first = dict(browser.cookies)
    assert browser.sign_in().status == 303
    assert browser.cookies[LOGIN] != first[LOGIN]
    assert HOME in browser.sees()
    browser.cookies = first
    assert HOME not in browser.sees()


def test_a_login_that_somebody_planted_does_not_become_the_one_who_signs_in(server: Server) -> None:
    attacker = Browser(server)
    assert attacker.sign_in("bob", OTHER).status == 303
    victim = Browser(server)
    victim.cookies = dict(attacker.cookies)
    assert victim.sign_in().status == 303
    assert "id-of-ann-0123456789" in victim.sees()
    assert HOME not in attacker.sees()


def test_tokens_of_an_earlier_login_do_not_stay_beside_the_new_claims(server: Server) -> None:
    browser = Browser(server)
    name = f"{LOGIN}_tokens"
    browser.cookies[name] = before = create_signed_value(SECRET, name, '{"id_token": "of another"}').decode()
    assert browser.sign_in().status == 303
    assert browser.cookies[name] != before


# --- forms that are not of this page


def fields(browser: Browser, **changes: str) -> dict[str, str]:
    return {"token": browser.get("/auth/local").token, "user": "ann", "password": PASSWORD, **changes}


@pytest.mark.parametrize(
    "origin", ["", "null", "https://evil.example", "http://localhost:1", "http://localhost.evil.example"]
)
def test_a_form_of_another_site_signs_nobody_in(server: Server, origin: str) -> None:
    browser = Browser(server)
    answer = browser.post(fields(browser), Origin=origin)
    assert answer.status == 403
    assert not browser.cookies.get(LOGIN)


def test_a_form_without_the_token_of_this_browser_signs_nobody_in(server: Server) -> None:
    browser, other = Browser(server), Browser(server)
    theirs = other.get("/auth/local").token
    browser.get("/auth/local")
    unsigned = browser.cookies["_stguard_form"]
    for token in ("", "x", theirs, unsigned):
        answer = browser.post({"token": token, "user": "ann", "password": PASSWORD})
        assert answer.status == 403
        assert "open for too long" in answer.text
    token = browser.get("/auth/local").token
    del browser.cookies["_stguard_form"]
    assert browser.post({"token": token, "user": "ann", "password": PASSWORD}).status == 403
    assert not browser.cookies.get(LOGIN)


def test_two_tabs_can_both_be_sent(server: Server) -> None:
    browser = Browser(server)
    one, two = browser.get("/auth/local").token, browser.get("/auth/local").token
    assert browser.post({"token": two, "user": "ann", "password": "wrong"}).status == 403
    assert browser.post({"token": one, "user": "ann", "password": PASSWORD}).status == 303


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"user=ann&password=x", 400),
        (b"user=ann&password=x&token=t&password=y", 400),
        (b"user=ann&user=bob&token=t", 400),
        (b"user=ann&password=x&token=t&next=/", 400),
        (b"user=ann&password=x&token", 400),
        (b"user=%ff&password=x&token=t", 400),
        (b"user=ann&password=\xff&token=t", 400),
        (b"user=ann&password=" + b"x" * 9000 + b"&token=t", 413),
    ],
)
def test_a_form_of_another_shape_is_refused(server: Server, body: bytes, status: int) -> None:
    assert Browser(server).post(body).status == status


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "multipart/form-data; boundary=x"])
def test_a_body_of_another_type_is_refused(server: Server, kind: str) -> None:
    browser = Browser(server)
    headers = {"Origin": server.origin, **({"Content-Type": kind} if kind else {})}
    answer = browser.ask("POST", "/auth/local", headers=headers, body=urlencode(fields(browser)).encode())
    assert answer.status == 415


def test_an_endless_body_is_cut_off(server: Server) -> None:
    head = (
        f"POST /auth/local HTTP/1.1\r\nHost: localhost:{server.port}\r\nOrigin: {server.origin}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head.encode())
        for _ in range(3):
            connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        assert b" 413 " in connection.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    assert Browser(server).ask(method, "/auth/local", headers={"Origin": server.origin}).status == 405


def test_the_page_runs_no_script_and_stands_in_no_frame(server: Server) -> None:
    answer = Browser(server).get("/auth/local")
    policy = answer.header("content-security-policy") or ""
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert answer.header("cache-control") == "no-store"
    assert "<script" not in answer.text


def test_what_was_typed_is_shown_as_text_and_the_password_is_not_shown(server: Server) -> None:
    browser = Browser(server)
    answer = browser.post(fields(browser, user='"><script>alert(1)</script>', password=GUESS))
    assert "<script" not in answer.text
    assert "&quot;&gt;&lt;script&gt;" in answer.text
    assert GUESS not in answer.text


# --- guessing


def test_every_failure_is_one_sentence(fresh: Server) -> None:
    fresh.accounts(accounts_file(disabled="true"))
    seen = set()
    for user, password in (("ann", PASSWORD), ("ann", "x"), ("bob", "x"), ("eve", "x"), ("", ""), ("bob", "x" * 2000)):
        browser = Browser(fresh)
        answer = browser.post(fields(browser, user=user, password=password))
        assert answer.status == 403
        alert = re.search(r'role="alert">(.*?)<', answer.text)
        assert alert
        seen.add(alert[1])
    assert len(seen) == 1
    for secret in (PASSWORD, "ann@acme.com", "eve", "argon2"):
        assert secret not in fresh.log


def test_guessing_is_refused_with_a_time_and_a_known_browser_still_gets_in(fresh: Server) -> None:
    owner = signed_in(fresh)
    mallory = Browser(fresh)
    for _ in range(5):
        assert mallory.sign_in(password=GUESS).status == 403
    refused = mallory.sign_in()
    assert refused.status == 429, "the right password too, or it would tell"
    assert int(refused.header("retry-after") or "") >= 1
    assert "Too many attempts" in refused.text
    for name in ("bob", "nobody"):
        assert Browser(fresh).sign_in(name, "x").status == 403
    assert owner.sign_in().status == 303
    stolen = Browser(fresh)
    stolen.cookies["_stguard_browser"] = owner.cookies["_stguard_browser"][:-2] + "xx"
    assert stolen.sign_in().status == 429


def test_a_known_browser_is_known_for_its_own_account_only(fresh: Server) -> None:
    bob = Browser(fresh)
    assert bob.sign_in("bob", OTHER).status == 303
    for _ in range(5):
        assert bob.sign_in("ann", "guess").status == 403
    assert bob.sign_in("ann", "guess").status == 429


def test_the_address_that_a_browser_names_for_itself_counts_for_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, environment={"FORWARDED_ALLOW_IPS": "192.0.2.99"}) as server:
        answers = [
            Browser(server).sign_in(f"nobody{number}", "x", **{"X-Forwarded-For": f"198.51.100.{number}"}).status
            for number in range(22)
        ]
    assert answers == [403] * 20 + [429] * 2


def test_many_at_once_are_told_to_come_back_and_the_page_stays_quick(fresh: Server) -> None:
    browsers: list[tuple[Browser, dict[str, str]]] = []
    for _ in range(40):
        browser = Browser(fresh)
        browser.cookies["_stguard_browser"] = create_signed_value(
            SECRET, "_stguard_browser", f"id-of-ann-0123456789.{len(browsers)}"
        ).decode()
        browsers.append((browser, fields(browser, password=GUESS)))
    with ThreadPoolExecutor(40) as pool:
        statuses = list(pool.map(lambda each: each[0].post(each[1]).status, browsers))
    assert set(statuses) == {403, 503}
    assert Browser(fresh).sign_in().status == 303


# --- logins that end


def test_an_open_tab_ends_when_its_account_is_disabled(fresh: Server) -> None:
    browser = signed_in(fresh)
    with browser.tab() as tab:
        assert HOME in tab.run()
        fresh.accounts(accounts_file(disabled="true"))
        assert HOME not in tab.run()
    assert HOME not in browser.sees()
    assert Browser(fresh).sign_in().status == 403


@pytest.mark.parametrize("change", [{"password": stored(OTHER)}, {"roles": "[]"}, {"until": "2020-01-01T00:00:00Z"}])
def test_an_old_cookie_counts_no_longer_after_a_change(fresh: Server, change: dict[str, str]) -> None:
    browser = signed_in(fresh)
    assert HOME in browser.sees()
    fresh.accounts(accounts_file(**change))
    assert HOME not in browser.sees()


def test_a_removed_account_made_anew_is_somebody_else(fresh: Server) -> None:
    browser = signed_in(fresh)
    fresh.accounts(accounts_file(id="id-of-another-ann-012345"))
    assert HOME not in browser.sees()


def test_a_file_broken_while_running_keeps_the_last_good_accounts(fresh: Server) -> None:
    browser = signed_in(fresh)
    fresh.accounts("accounts: {ann: {}}")
    assert HOME in browser.sees()
    assert Browser(fresh).sign_in().status == 303
    assert "the last good ones stay in force" in fresh.log


def test_a_file_that_goes_away_ends_every_login(fresh: Server) -> None:
    browser = signed_in(fresh)
    (fresh.folder / "accounts.yaml").unlink()
    assert HOME not in browser.sees()
    assert Browser(fresh).sign_in().status == 503
    fresh.accounts(accounts_file())
    assert HOME in browser.sees()


def test_without_the_accounts_their_cookies_count_for_nobody(tmp_path: Path) -> None:
    secrets = f'[auth]\nredirect_uri = "http://localhost:PORT/oauth2callback"\ncookie_secret = "{SECRET}"\n'
    with serving(tmp_path, secrets=secrets) as server:
        browser = signed_in(server)
        assert HOME in browser.sees()
    for app, shown in (("sg.App('main.py')", False), ("st.App('main.py')", False)):
        with serving(tmp_path, secrets=secrets, app=app) as server:
            other = Browser(server)
            # The origin is in the cookie, so this one is signed for the new port.
            claims = browser_claims(server, browser)
            other.cookies[LOGIN] = create_signed_value(SECRET, LOGIN, claims).decode()
            assert (HOME in other.sees()) is shown
            assert "<form" not in other.get("/auth/local").text


def browser_claims(server: Server, browser: Browser) -> str:
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value  # noqa: PLC0415

    payload = decode_signed_value(SECRET, LOGIN, browser.cookies[LOGIN])
    assert payload
    return payload.decode().replace(browser.server.origin, server.origin)


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        ("sessions: {max_age: 12h}", True),
        ("sessions: {max_age: 1s}", False),
        ('revoked: [{sub: "urn:stguard:accounts|id-of-ann-0123456789", before: "2999-01-01T00:00:00Z"}]', False),
        ('revoked: [{sub: "local_accounts|id-of-bob-0123456789", before: "2999-01-01T00:00:00Z"}]', True),
        ("revoked: [{email: ann@acme.com, before: 2999-01-01T00:00:00Z}]", False),
        ("identity: {accept: {iss: [https://idp.example]}}", False),
        ('identity: {accept: {iss: ["urn:stguard:accounts"]}}', True),
    ],
)
def test_what_a_policy_says_of_logins_holds_for_local_ones(tmp_path: Path, policy: str, *, counts: bool) -> None:
    with serving(tmp_path, policy=policy) as server:
        browser = signed_in(server)
        if "1s" in policy:
            age(browser)
        assert (HOME in browser.sees()) is counts


def age(browser: Browser) -> None:
    """Make the login an hour old, as its server would have signed it then."""
    payload = json.loads(browser_claims(browser.server, browser))
    payload |= {"iat": payload["iat"] - 3600, "auth_time": payload["auth_time"] - 3600}
    browser.cookies[LOGIN] = create_signed_value(SECRET, LOGIN, json.dumps(payload)).decode()


# --- starting


def ends(child: Any, server: Server) -> str:
    assert child.wait(timeout=60) != 0
    return server.log


def test_a_broken_file_stops_the_start(tmp_path: Path) -> None:
    with starting(tmp_path, accounts="accounts:\n  ann: {}\n") as (server, child):
        assert "accounts.yaml:2:8: missing key `id`" in ends(child, server)


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with starting(tmp_path, app="sg.App('main.py', accounts='other.yaml')") as (server, child):
        assert "other.yaml:1:1: can't read the accounts: no such file" in ends(child, server)


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_missing_or_short_cookie_secret_stops_the_start(tmp_path: Path, secret: str) -> None:
    with starting(tmp_path, environment={"COOKIE_SECRET": secret}) as (server, child):
        assert "COOKIE_SECRET" in ends(child, server)
