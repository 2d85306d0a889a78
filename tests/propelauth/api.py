"""PropelAuth's API as its client library speaks to it: over TLS, at its own host name, behind a proxy of ours.

Nothing of the library is patched: the environment names the proxy and the certificate to trust. It can fail in every
way a service can.
"""

from __future__ import annotations

import datetime as dt
import http.server
import json
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST: Final = "propelauth-api.com"
KEY: Final = "fbd51cbb3e5f4a1b-api-key"
PATIENCE: Final = 30.0

ANN: Final = "31c41c16-c281-44ae-9602-8a047e3bf33d"
BEN: Final = "5a0f4bd1-9dc5-4f5e-8b53-6f9b0a3c1a77"
ACME: Final = "1189c444-8a2d-4c41-8b4b-ae43ce79a492"
GLOBEX: Final = "82f5b5b1-5f1b-4f6e-9c36-2b8f6ad0c2d1"


def membership(org: str, name: str, role: str | None, **more: Any) -> dict[str, Any]:
    """Return how the API describes somebody in an org whose roles form a hierarchy."""
    ladder = ["Owner", "Admin", "Member"]
    return {
        "org_id": org,
        "org_name": name,
        "org_metadata": {"color": "#0a7"},
        "url_safe_org_name": name.lower(),
        "org_role_structure": "single_role_in_hierarchy",
        "user_role": role,
        "inherited_user_roles_plus_current_role": ladder[ladder.index(role) :] if role in ladder else [role],
        "additional_roles": [],
        "user_permissions": ["can_view_reports"],
        **more,
    }


def account(user: str, email: str, *orgs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return how the API describes somebody."""
    return {
        "user_id": user,
        "email": email,
        "email_confirmed": True,
        "has_password": True,
        "first_name": email.partition("@")[0].title(),
        "locked": False,
        "enabled": True,
        "mfa_enabled": False,
        "can_create_orgs": False,
        "created_at": 1700000000,
        "last_active_at": 1700000000,
        "org_id_to_org_info": {org["org_id"]: org for org in orgs},
        **more,
    }


@dataclass
class Api:
    """What the API knows, how it fails, and what was asked.

    Attributes:
        host: what calls must name in `X-Propelauth-url`.
        accounts: by user id.
        status: the status of every answer; None for the right one.
        body: the body of every answer; None for the right one.
        cuts: whether it closes the connection instead of answering.
        go: cleared, it answers nobody.
        calls: method and path of each call.
        environ: what makes a process reach it.
    """

    host: str
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: int | None = None
    body: bytes | None = None
    cuts: bool = False
    go: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[str, str]] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def recover(self) -> None:
        self.status, self.body, self.cuts = None, None, False
        self.go.set()

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, bytes]:
        """Return status and body, as PropelAuth would."""
        url = urlsplit(path)
        self.calls.append((method, url.path))
        assert self.go.wait(PATIENCE)
        if self.status is not None or self.body is not None:
            return self.status or 200, self.body if self.body is not None else b"it is broken"
        if headers.get("Authorization") != f"Bearer {KEY}":
            return 401, b""
        if headers.get("X-Propelauth-url") != self.host:
            return 400, b"unknown auth url"
        parts = url.path.removeprefix("/api/backend/v1/user/").split("/")
        found = self.accounts.get(parts[0])
        if url.path == "/api/v1/token_verification_metadata":
            return 200, json.dumps({"verifier_key_pem": "-"}).encode()
        if found is None:
            return 404, b""
        if method == "POST" and parts[1:] == ["logout_all_sessions"]:
            return 200, b"{}"
        if parse_qs(url.query).get("include_orgs") not in (["true"], ["True"]):
            found = {name: value for name, value in found.items() if name != "org_id_to_org_info"}
        return 200, json.dumps(found).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_CONNECT(self) -> None:
        if self.path != f"{HOST}:443":
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        try:
            self.connection = self.request = self.server.context.wrap_socket(self.connection, server_side=True)
        except (ssl.SSLError, OSError):
            self.close_connection = True
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self) -> None:
        if self.server.api.cuts:
            self.server.api.calls.append((self.command, self.path))
            self.connection.close()
            self.close_connection = True
            return
        status, body = self.server.api.answer(self.command, self.path, self.headers)
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # who asked has given up

    do_POST = do_GET  # noqa: N815  as above

    def finish(self) -> None:
        for each in (self.wfile, self.rfile, self.connection):
            try:
                each.close()
            except OSError:
                continue

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: Api, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api, self.context = api, context

    def handle_error(self, *_: Any) -> None:
        pass  # cut connections are meant


@contextmanager
def serve(folder: Path, *, host: str) -> Iterator[Api]:
    """Run the API until the `with` block ends.

    Args:
        folder: where to put the certificate.
        host: host and port of the auth URL that calls must name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(folder)
    context.load_cert_chain(certificate)
    api = Api(host=host)
    api.go.set()

    server = Server(api, context)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    api.environ = {
        "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
        "SSL_CERT_FILE": str(certificate),
        "REQUESTS_CA_BUNDLE": str(certificate),
        "NO_PROXY": "localhost,127.0.0.1",
    }
    try:
        yield api
    finally:
        api.go.set()
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """Write a key and a certificate that is its own authority, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(tz=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "propelauth.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
