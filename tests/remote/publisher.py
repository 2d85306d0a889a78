"""A web server that publishes a policy over TLS, with a certificate of an authority of its own, and in wrong ways."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Publisher:
    """Hold what is published, by path.

    Attributes:
        url: where the policy lies.
        cafile: the authority that vouches for the server.
        files: content by path.
        asked: what was answered so far: path and status.
        how: what is wrong with it: `drips`, `moves`, `compresses`, `fails`, `forbids`; empty for nothing.
    """

    def __init__(self, port: int, cafile: Path) -> None:
        self.url = f"https://localhost:{port}/policy.yaml"
        self.cafile = str(cafile)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, int]] = []
        self.how = ""

    def publish(self, content: bytes, signature: bytes | None = None) -> None:
        self.files = {"/policy.yaml": content}
        if signature is not None:
            self.files["/policy.yaml.minisig"] = signature


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "ca.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        mine = self.server.publisher
        content = mine.files.get(self.path)
        tag = f'"{hash(content)}"'
        if mine.how == "moves":
            self._answer(mine, 302, headers={"Location": "http://localhost:1/policy.yaml"})
        elif mine.how in {"fails", "forbids"} or content is None:
            self._answer(mine, 500 if mine.how == "fails" else 403 if mine.how else 404)
        elif mine.how == "compresses":
            self._answer(mine, 200, content, headers={"Content-Encoding": "gzip"})
        elif self.headers.get("If-None-Match") == tag and mine.how != "forgets":
            self._answer(mine, 304)
        else:
            self._answer(mine, 200, content, headers={"ETag": tag})

    def _answer(
        self, mine: Publisher, status: int, content: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        mine.asked.append((self.path, status))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        for at in range(0, len(content), 1 if mine.how == "drips" else len(content)):
            self.wfile.write(content[at : at + 1] if mine.how == "drips" else content)
            self.wfile.flush()
            time.sleep(0.1 if mine.how == "drips" else 0)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    publisher: Publisher

    def handle_error(self, *_: Any) -> None:
        pass  # who hangs up on purpose


@contextmanager
def publishing(folder: Path) -> Iterator[Publisher]:
    """Serve until the end."""
    certificate, private = _certificate(folder)
    server = _Server(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.publisher = Publisher(server.server_address[1], certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.publisher
    finally:
        server.shutdown()
        server.server_close()
