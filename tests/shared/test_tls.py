"""Replicas over TLS: a real server is met when all is right; else nothing is, and the log says why, and no secret."""

from __future__ import annotations

import gc
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from redis import ConnectionError as Unreached

from stguard.errors import ConfigurationError
from stguard.shared.causes import cause
from stguard.shared.link import Contact, Link
from stguard.shared.table import SharedTable
from tests.shared.certificates import Authority, Papers
from tests.shared.engine import SECRET, Engine, TlsEngine, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "hidden-from-logs"  # noqa: S105  a test's own
USER = ("--user", "app", "on", f">{PASSWORD}", "~{stguard}:*", "&{stguard}:news", "+@all")
OPEN_TO_ALL = ("--tls-auth-clients", "no")
CLIENTS_SHOW = ("--tls-auth-clients", "yes")


@dataclass(frozen=True, slots=True)
class Desk:
    """Be all certificates of these tests."""

    ours: Authority
    other: Authority
    right: Papers
    elsewhere: Papers
    expired: Papers
    client: Papers
    stranger: Papers


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("certificates")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    return Desk(
        ours=ours,
        other=other,
        right=ours.issue("right", "localhost", "127.0.0.1"),
        elsewhere=ours.issue("elsewhere", "redis.elsewhere"),
        expired=ours.issue("expired", "localhost", "127.0.0.1", days=-0.5),
        client=ours.issue("client"),
        stranger=other.issue("stranger"),
    )


@pytest.fixture
def serve(desk: Desk, engine: Engine, tmp_path: Path) -> Iterator[Callable[..., TlsEngine]]:
    """Start a server that shows a certificate; `engine` skips where there is no server to start."""
    assert engine
    made: list[TlsEngine] = []

    def start(shown: Papers, *options: str) -> TlsEngine:
        server = TlsEngine(tmp_path, shown=shown, client=desk.client, authority=desk.ours.file)
        made.append(server)
        server.start(*options)
        return server

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def replica(serve: object, replica: Callable[..., Link]) -> Callable[..., Link]:
    """Have connections closed before the server is stopped: `ssl` leaves sockets open that are reset at their start."""
    assert serve
    return replica


def address(server: Engine, *options: str, scheme: str = "rediss", host: str = "127.0.0.1") -> str:
    return f"{scheme}://app:{PASSWORD}@{host}:{server.port}/0?{'&'.join(options)}".rstrip("?")


def trusts(authority: Authority) -> str:
    return f"ssl_ca_certs={authority.file}"


def shows(papers: Papers) -> tuple[str, str]:
    return f"ssl_certfile={papers.certificate}", f"ssl_keyfile={papers.key}"


def check_shared(replica: Callable[..., Link], url: str) -> None:
    """Check that what is put at one replica is read at another."""
    links = [replica(url=url, deadline=5.0) for _ in range(2)]
    tables = [SharedTable(link, "table") for link in links]
    assert all(link.start(patience=20) for link in links)
    tables[0].put("a", b"1", lives=60)
    until(lambda: tables[1].get("a") == b"1")


@pytest.mark.parametrize("more", [(), ("ssl_cert_reqs=required", "ssl_check_hostname=true")], ids=["plain", "said"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_replicas_share_over_tls(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, host: str, more: tuple[str, ...]
) -> None:
    server = serve(desk.right, *OPEN_TO_ALL)
    check_shared(replica, f"rediss://{host}:{server.port}/0?{'&'.join((trusts(desk.ours), *more))}")


def test_replicas_share_over_tls_as_a_user_with_a_password(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk
) -> None:
    server = serve(desk.right, *OPEN_TO_ALL, *USER, "--user", "default", "on", "nopass", "-@all", "+ping")
    check_shared(replica, address(server, trusts(desk.ours)))


def test_replicas_share_over_tls_with_the_client_certificate_that_is_demanded(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk
) -> None:
    server = serve(desk.right, *CLIENTS_SHOW, *USER)
    check_shared(replica, address(server, trusts(desk.ours), *shows(desk.client)))


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_contact_is_found_again_when_the_server_comes_back_with_a_new_certificate(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(desk.right, *OPEN_TO_ALL)
    link = replica(url=f"rediss://127.0.0.1:{server.port}/0?{trusts(desk.ours)}", deadline=5.0)
    SharedTable(link, "table")
    assert link.start(patience=20)
    server.stop()
    until(lambda: "no contact" in caplog.text)
    until(lambda: link.contact is Contact.LOST)
    assert "certificate" not in caplog.text, "who met it once needs no advice about its address"
    server.shown = desk.ours.issue("renewed", "127.0.0.1")
    server.start(*OPEN_TO_ALL)
    until(lambda: link.contact is Contact.HELD)
    gc.collect()  # what `ssl` left open is told here, where it is no surprise


def check_unmet(link: Link, caplog: pytest.LogCaptureFixture, why: str, *hidden: str) -> None:
    """Check that there is no contact, that nobody waits long for it, and that one line says why and nothing secret."""
    table = SharedTable(link, "table")
    began = time.monotonic()
    assert not link.start(patience=link.deadline * 2), "as an app starts"
    assert time.monotonic() - began < link.deadline * 2 + 1
    began = time.monotonic()
    with pytest.raises(link.errors):
        link.ask(lambda client: client.get(link.key("x")))
    assert time.monotonic() - began < link.deadline + 1
    until(lambda: caplog.records)
    time.sleep(0.5)  # some more tries
    lines = [record.getMessage() for record in caplog.records if record.name == "stguard"]
    assert len(lines) == 1, lines
    assert why in lines[0]
    assert not [each for each in (PASSWORD, "://1", "127.0.0.1", "localhost", *hidden) if each in caplog.text]
    assert (link.contact, table.seen) == (Contact.NEVER, None)


@pytest.mark.parametrize(
    ("shown", "trusted", "host", "why"),
    [
        ("right", "other", "127.0.0.1", "its certificate is not signed by an authority that is trusted here"),
        ("right", None, "127.0.0.1", "its certificate is not signed by an authority that is trusted here"),
        ("elsewhere", "ours", "127.0.0.1", "its certificate is for another host"),
        ("elsewhere", "ours", "localhost", "its certificate is for another host"),
        ("expired", "ours", "127.0.0.1", "its certificate has expired"),
    ],
    ids=["another authority", "authorities of the system", "another address", "another name", "expired"],
)
def test_a_server_whose_certificate_is_wrong_is_not_met(
    *, replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, caplog: pytest.LogCaptureFixture,
    shown: str, trusted: str | None, host: str, why: str,
) -> None:  # fmt: skip
    server = serve(getattr(desk, shown), *OPEN_TO_ALL, *USER)
    options = [trusts(getattr(desk, trusted))] if trusted else []
    check_unmet(replica(url=address(server, *options, host=host)), caplog, why, str(server.port), "elsewhere")


@pytest.mark.parametrize("versions", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("shown", [None, "stranger"], ids=["none", "of another authority"])
def test_a_server_that_demands_another_client_certificate_is_not_met(
    *, replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, caplog: pytest.LogCaptureFixture,
    shown: str | None, versions: str,
) -> None:  # fmt: skip
    server = serve(desk.right, *CLIENTS_SHOW, "--tls-protocols", versions, *USER)
    options = shows(getattr(desk, shown)) if shown else ()
    link = replica(url=address(server, trusts(desk.ours), *options))
    check_unmet(link, caplog, "a server that demands a client certificate needs `ssl_certfile`", str(server.port))


def test_a_server_without_tls_is_not_met_by_who_asks_for_it(
    replica: Callable[..., Link], engine: Engine, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    link = replica(url=address(engine, trusts(desk.ours)))
    check_unmet(link, caplog, "does the server speak TLS at this port?", str(engine.port))


def test_a_server_with_tls_is_not_met_by_who_does_not_ask_for_it(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(desk.right, *OPEN_TO_ALL, *USER)
    link = replica(url=address(server, scheme="redis"))
    check_unmet(link, caplog, "a server that speaks TLS needs `rediss://`", str(server.port))


def test_a_file_of_authorities_that_holds_none_is_named_as_the_reason(
    replica: Callable[..., Link], serve: Callable[..., TlsEngine], desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(desk.right, *OPEN_TO_ALL, *USER)
    link = replica(url=address(server, f"ssl_ca_certs={desk.right.key}"))
    check_unmet(link, caplog, "TLS failed, `NO_CERTIFICATE_OR_CRL_FOUND`", str(server.port))


def wrapped(inner: BaseException | None, text: str = "of the library, with hidden-from-logs") -> Exception:
    error = Unreached(text)
    error.__context__ = inner
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "hidden-from-logs")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (wrapped(tls_error("WRONG_VERSION_NUMBER")), "ConnectionError: the server doesn't speak TLS at this port"),
        (wrapped(tls_error("NO_CIPHERS")), "ConnectionError: TLS failed, `NO_CIPHERS`"),
        (wrapped(ConnectionRefusedError(PASSWORD)), "ConnectionError: ConnectionRefusedError"),
        (wrapped(None), "ConnectionError"),
        (TimeoutError(PASSWORD), "TimeoutError"),
    ],
)
def test_a_cause_is_said_without_the_text_of_the_error(error: Exception, said: str) -> None:
    assert cause(error, tls=True, met=False) == said


def test_who_hangs_up_says_something_about_the_address_only_when_it_was_never_met() -> None:
    for error in (wrapped(ConnectionResetError()), wrapped(None, "Connection closed by server.")):
        assert "client certificate" in cause(error, tls=True, met=False)
        assert "`rediss://`" in cause(error, tls=False, met=False)
        assert "hangs up" not in cause(error, tls=True, met=True)
    assert cause(wrapped(ssl.SSLEOFError(8, PASSWORD)), tls=True, met=True) == "ConnectionError: SSLEOFError"


@pytest.mark.parametrize(
    "option",
    ["ssl_cert_reqs=none", "ssl_cert_reqs=optional", "ssl_cert_reqs=non%2565", "ssl_check_hostname=false",
     "ssl_cert_reqs=required&ssl_cert_reqs=none", "ssl_check_hostname=0"],
)  # fmt: skip
def test_an_address_that_switches_the_check_of_the_certificate_off_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match="switches off") as refused:
        Link(f"rediss://app:hidden@redis.internal/0?{option}", secret=SECRET)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("option", ["", "ssl_cert_reqs=required", "ssl_check_hostname=true", "ssl_ca_certs"])
def test_an_address_with_tls_has_the_name_of_the_host_checked(option: str, desk: Desk) -> None:
    said = trusts(desk.ours) if option == "ssl_ca_certs" else option
    link = Link(f"rediss://app:hidden@redis.internal/0?{said}", secret=SECRET)
    assert link.client.connection_pool.connection_kwargs["ssl_check_hostname"] is True
    link.close()


def test_an_address_without_tls_has_no_options_of_tls(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match=r"`ssl_ca_certs` in .* needs an address with `rediss://`"):
        Link(f"redis://app:hidden@redis.internal/0?{trusts(desk.ours)}", secret=SECRET)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
@pytest.mark.parametrize("value", ["gone.pem", "", "."])
def test_an_address_that_names_a_file_that_is_not_there_is_refused(option: str, value: str, tmp_path: Path) -> None:
    named = str(tmp_path / value) if value else ""
    with pytest.raises(ConfigurationError, match=f"`{option}` in .* names no file") as refused:
        Link(f"rediss://app:hidden@redis.internal/0?{option}={named}", secret=SECRET)
    assert "hidden" not in str(refused.value)
