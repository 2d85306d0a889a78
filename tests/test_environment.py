"""Environment variables to the `[auth]` section, or every problem at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stguard import environment

COOKIE = "a-cookie-secret-of-forty-odd-characters"
GENERAL = {"REDIRECT_URI": "https://app.acme.com/oauth2callback", "COOKIE_SECRET": COOKIE}
TENANT = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
METADATA = "/.well-known/openid-configuration"

PROVIDERS = {
    "google": (
        {"GOOGLE_CLIENT_ID": "1-a.apps.googleusercontent.com", "GOOGLE_CLIENT_SECRET": "s"},
        f"https://accounts.google.com{METADATA}",
    ),
    "microsoft": (
        {"MS_CLIENT_ID": TENANT, "MS_CLIENT_SECRET": "s", "MS_TENANT_ID": TENANT},
        f"https://login.microsoftonline.com/{TENANT}/v2.0{METADATA}",
    ),
    "okta": (
        {"OKTA_CLIENT_ID": "i", "OKTA_CLIENT_SECRET": "s", "OKTA_SUBDOMAIN": "acme"},
        f"https://acme.okta.com{METADATA}",
    ),
    "auth0": (
        {"AUTH0_CLIENT_ID": "i", "AUTH0_CLIENT_SECRET": "s", "AUTH0_DOMAIN": "acme.eu.auth0.com"},
        f"https://acme.eu.auth0.com{METADATA}",
    ),
    "propelauth": (
        {
            "PROPELAUTH_CLIENT_ID": "i",
            "PROPELAUTH_CLIENT_SECRET": "s",
            "PROPELAUTH_AUTH_URL": "https://1.propelauthtest.com/",
            "PROPELAUTH_API_KEY": "k",
        },
        f"https://1.propelauthtest.com{METADATA}",
    ),
    "keycloak": (
        {
            "KEYCLOAK_CLIENT_ID": "i",
            "KEYCLOAK_CLIENT_SECRET": "s",
            "KEYCLOAK_URL": "https://id.acme.com/auth/",
            "KEYCLOAK_REALM": "main realm",
        },
        f"https://id.acme.com/auth/realms/main%20realm{METADATA}",
    ),
    "my-idp": (
        {
            "OIDC_MY_IDP_CLIENT_ID": "i",
            "OIDC_MY_IDP_CLIENT_SECRET": "s",
            "OIDC_MY_IDP_METADATA_URL": f"https://idp.acme.com{METADATA}",
        },
        f"https://idp.acme.com{METADATA}",
    ),
}


def auth(**variables: str) -> environment.Auth:
    reading = environment.read({**GENERAL, **variables})
    assert reading.problems == ()
    assert reading.auth is not None
    return reading.auth


def problems(**variables: str) -> str:
    reading = environment.read(variables)
    assert reading.auth is None
    return "\n".join(reading.problems)


@pytest.mark.parametrize("section", PROVIDERS)
def test_each_provider_gets_a_section_of_its_own_name_with_its_address_and_pkce(section: str) -> None:
    variables, address = PROVIDERS[section]
    made = auth(**variables)
    assert environment.sections(made) == (section,)
    assert made[section]["server_metadata_url"] == address
    assert made[section]["client_kwargs"]["code_challenge_method"] == "S256"
    assert made[section]["client_kwargs"]["scope"] == "openid email profile"
    assert "client_id" not in made  # `st.login()` without a name would be a second way to the same provider
    assert made["redirect_uri"] == GENERAL["REDIRECT_URI"]
    assert made["cookie_secret"] == COOKIE


def test_several_providers_stand_side_by_side() -> None:
    everything = {name: value for variables, _ in PROVIDERS.values() for name, value in variables.items()}
    assert set(environment.sections(auth(**everything))) == set(PROVIDERS)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("dev-1.oktapreview.com", "https://dev-1.oktapreview.com"),
        ("https://id.acme.com/", "https://id.acme.com"),
        ("acme.okta.com/oauth2/default", "https://acme.okta.com/oauth2/default"),
    ],
)
def test_a_whole_domain_at_okta_is_taken_as_it_stands(given: str, address: str) -> None:
    made = auth(**{**PROVIDERS["okta"][0], "OKTA_SUBDOMAIN": given})
    assert made["okta"]["server_metadata_url"] == address + METADATA


def test_scope_label_prompt_and_tokens_can_be_named() -> None:
    variables, _ = PROVIDERS["my-idp"]
    made = auth(
        **variables,
        OIDC_MY_IDP_SCOPE="openid groups",
        OIDC_MY_IDP_LABEL="Acme",
        OIDC_MY_IDP_PROMPT="login consent",
        EXPOSE_TOKENS="id, access",
    )
    assert made["my-idp"]["client_kwargs"]["scope"] == "openid groups"
    assert made["my-idp"]["label"] == "Acme"
    assert made["my-idp"]["client_kwargs"]["prompt"] == "login consent"
    assert made["expose_tokens"] == ["id", "access"]
    assert auth(**variables, EXPOSE_TOKENS="access")["expose_tokens"] == "access"


def test_blanks_and_line_ends_around_a_value_are_dropped() -> None:
    made = auth(**{name: f" {value}\n" for name, value in PROVIDERS["okta"][0].items()})
    assert made["okta"]["client_id"] == "i"


def test_every_problem_is_told_at_once() -> None:
    found = environment.read({"GOOGLE_CLIENT_ID": "x", "MS_CLIENT_SECRET": "s", "COOKIE_SECRET": "short"}).problems
    named = {problem.split("`")[1] for problem in found}
    assert named == {
        "REDIRECT_URI",
        "COOKIE_SECRET",
        "GOOGLE_CLIENT_ID",
        "GOOGLE_CLIENT_SECRET",
        "MS_CLIENT_ID",
        "MS_TENANT_ID",
    }


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("GOOGLE_CLIENTID", "GOOGLE_CLIENT_ID"),
        ("REDIRECT_URL", "REDIRECT_URI"),
        ("COOKIE_SECRETS", "COOKIE_SECRET"),
        ("OKTA_DOMAIN", "OKTA_SUBDOMAIN"),
        ("OIDC_MY_IDP_SERVER_METADATA_URL", "OIDC_MY_IDP_METADATA_URL"),
        ("OIDC_MY_IDP_SCOPES", "OIDC_MY_IDP_SCOPE"),
    ],
)
def test_a_misspelt_name_is_told_with_the_right_one(wrong: str, right: str) -> None:
    everything = dict(GENERAL)
    for variables, _ in PROVIDERS.values():
        everything |= variables
    everything.pop(right, None)
    found = environment.read({**everything, wrong: "openid x"}).problems
    assert len(found) == 1
    assert f"`{wrong}`" in found[0]
    assert f"did you mean `{right}`?" in found[0]


def test_a_provider_all_of_whose_names_are_misspelt_is_told() -> None:
    text = problems(**GENERAL, GOOGLE_CLIENTID="i", GOOGLE_CLIENTSECRET="s")
    assert text.count("did you mean") == 2
    text = problems(**GENERAL, OIDC_ACME_CLIENTID="i")
    assert "`OIDC_ACME_CLIENTID` is not known; did you mean `OIDC_ACME_CLIENT_ID`?" in text


def test_variables_of_other_programs_are_left_alone() -> None:
    others = {
        "GOOGLE_APPLICATION_CREDENTIALS": "x",
        "GOOGLE_CLIENT_EMAIL": "x",
        "GOOGLE_API_KEY": "x",
        "OKTA_CLIENT_TOKEN": "x",
        "KEYCLOAK_ADMIN": "x",
        "MS_TENANT_ID": "x",
        "KEYCLOAK_URL": "x",
        "OIDC_PROVIDER": "x",
    }
    reading = environment.read(others)
    assert not environment.is_meant(others)
    assert not reading.begun
    assert len(reading.problems) == 3
    assert "no provider is set up" in reading.problems[-1]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MS_TENANT_ID", "common", "got `common`, with which no sign-in succeeds"),
        ("MS_TENANT_ID", "Organizations", "got `organizations`"),
        ("MS_TENANT_ID", "acme", "GUID or domain"),
        ("MS_CLIENT_SECRET", TENANT, "that is the secret's id"),
        ("MS_CLIENT_ID", "x", "expected a GUID"),
        ("GOOGLE_CLIENT_ID", "GOCSPX-x", "apps.googleusercontent.com"),
        ("OKTA_SUBDOMAIN", "acme-admin", "leave `-admin` out"),
        ("OKTA_SUBDOMAIN", "acme-admin.okta.com", "leave `-admin` out"),
        ("OKTA_SUBDOMAIN", "http://acme.okta.com", "got neither"),
        ("OKTA_SUBDOMAIN", "evil.example/x", "got neither"),
        ("AUTH0_DOMAIN", "acme", "as `acme.eu.auth0.com`"),
        ("PROPELAUTH_AUTH_URL", "https://1.propelauthtest.com/x", "without a path"),
        ("KEYCLOAK_URL", "https://id.acme.com/realms/main", "goes into `KEYCLOAK_REALM`"),
        ("KEYCLOAK_URL", "http://id.acme.com", "expected `https://`, got `http://`"),
        ("KEYCLOAK_URL", "https://a:b@id.acme.com", "without a password"),
        ("KEYCLOAK_URL", "https://[", "can't be read"),
        ("OIDC_MY_IDP_METADATA_URL", "https://idp.acme.com", "ends with `/.well-known/openid-configuration`"),
        ("OIDC_MY_IDP_SCOPE", "profile", "with `openid` among them"),
        ("OIDC_MY_IDP_PROMPT", "none", "expected one of `login`, `consent`, `select_account`, got something else"),
        ("REDIRECT_URI", "https://app.acme.com", "with `/oauth2callback` at its end"),
        ("REDIRECT_URI", "app.acme.com/oauth2callback", "from `https://` on"),
        ("REDIRECT_URI", "https://app.acme.com:x/oauth2callback", "can't be read"),
        ("COOKIE_SECRET", "x" * 31, "expected 32 characters or more, got 31"),
        ("COOKIE_SECRET", "changeme" * 8, "characters again and again"),
        ("COOKIE_SECRET", "", "secrets.token_urlsafe(32)"),
        ("GOOGLE_CLIENT_SECRET", '"s"', "in quotes"),
        ("GOOGLE_CLIENT_SECRET", "s\nt", "a line break"),
        ("EXPOSE_TOKENS", "refresh", "expected `id`, `access`"),
    ],
)
def test_a_malformed_value_is_told_with_what_was_expected(name: str, value: str, said: str) -> None:
    everything = dict(GENERAL)
    for variables, _ in PROVIDERS.values():
        everything |= variables
    found = environment.read({**everything, name: value}).problems
    assert len(found) == 1
    assert found[0].startswith(f"`{name}`")
    assert said in found[0]


def test_a_loopback_address_and_a_port_to_fill_in_are_fine() -> None:
    made = auth(
        **{
            **PROVIDERS["my-idp"][0],
            "OIDC_MY_IDP_METADATA_URL": f"http://localhost:9000{METADATA}",
            "REDIRECT_URI": "http://localhost:{port}/oauth2callback",
        }
    )
    assert made["redirect_uri"] == "http://localhost:{port}/oauth2callback"


@pytest.mark.parametrize("name", ["GOOGLE", "DEFAULT"])
def test_a_name_that_is_taken_is_told(name: str) -> None:
    more = {key.replace("MY_IDP", name): value for key, value in PROVIDERS["my-idp"][0].items()}
    text = problems(**GENERAL, **PROVIDERS["google"][0], **more)
    assert text == f"`OIDC_{name}_CLIENT_ID`: the name `{name.lower()}` is taken; choose another"


def test_no_message_and_no_repr_repeats_a_value() -> None:
    canary = "canary-0123456789"
    names = [variable.name for variable in environment.GENERAL]
    for recipe in (*environment.RECIPES, environment.oidc("MY_IDP")):
        names += recipe.names()
    for shape in ("{}", "https://{}", "{}.okta.com-admin", "http://x:{}@y/z", '"{}"', "{}\n{}"):
        reading = environment.read({name: shape.format(canary, canary) for name in names})
        assert reading.problems
        assert canary not in repr(reading)
    good = auth(**{**PROVIDERS["okta"][0], "OKTA_CLIENT_SECRET": canary})
    assert canary not in repr(good)
    assert canary not in str(good)
    assert canary in json.dumps(good)


def test_an_auth_section_written_by_hand_is_checked_too() -> None:
    good = {
        "redirect_uri": GENERAL["REDIRECT_URI"],
        "cookie_secret": COOKIE,
        "client_id": "i",
        "client_secret": "s",
        "server_metadata_url": "https://x",
        "google": {"client_id": "i", "client_secret": "s", "server_metadata_url": "https://x"},
    }
    assert environment.auth_problems(good) == ()
    assert environment.sections(good) == ("default", "google")
    found = environment.auth_problems({"cookie_secret": "short", "my_idp": {"client_id": "i"}})
    assert [problem.split("`")[1] for problem in found] == [
        "redirect_uri",
        "cookie_secret",
        "my_idp",
        "client_secret",
        "server_metadata_url",
    ]
    assert "no provider" in environment.auth_problems({})[-1]


def test_the_pages_about_providers_name_variables_that_exist() -> None:
    known = {variable.name for variable in environment.GENERAL}
    for recipe in environment.RECIPES:
        known.update(recipe.names())
    folder = Path(environment.__file__).parents[1] / "docs" / "providers"
    named = 0
    for page in folder.glob("*.md"):
        for name in re.findall(r"^([A-Z][A-Z0-9_]+)=", page.read_text(encoding="utf-8"), re.MULTILINE):
            oidc = re.fullmatch(r"OIDC_([A-Z0-9_]+?)_(?:CLIENT_ID|CLIENT_SECRET|METADATA_URL|SCOPE|LABEL)", name)
            assert name in known or (oidc and name in environment.oidc(oidc[1]).names()), f"{page.name}: {name}"
            named += 1
    assert named > len(environment.RECIPES)


def test_a_missing_secret_names_the_page_where_it_is_found() -> None:
    told = problems(GOOGLE_CLIENT_ID="1-a.apps.googleusercontent.com")
    assert "`GOOGLE_CLIENT_SECRET` is not set; Google Cloud console > " in told
    assert environment.SAME_PAGE not in told
