"""Attacks on what stands around the script: the handshake, cookies, headers, files, frames that need no run."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from streamlit import git_util
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.app_session import AppSession
from streamlit.web.server.starlette import starlette_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.hostile.arena import HAS_AGENT_API, PROXY_SECRET, serve
from tests.hostile.client import HAS_OPERATIONS, Browser, Drawing, Tab
from tests.hostile.table import case
from tests.hostile.twins.routes import SECRET

if TYPE_CHECKING:
    from tests.hostile.arena import Arena

COMPARES_PEOPLE: Final = hasattr(AppSession, "matches_user_info")
"""Whether Streamlit itself compares who resumes a session with who began it: 1.62 does, 1.57 takes the id alone."""

TELLS_GIT: Final = hasattr(git_util, "_run_git") or importlib.util.find_spec("git") is not None
"""Whether this Streamlit can read a repository: 1.57 needs GitPython for it."""

TELLS_PATHS: Final = "code=1002" not in inspect.getsource(starlette_websocket)
"""Whether this Streamlit answers a frame that it can't read with its traceback: 1.57 does, 1.62 closes."""

HAS_SKILLS: Final = HAS_OPERATIONS and "install_skills" in (
    BackMsg.DESCRIPTOR.fields_by_name["backend_operation_request"].message_type.fields_by_name
)

door = functools.partial(case, gateway=True)


def _drawn(tab: Tab, page: str = "") -> Drawing:
    """Open a page; nothing where the connection is closed instead."""
    with suppress(ConnectionClosed):
        return tab.open(page)
    return Drawing()


def _connects(browser: Browser, *, origin: str | None = "") -> bool:
    """Tell whether a browser gets a connection from a page of a site, and a page over it."""
    try:
        with Tab(browser, origin=origin) as tab:
            return bool(tab.open().parts)
    except InvalidStatus:
        return False


# --- whose page asks -------------------------------------------------------------------------------------------------


@door("a connection for a page of another site, with the visitor's cookies", 12)
def _foreign_page(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    assert _connects(browser)
    return any(_connects(browser, origin=origin) for origin in ("http://localhost:1", "http://127.0.0.1:1", None))


@door("a request that changes something, from a page of another site", 25)
def _foreign_post(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    browser.ask("POST", "/wipe", headers={"Origin": browser.origin})
    assert arena.done("posted")
    browser.ask("POST", "/wipe", headers={"Origin": "https://evil.example"})
    browser.ask("POST", "/wipe", headers={"Origin": "null"})
    return arena.done("posted")


@door("an upload from a page of another site", 23)
def _foreign_upload(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    with Tab(browser) as tab:
        tab.open()
        assert browser.upload(tab.session).ok
        return browser.upload(tab.session, origin="https://evil.example").ok


@door("a connection for nobody, where everybody is to be signed in", 12)
def _anonymous(arena: Arena) -> bool:
    if arena.kind == "naive":
        return _connects(arena.browser(None))
    with serve(arena.kind, anonymous=False) as strict:
        assert _connects(strict.browser(strict.person()))
        return _connects(strict.browser(None))


# --- logins ----------------------------------------------------------------------------------------------------------


@door("a tab goes on after signing out in another", 2, 12)
def _other_tab(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    with Tab(browser) as tab:
        assert "Home" in tab.open()
        browser.get("/auth/logout")
        return "Home" in _drawn(tab)


@door("a cookie that was kept from before signing out", 12)
def _replayed(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    with Tab(browser) as tab:
        assert "Home" in tab.open()
    kept = dict(browser.cookies)
    browser.get("/auth/logout")
    browser.cookies = kept
    with Tab(browser, resume=tab.session) as tab:
        return "Home" in tab.open()


@case("a login that is older than the longest one that counts", 12)
def _old(arena: Arena) -> bool:
    with Tab(arena.browser(arena.person(), age=2 * 3600)) as tab:
        return "Home" in tab.open()


@case("a login that was revoked", 12)
def _revoked(arena: Arena) -> bool:
    email = arena.person()
    browser = arena.browser(email)
    arena.revoke(email)
    with Tab(browser) as tab:
        return "Home" in tab.open()


@case("a login that is revoked while its tab is open", 12)
def _revoked_meanwhile(arena: Arena) -> bool:
    email = arena.person()
    with Tab(arena.browser(email)) as tab:
        assert "Home" in tab.open()
        arena.revoke(email)
        return "Home" in _drawn(tab)


# --- another's session -----------------------------------------------------------------------------------------------


@door("the session of another who isn't signed in, by its id", 12)
def _session_of_nobody(arena: Arena) -> bool:
    with Tab(arena.browser(None)) as tab:
        tab.open()
    with Tab(arena.browser(None), resume=tab.session) as thief:
        thief.open()
        return thief.session == tab.session


@door("the session of another person, by its id", 12, given=not COMPARES_PEOPLE)
def _session_of_another(arena: Arena) -> bool:
    with Tab(arena.browser(arena.person("admin"))) as tab:
        assert "Wipe" in tab.open("vault")
    with Tab(arena.browser(arena.person()), resume=tab.session) as thief:
        return "Wipe" in thief.open("vault")


@door("one's own session after signing out, by its id", 12, given=not COMPARES_PEOPLE)
def _session_after_signing_out(arena: Arena) -> bool:
    browser = arena.browser(arena.person())
    with Tab(browser) as tab:
        assert "Home" in tab.open()
    browser.get("/auth/logout")
    with Tab(browser, resume=tab.session) as tab:
        return "Home" in tab.open()


@door("deferred download of another session, by its id", 6)
def _deferred_of_another(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab, arena.tab(arena.person()) as thief:
        tab.open("files")
        thief.open()
        file_id = tab.part("Export").proto.deferred_file_id
        message = BackMsg()
        if HAS_OPERATIONS:
            message.backend_operation_request.request_id = "1"
            message.backend_operation_request.session_id = thief.session
            message.backend_operation_request.deferred_file.file_id = file_id
        else:
            message.deferred_file_request.file_id = file_id
        thief.ask(message)
        return any("/media/" in str(each) for each in thief.seen.messages[-2:])


def _file(tab: Tab) -> str:
    tab.open("files")
    return str(tab.part("Take").proto.url)


@door("file of another session, by its address", 23)
def _file_of_another(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab, arena.tab(arena.person()) as thief:
        thief.open()
        address = _file(tab)
        assert SECRET.encode() in (tab.get(address) or b"")
        return SECRET.encode() in (thief.get(address) or b"")


@door("file of another session, without any cookie", 23)
def _file_for_nobody(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab:
        address = _file(tab)
        browser = arena.browser(None)
        browser.cookies = {}
        return SECRET.encode() in browser.get(address).body


@door("file of another session, by other spellings of its address", 23)
def _file_by_other_spellings(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab:
        address = _file(tab)
        stem = address.removeprefix("/media/").partition(".")[0]
        thief = arena.browser(arena.person())
        paths = (f"/%6dedia/{stem}.txt", f"/media/{stem}", f"/media/{stem}.png", f"/media/%{ord(stem[0]):x}{stem[1:]}")
        return any(thief.get(path).ok for path in paths) or thief.ask("GET", address, headers={"Range": "bytes=0-3"}).ok


@door("file of one's own after signing out", 12, 23)
def _file_after_signing_out(arena: Arena) -> bool:
    browser = arena.browser(arena.person("admin"))
    with Tab(browser) as tab:
        address = _file(tab)
        kept = dict(browser.cookies)
        browser.get("/auth/logout")
        browser.cookies = kept
        return browser.get(address).ok


@door("upload to another session", 23)
def _upload(arena: Arena) -> bool:
    with arena.tab(arena.person("admin")) as tab:
        tab.open("files")
        return arena.browser(arena.person()).upload(tab.session).ok


@door("deleting the upload of another session", 23)
def _delete(arena: Arena) -> bool:
    browser = arena.browser(arena.person("admin"))
    with Tab(browser) as tab:
        tab.open("files")
        assert browser.upload(tab.session).ok
        return arena.browser(arena.person()).upload(tab.session, method="DELETE").ok


@door("static file of the app, for nobody", 23)
def _static(arena: Arena) -> bool:
    assert SECRET.encode() in arena.browser(arena.person()).get("/app/static/plan.txt").body
    return arena.browser(None).get("/app/static/plan.txt").ok


# --- frames that need no run -----------------------------------------------------------------------------------------


@door("emptying everybody's caches", 24)
def _clear_cache(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab, arena.tab(arena.person()) as other:
        before = _said(tab.open(), "counted")
        other.open()
        other.ask(BackMsg(clear_cache=True))
        return _said(tab.open(), "counted") != before


@door("the names of files in the repository", 24, given=TELLS_GIT)
def _git(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open()
        return "git_info_changed" in tab.ask(BackMsg(load_git_info=True))


@door("installing files on the server", 24, given=HAS_SKILLS)
def _skills(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open()
        message = BackMsg()
        message.backend_operation_request.request_id = "1"
        message.backend_operation_request.session_id = tab.session
        message.backend_operation_request.install_skills.SetInParent()
        return "backend_operation_response" in tab.ask(message)


@door("what the server counts: names of functions, how often each ran", 24)
def _metrics(arena: Arena) -> bool:
    paths = ("/_stcore/metrics", "/_stcore/metrics?families=cache_memory_bytes", "/_stcore/%6detrics")
    return any(
        b"active_sessions" in browser.get(path).body or b"cache_memory" in browser.get(path).body
        for browser in (arena.browser(None), arena.browser(arena.person("admin")))
        for path in paths
    )


@door("what the answer to a broken frame says: where the server's files are", 10, given=TELLS_PATHS)
def _broken_frame(arena: Arena) -> bool:
    with arena.tab(arena.person()) as tab:
        tab.open()
        tab.send_data(b"\xff\xff\xff")
        with suppress(ConnectionClosed):
            tab.finish()  # it clears the page first
            tab.ask(BackMsg())
        return "site-packages" in tab.seen


@door("running the app without a cookie, over the agent API", 24, given=HAS_AGENT_API)
def _agent(arena: Arena) -> bool:
    browser = arena.browser(None)
    answer = browser.ask("POST", "/_stcore/agent/interact", headers={"Content-Type": "application/json"}, body=b"{}")
    return answer.ok


def _said(drawn: Drawing, word: str) -> str:
    """Return what the app wrote as `<<word ...>>`."""
    return next(
        str(part.proto.body).partition(f"<<{word} ")[2].partition(">>")[0]
        for part in drawn.parts
        if part.kind == "markdown" and f"<<{word} " in part.proto.body
    )


# --- identity headers ------------------------------------------------------------------------------------------------

CHIEF: Final = "chief@acme.com"


def _taken_for(arena: Arena, *headers: tuple[str, str]) -> str:
    """Return whom the app takes a visitor for by the proxy's header; empty where it gives no connection."""
    try:
        with Tab(arena.browser(arena.person()), headers=headers) as tab:
            return _said(tab.open(), "proxied")
    except InvalidStatus:
        return ""


@door("an identity header of the browser's own", 16)
def _own_header(arena: Arena) -> bool:
    return _taken_for(arena, ("X-Proxied", CHIEF)) == CHIEF


@door("an identity header with a wrong proof of the proxy", 16)
def _wrong_proof(arena: Arena) -> bool:
    proofs = ("", "wrong", "only-the-proxy-knows-thi", "only-the-proxy-knows-this, only-the-proxy-knows-this")
    return any(_taken_for(arena, ("X-Proxied", CHIEF), ("X-Stguard-Proxy", proof)) == CHIEF for proof in proofs)


@door("an identity header beside the proxy's own", 16)
def _two_headers(arena: Arena) -> bool:
    # The browser's goes through the proxy, which appends its own.
    proof = ("X-Stguard-Proxy", PROXY_SECRET)
    assert _taken_for(arena, ("X-Proxied", "p@acme.com"), proof) == "p@acme.com"
    return _taken_for(arena, ("x-proxied", CHIEF), ("X-Proxied", "p@acme.com"), proof) == CHIEF


# --- the page to return to -------------------------------------------------------------------------------------------

ELSEWHERE: Final = (
    "//evil.example/",
    "/\\evil.example",
    "/%2f%2fevil.example",
    "/%252f%252fevil.example",
    "/reports/..//evil.example",
)


def _leaves(arena: Arena, location: str) -> bool:
    """Tell whether a browser that follows an answer leaves the site, or does where something decodes once more."""
    base = f"http://{arena.address}/"
    for each in (location, location.replace("%5c", "\\").replace("%2f", "/")):
        # Browsers take a backslash for a slash (WHATWG URL, 4.4).
        if urlsplit(urljoin(base, each.replace("\\", "/"))).netloc != arena.address:
            return True
    return False


@door("a sign-in that leads to another site, by a link to the app", 17)
def _open_redirect(arena: Arena) -> bool:
    browser = arena.browser(None)
    assert arena.sign_in(browser, referer=f"{browser.origin}/orgs?org=acme") == "/orgs?org=acme"
    got = [arena.sign_in(arena.browser(None), referer=browser.origin + path) for path in ELSEWHERE]
    return any(_leaves(arena, location) for location in got)


@door("a sign-in that leads to another site, by a cookie that was put there", 17)
def _planted_cookie(arena: Arena) -> bool:
    planted = {"return_to": "%2F%2Fevil.example%2F", "_stguard_return": "//evil.example/"}
    return _leaves(arena, arena.sign_in(arena.browser(None), referer="", planted=planted))


# --- a folder of pages -----------------------------------------------------------------------------------------------


@door("a folder `pages` beside the script, opened before anybody has opened the app", 9)
def _pages_folder(arena: Arena) -> bool:
    told = ""
    try:
        with serve(arena.kind, pages_folder=True) as fresh, fresh.tab(None) as tab:
            return SECRET in tab.open("secrets")
    except RuntimeError as error:
        told = str(error)
    assert "the folder `pages` beside the main script is served" in told
    return False
