"""Replicas of one app act as one: an edit in the admin page of one, a sign-out at one, are in force at the others."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from stguard.app import private, replicas, settings
from stguard.shared.replicas import Replicas, Shared
from tests.app.test_admin_changes import MAIN, POLICY, PREVIEW, begin_grant, press, told
from tests.app.test_gateway import SECRET, Browser, Server, Tab, serving
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stguard.shared.policy import SharedPolicy


@pytest.fixture
def other(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedPolicy]:
    """Let the apps of this process share, and return the policy as another replica has it."""
    monkeypatch.setenv("STGUARD_REDIS_URL", engine.url)
    monkeypatch.setenv("STGUARD_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(private, "cookie_secret", lambda: SECRET)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = Replicas(Shared(url=engine.url), secret=SECRET, folder=elsewhere)
    made.link.start(patience=10)
    yield made.policy(elsewhere / "policy.yaml", on_bad_edit="keep")
    made.link.close()
    replicas.leave()
    settings._by_script.clear()


@pytest.fixture
def admin(desk: Any, visit: Any) -> Any:
    visit("admin")
    return desk.policy(POLICY).main(MAIN)


def test_what_an_admin_saves_is_in_force_at_the_other_replica(admin: Any, other: SharedPolicy) -> None:
    at = begin_grant(admin.run("ada"), "email:vera@acme.com", "exporter", "TICKET-1")
    until(lambda: other.board.current() is not None)
    before = other.current().version
    at = press(press(at, PREVIEW), "Save")
    assert "Saved" in told(at)
    until(lambda: other.current().version != before)
    (given,) = [each for each in other.current().parts.assignments if each.role == "exporter"]
    assert given.who.value == "vera@acme.com"
    assert (admin.folder / "policy.yaml").read_text() == POLICY, "the file beside the app only began it"


def test_what_another_replica_saves_is_in_force_at_the_next_click(admin: Any, other: SharedPolicy, menu: Any) -> None:
    at = admin.run("bob")
    assert menu() == ["/"]
    until(lambda: other.board.current() is not None)
    posted = other.board.current()
    assert posted is not None
    text = POLICY.replace('reports: {permission: "report:view"}', "reports: signed_in")
    other.board.save({"policy.yaml": text.encode()}, "0" * 12, expected=posted.id, entries=[], keep=5)
    mine = replicas.current()
    assert mine is not None
    until(lambda: mine._board.current() is not None and mine._board.current().id == "0" * 12)  # type: ignore[union-attr]  # asked before
    at.run()
    assert menu() == ["/", "reports"]


def test_a_policy_that_is_too_old_opens_nothing(
    admin: Any, other: SharedPolicy, engine: Engine, monkeypatch: pytest.MonkeyPatch, shown: Any
) -> None:
    monkeypatch.setenv("STGUARD_SHARED_STALE", "1")
    at = admin.run("ada")
    until(lambda: other.board.current() is not None)
    engine.stop()
    mine = replicas.current()
    assert mine is not None
    until(lambda: mine.link.is_stale)
    at.run()
    assert "home content" not in shown(at)
    assert "Access control" not in shown(at)
    engine.start()
    until(lambda: not mine.link.is_stale)
    at.run()
    assert "Access control" in shown(at)


FRONT = "http://localhost"
"""What the browser sees of every replica: the proxy in front of them."""


def log_in(server: Server) -> Browser:
    browser = Browser(server)
    claims = {"iss": "https://idp.example", "sub": "ann", "email": "ann@acme.com", "email_verified": True}
    payload = {**claims, "iat": int(time.time()), "origin": FRONT, "is_logged_in": True, "provider": "default"}
    browser.cookies["_streamlit_user"] = create_signed_value(SECRET, "_streamlit_user", json.dumps(payload)).decode()
    return browser


def open_tab(browser: Browser) -> Tab:
    """Open a tab as it reaches a replica through the proxy: with the proxy's name for a host."""
    browser.get("/_stcore/health", Host="localhost")
    return Tab(
        connect(
            "ws://localhost/_stcore/stream",
            sock=socket.create_connection(("127.0.0.1", browser.server.port)),
            subprotocols=[Subprotocol("streamlit"), Subprotocol(browser.cookies["_streamlit_xsrf"])],
            origin=Origin(FRONT),
            additional_headers={"Cookie": browser.cookie},
        )
    )


@pytest.mark.server
@pytest.mark.parametrize("shares", [False, True], ids=["apart", "sharing"])
def test_a_sign_out_at_one_replica_ends_the_login_at_the_other(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shares: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    if shares:
        monkeypatch.setenv("STGUARD_REDIS_URL", engine.url)
    with contextlib.ExitStack() as stack:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        one, two = (stack.enter_context(serving(tmp_path / name, "guarded")) for name in ("one", "two"))
        here, there = log_in(one), Browser(two)
        there.cookies.update(here.cookies)
        tab = stack.enter_context(contextlib.closing(open_tab(there)))
        assert tab.said("who") == "ann@acme.com"
        assert here.get("/auth/logout", Host="localhost").status < 400
        # The open tab is told, and the cookie, which somebody may have copied, counts nowhere any more.
        assert tab.is_closed() is shares
        late = stack.enter_context(contextlib.closing(open_tab(there)))
        assert late.said("who") == ("None" if shares else "ann@acme.com")
