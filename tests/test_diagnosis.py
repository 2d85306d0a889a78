"""The doctor's findings: each risk is told once, with why and what to do; nothing secret is told."""

from __future__ import annotations

import base64
import hashlib
import json
from inspect import signature
from typing import Any

import pytest
from streamlit import auth_util
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from stguard import diagnosis, environment
from stguard.diagnosis import Setup
from stguard.errors import Problem, Severity
from stguard.policy import Policy

COOKIE = "a-cookie-secret-of-forty-odd-characters"
TENANT = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"
POLICY = """
stguard: 1
roles: {viewer: {}, admin: {allow: "policy:view"}}
assign: [{role: viewer, group: staff}]
pages: {home: {role: viewer}}
"""


def auth(address: str = "https://idp.acme.com/x", **general: Any) -> dict[str, Any]:
    return {
        "redirect_uri": "https://app.acme.com/oauth2callback",
        "cookie_secret": COOKIE,
        "acme": {"client_id": "i", "client_secret": "s", "server_metadata_url": address},
        **general,
    }


def entra(tenant: str = TENANT) -> dict[str, Any]:
    return auth(f"https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration")


def policy(identity: str = "") -> Policy:
    return Policy.from_yaml(POLICY + identity)


FINE: dict[str, Any] = {
    "auth": auth(),
    "options": {"server.cookieSecret": COOKIE, "client.showErrorDetails": "none", "server.enableCORS": True},
    "environ": {"FORWARDED_ALLOW_IPS": "10.0.0.1"},
}


def found(**changes: Any) -> list[tuple[str, Severity]]:
    setup = Setup(**{"policy": policy(), **FINE, **changes})
    return [(finding.code, finding.severity) for finding in diagnosis.examine(setup)]


ERROR, WARNING = Severity.ERROR, Severity.WARNING


def test_a_good_setup_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"wrong_variables": ("`X` is not set",), "auth": None}, "sign-in-variable", ERROR),
        ({"twice": True}, "sign-in-twice", WARNING),
        ({"auth": None}, "sign-in-missing", WARNING),
        ({"auth": auth(cookie_secret="short")}, "cookie-secret", ERROR),  # noqa: S106  the point
        ({"auth": auth(cookie_secret="xxxx" * 10)}, "cookie-secret", ERROR),
        ({"auth": auth(cookie_secret=None)}, "cookie-secret", ERROR),
        ({"auth": auth(redirect_uri="https://app.acme.com")}, "sign-in-broken", ERROR),
        ({"auth": auth(a_b={"client_id": "i", "client_secret": "s", "server_metadata_url": "https://x"})},
         "sign-in-broken", ERROR),
        ({"auth": auth(redirect_uri="http://app.acme.com/oauth2callback")}, "redirect-http", ERROR),
        ({"auth": auth("http://idp.acme.com/x")}, "metadata-http", ERROR),
        ({"auth": entra("common"), "policy": None}, "tenant", ERROR),
        ({"auth": entra("Organizations"), "policy": None}, "tenant", ERROR),
        ({"in_code": True, "options": {"server.cookieSecret": "a-random-one"}}, "replicas", WARNING),
        ({"environ": {"FORWARDED_ALLOW_IPS": "*"}}, "forwarded", ERROR),
        ({"environ": {}}, "forwarded", WARNING),
        ({"environ": {**FINE["environ"], "WEBSOCKETS_MAX_LINE_LENGTH": "64k"}}, "line-length", WARNING),
        ({"environ": {**FINE["environ"], "WEBSOCKETS_MAX_LINE_LENGTH": "4096"}}, "line-length", WARNING),
        ({"pages_folder": True}, "pages-folder", ERROR),
        ({"options": {"server.enableXsrfProtection": False}}, "xsrf", ERROR),
        ({"options": {"server.enableCORS": False}}, "cors", ERROR),
        ({"options": {"client.showErrorDetails": "full"}}, "error-details", WARNING),
        ({"options": {"client.showErrorDetails": True}}, "error-details", WARNING),
        ({"options": {"server.trustedUserHeaders": {"X": "email"}}}, "trusted-headers", WARNING),
        ({"options": {"server.trustedUserHeaders": {"X": "email"}}, "gateway": False}, "trusted-headers", ERROR),
        ({"options": {"server.enableAgentApi": True}, "gateway": False}, "agent-api", ERROR),
        ({"hooks": ""}, "hooks", WARNING),
        ({"hooks": "another `SessionState`"}, "hooks", ERROR),
        ({"policy": None, "no_policy": "nothing there"}, "policy", ERROR),
        ({"problems": (Problem(file="p", line=1, column=1, severity=WARNING, code="c", message="m"),)},
         "policy", WARNING),
        ({"problems": (Problem(file="p", line=1, column=1, severity=ERROR, code="c", message="m"),)}, "policy", ERROR),
        ({"auth": entra()}, "accept", WARNING),
        ({"policy": policy("identity: {trust_email: true}")}, "trust-email", WARNING),
    ],
)  # fmt: skip
def test_each_risk_is_told(changes: dict[str, Any], code: str, severity: Severity) -> None:
    assert found(**changes) == [(code, severity)]


@pytest.mark.parametrize(
    "changes",
    [
        {"auth": auth(redirect_uri="http://localhost:{port}/oauth2callback"), "environ": {}},
        {"auth": None, "other": True},
        {"auth": {"cookie_secret": COOKIE}, "other": True},
        {"options": {"server.trustedUserHeaders": {"X": "email"}, "server.enableAgentApi": True}, "gateway": True},
        {"options": {"server.sslCertFile": "cert.pem"}, "environ": {}},
        {"environ": {"FORWARDED_ALLOW_IPS": "10.0.0.1", "STREAMLIT_SERVER_COOKIE_SECRET": "another"}, "in_code": True},
        {"auth": entra(), "policy": policy(f"identity: {{trust_email: true, accept: {{iss: [{ISSUER}]}}}}")},
    ],
)
def test_what_is_meant_is_no_risk(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


def test_unverified_e_mails_of_any_entra_tenant_are_an_error_and_stand_first() -> None:
    told = found(auth=entra(), policy=policy("identity: {trust_email: true}"))
    assert told == [("trust-email", ERROR), ("accept", WARNING)]


def test_a_section_of_the_policy_for_one_provider_counts_for_that_provider() -> None:
    good = policy(f"identity: {{providers: {{acme: {{accept: {{iss: [{ISSUER}]}}}}}}}}")
    assert found(auth=entra(), policy=good) == []


def test_every_finding_says_why_and_what_to_do() -> None:
    setup = Setup(auth=entra("common"), options={"server.enableCORS": False}, environ={"FORWARDED_ALLOW_IPS": "*"})
    told = diagnosis.examine(setup)
    assert len(told) >= 3
    assert all(each.what.endswith(".") and each.why.endswith(".") and each.do for each in told)
    assert not diagnosis.is_ok(told)


# --- claims -----------------------------------------------------------------------------------------------------------


def account(claims: dict[str, Any], **more: Any) -> diagnosis.Account:
    setup = Setup(policy=policy(), **more)
    assert setup.policy is not None
    return diagnosis.account(claims, setup.policy.subject(claims), setup=setup)


CLAIMS = {
    "iss": "https://acme.okta.com",
    "sub": "1",
    "email": "ann@acme.com",
    "email_verified": True,
    "roles": ["viewer", "nonsense"],
    "phone": "12345",
}


def test_it_tells_what_arrived_what_it_became_what_was_ignored_and_what_is_missing() -> None:
    told = account(CLAIMS)
    assert told.counts
    assert told.provider == "Okta"
    assert dict(told.arrived)["email"] == '"ann@acme.com"'
    assert dict(told.arrived)["phone"] == "a text of 5 characters"
    assert dict(told.became)["e-mail"] == "ann@acme.com"
    assert [each.fact for each in told.missing if each.fact == "groups"] == ["groups"]
    missing = next(each for each in told.missing if each.fact == "groups")
    assert missing.why == "the identity provider sent no groups"
    assert "group" in missing.switch.lower()
    assert diagnosis.examine_account(told) == ()


def test_an_undeclared_role_is_told_as_ignored() -> None:
    told = account({**CLAIMS, "iss": "https://id.acme.com"})
    assert dict(told.became)["roles"] == "viewer"
    assert told.ignored == ("role `nonsense` is not declared in the policy: ignored",)


def test_claims_that_count_as_nobody_are_an_error_with_the_reason() -> None:
    refusing = policy("identity: {accept: {iss: [https://other.example]}}")
    told = diagnosis.account(CLAIMS, refusing.subject(CLAIMS), setup=Setup(policy=refusing))
    assert told.why == "the token's `iss` is not accepted"
    assert [each.code for each in diagnosis.examine_account(told)] == ["nobody"]


def test_long_lists_and_texts_are_cut() -> None:
    told = account({**CLAIMS, "iss": "https://id.acme.com", "groups": [f"g{n}" for n in range(99)], "name": "x" * 999})
    assert "… 89 more" in dict(told.arrived)["groups"]
    assert dict(told.became)["groups"].endswith("and 89 more")
    assert len(dict(told.arrived)["name"]) < 250


# --- the size of the login cookie -------------------------------------------------------------------------------------


def cookie_line(claims: dict[str, Any]) -> int:
    """Count the line that Streamlit itself makes of a login."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(8))
    token = f"{'h' * 70}.{body}.{base64.urlsafe_b64encode(noise).decode()[:342]}"
    made: dict[str, str] = {}
    set_cookie: Any = auth_util.set_cookie_with_chunks

    def put(name: str, value: str) -> None:
        made[name] = create_signed_value(COOKIE, name, value).decode()

    for name, value in (
        ("_streamlit_user", {**claims, "origin": "https://app.example", "is_logged_in": True, "provider": "default"}),
        ("_streamlit_user_tokens", {"id_token": token}),
    ):
        more = {"cookie_attr_size": 60} if "cookie_attr_size" in signature(set_cookie).parameters else {}
        set_cookie(put, lambda n, v: create_signed_value(COOKIE, n, v), name, value, **more)
    return len("Cookie: " + "; ".join(f"{name}={value}" for name, value in made.items()))


def groups(number: int) -> list[str]:
    return [hashlib.md5(str(n).encode(), usedforsecurity=False).hexdigest() for n in range(number)]


@pytest.mark.parametrize("number", [0, 5, 20, 40, 80, 150, 300])
def test_the_size_is_what_streamlit_makes_within_a_twentieth(number: int) -> None:
    claims = {**CLAIMS, "groups": groups(number)}
    assert diagnosis.least_line(claims) == pytest.approx(cookie_line(claims), rel=0.05, abs=60)


def test_too_many_groups_are_an_error_before_the_first_blank_page() -> None:
    few, more, many = (account({**CLAIMS, "groups": groups(n)}) for n in (10, 90, 200))
    assert diagnosis.examine_account(few) == ()
    assert [(f.code, f.severity) for f in diagnosis.examine_account(more)] == [("cookie-size", WARNING)]
    assert [(f.code, f.severity) for f in diagnosis.examine_account(many)] == [("cookie-size", ERROR)]
    lifted = account({**CLAIMS, "groups": groups(200)}, environ={"WEBSOCKETS_MAX_LINE_LENGTH": "65536"})
    assert diagnosis.examine_account(lifted) == ()


def test_a_line_that_was_seen_counts_instead_of_the_least() -> None:
    told = diagnosis.account(CLAIMS, policy().subject(CLAIMS), setup=Setup(), line=9000)
    assert (told.cookie.size, told.cookie.exact) == (9000, True)
    assert [each.code for each in diagnosis.examine_account(told)] == ["cookie-size"]


# --- nothing secret gets out ------------------------------------------------------------------------------------------

CANARY = "canary-0123456789"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2ln"


def test_no_secret_gets_out_wherever_it_stands() -> None:
    claims = {
        **CLAIMS,
        "iss": f"https://user:{CANARY}@id.acme.com",
        "name": JWT,
        "tokens": {"access": CANARY, "id": [CANARY]},
        "roles": [CANARY, JWT, "x"],
        "at_hash": CANARY,
        "nonce": CANARY,
        "jti": CANARY,
        "session_state": CANARY,
        "org_member_info": {"api_key": CANARY},
        "unheard_of": f"x{CANARY}x",
        "password": CANARY,
    }
    setup = Setup(
        auth=auth(
            cookie_secret=CANARY,
            client_secret=CANARY,
            redirect_uri=f"http://{CANARY}.example/oauth2callback",
            google={"client_id": "i", "client_secret": CANARY, "client_kwargs": {"client_assertion": CANARY}},
        ),
        wrong_variables=(f"`X`: {CANARY}",),
        options={"server.cookieSecret": CANARY, "server.trustedUserHeaders": {CANARY: CANARY}},
        environ={"GOOGLE_CLIENT_SECRET": CANARY, "DB_PASSWORD": CANARY, "WEBSOCKETS_MAX_LINE_LENGTH": CANARY},
        policy=policy(),
        problems=(Problem(file=CANARY, line=1, column=1, severity=ERROR, code="c", message=CANARY),),
        no_policy=CANARY,
        hooks=CANARY,
    )
    findings = diagnosis.examine(setup)
    told = diagnosis.account(claims, policy().subject(claims), setup=setup)
    everything = json.dumps(diagnosis.document((*findings, *diagnosis.examine_account(told)), told))
    for text in (everything, repr(told), repr(findings)):
        assert CANARY not in text
        assert JWT not in text
    assert CANARY not in repr(Setup(auth=setup.auth, options=setup.options, environ=setup.environ))
    assert diagnosis.REDACTED in everything


def test_a_secret_that_is_part_of_another_hides_both() -> None:
    clean = diagnosis.Redactor(["secret-1", "secret-1-and-more"])
    assert clean("a secret-1-and-more b secret-1 c") == "a [redacted] b [redacted] c"
    assert clean("line\nbreak") == "line\N{REPLACEMENT CHARACTER}break"


def test_the_document_has_the_shape_of_the_contract() -> None:
    document = diagnosis.document(diagnosis.examine(Setup()), None)
    assert set(document) == {"ok", "findings", "claims"}
    assert document["ok"] is True
    assert document["claims"] == {}
    assert set(document["findings"][0]) == {"code", "severity", "what", "why", "do"}
    told = diagnosis.document((), account(CLAIMS))
    assert set(told["claims"]) == {
        "counts", "why", "provider", "arrived", "became", "ignored", "missing", "cookie"
    }  # fmt: skip


def test_every_variable_that_holds_a_secret_is_known_to_the_redactor() -> None:
    names = [v.name for r in (*environment.RECIPES, environment.oidc("X")) for v in r.variables if v.secret]
    names += [v.name for v in environment.GENERAL if v.secret]
    for name in names:
        assert diagnosis.redactor(Setup(environ={name: CANARY}))(CANARY) == diagnosis.REDACTED


def test_what_is_unknown_is_not_shown_as_none() -> None:
    became = dict(account({"iss": "https://id.acme.com", "sub": "1", "roles": []}).became)
    assert (became["groups"], became["roles"]) == ("unknown", "none")
