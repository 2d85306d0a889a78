"""An issuer of tokens for tests: keys of its own, and a server on loopback that hands out the public ones."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

AUDIENCE = "https://app.example"


class Issuer:
    """Sign tokens, and answer what is asked about the keys.

    Attributes:
        keys: by name; the set shows their public parts.
        asked: the paths that were asked for.
        answer: what is answered instead: a status, or bytes; None for the truth.
        release: the server waits for it before each answer; set at the start.
        userinfo: answers what is asked of the UserInfo endpoint; None: there is none.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys: dict[str, Any] = {"one": RSAKey.generate_key(2048), "two": ECKey.generate_key("P-256")}
        self.asked: list[str] = []
        self.answer: int | bytes | None = None
        self.release = threading.Event()
        self.release.set()
        self.userinfo: Callable[[BaseHTTPRequestHandler], None] | None = None

    def document(self) -> dict[str, str]:
        said = {"issuer": self.url, "jwks_uri": self.url + "/jwks"}
        return said if self.userinfo is None else {**said, "userinfo_endpoint": self.url + "/userinfo"}

    def jwks(self) -> bytes:
        return json.dumps({"keys": [{**key.as_dict(private=False), "kid": name} for name, key in self.keys.items()]})\
            .encode()  # fmt: skip

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        made = {
            "iss": self.url, "aud": AUDIENCE, "sub": "ann", "email": "ann@acme.com", "email_verified": True,
            "iat": now, "exp": now + 300, "jti": str(time.monotonic_ns()), **claims,
        }  # fmt: skip
        return {name: value for name, value in made.items() if value is not None}

    def token(self, *, key: str = "one", alg: str = "RS256", header: Mapping[str, Any] | None = None, **claims: Any)\
            -> str:  # fmt: skip
        made = {"alg": alg, "kid": key, "typ": "at+jwt", **(header or {})}
        made = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(made, self.claims(**claims), self.keys[key], algorithms=[alg])


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.release.wait(30)
            status, body = 200, b""
            if issuer.userinfo is not None and self.path == "/userinfo":
                with contextlib.suppress(OSError):
                    issuer.userinfo(self)
                return
            if isinstance(issuer.answer, int):
                status = issuer.answer
            elif issuer.answer is not None:
                body = issuer.answer
            elif self.path == "/.well-known/openid-configuration":
                body = json.dumps(issuer.document()).encode()
            elif self.path == "/jwks":
                body = issuer.jwks()
            elif self.path.startswith("/pem/") and self.path.removeprefix("/pem/") in issuer.keys:
                body = issuer.keys[self.path.removeprefix("/pem/")].as_pem(private=False)
            else:
                status = 404
            with contextlib.suppress(OSError):
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", issuer.url + "/jwks")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = Issuer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield issuer
        finally:
            issuer.release.set()
            server.shutdown()
            thread.join()
