"""Claims that the ID token leaves out come from the provider itself, about the same person, or stay unknown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt

import stguard as sg
from stguard.app.standing import subject_with
from stguard.sources import userinfo as module
from stguard.sources.answers import Answer, Answers
from stguard.sources.userinfo import ENDED
from tests.issuer import Issuer, issuing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.server import BaseHTTPRequestHandler

CLIENT = "app"
TOKEN = "opaque-access-token"  # noqa: S105  a test's own

POLICY = sg.Policy.from_yaml("""
stguard: 1
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  exporter: {allow: "report:export"}
assign:
  - {role: viewer, group: staff}
  - {role: exporter, claim: {permissions: "export:reports"}}
  - {role: exporter, email: ann@acme.com}
forbid:
  - {id: no-contractors, permission: "report:*", group: contractors}
pages: {}
""")


def say(
    body: object = b"", *, status: int = 200, kind: str = "application/json", length: int | None = None, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(raw) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    module._issuers.clear()
    with issuing() as running:
        running.userinfo = say({"sub": "ann", "groups": ["staff"]})
        yield running


@pytest.fixture
def claims(issuer: Issuer) -> dict[str, Any]:
    return {
        "iss": issuer.url, "sub": "ann", "aud": CLIENT, "iat": 1000, "exp": 9000, "provider": "corp",
        "tokens": {"access": TOKEN},
    }  # fmt: skip


def ask(claims: dict[str, Any], source: sg.UserInfo | None = None) -> Answer:
    return Answers(source or sg.UserInfo()).get(claims)


def subject(answer: Answer, claims: dict[str, Any]) -> sg.Subject:
    found = subject_with({name: value for name, value in claims.items() if name != "tokens"}, answer.facts, POLICY)
    assert found is not None
    return found


# --- what it says


def test_groups_come_from_userinfo_when_the_id_token_has_none(claims: dict[str, Any]) -> None:
    alone = POLICY.subject(claims)
    assert POLICY.decide(alone, "report:view").reason is sg.Reason.UNKNOWN
    assert POLICY.allows(subject(ask(claims), claims), "report:view")


def test_the_access_token_is_sent_as_a_bearer_token_and_to_nobody_else(issuer: Issuer, claims: dict[str, Any]) -> None:
    sent = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["Authorization"])
        say({"sub": "ann"})(handler)

    issuer.userinfo = answer
    ask(claims)
    assert sent == [f"Bearer {TOKEN}"]
    assert issuer.asked == ["/.well-known/openid-configuration", "/userinfo"]


def test_the_policy_says_where_groups_stand_in_the_answer_too(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.userinfo = say({"sub": "ann", "https://acme.io/teams": ["staff"]})
    policy = sg.Policy.from_yaml("""
stguard: 1
permissions: {report: [view]}
identity: {groups: "https://acme.io/teams"}
roles: {viewer: {allow: "report:view"}}
assign: [{role: viewer, group: staff}]
pages: {}
""")
    found = subject_with(claims, ask(claims).facts, policy)
    assert policy.allows(found, "report:view")


def test_a_group_that_a_forbid_names_counts_wherever_it_stands(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.userinfo = say({"sub": "ann", "groups": ["contractors"]})
    found = subject(ask(claims), {**claims, "groups": ["staff"]})
    assert POLICY.decide(found, "report:view").reason is sg.Reason.FORBIDDEN


def test_groups_in_another_form_leave_the_rest_unknown(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.userinfo = say({"sub": "ann", "groups": "contractors"})
    found = subject(ask(claims), {**claims, "groups": ["staff"]})
    assert "staff" in found.groups
    assert "groups" in found.unknown
    assert not POLICY.allows(found, "report:view")


def test_a_verified_email_counts_and_that_of_one_answer_never_vouches_for_another(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.userinfo = say({"sub": "ann", "email": "ann@acme.com", "email_verified": True, "groups": []})
    assert POLICY.allows(subject(ask(claims), claims), "report:export")
    # The ID token verifies an e-mail that it doesn't show; the answer shows one that anybody may have typed in.
    issuer.userinfo = say({"sub": "ann", "email": "ann@acme.com", "groups": []})
    assert not POLICY.allows(subject(ask(claims), {**claims, "email_verified": True}), "report:export")
    issuer.userinfo = say({"sub": "ann", "email_verified": True, "groups": []})
    assert not POLICY.allows(subject(ask(claims), {**claims, "email": "ann@acme.com"}), "report:export")


@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "auth_time", "provider", "is_logged_in", "tokens"])
def test_the_answer_says_nothing_about_the_sign_in(issuer: Issuer, claims: dict[str, Any], name: str) -> None:
    issuer.userinfo = say({"sub": "ann", name: 9_000_000_000})
    facts = ask({key: value for key, value in claims.items() if key != name or name in {"iss", "tokens"}}).facts
    assert name not in facts.claims


def test_somebody_of_another_issuer_gets_nothing_added(issuer: Issuer, claims: dict[str, Any]) -> None:
    facts = ask(claims, sg.UserInfo(issuer="https://other.example")).facts
    assert facts == sg.Facts()
    assert issuer.asked == []


def test_an_endpoint_that_is_given_is_asked_without_discovery(issuer: Issuer, claims: dict[str, Any]) -> None:
    facts = ask(claims, sg.UserInfo(issuer=issuer.url, endpoint=issuer.url + "/userinfo")).facts
    assert facts.claims == {"groups": ["staff"]}
    assert issuer.asked == ["/userinfo"]


# --- what it can't say


def broken(handler: BaseHTTPRequestHandler) -> None:
    say(b'{"sub": "ann"', length=1000)(handler)
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (say(status=429), "429"),
        (say(status=500), "500"),
        (say(status=503), "503"),
        (say(status=302, Location="http://127.0.0.1:9/steal"), "302"),
        (say(b"<html>Sign in</html>", kind="text/html"), "can't be used"),
        (say([1]), "can't be used"),
        (say(b"[" * 100_000), "can't be used"),
        (say({}), "somebody else"),
        (say({"sub": "eve", "groups": ["staff"]}), "somebody else"),
        (say({"sub": ["ann"], "groups": ["staff"]}), "somebody else"),
        (say({"sub": "ann", "x": "y" * 600_000}), "too large"),
        (say(b"a.b.c", kind="application/jwt"), "can't be used"),
        (broken, "could not be asked"),
    ],
    ids=["429", "500", "503", "redirect", "html", "list", "nested", "empty", "other", "list of subs", "huge", "jwt",
         "cut"],
)  # fmt: skip
def test_whatever_goes_wrong_leaves_the_facts_unknown(
    issuer: Issuer, claims: dict[str, Any], answer: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.userinfo = answer
    with caplog.at_level(logging.WARNING, logger="stguard"):
        said = ask(claims)
    assert said.failure is not None
    assert why in said.failure
    assert not POLICY.allows(subject(said, {**claims, "groups": []}), "report:view")
    assert TOKEN not in caplog.text
    assert issuer.url not in said.failure


def test_a_slow_answer_is_given_up(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.release.clear()
    with pytest.raises(sg.IdentityError, match="in time"):
        sg.UserInfo(deadline=0.2)(claims)


def test_nobody_there_leaves_the_facts_unknown(claims: dict[str, Any]) -> None:
    said = ask({**claims, "iss": "http://127.0.0.1:9"})
    assert said.failure is not None
    assert "could not be asked" in said.failure


def test_a_refused_access_token_ends_the_sign_in(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.userinfo = say(status=401)
    facts = ask(claims).facts
    assert facts.blocked == ENDED
    assert subject_with(claims, facts, POLICY) is None


def test_an_access_token_that_ended_does_not_stand_in_the_way_of_a_newer_login(
    issuer: Issuer, claims: dict[str, Any]
) -> None:
    answers = Answers(sg.UserInfo())
    issuer.userinfo = say(status=401)
    assert answers.get(claims).facts.blocked == ENDED
    issuer.userinfo = say({"sub": "ann", "groups": ["staff"]})
    again = {**claims, "iat": 2000, "tokens": {"access": "another"}}
    assert answers.get(again).facts.claims == {"groups": ["staff"]}


@pytest.mark.parametrize("status", [400, 403, 404])
def test_another_refusal_is_said_loudly_and_the_old_answer_counts_no_longer(
    issuer: Issuer, claims: dict[str, Any], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    answers = Answers(sg.UserInfo(ttl=0))
    assert answers.get(claims).failure is None
    issuer.userinfo = say(status=status)
    assert answers.get(claims).facts.claims == {}
    with caplog.at_level(logging.ERROR, logger="stguard"):
        assert ask(claims).failure is not None
    assert "scope `openid`" in caplog.text


@pytest.mark.parametrize("tokens", [{}, {"id": "x"}, {"access": ""}, {"access": 7}])
def test_without_the_access_token_the_log_names_the_switch(
    claims: dict[str, Any], tokens: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="stguard"):
        said = ask({**claims, "tokens": tokens})
    assert said.failure == "the identity source is not set up right"
    assert 'expose_tokens = ["access"]' in caplog.text


def test_who_did_not_sign_in_here_has_no_access_token_and_the_facts_are_unknown(claims: dict[str, Any]) -> None:
    del claims["tokens"]
    failure = ask(claims).failure
    assert failure is not None
    assert "brought no access token" in failure


def test_a_token_that_would_add_a_header_is_not_sent(issuer: Issuer, claims: dict[str, Any]) -> None:
    assert ask({**claims, "tokens": {"access": "a\r\nX-Other: b"}}).failure is not None
    assert "/userinfo" not in issuer.asked


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example", "userinfo_endpoint": "https://other.example/userinfo"},
        {"userinfo_endpoint": "http://collector.example/userinfo"},
        {"userinfo_endpoint": "file:///etc/passwd"},
        {"userinfo_endpoint": ["https://idp.example"]},
    ],
)
def test_an_address_that_is_not_safe_is_never_asked(
    issuer: Issuer, claims: dict[str, Any], document: dict[str, Any]
) -> None:
    issuer.answer = json.dumps({"issuer": issuer.url, **document}).encode()
    assert ask(claims).failure is not None


def test_a_provider_without_userinfo_is_a_mistake_that_says_so(
    issuer: Issuer, claims: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    issuer.userinfo = None
    with caplog.at_level(logging.ERROR, logger="stguard"):
        ask(claims)
    assert "names no UserInfo endpoint" in caplog.text


@pytest.mark.parametrize(
    "given", [{"issuer": "http://idp.example"}, {"endpoint": "https://idp.example/userinfo"}, {"issuer": "ftp://x"}]
)
def test_what_is_not_safe_is_refused_where_it_is_written(given: dict[str, Any]) -> None:
    with pytest.raises(sg.ConfigurationError):
        sg.UserInfo(**given)


def test_a_rerun_that_makes_it_anew_keeps_what_is_known() -> None:
    assert sg.UserInfo(ttl=5) == sg.UserInfo(ttl=5)
    assert len({sg.UserInfo(), sg.UserInfo(), sg.UserInfo(access_token_claims=True)}) == 2


# --- signed answers


def signed(issuer: Issuer, *, key: Any = None, **claims: Any) -> bytes:
    made = {"sub": "ann", "groups": ["staff"], **claims}
    return jwt.encode({"alg": "RS256", "kid": "one"}, made, key or issuer.keys["one"], algorithms=["RS256"]).encode()


def test_a_signed_answer_counts_once_its_signature_is_checked(issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.userinfo = say(signed(issuer, iss=issuer.url, aud=[CLIENT]), kind="application/jwt; charset=utf-8")
    assert ask(claims).facts.claims == {"groups": ["staff"]}


@pytest.mark.parametrize("name", ["key", "iss", "aud", "sub"])
def test_an_answer_that_somebody_else_signed_or_for_somebody_else_is_refused(
    issuer: Issuer, claims: dict[str, Any], name: str
) -> None:
    from joserfc.jwk import RSAKey  # noqa: PLC0415

    wrong: Any = RSAKey.generate_key(2048) if name == "key" else "other"
    issuer.userinfo = say(signed(issuer, **{name: wrong}), kind="application/jwt")
    assert ask(claims).failure is not None


def test_an_unsigned_token_as_an_answer_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    head, body, _ = signed(issuer).split(b".")
    none = b"eyJhbGciOiJub25lIn0"
    for token in (none + b"." + body + b".", head + b"." + body + b".AAAA"):
        issuer.userinfo = say(token, kind="application/jwt")
        assert ask(claims).failure is not None


# --- claims of the access token itself


@pytest.fixture
def reader() -> sg.UserInfo:
    return sg.UserInfo(access_token_claims=True)


def test_permissions_of_an_access_token_count(issuer: Issuer, claims: dict[str, Any], reader: sg.UserInfo) -> None:
    claims["tokens"] = {"access": issuer.token(permissions=["export:reports"])}
    claims["groups"] = []
    assert POLICY.allows(subject(ask(claims, reader), claims), "report:export")
    assert "/userinfo" not in issuer.asked


@pytest.mark.parametrize("change", [{"sub": "eve"}, {"iss": "https://other.example"}, {"key": "two", "alg": "ES256"}])
def test_an_access_token_of_somebody_else_is_refused(
    issuer: Issuer, claims: dict[str, Any], reader: sg.UserInfo, change: dict[str, Any]
) -> None:
    claims["tokens"] = {"access": issuer.token(permissions=["export:reports"], **change)}
    if "key" in change:
        del issuer.keys["two"]
    assert ask(claims, reader).failure is not None


def test_an_access_token_that_expired_ends_the_sign_in(
    issuer: Issuer, claims: dict[str, Any], reader: sg.UserInfo
) -> None:
    claims["tokens"] = {"access": issuer.token(exp=1000, iat=900)}
    assert ask(claims, reader).facts.blocked == ENDED


def test_an_access_token_that_nobody_can_read_says_how_to_get_one_that_can(
    claims: dict[str, Any], reader: sg.UserInfo, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="stguard"):
        ask(claims, reader)
    assert "`audience`" in caplog.text


# --- a real provider


SERVE = """
import sys, oidc_provider_mock as mock
ann = mock.User(sub="ann", claims={"email": "ann@acme.com", "email_verified": True})
with mock.run_server_in_thread(port=0, user_claims=[ann]) as server:
    print(server.server_port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def provider() -> Iterator[str]:
    """Run the embedded provider in a process of its own: it warns of what it is made of."""
    module._issuers.clear()
    command = [sys.executable, "-W", "ignore", "-c", SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        yield f"http://localhost:{int(child.stdout.readline())}"
        child.terminate()


def test_a_real_provider_is_asked_with_the_token_of_a_real_sign_in(provider: str) -> None:
    claims = {"iss": provider, "sub": "ann", "groups": [], "tokens": {"access": sign_in(provider)}}
    assert POLICY.allows(subject(ask(claims), claims), "report:export")
    request = urllib.request.Request(f"{provider}/users/ann/revoke-tokens", method="POST", data=b"")  # noqa: S310  loopback
    urllib.request.urlopen(request).close()  # noqa: S310  loopback
    said = ask(claims)
    assert said.failure is not None or said.facts.blocked == ENDED


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def sign_in(url: str) -> str:
    """Go through the code flow by hand, and return the access token."""
    back = "http://localhost/back"
    query = urllib.parse.urlencode(
        {"client_id": CLIENT, "redirect_uri": back, "response_type": "code", "scope": "openid email"}
    )
    opener = urllib.request.build_opener(_Stay)
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(f"{url}/oauth2/authorize?{query}", data=b"sub=ann")
    with answer.value as redirect:
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(redirect.headers["Location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": CLIENT,
            "client_secret": "x"}  # fmt: skip
    sent = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{url}/oauth2/token", data=sent) as tokens:  # noqa: S310  loopback
        granted: str = json.load(tokens)["access_token"]
    return granted
