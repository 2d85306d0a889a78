"""Say what is wrong or risky in an app's configuration, and what became of somebody's claims: facts in, findings out.

SECURITY: nothing in here repeats a secret. Values of claims are shown for a closed list of names only, and `Redactor`
takes out of every text what looks like a token, and every secret that the configuration holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stguard import claims as claims_module
from stguard import environment
from stguard.errors import Severity, quote
from stguard.model import EMPTY, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stguard.errors import Problem
    from stguard.model import Subject
    from stguard.policy import Policy
    from stguard.providers import Provider

REDACTED: Final = "[redacted]"

LINE_LIMIT: Final = 8192
"""Longest line of a WebSocket's opening request that `websockets` reads, in bytes, `Cookie:` with its value for one."""

LINE_VARIABLE: Final = "WEBSOCKETS_MAX_LINE_LENGTH"
NEARLY: Final = 0.75
"""Part of that limit from which on it is told: the next few groups pass it."""

DETAILS: Final = (True, "full", "stacktrace")
"""Values of `client.showErrorDetails` with which Streamlit shows people what went wrong."""

OPTIONS: Final = (
    "client.showErrorDetails",
    "server.cookieSecret",
    "server.enableAgentApi",
    "server.enableCORS",
    "server.enableXsrfProtection",
    "server.sslCertFile",
    "server.trustedUserHeaders",
)
"""The options of Streamlit that are looked at."""

ENTRA: Final = ("login.microsoftonline.com", "sts.windows.net", "login.microsoftonline.us")
EVERY_TENANT: Final = ("common", "organizations", "consumers")

_SENSITIVE: Final = re.compile(
    r"token|secret|passw|credential|private|cookie|api_?key|session|nonce|hash|\bjti\b|\bsid\b|assertion|\bcode\b",
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE|API_?KEY|_KEY\b", re.IGNORECASE)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,4}")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")
_SHORTEST: Final = 6
"""Fewest characters of a secret that is looked for in texts; a shorter one would take words apart."""

_SHOWN: Final = frozenset(
    {
        "_claim_names", "acr", "amr", "aud", "auth_time", "azp", "email", "email_verified", "exp", "hasgroups", "hd",
        "iat", "idp", "is_logged_in", "iss", "name", "oid", "org_id", "org_name", "preferred_username", "provider",
        "sub", "tid", "ver",
    }
)  # fmt: skip
"""Claims whose values are shown besides those that a policy reads."""

_LIST_LIMIT: Final = 10
_TEXT_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Describe one thing that is wrong or risky.

    Attributes:
        code: a short name for the kind, for programs.
        severity: `error`: it doesn't work, or somebody gets in who shouldn't; `warning`: it depends.
        what: what was found.
        why: why it matters.
        do: what to do.
    """

    code: str
    severity: Severity
    what: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Hold what an app is configured with, as far as it could be found out.

    Attributes:
        auth: the `[auth]` section in force; None for none.
        in_code: whether that section was given in code or came from the environment, not from a secrets file.
        twice: whether `[auth]` stands in a secrets file besides.
        wrong_variables: what is wrong with the variables for sign-in, one line each.
        options: Streamlit's options by name, those of `OPTIONS`.
        environ: the environment variables of the process.
        policy: the policy in force; None for none.
        problems: what is wrong with the policy as it lies in its files.
        no_policy: why there is none; None when there is one, or its problems say it.
        pages_folder: whether scripts lie in a folder `pages` beside the main script.
        hooks: why the hooks don't fit this Streamlit; None when they do, empty when they are switched off.
        gateway: whether requests go through the gateway; None when that can't be known from here.
        other: whether people may be signed in without `[auth]`: by local accounts or a proxy.
    """

    auth: Mapping[str, Any] | None = field(default=None, repr=False)
    in_code: bool = False
    twice: bool = False
    wrong_variables: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=lambda: EMPTY, repr=False)
    environ: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    policy: Policy | None = None
    problems: tuple[Problem, ...] = ()
    no_policy: str | None = None
    pages_folder: bool = False
    hooks: str | None = None
    gateway: bool | None = None
    other: bool = False


# --- nothing secret gets out -----------------------------------------------------------------------------------------


class Redactor:
    """Take secrets out of texts: those that are known, and what looks like a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the secrets that are known."""
        # The longest first: one secret may be part of another.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return a text on one line, without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        text = _USERINFO.sub(f"{REDACTED}@", _JWT.sub(REDACTED, text))
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def redactor(setup: Setup, claims: object = None) -> Redactor:
    """Return what takes out every secret that a setup and claims hold."""
    known = [value for name, value in setup.environ.items() if _SECRET_NAME.search(name)]
    return Redactor([*known, *_secrets_in(setup.auth), *_secrets_in(claims)])


def _secrets_in(value: object, *, below: bool = False) -> Iterator[str]:
    """Return the texts that stand under a name that tells of a secret."""
    match value:
        case str() if below:
            yield value
        case Mapping():
            for name, entry in value.items():
                yield from _secrets_in(entry, below=below or _SENSITIVE.search(str(name)) is not None)
        case list() | tuple():
            for entry in value:
                yield from _secrets_in(entry, below=below)
        case _:
            return


# --- the configuration -----------------------------------------------------------------------------------------------


def examine(setup: Setup) -> tuple[Finding, ...]:
    """Return what is wrong or risky in a setup, errors first."""
    found = [*_sign_in(setup), *_sections(setup), *_served(setup), *_streamlit(setup), *_rules(setup)]
    clean = redactor(setup)
    cleaned = (replace(f, what=clean(f.what), why=clean(f.why), do=clean(f.do)) for f in found)
    return tuple(sorted(cleaned, key=lambda finding: finding.severity is not Severity.ERROR))


def is_ok(findings: Iterable[Finding]) -> bool:
    """Tell whether none of the findings is an error."""
    return all(finding.severity is not Severity.ERROR for finding in findings)


def _error(code: str, what: str, why: str, do: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, what=what, why=why, do=do)


def _warning(code: str, what: str, why: str, do: str) -> Finding:
    return Finding(code=code, severity=Severity.WARNING, what=what, why=why, do=do)


def _sign_in(setup: Setup) -> Iterator[Finding]:
    for problem in setup.wrong_variables:
        yield _error(
            "sign-in-variable",
            f"A variable for sign-in is wrong: {problem}.",
            "The app doesn't start with it, or nobody can sign in.",
            "`stguard env` says what each provider needs.",
        )
    if setup.twice:
        yield _warning(
            "sign-in-twice",
            "Sign-in is configured in the environment and in Streamlit's secrets file.",
            "The environment counts; who edits the file will wonder.",
            "Remove one of the two, or use sg.App(..., auth=None) for the file.",
        )
    if setup.auth is None:
        if not setup.wrong_variables and not setup.other:
            yield _warning(
                "sign-in-missing",
                "No sign-in is configured.",
                "Nobody can sign in, so only public pages open.",
                "Set the variables that `stguard env` lists, or add `[auth]` to .streamlit/secrets.toml.",
            )
        return
    for problem in environment.auth_problems(setup.auth):
        if problem.startswith("`cookie_secret`"):
            yield _error(
                "cookie-secret",
                f"The cookie secret can be guessed or is missing: {problem}.",
                "It signs who somebody is: whoever knows it signs in as anybody.",
                f"Make one with {environment.MAKE_SECRET}, and set it on every replica.",
            )
        elif not (setup.other and problem.startswith(("no provider", "`redirect_uri` is missing"))):
            yield _error("sign-in-broken", f"{problem}.", "Nobody can sign in that way.", "Correct it in `[auth]`.")
    shared = setup.environ.get("STREAMLIT_SERVER_COOKIE_SECRET") or setup.options.get("server.cookieSecret")
    if setup.in_code and shared is not None and shared != setup.auth.get("cookie_secret"):
        if "STREAMLIT_SERVER_COOKIE_SECRET" in setup.environ:
            return
        yield _warning(
            "replicas",
            "STREAMLIT_SERVER_COOKIE_SECRET is not set, and `[auth]` was given in code.",
            "With several replicas a login that begins at one fails when it ends at another.",
            "Set it to the cookie secret in the environment of every replica, or make the app with sg.App.",
        )


def _sections(setup: Setup) -> Iterator[Finding]:
    auth = setup.auth or {}
    uri = auth.get("redirect_uri")
    if isinstance(uri, str) and (address := _split(uri.replace("{port}", "0"))) is not None:
        host, scheme, _ = address
        if scheme == "http" and host not in environment.LOOPBACK:
            yield _error(
                "redirect-http",
                f"The redirect URI uses http on {quote(host)}.",
                "The code that a login ends with travels in the open, and so does the login cookie.",
                "Serve the app by https, and register that address with the provider.",
            )
    for name in environment.sections(auth):
        section = auth if name == "default" else auth[name]
        address = _split(section.get("server_metadata_url"))
        if address is None:
            continue
        host, scheme, path = address
        if scheme == "http" and host not in environment.LOOPBACK:
            yield _error(
                "metadata-http",
                f"The metadata of the provider {quote(name)} comes by http from {quote(host)}.",
                "Whoever is on the way can sign in as anybody.",
                "Use the provider's https address.",
            )
        tenant = path.strip("/").partition("/")[0].lower()
        if host in ENTRA and tenant in EVERY_TENANT:
            yield _error(
                "tenant",
                f"The provider {quote(name)} is set to every tenant of Entra ID ({quote(tenant)}).",
                "Every sign-in fails: a token names one tenant, this metadata names none.",
                "Put the id of your tenant in its place.",
            )
        yield from _identity(setup, name, host)


def _identity(setup: Setup, name: str, host: str) -> Iterator[Finding]:
    """Look at what the policy says about the people of one provider."""
    if setup.policy is None:
        return
    general = setup.policy.parts.identity
    identity = general.providers.get(name, general)
    if identity.trust_email is True and identity.issuers is None and host in ENTRA:
        yield _error(
            "trust-email",
            f"The policy trusts e-mails of {quote(name)} that nobody verified (`trust_email`), of any tenant.",
            "The administrators of a tenant write whatever address they like into an account.",
            "Name your tenant in `identity.accept`; or remove `trust_email`, and name people by groups or app roles.",
        )
    elif identity.trust_email is True and identity.issuers is None:
        yield _warning(
            "trust-email",
            f"The policy trusts e-mails of {quote(name)} that nobody verified (`trust_email`), of any issuer.",
            "Where people write their own address, one of them can write an administrator's.",
            "Keep it for a provider that only your administrators write to, and name its issuer in `identity.accept`.",
        )
    if host in ENTRA and identity.issuers is None:
        yield _warning(
            "accept",
            f"The policy accepts tokens of any tenant from {quote(name)} (no `identity.accept`).",
            "The tenant in the provider's address is then all that keeps other organizations out.",
            "Add `identity: {accept: {iss: [https://login.microsoftonline.com/YOUR-TENANT/v2.0]}}` to the policy.",
        )


def _served(setup: Setup) -> Iterator[Finding]:
    forwarded = setup.environ.get("FORWARDED_ALLOW_IPS", "").strip()
    uri = _split((setup.auth or {}).get("redirect_uri"))
    if forwarded == "*":
        yield _error(
            "forwarded",
            "FORWARDED_ALLOW_IPS is `*`.",
            "Any browser can then say which address it comes from, and by which scheme.",
            "Name the address of your proxy there.",
        )
    elif not forwarded and uri is not None and uri[1] == "https" and not setup.options.get("server.sslCertFile"):
        yield _warning(
            "forwarded",
            "The app's address is https, the server has no certificate, and FORWARDED_ALLOW_IPS is not set.",
            "A proxy stands in front, and unless it runs on this machine nothing that it says of requests is believed.",
            "Set FORWARDED_ALLOW_IPS to the address of the proxy.",
        )
    limit = setup.environ.get(LINE_VARIABLE)
    if limit is not None and line_limit(setup.environ) < LINE_LIMIT:
        yield _warning(
            "line-length",
            f"{LINE_VARIABLE} is {quote(limit)}.",
            "It is no number, or less than without it: logins with many groups get a blank page.",
            f"Set it to a number above {LINE_LIMIT}, such as 65536.",
        )
    if setup.pages_folder:
        yield _error(
            "pages-folder",
            "Scripts lie in a folder `pages` beside the main script.",
            "Streamlit serves them without the main script, so without any check.",
            "Rename the folder, to `views` for one.",
        )


def _streamlit(setup: Setup) -> Iterator[Finding]:
    get = setup.options.get
    if get("server.enableXsrfProtection") is False:
        yield _error(
            "xsrf",
            "`server.enableXsrfProtection` is off.",
            "Another site's page can upload files in the name of who is signed in.",
            "Remove it from the configuration.",
        )
    if get("server.enableCORS") is False:
        yield _error(
            "cors",
            "`server.enableCORS` is off.",
            "Any site's page can open the app in the name of who is signed in.",
            "Remove it; sites that may connect go into `server.corsAllowedOrigins`, or `origins` of sg.App.",
        )
    if get("client.showErrorDetails") in DETAILS:
        yield _warning(
            "error-details",
            "`client.showErrorDetails` shows people exceptions with paths and code.",
            "Under sg.navigation they see a sentence instead; what fails above it in the main script is still shown.",
            'Set it to "none" where the app is served.',
        )
    if get("server.trustedUserHeaders") and setup.gateway is not True:
        yield Finding(
            code="trusted-headers",
            severity=Severity.ERROR if setup.gateway is False else Severity.WARNING,
            what="`server.trustedUserHeaders` takes identity from request headers, and nothing shows a proof for them.",
            why="Streamlit also believes a header that the browser itself sent: anybody is anybody.",
            do="Serve the app with sg.App(..., proxy=sg.TrustedProxy(secret=...)).",
        )
    if get("server.enableAgentApi") is True and setup.gateway is not True:
        yield Finding(
            code="agent-api",
            severity=Severity.ERROR if setup.gateway is False else Severity.WARNING,
            what="`server.enableAgentApi` is on, and nothing shows a gateway before it.",
            why="It runs the app for programs without looking at the login cookie.",
            do="Remove it, or serve the app with sg.App, which closes it.",
        )
    if setup.hooks == "":
        yield _warning(
            "hooks",
            'The hooks are switched off (configure(hooks="off")).',
            "Callbacks, fragments and downloads run without being asked about, unless each has @sg.requires.",
            'Remove hooks="off".',
        )
    elif setup.hooks is not None:
        yield _error(
            "hooks",
            f"The hooks don't fit: {setup.hooks}.",
            "No guarded page is served with them.",
            "Use a version of Streamlit that stguard supports.",
        )


def _rules(setup: Setup) -> Iterator[Finding]:
    if setup.no_policy is not None:
        yield _error(
            "policy",
            f"There is no policy: {setup.no_policy}.",
            "Without one nothing is allowed.",
            "`stguard init` writes one from the pages of the app.",
        )
    for problem in setup.problems:
        refused = problem.severity is Severity.ERROR
        yield Finding(
            code="policy",
            severity=problem.severity,
            what=str(problem),
            why="The policy is refused; the last good one stays, if there is one." if refused else "It may be a slip.",
            do="Correct it; `stguard check` lists all of them.",
        )


def _split(address: object) -> tuple[str, str, str] | None:
    """Return host, scheme and path of an address; None where it is none."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
    except ValueError:
        return None
    return (parts.hostname, parts.scheme, parts.path) if parts.hostname else None


# --- somebody's claims -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """Say how long the line is that carries a login.

    Attributes:
        size: bytes of the line.
        limit: bytes that are read of it.
        exact: whether it was counted; else it is the least that these claims make.
    """

    size: int
    limit: int
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Name a fact that stayed unknown.

    Attributes:
        fact: the fact: `roles`, `groups`, `memberships`, `email`, …
        why: why it can't be known.
        switch: what brings it, at that provider; empty when there is nothing to switch.
    """

    fact: str
    why: str
    switch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Tell what arrived in somebody's claims, and what became of it.

    Attributes:
        counts: whether they stand for somebody.
        why: why they count as nobody; None when they count.
        provider: the title of the provider's row that read them.
        arrived: names of claims with their values, or with what kind of value they have.
        became: names of facts with what they are now.
        ignored: what was ignored, and why.
        missing: what could not be known, and what brings it.
        cookie: the line that carries the login.
    """

    counts: bool
    why: str | None
    provider: str
    arrived: tuple[tuple[str, str], ...]
    became: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    missing: tuple[Missing, ...]
    cookie: Cookie


def account(
    claims: Mapping[str, Any],
    subject: Subject | None,
    *,
    setup: Setup,
    why: str | None = None,
    line: int | None = None,
) -> Account:
    """Tell what arrived and what became of it.

    Args:
        claims: the claims, as `st.user` holds them.
        subject: whom the policy in force makes of them; None for nobody.
        setup: the app's configuration.
        why: why they count as nobody, where that is known.
        line: bytes of the `Cookie` line that came; None when it wasn't seen.
    """
    clean = redactor(setup, claims)
    identity = _identity_for(claims, setup)
    row = claims_module.provider_for(claims, identity)
    read = set(_read_by(identity, row))
    arrived = tuple((clean(str(name)), clean(_shown(name, claims[name], read))) for name in sorted(claims, key=str))
    if subject is None and why is None:
        why = claims_module.rejection(claims, identity) or "nobody is signed in with them"
    return Account(
        counts=subject is not None,
        why=None if subject is not None or why is None else clean(why),
        provider=row.title,
        arrived=arrived,
        became=tuple((fact, clean(text)) for fact, text in _became(subject, setup)),
        ignored=tuple(clean(note) for note in (subject.notes if subject is not None else ())),
        missing=tuple(_missing(subject, row, clean)),
        cookie=Cookie(
            size=least_line(claims) if line is None else line,
            limit=line_limit(setup.environ),
            exact=line is not None,
        ),
    )


def examine_account(account: Account) -> tuple[Finding, ...]:
    """Return what is wrong with what became of somebody's claims."""
    found = []
    if not account.counts:
        found.append(
            _error(
                "nobody",
                f"These claims count as nobody: {account.why}.",
                "Whoever signs in with them sees what visitors see.",
                "Compare `identity.accept` in the policy with the claims `iss` and `aud`.",
            )
        )
    cookie = account.cookie
    least = "" if cookie.exact else "at least "
    remedy = f"Set {LINE_VARIABLE} to 65536 where the server starts, or let the provider send fewer groups."
    if cookie.size > cookie.limit:
        found.append(
            _error(
                "cookie-size",
                f"The login takes {least}{cookie.size} bytes in the `Cookie` line, {cookie.limit} are read.",
                "The connection is refused, and the page stays blank for this person.",
                remedy,
            )
        )
    elif cookie.size > cookie.limit * NEARLY:
        found.append(
            _warning(
                "cookie-size",
                f"The login takes {least}{cookie.size} of {cookie.limit} bytes in the `Cookie` line.",
                "A few more groups, and the page stays blank for this person.",
                remedy,
            )
        )
    return tuple(found)


def _identity_for(claims: Mapping[str, Any], setup: Setup) -> Identity:
    general = setup.policy.parts.identity if setup.policy is not None else Identity()
    return claims_module.identity_for(claims, general)


def _read_by(identity: Identity, row: Provider) -> Iterator[str]:
    """Return the top-level claims that roles, groups and orgs are read from."""
    places = (identity.roles, identity.groups, identity.orgs, row.roles, row.groups, row.orgs, row.org_name, *row.pairs)
    for place in places:
        if place is not None:
            yield place.path[0]


def _shown(name: str, value: object, read: set[str]) -> str:
    if _SENSITIVE.search(str(name)):
        return REDACTED
    if name in _SHOWN or name in read:
        return _cut(json.dumps(_short(value), ensure_ascii=False, default=str))
    return _kind(value)


def _short(value: object) -> object:
    """Return a value with long lists cut, and without what stands under a name that tells of a secret."""
    match value:
        case Mapping():
            named = {str(k): REDACTED if _SENSITIVE.search(str(k)) else _short(v) for k, v in value.items()}
            kept = dict(list(named.items())[:_LIST_LIMIT])
            return kept if len(kept) == len(named) else {**kept, "…": f"{len(named) - len(kept)} more"}
        case list() | tuple():
            rest = len(value) - _LIST_LIMIT
            return [_short(entry) for entry in value[:_LIST_LIMIT]] + ([f"… {rest} more"] if rest > 0 else [])
        case _:
            return value


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes or no"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters"
        case Mapping():
            return f"{len(value)} named values"
        case list() | tuple():
            return f"a list of {len(value)}"
        case _:
            return "a value of another kind"


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}…"


def _became(subject: Subject | None, setup: Setup) -> Iterator[tuple[str, str]]:
    if subject is None:
        return
    yield "id", subject.id or "none"
    yield "name", subject.name or "none"
    yield "e-mail", subject.email or "none that counts"
    yield "groups", _known(subject, "groups", subject.groups)
    yield "roles", _known(subject, "roles", subject.roles)
    for org, membership in sorted(subject.memberships.items()):
        held = _names(membership.roles or ())
        granted = f"; permissions: {_names(membership.permissions)}" if membership.permissions else ""
        yield f"member of {org}", f"roles: {held}{granted}"
    if setup.policy is not None:
        for mine in setup.policy.memberships(subject):
            yield f"in {mine.org}, with the policy", f"roles: {_names(mine.roles or ())}"
    if subject.active_org is not None:
        yield "active org", subject.active_org
    if subject.impersonator is not None:
        yield "acted as by", subject.impersonator


def _known(subject: Subject, fact: str, names: Iterable[str]) -> str:
    """Return names that are held, and whether there may be others: what is unknown is not none."""
    listed = _names(names)
    if fact not in subject.unknown:
        return listed
    return "unknown" if listed == "none" else f"{listed}; others unknown"


def _names(names: Iterable[str]) -> str:
    listed = sorted(names)
    rest = len(listed) - _LIST_LIMIT
    return ", ".join(listed[:_LIST_LIMIT]) + (f" and {rest} more" if rest > 0 else "") or "none"


_SWITCH: Final = {"memberships": "orgs", "orgs": "orgs", "roles": "roles", "groups": "groups", "email": "email"}


def _missing(subject: Subject | None, row: Provider, clean: Redactor) -> Iterator[Missing]:
    for fact, why in sorted((subject.unknown if subject is not None else {}).items()):
        switch = row.switches.get(_SWITCH.get(fact.partition(":")[0], ""), "")
        yield Missing(fact=clean(fact), why=clean(why), switch=switch)


# --- the size of the login cookie ------------------------------------------------------------------------------------

_SIGNATURE: Final = 35
"""Bytes that signing adds to a cookie's value: two dots, a time, and 20 bytes as text."""

_CHUNK: Final = 2940
"""Characters of a value for which Streamlit makes one cookie where 4096 bytes are too few for all of it."""

_BROWSER_LIMIT: Final = 4096
_RS256: Final = 342
"""Characters of a signature by a key of 2048 bits."""


def line_limit(environ: Mapping[str, str]) -> int:
    """Return the bytes of the `Cookie` line that are read; 0 where the variable for it is no number."""
    text = environ.get(LINE_VARIABLE)
    if text is None:
        return LINE_LIMIT
    return int(text) if text.strip().isascii() and text.strip().isdigit() else 0


def least_line(claims: Mapping[str, Any]) -> int:
    """Return the bytes that a login with these claims takes in the `Cookie` line, at least.

    STREAMLIT 1.57 to 1.67: two cookies, each compressed, signed, and cut into several where it passes 4096 bytes: the
    claims, and the ID token, which holds them once more and is hardly made shorter. The access token comes on top.
    """
    payload = {name: value for name, value in claims.items() if name != "tokens"}
    text = json.dumps(payload, default=str)
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT","kid":"0123456789abcdef"}').decode()
    body = base64.urlsafe_b64encode(text.encode()).decode()
    # What stands for the signature must not be made shorter by compression either.
    noise = "".join(hashlib.sha256(f"{text}{n}".encode()).hexdigest() for n in range(8))
    signature = base64.urlsafe_b64encode(binascii.unhexlify(noise)).decode()[:_RS256]
    user = {"origin": "https://app.example", "is_logged_in": True, "provider": "default", **payload}
    cookies = (
        *_cookies("_streamlit_user", json.dumps(user, default=str)),
        *_cookies("_streamlit_user_tokens", json.dumps({"id_token": f"{head}.{body}.{signature}"})),
    )
    return len("Cookie: ") + sum(len(name) + 1 + size + 2 for name, size in cookies)


def _cookies(name: str, value: str) -> Iterator[tuple[str, int]]:
    if _signed(value) + len(name) + 60 <= _BROWSER_LIMIT:
        yield name, _signed(value)
        return
    pieces = [value[start : start + _CHUNK] for start in range(0, len(value), _CHUNK)]
    yield name, _signed(f"chunks-{len(pieces)}")
    for number, piece in enumerate(pieces, start=1):
        yield f"{name}_{number}", _signed(piece)


def _signed(value: str) -> int:
    """Return the length of a signed value: itsdangerous compresses what gets shorter by it."""
    plain = json.dumps(value, separators=(",", ":")).encode()
    packed = zlib.compress(plain)
    size = len(packed) + 1 if len(packed) < len(plain) - 1 else len(plain)
    return -(-size * 4 // 3) + _SIGNATURE


# --- for programs ----------------------------------------------------------------------------------------------------


def document(findings: Iterable[Finding], told: Account | None) -> dict[str, Any]:
    """Return the findings and what became of claims as one JSON document."""
    listed = tuple(findings)
    return {
        "ok": is_ok(listed),
        "findings": [{f.name: str(getattr(finding, f.name)) for f in fields(finding)} for finding in listed],
        "claims": {}
        if told is None
        else {
            "counts": told.counts,
            "why": told.why,
            "provider": told.provider,
            "arrived": dict(told.arrived),
            "became": dict(told.became),
            "ignored": list(told.ignored),
            "missing": [{"fact": m.fact, "why": m.why, "switch": m.switch} for m in told.missing],
            "cookie": {"bytes": told.cookie.size, "limit": told.cookie.limit, "exact": told.cookie.exact},
        },
    }
