"""Make the `[auth]` section from environment variables: a mapping in, the section or every problem out.

SECURITY: no message repeats a value. A secret that was put into the wrong variable would stand in it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as percent
from urllib.parse import urlsplit

from stguard.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECRET_LENGTH: Final = 32
"""Fewest characters of the cookie secret: it signs who somebody is."""

SECRET_VARIETY: Final = 8
"""Fewest different characters of the cookie secret; fewer stand for a word typed again and again."""

MAKE_SECRET: Final = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105  how to make one
CALLBACK: Final = "/oauth2callback"
"""Where Streamlit waits for the answer of a provider."""

METADATA: Final = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, section 4."""

SCOPE: Final = "openid email profile"
PROMPTS: Final = ("login", "consent", "select_account")
"""What a provider can be told to ask each time (OpenID Connect Core 1.0, section 3.1.2.1).

Not `none`: it fails whenever somebody would have to sign in.
"""

TOKENS: Final = ("id", "access")
"""The tokens that Streamlit can hand to the app."""

NEAR: Final = 0.77
"""How alike two names are that are taken for one misspelt name: `CLIENTID` is, `CLIENT_EMAIL` is not."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_OKTA: Final = re.compile(r"(?:https://)?([a-z0-9.-]+)((?:/oauth2/[A-Za-z0-9]+)?)/?")

Check = Callable[[str], str | None]
"""Takes a value, returns what is wrong with it, or None."""


# --- what a value must look like -------------------------------------------------------------------------------------


def _anything(_value: str) -> str | None:
    return None


def _google_id(value: str) -> str | None:
    ends = ".apps.googleusercontent.com"
    return None if value.endswith(ends) else f"expected a client id, which ends with `{ends}`, got something else"


def _guid(value: str) -> str | None:
    return None if _GUID.fullmatch(value) else "expected a GUID, got something else"


def _entra_secret(value: str) -> str | None:
    return "expected the secret's value, got a GUID; that is the secret's id" if _GUID.fullmatch(value) else None


def _tenant(value: str) -> str | None:
    if value.lower() in ("common", "organizations", "consumers"):
        # Entra's metadata for these has no issuer that a token could be compared with, so every login would fail.
        return f"expected the id or the domain of one tenant, got `{value.lower()}`, with which no sign-in succeeds"
    found = _GUID.fullmatch(value) or _HOST.fullmatch(value.lower())
    return None if found else "expected the tenant's GUID or domain, as `acme.onmicrosoft.com`, got neither"


def _okta(value: str) -> str | None:
    found = _OKTA.fullmatch(value)
    host = found[1] if found else ""
    if not (_LABEL.fullmatch(host) or _HOST.fullmatch(host)):
        return "expected a subdomain or a domain, as `acme` or `acme.okta.com`, got neither"
    if host.split(".")[0].endswith("-admin"):
        return "expected the domain that people sign in at, got that of the admin console; leave `-admin` out"
    return None


def _domain(value: str) -> str | None:
    host = value.removeprefix("https://").removesuffix("/")
    return None if _HOST.fullmatch(host.lower()) else "expected a domain, as `acme.eu.auth0.com`, got something else"


def _address(value: str) -> str | None:
    """Check an address that a provider is reached at: https, or http on this machine."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "expected an address, as `https://id.acme.com`, got one that can't be read"
    if parts.scheme not in ("https", "http") or not host:
        return "expected an address that starts with `https://`, got something else"
    if parts.username is not None or parts.fragment:
        return "expected an address without a password or a `#`, got one with it"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "expected `https://`, got `http://`, where anybody on the way could sign in as anybody"
    return None


def _site(value: str) -> str | None:
    """Check an address without a path."""
    wrong = _address(value)
    if wrong is None and (urlsplit(value).path not in ("", "/") or urlsplit(value).query):
        return "expected an address without a path, got one with a path"
    return wrong


def _keycloak(value: str) -> str | None:
    wrong = _address(value)
    if wrong is None and "/realms" in value:
        return "expected the server's address alone, got one with `/realms`; the realm goes into `KEYCLOAK_REALM`"
    return wrong


def _metadata(value: str) -> str | None:
    wrong = _address(value)
    if wrong is None and not urlsplit(value).path.endswith(METADATA):
        return f"expected the address of the provider's metadata, which ends with `{METADATA}`, got another"
    return wrong


def _scope(value: str) -> str | None:
    return None if "openid" in value.split() else f"expected scopes with `openid` among them, as `{SCOPE}`"


def _prompt(value: str) -> str | None:
    known = ", ".join(map(quote, PROMPTS))
    return None if set(value.split()) <= {*PROMPTS} else f"expected one of {known}, got something else"


def _tokens(value: str) -> str | None:
    return None if set(_listed(value)) <= {*TOKENS} else "expected `id`, `access` or `id,access`, got something else"


def redirect_problem(value: str) -> str | None:
    """Return what is wrong with a redirect URI, or None.

    STREAMLIT 1.57 to 1.67: `{port}` stands for `server.port`; the callback is served at `/oauth2callback`.
    """
    example = f"as `https://app.acme.com{CALLBACK}`"
    try:
        parts = urlsplit(value.replace("{port}", "8501"))
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"expected the app's address, {example}, got one that can't be read"
    if parts.scheme not in ("https", "http") or not host:
        return f"expected the app's address from `https://` on, {example}, got something else"
    if not parts.path.endswith(CALLBACK) or parts.query or parts.fragment or parts.username is not None:
        return f"expected the app's address with `{CALLBACK}` at its end, {example}, got another form"
    return None


def cookie_secret_problem(value: str) -> str | None:
    """Return what is wrong with a cookie secret, or None."""
    if len(value) < SECRET_LENGTH:
        return f"expected {SECRET_LENGTH} characters or more, got {len(value)}; make one with `{MAKE_SECRET}`"
    if len(set(value)) < SECRET_VARIETY:
        return (
            f"expected a random text, got {len(set(value))} characters again and again; make one with `{MAKE_SECRET}`"
        )
    return None


def _listed(value: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", value) if part]


# --- which variables there are ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """Describe one environment variable.

    Attributes:
        name: the variable.
        where: where its value is found, one line.
        check: says what is wrong with a value.
        required: whether sign-in needs it.
        secret: whether nobody else may know its value.
    """

    name: str
    where: str
    check: Check = _anything
    required: bool = True
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Say how one provider is set up from variables.

    Attributes:
        section: the section under `[auth]`, and what `st.user["provider"]` says.
        title: the name to show.
        prefix: how its variables begin.
        variables: all of them; the first two are the client's id and secret.
        metadata: makes the address of the provider's metadata from the values.
        register: where the redirect URI is registered, one line.
        client_kwargs: what sign-in asks for besides the usual.
    """

    section: str
    title: str
    prefix: str
    variables: tuple[Variable, ...]
    metadata: Callable[[Mapping[str, str]], str]
    register: str
    client_kwargs: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return the names of its variables."""
        return tuple(variable.name for variable in self.variables)


def _recipe(
    section: str,
    title: str,
    *more: Variable,
    prefix: str,
    client: str,
    register: str,
    metadata: Callable[[Mapping[str, str]], str],
    checks: tuple[Check, Check] = (_anything, _anything),
    prompt: str | None = None,
) -> Recipe:
    """Return a recipe with the variables that every provider has.

    PKCE is asked for always: Streamlit asks for it by itself only where the metadata promises it, and 1.57 never does.
    Source: RFC 9700, section 2.1.1; a provider without it ignores what it doesn't know (RFC 6749, section 3.1).
    """
    client_id, client_secret = (part.strip() for part in client.split("|"))
    return Recipe(
        section=section,
        title=title,
        prefix=prefix,
        variables=(
            Variable(name=f"{prefix}CLIENT_ID", where=client_id, check=checks[0]),
            Variable(name=f"{prefix}CLIENT_SECRET", where=client_secret, check=checks[1], secret=True),
            *more,
            Variable(
                name=f"{prefix}SCOPE",
                where=f"optional: the scopes to ask for; `{SCOPE}` without it",
                check=_scope,
                required=False,
            ),
        ),
        metadata=metadata,
        register=register,
        client_kwargs={"code_challenge_method": "S256", **({} if prompt is None else {"prompt": prompt})},
    )


def _okta_metadata(values: Mapping[str, str]) -> str:
    found = _OKTA.fullmatch(values["OKTA_SUBDOMAIN"])
    host, path = (found[1], found[2]) if found else ("", "")
    return f"https://{host if '.' in host else f'{host}.okta.com'}{path}{METADATA}"


SAME_PAGE: Final = "the same page"
"""How a line of a list refers to the page that the first variable is found at."""

RECIPES: Final = (
    # https://developers.google.com/identity/openid-connect/openid-connect#discovery
    _recipe(
        "google",
        "Google",
        prefix="GOOGLE_",
        client="Google Cloud console > Google Auth Platform > Clients > a client of type `Web application` > Client ID"
        " | the same page > Client secrets",
        register="the same page > Authorized redirect URIs",
        checks=(_google_id, _anything),
        metadata=lambda _: f"https://accounts.google.com{METADATA}",
    ),
    # https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc#fetch-the-openid-configuration-document
    _recipe(
        "microsoft",
        "Microsoft Entra ID",
        Variable(name="MS_TENANT_ID", where="your app > Overview > Directory (tenant) ID", check=_tenant),
        prefix="MS_",
        client="Entra admin center > App registrations > your app > Overview > Application (client) ID"
        " | your app > Certificates & secrets > Client secrets > the column Value (not Secret ID)",
        register="your app > Authentication > Add a platform > Web > Redirect URIs",
        checks=(_guid, _entra_secret),
        metadata=lambda values: f"https://login.microsoftonline.com/{values['MS_TENANT_ID']}/v2.0{METADATA}",
    ),
    # https://developer.okta.com/docs/api/openapi/okta-oauth/oauth/tag/OrgAS/: `select_account` is none of its prompts.
    _recipe(
        "okta",
        "Okta",
        Variable(
            name="OKTA_SUBDOMAIN",
            where="the part before `.okta.com` in the address people sign in at, or that whole domain",
            check=_okta,
        ),
        prefix="OKTA_",
        client="Admin console > Applications > your app (OIDC, Web Application) > General > Client ID"
        " | the same page > Client secrets",
        register="the same page > Sign-in redirect URIs",
        prompt="login",
        metadata=_okta_metadata,
    ),
    # https://auth0.com/docs/get-started/applications/application-settings
    _recipe(
        "auth0",
        "Auth0",
        Variable(name="AUTH0_DOMAIN", where="the same page > Domain", check=_domain),
        prefix="AUTH0_",
        client="Auth0 dashboard > Applications > your app (Regular Web Application) > Settings > Client ID"
        " | the same page > Client Secret",
        register="the same page > Allowed Callback URLs",
        prompt="login",
        metadata=lambda values: (
            f"https://{values['AUTH0_DOMAIN'].removeprefix('https://').removesuffix('/')}{METADATA}"
        ),
    ),
    # https://docs.propelauth.com/guides-and-examples/guides/streamlit-authentication
    _recipe(
        "propelauth",
        "PropelAuth",
        Variable(
            name="PROPELAUTH_AUTH_URL", where="PropelAuth dashboard > Frontend Integration > Auth URL", check=_site
        ),
        Variable(
            name="PROPELAUTH_API_KEY",
            where="optional, for `sg.PropelAuth`: PropelAuth dashboard > Backend Integration > API keys",
            required=False,
            secret=True,
        ),
        prefix="PROPELAUTH_",
        client="PropelAuth dashboard > Frontend Integration > Advanced Settings > Edit OAuth Config > Client ID"
        " | the same page, shown once when the client is created > Client Secret",
        register="the same page > Redirect URIs",
        prompt="login",
        metadata=lambda values: values["PROPELAUTH_AUTH_URL"].removesuffix("/") + METADATA,
    ),
    # https://www.keycloak.org/securing-apps/oidc-layers#_discovery
    _recipe(
        "keycloak",
        "Keycloak",
        Variable(
            name="KEYCLOAK_URL",
            where="the server's address, as `https://id.acme.com`; before Keycloak 17 with `/auth` at its end",
            check=_keycloak,
        ),
        Variable(name="KEYCLOAK_REALM", where="Admin console > the realm's name, top left"),
        prefix="KEYCLOAK_",
        client="Admin console > Clients > your client > Settings > Client ID"
        " | your client > Credentials > Client Secret (needs `Client authentication` on)",
        register="your client > Settings > Valid redirect URIs",
        metadata=lambda values: (
            f"{values['KEYCLOAK_URL'].rstrip('/')}/realms/{percent(values['KEYCLOAK_REALM'], safe='')}{METADATA}"
        ),
    ),
)
"""The providers with variables of their own."""


def oidc(name: str) -> Recipe:
    """Return the recipe of any other OpenID provider; `name` as in its variables: `MY_IDP`.

    STREAMLIT 1.57 to 1.67: a provider's name can't hold an underscore, so the section is `my-idp`.
    """
    prefix = f"OIDC_{name}_"
    address = f"{prefix}METADATA_URL"
    return _recipe(
        name.lower().replace("_", "-"),
        name.replace("_", " ").title(),
        Variable(
            name=address,
            where=f"the provider's discovery document; its address ends with `{METADATA}`",
            check=_metadata,
        ),
        Variable(name=f"{prefix}LABEL", where="optional: the name on the sign-in button", required=False),
        Variable(
            name=f"{prefix}PROMPT",
            where="optional: what the provider asks each time; Streamlit's own `select_account` without it, which some "
            "providers refuse: `login` for those",
            check=_prompt,
            required=False,
        ),
        prefix=prefix,
        client="the provider's page for your client (a confidential web client) > Client ID"
        " | the same page > Client secret",
        register="the same page > redirect URIs",
        metadata=lambda values: values[address],
    )


GENERAL: Final = (
    Variable(
        name="REDIRECT_URI",
        where=f"the app's own address with `{CALLBACK}` at its end: `http://localhost:8501{CALLBACK}` here, "
        f"`https://app.acme.com{CALLBACK}` where it is served",
        check=redirect_problem,
    ),
    Variable(
        name="COOKIE_SECRET",
        where=f"make it yourself: `{MAKE_SECRET}`; the same on each replica",
        check=cookie_secret_problem,
        secret=True,
    ),
    Variable(
        name="EXPOSE_TOKENS",
        where="optional, for identity sources that call the provider: `access`, `id` or `id,access`",
        check=_tokens,
        required=False,
    ),
)
"""What every provider needs, once."""

_OIDC: Final = re.compile(r"OIDC_([A-Z0-9]+(?:_[A-Z0-9]+)*?)_(CLIENT_ID|CLIENT_SECRET|METADATA_URL|SCOPE|LABEL|PROMPT)")
_OIDC_PARTS: Final = ("CLIENT_ID", "CLIENT_SECRET", "METADATA_URL", "SCOPE", "LABEL", "PROMPT")


# --- reading ---------------------------------------------------------------------------------------------------------


class Auth(dict[str, Any]):
    """Hold an `[auth]` section; its `repr` names the providers and keeps the secrets."""

    def __repr__(self) -> str:
        """Return the names of the providers."""
        return f"<[auth] from the environment: {', '.join(sections(self))}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Hold what the environment says about sign-in.

    Attributes:
        auth: the `[auth]` section; None with any problem.
        problems: each variable with what is wrong, one line each.
        begun: whether anything of it is there, be it misspelt.
    """

    auth: Auth | None
    problems: tuple[str, ...]
    begun: bool


def sections(auth: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the providers in an `[auth]` section; `default` for one without a name."""
    named = tuple(name for name, entry in auth.items() if _is_client(entry))
    return ("default", *named) if "client_id" in auth else named


def _is_client(entry: object) -> bool:
    return not isinstance(entry, str) and hasattr(entry, "keys") and "client_id" in entry.keys()  # noqa: SIM118


def is_meant(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment sets up a provider: a client's id or secret stands in it."""
    return any(_has_client(recipe, environ) for recipe in (*RECIPES, *_oidc_recipes(environ)))


def read(environ: Mapping[str, str]) -> Reading:
    """Read the variables of every provider that is set up.

    Args:
        environ: names and values; an empty value counts as none, blanks around a value are dropped.
    """
    return _Reading(environ).read()


def _has_client(recipe: Recipe, environ: Mapping[str, str]) -> bool:
    return any(environ.get(name, "").strip() for name in recipe.names()[:2])


def _oidc_recipes(environ: Mapping[str, str]) -> Iterator[Recipe]:
    names = {found[1] for name in environ if (found := _OIDC.fullmatch(name))}
    return (oidc(name) for name in sorted(names))


class _Reading:
    """Collect sections and problems, provider by provider."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = {name: value.strip() for name, value in environ.items()}
        self.problems: list[str] = []
        self.auth = Auth()
        self.begun = any(self.environ.get(variable.name) for variable in GENERAL if variable.required)
        self.known = {*(variable.name for variable in GENERAL)}
        self.oidc = [recipe for recipe in _oidc_recipes(self.environ) if _has_client(recipe, self.environ)]
        for recipe in (*RECIPES, *self.oidc):
            self.known.update(recipe.names())

    def read(self) -> Reading:
        general = self._values(GENERAL)
        for name, key in (("REDIRECT_URI", "redirect_uri"), ("COOKIE_SECRET", "cookie_secret")):
            if name in general:
                self.auth[key] = general[name]
        if "EXPOSE_TOKENS" in general:
            tokens = _listed(general["EXPOSE_TOKENS"])
            # STREAMLIT 1.57: secrets given in code may hold no list; each version takes one name as a text.
            self.auth["expose_tokens"] = tokens[0] if len(tokens) == 1 else tokens
        count = len(self.problems)
        recipes = [*RECIPES, *self.oidc]
        for recipe in recipes:
            if _has_client(recipe, self.environ) or any(map(self._misspelt, recipe.names()[:2])):
                self._add(recipe)
        self._misspelt_oidc({recipe.prefix for recipe in recipes})
        if not sections(self.auth) and len(self.problems) == count:
            known = ", ".join(f"`{recipe.prefix}CLIENT_ID`" for recipe in (*RECIPES, oidc("NAME")))
            self.problems.append(f"no provider is set up; expected one of {known}; `stguard env` lists what each needs")
        auth = None if self.problems else self.auth
        return Reading(auth=auth, problems=tuple(self.problems), begun=self.begun)

    def _add(self, recipe: Recipe) -> None:
        self.begun = True
        before = len(self.problems)
        values = self._values(recipe.variables)
        if recipe.section == "default" or recipe.section in self.auth:
            self.problems.append(f"`{recipe.prefix}CLIENT_ID`: the name `{recipe.section}` is taken; choose another")
        if len(self.problems) > before:
            return
        scope = values.get(f"{recipe.prefix}SCOPE", SCOPE)
        section: dict[str, Any] = {
            "client_id": values[f"{recipe.prefix}CLIENT_ID"],
            "client_secret": values[f"{recipe.prefix}CLIENT_SECRET"],
            "server_metadata_url": recipe.metadata(values),
            "client_kwargs": {"scope": scope, **recipe.client_kwargs},
        }
        if prompt := values.get(f"{recipe.prefix}PROMPT"):
            section["client_kwargs"]["prompt"] = prompt
        if label := values.get(f"{recipe.prefix}LABEL"):
            section["label"] = label
        self.auth[recipe.section] = section

    def _values(self, variables: tuple[Variable, ...]) -> dict[str, str]:
        """Return the values that can be used, and note what is wrong with the others."""
        values = {}
        for variable in variables:
            value = self.environ.get(variable.name, "")
            if not value:
                self._absent(variable)
            elif wrong := _in_quotes(value) or variable.check(value):
                self.problems.append(f"`{variable.name}`: {wrong}")
            else:
                values[variable.name] = value
        return values

    def _absent(self, variable: Variable) -> None:
        instead = self._misspelt(variable.name)
        if not variable.required and instead is None:
            return
        state = "is empty" if variable.name in self.environ else "is not set"
        if instead is not None:
            self.problems.append(f"`{variable.name}` {state}, but {quote(instead)} is; did you mean `{variable.name}`?")
        elif variable.name == "COOKIE_SECRET":
            self.problems.append(f"`COOKIE_SECRET` {state}; make one with `{MAKE_SECRET}`")
        else:
            self.problems.append(f"`{variable.name}` {state}; {self._place(variable)}")

    def _place(self, variable: Variable) -> str:
        """Return where its value is found, with the page's name in place of `the same page`: this line stands alone."""
        recipes = (*RECIPES, *self.oidc)
        page = next((r.variables[0].where.rpartition(" > ")[0] for r in recipes if variable in r.variables), "")
        return variable.where.replace(SAME_PAGE, page, 1) if page else variable.where

    def _misspelt(self, name: str) -> str | None:
        """Return a variable that is set and looks like a variable that isn't; None when there is none."""
        if self.environ.get(name):
            return None
        prefix = next((p for p in [r.prefix for r in (*RECIPES, *self.oidc)] if name.startswith(p)), "")
        rest = {
            other.removeprefix(prefix): other
            for other, value in self.environ.items()
            if value and other.startswith(prefix) and other not in self.known
        }
        found = difflib.get_close_matches(name.removeprefix(prefix), sorted(rest), n=1, cutoff=NEAR)
        return rest[found[0]] if found else None

    def _misspelt_oidc(self, prefixes: set[str]) -> None:
        """Note variables of a provider whose client's id and secret are both misspelt: `OIDC_ACME_CLIENTID`."""
        for name, value in sorted(self.environ.items()):
            if not name.startswith("OIDC_") or not value or _OIDC.fullmatch(name) or name.startswith((*prefixes,)):
                continue
            words = name.split("_")
            for place in range(2, len(words)):
                found = difflib.get_close_matches("_".join(words[place:]), _OIDC_PARTS, n=1, cutoff=NEAR)
                if found:
                    self.begun = True
                    right = "_".join((*words[:place], found[0]))
                    self.problems.append(f"{quote(name)} is not known; did you mean {quote(right)}?")
                    break


def _in_quotes(value: str) -> str | None:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return "expected the bare value, got one in quotes"
    if not value.isprintable():
        return "expected one line of text, got one with a line break or a control character"
    return None


def auth_problems(auth: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with an `[auth]` section that was written by hand, one line each, without its values."""
    problems = []
    for key, check in (("redirect_uri", redirect_problem), ("cookie_secret", cookie_secret_problem)):
        value = auth.get(key)
        if not isinstance(value, str) or not value:
            problems.append(f"`{key}` is missing")
        elif wrong := check(value):
            problems.append(f"`{key}`: {wrong}")
    found = sections(auth)
    if not found:
        problems.append("no provider is set up: no section has a `client_id`")
    for name in found:
        section = auth if name == "default" else auth[name]
        if "_" in name:
            problems.append(f"{quote(name)}: a provider's name can't hold an underscore")
        problems += [
            f"`{key}` of the provider {quote(name)} is missing"
            for key in ("client_secret", "server_metadata_url")
            if not isinstance(section.get(key), str) or not section[key]
        ]
    return tuple(problems)
