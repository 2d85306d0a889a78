"""The parts of the gateway by themselves: what is refused, case by case."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime import Runtime, RuntimeConfig
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest
from streamlit.web.cache_storage_manager_config import create_default_cache_storage_manager
from streamlit.web.server.starlette.starlette_app import create_streamlit_routes
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

import stguard as sg
from stguard.app import private, settings
from stguard.app.gateway import ledger as ledger_module
from stguard.app.gateway import origins, places, returns, visitors
from stguard.app.gateway.ledger import FILES_LIMIT, Ledger, file_at
from stguard.app.gateway.places import Place
from stguard.app.gateway.signouts import Signouts
from stguard.app.gateway.stream import FRAMES, OPERATIONS
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# --- the page asked for before sign-in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/reports",
        "/reports?org=acme&tab=2",
        "/reports?next=https://evil.example",
        "/base/reports",
        "/%C3%9Cberblick",
        "/a%20page",
        "/authors",
        "/medias",
        "/reports?x=%0a",
    ],
)
def test_a_page_of_this_site_is_led_back_to(target: str) -> None:
    assert returns.safe(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "reports",
        "https://evil.example",
        "HTTPS://evil.example",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        "/reports\\..\\x",
        "/reports?x=\\",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/%2fevil.example",
        "/%2F%2Fevil.example",
        "/%252fevil.example",
        "/%25252fevil.example",
        "/%2525252525252fevil.example",
        "/%2525252525255cevil.example",
        "/\tevil.example",
        "/\n/evil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:x=1",
        "/ /evil.example",
        "/\x00",
        "/x#//evil.example",
        "/x//evil.example",
        "/./evil",
        "/../evil",
        "/x/..//evil.example",
        "/%2e%2e/evil",
        "/%2e/%2fevil.example",
        "/\N{FULLWIDTH SOLIDUS}evil.example",
        "/\u2028evil",
        "@evil.example",
        ".evil.example",
        "/auth/logout",
        "/auth/login?provider=x",
        "/oauth2callback?code=x",
        "/%61uth/logout",
        "/base/auth/logout",
        "/_stcore/health",
        "/_stguard/health",
        "/media/x.png",
        "/app/static/x",
        "/" + "x" * returns.LONGEST,
    ],
)
def test_what_is_not_plainly_a_page_of_this_site_is_not_led_to(target: str) -> None:
    assert returns.safe(target) is None


@pytest.mark.parametrize(
    ("referer", "target"),
    [
        ("https://app.example/reports?x=1", "/reports?x=1"),
        ("https://app.example", None),
        ("https://app.example/reports#part", "/reports"),
        ("http://app.example/reports", None),
        ("https://app.example:8443/reports", None),
        ("https://evil.example/reports", None),
        ("https://app.example.evil.example/reports", None),
        ("https://app.example@evil.example/reports", None),
        ("https://evil.example@app.example/reports", None),
        ("https://[app.example/reports", None),
        ("about:blank", None),
        ("", None),
    ],
)
def test_the_page_asked_for_is_read_from_the_referer_of_this_site_only(referer: str, target: str | None) -> None:
    assert returns.asked_for(referer, host="app.example", secure=True) == target


def test_a_kept_page_is_signed_and_read_back() -> None:
    value = returns.cookie("/reports?x=1", secure=True).decode()
    kept = value.partition(";")[0].partition("=")[2]
    assert returns.target_in(kept) == "/reports?x=1"
    assert returns.target_in(kept[:-3] + "AAA") is None
    assert returns.target_in(private.sign("another cookie", "/reports")) is None
    assert returns.target_in(private.sign(returns.COOKIE, "https://evil.example")) is None
    assert value.endswith("; HttpOnly; Max-Age=600; Path=/; SameSite=Lax; Secure")


# --- whose page asks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "host", "secure", "own"),
    [
        ("https://app.example", "app.example", True, True),
        ("https://APP.example", "app.EXAMPLE", True, True),
        ("https://app.example", "app.example:443", True, True),
        ("https://app.example:443", "app.example", True, True),
        ("http://app.example:8501", "app.example:8501", False, True),
        ("https://app.example", "app.example", False, True),  # a proxy took the TLS off
        ("http://[::1]:8501", "[::1]:8501", False, True),
        ("https://portal.example", "app.example", True, True),  # allowed
        ("http://app.example", "app.example", True, False),
        ("https://app.example", "app.example:8501", True, False),
        ("http://app.example", "app.example:443", False, False),
        ("https://app.example.", "app.example", True, False),
        ("https://sub.app.example", "app.example", True, False),
        ("https://app.example.evil.example", "app.example", True, False),
        ("https://evilapp.example", "app.example", True, False),
        ("http://portal.example", "app.example", True, False),
        ("https://portal.example:8443", "app.example", True, False),
        ("https://app.example@evil.example", "app.example", True, False),
        ("https://app.example/", "app.example", True, False),
        ("https://app.example/x", "app.example", True, False),
        ("https://app.example?", "app.example", True, False),
        ("https://app.example:x", "app.example", True, False),
        ("https://app.example:99999", "app.example", True, False),
        ("//app.example", "app.example", True, False),
        ("file://app.example", "app.example", False, False),
        ("null", "app.example", True, False),
        ("null", "null", False, False),
        ("", "", False, False),
        ("http://", "", False, False),
        ("https://app.example https://evil.example", "app.example", True, False),
    ],
)
def test_an_origin_is_the_apps_own_or_not(origin: str, host: str, *, secure: bool, own: bool) -> None:
    assert origins.is_own(origin, host=host, secure=secure, allowed=("https://portal.example",)) is own


# --- the proof of a proxy --------------------------------------------------------------------------------------------

SECRET = "a-secret-of-the-proxy"  # noqa: S105  made up


@pytest.mark.parametrize(
    ("values", "proven"),
    [([SECRET], True), ([], False), ([SECRET.upper()], False), ([SECRET, SECRET], False), (["wrong", SECRET], False)],
)
def test_a_shared_secret_proves_the_proxy(values: list[str], *, proven: bool) -> None:
    headers = [(b"X-Stguard-Proxy", value.encode()) for value in values]
    assert sg.TrustedProxy(secret=SECRET).proves({"headers": headers}) is proven


@pytest.mark.parametrize(
    ("client", "proven"),
    [
        (("10.0.0.5", 1), True),
        (("10.1.0.9", 1), True),
        (("::ffff:10.0.0.5", 1), True),
        (("10.0.0.6", 1), False),
        (("testclient", 1), False),
        (("", 1), False),
        (None, False),
    ],
)
def test_an_address_proves_the_proxy(client: Any, *, proven: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    proxy = sg.TrustedProxy(peers=("10.0.0.5", "10.1.0.0/16"))
    assert proxy.proves({"headers": [], "client": client}) is proven


def test_with_a_secret_and_peers_both_are_asked_for() -> None:
    proxy = sg.TrustedProxy(secret=SECRET, peers=("10.0.0.5",))
    secret = [(b"x-stguard-proxy", SECRET.encode())]
    assert proxy.proves({"headers": secret, "client": ("10.0.0.5", 1)})
    assert not proxy.proves({"headers": secret, "client": ("10.0.0.6", 1)})
    assert not proxy.proves({"headers": [], "client": ("10.0.0.5", 1)})


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({}, "proves nothing"),
        ({"secret": ""}, "16 ASCII characters"),
        ({"secret": "short"}, "16 ASCII characters"),
        ({"peers": ("proxy.example",)}, "`proxy.example`"),
        ({"peers": ("10.0.0.5/8",)}, "`10.0.0.5/8`"),
        ({"peers": ("10.0.0.5", "0.0.0.0/0")}, "every address"),
        ({"peers": ("::/0",)}, "every address"),
    ],
)
def test_a_proxy_that_could_prove_nothing_is_refused(made: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        sg.TrustedProxy(**made)


@pytest.mark.parametrize("allowed", ["*", " * ", "0.0.0.0/0", "127.0.0.1, 0.0.0.0/0", "10.0.0.5,::/0"])
def test_addresses_prove_nothing_where_any_browser_names_its_own(allowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", allowed)
    with pytest.raises(ConfigurationError, match="FORWARDED_ALLOW_IPS"):
        sg.TrustedProxy(peers=("10.0.0.5",))
    assert sg.TrustedProxy(peers=("10.0.0.5",), secret=SECRET)


def test_the_secret_is_not_printed() -> None:
    assert SECRET not in repr(sg.TrustedProxy(secret=SECRET))


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "tool", "/tool/"])
@pytest.mark.parametrize("mount", ["", "/mounted"])
@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/_stcore/stream", Place.STREAM),
        ("/media/x.png", Place.MEDIA),
        ("/_stcore/upload_file/s/f", Place.UPLOAD),
        ("/app/static/x", Place.STATIC),
        ("/_stcore/agent/mcp", Place.AGENT),
        ("/auth/login", Place.LOGIN),
        ("/auth/logout", Place.LOGOUT),
        ("/oauth2callback", Place.CALLBACK),
        ("/static/js/x.js", Place.ASSET),
        ("/", Place.OTHER),
        ("/reports", Place.OTHER),
    ],
)
def test_a_path_asks_for_what_streamlit_would_serve(path: str, place: Place, base: str, mount: str) -> None:
    prefix = f"{mount}/{base.strip('/')}" if base else mount
    before = config.get_option("server.baseUrlPath")
    config.set_option("server.baseUrlPath", base)
    try:
        assert places.place_of({"path": prefix + path, "root_path": mount})[0] is place
    finally:
        config.set_option("server.baseUrlPath", before)


def test_a_base_path_that_stands_for_many_paths_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A route's pattern: Starlette would serve `/any/media/x` there.
    monkeypatch.setattr(st, "get_option", lambda _: "apps/{name}")
    with pytest.raises(ConfigurationError, match="baseUrlPath"):
        places.place_of({"path": "/apps/any/media/x", "root_path": ""})


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths of all routes of Streamlit's server."""
    monkeypatch.setattr(Runtime, "_instance", None)
    config.set_option("server.enableStaticServing", True)
    runtime = Runtime(
        RuntimeConfig(
            script_path=__file__,
            media_file_storage=MemoryMediaFileStorage("/media"),
            uploaded_file_manager=MemoryUploadedFileManager("/_stcore/upload_file"),
            cache_storage_manager=create_default_cache_storage_manager(),
            is_hello=False,
            session_storage=MemorySessionStorage(),
        )
    )
    yield [str(getattr(route, "path", "")) for route in create_streamlit_routes(runtime)]
    config.set_option("server.enableStaticServing", False)


KNOWN = {
    "/_stcore/stream": Place.STREAM,
    "/media/{file_id:path}": Place.MEDIA,
    "/_stcore/upload_file/{session_id}/{file_id}": Place.UPLOAD,
    "/app/static/{path:path}": Place.STATIC,
    "/_stcore/agent/interact": Place.AGENT,
    "/_stcore/agent/openapi.json": Place.AGENT,
    "/_stcore/agent/mcp": Place.AGENT,
    "/auth/login": Place.LOGIN,
    "/auth/logout": Place.LOGOUT,
    "/oauth2callback": Place.CALLBACK,
    "/_stcore/health": Place.ASSET,
    "/_stcore/host-config": Place.ASSET,
    "/component/{path:path}": Place.ASSET,
    "/_stcore/bidi-components/{path:path}": Place.ASSET,
    "/_stcore/metrics": Place.METRICS,
    "": Place.OTHER,
}


def test_each_route_of_this_streamlit_is_one_that_was_thought_of(routes: list[str]) -> None:
    # A new one must be read, and put where it belongs.
    assert {path: places.place_at(path)[0] for path in routes} == {path: KNOWN.get(path) for path in routes}


def test_each_kind_of_frame_is_passed_or_dropped_on_purpose() -> None:
    dropped = {"clear_cache", "load_git_info", "debug_disconnect_websocket", "debug_shutdown_runtime"}
    kinds = {field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields}
    assert kinds <= FRAMES | dropped
    operations = BackMsg.DESCRIPTOR.fields_by_name.get("backend_operation_request")
    if operations is not None:
        payloads = {field.name for field in operations.message_type.oneofs_by_name["payload"].fields}
        assert payloads <= OPERATIONS | {"install_skills", "dismiss_skills_nudge"}


# --- visitors --------------------------------------------------------------------------------------------------------


def visitor(cookies: dict[str, str], *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> visitors.Visitor:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    return visitors.visitor_of({"type": "http", "headers": [(b"cookie", cookie), *headers]}, identity=("x-user",))


def login(**claims: Any) -> dict[str, str]:
    payload = json.dumps({"sub": "1", "is_logged_in": True, "origin": "https://app.example", **claims})
    return {"_streamlit_user": private.sign("_streamlit_user", payload)}


def test_a_login_is_known_by_its_claims_and_two_of_one_person_are_two() -> None:
    one, other = visitor(login(nonce="a")), visitor(login(nonce="b"))
    assert one.claims == {"sub": "1", "nonce": "a", "is_logged_in": True}
    assert one.named
    assert visitor(login(nonce="a")) == one
    assert one.login != other.login
    assert one.owner != other.owner


def test_a_browser_is_known_though_its_cookie_changes_its_text() -> None:
    texts = [generate_xsrf_token_string(b"0123456789abcdef", 1) for _ in range(2)]
    assert texts[0] != texts[1]
    one, same = (visitor({"_streamlit_xsrf": text}) for text in texts)
    assert one.owner == same.owner is not None
    assert one.login is None
    assert not one.named
    assert visitor({"_streamlit_xsrf": generate_xsrf_token_string()}).owner != one.owner


def test_who_nothing_tells_from_another_owns_nothing() -> None:
    nobody = visitor({})
    assert nobody.owner is None
    books = Ledger()
    books.connect("s", owner=None)
    books.give("s", "/media/f.png")
    assert not books.belongs("s", nobody.owner)
    assert not books.may_read(nobody.owner, "f")


@pytest.mark.parametrize(
    "cookies",
    [
        {"_streamlit_user": "made up"},
        {"_streamlit_user": private.sign("_streamlit_user_tokens", '{"is_logged_in": true}')},
        {"_streamlit_user": private.sign("_streamlit_user", '{"is_logged_in": "yes"}')},
        {"_streamlit_user": private.sign("_streamlit_user", '{"sub": "1"}')},
        {"_streamlit_user": private.sign("_streamlit_user", "[1]")},
        {"_streamlit_user": private.sign("_streamlit_user", "no json")},
    ],
)
def test_what_is_no_valid_login_is_none(cookies: dict[str, str]) -> None:
    assert visitor(cookies).login is None


def test_identity_headers_tell_one_persons_sessions_from_anothers_in_one_browser() -> None:
    browser = {"_streamlit_xsrf": generate_xsrf_token_string(b"0123456789abcdef", 1)}
    ann, bob = (visitor(browser, headers=((b"X-User", name),)) for name in (b"ann", b"bob"))
    assert ann.named
    assert ann.owner != bob.owner != visitor(browser).owner


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"_streamlit_user=x", b""),
        (b"a=1; _streamlit_user=x; b=2", b"a=1; b=2"),
        (b"_streamlit_user=x;_streamlit_user_1=y; _streamlit_user_tokens=z; a=1", b" a=1"),
        (b"a=1;  _streamlit_user =x", b"a=1"),
        (b"a=1; \xa0_streamlit_user=x;\x85_streamlit_user_1=y", b"a=1"),
        (b"a=_streamlit_user; _streamlit_xsrf=t", b"a=_streamlit_user; _streamlit_xsrf=t"),
    ],
)
def test_the_cookies_of_a_login_are_taken_out(before: bytes, after: bytes) -> None:
    assert visitors.without_login([(b"Cookie", before), (b"host", b"x")]) == [(b"Cookie", after), (b"host", b"x")]


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_made_later_is_for_the_session_that_was_given_its_id() -> None:
    books = Ledger()
    books.connect("mine", owner=b"me")
    books.connect("theirs", owner=b"them")
    books.give("mine", "promise")
    books.fetch("promise", "/media/later.csv")
    assert books.may_read(b"me", "later")
    assert not books.may_read(b"them", "later")
    assert books.holds("mine", "promise")
    assert not books.holds("theirs", "promise")
    assert not books.holds(None, "promise")


def test_a_session_remembers_its_newest_files() -> None:
    books = Ledger()
    books.connect("s", owner=b"me")
    for number in range(FILES_LIMIT):
        books.give("s", f"/media/{number}.png")
    books.give("s", "/media/0.png")
    books.give("s", "/media/new.png")
    assert books.may_read(b"me", "0")
    assert not books.may_read(b"me", "1")


def test_a_session_long_without_a_connection_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Ledger()
    books.connect("gone", owner=b"me")
    books.disconnect("gone")
    books.connect("open", owner=b"me")
    monkeypatch.setattr(ledger_module, "KEPT", -1.0)
    books.connect("new", owner=b"me")
    assert not books.belongs("gone", b"me")
    assert books.belongs("open", b"me")


@pytest.mark.parametrize("name", ["abc.png", "abc", "abc.tar"])
def test_a_files_id_is_what_streamlit_reads_in_its_address(name: str) -> None:
    storage = MemoryMediaFileStorage("/media")
    storage._files_by_id["abc"] = "the file"  # type: ignore[assignment]  # only looked up
    assert storage.get_file(name) == "the file"  # type: ignore[comparison-overlap]  # see above
    assert file_at(f"/media/{name}") == "abc"


def test_what_a_script_makes_is_watched() -> None:
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("add", "add_deferred", "execute_deferred"):
            method = getattr(MediaFileManager, name)
            patch.setattr(MediaFileManager, name, getattr(method, "__wrapped__", method))
        private.watch_files(made=lambda *given: seen.append(("made", *given)), fetched=lambda *got: seen.append(got))
        manager = MediaFileManager(MemoryMediaFileStorage("/media"))
        promise = manager.add_deferred(lambda: b"x", "text/csv", "1")
        address = manager.execute_deferred(promise)
    assert seen == [(promise, address)]  # outside a run nothing is made for a session


def test_a_streamlit_that_makes_files_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(_self: object, _data: object) -> str:
        return ""

    monkeypatch.setattr(MediaFileManager, "add", add)
    with pytest.raises(ConfigurationError, match=re.escape("another `MediaFileManager.add`")):
        private.watch_files(made=lambda *_: None, fetched=lambda *_: None)


# --- the middleware, without a server --------------------------------------------------------------------------------


def asked(gateway: Any, *, kind: str = "http", **scope: Any) -> list[dict[str, Any]]:
    """Ask a gateway for something and return what it sends."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    filled = {"type": kind, "path": "/", "method": "GET", "headers": [], "query_string": b"", **scope}
    with pytest.raises(StopIteration):  # nothing in it waits
        gateway(filled, receive, send).send(None)
    return sent


async def serves(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_what_goes_wrong_in_the_gateway_refuses_the_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = sg.Gateway(serves)
    assert asked(gateway)[0]["status"] == 200

    def breaks(*_args: object, **_kwargs: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(visitors, "_claims", breaks)
    assert asked(gateway)[0]["status"] == 500
    host = [(b"host", b"x"), (b"origin", b"http://x")]
    assert asked(gateway, kind="websocket", path="/_stcore/stream", headers=host) == [
        {"type": "websocket.close", "code": 1008}
    ]
    assert "judging a request failed; refused" in caplog.text


@pytest.mark.parametrize("name", [b"origin", b"host", b"Origin"])
def test_a_header_that_decides_stands_once(name: bytes) -> None:
    headers = [(b"host", b"x"), (b"origin", b"http://x"), (name, b"http://x")]
    assert asked(sg.Gateway(serves), headers=headers)[0]["status"] == 400


def test_lifespan_goes_through() -> None:
    assert asked(sg.Gateway(serves), kind="lifespan")[0]["status"] == 200


def test_an_app_made_by_a_page_says_how_to_start_it() -> None:
    at = AppTest.from_string("import stguard as sg\nsg.App('main.py')", default_timeout=30).run()
    assert "uvicorn FILE:app" in at.exception[0].message


def test_an_ended_login_stays_ended() -> None:
    signouts = Signouts()
    assert not signouts.ended(b"a")
    signouts.end(b"a")
    assert signouts.ended(b"a")
    assert not signouts.ended(None)


def test_in_front_of_an_application_that_mounts_streamlit_it_refuses_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, routes: list[str]
) -> None:
    monkeypatch.setattr(private, "served_script", lambda: "main.py")
    outer = Starlette(routes=[Mount("/tool", app=serves)])
    assert asked(sg.Gateway(outer), path="/tool/media/x.png")[0]["status"] == 500
    assert asked(sg.Gateway(serves), path="/tool/media/x.png", app=outer)[0]["status"] == 500
    assert "put it into the `middleware` of st.App" in caplog.text
    own = Starlette(routes=[Route(path, serves) for path in routes if path])
    assert asked(sg.Gateway(serves), app=own)[0]["status"] == 200


def test_what_the_app_was_given_stands_where_the_script_names_nothing_else(tmp_path: Path) -> None:
    script = str(tmp_path / "main.py")
    given, other = (sg.Policy.from_yaml(f"stguard: 1\npages: {{{page}: public}}\n") for page in ("home", "start"))

    def identity(_claims: Any) -> sg.Facts:
        return sg.Facts()

    settings.serve(script, policy=given, identity=identity)
    found = settings.settings_at(script)
    assert found.policy() is given
    assert [each.source for each in found.identity] == [identity]
    settings.serve(script, policy=other, identity=None)
    assert settings.settings_at(script) is found  # a server is given its settings once


def test_a_pages_folder_beside_the_script_stops_the_app_before_it_serves(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import streamlit as st\n", encoding="utf-8")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "secret.py").write_text("print('secret')\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="rename it, for example to `views`"):
        sg.App(str(tmp_path / "main.py"))


def test_a_source_that_needs_tokens_is_not_asked_without_them(tmp_path: Path) -> None:
    asked_about: list[str] = []

    class Source:
        needs_tokens = True

        def __call__(self, given: Any) -> sg.Facts:
            asked_about.append(given["tokens"]["access"])
            return sg.Facts(roles=("admin",))

    script = str(tmp_path / "main.py")
    settings.serve(script, policy=sg.Policy.from_yaml("stguard: 1\npages: {}\n"), identity=Source())
    gateway = sg.Gateway(serves)
    gateway._script = script
    person = visitors.Visitor(claims={"sub": "ann", "iss": "i"}, login=b"l", owner=b"o", named=True)
    asyncio.run(gateway._ask_ahead({"path": "/app/static/x", "headers": []}, person))
    # Had it been asked, it would have failed, and the page would not ask it again for a while.
    answer = settings.settings_at(script).identity[0].get({"sub": "ann", "iss": "i", "tokens": {"access": "t"}})
    assert (answer.facts.roles, asked_about) == (("admin",), ["t"])


def test_static_files_follow_what_an_identity_source_said_and_ask_it_nothing(tmp_path: Path) -> None:
    script = str(tmp_path / "main.py")
    policy = sg.Policy.from_yaml("stguard: 1\nroles: {admin: {}}\npages: {static: {role: admin}}\n")
    asked_about: list[str] = []

    def identity(given: Any) -> sg.Facts:
        asked_about.append(given["sub"])
        return sg.Facts(roles=("admin",), blocked="Your account is locked." if given["sub"] == "eve" else None)

    settings.serve(script, policy=policy, identity=identity)
    gateway = sg.Gateway(serves)
    gateway._script = script

    def allowed(sub: str) -> bool:
        visitor = visitors.Visitor(claims={"sub": sub, "iss": "i"}, login=b"l", owner=b"o", named=True)
        return gateway._static_allowed({"query_string": b""}, visitor)

    assert not allowed("ann")
    assert asked_about == []
    answers = settings.settings_at(script).identity[0]
    for sub in ("ann", "eve"):
        answers.get({"sub": sub, "iss": "i"})
    assert allowed("ann")
    assert not allowed("eve")
    assert asked_about == ["ann", "eve"]


@pytest.mark.parametrize("freeze", [True, False])
def test_what_is_loaded_at_start_up_is_left_out_of_collections_where_it_is_asked_for(*, freeze: bool) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def send(_message: Any) -> None:
        pass

    gc.unfreeze()
    try:
        asyncio.run(sg.Gateway(app, freeze=freeze)({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
        assert (gc.get_freeze_count() > 0) is freeze
    finally:
        gc.unfreeze()
