"""What stands around the script of both twins: routes of the author's own; on the naive one a way back to a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECRET: Final = "SECRET-of-acme"  # noqa: S105  what must not be seen
HERE: Final = Path(os.environ.get("HOSTILE_FOLDER", "."))


def effect(what: str) -> None:
    """Do something that can't be undone, and leave a trace of it."""
    with (HERE / "effects.log").open("a", encoding="utf-8") as log:
        log.write(f"{what}\n")


def wipe(request: Request) -> PlainTextResponse:
    """For whoever has a login cookie, as an author may write it."""
    if "_streamlit_user" in request.cookies:
        effect("posted")
    return PlainTextResponse("done")


ROUTES: Final = [Route("/wipe", wipe, methods=["POST"])]


class Returning:
    """Lead back after sign-in to the page it was started from.

    Wrong on purpose: whatever stands in the address or the cookie is taken for a page of this site.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def returning(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._changed(scope, list(message["headers"]))}
            await send(message)

        await self._app(scope, receive, returning if scope["type"] == "http" else send)

    @staticmethod
    def _changed(scope: Scope, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        asked = HTTPConnection(scope)
        if scope["path"] == "/auth/login":
            page = asked.headers.get("referer", "").removeprefix(str(asked.base_url).rstrip("/"))
            return [*headers, (b"set-cookie", f"return_to={quote(page)}; Path=/".encode())]
        if scope["path"] == "/oauth2callback" and "return_to" in asked.cookies:
            page = unquote(asked.cookies["return_to"])
            if not urlsplit(page).scheme:
                headers = [each for each in headers if each[0] != b"location"]
                headers.append((b"location", page.encode()))
        return headers
