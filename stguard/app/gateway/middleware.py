"""What happens to a request before Streamlit sees it, and to the answers of sign-in and sign-out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import streamlit as st
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse

from stguard import lifetime
from stguard.app import localaccounts, logins, private, replicas, settings
from stguard.app.gateway import health, metrics, origins, proxies, returns
from stguard.app.gateway.accounts import LocalAccounts
from stguard.app.gateway.bearers import AGENT_PAGE, Bearers, UnauthorizedError
from stguard.app.gateway.health import HEALTH_PAGE
from stguard.app.gateway.ledger import file_at, keep, ledger
from stguard.app.gateway.metrics import METRICS_PAGE
from stguard.app.gateway.places import STREAM, Place, is_plain, place_of
from stguard.app.gateway.signouts import Signouts
from stguard.app.gateway.states import AuditState, IdentityState, PolicyState, SharedState, TrafficState
from stguard.app.gateway.stream import REFUSED, Stream
from stguard.app.gateway.traffic import traffic
from stguard.app.gateway.visitors import Visitor, by_headers, visitor_of, without_login
from stguard.app.standing import subject_with
from stguard.app.told import Nobodies, Told, tell
from stguard.errors import ConfigurationError, PolicyFileError, StguardError
from stguard.keys import KeysUnavailableError
from stguard.model import PAGE_ACTION, Facts, SignedIn
from stguard.shared.replicas import chosen
from stguard.sources.answers import joined
from stguard.tokens import TokenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stguard.app.gateway.bearers import BearerTokens
    from stguard.app.gateway.health import State
    from stguard.app.settings import IdentityChoice, PolicyChoice, Settings
    from stguard.model import Claims, Decision, Subject
    from stguard.policy import Policy
    from stguard.shared.replicas import SharedChoice

STATIC_PAGE: Final = "static"
"""The page of the policy whose rule is that of the app's static files."""

_OPERATORS: Final = {Place.METRICS: METRICS_PAGE, Place.OWN_METRICS: METRICS_PAGE, Place.HEALTH: HEALTH_PAGE}
"""The page of the policy whose rule is that of a place for operators; without that page nobody."""

_OWN: Final = frozenset({Place.HEALTH, Place.OWN_METRICS})
"""Places that the gateway itself serves to operators."""

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SUBPROTOCOL: Final = "sec-websocket-protocol"
_LOG: Final = logging.getLogger("stguard")


class RefusedError(Exception):
    """Refuse a request.

    Attributes:
        status: the HTTP status to answer with.
        challenge: value of the `WWW-Authenticate` header; None for none.
    """

    def __init__(self, status: int, why: str, *, challenge: str | None = None) -> None:
        """Take what to answer, and what to tell the log."""
        self.status = status
        self.challenge = challenge
        super().__init__(why)


class Gateway:
    """Be ASGI middleware that lets through to Streamlit only what may reach it.

    `sg.App` sets it up; by itself it goes first into `st.App("main.py", middleware=[Middleware(sg.Gateway)])`.
    """

    def __init__(  # noqa: PLR0913  what a gateway can be given, by name
        self,
        app: ASGIApp,
        *,
        policy: PolicyChoice | None = None,
        identity: IdentityChoice | None = None,
        proxy: proxies.TrustedProxy | None = None,
        bearer: BearerTokens | None = None,
        origins: Sequence[str] = (),
        anonymous: bool = True,
        freeze: bool = False,
        accounts: str | Path | LocalAccounts | None = None,
        shared: SharedChoice | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: what serves Streamlit.
            policy: as for `configure`; None: what the script configures, else what is found beside it.
            identity: as for `configure`.
            proxy: how a request proves that a proxy set its identity headers (`server.trustedUserHeaders`); None: they
                are always taken out.
            bearer: whose access tokens open the agent API (`server.enableAgentApi`) and MCP, by the rule of a page
                `agent` in the policy; None, or no such rule: they are closed.
            origins: other sites whose pages may talk to the app, as `https://portal.example`; those of
                `server.corsAllowedOrigins` count too.
            anonymous: whether somebody who isn't signed in gets a connection. Without it there is no sign-in page: for
                an app behind a proxy that signs everybody in.
            freeze: whether what is loaded when the server has started is left out of garbage collections from then on
                (`gc.freeze`), which makes each rerun quicker; what becomes garbage among it is never freed.
            accounts: file of local accounts, relative to the main script's folder; None: nobody signs in with one.
            shared: as for `configure`.

        Raises:
            ConfigurationError: this Streamlit can't be guarded.
        """
        keep()
        private.hook_users()
        self._app: Final = app
        self._policy: Final = policy
        self._identity: Final = identity
        self._proxy: Final = proxy
        self._bearers: Final = Bearers(bearer) if bearer is not None else None
        self._reader: Final = proxies.reader(identity, proxy)
        self._read_headers: Final = self._reader.source.headers if self._reader is not None else ()
        self._origins: Final = tuple(origins)
        self._anonymous: Final = anonymous
        self._freeze: Final = freeze
        self._local: Final = LocalAccounts(accounts) if isinstance(accounts, str | Path) else accounts
        self._shared: Final = shared
        self._signouts: Final = Signouts()
        self._told: Final = Told()
        self._nobodies: Final = Nobodies()
        self._script: str | None = None
        self._states: Final[list[State]] = [
            PolicyState(self.settings, named=policy is not None),
            IdentityState(self.settings),
            AuditState(self.settings),
            TrafficState(self._signouts),
            SharedState(),
        ]
        if proxy is None and proxies.identity_headers():
            _LOG.warning("server.trustedUserHeaders is set and the gateway has no `proxy`: these headers are taken out")
        if not st.get_option("server.enableXsrfProtection"):
            _LOG.warning("server.enableXsrfProtection is off: nobody can sign in, and who isn't gets no files")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, self._starting(scope, send))
            return
        try:
            self._configure(scope)
            self._meet()
            scope = {**scope, "headers": self._proven_headers(scope)}
            vouched, person = await self._vouched(scope), await self._person(scope)
            await self._ask_ahead(scope, person, vouched)
            admitted, place, visitor = self._admit(scope, vouched, person)
        except (RefusedError, UnauthorizedError) as refused:
            asked_for = _place_name(scope)
            traffic.refused.add((asked_for, refused.status))
            _LOG.warning("refused a request: %s", refused, extra={"place": asked_for, "status": refused.status})
            await _refuse(scope, receive, send, status=refused.status, challenge=refused.challenge)
        except Exception:  # noqa: BLE001  fail closed
            traffic.refused.add((_place_name(scope), 500))
            _LOG.exception("judging a request failed; refused")
            await _refuse(scope, receive, send, status=500)
        else:
            if place in _OWN:
                await self._serve_operators(admitted, receive, send, place=place, among=(visitor, vouched))
            else:
                await self._serve(admitted, receive, send, place=place, visitor=visitor)

    def watch(self, state: State) -> None:
        """Have the health and the metrics tell of one more part; to be called before the server starts."""
        self._states.append(state)

    def _starting(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that lets the server start only when what this was given can be used."""

        async def starting(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    if self._local is not None or chosen(self._shared) is not None:
                        self._configure(scope)
                except StguardError as error:
                    message = {"type": "lifespan.startup.failed", "message": str(error)}
                else:
                    self._look_ahead(scope)
                    if self._freeze:
                        _freeze()
            await send(message)

        return starting

    def _look_ahead(self, scope: Scope) -> None:
        """Load the policy that is known before the script has run, and say what its rule would open and can't."""
        try:
            self._configure(scope)
            named = METRICS_PAGE in self.settings().policy().parts.pages
        except StguardError:
            return  # said where it matters: by the health, and at the first request
        if named and not metrics.is_installed():
            _LOG.warning(
                "the policy has a page `metrics`, and the extra is not installed: no `/_stguard/metrics`; pip install "
                '"stguard[metrics]"'
            )

    def _configure(self, scope: Scope) -> None:
        """Tell the settings of the script what this was given, as soon as there is a server.

        Raises:
            ConfigurationError: this stands in front of something else than Streamlit's own application.
        """
        script = private.served_script()
        if script == self._script or script is None:
            return
        # SECURITY: in front of an application that mounts Streamlit the paths would be read wrong, and none be guarded.
        routes = getattr(scope.get("app", self._app), "routes", None)
        if routes is not None and not any(getattr(each, "path", "").endswith(STREAM) for each in routes):
            raise ConfigurationError(
                "the gateway stands in front of an application that is not Streamlit's own; "
                "put it into the `middleware` of st.App, or mount an sg.App"
            )
        if self._local is not None:
            self._local.open(Path(script).resolve().parent)
        settings.serve(script, policy=self._policy, identity=self._identity, shared=self._shared)
        replicas.join(self._shared, folder=Path(script).resolve().parent)
        self._script = script

    def _meet(self) -> None:
        """Take over what ended at other replicas, once there are any."""
        others = replicas.current()
        if others is not None:
            self._signouts.share(others.ended)

    # --- admitting

    async def _vouched(self, scope: Scope) -> Visitor | None:
        """Return who a request comes from by a token in it; None where that isn't asked.

        Raises:
            RefusedError: nothing is there that a token could open.
            UnauthorizedError: a token is needed, and there is none that counts.
        """
        place, _ = place_of(scope)
        if place is Place.AGENT:
            if self._bearers is None or scope["type"] != "http" or not self._has_agents():
                raise RefusedError(404, "the agent API is closed")
            visitor = await self._bearers.visitor(scope)
            await self._ask_sources(visitor.claims or {})
            return visitor
        if self._bearers is not None and (place is Place.MEDIA or self._may_open(place)):
            with contextlib.suppress(UnauthorizedError):  # a browser, maybe with a header of a proxy's
                return await self._bearers.visitor(scope)
        return None

    async def _person(self, scope: Scope) -> Visitor | None:
        """Return who a proxy in front says is signed in; None where that isn't asked.

        Raises:
            RefusedError: what it says can't be used.
            UnauthorizedError: it can't be verified now.
        """
        place, _ = place_of(scope)
        if self._reader is None or place in {Place.AGENT, Place.ASSET}:
            return None
        if place in _OPERATORS and not self._may_open(place):
            return None  # who asks makes no difference: a probe must not depend on what verifies them
        try:
            claims = await self._reader.claims(scope["headers"], now=time.time())
        except TokenError as error:
            raise RefusedError(403, f"an identity header: {error}") from error
        except KeysUnavailableError as error:
            raise UnauthorizedError(503, f"an identity header: {error}") from error
        return by_headers(scope, claims)

    async def _ask_ahead(self, scope: Scope, person: Visitor | None, vouched: Visitor | None = None) -> None:
        """Have the identity sources asked about who wants what the policy alone decides on, without a page.

        SECURITY: a source that nobody has asked can't have said that it blocks the account.
        """
        # Not of the health, which never waits for one.
        if place_of(scope)[0] in {Place.STATIC, Place.METRICS, Place.OWN_METRICS}:
            await self._ask_sources((vouched.claims if vouched is not None else None) or {})
            who = person if person is not None else visitor_of(scope, identity=proxies.identity_headers())
            await self._ask_sources(who.claims or {})

    async def _ask_sources(self, claims: Claims) -> None:
        """Have the identity sources say what they know, so that it is remembered where nothing may wait."""
        if not claims:
            return
        for each in self.settings().identity:
            if not each.needs_tokens:  # there are none here, and a failure would be remembered against the next page
                await asyncio.to_thread(each.get, claims)

    def _has_agents(self) -> bool:
        """Tell whether the policy has a rule for the agent API, by its own name: `*` is for pages."""
        try:
            return AGENT_PAGE in self.settings().policy().parts.pages
        except ConfigurationError:
            return False

    def _admit(self, scope: Scope, vouched: Visitor | None, person: Visitor | None) -> tuple[Scope, Place, Visitor]:
        """Return the request as Streamlit shall see it, what it asks for and who sends it.

        Nothing in here waits: what is found out still holds when the connection is noted as open.

        Args:
            scope: of the request.
            vouched: who a token in it names; None: nobody.
            person: who a proxy in front says it comes from; None: no proxy signs people in.

        Raises:
            RefusedError: it may not reach Streamlit.
        """
        place, rest = place_of(scope)
        if not is_plain(scope["path"]):
            raise RefusedError(400, "control characters in the path")
        identity = proxies.identity_headers()
        self._check_origin(scope, place)
        if place is Place.ASSET:
            return scope, place, _NOBODY
        if place is Place.AGENT:
            return self._admit_agent(scope, vouched, identity), place, vouched or _NOBODY
        if person is not None:
            # SECURITY: a login cookie must not stand in where the proxy says nobody, or somebody else.
            scope["headers"] = proxies.without(without_login(scope["headers"]), *self._read_headers)
        visitor = person if person is not None else visitor_of(scope, identity=identity)
        if visitor.claims is not None and (self._signouts.ended(visitor.login) or _Watch(self, visitor)()):
            scope["headers"] = without_login(scope["headers"])
            if person is None:
                visitor = replace(visitor_of(scope, identity=identity), user=_ENDED)
            else:
                _LOG.warning("somebody whom the proxy signed in is refused by `sessions` or `revoked` of the policy")
                visitor = by_headers(scope, None)
                visitor = replace(visitor, user={**(visitor.user or {}), **_ENDED})
        elif visitor.login is None and self._signouts.ended_in(visitor.browser):
            visitor = replace(visitor, user=_ENDED)
        if place is Place.STREAM and visitor.claims is None:
            # SECURITY: Streamlit must not find a login where none was found here.
            scope["headers"] = without_login(scope["headers"])
            if returns.FAILED in HTTPConnection(scope).cookies:
                visitor = replace(visitor, user={**(visitor.user or {}), **_FAILED})
        self._check_place(scope, place, rest, visitor, vouched)
        return scope, place, visitor

    def _admit_agent(self, scope: Scope, visitor: Visitor | None, identity: Sequence[str]) -> Scope:
        """Return the request of a program as Streamlit shall see it: with nothing in it that says who asks.

        Raises:
            RefusedError: the subject of its token may not ask.
        """
        if visitor is None:
            raise RefusedError(401, "no token", challenge="Bearer")
        subject = self._subject(visitor)
        if subject is None or _Watch(self, visitor)():
            raise RefusedError(401, "a token that the policy doesn't accept", challenge='Bearer error="invalid_token"')
        decision = self._decide(scope, AGENT_PAGE, subject)
        self._tell(decision, subject, visitor)
        if not decision.allowed:
            raise RefusedError(403, "the agent API", challenge='Bearer error="insufficient_scope"')
        named = (*identity, *self._read_headers)
        return {**scope, "headers": proxies.without(scope["headers"], "authorization", "cookie", *named)}

    def _proven_headers(self, scope: Scope) -> list[proxies.Header]:
        """Return the headers without those that say who asks, unless the proxy proves itself; signed ones do it alone.

        Raises:
            RefusedError: one of them stands there twice.
        """
        identity = proxies.identity_headers()
        headers = list(scope["headers"])
        if self._reader is not None:
            if self._reader.source.signed is None:
                identity = (*identity, *self._read_headers)
            elif any(len(proxies.values_of(headers, name)) > 1 for name in self._read_headers):
                raise RefusedError(400, "several signed identity headers")
        for name in ("host", "origin", *identity):
            if len(proxies.values_of(headers, name)) > 1:
                raise RefusedError(400, f"several `{name}` headers")
        if self._proxy is None:
            return proxies.without(headers, *identity)
        if not self._proxy.proves(scope):
            headers = proxies.without(headers, *identity)
        return proxies.without(headers, self._proxy.header)

    def _check_origin(self, scope: Scope, place: Place) -> None:
        origin = _header(scope, "origin")
        if scope["type"] == "http" and (scope["method"] in _READS or origin is None):
            return  # a browser names the origin of each request that changes something
        allowed = [*self._origins, *(st.get_option("server.corsAllowedOrigins") or ())]
        host = _header(scope, "host") or ""
        if origin is None or not origins.is_own(origin, host=host, secure=_is_secure(scope), allowed=allowed):
            raise RefusedError(403, f"{place.name.lower()} asked for by a page of another site")

    def _check_place(self, scope: Scope, place: Place, rest: str, visitor: Visitor, vouched: Visitor | None) -> None:
        """Refuse what isn't this visitor's."""
        if place in _OPERATORS:
            self._check_operators(scope, place, (visitor, vouched))
        elif place is Place.STREAM:
            if not self._anonymous and not visitor.named:
                raise RefusedError(403, "nobody is signed in")
            self._drop_foreign_session(scope, visitor)
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            return
        elif place is Place.MEDIA:
            owners = (visitor.owner, vouched.owner if vouched is not None and self._counts(vouched) else None)
            if not any(ledger.may_read(owner, file_at(rest)) for owner in owners):
                raise RefusedError(404, "a file of another session")
        elif place is Place.UPLOAD:
            if not ledger.belongs(rest.partition("/")[0], visitor.owner):
                raise RefusedError(403, "an upload to another session")
        elif place is Place.STATIC and not self._static_allowed(scope, visitor):
            raise RefusedError(403, "a static file")

    def _check_operators(self, scope: Scope, place: Place, among: Sequence[Visitor | None]) -> None:
        """Refuse the metrics to who may not read them, and what the gateway has no answer to."""
        if place in _OWN:
            if scope["type"] != "http":
                raise RefusedError(404, "a connection to what answers single requests")
            if scope["method"] not in {"GET", "HEAD"}:
                raise RefusedError(405, "the method")
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            return
        if place is not Place.HEALTH and not self._opens_to(scope, place, among):
            # SECURITY: Streamlit gives its own to anybody: names of functions, how often and how long each ran, and
            # with `server.unsafeMetricsUserAttributes` who was there.
            raise RefusedError(404, "the metrics")
        if place is Place.OWN_METRICS and not metrics.is_installed():
            raise RefusedError(404, "the metrics, without the extra `metrics`")

    def _drop_foreign_session(self, scope: Scope, visitor: Visitor) -> None:
        """Take the session to resume out of a handshake when it isn't the visitor's; a new one begins then.

        STREAMLIT 1.57: the id of a session in the handshake is enough to take it over. 1.62 compares the claims, where
        one who isn't signed in is the same as any other who isn't.
        """
        entries = [entry.strip() for entry in (_header(scope, _SUBPROTOCOL) or "").split(",")]
        session = entries[2] if len(entries) > 2 else ""  # noqa: PLR2004  the protocol, a token, the session
        if session and not ledger.belongs(session, visitor.owner):
            kept = ", ".join(entries[:2]).encode("latin-1")
            scope["headers"] = [*proxies.without(scope["headers"], _SUBPROTOCOL), (_SUBPROTOCOL.encode(), kept)]
            scope["subprotocols"] = entries[:2]

    # --- what the policy says

    def settings(self) -> Settings:
        """Return the settings of the app that is served.

        Raises:
            ConfigurationError: there is no server yet, or no policy can be found.
        """
        if self._script is None:
            raise ConfigurationError("no server in this process yet")
        return settings.settings_at(self._script)

    def _static_allowed(self, scope: Scope, visitor: Visitor) -> bool:
        """Decide about the app's static files: the page `static` of the policy, else whoever is signed in."""
        subject, policy = self._subject(visitor), self.settings().policy()
        if STATIC_PAGE in policy.parts.pages:
            decision = self._decide(scope, STATIC_PAGE, subject)
        else:
            decision = replace(policy.explain(subject, SignedIn()), action=f"{PAGE_ACTION}{STATIC_PAGE}")
        self._tell(decision, subject, visitor)
        return decision.allowed

    def _may_open(self, place: Place) -> bool:
        """Tell whether a place is for operators, and the policy has a rule for it by its own name."""
        try:
            return place in _OPERATORS and _OPERATORS[place] in self.settings().policy().parts.pages
        except StguardError:
            return False

    def _opens_to(self, scope: Scope, place: Place, among: Sequence[Visitor | None]) -> bool:
        """Decide about a place for operators: by the page of the policy, else nobody.

        Args:
            scope: of the request.
            place: what is asked for.
            among: who the request comes from, by its cookie or headers and by its token: either is enough.
        """
        if not self._may_open(place):
            return False
        who = [(self._operator(place, each), each) for each in among if each is not None]
        asked = [(self._decide(scope, _OPERATORS[place], subject), subject, each) for subject, each in who]
        opened = next((each for each in asked if each[0].allowed), None)
        if opened is not None:
            self._tell(*opened)
        elif place is not Place.HEALTH:  # which answers everybody, only more shortly
            self._tell(*next((each for each in asked if each[1] is not None), asked[0]))
        return opened is not None

    def _operator(self, place: Place, visitor: Visitor) -> Subject | None:
        if visitor.claims is None or _Watch(self, visitor)():
            return None
        if place is Place.HEALTH:
            # SECURITY: a source that nobody has asked can't have said that it blocks the account, and none is asked.
            for each in self.settings().identity:
                if not each.needs_tokens and not each.has_asked(visitor.claims):
                    return None
        return self._subject(visitor)

    def _subject(self, visitor: Visitor) -> Subject | None:
        current = self.settings()
        # Nothing waits here: what an identity source has not said to a page is unknown, and unknown opens nothing.
        facts = Facts()
        if visitor.claims is not None and current.identity:
            claims = visitor.claims
            facts = joined([each.peek(claims) for each in current.identity])
        return subject_with(visitor.claims, facts, current.policy())

    def _counts(self, visitor: Visitor) -> bool:
        """Tell whether the policy takes who a token names for somebody, now."""
        return self._subject(visitor) is not None and not _Watch(self, visitor)()

    def _decide(self, scope: Scope, page: str, subject: Subject | None) -> Decision:
        """Decide about a page of the policy that stands for a place of the server, in the org that `?org=` names."""
        policy, org = self.settings().policy(), None
        if policy.multi_tenant and subject is not None:
            wished = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("org")
            mine = policy.memberships(subject)
            org = wished[0] if wished else mine[0].org if len(mine) == 1 else None
        return policy.decide(subject, f"{PAGE_ACTION}{page}", org=org)

    def _tell(self, decision: Decision, subject: Subject | None, visitor: Visitor) -> None:
        """Tell the audit of a decision that is enforced here: a refusal always, what is allowed once for each login.

        Of requests that name nobody once a minute; the metrics count each.
        """
        current = self.settings()
        if current.trail is None:
            return
        if self._told.first(decision, visitor.owner) if subject is not None else self._nobodies.is_due(decision):
            tell(current.trail, decision, subject=subject, policy=current.policy())

    # --- serving

    async def _serve_operators(
        self, scope: Scope, receive: Receive, send: Send, *, place: Place, among: Sequence[Visitor | None]
    ) -> None:
        if place is Place.HEALTH:
            answer: Response = health.answer(self._states, detailed=self._opens_to(scope, place, among))
        else:
            answer = metrics.answer(self._states, accept=_header(scope, "accept") or "")
        await answer(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, *, place: Place, visitor: Visitor) -> None:
        match place:
            case Place.STREAM if scope["type"] == "websocket":
                await self._serve_stream(scope, receive, send, visitor=visitor)
            case Place.LOGIN:
                await self._app(scope, receive, _remembering(scope, send))
            case Place.LOCAL if self._local is not None and scope["type"] == "http":
                sending = _remembering(scope, send) if scope["method"] == "GET" else send
                try:
                    await self._local(scope, receive, self._returning(scope, sending, visitor=visitor))
                finally:
                    self._signouts.close()
            case Place.CALLBACK:
                await self._and_close(scope, receive, self._returning(scope, send, visitor=visitor))
            case Place.LOGOUT if visitor.login is not None and scope["type"] == "http":
                self._signouts.end(visitor.login)
                await self._and_close(scope, receive, send)
            case Place.MEDIA:
                await self._app(scope, receive, _keeping_private(send))
            case Place.AGENT if visitor.user is not None:
                with private.handing_on(visitor.user):
                    await self._app(scope, receive, _keeping_private(send))
            case Place.AGENT:
                raise AssertionError("an agent without a subject")  # never anonymous: it was refused before
            case _:
                await self._app(scope, receive, send)

    async def _and_close(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            self._signouts.close()

    async def _serve_stream(self, scope: Scope, receive: Receive, send: Send, *, visitor: Visitor) -> None:
        stream = Stream(visitor=visitor, receive=receive, send=send, over=_Watch(self, visitor))
        traffic.connections += 1
        if visitor.login is not None:
            self._signouts.opened(visitor.login, stream)
        try:
            with private.handing_on(visitor.user or {}):
                await stream.run(self._app, scope)
        finally:
            traffic.connections -= 1
            if visitor.login is not None:
                self._signouts.closed(visitor.login, stream)

    def _returning(self, scope: Scope, send: Send, *, visitor: Visitor) -> Send:
        """Return a `send` that leads from a sign-in back to the page asked for, and ends the login before it."""

        async def returning(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": self._after_sign_in(scope, message, visitor=visitor)}
            await send(message)

        return returning

    def _after_sign_in(self, scope: Scope, message: Message, *, visitor: Visitor) -> list[proxies.Header]:
        headers = list(message.get("headers", ()))
        made = visitor_of({"type": "http", "headers": _as_cookies(headers)}, identity=())
        if made.login is None:
            if not _is_answer(scope) or (visitor.login is not None and not _drops_login(headers)):
                return headers
            # STREAMLIT 1.57 to 1.67: a sign-in that failed leads to the root as one that succeeded does, in silence.
            return [*_leading_back(scope, headers), _failed(scope, failed=True)]
        if visitor.login is not None and visitor.login != made.login:
            self._signouts.end(visitor.login)
        return [*_leading_back(scope, headers), _failed(scope, failed=False)]


class _Watch:
    """Tell at each frame whether a login still counts; what can be worked out once for a policy is."""

    __slots__ = ("_ends_at", "_gateway", "_policy", "_subject", "_visitor")

    def __init__(self, gateway: Gateway, visitor: Visitor) -> None:
        self._gateway = gateway
        self._visitor = visitor
        self._policy: Policy | None = None
        self._subject: Subject | None = None
        self._ends_at = 0.0

    def __call__(self) -> bool:
        if self._visitor.claims is None:
            return False
        if localaccounts.ended(self._visitor.claims):
            return True
        try:
            policy = self._gateway.settings().policy()
        except ConfigurationError:
            return False  # no policy, at least not until the script has named it: nothing limits a login
        except PolicyFileError:
            return True  # there are limits, and they can't be read
        if policy is not self._policy:
            # By the claims alone: a revocation that names what only an identity source knows is for the script's guard.
            self._subject = policy.subject(self._visitor.claims)
            if self._subject is not None:
                self._ends_at = lifetime.ends_at(policy, self._subject)
            self._policy = policy
        if self._subject is None:
            return False  # nobody signed in, for all that the policy accepts
        return logins.over(policy, self._subject, ends_at=self._ends_at, acts=False)


_ENDED: Final = {private.SIGN_IN_ENDED: True}


def _freeze() -> None:
    """Take everything that is loaded at start-up out of the garbage collector's walks.

    STREAMLIT 1.57 to 1.67: each rerun ends with a full collection (`script_runner`), which walks every tracked object:
    its own modules, ours, those of the libraries beside them. They live as long as the process.
    """
    gc.collect()
    gc.freeze()


_FAILED: Final = {private.SIGN_IN_FAILED: True}
_NOBODY: Final = Visitor(claims=None, login=None, owner=None, named=False)


async def _refuse(scope: Scope, receive: Receive, send: Send, *, status: int, challenge: str | None = None) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": REFUSED})  # before it is accepted: the server answers 403
        return
    headers = {"cache-control": "no-store"} | ({"www-authenticate": challenge} if challenge is not None else {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "GET, HEAD"
    text = HTTPStatus(status).phrase
    await PlainTextResponse(text, status_code=status, headers=headers)(scope, receive, send)


def _place_name(scope: Scope) -> str:
    """Return what a request asks for, as the metrics name it."""
    try:
        return place_of(scope)[0].name.lower()
    except StguardError:
        return "unknown"


def _remembering(scope: Scope, send: Send) -> Send:
    """Return a `send` that keeps the page from which a visitor goes to sign in.

    Where the way there fails already (a provider that can't be reached), it leads back to that page.
    """
    target = returns.asked_for(
        _header(scope, "referer") or "", host=_header(scope, "host") or "", secure=_is_secure(scope)
    )
    kept = (b"set-cookie", returns.cookie(target, secure=_is_secure(scope)))

    async def remembering(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if message["status"] == HTTPStatus.BAD_REQUEST and place_of(scope)[0] is Place.LOGIN:
                # STREAMLIT 1.57 to 1.67: the provider can't be reached; the browser would show two words of plain text.
                headers = [*_leading_to(target or "../", headers), _failed(scope, failed=True)]
                message = {**message, "status": HTTPStatus.FOUND, "headers": headers}
            else:
                message = {**message, "headers": [*headers, kept, _failed(scope, failed=False)]}
        await send(message)

    return remembering


def _is_answer(scope: Scope) -> bool:
    """Tell whether a provider answers a request to sign in: after a sign-out it sends the browser back here as well."""
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return place_of(scope)[0] is Place.CALLBACK and not {"code", "error"}.isdisjoint(asked)


def _drops_login(headers: Sequence[proxies.Header]) -> bool:
    names = tuple(f"{name}=".encode("ascii") for name in private.login_cookies())
    return any(key.lower() == b"set-cookie" and value.startswith(names) for key, value in headers)


def _failed(scope: Scope, *, failed: bool) -> proxies.Header:
    return b"set-cookie", returns.failed_cookie(failed=failed, secure=_is_secure(scope))


def _leading_back(scope: Scope, headers: Sequence[proxies.Header]) -> list[proxies.Header]:
    """Return the headers of an answer that leads to the page from which a visitor went to sign in."""
    kept = HTTPConnection(scope).cookies.get(returns.COOKIE)
    if kept is None:
        return list(headers)
    forgotten = (b"set-cookie", returns.cookie(None, secure=_is_secure(scope)))
    return [*_leading_to(returns.target_in(kept), headers), forgotten]


def _leading_to(target: str | None, headers: Sequence[proxies.Header]) -> list[proxies.Header]:
    """Return the headers of an answer that leads to a target; None: to where it led before."""
    if target is None:
        return list(headers)
    return [*proxies.without(headers, "location"), (b"location", target.encode("ascii"))]


def _keeping_private(send: Send) -> Send:
    """Return a `send` that tells caches on the way that a file is one visitor's."""

    async def keeping_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"cache-control", b"private"), (b"vary", b"cookie")]
            message = {**message, "headers": headers}
        await send(message)

    return keeping_private


def _as_cookies(headers: Sequence[proxies.Header]) -> list[proxies.Header]:
    """Return the cookies that an answer sets as a request would bring them back."""
    return [(b"cookie", value.partition(b";")[0]) for key, value in headers if key.lower() == b"set-cookie"]


def _header(scope: Scope, name: str) -> str | None:
    values = proxies.values_of(scope["headers"], name)
    return values[0].decode("latin-1") if values else None


def _is_secure(scope: Scope) -> bool:
    return scope.get("scheme") in {"https", "wss"}
