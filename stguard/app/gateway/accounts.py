"""The page where people sign in with a local account: plain HTML, no script, and what it does with what it is sent.

What is sent is refused in this order: a page of another site, a form that isn't one, a page that wasn't shown to this
browser, too many attempts, too many at once; only then a password is looked at.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import html
import logging
import math
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from stguard.accounts import passwords
from stguard.accounts.accountsfile import comparable
from stguard.accounts.store import AccountStore
from stguard.accounts.throttle import Attempt, Throttle, network
from stguard.app import localaccounts, private, replicas
from stguard.app.gateway import origins, returns

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from stguard.accounts.accountsfile import Account, Accounts

SECRET_VARIABLE: Final = "COOKIE_SECRET"  # noqa: S105  the variable's name
FORM_COOKIE: Final = "_stguard_form"
FORM_LIVES: Final = 3600
"""Seconds for which a page may stand open before it is sent."""

BROWSER_COOKIE: Final = "_stguard_browser"
BROWSER_LIVES: Final = 180 * 24 * 3600
"""Seconds for which a browser is remembered that has signed in."""

BODY_LIMIT: Final = 8192
"""Most bytes of a form: a password of 1024 bytes, each written as `%XX`, with a user name and a token."""

BODY_TAKES: Final = 15.0
"""Most seconds for a form to arrive."""

RUNNING: Final = 2
"""Most passwords that are looked at side by side; each takes 64 MiB."""

COUNTING: Final = 8
"""Most attempts that are counted with the other replicas at the same time."""

WAITING: Final = 16
"""Most that are looked at or wait for it; more are told to come back."""

FAILED: Final = "That did not work. Check the user name and the password."
"""SECURITY: one sentence, whether there is no such user, the password is wrong, or the account is disabled."""

STALE: Final = "This page was open for too long. Please try again."
BUSY: Final = "Many people are signing in right now. Please try again in a moment."
UNAVAILABLE: Final = "Signing in is not possible right now."

_FIELDS: Final = frozenset({"user", "password", "token"})
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LOG: Final = logging.getLogger("stguard")


class _NoFormError(Exception):
    """Refuse what is no form of ours.

    Attributes:
        status: the HTTP status to answer with.
    """

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


class LocalAccounts:
    """Be the page to sign in at, and the accounts behind it."""

    def __init__(self, path: str | Path) -> None:
        """Take the file of accounts; nothing is read yet."""
        self._path: Final = Path(path)
        self._store: AccountStore | None = None
        self._throttle: Final = Throttle()
        self._limiter: Final = anyio.CapacityLimiter(RUNNING)
        self._counting: Final = anyio.CapacityLimiter(COUNTING)
        self._waiting = 0
        self._open = False

    def read(self, folder: Path) -> AccountStore:
        """Read the file, relative to a folder, unless that was done; return the accounts.

        Raises:
            PolicyFileError: it can't be read, or holds an error.
            ConfigurationError: passwords can't be looked at here.
        """
        if self._store is None:
            passwords.ready()
            self._store = AccountStore(folder / self._path)
        return self._store

    def open(self, folder: Path) -> None:
        """Put the accounts in force, once there is a server.

        Raises:
            PolicyFileError: as for `read`.
            ConfigurationError: as for `read`; or logins can't be signed, or not in the way this Streamlit does it.
        """
        if self._open:
            return
        store = self.read(folder)
        private.ensure_cookie_secret(os.environ.get(SECRET_VARIABLE))
        private.exercise_login()
        localaccounts.use(store)
        self._open = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._answer(Request(scope, receive))
        answer.headers["cache-control"] = "no-store"
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method in {"GET", "HEAD"}:
            return _page(request)
        if request.method != "POST":
            return _refusal(405, allow="GET, HEAD, POST")
        # SECURITY: browsers name the origin of each form they send. What names none is none of this page's, and a site
        # that may talk to the app (`origins`) may not sign its visitors in as somebody else.
        origin = request.headers.get("origin", "")
        secure = _is_secure(request)
        if not origins.is_own(origin, host=request.headers.get("host", ""), secure=secure):
            return _refusal(403)
        try:
            form = await _form(request)
        except _NoFormError as error:
            return _refusal(error.status)
        if not _is_ours(request, form["token"]):
            return _page(request, STALE, user=form["user"], status=403)
        return await self._sign_in(request, user=form["user"], password=form["password"], origin=origin)

    async def _sign_in(self, request: Request, *, user: str, password: str, origin: str) -> Response:
        store = self._store
        accounts = store.current() if store is not None else None
        if store is None or accounts is None:
            return _page(request, UNAVAILABLE, user=user, status=503)
        try:
            prepared = passwords.prepared(password)
        except ValueError:
            return _page(request, FAILED, user=user, status=403)
        if self._waiting >= WAITING:
            return _page(request, BUSY, user=user, status=503, retry=1.0)
        attempt = _attempt(request, accounts, user)
        wait = await self._charge(attempt)
        if wait > 0:
            _LOG.warning("too many attempts to sign in, from %s", attempt.address)
            return _page(request, _later(wait), user=user, status=429, retry=wait)
        account = await self._recognise(store, accounts, user=user, password=prepared)
        if account is None:
            _LOG.info("an attempt to sign in with a local account failed, from %s", attempt.address)
            return _page(request, FAILED, user=user, status=403)
        await self._succeeded(attempt)
        _LOG.info("signed in with the local account %s", account.id)
        return _signed_in(request, account, origin=origin, again=attempt.browser is not None)

    async def _charge(self, attempt: Attempt) -> float:
        """Charge an attempt, at all replicas and here, and return 0; or return the seconds to wait."""
        others = replicas.current()
        if others is not None:
            self._waiting += 1
            try:
                wait = await to_thread.run_sync(others.attempts.attempt, attempt, limiter=self._counting)
            finally:
                self._waiting -= 1
            if wait > 0:
                return wait
        return self._throttle.attempt(attempt, now=time.monotonic())

    async def _succeeded(self, attempt: Attempt) -> None:
        self._throttle.succeeded(attempt)
        others = replicas.current()
        if others is not None:
            await to_thread.run_sync(others.attempts.succeeded, attempt, limiter=self._counting)

    async def _recognise(
        self, store: AccountStore, accounts: Accounts, *, user: str, password: bytes
    ) -> Account | None:
        """Look at a password, off the event loop, a few side by side. None when it isn't right, or on any failure."""

        def recognise() -> Account | None:
            return store.recognise(accounts, user=user, password=password, at=time.time())

        self._waiting += 1
        try:
            return await to_thread.run_sync(recognise, limiter=self._limiter)
        except Exception as error:  # noqa: BLE001  whatever it is, nobody is signed in
            _LOG.error("a password could not be looked at (%s)", type(error).__name__)
            return None
        finally:
            self._waiting -= 1


def _attempt(request: Request, accounts: Accounts, user: str) -> Attempt:
    """Return what an attempt counts for."""
    # SECURITY: looked at whatever the name is, for a long cookie takes time, which would tell which names there are.
    proof = private.unsign(BROWSER_COOKIE, request.cookies.get(BROWSER_COOKIE, ""), seconds=BROWSER_LIVES)
    account = accounts.by_user.get(comparable(user))
    # By what the server knows: uvicorn puts the address that a proxy names here where `FORWARDED_ALLOW_IPS` trusts it.
    address = network(request.client.host if request.client is not None else None)
    if account is None:
        name = hashlib.blake2b(comparable(user).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return Attempt(account=name, known=False, address=address)
    browser = proof if proof is not None and proof.partition(".")[0] == account.id else None
    return Attempt(account=account.fingerprint, known=True, address=address, browser=browser)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once and no other.

    Raises:
        _NoFormError: it is something else, too large, or doesn't arrive.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded" or "content-encoding" in request.headers:
        raise _NoFormError(415)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TAKES):
            async for part in request.stream():
                body += part
                if len(body) > BODY_LIMIT:
                    raise _NoFormError(413)
    except (TimeoutError, ClientDisconnect) as error:
        raise _NoFormError(408) from error
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=len(_FIELDS),
        )
    except ValueError as error:
        raise _NoFormError(400) from error
    if len(pairs) != len(_FIELDS) or {name for name, _ in pairs} != _FIELDS:
        raise _NoFormError(400)
    return dict(pairs)


def _is_ours(request: Request, token: str) -> bool:
    """Tell whether a form was shown to this browser a short time ago: its token is the cookie's, signed here."""
    nonce = private.unsign(FORM_COOKIE, token, seconds=FORM_LIVES)
    kept = request.cookies.get(FORM_COOKIE, "")
    return nonce is not None and bool(kept) and hmac.compare_digest(nonce.encode(), kept.encode("utf-8", "replace"))


def _is_secure(request: Request) -> bool:
    return request.scope.get("scheme") == "https"


def _root(request: Request) -> str:
    """Return the path of the app's root, below which the page lies."""
    path: str = request.scope["path"]
    return returns.safe(path.removesuffix(localaccounts.PATH) + "/") or "/"


def _signed_in(request: Request, account: Account, *, origin: str, again: bool) -> Response:
    answer = RedirectResponse(_root(request), status_code=303)
    claims = account.claims(at=time.time(), login=secrets.token_urlsafe(16))
    private.set_login(answer, claims, origin=origin)
    secure = _is_secure(request)
    answer.delete_cookie(FORM_COOKIE, path=_root(request), secure=secure, httponly=True, samesite="strict")
    if not again:
        proof = private.sign(BROWSER_COOKIE, f"{account.id}.{secrets.token_urlsafe(16)}")
        answer.set_cookie(
            BROWSER_COOKIE,
            proof,
            max_age=BROWSER_LIVES,
            path=_root(request),
            secure=secure,
            httponly=True,
            samesite="lax",
        )
    return answer


def _refusal(status: int, *, allow: str | None = None) -> Response:
    headers = {"allow": allow} if allow is not None else None
    return PlainTextResponse("This can't be used to sign in.", status_code=status, headers=headers)


def _later(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    when = f"{math.ceil(seconds)} seconds" if seconds < 90 else f"{minutes} minutes"  # noqa: PLR2004  one and a half
    return f"Too many attempts. Please try again in {'1 second' if when == '1 seconds' else when}."


# --- what is shown ---------------------------------------------------------------------------------------------------

_STYLE: Final = """
:root { color-scheme: light dark; --text: #31333f; --soft: #62646f; --back: #fff; --field: #f0f2f6; --line: #d5d6dc;
  --main: #c9302c; --main-text: #fff; --bad: #7d1a1a; --bad-back: #ffe9e9; }
@media (prefers-color-scheme: dark) { :root { --text: #fafafa; --soft: #b2b4bd; --back: #0e1117; --field: #262730;
  --line: #41444e; --main: #ff6b6b; --main-text: #0e1117; --bad: #ffb3b3; --bad-back: #3e2529; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; padding: 6rem 1rem 1rem; display: flex; align-items: flex-start;
  justify-content: center; background: var(--back); color: var(--text);
  font: 1rem/1.6 "Source Sans", "Source Sans Pro", "Source Sans 3", system-ui, sans-serif; }
main { width: 100%; max-width: 24rem; border: 1px solid var(--line); border-radius: .5rem; padding: 1.5rem; }
h1 { margin: 0 0 1.25rem; font-size: 1.75rem; line-height: 1.2; font-weight: 600; text-align: center; }
label { display: block; margin: 0 0 .25rem; font-size: .875rem; }
input { width: 100%; margin: 0 0 1rem; padding: .5rem .75rem; font: inherit; color: inherit; background: var(--field);
  border: 1px solid transparent; border-radius: .5rem; }
input:focus-visible, button:focus-visible, a:focus-visible { outline: 2px solid var(--main); outline-offset: 1px; }
button { width: 100%; min-height: 2.75rem; margin: .25rem 0 0; padding: .25rem .75rem; font: inherit; cursor: pointer;
  color: var(--main-text); background: var(--main); border: 0; border-radius: .5rem; }
button:hover { filter: brightness(.93); }
p { margin: 1rem 0 0; text-align: center; font-size: .875rem; }
p[role=alert] { margin: 0 0 1rem; padding: .75rem 1rem; border-radius: .5rem; text-align: left;
  color: var(--bad); background: var(--bad-back); }
a { color: var(--soft); }
@media (max-width: 30rem) { body { padding-top: 1rem; } }
"""

_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")

_HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Without a referrer at all browsers would send `Origin: null` with the form (Fetch standard, 3.2).
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>Sign in</h1>
{notice}<form method="post" action="{action}">
<input type="hidden" name="token" value="{token}">
<label for="user">User name</label>
<input id="user" name="user" value="{user}" type="text" autocomplete="username" autocapitalize="none"
 autocorrect="off" spellcheck="false" maxlength="128" required{focus_user}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024"
 required{focus_password}>
<button type="submit">Sign in</button>
</form>
<p><a href="{root}">Back to the app</a></p>
</main>
</body>
</html>
"""


def _page(
    request: Request, notice: str = "", *, user: str = "", status: int = 200, retry: float | None = None
) -> Response:
    kept = request.cookies.get(FORM_COOKIE, "")
    # The one this browser has goes on, so that a second tab does not make the first one stale.
    nonce = kept if _NONCE.fullmatch(kept) else secrets.token_urlsafe(32)
    alert = f'<p role="alert">{html.escape(notice)}</p>\n' if notice else ""
    text = _PAGE.format(
        style=_STYLE,
        notice=alert,
        action=html.escape(_root(request).rstrip("/") + localaccounts.PATH),
        token=html.escape(private.sign(FORM_COOKIE, nonce)),
        user=html.escape(user[:128]),
        focus_user="" if user else " autofocus",
        focus_password=" autofocus" if user else "",
        root=html.escape(_root(request)),
    )
    headers = _HEADERS | ({"retry-after": str(math.ceil(retry))} if retry is not None else {})
    answer = HTMLResponse(text, status_code=status, headers=headers)
    secure = _is_secure(request)
    answer.set_cookie(FORM_COOKIE, nonce, path=_root(request), secure=secure, httponly=True, samesite="strict")
    return answer
