"""The agent API and MCP on real servers: run by anybody on a naive twin, by a token's subject on the guarded app."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from tests.issuer import AUDIENCE, Issuer, issuing
from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        tuple(int(part) for part in importlib.metadata.version("streamlit").split(".")[:2]) < (1, 67),
        reason="has no agent API",
    ),
]

SECRET = "a-cookie-secret-that-only-this-test-knows"  # noqa: S105  made up

MAIN = """
    import streamlit as st
    import stguard as sg

    def home():
        st.write(f"<<user {st.user.get('email')}>>")
        subject = sg.subject()
        st.write(f"<<subject {subject and subject.email}>>")
        st.write(f"<<headers {sorted(k.lower() for k in st.context.headers)}>>")
        st.write(f"<<roles {st.user.get('roles')}>>")
        st.download_button("file", data=f"file of {st.user.get('email')}".encode(), file_name="x.txt", key="file")

    def reports():
        def export():
            st.session_state["exported"] = True
        st.title("the reports")
        st.button("Export", key="export", on_click=sg.requires("report:export")(export))
        st.write(f"<<exported {st.session_state.get('exported')}>>")

    pages = [st.Page(home, default=True), st.Page(reports)]
    (st if __import__("os").environ.get("NAIVE") else sg).navigation(pages).run()
"""

POLICY = """
    stguard: 1
    permissions: {report: [view, export]}
    roles: {viewer: {allow: "report:view"}, analyst: {inherits: viewer, allow: "report:export"}}
    assign:
      - {role: analyst, email: ann@acme.com}
      - {role: viewer, email: bob@acme.com}
    pages:
      home: public
      reports: {permission: "report:view"}
      agent: {permission: "report:view"}
    revoked:
      - {email: rita@acme.com, before: 2040-01-01T00:00:00Z}
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def said(self, word: str) -> str:
        found = re.search(rf"(?:<<|&lt;&lt;){word} (.*?)(?:>>|&gt;&gt;)", self.text)
        assert found, self.text
        return found[1]

    @property
    def session(self) -> str:
        return str(json.loads(self.body)["session_id"])


@dataclasses.dataclass(frozen=True)
class Server:
    port: int
    folder: Path
    guarded: bool

    def ask(self, path: str, headers: list[tuple[str, str]], body: bytes = b"", *, method: str = "POST") -> Answer:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path)
            for name, value in [*headers, ("Content-Length", str(len(body)))]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def interact(self, token: str | None, **request: Any) -> Answer:
        return self.ask("/_stcore/agent/interact", bearing(token), json.dumps(request).encode())

    def mcp(self, token: str | None, *, tool: str = "interact", **arguments: Any) -> Answer:
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        return self.ask(
            "/_stcore/agent/mcp", [*bearing(token), ("Accept", "application/json")], json.dumps(call).encode()
        )


def bearing(token: str | None) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), *([("Authorization", f"Bearer {token}")] if token else [])]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@contextlib.contextmanager
def serving(folder: Path, *, app: str, policy: str = POLICY, naive: bool = False) -> Iterator[Server]:
    port = unused()
    files = {
        "main.py": MAIN,
        "server.py": f"import streamlit as st, stguard as sg\napp = {app}\n",
        "policy.yaml": policy,
        ".streamlit/config.toml": "[server]\nenableAgentApi = true\n",
        ".streamlit/secrets.toml": f"""
            [auth]
            redirect_uri = "http://localhost:{port}/oauth2callback"
            cookie_secret = "{SECRET}"
        """,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "warning"]
    environment = {
        **os.environ,
        "NO_PROXY": "localhost,127.0.0.1",
        "HOME": str(folder),
        **({"NAIVE": "1"} if naive else {}),
    }
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Server(port, folder, guarded=not naive)
            deadline = time.monotonic() + 60
            while True:
                try:
                    if server.ask("/_stcore/health", [], method="GET").body == b"ok":
                        break
                except OSError:
                    assert child.poll() is None, (folder / "log.txt").read_text()
                    assert time.monotonic() < deadline
            yield server
        finally:
            child.terminate()
            child.wait(timeout=20)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Server]:
    app = f"sg.App('main.py', bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}))"
    with serving(tmp_path_factory.mktemp("guarded"), app=app) as server:
        yield server


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("naive"), app="st.App('main.py')", naive=True) as server:
        yield server


# --- the twin --------------------------------------------------------------------------------------------------------


def test_without_a_guard_anybody_runs_the_app(naive: Server) -> None:
    answer = naive.interact(None, page="reports")
    assert answer.status == 200
    assert "the reports" in answer.text
    again = naive.interact(None, session_id=answer.session, trigger={"key": "export"})
    assert "the reports" in again.text
    assert naive.interact("made-up", session_id=answer.session).status == 200  # anybody goes on with it
    assert "the reports" in naive.mcp(None, page="reports").text


def test_without_a_guard_anybody_reads_the_files(naive: Server) -> None:
    address = media(naive.interact("x"))
    assert naive.ask(address, [], method="GET").body == b"file of None"


def media(answer: Answer) -> str:
    found = re.search(r"\.\./\.\.(/media/[^\"\\]*)", answer.text)
    assert found, answer.text
    return found[1]


def test_without_a_guard_mcp_reads_the_files_of_every_session(naive: Server) -> None:
    theirs = media(naive.interact(None))
    mine = naive.interact(None, page="reports")
    answer = naive.mcp(None, tool="get_data", session_id=mine.session, url=theirs)
    assert blob("file of None") in answer.text


def blob(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# --- who runs it -----------------------------------------------------------------------------------------------------


def test_the_run_is_the_subjects_of_the_token(guarded: Server, issuer: Issuer) -> None:
    answer = guarded.interact(issuer.token())
    assert answer.status == 200, answer.text
    assert answer.said("user") == answer.said("subject") == "ann@acme.com"
    assert "private" in answer.headers["cache-control"]


def test_pages_and_callbacks_see_the_subject(guarded: Server, issuer: Issuer) -> None:
    exported = {}
    for name in ("ann", "bob"):
        token = issuer.token(sub=name, email=f"{name}@acme.com")
        first = guarded.interact(token, page="reports")
        assert "the reports" in first.text
        exported[name] = guarded.interact(token, session_id=first.session, trigger={"key": "export"}).said("exported")
    assert exported == {"ann": "True", "bob": "None"}


def test_mcp_runs_as_the_subject_too(guarded: Server, issuer: Issuer) -> None:
    assert guarded.mcp(issuer.token()).said("subject") == "ann@acme.com"
    assert guarded.mcp(None).status == 401


def test_the_app_never_sees_the_token(guarded: Server, issuer: Issuer) -> None:
    token = issuer.token()
    headers = [*bearing(token), ("Cookie", "a=b")]
    answer = guarded.ask("/_stcore/agent/interact", headers, b"{}")
    assert "authorization" not in answer.said("headers")
    assert "cookie" not in answer.said("headers")
    assert token[:40] not in (guarded.folder / "log.txt").read_text()


def test_a_cookie_plays_no_role(guarded: Server, issuer: Issuer) -> None:
    claims = {"iss": issuer.url, "sub": "ann", "email": "ann@acme.com", "email_verified": True, "iat": int(time.time()),
              "origin": f"http://localhost:{guarded.port}", "is_logged_in": True}  # fmt: skip
    cookie = create_signed_value(SECRET, "_streamlit_user", json.dumps(claims)).decode()
    sent = [("Content-Type", "application/json"), ("Cookie", f"_streamlit_user={cookie}")]
    assert guarded.ask("/_stcore/agent/interact", sent, b"{}").status == 401
    other = bearing(issuer.token(sub="bob", email="bob@acme.com"))
    answer = guarded.ask("/_stcore/agent/interact", [*other, ("Cookie", f"_streamlit_user={cookie}")], b"{}")
    assert answer.said("subject") == "bob@acme.com"


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["interact", "mcp", "openapi.json", "", "/../agent/interact", "interact?access_token=x"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"])
def test_nothing_answers_without_a_token(guarded: Server, path: str, method: str) -> None:
    answer = guarded.ask(f"/_stcore/agent/{path}", [], b"", method=method)
    assert (answer.status, answer.headers.get("www-authenticate")) == (401, "Bearer")


def test_a_token_that_does_not_count_is_refused(guarded: Server, issuer: Issuer) -> None:
    for token in (issuer.token(aud="other"), issuer.token(exp=1), issuer.token()[:-4] + "AAAA", "x.y.z"):
        answer = guarded.interact(token)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_a_subject_without_the_right_is_refused(guarded: Server, issuer: Issuer) -> None:
    for claims in (
        {"email": "eve@acme.com"},
        {"email": "ann@acme.com.evil.example"},
        {"roles": ["Viewer"], "email": "x@y.z"},
    ):
        answer = guarded.interact(issuer.token(**claims))
        assert (answer.status, answer.headers["www-authenticate"]) == (403, 'Bearer error="insufficient_scope"')


def test_a_revoked_subject_is_refused_and_who_might_be_one(guarded: Server, issuer: Issuer) -> None:
    for claims in ({"email": "rita@acme.com"}, {"email_verified": False}, {"email": None}):
        assert guarded.interact(issuer.token(**claims)).status == 401


def test_two_authorization_headers_are_refused(guarded: Server, issuer: Issuer) -> None:
    headers = [*bearing(issuer.token()), ("authorization", f"Bearer {issuer.token()}")]
    assert guarded.ask("/_stcore/agent/interact", headers, b"{}").status == 400


def test_a_huge_token_is_refused(guarded: Server) -> None:
    assert guarded.interact("a" * 20_000 + ".b.c").status == 401


def test_a_page_of_another_site_is_refused(guarded: Server, issuer: Issuer) -> None:
    headers = [*bearing(issuer.token()), ("Origin", "https://evil.example")]
    assert guarded.ask("/_stcore/agent/interact", headers, b"{}").status == 403


def test_a_websocket_to_it_is_refused(guarded: Server, issuer: Issuer) -> None:
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", f"http://localhost:{guarded.port}"),
    ]
    assert guarded.ask("/_stcore/agent/mcp", [*upgrade, *bearing(issuer.token())[1:]], method="GET").status == 403


def test_a_key_that_was_rotated_in_counts_after_a_minute_at_most(guarded: Server, issuer: Issuer) -> None:
    # The minute itself is in the tests of the keys, where the clock is an argument.
    assert guarded.interact(issuer.token(header={"kid": "new"})).status == 401
    assert issuer.asked.count("/jwks") == 1


# --- sessions and files ----------------------------------------------------------------------------------------------


def test_a_session_is_its_subjects_alone(guarded: Server, issuer: Issuer) -> None:
    mine = guarded.interact(issuer.token())
    bob = issuer.token(sub="bob", email="bob@acme.com")
    for other in (bob, issuer.token(roles=["admin"]), issuer.token(sub="x")):
        answer = guarded.interact(other, session_id=mine.session)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "unknown_session")
    assert guarded.mcp(bob, session_id=mine.session).text.count("unknown_session")
    assert guarded.interact(issuer.token(), session_id=mine.session).status == 200


def test_a_renewed_token_goes_on_with_the_session(guarded: Server, issuer: Issuer) -> None:
    first = guarded.interact(issuer.token(iat=int(time.time()) - 100, exp=int(time.time()) + 60))
    again = guarded.interact(issuer.token(), session_id=first.session)
    assert (again.status, again.said("subject")) == (200, "ann@acme.com")
    assert guarded.interact(issuer.token(exp=int(time.time()) - 60), session_id=first.session).status == 401


def test_a_file_is_the_subjects_alone(guarded: Server, issuer: Issuer) -> None:
    token = issuer.token()
    address = media(guarded.interact(token))
    bob = issuer.token(sub="bob", email="bob@acme.com")
    asked = {
        who: guarded.ask(address, bearing(sent), method="GET").status
        for who, sent in {"ann": token, "renewed": issuer.token(), "bob": bob, "nobody": None, "junk": "x.y.z"}.items()
    }
    assert asked == {"ann": 200, "renewed": 200, "bob": 404, "nobody": 404, "junk": 404}


def test_a_revoked_token_reads_no_file_any_more(guarded: Server, issuer: Issuer) -> None:
    token = issuer.token(sub="vic", email="bob@acme.com", sid="vic")
    address = media(guarded.interact(token))
    assert guarded.ask(address, bearing(token), method="GET").status == 200
    policy = guarded.folder / "policy.yaml"
    before = policy.read_text()
    policy.write_text(before.replace("rita@", "bob@"))
    assert guarded.interact(token).status == 401
    assert guarded.ask(address, bearing(token), method="GET").status == 404
    policy.write_text(before)


def test_mcp_reads_the_files_of_ones_own_sessions_only(guarded: Server, issuer: Issuer) -> None:
    first = guarded.interact(issuer.token())
    address = media(first)
    again = guarded.mcp(issuer.token(), tool="get_data", session_id=first.session, url=address)
    assert blob("file of ann@acme.com") in again.text
    bob = issuer.token(sub="bob", email="bob@acme.com")
    own = guarded.interact(bob)
    for url in (
        address,
        address.rpartition("/")[2],
        address.rpartition("/")[2].partition(".")[0],
        "http://x" + address,
    ):
        answer = guarded.mcp(bob, tool="get_data", session_id=own.session, url=url)
        assert "unknown_file" in answer.text
        assert blob("file of ann@acme.com") not in answer.text


def test_a_tab_can_not_take_over_the_session_of_a_program(guarded: Server, issuer: Issuer) -> None:
    before = guarded.interact(issuer.token())
    answer = guarded.ask("/_stcore/upload_file/x/y", bearing(issuer.token()), b"x", method="PUT")
    assert answer.status == 403
    assert before.session.startswith("s_")  # a handle: the id of the session itself is never told


def test_many_who_ask_at_once_stay_apart(guarded: Server, issuer: Issuer) -> None:
    names = ["ann", "bob"] * 8
    tokens = [issuer.token(sub=name, email=f"{name}@acme.com") for name in names]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(guarded.interact, tokens))
        again = list(
            threads.map(
                lambda pair: guarded.interact(pair[0], session_id=pair[1].session), zip(tokens, answers, strict=True)
            )
        )
    for several in (answers, again):
        assert [answer.said("subject") for answer in several] == [f"{name}@acme.com" for name in names]


def test_a_token_counts_for_its_own_request_only(guarded: Server, issuer: Issuer) -> None:
    # Pipelined on one connection: what was found out about the first must not serve the second.
    def request(*headers: str) -> bytes:
        lines = ["POST /_stcore/agent/interact HTTP/1.1", f"Host: localhost:{guarded.port}", *headers]
        return "\r\n".join([*lines, "Content-Type: application/json", "Content-Length: 2", "", "{}"]).encode()

    with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as connection:
        connection.sendall(request(f"Authorization: Bearer {issuer.token()}") + request("Connection: close"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"401"]


@pytest.mark.parametrize(
    "headers",
    [
        "Authorization: Bearer {t}, Bearer {t}",
        "Authorization: Bearer {t}\r\nAuthorization: Bearer {t}",
        "Authorization : Bearer {t}",
        "Authorization:\tBearer\t{t}",
        "Authorization: Bearer {t}\r\n x",
        "Proxy-Authorization: Bearer {t}",
        "X-Authorization: Bearer {t}",
        "Cookie: Authorization=Bearer {t}",
        "Authorization: bearer={t}",
        'Authorization: Bearer "{t}"',
        "Authorization: DPoP {t}",
    ],
)
def test_a_header_of_another_form_is_refused(guarded: Server, issuer: Issuer, headers: str) -> None:
    lines = ["POST /_stcore/agent/interact HTTP/1.1", "Host: x", headers.replace("{t}", issuer.token())]
    sent = "\r\n".join([*lines, "Connection: close", "Content-Length: 2", "", "{}"])
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as connection:
        connection.sendall(sent.encode())
        answer = connection.recv(65536)
    assert int(answer.split()[1]) in {400, 401}


# --- closed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ['agent: {permission: "report:view"}', '"*": public', "agents: public"])
@pytest.mark.parametrize("bearer", [True, False])
def test_it_is_closed_without_a_rule_of_its_own_or_without_an_issuer(
    tmp_path: Path, issuer: Issuer, rule: str, *, bearer: bool
) -> None:
    if bearer and rule.startswith("agent:"):
        return
    policy = POLICY.replace('agent: {permission: "report:view"}', rule)
    given = f", bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r})" if bearer else ""
    with serving(tmp_path, app=f"sg.App('main.py'{given})", policy=policy) as server:
        for token in (issuer.token(), None):
            assert server.interact(token).status == server.mcp(token).status == 404


def test_what_programs_are_allowed_and_refused_is_told_to_the_audit(
    tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STGUARD_AUDIT", "told.jsonl")
    told = tmp_path / "told.jsonl"
    app = f"sg.App('main.py', bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}))"
    with serving(tmp_path, app=app) as server:
        for sub in ("ann", "ann", "eve"):
            server.interact(issuer.token(email=f"{sub}@acme.com", sub=sub))
        agent: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while len(agent) < 2 and time.monotonic() < deadline:
            lines = told.read_text().splitlines() if told.exists() else []
            agent = [each for each in map(json.loads, lines) if each["action"] == "page:agent"]
    assert [(each["subject"].partition("|")[2], each["allowed"], each["reason"]) for each in agent] == [
        ("ann", True, "granted"),
        ("eve", False, "unknown"),
    ]


def test_a_public_rule_still_asks_for_a_token(tmp_path: Path, issuer: Issuer) -> None:
    policy = POLICY.replace('agent: {permission: "report:view"}', "agent: public").replace(
        "pages:", "identity: {accept: {aud: [other]}}\n    pages:"
    )
    app = f"sg.App('main.py', bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}))"
    with serving(tmp_path, app=app, policy=policy) as server:
        assert server.interact(None).status == 401
        assert server.interact(issuer.token()).status == 401  # what the policy doesn't accept is nobody
        assert server.interact(issuer.token(aud=[AUDIENCE, "other"])).status == 200


def test_an_issuer_that_is_down_refuses(tmp_path: Path, issuer: Issuer) -> None:
    app = f"sg.App('main.py', bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}, jwks_uri='http://127.0.0.1:9/'))"
    with serving(tmp_path, app=app) as server:
        assert server.interact(issuer.token()).status == 503


def test_what_an_identity_source_adds_counts(tmp_path: Path, issuer: Issuer) -> None:
    policy = POLICY.replace("{role: viewer, email: bob@acme.com}", "{role: viewer, group: programs}")
    app = f"""sg.App('main.py', bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}),
        identity=lambda claims: sg.Facts(groups=['programs'] if claims['sub'] == 'robot' else []))"""
    with serving(tmp_path, app=app, policy=policy) as server:
        assert server.interact(issuer.token(sub="robot", email="robot@acme.com"), page="reports").status == 200
        assert server.interact(issuer.token(sub="other", email="other@acme.com")).status == 403
