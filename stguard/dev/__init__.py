"""Run a Streamlit app with an embedded OpenID provider: development and tests without an identity provider.

`run` is the command `stguard dev`; `serve` is the same as a context manager, for tests that want a real login.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import webbrowser
from typing import TYPE_CHECKING

from stguard.dev.people import Person
from stguard.dev.people import read as read_people
from stguard.dev.server import FIRST_PORT, Server, ServerDiedError, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from stguard.model import Claims

__all__ = ["Person", "Server", "ServerDiedError", "read_people", "run", "serve"]


def run(  # noqa: PLR0913  each is a separate wish of the caller
    app: Path,
    *,
    policy: Path | None = None,
    people: Sequence[Claims | Person] | None = None,
    port: int | None = None,
    open_browser: bool = True,
    echo: Callable[[str], None] = print,
    title: str | None = None,
    user_secrets: bool = True,
    environ: Mapping[str, str] | None = None,
    introduce: Callable[[Server], Sequence[str]] | None = None,
) -> int:
    """Run an app with the embedded provider until Ctrl-C and return the exit code: 0, or the server's own.

    Args:
        app: the main script.
        policy: file or folder; None for what `configure` would find.
        people: claims of each person to sign in as; None for the people of the policy.
        port: the port to try first; None for 8501. A busy one is replaced by a free one.
        open_browser: open the app in the browser once it answers.
        echo: where to say the address and the people, a line or several at a time.
        title: the app's name on the sign-in page; None for its file name.
        user_secrets: whether the app sees the secrets that Streamlit would find.
        environ: variables to add to this process's.
        introduce: what to say once it runs, instead of the list of people.

    Raises:
        ConfigurationError: no such app, a real `[auth]` is configured, nobody to sign in as, or no extra `demo`.
        PolicyFileError: the policy whose people are needed is refused.
    """
    wanted = port or FIRST_PORT
    try:
        with (
            _ended_by_signals(),
            serve(
                app,
                policy=policy,
                people=people,
                port=wanted,
                title=title,
                user_secrets=user_secrets,
                environ=environ,
                quiet=False,
            ) as server,
        ):
            if server.port != wanted:
                echo(f"Port {wanted} is busy; using {server.port}.")
            echo("\n".join((introduce or _introduction)(server)))
            if open_browser:
                webbrowser.open(server.url)
            return server.wait()
    except KeyboardInterrupt:
        echo("\nStopped.")
        return 0
    except ServerDiedError as died:
        echo(str(died))
        return died.code or 1


def _introduction(server: Server) -> list[str]:
    width = max(len(person.email or person.sub) for person in server.people)
    people = [f"  {person.email or person.sub:{width}}  {person.note}".rstrip() for person in server.people]
    return [
        "",
        f"  {server.url}",
        "",
        "Sign in as any of these, one click each (for development only):",
        *people,
        *(f"Note: {note}" for note in server.notes),
        "",
        "Ctrl-C stops it.",
    ]


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a request to end (a closed terminal, `kill`) stop the server as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
