"""An OpenID provider on loopback, in a process of its own, with a sign-in page that lists the people.

It is `oidc-provider-mock` with pages of our own: theirs fetch a style sheet from the network, and show ids without
names. A process of its own keeps its warnings and its weight out of the caller's, as a real provider would.

`python -m stguard.dev.provider` reads one line of JSON (`port`, `title`, `people`) from standard input, then serves
until standard input closes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from stguard.dev.people import Person

HOST: Final = "localhost"
"""One name for app and provider: a browser keeps the cookies of `localhost` and `127.0.0.1` apart."""

TEMPLATES: Final = Path(__file__).parent / "templates"


def require() -> None:
    """Check that the embedded provider can be run here.

    Raises:
        ConfigurationError: the extra `demo` is not installed.
    """
    for name in ("oidc_provider_mock", "authlib"):
        if importlib.util.find_spec(name) is None:
            raise ConfigurationError(
                f'the embedded OpenID provider needs `{name}`, which is not installed; pip install "stguard[demo]"'
            )


def start(people: Sequence[Person], *, port: int, title: str, log: IO[bytes] | None) -> subprocess.Popen[bytes]:
    """Start the provider; it ends when its standard input is closed, at the latest with this process.

    SECURITY: it signs anybody in as anybody. It listens on loopback only, and each start has its own key.
    """
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "stguard.dev.provider"],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        start_new_session=True,
    )
    entries = [
        {"sub": p.sub, "name": p.name, "email": p.email, "note": p.note, "claims": dict(p.claims)} for p in people
    ]
    assert child.stdin is not None  # noqa: S101  it was asked for
    child.stdin.write(json.dumps({"port": port, "title": title, "people": entries}, default=str).encode() + b"\n")
    child.stdin.flush()
    return child


def main() -> None:
    """Serve the people that standard input names until it closes."""
    # Importing this puts a filter in front that shows its warnings always, whatever `-W` says.
    import authlib.deprecate  # noqa: F401, PLC0415  comes with the extra `demo`

    warnings.simplefilter("ignore")
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415  comes with the extra `demo`

    class QuietHandler(WSGIRequestHandler):
        def log_request(self, *_args: object, **_kwargs: object) -> None:
            """Say nothing: the terminal belongs to the app."""

    spec = json.loads(sys.stdin.buffer.readline())
    server = make_server(
        HOST,
        spec["port"],
        _application(spec["people"], title=spec["title"]),
        threaded=True,
        request_handler=QuietHandler,
    )

    def end_with_parent() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        server.shutdown()

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.serve_forever(poll_interval=0.05)


def _application(people: Sequence[dict[str, Any]], *, title: str) -> Any:  # noqa: ANN401  the mock is untyped
    import jinja2  # noqa: PLC0415  comes with the extra `demo`
    import oidc_provider_mock  # noqa: PLC0415  comes with the extra `demo`

    users = [oidc_provider_mock.User(sub=person["sub"], claims=person["claims"]) for person in people]
    application = oidc_provider_mock.app(user_claims=users)
    application.jinja_loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(TEMPLATES), application.jinja_loader])
    application.jinja_env.globals.update(people=people, title=title)
    return application


if __name__ == "__main__":
    main()
